//! The official conformance suite against the real server with its fixtures.

use std::path::PathBuf;
use std::process::Stdio;

use atelier::error::ToolError;
use atelier::jobs::{Run, ToolOutput};
use atelier::registry::{DirectReply, Tool, Toolset};
use atelier::server::HttpServer;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;

use super::bench::{Bench, Output};
use super::clients;
use super::http_client::HttpBench;

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    #[serde(default)]
    name: String,
    #[serde(default)]
    seconds: f64,
}

/// The suite's tools for tasks, as far as tools of ours can be like them: real jobs.
fn task_tools() -> Vec<Tool> {
    let greet = Tool::builder("greet", "Greet", Toolset::Agent).description("Greets").direct(
        json!({"type": "object"}),
        |_call, params: Params| async move {
            let text = format!("Hello, {}!", params.name);
            Ok(DirectReply::Output(ToolOutput::structured(json!({"message": text}))))
        },
    );
    let compute = Tool::builder("slow_compute", "Compute", Toolset::Agent)
        .description("Takes its time")
        .job(|run: Run, params: Params| async move {
            let pause = std::time::Duration::from_secs_f64(params.seconds);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = run.cancel().cancelled() => {}
            }
            Ok(Output(json!({"message": "computed"})))
        });
    let failing = Tool::builder("failing_job", "Fail", Toolset::Agent)
        .description("Fails after a while")
        .job(|_run: Run, _params: Params| async move {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            Err::<Output, _>(ToolError::invalid("as_asked", "it fails, as asked").into())
        });
    vec![greet, compute, failing]
}

/// Runs the scenarios that a revision requires and returns `(passed, failed)` checks.
async fn run(revision: &str) -> (usize, Vec<String>) {
    let folder = clients::folder();
    let bench = Bench::with_tools(task_tools()).await;
    let server = HttpBench::serve_with(HttpServer::new(bench.app.clone()).with_fixtures()).await;
    let output = tempfile::tempdir().unwrap();
    let result = Command::new(folder.join("node/bin/node"))
        .arg(folder.join("npm/node_modules/@modelcontextprotocol/conformance/dist/index.js"))
        .args(["server", "--url", &server.url("/mcp"), "--requirements", revision, "-o"])
        .arg(output.path())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("node starts");
    let mut passed = 0;
    let mut failed = Vec::new();
    for checks in check_files(output.path()) {
        let checks: Vec<Value> = serde_json::from_slice(&std::fs::read(checks).unwrap()).unwrap();
        for check in checks {
            match check["status"].as_str() {
                Some("SUCCESS") => passed += 1,
                Some("FAILURE") => failed.push(check.to_string()),
                _ => {}
            }
        }
    }
    let text = String::from_utf8_lossy(&result.stdout);
    println!("{revision}:\n{text}");
    assert!(
        result.status.success(),
        "{revision}: {}\n{text}\n{}\n{}",
        result.status,
        String::from_utf8_lossy(&result.stderr),
        failed.join("\n")
    );
    server.stop().await;
    (passed, failed)
}

fn check_files(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name == "checks.json") {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revision_2025_11_25() {
    let (passed, failed) = run("2025-11-25").await;
    assert!(passed >= 70, "only {passed} checks ran");
    assert_eq!(failed, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revision_2026_07_28() {
    let (passed, _) = run("2026-07-28").await;
    assert!(passed >= 100, "only {passed} checks ran");
}
