//! The program on the command line.

use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use crate::support::command::{Finished, World, shake_hands};

const CANARY: &str = "canary-4711-secret";

#[test]
fn every_help_has_an_example() {
    let world = World::new();
    let commands: [&[&str]; 10] = [
        &[],
        &["stdio"],
        &["serve"],
        &["demo"],
        &["doctor"],
        &["tools"],
        &["call"],
        &["client-config"],
        &["config"],
        &["config", "check"],
    ];
    for command in commands {
        let finished = world.run(&[command, &["--help"]].concat());
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stdout.contains("Example"), "{command:?}: {}", finished.stdout);
        assert!(finished.stdout.contains("atelier "), "{command:?}: {}", finished.stdout);
    }
    let listed = world.run(&["--help"]).stdout;
    for command in commands.iter().filter_map(|command| command.first()) {
        assert!(listed.contains(&format!("\n  {command}")), "`{command}` is not listed:\n{listed}");
    }
}

#[test]
fn exit_codes_tell_wrong_usage_from_failure() {
    let world = World::new();
    let code = |arguments: &[&str]| world.run(arguments).code;
    assert_eq!(code(&["--version"]), Some(0));
    assert_eq!(code(&[]), Some(2), "no command");
    assert_eq!(code(&["nonsense"]), Some(2), "unknown command");
    assert_eq!(code(&["serve", "--listen", "nonsense"]), Some(2), "malformed flag");
    assert_eq!(code(&["client-config", "emacs"]), Some(2), "unknown host");
    assert_eq!(code(&["call", "no_such_tool"]), Some(2), "unknown tool");
    assert_eq!(code(&["call", "get_job", "{"]), Some(2), "malformed JSON");
    assert_eq!(code(&["call", "get_job", "[]"]), Some(2), "no object");
    assert_eq!(code(&["call", "get_job", "{\"job_id\": \"none\"}"]), Some(1), "a tool's error");
    assert_eq!(code(&["config", "check", "--config", "/nowhere"]), Some(1), "no file");
    assert_eq!(code(&["config", "check"]), Some(0));
}

#[test]
fn a_tool_error_is_json_on_standard_output() {
    let finished = World::new().run(&["call", "get_job", "{\"job_id\": \"none\"}"]);
    let error = finished.json();
    assert_eq!(error["status"], "error");
    assert_eq!(error["code"], "job_not_found");
    assert!(error["hint"].is_string());
}

#[test]
fn tools_are_listed_as_a_client_sees_them() {
    let tools = World::new().run(&["tools", "--json"]).json();
    let tools = tools["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "get_job"));
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
    }
}

