//! Files from the web: which come, which do not, and what the model and the page learn of them.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atelier::llm::{Event, LanguageModel, LlmError, Part, Request, Route, Stop};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::studio::{CONTENT, PAGE, Reply, Studio, StudioBuilder};

/// A web server of the test, stopped when it is dropped.
struct Files {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Files {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The begin of a PNG file with this size.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 6, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

/// A PDF that says something.
fn report() -> Vec<u8> {
    use lopdf::content::{Content, Operation};
    use lopdf::{Document, Object, Stream, dictionary};
    let mut file = Document::with_version("1.5");
    let pages = file.new_object_id();
    let font = file.add_object(
        dictionary! {"Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica"},
    );
    let resources = file.add_object(dictionary! {"Font" => dictionary! {"F1" => font}});
    let operations = vec![
        Operation::new("BT", vec![]),
        Operation::new("Tf", vec!["F1".into(), 12.into()]),
        Operation::new("Td", vec![50.into(), 700.into()]),
        Operation::new("Tj", vec![Object::string_literal("Turnover rose by a third")]),
        Operation::new("ET", vec![]),
    ];
    let content = Content { operations }.encode().unwrap();
    let content = file.add_object(Stream::new(dictionary! {}, content));
    let page =
        file.add_object(dictionary! {"Type" => "Page", "Parent" => pages, "Contents" => content});
    let tree = dictionary! {
        "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1, "Resources" => resources,
        "MediaBox" => vec![0.into(), 0.into(), 595.into(), 842.into()],
    };
    file.objects.insert(pages, Object::Dictionary(tree));
    let catalog = file.add_object(dictionary! {"Type" => "Catalog", "Pages" => pages});
    file.trailer.set("Root", catalog);
    let mut bytes = Vec::new();
    file.save_to(&mut bytes).unwrap();
    bytes
}

fn zeros(bytes: usize) -> Body {
    let block = Bytes::from(vec![0; 64 * 1024]);
    let blocks = bytes.div_ceil(block.len());
    Body::from_stream(stream::iter(std::iter::repeat_n(Ok::<_, Infallible>(block), blocks)))
}

async fn redirect(Path(left): Path<usize>) -> impl IntoResponse {
    let target = if left == 0 { "/cat.png".to_owned() } else { format!("/redirect/{}", left - 1) };
    (StatusCode::FOUND, [(LOCATION, target)])
}

async fn elsewhere(Path(target): Path<String>) -> impl IntoResponse {
    let target = match target.as_str() {
        "loopback" => "http://127.0.0.1:9/secret".to_owned(),
        "metadata" => "http://169.254.169.254/latest/meta-data/".to_owned(),
        "name" => "http://private.example/".to_owned(),
        "file" => "file:///etc/passwd".to_owned(),
        "login" => "http://me:pw@files.example/".to_owned(),
        _ => "http://[".to_owned(),
    };
    (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, target)])
}

async fn bomb() -> impl IntoResponse {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 12 * 1024 * 1024]).unwrap();
    let packed = encoder.finish().unwrap();
    assert!(packed.len() < 200_000);
    ([(CONTENT_ENCODING, "gzip"), (CONTENT_TYPE, "text/plain")], packed)
}

async fn drip() -> impl IntoResponse {
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"one drop"))]);
    Body::from_stream(first.chain(stream::pending()))
}

async fn echo_headers(headers: HeaderMap) -> String {
    let lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.join("\n")
}

