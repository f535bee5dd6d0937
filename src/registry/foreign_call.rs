//! The way of a call to a tool of another server.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::context::{CallContext, Origin, Rights};
use super::foreign::{ForeignCall, ForeignTool, SERVER_DIVIDER};
use super::references;
use super::registry::Registry;
use super::tool::DirectReply;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::{Failure, ProgressSink, Run, StartJob, ToolOutput};
use crate::storage::{CallId, keys};

/// How all foreign tools are counted: their names are not ours to label metrics with.
pub(super) const METRIC_LABEL: &str = "other_server";

/// Calls that took longer than their answer budget and go on, by call id, until their job takes
/// them over.
#[derive(Default)]
pub(super) struct Handoffs {
    calls: Mutex<HashMap<CallId, Running>>,
}

/// A call that is under way. Dropped, it is called off.
struct Running {
    task: JoinHandle<Result<ToolOutput, ToolError>>,
    progress: Relay,
    _gone: DropGuard,
}

/// Where a call's progress goes: to its caller, and to its job once it has become one.
#[derive(Clone)]
struct Relay(Arc<Mutex<ProgressSink>>);

impl Relay {
    fn to(sink: ProgressSink) -> Self {
        Self(Arc::new(Mutex::new(sink)))
    }

    fn turn_to(&self, sink: ProgressSink) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sink;
    }

    fn sink(&self) -> ProgressSink {
        let relay = self.clone();
        ProgressSink::new(move |progress| {
            let sink = relay.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            sink.send(progress);
        })
    }
}

impl Handoffs {
    fn put(&self, id: CallId, running: Running) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(id, running);
    }

    fn take(&self, id: &CallId) -> Option<Running> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }
}

/// Whether a name can be one of a foreign tool.
pub(super) fn may_be_foreign(name: &str) -> bool {
    name.contains(SERVER_DIVIDER)
}

impl Registry {
    /// Calls a foreign tool; what [`Registry::call`] does for names that are none of ours.
    pub(super) async fn call_foreign(
        &self,
        name: &str,
        arguments: Value,
        context: CallContext,
    ) -> (Option<CallId>, Result<DirectReply, ToolError>) {
        let tool = match self.admit_foreign(name, &arguments, &context).await {
            Ok(tool) => tool,
            Err(error) => return (None, Err(error)),
        };
        let mut call_id = match keys::call_id() {
            Ok(call_id) => call_id,
            Err(error) => return (None, Err(error.into())),
        };
        tracing::Span::current().record("call.id", call_id.as_str());
        let result = self.run_foreign(tool, arguments, &mut call_id, context).await;
        (Some(call_id), result)
    }

    async fn admit_foreign(
        &self,
        name: &str,
        arguments: &Value,
        context: &CallContext,
    ) -> Result<Arc<ForeignTool>, ToolError> {
        // What the name alone forbids must not start a server.
        self.check_foreign_name(name, &context.rights)?;
        let tool = self.foreign_tool(name, &context.rights).await?;
        // The rights say whose they are; the call says who makes it. Both must hold.
        if !tool.is_seen_by(Some(&context.principal)) {
            return Err(self.unknown_tool(name, &context.rights));
        }
        self.check_foreign(&tool, &context.rights, context.origin)?;
        self.admit_arguments(arguments, context).await?;
        Ok(tool)
    }

    /// A foreign tool that is offered, after starting its server when need be.
    ///
    /// # Errors
    /// `unknown_tool` with near names, or why its server cannot be asked.
    pub async fn foreign_tool(
        &self,
        name: &str,
        rights: &Rights,
    ) -> Result<Arc<ForeignTool>, ToolError> {
        if !may_be_foreign(name) {
            return Err(self.unknown_tool(name, rights));
        }
        let tool = self.foreign.find(name, rights.principal.as_ref()).await?;
        tool.filter(|tool| self.offers_foreign(tool)).ok_or_else(|| self.unknown_tool(name, rights))
    }

