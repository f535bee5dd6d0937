//! Edits of documents: the source changes, the PDF is printed anew.

use serde_json::{Value, json};

use super::REPORT;
use crate::support::studio::{Studio, StudioBuilder};

fn block(search: &str, replace: &str) -> String {
    format!("<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n")
}

/// A studio with a report, and the report's URL.
async fn with_report(page: Value) -> (Studio, String) {
    let studio = StudioBuilder::new().build().await;
    let call = json!({"html": REPORT, "doc_name": "harbour", "page": page});
    let made = studio.call("create_pdf_document", call).await;
    let url = made.text("url").to_owned();
    (studio, url)
}

#[tokio::test]
async fn a_request_changes_the_source_and_the_print() {
    let (studio, url) = with_report(json!({"size": "A5", "footer": "{page}/{pages}"})).await;
    let asked = studio
        .call(
            "edit_pdf_document",
            json!({"doc_name": "Harbour.pdf", "user_edit_request": "It was seventy in summer."}),
        )
        .await;
    assert_eq!(asked.field("expects")["kind"], "edit_blocks");
    assert!(asked.prompt().contains(REPORT.trim()), "the source is there line by line");
    let system = asked.field("prompt")["system"].as_str().unwrap();
    assert!(system.contains("PDF document") && system.contains("printed"), "{system}");
    let edited = studio
        .answer(&asked, &block("<p>Sixty ships came in summer.</p>", "<p>Seventy ships came.</p>"))
        .await;
    assert_eq!(edited.text("status"), "success", "{edited:?}");
    assert_eq!((edited.text("url"), edited.text("doc_name")), (url.as_str(), "harbour"));
    assert_eq!((edited.field("version"), edited.field("pages")), (&json!(2), &json!(3)));
    let diff = edited.text("diff");
    assert!(
        diff.contains("-<p>Sixty ships came in summer.</p>\n+<p>Seventy ships came.</p>\n"),
        "{diff}"
    );
    assert!(edited.text("message").contains("/v/1.pdf"), "{edited:?}");
    let (pdf, version) = studio.pdf(&url, 2).await;
    assert!(pdf.text(2).contains("Seventy ships") && pdf.text(2).contains("2/3"));
    assert_eq!(pdf.size_mm(1), (148, 210), "the page options are those of the version before");
    assert!(studio.source(&version).await.contains("Seventy"));
    assert!(version.thumb_sha.is_some());
    let (before, _) = studio.pdf(&url, 1).await;
    assert!(before.text(2).contains("Sixty ships"), "versions never change");
}

#[tokio::test]
async fn page_options_alone_print_anew() {
    let (studio, url) = with_report(json!({"size": "A5", "footer": "{page}"})).await;
    let edited = studio
        .call("edit_pdf_document", json!({"doc_name": "harbour", "page": {"landscape": true}}))
        .await;
    assert_eq!(
        (edited.field("version"), edited.field("changed")),
        (&json!(2), &json!(true)),
        "{edited:?}"
    );
    assert_eq!((edited.text("diff"), edited.text("llm_route")), ("", "none"));
    assert!(edited.text("message").contains("anew"), "{edited:?}");
    let (pdf, version) = studio.pdf(&url, 2).await;
    assert_eq!(pdf.size_mm(1), (210, 148));
    assert!(pdf.text(2).trim().ends_with('2'), "the footer stays: {}", pdf.text(2));
    assert_eq!(studio.source(&version).await, REPORT);
    // The same options again change nothing.
    let same = json!({"doc_name": "harbour", "page": {"landscape": true, "size": "A5"}});
    let refused = studio.call("edit_pdf_document", same.clone()).await;
    assert_eq!(refused.code(), "request_missing");
    let wrong = json!({"doc_name": "harbour", "page": {"margins": "100mm"}});
    assert_eq!(studio.call("edit_pdf_document", wrong).await.code(), "invalid_page");
    assert_eq!(
        studio.call("list_pdf_documents", json!({})).await.field("pdf_documents")[0]["version"],
        2
    );
}

#[tokio::test]
async fn the_callers_own_blocks_take_the_same_way() {
    let (studio, url) = with_report(json!({})).await;
    let edits = block("<h2>Autumn</h2>\n<p>Fifty ships came in autumn.</p>", "");
    let call = json!({"doc_name": "harbour", "edits": edits, "page": {"size": "A6"}});
    let edited = studio.call("edit_pdf_document", call).await;
    assert_eq!((edited.field("pages"), edited.field("blocks_applied")), (&json!(2), &json!(1)));
    let (pdf, _) = studio.pdf(&url, 2).await;
    assert_eq!((pdf.pages(), pdf.size_mm(1)), (2, (105, 148)));
    let missing = block("<p>Nothing like it.</p>", "<p>x</p>");
    let refused =
        studio.call("edit_pdf_document", json!({"doc_name": "harbour", "edits": missing})).await;
    assert_eq!(refused.code(), "edits_not_applied");
    assert!(refused.text("feedback").contains("not in the document"), "{refused:?}");
    let list = studio.call("list_pdf_documents", json!({})).await;
    assert_eq!(list.field("pdf_documents")[0]["version"], 2, "{list:?}");
}

#[tokio::test]
async fn edits_without_a_document_or_a_wish_are_refused() {
    let (studio, _) = with_report(json!({})).await;
    studio.call("create_web_app", json!({"html": REPORT, "app_name": "quay"})).await;
    for (arguments, code, hint) in [
        (json!({"user_edit_request": "shorter"}), "name_missing", "`list_pdf_documents`"),
        (
            json!({"doc_name": "harbor", "user_edit_request": "x"}),
            "document_not_found",
            "`harbour`",
        ),
        (
            json!({"doc_name": "quay", "user_edit_request": "x"}),
            "document_not_found",
            "`edit_web_app`",
        ),
        (json!({"doc_name": "harbour"}), "request_missing", "`user_edit_request`"),
        (json!({"doc_name": "harbour", "edits": " "}), "request_missing", "`edits`"),
        (
            json!({"doc_name": "harbour", "user_edit_request": "x", "model": "no-such-model"}),
            "invalid_model",
            "`auto`",
        ),
    ] {
        let refused = studio.call("edit_pdf_document", arguments.clone()).await;
        assert_eq!(refused.code(), code, "{arguments}");
        assert!(refused.text("hint").contains(hint), "{refused:?}");
    }
}

#[tokio::test]
async fn a_document_deleted_meanwhile_stays_deleted() {
    let (studio, _) = with_report(json!({})).await;
    let call = json!({"doc_name": "harbour", "user_edit_request": "shorter"});
    let asked = studio.call("edit_pdf_document", call).await;
    studio.call("delete_document", json!({"doc_name": "harbour"})).await;
    let failed = studio.answer(&asked, &block("<p>Forty ships came in spring.</p>", "")).await;
    assert_eq!(failed.code(), "document_deleted", "{failed:?}");
    let list = studio.call("list_pdf_documents", json!({})).await;
    assert_eq!(list.field("pdf_documents"), &json!([]));
}