async fn files() -> Files {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let typed = |kind: &'static str, body: Vec<u8>| {
        get(move || async move { ([(CONTENT_TYPE, kind)], body) })
    };
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(2)</script><circle r='4'/></svg>";
    let router = Router::new()
        .route("/cat.png", typed("image/png", png(2, 3)))
        .route("/same.png", typed("image/png", png(2, 3)))
        .route("/My%20Cat.png", typed("image/png", png(4, 5)))
        .route("/lying.png", typed("image/png", b"<!DOCTYPE html><p>log in</p>".to_vec()))
        .route("/drawing.svg", typed("image/svg+xml", svg.to_vec()))
        .route("/huge.png", typed("image/png", png(100_000, 100_000)))
        .route("/empty", typed("text/plain", Vec::new()))
        .route("/table.csv", typed("text/csv", b"a,b\n1,2\n".to_vec()))
        .route("/long.md", typed("text/markdown", "ä line of text\n".repeat(4000).into_bytes()))
        .route("/wide.png", typed("image/png", png(9000, 10)))
        .route("/photo.png", typed("image/png", [png(20, 10), vec![0; 4_000_000]].concat()))
        .route("/report.pdf", typed("application/pdf", report()))
        .route("/damaged.pdf", typed("application/pdf", report()[..200].to_vec()))
        .route("/announced", typed("text/plain", vec![b'x'; 10 * 1024 * 1024 + 1]))
        .route("/endless", get(|| async { zeros(1 << 40) }))
        .route(
            "/nine/{n}",
            get(|Path(n): Path<u8>| async move {
                let mut body = vec![b'x'; 9 * 1024 * 1024];
                body[0] = n;
                body
            }),
        )
        .route("/bomb", get(bomb))
        .route("/drip", get(drip))
        .route("/headers", get(echo_headers))
        .route("/redirect/{left}", get(redirect))
        .route("/elsewhere/{target}", get(elsewhere))
        .route("/nowhere", get(|| async { StatusCode::FOUND }))
        .route(
            "/status/{code}",
            get(|Path(code): Path<u16>| async move { StatusCode::from_u16(code).unwrap() }),
        )
        .layer(axum::middleware::from_fn(move |request, next: axum::middleware::Next| {
            counter.fetch_add(1, Ordering::SeqCst);
            next.run(request)
        }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Files { address, requests, task }
}

impl Files {
    /// The address of a file under a name that looks public.
    fn url(&self, path: &str) -> String {
        format!("http://files.example:{}{path}", self.address.port())
    }
}

async fn studio(files: &Files) -> Studio {
    let studio = StudioBuilder::new().reaching(files.address).build().await;
    studio.hosts.set("files.example", &["127.0.0.1"]);
    studio
}

/// Publishes a page with these files.
async fn with_files(studio: &Studio, addresses: &[String]) -> Reply {
    studio.call("create_web_app", json!({"html": PAGE, "attachments": addresses})).await
}

#[tokio::test]
async fn files_are_stored_with_the_app_and_named_in_the_prompt() {
    let files = files().await;
    let studio = studio(&files).await;
    let attachments = [files.url("/cat.png?signature=secret"), files.url("/table.csv")];
    let asked = studio
        .call("create_web_app", json!({"user_request": "show it", "attachments": attachments}))
        .await;
    let prompt = asked.prompt();
    assert!(prompt.contains("`cat.png` (image/png, 33 bytes, 2 × 3 pixels): a/"), "{prompt}");
    assert!(prompt.contains("`table.csv` (text/csv, 8 bytes): a/"), "{prompt}");
    for hidden in ["secret", "files.example", "signature"] {
        assert!(!prompt.contains(hidden), "{prompt}");
    }
    let (_, rest) = prompt.split_once("pixels): ").unwrap();
    let path = rest.split_whitespace().next().unwrap();
    let page = PAGE.replace("<h1>", &format!("<img alt='' src='{path}'><h1>"));
    let made = studio.answer(&asked, &page).await;
    assert_eq!(made.text("status"), "success", "own files are no finding: {made:?}");
    let stored = &made.field("attachments")[0];
    assert_eq!(stored["path"], path);
    assert_eq!((&stored["name"], &stored["bytes"]), (&json!("cat.png"), &json!(33)));
    assert!(!format!("{made:?}").contains("secret"));
    assert_eq!(
        files.requests.load(Ordering::SeqCst),
        2,
        "the answer's round fetches nothing again"
    );

    let token = made.text("url").trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
    let catalog = &studio.workshop.catalog;
    let document = catalog.document_by_token(&token).await.unwrap().unwrap();
    let sha = atelier::storage::Sha256Hex::from(path.trim_start_matches("a/"));
    let attachment = catalog.attachment(&document.id, &sha).await.unwrap().unwrap();
    assert_eq!(attachment.media_type, "image/png");
    assert_eq!(studio.workshop.blobs.get(&sha).await.unwrap(), png(2, 3));
}

#[tokio::test]
async fn names_are_resolved_once_and_requests_carry_nothing_of_ours() {
    let files = files().await;
    let studio = studio(&files).await;
    let made = with_files(&studio, &[files.url("/headers")]).await;
    assert_eq!(studio.hosts.questions(), 1);
    let path = made.field("attachments")[0]["path"].as_str().unwrap().to_owned();
    let sha = atelier::storage::Sha256Hex::from(path.trim_start_matches("a/"));
    let seen = studio.workshop.blobs.get(&sha).await.unwrap();
    let seen = String::from_utf8(seen.to_vec()).unwrap();
    let mut names: Vec<&str> = seen.lines().map(|line| line.split(':').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"], "{seen}");
    assert!(seen.contains(&format!("host: files.example:{}", files.address.port())));
}

/// What a failing attachment's warning says.
async fn warning_of(studio: &Studio, files: &Files, address: &str) -> String {
    let made = with_files(studio, &[address.to_owned(), files.url("/cat.png")]).await;
    assert_eq!(made.text("status"), "warning", "{address}: {made:?}");
    assert_eq!(made.field("attachments").as_array().unwrap().len(), 1, "{address}");
    let warnings = made.texts("warnings");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings[0].to_owned()
}

#[tokio::test]
async fn each_kind_of_bad_file_is_a_warning_with_its_reason() {
    let files = files().await;
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let studio = StudioBuilder::new().reaching(files.address).reaching(dead).build().await;
    let hosts = &studio.hosts;
    hosts.set("files.example", &["127.0.0.1"]);
    hosts.set("private.example", &["10.0.0.1"]);
    hosts.set("mixed.example", &["93.184.215.14", "192.168.1.1"]);
    hosts.set("metadata.example", &["169.254.169.254"]);
    hosts.set("mapped.example", &["::ffff:127.0.0.1"]);
    hosts.set("empty.example", &[]);
    let port = files.address.port();
    for (address, reason) in [
        ("http://private.example/x.png".to_owned(), "not on the public internet (private address)"),
        ("http://mixed.example/x.png".to_owned(), "not on the public internet (private address)"),
        ("http://metadata.example/latest".to_owned(), "(link-local address)"),
        ("http://mapped.example/".to_owned(), "(IPv4-mapped address)"),
        (
            "http://127.0.0.1:1/x".to_owned(),
            "`127.0.0.1` is not on the public internet (loopback address)",
        ),
        ("http://2130706433:1/x".to_owned(), "`127.0.0.1` is not on the public internet"),
        ("http://0x7f.1:1/x".to_owned(), "`127.0.0.1` is not on the public internet"),
        ("http://0177.0.0.1:1/x".to_owned(), "`127.0.0.1` is not on the public internet"),
        ("http://[::1]:1/x".to_owned(), "(loopback address)"),
        ("http://[::ffff:7f00:1]:1/x".to_owned(), "(IPv4-mapped address)"),
        ("http://[64:ff9b::7f00:1]/x".to_owned(), "(NAT64 address)"),
        ("http://empty.example/".to_owned(), "`empty.example` has no address"),
        ("http://unknown.example/".to_owned(), "`unknown.example` has no address"),
        (format!("http://files.example:{}/x", dead.port()), "`files.example` does not answer"),
        ("ftp://files.example/x".to_owned(), "`ftp:` addresses are not fetched"),
        ("file:///etc/passwd".to_owned(), "`file:` addresses are not fetched"),
        ("data:image/png;base64,iVBORw0KGgo=".to_owned(), "`data:` addresses are not fetched"),
        ("javascript:alert(1)".to_owned(), "`javascript:` addresses are not fetched"),
        ("iVBORw0KGgo=".to_owned(), "it is not a URL"),
        ("/etc/passwd".to_owned(), "it is not a URL"),
        ("http://".to_owned(), "it is not a URL"),
        (format!("http://me:pw@files.example:{port}/cat.png"), "carries a user name or password"),
        (files.url("/status/403"), "status 403"),
        (files.url("/status/500"), "status 500"),
        (files.url("/status/304"), "status 304"),
        (files.url("/announced"), "more than 10485760 bytes"),
        (files.url("/endless"), "more than 10485760 bytes"),
        (files.url("/bomb"), "more than 10485760 bytes"),
        (files.url("/empty"), "it is empty"),
        (files.url("/huge.png"), "100000 × 100000 pixels"),
        (files.url("/redirect/5"), "redirects more than 5 times"),
        (files.url("/nowhere"), "redirects without a usable address"),
        (files.url("/elsewhere/broken"), "redirects without a usable address"),
        (files.url("/elsewhere/loopback"), "`127.0.0.1` is not on the public internet"),
        (files.url("/elsewhere/metadata"), "`169.254.169.254` is not on the public internet"),
        (files.url("/elsewhere/name"), "`private.example` is not on the public internet"),
        (files.url("/elsewhere/file"), "`file:` addresses are not fetched"),
        (files.url("/elsewhere/login"), "carries a user name or password"),
    ] {
        let warning = warning_of(&studio, &files, &address).await;
        assert!(warning.contains(reason), "{address}: {warning}");
        assert!(!warning.contains("pw"), "{warning}");
    }
}

#[tokio::test]
async fn five_redirects_are_followed() {
    let files = files().await;
    let studio = studio(&files).await;
    let made = with_files(&studio, &[files.url("/redirect/4")]).await;
    assert_eq!(made.text("status"), "success", "{made:?}");
    assert_eq!(files.requests.load(Ordering::SeqCst), 6);
    assert_eq!(studio.hosts.questions(), 6, "every hop is resolved and checked");
}

#[tokio::test]
async fn a_slow_file_ends_with_the_time_of_the_call() {
    let files = files().await;
    let studio = StudioBuilder::new()
        .reaching(files.address)
        .limits(|limits| limits.total = Duration::from_millis(200))
        .build()
        .await;
    studio.hosts.set("files.example", &["127.0.0.1"]);
    let refused = with_files(&studio, &[files.url("/drip")]).await;
    assert_eq!(refused.code(), "attachments_failed");
    assert!(refused.text("message").contains("did not arrive within"), "{refused:?}");
}

#[tokio::test]
async fn a_lying_type_is_told_and_programs_are_taken_out() {
    let files = files().await;
    let studio = studio(&files).await;
    let made = with_files(&studio, &[files.url("/lying.png"), files.url("/drawing.svg")]).await;
    let stored = made.field("attachments").as_array().unwrap();
    assert_eq!(stored[0]["media_type"], "text/html");
    assert_eq!(stored[1]["media_type"], "image/svg+xml");
    let warnings = made.texts("warnings");
    assert!(warnings[0].contains("declared as `image/png` but is `text/html`"), "{warnings:?}");
    assert!(warnings[1].contains("taken out of the SVG"), "{warnings:?}");
    let sha = stored[1]["path"].as_str().unwrap().trim_start_matches("a/").to_owned();
    let svg = studio.workshop.blobs.get(&atelier::storage::Sha256Hex(sha)).await.unwrap();
    let svg = String::from_utf8(svg.to_vec()).unwrap();
    assert!(svg.contains("<circle") && !svg.contains("alert"), "{svg}");
}

#[tokio::test]
async fn the_files_of_a_call_have_a_size_together_and_a_number() {
    let files = files().await;
    let studio = studio(&files).await;
    let nine: Vec<String> = (0..3).map(|n| files.url(&format!("/nine/{n}"))).collect();
    let made = with_files(&studio, &nine).await;
    assert_eq!(made.field("attachments").as_array().unwrap().len(), 2, "{made:?}");
    assert!(made.texts("warnings")[0].contains("more than 26214400 bytes together"), "{made:?}");

    let many: Vec<String> = (0..50).map(|n| files.url(&format!("/cat.png?n={n}"))).collect();
    files.requests.store(0, Ordering::SeqCst);
    let made = with_files(&studio, &many).await;
    assert_eq!(files.requests.load(Ordering::SeqCst), 20);
    assert!(made.texts("warnings")[0].contains("50 attachments are too many"), "{made:?}");
    assert_eq!(
        made.field("attachments").as_array().unwrap().len(),
        1,
        "the same file is kept once"
    );
}

#[tokio::test]
async fn when_all_fail_the_call_fails_and_nothing_is_made() {
    let files = files().await;
    let studio = studio(&files).await;
    studio.hosts.set("private.example", &["10.0.0.1"]);
    let refused = with_files(
        &studio,
        &["http://private.example/?key=secret".to_owned(), files.url("/status/404")],
    )
    .await;
    assert_eq!(refused.code(), "attachments_failed");
    assert_eq!(refused.texts("warnings").len(), 2);
    assert!(!format!("{refused:?}").contains("secret"));
    assert!(studio.names().await.is_empty());
    let none = with_files(&studio, &[" ".to_owned()]).await;
    assert_eq!(none.text("status"), "success", "an empty entry is no attachment");
}

#[tokio::test]
async fn own_addresses_are_found_without_the_network() {
    let files = files().await;
    let studio = studio(&files).await;
    let first = with_files(&studio, &[files.url("/cat.png")]).await;
    let url = first.text("url").to_owned();
    let path = first.field("attachments")[0]["path"].as_str().unwrap().to_owned();
    let questions = studio.hosts.questions();
    let addresses = [
        format!("{url}{path}"),
        format!("{url}v/1/{path}"),
        url.clone(),
        format!("{url}raw"),
        format!("{url}v/1/"),
    ];
    let second = with_files(&studio, &addresses).await;
    assert_eq!(second.text("status"), "success", "{second:?}");
    assert_eq!(second.field("attachments").as_array().unwrap().len(), 2);
    assert_eq!(second.field("attachments")[0]["path"], path.as_str());
    assert_eq!(second.field("attachments")[1]["media_type"], "text/html");
    assert_eq!(studio.hosts.questions(), questions);
    for wrong in [
        format!("{CONTENT}/a/AAAAAAAAAAAAAAAAAAAAAA/"),
        format!("{url}a/{}", "0".repeat(64)),
        format!("{url}v/9/"),
        format!("{url}events"),
    ] {
        let warning = warning_of(&studio, &files, &wrong).await;
        assert!(warning.contains("there is nothing at this address"), "{wrong}: {warning}");
    }
    // Only content is own: other listeners of this machine are as private as any.
    let warning = warning_of(&studio, &files, "http://127.0.0.1:7410/mcp").await;
    assert!(warning.contains("not on the public internet"), "{warning}");
}

#[tokio::test]
async fn lists_of_addresses_are_checked_like_all_arguments() {
    let studio = StudioBuilder::new().build().await;
    for attachments in [json!("not a list"), json!([1, {"a": 1}]), json!([["http://x.example"]])] {
        let refused =
            studio.call("create_web_app", json!({"html": PAGE, "attachments": attachments})).await;
        assert_eq!(refused.code(), "invalid_arguments", "{attachments}");
    }
    let empty = studio.call("create_web_app", json!({"html": PAGE, "attachments": []})).await;
    assert_eq!(empty.field("attachments"), &Value::Null);
}

/// A model that sees files of these types and keeps what it was sent.
struct Seeing {
    types: &'static [&'static str],
    asked: std::sync::Mutex<Vec<Request>>,
}

#[async_trait::async_trait]
impl LanguageModel for Seeing {
    fn model_id(&self) -> &'static str {
        "seeing-1"
    }

    fn route(&self) -> Route {
        Route::Sampling
    }

    fn provider(&self) -> &'static str {
        "test"
    }

    fn reads(&self, media_type: &str) -> bool {
        self.types.contains(&media_type)
    }

    async fn stream(
        &self,
        request: &Request,
    ) -> Result<stream::BoxStream<'static, Result<Event, LlmError>>, LlmError> {
        self.asked.lock().unwrap().push(request.clone());
        let answer = [Event::Text(PAGE.to_owned()), Event::End(Stop::Complete)];
        Ok(stream::iter(answer.map(Ok)).boxed())
    }
}

