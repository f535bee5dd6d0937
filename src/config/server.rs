//! Section `[server]`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use url::Url;

/// Listeners, hosts and which tools are offered.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address of `atelier serve` for MCP, chat and gallery.
    pub listen: SocketAddr,
    /// Address of the content listener of `serve`; in `stdio` it is chosen once and kept in the
    /// data folder unless this is set.
    pub content_listen: Option<SocketAddr>,
    /// Public root of content URLs when a proxy stands in front.
    pub public_base_url: Option<Url>,
    /// Host names, besides loopback, that requests may name.
    pub allowed_hosts: Vec<String>,
    /// Origins, besides loopback, that may call `/mcp` and `/api`.
    pub allowed_origins: Vec<String>,
    /// Origins that may show apps in a frame, besides the gallery.
    pub frame_ancestors: Vec<String>,
    /// Toolsets to offer; empty: all.
    pub toolsets: Vec<String>,
    /// Single tools to offer; empty: all of the toolsets.
    pub tools: Vec<String>,
    /// Tools to leave out.
    pub exclude_tools: Vec<String>,
    /// Offer only tools that change nothing.
    pub read_only: bool,
    /// Closed tools (those that create, execute or destroy) that hosted pages may call all the
    /// same, when their app names them.
    pub open_to_pages: Vec<String>,
    /// Closed tools that Python code in the sandbox may call all the same.
    pub open_to_code: Vec<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7410)),
            content_listen: None,
            public_base_url: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            frame_ancestors: Vec::new(),
            toolsets: Vec::new(),
            tools: Vec::new(),
            exclude_tools: Vec::new(),
            read_only: false,
            open_to_pages: Vec::new(),
            open_to_code: Vec::new(),
        }
    }
}
