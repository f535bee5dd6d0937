//! Pictures that stand in a page: stored beside it, out of every prompt, back in the download.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::edits::{CLOCK, block};
use crate::support::studio::{Studio, StudioBuilder};

fn picture(bytes: usize) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03\x08\x02\0\0\0".to_vec();
    png.extend((0..bytes).map(|n| u8::try_from(n * 31 % 251).unwrap()));
    png
}

fn uri(bytes: usize) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(picture(bytes)))
}

fn sha(bytes: usize) -> String {
    atelier::storage::blobs::sha256_hex(&picture(bytes)).0
}

fn with(source: &str) -> String {
    CLOCK.replace("  <hr>\n  <footer>", &format!("  <img alt=\"\" src=\"{source}\">\n  <footer>"))
}

async fn served(studio: &Studio, url: &str, sha: &str) -> Option<Vec<u8>> {
    let token = url.trim_end_matches('/').rsplit('/').next().unwrap();
    let catalog = &studio.workshop.catalog;
    let document = catalog.document_by_token(token).await.unwrap().unwrap();
    let attachment = catalog.attachment(&document.id, &sha.into()).await.unwrap()?;
    assert_eq!(attachment.media_type, "image/png");
    assert_eq!(attachment.name, "embedded-1.png");
    Some(studio.workshop.blobs.get(&attachment.sha).await.unwrap().to_vec())
}

#[tokio::test]
async fn a_large_picture_becomes_a_file_of_the_app() {
    let studio = StudioBuilder::new().build().await;
    let made =
        studio.call("create_web_app", json!({"html": with(&uri(9000)), "app_name": "clock"})).await;
    let url = made.text("url");
    let lifted = with(&format!("a/{}", sha(9000)));
    assert_eq!(String::from_utf8(studio.page(url, 1).await).unwrap(), lifted);
    assert_eq!(served(&studio, url, &sha(9000)).await, Some(picture(9000)));
    // The prompt of an edit shows the address and says what is there.
    let request = json!({"app_name": "clock", "user_edit_request": "call it Watch"});
    let asked = studio.call("edit_web_app", request).await;
    assert!(asked.prompt().contains(&lifted), "{asked:?}");
    assert!(!asked.prompt().contains("data:image"));
    assert!(asked.prompt().contains("- `embedded-1.png` (image/png, "), "{asked:?}");
    // So does an edit that brings one along.
    let edits = block(
        "  <h1>Clock</h1>",
        &format!("  <h1>Clock</h1>\n  <img alt=\"\" src=\"{}\">", uri(5000)),
    );
    let edited = studio.call("edit_web_app", json!({"app_name": "clock", "edits": edits})).await;
    assert_eq!(edited.field("version"), 2, "{edited:?}");
    assert!(edited.text("diff").len() < 1000, "{edited:?}");
    let page = String::from_utf8(studio.page(url, 2).await).unwrap();
    assert!(
        page.contains(&format!("src=\"a/{}\"", sha(5000))) && !page.contains("data:"),
        "{page}"
    );
    assert!(served(&studio, url, &sha(5000)).await.is_some());
    // Small ones stay.
    let small = with(&uri(100));
    let made = studio.call("create_web_app", json!({"html": small, "app_name": "small"})).await;
    assert_eq!(String::from_utf8(studio.page(made.text("url"), 1).await).unwrap(), small);
}
