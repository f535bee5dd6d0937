//! Does what the machine says, as steps of a job.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::approval::Approvals;
use super::calls::{CallParts, Calls};
use super::machine::{FORMAT, Machine};
use super::plan::{FrozenOrigin, FrozenPlan, RunRequest};
use super::requests::Questions;
use super::rules::Rules;
use super::state::{
    Action, AskKind, CallRecord, Ending, ModelAnswer, ModelFailure, PlannedCall, Totals,
};
use super::text_protocol::{self, Reading};
use crate::agent::event::EventKind;
use crate::agent::runs::{EventLog, RunId, Runs};
use crate::error::{ErrorKind, ToolError};
use crate::jobs::{Ask, Failure, ModelAtHand, Run};
use crate::llm::guard::Growth;
use crate::llm::{Outcome, Part, Role, Route};
use crate::prompts::Prompts;
use crate::registry::{CallContext, Caller, Origin};
use crate::storage::blobs::Blobs;

/// Longest wait with a piece of text in hand.
const TEXT_WAIT: Duration = Duration::from_millis(30);

/// What an engine works with.
pub struct EngineParts {
    /// Calls tools.
    pub caller: Caller,
    /// Prompts.
    pub prompts: Arc<Prompts>,
    /// Where runs are kept.
    pub runs: Runs,
    /// Where pictures of results are kept.
    pub blobs: Blobs,
}

/// Carries runs out.
pub struct Engine {
    parts: EngineParts,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Its name.
    pub run: RunId,
    /// How it ended.
    pub ending: Ending,
    /// Calls, in order.
    pub calls: Vec<CallRecord>,
    /// What it used.
    pub totals: Totals,
    /// Model that answered last; `None` when a host did.
    pub model_used: Option<String>,
    /// How it was reached.
    pub route: Option<Route>,
    /// Why another model than the one asked for answered.
    pub model_note: Option<String>,
}

/// A failure of a model call that the run goes on from, kept so that a later attempt goes the
/// same way.
#[derive(Serialize, Deserialize)]
struct StoredFailure {
    code: String,
    message: String,
}

/// Tells the run's followers when it is dropped in the middle.
struct Watchdog<'a> {
    log: &'a EventLog,
    run: &'a Run,
    armed: bool,
}

impl Drop for Watchdog<'_> {
    fn drop(&mut self) {
        if self.armed {
            let reason = if self.run.cancel().is_cancelled() { "cancelled" } else { "interrupted" };
            self.log.tell(EventKind::Stopped { reason: reason.to_owned() });
        }
    }
}

impl Engine {
    /// An engine.
    pub const fn new(parts: EngineParts) -> Self {
        Self { parts }
    }

    pub(super) const fn caller(&self) -> &Caller {
        &self.parts.caller
    }

    pub(super) fn prompts(&self) -> &Prompts {
        &self.parts.prompts
    }

    /// Where runs are kept.
    pub const fn runs(&self) -> &Runs {
        &self.parts.runs
    }

    /// Carries a run out, or goes on with it where an earlier attempt stopped.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while a host writes the next answer; else why the run could not end.
    pub async fn run(&self, run: &Run, request: RunRequest) -> Result<Report, Failure> {
        let plan = self.plan(run, request).await?;
        let log = self.parts.runs.log(&plan.request.run)?;
        self.parts.runs.claim(&plan.request.run, &run.context().principal, run.job_id());
        if log.last() > 0 {
            log.tell(EventKind::Resumed { attempt: run.fence().attempt });
        }
        log.tell(started(run, &plan));
        let mut watchdog = Watchdog { log: &log, run, armed: true };
        let result = self.drive(run, &plan, &log).await;
        watchdog.armed = false;
        match &result {
            Ok(report) => log.tell(EventKind::Done {
                stop_reason: report.ending.stop,
                detail: report.ending.detail.clone(),
                answer: report.ending.answer.clone(),
                output: report.ending.output.clone(),
                totals: report.totals,
            }),
            Err(Failure::Error(error)) if error.kind == ErrorKind::Cancelled => {
                log.tell(EventKind::Stopped { reason: "cancelled".to_owned() });
            }
            Err(Failure::Error(error)) => log.tell(EventKind::Failed {
                code: error.code.to_string(),
                message: error.message.clone(),
                hint: error.hint.clone(),
            }),
            Err(Failure::Suspend(_)) => {}
        }
        result
    }

