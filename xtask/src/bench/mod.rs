//! `cargo xtask bench`: Atelier beside the peers that its users would otherwise run, in one run on
//! one machine. Rounds alternate between the two, so that a slow minute hits both; the figures go
//! to `docs/BENCHMARKS.md`.

mod calls;
mod catalog;
mod elixir;
mod factory;
mod pages;
mod pdf;
mod process;
mod python;
mod report;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// What a benchmark run needs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BenchArgs {
    /// Release binary of Atelier; built when absent.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Python with the `mcp` package; made under `target/` when absent.
    #[arg(long)]
    python: Option<PathBuf>,
    /// Fewer and shorter rounds, to see that everything runs. Writes no report.
    #[arg(long)]
    quick: bool,
    /// Only the comparisons of this part; writes no report.
    #[arg(long)]
    only: Option<Part>,
}

/// Comparisons that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Tool calls, start-up and memory.
    Calls,
    /// Hosted pages.
    Pages,
    /// PDF documents.
    Pdf,
    /// Tools of other MCP servers.
    Catalog,
    /// Phoenix code.
    Elixir,
    /// Python code.
    Python,
    /// Made MCP servers.
    Factory,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    rounds: usize,
    calls_per_round: usize,
    seconds_per_round: usize,
    starts: usize,
}

/// Runs all comparisons.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        return in_release();
    }
    let root = workspace_root()?;
    let wanted = |part| args.only.is_none_or(|only| only == part);
    let binary = match &args.binary {
        // Helpers are started from other folders.
        Some(path) => std::path::absolute(path)?,
        None => process::build_release(&root)?,
    };
    let effort = if args.quick {
        Effort { rounds: 2, calls_per_round: 50, seconds_per_round: 1, starts: 2 }
    } else {
        Effort { rounds: 5, calls_per_round: 400, seconds_per_round: 4, starts: 7 }
    };
    // The client's TLS is never used on loopback, but it wants a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let sections = runtime.block_on(async {
        let mut sections = Vec::new();
        if wanted(Part::Calls) {
            process::note("measuring: tool calls");
            let python = match &args.python {
                Some(path) => path.clone(),
                None => process::python_with_mcp(&root)?,
            };
            sections.push(calls::over_stdio(&binary, &python, effort).await?);
            sections.push(calls::over_http(&binary, &python, effort).await?);
            sections.push(calls::start_and_memory(&binary, &python, effort).await?);
        }
        if wanted(Part::Catalog) {
            process::note("measuring: tools of other servers");
            let python = match &args.python {
                Some(path) => path.clone(),
                None => process::python_with_mcp(&root)?,
            };
            sections.push(catalog::overhead(&binary, &python, effort).await?);
            sections.push(catalog::search(effort));
        }
        if wanted(Part::Pages) {
            process::note("measuring: hosted pages");
            sections.push(pages::against_nginx(&binary, effort).await?);
        }
        if wanted(Part::Pdf) {
            process::note("measuring: PDF documents");
            sections.extend(pdf::against_peers(&root, &binary, effort).await?);
        }
        if wanted(Part::Elixir) {
            process::note("measuring: Phoenix code");
            sections.push(elixir::against_mix(&root, &binary, effort).await?);
        }
        if wanted(Part::Python) {
            process::note("measuring: Python code");
            sections.extend(python::against_peers(&root, &binary, effort).await?);
        }
        if wanted(Part::Factory) {
            sections.extend(factory::against_peers(&root, &binary, effort).await?);
        }
        anyhow::Ok(sections)
    })?;
    let text = report::render(&sections);
    process::print(&text);
    if !args.quick && args.only.is_none() {
        let path = root.join("docs/BENCHMARKS.md");
        std::fs::write(&path, report::replace_generated(&path, &text)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Does the same in an optimised build: the clients, and the sandbox that runs in this process, are
/// measured too.
fn in_release() -> anyhow::Result<()> {
    // The first time this takes many minutes, which must not look like a standstill.
    process::note("building the benchmark in release mode");
    let status = std::process::Command::new("cargo")
        .args(["run", "--release", "--locked", "--package", "xtask", "--"])
        .args(std::env::args_os().skip(1))
        .status()?;
    anyhow::ensure!(status.success(), "the benchmark ended with {status}");
    Ok(())
}

fn workspace_root() -> anyhow::Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .context("xtask has no parent folder")
}
