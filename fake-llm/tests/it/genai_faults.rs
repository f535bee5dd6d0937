//! What the product's client library makes of each fault: the reasons for the guard around it.
//!
//! When an update of the library changes a row, the guard's rules need another look.

use fake_llm::{ErrorForm, FakeLlm, Fault, HttpEnd, Reply, Rule, Script, Stop, Vendor};
use genai::chat::{ChatRequest, StopReason, StreamEnd};
use serde_json::json;

use crate::genai_client::ask;

/// In the order of [`Vendor::ALL`]; `""` where the wire cannot express the fault.
type Row = (&'static str, Rule, [&'static str; 6]);

fn three() -> Reply {
    Reply::chunks(["one ", "zwölf ", "three"])
}

fn spoiled(fault: Fault) -> Rule {
    Rule::reply(three()).fault(fault)
}

const COMPLETE: HttpEnd = HttpEnd::Complete;
const TORN: HttpEnd = HttpEnd::Torn;
const ALL_ERROR: [&str; 6] = ["error"; 6];
const ALL_TEXT: [&str; 6] = ["completed, text"; 6];

fn cut_rows() -> Vec<Row> {
    vec![
        (
            "cut before the end",
            spoiled(Fault::CutBeforeEnd { http_end: COMPLETE }),
            // The status update at the start of an interaction passes for a stop reason.
            ["none, text", "other, text", "no end", "no end", "none, text", "none, text"],
        ),
        ("torn before the end", spoiled(Fault::CutBeforeEnd { http_end: TORN }), ALL_ERROR),
        (
            "cut in JSON",
            Rule::reply(Reply::chunks(["1", "2", "3", "4", "5"]))
                .fault(Fault::CutInJson { after_events: 3, http_end: COMPLETE }),
            ["error", "other, empty", "error", "error", "none, empty", "error"],
        ),
        ("cut in UTF-8", spoiled(Fault::CutInUtf8 { http_end: COMPLETE }), ALL_ERROR),
        ("reset", spoiled(Fault::ResetAfterEvents { events: 2 }), ALL_ERROR),
        ("reset before the head", spoiled(Fault::ResetBeforeHeaders), ALL_ERROR),
        (
            "empty body",
            spoiled(Fault::EmptyBody),
            ["none, empty", "none, empty", "no end", "no end", "none, empty", "none, empty"],
        ),
        (
            "captive page",
            spoiled(Fault::HtmlPage),
            ["none, empty", "none, empty", "no end", "no end", "none, empty", "error"],
        ),
        (
            "missing stop",
            Rule::reply(three().stop(Stop::Missing)),
            ["none, text", "other, text", "none, text", "none, text", "none, text", "none, text"],
        ),
    ]
}

fn error_rows() -> Vec<Row> {
    vec![
        ("429", spoiled(Fault::status_retry_after(429, "7")), ALL_ERROR),
        (
            "error event",
            spoiled(Fault::error_event(2)),
            ["error", "error", "error", "error", "error", "none, text"],
        ),
        (
            "bare error event",
            spoiled(Fault::ErrorEvent { after_events: 2, form: ErrorForm::Error, message: None }),
            ["error", "error", "error", "error", "error", "none, text"],
        ),
        (
            "refusal",
            Rule::reply(Reply::refusal("I can't.")),
            [
                "error",
                "error",
                "filtered, empty",
                "completed, empty",
                "completed, empty",
                "completed, text",
            ],
        ),
        (
            "safety after partial text",
            Rule::reply(Reply::text("half").stop(Stop::ContentFilter)),
            // Responses' own reason is lost: it looks like the output limit.
            ["filtered, text", "error", "filtered, text", "filtered, text", "limit, text", ""],
        ),
        (
            "malformed arguments",
            Rule::reply(Reply::empty().and_raw_tool_call("call_1", "add", "{\"a\": ")),
            [
                "other, empty",
                "tool, text call",
                "tool, text call",
                "tool, text call",
                "completed, text call",
                "completed, text",
            ],
        ),
        (
            "tool call",
            Rule::reply(Reply::tool_call("call_1", "add", json!({ "a": 1 }))),
            [
                "completed, object call",
                "tool, object call",
                "tool, object call",
                "tool, object call",
                "completed, object call",
                "completed, object call",
            ],
        ),
    ]
}

/// Faults that a good client does not notice.
fn harmless_rows() -> Vec<Row> {
    let but_ollama = |text: [&'static str; 6]| {
        let [first, second, third, fourth, fifth, _] = text;
        [first, second, third, fourth, fifth, ""]
    };
    let content_type = Fault::ContentType { content_type: "text/plain".into() };
    vec![
        ("wrong content type", spoiled(content_type), ALL_TEXT),
        ("duplicate end", spoiled(Fault::DuplicateEnd), ALL_TEXT),
        ("late text", spoiled(Fault::LateText { text: "late".into() }), ALL_TEXT),
        ("comments", spoiled(Fault::Comments), but_ollama(ALL_TEXT)),
        ("split", spoiled(Fault::SplitEvery { bytes: 1 }), ALL_TEXT),
        ("merge", spoiled(Fault::Merge), ALL_TEXT),
        ("close delimited", spoiled(Fault::CloseDelimited), ALL_TEXT),
    ]
}

fn summary(end: &StreamEnd) -> String {
    let stop = match &end.captured_stop_reason {
        None => "none",
        Some(StopReason::Completed(_)) => "completed",
        Some(StopReason::MaxTokens(_)) => "limit",
        Some(StopReason::ToolCall(_)) => "tool",
        Some(StopReason::ContentFilter(_)) => "filtered",
        Some(StopReason::StopSequence(_)) => "sequence",
        Some(StopReason::Other(_)) => "other",
    };
    let call = end.captured_tool_calls().and_then(|calls| calls.first().copied());
    let content = match (call, end.captured_first_text()) {
        (Some(call), _) if call.fn_arguments.is_object() => "object call",
        (Some(_), _) => "text call",
        (None, Some(_)) => "text",
        (None, None) => "empty",
    };
    format!("{stop}, {content}")
}

async fn survey(rows: Vec<Row>) {
    for (name, rule, expected) in rows {
        for (vendor, expected) in Vendor::ALL.into_iter().zip(expected) {
            let server = FakeLlm::start(Script::new().rule(rule.clone())).await.unwrap();
            let seen = match ask(&server, vendor, ChatRequest::from_user("go")).await {
                Err(_) => "error".to_owned(),
                Ok(None) => "no end".to_owned(),
                Ok(Some(end)) => summary(&end),
            };
            if expected.is_empty() {
                assert_eq!(server.problems().len(), 1, "{name}: {vendor:?}");
            } else {
                server.assert_all_matched();
                assert_eq!(seen, expected, "{name}: {vendor:?}");
            }
        }
    }
}

#[tokio::test]
async fn cuts() {
    survey(cut_rows()).await;
}

#[tokio::test]
async fn errors_refusals_and_calls() {
    survey(error_rows()).await;
}

#[tokio::test]
async fn harmless_faults() {
    survey(harmless_rows()).await;
}

#[tokio::test]
async fn the_call_list_grows_to_the_index_it_is_told() {
    let rule = Rule::reply(Reply::tool_call("call_1", "add", json!({})))
        .fault(Fault::ToolIndex { index: 5_000 });
    let server = FakeLlm::start(Script::new().rule(rule)).await.unwrap();
    let end = ask(&server, Vendor::OpenaiChat, ChatRequest::from_user("go")).await;
    let end = end.unwrap().unwrap();
    assert_eq!(end.captured_tool_calls().unwrap().len(), 5_001);
}
