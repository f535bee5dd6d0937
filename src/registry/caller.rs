//! How code inside the program calls tools: pages, Python code, workflows, chat, documents.
//!
//! A [`Caller`] is made before the tools and bound to the registry behind them, so that a tool can
//! hold one. Every call goes through [`Registry::call`] like any client's, under a [`Grant`] that
//! can only narrow: fewer tools, less time, fewer calls than the context allows.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::context::{CallContext, Origin, Rights, TokenAllowance};
use super::description::ToolDescription;
use super::foreign::UnlistedServer;
use super::foreign_call::may_be_foreign;
use super::ledger::Ledger;
use super::references::Resolver;
use super::registry::Registry;
use super::reply::{self, CallOutcome, OpenQuestion};
use super::tool::{Annotations, Handler, Toolset};
use super::validation::{self, is_larger};
use crate::error::{ErrorKind, ToolError};
use crate::jobs::{ProgressSink, Text};
use crate::storage::{CallId, PrincipalId};

/// Window of the cap on calls.
const MINUTE_MS: i64 = 60_000;

/// Calls tools from inside the program. Clones share one binding.
#[derive(Clone, Default)]
pub struct Caller {
    registry: Arc<OnceLock<Weak<Registry>>>,
}

/// What is known of a tool of this program beyond its description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolHints {
    /// Hints for clients; they are true.
    pub annotations: Annotations,
    /// Its group.
    pub toolset: Toolset,
    /// It runs as a durable job: the same call under the same key goes on where it was.
    pub is_job: bool,
}

/// Circumstances of a call inside a durable run.
#[derive(Debug, Clone)]
pub struct Within {
    /// Circumstances of the run.
    pub context: CallContext,
    /// The same in every attempt of the run, and of no other call.
    pub key: String,
    /// Where the call's progress goes.
    pub progress: ProgressSink,
}

/// How an inner call is told from others, and whom it tells.
struct Keyed {
    key: Option<String>,
    progress: ProgressSink,
}

/// What a program may call, and how much. Its counts live as long as the value, so a grant is kept
/// for as long as its program.
#[derive(Debug)]
pub struct Grant {
    terms: Terms,
    calls: AtomicU64,
    places: Arc<Semaphore>,
    /// Beginning of the keys of its calls, and how many there were.
    key: String,
    keyed: AtomicU64,
}

/// The terms of a [`Grant`].
#[derive(Debug, Clone)]
pub struct Terms {
    /// Whose the grant is: the name of counts that outlive this process.
    pub holder: String,
    /// Where its calls come from.
    pub origin: Origin,
    /// Calls in all; `None`: no cap.
    pub calls: Option<u64>,
    /// Calls per minute over all processes; `None`: no cap.
    pub calls_per_minute: Option<i64>,
    /// Calls at a time.
    pub concurrent_calls: usize,
    /// How long one call may take.
    pub call_time: Duration,
    /// Model tokens a day; `None`: only those of the principal count.
    pub tokens_per_day: Option<i64>,
    /// Size of one call's arguments, in bytes.
    pub argument_bytes: usize,
    /// Size of one result, in bytes.
    pub result_bytes: usize,
    /// How deep calls may lie inside each other.
    pub depth: u32,
}

impl Grant {
    /// A grant with nothing used.
    pub fn new(terms: Terms) -> Self {
        let places = Arc::new(Semaphore::new(terms.concurrent_calls.max(1)));
        let key = uuid::Uuid::new_v4().to_string();
        Self { terms, calls: AtomicU64::new(0), places, key, keyed: AtomicU64::new(0) }
    }

    /// A key that no other call has.
    fn next_key(&self) -> String {
        format!("{}-{}", self.key, self.keyed.fetch_add(1, Ordering::Relaxed))
    }

    /// Its terms.
    pub const fn terms(&self) -> &Terms {
        &self.terms
    }
}

impl Caller {
    /// A caller without a registry; [`Self::bind`] completes it and all its clones.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the registry, which may hold this caller in its tools.
    pub fn bind(&self, registry: &Arc<Registry>) {
        let _ = self.registry.set(Arc::downgrade(registry));
    }

