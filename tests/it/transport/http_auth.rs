//! Who may call over HTTP, and what of others they see.

use atelier::config::auth::TokenConfig;
use atelier::storage::blobs::sha256_hex;
use serde_json::{Value, json};

use super::bench::Bench;
use super::http_client::{HttpBench, answer, send, status, with_token};
use super::stdio_client::text_json;

fn token(principal: &str, secret: &str, toolsets: &[&str]) -> TokenConfig {
    TokenConfig {
        principal: principal.to_owned(),
        sha256: sha256_hex(secret.as_bytes()).0,
        toolsets: toolsets.iter().map(|name| (*name).to_owned()).collect(),
    }
}

async fn bench() -> Bench {
    Bench::with(|config| {
        config.limits.answer_budget_s = 0.05;
        config.auth.tokens = vec![
            token("ada", "secret-a", &[]),
            token("bob", "secret-b", &[]),
            token("eve", "secret-e", &["documents"]),
        ];
    })
    .await
}

#[tokio::test]
async fn only_known_tokens_get_in() {
    let bench = bench().await;
    let server = HttpBench::serve(&bench).await;
    for path in ["/mcp", "/api/tools", "/api/openapi.json", "/metrics"] {
        let get = || server.client.get(server.url(path));
        let response = send(get()).await;
        assert_eq!(response.status(), 401, "{path}");
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        let response = send(get().bearer_auth("secret-x")).await;
        assert_eq!(response.status(), 401, "{path}");
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains("invalid_token"), "{challenge}");
        let basic = get().basic_auth("ada", Some("secret-a"));
        assert_eq!(status(basic).await, 401, "{path}");
        assert_ne!(status(get().bearer_auth("secret-a")).await, 401, "{path}");
    }
    assert_eq!(status(server.client.get(server.url("/health/live"))).await, 200);
    assert_eq!(status(server.modern_call("echo", &json!({}))).await, 401);
    let known = server.modern_call("echo", &json!({"text": "hi"})).bearer_auth("secret-a");
    assert_eq!(answer(known).await["result"]["structuredContent"]["text"], "hi");
    server.stop().await;
}

fn names(listed: &Value) -> Vec<&str> {
    let tools = listed["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn tokens_and_headers_narrow_and_never_widen() {
    let bench = bench().await;
    let server = HttpBench::serve(&bench).await;
    let list = |secret: &str| server.modern("tools/list", json!({})).bearer_auth(secret.to_owned());
    let all = answer(list("secret-a")).await;
    assert!(names(&all).contains(&"echo") && names(&all).contains(&"slow"));
    let some = answer(list("secret-e")).await;
    assert!(names(&some).contains(&"echo") && !names(&some).contains(&"slow"), "{some}");
    assert!(names(&some).contains(&"get_job"), "jobs are always open");
    let wider = answer(list("secret-e").header("x-mcp-toolsets", "python,documents")).await;
    assert_eq!(names(&wider), names(&some));
    let none = answer(list("secret-e").header("x-mcp-toolsets", "python")).await;
    assert!(!names(&none).contains(&"echo") && !names(&none).contains(&"slow"), "{none}");
    let reading = answer(list("secret-a").header("x-mcp-readonly", "true")).await;
    assert!(names(&reading).contains(&"echo") && !names(&reading).contains(&"slow"), "{reading}");
    // What is not listed cannot be called.
    let call = server.modern_call("slow", &json!({})).bearer_auth("secret-e");
    assert_eq!(answer(call).await["error"]["code"], -32602);
    let post = server.client.post(server.url("/api/tools/slow")).bearer_auth("secret-e");
    assert_eq!(status(post.json(&json!({}))).await, 404);
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_yours_is_not_there() {
    let bench = bench().await;
    let server = HttpBench::serve(&bench).await;
    let call = |secret: &str, tool: &str, arguments: Value| {
        server.modern_call(tool, &arguments).bearer_auth(secret.to_owned())
    };
    // A job.
    let started = answer(call("secret-a", "slow", json!({"text": "mine"}))).await;
    let job = started["result"]["structuredContent"]["job_id"].clone();
    assert!(job.is_string(), "{started}");
    let unknown_id = "00000000-0000-4000-8000-000000000000";
    for tool in ["get_job", "cancel_job"] {
        let foreign = answer(call("secret-b", tool, json!({"job_id": job}))).await;
        let unknown = answer(call("secret-b", tool, json!({"job_id": unknown_id}))).await;
        let foreign = text_json(&foreign["result"]);
        let unknown = text_json(&unknown["result"]);
        assert_eq!(foreign["code"], "job_not_found");
        assert_eq!(
            foreign["message"].as_str().unwrap().replace(job.as_str().unwrap(), unknown_id),
            unknown["message"].as_str().unwrap(),
        );
    }
    bench.gate.open();
    let mine = answer(call("secret-a", "get_job", json!({"job_id": job}))).await;
    assert_eq!(mine["result"]["structuredContent"]["text"], "mine", "{mine}");
    // A result behind a reference.
    let reference =
        format!("@@ref_{}__text", mine["result"]["structuredContent"]["call_id"].as_str().unwrap());
    let foreign = answer(call("secret-b", "echo", json!({"text": reference}))).await;
    assert_eq!(foreign["result"]["isError"], true, "{foreign}");
    // A session.
    let session = server.open_session(Some("secret-a")).await;
    let list = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {}});
    let other = with_token(server.in_session(&session, &list), Some("secret-b"));
    assert_eq!(status(other).await, 404);
    let own = with_token(server.in_session(&session, &list), Some("secret-a"));
    assert_eq!(status(own).await, 200);
    // Also after a restart.
    server.stop().await;
    let later = bench
        .beside(|config| {
            config.auth.tokens = vec![token("ada", "secret-a", &[]), token("bob", "secret-b", &[])];
        })
        .await;
    let server = HttpBench::serve(&later).await;
    let other = with_token(server.in_session(&session, &list), Some("secret-b"));
    assert_eq!(status(other).await, 404);
    let own = with_token(server.in_session(&session, &list), Some("secret-a"));
    assert_eq!(status(own).await, 200);
    server.stop().await;
}