/// What a model that sees `types` is sent of these files, behind the prompt.
async fn shown(types: &'static [&'static str], paths: &[&str]) -> Vec<Part> {
    let files = files().await;
    let studio = studio(&files).await;
    let model = Arc::new(Seeing { types, asked: std::sync::Mutex::default() });
    let attachments: Vec<String> = paths.iter().map(|path| files.url(path)).collect();
    let arguments = json!({"user_request": "show it", "attachments": attachments});
    let made = studio
        .call_with(Arc::clone(&model) as Arc<dyn LanguageModel>, "create_web_app", arguments)
        .await;
    assert_ne!(made.text("url"), "", "{made:?}");
    let asked = model.asked.lock().unwrap();
    asked[0].messages[0].parts[1..].to_vec()
}

#[tokio::test]
async fn a_model_that_sees_files_gets_their_bytes() {
    let parts = shown(
        &["image/png", "application/pdf"],
        &["/cat.png", "/table.csv", "/report.pdf", "/drawing.svg"],
    )
    .await;
    let [Part::Text(label), Part::File { media_type, name, base64 }, rest @ ..] = parts.as_slice()
    else {
        panic!("{parts:?}");
    };
    assert!(label.starts_with("The file a/") && label.ends_with(" (`cat.png`):"), "{label}");
    assert_eq!((media_type.as_str(), name.as_str()), ("image/png", "cat.png"));
    assert_eq!(STANDARD.decode(base64).unwrap(), png(2, 3));
    let [Part::Text(table), Part::Text(_), Part::File { base64, .. }, Part::Text(drawing)] = rest
    else {
        panic!("{rest:?}");
    };
    assert!(table.starts_with("<data-") && table.contains("\na,b\n1,2\n"), "{table}");
    assert_eq!(STANDARD.decode(base64).unwrap(), report());
    assert!(drawing.contains("<circle") && !drawing.contains("alert"), "{drawing}");
}

