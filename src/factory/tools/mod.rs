//! The tools, one per file.

mod create_mcp_server;
mod list_mcp_servers;
mod options;
mod start_mcp_server;
mod stop_mcp_server;

use std::sync::Arc;

use super::Factory;
use crate::registry::{Annotations, Tool};

/// The tools of this capability.
pub fn tools(factory: &Arc<Factory>) -> Vec<Tool> {
    vec![
        create_mcp_server::tool(factory),
        list_mcp_servers::tool(factory),
        start_mcp_server::tool(factory),
        stop_mcp_server::tool(factory),
    ]
}

/// Starting and stopping change what runs, and the same call twice changes nothing more.
const CONTROL: Annotations =
    Annotations { read_only: false, destructive: false, idempotent: true, open_world: true };

/// A number of things, in words.
fn numbered(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}
