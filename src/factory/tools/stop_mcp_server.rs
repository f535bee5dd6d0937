//! `stop_mcp_server`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CONTROL;
use crate::factory::Factory;
use crate::jobs::ToolOutput;
use crate::registry::{Tool, Toolset, structured};

const DESCRIPTION: &str =
    "Stops a server that start_mcp_server started: its tools leave the catalog. Its package stays.";

/// Arguments of `stop_mcp_server`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Params {
    /// Name of the server.
    server_name: String,
}

/// Result of `stop_mcp_server`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// Name of the server.
    server_name: String,
    /// Whether it was started until now.
    stopped: bool,
}

/// The tool.
pub(crate) fn tool(factory: &Arc<Factory>) -> Tool {
    let factory = Arc::clone(factory);
    Tool::builder("stop_mcp_server", "Stop an MCP server", Toolset::Factory)
        .description(DESCRIPTION)
        .annotations(CONTROL)
        .closed_to_code()
        .job(move |run, params: Params| {
            let factory = Arc::clone(&factory);
            async move {
                let principal = &run.context().principal;
                let (made, stopped) = factory.stop(principal, &params.server_name).await?;
                let message = if stopped {
                    format!("`{}` is stopped.", made.name)
                } else {
                    format!("`{}` was not started.", made.name)
                };
                Ok(Output { status: "success", message, server_name: made.name, stopped })
            }
        })
}

impl From<Output> for ToolOutput {
    fn from(output: Output) -> Self {
        structured(&output)
    }
}