    fn registry(&self) -> Result<Arc<Registry>, ToolError> {
        self.registry
            .get()
            .and_then(Weak::upgrade)
            .ok_or_else(|| ToolError::internal("a tool was called before or after the registry"))
    }

    /// The tools that these rights cover and that are open to calls from there, ordered by name.
    pub fn tools(&self, rights: &Rights, origin: Origin) -> Vec<ToolDescription> {
        let Ok(registry) = self.registry() else { return Vec::new() };
        let own = registry
            .tools(rights)
            .filter(|tool| registry.check_rights(tool, rights, origin).is_ok())
            .map(ToolDescription::from);
        let foreign = registry.known_foreign(rights, origin);
        own.chain(foreign.map(|tool| ToolDescription::from(&*tool))).collect()
    }

    /// Starts the other servers whose tools are not known yet, so that [`Self::tools`] names them
    /// too, and returns after a bounded time. Says which could not be asked.
    pub async fn learn(&self, rights: &Rights) -> Vec<UnlistedServer> {
        match self.registry() {
            Ok(registry) => registry.foreign.learn(rights.principal.as_ref()).await,
            Err(_) => Vec::new(),
        }
    }

    /// Starts the other servers that these names belong to, so that [`Self::check`] knows them.
    /// What fails here is said by the check.
    pub async fn learn_named<'a>(&self, names: impl IntoIterator<Item = &'a str>, rights: &Rights) {
        let Ok(registry) = self.registry() else { return };
        let principal = rights.principal.as_ref();
        let foreign = names.into_iter().filter(|name| may_be_foreign(name));
        let finding = foreign.map(|name| registry.foreign.find(name, principal));
        futures::future::join_all(finding).await;
    }

    /// Whether a tool may be called from there with these rights.
    ///
    /// # Errors
    /// `unknown_tool` with near names, or `tool_not_allowed` with what would open it.
    pub fn check(
        &self,
        name: &str,
        rights: &Rights,
        origin: Origin,
    ) -> Result<ToolDescription, ToolError> {
        let registry = self.registry()?;
        if let Some(tool) = registry.tool(name) {
            registry.check_rights(tool, rights, origin)?;
            return Ok(tool.into());
        }
        let known = registry.foreign.known(rights.principal.as_ref());
        let tool = known.tools.get(name).filter(|tool| registry.offers_foreign(tool));
        let tool = tool.ok_or_else(|| registry.unknown_tool(name, rights))?;
        registry.check_foreign(tool, rights, origin)?;
        Ok((&**tool).into())
    }

    /// [`Self::check`] for a tool whose server may have to be started first.
    ///
    /// # Errors
    /// Those of [`Self::check`], and why the server cannot be started.
    pub async fn describe(
        &self,
        name: &str,
        rights: &Rights,
        origin: Origin,
    ) -> Result<ToolDescription, ToolError> {
        let registry = self.registry()?;
        if registry.tool(name).is_none() {
            registry.check_foreign_name(name, rights)?;
            registry.foreign_tool(name, rights).await?;
        }
        self.check(name, rights, origin)
    }

    /// The tools that fit a query best, of those that may be called from there.
    ///
    /// # Errors
    /// When there is no registry.
    pub async fn search(
        &self,
        query: &str,
        limit: usize,
        rights: &Rights,
        origin: Origin,
    ) -> Result<Vec<ToolDescription>, ToolError> {
        let index = self.registry()?.search_index(rights).await;
        let ranked = index.search(query);
        let allowed = ranked.filter_map(|name| self.check(name, rights, origin).ok());
        Ok(allowed.take(limit).collect())
    }

    /// Passes a call on in the caller's own circumstances: nothing is narrowed, nothing granted.
    pub async fn forward(&self, name: &str, arguments: Value, context: CallContext) -> CallOutcome {
        match self.registry() {
            Ok(registry) => Box::pin(registry.call(name, arguments, context)).await,
            Err(error) => reply::from_error(None, &error),
        }
    }

    /// What is known of a tool beyond its description; `None`: it belongs to another server, or
    /// to nobody.
    pub fn hints(&self, name: &str) -> Option<ToolHints> {
        let registry = self.registry().ok()?;
        let tool = registry.tool(name)?;
        Some(ToolHints {
            annotations: tool.annotations,
            toolset: tool.toolset,
            is_job: matches!(tool.handler, Handler::Job(_)),
        })
    }

    /// A ledger for the calls of a program that runs for this principal.
    ///
    /// # Errors
    /// When there is no registry.
    pub fn ledger(&self, principal: &PrincipalId) -> Result<Arc<Ledger>, ToolError> {
        let registry = self.registry()?;
        let ttl_ms = registry.reference_ttl_ms();
        Ok(Ledger::new(Arc::clone(&registry.catalog), principal.clone(), ttl_ms))
    }

    /// The whole result of an earlier call of this principal.
    ///
    /// # Errors
    /// `unknown_reference`, with the calls that there are; the store's.
    pub async fn result(&self, principal: &PrincipalId, call: &CallId) -> Result<Value, ToolError> {
        let registry = self.registry()?;
        let resolver = Resolver {
            catalog: registry.catalog.as_ref(),
            blobs: &registry.blobs,
            principal,
            bytes: registry.limits.argument_bytes,
        };
        resolver.result(call).await
    }

    /// Puts lenient forms of arguments right and checks them, as every call of this program does,
    /// by the schema of a tool of any server.
    ///
    /// # Errors
    /// `invalid_arguments` with each fault and its place.
    pub fn repaired(tool: &str, schema: &Value, mut arguments: Value) -> Result<Value, ToolError> {
        validation::normalise(&mut arguments, schema);
        // A schema that is none cannot judge; the server of the tool will.
        if let Ok(validator) = jsonschema::validator_for(schema) {
            validation::check(tool, &validator, &arguments)?;
        }
        Ok(arguments)
    }

    /// Calls a tool as a part of a durable run: as [`Self::call`], under a key by which the same
    /// call is known when the run goes on after a crash, and with its progress told.
    pub async fn call_within(
        &self,
        grant: &Grant,
        allowed: Option<&BTreeSet<String>>,
        name: &str,
        arguments: Value,
        inside: Within,
    ) -> CallOutcome {
        let Within { context, key, progress } = inside;
        let keyed = Keyed { key: Some(key), progress };
        match self.checked_call(grant, allowed, name, arguments, (context, keyed)).await {
            Ok(outcome) => outcome,
            Err(error) => reply::from_error(None, &error),
        }
    }

    /// Calls a tool under a grant and waits for its end. `allowed` are the names that the program
    /// may call at this moment; `None`: all that the context's rights cover. Never fails:
    /// everything that goes wrong is an outcome with `is_error`. When the returned future is
    /// dropped, the call is stopped.
    pub async fn call(
        &self,
        grant: &Grant,
        allowed: Option<&BTreeSet<String>>,
        name: &str,
        arguments: Value,
        context: CallContext,
    ) -> CallOutcome {
        let keyed = Keyed { key: None, progress: ProgressSink::none() };
        match self.checked_call(grant, allowed, name, arguments, (context, keyed)).await {
            Ok(outcome) => outcome,
            Err(error) => reply::from_error(None, &error),
        }
    }

    async fn checked_call(
        &self,
        grant: &Grant,
        allowed: Option<&BTreeSet<String>>,
        name: &str,
        arguments: Value,
        (context, keyed): (CallContext, Keyed),
    ) -> Result<CallOutcome, ToolError> {
        let terms = &grant.terms;
        let registry = self.registry()?;
        // A tool that answers at once, for a program whose results are written down together, leaves
        // nothing to finish when it is stopped: it needs no task of its own, which costs as much as
        // all the rest.
        let is_short = context.ledger.is_some()
            && registry.tool(name).is_some_and(|tool| {
                tool.forwarding.is_none() && matches!(tool.handler, Handler::Direct(_))
            });
        let context = narrowed(grant, allowed, context, keyed);
        if context.depth > terms.depth {
            return Err(ToolError::new(
                ErrorKind::Limit,
                "calls_too_deep",
                format!(
                    "calls lie {} deep inside each other; at most {} may",
                    context.depth, terms.depth
                ),
            )
            .hint("call the tool from further outside"));
        }
        if let Some(allowed) = allowed
            && !allowed.contains(name)
        {
            return Err(unnamed(name, terms.origin));
        }
        if is_larger(&arguments, terms.argument_bytes) {
            return Err(ToolError::new(
                ErrorKind::Limit,
                "arguments_too_large",
                format!("the arguments have more than {} bytes", terms.argument_bytes),
            )
            .hint("send less in one call"));
        }
        // What can be refused for good is refused before it counts.
        if registry.tool(name).is_none() {
            registry.check_foreign_name(name, &context.rights)?;
            registry.foreign_tool(name, &context.rights).await?;
        }
        let Ok(place) = Arc::clone(&grant.places).try_acquire_owned() else {
            return Err(later(
                "busy",
                format!("{} calls are in flight already", terms.concurrent_calls),
                "wait for one to end, then repeat this call",
                1.0,
            ));
        };
        self.count(&registry, grant, &context).await?;

        let cancel = context.cancel.clone();
        // Fires when this future is dropped too, which ends the call.
        let _gone = cancel.clone().drop_guard();
        let origin = context.origin;
        let mut running = if is_short {
            let called = async move { registry.call(name, arguments, context).await };
            let called = AssertUnwindSafe(called).catch_unwind();
            Box::pin(called.map(|outcome| outcome.map_err(|_| "it panicked".to_owned())))
                as BoxFuture<'_, _>
        } else {
            let task_name = name.to_owned();
            let task = tokio::spawn(async move {
                let outcome = registry.call(&task_name, arguments, context).await;
                drop(place);
                outcome
            });
            Box::pin(task.map(|outcome| outcome.map_err(|error| error.to_string())))
        };
        let outcome = tokio::select! {
            biased;
            outcome = &mut running => outcome,
            () = tokio::time::sleep(terms.call_time) => {
                cancel.cancel();
                // It ends soon now, and its job with it.
                let _ended = running.await;
                return Err(timed_out(name, terms.call_time));
            }
        };
        let outcome = outcome.map_err(|reason| {
            ToolError::internal(&format!("the call of `{name}` ended badly: {reason}"))
        })?;
        ended(outcome, origin, terms.result_bytes)
    }

    /// Hands in the text that an earlier call of [`Self::call`] waits for, and waits for that call's
    /// end. It counts as no further call: the one that it continues was counted.
    pub async fn answer(
        &self,
        grant: &Grant,
        allowed: Option<&BTreeSet<String>>,
        question: &OpenQuestion,
        text: String,
        context: CallContext,
    ) -> CallOutcome {
        let registry = match self.registry() {
            Ok(registry) => registry,
            Err(error) => return reply::from_error(None, &error),
        };
        let keyed = Keyed { key: None, progress: ProgressSink::none() };
        let context = CallContext { ledger: None, ..narrowed(grant, allowed, context, keyed) };
        let origin = context.origin;
        let _gone = context.cancel.clone().drop_guard();
        let text = Text {
            handle: question.handle.clone(),
            text,
            more: false,
            round: Some(question.round),
        };
        let ended = match registry.submitted(text, context).await {
            Ok(outcome) => ended(outcome, origin, grant.terms.result_bytes),
            Err(error) => Err(error),
        };
        ended.unwrap_or_else(|error| reply::from_error(None, &error))
    }

    /// Counts a call, unless it is one too many.
    async fn count(
        &self,
        registry: &Registry,
        grant: &Grant,
        context: &CallContext,
    ) -> Result<(), ToolError> {
        if let Some(cap) = grant.terms.calls
            && grant
                .calls
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                    (used < cap).then_some(used + 1)
                })
                .is_err()
        {
            return Err(ToolError::new(
                ErrorKind::Limit,
                "too_many_calls",
                format!("all {cap} calls are used up"),
            )
            .hint("do more with each call, or start again"));
        }
        if let Some(cap) = grant.terms.calls_per_minute {
            let kind = format!("calls:{}", grant.terms.holder);
            let added =
                registry.catalog.add_quota(&context.principal, &kind, MINUTE_MS, 1, cap).await?;
            if added.is_none() {
                return Err(later(
                    "rate_limited",
                    format!("more than {cap} calls in a minute"),
                    "wait a minute, then repeat the call",
                    60.0,
                ));
            }
        }
        Ok(())
    }
}

