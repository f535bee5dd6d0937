//! The tools over all tools: finding, describing and calling them.

mod call_tool;
mod describe_tool;
mod search_tools;

use super::caller::Caller;
use super::tool::Tool;

/// The tools of this toolset.
pub fn tools(caller: &Caller) -> Vec<Tool> {
    vec![search_tools::tool(caller), describe_tool::tool(caller), call_tool::tool(caller)]
}
