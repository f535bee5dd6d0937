//! The loop as a pure state machine: no waiting, no input, no output. It can be stored at any
//! point, and the same inputs always bring it to the same place.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::structured;
use super::context::{Conversation, is_full, text_tokens};
use super::guards::{Verdict, Watch};
use super::plan::{FrozenPlan, fits};
use super::results::{CallAnswer, CallStatus, canonical};
use super::rules::{Rules, arguments, shown_name, unknown_tool};
use super::state::{
    Action, AskKind, CallRecord, Decision, Ending, ModelAnswer, ModelFailure, PlannedCall,
    StopReason, Totals,
};
use crate::llm::{Message, Part, Role, ToolCall};

/// Form of the stored state. A run that was begun in another form is refused by name.
pub(super) const FORMAT: u32 = 1;

/// Rounds in which a model may put its arguments for one tool right.
const ARGUMENT_REPAIRS: u32 = 2;
/// Rounds in which a model may put its answer right.
const ANSWER_REPAIRS: u32 = 2;
/// Answers in a row that do not follow the text protocol.
const PROTOCOL_REPAIRS: u32 = 3;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Phase {
    Ask(AskKind),
    Approve(Vec<PlannedCall>),
    Call(Vec<PlannedCall>),
    Over(Box<Ending>),
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    format: u32,
    phase: Phase,
    conversation: Conversation,
    totals: Totals,
    calls: Vec<CallRecord>,
    watch: Watch,
    /// Set from the moment at which the run has to end.
    closing: Option<(StopReason, String)>,
    /// Words of the answer whose calls are being made.
    words: String,
    argument_faults: BTreeMap<String, u32>,
    answer_faults: u32,
    protocol_faults: u32,
    retries: u32,
    /// Tools that a person allowed for the rest of the run.
    allowed: BTreeSet<String>,
    /// Tokens of the conversation at the last answer, and how many messages it had.
    measured: Option<(u64, usize)>,
    summarised: bool,
}

impl Machine {
    /// A run at its begin.
    pub(super) fn new(plan: &FrozenPlan) -> Self {
        Self {
            format: FORMAT,
            phase: Phase::Ask(AskKind::Turn),
            conversation: Conversation::new(plan.request.messages.clone()),
            totals: Totals::default(),
            calls: Vec::new(),
            watch: Watch::default(),
            closing: None,
            words: String::new(),
            argument_faults: BTreeMap::new(),
            answer_faults: 0,
            protocol_faults: 0,
            retries: 0,
            allowed: BTreeSet::new(),
            measured: None,
            summarised: false,
        }
    }

    /// What is to be done now.
    pub fn next(&self) -> Action {
        match &self.phase {
            Phase::Ask(kind) => {
                Action::CallModel { number: self.totals.model_calls + 1, kind: *kind }
            }
            Phase::Approve(calls) => {
                Action::Approve(calls.iter().filter(|call| call.asks).cloned().collect())
            }
            Phase::Call(calls) => Action::CallTools(calls.clone()),
            Phase::Over(ending) => Action::Done(ending.clone()),
        }
    }

    /// What was used so far.
    pub const fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The calls that are over.
    pub fn calls(&self) -> &[CallRecord] {
        &self.calls
    }

    /// The conversation, whole turns only.
    pub fn messages(&self) -> &[Message] {
        &self.conversation.messages
    }

    /// Why the run is being closed.
    pub(super) fn closing(&self) -> Option<(StopReason, &str)> {
        self.closing.as_ref().map(|(reason, words)| (*reason, words.as_str()))
    }

    /// The older turns as text, for a summary.
    pub(super) fn old_turns(&self) -> Option<String> {
        self.conversation.old_turns()
    }

    /// Takes the model's answer.
    pub(super) fn answered(&mut self, rules: &Rules<'_>, answer: ModelAnswer) {
        let Phase::Ask(kind) = self.phase else { return };
        self.count(rules, &answer);
        match kind {
            AskKind::Summary => {
                self.conversation.replace_old(answer.text.trim());
                self.summarised = true;
                self.measured = None;
                self.phase = Phase::Ask(AskKind::Turn);
            }
            AskKind::Closing => {
                let (stop, detail) = self
                    .closing
                    .clone()
                    .unwrap_or((StopReason::MaxTurns, "the run was closed".to_owned()));
                self.words = if answer.text.trim().is_empty() {
                    std::mem::take(&mut self.words)
                } else {
                    answer.text.clone()
                };
                if !answer.text.trim().is_empty() {
                    // Calls of this answer are left out: nobody will answer them.
                    self.conversation.messages.push(Message::assistant(answer.text.as_str()));
                }
                let output = rules
                    .plan
                    .request
                    .response_schema
                    .as_ref()
                    .and_then(|schema| structured(&answer.text, schema).ok());
                self.end(stop, Some(detail), output);
            }
            AskKind::Turn => self.turn(rules, answer),
        }
    }

