//! Workflows: those of the operator's `workflows.json` and those that the program brings along.
//!
//! The file is read anew for every call, so a change counts for the next run; a run that began
//! keeps what it was frozen with.

mod parameters;
mod read;
mod request;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::engine::{Approval, OnInterrupted, Retry, RunLimits};
use crate::error::{ErrorKind, ToolError};

pub use parameters::{Parameter, ParameterKind};

/// The workflows that the program brings along.
const SHIPPED: [(&str, &str); 3] = [
    ("elixir_crud_generator", include_str!("elixir_crud_generator.json")),
    ("app_builder", include_str!("app_builder.json")),
    ("report_writer", include_str!("report_writer.json")),
];

/// A workflow.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workflow {
    /// Name, where the file is a list.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// What it does.
    pub description: String,
    /// Model; `auto`: whatever is configured or at hand.
    pub llm_model: String,
    /// Other servers whose tools it uses.
    pub mcp_servers_used: Vec<String>,
    /// Tools of this program to use when none of these servers is configured.
    pub tools_without_servers: Vec<String>,
    /// Tools that it may call, with `*`; empty: those of the servers, or all.
    pub tools: Vec<String>,
    /// Tools that it may not call, with `*`.
    pub exclude_tools: Vec<String>,
    /// Values that a caller gives or may give.
    pub parameters: BTreeMap<String, Parameter>,
    /// Instructions; a template like the prompt.
    pub system_prompt: String,
    /// The first message. `{{ query }}`, `{query}` and `{user_query}` stand for what the user asks.
    pub initial_prompt_template: String,
    /// Answers of the model.
    pub max_conversation_turns: Option<u32>,
    /// When a person is asked before a call.
    pub approval: Approval,
    /// Further limits.
    pub limits: RunLimits,
    /// JSON Schema of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<Value>,
    /// What becomes of a call that was cut off.
    pub on_interrupted: OnInterrupted,
    /// What must have succeeded in the end.
    pub retry: Retry,
}

impl Default for Workflow {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            llm_model: "auto".to_owned(),
            mcp_servers_used: Vec::new(),
            tools_without_servers: Vec::new(),
            tools: Vec::new(),
            exclude_tools: Vec::new(),
            parameters: BTreeMap::new(),
            system_prompt: String::new(),
            initial_prompt_template: "{{ query }}".to_owned(),
            max_conversation_turns: None,
            approval: Approval::Default,
            limits: RunLimits::default(),
            response_schema: None,
            on_interrupted: OnInterrupted::Report,
            retry: Retry::default(),
        }
    }
}

impl Workflow {
    /// Its limits, with the turns that it names.
    pub fn run_limits(&self) -> RunLimits {
        let turns = self.max_conversation_turns.unwrap_or(self.limits.turns);
        RunLimits { turns, ..self.limits.clone() }
    }
}

/// Where workflows come from.
#[derive(Debug, Clone, Default)]
pub struct Workflows {
    file: Option<PathBuf>,
}

/// The workflows as they are now, and what is wrong with some.
#[derive(Debug, Clone, Default)]
pub struct WorkflowSet {
    /// By name.
    pub workflows: BTreeMap<String, Workflow>,
    /// What is wrong with workflows that are left out, by name.
    pub broken: BTreeMap<String, String>,
    /// What is odd, but no reason to leave one out.
    pub warnings: Vec<String>,
}

impl Workflows {
    /// With this file, and those that the program brings along.
    pub const fn new(file: Option<PathBuf>) -> Self {
        Self { file }
    }

    /// Where the operator's file is.
    pub const fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// All workflows; one of the file replaces the program's own of that name.
    ///
    /// # Errors
    /// When the file cannot be read or is no list of workflows.
    pub fn load(&self) -> Result<WorkflowSet, ToolError> {
        let mut set = WorkflowSet::default();
        for (name, text) in SHIPPED {
            let workflow: Workflow = serde_json::from_str(text)
                .map_err(|error| ToolError::internal(&format!("workflow {name}: {error}")))?;
            set.workflows.insert(name.to_owned(), workflow);
        }
        if let Some(file) = &self.file {
            read::file(file, &mut set)?;
        }
        Ok(set)
    }

    /// One workflow by its name.
    ///
    /// # Errors
    /// `workflow_not_found` with near names, `invalid_workflow` with what is wrong with it.
    pub fn get(&self, name: &str) -> Result<Workflow, ToolError> {
        let mut set = self.load()?;
        if let Some(problem) = set.broken.get(name) {
            return Err(ToolError::invalid(
                "invalid_workflow",
                format!("the workflow `{name}` cannot be run: {problem}"),
            )
            .hint("correct it; `atelier workflow check` looks at all of them"));
        }
        if let Some(workflow) = set.workflows.remove(name) {
            return Ok(workflow);
        }
        let shown: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
        let mut near: Vec<(f64, &String)> = set
            .workflows
            .keys()
            .map(|known| (strsim::jaro_winkler(known, name), known))
            .filter(|(likeness, _)| *likeness > 0.7)
            .collect();
        near.sort_by(|left, right| right.0.total_cmp(&left.0));
        let hint = if let Some((_, known)) = near.first() {
            format!("did you mean `{known}`?")
        } else {
            let names: Vec<&str> = set.workflows.keys().map(String::as_str).collect();
            format!("there are `{}`", names.join("`, `"))
        };
        Err(ToolError::new(
            ErrorKind::NotFound,
            "workflow_not_found",
            format!("there is no workflow `{shown}`"),
        )
        .hint(hint))
    }
}

#[cfg(test)]
mod tests;
