//! What a client over stdio gets, in both eras.

use serde_json::{Value, json};

use super::bench::Bench;
use super::stdio_client::{StdioClient, text_json};

#[tokio::test]
async fn the_server_introduces_itself_to_every_version() {
    let bench = Bench::new().await;
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut client = StdioClient::connect(&bench);
        let answer = client.initialize(version, json!({})).await;
        let result = &answer["result"];
        assert_eq!(result["protocolVersion"], version);
        assert_eq!(result["serverInfo"]["name"], "atelier");
        assert_eq!(result["serverInfo"]["title"], "Atelier");
        assert_eq!(result["serverInfo"]["version"], env!("CARGO_PKG_VERSION"));
        let icon = result["serverInfo"]["icons"][0]["src"].as_str().unwrap();
        assert!(icon.starts_with("data:image/svg+xml;base64,"), "{icon}");
        assert!(result["instructions"].as_str().unwrap().contains("submit_completion"));
        assert!(result["capabilities"]["tools"].is_object());
        assert!(result["capabilities"]["prompts"].is_object());
        assert!(result["capabilities"]["completions"].is_object());
        assert!(result["capabilities"].get("resources").is_none());
        client.hang_up();
        client.ended().await;
    }
    // A newer client that still shakes hands is answered in the newest version that does.
    let mut client = StdioClient::connect(&bench);
    let answer = client.initialize("2026-07-28", json!({})).await;
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn tools_are_listed_with_all_their_hints() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let answer = client.request("tools/list", json!({})).await;
    let tools = answer["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    for name in ["echo", "slow", "get_job", "cancel_job", "submit_completion"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(names.is_sorted(), "{names:?}");
    for tool in tools {
        assert!(tool["title"].is_string(), "{tool}");
        assert!(tool["description"].is_string(), "{tool}");
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(tool["annotations"][hint].is_boolean(), "{hint} of {tool}");
        }
    }
    let answer = client.request("tools/list", json!({"cursor": "nonsense"})).await;
    assert_eq!(answer["error"]["code"], -32602);
}

#[tokio::test]
async fn results_are_structured_and_text_and_referable() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let answer = client.call("echo", json!({"text": "hello", "count": 3})).await;
    let result = &answer["result"];
    assert_eq!(result["structuredContent"]["status"], "success");
    assert_eq!(result["structuredContent"]["text"], "hello");
    assert_eq!(text_json(result), result["structuredContent"]);
    let call_id = result["structuredContent"]["call_id"].as_str().unwrap();
    assert_eq!(result["_meta"]["atelier/call_id"], call_id);
    // Older clients do not get what came later.
    assert!(result.get("resultType").is_none(), "{result}");
    let again = client.call("echo", json!({"text": format!("@@ref_{call_id}__text")})).await;
    assert_eq!(again["result"]["structuredContent"]["text"], "hello");
}

#[tokio::test]
async fn modern_requests_need_no_handshake() {
    let bench = Bench::new().await;
    let mut client = StdioClient::modern(&bench, &json!({}));
    let answer = client.request("server/discover", json!({})).await;
    let versions = answer["result"]["supportedVersions"].as_array().unwrap();
    assert!(versions.contains(&json!("2026-07-28")), "{versions:?}");
    let answer = client.call("echo", json!({"text": "hi"})).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "hi");
    let server = &answer["result"]["_meta"]["io.modelcontextprotocol/serverInfo"];
    assert_eq!(server["name"], "atelier");
    assert_eq!(answer["result"]["resultType"], "complete");
    let answer = client.request("tools/list", json!({})).await;
    assert_eq!(answer["result"]["cacheScope"], "private");
    assert!(answer["result"]["ttlMs"].is_u64());
}

#[tokio::test]
async fn a_host_writes_the_text_when_there_is_no_model() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let answer = client.call("ask", json!({"text": "What is blue?"})).await;
    let asked = &answer["result"]["structuredContent"];
    assert_eq!(asked["status"], "needs_completion");
    assert_eq!(asked["prompt"]["system"], "Be brief.");
    assert_eq!(asked["prompt"]["user"], "What is blue?");
    let handle = asked["handle"].clone();
    let answer =
        client.call("submit_completion", json!({"handle": handle, "text": "The sky."})).await;
    let done = &answer["result"]["structuredContent"];
    assert_eq!((&done["status"], &done["answer"]), (&json!("success"), &json!("The sky.")));
    assert_eq!(done["call_id"], asked["call_id"]);
    let answer =
        client.call("submit_completion", json!({"handle": "cmp_unknown", "text": "x"})).await;
    assert_eq!(answer["result"]["isError"], true);
}

