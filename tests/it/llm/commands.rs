//! Commands as models, played by scripts on a search path of the test's own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use atelier::config::llm::CommandConfig;
use atelier::llm::cli::CommandModel;
use atelier::llm::guard::Guard;
use atelier::llm::{
    ExpectedKind, Expects, LlmError, Outcome, Part, Request, Route, ToolDeclaration,
};
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{PROMPT, question};

/// A folder with one script.
fn script(name: &str, body: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn search_path(folder: &TempDir) -> String {
    format!("{}:/usr/bin:/bin", folder.path().display())
}

async fn run(model: CommandModel, folder: &TempDir) -> Result<Outcome, LlmError> {
    run_cancelled(model, folder, &CancellationToken::new()).await
}

async fn run_cancelled(
    model: CommandModel,
    folder: &TempDir,
    cancel: &CancellationToken,
) -> Result<Outcome, LlmError> {
    let model = model.search_path(search_path(folder));
    Guard::default().complete(&model, &question(), None, cancel, &|_| {}).await
}

async fn code(model: CommandModel, body: &str) -> &'static str {
    let folder = script("claude", body);
    std::fs::copy(folder.path().join("claude"), folder.path().join("codex")).unwrap();
    let error = run(model, &folder).await.unwrap_err();
    assert!(!format!("{error:?}").contains("secret words"), "{error:?}");
    error.code.as_str()
}

#[tokio::test]
async fn claude_answers_with_its_counts() {
    let folder = script(
        "claude",
        r#"cat > /dev/null
        echo '{"type":"result","is_error":false,"result":"<p>hi</p>","usage":{"input_tokens":5,"cache_read_input_tokens":20,"cache_creation_input_tokens":1,"output_tokens":7}}'"#,
    );
    let outcome = run(CommandModel::claude(), &folder).await.unwrap();
    assert_eq!((outcome.text.as_str(), outcome.route), ("<p>hi</p>", Route::Command));
    assert_eq!(outcome.model_used.as_deref(), Some("claude"));
    assert_eq!((outcome.usage.input_tokens, outcome.usage.output_tokens), (Some(26), Some(7)));
    assert_eq!((outcome.cost_usd, outcome.tries), (None, 1));
}

#[tokio::test]
async fn claude_runs_without_tools_in_an_empty_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let seen = folder.path().join("seen");
    let script = script(
        "claude",
        &format!(
            r#"{{ for word in "$@"; do echo "argument:$word"; done
            echo "folder:$(ls -A | wc -l | tr -d ' ')"; env; cat; }} > {}
            echo '{{"result":"ok"}}'"#,
            seen.display()
        ),
    );
    run(CommandModel::claude(), &script).await.unwrap();
    let seen = std::fs::read_to_string(seen).unwrap();
    assert!(seen.contains("argument:--tools\nargument:\n"), "{seen}");
    assert!(seen.contains("argument:--strict-mcp-config"), "{seen}");
    assert!(seen.contains("folder:0"), "{seen}");
    // The prompt comes by standard input and is no argument.
    assert!(seen.contains(PROMPT) && !seen.contains(&format!("argument:{PROMPT}")), "{seen}");
    let variables = seen.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    let allowed = ["PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_"];
    for name in variables {
        assert!(allowed.contains(&name), "{name} was handed on");
    }
}

#[tokio::test]
async fn codex_answers_with_its_last_message() {
    let folder = script(
        "codex",
        r#"cat > /dev/null
        echo '{"type":"thread.started","thread_id":"x"}'
        echo '{"type":"item.completed","item":{"type":"reasoning","text":"hm"}}'
        echo '{"type":"item.completed","item":{"type":"agent_message","text":"first"}}'
        echo '{"type":"item.completed","item":{"type":"agent_message","text":"last"}}'
        echo '{"type":"turn.completed","usage":{"input_tokens":9,"cached_input_tokens":4,"output_tokens":3}}'"#,
    );
    let outcome = run(CommandModel::codex(), &folder).await.unwrap();
    assert_eq!(outcome.text, "last");
    assert_eq!(outcome.usage.cached_tokens, Some(4));
}

fn custom(command: &[&str]) -> CommandModel {
    let config = CommandConfig {
        command: command.iter().map(|&word| word.to_owned()).collect(),
        env: vec!["CARGO_MANIFEST_DIR".to_owned()],
        timeout_s: 60,
    };
    CommandModel::custom("house", &config)
}

