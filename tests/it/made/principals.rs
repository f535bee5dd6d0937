//! Two principals over HTTP: each has its own servers, and neither learns of the other's.

use atelier::config::auth::TokenConfig;
use atelier::storage::blobs::sha256_hex;
use serde_json::{Value, json};

use super::Api;
use crate::support::factory_python::environment;
use crate::transport::bench::{Bench, within};
use crate::transport::http_client::{HttpBench, answer, send};

/// A tool's result for the holder of a token.
async fn call(server: &HttpBench, who: &str, tool: &str, arguments: Value) -> Value {
    let answer = answer(server.modern_call(tool, &arguments).bearer_auth(who)).await;
    match answer["result"]["structuredContent"].clone() {
        Value::Null => match answer["result"]["content"][0]["text"].as_str() {
            Some(text) => serde_json::from_str(text).unwrap(),
            None => answer,
        },
        result => result,
    }
}

async fn names(server: &HttpBench, who: &str) -> Vec<String> {
    let found = call(server, who, "search_tools", json!({"query": "journeys by train"})).await;
    let tools = found["tools"].as_array().unwrap_or_else(|| panic!("{found:#}"));
    let names = tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned());
    names.filter(|name| name.contains("__")).collect()
}

/// What a client in a session hears beside its answers.
struct Heard {
    stream: reqwest::Response,
    text: String,
}

impl Heard {
    async fn open(server: &HttpBench, who: &str) -> Self {
        let session = server.open_session(Some(who)).await;
        let stream = server
            .client
            .get(server.url("/mcp"))
            .header("accept", "text/event-stream")
            .header("mcp-session-id", &session)
            .bearer_auth(who);
        Self { stream: send(stream).await, text: String::new() }
    }

    fn changes(&self) -> usize {
        self.text.matches("notifications/tools/list_changed").count()
    }

    /// Waits until the list has changed so often.
    async fn changed(&mut self, times: usize) {
        while self.changes() < times {
            let piece = within(self.stream.chunk()).await.unwrap().expect("an open stream");
            self.text.push_str(&String::from_utf8_lossy(&piece));
        }
        assert_eq!(self.changes(), times, "{}", self.text);
    }
}

#[tokio::test]
async fn servers_belong_to_who_made_them() {
    let (of_ada, of_bob) = (Api::start().await, Api::start().await);
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::with(|config| {
        config.storage.data_dir = folder.path().to_owned();
        config.limits.answer_budget_s = 60.0;
        config.factory.environment = Some(environment());
        config.factory.unsandboxed = true;
        config.factory.variables.insert("KEY".to_owned(), "k".to_owned());
        config.catalog.expose_at_most = 20;
        config.auth.tokens = ["ada", "bob"]
            .map(|name| TokenConfig {
                principal: name.to_owned(),
                sha256: sha256_hex(name.as_bytes()).0,
                toolsets: Vec::new(),
            })
            .to_vec();
    })
    .await;
    let server = HttpBench::serve(&bench).await;
    let start = json!({"server_name": "trips"});
    let mut heard_by_ada = Heard::open(&server, "ada").await;
    let mut heard_by_bob = Heard::open(&server, "bob").await;

    let made =
        call(&server, "ada", "create_mcp_server", json!({"openapi": of_ada.document()})).await;
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    let started = call(&server, "ada", "start_mcp_server", start.clone()).await;
    assert_eq!(started["status"], "success", "{started:#}");
    assert_eq!(names(&server, "ada").await.len(), 3);
    heard_by_ada.changed(1).await;

    // Neither found, described, listed, called nor suggested for the other one.
    assert!(names(&server, "bob").await.is_empty());
    for (tool, arguments) in [
        ("describe_tool", json!({"name": "trips__getTrip"})),
        ("call_tool", json!({"name": "trips__getTrip", "arguments": {"id": 1}})),
        ("call_tool", json!({"name": "trips__getTripp", "arguments": {"id": 1}})),
    ] {
        let refused = call(&server, "bob", tool, arguments).await;
        assert_eq!(refused["code"], "unknown_tool", "{refused:#}");
        assert!(!refused["hint"].as_str().unwrap().contains("trips"), "{refused:#}");
    }
    let near = call(&server, "ada", "describe_tool", json!({"name": "trips__getTripp"})).await;
    assert!(near["hint"].as_str().unwrap().contains("trips__getTrip"), "{near:#}");
    let raw =
        answer(server.modern_call("trips__getTrip", &json!({"id": 1})).bearer_auth("bob")).await;
    assert!(raw["error"]["message"].as_str().unwrap().contains("Unknown tool"), "{raw:#}");
    let code = json!({"code": "[tool['name'] for tool in _list_tools()]"});
    let seen = call(&server, "bob", "execute_python_code", code.clone()).await;
    assert!(!seen.to_string().contains("trips__"), "{seen:#}");
    let seen = call(&server, "ada", "execute_python_code", code).await;
    assert!(seen.to_string().contains("trips__getTrip"), "{seen:#}");
    let listing = |who: &'static str| {
        let path = server.url("/api/tools/list_mcp_servers");
        let request = server.client.post(path).bearer_auth(who).json(&json!({}));
        async move { answer(request).await }
    };
    assert_eq!(listing("bob").await["servers"], json!([]));
    let unknown = call(&server, "bob", "stop_mcp_server", start.clone()).await;
    assert_eq!(unknown["code"], "factory_unknown_server", "{unknown:#}");

    // The same name for another server of somebody else.
    let made =
        call(&server, "bob", "create_mcp_server", json!({"openapi": of_bob.document()})).await;
    assert_eq!(made["server_name"], "trips", "{made:#}");
    let started = call(&server, "bob", "start_mcp_server", start.clone()).await;
    assert_eq!(started["catalog_name"], "trips", "{started:#}");
    // The first that he hears: what became of her list was not his.
    heard_by_bob.changed(1).await;
    for who in ["ada", "bob"] {
        let answer = call(&server, who, "trips__listTrips", json!({})).await;
        assert_eq!(answer["result"]["data"][0]["to"], "Porto", "{answer:#}");
    }
    let calls = |api: &Api| api.keys.lock().unwrap().len();
    assert_eq!((calls(&of_ada), calls(&of_bob)), (1, 1), "each reached its own API");

    // What one stops, the other keeps.
    let stopped = call(&server, "ada", "stop_mcp_server", start).await;
    assert_eq!(stopped["stopped"], true, "{stopped:#}");
    assert!(names(&server, "ada").await.is_empty());
    assert_eq!(names(&server, "bob").await.len(), 3);
    heard_by_ada.changed(2).await;
    server.stop().await;
    bench.app.shut_down().await;
}
