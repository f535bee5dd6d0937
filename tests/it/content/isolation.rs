//! What an app cannot reach, shown in a real browser. Each denial has its control: the same probe
//! in a page without our headers succeeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use http::{HeaderMap, header};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::hosting::{Hosting, open, send};
use crate::support::browser::Browser;

/// Tries to read a page that a cookie opens, the cookies, and a window with another page.
const PROBE: &str = r#"<!doctype html><html lang="en"><head><title>Probe</title></head><body><script>
  const read = (url) => fetch(url, { credentials: 'include' })
    .then((answer) => answer.text(), (error) => error.name);
  const send = (url) => fetch(url, { credentials: 'include', mode: 'no-cors' })
    .then((answer) => answer.type, (error) => error.name);
  const frame = (url) => new Promise((resolve) => {
    const element = document.createElement('iframe');
    element.onload = () => {
      try { resolve(element.contentDocument?.body.textContent ?? 'no document'); }
      catch (error) { resolve(error.name); }
    };
    element.src = url;
    document.body.append(element);
  });
  const look = async (url) => {
    const opened = window.open(url);
    for (;;) {
      try {
        if (opened.location.href !== 'about:blank' && opened.document.title) return opened.document.title;
      } catch (error) { return error.name; }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
</script></body></html>"#;

const OTHER: &str = "<!doctype html><title>Other app</title><p>private</p>";

/// Pages of the same origin as the apps: behind a cookie, and without our headers. The apps could
/// read both if the sandbox did not keep them out.
fn neighbours(opened: Arc<AtomicUsize>) -> Router {
    let cookie = [(header::SET_COOKIE, "login=yes; Path=/")];
    let secret = async move |headers: HeaderMap| {
        let cookies = headers.get(header::COOKIE).and_then(|value| value.to_str().ok());
        if cookies.is_some_and(|cookies| cookies.contains("login=yes")) {
            opened.fetch_add(1, Ordering::SeqCst);
            "the secret"
        } else {
            "closed"
        }
    };
    Router::new()
        .route("/login", get(move || async move { (cookie, Html("<title>in</title>")) }))
        .route("/secret", get(secret))
        .route("/plain/probe", get(|| async { Html(PROBE) }))
        .route("/plain/other", get(|| async { Html(OTHER) }))
}

#[tokio::test]
async fn an_app_reads_no_authenticated_page_no_cookie_and_no_other_app() {
    let hosting = Hosting::new().await;
    let opened = Arc::new(AtomicUsize::new(0));
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let router = hosting.content.clone().merge(neighbours(Arc::clone(&opened)));
    let content = open(router, &cancel).await;
    hosting.urls.set_content_address(content);
    let probe = hosting.publish("probe", PROBE).await;
    let other = hosting.publish("other", OTHER).await;
    let other = hosting.urls.app(&other.token);
    let secret = format!("http://{content}/secret");

    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&format!("http://{content}/login")).await;

    // The control: in an ordinary page every probe finds what it looks for.
    page.open(&format!("http://{content}/plain/probe")).await;
    assert_eq!(page.evaluate(&format!("read('{secret}')")).await, "the secret");
    assert_eq!(page.evaluate(&format!("frame('{secret}')")).await, "the secret");
    assert_eq!(page.evaluate("document.cookie").await, "login=yes");
    let plain_other = format!("http://{content}/plain/other");
    assert_eq!(page.evaluate(&format!("look('{plain_other}')")).await, "Other app");
    assert_eq!(opened.load(Ordering::SeqCst), 2);

    // In an app, on the same origin even, none does.
    page.open(&hosting.urls.app(&probe.token)).await;
    assert_eq!(page.evaluate("self.origin").await, "null");
    assert_eq!(page.evaluate(&format!("read('{secret}')")).await, "TypeError");
    assert_eq!(page.evaluate(&format!("frame('{secret}')")).await, "no document");
    assert_eq!(page.evaluate("document.cookie").await, "");
    assert_eq!(page.evaluate(&format!("look('{plain_other}')")).await, "SecurityError");
    assert_eq!(page.evaluate(&format!("look('{other}')")).await, "SecurityError");
    assert_eq!(page.evaluate(&format!("frame('{other}')")).await, "no document");
    assert_eq!(page.evaluate(&format!("send('{secret}')")).await, "opaque");
    assert_eq!(opened.load(Ordering::SeqCst), 2, "a request of the app carried the cookie");
}

#[tokio::test]
async fn an_app_cannot_read_the_gallery_of_its_own_user() {
    let hosting = Hosting::new().await;
    let _listening = hosting.listen().await;
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let plain = Router::new().route("/plain/probe", get(|| async { Html(PROBE) }));
    let pages = open(hosting.pages.clone().merge(plain), &cancel).await;
    hosting.urls.set_pages_address(pages);
    let probe = hosting.publish("probe", PROBE).await;
    let gallery = format!("http://{pages}/gallery");

    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&hosting.urls.gallery("local").unwrap()).await;
    assert_eq!(page.evaluate("location.href").await, gallery);
    // The control: a page of the gallery's own origin reads it.
    page.open(&format!("http://{pages}/plain/probe")).await;
    let own = format!("read('{gallery}').then((text) => text.includes('>Probe</a>'))");
    assert_eq!(page.evaluate(&own).await, true);

    page.open(&hosting.urls.app(&probe.token)).await;
    assert_eq!(page.evaluate(&format!("read('{gallery}')")).await, "TypeError");
    assert_eq!(page.evaluate(&format!("frame('{gallery}')")).await, "no document");
    assert_eq!(page.evaluate(&format!("look('{gallery}')")).await, "SecurityError");
    let answer = page.evaluate(&format!("send('{gallery}')")).await;
    assert_eq!(answer, "TypeError", "the page is not handed out even unread");
}