/// The context of a call under these terms: nothing in it is wider than before.
fn narrowed(
    grant: &Grant,
    allowed: Option<&BTreeSet<String>>,
    context: CallContext,
    keyed: Keyed,
) -> CallContext {
    let terms = &grant.terms;
    let rights = match allowed {
        Some(names) => context.rights.narrowed_to(names),
        None => context.rights,
    };
    let own = terms
        .tokens_per_day
        .map(|per_day| TokenAllowance { holder: terms.holder.clone(), per_day });
    let origin = context.origin.narrower(terms.origin);
    // A key of its own keeps a program's call apart from every other: without one, it would go on
    // with a job of the owner's, or of its own, that waits or was interrupted and has the same
    // arguments.
    let idempotency_key = match origin {
        Origin::Page | Origin::Code => Some(grant.next_key()),
        Origin::Client | Origin::Api | Origin::Command | Origin::Workflow => keyed.key,
    };
    CallContext {
        rights,
        origin,
        idempotency_key,
        // Progress of inner calls says nothing about the outer one, unless that one asks for it.
        progress: keyed.progress,
        cancel: context.cancel.child_token(),
        // The allowance of whoever is outside counts for all that happens inside.
        tokens: context.tokens.or(own),
        depth: context.depth.saturating_add(1),
        // A program waits for the end, and nobody inside it can ask for a job.
        answer_budget: None,
        person: context.person.and_then(super::context::CallerPerson::inside),
        ..context
    }
}

