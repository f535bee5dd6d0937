//! The program on the command line.

use std::net::TcpListener;
use std::path::Path;

use fake_llm::{FakeLlm, Reply, Rule, Script};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::factory_python::environment;
use crate::support::product::{Finished, Installation, StdioClient, get};

const CANARY: &str = "canary-4711-secret";

#[tokio::test]
async fn every_help_has_an_example() {
    let world = Installation::new();
    let commands: [&[&str]; 23] = [
        &[],
        &["stdio"],
        &["serve"],
        &["demo"],
        &["doctor"],
        &["tools"],
        &["call"],
        &["chat"],
        &["client-config"],
        &["elixir"],
        &["elixir", "crud"],
        &["elixir", "schema"],
        &["elixir", "migration"],
        &["elixir", "context"],
        &["elixir", "undo"],
        &["factory"],
        &["factory", "from-description"],
        &["factory", "from-openapi"],
        &["factory", "from-database"],
        &["factory", "scan"],
        &["factory", "test"],
        &["config"],
        &["config", "check"],
    ];
    for command in commands {
        let finished = world.run(&[command, &["--help"]].concat()).await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stdout.contains("Example"), "{command:?}: {}", finished.stdout);
        assert!(finished.stdout.contains("atelier "), "{command:?}: {}", finished.stdout);
    }
    let listed = world.run(&["--help"]).await.stdout;
    for command in commands.iter().filter_map(|command| command.first()) {
        assert!(listed.contains(&format!("\n  {command}")), "`{command}` is not listed:\n{listed}");
    }
}

#[tokio::test]
async fn exit_codes_tell_wrong_usage_from_failure() {
    let world = Installation::new();
    let expected: [(&[&str], i32); 12] = [
        (&["--version"], 0),
        (&["config", "check"], 0),
        (&[], 2),
        (&["nonsense"], 2),
        (&["serve", "--listen", "nonsense"], 2),
        (&["client-config", "emacs"], 2),
        (&["call", "no_such_tool"], 2),
        (&["call", "get_job", "{"], 2),
        (&["call", "get_job", "[]"], 2),
        (&["call", "get_job", "{\"job_id\": \"none\"}"], 1),
        (&["config", "check", "--config", "/nowhere"], 1),
        (&["serve", "--toolsets", "nonsense", "--listen", "127.0.0.1:0"], 1),
    ];
    for (arguments, code) in expected {
        let finished = world.run(arguments).await;
        assert_eq!(finished.code, Some(code), "{arguments:?}: {finished:?}");
    }
}

#[tokio::test]
async fn a_tool_error_is_json_on_standard_output() {
    let finished = Installation::new().run(&["call", "get_job", "{\"job_id\": \"none\"}"]).await;
    let error = finished.json();
    assert_eq!(error["status"], "error");
    assert_eq!(error["code"], "job_not_found");
    assert!(error["hint"].is_string());
}

#[tokio::test]
async fn tools_are_listed_as_a_client_sees_them() {
    let tools = Installation::new().run(&["tools", "--json"]).await.json();
    let tools = tools["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "get_job"));
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
    }
}

/// Greets the server that a command starts, and lets it end.
async fn shake_hands(command: tokio::process::Command) {
    let mut client = StdioClient::start(command);
    let greeting = client.initialize(json!({})).await;
    assert_eq!(greeting["serverInfo"]["name"], "atelier", "{greeting}");
    assert_eq!(client.close().await.0, Some(0));
}

