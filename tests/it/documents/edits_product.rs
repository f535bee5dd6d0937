//! Edits by the real program: a vendor's wire, processes that die in the middle, links afterwards.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fake_llm::{FakeLlm, Reply, Rule, Script};
use serde_json::{Value, json};

use super::edits::{CLOCK, block, change};
use crate::support::product::{Installation, StdioClient, get};

async fn model(replies: &[&str]) -> FakeLlm {
    let rule = |script: Script, text: &&str| script.rule(Rule::reply(Reply::text(*text)).times(1));
    FakeLlm::start(replies.iter().fold(Script::new(), rule)).await.unwrap()
}

fn with(model: &FakeLlm) -> Installation {
    Installation::new().with("GEMINI_API_KEY", "test-key").with("GEMINI_BASE_URL", model.base_url())
}

async fn clock(client: &mut StdioClient) -> String {
    let made = client.call("create_web_app", json!({"html": CLOCK, "app_name": "clock"})).await;
    made["url"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

fn versions(list: &Value) -> Vec<i64> {
    list["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["version"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn an_edit_over_the_wire_with_a_round_of_feedback() {
    let wrong = block("  <h1>Clok</h1>", "  <h1>Watch</h1>");
    let good = block("  <h1>Clock</h1>", "  <h1>Watch</h1>");
    let server = model(&[&wrong, &good, "NO CHANGES"]).await;
    let installation = with(&server);
    let mut client = installation.stdio().await;
    let url = clock(&mut client).await;
    let edited = client.call("edit_web_app", change()).await;
    assert_eq!((&edited["status"], &edited["version"]), (&json!("success"), &json!(2)), "{edited}");
    assert_eq!((&edited["model_used"], &edited["rounds"]), (&json!("gemini-3.8-flash"), &json!(2)));
    let requests = server.model_requests();
    let body = &requests.last().unwrap().body_text;
    assert!(body.contains("The nearest lines") && body.contains("Clok"), "{body}");
    let (status, body) = get(&url).await;
    assert!(status == 200 && body.contains("<h1>Watch</h1>"), "{body}");
    assert!(get(&format!("{url}v/1/")).await.1.contains("<h1>Clock</h1>"));
    // Nothing to change is no version.
    let same = client.call("edit_web_app", change()).await;
    assert_eq!((&same["changed"], &same["version"]), (&json!(false), &json!(2)), "{same}");
    server.assert_all_matched();
    // Back, and gone.
    let back = json!({"app_name": "clock", "version": 1});
    assert_eq!(client.call("restore_document_version", back).await["version"], 3);
    let list = client.call("list_document_versions", json!({"app_name": "clock"})).await;
    assert_eq!(versions(&list), [3, 2, 1]);
    for version in list["versions"].as_array().unwrap() {
        assert_eq!(get(version["url"].as_str().unwrap()).await.0, 200, "{version}");
    }
    let deleted = client.call("delete_document", json!({"app_name": "clock"})).await;
    assert_eq!(deleted["status"], "success", "{deleted}");
    for place in ["", "v/1/", "raw", "download"] {
        assert_eq!(get(&format!("{url}{place}")).await.0, 404, "{place}");
    }
    client.close().await;
}

#[tokio::test]
async fn four_useless_answers_leave_the_version() {
    let wrong = block("nowhere", "x");
    let server = model(&[&wrong, &wrong, "I cannot.", "Sorry."]).await;
    let installation = with(&server);
    let mut client = installation.stdio().await;
    let url = clock(&mut client).await;
    let failed = client.call("edit_web_app", change()).await;
    assert_eq!(failed["code"], "unusable_answer", "{failed}");
    assert_eq!(server.model_requests().len(), 4);
    server.assert_all_matched();
    assert_eq!(get(&format!("{url}raw")).await, (200, CLOCK.to_owned()));
    let list = client.call("list_document_versions", json!({"app_name": "clock"})).await;
    assert_eq!(versions(&list), [1]);
    client.close().await;
}

#[tokio::test]
async fn an_edit_goes_on_where_a_process_died() {
    let installation = Installation::new();
    let mut client = installation.stdio().await;
    let url = clock(&mut client).await;
    let asked = client.call("edit_web_app", change()).await;
    assert_eq!(asked["status"], "needs_completion", "{asked}");
    let handle = asked["handle"].clone();
    let answer = |text: &str| json!({"handle": handle, "text": text});
    client.kill().await;
    // Another process takes the first answer, which does not fit.
    let mut client = installation.stdio().await;
    let right = block("  <footer>made “here”</footer>", "  <footer>there</footer>");
    let wrong = block("  <h1>Clok</h1>", "  <h1>Watch</h1>");
    let again = client.call("submit_completion", answer(&format!("{right}{wrong}"))).await;
    assert_eq!(
        (&again["status"], &again["attempt"]),
        (&json!("needs_completion"), &json!(2)),
        "{again}"
    );
    client.kill().await;
    // And a third one the second; what matched before is still there.
    let mut client = installation.stdio().await;
    let good = block("  <h1>Clock</h1>", "  <h1>Watch</h1>");
    let edited = client.call("submit_completion", answer(&good)).await;
    assert_eq!((&edited["version"], &edited["blocks_applied"]), (&json!(2), &json!(2)), "{edited}");
    let expected = CLOCK.replace("<h1>Clock", "<h1>Watch").replace("made “here”", "there");
    assert_eq!(get(&format!("{url}raw")).await, (200, expected));
    client.close().await;
}

#[tokio::test]
async fn a_picture_is_a_file_of_the_app_and_part_of_its_download() {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03\x08\x02\0\0\0".to_vec();
    png.extend((0..6000_u32).map(|n| u8::try_from(n * 31 % 251).unwrap()));
    let uri = format!("data:image/png;base64,{}", STANDARD.encode(&png));
    let html = CLOCK.replace("  <h1>", &format!("  <img alt=\"\" src=\"{uri}\">\n  <h1>"));
    let installation = Installation::new();
    let mut client = installation.stdio().await;
    let made = client.call("create_web_app", json!({"html": html, "app_name": "clock"})).await;
    let url = made["url"].as_str().unwrap();
    let (_, raw) = get(&format!("{url}raw")).await;
    assert!(!raw.contains("data:") && raw.contains("src=\"a/"), "{raw}");
    let (status, download) = get(&format!("{url}download")).await;
    assert_eq!((status, download), (200, html), "one file that works by itself");
    client.close().await;
}
