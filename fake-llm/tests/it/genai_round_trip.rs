//! The client library the product uses must be able to talk to every encoder: text, tools, usage.

use fake_llm::{FakeLlm, Reply, Rule, Script, Stop, Usage, Vendor};
use genai::ModelIden;
use genai::chat::{ChatMessage, ChatRequest, StopReason, Tool, ToolCall, ToolResponse};
use serde_json::{Value, json};

use crate::genai_client::{adapter, ask, client};

fn weather_tool() -> Tool {
    Tool::new("get_weather").with_description("Weather of a city").with_schema(json!({
        "type": "object",
        "properties": { "city": { "type": "string" } },
        "required": ["city"],
    }))
}

#[tokio::test]
async fn text_and_usage_arrive_on_every_wire() {
    for vendor in Vendor::ALL {
        let reply = Reply::chunks(["Hello ", "wörld"]).usage(Usage {
            input_tokens: Some(100),
            output_tokens: Some(30),
            cached_tokens: Some(40),
            reasoning_tokens: Some(12),
        });
        let server = FakeLlm::start(Script::new().reply(reply)).await.unwrap();
        let request = ChatRequest::from_user("Say hello").with_system("Be brief");
        let end = ask(&server, vendor, request).await.unwrap().unwrap();

        assert_eq!(end.captured_first_text(), Some("Hello wörld"), "{vendor:?}");
        let stop = end.captured_stop_reason.clone();
        assert!(matches!(stop, Some(StopReason::Completed(_))), "{vendor:?}: {stop:?}");
        let usage = end.captured_usage.unwrap();
        assert_eq!(usage.prompt_tokens, Some(100), "{vendor:?}");
        assert_eq!(usage.completion_tokens, Some(30), "{vendor:?}");
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens);
        assert_eq!(cached, Some(40), "{vendor:?}");
        let reasoning =
            usage.completion_tokens_details.and_then(|details| details.reasoning_tokens);
        // Ollama does not count reasoning, and the library does not read Anthropic's count.
        let counts = !matches!(vendor, Vendor::Ollama | Vendor::Anthropic);
        let counted = counts.then_some(12);
        assert_eq!(reasoning, counted, "{vendor:?}");

        server.assert_all_matched();
        let requests = server.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].vendor, Some(vendor));
        assert_eq!(requests[0].user_text.as_deref(), Some("Say hello"), "{vendor:?}");
        assert_eq!(requests[0].system.as_deref(), Some("Be brief"), "{vendor:?}");
        assert_eq!(requests[0].model.as_deref(), Some("model-under-test"), "{vendor:?}");
        assert!(requests[0].streaming, "{vendor:?}");
    }
}

#[tokio::test]
async fn tool_calls_make_a_round_trip_on_every_wire() {
    for vendor in Vendor::ALL {
        let script = Script::new()
            .rule(
                Rule::reply(
                    Reply::text("Looking it up.")
                        .and_tool_call("call_1", "get_weather", json!({ "city": "Köln" }))
                        .and_tool_call("call_2", "get_weather", json!({ "city": "Oslo" })),
                )
                .on_tools(["get_weather"])
                .times(1),
            )
            .rule(Rule::reply(Reply::text("It rains.")).on_tool_result("rain"));
        let server = FakeLlm::start(script).await.unwrap();
        let request = ChatRequest::from_user("Weather?").with_tools([weather_tool()]);
        let end = ask(&server, vendor, request.clone()).await.unwrap().unwrap();
        let calls: Vec<ToolCall> = end.captured_into_tool_calls().unwrap();
        let seen: Vec<(&str, &str, &Value)> = calls
            .iter()
            .map(|call| (call.call_id.as_str(), call.fn_name.as_str(), &call.fn_arguments))
            .collect();
        let expected = [
            ("call_1", "get_weather", &json!({ "city": "Köln" })),
            ("call_2", "get_weather", &json!({ "city": "Oslo" })),
        ];
        assert_eq!(seen, expected, "{vendor:?}");

        let results: Vec<ToolResponse> = calls
            .iter()
            .map(|call| ToolResponse::from_tool_call(call, "{\"sky\":\"rain\"}".to_owned()))
            .collect();
        let mut request = request.append_message(ChatMessage::from(calls));
        for result in results {
            request = request.append_message(ChatMessage::from(result));
        }
        let end = ask(&server, vendor, request).await.unwrap().unwrap();
        assert_eq!(end.captured_first_text(), Some("It rains."), "{vendor:?}");
        server.assert_all_matched();
        assert_eq!(server.model_requests()[1].user_text.as_deref(), Some("Weather?"), "{vendor:?}");
    }
}

#[tokio::test]
async fn whole_answers_are_read_on_every_wire() {
    for vendor in Vendor::ALL {
        let reply =
            Reply::chunks(["Hello ", "wörld"]).and_tool_call("call_1", "add", json!({"a": 1}));
        let server = FakeLlm::start(Script::new().reply(reply)).await.unwrap();
        let model = ModelIden::new(adapter(vendor), "model-under-test");
        let request = ChatRequest::from_user("Say hello");
        let response = client(&server, vendor).exec_chat(model, request, None).await.unwrap();
        assert_eq!(response.first_text(), Some("Hello wörld"), "{vendor:?}");
        assert_eq!(response.usage.prompt_tokens, Some(20), "{vendor:?}");
        assert_eq!(response.usage.completion_tokens, Some(10), "{vendor:?}");
        let calls = response.into_tool_calls();
        assert_eq!(calls.len(), 1, "{vendor:?}");
        assert_eq!(calls[0].fn_arguments, json!({"a": 1}), "{vendor:?}");
        assert!(!server.requests()[0].streaming, "{vendor:?}");
    }
}

#[tokio::test]
async fn the_output_limit_is_seen_on_every_wire() {
    for vendor in Vendor::ALL {
        let reply = Reply::text("<html><p>half").stop(Stop::MaxTokens);
        let server = FakeLlm::start(Script::new().reply(reply)).await.unwrap();
        let end = ask(&server, vendor, ChatRequest::from_user("go")).await.unwrap().unwrap();
        let stop = end.captured_stop_reason;
        assert!(matches!(stop, Some(StopReason::MaxTokens(_))), "{vendor:?}: {stop:?}");
    }
}

#[tokio::test]
async fn thinking_is_seen_on_every_wire() {
    for vendor in Vendor::ALL {
        let reply =
            Reply::empty().and_thinking("First I ").and_thinking("think.").and_text("Done.");
        let server = FakeLlm::start(Script::new().reply(reply)).await.unwrap();
        let end = ask(&server, vendor, ChatRequest::from_user("go")).await.unwrap().unwrap();
        assert_eq!(end.captured_first_text(), Some("Done."), "{vendor:?}");
        let thinking = end.captured_reasoning_content;
        assert_eq!(thinking.as_deref(), Some("First I think."), "{vendor:?}");
    }
}