#[tokio::test]
async fn client_blocks_start_this_program() {
    let world = Installation::new();
    for (host, root) in [
        ("claude-desktop", "mcpServers"),
        ("claude-code", "mcpServers"),
        ("vscode", "servers"),
        ("cursor", "mcpServers"),
    ] {
        let block = world.run(&["client-config", host, "--data-dir", "elsewhere"]).await.json();
        let server = &block[root]["atelier"];
        let command = Path::new(server["command"].as_str().unwrap());
        assert!(command.is_absolute(), "{block}");
        let arguments: Vec<&str> =
            server["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(&arguments[..2], ["stdio", "--data-dir"], "{block}");
        let data = Path::new(arguments[2]);
        assert!(data.is_absolute() && data.ends_with("elsewhere"), "{block}");
        shake_hands(world.command_of(command, &arguments)).await;
    }
}

#[tokio::test]
async fn the_example_block_starts_the_program_that_it_names() {
    let example: Value = serde_json::from_str(include_str!("../../mcp.json.example")).unwrap();
    let server = &example["mcpServers"]["atelier"];
    let named = Path::new(server["command"].as_str().unwrap());
    assert!(named.is_absolute());
    let built = Path::new(env!("CARGO_BIN_EXE_atelier"));
    assert_eq!(named.file_name(), built.file_name());
    let arguments: Vec<&str> =
        server["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let world = Installation::new();
    shake_hands(world.command(&arguments)).await;
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

#[tokio::test]
async fn the_doctor_says_what_is_here() {
    let world = Installation::new();
    let finished = world.run(&["doctor", "--json"]).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let report = finished.json();
    assert_eq!(report["usable"], true);
    for name in
        ["configuration", "data folder", "listen", "content listen", "model", "chrome", "sandbox"]
    {
        let check = check(&report, name);
        assert!(check["detail"].is_string(), "{check}");
        assert!(check["status"] == "ok" || check["fix"].is_string(), "no fix: {check}");
    }
    assert!(!world.data().exists(), "the doctor changes nothing");
    // The same in words.
    assert!(world.run(&["doctor"]).await.stdout.ends_with("usable\n"));
}

#[tokio::test]
async fn the_doctor_finds_what_is_broken() {
    let world = Installation::new();
    world.write("file", "");
    let finished = world.run(&["doctor", "--json", "--data-dir", "file"]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let folder = check(&finished.json(), "data folder").clone();
    assert_eq!(folder["status"], "failed");
    assert!(folder["fix"].as_str().unwrap().contains("--data-dir"), "{folder}");

    world.write("damaged/atelier.db", &"this is no database ".repeat(500));
    let finished = world.run(&["doctor", "--json", "--data-dir", "damaged"]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(check(&finished.json(), "database")["status"], "failed");

    world.write("atelier.toml", "[server]\nlisen = 'x'\n");
    let finished = world.run(&["doctor", "--json", "--config", "atelier.toml"]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let configuration = check(&finished.json(), "configuration").clone();
    assert!(configuration["fix"].as_str().unwrap().contains("server.listen"), "{configuration}");
}

#[tokio::test]
async fn the_doctor_tells_who_holds_a_port() {
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap().to_string();
    let world = Installation::new().with("ATELIER_SERVER__LISTEN", address);
    let report = world.run(&["doctor", "--json"]).await.json();
    let listen = check(&report, "listen");
    assert_eq!(listen["status"], "warning", "{listen}");
    assert!(listen["detail"].as_str().unwrap().contains("another program"), "{listen}");
    assert!(listen["fix"].as_str().unwrap().contains("--listen"), "{listen}");
}

#[tokio::test]
async fn the_doctor_knows_its_own_listeners() {
    let world = anywhere();
    let mut server = world.command(&["serve"]).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let addresses: Vec<&str> = line
        .split("http://")
        .skip(1)
        .map(|rest| rest.split(['/', ',', ' ']).next().unwrap())
        .collect();
    assert_eq!(addresses.len(), 2, "{line}");
    let other = Installation::new()
        .with("ATELIER_SERVER__LISTEN", addresses[0])
        .with("ATELIER_SERVER__CONTENT_LISTEN", addresses[1]);
    let report = other.run(&["doctor", "--json"]).await.json();
    for name in ["listen", "content listen"] {
        let check = check(&report, name);
        assert_eq!(check["status"], "ok", "{check}");
        assert!(check["detail"].as_str().unwrap().contains("running Atelier"), "{check}");
    }
    server.kill().await.unwrap();
}

#[tokio::test]
async fn a_port_of_another_program_stops_serve_with_the_flag_that_helps() {
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap().to_string();
    let finished = Installation::new().run(&["serve", "--listen", &address]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("`--listen`"), "{finished:?}");
    let finished = Installation::new().run(&["serve", "--listen", "0.0.0.0:0"]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("auth.tokens"), "{finished:?}");
}

fn shows_canary(finished: &Finished) -> bool {
    finished.stdout.contains(CANARY) || finished.stderr.contains(CANARY)
}

#[tokio::test]
async fn secrets_are_never_printed() {
    let proxy = format!("http://me:{CANARY}@127.0.0.1:9");
    let world = Installation::new()
        .with("GEMINI_API_KEY", CANARY)
        .with("TAVILY_API_KEY", CANARY)
        .with("ATELIER_FACTORY__VARIABLES__TOKEN", CANARY)
        .with("ANTHROPIC_API_KEY", CANARY)
        .with("HTTPS_PROXY", proxy)
        .with("ATELIER_LOG", "trace");
    let commands: [&[&str]; 5] = [
        &["config", "check"],
        &["doctor"],
        &["doctor", "--json"],
        &["tools", "--json"],
        &["call", "get_job", "{\"job_id\": \"none\"}"],
    ];
    for command in commands {
        let finished = world.run(command).await;
        assert!(!shows_canary(&finished), "{command:?}: {finished:?}");
    }
    let masked = world.run(&["config", "check"]).await.stdout;
    assert!(masked.contains("gemini_api_key = \"••••••\""), "{masked}");
    let broken = Installation::new().with("GEMINI_API_KEY", format!("{CANARY}\n{CANARY}"));
    let finished = broken.run(&["config", "check"]).await;
    assert_eq!(finished.code, Some(1));
    assert!(!shows_canary(&finished), "{finished:?}");
}

#[tokio::test]
async fn standard_output_of_stdio_carries_frames_alone() {
    let world = Installation::new().with("ATELIER_LOG", "debug");
    let finished = world.run(&["stdio"]).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.stdout, "", "a client that says nothing is told nothing");
}

/// An installation whose listeners are anywhere.
fn anywhere() -> Installation {
    Installation::new()
        .with("ATELIER_SERVER__LISTEN", "127.0.0.1:0")
        .with("ATELIER_SERVER__CONTENT_LISTEN", "127.0.0.1:0")
        .with("ATELIER_FACTORY__ENVIRONMENT", environment().display().to_string())
}

#[tokio::test]
async fn the_demo_plays_the_host_when_there_is_no_model() {
    let finished = anywhere().run(&["demo", "--once"]).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    for part in [
        "http://127.0.0.1:",
        "host completion",
        "version 1",
        "version 2, 5 blocks applied, 7 lines added, 5 removed",
        ".pdf",
        "2 pages",
        "4 people, 1267.00 € in all",
        "called at once: create_web_app in ",
        "started: `costs_api` in the catalog",
        "answer: 2 expenses for food, 80.20 € in all",
        "started: `trips_database` in the catalog",
        "answer: Ana 680.00 €, Ben 92.00 €, Cleo 76.00 €, Dan 31.50 €",
        "client-config",
    ] {
        assert!(finished.stdout.contains(part), "{part}: {finished:?}");
    }
}

#[tokio::test]
async fn the_demo_goes_on_where_there_is_no_python_for_servers() {
    let world = anywhere()
        .with("ATELIER_FACTORY__ENVIRONMENT", "/nowhere/at/all")
        .with("ATELIER_BROWSER__VERIFY", "false");
    let finished = world.run(&["demo", "--once"]).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let said = finished.stdout.matches("not started: there is no Python environment").count();
    assert_eq!(said, 2, "{finished:?}");
    assert!(finished.stdout.contains("A resource for a Phoenix project"), "{finished:?}");
}

#[tokio::test]
async fn the_demo_uses_the_configured_model() {
    let page = "<!doctype html><html lang=en><title>Costs</title><h1>By a model</h1></html>";
    let edit = "<<<<<<< SEARCH\n<!doctype html><html lang=en><title>Costs</title><h1>By a model</h1></html>\n=======\n<!doctype html><html lang=en><title>Costs</title><h1>Edited by a model</h1></html>\n>>>>>>> REPLACE\n";
    let script = Script::new()
        .rule(Rule::reply(Reply::text(page)).times(1))
        .rule(Rule::reply(Reply::text(edit)).times(1))
        .rule(Rule::reply(Reply::text(page)).on_system("printed to PDF").times(1));
    let model = FakeLlm::start(script).await.unwrap();
    let world = anywhere()
        .with("ANTHROPIC_API_KEY", "test-key")
        .with("ANTHROPIC_BASE_URL", model.base_url());
    let finished = world.run(&["demo", "--once"]).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("model: claude-"), "{finished:?}");
    assert!(!finished.stdout.contains("host completion"), "{finished:?}");
    assert!(finished.stdout.contains("version 2, 1 blocks applied"), "{finished:?}");
    model.assert_all_matched();
    assert_eq!(model.model_requests().len(), 3);
}

#[tokio::test]
async fn the_demo_finds_other_ports_and_serves_until_it_is_told_to_end() {
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let content = TcpListener::bind("127.0.0.1:0").unwrap();
    let world = Installation::new()
        .with("ATELIER_SERVER__LISTEN", foreign.local_addr().unwrap().to_string())
        .with("ATELIER_SERVER__CONTENT_LISTEN", content.local_addr().unwrap().to_string())
        .with("ATELIER_FACTORY__ENVIRONMENT", environment().display().to_string());
    let mut child = world.command(&["demo"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut url = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(opened) = line.trim().strip_prefix("open: ")
            && url.is_empty()
        {
            opened.clone_into(&mut url);
        }
        if line.contains("until Ctrl-C") {
            break;
        }
    }
    let (status, page) = get(&url).await;
    assert_eq!(status, 200, "{url}");
    assert!(page.contains("<title>Even"), "{page}");
    let process = child.id().unwrap().to_string();
    std::process::Command::new("kill").arg(process).status().unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}