    /// Takes a failure that the run can go on or end with; gives it back when it cannot.
    ///
    /// # Errors
    /// The failure, when there is nothing left to do about it.
    pub(super) fn failed(
        &mut self,
        rules: &Rules<'_>,
        failure: ModelFailure,
    ) -> Result<(), ModelFailure> {
        let Phase::Ask(kind) = self.phase else { return Err(failure) };
        self.totals.model_calls += 1;
        match (kind, failure) {
            (AskKind::Closing, _) => {
                let closing = self.closing.clone();
                let (stop, detail) =
                    closing.unwrap_or((StopReason::MaxTurns, "the run was closed".to_owned()));
                self.end(stop, Some(detail), None);
                Ok(())
            }
            (_, ModelFailure::Refused(reason)) => {
                self.end(StopReason::Refused, Some(reason), None);
                Ok(())
            }
            (AskKind::Turn, ModelFailure::Truncated(reason)) => {
                self.end(StopReason::Truncated, Some(reason), None);
                Ok(())
            }
            (AskKind::Turn, ModelFailure::TooLong(reason)) => {
                if self.conversation.shorten_old() {
                    self.measured = None;
                } else if !self.summarised && self.conversation.old_turns().is_some() {
                    self.phase = Phase::Ask(AskKind::Summary);
                } else {
                    return Err(ModelFailure::TooLong(reason));
                }
                let _ = rules;
                Ok(())
            }
            (AskKind::Summary, failure) => Err(failure),
        }
    }

    /// Takes a person's words on the calls that [`Action::Approve`] named, by position.
    pub(super) fn decided(&mut self, decisions: &BTreeMap<u32, Decision>) {
        let Phase::Approve(calls) = &mut self.phase else { return };
        let mut calls = std::mem::take(calls);
        for call in &mut calls {
            if !std::mem::take(&mut call.asks) {
                continue;
            }
            match decisions.get(&call.position) {
                Some(Decision::Allow) => {}
                Some(Decision::AllowForRun) => {
                    self.allowed.insert(call.tool.clone());
                }
                Some(Decision::Deny { reason }) => {
                    let reason = reason.trim();
                    let text = if reason.is_empty() {
                        "not called: the user declined this call".to_owned()
                    } else {
                        format!("not called: {reason}")
                    };
                    call.answer = Some(CallAnswer::own(CallStatus::Denied, text));
                }
                None => {
                    let text = "not called: nobody answered in time whether it may be made";
                    call.answer = Some(CallAnswer::own(CallStatus::Denied, text));
                }
            }
        }
        self.phase = Phase::Call(calls);
    }

    /// Takes the answers to all calls that [`Action::CallTools`] named, in call order, and how long
    /// they took together.
    pub(super) fn called(&mut self, rules: &Rules<'_>, answers: Vec<CallAnswer>, ms: u64) {
        let Phase::Call(calls) = &mut self.phase else { return };
        let calls = std::mem::take(calls);
        self.totals.active_ms = self.totals.active_ms.saturating_add(ms);
        let mut results = Vec::new();
        let mut pictures = Vec::new();
        let mut final_answers = Vec::new();
        for (call, mut answer) in calls.into_iter().zip(answers) {
            let made = call.answer.is_none();
            if answer.status == CallStatus::InvalidArguments {
                let faults = self.argument_faults.entry(call.tool.clone()).or_default();
                *faults += 1;
                if *faults > ARGUMENT_REPAIRS {
                    answer
                        .shown
                        .push_str("\nThe arguments were wrong too often: go on without this tool.");
                }
            }
            if made {
                let writes = rules.tool(&call.tool).is_none_or(|tool| !tool.reads_only);
                self.watch.after(&call.key, &call.tool, &answer, writes);
            }
            self.calls.push(CallRecord {
                turn: call.turn,
                position: call.position,
                tool: call.tool,
                status: answer.status,
                call_id: answer.call_id.clone(),
                ms: answer.ms,
            });
            results.push((call.call.id, answer.shown.clone(), answer.short.clone()));
            pictures.extend(answer.pictures.iter().cloned());
            final_answers.push(answer);
        }
        self.conversation.push_results(results);
        self.conversation.push_pictures(pictures);
        self.watch.turn(&self.words, &final_answers);
        self.conversation.fit_results(rules.plan.request.limits.all_results_bytes);
        self.go_on(rules);
    }

