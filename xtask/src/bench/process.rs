//! Starting the programs that are compared, and ending them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// The peer: the smallest server of the official Python SDK that has one tool.
pub(super) const PYTHON_SERVER: &str = r#"
import sys
from mcp.server.mcpserver import MCPServer

server = MCPServer("minimal", log_level="ERROR")

@server.tool()
def list_items(limit: int = 10) -> dict:
    """Lists nothing."""
    return {"status": "success", "items": []}

if sys.argv[1] == "stdio":
    server.run(transport="stdio")
else:
    port = int(sys.argv[2])
    server.run(transport="streamable-http", host="127.0.0.1", port=port, stateless_http=True)
"#;

/// A child process that ends with its owner.
pub(super) struct Child(std::process::Child);

impl Child {
    /// Starts a program with its output thrown away.
    pub(super) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self(child))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Builds the release binary.
pub(super) fn build_release(root: &Path) -> anyhow::Result<PathBuf> {
    let status = Command::new("cargo")
        .args(["build", "--release", "--locked"])
        .current_dir(root)
        .status()?;
    if !status.success() {
        bail!("cargo build --release failed");
    }
    Ok(root.join("target/release/atelier"))
}

/// A Python environment with the official SDK, made once under `target/`.
pub(super) fn python_with_mcp(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join("target/bench-python");
    let python = folder.join("bin/python");
    if !python.exists() {
        note("installing the official Python SDK under target/");
        let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status()?;
        let installed = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "mcp==2.3.0"])
            .status()?;
        if !made.success() || !installed.success() {
            let _ = std::fs::remove_dir_all(&folder);
            bail!("cannot install the `mcp` package; try `python3 -m venv` by hand");
        }
    }
    Ok(python)
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until something listens on a port.
pub(super) async fn until_listening(port: u16) -> anyhow::Result<()> {
    let started = Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if started.elapsed() > Duration::from_secs(30) {
            bail!("nothing listens on port {port}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Memory of a process that nobody shares with it, and its part of what is shared, in MiB.
pub(super) fn memory_mib(process: u32) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss line")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no figure")?.parse()?;
    Ok(kib / 1024.0)
}

/// The path of a program that has to be installed.
pub(super) fn installed(program: &str, package: &str) -> anyhow::Result<PathBuf> {
    let places = ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"];
    places
        .iter()
        .map(|place| Path::new(place).join(program))
        .find(|path| path.exists())
        .with_context(|| format!("`{program}` is missing: apt-get install {package}"))
}

#[expect(clippy::print_stdout, reason = "what the task is run for")]
pub(super) fn print(text: &str) {
    println!("{text}");
}

/// A word about what goes on, beside the figures.
#[expect(clippy::print_stderr, reason = "what the person at the terminal waits for")]
pub(super) fn note(text: &str) {
    eprintln!("bench: {text}");
}
