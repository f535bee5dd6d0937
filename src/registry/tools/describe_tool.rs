//! `describe_tool`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::jobs::ToolOutput;
use crate::registry::caller::Caller;
use crate::registry::{Annotations, DirectReply, Tool, Toolset};

const DESCRIPTION: &str = "Shows what one tool does and which arguments it takes: its description, inputSchema, outputSchema and annotations, as its server gives them. Use it before call_tool; find names with search_tools.";

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    /// The tool's name, as search_tools returns it: `server__tool` for tools of other servers.
    name: String,
}

pub(super) fn tool(caller: &Caller) -> Tool {
    let caller = caller.clone();
    let output = json!({"type": "object", "properties": {
        "name": {"type": "string", "description": "Name for call_tool"},
        "title": {"type": "string", "description": "Title for people"},
        "description": {"type": "string", "description": "What it does, in its server's words"},
        "server": {"type": "string", "description": "The server that it belongs to; `atelier` for our own"},
        "inputSchema": {"type": "object", "description": "JSON Schema of its arguments"},
        "outputSchema": {"type": "object", "description": "JSON Schema of its structured result, where it has one"},
        "annotations": {"type": "object", "description": "What its server claims about its effects"},
    }});
    Tool::builder("describe_tool", "Describe a tool", Toolset::Catalog)
        .description(DESCRIPTION)
        .annotations(Annotations::READ)
        .direct(output, move |call, params: Params| {
            let caller = caller.clone();
            async move {
                let (rights, origin) = (&call.context.rights, call.context.origin);
                let tool = caller.describe(params.name.trim(), rights, origin).await?;
                let mut fields = json!({
                    "message": format!("`{}` of the server `{}`.", tool.name, tool.server.as_deref().unwrap_or("atelier")),
                    "name": tool.name,
                    "description": tool.description,
                    "server": tool.server.as_deref().unwrap_or("atelier"),
                    "inputSchema": tool.input_schema,
                    "annotations": tool.annotations,
                });
                if let Some(fields) = fields.as_object_mut() {
                    if let Some(title) = tool.title {
                        fields.insert("title".into(), Value::from(title));
                    }
                    if !tool.output_schema.is_null() {
                        fields.insert("outputSchema".into(), tool.output_schema);
                    }
                }
                Ok(DirectReply::Output(ToolOutput::structured(fields)))
            }
        })
}
