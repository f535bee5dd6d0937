//! The MCP handler: every protocol version on one object, written by hand since our tools come
//! from the registry at run time.
//!
//! The flow of a call: who calls (the connection, or the HTTP request's token) -> what the client
//! can do (sampling, progress, tasks) -> [`Door::call`] -> the outcome as a result, a question to
//! the client's model, or a task.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams,
    CompleteResult, ErrorData, Extensions, GetPromptRequestParams, GetPromptResponse,
    GetTaskParams, GetTaskResult, Implementation, JsonObject, ListPromptsResult, ListToolsResult,
    MetaObject, PaginatedRequestParams, ServerCapabilities, ServerConfig, SubscriptionFilter,
    ToolAnnotations, UpdateTaskParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::auth::Caller;
use super::door::Door;
use super::error::ServeError;
use super::identity;
use super::list_changes::{Followers, WatchedList};
use super::outcome::tool_result;
use super::person::{self, ClientPerson, Mailbox, Mailboxes, RetryPerson};
use super::progress::ProgressPump;
use super::retry::{self, Asked, Retries};
use super::roots::ClientRoots;
use super::{prompts, tasks};
use crate::jobs::ProgressSink;
use crate::llm::ClientModels;
use crate::llm::sampling::SamplingModel;
use crate::registry::{
    CallContext, CallOutcome, ForeignTool, Origin, PersonQuestion, Rights, Tool,
};
use crate::storage::JobId;

/// Key of a call's idempotency key in `_meta`.
const IDEMPOTENCY_META: &str = "atelier/idempotency_key";
/// Key under which modern results name the server.
const SERVER_INFO_META: &str = "io.modelcontextprotocol/serverInfo";
/// How long a client may keep a list.
const LIST_TTL_MS: u64 = 60_000;

/// What carries the messages, and so who the caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    /// A pair of streams: the machine's own user.
    Stream,
    /// HTTP: whoever the request's credentials say.
    Http,
}

/// What a client can do, as far as a call is concerned.
struct Client {
    caller: Caller,
    /// Protocol 2026-07-28 or newer.
    is_modern: bool,
    has_tasks: bool,
    models: ClientModels,
    /// Whether it can show forms to its user.
    shows_forms: bool,
}

/// What a call came to: its outcome, or a question to the person before it.
enum Ended {
    Outcome(Box<CallOutcome>),
    Question(Box<(String, JobId, PersonQuestion)>),
}

impl From<CallOutcome> for Ended {
    fn from(outcome: CallOutcome) -> Self {
        Self::Outcome(Box::new(outcome))
    }
}

/// Our [`ServerHandler`].
pub(super) struct Handler {
    door: Arc<Door>,
    channel: Channel,
    retries: Retries,
    mailboxes: Mailboxes,
    /// The tools as MCP shows them, made once.
    shown: HashMap<&'static str, rmcp::model::Tool>,
    followers: Followers,
}