    /// Adds waiting that counts as work, such as a model's own time.
    fn count(&mut self, rules: &Rules<'_>, answer: &ModelAnswer) {
        let totals = &mut self.totals;
        totals.model_calls += 1;
        totals.active_ms = totals.active_ms.saturating_add(answer.ms);
        let read = answer.usage.input_tokens;
        let written = answer.usage.output_tokens;
        let estimate_read = self.conversation.tokens_from(0) + rules.around;
        let called: usize = answer.calls.iter().map(|call| call.arguments.to_string().len()).sum();
        let estimate_written = text_tokens(answer.text.len() + called);
        totals.input_tokens += read.unwrap_or(estimate_read);
        totals.output_tokens += written.unwrap_or(estimate_written);
        if read.is_none() {
            totals.estimated_tokens += estimate_read;
        }
        if written.is_none() {
            totals.estimated_tokens += estimate_written;
        }
        match answer.cost_usd {
            Some(cost) => totals.cost_usd += cost,
            None => totals.unpriced = true,
        }
        let size = read.unwrap_or(estimate_read) + written.unwrap_or(estimate_written);
        self.measured = Some((size, self.conversation.messages.len() + 1));
    }

    fn turn(&mut self, rules: &Rules<'_>, answer: ModelAnswer) {
        self.totals.turns += 1;
        if let Some(problem) = answer.unreadable {
            self.protocol_faults += 1;
            let said = if answer.text.trim().is_empty() { "(no answer)" } else { &answer.text };
            self.conversation.messages.push(Message::assistant(said));
            if self.protocol_faults > PROTOCOL_REPAIRS {
                self.words = answer.text;
                self.end(StopReason::InvalidOutput, Some(problem), None);
                return;
            }
            self.conversation.messages.push(Message::user(format!(
                "That answer cannot be read: {problem}. Write exactly one JSON object, as the instructions say."
            )));
            self.go_on(rules);
            return;
        }
        self.protocol_faults = 0;
        if answer.calls.is_empty() {
            self.conversation.messages.push(said(&answer));
            self.words.clone_from(&answer.text);
            self.final_answer(rules);
            return;
        }
        self.conversation.messages.push(said(&answer));
        self.words.clone_from(&answer.text);
        let turn = self.totals.turns;
        let planned: Vec<PlannedCall> = (1..)
            .zip(answer.calls)
            .map(|(position, call)| self.planned(rules, turn, position, call))
            .collect();
        self.phase = if planned.iter().any(|call| call.asks) {
            Phase::Approve(planned)
        } else {
            Phase::Call(planned)
        };
    }

    /// What becomes of one call.
    fn planned(
        &mut self,
        rules: &Rules<'_>,
        turn: u32,
        position: u32,
        call: ToolCall,
    ) -> PlannedCall {
        let limits = &rules.plan.request.limits;
        let mut planned = PlannedCall {
            turn,
            position,
            tool: shown_name(&call.name),
            arguments: call.arguments.clone(),
            wait_ms: 0,
            answer: None,
            asks: false,
            call,
            key: String::new(),
        };
        if position > limits.calls_per_turn {
            let text = format!(
                "not called: at most {} calls may be made at once; make it again with the next answer",
                limits.calls_per_turn
            );
            planned.answer = Some(CallAnswer::own(CallStatus::Skipped, text));
            return planned;
        }
        let used = self.calls.len() + usize::try_from(position).unwrap_or(usize::MAX);
        if used > usize::try_from(limits.tool_calls).unwrap_or(usize::MAX) {
            let text =
                format!("not called: all {} calls of this run are used up", limits.tool_calls);
            planned.answer = Some(CallAnswer::own(CallStatus::Skipped, text));
            self.close(
                StopReason::MaxToolCalls,
                format!("all {} calls were used", limits.tool_calls),
            );
            return planned;
        }
        let Some(tool) = rules.tool(&planned.call.name) else {
            planned.answer = Some(CallAnswer::own(
                CallStatus::Unknown,
                unknown_tool(&planned.tool, &rules.plan.tools),
            ));
            planned.key.clone_from(&planned.tool);
            return planned;
        };
        planned.tool.clone_from(&tool.name);
        match arguments(tool, &planned.call.arguments) {
            Ok(arguments) => planned.arguments = arguments,
            Err(problem) => {
                planned.answer = Some(CallAnswer::own(CallStatus::InvalidArguments, problem));
                return planned;
            }
        }
        let mut key = format!("{} ", tool.name);
        canonical(&planned.arguments, &mut key, 0);
        planned.key = crate::storage::blobs::sha256_hex(key.as_bytes()).0;
        match self.watch.before(&planned.key, &tool.name) {
            Verdict::Make { wait_ms } => planned.wait_ms = wait_ms,
            Verdict::Repeat(answer) => {
                planned.answer = Some(answer);
                return planned;
            }
        }
        planned.asks = rules.asks(tool) && !self.allowed.contains(&tool.name);
        planned
    }

