//! What stands around every call of a started server: signing in, renewing, repeating, limits, and
//! what it tells of itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::installation;
use crate::support::factory_python::environment;
use crate::transport::http_client::plain_client;

/// An API with a token server of its own.
#[derive(Default)]
struct Seen {
    /// Forms that came for tokens.
    forms: Vec<BTreeMap<String, String>>,
    /// The token that counts.
    token: String,
    /// How often the unreliable part was asked.
    unreliable: usize,
    /// How often something was made.
    made: usize,
}

type Shared = Arc<Mutex<Seen>>;

async fn token(State(seen): State<Shared>, body: String) -> (StatusCode, Json<Value>) {
    let form: BTreeMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let mut seen = seen.lock().unwrap();
    let good = form.get("client_id").is_some_and(|id| id == "the-client")
        && form.get("client_secret").is_some_and(|secret| secret == "the-secret");
    seen.forms.push(form);
    if !good {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"})));
    }
    seen.token = format!("token-{}", seen.forms.len());
    let answer = json!({
        "access_token": seen.token, "token_type": "bearer", "expires_in": 3600,
        "refresh_token": format!("refresh-{}", seen.forms.len()),
    });
    (StatusCode::OK, Json(answer))
}

fn is_signed(seen: &Seen, headers: &HeaderMap) -> bool {
    let sent = headers.get("authorization").and_then(|value| value.to_str().ok());
    sent.is_some_and(|sent| !seen.token.is_empty() && sent == format!("Bearer {}", seen.token))
}

async fn secure(State(seen): State<Shared>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    if is_signed(&seen.lock().unwrap(), &headers) {
        (StatusCode::OK, Json(json!({"secret": "told"})))
    } else {
        (StatusCode::UNAUTHORIZED, Json(json!({"error": "who are you"})))
    }
}

async fn unreliable(State(seen): State<Shared>) -> (StatusCode, Json<Value>) {
    let mut seen = seen.lock().unwrap();
    seen.unreliable += 1;
    let code = if seen.unreliable <= 2 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, Json(json!({"asked": seen.unreliable})))
}

async fn make(State(seen): State<Shared>) -> (StatusCode, Json<Value>) {
    seen.lock().unwrap().made += 1;
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "busy"})))
}

async fn serve(seen: &Shared) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let app = Router::new()
        .route("/token", post(token))
        .route("/secure", get(secure))
        .route("/unreliable", get(unreliable).post(make))
        .with_state(Arc::clone(seen));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
}

fn document(address: SocketAddr) -> String {
    let operation = |id: &str, signed: bool| {
        let security = if signed { json!([{"door": ["read"]}]) } else { json!([]) };
        json!({"operationId": id, "security": security, "responses": {"200": {"description": "ok"}}})
    };
    json!({
        "openapi": "3.0.3",
        "info": {"title": "Vault", "version": "1"},
        "servers": [{"url": format!("http://{address}")}],
        "components": {"securitySchemes": {"door": {"type": "oauth2", "flows": {
            "clientCredentials": {"tokenUrl": format!("http://{address}/token"), "scopes": {"read": ""}},
        }}}},
        "paths": {
            "/secure": {"get": operation("readSecret", true)},
            "/unreliable": {"get": operation("ask", false), "post": operation("make", false)},
        },
    })
    .to_string()
}

