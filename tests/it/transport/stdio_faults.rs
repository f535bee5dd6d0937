//! Bad input, cancellation, panics and ends of the connection over stdio.

use serde_json::json;

use super::bench::{Bench, within};
use super::stdio_client::{StdioClient, text_json};

#[tokio::test]
async fn bad_calls_are_told_what_is_wrong() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let answer = client.call("no_such_tool", json!({})).await;
    assert_eq!(answer["error"]["code"], -32602);
    assert!(answer["error"]["message"].as_str().unwrap().contains("no_such_tool"));
    for (arguments, named) in [
        (json!({"text": {"a": 1}}), "text"),
        (json!({"count": 10}), "count"),
        (json!({"count": 0}), "count"),
        (json!({"count": "many"}), "count"),
    ] {
        let answer = client.call("echo", arguments.clone()).await;
        let result = &answer["result"];
        assert_eq!(result["isError"], true, "{arguments}: {answer}");
        assert!(result.get("structuredContent").is_none());
        let error = text_json(result);
        assert_eq!(error["status"], "error");
        assert!(error["message"].as_str().unwrap().contains(named), "{error}");
    }
    let answer = client.call("echo", json!({"text": "x".repeat(10 * 1024 * 1024)})).await;
    assert_eq!(text_json(&answer["result"])["code"], "arguments_too_large");
    let answer = client.request("tools/call", json!({"name": "echo", "arguments": []})).await;
    assert!(answer.get("error").is_some(), "{answer}");
    let answer = client.request("no/such/method", json!({})).await;
    assert_eq!(answer["error"]["code"], -32601);
}

#[tokio::test]
async fn lines_that_are_no_messages_end_nothing() {
    let bench = Bench::new().await;
    let mut client = StdioClient::connect(&bench);
    // Before the handshake.
    client.send_raw(b"{nonsense").await;
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})).await;
    client.send(&json!({"jsonrpc": "2.0", "id": 5, "result": {}})).await;
    let early = client.call("echo", json!({"text": "early"})).await;
    assert!(early.get("error").is_some(), "{early}");
    client.initialize("2025-11-25", json!({})).await;
    // After it.
    for line in [
        &b"{\"jsonrpc\": \"2.0\", "[..],
        b"",
        b"\xff\xfe",
        b"null",
        b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]",
        b"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}",
        b"{\"id\":1}",
    ] {
        client.send_raw(line).await;
    }
    let long = format!("{{\"jsonrpc\":\"2.0\",\"id\":77,\"method\":\"{}\"}}", "x".repeat(40 << 20));
    client.send_raw(long.as_bytes()).await;
    let answer = client.call("echo", json!({"text": "still \u{0} here"})).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "still \u{0} here");
    client.hang_up();
    client.ended().await;
}

#[tokio::test]
async fn a_panic_is_a_tool_error() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let answer = client.call("panicking", json!({})).await;
    assert_eq!(text_json(&answer["result"])["code"], "internal_panic");
    let answer = client.call("panicking", json!({"text": "calm"})).await;
    assert_eq!(answer["result"]["structuredContent"]["status"], "success");
}

#[tokio::test]
async fn fifty_calls_at_once_are_all_answered() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let mut ids = Vec::new();
    for n in 0..50 {
        let params = json!({"name": "echo", "arguments": {"text": format!("call {n}")}});
        ids.push(client.start("tools/call", params).await);
    }
    for (n, id) in ids.into_iter().enumerate() {
        let answer = client.answer(id).await;
        assert_eq!(answer["result"]["structuredContent"]["text"], format!("call {n}"));
    }
}

