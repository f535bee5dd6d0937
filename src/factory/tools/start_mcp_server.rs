//! `start_mcp_server`.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CONTROL, numbered};
use crate::factory::Factory;
use crate::jobs::ToolOutput;
use crate::registry::{Tool, Toolset, structured};

const DESCRIPTION: &str = "Starts a server that create_mcp_server made. Its tools stand in the catalog at once, as `server__tool`: search_tools finds them, call_tool, Python code, apps and workflows call them, until stop_mcp_server stops it; a restart of this program does not. Runs with the environment variables that it declares and no others. Keys and tokens come from the operator's configuration, never from arguments. The same call again restarts it.";

/// Arguments of `start_mcp_server`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Params {
    /// Name of the server.
    server_name: String,
    /// Version; the newest when left out.
    #[serde(default)]
    version: Option<i64>,
    /// Values of variables that are no secrets, such as API_BASE_URL.
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

/// Result of `start_mcp_server`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// Name of the server.
    server_name: String,
    /// Version that runs.
    version: i64,
    /// The server's name in the catalog; another one than `server_name` where that was taken.
    catalog_name: String,
    /// Its tools, by their names for call_tool.
    tools: Vec<ToolLine>,
    /// What stands around it.
    isolation: String,
}

/// A tool.
#[derive(Debug, Serialize, JsonSchema)]
struct ToolLine {
    /// Name.
    name: String,
    /// What it does.
    description: String,
}

/// The tool.
pub(crate) fn tool(factory: &Arc<Factory>) -> Tool {
    let factory = Arc::clone(factory);
    Tool::builder("start_mcp_server", "Start an MCP server", Toolset::Factory)
        .description(DESCRIPTION)
        .annotations(CONTROL)
        .closed_to_code()
        .job(move |run, params: Params| {
            let factory = Arc::clone(&factory);
            async move {
                let principal = &run.context().principal;
                let (made, offered) = factory
                    .start(principal, &params.server_name, params.version, &params.environment)
                    .await?;
                let renamed = offered.catalog_name != made.name;
                let tools = numbered(offered.tools.len(), "tool");
                let message = if renamed {
                    format!(
                        "`{}` runs, with {tools}, as `{}`: the catalog has a server of its name already.",
                        made.name, offered.catalog_name
                    )
                } else {
                    format!("`{}` runs, with {tools}.", made.name)
                };
                Ok(Output {
                    status: if renamed { "warning" } else { "success" },
                    message,
                    server_name: made.name,
                    version: made.version,
                    catalog_name: offered.catalog_name,
                    tools: offered
                        .tools
                        .into_iter()
                        .map(|(name, description)| ToolLine { name, description })
                        .collect(),
                    isolation: offered.isolation,
                })
            }
        })
}

impl From<Output> for ToolOutput {
    fn from(output: Output) -> Self {
        structured(&output)
    }
}