    async fn run_foreign(
        &self,
        tool: Arc<ForeignTool>,
        arguments: Value,
        call_id: &mut CallId,
        context: CallContext,
    ) -> Result<DirectReply, ToolError> {
        let arguments = if arguments.is_null() { json!({}) } else { arguments };
        if let Some(ledger) = &context.ledger {
            ledger.settle_mentioned(&arguments).await?;
        }
        let mut arguments = match context.origin {
            Origin::Page => references::refuse(arguments)?,
            Origin::Client | Origin::Api | Origin::Command | Origin::Code | Origin::Workflow => {
                self.resolver(&context.principal).resolve(arguments, &tool.input_schema).await?
            }
        };
        if context.origin.is_program()
            && let Some(object) = arguments.as_object_mut()
        {
            // A program cannot confirm in place of a person, whatever the server makes of it.
            object.shift_remove(super::call::CONFIRM_ARGUMENT);
        }
        tool.check_arguments(&mut arguments)?;

        let progress = Relay::to(context.progress.clone());
        let call = ForeignCall {
            tool: Arc::clone(&tool),
            arguments: arguments.clone(),
            progress: progress.sink(),
            person: context.person.clone(),
        };
        let foreign = Arc::clone(&self.foreign);
        let off = CancellationToken::new();
        let over = off.clone();
        let task_name = tool.name.clone();
        let task = tokio::spawn(async move {
            let work = AssertUnwindSafe(foreign.call(call)).catch_unwind();
            tokio::select! {
                biased;
                () = over.cancelled() => Err(called_off()),
                result = work => result.unwrap_or_else(|_| {
                    Err(ToolError::internal(&format!("the call of `{task_name}` panicked")))
                }),
            }
        });
        let mut running = Running { task, progress, _gone: off.drop_guard() };
        let budget = async {
            match context.answer_budget {
                Some(budget) => tokio::time::sleep(budget).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            () = context.cancel.cancelled() => return Err(called_off()),
            ended = &mut running.task => ended,
            () = budget => {
                return self.hand_over(&tool, arguments, call_id, context, running).await;
            }
        };
        let output = ended.map_err(|error| ToolError::internal(&error))??;
        self.record_direct(
            &tool.name,
            call_id,
            &output.structured,
            &super::call::Keeper::from(&context),
        )
        .await?;
        Ok(DirectReply::Output(output))
    }

    /// Lets a call that takes longer than the caller waits go on as a job.
    async fn hand_over(
        &self,
        tool: &ForeignTool,
        arguments: Value,
        call_id: &mut CallId,
        context: CallContext,
        running: Running,
    ) -> Result<DirectReply, ToolError> {
        let permit = self.place_of(&context)?;
        *call_id = self.reserve_call_id(&tool.name, &context).await?;
        self.handoffs.put(call_id.clone(), running);
        let context = CallContext {
            // Never one with a call that was made before: this one is under way already.
            idempotency_key: Some(uuid::Uuid::new_v4().to_string()),
            answer_budget: Some(std::time::Duration::ZERO),
            ..context
        };
        let start = StartJob {
            tool: tool.name.clone(),
            arguments,
            call_id: call_id.clone(),
            context,
            permit,
        };
        let started = self.runner.start(start).await;
        if started.is_err() {
            self.handoffs.take(call_id);
        }
        started.map(DirectReply::Job)
    }

    /// The job of a call that was handed over: it waits for what is under way.
    pub(super) fn execute_foreign(
        &self,
        run: Run,
    ) -> BoxFuture<'static, Result<ToolOutput, Failure>> {
        let running = self.handoffs.take(run.call_id());
        Box::pin(async move {
            let Some(mut running) = running else {
                return Err(Failure::Error(
                    ToolError::new(
                        ErrorKind::Unavailable,
                        "interrupted",
                        "the program was stopped while the call was under way; whether it took effect is not known",
                    )
                    .hint("look at what the tool changes before you repeat the call"),
                ));
            };
            let job = run.clone();
            running.progress.turn_to(ProgressSink::new(move |progress| {
                job.progress(progress.value, progress.total, progress.message.as_str());
            }));
            tokio::select! {
                biased;
                () = run.cancel().cancelled() => Err(Failure::Error(called_off())),
                ended = &mut running.task => match ended {
                    Ok(result) => result.map_err(Failure::Error),
                    Err(error) => Err(Failure::Error(ToolError::internal(&error))),
                },
            }
        })
    }
}

fn called_off() -> ToolError {
    ToolError::new(ErrorKind::Cancelled, "cancelled", "the call was cancelled")
}