#[tokio::test]
async fn any_command_answers_with_what_it_prints() {
    let folder = script("writer", r#"echo "$1"; test -n "$CARGO_MANIFEST_DIR" && cat"#);
    let outcome = run(custom(&["writer", "model {model}"]), &folder).await.unwrap();
    assert_eq!(outcome.text, format!("model house\nAnswer briefly.\n\n{PROMPT}"));
    let long = script("writer", "head -c 3000000 /dev/zero | tr '\\0' x");
    assert_eq!(run(custom(&["writer"]), &long).await.unwrap().text.len(), 3_000_000);
}

#[tokio::test]
async fn failures_have_their_own_codes() {
    let empty = tempfile::tempdir().unwrap();
    for model in [CommandModel::claude(), CommandModel::codex(), custom(&["writer"])] {
        // No standard folders here: a real `claude` of this machine must not be found.
        let model = model.search_path(empty.path());
        let cancel = CancellationToken::new();
        let result = Guard::default().complete(&model, &question(), None, &cancel, &|_| {}).await;
        assert_eq!(result.unwrap_err().code.as_str(), "command_missing");
    }
    let claude = CommandModel::claude;
    let codex = CommandModel::codex;
    let refused = r#"echo '{"is_error":true,"result":"secret words. Please run /login"}'"#;
    assert_eq!(code(claude(), refused).await, "command_login");
    assert_eq!(code(claude(), &format!("{refused}; exit 1")).await, "command_login");
    assert_eq!(
        code(codex(), "echo 'Not logged in: secret words' >&2; exit 1").await,
        "command_login"
    );
    assert_eq!(code(claude(), "echo secret words").await, "command_output");
    assert_eq!(code(claude(), "echo '{\"secret words\": 1}'").await, "command_output");
    assert_eq!(code(claude(), "exit 3").await, "command_output");
    assert_eq!(code(claude(), "printf '\\377\\376'").await, "command_output");
    assert_eq!(code(codex(), "echo '{\"type\":\"turn.started\"}'").await, "command_output");
    assert_eq!(code(codex(), "echo secret words").await, "command_output");
    assert_eq!(code(claude(), "head -c 5000000 /dev/zero").await, "too_large");
}

/// A script that leaves a child behind and says its id.
fn lingering(pid_file: &Path) -> String {
    let pid_file = pid_file.display();
    format!("sleep 300 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 300")
}

fn is_gone(pid_file: &Path) -> bool {
    let pid = std::fs::read_to_string(pid_file).unwrap();
    match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Err(_) => true,
        // Dead, and not yet collected by whoever has inherited it.
        Ok(stat) => stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'),
    }
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_timeout_kills_the_command_and_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let script = script("claude", &lingering(&pid_file));
    let model = CommandModel::claude().timeout(Duration::from_millis(500));
    let error = run(model, &script).await.unwrap_err();
    assert_eq!(error.code.as_str(), "model_timeout");
    wait_until("the child lives on", || is_gone(&pid_file)).await;
}

#[tokio::test]
async fn cancelling_kills_the_command_and_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let script = script("claude", &lingering(&pid_file));
    let cancel = CancellationToken::new();
    let (result, ()) =
        tokio::join!(run_cancelled(CommandModel::claude(), &script, &cancel), async {
            wait_until("the command did not start", || pid_file.exists()).await;
            cancel.cancel();
        });
    assert_eq!(result.unwrap_err().code.as_str(), "cancelled");
    wait_until("the child lives on", || is_gone(&pid_file)).await;
}

#[tokio::test]
async fn a_child_left_behind_does_not_hold_up_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let pid_file = folder.path().join("pid");
    let script = script(
        "writer",
        &format!("sleep 300 & echo $! > {}; cat > /dev/null; echo done", pid_file.display()),
    );
    let outcome = run(custom(&["writer"]), &script).await.unwrap();
    assert_eq!(outcome.text, "done");
    wait_until("the child lives on", || is_gone(&pid_file)).await;
}

#[tokio::test]
async fn what_a_command_cannot_do_is_said_before_it_runs() {
    let mut tools = question();
    tools.tools = vec![ToolDeclaration {
        name: "add".to_owned(),
        description: "Adds".to_owned(),
        schema: json!({"type": "object"}),
    }];
    let mut file = Request::new("", "look", Expects::kind(ExpectedKind::Text));
    file.messages[0].parts.push(Part::File {
        media_type: "image/png".to_owned(),
        name: "a.png".to_owned(),
        base64: String::new(),
    });
    for request in [tools, file] {
        let cancel = CancellationToken::new();
        let model = CommandModel::claude().search_path("");
        let result = Guard::default().complete(&model, &request, None, &cancel, &|_| {}).await;
        assert_eq!(result.unwrap_err().code.as_str(), "model_request_rejected");
    }
}
