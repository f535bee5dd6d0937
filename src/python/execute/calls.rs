//! Serving the calls that code makes.
//!
//! Each goes through the registry under a grant, as a call made by code: rights, schemas, references,
//! depth and what is closed to code are checked there. What one run may do in all is counted here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::model::RunSettings;
use crate::error::ToolError;
use crate::jobs::{ProgressSink, Run};
use crate::registry::{
    CallContext, CallOutcome, Caller, DEFAULT_USER, Grant, OpenQuestion, Origin, Terms,
};
use crate::sandbox::{AiQuestion, CallFailure, Reply, ToolCall};

/// The tool behind `_call_ai`.
pub(super) const ASK_TOOL: &str = "ask_ai";
/// Argument that names a user.
const USER_ARGUMENT: &str = "user_number";
/// How deep calls may lie inside each other: code may run code that runs code.
pub(super) const DEPTH: u32 = 3;
/// Bytes of one call's arguments: what a frame of the sandbox holds.
const ARGUMENT_BYTES: usize = 1 << 20;
/// Bytes of one result.
const RESULT_BYTES: usize = 4 << 20;

/// What one run may still do. Counts live as long as the run.
pub(super) struct Budget {
    grant: Grant,
    tools: Count,
    questions: Count,
    places: Semaphore,
}

/// Something that may be done so often.
struct Count {
    used: AtomicU64,
    most: u64,
    what: &'static str,
}

/// Answers the calls of one run.
#[derive(Clone)]
pub(super) struct CallServer {
    caller: Caller,
    budget: Arc<Budget>,
    context: CallContext,
    /// Names that the code may call, where its caller limited them.
    allowed: Option<Arc<BTreeSet<String>>>,
    closed: Arc<BTreeSet<String>>,
    user: String,
}

/// What a call came to.
#[derive(Debug)]
pub(super) enum Came {
    /// An answer, with the id under which its result is kept.
    Reply(Reply, Option<String>),
    /// A question that the host has to answer first.
    Question(Box<OpenQuestion>),
}

/// Which of the two functions the code called: it decides what the code gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    /// `_call_mcp_tool`.
    Tool,
    /// `_call_ai`.
    Ask,
}

impl Budget {
    pub(super) fn new(holder: String, settings: &RunSettings, time: Duration) -> Self {
        let grant = Grant::new(Terms {
            holder,
            origin: Origin::Code,
            // Counted here, so that refused calls do not count twice.
            calls: None,
            calls_per_minute: None,
            concurrent_calls: settings.concurrent_calls,
            // The run ends first, and its calls with it.
            call_time: time + Duration::from_secs(30),
            tokens_per_day: None,
            argument_bytes: ARGUMENT_BYTES,
            result_bytes: RESULT_BYTES,
            depth: DEPTH,
        });
        Self {
            grant,
            tools: Count::new(settings.tool_calls, "calls of tools"),
            questions: Count::new(settings.ai_calls, "questions to a model"),
            places: Semaphore::new(settings.concurrent_calls.max(1)),
        }
    }
}

impl Count {
    const fn new(most: u64, what: &'static str) -> Self {
        Self { used: AtomicU64::new(0), most, what }
    }

    fn take(&self) -> Result<(), CallFailure> {
        let Self { used, most, what } = self;
        let step = |count: u64| (count < *most).then_some(count + 1);
        if used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).is_ok() {
            Ok(())
        } else {
            let message = format!("one run may make {most} {what}, and all are used up");
            Err(failure("too_many_calls", message, "do more with each call"))
        }
    }
}

impl CallServer {
    /// Serves calls for the caller of this job.
    ///
    /// # Errors
    /// When there is no registry.
    pub(super) fn new(
        caller: Caller,
        budget: Budget,
        run: &Run,
        user: Option<&str>,
        allowed: Option<BTreeSet<String>>,
        settings: &RunSettings,
    ) -> Result<Self, ToolError> {
        let user = run.context().user.as_deref().or(user).unwrap_or(DEFAULT_USER).to_owned();
        let ledger = caller.ledger(&run.context().principal)?;
        Ok(Self {
            caller,
            budget: Arc::new(budget),
            context: CallContext { ledger: Some(ledger), ..inner_context(run, &user) },
            allowed: allowed.map(Arc::new),
            closed: Arc::new(settings.closed_tools.clone()),
            user,
        })
    }

    /// The same for whoever takes the run up again: rights and models are theirs.
    pub(super) fn taken_up_by(&self, run: &Run) -> Self {
        let ledger = self.context.ledger.clone();
        let context = CallContext { ledger, ..inner_context(run, &self.user) };
        Self { context, ..self.clone() }
    }

    /// Writes down what the calls so far resulted in: their ids are about to be told.
    pub(super) async fn settle(&self) -> Result<(), ToolError> {
        match &self.context.ledger {
            Some(ledger) => ledger.close().await,
            None => Ok(()),
        }
    }

