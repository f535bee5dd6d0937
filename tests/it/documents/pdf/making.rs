//! Making documents: from a request or from HTML to a hosted PDF.

use atelier::documents::LinkLife;
use serde_json::{Value, json};

use super::REPORT;
use crate::support::studio::{CONTENT, StudioBuilder};

#[tokio::test]
async fn given_html_becomes_a_whole_pdf() {
    let studio = StudioBuilder::new().build().await;
    let made = studio
        .call("create_pdf_document", json!({"html": REPORT, "doc_name": "harbour.pdf"}))
        .await;
    assert_eq!(made.text("status"), "success", "{made:?}");
    assert_eq!(made.text("doc_name"), "harbour");
    assert_eq!(made.text("title"), "Harbour report");
    assert_eq!((made.field("version"), made.field("pages")), (&json!(1), &json!(3)));
    assert_eq!((made.text("llm_route"), made.field("model_used")), ("none", &Value::Null));
    let paper = |side: &str| made.field("paper")[side].as_f64().unwrap();
    assert!((paper("width_mm") - 210.0).abs() < 0.5 && (paper("height_mm") - 297.0).abs() < 0.5);
    assert_eq!(made.field("verification")["status"], "passed", "{made:?}");
    let url = made.text("url");
    let token = url.strip_prefix(&format!("{CONTENT}/d/")).unwrap().strip_suffix(".pdf").unwrap();
    assert_eq!(token.len(), 22);
    assert_eq!(made.text("source_url"), format!("{CONTENT}/d/{token}/raw"));
    assert!(made.text("message").contains(url) && made.text("message").contains("3 pages"));

    let (pdf, version) = studio.pdf(url, 1).await;
    assert_eq!(pdf.pages(), 3);
    assert_eq!(version.bytes, made.field("bytes").as_i64().unwrap());
    assert_eq!(pdf.size_mm(1), (210, 297));
    assert!(pdf.text(1).contains("Forty ships") && !pdf.text(1).contains("Sixty"));
    assert!(pdf.text(2).contains("Sixty ships"));
    assert!(pdf.is_tagged());
    assert_eq!(pdf.outline(), ["Harbour report", "Summer", "Autumn"]);
    assert_eq!(pdf.property("Title").as_deref(), Some("Harbour report"));
    let creator = pdf.property("Creator").unwrap();
    assert!(creator.starts_with("Atelier "), "no word about the machine: {creator}");
    assert_eq!(pdf.language().as_deref(), Some("en"));
    // The page's own background colour, printed; the margin is white.
    assert_eq!(pdf.colour(1, 100, 50), [204, 0, 0]);
    assert_eq!(pdf.colour(1, 5, 50), [255, 255, 255]);
    assert_eq!(studio.source(&version).await, REPORT, "the source is kept as it was given");
    let picture = version.thumb_sha.expect("a picture of the first page");
    let picture = studio.workshop.blobs.get(&picture).await.unwrap();
    assert!(picture.starts_with(b"RIFF") && picture[8..].starts_with(b"WEBP"));
    assert_eq!(made.text("thumbnail_url"), format!("{CONTENT}/d/{token}/thumb.webp?v=1"));
}

#[tokio::test]
async fn a_request_is_written_by_the_host_and_printed() {
    let studio = StudioBuilder::new().build().await;
    let asked = studio
        .call(
            "create_pdf_document",
            json!({"user_request": "how many ships came", "page": {"size": "A5", "footer": "{page}"}}),
        )
        .await;
    let prompt = asked.prompt();
    assert!(prompt.contains("how many ships came"), "{prompt}");
    assert!(prompt.contains("fixed: 148 mm wide, 210 mm high (upright)"), "{prompt}");
    assert!(prompt.contains("below every page"), "{prompt}");
    assert_eq!(asked.field("expects")["kind"], "html");
    let made = studio.answer(&asked, &format!("```html\n{REPORT}```")).await;
    assert_eq!(made.text("status"), "success", "{made:?}");
    assert_eq!(made.text("doc_name"), "harbour_report", "named after its title");
    assert_eq!(made.text("llm_route"), "host");
    let (pdf, _) = studio.pdf(made.text("url"), 1).await;
    assert_eq!(pdf.size_mm(1), (148, 210));
    assert!(pdf.text(3).trim().ends_with('3'), "its page number: {}", pdf.text(3));
}

