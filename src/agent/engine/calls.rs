//! Making calls: each a step of the job, written down before it goes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::approval::Approvals;
use super::content::{Beside, beside};
use super::plan::{FrozenOrigin, FrozenPlan, FrozenTool, OnInterrupted};
use super::results::{
    CallAnswer, CallStatus, digest, head_and_tail, is_pending, links, readable, short_form,
};
use super::state::{Decision, PlannedCall};
use crate::agent::event::{EventKind, ShownPicture};
use crate::agent::runs::EventLog;
use crate::agent::trace::{scrubbed, shown_arguments};
use crate::error::ErrorKind;
use crate::jobs::{Failure, ProgressSink, Run};
use crate::prompts::data_block;
use crate::registry::{CallContext, CallOutcome, Caller, Grant, Origin, Terms, Within};
use crate::storage::CallId;
use crate::storage::blobs::Blobs;

/// The tool of the loop that reads on in a kept result.
pub(super) const READ_RESULT: &str = "read_result";
/// How deep calls may lie inside each other.
const DEPTH: u32 = 5;
/// Shortest time between two reports of one call's progress.
const REPORT_PAUSE: Duration = Duration::from_millis(500);
/// Further tries of a call that only reads, when what it needs is away.
const TRIES: u32 = 2;
/// How often a call that another attempt of the run had begun is waited for.
const REATTACHMENTS: u32 = 8;
/// Bytes of a result that its event shows.
const HEAD: usize = 4_000;

/// What calls are made with.
pub(super) struct CallParts<'a> {
    pub(super) caller: &'a Caller,
    pub(super) blobs: &'a Blobs,
    pub(super) plan: &'a FrozenPlan,
    pub(super) run: &'a Run,
    pub(super) log: &'a EventLog,
    pub(super) approvals: Approvals<'a>,
}

/// Makes the calls of a run.
pub(super) struct Calls<'a> {
    caller: &'a Caller,
    blobs: &'a Blobs,
    plan: &'a FrozenPlan,
    run: &'a Run,
    log: &'a EventLog,
    approvals: Approvals<'a>,
    delimiter: String,
    grant: Grant,
    names: BTreeSet<String>,
    places: Semaphore,
    servers: Mutex<BTreeMap<String, Arc<Server>>>,
}

/// Places on one other server.
struct Server {
    places: Semaphore,
    /// Calls that may change something go one after the other.
    writes: tokio::sync::Mutex<()>,
}

/// Written before a call goes out.
#[derive(Serialize, Deserialize)]
struct Begun {
    attempt: i64,
}

impl<'a> Calls<'a> {
    pub(super) fn new(parts: CallParts<'a>) -> Self {
        let CallParts { caller, blobs, plan, run, log, approvals } = parts;
        let limits = &plan.request.limits;
        let grant = Grant::new(Terms {
            holder: format!("run:{}", run.job_id()),
            origin: Origin::Workflow,
            calls: None,
            calls_per_minute: None,
            concurrent_calls: 64,
            call_time: Duration::from_secs_f64(limits.call_s),
            tokens_per_day: None,
            argument_bytes: 4 * 1024 * 1024,
            result_bytes: 64 * 1024 * 1024,
            depth: DEPTH,
        });
        Self {
            caller,
            blobs,
            plan,
            run,
            log,
            approvals,
            delimiter: run.delimiter(),
            grant,
            names: plan.tools.iter().map(|tool| tool.name.clone()).collect(),
            places: Semaphore::new(usize::try_from(limits.parallel_calls).unwrap_or(1)),
            servers: Mutex::default(),
        }
    }

    /// Makes the calls of one answer, several at a time; the answers come in call order.
    ///
    /// # Errors
    /// When the job has to stop, or its store fails.
    pub(super) async fn make_all(&self, calls: &[PlannedCall]) -> Result<Vec<CallAnswer>, Failure> {
        futures::future::try_join_all(calls.iter().map(|call| self.make(call))).await
    }

