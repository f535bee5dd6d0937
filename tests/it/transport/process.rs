//! The real binary on stdio as processes see it: pipes, files and sockets, signals, and what is
//! left afterwards.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use fake_llm::{FakeLlm, Fault, Outcome, Reply, Rule, Script};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::bench::{PATIENCE, until, within};
use crate::support::product::Installation;

const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tea</title></head><body><h1>Tea timer</h1></body></html>";

/// A model that answers after a while.
async fn slow_model() -> FakeLlm {
    let rule = Rule::reply(Reply::text(PAGE)).fault(Fault::StallHeaders { millis: Some(700) });
    FakeLlm::start(Script::new().rule(rule)).await.unwrap()
}

/// A model that never answers.
async fn silent_model() -> FakeLlm {
    let rule = Rule::reply(Reply::text(PAGE)).fault(Fault::StallHeaders { millis: None });
    FakeLlm::start(Script::new().rule(rule)).await.unwrap()
}

fn handshake() -> String {
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }});
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    format!("{initialize}\n{initialized}\n")
}

fn call(id: i64, tool: &str, arguments: &Value) -> String {
    let params = json!({"name": tool, "arguments": arguments});
    format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
}

/// A process with a call of `create_web_app` in flight at the model.
struct InFlight {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl InFlight {
    async fn start(installation: &Installation, model: &FakeLlm) -> Self {
        let mut child = installation.command(&["stdio"]).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let request = call(1, "create_web_app", &json!({"user_request": "a tea timer"}));
        input.write_all((handshake() + &request).as_bytes()).await.unwrap();
        let asked = |requests: &[fake_llm::CapturedRequest]| {
            requests.iter().any(|request| request.vendor.is_some())
        };
        model.wait_for(PATIENCE, asked).await.unwrap();
        Self { child, input, output }
    }

    /// Everything that comes until the end of the output, and how the process ended.
    async fn rest(mut self) -> (Vec<Value>, ExitStatus) {
        let mut messages = Vec::new();
        while let Some(line) = within(self.output.next_line()).await.unwrap() {
            messages.push(message(&line));
        }
        (messages, within(self.child.wait()).await.unwrap())
    }
}

/// A line of standard output, which must be a message.
fn message(line: &str) -> Value {
    let message: Value = serde_json::from_str(line).expect("a line that is not JSON");
    assert_eq!(message["jsonrpc"], "2.0", "a line that is not JSON-RPC: {line}");
    message
}

fn answer(messages: &[Value], id: i64) -> Option<&Value> {
    messages.iter().find(|message| message["id"] == id && message.get("method").is_none())
}

async fn terminate(process: &Child) {
    let id = process.id().expect("the process has ended").to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
    assert!(sent.success());
}

fn with_model(model: &FakeLlm) -> Installation {
    // What is tested is the process and its calls, so no browser takes part in them.
    Installation::new()
        .with("OPENAI_BASE_URL", model.base_url())
        .with("ATELIER_BROWSER__VERIFY", "false")
}

#[tokio::test]
async fn sigterm_waits_for_the_call_in_flight() {
    let model = slow_model().await;
    let installation = with_model(&model);
    let running = InFlight::start(&installation, &model).await;
    terminate(&running.child).await;
    let (messages, status) = running.rest().await;
    let made = &answer(&messages, 1).expect("no answer")["result"]["structuredContent"];
    assert_eq!(made["status"], "success", "{made}");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn the_end_of_input_waits_for_the_call_in_flight() {
    let model = slow_model().await;
    let installation = with_model(&model);
    let InFlight { child, input, output } = InFlight::start(&installation, &model).await;
    drop(input);
    let mut output = output;
    let mut messages = Vec::new();
    while let Some(line) = within(output.next_line()).await.unwrap() {
        messages.push(message(&line));
    }
    let made = &answer(&messages, 1).expect("no answer")["result"]["structuredContent"];
    assert_eq!(made["status"], "success", "{made}");
    let mut child = child;
    assert_eq!(within(child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn the_wait_for_a_call_in_flight_has_an_end() {
    let model = silent_model().await;
    let installation = with_model(&model).with("ATELIER_LIMITS__SHUTDOWN_GRACE_S", "0.2");
    let running = InFlight::start(&installation, &model).await;
    terminate(&running.child).await;
    let (_, status) = running.rest().await;
    assert!(status.code().is_some(), "{status}");
    // The model was let go of, not left to write for nobody.
    let closed = |requests: &[fake_llm::CapturedRequest]| {
        requests.iter().any(|request| matches!(request.outcome, Outcome::ClosedEarly { .. }))
    };
    model.wait_for(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn files_serve_as_input_and_output() {
    let installation = Installation::new();
    let input = installation.folder().join("requests");
    let output = installation.folder().join("answers");
    let mut requests = handshake();
    for id in 1..=20 {
        requests += &call(id, "list_web_apps", &json!({}));
    }
    requests += "this is no message\n";
    requests += &call(21, "get_job", &json!({"job_id": "none"}));
    std::fs::write(&input, requests).unwrap();
    let mut child = installation
        .command(&["stdio"])
        .env("ATELIER_LOG", "trace")
        .stdin(std::fs::File::open(&input).unwrap())
        .stdout(std::fs::File::create(&output).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(within(child.wait()).await.unwrap().code(), Some(0));
    let messages: Vec<Value> =
        std::fs::read_to_string(&output).unwrap().lines().map(message).collect();
    for id in 0..=21 {
        assert!(answer(&messages, id).is_some(), "no answer to {id}");
    }
}

/// Node gives its children sockets, which are read on a thread that no signal interrupts.
#[tokio::test]
async fn sigterm_ends_a_process_that_reads_a_socket() {
    let installation = Installation::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut ours = tokio::net::UnixStream::from_std(ours).unwrap();
    let mut child =
        installation.command(&["stdio"]).stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    ours.write_all(handshake().as_bytes()).await.unwrap();
    let line = within(output.next_line()).await.unwrap().unwrap();
    assert_eq!(message(&line)["id"], 0);
    terminate(&child).await;
    assert_eq!(within(child.wait()).await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn no_process_is_left_behind() {
    let model = slow_model().await;
    // The browser that looked at the page is among those that must not stay.
    let installation = with_model(&model).with("ATELIER_BROWSER__VERIFY", "true");
    let running = InFlight::start(&installation, &model).await;
    let parent = running.child.id().unwrap();
    terminate(&running.child).await;
    running.rest().await;
    until(|| children_of(parent).is_empty()).await;
}

/// Processes whose parent is, or whose session was made by, this one.
fn children_of(parent: u32) -> Vec<String> {
    let stats = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats
        .filter(|stat| {
            // After the name in parentheses: state, parent, group, session.
            let fields: Vec<&str> =
                stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
            let parent = parent.to_string();
            fields.get(1) == Some(&parent.as_str()) || fields.get(3) == Some(&parent.as_str())
        })
        .collect()
}

#[tokio::test]
async fn a_client_that_stops_reading_and_leaves_is_survived() {
    let installation = Installation::new();
    let mut child = installation.command(&["stdio"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    drop(child.stdout.take());
    input.write_all(handshake().as_bytes()).await.unwrap();
    for id in 1..=5 {
        // The process may be gone already.
        let _ = input.write_all(call(id, "list_web_apps", &json!({})).as_bytes()).await;
    }
    drop(input);
    let ended = tokio::time::timeout(Duration::from_mins(1), child.wait()).await;
    assert!(ended.expect("it does not end").is_ok());
}
