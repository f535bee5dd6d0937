//! `create_python_code`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, about_findings, default_model};
use crate::jobs::ToolOutput;
use crate::python::{CreateCode, PythonCode, WrittenCode};
use crate::registry::{Annotations, Tool, Toolset, structured};

const DESCRIPTION: &str = "Writes a Python program from a request in words and returns it in `generated_code`; it is checked to parse, and never run. The program may call the tools named in `available_tool_names_for_code_gen` (by default those that change nothing). Review it, then run it with `execute_python_code` and `code` set to `@@ref_<call_id>__generated_code`. When you can write the program yourself, run it directly.";

/// Writing changes nothing here, and two answers are not alike.
pub(super) const ANNOTATIONS: Annotations =
    Annotations { read_only: true, destructive: false, idempotent: false, open_world: true };

/// Arguments of `create_python_code`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct CreatePythonCodeParams {
    /// What the program should do, in words.
    user_request: String,
    /// Model that writes it. `auto` takes whatever is configured or at hand; `host` asks you to
    /// write it.
    #[serde(default = "default_model")]
    model: String,
    /// Names of the tools that the program may call with `_call_mcp_tool`. Left out: those that
    /// change nothing. Empty: none.
    #[serde(default)]
    available_tool_names_for_code_gen: Option<Vec<String>>,
    /// A program that you have written: it is checked and returned, and no model is called.
    #[serde(default)]
    generated_code: Option<String>,
}

/// Result of `create_python_code`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CreatePythonCodeOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// The program.
    generated_code: String,
    #[serde(flatten)]
    about: About,
}

/// The tool.
pub(super) fn tool(python: &Arc<PythonCode>) -> Tool {
    let python = Arc::clone(python);
    Tool::builder("create_python_code", "Write Python code", Toolset::Python)
        .description(DESCRIPTION)
        .annotations(ANNOTATIONS)
        .job(move |run, params: CreatePythonCodeParams| {
            let python = Arc::clone(&python);
            async move {
                let model_requested = params.model.clone();
                let call = CreateCode {
                    request: params.user_request,
                    model: params.model,
                    tool_names: params.available_tool_names_for_code_gen,
                    given: params.generated_code,
                };
                let written = python.create(&run, call).await?;
                Ok(CreatePythonCodeOutput::new(written, model_requested))
            }
        })
}

impl CreatePythonCodeOutput {
    fn new(written: WrittenCode, model_requested: String) -> Self {
        let lines = written.code.lines().count();
        let findings = about_findings(&written.findings);
        Self {
            status: if written.findings.is_empty() { "success" } else { "warning" },
            message: format!(
                "A program of {lines} lines; it was not run.{findings} Review it, then run it with `execute_python_code`."
            ),
            about: About::new(&written, model_requested),
            generated_code: written.code,
        }
    }
}

impl From<CreatePythonCodeOutput> for ToolOutput {
    fn from(output: CreatePythonCodeOutput) -> Self {
        structured(&output)
    }
}
