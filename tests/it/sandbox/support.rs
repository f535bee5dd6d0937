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
/// Marks a process that is one test again, in a process of its own.
const ALONE: &str = "ATELIER_TEST_SANDBOX_ALONE";
/// The ordinary user that root becomes for a test.
const ORDINARY: &str = "1000";

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

/// Runs a test in a process of its own for every user that this one can be: root and an ordinary
/// one, or the one that we are. The processes run at the same time.
pub(crate) async fn as_every_user(test: &str, body: impl AsyncFnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body().await;
    }
    let (first, second) = if user() == 0 {
        tokio::join!(alone(test, true), alone(test, false))
    } else {
        (alone(test, false).await, Ok(()))
    };
    let wrong: Vec<_> = [first, second].into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn alone(test: &str, ordinary: bool) -> Result<(), String> {
    let this = std::env::current_exe().unwrap();
    let mut command = if ordinary {
        let mut command = tokio::process::Command::new("setpriv");
        command.args([&format!("--reuid={ORDINARY}"), &format!("--regid={ORDINARY}")]);
        command.args(["--clear-groups", "--no-new-privs"]).arg(this);
        command
    } else {
        tokio::process::Command::new(this)
    };
    let output = command
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .env("HOME", "/")
        .env_remove("TMPDIR")
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && text.contains("1 passed") {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{test}, as an ordinary user: {ordinary}\n{text}\n{errors}"))
}

/// A file of the host that everybody may read: only the sandbox keeps it from the code.
pub(crate) struct Planted {
    _folder: tempfile::TempDir,
    path: String,
}

impl Planted {
    pub(crate) fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::Builder::new().prefix("planted").tempdir().unwrap();
        let file = folder.path().join("secret.txt");
        std::fs::write(&file, "planted").unwrap();
        for (path, mode) in [(folder.path(), 0o755), (&file, 0o644)] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = file.to_str().unwrap().to_owned();
        Self { _folder: folder, path }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
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
