//! The job behind every turn of a chat. It is no tool for clients.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::engine::{CallRecord, Engine, Report, RunRequest, Totals};
use crate::error::ToolError;
use crate::jobs::{Failure, ToolOutput};
use crate::registry::{Annotations, Tool, Toolset, structured};

/// Its name.
pub(crate) const AGENT_RUN: &str = "agent_run";

/// Arguments of `agent_run`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AgentRunParams {
    /// The request as JSON text: what users write in it is no reference and no number.
    request: String,
}

/// Result of `agent_run`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AgentRunOutput {
    #[schemars(skip)]
    status: &'static str,
    /// The last words.
    answer: String,
    /// Why it ended.
    stop_reason: &'static str,
    /// Calls that were made.
    #[schemars(with = "Value")]
    tool_calls: Vec<CallRecord>,
    /// What it used.
    #[schemars(with = "Value")]
    usage: Totals,
}

/// The tool.
pub(crate) fn tool(engine: &Arc<Engine>) -> Tool {
    let engine = Arc::clone(engine);
    Tool::builder(AGENT_RUN, "A run of the agent", Toolset::Agent)
        .description("Carries out one run of the agent.")
        .annotations(Annotations::CREATE)
        .job(move |run, params: AgentRunParams| {
            let engine = Arc::clone(&engine);
            async move {
                let request: RunRequest = serde_json::from_str(&params.request)
                    .map_err(|error| Failure::Error(ToolError::internal(&error)))?;
                let report: Report = engine.run(&run, request).await?;
                Ok(AgentRunOutput {
                    status: "success",
                    answer: report.ending.answer,
                    stop_reason: report.ending.stop.as_str(),
                    tool_calls: report.calls,
                    usage: report.totals,
                })
            }
        })
        .internal()
}

impl From<AgentRunOutput> for ToolOutput {
    fn from(output: AgentRunOutput) -> Self {
        structured(&output)
    }
}