#[tokio::test]
async fn the_request_may_come_in_the_context_alone() {
    let studio = StudioBuilder::new().build().await;
    for arguments in [
        json!({"client_injected_context": "a letter to Rome"}),
        json!({"additional_context": "a letter to Rome"}),
        json!({"user_request": " ", "client_injected_context": "a letter to Rome"}),
    ] {
        let asked = studio.call("create_pdf_document", arguments).await;
        assert!(asked.prompt().contains("name=\"request\">\na letter to Rome\n"), "{asked:?}");
    }
    for arguments in [
        json!({}),
        json!({"user_request": " \n"}),
        json!({"client_injected_context": "No additional context provided"}),
        json!({"html": ""}),
        json!({"attachments": ["http://files.example/cat.png"]}),
    ] {
        let refused = studio.call("create_pdf_document", arguments.clone()).await;
        assert_eq!(refused.code(), "request_missing", "{arguments}");
        assert!(refused.text("hint").contains("`user_request`"));
    }
    assert_eq!(studio.hosts.questions(), 0, "nothing is fetched for a call that is refused");
    assert_eq!(studio.chrome.process_id().await, None, "nor is Chrome started");
}

#[tokio::test]
async fn names_and_versions_are_those_of_documents() {
    let studio = StudioBuilder::new().link_life(LinkLife::WhileRunning).build().await;
    let page = "<!DOCTYPE html><html><head><title>T</title></head><body><p>one</p></body></html>";
    let first = studio.call("create_pdf_document", json!({"html": page, "doc_name": "Memo"})).await;
    assert!(first.text("message").contains("/download"), "{first:?}");
    let other = page.replace("one", "two");
    let second =
        studio.call("create_pdf_document", json!({"html": other, "doc_name": "memo.PDF"})).await;
    assert_eq!(second.field("version"), 2, "{second:?}");
    assert_eq!(second.text("url"), first.text("url"));
    assert!(second.text("message").contains("/v/1.pdf"), "{second:?}");
    assert!(studio.pdf(first.text("url"), 1).await.0.all_text().contains("one"));
    assert!(studio.pdf(first.text("url"), 2).await.0.all_text().contains("two"));
    // An app of the same name is another thing.
    let app = studio.call("create_web_app", json!({"html": page, "app_name": "memo"})).await;
    assert_eq!(app.field("version"), 1);
    let bare = "<!DOCTYPE html><html><body>x</body></html>";
    let unnamed = studio.call("create_pdf_document", json!({"html": bare})).await;
    let (pdf, _) = studio.pdf(unnamed.text("url"), 1).await;
    assert_eq!((pdf.property("Title"), pdf.all_text().trim()), (None, "x"));
    let word = unnamed.text("doc_name").strip_prefix("pdf-doc-").unwrap();
    assert!(word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));

    let list = studio.call("list_pdf_documents", json!({})).await;
    let listed = list.field("pdf_documents").as_array().unwrap();
    assert_eq!(listed.len(), 2, "{list:?}");
    assert_eq!(listed[1]["doc_name"], "Memo");
    assert_eq!(listed[1]["url"], first.text("url"));
    assert_eq!((&listed[1]["version"], &listed[1]["title"]), (&json!(2), &json!("T")));
    let one = studio.call("list_pdf_documents", json!({"limit": 1})).await;
    assert_eq!(one.field("pdf_documents").as_array().unwrap().len(), 1);
    assert!(one.text("message").contains("higher `limit`"));
    let foreign = studio.call_as("bob", "list_pdf_documents", json!({})).await;
    assert_eq!(foreign.field("pdf_documents"), &json!([]));
    for limit in [0, -1] {
        let refused = studio.call("list_pdf_documents", json!({"limit": limit})).await;
        assert_eq!(refused.code(), "invalid_arguments");
    }
}