    /// Calls a tool for the code.
    pub(super) async fn call(&self, call: ToolCall) -> Came {
        let taken =
            self.checked(&call.tool, &call.arguments).and_then(|()| self.budget.tools.take());
        if let Err(failure) = taken {
            return Came::Reply(Err(failure), None);
        }
        let outcome =
            self.granted(&call.tool, Value::Object(call.arguments), self.allowed.as_deref()).await;
        came(outcome, Function::Tool)
    }

    /// Asks a model for the code.
    pub(super) async fn ask(&self, question: AiQuestion) -> Came {
        if let Err(failure) = self.budget.questions.take() {
            return Came::Reply(Err(failure), None);
        }
        let mut arguments = Map::new();
        arguments.insert("prompt".to_owned(), json!(question.prompt));
        if let Some(schema) = question.json_schema.filter(|schema| !schema.is_null()) {
            arguments.insert("json_schema".to_owned(), schema);
        }
        for (name, text) in [("system", question.system), ("model", question.model)] {
            if let Some(text) = text {
                arguments.insert(name.to_owned(), json!(text));
            }
        }
        // A list of tools says nothing about this function.
        let allowed = self.allowed.as_deref().map(|names| {
            let mut names = names.clone();
            names.insert(ASK_TOOL.to_owned());
            names
        });
        let outcome = self.granted(ASK_TOOL, Value::Object(arguments), allowed.as_ref()).await;
        came(outcome, Function::Ask)
    }

    /// Goes on with a call whose question was answered.
    pub(super) async fn answer(
        &self,
        question: &OpenQuestion,
        text: String,
        function: Function,
    ) -> Came {
        let outcome = self
            .caller
            .answer(&self.budget.grant, None, question, text, self.context.clone())
            .await;
        came(outcome, function)
    }

    async fn granted(
        &self,
        tool: &str,
        arguments: Value,
        allowed: Option<&BTreeSet<String>>,
    ) -> CallOutcome {
        // Calls that are made together wait for their turn rather than fail.
        let _place = self.budget.places.acquire().await;
        self.caller.call(&self.budget.grant, allowed, tool, arguments, self.context.clone()).await
    }

    fn checked(&self, tool: &str, arguments: &Map<String, Value>) -> Result<(), CallFailure> {
        if self.closed.contains(tool) {
            return Err(failure(
                "tool_not_allowed",
                format!("`{tool}` may not be called here: code does not create or start servers"),
                "call it from the client, or let the operator set `python.may_manage_servers`",
            ));
        }
        match arguments.get(USER_ARGUMENT) {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(user)) if *user == self.user => Ok(()),
            Some(_) => Err(failure(
                "other_user",
                format!("this run acts for the user `{}` and nobody else", self.user),
                "leave `user_number` out, or run the code with another `caller_user_id`",
            )),
        }
    }
}

/// The circumstances of the calls: those of the run, without what belongs to the run itself.
fn inner_context(run: &Run, user: &str) -> CallContext {
    let outer = run.context();
    let mut models = outer.models.clone();
    // A page has nobody to ask, and a command ends before anybody could answer.
    if matches!(outer.origin, Origin::Page | Origin::Command) {
        models.host_completion = false;
        models.sampling_by_retry = false;
    }
    CallContext {
        models,
        user: Some(user.to_owned()),
        progress: ProgressSink::none(),
        // Calls end when the run does, which outlives the request that began it.
        cancel: tokio_util::sync::CancellationToken::new(),
        idempotency_key: None,
        answer_budget: None,
        ..outer.clone()
    }
}

fn came(mut outcome: CallOutcome, function: Function) -> Came {
    if let Some(question) = outcome.question.take() {
        return Came::Question(question);
    }
    let id = outcome.call_id.as_ref().map(ToString::to_string);
    Came::Reply(reply(outcome, function), id)
}

fn reply(outcome: CallOutcome, function: Function) -> Reply {
    let mut fields = match outcome.structured {
        Value::Object(fields) => fields,
        other => return Ok(other),
    };
    if !outcome.is_error {
        return Ok(match function {
            Function::Tool => Value::Object(fields),
            Function::Ask => fields.shift_remove("answer").unwrap_or_default(),
        });
    }
    let mut text = |key: &str| match fields.shift_remove(key) {
        Some(Value::String(text)) => text,
        Some(_) | None => String::new(),
    };
    let (code, message) = (text("code"), text("message"));
    fields.shift_remove("status");
    if function == Function::Ask && code == "unknown_tool" {
        let message = format!("`_call_ai` needs the tool `{ASK_TOOL}`, which is not offered here");
        return Err(CallFailure::new("tool_not_allowed", message));
    }
    Err(CallFailure { code, message, details: Some(Value::Object(fields)) })
}

fn failure(code: &str, message: String, hint: &str) -> CallFailure {
    CallFailure { details: Some(json!({"hint": hint})), ..CallFailure::new(code, message) }
}
