//! `atelier elixir`: the Elixir generators without a client, and as MCP servers of one tool each.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::{CommandError, output, tools};
use crate::app::{App, LinkLife};
use crate::config::Config;
use crate::server::serve_stdio;

/// Tools that carry on the calls of others; a server of one tool answers every call itself.
const JOB_TOOLS: [&str; 4] =
    ["get_job", "cancel_job", "submit_completion", "read_completion_prompt"];

/// Seconds that a server of one tool takes for an answer at most.
const PATIENCE_S: f64 = 3600.0;

/// Generate Phoenix and Ecto code
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  atelier elixir crud '{\"module_name\": \"User\", \"fields\": [\"name:string\"]}' --project ."
)]
pub(super) enum ElixirCommand {
    /// Schema, migration, context, fixtures and tests
    Crud(CrudArguments),
    /// The Ecto schema
    Schema(GenerateArguments),
    /// The migration
    Migration(GenerateArguments),
    /// The context with its fixtures and tests
    Context(GenerateArguments),
    /// Take back the last change of a project, or that of a call
    Undo(UndoArguments),
    /// Serve `generate_ecto_schema` alone, over standard input and output
    ServeEcto,
    /// Serve `generate_ecto_migration` alone, over standard input and output
    ServeMigration,
    /// Serve `generate_phoenix_context` alone, over standard input and output
    ServeContext,
}

/// Arguments of the generators.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  atelier elixir schema '{\"module_name\": \"User\", \"fields\": [\"email:string:unique\"]}' --project ~/my_app"
)]
pub(super) struct GenerateArguments {
    /// The definition as a JSON object, or `-` to read it from standard input
    #[arg(value_name = "JSON")]
    definition: String,
    #[command(flatten)]
    common: CommonArguments,
}

/// Arguments of `crud`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  atelier elixir crud --description 'a blog post with a title and a body' --project ~/my_app"
)]
pub(super) struct CrudArguments {
    /// The definition as a JSON object, or `-` to read it from standard input
    #[arg(value_name = "JSON", required_unless_present = "description")]
    definition: Option<String>,
    /// The resource in words; a model writes the definition
    #[arg(long, value_name = "TEXT", conflicts_with = "definition")]
    description: Option<String>,
    #[command(flatten)]
    common: CommonArguments,
}

/// Arguments of every generator.
#[derive(Debug, Args)]
struct CommonArguments {
    /// Folder of the project
    #[arg(long, value_name = "PATH", default_value = ".")]
    project: PathBuf,
    /// Show what would change and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Compile the project afterwards
    #[arg(long)]
    verify: bool,
}

/// Arguments of `undo`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atelier elixir undo --project ~/my_app")]
pub(super) struct UndoArguments {
    /// Folder of the project
    #[arg(long, value_name = "PATH", default_value = ".")]
    project: PathBuf,
    /// Call that is taken back [default: the project's last]
    #[arg(long, value_name = "ID")]
    call_id: Option<String>,
}

impl ElixirCommand {
    /// Whether the command serves a client.
    pub(super) const fn serves(&self) -> bool {
        matches!(self, Self::ServeEcto | Self::ServeMigration | Self::ServeContext)
    }
}

/// Runs a generator or serves one.
pub(super) async fn run(
    command: ElixirCommand,
    mut config: Config,
    shutdown: CancellationToken,
) -> Result<ExitCode, CommandError> {
    let (tool, arguments, project) = match command {
        ElixirCommand::ServeEcto => return serve("generate_ecto_schema", config, shutdown).await,
        ElixirCommand::ServeMigration => {
            return serve("generate_ecto_migration", config, shutdown).await;
        }
        ElixirCommand::ServeContext => {
            return serve("generate_phoenix_context", config, shutdown).await;
        }
        ElixirCommand::Crud(arguments) => {
            let mut values = common(&arguments.common)?;
            if let Some(definition) = &arguments.definition {
                values.insert("schema_definition".to_owned(), tools::read_arguments(definition)?);
            }
            if let Some(description) = arguments.description {
                values.insert("description".to_owned(), Value::from(description));
            }
            ("create_elixir_crud", values, arguments.common.project)
        }
        ElixirCommand::Schema(arguments) => generate("generate_ecto_schema", arguments)?,
        ElixirCommand::Migration(arguments) => generate("generate_ecto_migration", arguments)?,
        ElixirCommand::Context(arguments) => generate("generate_phoenix_context", arguments)?,
        ElixirCommand::Undo(arguments) => {
            let mut values = Map::new();
            values.insert("target_project_path".to_owned(), absolute(&arguments.project)?);
            if let Some(call_id) = arguments.call_id {
                values.insert("call_id".to_owned(), Value::from(call_id));
            }
            ("undo_elixir_change", values, arguments.project)
        }
    };
    // Who names a project at the terminal means it.
    if let Ok(folder) = project.canonicalize() {
        config.elixir.allowed_roots.push(folder);
    }
    let app = App::open(config, LinkLife::WhileRunning).await?;
    app.runner.start_heartbeat();
    let context = tools::context(&app, shutdown);
    let outcome = app.registry.call(tool, Value::Object(arguments), context).await;
    app.shut_down().await;
    output::json(&outcome.structured)?;
    Ok(if outcome.is_error { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

type Call = (&'static str, Map<String, Value>, PathBuf);

fn generate(tool: &'static str, arguments: GenerateArguments) -> Result<Call, CommandError> {
    let mut values = common(&arguments.common)?;
    let definition = tools::read_arguments(&arguments.definition)?;
    values.insert("schema_definition".to_owned(), definition);
    Ok((tool, values, arguments.common.project))
}

fn common(arguments: &CommonArguments) -> Result<Map<String, Value>, CommandError> {
    let mut values = Map::new();
    values.insert("target_project_path".to_owned(), absolute(&arguments.project)?);
    values.insert("dry_run".to_owned(), Value::from(arguments.dry_run));
    values.insert("verify".to_owned(), Value::from(arguments.verify));
    Ok(values)
}

fn absolute(path: &std::path::Path) -> Result<Value, CommandError> {
    Ok(Value::from(std::path::absolute(path)?.to_string_lossy().into_owned()))
}

/// Serves one tool until the client leaves.
async fn serve(
    tool: &str,
    mut config: Config,
    shutdown: CancellationToken,
) -> Result<ExitCode, CommandError> {
    config.server.toolsets.clear();
    config.server.tools = vec![tool.to_owned()];
    config.server.exclude_tools = JOB_TOOLS.iter().map(|name| (*name).to_owned()).collect();
    config.limits.answer_budget_s = PATIENCE_S;
    let app = App::open(config, LinkLife::WhileRunning).await?;
    let served = Box::pin(serve_stdio(Arc::clone(&app), shutdown)).await;
    app.shut_down().await;
    served.map_err(CommandError::failed)?;
    Ok(ExitCode::SUCCESS)
}
