//! Processes of packages: with the variables that they are given and no others, in a group of their
//! own that ends with its owner.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

/// Most of an output that is kept.
const OUTPUT_CHARS: usize = 6000;

/// What a command ended with.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Whether it succeeded.
    pub ok: bool,
    /// The end of what it printed.
    pub output: String,
}

/// A running process; dropping it ends its whole group.
#[derive(Debug)]
pub struct Running {
    /// The process; its streams are taken by who talks to it.
    pub child: Child,
    group: Option<i32>,
}

impl Running {
    /// Sends a signal to its whole group, which may be gone already.
    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        if let Some(group) = self.group.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::KILL);
    }
}

/// Starts a program in a folder.
///
/// # Errors
/// When there is no such program.
pub fn start(
    program: &Path,
    arguments: &[&str],
    folder: &Path,
    variables: &BTreeMap<String, String>,
) -> std::io::Result<Running> {
    #[expect(clippy::disallowed_methods, reason = "this module owns the processes of packages")]
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .env("HOME", folder)
        .envs(variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    Ok(Running { child, group })
}

/// Runs a program to its end.
pub async fn run(
    program: &Path,
    arguments: &[&str],
    folder: &Path,
    variables: &BTreeMap<String, String>,
    patience: Duration,
) -> Ended {
    let failed = |output: String| Ended { ok: false, output };
    let mut running = match start(program, arguments, folder, variables) {
        Ok(running) => running,
        Err(error) => return failed(format!("{} cannot be started: {error}", program.display())),
    };
    drop(running.child.stdin.take());
    let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
    let work = async {
        let (out, err) = tokio::join!(given(stdout), given(stderr));
        let status = running.child.wait().await;
        (status, [out, err].concat())
    };
    match tokio::time::timeout(patience, work).await {
        Ok((Ok(status), output)) => {
            Ended { ok: status.success(), output: tail(&String::from_utf8_lossy(&output)) }
        }
        Ok((Err(error), _)) => failed(error.to_string()),
        Err(_) => failed(format!("stopped after {} s", patience.as_secs())),
    }
}

async fn given(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> Vec<u8> {
    match stream {
        Some(stream) => collect(stream).await,
        None => Vec::new(),
    }
}

/// Reads a stream to its end and keeps the last part of it.
pub(in crate::factory) async fn collect(mut stream: impl tokio::io::AsyncRead + Unpin) -> Vec<u8> {
    use tokio::io::AsyncReadExt as _;
    let mut kept = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if kept.len() > OUTPUT_CHARS * 8 {
            kept.drain(..kept.len() - OUTPUT_CHARS * 4);
        }
    }
    kept
}

pub(super) fn tail(text: &str) -> String {
    let count = text.chars().count();
    text.trim().chars().skip(count.saturating_sub(OUTPUT_CHARS)).collect()
}
