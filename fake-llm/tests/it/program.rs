//! The program: prints its address, serves the script, and fails when a request was unmatched.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

async fn start(script: &str) -> (Child, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script.json");
    std::fs::write(&file, script).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_fake-llm"))
        .arg("--script")
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let url = lines.next_line().await.unwrap().unwrap();
    (program, url, folder)
}

async fn ask(url: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let request = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn stop(mut program: Child) -> (Option<i32>, String) {
    let id = program.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let status = program.wait().await.unwrap();
    let mut complaints = String::new();
    program.stderr.take().unwrap().read_to_string(&mut complaints).await.unwrap();
    (status.code(), complaints)
}

#[tokio::test]
async fn it_serves_a_script_and_ends_well() {
    let script = r#"{ "rules": [{ "reply": { "parts": [{ "text": "from a file" }] } }] }"#;
    let (program, url, _folder) = start(script).await;
    assert!(ask(&url, "/v1/messages").await.contains("from a file"));
    assert_eq!(stop(program).await, (Some(0), String::new()));
}

#[tokio::test]
async fn it_fails_when_a_request_was_unmatched() {
    let (program, url, _folder) = start("{}").await;
    assert!(ask(&url, "/v1/messages").await.starts_with("HTTP/1.1 400 "));
    let (code, complaints) = stop(program).await;
    assert_eq!(code, Some(1));
    assert!(complaints.contains("unmatched: request 1 `POST /v1/messages`"), "{complaints}");
}
