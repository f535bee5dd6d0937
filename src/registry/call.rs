//! One call, from arguments to answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use tracing::Instrument as _;

use super::context::{CallContext, Origin};
use super::foreign_call::{METRIC_LABEL, may_be_foreign};
use super::ledger::Ledger;
use super::references::{self, Resolver};
use super::registry::{Registered, Registry};
use super::reply::{self, CallOutcome};
use super::tool::{Call, DirectReply, Handler, Tool};
use super::validation;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::{
    Failure, JobExecutor, JobReply, OnCancel, Run, StartJob, Submitted, Text, ToolOutput, WaitFor,
};
use crate::storage::blobs::sha256_hex;
use crate::storage::{CallId, CompletionHandle, DoneCall, JobId, NewCall, PrincipalId, keys};

/// How often a new call id is tried before the store must be at fault.
const CALL_ID_TRIES: usize = 16;
/// Bytes of a result that is kept in its row; a larger one is a blob.
const INLINE_BYTES: usize = 16 * 1024;
/// Argument that names the user.
const USER_ARGUMENT: &str = "user_number";
/// Argument by which a person agrees.
pub(super) const CONFIRM_ARGUMENT: &str = "confirm";

/// Whose a call's result is, and where it waits to be written down.
pub(super) struct Keeper {
    principal: PrincipalId,
    ledger: Option<Arc<Ledger>>,
}

impl From<&CallContext> for Keeper {
    fn from(context: &CallContext) -> Self {
        Self { principal: context.principal.clone(), ledger: context.ledger.clone() }
    }
}

impl Registry {
    /// Calls a tool. Never fails: everything that goes wrong is an outcome with `is_error`.
    pub async fn call(
        &self,
        name: &str,
        arguments: Value,
        mut context: CallContext,
    ) -> CallOutcome {
        let started = Instant::now();
        // Whoever calls is whose rights they are, whatever a door has written there.
        if context.rights.principal.as_ref() != Some(&context.principal) {
            context.rights.principal = Some(context.principal.clone());
        }
        // Only known names become labels; anything else would let callers fill the metrics.
        let own = self.registered(name);
        let is_foreign = own.is_none() && may_be_foreign(name);
        let label = match own {
            Some(registered) => registered.tool.name,
            None if is_foreign => METRIC_LABEL,
            None => "unknown",
        };
        if let Some(observer) = &self.observer {
            observer.started(label);
        }
        let span = tracing::info_span!("tool", tool = label, call.id = tracing::field::Empty);
        let (call_id, result) = if is_foreign {
            Box::pin(self.call_foreign(name, arguments, context)).instrument(span).await
        } else {
            self.checked_call(name, arguments, context).instrument(span).await
        };
        let mut outcome = match result {
            Ok(reply) => reply::from_reply(call_id, reply, self.limits.result_bytes),
            Err(error) => reply::from_error(call_id, &error),
        };
        if let Some(registered) = self.registered(name) {
            outcome.fill_in(&registered.tool.error_fields);
        }
        let duration = started.elapsed();
        let label_outcome = outcome.label();
        tracing::info!(
            tool = label,
            call.id = outcome.call_id.as_ref().map(CallId::as_str),
            call.outcome = %label_outcome,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "call answered"
        );
        if let Some(observer) = &self.observer {
            observer.finished(label, &label_outcome, duration);
        }
        outcome
    }

    /// The state of a job of this principal, after waiting up to `wait` for its end.
    pub async fn job(&self, id: &JobId, wait: Duration, context: CallContext) -> CallOutcome {
        let wait = WaitFor {
            budget: Some(wait),
            cancel: context.cancel.clone(),
            on_cancel: OnCancel::Leave,
        };
        let reply = self.runner.wait(&context.principal, id, &wait).await;
        self.job_outcome(reply)
    }

