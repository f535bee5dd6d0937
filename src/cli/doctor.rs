//! `atelier doctor`.

use std::process::ExitCode;

use clap::Args;

use super::{CommandError, output, runtime};
use crate::config::ConfigError;
use crate::config::load::Resolved;
use crate::doctor::{self, Check, Report, Status};

/// Arguments of `doctor`.
#[derive(Debug, Args)]
#[command(
    about = "Say what is here, what is missing, and the command that fixes it",
    long_about = "Says what is here, what is missing, and the command that fixes it. \
                  Exit code 0 when Atelier can work, 1 when not.",
    after_help = "Example:\n  atelier doctor --json"
)]
pub(super) struct DoctorArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Looks at everything, or says what keeps the configuration from being read.
pub(super) fn run(
    arguments: &DoctorArguments,
    resolved: Result<Resolved, ConfigError>,
) -> Result<ExitCode, CommandError> {
    let report = match resolved {
        Ok(resolved) => {
            let mut report = None;
            runtime::run(async |_| {
                report = Some(doctor::examine(&resolved).await);
                Ok(ExitCode::SUCCESS)
            })?;
            // Interrupted: there is nothing to say.
            let Some(report) = report else { return Ok(ExitCode::FAILURE) };
            report
        }
        Err(error) => Report::from(unreadable(&error)),
    };
    if arguments.json {
        output::json(&report)?;
    } else {
        output::result(&report.to_string())?;
    }
    Ok(if report.usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unreadable(error: &ConfigError) -> Vec<Check> {
    let finding = |problem: &crate::config::Problem| {
        let detail = format!("{}: {}", problem.place, problem.message);
        Check::finding("configuration", Status::Failed, detail, problem.hint.clone())
    };
    error.problems.iter().map(finding).collect()
}
