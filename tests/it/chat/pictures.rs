//! Pictures of results in the chat, files that are pasted and dropped, and a tool that is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use atelier::jobs::{Content, Failure, Run, ToolOutput};
use atelier::registry::{Annotations, Tool, Toolset};
use base64::Engine as _;
use fake_llm::{Reply, Rule, Script};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::support::{CHECKS, House, axe, press, type_and_send, until_answered};
use crate::support::browser::{Browser, Scheme};

#[derive(Debug, Deserialize, JsonSchema)]
struct Nothing {}

#[derive(Debug, JsonSchema)]
#[schemars(with = "std::collections::BTreeMap<String, String>")]
struct Output(ToolOutput);

impl From<Output> for ToolOutput {
    fn from(output: Output) -> Self {
        output.0
    }
}

/// A picture that a tool draws: 320 by 200.
const CHART: &[u8] = include_bytes!("../../fixtures/pictures/chart.png");

fn draws() -> Tool {
    Tool::builder("draw_chart", "Draw a chart", Toolset::Documents)
        .description("Draws a chart")
        .annotations(Annotations::CREATE)
        .job(|_run: Run, _nothing: Nothing| async move {
            let base64 = base64::engine::general_purpose::STANDARD.encode(CHART);
            Ok::<_, Failure>(Output(ToolOutput {
                structured: json!({"drawn": 1}),
                content: vec![Content::Image { media_type: "image/png".into(), base64 }],
            }))
        })
}

#[tokio::test]
async fn a_picture_of_a_result_is_shown_to_its_owner_and_to_the_model() {
    let script = Script::new()
        .rule(
            Rule::reply(Reply::tool_call("c", "draw_chart", json!({})))
                .on_user_text("chart")
                .times(1),
        )
        .rule(Rule::reply(Reply::text("There it is.")));
    let house = House::with_tools(script, vec![draws()]).await;
    let client = house.client("local").await;
    let (conversation, turn) = client.talk(json!({"text": "a chart please"})).await;
    let base64 = base64::engine::general_purpose::STANDARD.encode(CHART);
    assert!(house.asked()[1].contains(&base64), "the model sees it");

    let shown = client.last_turn(&conversation).await;
    let events = shown["events"].as_array().unwrap();
    let finished = events.iter().find(|event| event["event"] == "call_finished").unwrap();
    let picture = &finished["pictures"][0];
    assert_eq!(picture["media_type"], "image/png", "{finished}");
    assert!(!finished["head"].as_str().unwrap().contains(&base64[..40]), "{finished}");
    let path = |sha: &Value| format!("/chat/api/turns/{turn}/pictures/{}", sha.as_str().unwrap());
    let answer = client.get(&path(&picture["sha"])).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "image/png"));
    assert_eq!(answer.body, CHART);
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"), "{policy}");
    // Only what a result of this turn holds, and only to its owner.
    let other = json!("0".repeat(64));
    assert_eq!(client.get(&path(&other)).await.code(), "file_not_found");
    let anna = house.client("anna").await;
    assert_eq!(anna.get(&path(&picture["sha"])).await.code(), "turn_not_found");

    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&house.link("local").await).await;
    page.until("document.body.dataset.ready === 'yes'").await;
    page.evaluate(&format!("location.hash = '{conversation}'")).await;
    page.until("document.querySelector('.pictures img')?.naturalWidth === 320").await;
    for (name, width, scheme) in [
        ("phone", 390, Scheme::Light),
        ("phone-dark", 390, Scheme::Dark),
        ("desk", 1280, Scheme::Dark),
    ] {
        page.look(width, 844, scheme).await;
        // On a phone the list slides out of the way first.
        let away = "getComputedStyle(document.getElementById('side')).visibility === 'hidden'";
        if width < 900 {
            page.until(away).await;
        }
        page.screenshot(&format!("chat-picture-{name}")).await;
        assert_eq!(page.evaluate(CHECKS).await, json!([0, [], [], 1]), "{name}");
    }
    assert_eq!(axe(&page).await, json!([]));
    // The line opens, and no bytes stand in it.
    page.click(".call summary").await;
    page.until("document.querySelector('.whole') !== null").await;
    let text = page.evaluate("document.querySelector('.call .body').innerText").await;
    assert!(!text.as_str().unwrap().contains(&base64[..40]), "{text}");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn files_are_pasted_and_dropped() {
    let house = House::with(Script::new().reply(Reply::text("Two files."))).await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&house.link("local").await).await;
    page.until("document.body.dataset.ready === 'yes'").await;
    let base64 = base64::engine::general_purpose::STANDARD.encode(CHART);
    page.evaluate(&format!(
        "(async () => {{ const bytes = Uint8Array.from(atob('{base64}'), (letter) => letter.charCodeAt(0)); \
         const data = new DataTransfer(); data.items.add(new File([bytes], 'pasted.png', {{ type: 'image/png' }})); \
         const field = document.getElementById('message'); field.focus(); \
         field.dispatchEvent(new ClipboardEvent('paste', {{ clipboardData: data, bubbles: true, cancelable: true }})); }})()"
    ))
    .await;
    let chips = |count: usize| {
        format!("document.querySelectorAll('#attached .chip:not(.busy)').length === {count}")
    };
    page.until(&chips(1)).await;
    // A file from the desktop, dragged in by the browser itself.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dropped.txt");
    std::fs::write(&file, "The meeting is on Friday.").unwrap();
    let drag = |kind: &str| {
        json!({"type": kind, "x": 300, "y": 300, "data": {
            "items": [], "files": [file.to_str().unwrap()], "dragOperationsMask": 1}})
    };
    for kind in ["dragEnter", "dragOver"] {
        page.command("Input.dispatchDragEvent", drag(kind)).await;
    }
    page.until("document.body.classList.contains('dropping')").await;
    page.command("Input.dispatchDragEvent", drag("drop")).await;
    page.until(&chips(2)).await;
    assert_eq!(page.evaluate("document.body.classList.contains('dropping')").await, false);
    page.screenshot("chat-attached-desk").await;
    type_and_send(&page, "What is in these?").await;
    until_answered(&page, 1).await;
    let asked = house.asked().pop().unwrap();
    assert!(asked.contains("The meeting is on Friday."), "{asked}");
    assert!(asked.contains("data:image/"), "the pasted picture is sent: {asked}");
    let names = page
        .evaluate(
            "[...document.querySelectorAll('.ask .chip .name')].map((one) => one.textContent)",
        )
        .await;
    assert_eq!(names, json!(["pasted.png", "dropped.txt"]));
    assert_eq!(page.complaints(), Vec::<String>::new());
}

