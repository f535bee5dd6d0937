//! `get_job`: the result of a call that took longer than its answer budget.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::jobs::JobRunner;
use crate::registry::{Annotations, Call, DirectReply, Tool, Toolset};
use crate::storage::JobId;

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    /// The `job_id` of a result with status `running`.
    job_id: String,
    /// Seconds to wait for the end of the job before answering `running` again.
    #[serde(default = "default_wait")]
    #[schemars(range(min = 0, max = 40), default = "default_wait")]
    wait_seconds: u64,
}

const fn default_wait() -> u64 {
    30
}

pub(super) fn tool(runner: Arc<JobRunner>) -> Tool {
    Tool::builder("get_job", "Get the result of a running job", Toolset::Jobs)
        .description(
            "Waits for a job and returns the finished result itself, as the tool that started it would have, or status `running` with its progress. Call it when a result has status `running`; not for results that are finished already.",
        )
        .closed_to_code()
        .annotations(Annotations::READ)
        .direct(
            json!({"type": "object", "properties": {
                "progress": {"type": "object", "description": "How far the job is, while it runs"},
            }}),
            move |call: Call, params: Params| {
                let runner = Arc::clone(&runner);
                async move {
                    let id = JobId(params.job_id);
                    let wait = runner
                        .look_up(Duration::from_secs(params.wait_seconds), call.context.cancel);
                    runner.wait(&call.context.principal, &id, &wait).await.map(DirectReply::Job)
                }
            },
        )
}
