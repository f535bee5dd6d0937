//! A conversation that makes an app, edits it and makes a PDF: the real program, a model on its
//! real wire, a real browser.

use std::process::Stdio;

use fake_llm::{FakeLlm, Reply, Rule, Script, Usage};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::support::{CHECKS, axe, press, type_and_send, until_answered};
use crate::support::browser::{Browser, Page, Scheme};
use crate::support::product::Installation;

const APP: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Tea timer</title>\
<style>body{font:1.2rem system-ui;display:grid;place-items:center;min-height:90vh;margin:0;background:#fff7ed;color:#7c2d12}button{font:inherit;padding:.8rem 1.6rem;border:0;border-radius:1rem;background:#c2410c;color:#fff}</style></head>\n\
<body><main>\n<h1>Tea timer</h1>\n<p>Four minutes.</p>\n<button>Start</button>\n</main></body></html>";
const EDIT: &str =
    "<<<<<<< SEARCH\n<p>Four minutes.</p>\n=======\n<p>Three minutes.</p>\n>>>>>>> REPLACE\n";
const PAPER: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tea</title></head><body><h1>How to make tea</h1><p>Boil the water, wait three minutes.</p></body></html>";

fn script() -> Script {
    let usage = Usage { input_tokens: Some(1200), output_tokens: Some(340), ..Usage::default() };
    let call = |tool: &str, arguments| {
        Rule::reply(Reply::text("I will do that.").and_tool_call("c", tool, arguments))
    };
    let say = |text: &str| Rule::reply(Reply::text(text).usage(usage.clone()));
    Script::new()
        .rule(say("The sheet is printed.").on_tool_result("doc_name"))
        .rule(say("It counts three minutes now.").on_tool_result("\"version\": ?2"))
        .rule(say("## Done\n\nThe timer is **ready**: it counts *four* minutes.\n\n- Press `Start`.\n- It rings.\n\n| Tea | Minutes |\n| --- | --- |\n| Green | 2 |\n| Black | 4 |").on_tool_result("\"version\": ?1"))
        .rule(say("It stays, then.").on_tool_result("declined"))
        .rule(call("create_web_app", json!({"app_name": "tea-timer", "html": APP})).on_user_text("tea timer"))
        .rule(call("edit_web_app", json!({"app_name": "tea-timer", "edits": EDIT})).on_user_text("three minutes"))
        .rule(call("create_pdf_document", json!({"doc_name": "tea", "html": PAPER})).on_user_text("PDF"))
        .rule(call("delete_document", json!({"app_name": "tea-timer"})).on_user_text("away"))
}

/// Photographs it and looks for what is too wide, too small, nameless or inaccessible.
async fn look(page: &Page, name: &str) {
    for (size, width, height) in [("phone", 390, 844), ("desk", 1280, 800)] {
        for (shade, scheme) in [("light", Scheme::Light), ("dark", Scheme::Dark)] {
            page.look(width, height, scheme).await;
            page.evaluate("new Promise((done) => setTimeout(done, 300))").await;
            let picture = page.screenshot(&format!("chat-{name}-{size}-{shade}")).await;
            let found = page.evaluate(CHECKS).await;
            assert_eq!(found, json!([0, [], [], 1]), "{}", picture.display());
        }
        assert_eq!(axe(page).await, json!([]), "{name} {size}");
    }
    page.look(320, 640, Scheme::Light).await;
    assert_eq!(page.evaluate(CHECKS).await, json!([0, [], [], 1]), "{name} at 320");
}

#[tokio::test]
async fn an_app_is_made_changed_and_printed_about() {
    let llm = FakeLlm::start(script()).await.unwrap();
    let installation = Installation::new()
        .with("ANTHROPIC_API_KEY", "test-key")
        .with("ANTHROPIC_BASE_URL", llm.base_url());
    let mut program = installation.command(&["chat", "--page"]);
    let mut program = program.stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let link = lines.next_line().await.unwrap().expect("the program says where the chat is");

    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.look(390, 844, Scheme::Light).await;
    page.open(&link).await;
    page.until("document.body.dataset.ready === 'yes'").await;
    assert_eq!(page.evaluate("location.search").await, "", "the key has left the address");
    look(&page, "empty").await;

    page.look(390, 844, Scheme::Light).await;
    type_and_send(&page, "Make a tea timer.").await;
    until_answered(&page, 1).await;
    page.until("document.querySelector('.card.app iframe') !== null").await;
    assert_eq!(
        page.evaluate("document.querySelector('.card.app .small').textContent").await,
        "App · version 1"
    );
    assert_eq!(
        page.evaluate("document.querySelector('.card iframe').sandbox.value").await,
        "allow-scripts allow-forms allow-modals"
    );
    assert_eq!(
        page.evaluate(
            "[...document.querySelectorAll('.prose strong, .prose li, .prose td')].length"
        )
        .await,
        7
    );
    page.click(".call summary").await;
    page.until("document.querySelectorAll('.call[open] pre').length === 2 && document.querySelector('.whole') !== null").await;
    let result = page.evaluate("document.querySelectorAll('.call[open] pre')[1].textContent").await;
    assert!(result.as_str().unwrap().contains("\"app_name\": \"tea-timer\""), "{result}");
    look(&page, "app").await;
    page.click(".call summary").await;

    // "Change this" begins the next message.
    page.click(".card .named").await;
    let begun = page.evaluate("document.getElementById('message').value").await;
    assert_eq!(begun, "Change the app \"tea-timer\": ");
    type_and_send(&page, "three minutes instead").await;
    until_answered(&page, 2).await;
    page.until("document.querySelectorAll('.card.app').length === 2").await;
    assert_eq!(
        page.evaluate("[...document.querySelectorAll('.card.app .small')].at(-1).textContent")
            .await,
        "App · version 2"
    );

    page.look(1280, 800, Scheme::Light).await;
    type_and_send(&page, "And a PDF about tea.").await;
    until_answered(&page, 3).await;
    page.until("document.querySelector('.card.document') !== null").await;
    let facts = page.evaluate("[...document.querySelectorAll('.facts')].at(-1).textContent").await;
    let facts = facts.as_str().unwrap();
    assert!(
        facts.contains("claude-sonnet-5-5") && facts.contains("tokens") && facts.contains('$'),
        "{facts}"
    );
    page.evaluate("document.querySelector('.card.document').scrollIntoView({ block: 'center' })")
        .await;
    page.until(
        "!document.querySelector('.sheet img') || document.querySelector('.sheet img').complete",
    )
    .await;
    look(&page, "pdf").await;

    // Deleting asks first; the arguments stand there.
    page.look(390, 844, Scheme::Light).await;
    type_and_send(&page, "Throw the timer away.").await;
    page.until("document.querySelector('.approval') !== null").await;
    let asked = page.evaluate("document.querySelector('.approval').innerText").await;
    assert!(asked.as_str().unwrap().contains("tea-timer"), "{asked}");
    page.evaluate("document.querySelector('.approval').scrollIntoView({ block: 'center' })").await;
    look(&page, "approval").await;
    page.click(".approval .danger").await;
    until_answered(&page, 4).await;
    let state =
        page.evaluate("[...document.querySelectorAll('.call .state')].at(-1).textContent").await;
    assert!(state.as_str().unwrap().contains("declined"), "{state}");
    let listed = installation.run(&["call", "list_web_apps", "{}"]).await.json();
    assert_eq!(listed["web_apps"][0]["app_name"], "tea-timer", "it is still there");

    // A reload shows the same conversation.
    let before =
        page.evaluate("document.querySelector('#turns').innerText.replace(/\\s+/g, ' ')").await;
    let address = page.evaluate("location.href").await;
    page.open("about:blank").await;
    page.open(address.as_str().unwrap()).await;
    until_answered(&page, 4).await;
    page.until("document.querySelectorAll('.card').length === 3").await;
    let after =
        page.evaluate("document.querySelector('#turns').innerText.replace(/\\s+/g, ' ')").await;
    assert_eq!(after, before);
    press(&page, "Escape").await;
    assert_eq!(page.complaints(), Vec::<String>::new());
    llm.assert_all_matched();
    let id = program.id().unwrap().to_string();
    let sent = std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert!(sent.success());
    assert_eq!(program.wait().await.unwrap().code(), Some(0));
}
