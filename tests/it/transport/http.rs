//! Streamable HTTP: both eras, sessions, and the rules of the edge.

use atelier::server::{HttpServer, ServeError};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, within};
use super::http_client::{HttpBench, answer, answer_of, send, status};

fn list() -> Value {
    json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {}})
}

#[tokio::test]
async fn both_eras_are_served_on_one_endpoint() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    let modern = answer(server.modern_call("echo", &json!({"text": "new"}))).await;
    assert_eq!(modern["result"]["structuredContent"]["text"], "new", "{modern}");
    let session = server.open_session(None).await;
    let call = json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {
        "name": "echo", "arguments": {"text": "old"},
    }});
    let legacy = answer(server.in_session(&session, &call)).await;
    assert_eq!(legacy["result"]["structuredContent"]["text"], "old", "{legacy}");
    let discovered = answer(server.modern("server/discover", json!({}))).await;
    assert!(discovered["result"]["supportedVersions"].is_array(), "{discovered}");
    server.stop().await;
}

#[tokio::test]
async fn hosts_and_origins_are_checked_on_every_route() {
    let bench = Bench::with(|config| {
        config.server.allowed_hosts = vec!["atelier.example".into()];
        config.server.allowed_origins = vec!["https://app.example".into()];
    })
    .await;
    let server = HttpBench::serve(&bench).await;
    for path in ["/mcp", "/api/tools", "/metrics", "/nowhere"] {
        let get = |host: &str| server.client.get(server.url(path)).header("host", host.to_owned());
        assert_eq!(status(get("evil.example")).await, 403, "{path}");
        assert_ne!(status(get("atelier.example")).await, 403, "{path}");
        assert_ne!(status(get("localhost:1")).await, 403, "{path}");
    }
    for path in ["/mcp", "/api/tools", "/metrics", "/health/live", "/nowhere"] {
        let get =
            |origin: &str| server.client.get(server.url(path)).header("origin", origin.to_owned());
        for origin in ["null", "https://evil.example", "http://app.example"] {
            assert_eq!(status(get(origin)).await, 403, "{origin} on {path}");
        }
        for origin in ["http://localhost:5173", "https://app.example"] {
            assert_ne!(status(get(origin)).await, 403, "{origin} on {path}");
        }
    }
    // Probes name addresses.
    let probe = server.client.get(server.url("/health/live")).header("host", "10.1.2.3");
    assert_eq!(status(probe).await, 200);
    // Only configured origins may read answers.
    let preflight = |origin: &str| {
        server
            .client
            .request(reqwest::Method::OPTIONS, server.url("/mcp"))
            .header("origin", origin.to_owned())
            .header("access-control-request-method", "POST")
    };
    let response = send(preflight("https://app.example")).await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://app.example");
    let response = send(preflight("http://localhost:5173")).await;
    assert!(response.headers().get("access-control-allow-origin").is_none());
    server.stop().await;
}

#[tokio::test]
async fn requests_of_the_wrong_form_are_refused() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    let post = || server.client.post(server.url("/mcp"));
    let accept = "application/json, text/event-stream";
    let call = server.modern_call("echo", &json!({}));
    assert_eq!(status(call).await, 200);
    assert_eq!(status(post().json(&list())).await, 406, "no accept");
    let half = post().header("accept", "application/json").json(&list());
    assert_eq!(status(half).await, 406, "half an accept");
    let plain = post().header("accept", accept).header("content-type", "text/plain").body("{}");
    assert_eq!(status(plain).await, 415);
    let nonsense = post()
        .header("accept", accept)
        .header("content-type", "application/json")
        .body("{nonsense");
    assert!((400..500).contains(&status(nonsense).await));
    let large = server.modern_call("echo", &json!({"text": "x".repeat(9 << 20)}));
    assert_eq!(status(large).await, 413);
    let unknown = server.mcp(&list()).header("mcp-protocol-version", "1999-01-01");
    assert_eq!(status(unknown).await, 400);
    // Header and body must name the same tool.
    let mismatch = server
        .modern("tools/call", json!({"name": "echo", "arguments": {}}))
        .header("mcp-name", "slow");
    let response = send(mismatch).await;
    assert_eq!(response.status(), 400);
    let unknown_tool = answer(server.modern_call("no_such_tool", &json!({}))).await;
    assert_eq!(unknown_tool["error"]["code"], -32602);
    server.stop().await;
}