impl Handler {
    /// A handler for all connections of a channel.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn new(door: Arc<Door>, channel: Channel) -> Result<Self, ServeError> {
        let app = &door.app;
        let ttl = Duration::try_from_secs_f64(app.config.limits.completion_ttl_s);
        let retries = Retries::new(&app.catalog, ttl.unwrap_or(Duration::from_hours(24))).await?;
        let all = Rights::default();
        let shown = app.registry.tools(&all).map(|tool| (tool.name, show(tool))).collect();
        let (mailboxes, followers) = (Mailboxes::default(), Followers::default());
        Ok(Self { door, channel, retries, mailboxes, shown, followers })
    }

    /// Who sends a request.
    fn caller(&self, cx: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
        self.sender(&cx.extensions)
    }

    /// Who sends a message.
    fn sender(&self, extensions: &Extensions) -> Result<Caller, ErrorData> {
        match self.channel {
            Channel::Stream => Ok(Caller::local()),
            Channel::Http => extensions
                .get::<http::request::Parts>()
                .and_then(|parts| parts.extensions.get::<Caller>())
                .cloned()
                .ok_or_else(|| {
                    ErrorData::invalid_request("the request is not authenticated", None)
                }),
        }
    }

    fn client(&self, cx: &RequestContext<RoleServer>) -> Result<Client, ErrorData> {
        let capabilities = cx.client_capabilities().unwrap_or_default();
        let is_modern = is_modern(cx);
        let samples = capabilities.sampling.is_some();
        let models = ClientModels {
            sampling: (samples && !is_modern && self.can_ask(cx))
                .then(|| SamplingModel::of(&cx.peer, &cx.id))
                .flatten(),
            sampling_by_retry: samples && is_modern,
            host_completion: true,
            local_models: false,
        };
        let has_tasks = capabilities.supports_tasks();
        let shows_forms = person::shows_forms(&capabilities);
        Ok(Client { caller: self.caller(cx)?, is_modern, has_tasks, models, shows_forms })
    }

    /// Whether a request of ours can reach this client: on streams always, over HTTP in a session.
    fn can_ask(&self, cx: &RequestContext<RoleServer>) -> bool {
        match self.channel {
            Channel::Stream => true,
            Channel::Http => cx
                .extensions
                .get::<http::request::Parts>()
                .is_some_and(|parts| parts.headers.contains_key("mcp-session-id")),
        }
    }

    fn context(
        &self,
        client: &Client,
        cx: &RequestContext<RoleServer>,
        progress: ProgressSink,
    ) -> CallContext {
        let key = cx.meta.0.0.get(IDEMPOTENCY_META).and_then(Value::as_str);
        let key = key.filter(|key| !key.is_empty());
        CallContext {
            rights: client.caller.rights.clone(),
            cancel: cx.ct.clone(),
            progress,
            models: client.models.clone(),
            idempotency_key: key.map(str::to_owned),
            folders: (!client.is_modern && self.can_ask(cx))
                .then(|| ClientRoots::of(&cx.peer, &cx.id))
                .flatten(),
            person: (!client.is_modern && self.can_ask(cx))
                .then(|| ClientPerson::of(&cx.peer, &cx.id))
                .flatten(),
            answer_budget: self.door.answer_budget(),
            ..CallContext::new(client.caller.principal.clone(), Origin::Client)
        }
    }

    /// Calls a tool while progress goes to the client that asked for it.
    async fn call(
        &self,
        tool: &str,
        arguments: Value,
        client: &Client,
        cx: &RequestContext<RoleServer>,
    ) -> Ended {
        let (sink, pump) = match cx.meta.get_progress_token() {
            Some(token) => {
                let (sink, pump) = ProgressPump::new(cx.peer.clone(), token);
                (sink, Some(pump))
            }
            None => (ProgressSink::none(), None),
        };
        let mut context = self.context(client, cx, sink);
        if client.has_tasks {
            context.answer_budget = Some(tasks::TASK_BUDGET);
        }
        // A task has a form of its own for questions, which hosts do not know yet.
        let mailbox = (client.is_modern && client.shows_forms && !client.has_tasks)
            .then(|| self.mailbox(tool, &arguments, client));
        if let Some(mailbox) = &mailbox {
            let mailboxes = self.mailboxes.clone();
            context.person =
                Some(Arc::new(RetryPerson { mailbox: Arc::clone(mailbox), mailboxes }));
        }
        let (door, tool) = (Arc::clone(&self.door), tool.to_owned());
        let call = async {
            let Some(mailbox) = mailbox else {
                return door.call(&tool, arguments, context).await.into();
            };
            // A question ends the request, and with it the request's own token, while the call goes
            // on: it lets go of its job by itself when the time for its answer is over.
            let off = CancellationToken::new();
            let gone = off.clone().drop_guard();
            context.cancel = off.clone();
            let call = async move { door.call(&tool, arguments, context).await };
            let mut call = tokio::spawn(call);
            let read = |ended: Result<CallOutcome, tokio::task::JoinError>| match ended {
                Ok(outcome) => outcome.into(),
                Err(error) => Door::broken(&error).into(),
            };
            tokio::select! {
                biased;
                ended = &mut call => read(ended),
                question = mailbox.question() => {
                    gone.disarm();
                    Ended::Question(Box::new(question))
                }
                () = cx.ct.cancelled() => {
                    off.cancel();
                    read(call.await)
                }
            }
        };
        let Some(pump) = pump else { return call.await };
        tokio::select! {
            ended = call => ended,
            // The pump itself never ends.
            never = pump.run() => match never {},
        }
    }

    /// Where questions of a call arrive: for one that asks about a job, where that job's do.
    fn mailbox(&self, tool: &str, arguments: &Value, client: &Client) -> Arc<Mailbox> {
        let principal = &client.caller.principal;
        let job = arguments.get("job_id").and_then(Value::as_str).filter(|_| tool == "get_job");
        job.and_then(|job| self.mailboxes.find(principal, &JobId(job.trim().to_owned())))
            .unwrap_or_else(|| Mailboxes::open(principal))
    }

    /// Goes on with a call whose question comes back with an answer.
    async fn resume(
        &self,
        asked: Asked,
        request: &CallToolRequestParams,
        client: &Client,
        cx: &RequestContext<RoleServer>,
    ) -> Ended {
        match asked {
            Asked::Model { handle, round } => {
                if let Some(text) = retry::answer(request.input_responses.as_ref()) {
                    let arguments = json!({"handle": handle.0, "text": text, "round": round});
                    self.call("submit_completion", arguments, client, cx).await
                } else {
                    let context = self.context(client, cx, ProgressSink::none());
                    self.door.app.registry.pending(&handle, context).await.into()
                }
            }
            Asked::Person { job, question } => {
                let principal = &client.caller.principal;
                // After a restart nobody waits in this process; the job's state says what became
                // of it.
                if let Some(mailbox) = self.mailboxes.find(principal, &job) {
                    let answer = retry::person_answer(request.input_responses.as_ref());
                    mailbox.answer(&question, answer);
                }
                self.call("get_job", json!({"job_id": job.as_str()}), client, cx).await
            }
        }
    }

    async fn response(
        &self,
        tool: &str,
        ended: Ended,
        client: &Client,
    ) -> Result<CallToolResponse, ErrorData> {
        let principal = &client.caller.principal;
        let outcome = match ended {
            Ended::Outcome(outcome) => *outcome,
            Ended::Question(question) => {
                let (_, job, _) = &*question;
                let job = job.clone();
                if let Some(mut asked) = self.retries.person(*question, principal, tool)? {
                    sign(&mut asked.meta, client.is_modern);
                    return Ok(asked.into());
                }
                let message = format!("job `{job}` asks what this client has no form for");
                return Err(ErrorData::internal_error(message, None));
            }
        };
        if let Some(ask) = &outcome.sampling
            && client.models.sampling_by_retry
            && let Some(mut question) = self.retries.question(ask, principal, tool)?
        {
            sign(&mut question.meta, client.is_modern);
            return Ok(question.into());
        }
        if let Some(job) = &outcome.running_job
            && client.has_tasks
        {
            let mut task = tasks::create(&self.door, principal, job).await?;
            sign(&mut task.meta, client.is_modern);
            return Ok(task.into());
        }
        let mut result = tool_result(outcome, self.door.app.config.catalog.shown_bytes);
        sign(&mut result.meta, client.is_modern);
        Ok(result.into())
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_completions()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(identity::implementation())
            .with_instructions(identity::INSTRUCTIONS)
    }

    /// A client in a session is told of changes without asking; others subscribe.
    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        if let Ok(caller) = self.sender(&context.extensions) {
            self.followers.follow(&self.door, caller.rights, context.peer);
        }
    }

    fn accepted_subscription_filter(
        &self,
        requested: &SubscriptionFilter,
    ) -> Option<SubscriptionFilter> {
        Some(requested.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let caller = self.caller(context.request_context())?;
        let sink = context.sink().clone();
        let telling = async {
            let Some(mut list) = WatchedList::new(&self.door, caller.rights) else {
                return std::future::pending().await;
            };
            while list.changed().await && sink.notify_tool_list_changed().await.is_ok() {}
        };
        tokio::select! {
            () = telling => {}
            () = context.cancelled() => {}
        }
        Ok(())
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        one_page(request.as_ref())?;
        let caller = self.caller(&cx)?;
        let offered = self.door.app.registry.tools(&caller.rights);
        let mut tools: Vec<_> =
            offered.filter_map(|tool| self.shown.get(tool.name).cloned()).collect();
        let others = self.door.app.registry.exposed_tools(&caller.rights);
        tools.extend(others.iter().map(|tool| show_foreign(tool)));
        // What a caller may use hangs on its token and headers.
        let mut result = ListToolsResult::with_all_items(tools)
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Private);
        sign(&mut result.meta, is_modern(&cx));
        Ok(result)
    }

    fn get_tool(&self, name: &str) -> Option<rmcp::model::Tool> {
        self.shown.get(name).cloned().or_else(|| {
            let others = self.door.app.registry.exposed_tools(&Rights::default());
            others.iter().find(|tool| tool.name == name).map(|tool| show_foreign(tool))
        })
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let client = self.client(&cx)?;
        let Some(tool) = self.door.tool(&request.name, &client.caller.rights) else {
            if self.door.is_foreign(&request.name, &client.caller.rights).await {
                let arguments = Value::Object(request.arguments.unwrap_or_default());
                let outcome = self.call(&request.name, arguments, &client, &cx).await;
                return self.response(&request.name, outcome, &client).await;
            }
            return Err(ErrorData::invalid_params(format!("Unknown tool: {}", request.name), None));
        };
        let outcome = if let Some(sealed) = &request.request_state {
            let asked = self.retries.open(sealed, &client.caller.principal, tool.name)?;
            self.resume(asked, &request, &client, &cx).await
        } else {
            let arguments = Value::Object(request.arguments.unwrap_or_default());
            self.call(tool.name, arguments, &client, &cx).await
        };
        self.response(tool.name, outcome, &client).await
    }

    async fn list_prompts(
        &self,
        request: Option<PaginatedRequestParams>,
        cx: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        one_page(request.as_ref())?;
        let prompts = prompts::list(&self.door, &self.caller(&cx)?);
        let mut result = ListPromptsResult::with_all_items(prompts)
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Private);
        sign(&mut result.meta, is_modern(&cx));
        Ok(result)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let mut result = prompts::get(&self.door, &self.caller(&cx)?, &request)?;
        sign(&mut result.meta, is_modern(&cx));
        Ok(result.into())
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        let mut result = prompts::complete(&self.door, &self.caller(&cx)?, &request).await?;
        sign(&mut result.meta, is_modern(&cx));
        Ok(result)
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let client = self.client(&cx)?;
        let context = self.context(&client, &cx, ProgressSink::none());
        let task = tasks::get(&self.door, &JobId(request.task_id), context).await?;
        let mut result = GetTaskResult::new(task);
        sign(&mut result.meta, client.is_modern);
        Ok(result)
    }

    /// Takes the answer of the client's model to a task's question and lets the job go on.
    async fn update_task(
        &self,
        request: UpdateTaskParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let client = self.client(&cx)?;
        let id = JobId(request.task_id);
        tasks::find(&self.door, &client.caller.principal, &id).await?;
        let Some(text) = retry::answer(Some(&request.input_responses)) else {
            return Err(ErrorData::invalid_params("the answer holds no text", None));
        };
        let context = self.context(&client, &cx, ProgressSink::none());
        let state = self.door.app.registry.job(&id, Duration::ZERO, context).await;
        // A task that does not ask any more needs no answer.
        let Some(ask) = state.sampling else { return Ok(()) };
        let arguments = json!({"handle": ask.handle.0, "text": text, "round": ask.round});
        let mut context = self.context(&client, &cx, ProgressSink::none());
        // The client asks for the result by its task; here it waits for the text's acceptance.
        context.answer_budget = Some(Duration::ZERO);
        let outcome = self.door.call("submit_completion", arguments, context).await;
        if outcome.is_error {
            let message = outcome.structured.get("message").and_then(Value::as_str);
            let message = message.unwrap_or("the answer was not accepted").to_owned();
            return Err(ErrorData::invalid_params(message, Some(outcome.structured)));
        }
        Ok(())
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        cx: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let client = self.client(&cx)?;
        let context = self.context(&client, &cx, ProgressSink::none());
        tasks::cancel(&self.door, &JobId(request.task_id), context).await
    }
}