    /// The plan as an earlier attempt froze it, or as it is frozen now.
    async fn plan(&self, run: &Run, request: RunRequest) -> Result<FrozenPlan, Failure> {
        let stored: Value = run
            .step::<Value, Failure, _>("plan", || async {
                let model = run.model_at_hand(request.model.as_deref()).await?;
                let plan = self.freeze(run.context(), model, request).await?;
                serde_json::to_value(plan)
                    .map_err(|error| Failure::Error(ToolError::internal(&error)))
            })
            .await?;
        let format = stored.get("format").and_then(Value::as_u64).unwrap_or(0);
        if format != u64::from(FORMAT) {
            return Err(ToolError::new(
                ErrorKind::Conflict,
                "run_format",
                format!("this run was begun by another version of the program (form {format}; this one knows form {FORMAT})"),
            )
            .hint("start it again")
            .into());
        }
        serde_json::from_value(stored).map_err(|error| ToolError::internal(&error).into())
    }

    pub(super) async fn freeze(
        &self,
        context: &CallContext,
        model: ModelAtHand,
        request: RunRequest,
    ) -> Result<FrozenPlan, ToolError> {
        let problems = request.limits.problems();
        if !problems.is_empty() {
            return Err(ToolError::invalid("invalid_limits", problems.join("; "))
                .hint("change the limits of the workflow"));
        }
        if let Some(schema) = &request.response_schema
            && let Err(error) = jsonschema::validator_for(schema)
        {
            return Err(ToolError::invalid(
                "invalid_json_schema",
                format!("`response_schema` is not a usable JSON Schema: {error}"),
            )
            .hint("give one self-contained JSON Schema object"));
        }
        let origin = match context.origin {
            Origin::Page => FrozenOrigin::Page,
            Origin::Code => FrozenOrigin::Code,
            Origin::Client | Origin::Api | Origin::Command | Origin::Workflow => {
                FrozenOrigin::Person
            }
        };
        self.learn(context, &request).await;
        let tools = self.tools(context, &request)?;
        let person_at_hand = context.person.is_some();
        Ok(FrozenPlan { format: FORMAT, request, tools, model, origin, person_at_hand })
    }

    async fn drive(&self, run: &Run, plan: &FrozenPlan, log: &EventLog) -> Result<Report, Failure> {
        let delimiter = run.delimiter();
        let questions = Questions { plan, prompts: &self.parts.prompts, delimiter: &delimiter };
        let rules = Rules::new(plan);
        let approvals = || Approvals { runs: &self.parts.runs, run, plan, log };
        let calls = Calls::new(CallParts {
            caller: &self.parts.caller,
            blobs: &self.parts.blobs,
            plan,
            run,
            log,
            approvals: approvals(),
        });
        let approvals = approvals();
        let mut machine = Machine::new(plan);
        let mut last: Option<Outcome> = None;
        loop {
            match machine.next() {
                Action::CallModel { number, kind } => {
                    report_progress(run, plan, &machine, None);
                    let asked =
                        self.ask(run, plan, log, (&questions, &machine), number, kind).await?;
                    match asked {
                        Ok(outcome) => {
                            let answer = model_answer(&outcome, number, kind, plan);
                            tell_answer(log, number, &outcome, &answer);
                            machine.answered(&rules, answer);
                            last = Some(outcome);
                        }
                        Err(failure) => {
                            machine.failed(&rules, failure).map_err(|failure| give_up(&failure))?;
                        }
                    }
                    log.tell(EventKind::Usage(*machine.totals()));
                }
                Action::Approve(wanted) => {
                    let decisions = approvals.decisions(&wanted).await?;
                    machine.decided(&decisions);
                }
                Action::CallTools(planned) => {
                    report_progress(run, plan, &machine, Some(&planned));
                    let answers = calls.make_all(&planned).await?;
                    let ms = answers.iter().map(|answer| answer.ms).max().unwrap_or(0);
                    machine.called(&rules, answers, ms);
                    self.parts.runs.save_messages(&plan.request.run, machine.messages());
                }
                Action::Done(ending) => {
                    self.parts.runs.save_messages(&plan.request.run, machine.messages());
                    return Ok(Report {
                        run: plan.request.run.clone(),
                        ending: *ending,
                        calls: machine.calls().to_vec(),
                        totals: *machine.totals(),
                        model_used: last.as_ref().and_then(|outcome| outcome.model_used.clone()),
                        route: last.as_ref().map(|outcome| outcome.route),
                        model_note: last.and_then(|outcome| outcome.model_note),
                    });
                }
            }
        }
    }

