//! Other people's clients against the real binary: the official Python SDK, both generations of
//! the TypeScript SDK, and the Inspector.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use fake_llm::{FakeLlm, Fault, Outcome, Reply, Rule, Script};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::bench::{Bench, PATIENCE, within};
use super::http_client::HttpBench;
use crate::support::product::Installation;

const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tea</title></head><body><h1>Tea timer</h1></body></html>";

/// The two ways to speak to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Stdio,
    Http,
}

/// Where `tests/clients/setup.sh` puts everything.
pub(crate) fn folder() -> PathBuf {
    let default = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    let folder = std::env::var_os("ATELIER_TEST_CLIENTS").map_or(default, PathBuf::from);
    assert!(
        folder.join("ready").exists(),
        "{} holds no MCP clients; run `tests/clients/setup.sh`",
        folder.display()
    );
    folder
}

fn script(name: &str) -> String {
    format!("{}/tests/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A client's command up to the era.
fn python() -> Vec<String> {
    vec![folder().join("venv/bin/python").display().to_string(), script("client.py")]
}

fn typescript() -> Vec<String> {
    let folder = folder();
    vec![
        folder.join("node/bin/node").display().to_string(),
        script("client.mjs"),
        folder.join("npm/node_modules").display().to_string(),
    ]
}

/// A model that writes a page slowly, and stalls when it is told to.
async fn model() -> FakeLlm {
    let words: Vec<String> = PAGE.split_inclusive(' ').map(str::to_owned).collect();
    let stalling = Rule::reply(Reply::chunks(words.clone()))
        .on_user_text("stall")
        .fault(Fault::StallBody { after_events: 3, millis: None });
    let writing = Rule::reply(Reply::chunks(words)).fault(Fault::Drip { millis: 20 });
    FakeLlm::start(Script::new().rule(stalling).rule(writing)).await.unwrap()
}

/// `atelier serve` and the address that it says.
async fn serve(installation: &Installation) -> (Child, String) {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--content-listen", "127.0.0.1:0"];
    let mut child = installation.command(&arguments).spawn().unwrap();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    let url = within(async {
        loop {
            let line = notes.next_line().await.unwrap().expect("the server left");
            if let Some(url) = line.split_whitespace().find(|word| word.ends_with("/mcp,")) {
                return url.trim_end_matches(',').to_owned();
            }
        }
    })
    .await;
    // Whatever else it says must not fill the pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = notes.next_line().await {} });
    (child, url)
}

async fn finished(command: &mut Command) -> Output {
    within(command.output()).await.unwrap()
}

/// Runs a scenario with a client.
async fn run(client: &[String], era: &str, scenario: &str, channel: Channel) {
    let llm = model().await;
    // What is tested are the clients, so no browser takes part.
    let mut installation = Installation::new().with("ATELIER_BROWSER__VERIFY", "false");
    if scenario == "tools" {
        installation = installation.with("OPENAI_BASE_URL", llm.base_url());
    }
    let (program, arguments) = client.split_first().unwrap();
    let mut command = installation.command_of(program.as_ref(), &[]);
    command.args(arguments).args([era, scenario]).stdin(Stdio::null());
    let mut server = None;
    match channel {
        Channel::Stdio => {
            command.args(["--stdio", env!("CARGO_BIN_EXE_atelier"), "stdio"]);
        }
        Channel::Http => {
            let (child, url) = serve(&installation).await;
            command.args(["--http", &url]);
            server = Some(child);
        }
    }
    let output = finished(&mut command).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.trim_end().ends_with("ok"),
        "{client:?} {era} {scenario} {channel:?}: {}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    if scenario == "tools" {
        // The call that the client gave up has let go of the model.
        llm.wait_for(PATIENCE, |requests| {
            let closed = |outcome| matches!(outcome, Outcome::ClosedEarly { .. });
            requests.iter().any(|request| closed(request.outcome))
        })
        .await
        .unwrap();
    }
    if let Some(mut server) = server {
        server.kill().await.unwrap();
    }
}

/// Every scenario on both channels.
async fn run_all(client: &[String], era: &str) {
    for channel in [Channel::Stdio, Channel::Http] {
        for scenario in ["tools", "host", "sampling"] {
            run(client, era, scenario, channel).await;
        }
    }
}

#[tokio::test]
async fn python_sdk_legacy() {
    run_all(&python(), "legacy").await;
}

#[tokio::test]
async fn python_sdk_modern() {
    run_all(&python(), "2026-07-28").await;
}

#[tokio::test]
async fn typescript_sdk_legacy() {
    run_all(&typescript(), "legacy").await;
}

#[tokio::test]
async fn typescript_sdk_modern() {
    run_all(&typescript(), "2026-07-28").await;
}

#[tokio::test]
async fn the_inspector_has_no_complaint() {
    let folder = folder();
    let bench = Bench::new().await;
    let server = HttpBench::serve(&bench).await;
    for era in ["legacy", "modern", "auto"] {
        let mut command = Command::new(folder.join("node/bin/node"));
        command
            .arg(folder.join("npm/node_modules/.bin/inspector"))
            .args(["--cli", &server.url("/mcp"), "--transport", "http", "--method", "tools/list"])
            .args(["--strict", "--protocol-era", era])
            .env("HOME", std::env::temp_dir())
            .stdin(Stdio::null());
        let output = finished(&mut command).await;
        let text = String::from_utf8_lossy(&output.stdout);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{era}: {}\n{text}\n{complaints}", output.status);
        assert!(text.contains("create_web_app"), "{era}: {text}\n{complaints}");
        // Warnings are advice on single fields; errors are what hosts break on.
        assert!(!complaints.contains("Error:"), "{era}: {complaints}");
    }
    server.stop().await;
}