    /// Asks a job of this principal to stop and returns its state.
    pub async fn cancel_job(&self, id: &JobId, context: CallContext) -> CallOutcome {
        match self.runner.cancel(&context.principal, id).await {
            Ok(_) => self.job(id, Duration::from_secs(2), context).await,
            Err(error) => reply::from_error(None, &error),
        }
    }

    /// A pending completion of this principal as `needs_completion`, for a client that declined to
    /// sample.
    pub async fn pending(&self, handle: &CompletionHandle, context: CallContext) -> CallOutcome {
        let mut outcome =
            self.job_outcome(self.runner.pending_reply(&context.principal, handle).await);
        outcome.sampling = None;
        outcome
    }

    /// Hands in a text for a waiting call of this principal and waits for what becomes of it.
    pub(super) async fn submitted(
        &self,
        text: Text,
        context: CallContext,
    ) -> Result<CallOutcome, ToolError> {
        match self.runner.submit(text, context).await? {
            Submitted::Reply(reply) => Ok(self.job_outcome(Ok(reply))),
            Submitted::Part { .. } => Err(ToolError::internal("a whole text was taken for a part")),
        }
    }

    fn job_outcome(&self, reply: Result<JobReply, ToolError>) -> CallOutcome {
        match reply {
            Ok(reply) => reply::from_reply(None, DirectReply::Job(reply), self.limits.result_bytes),
            Err(error) => reply::from_error(None, &error),
        }
    }

    async fn checked_call(
        &self,
        name: &str,
        arguments: Value,
        context: CallContext,
    ) -> (Option<CallId>, Result<DirectReply, ToolError>) {
        let registered = match self.admit(name, &arguments, &context).await {
            Ok(registered) => registered,
            Err(error) => return (None, Err(error)),
        };
        // A job's id must be there before the job; a direct call is written once, with its result.
        let made = match &registered.tool.handler {
            Handler::Job(_) => Box::pin(self.reserve_call_id(registered.tool.name, &context)).await,
            Handler::Direct(_) => new_id(&context).await,
        };
        let mut call_id = match made {
            Ok(call_id) => call_id,
            Err(error) => return (None, Err(error)),
        };
        tracing::Span::current().record("call.id", call_id.as_str());
        let result = self.run(registered, arguments, &mut call_id, context).await;
        (Some(call_id), result)
    }

    /// Everything that is refused before a call gets an id.
    async fn admit(
        &self,
        name: &str,
        arguments: &Value,
        context: &CallContext,
    ) -> Result<&Registered, ToolError> {
        let registered = self
            .registered(name)
            .filter(|registered| {
                !registered.tool.internal
                    || (context.origin == Origin::Workflow && context.depth == 0)
            })
            .ok_or_else(|| self.unknown_tool(name, &context.rights))?;
        self.check_rights(&registered.tool, &context.rights, context.origin)?;
        self.admit_arguments(arguments, context).await?;
        Ok(registered)
    }

