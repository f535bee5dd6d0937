//! The project's own tools on what was written: `mix compile` and `mix format`. They run the
//! project's code, so only on request, with a time limit, and never fetching anything.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// Longest run of one command. A project's first compilation includes its dependencies.
const PATIENCE: Duration = Duration::from_mins(5);

/// Most of an output that is passed on.
const OUTPUT_CHARS: usize = 4000;

/// What the project's tools said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// `passed`, `failed`, or `unavailable` when mix is not installed.
    pub status: String,
    /// Each command with the end of its output.
    pub commands: Vec<CommandOutcome>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommandOutcome {
    /// The command.
    pub command: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// The end of what it printed.
    pub output: String,
}

/// Compiles the project and checks the format of these files.
pub(crate) async fn verify(root: PathBuf, files: Vec<String>) -> Verification {
    let compile = vec!["compile".to_owned(), "--warnings-as-errors".to_owned()];
    let mut format = vec!["format".to_owned(), "--check-formatted".to_owned()];
    format.extend(files);
    let mut commands = Vec::new();
    for arguments in [compile, format] {
        let Some(outcome) = run(&root, &arguments).await else {
            let missing = CommandOutcome {
                command: "mix".to_owned(),
                ok: false,
                output: "mix is not installed; `apt-get install elixir` does that".to_owned(),
            };
            return Verification { status: "unavailable".to_owned(), commands: vec![missing] };
        };
        let ok = outcome.ok;
        commands.push(outcome);
        if !ok {
            break;
        }
    }
    let passed = commands.iter().all(|command| command.ok);
    Verification { status: if passed { "passed" } else { "failed" }.to_owned(), commands }
}

/// Runs mix; `None` when it is not installed.
#[expect(clippy::disallowed_methods, reason = "this module owns the processes of verification")]
async fn run(root: &Path, arguments: &[String]) -> Option<CommandOutcome> {
    let shown = format!("mix {}", arguments.join(" "));
    let child = Command::new("mix")
        .args(arguments)
        .current_dir(root)
        .env("MIX_ENV", "test")
        // Nothing is fetched, and nobody is asked.
        .env("HEX_OFFLINE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            return Some(CommandOutcome { command: shown, ok: false, output: error.to_string() });
        }
    };
    let group = Group(child.id());
    let outcome = match tokio::time::timeout(PATIENCE, child.wait_with_output()).await {
        Ok(Ok(output)) => {
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            CommandOutcome { command: shown, ok: output.status.success(), output: tail(&text) }
        }
        Ok(Err(error)) => CommandOutcome { command: shown, ok: false, output: error.to_string() },
        Err(_) => CommandOutcome {
            command: shown,
            ok: false,
            output: format!("stopped after {} s", PATIENCE.as_secs()),
        },
    };
    drop(group);
    Some(outcome)
}

/// Ends everything that a command started, also when the call is cancelled.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let id =
            self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process_group(id, rustix::process::Signal::KILL);
        }
    }
}

fn tail(text: &str) -> String {
    let count = text.chars().count();
    text.trim().chars().skip(count.saturating_sub(OUTPUT_CHARS)).collect()
}
