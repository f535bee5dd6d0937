//! `atelier config check`: the resolved configuration, with secrets masked.

use std::process::ExitCode;

use clap::Subcommand;

use super::{CommandError, output};
use crate::app;
use crate::config::{self, load::Resolved};

/// Commands below `config`.
#[derive(Debug, Subcommand)]
#[command(subcommand_required = true)]
pub(super) enum ConfigCommand {
    /// Parse everything and print the resolved configuration, with secrets masked and the source
    /// of each value
    #[command(after_help = "Example:\n  atelier config check --config ./atelier.toml")]
    Check,
}

/// Prints the configuration. What is wrong with it was refused before, but for what only those who
/// use it can judge.
pub(super) fn run(resolved: &Resolved) -> Result<ExitCode, CommandError> {
    app::scan_rules(&resolved.config)?;
    app::check_plugins(&resolved.config)?;
    match &resolved.file {
        Some(file) if file.exists() => {
            output::note(&format!("configuration file: {}", file.display()));
        }
        Some(file) => {
            output::note(&format!("configuration file: none at {}", file.display()));
        }
        None => output::note("configuration file: none, since no home folder is known"),
    }
    output::result(config::render(resolved).trim_end())?;
    output::result(&config::render_servers(&resolved.config.catalog.servers))?;
    Ok(ExitCode::SUCCESS)
}
