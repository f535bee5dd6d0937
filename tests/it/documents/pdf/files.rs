//! Files in documents: always from the store, never from the network.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::studio::StudioBuilder;

/// A web server that counts everything that reaches it and answers with a picture.
struct Trap {
    address: SocketAddr,
    hits: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Trap {
    async fn set() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&hits);
        let routes = Router::new().fallback(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            async { ([(CONTENT_TYPE, "image/png")], green()).into_response() }
        });
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Self { address, hits, task }
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A green picture of 8 × 8 pixels, as PNG.
fn green() -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], data: &[u8]| {
        bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        let mut crc = flate2::Crc::new();
        crc.update(name);
        crc.update(data);
        bytes.extend(name);
        bytes.extend(data);
        bytes.extend(crc.sum().to_be_bytes());
    };
    chunk(b"IHDR", &[0, 0, 0, 8, 0, 0, 0, 8, 8, 2, 0, 0, 0]);
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    for _ in 0..8 {
        packed.write_all(&[0]).unwrap();
        packed.write_all(&[0, 160, 0].repeat(8)).unwrap();
    }
    chunk(b"IDAT", &packed.finish().unwrap());
    chunk(b"IEND", &[]);
    bytes
}

fn page(body: &str) -> String {
    format!(
        "<!DOCTYPE html><html><head><title>P</title><style>body {{ margin: 0 }} img {{ width: 50mm; height: 50mm; \
         display: block }}</style></head><body>{body}<p>text</p></body></html>"
    )
}

#[tokio::test]
async fn attached_pictures_are_printed_from_the_store() {
    let trap = Trap::set().await;
    let studio = StudioBuilder::new().reaching(trap.address).build().await;
    studio.hosts.set("files.example", &["127.0.0.1"]);
    let address = format!("http://files.example:{}/leaf.png", trap.address.port());
    let call = json!({"user_request": "a leaf", "doc_name": "leaf", "attachments": [address]});
    let asked = studio.call("create_pdf_document", call).await;
    assert_eq!(trap.hits(), 1, "it is fetched once, by us");
    let prompt = asked.prompt();
    assert!(prompt.contains("leaf.png") && prompt.contains("8 × 8 pixels"), "{prompt}");
    assert!(!prompt.contains("files.example"), "{prompt}");
    let (_, rest) = prompt.split_once(": a/").unwrap();
    let own = format!("a/{}", &rest[..64]);
    let made = studio.answer(&asked, &page(&format!("<img src=\"{own}\" alt=\"a leaf\">"))).await;
    assert_eq!(made.text("status"), "success", "{made:?}");
    assert_eq!(made.field("attachments")[0]["path"], own);
    let url = made.text("url").to_owned();
    let (pdf, _) = studio.pdf(&url, 1).await;
    assert_eq!(pdf.pictures(), 1);
    assert_eq!(pdf.colour(1, 30, 30), [0, 160, 0]);
    assert_eq!(trap.hits(), 1, "Chrome has not asked the network for it");

    // An edit finds it among the document's files, and so does new HTML under the same name.
    let edits = "<<<<<<< SEARCH\n<p>text</p>\n=======\n<p>leaf</p>\n>>>>>>> REPLACE";
    let html = page(&format!("<img src='{own}' alt=''>"))
        .replace("<p>", "\n<p>")
        .replace("</p>", "</p>\n");
    let again = studio.call("create_pdf_document", json!({"html": html, "doc_name": "leaf"})).await;
    assert_eq!((again.text("status"), again.field("version")), ("success", &json!(2)), "{again:?}");
    let edited =
        studio.call("edit_pdf_document", json!({"doc_name": "leaf", "edits": edits})).await;
    assert_eq!(edited.text("status"), "success", "{edited:?}");
    for version in [2, 3] {
        assert_eq!(studio.pdf(&url, version).await.0.colour(1, 30, 30), [0, 160, 0]);
    }
    // To another document the same file does not belong.
    let thief =
        studio.call("create_pdf_document", json!({"html": html, "doc_name": "thief"})).await;
    assert_eq!(thief.text("status"), "warning", "{thief:?}");
    assert_eq!(thief.field("verification")["findings"][0]["kind"], "missing_asset", "{thief:?}");
    assert_ne!(studio.pdf(thief.text("url"), 1).await.0.colour(1, 30, 30), [0, 160, 0]);
}

#[tokio::test]
async fn nothing_else_is_ever_fetched() {
    let trap = Trap::set().await;
    // The trap works: whoever asks it is counted.
    let plain = format!("http://{}/positive-control", trap.address);
    let (status, _) = crate::support::product::get_bytes(&plain).await;
    assert_eq!((status, trap.hits()), (200, 1));

    let studio = StudioBuilder::new().build().await;
    let there = format!("http://{}", trap.address);
    let ways = format!(
        "<img src='{there}/img'><iframe src='{there}/frame'></iframe><object data='{there}/object'></object>\
         <link rel=stylesheet href='{there}/css'><script src='{there}/js'></script>\
         <div style='background: url({there}/background)'>x</div>\
         <script>fetch('{there}/fetch').catch(() => 0); new WebSocket('ws://{host}/socket');</script>\
         <embed src='file:///etc/passwd'><iframe src='file:///etc/passwd'></iframe>",
        host = trap.address
    );
    let made = studio.call("create_pdf_document", json!({"html": page(&ways)})).await;
    assert_eq!(made.text("status"), "warning", "{made:?}");
    let found = made.field("verification").to_string();
    assert!(found.contains("foreign_request") && found.contains(&there), "{made:?}");
    let (pdf, _) = studio.pdf(made.text("url"), 1).await;
    let text = pdf.all_text();
    assert!(text.contains("text") && !text.contains("root:"), "{text}");
    assert_eq!(trap.hits(), 1);
}

#[tokio::test]
async fn a_print_that_shows_faults_goes_back_to_its_author_once() {
    let studio = StudioBuilder::new().build().await;
    let lost = page(&format!("<img src='a/{}' alt='gone'>", "ab".repeat(32)));
    let asked = studio.call("create_pdf_document", json!({"user_request": "a leaf"})).await;
    let repair = studio.answer(&asked, &lost).await;
    assert!(repair.prompt().contains("That document was printed."), "{repair:?}");
    assert!(repair.prompt().contains(&"ab".repeat(32)), "{repair:?}");
    let made = studio.answer(&repair, &page("<p>no picture</p>")).await;
    assert_eq!((made.text("status"), made.field("version")), ("success", &json!(1)), "{made:?}");
    assert!(studio.pdf(made.text("url"), 1).await.0.all_text().contains("no picture"));

    // What still does not work is not published; the draft is kept for whoever wants it.
    let blank = "<!DOCTYPE html><html><head><title>B</title></head><body><div style='height:1mm'></div></body></html>";
    let made =
        studio.play("create_pdf_document", json!({"user_request": "x"}), &[&lost, blank]).await;
    assert_eq!(made.code(), "page_broken", "{made:?}");
    assert!(made.text("draft").starts_with("@@ref_"), "{made:?}");
    let draft = json!({"html": made.text("draft"), "doc_name": "draft"});
    let kept = studio.call("create_pdf_document", draft).await;
    assert_eq!((kept.text("status"), kept.field("version")), ("warning", &json!(1)), "{kept:?}");
    let given = studio.call("create_pdf_document", json!({"html": blank})).await;
    assert_eq!(given.field("verification")["findings"][0]["kind"], "blank_page", "{given:?}");
}
