//! The tools that a model may call while it writes a document.
//!
//! Only the names of the document's list, through the registry, as calls made by code: what is
//! closed to code is closed here, and a `confirm` counts for nothing. Every call is a step, so a
//! job that runs again calls nothing twice. Whatever goes wrong is told to the model, which can do
//! something about it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ErrorKind, ToolError};
use crate::jobs::{Failure, ProgressSink, Run};
use crate::llm::{
    LlmError, LlmErrorCode, Message, Outcome, Part, Request, Role, ToolCall, ToolDeclaration,
};
use crate::prompts::{PromptError, Prompts, data_block};
use crate::registry::{CallContext, Caller, Grant, Origin, Terms, ToolDescription};

/// Calls that one document may take.
const CALLS: usize = 32;
/// Answers with calls in them, before the model has to write.
const ROUNDS: u32 = 8;
/// What stands behind the results of the last round.
const NO_MORE_CALLS: &str =
    "\n\nNo further calls are possible. Write what was asked for now, from what you have.";
/// How long one call may take.
const CALL_TIME: Duration = Duration::from_mins(2);
/// Bytes of a result that the model gets to see.
const RESULT_BYTES: usize = 48_000;
/// How deep calls may lie inside each other.
const DEPTH: u32 = 4;

/// The tools of one document, and what is left of its calls.
pub(in crate::documents) struct Toolbox {
    caller: Caller,
    grant: Grant,
    /// Key of the user that all calls are for.
    user: String,
    names: BTreeSet<String>,
    tools: Vec<ToolDescription>,
    /// Answers with calls so far.
    rounds: u32,
    /// Calls made so far, in order.
    pub(in crate::documents) made: Vec<MadeCall>,
}

/// A call that a model made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeCall {
    /// Tool.
    pub tool: String,
    /// Whether it succeeded.
    pub ok: bool,
}

/// The result of a call, as its step stores it.
#[derive(Debug, Serialize, Deserialize)]
struct CallResult {
    ok: bool,
    text: String,
}

impl Toolbox {
    /// These tools, as they were checked.
    pub(in crate::documents) fn new(
        caller: &Caller,
        run: &Run,
        user: &str,
        tools: Vec<ToolDescription>,
    ) -> Self {
        let grant = Grant::new(Terms {
            holder: format!("document:{}", run.job_id()),
            origin: Origin::Code,
            calls: None,
            calls_per_minute: None,
            concurrent_calls: 1,
            call_time: CALL_TIME,
            tokens_per_day: None,
            argument_bytes: 256 * 1024,
            result_bytes: 4 * 1024 * 1024,
            depth: DEPTH,
        });
        let names = tools.iter().map(|tool| tool.name.clone()).collect();
        Self {
            caller: caller.clone(),
            grant,
            user: user.to_owned(),
            names,
            tools,
            rounds: 0,
            made: Vec::new(),
        }
    }

    pub(in crate::documents) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Tells a question of the tools, if there are any: as functions, and in words for those who
    /// make calls by other means.
    ///
    /// # Errors
    /// When the prompt cannot be made.
    pub(in crate::documents) fn introduce(
        &self,
        prompts: &Prompts,
        delimiter: &str,
        request: &mut Request,
    ) -> Result<(), PromptError> {
        if self.is_empty() {
            return Ok(());
        }
        let inputs = BTreeMap::from([("tools", minijinja::Value::from(self.for_prompt()))]);
        let prompt = prompts.render("documents/pdf_tools", delimiter, inputs)?;
        request.tools = self.declarations();
        if let Some(question) = request.messages.first_mut() {
            question.parts.push(Part::Text(prompt.user));
        }
        Ok(())
    }

    /// The tools as a model is told of them.
    fn declarations(&self) -> Vec<ToolDeclaration> {
        self.tools
            .iter()
            .map(|tool| ToolDeclaration {
                name: tool.name.clone(),
                description: tool.description.clone(),
                schema: tool.input_schema.clone(),
            })
            .collect()
    }

