//! The real binary in an installation of its own, spoken to in raw JSON-RPC over stdio, so that
//! nothing of the protocol library stands on both sides.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Longest wait for one answer; only a defect reaches it.
const ANSWER_LIMIT: Duration = Duration::from_mins(3);

/// An installation: a data folder and a home that nobody else uses.
pub(crate) struct Installation {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Installation {
    /// A fresh one without keys.
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// Adds an environment variable for every process of it.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// The data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder outside the data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program with these arguments, in a clean environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_atelier")), arguments)
    }

    /// Another program that starts ours, in the same environment.
    pub(crate) fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.folder.path())
            .env("ATELIER_DATA_DIR", self.data())
            .env("ATELIER_LOG", "warn")
            // Few tests run code, and every process would start an interpreter.
            .env("ATELIER_PYTHON__WARM_UP", "false")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Writes a file outside the data folder.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs the program to its end, with nothing on its input.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Finished {
        let output = self.command(arguments).output();
        let output = tokio::time::timeout(ANSWER_LIMIT, output).await.expect("it does not end");
        let output = output.unwrap();
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A process on stdio that has been greeted in the old way.
    pub(crate) async fn stdio(&self) -> StdioClient {
        let mut client = StdioClient::start(self.command(&["stdio"]));
        client.initialize(json!({})).await;
        client
    }
}

/// What a run of the program left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// What it printed, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One process on stdio.
pub(crate) struct StdioClient {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    next_id: u64,
    /// Sent with every request, for the era without a greeting.
    meta: Option<Value>,
    /// What the client's own model answers, when it offers one.
    sampling_answer: Option<Value>,
    /// Sampling requests that arrived.
    pub(crate) sampled: Vec<Value>,
    /// Folders that the client's user has open.
    pub(crate) roots: Vec<std::path::PathBuf>,
    /// What the client's user answers when asked.
    pub(crate) elicitation_answer: Option<Value>,
    /// Questions to the user that arrived.
    pub(crate) elicited: Vec<Value>,
    /// Hears of every notification.
    pub(crate) on_notification: Option<Box<dyn FnMut(&Value) + Send>>,
}

impl StdioClient {
    /// Starts a process.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            input,
            output,
            next_id: 0,
            meta: None,
            sampling_answer: None,
            sampled: Vec::new(),
            roots: Vec::new(),
            elicitation_answer: None,
            elicited: Vec::new(),
            on_notification: None,
        }
    }

    /// Greets as clients up to 2025-11-25 do.
    pub(crate) async fn initialize(&mut self, capabilities: Value) -> Value {
        let result = self
            .request(
                "initialize",
                json!({
                    "protocolVersion": "2025-11-25",
                    "capabilities": capabilities,
                    "clientInfo": {"name": "test", "version": "1"},
                }),
            )
            .await;
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        result
    }

    /// Speaks as clients from 2026-07-28 on do: every request says who asks.
    pub(crate) fn modern(&mut self, capabilities: &Value) {
        self.meta = Some(json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": capabilities,
        }));
    }

    /// Answers sampling requests with this result, or with an error when it has a `code`.
    pub(crate) fn answer_sampling(&mut self, answer: Value) {
        self.sampling_answer = Some(answer);
    }

    /// Sends a line.
    pub(crate) async fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
        input.flush().await.unwrap();
    }

    /// A request's whole answer, error or not.
    pub(crate) async fn exchange(&mut self, method: &str, mut params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        if let Some(meta) = &self.meta {
            let own = params.get("_meta").cloned();
            params["_meta"] = meta.clone();
            for (key, value) in own.as_ref().and_then(Value::as_object).into_iter().flatten() {
                params["_meta"][key] = value.clone();
            }
        }
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await;
        tokio::time::timeout(ANSWER_LIMIT, self.answer_to(id)).await.unwrap_or_else(|_| {
            panic!("no answer to `{method}`");
        })
    }

    async fn answer_to(&mut self, id: u64) -> Value {
        loop {
            let line = self.output.next_line().await.unwrap().expect("the process ended");
            let message: Value = serde_json::from_str(&line).expect("a line is not JSON");
            assert_eq!(message["jsonrpc"], "2.0", "not JSON-RPC: {line}");
            if message["method"] == "sampling/createMessage" {
                self.sampled.push(message["params"].clone());
                let answer = self.sampling_answer.clone().expect("no answer to sampling was set");
                let kind = if answer.get("code").is_some() { "error" } else { "result" };
                self.send(&json!({"jsonrpc": "2.0", "id": message["id"], kind: answer})).await;
            } else if message["method"] == "elicitation/create" {
                self.elicited.push(message["params"].clone());
                let answer = self.elicitation_answer.clone().expect("nobody answers questions");
                self.send(&json!({"jsonrpc": "2.0", "id": message["id"], "result": answer})).await;
            } else if message["method"] == "roots/list" {
                let roots: Vec<Value> = self
                    .roots
                    .iter()
                    .map(|root| json!({"uri": format!("file://{}", root.display())}))
                    .collect();
                let answer =
                    json!({"jsonrpc": "2.0", "id": message["id"], "result": {"roots": roots}});
                self.send(&answer).await;
            } else if message["id"] == json!(id) {
                return message;
            } else if message.get("id").is_none()
                && let Some(hear) = &mut self.on_notification
            {
                hear(&message);
            }
        }
    }

    /// A request's result.
    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        let answer = self.exchange(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// A tool's whole result.
    pub(crate) async fn call_raw(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// A tool's structured result, or the JSON of its error.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let result = self.call_raw(tool, arguments).await;
        structured(&result)
    }

    /// Process id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id().expect("the process has ended")
    }

    /// Ends the process without warning.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Closes its input and waits for its end; returns its exit code and what it logged.
    pub(crate) async fn close(mut self) -> (Option<i32>, String) {
        drop(self.input.take());
        let mut log = String::new();
        let mut errors = self.child.stderr.take().unwrap();
        let ending = async {
            errors.read_to_string(&mut log).await.unwrap();
            self.child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(ANSWER_LIMIT, ending).await.expect("it does not end");
        (status.code(), log)
    }
}

/// The structured part of a tool's result; for an error, the JSON of its text.
pub(crate) fn structured(result: &Value) -> Value {
    if result["isError"] == true {
        assert!(result.get("structuredContent").is_none(), "an error has structured content");
        let text = result["content"][0]["text"].as_str().unwrap();
        return serde_json::from_str(text).unwrap();
    }
    let value = result["structuredContent"].clone();
    let text = result["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), value, "text and structure differ");
    value
}

/// Status and body of a page on loopback.
pub(crate) async fn get(url: &str) -> (u16, String) {
    let (status, body) = get_bytes(url).await;
    (status, String::from_utf8(body).unwrap())
}

/// Status and body of anything on loopback.
pub(crate) async fn get_bytes(url: &str) -> (u16, Vec<u8>) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    // HTTP/1.0: the body ends with the connection.
    let request = format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body)
}
