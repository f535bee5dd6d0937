//! What it costs to call another server's tool through Atelier, and to find one among thousands.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use atelier::registry::search::SearchIndex;
use rmcp::ServiceExt as _;
use rmcp::transport::TokioChildProcess;
use tokio::process::Command;

use super::Effort;
use super::calls::round_of;
use super::process::PYTHON_SERVER;
use super::report::Section;

#[path = "../../../tests/fixtures/tool_search/set.rs"]
mod tool_set;

const TOOLS: usize = 5_000;

/// The same tool of the same server: called through Atelier, and by the client itself.
pub(super) async fn overhead(
    binary: &Path,
    python: &Path,
    effort: Effort,
) -> anyhow::Result<Section> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("server.py");
    std::fs::write(&script, PYTHON_SERVER)?;
    let servers = folder.path().join("mcp_servers.json");
    let entry = serde_json::json!({"command": python, "args": [script, "stdio"]});
    std::fs::write(&servers, serde_json::json!({"mcpServers": {"peer": entry}}).to_string())?;
    let mut command = Command::new(binary);
    command.args(["stdio", "--data-dir"]).arg(folder.path().join("data"));
    command.arg("--mcp-servers").arg(&servers).env("ATELIER_LOG", "error");
    let through = ().serve(TokioChildProcess::new(command)?).await?;
    let mut command = Command::new(python);
    command.arg(&script).arg("stdio");
    let direct = ().serve(TokioChildProcess::new(command)?).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    round_of(&through, "peer__list_items", 20).await.context("through Atelier")?;
    round_of(&direct, "list_items", 20).await?;
    for _ in 0..effort.rounds {
        ours.extend(round_of(&through, "peer__list_items", effort.calls_per_round).await?);
        theirs.extend(round_of(&direct, "list_items", effort.calls_per_round).await?);
    }
    through.cancel().await?;
    direct.cancel().await?;
    let middle = |samples: &[f64]| super::report::percentile(samples, 0.5);
    let more = middle(&ours) - middle(&theirs);
    Ok(Section {
        title: "Another server's tool, through Atelier and directly".to_owned(),
        note: format!(
            "One call after the other over stdio to the same server of the official Python SDK. Through Atelier, with rights, schema check and durable record, a call takes {more:.3} ms more by the medians."
        ),
        unit: "ms",
        sides: vec![("through Atelier".to_owned(), ours), ("directly".to_owned(), theirs)],
        larger_is_better: false,
    })
}

/// One search after the other over thousands of tools.
pub(super) fn search(effort: Effort) -> Section {
    let (documents, wishes) = tool_set::catalog(TOOLS);
    let started = Instant::now();
    let index = SearchIndex::new(&documents);
    let build_ms = started.elapsed().as_secs_f64() * 1000.0;
    let mut samples = Vec::new();
    let mut found = [0_u32; 2];
    let mut all = [0_u32; 2];
    for round in 0..effort.rounds {
        for (place, wish) in wishes.iter().enumerate() {
            let started = Instant::now();
            let is_hit = index.search(&wish.query).take(5).any(|name| name == wish.name);
            samples.push(started.elapsed().as_secs_f64() * 1000.0);
            if round == 0
                && let (Some(all), Some(found)) = (all.get_mut(place % 2), found.get_mut(place % 2))
            {
                *all += 1;
                *found += u32::from(is_hit);
            }
        }
    }
    let [seen, held_out] = found;
    let [all_seen, all_held_out] = all;
    let share = |part: u32, of: u32| f64::from(part) / f64::from(of);
    Section {
        title: format!("Finding one tool among {}", index.len()),
        note: format!(
            "{} wishes, none with a word of its tool's name. Recall at 5: {:.3} ({:.3} of those that were looked at while the search was made, {:.3} of the held-out half). Reading all tools takes {build_ms:.0} ms.",
            wishes.len(),
            share(seen + held_out, all_seen + all_held_out),
            share(seen, all_seen),
            share(held_out, all_held_out),
        ),
        unit: "ms",
        sides: vec![("search".to_owned(), samples)],
        larger_is_better: false,
    }
}
