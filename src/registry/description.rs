//! Tools as programs, and the models that write them, need to know them.

use serde::Serialize;
use serde_json::Value;

use super::foreign::{ForeignTool, Hints};
use super::tool::Tool;

/// A tool as a program, or the model that writes one, needs to know it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolDescription {
    /// Name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub input_schema: Value,
    /// JSON Schema of its result; of a tool of another server, that of the field `result`, and
    /// null when the server gives none.
    pub output_schema: Value,
    /// Title for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is claimed about its effects (MCP `annotations`).
    pub annotations: Hints,
    /// The other server that it belongs to; absent for our own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

impl From<&Tool> for ToolDescription {
    fn from(tool: &Tool) -> Self {
        Self {
            name: tool.name.to_owned(),
            description: tool.description.to_owned(),
            input_schema: tool.input_schema.clone(),
            output_schema: tool.output_schema.clone(),
            title: Some(tool.title.to_owned()),
            annotations: Hints {
                read_only_hint: Some(tool.annotations.read_only),
                destructive_hint: Some(tool.annotations.destructive),
                idempotent_hint: Some(tool.annotations.idempotent),
                open_world_hint: Some(tool.annotations.open_world),
            },
            server: None,
        }
    }
}

impl From<&ForeignTool> for ToolDescription {
    fn from(tool: &ForeignTool) -> Self {
        Self {
            name: tool.name.clone(),
            description: tool.description.clone(),
            input_schema: tool.input_schema.clone(),
            output_schema: tool.output_schema.clone().unwrap_or_default(),
            title: tool.title.clone(),
            annotations: tool.hints,
            server: Some(tool.server.clone()),
        }
    }
}
