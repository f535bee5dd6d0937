//! Section `[catalog]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::mcp_servers::McpServers;

/// Other MCP servers whose tools are passed on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogConfig {
    /// The file that names the servers; without one, `mcp_servers.json` beside `atelier.toml`.
    pub servers_file: Option<PathBuf>,
    /// Up to how many tools of other servers stand in the tool list themselves, beside
    /// `search_tools` and `call_tool`; 0: none, unless a server's entry says `expose`.
    pub expose_at_most: usize,
    /// Size of a result of another server that a client is shown; of a larger one it sees the
    /// beginning, the shape and a reference.
    pub shown_bytes: usize,
    /// How long a server may be idle before it is stopped; 0: it stays.
    pub idle_s: f64,
    /// What the file says; read with the configuration.
    #[serde(skip)]
    pub servers: McpServers,
}

impl Default for CatalogConfig {
    fn default() -> Self {
        Self {
            servers_file: None,
            expose_at_most: 0,
            shown_bytes: 24_000,
            idle_s: 900.0,
            servers: McpServers::default(),
        }
    }
}
