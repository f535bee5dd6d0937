//! What a call of `execute_python_code` asks for, and within which bounds.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

/// A call of `execute_python_code`.
#[derive(Debug, Clone, Default)]
pub struct ExecuteCode {
    /// The program.
    pub code: String,
    /// Positional arguments of `generated_function_name`.
    pub function_args: Vec<Value>,
    /// Named arguments of it.
    pub function_kwargs: Map<String, Value>,
    /// Time that it may take.
    pub timeout: Duration,
    /// Key of the user that the code acts for.
    pub user: Option<String>,
    /// Files for the run folder: name and content, or an address of the content.
    pub files: Map<String, Value>,
    /// Addresses of further files.
    pub attachments: Vec<String>,
    /// Tools that the code may call; `None`: all that the caller may.
    pub tool_names: Option<Vec<String>>,
}

/// How the operator wants runs.
#[derive(Debug, Clone)]
pub struct RunSettings {
    /// Runs at a time, at each depth of calls inside each other.
    pub concurrent_runs: usize,
    /// Runs that may wait for the host at a time.
    pub waiting_runs: usize,
    /// Longest time that a run may wait for the host.
    pub longest_wait: Duration,
    /// Calls of tools in one run.
    pub tool_calls: u64,
    /// Questions to a model in one run.
    pub ai_calls: u64,
    /// Calls of one run that are served at a time.
    pub concurrent_calls: usize,
    /// Bytes of all files of a run.
    pub file_bytes: u64,
    /// Whether figures stand in results as pictures.
    pub inline_images: bool,
    /// Tools that code may not call whatever its caller may.
    pub closed_tools: BTreeSet<String>,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            concurrent_runs: 8,
            waiting_runs: 8,
            longest_wait: Duration::from_hours(1),
            tool_calls: 1000,
            ai_calls: 100,
            concurrent_calls: 16,
            file_bytes: 20 << 20,
            inline_images: true,
            closed_tools: BTreeSet::new(),
        }
    }
}