#[tokio::test]
async fn a_model_that_sees_no_files_gets_their_text() {
    let parts = shown(&[], &["/cat.png", "/report.pdf", "/damaged.pdf", "/long.md"]).await;
    let [Part::Text(pdf), Part::Text(long)] = parts.as_slice() else { panic!("{parts:?}") };
    assert!(pdf.contains("Turnover rose by a third"), "{pdf}");
    assert!(long.len() < 25_000 && long.contains("more bytes are not shown]"), "{}", long.len());
}

#[tokio::test]
async fn pictures_that_vendors_refuse_are_described_alone() {
    let parts = shown(&["image/png"], &["/photo.png", "/wide.png", "/cat.png"]).await;
    let [Part::Text(_), Part::File { name, .. }] = parts.as_slice() else { panic!("{parts:?}") };
    assert_eq!(name, "cat.png");
}

#[tokio::test]
async fn a_host_reads_the_text_of_files_in_its_prompt() {
    let files = files().await;
    let studio = studio(&files).await;
    let attachments = [files.url("/table.csv"), files.url("/report.pdf")];
    let arguments = json!({"user_request": "show it", "attachments": attachments});
    let asked = studio.call("create_web_app", arguments).await;
    let prompt = asked.prompt();
    assert!(prompt.contains("\na,b\n1,2\n") && prompt.contains("Turnover rose"), "{prompt}");
    let made = studio.answer(&asked, PAGE).await;
    assert_eq!(made.text("status"), "success", "{made:?}");
}
