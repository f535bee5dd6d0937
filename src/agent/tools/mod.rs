//! The tools of the agent, one file each.

mod agent_run;
mod ask_ai;

use std::sync::Arc;

use super::AskAi;
use super::engine::Engine;
use crate::registry::Tool;

pub(crate) use agent_run::AGENT_RUN;

/// All tools of the agent.
pub fn tools(ask_ai: &Arc<AskAi>, engine: &Arc<Engine>) -> Vec<Tool> {
    vec![ask_ai::tool(ask_ai), agent_run::tool(engine)]
}