#[tokio::test]
async fn an_app_uses_its_own_files() {
    let hosting = Hosting::new().await;
    let _listening = hosting.listen().await;
    let module = hosting.file("m.js", "text/javascript", b"export const answer = 42;").await;
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' width='3' height='4'/>";
    let image = hosting.file("i.svg", "image/svg+xml", svg).await;
    let page = format!(
        "<!doctype html><html lang='en'><title>Files</title><img src='a/{}'>\
         <script type='module'>import {{ answer }} from './a/{}'; window.answer = answer; \
         window.fetched = await (await fetch('a/{}')).text();</script></html>",
        image.sha, module.sha, module.sha
    );
    let app = hosting.publish_with("files", &page, vec![module, image]).await;
    let browser = Browser::launch().await;
    let tab = browser.page().await;
    for url in [hosting.urls.app(&app.token), hosting.urls.version(&app.token, 1)] {
        tab.open(url.trim_end_matches('/')).await;
        tab.until("window.fetched !== undefined").await;
        let seen = "[answer, fetched, document.images[0].naturalWidth]";
        assert_eq!(tab.evaluate(seen).await, json!([42, "export const answer = 42;", 3]));
        let complaints = tab.complaints();
        assert!(complaints.iter().all(|text| text.contains("favicon")), "{complaints:?}");
    }
}

#[tokio::test]
async fn the_launch_link_works_from_a_page_of_another_site() {
    let hosting = Hosting::new().await;
    let listening = hosting.listen().await;
    hosting.publish("dice", "<title>Dice</title>").await;
    let link = hosting.urls.gallery("local").unwrap();
    let chat = format!("<!doctype html><title>Chat</title><a href=\"{link}\">gallery</a>");
    let chat = Router::new().route("/", get(move || async move { Html(chat) }));
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let port = open(chat, &cancel).await.port();

    let browser = Browser::launch().await;
    let page = browser.page().await;
    // To a browser `localhost` is another site than `127.0.0.1`.
    page.open(&format!("http://localhost:{port}/")).await;
    page.click("a").await;
    page.until(&format!("location.href === 'http://{}/gallery'", listening.pages)).await;
    page.until("document.querySelector('h2')?.textContent === 'Dice'").await;

    // The control: without the key that click opens nothing.
    let bare = browser.page().await;
    bare.open(&format!("http://{}/gallery", listening.pages)).await;
    let shown = bare.evaluate("document.querySelector('h1').textContent").await;
    assert_eq!(shown, "Open the gallery through its link");
    let answer = send(&hosting.pages, http::Method::GET, "/gallery", &[]).await;
    assert_eq!(answer.status, http::StatusCode::UNAUTHORIZED);
}