#[test]
fn client_blocks_start_this_program() {
    let world = World::new();
    for (host, root) in [
        ("claude-desktop", "mcpServers"),
        ("claude-code", "mcpServers"),
        ("vscode", "servers"),
        ("cursor", "mcpServers"),
    ] {
        let block = world.run(&["client-config", host, "--data-dir", "data"]).json();
        let server = &block[root]["atelier"];
        let command = Path::new(server["command"].as_str().unwrap());
        assert!(command.is_absolute(), "{block}");
        let data = world.path("data");
        let arguments: Vec<&str> =
            server["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        // The temporary folder may have two names.
        assert_eq!(&arguments[..2], ["stdio", "--data-dir"], "{block}");
        assert!(Path::new(arguments[2]).ends_with(data.file_name().unwrap()), "{block}");
        let answer = shake_hands(world.program(command, &arguments));
        assert_eq!(answer["result"]["serverInfo"]["name"], "atelier", "{host}: {answer}");
    }
}

#[test]
fn the_example_block_starts_the_program_that_it_names() {
    let example: Value = serde_json::from_str(include_str!("../../mcp.json.example")).unwrap();
    let server = &example["mcpServers"]["atelier"];
    let named = Path::new(server["command"].as_str().unwrap());
    assert!(named.is_absolute());
    let built = Path::new(env!("CARGO_BIN_EXE_atelier"));
    assert_eq!(named.file_name(), built.file_name());
    let arguments: Vec<&str> =
        server["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let world = World::new();
    let answer = shake_hands(world.command(&arguments));
    assert_eq!(answer["result"]["serverInfo"]["name"], "atelier", "{answer}");
}

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {report}"))
}

#[test]
fn the_doctor_says_what_is_here() {
    let world = World::new();
    let finished = world.run(&["doctor", "--json"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let report = finished.json();
    assert_eq!(report["usable"], true);
    for name in ["configuration", "data folder", "listen", "content listen", "model", "chrome"] {
        let check = check(&report, name);
        assert!(check["detail"].is_string(), "{check}");
        assert!(check["status"] == "ok" || check["fix"].is_string(), "no fix: {check}");
    }
    assert!(!world.path(".local").exists(), "the doctor changes nothing");
    // The same in words.
    assert!(world.run(&["doctor"]).stdout.ends_with("usable\n"));
}

#[test]
fn the_doctor_finds_what_is_broken() {
    let world = World::new();
    world.write("file", "");
    let finished = world.run(&["doctor", "--json", "--data-dir", "file"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let folder = check(&finished.json(), "data folder").clone();
    assert_eq!(folder["status"], "failed");
    assert!(folder["fix"].as_str().unwrap().contains("--data-dir"), "{folder}");

    world.write("damaged/atelier.db", &"this is no database ".repeat(500));
    let finished = world.run(&["doctor", "--json", "--data-dir", "damaged"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert_eq!(check(&finished.json(), "database")["status"], "failed");

    world.write("atelier.toml", "[server]\nlisen = 'x'\n");
    let finished = world.run(&["doctor", "--json", "--config", "atelier.toml"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let configuration = check(&finished.json(), "configuration").clone();
    assert!(configuration["fix"].as_str().unwrap().contains("server.listen"), "{configuration}");
}

#[test]
fn the_doctor_tells_who_holds_a_port() {
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap().to_string();
    let world = World::new().variable("ATELIER_SERVER__LISTEN", &address);
    let report = world.run(&["doctor", "--json"]).json();
    let listen = check(&report, "listen");
    assert_eq!(listen["status"], "warning", "{listen}");
    assert!(listen["detail"].as_str().unwrap().contains("another program"), "{listen}");
    assert!(listen["fix"].as_str().unwrap().contains("--listen"), "{listen}");
}

#[test]
fn a_port_of_another_program_stops_serve_with_the_flag_that_helps() {
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap().to_string();
    let finished = World::new().run(&["serve", "--listen", &address]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("`--listen`"), "{finished:?}");
    let finished = World::new().run(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("auth.tokens"), "{finished:?}");
}

fn shows_canary(finished: &Finished) -> bool {
    finished.stdout.contains(CANARY) || finished.stderr.contains(CANARY)
}

#[test]
fn secrets_are_never_printed() {
    let proxy = format!("http://me:{CANARY}@127.0.0.1:9");
    let world = World::new()
        .variable("GEMINI_API_KEY", CANARY)
        .variable("ANTHROPIC_API_KEY", CANARY)
        .variable("HTTPS_PROXY", &proxy)
        .variable("ATELIER_LOG", "trace");
    let commands: [&[&str]; 5] = [
        &["config", "check"],
        &["doctor"],
        &["doctor", "--json"],
        &["tools", "--json"],
        &["call", "get_job", "{\"job_id\": \"none\"}"],
    ];
    for command in commands {
        let finished = world.run(command);
        assert!(!shows_canary(&finished), "{command:?}: {finished:?}");
    }
    let masked = world.run(&["config", "check"]).stdout;
    assert!(masked.contains("gemini_api_key = \"••••••\""), "{masked}");
    let broken = World::new().variable("GEMINI_API_KEY", &format!("{CANARY}\n{CANARY}"));
    let finished = broken.run(&["config", "check"]);
    assert_eq!(finished.code, Some(1));
    assert!(!shows_canary(&finished), "{finished:?}");
}

#[test]
fn standard_output_of_stdio_carries_frames_alone() {
    let world = World::new().variable("ATELIER_LOG", "debug");
    let finished = world.run(&["stdio"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.stdout, "", "a client that says nothing is told nothing");
}
