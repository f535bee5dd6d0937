//! `atelier factory`: MCP servers from a description, an API or a database, without a client, and
//! packages scanned and tested.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::factory_check::{self, ScanArguments, TestArguments};
use super::{CommandError, output, tools};
use crate::app::{App, LinkLife};
use crate::config::Config;

/// Make MCP servers, scan and test them
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  atelier factory from-openapi petstore.yaml --output ~/servers")]
pub(super) enum FactoryCommand {
    /// From words: a model writes the tools
    FromDescription(FromDescription),
    /// From an OpenAPI or Swagger document
    FromOpenapi(FromOpenapi),
    /// From a database
    FromDatabase(FromDatabase),
    Scan(ScanArguments),
    Test(TestArguments),
}

/// Arguments of every source.
#[derive(Debug, Args)]
struct CommonArguments {
    /// Name of the server
    #[arg(long)]
    name: Option<String>,
    /// Folder for a copy of the package
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Further options as a JSON object
    #[arg(long, value_name = "JSON")]
    options: Option<String>,
}

/// Arguments of `from-description`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atelier factory from-description 'tools that convert units'")]
pub(super) struct FromDescription {
    /// What the server should do
    #[arg(value_name = "TEXT")]
    description: String,
    /// Model that writes the tools
    #[arg(long, default_value = "auto")]
    model: String,
    #[command(flatten)]
    common: CommonArguments,
}

/// Arguments of `from-openapi`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  atelier factory from-openapi petstore.yaml --include 'tag:pets'"
)]
pub(super) struct FromOpenapi {
    /// URL or path of the document
    #[arg(value_name = "DOCUMENT")]
    document: String,
    /// Operations that are wanted: `tag:pets`, `GET /pets/*`, `id:list*`
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Operations that are not wanted
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    #[command(flatten)]
    common: CommonArguments,
}

/// Arguments of `from-database`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  atelier factory from-database ./shop.db")]
pub(super) struct FromDatabase {
    /// Path of a SQLite file, a PostgreSQL URL, or `env:NAME`
    #[arg(value_name = "DATABASE")]
    database: String,
    #[command(flatten)]
    common: CommonArguments,
}

/// Makes a server, or looks at one.
pub(super) async fn run(
    command: FactoryCommand,
    mut config: Config,
    shutdown: CancellationToken,
) -> Result<ExitCode, CommandError> {
    let roots = &mut config.factory.allowed_roots;
    let mut values = Map::new();
    let common = match command {
        FactoryCommand::FromDescription(arguments) => {
            values.insert("description".to_owned(), json!(arguments.description));
            values.insert("model".to_owned(), json!(arguments.model));
            arguments.common
        }
        FactoryCommand::FromOpenapi(arguments) => {
            let document = named(&arguments.document, roots)?;
            values.insert("openapi".to_owned(), json!(document));
            values.insert("include".to_owned(), json!(arguments.include));
            values.insert("exclude".to_owned(), json!(arguments.exclude));
            arguments.common
        }
        FactoryCommand::FromDatabase(arguments) => {
            let database = named(&arguments.database, roots)?;
            values.insert("database_url".to_owned(), json!(database));
            arguments.common
        }
        FactoryCommand::Scan(arguments) => return factory_check::scan(arguments, config).await,
        FactoryCommand::Test(arguments) => return factory_check::test(arguments, config).await,
    };
    if let Some(name) = common.name {
        values.insert("name".to_owned(), json!(name));
    }
    if let Some(folder) = common.output {
        let folder = std::path::absolute(folder)?;
        values.insert("output_dir".to_owned(), json!(folder.to_string_lossy()));
        roots.extend(folder.canonicalize());
        roots.extend(folder.parent().and_then(|parent| parent.canonicalize().ok()));
    }
    if let Some(options) = common.options {
        values.insert("options".to_owned(), tools::read_arguments(&options)?);
    }
    let app = App::open(config, LinkLife::WhileRunning).await?;
    app.runner.start_heartbeat();
    let context = tools::context(&app, shutdown);
    let outcome = app.registry.call("create_mcp_server", Value::Object(values), context).await;
    app.shut_down().await;
    output::json(&outcome.structured)?;
    Ok(if outcome.is_error { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// How a SQLite file may be written as a URL.
const SQLITE: [&str; 2] = ["sqlite://", "sqlite:"];

/// A path as an absolute one, which whoever names it at the terminal means to be read; anything
/// else as it is.
fn named(text: &str, roots: &mut Vec<PathBuf>) -> Result<String, CommandError> {
    let (scheme, path) = match SQLITE.into_iter().find(|scheme| text.starts_with(scheme)) {
        Some(scheme) => (scheme, Path::new(text.get(scheme.len()..).unwrap_or_default())),
        None if text.contains("://") || text.starts_with("env:") => return Ok(text.to_owned()),
        None => ("", Path::new(text)),
    };
    let path = std::path::absolute(path)?;
    // Of the file alone: its query is none of its name.
    let file = path.to_string_lossy();
    let file = Path::new(file.split('?').next().unwrap_or_default());
    roots.extend(file.parent().and_then(|folder| folder.canonicalize().ok()));
    // A link leads to a file that was named with it.
    let target = file.canonicalize().ok();
    roots.extend(target.as_deref().and_then(Path::parent).map(Path::to_owned));
    Ok(format!("{scheme}{}", path.to_string_lossy()))
}
