//! MCP tasks (SEP-2663), answered from the job store: a task is a job, its id the job's.
//!
//! A client that declared tasks gets one as soon as a call turns out to take long. It polls from
//! any connection, and after a restart, since nothing of it lives in this process.

use rmcp::model::{
    CreateTaskResult, DetailedTask, ErrorData, JsonObject, Task, TaskPayload, TaskStatus,
};
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::door::Door;
use super::outcome::tool_result;
use super::retry;
use crate::error::ToolError;
use crate::registry::{CallContext, CallOutcome};
use crate::storage::{Job, JobId, JobState, PrincipalId};

/// How long a call may take before a client with tasks gets a task instead of the result.
pub(super) const TASK_BUDGET: Duration = Duration::from_millis(250);

/// How often to ask.
const POLL_INTERVAL_MS: u64 = 2_000;
/// How long a task can be asked for after it was made.
const TASK_TTL_MS: u64 = 24 * 3600 * 1000;

/// The task of a job that goes on.
///
/// # Errors
/// Internal: the store failed.
pub(super) async fn create(
    door: &Door,
    principal: &PrincipalId,
    id: &JobId,
) -> Result<CreateTaskResult, ErrorData> {
    let job = find(door, principal, id).await?;
    Ok(CreateTaskResult::new(task_of(&job)))
}

/// The state of a task.
///
/// # Errors
/// Invalid parameters when the principal has no such task; internal: the store failed.
pub(super) async fn get(
    door: &Door,
    id: &JobId,
    context: CallContext,
) -> Result<DetailedTask, ErrorData> {
    let job = find(door, &context.principal, id).await?;
    let by_retry = context.models.sampling_by_retry;
    let payload = match job.state {
        JobState::Queued | JobState::Running => TaskPayload::Working,
        JobState::Cancelled => TaskPayload::Cancelled,
        JobState::Interrupted | JobState::Expired => {
            let outcome = door.app.registry.job(id, Duration::ZERO, context).await;
            TaskPayload::Failed { error: protocol_error(&outcome.structured) }
        }
        JobState::Waiting | JobState::Done | JobState::Failed => {
            let outcome = door.app.registry.job(id, Duration::ZERO, context).await;
            let ask = outcome.sampling.as_ref().filter(|_| by_retry);
            match ask.and_then(retry::questions) {
                Some(input_requests) => TaskPayload::InputRequired { input_requests },
                None => completed(outcome, door.app.config.catalog.shown_bytes)?,
            }
        }
    };
    Ok(DetailedTask::new(task_of(&job), payload))
}

/// Asks a task to stop. One that has ended stays as it is.
///
/// # Errors
/// Invalid parameters when the principal has no such task; internal: the store failed.
pub(super) async fn cancel(door: &Door, id: &JobId, context: CallContext) -> Result<(), ErrorData> {
    find(door, &context.principal, id).await?;
    door.app.registry.cancel_job(id, context).await;
    Ok(())
}

/// A job of this principal.
pub(super) async fn find(
    door: &Door,
    principal: &PrincipalId,
    id: &JobId,
) -> Result<Job, ErrorData> {
    let job = door.app.catalog.job(principal, id).await;
    job.map_err(|error| ErrorData::internal_error(ToolError::from(error).message, None))?
        .ok_or_else(|| ErrorData::invalid_params(format!("Unknown task: {id}"), None))
}

fn completed(outcome: CallOutcome, shown_bytes: usize) -> Result<TaskPayload, ErrorData> {
    let result = serde_json::to_value(tool_result(outcome, shown_bytes))
        .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    match result {
        Value::Object(result) => Ok(TaskPayload::Completed { result }),
        _ => Err(ErrorData::internal_error("a result is an object", None)),
    }
}

fn protocol_error(structured: &Value) -> JsonObject {
    let message = structured.get("message").and_then(Value::as_str).unwrap_or("the job was lost");
    let error = json!({"code": -32603, "message": message, "data": structured});
    error.as_object().cloned().unwrap_or_default()
}

fn task_of(job: &Job) -> Task {
    Task::new(
        job.id.as_str(),
        TaskStatus::Working,
        timestamp(job.created_at),
        timestamp(job.updated_at),
    )
    .with_ttl_ms(TASK_TTL_MS)
    .with_poll_interval_ms(POLL_INTERVAL_MS)
}

fn timestamp(milliseconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_iso_8601() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(1_795_248_000_250), "2026-11-21T08:00:00.25Z");
    }
}
