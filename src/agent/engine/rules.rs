//! What the machine works by: the frozen plan, and what it says about single calls.

use std::collections::BTreeMap;

use serde_json::Value;

use super::context::text_tokens;
use super::plan::{Approval, ApprovalRule, FrozenPlan, FrozenTool, fits};
use crate::registry::Caller;

/// Window of a model of which none is known.
const UNKNOWN_WINDOW: u64 = 128_000;

/// What a machine works by; it is not a part of its state.
pub(super) struct Rules<'plan> {
    pub(super) plan: &'plan FrozenPlan,
    by_alias: BTreeMap<&'plan str, &'plan FrozenTool>,
    /// Tokens of what stands around the conversation.
    pub(super) around: u64,
}

impl<'plan> Rules<'plan> {
    pub(super) fn new(plan: &'plan FrozenPlan) -> Self {
        let mut by_alias = BTreeMap::new();
        for tool in &plan.tools {
            by_alias.insert(tool.alias.as_str(), tool);
        }
        let declared =
            plan.tools.iter().map(|tool| tool.description.len() + tool.schema.to_string().len());
        let around = text_tokens(plan.request.system.len() + declared.sum::<usize>());
        Self { plan, by_alias, around }
    }

    pub(super) fn tool(&self, name: &str) -> Option<&'plan FrozenTool> {
        let named = || self.plan.tools.iter().find(|tool| tool.name == name);
        self.by_alias.get(name).copied().or_else(named)
    }

    pub(super) fn window(&self) -> u64 {
        self.plan.model.context_tokens.unwrap_or(UNKNOWN_WINDOW)
    }

    /// Whether a person has to agree to a call of this tool.
    pub(super) fn asks(&self, tool: &FrozenTool) -> bool {
        let request = &self.plan.request;
        let rule = match &request.approval {
            Approval::Default => ApprovalRule::default(),
            Approval::Rule(rule) => *rule,
            Approval::PerTool(rules) => {
                let exact = rules.get(&tool.name);
                let by_pattern = || rules.iter().find(|(pattern, _)| fits(pattern, &tool.name));
                exact.or_else(|| by_pattern().map(|(_, rule)| rule)).copied().unwrap_or_default()
            }
        };
        match rule {
            ApprovalRule::Never => false,
            ApprovalRule::Always => true,
            ApprovalRule::Destructive if tool.consented => false,
            ApprovalRule::Destructive => match (tool.destructive, &tool.server) {
                (Some(destructive), _) => destructive,
                // A server that the workflow names is trusted as far as it says nothing.
                (None, Some(server)) => !request.tools.servers.contains(server),
                (None, None) => false,
            },
        }
    }
}

/// A name that a model made up, as it may be shown.
pub(super) fn shown_name(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(128).collect()
}

pub(super) fn unknown_tool(name: &str, tools: &[FrozenTool]) -> String {
    let mut near: Vec<(f64, &str)> = tools
        .iter()
        .map(|tool| (strsim::jaro_winkler(name, &tool.alias), tool.alias.as_str()))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .collect();
    near.sort_by(|left, right| right.0.total_cmp(&left.0));
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, name)| name).collect();
    if near.is_empty() {
        let names: Vec<&str> = tools.iter().map(|tool| tool.alias.as_str()).take(40).collect();
        if names.is_empty() {
            return format!("there is no tool `{name}`, and no other; answer without tools");
        }
        return format!("there is no tool `{name}`; there are `{}`", names.join("`, `"));
    }
    format!("there is no tool `{name}`; did you mean `{}`?", near.join("`, `"))
}

/// The arguments, put right where that is possible.
pub(super) fn arguments(tool: &FrozenTool, given: &Value) -> Result<Value, String> {
    let object = match given {
        Value::Object(_) => given.clone(),
        Value::Null => Value::Object(serde_json::Map::new()),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(object @ Value::Object(_)) => object,
            Ok(_) => return Err(no_object("they are JSON, but no object")),
            Err(error) => return Err(no_object(&format!("they are no JSON: {error}"))),
        },
        Value::Array(_) => return Err(no_object("they are a list")),
        Value::Bool(_) | Value::Number(_) => return Err(no_object("they are one value")),
    };
    // A reference stands for a value that only the registry can put in, which checks it then.
    if object.to_string().contains("@@ref_") {
        return Ok(object);
    }
    Caller::repaired(&tool.name, &tool.schema, object).map_err(|error| error.message)
}

fn no_object(what: &str) -> String {
    format!("the arguments cannot be used: {what}; call again with one JSON object")
}
