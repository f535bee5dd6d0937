//! `cancel_job`: stops a job.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::jobs::{JobRunner, ToolOutput};
use crate::registry::{Annotations, Call, DirectReply, Tool, Toolset};
use crate::storage::{JobId, JobState};

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    /// The `job_id` of a result with status `running` or `needs_completion`.
    job_id: String,
}

pub(super) fn tool(runner: Arc<JobRunner>) -> Tool {
    Tool::builder("cancel_job", "Cancel a job", Toolset::Jobs)
        .description(
            "Stops a job that is running or waits for a completion. What it has published stays. Use it when its result is not wanted any more.",
        )
        .closed_to_code()
        .annotations(Annotations {
            read_only: false,
            destructive: true,
            idempotent: true,
            open_world: false,
        })
        .direct(
            json!({"type": "object", "properties": {
                "job_id": {"type": "string"},
                "state": {"type": "string", "description": "State of the job: `cancelled`; `cancelling` while its work is being stopped; or how it had ended before"},
            }}),
            move |call: Call, params: Params| {
                let runner = Arc::clone(&runner);
                async move {
                    let id = JobId(params.job_id);
                    let state = runner.cancel(&call.context.principal, &id).await?;
                    let (state, message) = match state {
                        JobState::Running | JobState::Queued => {
                            ("cancelling", "the job is being stopped".to_owned())
                        }
                        JobState::Cancelled => ("cancelled", "the job is cancelled".to_owned()),
                        ended @ (JobState::Done
                        | JobState::Failed
                        | JobState::Interrupted
                        | JobState::Waiting
                        | JobState::Expired) => {
                            (ended.as_str(), format!("the job had ended before: {}", ended.as_str()))
                        }
                    };
                    Ok(DirectReply::Output(ToolOutput::structured(json!({
                        "message": message,
                        "job_id": id.as_str(),
                        "state": state,
                    }))))
                }
            },
        )
}