/// Notes that a call of the tool was let go of.
struct LetGo(Arc<AtomicUsize>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn an_answer_is_stopped_and_tried_again_while_a_tool_runs() {
    let (begun, let_go) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (Arc::clone(&begun), Arc::clone(&let_go));
    let tool = Tool::builder("slow_work", "Slow work", Toolset::Documents)
        .description("Takes for ever the first time")
        .annotations(Annotations::CREATE)
        .job(move |_run: Run, _nothing: Nothing| {
            let (begun, let_go) = counts.clone();
            async move {
                if begun.fetch_add(1, Ordering::SeqCst) == 0 {
                    let _guard = LetGo(let_go);
                    std::future::pending::<()>().await;
                }
                Ok::<_, Failure>(Output(ToolOutput::structured(json!({"work": "finished"}))))
            }
        });
    let script = Script::new()
        .rule(Rule::reply(Reply::text("All done.")).on_tool_result("finished"))
        .rule(Rule::reply(Reply::text("Working.").and_tool_call("c", "slow_work", json!({}))));
    let house = House::with_tools(script, vec![tool]).await;
    let browser = Browser::launch().await;
    let page = browser.page().await;
    page.open(&house.link("local").await).await;
    page.until("document.body.dataset.ready === 'yes'").await;
    type_and_send(&page, "Do the work.").await;
    page.until("document.querySelector('.call.busy') !== null").await;
    page.until("document.querySelector('.waiting')?.innerText.includes('slow_work is at work')")
        .await;
    page.screenshot("chat-busy-desk").await;
    page.evaluate("document.getElementById('message').focus()").await;
    press(&page, "Escape").await;
    page.until("document.querySelector('.note.stopped') !== null").await;
    until_answered(&page, 1).await;
    assert_eq!(
        (begun.load(Ordering::SeqCst), let_go.load(Ordering::SeqCst)),
        (1, 1),
        "the tool ended with it"
    );
    let said = page.evaluate("document.querySelector('.reply .prose').innerText").await;
    assert_eq!(said, "Working.", "what was said stands");
    let busy = page.evaluate("document.querySelectorAll('.call.busy').length").await;
    assert_eq!(busy, 0, "nothing looks as if it went on");
    page.click(".meta button:last-child").await;
    page.until("[...document.querySelectorAll('.reply .prose')].some((one) => one.innerText === 'All done.')").await;
    until_answered(&page, 1).await;
    assert_eq!(page.evaluate("document.querySelector('.count').textContent").await, "2 of 2");
    assert_eq!(begun.load(Ordering::SeqCst), 2);
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[tokio::test]
async fn the_picker_lists_what_an_answer_may_use() {
    let script = Script::new().reply(Reply::text("Hello."));
    let house = House::with(script).await;
    let client = house.client("local").await;
    let state = client.get("/chat/api/state").await.json();
    let listed: Vec<String> = state["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap().to_owned())
        .collect();
    client.talk(json!({"text": "hi"})).await;
    let asked = house.llm.as_ref().unwrap().model_requests();
    let offered: Vec<&String> =
        asked[0].tool_names.iter().filter(|name| *name != "read_result").collect();
    for name in &listed {
        let is_catalog = ["search_tools", "describe_tool", "call_tool"].contains(&name.as_str());
        assert!(
            offered.contains(&name) || is_catalog,
            "{name} is listed and not offered: {offered:?}"
        );
    }
    for name in &offered {
        assert!(listed.contains(name), "{name} is offered and not listed");
    }
    assert!(listed.contains(&"run_workflow".to_owned()));
    assert!(!listed.contains(&"ask_ai".to_owned()));
}