    async fn make(&self, call: &PlannedCall) -> Result<CallAnswer, Failure> {
        let step = format!("call#{}.{}", call.turn, call.position);
        if let Some(answer) = self.run.stored::<CallAnswer>(&step).await? {
            self.tell_finished(call, &answer);
            return Ok(answer);
        }
        if let Some(answer) = &call.answer {
            // Decided by the machine, which decides the same way again.
            self.tell_started(call);
            self.tell_finished(call, answer);
            return Ok(answer.clone());
        }
        let tool = self.plan.tools.iter().find(|tool| tool.name == call.tool);
        let begun = format!("{step}/begun");
        let earlier: Option<Begun> = self.run.stored(&begun).await?;
        let refused = match (tool, &earlier) {
            (Some(tool), Some(_)) if !self.may_repeat(tool) => self.cut_off(tool, call).await?,
            _ => None,
        };
        let answer = match (tool, refused) {
            (None, _) => CallAnswer::own(CallStatus::Unknown, "there is no such tool any more"),
            (Some(_), Some(answer)) => answer,
            (Some(tool), None) => {
                let server = tool.server.as_deref().map(|name| self.server(name));
                // Neither is ever closed.
                let _place = self.places.acquire().await.ok();
                let _server_place = match &server {
                    Some(server) => server.places.acquire().await.ok(),
                    None => None,
                };
                let _write = match &server {
                    Some(server) if !tool.reads_only => Some(server.writes.lock().await),
                    Some(_) | None => None,
                };
                if earlier.is_none() {
                    let attempt = self.run.fence().attempt;
                    self.run.store(&begun, &Begun { attempt }).await?;
                }
                self.tell_started(call);
                tokio::time::sleep(Duration::from_millis(call.wait_ms)).await;
                self.call(tool, call).await
            }
        };
        self.run.store(&step, &answer).await?;
        self.tell_finished(call, &answer);
        Ok(answer)
    }

    /// Whether a call that was cut off may be made again.
    fn may_repeat(&self, tool: &FrozenTool) -> bool {
        tool.reads_only
            || tool.idempotent
            || tool.resumes
            || self.plan.request.on_interrupted == OnInterrupted::Rerun
    }

    /// The answer to a call that was cut off and is not made again; `None` when a person wants it
    /// made again.
    async fn cut_off(
        &self,
        tool: &FrozenTool,
        call: &PlannedCall,
    ) -> Result<Option<CallAnswer>, Failure> {
        if self.plan.request.on_interrupted != OnInterrupted::Ask {
            return Ok(Some(interrupted(tool)));
        }
        Ok(match self.approvals.again(call).await? {
            Some(Decision::Allow | Decision::AllowForRun) => None,
            Some(Decision::Deny { reason }) => {
                let mut answer = interrupted(tool);
                let said = readable(reason.trim());
                let said = format!("\nThe user does not want it made again: {said}");
                answer.shown.push_str(&said);
                answer.short.push_str(&said);
                Some(answer)
            }
            None => Some(interrupted(tool)),
        })
    }

