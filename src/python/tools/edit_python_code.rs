//! `edit_python_code`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::create_python_code::ANNOTATIONS;
use super::{About, about_findings, default_model};
use crate::jobs::ToolOutput;
use crate::python::{EditCode, PythonCode, WrittenCode};
use crate::registry::{Tool, Toolset, structured};

const DESCRIPTION: &str = "Changes a Python program by a request in words: returns the whole new program in `edited_code`, with a diff and the original. It is checked to parse, and never run. Pass code from an earlier result by reference (`@@ref_<call_id>__generated_code`).";

/// Arguments of `edit_python_code`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EditPythonCodeParams {
    /// The program to change; a reference when it comes from an earlier step.
    original_code: String,
    /// What to change, in words.
    edit_request: String,
    /// Model that writes it. `auto` takes whatever is configured or at hand; `host` asks you to
    /// write it.
    #[serde(default = "default_model")]
    model: String,
    /// Names of the tools that the program may call with `_call_mcp_tool`. Left out: those that
    /// change nothing. Empty: none.
    #[serde(default)]
    available_tool_names_for_code_gen: Option<Vec<String>>,
    /// The changed program, when you have written it: it is checked and returned, and no model is
    /// called.
    #[serde(default)]
    edited_code: Option<String>,
}

/// Result of `edit_python_code`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EditPythonCodeOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// The program as it was.
    original_code: String,
    /// The program after the change.
    edited_code: String,
    /// What changed, as a unified diff; empty when nothing did.
    diff: String,
    /// Whether anything changed.
    changed: bool,
    #[serde(flatten)]
    about: About,
}

/// The tool.
pub(super) fn tool(python: &Arc<PythonCode>) -> Tool {
    let python = Arc::clone(python);
    Tool::builder("edit_python_code", "Change Python code", Toolset::Python)
        .description(DESCRIPTION)
        .annotations(ANNOTATIONS)
        .job(move |run, params: EditPythonCodeParams| {
            let python = Arc::clone(&python);
            async move {
                let model_requested = params.model.clone();
                let original = params.original_code.clone();
                let call = EditCode {
                    original: params.original_code,
                    request: params.edit_request,
                    model: params.model,
                    tool_names: params.available_tool_names_for_code_gen,
                    given: params.edited_code,
                };
                let written = python.edit(&run, call).await?;
                Ok(EditPythonCodeOutput::new(original, written, model_requested))
            }
        })
}

impl EditPythonCodeOutput {
    fn new(original_code: String, written: WrittenCode, model_requested: String) -> Self {
        let changed = written.code != original_code;
        let findings = about_findings(&written.findings);
        let message = if changed {
            format!("The program was changed; it was not run.{findings}")
        } else {
            format!("Nothing was changed.{findings}")
        };
        Self {
            status: if changed && written.findings.is_empty() { "success" } else { "warning" },
            message,
            about: About::new(&written, model_requested),
            original_code,
            edited_code: written.code,
            diff: written.diff.unwrap_or_default(),
            changed,
        }
    }
}

impl From<EditPythonCodeOutput> for ToolOutput {
    fn from(output: EditPythonCodeOutput) -> Self {
        structured(&output)
    }
}