    /// The tools in the words of a prompt, one line each, for those who call them by other means.
    fn for_prompt(&self) -> String {
        let line = |tool: &ToolDescription| {
            let first = tool.description.split(". ").next().unwrap_or_default();
            format!("- `{}`: {}", tool.name, first.trim_end_matches('.'))
        };
        self.tools.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Makes the calls of an answer, one after the other. Returns the two messages that the
    /// conversation goes on with: what the model said, and what came of it.
    ///
    /// # Errors
    /// `tool_loop` when the model calls on although it was told to write; when the job has to stop,
    /// or its store fails.
    pub(in crate::documents) async fn answer(
        &mut self,
        run: &Run,
        step: &str,
        outcome: &Outcome,
    ) -> Result<[Message; 2], Failure> {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            let error = LlmError::new(
                LlmErrorCode::ToolLoop,
                format!("the model went on calling tools after {ROUNDS} rounds and wrote nothing"),
            )
            .hint("ask for something that needs fewer facts, or name another `model`");
            return Err(Failure::Error(error.into()));
        }
        let mut results = Vec::new();
        for (index, call) in outcome.calls.iter().enumerate() {
            let result = if self.made.len() < CALLS {
                run.progress(6.0, Some(100.0), format!("calling `{}`", shown(&call.name)));
                let name = format!("{step}/call#{}", index + 1);
                let this = &*self;
                run.step(&name, || async { Ok::<_, Failure>(this.call(run, call).await) }).await?
            } else {
                CallResult {
                    ok: false,
                    text: format!(
                        "not called: all {CALLS} calls are used up; write the document now"
                    ),
                }
            };
            self.made.push(MadeCall { tool: shown(&call.name), ok: result.ok });
            let label = if result.ok { "result" } else { "error" };
            let mut content = data_block(&result.text, label, &run.delimiter());
            // In the last result, since vendors want nothing between results and the next answer.
            if self.rounds == ROUNDS && index + 1 == outcome.calls.len() {
                content.push_str(NO_MORE_CALLS);
            }
            results.push(Part::ToolResult { call_id: call.id.clone(), content });
        }
        Ok([said(outcome), Message { role: Role::Tool, parts: results }])
    }

    async fn call(&self, run: &Run, call: &ToolCall) -> CallResult {
        let refused = |text: String| CallResult { ok: false, text };
        if !self.names.contains(&call.name) {
            let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
            return refused(format!(
                "there is no tool `{}` for this document; there are `{}`",
                shown(&call.name),
                names.join("`, `")
            ));
        }
        if !call.arguments.is_object() {
            return refused("the arguments are no JSON object; call again with one".to_owned());
        }
        let outer = run.context();
        let mut models = outer.models.clone();
        // Nobody reads a question that an inner call asks.
        models.host_completion = false;
        models.sampling_by_retry = false;
        let context = CallContext {
            models,
            user: Some(self.user.clone()),
            progress: ProgressSink::none(),
            cancel: run.cancel().clone(),
            idempotency_key: None,
            answer_budget: None,
            ..outer.clone()
        };
        let outcome = self
            .caller
            .call(&self.grant, Some(&self.names), &call.name, call.arguments.clone(), context)
            .await;
        let status = outcome.structured.get("status").and_then(Value::as_str);
        if !outcome.is_error && status == Some("needs_completion") {
            let error = ToolError::new(
                ErrorKind::Unavailable,
                "no_language_model",
                "the tool asks for a text that nobody is here to write",
            );
            return refused(cut(&error.to_json().to_string()));
        }
        CallResult { ok: !outcome.is_error, text: cut(&outcome.structured.to_string()) }
    }
}

/// An answer as a message of the conversation, with the reasoning state that its vendor wants back.
fn said(outcome: &Outcome) -> Message {
    let state = outcome.thought_signatures.iter().cloned().map(Part::ThoughtSignature);
    let text = Some(outcome.text.clone()).filter(|text| !text.trim().is_empty()).map(Part::Text);
    let calls = outcome.calls.iter().cloned().map(Part::ToolCall);
    Message { role: Role::Assistant, parts: state.chain(text).chain(calls).collect() }
}

/// A name that a model made up, as it may be shown.
fn shown(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

/// The begin of a result, with a word about what is left out.
fn cut(text: &str) -> String {
    if text.len() <= RESULT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(RESULT_BYTES);
    let begin = text.get(..end).unwrap_or_default();
    format!("{begin} [{} more bytes are not shown; ask for less]", text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_results_are_cut_between_letters() {
        let long = "ä".repeat(RESULT_BYTES);
        let short = cut(&long);
        assert!(
            short.starts_with("ää") && short.ends_with("more bytes are not shown; ask for less]")
        );
        assert!(short.len() < RESULT_BYTES + 100);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn names_are_shown_without_tricks() {
        assert_eq!(shown("a\nb\u{7}c"), "abc");
        assert_eq!(shown(&"x".repeat(100)).len(), 64);
    }
}
