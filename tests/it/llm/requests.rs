//! What is sent: one snapshot per row of the model table, and what travels through tool loops.

use atelier::llm::models::{ModelTable, Provider};
use atelier::llm::{ExpectedKind, Expects, Message, Part, Request, Role, ToolDeclaration};
use fake_llm::{FakeLlm, Reply, Rule, Script, Vendor};
use serde_json::{Value, json};
use time::macros::date;
use tokio_util::sync::CancellationToken;

use super::{ask, config, eight, model_of, models, named};

fn weather() -> ToolDeclaration {
    ToolDeclaration {
        name: "get_weather".to_owned(),
        description: "Weather of a city".to_owned(),
        schema: json!({
            "type": "object",
            "properties": { "city": { "type": "string" } },
            "required": ["city"],
        }),
    }
}

fn with_files() -> Request {
    let mut request = Request::new("Be brief.", "What is this?", Expects::kind(ExpectedKind::Text));
    request.messages[0].parts.extend([
        Part::File {
            media_type: "image/png".to_owned(),
            name: "dot.png".to_owned(),
            base64: "iVBORw0KGgo=".to_owned(),
        },
        Part::File {
            media_type: "application/pdf".to_owned(),
            name: "page.pdf".to_owned(),
            base64: "JVBERi0=".to_owned(),
        },
    ]);
    request
}

fn with_schema() -> Request {
    let schema = json!({
        "type": "object",
        "properties": { "answer": { "type": "integer" } },
        "required": ["answer"],
    });
    let expects = Expects { schema: Some(schema), ..Expects::kind(ExpectedKind::Json) };
    Request::new("Be brief.", "What is six times seven?", expects)
}

fn with_tools() -> Request {
    let mut request = Request::new("Be brief.", "Weather?", Expects::kind(ExpectedKind::Text));
    request.tools = vec![weather()];
    request
}

async fn sent(model: &str, request: &Request) -> Value {
    let server = FakeLlm::start(Script::new().reply(eight())).await.unwrap();
    let models = models(&config(&server));
    let model = named(&models, model).await;
    models.complete(model.as_ref(), request, &CancellationToken::new(), &|_| {}).await.unwrap();
    server.assert_all_matched();
    let request = server.model_requests().remove(0);
    json!({ "path": request.path, "query": request.query, "body": request.body })
}

#[tokio::test]
async fn rule_8_and_9_requests_of_every_row() {
    let table = ModelTable::load(None).unwrap();
    let ids: Vec<_> = table
        .ids(date!(2026 - 11 - 21), &Provider::WITH_KEYS)
        .map(str::to_owned)
        .chain([model_of(Vendor::Ollama).to_owned()])
        .collect();
    for id in ids {
        let files = if id.starts_with("ollama/") { with_schema() } else { with_files() };
        let requests = json!({
            "files": sent(&id, &files).await,
            "schema": sent(&id, &with_schema()).await,
            "tools": sent(&id, &with_tools()).await,
        });
        let text = requests.to_string();
        for parameter in ["temperature", "top_p", "top_k", "tool_choice", "budget", "effort"] {
            assert!(!text.contains(parameter), "{id} sends {parameter}");
        }
        insta::assert_json_snapshot!(id.replace('/', "_"), requests);
    }
}

#[tokio::test]
async fn rule_9_new_openai_models_speak_responses() {
    for (id, path) in [
        ("gpt-6-luna", "/v1/responses"),
        ("gpt-6.7-nova", "/v1/responses"),
        ("gpt-5.5", "/v1/chat/completions"),
        ("o5-mini", "/v1/chat/completions"),
    ] {
        assert_eq!(sent(id, &with_tools()).await["path"], path, "{id}");
    }
}

#[tokio::test]
async fn an_id_keeps_its_ending() {
    for id in ["gpt-9-high", "gpt-6-max", "o9-none"] {
        assert_eq!(sent(id, &with_tools()).await["body"]["model"], id);
    }
}

