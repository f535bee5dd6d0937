//! `atelier tools` and `atelier call`: the tools without a client.

use std::io::Read as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{CommandError, output};
use crate::app::{App, LinkLife};
use crate::config::Config;
use crate::registry::{CallContext, Origin, Rights, SERVER_DIVIDER};
use crate::server::ports::{ListenerKind, kept_address};
use crate::server::{LOCAL_PRINCIPAL, show};

/// Arguments of `tools`.
#[derive(Debug, Args)]
#[command(
    about = "List the tools as a client sees them",
    after_help = "Example:\n  atelier tools --json"
)]
pub(super) struct ToolsArguments {
    /// Print JSON, with schemas
    #[arg(long)]
    json: bool,
}

/// Arguments of `call`.
#[derive(Debug, Args)]
#[command(
    about = "Call one tool and print its structured result",
    long_about = "Calls one tool in this process and prints its structured result as JSON. \
                  Exit code 0 for a result, 1 for a tool's error, 2 for wrong usage.",
    after_help = "Example:\n  atelier call list_web_apps '{\"limit\": 5}'\n  \
                  echo '{\"app_name\": \"hello\", \"html\": \"…\"}' | atelier call create_web_app -"
)]
pub(super) struct CallArguments {
    /// Name of the tool
    tool: String,
    /// Arguments as a JSON object, or `-` to read them from standard input
    #[arg(default_value = "{}", value_name = "JSON")]
    arguments: String,
}

/// Prints the tools.
pub(super) async fn list(
    arguments: ToolsArguments,
    config: Config,
) -> Result<ExitCode, CommandError> {
    let app = App::open(config, LinkLife::WhileRunning).await?;
    let rights = Rights::default();
    if arguments.json {
        let tools: Vec<_> = app.registry.tools(&rights).map(show).collect();
        output::json(&json!({ "tools": tools }))?;
    } else {
        for tool in app.registry.tools(&rights) {
            output::result(&format!(
                "{:<24} {:<10} {}",
                tool.name,
                tool.toolset.as_str(),
                tool.title
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Calls a tool.
pub(super) async fn call(
    arguments: CallArguments,
    config: Config,
    shutdown: CancellationToken,
) -> Result<ExitCode, CommandError> {
    let values = read_arguments(&arguments.arguments)?;
    let app = App::open(config, LinkLife::WhileRunning).await?;
    let is_other = arguments.tool.contains(SERVER_DIVIDER);
    if app.registry.tool(&arguments.tool).is_none() && !is_other {
        return Err(CommandError::usage(
            format!("no tool is named `{}`", arguments.tool),
            "`atelier tools` lists them",
        ));
    }
    if app.config.server.content_listen.is_none() {
        app.urls.set_content_address(kept_address(&*app.catalog, ListenerKind::Content).await?);
    }
    app.urls.set_pages_address(kept_address(&*app.catalog, ListenerKind::Pages).await?);
    app.runner.start_heartbeat();
    let outcome = app.registry.call(&arguments.tool, values, context(&app, shutdown)).await;
    app.shut_down().await;
    output::json(&outcome.structured)?;
    Ok(if outcome.is_error { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The circumstances of a command's own call.
pub(super) fn context(app: &App, shutdown: CancellationToken) -> CallContext {
    let mut context = CallContext::new(LOCAL_PRINCIPAL.into(), Origin::Command);
    context.rights.read_only = app.config.server.read_only;
    context.cancel = shutdown;
    context.models.local_models = true;
    context
}

/// A JSON object from an argument or, for `-`, from standard input.
pub(super) fn read_arguments(text: &str) -> Result<Value, CommandError> {
    let mut text = text.to_owned();
    if text == "-" {
        text.clear();
        std::io::stdin().lock().read_to_string(&mut text).map_err(|error| {
            CommandError::usage(
                format!("standard input cannot be read: {error}"),
                "write the arguments as UTF-8 JSON",
            )
        })?;
    }
    let values: Value = serde_json::from_str(&text).map_err(|error| {
        CommandError::usage(
            format!("the arguments are no JSON: {error}"),
            "write an object such as '{\"limit\": 5}', in single quotes",
        )
    })?;
    if values.is_object() {
        Ok(values)
    } else {
        Err(CommandError::usage(
            "the arguments are no JSON object",
            "write an object such as '{\"limit\": 5}', in single quotes",
        ))
    }
}