#[tokio::test]
async fn a_modern_client_model_is_asked_by_a_returned_question() {
    let bench = Bench::new().await;
    let mut client = StdioClient::modern(&bench, &json!({"sampling": {}}));
    let answer = client.call("ask", json!({"text": "What is blue?"})).await;
    let asked = answer["result"].clone();
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let question = &asked["inputRequests"]["completion"];
    assert_eq!(question["method"], "sampling/createMessage");
    assert_eq!(question["params"]["systemPrompt"], "Be brief.");
    assert_eq!(question["params"]["messages"][0]["content"]["text"], "What is blue?");

    let retry = |state: Value, response: Value| {
        json!({
            "name": "ask",
            "arguments": {"text": "What is blue?"},
            "requestState": state,
            "inputResponses": {"completion": response},
        })
    };
    let text = json!({
        "role": "assistant", "model": "m", "content": {"type": "text", "text": "The sky."},
    });
    let state = asked["requestState"].as_str().unwrap();
    let (head, tail) = state.split_at(state.len() / 2);
    let other = if tail.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{head}{other}{}", &tail[1..]);
    for bad in [forged, String::new(), "rs1.x.y".to_owned()] {
        let answer = client.request("tools/call", retry(json!(bad), text.clone())).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("requestState"), "{message}");
    }
    // Bound to the tool, too.
    let mut other = retry(asked["requestState"].clone(), text.clone());
    other["name"] = json!("slow");
    let answer = client.request("tools/call", other).await;
    assert_eq!(answer["error"]["code"], -32602, "{answer}");

    let answer = client.request("tools/call", retry(asked["requestState"].clone(), text)).await;
    assert_eq!(answer["result"]["structuredContent"]["answer"], "The sky.", "{answer}");
}

#[tokio::test]
async fn an_older_client_model_is_asked_over_the_connection() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({"sampling": {}})).await;
    let id =
        client.start("tools/call", json!({"name": "ask", "arguments": {"text": "Why?"}})).await;
    let question = client.next().await.unwrap();
    assert_eq!(question["method"], "sampling/createMessage", "{question}");
    assert_eq!(question["params"]["systemPrompt"], "Be brief.");
    // One block, not a list: clients of the oldest protocols know no lists.
    assert_eq!(question["params"]["messages"][0]["content"]["text"], "Why?");
    let text = json!({"type": "text", "text": "Because."});
    let result = json!({"role": "assistant", "model": "tiny", "content": text});
    client.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": result})).await;
    let answer = client.answer(id).await;
    assert_eq!(answer["result"]["structuredContent"]["answer"], "Because.", "{answer}");
}

#[tokio::test]
async fn a_declined_question_falls_to_the_host() {
    let bench = Bench::new().await;
    let mut client = StdioClient::modern(&bench, &json!({"sampling": {}}));
    let answer = client.call("ask", json!({"text": "Why?"})).await;
    let state = answer["result"]["requestState"].clone();
    let retry = json!({
        "name": "ask",
        "arguments": {"text": "Why?"},
        "requestState": state,
        "inputResponses": {"completion": {"role": "assistant", "content": {"type": "image", "data": "", "mimeType": "image/png"}}},
    });
    let answer = client.request("tools/call", retry).await;
    let pending = &answer["result"]["structuredContent"];
    assert_eq!(pending["status"], "needs_completion", "{answer}");
    let arguments = json!({"handle": pending["handle"], "text": "Because."});
    let answer = client.call("submit_completion", arguments).await;
    assert_eq!(answer["result"]["structuredContent"]["answer"], "Because.", "{answer}");
}

#[tokio::test]
async fn prompts_follow_the_tools() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let answer = client.request("tools/list", json!({})).await;
    let tools = answer["result"]["tools"].to_string();
    let answer = client.request("prompts/list", json!({})).await;
    let prompts = answer["result"]["prompts"].as_array().unwrap();
    let offered = prompts.iter().any(|prompt| prompt["name"] == "make_web_app");
    assert_eq!(offered, tools.contains("\"create_web_app\""));
    let answer = client.request("prompts/get", json!({"name": "no_such_prompt"})).await;
    assert_eq!(answer["error"]["code"], -32602);
    let reference = json!({"type": "ref/prompt", "name": "no_such_prompt"});
    let argument = json!({"name": "x", "value": ""});
    let answer = client
        .request("completion/complete", json!({"ref": reference, "argument": argument}))
        .await;
    assert_eq!(answer["error"]["code"], -32602);
}

#[tokio::test]
async fn a_key_marks_repetitions_of_one_call() {
    let bench = Bench::new().await;
    bench.gate.open();
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let call = |text: &str, key: &str| {
        json!({
            "name": "slow",
            "arguments": {"text": text},
            "_meta": {"atelier/idempotency_key": key},
        })
    };
    let first = client.request("tools/call", call("a", "k1")).await;
    let again = client.request("tools/call", call("a", "k1")).await;
    let other = client.request("tools/call", call("a", "k2")).await;
    let id = |answer: &Value| answer["result"]["structuredContent"]["call_id"].clone();
    assert!(id(&first).is_string(), "{first}");
    assert_eq!(id(&first), id(&again));
    assert_ne!(id(&first), id(&other));
    let changed = client.request("tools/call", call("b", "k1")).await;
    assert_eq!(text_json(&changed["result"])["code"], "idempotency_conflict");
}