fn is_modern(cx: &RequestContext<RoleServer>) -> bool {
    cx.protocol_version().is_some_and(|version| !version.has_initialize())
}

/// Our lists have one page, so a cursor is never one of ours.
fn one_page(request: Option<&PaginatedRequestParams>) -> Result<(), ErrorData> {
    match request.and_then(|request| request.cursor.as_ref()) {
        Some(_) => Err(ErrorData::invalid_params("unknown cursor: this list has one page", None)),
        None => Ok(()),
    }
}

/// Names the server in a result, as protocol 2026-07-28 wants it.
fn sign(meta: &mut Option<MetaObject>, is_modern: bool) {
    if is_modern {
        let server =
            Implementation::new("atelier", env!("CARGO_PKG_VERSION")).with_title("Atelier");
        meta.get_or_insert_default().0.insert(SERVER_INFO_META.to_owned(), json!(server));
    }
}

/// A tool as MCP shows it.
pub fn show(tool: &Tool) -> rmcp::model::Tool {
    let hints = tool.annotations;
    let annotations = ToolAnnotations::with_title(tool.title)
        .read_only(hints.read_only)
        .destructive(hints.destructive)
        .idempotent(hints.idempotent)
        .open_world(hints.open_world);
    rmcp::model::Tool::new(tool.name, tool.description, object(&tool.input_schema))
        .with_title(tool.title)
        .with_raw_output_schema(object(&tool.output_schema))
        .with_annotations(annotations)
}

/// A tool of another server as MCP shows it: its results come inside ours.
fn show_foreign(tool: &ForeignTool) -> rmcp::model::Tool {
    let hints = tool.hints;
    let mut annotations = ToolAnnotations::default();
    annotations.title.clone_from(&tool.title);
    annotations.read_only_hint = hints.read_only_hint;
    annotations.destructive_hint = hints.destructive_hint;
    annotations.idempotent_hint = hints.idempotent_hint;
    annotations.open_world_hint = hints.open_world_hint;
    let description = tool.description.clone();
    let mut shown =
        rmcp::model::Tool::new(tool.name.clone(), description, object(&tool.input_schema))
            .with_annotations(annotations);
    shown.title.clone_from(&tool.title);
    shown
}

fn object(schema: &Value) -> Arc<JsonObject> {
    Arc::new(schema.as_object().cloned().unwrap_or_default())
}
