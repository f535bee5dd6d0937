//! Packages made by the program itself, with the time and the memory that it took.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

/// Starts the program and tells on its errors how much memory its child took at most, in KiB.
const MEASURED: &str = "import resource, subprocess, sys\n\
ended = subprocess.run(sys.argv[1:])\n\
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n\
sys.exit(ended.returncode)";

/// Makes packages in one installation.
pub(super) struct Maker {
    binary: PathBuf,
    data: PathBuf,
    roots: String,
}

/// A package.
pub(super) struct Made {
    pub(super) folder: String,
    pub(super) seconds: f64,
    pub(super) memory_mib: f64,
}

impl Maker {
    pub(super) fn new(root: &Path, binary: &Path, folder: &Path) -> Self {
        let roots = format!("{}:{}", root.join("target/corpus").display(), folder.display());
        Self { binary: binary.to_owned(), data: folder.join("data"), roots }
    }

    /// Makes one, with no Python: what is measured is parser, generator, scan and disk.
    /// `None`: the description has no operations.
    pub(super) fn make(&self, description: &Path) -> anyhow::Result<Option<Made>> {
        let arguments = json!({ "openapi": description }).to_string();
        let mut command = Command::new("python3");
        command
            .args(["-c", MEASURED])
            .arg(&self.binary)
            .args(["call", "create_mcp_server", &arguments])
            .env("ATELIER_DATA_DIR", &self.data)
            .env("ATELIER_LOG", "error")
            .env("ATELIER_PYTHON__WARM_UP", "false")
            .env("ATELIER_FACTORY__ALLOWED_ROOTS", &self.roots)
            .env("ATELIER_FACTORY__ENVIRONMENT", self.data.join("no-python"));
        // The wrapper's own start is a part of what is measured; it makes us slower, not faster.
        let started = Instant::now();
        let ended = command.output()?;
        let seconds = started.elapsed().as_secs_f64();
        let errors = String::from_utf8_lossy(&ended.stderr);
        if String::from_utf8_lossy(&ended.stdout).contains("factory_nothing_to_do") {
            return Ok(None);
        }
        ensure!(
            ended.status.success(),
            "no server of {}: {}{errors}",
            description.display(),
            String::from_utf8_lossy(&ended.stdout)
        );
        let result: Value = serde_json::from_slice(&ended.stdout)?;
        let folder = result.get("path").and_then(Value::as_str).context("no path")?.to_owned();
        let memory: f64 = errors.lines().last().unwrap_or_default().trim().parse()?;
        Ok(Some(Made { folder, seconds, memory_mib: memory / 1024.0 }))
    }
}
