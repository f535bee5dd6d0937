//! Renaming, restoring and deleting from the gallery: who may, and what a person sees.

use std::time::Duration;

use atelier::storage::{Catalog as _, Document, DocumentKind, NewVersion, Owner};
use base64::Engine as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::gallery::{assert_private, cookie};
use super::hosting::{Answer, Hosting, local_user, send_body};
use crate::support::browser::{Browser, Page, Scheme};

const OWN_ORIGIN: (&str, &str) = ("origin", "http://127.0.0.1:7411");
const JSON: (&str, &str) = ("content-type", "application/json");

/// A gallery that is open for a principal.
struct Visit<'a> {
    hosting: &'a Hosting,
    cookie: String,
    word: String,
}

impl<'a> Visit<'a> {
    async fn of(hosting: &'a Hosting, principal: &str) -> Self {
        let cookie = cookie(hosting, principal).await;
        let page = hosting.page("/gallery", &[("cookie", &cookie)]).await;
        let (_, rest) = page.text().split_once("name=\"atelier-action\" content=\"").unwrap();
        let word = rest.split_once('"').unwrap().0.to_owned();
        Self { hosting, cookie, word }
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let headers = [
            ("cookie", self.cookie.as_str()),
            ("x-atelier-action", self.word.as_str()),
            OWN_ORIGIN,
            JSON,
        ];
        self.post_with(path, &headers, body).await
    }

    async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let path = format!("/gallery/{path}");
        send_body(&self.hosting.pages, Method::POST, &path, headers, body.to_string()).await
    }
}

fn subject(name: &str) -> Value {
    json!({"kind": "web", "user": local_user().user, "name": name})
}

fn with(name: &str, key: &str, value: impl Into<Value>) -> Value {
    let mut body = subject(name);
    body[key] = value.into();
    body
}

async fn names(hosting: &Hosting, principal: &str) -> Vec<String> {
    let documents = hosting.catalog.documents_of_principal(&principal.into(), 10).await.unwrap();
    documents.into_iter().map(|document| document.name).collect()
}

fn json_of(answer: &Answer) -> Value {
    assert_private(answer);
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn the_owner_renames_restores_and_deletes() {
    let hosting = Hosting::new().await;
    let app = hosting.publish("dice", "<!doctype html><title>One</title><p>1</p>").await;
    hosting.publish("dice", "<!doctype html><title>Two</title><p>2</p>").await;
    hosting.publish("cards", "<!doctype html><title>Cards</title><p>c</p>").await;
    let visit = Visit::of(&hosting, "local").await;

    let renamed = visit.post("rename", with("dice", "new_name", "Two dice!")).await;
    assert_eq!(
        (renamed.status, json_of(&renamed)["name"].clone()),
        (StatusCode::OK, json!("Two_dice"))
    );
    assert_eq!(names(&hosting, "local").await, ["cards", "Two_dice"]);
    let shown = hosting.get(&format!("/a/{}/raw", app.token)).await;
    assert!(shown.text().contains("<p>2</p>"), "the link stays");

    for (new_name, status, code) in [
        ("CARDS", StatusCode::CONFLICT, "name_taken"),
        ("🚀", StatusCode::BAD_REQUEST, "invalid_name"),
    ] {
        let refused = visit.post("rename", with("Two_dice", "new_name", new_name)).await;
        assert_eq!((refused.status, json_of(&refused)["code"].clone()), (status, json!(code)));
    }
    // Another case of its own name is no other document's.
    let cased = visit.post("rename", with("Two_dice", "new_name", "two_DICE")).await;
    assert_eq!(json_of(&cased)["name"], "two_DICE");
    let gone = visit.post("rename", with("dice", "new_name", "x")).await;
    assert_eq!(json_of(&gone)["code"], "document_not_found");

    let query = "/gallery/versions?kind=web&user=%2B17145986105&name=two_DICE";
    let versions = hosting.page(query, &[("cookie", &visit.cookie)]).await;
    let versions = json_of(&versions)["versions"].clone();
    assert_eq!(versions[0]["version"], 2);
    assert_eq!((&versions[0]["current"], &versions[1]["current"]), (&json!(true), &json!(false)));
    assert_eq!(versions[1]["url"], hosting.urls.version(&app.token, 1));

    let restored = visit.post("restore", with("two_DICE", "version", 1)).await;
    assert_eq!(json_of(&restored)["version"], 3, "{}", restored.text());
    let shown = hosting.get(&format!("/a/{}/raw", app.token)).await;
    assert!(shown.text().contains("<p>1</p>"));
    let none = visit.post("restore", with("two_DICE", "version", 9)).await;
    assert_eq!(
        (none.status, json_of(&none)["code"].clone()),
        (StatusCode::NOT_FOUND, json!("version_not_found"))
    );

    let deleted = visit.post("delete", subject("two_DICE")).await;
    assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.text());
    assert_eq!(names(&hosting, "local").await, ["cards"]);
    let shown = hosting.get(&format!("/a/{}/", app.token)).await;
    assert_eq!(shown.status, StatusCode::NOT_FOUND);
    let again = visit.post("delete", subject("two_DICE")).await;
    assert_eq!(json_of(&again)["code"], "document_not_found");
}

