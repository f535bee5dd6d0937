//! `mcp_servers.json` in the forms that people paste, and what is wrong with it.

use std::path::Path;
use std::time::Duration;

use atelier::config::Environment;
use atelier::config::mcp_servers::{Connection, Protocol, StdioSpec, read};
use serde_json::{Value, json};

use super::file;

fn stdio<'a>(servers: &'a atelier::config::mcp_servers::McpServers, name: &str) -> &'a StdioSpec {
    let spec = servers.servers.get(name);
    match spec.map(|spec| &spec.connection) {
        Some(Connection::Stdio(program)) => program,
        other => panic!("{name}: {other:?}, {:?}", servers.problems),
    }
}

#[test]
fn every_form_of_the_whole_is_read() {
    let entry = json!({"command": "run", "args": ["-x", "1"]});
    for document in [
        json!({"mcpServers": {"a": entry}}),
        json!({"mcp_servers": {"a": entry}}),
        json!({"servers": {"a": entry}, "inputs": []}),
        json!({"mcp.servers": {"a": entry}}),
        json!({"mcp": {"servers": {"a": entry}}}),
        json!({"a": entry}),
        json!({"a": {"command": ["run", "-x", "1"]}}),
        json!({"a": {"command": ["run", "-x"], "args": ["1"]}}),
        json!({"extensions": [{"name": "a", "type": "stdio", "cmd": "run", "args": ["-x", "1"]}]}),
    ] {
        let servers = file(&document.to_string(), &[]);
        let program = stdio(&servers, "a");
        assert_eq!((program.program.as_str(), program.arguments.len()), ("run", 2), "{document}");
        assert_eq!(servers.warnings, Vec::<String>::new(), "{document}");
    }
}

#[test]
fn texts_as_people_write_them() {
    let text = "\u{feff}{ // mine\n \"mcpServers\": { /* two */ \"a\": {\"command\": \"run // not\", \"args\": [\"x\",],},},}";
    assert_eq!(stdio(&file(text, &[]), "a").program, "run // not");
    let fault = read("{\"mcpServers\": {\n'a': 1}}", Path::new("/x.json"), &Environment::default());
    let fault = fault.unwrap_err();
    assert_eq!(fault.place, "/x.json:2");
    let fault = read("[1]", Path::new("/x.json"), &Environment::default()).unwrap_err();
    assert!(fault.message.contains("has no `name`"), "{fault}");
    let fault = read("{\"other\": 1}", Path::new("/x.json"), &Environment::default()).unwrap_err();
    assert!(fault.message.contains("no servers are named"), "{fault}");
}

#[test]
fn names_stand_for_values_and_our_own_environment_is_not_passed_on() {
    let variables = [("PATH", "/bin"), ("HOME", "/home/me"), ("API_KEY", "ours"), ("T", "tee")];
    let text = json!({"servers": {
        "a": {"command": "~/run", "args": ["${T}", "${NONE:-else}", "$${", "${env:T}${T}"],
              "env": {"TOKEN": "${input:token}", "N": 1}, "cwd": "sub"},
        "b": {"command": "x", "env": {"K": "${NOT_SET}"}},
        "c": {"command": "x", "env_keys": ["API_KEY"]},
        "d": {"url": "https://h.example/mcp?k=${T}", "headers": {"Authorization": "Bearer ${T}"}},
        "e": {"command": "x", "env": {"K": "${input:other}"}},
    }, "inputs": [{"id": "token", "default": "preset"}, {"id": "other"}]});
    let servers = file(&text.to_string(), &variables);
    let a = stdio(&servers, "a");
    assert_eq!(a.program, "/home/me/run");
    assert_eq!(a.arguments, ["tee", "else", "$${", "teetee"]);
    assert_eq!(a.folder.as_deref(), Some(Path::new("/home/me/atelier/sub")));
    let names: Vec<&str> = a.environment.keys().map(String::as_str).collect();
    assert_eq!(names, ["HOME", "N", "PATH", "TOKEN"]);
    assert_eq!(a.environment["TOKEN"].expose(), "preset");
    assert_eq!(stdio(&servers, "c").environment["API_KEY"].expose(), "ours");
    let problem = &servers.problems["b"];
    assert!(problem.message.contains("`NOT_SET`"), "{problem}");
    assert!(servers.problems["e"].hint.contains("INPUT_OTHER"), "{:?}", servers.problems["e"]);
    let Connection::Http { url, headers } = &servers.servers["d"].connection else { panic!() };
    assert_eq!(url.as_str(), "https://h.example/mcp?k=tee");
    assert_eq!(headers["Authorization"].expose(), "Bearer tee");
    assert_eq!(servers.servers["d"].summary(), "https://h.example");
}

