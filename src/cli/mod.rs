//! The command line: arguments in, one exit code out (0 done, 1 failed, 2 wrong usage).

mod chat;
mod client_config;
mod config_check;
mod demo;
mod doctor;
mod elixir;
mod factory;
mod factory_check;
mod output;
mod runtime;
mod serve;
mod terminal_person;
mod tools;
mod workflow;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::app::AppError;
use crate::config::load::{Flags, load};
use crate::config::log::LogFormat;
use crate::config::{ConfigError, Environment};
use crate::server::ports::PortError;
use crate::telemetry;

/// Exit code of wrong usage.
const WRONG_USAGE: u8 = 2;

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
    /// File that names other MCP servers [default: mcp_servers.json beside the configuration file]
    #[arg(long, global = true, value_name = "PATH")]
    mcp_servers: Option<PathBuf>,
    /// Data folder [default: atelier in the XDG data folder]
    #[arg(long, global = true, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// File of workflows [default: workflows.json beside the configuration file]
    #[arg(long, global = true, value_name = "PATH")]
    workflows: Option<PathBuf>,
    /// Log level, or a filter such as `info,atelier::llm=debug`
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Shape of log lines
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

/// Flags that choose which tools are offered.
#[derive(Debug, Default, Args)]
struct ToolArguments {
    /// Toolsets to offer [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    toolsets: Vec<String>,
    /// Single tools to offer [default: all of the toolsets]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    tools: Vec<String>,
    /// Tools to leave out
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    exclude_tools: Vec<String>,
    /// Offer only tools that change nothing
    #[arg(long)]
    read_only: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Stdio(serve::StdioArguments),
    Serve(serve::ServeArguments),
    Demo(demo::DemoArguments),
    Doctor(doctor::DoctorArguments),
    Tools(tools::ToolsArguments),
    Call(tools::CallArguments),
    Chat(chat::ChatArguments),
    ClientConfig(client_config::ClientConfigArguments),
    #[command(subcommand)]
    Elixir(elixir::ElixirCommand),
    #[command(subcommand)]
    Factory(factory::FactoryCommand),
    #[command(subcommand)]
    Workflow(workflow::WorkflowCommand),
    /// Look at the configuration
    #[command(subcommand, after_help = "Example:\n  atelier config check")]
    Config(config_check::ConfigCommand),
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    /// It could not do its work.
    #[error("{0}")]
    Failed(String),
    /// It was called in a way that makes no sense.
    #[error("{message}\nhint: {hint}")]
    Usage { message: String, hint: &'static str },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The program cannot start.
    #[error(transparent)]
    App(#[from] AppError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A tool that the command called refused.
    #[error("`{tool}`: {message}\nhint: {hint}")]
    Tool { tool: &'static str, message: String, hint: String },
    /// A stream of this process failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl CommandError {
    fn failed(cause: impl fmt::Display) -> Self {
        Self::Failed(format!("{cause}"))
    }

    fn usage(message: impl Into<String>, hint: &'static str) -> Self {
        Self::Usage { message: message.into(), hint }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage { .. } => ExitCode::from(WRONG_USAGE),
            Self::Failed(_)
            | Self::Config(_)
            | Self::App(_)
            | Self::Port(_)
            | Self::Tool { .. }
            | Self::Io(_) => ExitCode::FAILURE,
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    // Before anything else: a helper must not have a second thread.
    if let Some(code) = crate::sandbox::helper_process() {
        return code;
    }
    // Fails when a provider is set already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers; everything else is wrong usage.
            let code = if error.use_stderr() { WRONG_USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    run(arguments).unwrap_or_else(|error| {
        output::note(&format!("error: {error}"));
        error.exit_code()
    })
}

fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    let flags = flags(&arguments);
    // Servers tell what happens; the answer of a command stands alone unless something is wrong.
    let serves = match &arguments.command {
        Command::Stdio(_) | Command::Serve(_) => true,
        Command::Elixir(command) => command.serves(),
        Command::Demo(_)
        | Command::Doctor(_)
        | Command::Tools(_)
        | Command::Call(_)
        | Command::Chat(_)
        | Command::ClientConfig(_)
        | Command::Factory(_)
        | Command::Workflow(_)
        | Command::Config(_) => false,
    };
    let resolved = || {
        let resolved = load(&Environment::capture(), &flags)?;
        let mut log = resolved.config.log.clone();
        if !serves && !resolved.sources.contains_key("log.level") {
            "warn".clone_into(&mut log.level);
        }
        telemetry::init(&log);
        for warning in &resolved.warnings {
            tracing::warn!(warning, "configuration");
        }
        Ok::<_, ConfigError>(resolved)
    };
    match arguments.command {
        Command::Stdio(_) => {
            let config = resolved()?.config;
            runtime::run(|shutdown| serve::stdio(config, shutdown))
        }
        Command::Serve(arguments) => {
            let config = resolved()?.config;
            runtime::run(|shutdown| serve::serve(arguments, config, shutdown))
        }
        Command::Demo(arguments) => {
            let config = resolved()?.config;
            runtime::run(|shutdown| demo::run(arguments, config, shutdown))
        }
        Command::Doctor(arguments) => doctor::run(&arguments, resolved()),
        Command::Tools(arguments) => {
            let config = resolved()?.config;
            runtime::run(|_| tools::list(arguments, config))
        }
        Command::Call(arguments) => {
            let config = resolved()?.config;
            runtime::run(|shutdown| tools::call(arguments, config, shutdown))
        }
        Command::Chat(arguments) => {
            let config = resolved()?.config;
            runtime::run_interactive(|interrupts| chat::run(arguments, config, interrupts))
        }
        Command::Elixir(command) => {
            let config = resolved()?.config;
            runtime::run(|shutdown| elixir::run(command, config, shutdown))
        }
        Command::Factory(command) => {
            let config = resolved()?.config;
            runtime::run(|shutdown| factory::run(command, config, shutdown))
        }
        Command::Workflow(command) => {
            let config = resolved()?.config;
            runtime::run(|shutdown| workflow::run(command, config, shutdown))
        }
        Command::ClientConfig(arguments) => client_config::run(&arguments, &flags),
        Command::Config(config_check::ConfigCommand::Check) => config_check::run(&resolved()?),
    }
}

fn flags(arguments: &Arguments) -> Flags {
    let common = &arguments.common;
    let mut flags = Flags {
        config: common.config.clone(),
        data_dir: common.data_dir.clone(),
        workflows: common.workflows.clone(),
        mcp_servers: common.mcp_servers.clone(),
        log_level: common.log_level.clone(),
        log_format: common.log_format,
        ..Flags::default()
    };
    let tools = match &arguments.command {
        Command::Stdio(arguments) => {
            flags.content_listen = arguments.content_listen;
            &arguments.tools
        }
        Command::Serve(arguments) => {
            flags.listen = arguments.listen;
            flags.content_listen = arguments.content_listen;
            &arguments.tools
        }
        Command::Demo(_)
        | Command::Doctor(_)
        | Command::Tools(_)
        | Command::Call(_)
        | Command::Chat(_)
        | Command::ClientConfig(_)
        | Command::Elixir(_)
        | Command::Factory(_)
        | Command::Workflow(_)
        | Command::Config(_) => return flags,
    };
    flags.toolsets.clone_from(&tools.toolsets);
    flags.tools.clone_from(&tools.tools);
    flags.exclude_tools.clone_from(&tools.exclude_tools);
    flags.read_only = tools.read_only;
    flags
}
