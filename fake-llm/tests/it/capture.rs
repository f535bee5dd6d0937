//! What the server remembers of a request, on every wire.

use std::time::Duration;

use fake_llm::{FakeLlm, Fault, Outcome, Reply, Rule, Script, Vendor};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::raw_client;

/// System prompt, a first question, a tool call of the model and its result.
fn conversation(vendor: Vendor) -> Value {
    match vendor {
        Vendor::Gemini => json!({
            "systemInstruction": { "parts": [{ "text": "Be brief" }] },
            "contents": [
                { "role": "user", "parts": [{ "text": "Look " }, { "text": "there" }] },
                { "role": "model", "parts": [{ "functionCall": { "name": "look", "args": {} } }] },
                { "role": "user", "parts": [
                    { "functionResponse": { "name": "look", "response": { "seen": "a cat" } } },
                ] },
            ],
            "tools": [{ "functionDeclarations": [{ "name": "look" }, { "name": "hear" }] }],
        }),
        Vendor::GeminiInteractions => json!({
            "model": "model-1",
            "system_instruction": "Be brief",
            "input": [
                { "type": "user_input", "content": [
                    { "type": "text", "text": "Look " }, { "type": "text", "text": "there" },
                ] },
                { "type": "function_call", "id": "c", "name": "look", "arguments": {} },
                { "type": "function_result", "call_id": "c", "name": "look",
                  "result": [{ "type": "text", "text": "a cat" }] },
            ],
            "tools": [{ "type": "function", "name": "look" }, { "type": "function", "name": "hear" }],
        }),
        Vendor::Anthropic => json!({
            "model": "model-1",
            "system": [{ "type": "text", "text": "Be brief" }],
            "messages": [
                { "role": "user", "content": [
                    { "type": "text", "text": "Look " }, { "type": "text", "text": "there" },
                ] },
                { "role": "assistant", "content": [
                    { "type": "tool_use", "id": "c", "name": "look", "input": {} },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "c", "content": "a cat" },
                ] },
            ],
            "tools": [{ "name": "look" }, { "name": "hear" }],
        }),
        Vendor::OpenaiChat | Vendor::Ollama => json!({
            "model": "model-1",
            "stream": false,
            "messages": [
                { "role": "system", "content": "Be brief" },
                { "role": "user", "content": [
                    { "type": "text", "text": "Look " }, { "type": "text", "text": "there" },
                ] },
                { "role": "assistant", "content": null, "tool_calls": [
                    { "id": "c", "type": "function", "function": { "name": "look", "arguments": "{}" } },
                ] },
                { "role": "tool", "tool_call_id": "c", "content": "a cat" },
            ],
            "tools": [
                { "type": "function", "function": { "name": "look" } },
                { "type": "function", "function": { "name": "hear" } },
            ],
        }),
        Vendor::OpenaiResponses => json!({
            "model": "model-1",
            "instructions": "Be brief",
            "input": [
                { "role": "user", "content": [
                    { "type": "input_text", "text": "Look " },
                    { "type": "input_text", "text": "there" },
                ] },
                { "type": "function_call", "call_id": "c", "name": "look", "arguments": "{}" },
                { "type": "function_call_output", "call_id": "c", "output": "a cat" },
            ],
            "tools": [{ "type": "function", "name": "look" }, { "type": "function", "name": "hear" }],
        }),
    }
}

#[tokio::test]
async fn a_conversation_is_understood_on_every_wire() {
    for vendor in Vendor::ALL {
        let server = FakeLlm::start(Script::new().reply(Reply::text("ok"))).await.unwrap();
        let path = raw_client::path(vendor, false);
        raw_client::post(&server, path, &conversation(vendor)).await;
        let requests = server
            .wait_for(Duration::from_secs(5), |requests| requests[0].outcome == Outcome::Sent)
            .await
            .unwrap();
        let request = &requests[0];
        assert_eq!(request.vendor, Some(vendor));
        assert_eq!(request.order, 1);
        assert_eq!(request.method, "POST");
        assert_eq!(request.path, path);
        assert_eq!(request.model.as_deref(), Some("model-1"), "{vendor:?}");
        assert_eq!(request.system.as_deref(), Some("Be brief"), "{vendor:?}");
        assert_eq!(request.user_text.as_deref(), Some("Look \nthere"), "{vendor:?}");
        let result = request.tool_result.as_deref().unwrap();
        assert!(result.contains("a cat"), "{vendor:?}: {result}");
        assert_eq!(request.tool_names, ["look", "hear"], "{vendor:?}");
        assert!(!request.streaming, "{vendor:?}");
        assert_eq!(request.header("x-api-key"), Some("test-key"));
        assert_eq!(request.body, conversation(vendor));
        assert_eq!(request.rule, Some(0));
    }
}

#[tokio::test]
async fn queries_and_chunked_bodies_are_read() {
    let server = FakeLlm::start(Script::new().reply(Reply::text("ok"))).await.unwrap();
    let mut stream = raw_client::connect(&server).await;
    let head = "POST /v1beta/models/m-2:streamGenerateContent?alt=sse&x=1 HTTP/1.1\r\n\
                host: fake\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in ["{\"contents\":[{\"parts\":[{\"te", "xt\":\"Grüße\"}]}]}"] {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = raw_client::receive(stream, std::time::Instant::now()).await;
    assert_eq!(answer.status(), 200);
    let request = server.requests().pop().unwrap();
    assert_eq!(request.query, "alt=sse&x=1");
    assert_eq!(request.model.as_deref(), Some("m-2"));
    assert_eq!(request.user_text.as_deref(), Some("Grüße"));
    assert!(request.streaming);
}

#[tokio::test]
async fn a_client_that_leaves_after_the_end_has_not_left_early() {
    for vendor in Vendor::ALL {
        // The library drops its connection at the first terminal event.
        let rule = Rule::reply(Reply::text("ok"))
            .fault(Fault::LateText { text: "late".into() })
            .fault(Fault::Drip { millis: 15 });
        let server = FakeLlm::start(Script::new().rule(rule)).await.unwrap();
        let request = genai::chat::ChatRequest::from_user("go");
        crate::genai_client::ask(&server, vendor, request).await.unwrap().unwrap();
        let requests = server
            .wait_for(Duration::from_secs(5), |requests| requests[0].outcome != Outcome::InFlight)
            .await
            .unwrap();
        assert_eq!(requests[0].outcome, Outcome::Sent, "{vendor:?}");
    }
}

#[tokio::test]
async fn dropping_the_server_closes_its_port() {
    let server = FakeLlm::start(Script::new()).await.unwrap();
    let address = server.base_url().strip_prefix("http://").unwrap().to_owned();
    drop(server);
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    while tokio::net::TcpStream::connect(&address).await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "still listening");
        tokio::task::yield_now().await;
    }
}
