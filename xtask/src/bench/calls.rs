//! Tool calls, start-up and memory against a minimal server of the official Python SDK.
//!
//! The peer's tool returns a constant. Ours is `list_web_apps` on an empty installation, which
//! validates, reads the catalog and stores its result durably for references.

use std::path::Path;
use std::process::Command as StdCommand;
use std::time::Instant;

use anyhow::Context as _;
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{RoleClient, ServiceExt as _};
use tokio::process::Command;

use super::Effort;
use super::process::{self, Child, PYTHON_SERVER};
use super::report::Section;

const ATELIER: &str = "Atelier";
const PYTHON: &str = "official Python SDK";

type Client = RunningService<RoleClient, ()>;

/// Milliseconds of each call of one round.
pub(super) async fn round_of(
    client: &Client,
    tool: &'static str,
    calls: usize,
) -> anyhow::Result<Vec<f64>> {
    let mut samples = Vec::with_capacity(calls);
    for _ in 0..calls {
        let started = Instant::now();
        let result = client.call_tool(CallToolRequestParams::new(tool)).await?;
        samples.push(started.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(result.is_error != Some(true), "`{tool}` failed: {result:?}");
    }
    Ok(samples)
}

async fn compare(
    ours: &Client,
    theirs: &Client,
    effort: Effort,
) -> anyhow::Result<Vec<(String, Vec<f64>)>> {
    round_of(ours, "list_web_apps", 20).await?;
    round_of(theirs, "list_items", 20).await?;
    let (mut our_samples, mut their_samples) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        our_samples.extend(round_of(ours, "list_web_apps", effort.calls_per_round).await?);
        their_samples.extend(round_of(theirs, "list_items", effort.calls_per_round).await?);
    }
    Ok(vec![(ATELIER.to_owned(), our_samples), (PYTHON.to_owned(), their_samples)])
}

fn atelier_stdio(binary: &Path, data: &Path) -> Command {
    let mut command = Command::new(binary);
    command.args(["stdio", "--data-dir"]).arg(data).env("ATELIER_LOG", "error");
    command
}

fn python_stdio(python: &Path, script: &Path) -> Command {
    let mut command = Command::new(python);
    command.arg(script).arg("stdio");
    command
}

/// One client at a time, one call after the other, over stdio.
pub(super) async fn over_stdio(
    binary: &Path,
    python: &Path,
    effort: Effort,
) -> anyhow::Result<Section> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("server.py");
    std::fs::write(&script, PYTHON_SERVER)?;
    let ours = ().serve(TokioChildProcess::new(atelier_stdio(binary, folder.path()))?).await?;
    let theirs = ().serve(TokioChildProcess::new(python_stdio(python, &script))?).await?;
    let sides = compare(&ours, &theirs, effort).await?;
    ours.cancel().await?;
    theirs.cancel().await?;
    Ok(Section {
        title: "Tool call round trip over stdio".to_owned(),
        note: "One call after the other by the same Rust client. Ours: `list_web_apps` with its durable record. Theirs: a tool that returns a constant.".to_owned(),
        unit: "ms",
        sides,
        larger_is_better: false,
    })
}

/// The same over streamable HTTP.
pub(super) async fn over_http(
    binary: &Path,
    python: &Path,
    effort: Effort,
) -> anyhow::Result<Section> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("server.py");
    std::fs::write(&script, PYTHON_SERVER)?;
    let (our_port, content_port, their_port) =
        (process::free_port()?, process::free_port()?, process::free_port()?);
    let _ours = Child::start(
        StdCommand::new(binary)
            .args(["serve", "--listen", &format!("127.0.0.1:{our_port}")])
            .args(["--content-listen", &format!("127.0.0.1:{content_port}")])
            .arg("--data-dir")
            .arg(folder.path())
            .env("ATELIER_LOG", "error"),
    )?;
    let _theirs =
        Child::start(StdCommand::new(python).arg(&script).args(["http", &their_port.to_string()]))?;
    process::until_listening(our_port).await?;
    process::until_listening(their_port).await?;
    let connect = async |port: u16| {
        let transport =
            StreamableHttpClientTransport::from_uri(format!("http://127.0.0.1:{port}/mcp"));
        ().serve(transport).await.context("cannot connect")
    };
    let ours = connect(our_port).await?;
    let theirs = connect(their_port).await?;
    let sides = compare(&ours, &theirs, effort).await?;
    Ok(Section {
        title: "Tool call round trip over streamable HTTP".to_owned(),
        note: "The same calls. Both servers on loopback; the peer in its stateless mode."
            .to_owned(),
        unit: "ms",
        sides,
        larger_is_better: false,
    })
}

/// From starting the program to the answer to `initialize`, and memory after a second at rest.
pub(super) async fn start_and_memory(
    binary: &Path,
    python: &Path,
    effort: Effort,
) -> anyhow::Result<Section> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("server.py");
    std::fs::write(&script, PYTHON_SERVER)?;
    let mut starts = [Vec::new(), Vec::new()];
    let mut memory = [Vec::new(), Vec::new()];
    for _ in 0..effort.starts {
        let commands = [atelier_stdio(binary, folder.path()), python_stdio(python, &script)];
        for (side, command) in commands.into_iter().enumerate() {
            let started = Instant::now();
            let transport = TokioChildProcess::new(command)?;
            let process = transport.id().context("the process has ended")?;
            let client = ().serve(transport).await?;
            if let Some(samples) = starts.get_mut(side) {
                samples.push(started.elapsed().as_secs_f64() * 1000.0);
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            if let Some(samples) = memory.get_mut(side) {
                samples.push(process::memory_mib(process)?);
            }
            client.cancel().await?;
        }
    }
    let [our_starts, their_starts] = starts;
    let [our_memory, their_memory] = memory;
    let middle = |samples: &[f64]| super::report::percentile(samples, 0.5);
    Ok(Section {
        title: "Start-up and idle memory over stdio".to_owned(),
        note: format!(
            "Time from starting the process to the answer to `initialize`. Memory at rest (PSS, median): Atelier {:.1} MiB, Python {:.1} MiB.",
            middle(&our_memory),
            middle(&their_memory)
        ),
        unit: "ms",
        sides: vec![(ATELIER.to_owned(), our_starts), (PYTHON.to_owned(), their_starts)],
        larger_is_better: false,
    })
}
