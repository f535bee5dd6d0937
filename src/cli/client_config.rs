//! `atelier client-config`: the block that makes an MCP host start this binary.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{CommandError, output};
use crate::config::load::Flags;

/// Arguments of `client-config`.
#[derive(Debug, Args)]
#[command(
    about = "Print the block to paste into an MCP host's configuration",
    after_help = "Example:\n  atelier client-config claude-desktop"
)]
pub(super) struct ClientConfigArguments {
    /// The program that will start Atelier
    host: Host,
}

/// The hosts whose format is known.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Host {
    ClaudeDesktop,
    ClaudeCode,
    Vscode,
    Cursor,
}

impl Host {
    /// What to do with the block.
    const fn place(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => {
                "Merge it into claude_desktop_config.json (Settings > Developer > Edit Config), then restart Claude Desktop."
            }
            Self::ClaudeCode => {
                "Merge it into `.mcp.json` of a project, or into `~/.claude.json` for all projects."
            }
            Self::Vscode => {
                "Merge it into `.vscode/mcp.json`, or into the file that `MCP: Open User Configuration` opens."
            }
            Self::Cursor => {
                "Merge it into `~/.cursor/mcp.json`, or into `.cursor/mcp.json` of a project."
            }
        }
    }
}

/// Prints the block to standard output and where it goes to standard error.
pub(super) fn run(
    arguments: &ClientConfigArguments,
    flags: &Flags,
) -> Result<ExitCode, CommandError> {
    let program = std::env::current_exe().map_err(|error| {
        CommandError::failed(format!("the path of this program cannot be found: {error}"))
    })?;
    output::json(&block(arguments.host, &program, &server_arguments(flags)?))?;
    output::note(arguments.host.place());
    Ok(ExitCode::SUCCESS)
}

/// `stdio`, and the flags of this command that name files: a host starts the program in a folder
/// of its own choice, so paths are absolute.
fn server_arguments(flags: &Flags) -> Result<Vec<String>, CommandError> {
    let mut arguments = vec!["stdio".to_owned()];
    for (flag, path) in [("--config", &flags.config), ("--data-dir", &flags.data_dir)] {
        if let Some(path) = path {
            arguments.push(flag.to_owned());
            arguments.push(absolute(path)?.to_string_lossy().into_owned());
        }
    }
    Ok(arguments)
}

fn absolute(path: &Path) -> Result<PathBuf, CommandError> {
    std::path::absolute(path).map_err(|error| {
        CommandError::failed(format!("the path `{}` cannot be used: {error}", path.display()))
    })
}

fn block(host: Host, program: &Path, arguments: &[String]) -> Value {
    let command = program.to_string_lossy();
    match host {
        Host::ClaudeDesktop | Host::Cursor => {
            json!({"mcpServers": {"atelier": {"command": command, "args": arguments}}})
        }
        Host::ClaudeCode => {
            json!({"mcpServers": {"atelier": {"type": "stdio", "command": command, "args": arguments}}})
        }
        Host::Vscode => {
            json!({"servers": {"atelier": {"type": "stdio", "command": command, "args": arguments}}})
        }
    }
}