#[test]
fn a_wrong_entry_costs_that_entry_alone_and_says_what_to_change() {
    for (entry, words) in [
        (json!({}), "neither `command` nor `url`"),
        (json!({"command": "x", "url": "http://h/"}), "a command and an address"),
        (json!({"command": 7}), "`command` is no list of texts"),
        (json!({"command": []}), "names no program"),
        (json!({"command": "x", "args": "y"}), "`args` is no list"),
        (json!({"command": "x", "env": ["A=1"]}), "`env` is no object"),
        (json!({"command": "x", "timeout_s": true}), "`timeout_s` is no time"),
        (json!({"command": "x", "timeout_s": 0}), "`timeout_s` is no time"),
        (json!({"command": "x", "max_parallel": 0}), "`max_parallel`"),
        (json!({"command": "x", "disabled": "no"}), "neither true nor false"),
        (json!({"command": "x", "protocol": "newest"}), "`protocol`"),
        (json!({"command": "x", "roots": "/a"}), "`roots` is no list"),
        (json!({"url": "ftp://h/"}), "no HTTP address"),
        (json!({"url": "http://h/sse", "type": "sse"}), "old transport `sse`"),
        (json!({"url": "http://h/", "headers": {"A b": "c"}}), "header `A b`"),
        (json!("x"), "no JSON object"),
    ] {
        let text = json!({"mcpServers": {"wrong": entry, "right": {"command": "run"}}});
        let servers = file(&text.to_string(), &[]);
        let problem = &servers.problems["wrong"];
        assert!(problem.message.contains(words), "{entry}: {problem}");
        assert!(!problem.hint.is_empty() && problem.place.contains("server `wrong`"), "{problem}");
        assert_eq!(stdio(&servers, "right").program, "run");
    }
}

#[test]
fn names_are_plain_and_different() {
    let text = r#"{"mcpServers": {"ok": {"command": "x"}, "with space": {"command": "x"},
        "a__b": {"command": "x"}, "my-one": {"command": "x"}, "MY_ONE": {"command": "x"},
        "twice": {"command": "x"}, "twice": {"command": "y"}}}"#;
    let servers = file(text, &[]);
    assert_eq!(servers.servers.keys().collect::<Vec<_>>(), ["my-one", "ok"]);
    let names: Vec<_> = servers.problems.keys().collect();
    assert_eq!(names, ["MY_ONE", "a__b", "twice", "with space"]);
}

#[test]
fn own_fields_and_those_of_others() {
    let text = json!({"mcpServers": {
        "a": {"command": "x", "allowed_tools": [], "disallowed_tools": ["y"], "timeout_s": 2.5,
              "start_timeout_s": 9, "max_parallel": 2, "protocol": "modern", "expose": true,
              "roots": ["/srv", {"uri": "file:///w", "name": "w"}], "alowed_tools": []},
        "b": {"command": "x", "read_timeout_seconds": 7, "available_tools": [], "disabled": true},
        "c": {"command": "x", "timeout": 30000, "enabled": true},
    }});
    let servers = file(&text.to_string(), &[]);
    let a = &servers.servers["a"];
    assert_eq!(
        (a.timeout, a.start_timeout),
        (Duration::from_millis(2_500), Duration::from_secs(9))
    );
    assert_eq!((a.max_parallel, a.protocol, a.expose), (2, Protocol::Modern, true));
    assert!(!a.passes("anything"), "an empty list allows nothing");
    let roots: Vec<&str> = a.roots.iter().map(|root| root.uri.as_str()).collect();
    assert_eq!(roots, ["file:///srv", "file:///w"]);
    assert_eq!(servers.disabled, ["b"]);
    assert_eq!(
        servers.servers["c"].timeout,
        Duration::from_secs(30),
        "milliseconds, as others write"
    );
    assert_eq!(
        servers.warnings,
        ["server `a`: unknown key `alowed_tools`; did you mean `allowed_tools`?"]
    );
}

#[test]
fn the_example_can_be_used() {
    let text = include_str!("../../../mcp_servers.json.example");
    let servers = file(text, &[("HOME", "/home/me"), ("SEARCH_TOKEN", "x")]);
    assert!(servers.problems.is_empty() && servers.warnings.is_empty(), "{servers:?}");
    assert!(servers.servers.len() >= 3);
}

#[test]
fn the_commands_show_what_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mcp_servers.json");
    let entry: Value = json!({"command": "run-me", "env": {"K": "very-secret-value"}});
    let text = json!({"mcpServers": {"good": entry, "bad": {"command": "x", "env": {"K": "${UNSET_ONE}"}}}});
    std::fs::write(&path, text.to_string()).unwrap();
    let run = |variable: Option<&Path>, arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_atelier"));
        command.env_clear().env("HOME", folder.path()).env("PATH", "/usr/bin:/bin");
        if let Some(path) = variable {
            command.env("ATELIER_MCP_SERVERS", path);
        }
        let output = command.args(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let flag = ["config", "check", "--mcp-servers", path.to_str().unwrap()];
    for (code, text) in [run(None, &flag), run(Some(&path), &["config", "check"])] {
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("good: stdio, run-me"), "{text}");
        assert!(text.contains("bad: NOT USABLE") && text.contains("`UNSET_ONE`"), "{text}");
        assert!(!text.contains("very-secret-value"), "{text}");
    }
    let (code, text) = run(Some(Path::new("/no/such/file.json")), &["config", "check"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("--mcp-servers"), "{text}");
}