    /// Asks the model, or takes what it answered to an earlier attempt.
    #[expect(clippy::too_many_arguments, reason = "all that one question depends on")]
    async fn ask(
        &self,
        run: &Run,
        plan: &FrozenPlan,
        log: &EventLog,
        (questions, machine): (&Questions<'_>, &Machine),
        number: u32,
        kind: AskKind,
    ) -> Result<Result<Outcome, ModelFailure>, Failure> {
        let step = format!("turn#{number}");
        let failed = format!("{step}/failed");
        if let Some(outcome) = run.stored::<Outcome>(&step).await? {
            return Ok(Ok(outcome));
        }
        if let Some(failure) = run.stored::<StoredFailure>(&failed).await? {
            return match model_failure(&failure.code, &failure.message, kind) {
                Some(failure) => Ok(Err(failure)),
                None => Err(ToolError::internal("an unknown failure is stored").into()),
            };
        }
        log.tell(EventKind::TurnStarted { number, kind: kind_name(kind).to_owned() });
        let question = questions.question(machine, kind)?;
        let ask = Ask {
            step,
            model: plan.request.model.clone().filter(|model| !model.trim().is_empty()),
            request: question.request,
            as_text: Some(question.as_text),
            attempt: 1,
            max_attempts: plan.request.limits.turns,
            errors: Vec::new(),
        };
        let pieces = Pieces::new(log, number);
        let take = |growth: Growth<'_>| pieces.take(growth);
        let asking = run.complete_and_tell(ask, &take);
        tokio::pin!(asking);
        let asked = loop {
            tokio::select! {
                asked = &mut asking => break asked,
                () = tokio::time::sleep(TEXT_WAIT) => pieces.flush(),
            }
        };
        pieces.flush();
        match asked {
            Ok(outcome) => Ok(Ok(outcome)),
            Err(Failure::Suspend(request)) => {
                log.tell(EventKind::WaitingForHost { number });
                Err(Failure::Suspend(request))
            }
            Err(Failure::Error(error)) => match model_failure(&error.code, &error.message, kind) {
                Some(failure) if error.kind != ErrorKind::Cancelled => {
                    let stored = StoredFailure {
                        code: error.code.to_string(),
                        message: error.message.clone(),
                    };
                    run.store(&failed, &stored).await?;
                    Ok(Err(failure))
                }
                Some(_) | None => Err(Failure::Error(error)),
            },
        }
    }
}

/// Gathers pieces of an answer for a moment, so that the log is not a line for every word.
struct Pieces<'a> {
    log: &'a EventLog,
    number: u32,
    state: Mutex<PieceState>,
}

#[derive(Default)]
struct PieceState {
    text: String,
    thinking: String,
    told: Option<Instant>,
    began: bool,
}

impl<'a> Pieces<'a> {
    fn new(log: &'a EventLog, number: u32) -> Self {
        Self { log, number, state: Mutex::default() }
    }

    fn take(&self, growth: Growth<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match growth {
            Growth::Begins { bytes_before } => {
                if std::mem::replace(&mut state.began, true) {
                    self.tell(&mut state);
                    self.log
                        .tell(EventKind::TextReset { number: self.number, bytes: bytes_before });
                }
                return;
            }
            Growth::Text { piece, .. } => state.text.push_str(piece),
            Growth::Thinking(piece) => state.thinking.push_str(piece),
        }
        if state.told.is_none_or(|told| told.elapsed() >= TEXT_WAIT) {
            self.tell(&mut state);
        }
    }

    fn flush(&self) {
        self.tell(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn tell(&self, state: &mut PieceState) {
        let number = self.number;
        if !state.thinking.is_empty() {
            let delta = std::mem::take(&mut state.thinking);
            self.log.tell(EventKind::Thinking { number, delta });
            state.told = Some(Instant::now());
        }
        if !state.text.is_empty() {
            let delta = std::mem::take(&mut state.text);
            self.log.tell(EventKind::Text { number, delta });
            state.told = Some(Instant::now());
        }
    }
}

fn started(run: &Run, plan: &FrozenPlan) -> EventKind {
    let last = plan.request.messages.iter().rfind(|message| message.role == Role::User);
    let texts = last.into_iter().flat_map(|message| &message.parts).filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::File { .. }
        | Part::StoredFile(_)
        | Part::ToolCall(_)
        | Part::ToolResult { .. }
        | Part::ThoughtSignature(_) => None,
    });
    let query: String = texts.collect::<Vec<_>>().join("\n").chars().take(8000).collect();
    EventKind::Started {
        principal: run.context().principal.as_str().to_owned(),
        title: plan.request.title.clone(),
        job_id: run.job_id().as_str().to_owned(),
        query,
        model: plan.model.id.clone(),
        route: plan.model.route.as_str().to_owned(),
        turns: plan.request.limits.turns,
        tools: plan.tools.iter().map(|tool| tool.name.clone()).collect(),
    }
}