#[tokio::test]
async fn a_started_server_signs_in_repeats_and_limits_itself() {
    let seen = Shared::default();
    let (address, api) = serve(&seen).await;
    let installation = installation()
        .with("ATELIER_FACTORY__VARIABLES__DOOR_CLIENT_ID", "the-client")
        .with("ATELIER_FACTORY__VARIABLES__DOOR_CLIENT_SECRET", "the-secret");
    let mut client = installation.stdio().await;
    let options = json!({
        "enable_metrics": true, "enable_rate_limiting": true, "rate_limit_requests": 6,
        "rate_limit_window_seconds": 3600, "retry_delay_seconds": 0.05,
    });
    let arguments = json!({"openapi": document(address), "options": options});
    let made = client.call("create_mcp_server", arguments).await;
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    let names: Vec<&str> = made["environment"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"DOOR_CLIENT_ID") && names.contains(&"DOOR_CLIENT_SECRET"),
        "{names:?}"
    );
    assert!(seen.lock().unwrap().forms.is_empty(), "the self-test stays away from the API");
    client.call("start_mcp_server", json!({"server_name": "vault"})).await;

    // It signs in once, and again when its token is refused.
    for _ in 0..2 {
        let told = client.call("vault__readSecret", json!({})).await;
        assert_eq!(told["result"]["data"]["secret"], "told", "{told}");
    }
    assert_eq!(seen.lock().unwrap().forms.len(), 1);
    seen.lock().unwrap().token = "another".to_owned();
    let told = client.call("vault__readSecret", json!({})).await;
    assert_eq!(told["result"]["data"]["secret"], "told", "{told}");
    {
        let seen = seen.lock().unwrap();
        let grants: Vec<&str> = seen.forms.iter().map(|form| form["grant_type"].as_str()).collect();
        assert_eq!(grants, ["client_credentials", "refresh_token"]);
        assert_eq!(seen.forms[0]["scope"], "read");
        assert_eq!(seen.forms[1]["refresh_token"], "refresh-1");
    }
    // What reads is repeated until it is answered; what makes something is not.
    let told = client.call("vault__ask", json!({})).await;
    assert_eq!(told["result"]["data"]["asked"], 3, "{told}");
    let refused = client.call("vault__make", json!({})).await;
    assert!(refused["status"] == "error" && refused.to_string().contains("503"), "{refused}");
    assert_eq!(seen.lock().unwrap().made, 1);
    // The sixth call is the last one.
    assert_eq!(client.call("vault__ask", json!({})).await["result"]["data"]["asked"], 4);
    let refused = client.call("vault__ask", json!({})).await;
    assert!(refused.to_string().contains("limit of 6 calls"), "{refused}");
    assert_eq!(seen.lock().unwrap().unreliable, 4);
    let path = made["path"].as_str().unwrap().to_owned();
    client.close().await;

    tells_of_itself(&path).await;
    api.abort();
}

/// Health, metrics and the log of the same package, served over HTTP.
async fn tells_of_itself(path: &str) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = tokio::process::Command::new(environment().join("bin/python"))
        .args(["server.py", "--http", &format!("127.0.0.1:{port}")])
        .current_dir(path)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let base = format!("http://127.0.0.1:{port}");
    let begun = Instant::now();
    let health: Value = loop {
        match plain_client().get(format!("{base}/health")).send().await {
            Ok(answer) => break answer.json().await.unwrap(),
            Err(_) => assert!(begun.elapsed() < Duration::from_mins(1), "it does not listen"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((&health["ok"], &health["tools"]), (&json!(true), &json!(3)), "{health}");
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "readSecret", "arguments": {}},
    });
    let answer = plain_client()
        .post(format!("{base}/mcp"))
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-06-18")
        .json(&call)
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    let told = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
    assert!(told.contains("DOOR_CLIENT_ID"), "it has no variables here: {answer}");
    let metrics = plain_client().get(format!("{base}/metrics")).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let line = "mcp_tool_calls_total{tool=\"readSecret\",outcome=\"error\"} 1";
    assert!(metrics.contains(line) && metrics.contains("mcp_tool_call_seconds_count"), "{metrics}");
    server.start_kill().unwrap();
    let output = server.wait_with_output().await.unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let call = lines.iter().find(|line| line["event"] == "call").unwrap_or_else(|| panic!("{log}"));
    assert_eq!(
        (&call["tool"], &call["outcome"]),
        (&json!("readSecret"), &json!("error")),
        "{call}"
    );
    assert!(call["duration_ms"].is_number() && call["time"].is_string(), "{call}");
}

/// A user agrees once to each of the providers that are known by name; the provider itself is played.
#[tokio::test]
async fn a_user_agrees_once_and_the_server_renews() {
    let installation = installation();
    let mut client = installation.stdio().await;
    let document = json!({
        "openapi": "3.0.3",
        "info": {"title": "Me", "version": "1"},
        "servers": [{"url": "https://api.example.com"}],
        "paths": {"/me": {"get": {"operationId": "me", "responses": {"200": {"description": "ok"}}}}},
    });
    for preset in ["github", "google", "azure"] {
        let arguments = json!({"openapi": document.to_string(), "name": preset, "auth": preset});
        let made = client.call("create_mcp_server", arguments).await;
        assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let ended = tokio::process::Command::new(environment().join("bin/python"))
            .arg(format!("{}/tests/clients/authorize.py", env!("CARGO_MANIFEST_DIR")))
            .args([made["path"].as_str().unwrap(), preset, &port.to_string()])
            .output()
            .await
            .unwrap();
        let told = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(told.trim(), "ok", "{preset}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    client.close().await;
}
