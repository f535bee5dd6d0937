//! `read_completion_prompt`: pages a prompt that is too long for one result.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::error::ToolError;
use crate::jobs::{JobReply, JobRunner, ToolOutput};
use crate::registry::{Annotations, Call, DirectReply, Tool, Toolset};
use crate::storage::CompletionHandle;

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    /// The `handle` of a result with status `needs_completion`.
    handle: String,
    /// Which part to read, from 1 to `prompt_parts`.
    #[serde(default = "first")]
    #[schemars(range(min = 1), default = "first")]
    part: usize,
}

const fn first() -> usize {
    1
}

pub(super) fn tool(runner: Arc<JobRunner>) -> Tool {
    Tool::builder("read_completion_prompt", "Read a completion prompt", Toolset::Jobs)
        .description(
            "Returns one part of the prompt of a pending completion. Use it when a `needs_completion` result has `prompt_parts`, to read the parts after the first before writing the text.",
        )
        .closed_to_code()
        .annotations(Annotations::READ)
        .direct(
            json!({"type": "object", "properties": {
                "part": {"type": "integer"},
                "parts": {"type": "integer", "description": "How many parts there are"},
                "system": {"type": "string", "description": "Instructions; with the first part"},
                "text": {"type": "string", "description": "This part of the prompt"},
            }}),
            move |call: Call, params: Params| {
                let runner = Arc::clone(&runner);
                async move {
                    let handle = CompletionHandle(params.handle);
                    let reply = runner.pending_reply(&call.context.principal, &handle).await?;
                    let JobReply::NeedsCompletion { request, .. } = reply else {
                        return Err(ToolError::not_found(
                            "completion_not_found",
                            "this completion is not waiting for a text any more",
                        )
                        .hint("ask get_job for the call's result"));
                    };
                    let prompt = request.prompt();
                    let parts = prompt.parts.len();
                    let Some(text) = prompt.parts.get(params.part.saturating_sub(1)) else {
                        return Err(ToolError::invalid(
                            "invalid_arguments",
                            format!("`part` is {}, but there are {parts} parts", params.part),
                        )
                        .hint(format!("ask for a part from 1 to {parts}")));
                    };
                    let mut output = json!({
                        "message": format!("part {} of {parts}", params.part),
                        "handle": handle.0,
                        "part": params.part,
                        "parts": parts,
                        "text": text,
                    });
                    if params.part == 1 && let Some(object) = output.as_object_mut() {
                        object.insert("system".into(), json!(prompt.system));
                    }
                    Ok(DirectReply::Output(ToolOutput::structured(output)))
                }
            },
        )
}