    /// Refuses arguments that are too large, and calls that are too many.
    pub(super) async fn admit_arguments(
        &self,
        arguments: &Value,
        context: &CallContext,
    ) -> Result<(), ToolError> {
        let limit = self.limits.argument_bytes;
        if validation::is_larger(arguments, limit) {
            return Err(ToolError::new(
                ErrorKind::Limit,
                "arguments_too_large",
                format!("the arguments have more than {limit} bytes"),
            )
            .hint("send less, or store large content first and pass it by reference"));
        }
        if self.limits.calls_per_minute > 0 {
            let limit = self.limits.calls_per_minute;
            let added =
                self.catalog.add_quota(&context.principal, "calls", 60_000, 1, limit).await?;
            if added.is_none() {
                let mut error = ToolError::new(
                    ErrorKind::Limit,
                    "rate_limited",
                    format!("more than {limit} calls in a minute"),
                )
                .hint("wait a minute, then repeat the call");
                error.retry_after_s = Some(60.0);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Replaces references by values of this principal's results.
    pub(super) fn resolver<'a>(&'a self, principal: &'a PrincipalId) -> Resolver<'a> {
        Resolver {
            catalog: self.catalog.as_ref(),
            blobs: &self.blobs,
            principal,
            bytes: self.limits.argument_bytes,
        }
    }

    /// Writes a direct call down with its result, or leaves it to the ledger of the program that
    /// made it.
    pub(super) async fn record_direct(
        &self,
        tool: &str,
        call_id: &mut CallId,
        result: &Value,
        keeper: &Keeper,
    ) -> Result<(), ToolError> {
        let text = serde_json::to_string(result)
            .map_err(|error| ToolError::internal(&format!("a result is no JSON: {error}")))?;
        let sha = sha256_hex(text.as_bytes());
        let mut small = Some(text);
        if let Some(large) = small.take_if(|text| text.len() > INLINE_BYTES) {
            Box::pin(self.blobs.put(large)).await?;
        }
        let mut done =
            DoneCall { id: call_id.clone(), tool: tool.to_owned(), result_sha: sha, result: small };
        if let Some(ledger) = &keeper.ledger {
            match ledger.keep(done) {
                None => return Ok(()),
                Some(back) => done = back,
            }
        }
        Box::pin(self.write_direct(&done, call_id, &keeper.principal)).await
    }

    /// Writes a direct call down, under another id when the first one is taken.
    async fn write_direct(
        &self,
        done: &DoneCall,
        call_id: &mut CallId,
        principal: &PrincipalId,
    ) -> Result<(), ToolError> {
        for _ in 0..CALL_ID_TRIES {
            let call = self.new_call(call_id, &done.tool, principal);
            if self.catalog.insert_call(call, &done.result_sha, done.result.as_deref()).await? {
                return Ok(());
            }
            *call_id = keys::call_id()?;
        }
        Err(ToolError::internal("no free call id was found"))
    }

    fn new_call(&self, id: &CallId, tool: &str, principal: &PrincipalId) -> NewCall {
        NewCall {
            id: id.clone(),
            principal: principal.clone(),
            tool: tool.to_owned(),
            ttl_ms: self.reference_ttl_ms(),
        }
    }

    /// How long results stay open to references.
    #[expect(clippy::cast_possible_truncation, reason = "a time to live is far below 2^63 ms")]
    pub(super) fn reference_ttl_ms(&self) -> i64 {
        (self.limits.reference_ttl_s * 1000.0) as i64
    }

    pub(super) async fn reserve_call_id(
        &self,
        tool: &str,
        context: &CallContext,
    ) -> Result<CallId, ToolError> {
        for _ in 0..CALL_ID_TRIES {
            let id = keys::call_id()?;
            let call = self.new_call(&id, tool, &context.principal);
            if self.catalog.reserve_call(call).await? {
                return Ok(id);
            }
        }
        Err(ToolError::internal("no free call id was found"))
    }

    async fn run(
        &self,
        registered: &Registered,
        arguments: Value,
        call_id: &mut CallId,
        context: CallContext,
    ) -> Result<DirectReply, ToolError> {
        let tool = &registered.tool;
        let arguments = if arguments.is_null() { serde_json::json!({}) } else { arguments };
        if let Some(ledger) = &context.ledger {
            Box::pin(ledger.settle_mentioned(&arguments)).await?;
        }
        let resolver = self.resolver(&context.principal);
        let mut arguments = match context.origin {
            // The inner call replaces them: what is inserted must not be scanned again.
            _ if tool.forwarding.is_some() => arguments,
            // A page speaks for whoever holds its link, who must not read the owner's results.
            Origin::Page => references::refuse(arguments)?,
            Origin::Client | Origin::Api | Origin::Command | Origin::Code | Origin::Workflow => {
                Box::pin(resolver.resolve(arguments, &tool.input_schema)).await?
            }
        };
        impose(&mut arguments, tool, &context);
        validation::normalise(&mut arguments, &tool.input_schema);
        validation::check(tool.name, &registered.validator, &arguments)?;
        self.check_inner(tool, &arguments, &context)?;
        match &tool.handler {
            Handler::Direct(handler) => {
                let keeper = Keeper::from(&context);
                let cancel = context.cancel.clone();
                let call = Call { id: call_id.clone(), context };
                let work =
                    AssertUnwindSafe(async { handler(call, arguments).await }).catch_unwind();
                let reply = tokio::select! {
                    biased;
                    () = cancel.cancelled() => return Err(ToolError::new(
                        ErrorKind::Cancelled, "cancelled", "the call was cancelled",
                    )),
                    reply = work => reply.unwrap_or_else(|_| {
                        let mut error =
                            ToolError::internal(&format!("tool `{}` panicked", tool.name));
                        error.code = "internal_panic".into();
                        Err(error)
                    })?,
                };
                if let DirectReply::Output(output) = &reply {
                    self.record_direct(tool.name, call_id, &output.structured, &keeper).await?;
                }
                Ok(reply)
            }
            Handler::Job(_) => {
                let permit = self.place_of(&context)?;
                if let Some(hide) = tool.hiding {
                    hide(&mut arguments);
                }
                let call_id = call_id.clone();
                // It may outlive the program that starts it.
                let context = CallContext { ledger: None, ..context };
                let start =
                    StartJob { tool: tool.name.to_owned(), arguments, call_id, context, permit };
                // Boxed, as are other parts that few calls need: a call's future is moved into a task.
                Box::pin(self.runner.start(start)).await.map(DirectReply::Job)
            }
        }
    }
}

/// An id for a call that is written down with its result.
async fn new_id(context: &CallContext) -> Result<CallId, ToolError> {
    if let Some(ledger) = &context.ledger
        && let Some(id) = Box::pin(ledger.id()).await?
    {
        return Ok(id);
    }
    keys::call_id().map_err(ToolError::from)
}

/// Sets what the caller has no say in: whom the call is for, and that a program cannot confirm in
/// place of a person.
fn impose(arguments: &mut Value, tool: &Tool, context: &CallContext) {
    let (Some(arguments), Some(known)) =
        (arguments.as_object_mut(), tool.input_schema.get("properties").and_then(Value::as_object))
    else {
        return;
    };
    if let Some(user) = &context.user
        && known.contains_key(USER_ARGUMENT)
    {
        arguments.insert(USER_ARGUMENT.to_owned(), Value::from(user.as_str()));
    }
    if context.origin.is_program() && known.contains_key(CONFIRM_ARGUMENT) {
        arguments.shift_remove(CONFIRM_ARGUMENT);
    }
}

impl JobExecutor for Registry {
    fn execute(
        &self,
        tool: &str,
        run: Run,
        arguments: Value,
    ) -> BoxFuture<'static, Result<ToolOutput, Failure>> {
        let Some(registered) = self.registered(tool) else {
            if may_be_foreign(tool) {
                return self.execute_foreign(run);
            }
            // Another process on the same data folder may offer it: nothing paid for is lost.
            let error = ToolError::new(
                ErrorKind::Unavailable,
                "unknown_tool",
                format!("the tool `{tool}` that this job belongs to is not offered any more"),
            );
            return Box::pin(std::future::ready(Err(error.into())));
        };
        // Rights are those of whoever runs it now: a resumed call may have lost them.
        let context = run.context();
        let covered = if registered.tool.internal {
            Ok(())
        } else {
            self.check_rights(&registered.tool, &context.rights, context.origin)
        };
        let checked =
            covered.and_then(|()| self.check_inner(&registered.tool, &arguments, context));
        if let Err(error) = checked {
            return Box::pin(std::future::ready(Err(error.into())));
        }
        match &registered.tool.handler {
            Handler::Job(handler) => {
                let handler = Arc::clone(handler);
                Box::pin(async move { handler(run, arguments).await })
            }
            Handler::Direct(_) => {
                let error = ToolError::internal(&format!("`{tool}` does not run as a job"));
                Box::pin(std::future::ready(Err(error.into())))
            }
        }
    }
}