#[tokio::test]
async fn nobody_else_and_no_other_page_changes_anything() {
    let hosting = Hosting::new().await;
    hosting.publish("dice", "<title>Dice</title>").await;
    let of_anna = Owner { principal: "anna".into(), user: local_user().user };
    hosting.publish_as(of_anna, "hers", "<title>Hers</title>", Vec::new()).await;
    let visit = Visit::of(&hosting, "local").await;
    let anna = Visit::of(&hosting, "anna").await;
    assert_ne!(visit.word, anna.word);

    let cookie = ("cookie", visit.cookie.as_str());
    let word = ("x-atelier-action", visit.word.as_str());
    let of_anna = ("x-atelier-action", anna.word.as_str());
    let refused: [(&[(&str, &str)], StatusCode); 9] = [
        (&[word, OWN_ORIGIN, JSON], StatusCode::UNAUTHORIZED),
        (&[cookie, OWN_ORIGIN, JSON], StatusCode::FORBIDDEN),
        (&[cookie, ("x-atelier-action", "x"), OWN_ORIGIN, JSON], StatusCode::FORBIDDEN),
        (&[cookie, of_anna, OWN_ORIGIN, JSON], StatusCode::FORBIDDEN),
        (&[cookie, word, JSON], StatusCode::FORBIDDEN),
        (&[cookie, word, JSON, ("origin", "null")], StatusCode::FORBIDDEN),
        (&[cookie, word, JSON, ("origin", "http://127.0.0.1:7499")], StatusCode::FORBIDDEN),
        (&[cookie, word, JSON, OWN_ORIGIN, ("host", "evil.example")], StatusCode::FORBIDDEN),
        (
            &[cookie, word, JSON, OWN_ORIGIN, ("sec-fetch-site", "cross-site")],
            StatusCode::FORBIDDEN,
        ),
    ];
    for path in ["rename", "restore", "delete"] {
        let mut body = with("dice", "new_name", "taken");
        body["version"] = json!(1);
        for (headers, status) in refused {
            let answer = visit.post_with(path, headers, body.clone()).await;
            assert_eq!(answer.status, status, "{path} {headers:?}");
            assert_private(&answer);
        }
        let got = hosting.page(&format!("/gallery/{path}"), &[cookie, word, OWN_ORIGIN]).await;
        assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(names(&hosting, "local").await, ["dice"]);
    // What belongs to somebody else is not there.
    let hers = visit.post("delete", subject("hers")).await;
    assert_eq!(json_of(&hers)["code"], "document_not_found");
    let query = "/gallery/versions?kind=web&user=%2B17145986105&name=hers";
    let hers = hosting.page(query, &[cookie]).await;
    assert_eq!(hers.status, StatusCode::NOT_FOUND);
    assert_eq!(names(&hosting, "anna").await, ["hers"]);
    // The control: everything right, and it is done.
    let done = anna.post("delete", subject("hers")).await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(names(&hosting, "anna").await.is_empty());

    for body in ["", "{}", "[]", "{\"kind\":\"exe\",\"user\":\"\",\"name\":\"dice\"}"] {
        let headers = [cookie, word, OWN_ORIGIN, JSON];
        let answer =
            send_body(&hosting.pages, Method::POST, "/gallery/delete", &headers, body).await;
        assert_eq!(json_of(&answer)["code"], "invalid_arguments", "{body}");
    }
    let long = visit.post("rename", with("dice", "new_name", "x".repeat(20_000))).await;
    assert_eq!(json_of(&long)["code"], "invalid_arguments");
}

/// Waits until the clock has left the millisecond of a change.
async fn after(document: &Document) {
    let now_ms = || time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    while now_ms() <= i128::from(document.updated_at) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A small picture of text, drawn by the browser.
const DRAW: &str = "(() => { const canvas = document.createElement('canvas'); \
  canvas.width = 640; canvas.height = 360; const pen = canvas.getContext('2d'); \
  pen.fillStyle = '#204060'; pen.fillRect(0, 0, 640, 360); pen.fillStyle = '#fff'; \
  pen.font = '64px sans-serif'; pen.fillText('A picture', 40, 200); \
  return canvas.toDataURL('image/webp').split(',')[1]; })()";

async fn look(page: &Page, name: &str) {
    for (size, width, height) in [("phone", 390, 844), ("desk", 1280, 800)] {
        for (shade, scheme) in [("light", Scheme::Light), ("dark", Scheme::Dark)] {
            page.look(width, height, scheme).await;
            page.screenshot(&format!("{name}-{size}-{shade}")).await;
            let wide = page
                .evaluate(
                    "Math.max(0, document.documentElement.scrollWidth - innerWidth, \
                     sheet.open ? sheet.scrollWidth - sheet.clientWidth : 0)",
                )
                .await;
            assert_eq!(wide, 0, "{name} {size}");
        }
    }
}

#[tokio::test]
async fn a_person_looks_after_apps_and_documents() {
    let hosting = Hosting::new().await;
    let _listening = hosting.listen().await;
    let browser = Browser::launch().await;
    let drawing = browser.page().await;
    let picture = drawing.evaluate(DRAW).await;
    let picture =
        base64::engine::general_purpose::STANDARD.decode(picture.as_str().unwrap()).unwrap();
    let thumb_sha = Some(hosting.blobs.put(picture).await.unwrap());
    let page_of = |title: &str| format!("<!doctype html><title>{title}</title><p>{title}</p>");
    // Each at a time of its own, or their order would be chance.
    let source = hosting.publish("report-source", &page_of("Old words")).await;
    after(&source).await;
    let pdf = |new: NewVersion| NewVersion { kind: DocumentKind::Pdf, ..new };
    let report =
        hosting.publish_version(local_user(), "report", &page_of("Yearly report"), pdf).await;
    after(&report).await;
    for title in ["First draft", "Second draft", "Bill splitter"] {
        let with_picture = |new| NewVersion { thumb_sha: thumb_sha.clone(), ..new };
        let bill =
            hosting.publish_version(local_user(), "bill", &page_of(title), with_picture).await;
        after(&bill).await;
    }
    hosting.publish("plain", "<!doctype html><p>no title</p>").await;

    let page = browser.page().await;
    page.look(1280, 800, Scheme::Light).await;
    page.open(&hosting.urls.gallery("local").unwrap()).await;
    page.until("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
        .await;
    assert_eq!(page.complaints(), Vec::<String>::new());
    assert_eq!(page.evaluate("document.images.length").await, 1);
    look(&page, "gallery-mixed").await;

    // Kinds and order.
    let titles = "[...document.querySelectorAll('.card')].filter((card) => !card.hidden).map((card) => card.dataset.name)";
    let choose = async |id: &str, value: &str| {
        let choose = format!(
            "(() => {{ {id}.value = '{value}'; {id}.dispatchEvent(new Event('change')); }})()"
        );
        page.evaluate(&choose.replace(id, &format!("document.getElementById('{id}')"))).await;
        page.evaluate(titles).await
    };
    assert_eq!(page.evaluate(titles).await, json!(["plain", "bill", "report", "report-source"]));
    assert_eq!(choose("kind", "pdf").await, json!(["report"]));
    assert_eq!(page.evaluate("document.getElementById('count').textContent").await, "1 of 4 items");
    let href = page.evaluate("document.querySelector('[data-kind=pdf] .open').href").await;
    assert!(href.as_str().unwrap().contains("/d/"), "{href}");
    choose("kind", "").await;
    assert_eq!(choose("sort", "title").await, json!(["bill", "report-source", "plain", "report"]));
    assert_eq!(choose("sort", "oldest").await, json!(["report-source", "report", "bill", "plain"]));
    assert_eq!(choose("sort", "newest").await, json!(["plain", "bill", "report", "report-source"]));

    // By keyboard: to the button of a card, into the sheet, and back.
    let told = "document.getElementById('told').textContent";
    let focus = async |selector: &str| {
        page.evaluate(&format!("document.querySelector({selector:?}).focus()")).await;
    };
    let press = async |key: &str| {
        for kind in ["keyDown", "keyUp"] {
            let code = match key {
                "Enter" => 13,
                "Tab" => 9,
                _ => 27,
            };
            let text = if key == "Enter" && kind == "keyDown" { "\r" } else { "" };
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            page.command("Input.dispatchKeyEvent", event).await;
        }
    };
    focus("[data-name=bill] .manage").await;
    press("Enter").await;
    page.until("sheet.open && document.querySelectorAll('#versions li').length === 3").await;
    assert_eq!(
        page.evaluate("document.getElementById('sheet-title').textContent").await,
        "Bill splitter"
    );
    look(&page, "gallery-sheet").await;
    page.look(1280, 800, Scheme::Light).await;
    press("Escape").await;
    page.until("!sheet.open").await;
    let focused = page.evaluate("document.activeElement.closest('.card').dataset.name").await;
    assert_eq!(focused, "bill");

    // Restore: the newest version is a copy of the first.
    page.click("[data-name=bill] .manage").await;
    page.until("document.querySelectorAll('#versions li').length === 3").await;
    page.click("#versions li:last-child button").await;
    page.until("document.querySelectorAll('#versions li').length === 4").await;
    assert_eq!(
        page.evaluate("document.querySelector('[data-name=bill] .version').textContent").await,
        "v4"
    );
    let bill = hosting
        .catalog
        .document(&local_user(), DocumentKind::WebApp, "bill")
        .await
        .unwrap()
        .unwrap();
    let shown = hosting.get(&format!("/a/{}/raw", bill.token)).await;
    assert!(shown.text().contains("<p>First draft</p>"), "{}", shown.text());

    // Rename: a taken name is told, a free one is taken over into the card.
    let rename = async |name: &str| {
        page.evaluate(&format!("document.getElementById('new-name').value = {name:?}")).await;
        page.click("#rename button").await;
    };
    rename("plain").await;
    page.until(&format!("{told}.includes('another web app')")).await;
    page.screenshot("gallery-sheet-refusal").await;
    rename("split the bill").await;
    page.until("document.getElementById('sheet-name').textContent === 'split_the_bill'").await;
    assert_eq!(page.evaluate(told).await, "");
    assert_eq!(
        page.evaluate("document.querySelector('[data-name=split_the_bill] .name').textContent")
            .await,
        "split_the_bill"
    );

    // Delete: asked twice, and "Keep it" keeps it.
    page.click("#delete").await;
    page.until("document.activeElement.id === 'keep'").await;
    page.screenshot("gallery-sheet-delete").await;
    page.click("#keep").await;
    page.until("document.activeElement.id === 'delete'").await;
    assert_eq!(names(&hosting, "local").await.len(), 4);
    page.click("#delete").await;
    page.click("#delete-now").await;
    page.until("!sheet.open && document.querySelectorAll('.card').length === 3").await;
    let said = page.evaluate("document.getElementById('said').textContent").await;
    assert_eq!(said, "First draft was deleted", "the title of the version that was restored");
    assert_eq!(page.evaluate("document.getElementById('count').textContent").await, "3 items");
    let focused = page.evaluate("document.activeElement.className").await;
    assert_eq!(focused, "open");
    assert!(!names(&hosting, "local").await.contains(&"split_the_bill".to_owned()));

    // A page whose title is its name follows the name.
    page.click("[data-name=plain] .manage").await;
    page.until("document.querySelectorAll('#versions li').length === 1").await;
    rename("notes").await;
    page.until("document.getElementById('sheet-title').textContent === 'notes'").await;
    assert_eq!(
        page.evaluate("document.querySelector('[data-name=notes] .open').textContent").await,
        "notes"
    );
    // The browser tells of the refused name; of nothing else.
    let complaints = page.complaints();
    assert!(matches!(&*complaints, [one] if one.contains("409 (Conflict)")), "{complaints:?}");
    // When the gallery is closed meanwhile, the sheet says so.
    page.command("Network.clearBrowserCookies", json!({})).await;
    rename("other").await;
    page.until(&format!("{told}.includes('This gallery is closed')")).await;
}
