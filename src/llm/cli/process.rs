//! One run of a command, from its start until nothing of it is left.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::llm::{LlmError, LlmErrorCode};

/// Most bytes of standard output.
const OUTPUT_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of standard error that are looked at.
const ERROR_BYTES: usize = 64 * 1024;

/// What to run.
pub(super) struct Launch {
    pub(super) name: String,
    pub(super) command: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) search_path: Option<OsString>,
    pub(super) timeout: Duration,
    pub(super) prompt: String,
}

/// What a command left behind.
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) output: Vec<u8>,
    pub(super) errors: Vec<u8>,
}

/// Kills the process group when it goes out of scope, so that neither a timeout, nor a cancelled
/// call, nor a command that leaves children behind keeps a process alive.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // An error says that nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a command to its end.
pub(super) async fn run(launch: Launch) -> Result<Finished, LlmError> {
    let name = launch.name.clone();
    let timeout = launch.timeout;
    tokio::time::timeout(timeout, run_to_end(launch)).await.unwrap_or_else(|_| {
        Err(LlmError::new(
            LlmErrorCode::Timeout,
            format!("the command `{name}` did not answer within {} s", timeout.as_secs_f64()),
        )
        .hint("ask for less at a time, or name another model"))
    })
}

async fn run_to_end(launch: Launch) -> Result<Finished, LlmError> {
    let folder =
        tempfile::tempdir().map_err(|_| broken(&launch.name, "has no folder to run in"))?;
    let mut child = spawn(&launch, folder.path())?;
    let group = Group::of(&child);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let prompt = launch.prompt.into_bytes();
    let write = async move {
        if let Some(mut stdin) = stdin {
            // A command may close its input early; its answer tells whether that was right.
            drop(stdin.write_all(&prompt).await);
        }
    };
    let wait = async {
        let status = child.wait().await;
        // Children of the command hold its output open; without them it comes to an end.
        drop(group);
        status
    };
    let (status, output, errors, ()) = tokio::join!(
        wait,
        read_up_to(stdout, OUTPUT_BYTES),
        read_up_to(stderr, ERROR_BYTES),
        write
    );
    let status = status.map_err(|_| broken(&launch.name, "could not be waited for"))?;
    let Some(output) = output else {
        return Err(LlmError::new(
            LlmErrorCode::TooLarge,
            format!("the command `{}` prints more than {OUTPUT_BYTES} bytes", launch.name),
        )
        .hint("ask for less at a time"));
    };
    Ok(Finished { status, output, errors: errors.unwrap_or_default() })
}

fn spawn(launch: &Launch, folder: &std::path::Path) -> Result<Child, LlmError> {
    let Some((program, arguments)) = launch.command.split_first() else {
        return Err(broken(&launch.name, "has no program in its configuration"));
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the adapter of commands, which bounds what it starts"
    )]
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    // The environment is handed on by name, not read: `PATH` and `HOME` lead the command to its
    // parts and to the user's login.
    for name in ["PATH", "HOME"].into_iter().chain(launch.env.iter().map(String::as_str)) {
        #[expect(
            clippy::disallowed_methods,
            reason = "a child gets only the variables that were named for it"
        )]
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Some(path) = &launch.search_path {
        command.env("PATH", path);
    }
    command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => LlmError::new(
            LlmErrorCode::CommandMissing,
            format!("the program `{program}` of the command `{}` is not installed", launch.name),
        )
        .hint("install it, or name another model"),
        _ => broken(&launch.name, "could not be started"),
    })
}

/// Reads to the end; `None` beyond the limit. What follows is read as well and thrown away, so
/// that the command does not wait for a reader.
async fn read_up_to(source: Option<impl AsyncRead + Unpin>, limit: usize) -> Option<Vec<u8>> {
    let mut source = source?;
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let mut over = false;
    while let Ok(count @ 1..) = source.read(&mut buffer).await {
        if bytes.len() + count > limit {
            over = true;
        } else if let Some(read) = buffer.get(..count) {
            bytes.extend_from_slice(read);
        }
    }
    (!over).then_some(bytes)
}

fn broken(name: &str, what: &str) -> LlmError {
    LlmError::new(LlmErrorCode::CommandOutput, format!("the command `{name}` {what}"))
}
