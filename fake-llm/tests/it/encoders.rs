//! Golden bytes of every encoder, and the facts of each wire that clients depend on.
//!
//! `UPDATE_GOLDEN=1` rewrites the files; read the difference before you commit it.

use std::path::PathBuf;

use fake_llm::{FakeLlm, Reply, Script, Stop, Usage, Vendor};
use serde_json::{Value, json};

use crate::raw_client::{self, Ended};

async fn answer(vendor: Vendor, reply: Reply, streaming: bool) -> raw_client::RawAnswer {
    let server = FakeLlm::start(Script::new().reply(reply)).await.unwrap();
    let answer = raw_client::ask(&server, vendor, streaming).await;
    assert_eq!(answer.ended, Ended::Complete);
    answer
}

fn cases() -> Vec<(&'static str, Reply, bool)> {
    let text = || {
        Reply::chunks(["Grüße, ", "Welt"]).usage(Usage {
            input_tokens: Some(100),
            output_tokens: Some(30),
            cached_tokens: Some(40),
            reasoning_tokens: Some(12),
        })
    };
    let tools = || {
        Reply::empty()
            .and_thinking("Look it up.")
            .and_text("One moment.")
            .and_tool_call("call_1", "get_weather", json!({ "city": "Köln" }))
            .and_tool_call("call_2", "get_time", json!({}))
    };
    vec![
        ("text", text(), true),
        ("whole_text", text(), false),
        ("tools", tools(), true),
        ("whole_tools", tools(), false),
        ("refusal", Reply::refusal("I can't help with that."), true),
        ("max_tokens", Reply::text("<html><p>half").stop(Stop::MaxTokens), true),
        ("missing_stop", Reply::text("half").stop(Stop::Missing).without_usage(), true),
        ("empty", Reply::empty(), true),
    ]
}

#[tokio::test]
async fn every_encoder_sends_its_golden_bytes() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for vendor in Vendor::ALL {
        for (name, reply, streaming) in cases() {
            let answer = answer(vendor, reply, streaming).await;
            let vendor_name = serde_json::to_value(vendor).unwrap();
            let file = folder.join(format!("{}_{name}.txt", vendor_name.as_str().unwrap()));
            let seen = format!("{}\n\n{}", answer.head.trim_end(), answer.text());
            if update {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&file, &seen).unwrap();
            }
            let golden = std::fs::read_to_string(&file).unwrap();
            assert_eq!(seen, golden, "{}", file.display());
        }
    }
}

#[tokio::test]
async fn gemini_ends_a_tool_call_with_stop() {
    let reply = Reply::tool_call("call_1", "add", json!({ "a": 1 }));
    let events = answer(Vendor::Gemini, reply, true).await.events();
    let reasons: Vec<&Value> =
        events.iter().map(|event| &event["candidates"][0]["finishReason"]).collect();
    assert_eq!(reasons, [&Value::Null, &json!("STOP")]);
}

#[tokio::test]
async fn gemini_without_alt_sse_streams_one_json_array() {
    let server = FakeLlm::start(Script::new().reply(Reply::chunks(["a", "b"]))).await.unwrap();
    let path = "/v1beta/models/model-1:streamGenerateContent";
    let answer = raw_client::post(&server, path, &raw_client::body(Vendor::Gemini, true)).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 2);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=UTF-8"));
}

#[tokio::test]
async fn gemini_reports_unparsable_arguments_as_a_malformed_call() {
    let reply = Reply::empty().and_raw_tool_call("call_1", "add", "{\"a\": ");
    let events = answer(Vendor::Gemini, reply, true).await.events();
    let candidate = &events[0]["candidates"][0];
    assert_eq!(candidate["finishReason"], "MALFORMED_FUNCTION_CALL");
    assert_eq!(candidate["finishMessage"], "Malformed function call: add({\"a\": ");
    assert_eq!(candidate.get("content"), None);
}

#[tokio::test]
async fn gemini_blocks_a_prompt_without_candidates_and_an_answer_with_safety() {
    let events = answer(Vendor::Gemini, Reply::refusal("unsaid"), true).await.events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["promptFeedback"]["blockReason"], "PROHIBITED_CONTENT");
    assert_eq!(events[0].get("candidates"), None);

    let reply = Reply::text("half a page").stop(Stop::ContentFilter);
    let events = answer(Vendor::Gemini, reply, true).await.events();
    assert_eq!(events[0]["candidates"][0]["content"]["parts"][0]["text"], "half a page");
    assert_eq!(events[1]["candidates"][0]["finishReason"], "SAFETY");
}

#[tokio::test]
async fn raw_arguments_reach_the_client_unchanged_where_arguments_are_text() {
    let raw = "{\"a\": 1, ";
    let reply = || Reply::empty().and_raw_tool_call("call_1", "add", raw);
    let joined = |events: &[Value], pointer: &str| -> String {
        events.iter().filter_map(|event| event.pointer(pointer)?.as_str()).collect()
    };
    for (vendor, pointer) in [
        (Vendor::Anthropic, "/delta/partial_json"),
        (Vendor::OpenaiChat, "/choices/0/delta/tool_calls/0/function/arguments"),
        (Vendor::OpenaiResponses, "/delta"),
        (Vendor::GeminiInteractions, "/delta/arguments"),
    ] {
        let events = answer(vendor, reply(), true).await.events();
        assert_eq!(joined(&events, pointer), raw, "{vendor:?}");
    }
}

