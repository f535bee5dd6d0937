//! How jobs end without a result, as errors for their callers.

use serde_json::Value;

use super::run::stopped;
use crate::error::{ErrorKind, ToolError};
use crate::storage::{Job, JobState};

pub(super) fn panicked(tool: &str, panic: &(dyn std::any::Any + Send)) -> ToolError {
    let cause = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    let mut error = ToolError::internal(&format!("tool `{tool}` panicked: {cause}"));
    error.code = "internal_panic".into();
    error
}

pub(super) fn no_language_model() -> ToolError {
    ToolError::new(
        ErrorKind::Unavailable,
        "no_language_model",
        "no model is configured, and this caller cannot write the text itself",
    )
    .hint("set a model key (for example GEMINI_API_KEY) where Atelier runs; `atelier doctor` shows what is used")
}

pub(super) fn interrupted() -> ToolError {
    ToolError::new(ErrorKind::Cancelled, "interrupted", "the call was interrupted before its end")
        .hint("repeat the call with the same arguments: what it had paid for is reused")
}

pub(super) fn completion_expired() -> ToolError {
    ToolError::new(
        ErrorKind::NotFound,
        "completion_expired",
        "the text was not submitted in time, so the call has ended",
    )
    .hint("call the tool again")
}

/// The error of a job that ended without a result.
pub(super) fn ended_error(job: &Job) -> ToolError {
    if job.state == JobState::Expired {
        return completion_expired();
    }
    let stored = job.error.as_deref().and_then(|json| serde_json::from_str::<Value>(json).ok());
    match (stored, job.state) {
        (Some(value), _) => ToolError::from_json(&value),
        (None, JobState::Cancelled) => stopped(),
        (None, _) => interrupted(),
    }
}
