//! What a run is asked to do, and what of it is frozen when it begins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::agent::runs::RunId;
use crate::jobs::ModelAtHand;
use crate::llm::Message;

/// A run to start: a workflow's, or one turn of a chat.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRequest {
    /// Its name; a new one for every run.
    pub run: RunId,
    /// What it is, for people: the workflow's name, or `chat`.
    pub title: String,
    /// Instructions for the model.
    #[serde(default)]
    pub system: String,
    /// The conversation so far, ending with what the user says now.
    pub messages: Vec<Message>,
    /// Model by its name; `None`: whatever is configured or at hand.
    #[serde(default)]
    pub model: Option<String>,
    /// Tools that may be called.
    #[serde(default)]
    pub tools: ToolChoice,
    /// When a person is asked before a call.
    #[serde(default)]
    pub approval: Approval,
    /// Who is asked.
    #[serde(default)]
    pub approval_by: ApprovalBy,
    /// Where it ends.
    #[serde(default)]
    pub limits: RunLimits,
    /// JSON Schema of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_schema: Option<Value>,
    /// What becomes of a call that was cut off and may have had its effect.
    #[serde(default)]
    pub on_interrupted: OnInterrupted,
    /// What must have succeeded before the answer counts.
    #[serde(default)]
    pub retry: Retry,
}

/// Which tools a run may call.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolChoice {
    /// Other servers whose tools are meant; their tools need no approval unless they say that they
    /// destroy something.
    pub servers: Vec<String>,
    /// Names with `*`; empty: the tools of the servers, or all when there are none either.
    pub names: Vec<String>,
    /// Names with `*` that are left out.
    pub except: Vec<String>,
    /// Tools to take when none of the servers is there.
    pub without_servers: Vec<String>,
    /// Tools that a run gets only when it names them, to take beside the others.
    pub also: Vec<String>,
    /// No tool at all.
    pub nothing: bool,
}

/// When a person is asked before a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Approval {
    /// For all tools alike.
    Rule(ApprovalRule),
    /// Tool by tool, names with `*`; the others by the default.
    PerTool(BTreeMap<String, ApprovalRule>),
    /// By the default.
    #[default]
    Default,
}

/// When a person is asked before a call of one tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalRule {
    /// Never.
    Never,
    /// When it may destroy something.
    #[default]
    Destructive,
    /// Always.
    Always,
}

/// Who can be asked for approval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalBy {
    /// Nobody: what needs approval is refused, with a hint.
    #[default]
    Nobody,
    /// Whoever follows the run's events: the chat.
    Follower,
    /// The person in front of the client that called, where the client can ask them; else what
    /// needs approval is refused.
    Caller,
}

/// What becomes of a call that was cut off and may have had its effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInterrupted {
    /// The model is told that nobody knows.
    #[default]
    Report,
    /// A person is asked whether to make it again.
    Ask,
    /// It is made again.
    Rerun,
}

/// What must have succeeded before an answer counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// How often the model is sent back.
    pub max_retries: u32,
    /// Tools of which a call must have succeeded, names with `*`.
    pub checks: Vec<String>,
}

/// Where a run ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunLimits {
    /// Answers of the model.
    pub turns: u32,
    /// Calls of tools in all.
    pub tool_calls: u32,
    /// Calls of tools in one answer.
    pub calls_per_turn: u32,
    /// Calls at a time.
    pub parallel_calls: u32,
    /// Calls at a time of one other server.
    pub parallel_per_server: u32,
    /// Seconds in all, without waiting for people.
    pub run_s: f64,
    /// Seconds of one call.
    pub call_s: f64,
    /// Model tokens in all.
    pub tokens: u64,
    /// US dollars in all; `None`: no limit.
    pub cost_usd: Option<f64>,
    /// Bytes of one result that the model sees.
    pub result_bytes: usize,
    /// Bytes of all results that the model sees at a time.
    pub all_results_bytes: usize,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            turns: 25,
            tool_calls: 100,
            calls_per_turn: 16,
            parallel_calls: 8,
            parallel_per_server: 4,
            run_s: 900.0,
            call_s: 120.0,
            tokens: 500_000,
            cost_usd: None,
            result_bytes: 24_000,
            all_results_bytes: 200_000,
        }
    }
}

impl RunLimits {
    /// What is out of range, with the range.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |key: &str, value: f64, least: f64, most: f64| {
            if !(least..=most).contains(&value) {
                problems.push(format!("`{key}` is {value}; it may be {least} to {most}"));
            }
        };
        check("turns", f64::from(self.turns), 1.0, 200.0);
        check("tool_calls", f64::from(self.tool_calls), 0.0, 1000.0);
        check("calls_per_turn", f64::from(self.calls_per_turn), 1.0, 64.0);
        check("parallel_calls", f64::from(self.parallel_calls), 1.0, 32.0);
        check("parallel_per_server", f64::from(self.parallel_per_server), 1.0, 32.0);
        check("run_s", self.run_s, 1.0, 86_400.0);
        check("call_s", self.call_s, 0.1, 3600.0);
        #[expect(clippy::cast_precision_loss, reason = "only compared with a range")]
        let (tokens, result, results) =
            (self.tokens as f64, self.result_bytes as f64, self.all_results_bytes as f64);
        check("tokens", tokens, 1000.0, 1e12);
        check("result_bytes", result, 500.0, 200_000.0);
        check("all_results_bytes", results, 2000.0, 2_000_000.0);
        if let Some(cost) = self.cost_usd {
            check("cost_usd", cost, 0.0, 1e6);
        }
        problems
    }
}

/// A tool as it stood when the run began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrozenTool {
    /// Its name.
    pub name: String,
    /// The name that the model is told: the same, or a short one that every vendor takes.
    pub alias: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub schema: Value,
    /// The other server that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// It changes nothing, as far as that can be relied on.
    pub reads_only: bool,
    /// The same call twice changes nothing more, as far as that can be relied on.
    pub idempotent: bool,
    /// A durable job of this program: the same call under the same key goes on where it was.
    pub resumes: bool,
    /// Whether it says that it may destroy something; `None`: it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// Whoever wrote the workflow named this very tool: its server offers no other. That is consent
    /// to calling it, whatever it says of itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub consented: bool,
}

/// A run as it was frozen when it began; later changes of the configuration do not touch it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FrozenPlan {
    /// Form of the stored state.
    pub format: u32,
    /// What was asked.
    pub request: RunRequest,
    /// Tools, ordered by name.
    pub tools: Vec<FrozenTool>,
    /// Who answers.
    pub model: ModelAtHand,
    /// Where the run was started from.
    pub origin: FrozenOrigin,
    /// Whether the client that started it can ask its user.
    #[serde(default)]
    pub person_at_hand: bool,
}

/// Where a run was started from, as far as it decides what the run may do after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrozenOrigin {
    /// By somebody who decides for himself.
    Person,
    /// By Python code.
    Code,
    /// By a hosted page.
    Page,
}

/// Whether a name fits a pattern in which `*` stands for anything.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else { return false };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return rest.is_empty() };
    for part in between {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "anything", true),
            ("server__*", "server__tool", true),
            ("server__*", "other__tool", false),
            ("*_app", "create_web_app", true),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn limits_out_of_range_are_named() {
        assert!(RunLimits::default().problems().is_empty());
        let limits = RunLimits { turns: 0, tool_calls: 2000, ..RunLimits::default() };
        let problems = limits.problems();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("`turns` is 0; it may be 1 to 200"));
    }
}
