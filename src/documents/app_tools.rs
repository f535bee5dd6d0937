//! The tools that the pages of an app may call.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::service::Documents;
use crate::error::{ErrorKind, ToolError};
use crate::registry::{CallContext, Origin, ToolDescription};

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
    pub fn checked_names(
        &self,
        names: &[String],
        context: &CallContext,
    ) -> Result<Vec<String>, ToolError> {
        let checked = self.checked_tools(names, context)?;
        Ok(checked.into_iter().map(|tool| tool.name).collect())
    }

    /// The same with what a model needs to know of them.
    pub(super) fn checked_tools(
        &self,
        names: &[String],
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
            .hint("name only the tools that the app calls"));
        }
        let mut tools = Vec::new();
        let mut refusals = Vec::new();
        for name in names {
            match self.parts.tools.check(name, &context.rights, Origin::Page) {
                Ok(tool) => tools.push(tool),
                Err(error) => refusals.push((name, error)),
            }
        }
        if refusals.is_empty() { Ok(tools) } else { Err(refused(refusals)) }
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

/// What the prompt says about the tools of a page: one JSON object a line. Empty without tools.
pub(super) fn facts_for_prompt(tools: &[ToolDescription]) -> String {
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
pub(super) fn example_for_prompt(tools: &[ToolDescription]) -> String {
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

/// Whether the page may ask a model.
pub(super) fn asks_ai(tools: &[ToolDescription]) -> bool {
    tools.iter().any(|tool| tool.name == ASK_AI)
}
