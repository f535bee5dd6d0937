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
                let server = tool.server.unwrap_or_else(|| "atelier".to_owned());
                let message = format!("`{}` of the server `{server}`.", tool.name);
                let annotations = json!(tool.annotations);
                // Schemas are moved: they can be large.
                let fields = [
                    ("message", Some(Value::from(message))),
                    ("name", Some(Value::from(tool.name))),
                    ("description", Some(Value::from(tool.description))),
                    ("server", Some(Value::from(server))),
                    ("inputSchema", Some(tool.input_schema)),
                    ("annotations", Some(annotations)),
                    ("title", tool.title.map(Value::from)),
                    ("outputSchema", Some(tool.output_schema).filter(|schema| !schema.is_null())),
                ];
                let fields =
                    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
                let fields = Value::Object(fields.collect());
                Ok(DirectReply::Output(ToolOutput::structured(fields)))
            }
        })
}