#[tokio::test]
async fn cancelling_stops_the_work_and_nothing_else() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let cancel = |id: i64| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    // Before there is such a request.
    client.send(&cancel(999)).await;
    // During one.
    let id = client.start("tools/call", json!({"name": "slow", "arguments": {}})).await;
    bench.gate.started(1).await;
    client.send(&cancel(id)).await;
    bench.gate.stopped(1).await;
    // After one.
    let answer = client.call("echo", json!({"text": "on"})).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "on");
    client.send(&cancel(answer["id"].as_i64().unwrap())).await;
    let answer = client.request("ping", json!({})).await;
    assert!(answer.get("result").is_some(), "{answer}");
    client.hang_up();
    let rest = client.ended().await;
    assert!(rest.iter().all(|message| message["id"] != id), "a cancelled call was answered");
}

#[tokio::test]
async fn progress_rises_and_comes_only_when_asked_for() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    bench.gate.open();
    client.call("slow", json!({})).await;
    assert!(client.aside.is_empty(), "{:?}", client.aside);
    let params =
        json!({"name": "slow", "arguments": {"text": "b"}, "_meta": {"progressToken": "tok"}});
    let answer = client.request("tools/call", params).await;
    assert_eq!(answer["result"]["structuredContent"]["status"], "success");
    let values: Vec<f64> = client
        .aside
        .iter()
        .inspect(|message| {
            assert_eq!(message["method"], "notifications/progress");
            assert_eq!(message["params"]["progressToken"], "tok");
            assert_eq!(message["params"]["total"], 100.0);
        })
        .map(|message| message["params"]["progress"].as_f64().unwrap())
        .collect();
    assert!(values.len() >= 2, "{values:?}");
    assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}");
}

#[tokio::test]
async fn a_call_longer_than_the_budget_becomes_a_job() {
    let bench = Bench::with(|config| config.limits.answer_budget_s = 0.05).await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let answer = client.call("slow", json!({"text": "later"})).await;
    let running = &answer["result"]["structuredContent"];
    assert_eq!(running["status"], "running");
    bench.gate.open();
    let answer = client.call("get_job", json!({"job_id": running["job_id"]})).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "later");
    let answer = client.call("get_job", json!({"job_id": "no-such-job"})).await;
    assert_eq!(text_json(&answer["result"])["code"], "job_not_found");
}

#[tokio::test]
async fn the_end_of_input_waits_for_answers() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let id = client.start("tools/call", json!({"name": "slow", "arguments": {"text": "x"}})).await;
    bench.gate.started(1).await;
    client.hang_up();
    bench.gate.open();
    let answer = client.answer(id).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "x");
    client.ended().await;
}

#[tokio::test]
async fn a_request_to_stop_waits_for_answers_and_takes_no_more() {
    let bench = Bench::new().await;
    let mut client = StdioClient::legacy(&bench, json!({})).await;
    let id = client.start("tools/call", json!({"name": "slow", "arguments": {"text": "x"}})).await;
    bench.gate.started(1).await;
    client.shutdown.cancel();
    let refused = client.call("echo", json!({"text": "too late"})).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("shutting down"), "{refused}");
    bench.gate.open();
    let answer = client.answer(id).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "x");
    client.ended().await;
}

#[tokio::test]
async fn waiting_for_answers_has_an_end() {
    let bench = Bench::with(|config| config.limits.shutdown_grace_s = 0.05).await;
    for stop in [true, false] {
        let mut client = StdioClient::legacy(&bench, json!({})).await;
        client
            .start("tools/call", json!({"name": "slow", "arguments": {"text": stop.to_string()}}))
            .await;
        bench.gate.started(if stop { 1 } else { 2 }).await;
        if stop {
            client.shutdown.cancel();
        } else {
            client.hang_up();
        }
        within(client.ended()).await;
    }
    bench.gate.stopped(2).await;
}

#[tokio::test]
async fn a_client_that_never_speaks_may_leave() {
    let bench = Bench::new().await;
    let mut client = StdioClient::connect(&bench);
    client.hang_up();
    assert!(client.ended().await.is_empty());
    let client = StdioClient::connect(&bench);
    client.shutdown.cancel();
    assert!(client.ended().await.is_empty());
}
