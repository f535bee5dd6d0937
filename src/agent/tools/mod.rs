//! The tools of the agent, one file each.

mod agent_run;
mod ask_ai;
mod list_workflows;
mod run_workflow;

use std::sync::Arc;

use super::AskAi;
use super::engine::Engine;
use super::workflows::Workflows;
use crate::content_urls::ContentUrls;
use crate::registry::Tool;

pub(crate) use agent_run::AGENT_RUN;

/// The tool that asks a model once.
pub fn tools(ask_ai: &Arc<AskAi>) -> Vec<Tool> {
    vec![ask_ai::tool(ask_ai)]
}

/// The tools over the engine: workflows, and the hidden one behind chats.
pub fn engine_tools(engine: &Arc<Engine>, workflows: &Workflows, urls: &ContentUrls) -> Vec<Tool> {
    let parts = run_workflow::WorkflowParts {
        engine: Arc::clone(engine),
        workflows: workflows.clone(),
        urls: urls.clone(),
    };
    vec![run_workflow::tool(&parts), list_workflows::tool(workflows), agent_run::tool(engine)]
}
