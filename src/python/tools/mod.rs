//! The tools of Python code.

mod create_python_code;
mod edit_python_code;
mod execute_python_code;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::code::Finding;
use super::execute::PythonRuns;
use super::service::{PythonCode, WrittenCode};
use crate::registry::Tool;

/// All of them.
pub fn tools(code: &Arc<PythonCode>, runs: &Arc<PythonRuns>) -> Vec<Tool> {
    vec![
        create_python_code::tool(code),
        edit_python_code::tool(code),
        execute_python_code::tool(runs),
    ]
}

fn default_model() -> String {
    "auto".to_owned()
}

/// What both results say beside the code.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct About {
    /// Model that wrote it; null when you did.
    #[schemars(with = "serde_json::Value")]
    model_used: Option<String>,
    /// Model as the call named it.
    model_requested: String,
    /// How the model was reached: `api`, `sampling`, `local`, `command`, `host`, or `none` when the
    /// code was given.
    llm_route: &'static str,
    /// Why another model than the requested one wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_note: Option<String>,
    /// What may not work in the sandbox, by line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    /// Tools that the code may call.
    tools: Vec<String>,
}

impl About {
    fn new(written: &WrittenCode, model_requested: String) -> Self {
        let outcome = written.outcome.as_ref();
        Self {
            model_used: outcome.and_then(|outcome| outcome.model_used.clone()),
            model_requested,
            llm_route: outcome.map_or("none", |outcome| outcome.route.as_str()),
            model_note: outcome.and_then(|outcome| outcome.model_note.clone()),
            findings: written.findings.clone(),
            tools: written.tools.clone(),
        }
    }
}

/// A sentence about findings; empty without any.
fn about_findings(findings: &[Finding]) -> String {
    match findings {
        [] => String::new(),
        [only] => format!(" One thing may not work: line {}: {}.", only.line, only.message),
        [first, ..] => format!(
            " {} things may not work, see `findings`; the first is in line {}: {}.",
            findings.len(),
            first.line,
            first.message
        ),
    }
}
