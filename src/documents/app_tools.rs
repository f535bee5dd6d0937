//! The tools that the pages of an app may call, and those for the model that writes a PDF.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Value as PromptValue;
use serde_json::{Value, json};

use super::error::DocumentError;
use super::service::Documents;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::Run;
use crate::registry::{CallContext, Origin, ToolDescription};
use crate::storage::DocumentKind;

/// Most tools that one app may name: each one's schema stands in the prompt.
const MOST_NAMES: usize = 32;

/// The tool by which a page asks a model.
const ASK_AI: &str = "ask_ai";

impl Documents {
    /// The names that a call gives for an app, once each and in their order. Every name must be a
    /// tool that the caller may use and that is open to pages.
    ///
    /// # Errors
    /// `unknown_tool` with near names, `tool_not_allowed` with what would open a tool, or
    /// `too_many_tools`.
    pub async fn checked_names(
        &self,
        names: &[String],
        context: &CallContext,
    ) -> Result<Vec<String>, ToolError> {
        let checked = self.checked_tools(names, Origin::Page, context).await?;
        Ok(checked.into_iter().map(|tool| tool.name).collect())
    }

    /// The same for calls that come from there, with what a model needs to know of the tools.
    pub(super) async fn checked_tools(
        &self,
        names: &[String],
        origin: Origin,
        context: &CallContext,
    ) -> Result<Vec<ToolDescription>, ToolError> {
        let mut seen = BTreeSet::new();
        let names: Vec<&str> = names
            .iter()
            .map(|name| name.trim())
            .filter(|name| !name.is_empty() && seen.insert(*name))
            .collect();
        if names.len() > MOST_NAMES {
            return Err(ToolError::new(
                ErrorKind::Limit,
                "too_many_tools",
                format!(
                    "`mcp_tool_names` has {} names; at most {MOST_NAMES} are allowed",
                    names.len()
                ),
            )
            .hint("name only the tools that are called"));
        }
        // Tools of other servers are known once their servers were started.
        self.parts.tools.learn_named(names.iter().copied(), &context.rights).await;
        let mut open = Vec::new();
        let mut refusals = Vec::new();
        for name in names {
            match self.parts.tools.check(name, &context.rights, origin) {
                Ok(tool) => open.push(tool),
                Err(error) => refusals.push((name, error)),
            }
        }
        if refusals.is_empty() { Ok(open) } else { Err(refused(refusals)) }
    }

    /// The names as a call gives them for a document of this kind, checked; `None` when it gives
    /// none.
    ///
    /// # Errors
    /// Those of [`Self::checked_names`].
    pub(super) async fn checked_given(
        &self,
        kind: DocumentKind,
        names: Option<&[String]>,
        context: &CallContext,
    ) -> Result<Option<Vec<String>>, ToolError> {
        let Some(names) = names else { return Ok(None) };
        let tools = self.checked_tools(names, callers_of(kind), context).await?;
        Ok(Some(tools.into_iter().map(|tool| tool.name).collect()))
    }

    /// What the prompt says about the tools that a page may call; empty when there are none. Names
    /// that are not open any more are left out: the page would be refused.
    pub(super) fn prompt_of_tools(
        &self,
        run: &Run,
        names: &[String],
    ) -> Result<String, DocumentError> {
        let rights = &run.context().rights;
        let tools: Vec<ToolDescription> = names
            .iter()
            .filter_map(|name| self.parts.tools.check(name, rights, Origin::Page).ok())
            .collect();
        if tools.is_empty() {
            return Ok(String::new());
        }
        let inputs = BTreeMap::from([
            ("tools", PromptValue::from(facts(&tools))),
            ("example", PromptValue::from(example(&tools))),
            ("asks_ai", PromptValue::from(tools.iter().any(|tool| tool.name == ASK_AI))),
        ]);
        let prompt = self.parts.prompts.render("documents/page_tools", &run.delimiter(), inputs)?;
        Ok(prompt.user.trim_end().to_owned())
    }
}

/// Who calls the tools of a document: its pages, or the model that writes it.
const fn callers_of(kind: DocumentKind) -> Origin {
    match kind {
        DocumentKind::WebApp => Origin::Page,
        DocumentKind::Pdf => Origin::Code,
    }
}

/// All refusals as one error, under the code of the first.
fn refused(refusals: Vec<(&str, ToolError)>) -> ToolError {
    let details: Vec<Value> = refusals
        .iter()
        .map(|(name, error)| {
            json!({"name": name, "code": error.code, "message": error.message, "hint": error.hint})
        })
        .collect();
    let messages: Vec<String> = refusals.iter().map(|(_, error)| error.message.clone()).collect();
    let hints: BTreeSet<String> =
        refusals.iter().filter_map(|(_, error)| error.hint.clone()).collect();
    let (kind, code) = refusals
        .into_iter()
        .next()
        .map_or((ErrorKind::Invalid, "unknown_tool".into()), |(_, error)| (error.kind, error.code));
    ToolError::new(kind, code, format!("`mcp_tool_names`: {}", messages.join("; ")))
        .hint(hints.into_iter().collect::<Vec<_>>().join("; "))
        .detail("refused", Value::Array(details))
}

/// The tools, one JSON object a line.
fn facts(tools: &[ToolDescription]) -> String {
    let lines: Vec<String> = tools
        .iter()
        .map(|tool| {
            json!({
                "name": tool.name,
                "description": tool.description,
                "arguments": tool.input_schema,
                "result": tool.output_schema,
            })
            .to_string()
        })
        .collect();
    lines.join("\n")
}

/// One call as a page writes it, by the first tool that is no question to a model.
fn example(tools: &[ToolDescription]) -> String {
    let Some(tool) = tools.iter().find(|tool| tool.name != ASK_AI) else { return String::new() };
    let required = tool.input_schema.get("required").and_then(Value::as_array);
    let arguments: Vec<String> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|name| format!("{name}: …"))
        .collect();
    let arguments = if arguments.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", arguments.join(", "))
    };
    format!("const result = await window.atelier.callTool('{}', {arguments});", tool.name)
}