/// What a program can do something with: no question to a host, and nothing too large.
fn ended(
    outcome: CallOutcome,
    origin: Origin,
    result_bytes: usize,
) -> Result<CallOutcome, ToolError> {
    let status = outcome.structured.get("status").and_then(Value::as_str);
    if origin == Origin::Page && !outcome.is_error && status == Some("needs_completion") {
        return Err(ToolError::new(
            ErrorKind::Unavailable,
            "no_language_model",
            "nobody can write the text: no model is configured, and a page cannot write it",
        )
        .hint("the operator configures a model: see `atelier doctor`"));
    }
    if is_larger(&outcome.structured, result_bytes) {
        return Err(ToolError::new(
            ErrorKind::Limit,
            "result_too_large",
            format!("the result has more than {result_bytes} bytes"),
        )
        .hint("ask for less in one call"));
    }
    Ok(outcome)
}

fn unnamed(name: &str, origin: Origin) -> ToolError {
    let shown: String = name.chars().take(64).collect();
    let hint = match origin {
        Origin::Page => {
            "the app's `mcp_tool_names` say what its pages may call; create or edit it with this name among them"
        }
        Origin::Client | Origin::Api | Origin::Command | Origin::Code | Origin::Workflow => {
            "call one of the tools that were granted"
        }
    };
    ToolError::new(
        ErrorKind::Denied,
        "tool_not_allowed",
        format!("`{shown}` may not be called here: it is not among the tools that were named"),
    )
    .hint(hint)
}

fn timed_out(name: &str, limit: Duration) -> ToolError {
    ToolError::new(
        ErrorKind::Limit,
        "call_timeout",
        format!("`{name}` did not end within {} s and was stopped", limit.as_secs_f64()),
    )
    .hint("ask for less in one call")
}

fn later(code: &'static str, message: String, hint: &str, seconds: f64) -> ToolError {
    let mut error = ToolError::new(ErrorKind::Limit, code, message).hint(hint);
    error.retry_after_s = Some(seconds);
    error
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Caller").finish_non_exhaustive()
    }
}