#[tokio::test]
async fn versions_are_listed_restored_and_deleted_by_the_documents_name() {
    let studio = StudioBuilder::new().build().await;
    let page = |text: &str| format!("<!DOCTYPE html><html><body><p>{text}</p></body></html>");
    let url = {
        let html = page("first");
        let call = json!({"html": html, "doc_name": "log", "page": {"size": "A6"}});
        studio.call("create_pdf_document", call).await.text("url").to_owned()
    };
    studio.call("create_pdf_document", json!({"html": page("second"), "doc_name": "log"})).await;
    let versions = studio.call("list_document_versions", json!({"doc_name": "log.pdf"})).await;
    let listed = versions.field("versions").as_array().unwrap();
    assert_eq!(listed.len(), 2, "{versions:?}");
    assert_eq!((&listed[0]["version"], &listed[0]["current"]), (&json!(2), &json!(true)));

    let restored =
        studio.call("restore_document_version", json!({"doc_name": "log", "version": 1})).await;
    assert_eq!((restored.field("version"), restored.text("doc_name")), (&json!(3), "log"));
    let (pdf, version) = studio.pdf(&url, 3).await;
    assert!(pdf.all_text().contains("first"));
    assert_eq!(pdf.size_mm(1), (105, 148));
    assert!(studio.source(&version).await.contains("first"));
    assert!(version.thumb_sha.is_some());
    // An edit of the restored version prints with its options.
    let edits = "<<<<<<< SEARCH\n<!DOCTYPE html><html><body><p>first</p></body></html>\n=======\n\
                 <!DOCTYPE html><html><body><p>last</p></body></html>\n>>>>>>> REPLACE";
    let edited = studio.call("edit_pdf_document", json!({"doc_name": "log", "edits": edits})).await;
    assert_eq!(edited.field("version"), 4, "{edited:?}");
    assert_eq!(studio.pdf(&url, 4).await.0.size_mm(1), (105, 148));

    let deleted = studio.call("delete_document", json!({"doc_name": "log"})).await;
    assert_eq!(deleted.text("status"), "success", "{deleted:?}");
    let gone = studio.call("edit_pdf_document", json!({"doc_name": "log", "edits": edits})).await;
    assert_eq!(gone.code(), "document_not_found");
}

#[tokio::test]
async fn a_document_can_be_attached_to_another_by_its_own_address() {
    let studio = StudioBuilder::new().build().await;
    let made = studio.call("create_pdf_document", json!({"html": REPORT, "doc_name": "one"})).await;
    let (url, source) = (made.text("url"), made.text("source_url"));
    let attachments = json!([url, source, url.replace("/d/", "/a/")]);
    let call = json!({"user_request": "the same, shorter", "attachments": attachments});
    let asked = studio.call("create_web_app", call).await;
    let prompt = asked.prompt();
    assert!(
        prompt.contains("`one.pdf` (application/pdf") && prompt.contains("`one.html` (text/html"),
        "{prompt}"
    );
    assert!(prompt.contains("Sixty ships came in summer."), "its text is there: {prompt}");
    assert_eq!(studio.hosts.questions(), 0, "nothing is fetched");
    let app = studio.answer(&asked, REPORT).await;
    assert_eq!(app.field("attachments").as_array().unwrap().len(), 2, "a PDF is no app: {app:?}");
}

#[tokio::test]
async fn schemas_keep_the_promised_arguments() {
    let studio = StudioBuilder::new().build().await;
    let tool = |name: &str| studio.workshop.registry.tool(name).unwrap().input_schema.clone();
    let create = tool("create_pdf_document");
    let names: Vec<&str> =
        create["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "user_number",
            "doc_name",
            "attachments",
            "client_injected_context",
            "model",
            "user_request",
            "html",
            "page",
            "mcp_tool_names"
        ]
    );
    assert_eq!(create.get("required"), None);
    for part in ["size", "margins", "landscape", "header", "footer", "scale"] {
        assert!(create["properties"]["page"]["properties"][part].is_object(), "{part}");
    }
    let edit = tool("edit_pdf_document");
    for name in ["doc_name", "user_edit_request", "edits", "page", "mcp_tool_names"] {
        assert!(edit["properties"][name].is_object(), "{name}");
    }
}
