//! Tools over jobs and completions; always offered.

mod cancel_job;
mod get_job;
mod read_completion_prompt;
mod submit_completion;

use std::sync::Arc;

use super::JobRunner;
use crate::registry::Tool;

/// The tools of this toolset.
pub fn tools(runner: &Arc<JobRunner>) -> Vec<Tool> {
    vec![
        get_job::tool(Arc::clone(runner)),
        cancel_job::tool(Arc::clone(runner)),
        submit_completion::tool(Arc::clone(runner)),
        read_completion_prompt::tool(Arc::clone(runner)),
    ]
}