fn report_progress(run: &Run, plan: &FrozenPlan, machine: &Machine, calls: Option<&[PlannedCall]>) {
    let turns = plan.request.limits.turns;
    let turn = machine.totals().turns + 1;
    let message = match calls {
        None => format!("turn {turn} of at most {turns}: the model answers"),
        Some(calls) => {
            let mut names: Vec<&str> = calls.iter().map(|call| call.tool.as_str()).collect();
            names.truncate(3);
            format!(
                "turn {} of at most {turns}: {} calls ({})",
                machine.totals().turns,
                calls.len(),
                names.join(", ")
            )
        }
    };
    run.progress(f64::from(turn.min(turns)), Some(f64::from(turns)), message);
}

fn tell_answer(log: &EventLog, number: u32, outcome: &Outcome, answer: &ModelAnswer) {
    log.tell(EventKind::TurnFinished {
        number,
        text: answer.text.clone(),
        calls: answer.calls.iter().map(|call| call.name.clone()).collect(),
        model: outcome.model_used.clone(),
        input_tokens: outcome.usage.input_tokens,
        output_tokens: outcome.usage.output_tokens,
        cost_usd: outcome.cost_usd,
        ms: outcome.elapsed_ms,
    });
}

/// What the machine gets to know of an answer. Whoever answers in text alone writes calls as text.
fn model_answer(outcome: &Outcome, number: u32, kind: AskKind, plan: &FrozenPlan) -> ModelAnswer {
    let mut answer = ModelAnswer {
        text: outcome.text.clone(),
        calls: outcome.calls.clone(),
        states: outcome.thought_signatures.clone(),
        usage: outcome.usage,
        cost_usd: outcome.cost_usd,
        ms: outcome.elapsed_ms,
        unreadable: None,
    };
    if kind == AskKind::Summary || !outcome.calls.is_empty() {
        return answer;
    }
    let (may_be_text, must_be_text) = match outcome.route {
        Route::Host | Route::Command => (true, kind == AskKind::Turn),
        Route::Sampling => (true, false),
        Route::Api | Route::Local => (false, false),
    };
    if !may_be_text {
        return answer;
    }
    match text_protocol::read(&outcome.text, number) {
        Ok(Reading::Final(text)) => answer.text = text,
        Ok(Reading::Calls { calls, note }) if kind == AskKind::Turn => {
            answer.calls = calls;
            answer.text = note;
        }
        Ok(Reading::Calls { note, .. }) => answer.text = note,
        Err(problem) => {
            // A value that fits the schema is an answer, however it comes.
            let is_answer = plan
                .request
                .response_schema
                .as_ref()
                .is_some_and(|schema| super::answer::structured(&outcome.text, schema).is_ok());
            answer.unreadable = (must_be_text && !is_answer).then_some(problem);
        }
    }
    answer
}

/// Failures that a run can end or go on with. While it is being closed, every one.
fn model_failure(code: &str, message: &str, kind: AskKind) -> Option<ModelFailure> {
    let message = message.to_owned();
    match code {
        "refused" => Some(ModelFailure::Refused(message)),
        "incomplete" => Some(ModelFailure::Truncated(message)),
        "context_overflow" => Some(ModelFailure::TooLong(message)),
        "cancelled" => None,
        _ => (kind == AskKind::Closing).then_some(ModelFailure::Truncated(message)),
    }
}

fn give_up(failure: &ModelFailure) -> Failure {
    let (code, message) = match failure {
        ModelFailure::Refused(message) => ("refused", message),
        ModelFailure::Truncated(message) => ("incomplete", message),
        ModelFailure::TooLong(message) => ("context_overflow", message),
    };
    ToolError::new(ErrorKind::Invalid, code, message.clone())
        .hint("ask for less at a time, or name a model that reads more")
        .into()
}

const fn kind_name(kind: AskKind) -> &'static str {
    match kind {
        AskKind::Turn => "turn",
        AskKind::Closing => "closing",
        AskKind::Summary => "summary",
    }
}
