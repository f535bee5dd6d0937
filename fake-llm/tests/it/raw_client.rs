//! An HTTP client that shows transfer chunks and how the connection ended.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use fake_llm::{FakeLlm, Vendor};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How an answer ended for HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Last chunk or promised length reached, or no framing and FIN.
    Complete,
    /// FIN too early.
    Torn,
    /// RST.
    Reset,
}

/// An answer with its transfer chunks.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) head: String,
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) ended: Ended,
    pub(crate) elapsed: Duration,
}

impl RawAnswer {
    pub(crate) fn status(&self) -> u16 {
        let word = self.head.split(' ').nth(1).unwrap_or_default();
        word.parse().unwrap_or(0)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(candidate, _)| *candidate == name)
            .map(|(_, value)| value)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes()).unwrap()
    }

    /// The JSON of every event or line; `[DONE]` is left out.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| line.strip_prefix("data: ").unwrap_or(line))
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// The path of a vendor's chat endpoint.
pub(crate) fn path(vendor: Vendor, streaming: bool) -> &'static str {
    match (vendor, streaming) {
        (Vendor::Gemini, true) => "/v1beta/models/model-1:streamGenerateContent?alt=sse",
        (Vendor::Gemini, false) => "/v1beta/models/model-1:generateContent",
        (Vendor::GeminiInteractions, _) => "/v1beta/interactions",
        (Vendor::Anthropic, _) => "/v1/messages",
        (Vendor::OpenaiChat, _) => "/v1/chat/completions",
        (Vendor::OpenaiResponses, _) => "/v1/responses",
        (Vendor::Ollama, _) => "/api/chat",
    }
}

/// A minimal request in the vendor's form.
pub(crate) fn body(vendor: Vendor, streaming: bool) -> Value {
    match vendor {
        Vendor::Gemini => json!({ "contents": [{ "role": "user", "parts": [{ "text": "hi" }] }] }),
        Vendor::GeminiInteractions | Vendor::OpenaiResponses => {
            json!({ "model": "model-1", "input": "hi", "stream": streaming })
        }
        Vendor::Anthropic | Vendor::Ollama => json!({
            "model": "model-1",
            "stream": streaming,
            "messages": [{ "role": "user", "content": "hi" }],
        }),
        Vendor::OpenaiChat => json!({
            "model": "model-1",
            "stream": streaming,
            "stream_options": { "include_usage": true },
            "messages": [{ "role": "user", "content": "hi" }],
        }),
    }
}

/// Sends the minimal request and reads the answer to its end.
pub(crate) async fn ask(server: &FakeLlm, vendor: Vendor, streaming: bool) -> RawAnswer {
    post(server, path(vendor, streaming), &body(vendor, streaming)).await
}

pub(crate) async fn post(server: &FakeLlm, path: &str, body: &Value) -> RawAnswer {
    let started = Instant::now();
    let stream = send(server, path, body).await;
    receive(stream, started).await
}

pub(crate) async fn get(server: &FakeLlm, path: &str, headers: &str) -> RawAnswer {
    let started = Instant::now();
    let mut stream = connect(server).await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: fake\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    receive(stream, started).await
}

/// Sends a request and leaves the answer to the caller.
pub(crate) async fn send(server: &FakeLlm, path: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = connect(server).await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: fake\r\nContent-Type: application/json\r\n\
         X-Api-Key: test-key\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

pub(crate) async fn connect(server: &FakeLlm) -> TcpStream {
    let url = server.base_url();
    TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap()
}

pub(crate) async fn receive(mut stream: TcpStream, started: Instant) -> RawAnswer {
    let mut bytes = Vec::new();
    let mut reset = false;
    loop {
        match stream.read_buf(&mut bytes).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                reset = true;
                break;
            }
        }
    }
    let elapsed = started.elapsed();
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let rest = head_end.map_or(Vec::new(), |end| bytes.split_off(end + 4));
    let head = String::from_utf8(bytes).unwrap();
    let (chunks, complete) = unframe(&head, rest);
    let ended = match (reset, complete) {
        (true, _) => Ended::Reset,
        (false, true) => Ended::Complete,
        (false, false) => Ended::Torn,
    };
    RawAnswer { head, chunks, ended, elapsed }
}

fn unframe(head: &str, rest: Vec<u8>) -> (Vec<Vec<u8>>, bool) {
    if head.contains("transfer-encoding: chunked") {
        return unchunk(&rest);
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let complete = length.is_none_or(|length| length.parse::<usize>().unwrap() == rest.len());
    (vec![rest], complete)
}

fn unchunk(mut rest: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut chunks = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        rest = &rest[end + 2..];
        if size == 0 {
            return (chunks, true);
        }
        chunks.push(rest[..size].to_vec());
        rest = &rest[size + 2..];
    }
    (chunks, false)
}
