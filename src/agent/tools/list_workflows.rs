//! `list_workflows`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agent::workflows::Workflows;
use crate::registry::{Annotations, DirectReply, Tool, Toolset, portable_schema, structured};

const DESCRIPTION: &str =
    "Lists the workflows that run_workflow can run: what each does and which parameters it takes.";

/// Arguments of `list_workflows`: none.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ListWorkflowsParams {}

/// Result of `list_workflows`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListWorkflowsOutput {
    #[schemars(skip)]
    message: String,
    /// The workflows, by name.
    workflows: Vec<WorkflowOutput>,
    /// Workflows of the operator's file that cannot be run, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    broken: Vec<BrokenOutput>,
}

/// One workflow.
#[derive(Debug, Serialize, JsonSchema)]
struct WorkflowOutput {
    /// Name for `run_workflow`.
    name: String,
    /// What it does.
    description: String,
    /// Its parameters by name: `type`, `description`, `default` (without one it must be given).
    #[schemars(with = "Value")]
    parameters: Value,
    /// Other servers whose tools it uses.
    mcp_servers_used: Vec<String>,
}

/// A workflow that cannot be run.
#[derive(Debug, Serialize, JsonSchema)]
struct BrokenOutput {
    /// Its name.
    name: String,
    /// What is wrong with it.
    problem: String,
}

/// The tool.
pub(crate) fn tool(workflows: &Workflows) -> Tool {
    let workflows = workflows.clone();
    Tool::builder("list_workflows", "List workflows", Toolset::Agent)
        .description(DESCRIPTION)
        .annotations(Annotations::READ)
        .direct(portable_schema::<ListWorkflowsOutput>(), move |_, _: ListWorkflowsParams| {
            let workflows = workflows.clone();
            async move {
                let set = workflows.load()?;
                let listed: Vec<WorkflowOutput> = set
                    .workflows
                    .into_iter()
                    .map(|(name, workflow)| WorkflowOutput {
                        name,
                        description: workflow.description,
                        parameters: json!(workflow.parameters),
                        mcp_servers_used: workflow.mcp_servers_used,
                    })
                    .collect();
                let broken: Vec<BrokenOutput> = set
                    .broken
                    .into_iter()
                    .map(|(name, problem)| BrokenOutput { name, problem })
                    .collect();
                let message = format!("{} workflows", listed.len());
                let output = ListWorkflowsOutput { message, workflows: listed, broken };
                Ok(DirectReply::Output(structured(&output)))
            }
        })
}
