//! Runs a program of this machine and reads its answer.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// A healthy program answers in well under a second, the first start from a cold disk included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a program gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It is not there.
    Missing,
    /// It is there and does not work, for this reason.
    Broken(String),
}

/// Runs a program with nothing on its input and returns what it prints, trimmed.
#[expect(clippy::disallowed_methods, reason = "the doctor asks the programs themselves")]
pub(super) async fn ask<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: &[A],
) -> Result<String, NoAnswer> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Err(_) => {
            let seconds = PATIENCE.as_secs();
            return Err(NoAnswer::Broken(format!("it did not answer within {seconds} s")));
        }
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(NoAnswer::Missing);
        }
        Ok(Err(error)) => return Err(NoAnswer::Broken(error.to_string())),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let first = complaint.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Err(NoAnswer::Broken(format!("{}: {}", output.status, first.trim())))
}