#[tokio::test]
async fn sessions_survive_a_restart_and_end_when_told() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    let session = server.open_session(None).await;
    server.stop().await;

    let later = bench.beside(|_| {}).await;
    let server = HttpBench::serve(&later).await;
    let listed = answer(server.in_session(&session, &list())).await;
    assert!(listed["result"]["tools"].is_array(), "{listed}");
    assert_eq!(status(server.in_session("no-such-session", &list())).await, 404);
    let end = server.client.delete(server.url("/mcp")).header("mcp-session-id", &session);
    assert!((200..300).contains(&status(end).await));
    assert_eq!(status(server.in_session(&session, &list())).await, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_session_client_model_is_asked_on_the_stream_of_its_call() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    let session = server.open_session_as(None, json!({"sampling": {}})).await;
    let call = json!({"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {
        "name": "ask", "arguments": {"text": "Why?"},
    }});
    let mut stream = send(server.in_session(&session, &call)).await;
    let mut text = String::new();
    let question = loop {
        let chunk = within(stream.chunk()).await.unwrap().expect("the stream ended");
        text.push_str(&String::from_utf8_lossy(&chunk));
        let messages = text.lines().filter_map(|line| line.strip_prefix("data:"));
        let found = messages
            .filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok())
            .find(|message| message["method"] == "sampling/createMessage");
        if let Some(found) = found {
            break found;
        }
    };
    let content = json!({"type": "text", "text": "Because."});
    let result = json!({"role": "assistant", "model": "tiny", "content": content});
    let response = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    assert_eq!(status(server.in_session(&session, &response)).await, 202);
    let answer = answer_of(stream).await;
    assert_eq!(answer["result"]["structuredContent"]["answer"], "Because.", "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_call() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    let leaving = tokio::spawn(server.modern_call("slow", &json!({})).send());
    bench.gate.started(1).await;
    leaving.abort();
    bench.gate.stopped(1).await;
    let after = answer(server.modern_call("echo", &json!({"text": "on"}))).await;
    assert_eq!(after["result"]["structuredContent"]["text"], "on");
    server.stop().await;
}

#[tokio::test]
async fn fifty_calls_at_once_are_all_answered() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    let calls = (0..50).map(|n| {
        let request = server.modern_call("echo", &json!({"text": format!("call {n}")}));
        async move { (n, answer(request).await) }
    });
    for (n, answer) in futures::future::join_all(calls).await {
        assert_eq!(answer["result"]["structuredContent"]["text"], format!("call {n}"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_to_stop_waits_for_answers() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    // An open event stream must not hold the server up.
    let session = server.open_session(None).await;
    let stream = server
        .client
        .get(server.url("/mcp"))
        .header("accept", "text/event-stream")
        .header("mcp-session-id", &session);
    let stream = send(stream).await;
    assert_eq!(stream.status(), 200);
    let call = tokio::spawn(server.modern_call("slow", &json!({"text": "x"})).send());
    bench.gate.started(1).await;
    server.shutdown.cancel();
    let address = server.address;
    within(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    bench.gate.open();
    let answer = answer_of(within(call).await.unwrap().unwrap()).await;
    assert_eq!(answer["result"]["structuredContent"]["text"], "x");
    server.stop().await;
}

#[tokio::test]
async fn waiting_for_answers_has_an_end() {
    let bench = Bench::with(|config| config.limits.shutdown_grace_s = 0.05).await;
    let server = HttpBench::serve(&bench).await;
    let call = tokio::spawn(server.modern_call("slow", &json!({})).send());
    bench.gate.started(1).await;
    server.stop().await;
    // Cut, not answered.
    let _ = within(call).await.unwrap();
}

#[tokio::test]
async fn an_open_address_without_tokens_is_refused() {
    let bench = Bench::new().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let server = HttpServer::new(bench.app.clone());
    let error = within(server.serve(listener, CancellationToken::new())).await.unwrap_err();
    assert!(matches!(error, ServeError::OpenToOthers(_)), "{error}");
    assert!(error.to_string().contains("auth.tokens"), "{error}");
}
