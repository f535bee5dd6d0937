//! Progress of other servers on its way to whoever called: real servers behind the real program.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_llm::{FakeLlm, Reply, Rule, Script};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::support::product::{Installation, StdioClient, structured};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mcp/server.py");

/// The scripted server over HTTP, and its address.
async fn over_http() -> (Child, String) {
    let mut child = Command::new("python3")
        .args([SCRIPT, "http"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.next_line().await.unwrap().unwrap();
    (child, format!("http://127.0.0.1:{port}/mcp"))
}

fn with_servers(installation: Installation, servers: &Value) -> Installation {
    installation.write("mcp_servers.json", &json!({"mcpServers": servers}).to_string());
    let file = installation.folder().join("mcp_servers.json").to_string_lossy().into_owned();
    installation.with("ATELIER_MCP_SERVERS", file)
}

/// Calls a tool, and lets it end when a report with this word has arrived; the reports.
async fn watched(
    client: &mut StdioClient,
    tool: &str,
    arguments: Value,
    (word, until): (&'static str, PathBuf),
) -> (Value, Vec<(f64, String)>) {
    let reports = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&reports);
    client.on_notification = Some(Box::new(move |message| {
        if message["method"] == "notifications/progress" {
            let params = &message["params"];
            assert_eq!(params["progressToken"], "mine", "{message}");
            let words = params["message"].as_str().unwrap_or_default().to_owned();
            if words.contains(word) {
                std::fs::write(&until, "").unwrap();
            }
            heard.lock().unwrap().push((params["progress"].as_f64().unwrap(), words));
        }
    }));
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "mine"}});
    let result = client.request("tools/call", params).await;
    client.on_notification = None;
    let reports = reports.lock().unwrap().clone();
    (structured(&result), reports)
}

fn rises(reports: &[(f64, String)]) -> bool {
    reports.windows(2).all(|pair| pair[0].0 < pair[1].0)
}

#[tokio::test]
async fn it_arrives_by_every_way_and_from_both_transports() {
    let (_web, address) = over_http().await;
    let servers = json!({
        "scripted": {"command": ["python3", SCRIPT]},
        "web": {"url": address},
    });
    let installation = with_servers(Installation::new(), &servers);
    let mut client = installation.stdio().await;
    for (number, server) in ["scripted", "web"].into_iter().enumerate() {
        let until = installation.folder().join(format!("until-{number}"));
        let inner = json!({"until": until});
        let name = format!("{server}__progress");
        // By its own name, then through the tool that calls others.
        let direct = watched(&mut client, &name, inner.clone(), ("part 3", until.clone())).await;
        std::fs::remove_file(&until).unwrap();
        let wrapped = json!({"name": name, "arguments": inner});
        let through = watched(&mut client, "call_tool", wrapped, ("part 3", until)).await;
        for (way, (result, reports)) in [("direct", direct), ("call_tool", through)] {
            assert_eq!(result["text"], "progressed", "{server} {way}: {result}");
            assert!(rises(&reports), "{server} {way}: {reports:?}");
            let said = |word: &str| reports.iter().any(|(_, words)| words == word);
            assert!(said("part 3"), "{server} {way}: {reports:?}");
            assert!(reports.iter().any(|(value, _)| (*value - 3.0).abs() < 0.5), "{reports:?}");
        }
    }
    client.close().await;
}

#[tokio::test]
async fn a_call_that_became_a_job_tells_its_progress_through_get_job() {
    let servers = json!({"scripted": {"command": ["python3", SCRIPT]}});
    let installation =
        with_servers(Installation::new(), &servers).with("ATELIER_LIMITS__ANSWER_BUDGET_S", "0.3");
    let mut client = installation.stdio().await;
    let (until, again) = (installation.folder().join("until"), installation.folder().join("again"));
    let arguments =
        json!({"name": "scripted__progress", "arguments": {"until": until, "again": again}});
    let mut state = client.call("call_tool", arguments).await;
    assert_eq!(state["status"], "running", "{state}");
    let job = state["job_id"].clone();
    // What is reported from now on belongs to the job.
    std::fs::write(&again, "").unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while state["progress"]["message"] != "part 9" {
        assert!(std::time::Instant::now() < deadline, "it is never told: {state}");
        state = client.call("get_job", json!({"job_id": job, "wait_seconds": 0})).await;
        assert_eq!(state["status"], "running", "{state}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    std::fs::write(&until, "").unwrap();
    while state["status"] == "running" {
        state = client.call("get_job", json!({"job_id": job, "wait_seconds": 5})).await;
    }
    assert_eq!(state["text"], "progressed", "{state}");
    client.close().await;
}

#[tokio::test]
async fn a_workflow_passes_the_progress_of_its_calls_on() {
    let installation = Installation::new();
    let until = installation.folder().join("until");
    let script = Script::new()
        .rule(
            Rule::reply(Reply::tool_call("c", "scripted__progress", json!({"until": until})))
                .on_user_text("Watch")
                .times(1),
        )
        .rule(Rule::reply(Reply::text("It went well.")).on_tool_result("progressed"));
    let server = FakeLlm::start(script).await.unwrap();
    installation.write(
        "flows.json",
        &json!({"watch": {"mcp_servers_used": ["scripted"], "max_conversation_turns": 4}})
            .to_string(),
    );
    let flows = installation.folder().join("flows.json").to_string_lossy().into_owned();
    let servers = json!({"scripted": {"command": ["python3", SCRIPT]}});
    let installation = with_servers(installation, &servers)
        .with("ATELIER_WORKFLOWS", flows)
        .with("GEMINI_API_KEY", "key")
        .with("GEMINI_BASE_URL", server.base_url());
    let mut client = installation.stdio().await;
    let arguments = json!({"name": "watch", "query": "Watch it"});
    let (result, reports) =
        watched(&mut client, "run_workflow", arguments, ("part", until.clone())).await;
    assert_eq!(result["answer"], "It went well.", "{result}");
    assert!(rises(&reports), "{reports:?}");
    // Reports that come at once are told as one: which of the three is not ours to say.
    let expected = "turn 1 of at most 4: scripted__progress: part ";
    assert!(reports.iter().any(|(_, words)| words.starts_with(expected)), "{reports:?}");
    assert!(Path::new(&until).exists());
    client.close().await;
}
