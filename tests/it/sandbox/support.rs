//! A sandbox whose helper is the real program, and short ways to run code in it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use atelier::sandbox::local::{InterpreterProfile, LocalSandbox, LocalSettings};
use atelier::sandbox::{End, Finished, Layer, Outcome, RunSpec, Sandbox as _, Tier, Unfinished};
use serde_json::Value;

/// The system's interpreter; one in a private home folder is out of reach for other users.
pub(crate) const PYTHON: &str = "/usr/bin/python3";
/// Marks a process that is the same test again, as an ordinary user.
pub(crate) const ORDINARY: &str = "ATELIER_TEST_ORDINARY_USER";

pub(crate) fn settings() -> LocalSettings {
    LocalSettings {
        program: PathBuf::from(env!("CARGO_BIN_EXE_atelier")),
        least: Tier::Process,
        profiles: vec![InterpreterProfile {
            preload: ["asyncio", "json"].map(str::to_owned).to_vec(),
            ..InterpreterProfile::new("default", PYTHON)
        }],
        pool: 1,
        ..LocalSettings::default()
    }
}

pub(crate) fn sandbox() -> LocalSandbox {
    LocalSandbox::new(settings())
}

pub(crate) fn sandbox_without(layers: &[Layer]) -> LocalSandbox {
    let without: BTreeSet<Layer> = layers.iter().copied().collect();
    LocalSandbox::new(LocalSettings { without, ..settings() })
}

pub(crate) async fn run(sandbox: &LocalSandbox, spec: RunSpec) -> Outcome {
    *sandbox.start(spec).await.expect("it starts").finish().await.expect("it ends")
}

/// Runs code in a sandbox of its own.
pub(crate) async fn run_code(code: &str) -> Outcome {
    let sandbox = sandbox();
    let outcome = run(&sandbox, RunSpec::new(code)).await;
    sandbox.close().await;
    outcome
}

pub(crate) fn finished(outcome: &Outcome) -> &Finished {
    match &outcome.end {
        End::Success(finished) => finished,
        other => panic!("no success: {other:?}\nstderr: {}", outcome.stderr.text),
    }
}

pub(crate) fn value(outcome: &Outcome) -> &Value {
    &finished(outcome).value.value
}

pub(crate) fn unfinished(outcome: &Outcome) -> &Unfinished {
    match &outcome.end {
        End::Unfinished(unfinished) => unfinished,
        other => panic!("it ended with a result: {other:?}"),
    }
}

/// A spec that may take so long.
pub(crate) fn spec(code: &str, seconds: u64) -> RunSpec {
    RunSpec { timeout: Duration::from_secs(seconds), ..RunSpec::new(code) }
}

/// The same code in a plain process: what it prints, trimmed.
pub(crate) async fn outside(code: &str) -> String {
    let output = tokio::process::Command::new(PYTHON)
        .args(["-c", code])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout).trim(),
        String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()
    )
}

pub(crate) fn user() -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid()
}

/// Runs one test of this binary again as an ordinary user; nothing to do when we are one.
pub(crate) async fn again_as_ordinary_user(test: &str) {
    if user() != 0 {
        return;
    }
    let output = tokio::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ORDINARY, "1")
        .env("HOME", "/")
        .env_remove("TMPDIR")
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "as an ordinary user: {text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Command lines of all processes of the machine that hold a text.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().chars().all(|it| it.is_ascii_digit()))
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text) && !line.contains(PYTHON))
        .collect()
}
