//! Section `[agent]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Workflows and chat.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentConfig {
    /// The file of workflows. Without it: `workflows.json` beside `atelier.toml`, when it is there.
    pub workflows: Option<PathBuf>,
}
