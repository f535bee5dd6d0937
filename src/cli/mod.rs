//! The command line: arguments in, one exit code out (0 done, 1 failed, 2 wrong usage).

mod client_config;
mod config_check;
mod output;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::load::{Flags, Resolved, load};
use crate::config::log::LogFormat;
use crate::config::{ConfigError, Environment};
use crate::telemetry;

/// One MCP server that gives any agent a workshop.
#[derive(Debug, Parser)]
#[command(
    name = "atelier",
    version,
    arg_required_else_help = true,
    after_help = "Example:\n  atelier demo"
)]
struct Arguments {
    #[command(flatten)]
    common: CommonArguments,
    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
struct CommonArguments {
    /// Configuration file [default: atelier/atelier.toml in the XDG configuration folder]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Data folder [default: atelier in the XDG data folder]
    #[arg(long, global = true, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// Log level, or a filter such as `info,atelier::llm=debug`
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Shape of log lines
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

#[derive(Debug, Subcommand)]
enum Command {
    ClientConfig(client_config::ClientConfigArguments),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config_check::ConfigCommand),
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// It could not do its work.
    #[error("{message}{}", .hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
    Failed { message: String, hint: Option<String> },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Standard output is gone.
    #[error("standard output cannot be written: {0}")]
    Output(#[from] std::io::Error),
}

impl CommandError {
    fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: None }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    // Fails when a provider is set already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers; everything else is wrong usage.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            output::note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let flags = flags(&arguments);
    if let Command::ClientConfig(arguments) = &arguments.command {
        client_config::run(arguments, &flags)?;
        return Ok(ExitCode::SUCCESS);
    }
    let resolved = load(&Environment::capture(), &flags)?;
    telemetry::init(&resolved.config.log);
    for warning in &resolved.warnings {
        tracing::warn!(warning, "configuration");
    }
    dispatch(arguments.command, resolved)
}

fn dispatch(command: Command, resolved: Resolved) -> Result<ExitCode, CommandError> {
    match command {
        Command::ClientConfig(_) => {}
        Command::Config(config_check::ConfigCommand::Check) => config_check::run(&resolved)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn flags(arguments: &Arguments) -> Flags {
    let common = &arguments.common;
    Flags {
        config: common.config.clone(),
        data_dir: common.data_dir.clone(),
        log_level: common.log_level.clone(),
        log_format: common.log_format,
        ..Flags::default()
    }
}
