//! What goes wrong while a document is printed: a clear error, nothing half-made, the old version
//! as it was.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::REPORT;
use crate::support::studio::{Studio, StudioBuilder};

fn scripted(script: &str) -> String {
    REPORT.replace("</body>", &format!("<script>{script}</script></body>"))
}

/// Prints a sound report first, so that there is something to lose.
async fn with_report(builder: StudioBuilder) -> (Studio, String) {
    let studio = builder.build().await;
    let made = studio.call("create_pdf_document", json!({"html": REPORT, "doc_name": "r"})).await;
    assert_eq!(made.text("status"), "success", "{made:?}");
    let url = made.text("url").to_owned();
    (studio, url)
}

async fn untouched(studio: &Studio, url: &str) {
    let list = studio.call("list_pdf_documents", json!({})).await;
    let documents = list.field("pdf_documents").as_array().unwrap();
    assert_eq!((documents.len(), &documents[0]["version"]), (1, &json!(1)), "{list:?}");
    let (pdf, version) = studio.pdf(url, 1).await;
    assert!(pdf.all_text().contains("Forty ships"));
    assert_eq!(studio.source(&version).await, REPORT);
}

#[tokio::test]
async fn pages_that_never_come_to_rest_are_refused() {
    let (studio, url) =
        with_report(StudioBuilder::new().browser(|browser| browser.load_s = 8.0)).await;
    for script in ["while (true) {}", "window.__ready = new Promise(() => {})"] {
        let html = scripted(script);
        let refused =
            studio.call("create_pdf_document", json!({"html": html, "doc_name": "r"})).await;
        assert_eq!(refused.code(), "page_broken", "{script}: {refused:?}");
        let found = &refused.field("verification")["findings"][0];
        assert_eq!(found["kind"], "never_loads", "{refused:?}");
        untouched(&studio, &url).await;
    }
    let edits = "<<<<<<< SEARCH\n<p>Forty ships came in spring.</p>\n=======\n<script>for (;;) {}</script>\n>>>>>>> REPLACE";
    let refused = studio.call("edit_pdf_document", json!({"doc_name": "r", "edits": edits})).await;
    assert_eq!(refused.code(), "page_broken", "{refused:?}");
    untouched(&studio, &url).await;
    // The next document finds a working browser.
    let made = studio.call("create_pdf_document", json!({"html": REPORT})).await;
    assert_eq!(made.text("status"), "success", "{made:?}");
}

#[tokio::test]
async fn a_model_may_put_an_endless_page_right() {
    let studio = StudioBuilder::new().browser(|browser| browser.load_s = 8.0).build().await;
    let asked = studio.call("create_pdf_document", json!({"user_request": "a report"})).await;
    let repair = studio.answer(&asked, &scripted("for (;;) {}")).await;
    assert!(repair.prompt().contains("did not finish loading"), "{repair:?}");
    let made = studio.answer(&repair, REPORT).await;
    assert_eq!((made.text("status"), made.field("pages")), ("success", &json!(3)));
    let never = studio
        .play(
            "create_pdf_document",
            json!({"user_request": "x"}),
            &[&scripted("for (;;) {}"), &scripted("while (1) {}")],
        )
        .await;
    assert_eq!(never.code(), "page_broken", "{never:?}");
}

#[tokio::test]
async fn without_chrome_the_error_says_how_to_get_it() {
    let missing = PathBuf::from("/nonexistent/chrome");
    let studio =
        StudioBuilder::new().browser(|browser| browser.chrome = Some(missing)).build().await;
    let refused =
        studio.call("create_pdf_document", json!({"html": REPORT, "doc_name": "r"})).await;
    assert_eq!(refused.code(), "chrome_missing", "{refused:?}");
    assert!(refused.text("message").contains("/nonexistent/chrome"), "{refused:?}");
    assert!(refused.text("hint").contains("apt-get install chromium"), "{refused:?}");
    let list = studio.call("list_pdf_documents", json!({})).await;
    assert_eq!(list.field("pdf_documents"), &json!([]));
    // Web apps need no Chrome.
    let app = studio.call("create_web_app", json!({"html": REPORT})).await;
    assert_eq!(app.field("version"), 1);
}

#[tokio::test]
async fn chrome_killed_while_it_prints_is_started_again() {
    let (studio, _) = with_report(StudioBuilder::new()).await;
    let first = studio.chrome.process_id().await.expect("Chrome stays warm");
    // The page holds the print until Chrome has been killed under it.
    let html = scripted("window.__ready = new Promise((done) => setTimeout(done, 3000))");
    let call = studio.call("create_pdf_document", json!({"html": html, "doc_name": "slow"}));
    let kill = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        kill(first);
    };
    let (made, ()) = tokio::join!(call, kill);
    assert_eq!(made.text("status"), "success", "{made:?}");
    assert_eq!((made.field("pages"), made.field("version")), (&json!(3), &json!(1)));
    let second = studio.chrome.process_id().await.expect("a new one runs");
    assert_ne!(first, second);
}

/// Kills one process, at once.
fn kill(process: u32) {
    let status = std::process::Command::new("kill").arg("-9").arg(process.to_string()).status();
    assert!(status.unwrap().success(), "process {process} was not there to be killed");
}

#[tokio::test]
async fn endless_documents_end_at_the_deadline() {
    let (studio, url) =
        with_report(StudioBuilder::new().browser(|browser| browser.deadline_s = 6.0)).await;
    // 2,000 pages, and each of them heavy.
    let rows: String = (0..40).map(|n| format!("<p>{n} {}</p>", "harbour ".repeat(60))).collect();
    let html = format!(
        "<!DOCTYPE html><html><body><div id=all></div><script>\
         const rows = '{rows}'; let page = ''; \
         for (let n = 0; n < 2000; n++) page += '<div style=\"break-after: page\">' + rows + '</div>'; \
         document.getElementById('all').innerHTML = page;</script></body></html>"
    );
    let refused = studio.call("create_pdf_document", json!({"html": html, "doc_name": "r"})).await;
    assert!(
        ["render_timeout", "page_broken", "chrome_crashed"].contains(&refused.code()),
        "{refused:?}"
    );
    untouched(&studio, &url).await;
}

#[tokio::test]
async fn sizes_and_contradictions_are_refused_before_anything_starts() {
    let studio = StudioBuilder::new().build().await;
    let huge = REPORT.replace("Forty", &"x".repeat(5 * 1024 * 1024));
    let refused = studio.call("create_pdf_document", json!({"html": huge})).await;
    assert_eq!(refused.code(), "page_too_large");
    let words = studio.call("create_pdf_document", json!({"html": "only words"})).await;
    assert_eq!(words.code(), "invalid_html");
    for (arguments, code) in [
        (json!({"user_request": "x", "model": "no-such-model"}), "invalid_model"),
        (json!({"user_request": "x".repeat(2 * 1024 * 1024)}), "request_too_large"),
        (json!({"html": REPORT, "mcp_tool_names": ["no_such_tool"]}), "unknown_tool"),
        (json!({"html": REPORT, "user_number": "a\u{0}b"}), "invalid_user_number"),
        (json!({"html": REPORT, "edits": "x"}), "invalid_arguments"),
    ] {
        let refused = studio.call("create_pdf_document", arguments).await;
        assert_eq!(refused.code(), code, "{refused:?}");
    }
    let both = json!({"doc_name": "r", "html": REPORT, "edits": "x"});
    assert_eq!(studio.call("edit_pdf_document", both).await.code(), "invalid_arguments");
    assert_eq!(studio.chrome.process_id().await, None);
}
