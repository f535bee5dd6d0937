//! The HTTP API beside MCP, health and metrics.

use serde_json::{Value, json};

use super::bench::{Bench, within};
use super::http_client::{HttpBench, send, status};

async fn post(server: &HttpBench, tool: &str, arguments: &Value) -> (u16, Value) {
    let url = server.url(&format!("/api/tools/{tool}"));
    let response = send(server.client.post(url).json(arguments)).await;
    let status = response.status().as_u16();
    (status, within(response.json()).await.unwrap())
}

#[tokio::test]
async fn tools_are_called_as_plain_json() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    let listed: Value =
        send(server.client.get(server.url("/api/tools"))).await.json().await.unwrap();
    let tools = listed["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "echo" && tool["toolset"] == "documents"));

    let (status, result) = post(&server, "echo", &json!({"text": "hi"})).await;
    assert_eq!((status, &result["text"]), (200, &json!("hi")));
    assert_eq!(result["call_id"].as_str().unwrap().len(), 8);
    let (status, error) = post(&server, "echo", &json!({"count": 77})).await;
    assert_eq!((status, &error["status"]), (400, &json!("error")), "{error}");
    let (status, error) = post(&server, "no_such_tool", &json!({})).await;
    assert_eq!((status, &error["code"]), (404, &json!("unknown_tool")));
    let (status, error) = post(&server, "get_job", &json!({"job_id": "none"})).await;
    assert_eq!((status, &error["code"]), (404, &json!("job_not_found")));
    let (status, error) = post(&server, "panicking", &json!({})).await;
    assert_eq!((status, &error["code"]), (500, &json!("internal_panic")));

    let raw = |body: &'static str, kind: &'static str| {
        server.client.post(server.url("/api/tools/echo")).header("content-type", kind).body(body)
    };
    assert_eq!(self::status(raw("{nonsense", "application/json")).await, 400);
    assert_eq!(self::status(raw("{}", "text/plain")).await, 415);
    let large = json!({"text": "x".repeat(9 << 20)});
    let request = server.client.post(server.url("/api/tools/echo")).json(&large);
    assert_eq!(self::status(request).await, 413);
    assert_eq!(self::status(server.client.get(server.url("/api/tools/echo"))).await, 405);
    server.stop().await;
}

#[tokio::test]
async fn jobs_and_completions_go_on_over_the_api() {
    let bench = Bench::with(|config| config.limits.answer_budget_s = 0.05).await;
    let server = HttpBench::serve(&bench).await;
    let (status, running) = post(&server, "slow", &json!({"text": "x"})).await;
    assert_eq!((status, &running["status"]), (202, &json!("running")));
    bench.gate.open();
    let (status, done) = post(&server, "get_job", &json!({"job_id": running["job_id"]})).await;
    assert_eq!((status, &done["text"]), (200, &json!("x")));
    let (_, asked) = post(&server, "ask", &json!({"text": "Why?"})).await;
    assert_eq!(asked["status"], "needs_completion");
    let arguments = json!({"handle": asked["handle"], "text": "So."});
    let (_, done) = post(&server, "submit_completion", &arguments).await;
    assert_eq!(done["answer"], "So.");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_stops_its_call() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    let url = server.url("/api/tools/slow");
    let leaving = tokio::spawn(server.client.post(url).json(&json!({})).send());
    bench.gate.started(1).await;
    leaving.abort();
    bench.gate.stopped(1).await;
    server.stop().await;
}

#[tokio::test]
async fn the_description_has_every_tool() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    let document: Value =
        send(server.client.get(server.url("/api/openapi.json"))).await.json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let echo = &document["paths"]["/api/tools/echo"]["post"];
    assert_eq!(echo["operationId"], "echo");
    let schema = &echo["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(schema["properties"]["count"]["maximum"], 9);
    server.stop().await;
}

#[tokio::test]
async fn health_and_figures_are_told() {
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    assert_eq!(status(server.client.get(server.url("/health/live"))).await, 200);
    let response = send(server.client.get(server.url("/health/ready"))).await;
    assert_eq!(response.status(), 200);
    let report: Value = within(response.json()).await.unwrap();
    assert_eq!(report, json!({"status": "ok", "catalog": "ok", "blobs": "ok"}));

    post(&server, "echo", &json!({"text": "a"})).await;
    post(&server, "echo", &json!({"count": 77})).await;
    post(&server, "made_up_by_the_caller", &json!({})).await;
    let figures = send(server.client.get(server.url("/metrics"))).await.text().await.unwrap();
    assert!(
        figures.contains("atelier_tool_calls_total{tool=\"echo\",outcome=\"success\"} 1"),
        "{figures}"
    );
    assert!(
        figures.contains("atelier_tool_call_duration_seconds_count{tool=\"echo\"} 2"),
        "{figures}"
    );
    assert!(figures.contains("atelier_http_requests_in_flight 0"), "{figures}");
    assert!(figures.contains("atelier_egress_bytes_total{direction=\"received\"} "), "{figures}");
    assert!(!figures.contains("made_up"), "{figures}");
    server.stop().await;
}
