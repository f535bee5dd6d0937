//! The tools of the agent, one file each.

mod ask_ai;

use std::sync::Arc;

use super::AskAi;
use crate::registry::Tool;

/// All tools of the agent.
pub fn tools(ask_ai: &Arc<AskAi>) -> Vec<Tool> {
    vec![ask_ai::tool(ask_ai)]
}
