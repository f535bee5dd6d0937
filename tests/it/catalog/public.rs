//! Public servers as they are published, and this program as a server of itself, in both
//! protocols and over both transports.

use std::path::{Path, PathBuf};

use atelier::config::Environment;
use atelier::config::mcp_servers::{Connection, Protocol, ServerSpec, StdioSpec, base_environment};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::Bench;
use crate::support::product::Installation;

/// Where `tests/clients/setup_servers.sh` puts everything.
fn folder() -> PathBuf {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/servers");
    let folder = std::env::var_os("ATELIER_TEST_SERVERS").map_or(default, PathBuf::from);
    assert!(
        folder.join("ready").exists(),
        "{} holds no MCP servers; run `tests/clients/setup_servers.sh`",
        folder.display()
    );
    folder
}

fn program(program: &Path, arguments: &[&str]) -> ServerSpec {
    ServerSpec::new(Connection::Stdio(StdioSpec {
        program: program.display().to_string(),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        environment: base_environment(&Environment::capture()),
        folder: None,
    }))
}

fn from_npm(name: &str, arguments: &[&str]) -> ServerSpec {
    let folder = folder();
    let script = folder.join("npm/node_modules/@modelcontextprotocol").join(name);
    let script = script.join("dist/index.js").display().to_string();
    let arguments = [&[script.as_str()], arguments].concat();
    program(&folder.join("node/bin/node"), &arguments)
}

fn from_pypi(name: &str, arguments: &[&str]) -> ServerSpec {
    program(&folder().join("venv/bin").join(name), arguments)
}

#[tokio::test]
async fn servers_from_npm() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().canonicalize().unwrap();
    std::fs::write(path.join("hello.txt"), "good morning").unwrap();
    let bench = Bench::new([
        ("everything", from_npm("server-everything", &["stdio"])),
        ("files", from_npm("server-filesystem", &[path.to_str().unwrap()])),
    ])
    .await;
    let echo = bench.result("everything__echo", json!({"message": "hi"})).await;
    assert_eq!(echo["text"], "Echo: hi");
    let picture = bench.call("everything__get-tiny-image", json!({})).await;
    let content = serde_json::to_value(&picture.content).unwrap();
    let blocks: Vec<&Value> = content.as_array().unwrap().iter().map(|one| &one["block"]).collect();
    assert!(blocks.iter().any(|block| block["type"] == "image"), "{content}");
    let query = json!({"query": "contents of a text file", "limit": 5});
    let found = bench.result("search_tools", query).await;
    let names: Vec<&str> = found["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"files__read_text_file"), "{names:?}");
    let file = path.join("hello.txt");
    let arguments = json!({"name": "files__read_text_file", "arguments": {"path": file}});
    let read = bench.result("call_tool", arguments).await;
    assert!(read.to_string().contains("good morning"), "{read}");
    let outside = bench.error("files__read_text_file", json!({"path": "/etc/passwd"})).await;
    assert_eq!(outside["code"], "upstream_error");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn servers_from_pypi() {
    let place = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| {
        let made = std::process::Command::new("git")
            .args(arguments)
            .current_dir(place.path())
            .env("GIT_AUTHOR_NAME", "A")
            .env("GIT_AUTHOR_EMAIL", "a@example.com")
            .env("GIT_COMMITTER_NAME", "A")
            .env("GIT_COMMITTER_EMAIL", "a@example.com")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    };
    git(&["init", "-q"]);
    git(&["commit", "-q", "--allow-empty", "-m", "the beginning"]);
    let path = place.path().to_str().unwrap();
    let bench = Bench::new([
        ("time", from_pypi("mcp-server-time", &["--local-timezone", "Europe/Vienna"])),
        ("git", from_pypi("mcp-server-git", &["--repository", path])),
    ])
    .await;
    let arguments =
        json!({"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"});
    let converted = bench.result("time__convert_time", arguments).await;
    assert!(converted.to_string().contains("21:00"), "{converted}");
    let log = bench.result("git__git_log", json!({"repo_path": path})).await;
    assert!(log.to_string().contains("the beginning"), "{log}");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn this_program_as_a_server_in_both_protocols_over_both_transports() {
    let installation = Installation::new();
    let atelier = Path::new(env!("CARGO_BIN_EXE_atelier"));
    let data = installation.data();
    let over_pipes = |protocol| {
        let mut spec = program(atelier, &["stdio", "--data-dir", data.to_str().unwrap()]);
        spec.protocol = protocol;
        spec
    };
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--content-listen", "127.0.0.1:0"];
    let mut child = installation.command(&arguments).spawn().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = tokio::time::timeout(std::time::Duration::from_mins(1), async {
        loop {
            let line = notes.next_line().await.unwrap().expect("the program ended");
            if let Some(url) = line.split_whitespace().find(|word| word.ends_with("/mcp,")) {
                return url.trim_end_matches(',').to_owned();
            }
        }
    })
    .await
    .expect("it did not say its address");
    // Whatever else it says must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = notes.next_line().await {} });
    let over_http = |protocol| {
        let url = url.parse().unwrap();
        let mut spec = ServerSpec::new(Connection::Http { url, headers: [].into() });
        spec.protocol = protocol;
        spec
    };
    let cases = [
        ("pipes-auto", over_pipes(Protocol::Auto), "2026-07-28"),
        ("pipes-legacy", over_pipes(Protocol::Legacy), "2025-11-25"),
        ("http-auto", over_http(Protocol::Auto), "2026-07-28"),
        ("http-legacy", over_http(Protocol::Legacy), "2025-11-25"),
    ];
    let bench = Bench::new(cases.iter().map(|(name, spec, _)| (*name, spec.clone()))).await;
    for (name, _, version) in &cases {
        let apps = bench.result(&format!("{name}__list_web_apps"), json!({})).await;
        assert_eq!(apps["result"]["web_apps"], json!([]), "{name}");
        let error = bench.error(&format!("{name}__list_document_versions"), json!({})).await;
        assert!(["upstream_error", "invalid_arguments"].contains(&error["code"].as_str().unwrap()));
        let status = bench.servers.status().into_iter().find(|status| status.name == *name);
        assert_eq!(status.unwrap().protocol_version, *version, "{name}");
    }
    bench.servers.shut_down().await;
    child.kill().await.unwrap();
}

#[tokio::test]
async fn an_address_where_nobody_answers_is_told_without_its_secrets() {
    let url = "http://127.0.0.1:1/mcp?key=hunter2".parse().unwrap();
    let spec = ServerSpec::new(Connection::Http { url, headers: [].into() });
    let bench = Bench::new([("nobody", spec)]).await;
    let error = bench.error("nobody__x", json!({})).await;
    assert_eq!(error["code"], "server_unreachable", "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    bench.servers.shut_down().await;
}