#[tokio::test]
async fn anthropic_frames_blocks_in_order_and_pings_once() {
    let reply = Reply::text("a").and_tool_call("toolu_1", "add", json!({}));
    let events = answer(Vendor::Anthropic, reply, true).await.events();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ];
    assert_eq!(types, expected);
    assert_eq!(events[9]["delta"]["stop_reason"], "tool_use");
}

#[tokio::test]
async fn anthropic_refuses_with_details_after_partial_text() {
    let reply = Reply::text("Hello..").and(fake_llm::Part::Refusal("Declined.".into()));
    let events = answer(Vendor::Anthropic, reply, true).await.events();
    let delta = events.iter().find(|event| event["type"] == "message_delta").unwrap();
    assert_eq!(delta["delta"]["stop_reason"], "refusal");
    assert_eq!(delta["delta"]["stop_details"]["explanation"], "Declined.");
}

#[tokio::test]
async fn openai_chat_sends_usage_only_on_request() {
    let server = FakeLlm::start(Script::new().reply(Reply::text("a"))).await.unwrap();
    let mut body = raw_client::body(Vendor::OpenaiChat, true);
    body.as_object_mut().unwrap().remove("stream_options");
    for path in ["/v1/chat/completions", "/api/v1/chat/completions", "/any/prefix/chat/completions"]
    {
        let answer = raw_client::post(&server, path, &body).await;
        assert!(answer.events().iter().all(|event| event.get("usage").is_none()), "{path}");
        assert!(answer.text().ends_with("data: [DONE]\n\n"), "{path}");
    }
    let events = raw_client::ask(&server, Vendor::OpenaiChat, true).await.events();
    assert_eq!(events.last().unwrap()["usage"]["total_tokens"], 30);
    assert_eq!(events.last().unwrap()["choices"], json!([]));
}

#[tokio::test]
async fn openai_refusals_end_like_any_answer() {
    let reply = Reply::refusal("I can't.");
    let events = answer(Vendor::OpenaiChat, reply.clone(), true).await.events();
    assert_eq!(events[1]["choices"][0]["delta"]["refusal"], "I can't.");
    assert_eq!(events[2]["choices"][0]["finish_reason"], "stop");

    let events = answer(Vendor::OpenaiResponses, reply, true).await.events();
    let types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(types.contains(&"response.refusal.delta"));
    assert!(types.contains(&"response.refusal.done"));
    let last = events.last().unwrap();
    assert_eq!(last["response"]["status"], "completed");
    assert_eq!(last["response"]["output"][0]["content"][0]["refusal"], "I can't.");
}

#[tokio::test]
async fn responses_number_their_events_and_name_the_reason_of_an_incomplete_one() {
    for (stop, reason) in
        [(Stop::MaxTokens, "max_output_tokens"), (Stop::ContentFilter, "content_filter")]
    {
        let reply = Reply::text("half").stop(stop);
        let events = answer(Vendor::OpenaiResponses, reply, true).await.events();
        for (index, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], index);
        }
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"]["incomplete_details"]["reason"], reason);
    }
}

#[tokio::test]
async fn token_counts_can_be_absent_negative_or_zero() {
    let counts =
        |input, output| Usage { input_tokens: input, output_tokens: output, ..Usage::default() };
    let reply = Reply::text("a").usage(counts(Some(-5), Some(0)));
    let whole = answer(Vendor::OpenaiChat, reply, false).await.json();
    assert_eq!(whole["usage"]["prompt_tokens"], -5);
    assert_eq!(whole["usage"]["completion_tokens"], 0);
    let reply = Reply::text("a").usage(counts(None, Some(7)));
    let whole = answer(Vendor::Anthropic, reply, false).await.json();
    assert_eq!(whole["usage"].get("input_tokens"), None);
    assert_eq!(whole["usage"]["output_tokens"], 7);
    for vendor in Vendor::ALL {
        let text = answer(vendor, Reply::text("a").without_usage(), true).await.text();
        for name in ["usageMetadata", "\"usage\":{", "eval_count"] {
            assert!(!text.contains(name), "{vendor:?}: {name}");
        }
    }
}

#[tokio::test]
async fn listings_and_probes_answer_without_rules() {
    let server = FakeLlm::start(Script::new().model("model-a").model("model-b")).await.unwrap();
    let openai = raw_client::get(&server, "/v1/models", "").await.json();
    assert_eq!(openai["data"][1]["id"], "model-b");
    let header = "anthropic-version: 2023-06-01\r\n";
    let anthropic = raw_client::get(&server, "/v1/models", header).await.json();
    assert_eq!(anthropic["last_id"], "model-b");
    let gemini = raw_client::get(&server, "/v1beta/models", "").await.json();
    assert_eq!(gemini["models"][0]["name"], "models/model-a");
    let ollama = raw_client::get(&server, "/api/tags", "").await.json();
    assert_eq!(ollama["models"][0]["name"], "model-a");
    let version = raw_client::get(&server, "/api/version", "").await.json();
    assert!(version["version"].is_string());
    let health = raw_client::get(&server, "/health", "").await.json();
    assert_eq!(health, json!({ "status": "ok" }));
    server.assert_all_matched();
}
