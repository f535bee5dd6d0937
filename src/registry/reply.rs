//! The answer to a call, as every transport shows it.

use serde_json::Value;

use crate::jobs::Content;
use crate::llm::Request;
use crate::storage::{CallId, CompletionHandle, JobId};

/// The answer to a call.
#[derive(Debug, Clone)]
pub struct CallOutcome {
    /// Id for references; absent when the call was refused before it got one.
    pub call_id: Option<CallId>,
    /// Whether `structured` is an error (`{"status": "error", "code", "message", …}`), which MCP
    /// sends as `isError` text without structured content.
    pub is_error: bool,
    /// The structured result, an object with `status`.
    pub structured: Value,
    /// Blocks beside it.
    pub content: Vec<Content>,
    /// Set with `status: "running"`: the job that goes on.
    pub running_job: Option<JobId>,
    /// Set with `status: "needs_completion"` when the client's own model is to be asked first, by
    /// a returned sampling request and a retried call (protocol 2026-07-28).
    pub sampling: Option<SamplingAsk>,
}

/// A text that the client's own model is asked for.
#[derive(Debug, Clone)]
pub struct SamplingAsk {
    /// Handle to submit the text with.
    pub handle: CompletionHandle,
    /// The question.
    pub request: Request,
}
