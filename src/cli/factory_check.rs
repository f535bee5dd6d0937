//! `atelier factory scan` and `atelier factory test`: packages looked at where they lie.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{CommandError, output};
use crate::app::{self, App, LinkLife};
use crate::config::Config;
use crate::config::factory::ScanGate;

/// Arguments of `scan`.
#[derive(Debug, Args)]
#[command(
    about = "Scan packages, folders or files for dangerous code",
    long_about = "Reads Python by its syntax tree, Dockerfiles and workflows, with the built-in rules and \
                  those of `factory.scan_rules`. Exit code 1 when a finding reaches the gate.",
    after_help = "Example:\n  atelier factory scan ~/servers/petstore --format sarif > scan.sarif"
)]
pub(super) struct ScanArguments {
    /// Folders or files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Shape of the report
    #[arg(long, value_name = "FORMAT", default_value = "markdown")]
    format: Format,
    /// Least severity that makes the command fail [default: `factory.scan_gate`]
    #[arg(long, value_name = "SEVERITY")]
    gate: Option<Gate>,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
#[command(
    about = "Prove a package: scan it, start its server, call it, run its tests",
    long_about = "Scans the package in a folder, starts its server, lists its tools with an MCP client, calls \
                  them against a mock API and runs the package's own tests. Exit code 1 when a check fails or \
                  the package could not be run.",
    after_help = "Example:\n  atelier factory test ~/servers/petstore"
)]
pub(super) struct TestArguments {
    /// Folder of the package
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Print JSON instead of lines
    #[arg(long)]
    json: bool,
}

/// Shapes of reports.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// For people
    Markdown,
    /// For programs
    Json,
    /// For code hosts: SARIF 2.1.0
    Sarif,
}

/// Severities.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Gate {
    /// Everything that is found
    Low,
    /// What is dangerous in some uses
    Medium,
    /// What is dangerous
    High,
}

/// Scans.
pub(super) async fn scan(
    arguments: ScanArguments,
    config: Config,
) -> Result<ExitCode, CommandError> {
    let gate = match arguments.gate {
        Some(Gate::Low) => ScanGate::Low,
        Some(Gate::Medium) => ScanGate::Medium,
        Some(Gate::High) => ScanGate::High,
        None => config.factory.scan_gate,
    };
    let report = app::scan_paths(&config, &arguments.paths).await?;
    match arguments.format {
        Format::Markdown => output::result(report.to_markdown().trim_end())?,
        Format::Json => output::json(&report.to_json())?,
        Format::Sarif => output::json(&report.to_sarif())?,
    }
    let blocked = report.blocked(gate.into()).len();
    if blocked > 0 {
        output::note(&format!("{blocked} findings reach the gate"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Tests.
pub(super) async fn test(
    arguments: TestArguments,
    config: Config,
) -> Result<ExitCode, CommandError> {
    let app = App::open(config, LinkLife::WhileRunning).await?;
    let inspected = app.inspect_package(&arguments.path).await.map_err(|error| {
        let hint = error.hint.as_deref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        CommandError::failed(format!("{}{hint}", error.message))
    });
    app.shut_down().await;
    let inspected = inspected?;
    let test = &inspected.self_test;
    if arguments.json {
        output::json(&json!({
            "server_name": inspected.name,
            "self_test": test,
            "scan": inspected.report.to_json(),
        }))?;
    } else {
        output::result(&format!("server: {}", inspected.name))?;
        output::result(&format!(
            "scan: {} files, {} findings",
            inspected.report.files,
            inspected.report.findings.len()
        ))?;
        output::result(&format!(
            "proven: {}, {} checks passed, {} failed",
            test.level.as_str(),
            test.passed,
            test.failed
        ))?;
        for problem in &test.problems {
            output::result(&format!("problem: {problem}"))?;
        }
    }
    Ok(if test.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
