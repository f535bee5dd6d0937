//! The registry: all tools, and the one way to call them. (in work)

use std::time::Duration;

use serde_json::Value;

use super::context::{CallContext, Rights};
use super::reply::CallOutcome;
use super::tool::Tool;
use crate::error::ToolError;
use crate::storage::{CompletionHandle, JobId};

/// All tools of this process and the way to call them.
#[derive(Debug)]
pub struct Registry {
    tools: Vec<Tool>,
}

impl Registry {
    /// The tools that these rights may use, ordered by name.
    pub fn tools<'a>(&'a self, rights: &'a Rights) -> impl Iterator<Item = &'a Tool> {
        let _ = rights;
        self.tools.iter()
    }

    /// A tool by its name or an alias.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// Calls a tool. Never fails: everything that goes wrong is an outcome with `is_error`.
    pub async fn call(&self, name: &str, arguments: Value, context: CallContext) -> CallOutcome {
        let _ = (name, arguments, context);
        refused(&ToolError::not_found("unknown_tool", "in work"))
    }

    /// The state of a job of this principal, after waiting up to `wait` for its end.
    pub async fn job(&self, id: &JobId, wait: Duration, context: CallContext) -> CallOutcome {
        let _ = (id, wait, context);
        refused(&ToolError::not_found("job_not_found", "in work"))
    }

    /// Asks a job of this principal to stop.
    pub async fn cancel_job(&self, id: &JobId, context: CallContext) -> CallOutcome {
        let _ = (id, context);
        refused(&ToolError::not_found("job_not_found", "in work"))
    }

    /// A pending completion of this principal as `needs_completion`, for a client that declined to
    /// sample.
    pub async fn pending(&self, handle: &CompletionHandle, context: CallContext) -> CallOutcome {
        let _ = (handle, context);
        refused(&ToolError::not_found("completion_not_found", "in work"))
    }
}

fn refused(error: &ToolError) -> CallOutcome {
    CallOutcome {
        call_id: None,
        is_error: true,
        structured: error.to_json(),
        content: Vec::new(),
        running_job: None,
        sampling: None,
    }
}
