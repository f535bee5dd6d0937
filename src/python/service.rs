//! The use cases of writing Python.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::value::Value as PromptValue;
use serde_json::{Value, json};
use similar::TextDiff;

use super::code::Finding;
use super::error::PythonError;
use super::generate::{Generated, Wanted, generate, look_at};
use super::model::{CreateCode, EditCode, checked_code, checked_request, meaningful};
use crate::error::{ErrorKind, ToolError};
use crate::jobs::{Failure, Run};
use crate::llm::Outcome;
use crate::prompts::{Prompts, RenderedPrompt};
use crate::registry::{Caller, Origin, Rights, ToolDescription};

/// Most tools that a program may name: each one's schema stands in the prompt.
const MOST_TOOLS: usize = 64;
/// Bytes of tool schemas in a prompt.
const TOOL_BYTES: usize = 200_000;

/// What Python is written with.
pub struct PythonParts {
    /// Prompts.
    pub prompts: Arc<Prompts>,
    /// The tools that programs may call.
    pub caller: Caller,
}

/// Writes and changes programs.
pub struct PythonCode {
    parts: PythonParts,
}

/// A program that was written or changed.
#[derive(Debug, Clone)]
pub struct WrittenCode {
    /// The program.
    pub code: String,
    /// What may not work.
    pub findings: Vec<Finding>,
    /// Tools that it may call.
    pub tools: Vec<String>,
    /// The model's answer that it comes from; `None` when the caller wrote it.
    pub outcome: Option<Outcome>,
    /// What changed, as a unified diff; `None` for a new program.
    pub diff: Option<String>,
}

impl PythonCode {
    /// With these parts.
    pub const fn new(parts: PythonParts) -> Self {
        Self { parts }
    }

    /// Writes a program.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the text; else why there is no program.
    pub async fn create(&self, run: &Run, call: CreateCode) -> Result<WrittenCode, Failure> {
        let tools = self.tools(run, call.tool_names.as_deref()).await?;
        if let Some(given) = meaningful(call.given.as_deref()) {
            return Ok(self.given(run, "generated_code", given, tools).await?);
        }
        let request = checked_request("user_request", &call.request)?;
        let prompt = self.prompt(
            "python/create",
            run,
            &tools,
            BTreeMap::from([("request", PromptValue::from(request))]),
        )?;
        self.written(run, prompt, &call.model, tools).await
    }

    /// Changes a program: a whole new one, with what is different.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the text; else why there is no program.
    pub async fn edit(&self, run: &Run, call: EditCode) -> Result<WrittenCode, Failure> {
        if call.original.trim().is_empty() {
            return Err(PythonError::NoCode.into());
        }
        checked_code("original_code", &call.original)?;
        let tools = self.tools(run, call.tool_names.as_deref()).await?;
        let mut written = if let Some(given) = meaningful(call.given.as_deref()) {
            self.given(run, "edited_code", given, tools).await?
        } else {
            let request = checked_request("edit_request", &call.request)?;
            let prompt = self.prompt(
                "python/edit",
                run,
                &tools,
                BTreeMap::from([
                    ("request", PromptValue::from(request)),
                    ("code", PromptValue::from(call.original.as_str())),
                ]),
            )?;
            self.written(run, prompt, &call.model, tools).await?
        };
        // The block of an answer has no end of its own: what differs by that alone is the same.
        if written.code.trim_end() == call.original.trim_end() {
            written.code.clone_from(&call.original);
        }
        let diff = TextDiff::from_lines(call.original.as_str(), written.code.as_str());
        let diff = diff.unified_diff().header("original_code", "edited_code").to_string();
        written.diff = Some(diff);
        Ok(written)
    }

    /// A program that the caller wrote.
    async fn given(
        &self,
        run: &Run,
        argument: &'static str,
        code: &str,
        tools: Vec<ToolDescription>,
    ) -> Result<WrittenCode, PythonError> {
        checked_code(argument, code)?;
        let tools = names(tools);
        run.progress(50.0, Some(100.0), "reading the program");
        let findings = look_at(code, &tools)
            .await
            .map_err(|problem| PythonError::NotPython { argument, problem: problem.to_string() })?;
        let tools = tools.into_iter().collect();
        Ok(WrittenCode { code: code.to_owned(), findings, tools, outcome: None, diff: None })
    }

    async fn written(
        &self,
        run: &Run,
        prompt: RenderedPrompt,
        model: &str,
        tools: Vec<ToolDescription>,
    ) -> Result<WrittenCode, Failure> {
        let tools = names(tools);
        run.progress(5.0, Some(100.0), "asking for the program");
        let wanted = Wanted { prompt, model, tools: &tools };
        let Generated { code, findings, outcome } =
            generate(run, &self.parts.prompts, wanted).await?;
        let tools = tools.into_iter().collect();
        Ok(WrittenCode { code, findings, tools, outcome: Some(outcome), diff: None })
    }

    fn prompt(
        &self,
        id: &'static str,
        run: &Run,
        tools: &[ToolDescription],
        mut inputs: BTreeMap<&'static str, PromptValue>,
    ) -> Result<RenderedPrompt, PythonError> {
        inputs.insert("tools", PromptValue::from(facts(tools)));
        Ok(self.parts.prompts.render(id, &run.delimiter(), inputs)?)
    }

    /// The tools that the call names, or all that change nothing.
    async fn tools(
        &self,
        run: &Run,
        wanted: Option<&[String]>,
    ) -> Result<Vec<ToolDescription>, ToolError> {
        let rights = &run.context().rights;
        let caller = &self.parts.caller;
        let Some(wanted) = wanted else {
            let rights = Rights { read_only: true, ..rights.clone() };
            return Ok(caller.tools(&rights, Origin::Code));
        };
        let mut seen = BTreeSet::new();
        let wanted: Vec<&str> = wanted
            .iter()
            .map(|name| name.trim())
            .filter(|name| !name.is_empty() && seen.insert(*name))
            .collect();
        if wanted.len() > MOST_TOOLS {
            return Err(ToolError::new(
                ErrorKind::Limit,
                "too_many_tools",
                format!(
                    "`available_tool_names_for_code_gen` has {} names; at most {MOST_TOOLS} are allowed",
                    wanted.len()
                ),
            )
            .hint("name only the tools that the program calls"));
        }
        // Tools of other servers are known once their servers were started.
        caller.learn_named(wanted.iter().copied(), rights).await;
        wanted.into_iter().map(|name| caller.check(name, rights, Origin::Code)).collect()
    }
}

fn names(tools: Vec<ToolDescription>) -> BTreeSet<String> {
    tools.into_iter().map(|tool| tool.name).collect()
}

/// What the prompt says about tools: one JSON object a line, schemas as long as there is room.
fn facts(tools: &[ToolDescription]) -> String {
    let mut left = TOOL_BYTES;
    let mut lines = Vec::new();
    for tool in tools {
        let name_only = json!({"name": tool.name, "description": tool.description});
        let whole = json!({
            "name": tool.name,
            "description": tool.description,
            "arguments": tool.input_schema,
            "result": tool.output_schema,
        });
        let fits = |line: &Value| line.to_string().len() <= left;
        let line = if fits(&whole) { whole } else { name_only };
        let line = line.to_string();
        left = left.saturating_sub(line.len());
        lines.push(line);
    }
    lines.join("\n")
}