    fn server(&self, name: &str) -> Arc<Server> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let places = self.plan.request.limits.parallel_per_server;
        let server = servers.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Server {
                places: Semaphore::new(usize::try_from(places).unwrap_or(1)),
                writes: tokio::sync::Mutex::new(()),
            })
        });
        Arc::clone(server)
    }

    fn tell_started(&self, call: &PlannedCall) {
        self.log.tell(EventKind::CallStarted {
            turn: call.turn,
            position: call.position,
            tool: call.tool.clone(),
            arguments: shown_arguments(&call.arguments),
        });
    }

    fn tell_finished(&self, call: &PlannedCall, answer: &CallAnswer) {
        let end = answer.shown.floor_char_boundary(HEAD);
        self.log.tell(EventKind::CallFinished {
            turn: call.turn,
            position: call.position,
            tool: call.tool.clone(),
            status: answer.status,
            call_id: answer.call_id.clone(),
            ms: answer.ms,
            head: scrubbed(answer.shown.get(..end).unwrap_or_default()),
            links: answer.links.clone(),
            pictures: answer.pictures.iter().map(ShownPicture::of).collect(),
        });
    }

    async fn call(&self, tool: &FrozenTool, call: &PlannedCall) -> CallAnswer {
        let began = Instant::now();
        let mut answer = if tool.name == READ_RESULT {
            self.read_result(&call.arguments).await
        } else {
            self.call_tool(tool, call).await
        };
        answer.ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        answer
    }

    async fn call_tool(&self, tool: &FrozenTool, call: &PlannedCall) -> CallAnswer {
        let key = format!("run/{}/{}.{}", self.run.job_id(), call.turn, call.position);
        let mut pause = Duration::from_millis(200);
        let mut tries = 0;
        let mut reattachments = 0;
        loop {
            let inside =
                Within { context: self.context(), key: key.clone(), progress: self.progress(call) };
            let outcome = self
                .caller
                .call_within(
                    &self.grant,
                    Some(&self.names),
                    &tool.name,
                    call.arguments.clone(),
                    inside,
                )
                .await;
            let code = outcome.structured.get("code").and_then(Value::as_str);
            // The job of an earlier attempt had to be given up first; now it can be gone on with.
            if outcome.is_error
                && tool.resumes
                && code == Some("interrupted")
                && reattachments < REATTACHMENTS
            {
                reattachments += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
            if outcome.error_kind == Some(ErrorKind::Unavailable)
                && (tool.reads_only || tool.idempotent)
                && code != Some("no_language_model")
                && tries < TRIES
            {
                tries += 1;
                tokio::time::sleep(pause).await;
                pause *= 4;
                continue;
            }
            let id = outcome.call_id.as_ref().map(ToString::to_string);
            let beside = beside(self.blobs, &tool.name, &outcome, id.as_deref()).await;
            return self.answer(tool, &outcome, beside);
        }
    }

    /// The circumstances of a call: nobody reads a question that it asks.
    fn context(&self) -> CallContext {
        let outer = self.run.context();
        let mut models = outer.models.clone();
        models.host_completion = false;
        models.sampling_by_retry = false;
        let origin = match self.plan.origin {
            FrozenOrigin::Person => outer.origin,
            FrozenOrigin::Code => outer.origin.narrower(Origin::Code),
            FrozenOrigin::Page => outer.origin.narrower(Origin::Page),
        };
        CallContext {
            models,
            origin,
            progress: ProgressSink::none(),
            cancel: self.run.cancel().clone(),
            idempotency_key: None,
            answer_budget: None,
            ..outer.clone()
        }
    }

    fn progress(&self, call: &PlannedCall) -> ProgressSink {
        let (log, run) = (self.log.clone(), self.run.clone());
        let (turn, position) = (call.turn, call.position);
        let tool = call.tool.clone();
        let turns = self.plan.request.limits.turns;
        let last = Mutex::new(None::<Instant>);
        ProgressSink::new(move |progress| {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|last| last.elapsed() < REPORT_PAUSE) {
                return;
            }
            *last = Some(Instant::now());
            drop(last);
            let message = readable(&progress.message);
            // The figure of the run is its turns; what a call says of itself is told in words.
            let said = if message.is_empty() { "at work" } else { &message };
            let told = format!("turn {turn} of at most {turns}: {tool}: {said}");
            run.progress(f64::from(turn), Some(f64::from(turns)), told);
            log.tell(EventKind::CallProgress {
                turn,
                position,
                value: progress.value,
                total: progress.total,
                message,
            });
        })
    }

    /// What the model gets to see.
    fn answer(&self, tool: &FrozenTool, outcome: &CallOutcome, beside: Beside) -> CallAnswer {
        let code = outcome.structured.get("code").and_then(Value::as_str).map(str::to_owned);
        let waits =
            outcome.structured.get("status").and_then(Value::as_str) == Some("needs_completion");
        let status = match (outcome.is_error, code.as_deref()) {
            (false, _) if waits => CallStatus::Failed,
            (false, _) => CallStatus::Ok,
            (true, Some("unknown_tool")) => CallStatus::Unknown,
            (true, Some("invalid_arguments" | "unknown_reference")) => CallStatus::InvalidArguments,
            (true, Some("call_timeout")) => CallStatus::TimedOut,
            (true, _) => CallStatus::Failed,
        };
        let call_id = outcome.call_id.as_ref().map(ToString::to_string);
        let mut text = if waits {
            json!({
                "status": "error",
                "code": "no_language_model",
                "message": "the tool needs a text that nobody is here to write",
                "hint": "write the content yourself and pass it as an argument, such as `html`",
            })
            .to_string()
        } else {
            beside.structured.to_string()
        };
        text.push_str(&beside.words);
        let shown = self.framed(&readable(&text), call_id.as_deref(), status);
        let short = short_form(&tool.name, &outcome.structured, call_id.as_deref());
        CallAnswer {
            status,
            short: self.block(&readable(&short), status),
            shown,
            digest: digest(&outcome.structured),
            call_id,
            ms: 0,
            is_pending: status.is_ok() && is_pending(&outcome.structured),
            code,
            links: if status.is_ok() { links(&tool.name, &outcome.structured) } else { Vec::new() },
            pictures: beside.pictures,
        }
    }

    /// A text cut to size, between marks.
    fn framed(&self, text: &str, call_id: Option<&str>, status: CallStatus) -> String {
        let cut = head_and_tail(text, self.plan.request.limits.result_bytes, call_id);
        self.block(&cut, status)
    }

    fn block(&self, text: &str, status: CallStatus) -> String {
        let label = if status.is_ok() { "result" } else { "error" };
        data_block(text, label, &self.delimiter)
    }

    /// Reads on in the kept result of an earlier call.
    async fn read_result(&self, arguments: &Value) -> CallAnswer {
        let text = |key: &str| arguments.get(key).and_then(Value::as_str).unwrap_or_default();
        let id = CallId(text("call_id").trim().to_ascii_lowercase());
        let principal = &self.run.context().principal;
        let failed = |text: &str| {
            CallAnswer::own(CallStatus::Failed, self.block(&readable(text), CallStatus::Failed))
        };
        let whole = match self.caller.result(principal, &id).await {
            Ok(whole) => whole,
            Err(error) => return failed(&error.to_json().to_string()),
        };
        let mut value = &whole;
        for segment in text("path").split("__").filter(|segment| !segment.is_empty()) {
            let next = match value {
                Value::Array(items) => segment.parse().ok().and_then(|at: usize| items.get(at)),
                _ => value.get(segment),
            };
            let Some(next) = next else {
                let shape = super::results::shape(value);
                return failed(&format!("there is nothing at `{segment}`; here is {shape}"));
            };
            value = next;
        }
        let whole = match value {
            Value::String(text) => text.clone(),
            other => format!("{other:#}"),
        };
        let offset = arguments.get("offset").and_then(Value::as_u64).unwrap_or(0);
        let start = whole
            .ceil_char_boundary(usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len()));
        let room = self.plan.request.limits.result_bytes.saturating_sub(200).max(300);
        let end = whole.floor_char_boundary((start + room).min(whole.len()));
        let piece = whole.get(start..end).unwrap_or_default();
        let head = if end < whole.len() {
            format!("[bytes {start} to {end} of {}; go on with offset {end}]\n", whole.len())
        } else {
            format!("[bytes {start} to {end} of {}]\n", whole.len())
        };
        let shown = self.block(&readable(&format!("{head}{piece}")), CallStatus::Ok);
        let short = format!("[a piece of the result of call {id}]");
        CallAnswer { short, ..CallAnswer::own(CallStatus::Ok, shown) }
    }
}

/// The answer to a call of which nobody knows whether it had its effect.
fn interrupted(tool: &FrozenTool) -> CallAnswer {
    CallAnswer::own(
        CallStatus::Interrupted,
        format!(
            "interrupted: the program ended while `{}` ran, and nobody knows whether the call had its effect. Find out what is there before you make it again.",
            tool.alias
        ),
    )
}
