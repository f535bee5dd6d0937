//! PDF documents as users meet them: the real binary, the vendors' wires on loopback, a real Chrome.

use fake_llm::{FakeLlm, Reply, Rule, Script};
use serde_json::{Value, json};

use crate::support::pdf::Pdf;
use crate::support::product::{Installation, get, get_bytes};

const PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Inventory</title>\
    <style>h2 { break-before: page }</style></head><body><h1>Inventory</h1><p>Apps: none yet.</p>\
    <h2>Next</h2><p>Make one.</p></body></html>";

fn edit() -> String {
    let [first, second] = ["<p>Make one.</p>", "<p>Make two.</p>"];
    let line = PAGE.lines().last().unwrap();
    format!("<<<<<<< SEARCH\n{line}\n=======\n{}\n>>>>>>> REPLACE\n", line.replace(first, second))
}

/// A model that asks for the user's apps, then writes; edits are asked for by name.
async fn model() -> FakeLlm {
    let call = Reply::empty().and_thinking("I need the list.").and_tool_call(
        "call_1",
        "list_web_apps",
        json!({"limit": 3}),
    );
    let script = Script::new()
        .rule(Rule::reply(Reply::text(edit())).on_system("You edit the HTML source of a PDF"))
        .rule(Rule::reply(call).on_tools(["list_web_apps"]).times(1))
        .rule(Rule::reply(Reply::text(format!("```html\n{PAGE}\n```"))).on_tool_result("web_apps"));
    FakeLlm::start(script).await.unwrap()
}

fn wires(base: &str) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let key = || "test-key".to_owned();
    let base = base.to_owned();
    vec![
        ("gemini", vec![("GEMINI_API_KEY", key()), ("GEMINI_BASE_URL", base.clone())]),
        ("anthropic", vec![("ANTHROPIC_API_KEY", key()), ("ANTHROPIC_BASE_URL", base.clone())]),
        (
            "openai responses",
            vec![
                ("OPENAI_API_KEY", key()),
                ("OPENAI_BASE_URL", base.clone()),
                ("ATELIER_LLM__DEFAULT_MODEL", "gpt-6.1-sol".to_owned()),
            ],
        ),
        (
            "openai chat",
            vec![
                ("OPENAI_API_KEY", key()),
                ("OPENAI_BASE_URL", base.clone()),
                ("ATELIER_LLM__DEFAULT_MODEL", "gpt-4.1-2025-04-14".to_owned()),
            ],
        ),
    ]
}

#[tokio::test]
async fn on_each_wire_the_model_calls_a_tool_writes_and_edits() {
    for wire in 0..wires("").len() {
        let server = model().await;
        let (name, variables) = wires(&server.base_url()).swap_remove(wire);
        let mut installation = Installation::new();
        for (variable, value) in variables {
            installation = installation.with(variable, value);
        }
        let mut client = installation.stdio().await;
        let call = json!({
            "user_request": "an inventory of my apps", "mcp_tool_names": ["list_web_apps"],
            "page": {"size": "Letter", "footer": "{page} of {pages}"},
        });
        let made = client.call("create_pdf_document", call).await;
        assert_eq!(made["status"], "success", "{name}: {made}");
        assert_eq!(made["tool_calls"], json!([{"tool": "list_web_apps", "ok": true}]), "{name}");
        assert_eq!((&made["pages"], &made["version"]), (&json!(2), &json!(1)), "{name}");
        let url = made["url"].as_str().unwrap();
        let (status, bytes) = get_bytes(url).await;
        assert_eq!(status, 200);
        let pdf = Pdf::read(bytes);
        assert_eq!((pdf.pages(), pdf.size_mm(1)), (2, (216, 279)), "{name}");
        assert!(pdf.text(2).contains("Make one.") && pdf.text(2).contains("2 of 2"), "{name}");
        // The second request carries the call, its result, and the vendor's own state.
        let requests = server.model_requests();
        assert_eq!(requests.len(), 2, "{name}");
        let result = requests[1].tool_result.clone().unwrap();
        assert!(result.contains("web_apps") && result.contains("<data-"), "{name}: {result}");

        let edited = client
            .call(
                "edit_pdf_document",
                json!({"doc_name": made["doc_name"], "user_edit_request": "two, not one"}),
            )
            .await;
        assert_eq!(
            (&edited["status"], &edited["version"]),
            (&json!("success"), &json!(2)),
            "{name}: {edited}"
        );
        let pdf = Pdf::read(get_bytes(url).await.1);
        assert_eq!(pdf.size_mm(1), (216, 279), "{name}");
        assert!(pdf.text(2).contains("Make two.") && pdf.text(2).contains("2 of 2"), "{name}");
        let first = url.replace(".pdf", "/v/1.pdf");
        assert!(Pdf::read(get_bytes(&first).await.1).text(2).contains("Make one."), "{name}");
        let source = edited["source_url"].as_str().unwrap();
        assert!(get(source).await.1.contains("Make two."), "{name}");
        server.assert_all_matched();
        let (code, log) = client.close().await;
        assert_eq!(code, Some(0), "{log}");
    }
}

#[tokio::test]
async fn without_chrome_the_product_says_what_to_install() {
    let installation = Installation::new().with("ATELIER_BROWSER__CHROME", "/nonexistent/chrome");
    let mut client = installation.stdio().await;
    let refused = client.call("create_pdf_document", json!({"html": PAGE})).await;
    assert_eq!((&refused["status"], &refused["code"]), (&json!("error"), &json!("chrome_missing")));
    assert!(refused["hint"].as_str().unwrap().contains("apt-get install chromium"), "{refused}");
    let listed: Value = client.call("list_pdf_documents", json!({})).await;
    assert_eq!(listed["pdf_documents"], json!([]));
    client.close().await;
}

#[tokio::test]
async fn the_command_line_prints_a_document_and_leaves_no_process() {
    let installation = Installation::new();
    let arguments = json!({"html": PAGE, "doc_name": "inventory"}).to_string();
    let finished = installation.run(&["call", "create_pdf_document", &arguments]).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.json()["pages"], 2);
    let home = installation.folder().display().to_string();
    let left: Vec<String> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let file = entry.ok()?.path().join("environ");
            let environment = std::fs::read(file).ok()?;
            let environment = String::from_utf8_lossy(&environment).into_owned();
            environment.contains(&home).then_some(environment)
        })
        .collect();
    assert!(left.is_empty(), "processes of the call are left: {}", left.len());
}
