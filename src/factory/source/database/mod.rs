//! Databases as sources: what is in them becomes tools.
//!
//! The database is read once, and nothing in it is ever changed (see `trial`). Every table, view and column becomes part of a
//! tool or is named with the reason why it did not.

mod arguments;
mod blueprint;
mod cases;
mod empty_copy;
mod plan;
mod postgres;
mod problem;
mod schema;
mod sqlite;
mod tools;
mod trial;
mod values;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::factory::error::{FactoryError, Refusal};
use crate::factory::ir::{
    Database, Dialect, FORMAT, Features, Mode, Package, Skipped, SourceKind, Sourced, Variable,
};

use self::schema::Schema;
pub(in crate::factory) use self::sqlite::path_of;

/// Most tables of one package.
const MOST_TABLES: usize = 200;
/// Tools beyond this number are offered behind a search.
const DIRECT_TOOLS: usize = 40;
/// How many names an error shows.
const SHOWN: usize = 30;
/// Where a schema comes from tells when it changed, except for PostgreSQL, where this is as old as
/// what is known of it may be.
const KEPT: Duration = Duration::from_secs(30);

/// Schemas that were read lately.
static KNOWN: LazyLock<moka::future::Cache<String, Arc<Schema>>> =
    LazyLock::new(|| moka::future::Cache::builder().max_capacity(32).time_to_live(KEPT).build());

/// Whether tools may write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Access {
    /// The database is opened so that nothing can be written.
    ReadOnly,
    /// Rows can be made, changed and removed.
    #[default]
    ReadWrite,
}

/// What is to be made of which database.
#[derive(Clone)]
pub struct DatabaseRequest {
    /// Path of a SQLite file, `sqlite:` URL or `postgresql://` URL, with its password.
    pub url: String,
    /// Environment variable from which the package takes it.
    pub variable: String,
    /// Name of the server.
    pub name: String,
    /// Tables that are wanted; empty: all.
    pub tables: Vec<String>,
    /// Patterns of tables that are wanted; `*` stands for anything.
    pub include: Vec<String>,
    /// Patterns of tables that are not.
    pub exclude: Vec<String>,
    /// Whether tools may write.
    pub access: Access,
    /// Features around every call.
    pub features: Features,
    /// How tools are offered; otherwise their number decides.
    pub mode: Option<Mode>,
}

/// Reads a database and makes a package of it.
///
/// # Errors
/// When it cannot be reached or read, when nothing of it would become a tool, and when it has more
/// tables than a package can offer.
pub async fn introspect(request: &DatabaseRequest) -> Result<Sourced, FactoryError> {
    let dialect = dialect(&request.url)?;
    let schema = match dialect {
        Dialect::Sqlite => sqlite::read(&request.url, &KNOWN).await?,
        Dialect::Postgresql => postgres::read(&request.url, &KNOWN).await?,
    };
    let mut skipped = schema.skipped.clone();
    let tables = schema::select(&schema, request, &mut skipped)?;
    if tables.len() > MOST_TABLES {
        let names: Vec<String> = tables.iter().take(SHOWN).map(schema::label).collect();
        return Err(FactoryError::new(
            Refusal::TooLarge,
            format!(
                "the database has {} tables and views; a server offers at most {MOST_TABLES}: {}, …",
                tables.len(),
                names.join(", ")
            ),
            "choose some with `tables`, `include` or `exclude`",
        )
        .detail("tables", tables.len().into()));
    }
    if tables.is_empty() {
        return Err(nothing(&skipped));
    }
    let tools = tools::make(dialect, &tables, request.access, &schema, &mut skipped);
    let (cases, files, trial) = match dialect {
        Dialect::Sqlite => {
            let (cases, files) = cases::sqlite(&schema, &tables, &tools, request.access).await;
            (cases, files, None)
        }
        Dialect::Postgresql => {
            let blueprints = &schema.blueprints;
            let (cases, files, trial) =
                Box::pin(cases::postgresql(&request.url, blueprints, &tables, &tools)).await;
            (cases, files, Some(trial))
        }
    };
    let count = tables.len();
    let mode = request.mode.unwrap_or(if tools.len() > DIRECT_TOOLS {
        Mode::Search
    } else {
        Mode::Direct
    });
    let package = Package {
        format: FORMAT,
        name: request.name.clone(),
        title: request.name.clone(),
        description: format!(
            "Works on {count} tables and views of a {} database.",
            match dialect {
                Dialect::Sqlite => "SQLite",
                Dialect::Postgresql => "PostgreSQL",
            }
        ),
        version: "1.0.0".to_owned(),
        source: SourceKind::Database,
        mode,
        tools,
        defs: serde_json::Map::new(),
        schemes: std::collections::BTreeMap::new(),
        servers: Vec::new(),
        hosts: hosts(dialect, &request.url),
        environment: vec![Variable {
            name: request.variable.clone(),
            description: match dialect {
                Dialect::Sqlite => "Path of the SQLite file.".to_owned(),
                Dialect::Postgresql => {
                    "URL of the database: postgresql://user:password@host/name.".to_owned()
                }
            },
            secret: dialect == Dialect::Postgresql,
            required: true,
        }],
        features: request.features.clone(),
        database: Some(Database {
            dialect,
            variable: request.variable.clone(),
            read_only: request.access == Access::ReadOnly,
            tables,
        }),
        responses: serde_json::Map::new(),
        response_defs: serde_json::Map::new(),
        skipped,
        notes: schema.notes.clone(),
    };
    Ok(Sourced { package, cases, files, trial })
}

fn dialect(url: &str) -> Result<Dialect, FactoryError> {
    if url.starts_with("postgresql://") || url.starts_with("postgres://") {
        return Ok(Dialect::Postgresql);
    }
    match url.split_once("://") {
        Some((scheme, _))
            if scheme != "sqlite"
                && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+') =>
        {
            Err(FactoryError::new(
                Refusal::Arguments,
                format!("`database_url`: databases of kind `{scheme}` are not supported"),
                "give the path of a SQLite file or a postgresql:// URL",
            ))
        }
        _ if url.trim().is_empty() => Err(FactoryError::new(
            Refusal::Arguments,
            "`database_url` is empty",
            "give the path of a SQLite file or a postgresql:// URL",
        )),
        _ => Ok(Dialect::Sqlite),
    }
}

/// The host that the server talks to. Sockets and files are none.
fn hosts(dialect: Dialect, url: &str) -> Vec<String> {
    if dialect == Dialect::Sqlite {
        return Vec::new();
    }
    url::Url::parse(url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
        .filter(|host| !host.is_empty() && !host.starts_with("%2F"))
        .into_iter()
        .collect()
}

fn nothing(skipped: &[Skipped]) -> FactoryError {
    let reasons: Vec<String> = skipped
        .iter()
        .take(SHOWN)
        .map(|skipped| format!("{}: {}", skipped.operation, skipped.reason))
        .collect();
    let why = if reasons.is_empty() { "it has no tables".to_owned() } else { reasons.join("; ") };
    FactoryError::new(
        Refusal::NothingToDo,
        format!("nothing of the database would become a tool: {why}"),
        "check the address, the rights of its user, and `tables`, `include` and `exclude`",
    )
}
