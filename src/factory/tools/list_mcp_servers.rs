//! `list_mcp_servers`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ToolError;
use crate::factory::host::running::Condition;
use crate::factory::{Factory, Listed};
use crate::jobs::Failure;
use crate::registry::{Annotations, DirectReply, Tool, Toolset, portable_schema, structured};

const DESCRIPTION: &str = "Lists the MCP servers that were made with create_mcp_server, newest first: what each was made from, how many tools it has, what was proven, the environment variables that it reads, and whether it is started and runs.";

/// Arguments of `list_mcp_servers`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Params {}

/// Result of `list_mcp_servers`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// The servers.
    servers: Vec<ServerLine>,
}

/// A server.
#[derive(Debug, Serialize, JsonSchema)]
struct ServerLine {
    /// Name, for further calls.
    server_name: String,
    /// Newest version.
    version: i64,
    /// `openapi`, `description` or `database`.
    source: String,
    /// Whether its process runs now.
    running: bool,
    /// `running`; `idle`: started, its process begins with the next call; `failed`: started, but not
    /// running for what `last_error` says, and tried again with the next call; `stopped`.
    state: &'static str,
    /// Version that is started.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_version: Option<i64>,
    /// Its name in the catalog while it is started: tools are `catalog_name__tool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog_name: Option<String>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// Folder of the package.
    path: String,
    /// Title, number of tools, hosts, variables and what was proven.
    #[schemars(with = "serde_json::Map<String, Value>")]
    summary: Value,
}

/// The tool.
pub(crate) fn tool(factory: &Arc<Factory>) -> Tool {
    let factory = Arc::clone(factory);
    Tool::builder("list_mcp_servers", "List MCP servers", Toolset::Factory)
        .description(DESCRIPTION)
        .annotations(Annotations::READ)
        .direct(portable_schema::<Output>(), move |call, _: Params| {
            let factory = Arc::clone(&factory);
            async move {
                let made = factory.list(&call.context.principal).await.map_err(plain)?;
                let servers: Vec<ServerLine> =
                    made.into_iter().map(|listed| line(&factory, listed)).collect();
                let message = match servers.len() {
                    0 => "No servers yet; `create_mcp_server` makes one.".to_owned(),
                    1 => "1 server.".to_owned(),
                    count => format!("{count} servers."),
                };
                Ok(DirectReply::Output(structured(&Output { status: "success", message, servers })))
            }
        })
}

fn line(factory: &Factory, listed: Listed) -> ServerLine {
    let Listed { server, standing, broken } = listed;
    let state = match (&standing, &broken) {
        (Some(standing), _) => standing.condition.as_str(),
        (None, Some(_)) => Condition::Failed.as_str(),
        (None, None) => "stopped",
    };
    let noted = standing.as_ref().map(|standing| standing.noted.version);
    let running = standing.as_ref().is_some_and(|it| it.condition == Condition::Running);
    let catalog_name = standing.as_ref().map(|standing| standing.catalog_name.clone());
    let (started_version, reason) = match broken {
        Some((version, reason)) => (noted.or(Some(version)), Some(reason)),
        None => (noted, None),
    };
    ServerLine {
        path: factory.folder_of(&server).to_string_lossy().into_owned(),
        summary: serde_json::from_str(&server.summary).unwrap_or_default(),
        server_name: server.name,
        version: server.version,
        source: server.source,
        running,
        state,
        started_version,
        catalog_name,
        last_error: standing.and_then(|standing| standing.last_error).or(reason),
    }
}

/// The error of a failure that cannot suspend.
pub(super) fn plain(failure: Failure) -> ToolError {
    match failure {
        Failure::Error(error) => error,
        Failure::Suspend(_) => ToolError::internal("a look-up asked for a text"),
    }
}
