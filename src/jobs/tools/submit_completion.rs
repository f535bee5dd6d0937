//! `submit_completion`: the host hands in the text that a call waits for.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::jobs::{JobRunner, Submitted, Text, ToolOutput};
use crate::registry::{Annotations, Call, DirectReply, Tool, Toolset};
use crate::storage::CompletionHandle;

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    /// The `handle` of a result with status `needs_completion`, unchanged.
    handle: String,
    /// The text that the prompt asks for, and nothing else.
    text: String,
    /// `true` when further parts of a long text follow; the last part goes without it.
    #[serde(default)]
    more: bool,
    /// The `round` of the result that the text answers; guards against answering a later one.
    round: Option<i64>,
}

pub(super) fn tool(runner: Arc<JobRunner>) -> Tool {
    Tool::builder("submit_completion", "Submit a completion", Toolset::Jobs)
        .description(
            "Hands in the text that a call with status `needs_completion` asked for, and goes on with that call: returns its result, or `needs_completion` again when the text has to be repaired. Only for handles of such results.",
        )
        .closed_to_code()
        .annotations(Annotations {
            read_only: false,
            destructive: false,
            // A part that is sent twice counts twice.
            idempotent: false,
            open_world: false,
        })
        .direct(
            json!({"type": "object", "properties": {
                "received_bytes": {"type": "integer", "description": "Bytes collected so far, after a part"},
            }}),
            move |call: Call, params: Params| {
                let runner = Arc::clone(&runner);
                async move {
                    let handle = params.handle.clone();
                    let text = Text {
                        handle: CompletionHandle(params.handle),
                        text: params.text,
                        more: params.more,
                        round: params.round,
                    };
                    Ok(match runner.submit(text, call.context).await? {
                        Submitted::Reply(reply) => DirectReply::Job(reply),
                        Submitted::Part { received_bytes } => {
                            DirectReply::Output(ToolOutput::structured(json!({
                                "status": "needs_completion",
                                "message": "part received; submit the next one, and the last one without `more`",
                                "handle": handle,
                                "respond_with": "submit_completion",
                                "received_bytes": received_bytes,
                            })))
                        }
                    })
                }
            },
        )
}
