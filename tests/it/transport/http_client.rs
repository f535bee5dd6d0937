//! An HTTP client that can send what browsers and SDKs would not.

use std::net::SocketAddr;
use std::sync::Once;

use atelier::server::{HttpServer, ServeError};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, within};
use super::stdio_client::modern_meta;

/// A running server and a client of it.
pub(crate) struct HttpBench {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) client: Client,
    server: JoinHandle<Result<(), ServeError>>,
}

/// A client without TLS and proxies.
pub(crate) fn plain_client() -> Client {
    static TLS: Once = Once::new();
    TLS.call_once(|| {
        // Somebody else may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Client::builder().no_proxy().build().unwrap()
}

impl HttpBench {
    /// Serves the program on a free port.
    pub(crate) async fn serve(bench: &Bench) -> Self {
        Self::serve_with(HttpServer::new(bench.app.clone())).await
    }

    /// Serves on a free port.
    pub(crate) async fn serve_with(server: HttpServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let server = tokio::spawn(server.serve(listener, shutdown.clone()));
        Self { address, shutdown, client: plain_client(), server }
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A POST to `/mcp` as a client of an older protocol makes it.
    pub(crate) fn mcp(&self, message: &Value) -> RequestBuilder {
        self.client
            .post(self.url("/mcp"))
            .header("accept", "application/json, text/event-stream")
            .json(message)
    }

    /// A request of protocol 2026-07-28.
    pub(crate) fn modern(&self, method: &str, mut params: Value) -> RequestBuilder {
        let name = params.get("name").and_then(Value::as_str).map(str::to_owned);
        params["_meta"] = modern_meta(&json!({}));
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = self
            .mcp(&message)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        match name {
            Some(name) => request.header("mcp-name", name),
            None => request,
        }
    }

    /// A tool call of protocol 2026-07-28.
    pub(crate) fn modern_call(&self, tool: &str, arguments: &Value) -> RequestBuilder {
        self.modern("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Opens a session of an older protocol and returns its id.
    pub(crate) async fn open_session(&self, token: Option<&str>) -> String {
        self.open_session_as(token, json!({})).await
    }

    /// As [`Self::open_session`], with capabilities.
    pub(crate) async fn open_session_as(&self, token: Option<&str>, capabilities: Value) -> String {
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"},
        }});
        let response = send(with_token(self.mcp(&message), token)).await;
        assert_eq!(response.status(), 200);
        let id = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let answer = answer_of(response).await;
        assert_eq!(answer["result"]["serverInfo"]["name"], "atelier");
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let response = send(with_token(self.in_session(&id, &ready), token)).await;
        assert_eq!(response.status(), 202);
        id
    }

    /// A message in a session.
    pub(crate) fn in_session(&self, id: &str, message: &Value) -> RequestBuilder {
        self.mcp(message).header("mcp-session-id", id).header("mcp-protocol-version", "2025-06-18")
    }

    /// Asks the server to stop and waits for its end.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        within(self.server).await.unwrap().unwrap();
    }
}

/// Adds a bearer token.
pub(crate) fn with_token(request: RequestBuilder, token: Option<&str>) -> RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}

/// Sends a request, within the patience of the tests.
pub(crate) async fn send(request: RequestBuilder) -> Response {
    within(request.send()).await.unwrap()
}

/// The status of a request.
pub(crate) async fn status(request: RequestBuilder) -> u16 {
    send(request).await.status().as_u16()
}

/// The JSON-RPC answer in a response, be it JSON or an event stream.
pub(crate) async fn answer_of(response: Response) -> Value {
    let text = within(response.text()).await.unwrap();
    if let Ok(message) = serde_json::from_str(&text) {
        return message;
    }
    text.lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok())
        .find(|message| message.get("method").is_none() && message.get("id").is_some())
        .unwrap_or_else(|| panic!("no answer in: {text}"))
}

/// Sends a request and returns the JSON-RPC answer.
pub(crate) async fn answer(request: RequestBuilder) -> Value {
    answer_of(send(request).await).await
}