    /// Judges an answer without calls.
    fn final_answer(&mut self, rules: &Rules<'_>) {
        let request = &rules.plan.request;
        let mut output = None;
        if let Some(schema) = &request.response_schema {
            match structured(&self.words, schema) {
                Ok(value) => output = Some(value),
                Err(faults) => {
                    self.answer_faults += 1;
                    if self.answer_faults > ANSWER_REPAIRS {
                        self.end(StopReason::InvalidOutput, Some(faults.join("; ")), None);
                        return;
                    }
                    self.conversation.messages.push(Message::user(format!(
                        "That answer does not have the form that is asked for:\n- {}\nWrite the whole JSON value again with this put right, and nothing before or behind it.",
                        faults.join("\n- ")
                    )));
                    self.go_on(rules);
                    return;
                }
            }
        }
        let missing: Vec<&str> = request
            .retry
            .checks
            .iter()
            .filter(|pattern| {
                !self.calls.iter().any(|call| call.status.is_ok() && fits(pattern, &call.tool))
            })
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            let names = missing.join("`, `");
            if self.retries >= request.retry.max_retries {
                let detail = format!("no call of `{names}` succeeded");
                self.end(StopReason::ToolFailed, Some(detail), output);
                return;
            }
            self.retries += 1;
            self.conversation.messages.push(Message::user(format!(
                "This is not done yet: a call of `{names}` has to succeed first. Make it, then answer."
            )));
            self.go_on(rules);
            return;
        }
        self.end(StopReason::Answered, None, output);
    }

    /// To the next question, or to the end when a limit is reached.
    fn go_on(&mut self, rules: &Rules<'_>) {
        let limits = &rules.plan.request.limits;
        if let Some(reason) = self.watch.tripped() {
            let reason = reason.to_owned();
            self.close(StopReason::LoopGuard, reason);
        }
        let totals = &self.totals;
        let used = totals.input_tokens + totals.output_tokens;
        let next = self.next_size(rules);
        #[expect(clippy::cast_precision_loss, reason = "a run is far shorter than 2^52 ms")]
        let seconds = totals.active_ms as f64 / 1000.0;
        if totals.turns >= limits.turns {
            self.close(StopReason::MaxTurns, format!("all {} turns were used", limits.turns));
        } else if used.saturating_add(next) > limits.tokens {
            self.close(
                StopReason::TokenLimit,
                format!("{used} tokens were used, the next question has about {next}, and {} are allowed", limits.tokens),
            );
        } else if let Some(most) = limits.cost_usd
            && totals.cost_usd >= most
        {
            self.close(StopReason::CostLimit, format!("the cost reached ${most}"));
        } else if seconds >= limits.run_s {
            self.close(StopReason::TimeLimit, format!("the run took {} s", limits.run_s));
        }
        if self.closing.is_some() {
            self.phase = Phase::Ask(AskKind::Closing);
            return;
        }
        self.phase = Phase::Ask(AskKind::Turn);
        if is_full(next, rules.window()) {
            if self.conversation.shorten_old() {
                self.measured = None;
            }
            if is_full(self.next_size(rules), rules.window())
                && self.conversation.old_turns().is_some()
            {
                self.phase = Phase::Ask(AskKind::Summary);
            }
        }
    }

    /// Estimate of the tokens of the next question.
    fn next_size(&self, rules: &Rules<'_>) -> u64 {
        match self.measured {
            Some((tokens, messages)) => tokens + self.conversation.tokens_from(messages),
            None => self.conversation.tokens_from(0) + rules.around,
        }
    }

    fn close(&mut self, stop: StopReason, detail: String) {
        self.closing.get_or_insert((stop, detail));
    }

    fn end(&mut self, stop: StopReason, detail: Option<String>, output: Option<Value>) {
        let answer = self.words.trim().to_owned();
        self.phase = Phase::Over(Box::new(Ending { stop, detail, answer, output }));
    }
}

/// An answer as a message, with the state that its vendor wants back.
fn said(answer: &ModelAnswer) -> Message {
    let state = answer.states.iter().cloned().map(Part::ThoughtSignature);
    let text = Some(answer.text.clone()).filter(|text| !text.trim().is_empty()).map(Part::Text);
    let calls = answer.calls.iter().cloned().map(Part::ToolCall);
    Message { role: Role::Assistant, parts: state.chain(text).chain(calls).collect() }
}

#[cfg(test)]
mod tests;
