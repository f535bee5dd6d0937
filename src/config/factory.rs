//! Section `[factory]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// MCP servers that are made here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FactoryConfig {
    /// Folders that documents, databases and templates may be read from, and packages written to.
    pub allowed_roots: Vec<PathBuf>,
    /// Python that environments are made with.
    pub python: String,
    /// A virtual environment that is there already; without it one is made at first use.
    pub environment: Option<PathBuf>,
    /// Whether made servers may run as plain processes of this machine, with what they were given
    /// and no other variable, but without a sandbox around them.
    pub unsandboxed: bool,
    /// Hosts that made servers may reach, where they declare them, although they are not on the public
    /// internet: `host` or `host:port`.
    pub private_hosts: Vec<String>,
    /// Values of variables that made servers declare: keys, tokens, addresses. A server gets those
    /// that it declares, and no others.
    pub variables: BTreeMap<String, String>,
    /// Most servers that run at the same time.
    pub running_servers: usize,
}

impl Default for FactoryConfig {
    fn default() -> Self {
        Self {
            allowed_roots: Vec::new(),
            python: "python3".to_owned(),
            environment: None,
            unsandboxed: false,
            private_hosts: Vec::new(),
            variables: BTreeMap::new(),
            running_servers: 8,
        }
    }
}
