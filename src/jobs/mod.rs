//! Durable work: jobs, their steps, host completions.
//!
//! A tool runs as a job. Each thing that costs money or time inside it is a named step whose
//! result is stored before the next step begins, so a crash, a repeated call or a host completion
//! runs the tool again from the top and repeats nothing that was paid for.
//!
//! The flow: [`JobRunner::start`] inserts and claims the job -> the executor runs the tool's
//! handler with a [`Run`] -> [`Run::step`] and [`Run::complete`] store results -> the runner ends
//! the job, or parks it when no model is at hand ([`Failure::Suspend`]) -> `submit_completion`
//! stores the text as the step's result and runs the job again.

mod attempt;
mod completion;
mod endings;
mod files;
mod lease;
mod progress;
mod run;
mod runner;
mod submit;
pub mod tools;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use completion::{Ask, CompletionRequest, ModelAtHand, PromptParts};
pub use progress::{Progress, ProgressSink};
pub use run::Run;
pub use runner::{JobExecutor, JobRunner, OnCancel, RunnerParts, StartJob, WaitFor};
pub use submit::{Submitted, Text};

use crate::error::ToolError;
use crate::storage::{CallId, CompletionHandle, JobId};

/// What a tool made: the structured result and further content for the client.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ToolOutput {
    /// The structured result, an object.
    pub structured: Value,
    /// Pictures, links and blocks beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<Content>,
}

impl ToolOutput {
    /// A structured result alone.
    pub const fn structured(structured: Value) -> Self {
        Self { structured, content: Vec::new() }
    }
}

/// A block of content beside the structured result.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A picture.
    Image {
        /// Media type.
        media_type: String,
        /// Content in base64.
        base64: String,
    },
    /// A link to something that this server hosts.
    Link {
        /// Address.
        uri: String,
        /// Name for people.
        name: String,
        /// Media type of what is there.
        media_type: String,
    },
    /// A block of another server, passed on as it came.
    Block(Value),
}

/// Why a tool's handler ended without a result.
#[derive(Debug, Clone)]
pub enum Failure {
    /// It failed.
    Error(ToolError),
    /// It waits for a text that somebody else writes: not a failure for the caller.
    Suspend(Box<CompletionRequest>),
}

impl From<ToolError> for Failure {
    fn from(error: ToolError) -> Self {
        Self::Error(error)
    }
}

impl From<crate::storage::StorageError> for Failure {
    fn from(error: crate::storage::StorageError) -> Self {
        Self::Error(error.into())
    }
}

/// What there is to say about a job now.
#[derive(Debug, Clone)]
pub enum JobReply {
    /// It ended with a result.
    Done {
        /// Call id of the call that started it.
        call_id: CallId,
        /// Its result.
        output: ToolOutput,
    },
    /// It ended with an error.
    Failed {
        /// Call id of the call that started it.
        call_id: CallId,
        /// The error.
        error: ToolError,
    },
    /// It goes on.
    Running {
        /// Its id.
        job: JobId,
        /// Call id of the call that started it.
        call_id: CallId,
        /// Newest progress.
        progress: Option<Progress>,
    },
    /// It waits for a text.
    NeedsCompletion {
        /// Its id.
        job: JobId,
        /// Call id of the call that started it.
        call_id: CallId,
        /// Handle to submit the text with.
        handle: CompletionHandle,
        /// Round of the completion.
        round: i64,
        /// When the handle expires, milliseconds since the Unix epoch.
        expires_at: i64,
        /// What is asked.
        request: Box<CompletionRequest>,
    },
}
