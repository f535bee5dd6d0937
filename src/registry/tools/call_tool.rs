//! `call_tool`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::{ErrorKind, ToolError};
use crate::registry::caller::Caller;
use crate::registry::{Annotations, DirectReply, InnerTool, Tool, Toolset};

/// Its own name, which it does not call.
const NAME: &str = "call_tool";

const DESCRIPTION: &str = "Calls any tool by its name, of this server or of the other MCP servers that it is connected to (`server__tool`), with the arguments that describe_tool shows. Returns what the tool returns: content blocks as they came, and the structured result of another server's tool in `result`. Large results are shown by their beginning and shape, and are whole behind `@@ref_<call_id>__result`. Not for tools that your tool list shows: call those themselves.";

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    /// The tool's name, as search_tools returns it.
    name: String,
    /// Its arguments, an object as its inputSchema says.
    #[serde(default)]
    arguments: Map<String, Value>,
}

pub(super) fn tool(caller: &Caller) -> Tool {
    let caller = caller.clone();
    let output = json!({"type": "object", "properties": {
        "result": {"description": "The structured result of another server's tool, or the JSON that its text holds"},
        "text": {"type": "string", "description": "Its text blocks"},
        "server": {"type": "string", "description": "The server that was called"},
        "tool": {"type": "string", "description": "The tool's name there"},
        "reference": {"type": "string", "description": "Set when the result is too large to be shown: stands for the whole of it in other calls"},
    }});
    let annotations =
        Annotations { read_only: false, destructive: true, idempotent: false, open_world: true };
    let mut tool = Tool::builder(NAME, "Call any tool", Toolset::Catalog)
        .description(DESCRIPTION)
        .annotations(annotations)
        .direct(output, move |call, params: Params| {
            let caller = caller.clone();
            async move {
                let name = params.name.trim();
                if name == NAME {
                    return Err(passed_on_once());
                }
                let arguments = Value::Object(params.arguments);
                let outcome = caller.forward(name, arguments, call.context).await;
                Ok(DirectReply::Outcome(Box::new(outcome)))
            }
        })
        // The inner call checks all rights itself; here, what is known is refused early.
        .forwards(|arguments| {
            let name = arguments.get("name")?.as_str()?.trim().to_owned();
            Some(InnerTool { name, read_only: true, open_to_code: true })
        });
    // Whether programs may use it hangs on the tool that they name.
    tool.open_to_code = true;
    tool.open_to_pages = true;
    tool
}

fn passed_on_once() -> ToolError {
    ToolError::new(
        ErrorKind::Denied,
        "tool_not_allowed",
        "`call_tool` may not be called here: a call is passed on once only",
    )
    .hint("name the tool that is meant, not one that passes calls on")
}