#[tokio::test]
async fn reasoning_state_and_results_go_back_as_they_came() {
    for vendor in Vendor::ALL {
        let script = Script::new()
            .rule(
                Rule::reply(
                    Reply::default()
                        .and_thinking("Where is it?")
                        .and_tool_call("call_1", "get_weather", json!({ "city": "Köln" }))
                        .and_tool_call("call_2", "get_weather", json!({ "city": "Oslo" })),
                )
                .on_tools(["get_weather"])
                .times(1),
            )
            .rule(Rule::reply(Reply::text("It rains.")).on_tool_result("rain"));
        let server = FakeLlm::start(script).await.unwrap();
        let models = models(&config(&server));
        let model = named(&models, model_of(vendor)).await;
        let cancel = CancellationToken::new();
        let mut request = with_tools();
        let first = models.complete(model.as_ref(), &request, &cancel, &|_| {}).await.unwrap();
        assert_eq!(first.calls.len(), 2, "{vendor:?}");

        let states = first.thought_signatures.iter().cloned().map(Part::ThoughtSignature);
        let calls = first.calls.iter().cloned().map(Part::ToolCall);
        request
            .messages
            .push(Message { role: Role::Assistant, parts: states.chain(calls).collect() });
        for (call, weather) in first.calls.iter().zip(["rain", "snow"]) {
            let result = Part::ToolResult { call_id: call.id.clone(), content: weather.to_owned() };
            request.messages.push(Message { role: Role::Tool, parts: vec![result] });
        }
        let second = models.complete(model.as_ref(), &request, &cancel, &|_| {}).await.unwrap();
        assert_eq!(second.text, "It rains.", "{vendor:?}");
        server.assert_all_matched();

        let sent = &server.model_requests()[1];
        assert!(sent.tool_result.as_deref().unwrap().contains("snow"), "{vendor:?}");
        let signatures: Vec<_> =
            first.thought_signatures.iter().filter_map(|state| signature(state)).collect();
        // These two wires carry no reasoning state.
        if matches!(vendor, Vendor::OpenaiChat | Vendor::Ollama) {
            assert_eq!(signatures.len(), 0, "{vendor:?}");
        } else {
            assert_ne!(signatures.len(), 0, "{vendor:?}");
            for signature in signatures {
                assert!(sent.body_text.contains(&signature), "{vendor:?}: {}", sent.body_text);
            }
        }
    }
}

/// The vendor's signature inside a packed state.
fn signature(state: &str) -> Option<String> {
    let state: Value = serde_json::from_str(state).unwrap();
    let of_call = state.pointer("/call/signatures/0");
    Some(state.pointer("/signed/signature").or(of_call)?.as_str()?.to_owned())
}

#[tokio::test]
async fn the_reasoning_state_of_one_vendor_is_not_shown_to_another() {
    let reply = Reply::default().and_thinking("Where is it?").and_tool_call(
        "call_1",
        "get_weather",
        json!({ "city": "Köln" }),
    );
    let first = ask(Vendor::Anthropic, vec![Rule::reply(reply)], &with_tools()).await;
    let first = first.result.unwrap();
    let mut request = with_tools();
    let states = first.thought_signatures.iter().cloned().map(Part::ThoughtSignature);
    let calls = first.calls.iter().cloned().map(Part::ToolCall);
    request.messages.push(Message { role: Role::Assistant, parts: states.chain(calls).collect() });
    let result = Part::ToolResult { call_id: "call_1".to_owned(), content: "rain".to_owned() };
    request.messages.push(Message { role: Role::Tool, parts: vec![result] });
    let second = ask(Vendor::Gemini, vec![Rule::reply(eight())], &request).await;
    let signature = first.thought_signatures.iter().find_map(|state| signature(state)).unwrap();
    assert!(!second.requests[0].body_text.contains(&signature));
}
