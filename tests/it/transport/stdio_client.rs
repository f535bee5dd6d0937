//! A client over a pair of streams that sees every line.

use atelier::server::{ServeError, serve_io};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::bench::{Bench, within};

/// A connected client.
pub(crate) struct StdioClient {
    lines: Lines<BufReader<DuplexStream>>,
    input: Option<DuplexStream>,
    pub(crate) shutdown: CancellationToken,
    server: JoinHandle<Result<(), ServeError>>,
    next_id: i64,
    /// `_meta` of every request of protocol 2026-07-28.
    meta: Option<Value>,
    /// Messages that came while another was waited for.
    pub(crate) aside: Vec<Value>,
}

impl StdioClient {
    /// Connects and says nothing.
    pub(crate) fn connect(bench: &Bench) -> Self {
        let (input, server_input) = tokio::io::duplex(1 << 20);
        let (server_output, output) = tokio::io::duplex(1 << 20);
        let shutdown = CancellationToken::new();
        let serving = serve_io(bench.app.clone(), server_input, server_output, shutdown.clone());
        Self {
            lines: BufReader::new(output).lines(),
            input: Some(input),
            shutdown,
            server: tokio::spawn(serving),
            next_id: 0,
            meta: None,
            aside: Vec::new(),
        }
    }

    /// Connects as a client of an older protocol and shakes hands.
    pub(crate) async fn legacy(bench: &Bench, capabilities: Value) -> Self {
        let mut client = Self::connect(bench);
        let answer = client.initialize("2025-11-25", capabilities).await;
        assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
        client
    }

    /// Connects as a client of protocol 2026-07-28.
    pub(crate) fn modern(bench: &Bench, capabilities: &Value) -> Self {
        let mut client = Self::connect(bench);
        client.meta = Some(modern_meta(capabilities));
        client
    }

    /// The handshake of the older protocols.
    pub(crate) async fn initialize(&mut self, version: &str, capabilities: Value) -> Value {
        let params = json!({
            "protocolVersion": version,
            "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"},
        });
        let answer = self.request("initialize", params).await;
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        answer
    }

    /// Sends a line as it is.
    pub(crate) async fn send_raw(&mut self, line: &[u8]) {
        let input = self.input.as_mut().expect("the input is open");
        within(async {
            input.write_all(line).await.unwrap();
            input.write_all(b"\n").await.unwrap();
        })
        .await;
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_raw(message.to_string().as_bytes()).await;
    }

    /// Sends a request and returns its id.
    pub(crate) async fn start(&mut self, method: &str, mut params: Value) -> i64 {
        self.next_id += 1;
        if let (Some(meta), Some(params)) = (&self.meta, params.as_object_mut()) {
            let own = params.get("_meta").cloned();
            let mut meta = meta.clone();
            if let (Some(Value::Object(own)), Some(meta)) = (own, meta.as_object_mut()) {
                meta.extend(own);
            }
            params.insert("_meta".into(), meta);
        }
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        id
    }

    /// The next message; every line must be one.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let line = within(self.lines.next_line()).await.unwrap()?;
        let message: Value = serde_json::from_str(&line).expect("a line that is not JSON");
        assert_eq!(message["jsonrpc"], "2.0", "a line that is not JSON-RPC: {line}");
        Some(message)
    }

    /// Waits for the answer to a request; other messages are laid aside.
    pub(crate) async fn answer(&mut self, id: i64) -> Value {
        if let Some(at) = self.aside.iter().position(|message| is_answer(message, id)) {
            return self.aside.remove(at);
        }
        loop {
            let message = self.next().await.expect("the server left without an answer");
            if is_answer(&message, id) {
                return message;
            }
            self.aside.push(message);
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.start(method, params).await;
        self.answer(id).await
    }

    /// Calls a tool and returns its result, or the error.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// Ends the input, as a client does that leaves.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    /// Waits for the end of the server; nothing may come on the line any more but JSON-RPC.
    pub(crate) async fn ended(mut self) -> Vec<Value> {
        while let Some(message) = self.next().await {
            self.aside.push(message);
        }
        within(self.server).await.unwrap().unwrap();
        self.aside
    }
}

fn is_answer(message: &Value, id: i64) -> bool {
    message.get("method").is_none() && message["id"] == id
}

/// `_meta` of a request of protocol 2026-07-28.
pub(crate) fn modern_meta(capabilities: &Value) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    })
}

/// The JSON in the first text of a result.
pub(crate) fn text_json(result: &Value) -> Value {
    let text = result["content"][0]["text"].as_str().expect("a text");
    serde_json::from_str(text).expect("JSON in the text")
}
