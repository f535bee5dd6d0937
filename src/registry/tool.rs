//! What a tool is.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::context::CallContext;
use super::portable_schema::portable_schema;
use super::reply::CallOutcome;
use crate::error::ToolError;
use crate::jobs::{Failure, JobReply, Run, ToolOutput};
use crate::storage::CallId;

/// A group of tools that is offered, or left out, as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Toolset {
    /// Web apps and PDFs.
    Documents,
    /// Python in the sandbox.
    Python,
    /// MCP servers made from ideas, specifications and databases.
    Factory,
    /// Phoenix CRUD.
    Elixir,
    /// Workflows, chat and single model calls.
    Agent,
    /// The tools of other MCP servers.
    Catalog,
    /// Jobs and completions; always offered.
    Jobs,
}

impl Toolset {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Documents,
        Self::Python,
        Self::Factory,
        Self::Elixir,
        Self::Agent,
        Self::Catalog,
        Self::Jobs,
    ];

    /// Name in configuration and documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Python => "python",
            Self::Factory => "factory",
            Self::Elixir => "elixir",
            Self::Agent => "agent",
            Self::Catalog => "catalog",
            Self::Jobs => "jobs",
        }
    }
}

/// Hints for clients (MCP `annotations`); all four are always sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Annotations {
    /// Changes nothing.
    pub read_only: bool,
    /// May destroy what was there.
    pub destructive: bool,
    /// The same call twice changes nothing more.
    pub idempotent: bool,
    /// Reaches things outside this server.
    pub open_world: bool,
}

impl Annotations {
    /// Reads only what this server holds.
    pub const READ: Self =
        Self { read_only: true, destructive: false, idempotent: true, open_world: false };
    /// Makes new versions, keeps old ones, and reaches a model or the web.
    pub const CREATE: Self =
        Self { read_only: false, destructive: false, idempotent: false, open_world: true };
}

/// The call that a direct tool serves.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// Its circumstances.
    pub context: CallContext,
}

/// What a direct tool answers with.
#[derive(Debug, Clone)]
pub enum DirectReply {
    /// Its own result.
    Output(ToolOutput),
    /// The state or result of a job, passed through.
    Job(JobReply),
    /// The outcome of another call, which is recorded under its own id.
    Outcome(Box<CallOutcome>),
}

type DirectHandler =
    Arc<dyn Fn(Call, Value) -> BoxFuture<'static, Result<DirectReply, ToolError>> + Send + Sync>;
type JobHandler =
    Arc<dyn Fn(Run, Value) -> BoxFuture<'static, Result<ToolOutput, Failure>> + Send + Sync>;

/// How a tool runs.
#[derive(Clone)]
pub enum Handler {
    /// At once, within the call: for look-ups.
    Direct(DirectHandler),
    /// As a durable job: for everything that asks a model, renders, executes or writes.
    Job(JobHandler),
}

/// The tool that a call of another tool passes its arguments on to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InnerTool {
    /// Its name.
    pub name: String,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// Whether code and pages may call it without an operator's setting. For a tool of this
    /// program, its own mark counts.
    pub open_to_code: bool,
}

/// Tells which tool a call is passed on to; `None` when the arguments name none.
pub type Forwarding = Arc<dyn Fn(&Value) -> Option<InnerTool> + Send + Sync>;

/// A tool: what clients see of it, and what it does.
#[derive(Clone)]
pub struct Tool {
    /// Name, `[a-z_]`, at most 64 characters.
    pub name: &'static str,
    /// Title for people.
    pub title: &'static str,
    /// What it does, when to use it and when not.
    pub description: &'static str,
    /// Group.
    pub toolset: Toolset,
    /// Hints.
    pub annotations: Annotations,
    /// Portable JSON Schema of the arguments.
    pub input_schema: Value,
    /// Portable JSON Schema of the structured result; requires only `status`.
    pub output_schema: Value,
    /// Whether Python code may call it without an operator's setting. Never for a tool that may
    /// destroy something.
    pub open_to_code: bool,
    /// Whether pages may; never where code may not, since anybody who holds a link speaks by a page.
    pub open_to_pages: bool,
    /// Whether it is no tool for clients: a job that the program itself starts, under the origin
    /// [`Origin::Workflow`](super::Origin::Workflow). It is never listed.
    pub internal: bool,
    /// Set when it passes calls on: rights are checked on the inner tool as well.
    pub forwarding: Option<Forwarding>,
    /// Takes out of the arguments what may not be written down, before they are.
    pub hiding: Option<fn(&mut Value)>,
    /// Fields that every error of the tool has beside the usual ones, where it says nothing itself.
    pub error_fields: Map<String, Value>,
    /// What it does.
    pub handler: Handler,
}

impl fmt::Debug for Tool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tool").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Collects the parts of a [`Tool`]; the handler comes last.
#[derive(Debug, Clone, Copy)]
pub struct ToolBuilder {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    toolset: Toolset,
    annotations: Annotations,
    open_to_code: bool,
    open_to_pages: bool,
}

impl Tool {
    /// Starts a tool.
    pub const fn builder(name: &'static str, title: &'static str, toolset: Toolset) -> ToolBuilder {
        ToolBuilder {
            name,
            title,
            description: "",
            toolset,
            annotations: Annotations::READ,
            open_to_code: true,
            open_to_pages: true,
        }
    }

    /// Hides the tool from everybody but the program itself.
    #[must_use]
    pub const fn internal(mut self) -> Self {
        self.internal = true;
        self.open_to_code = false;
        self
    }

    /// Says that the tool passes its calls on, and to which tool: that one's rights are checked
    /// too, wherever the call comes from.
    #[must_use]
    pub fn forwards(
        mut self,
        inner: impl Fn(&Value) -> Option<InnerTool> + Send + Sync + 'static,
    ) -> Self {
        self.forwarding = Some(Arc::new(inner));
        self
    }

    /// Says which fields every error of the tool has, also one from before it ran.
    #[must_use]
    pub fn error_fields(mut self, fields: Map<String, Value>) -> Self {
        self.error_fields = fields;
        self
    }
}

impl Tool {
    /// Takes secrets out of the arguments before they are stored: the tool gets what is left.
    #[must_use]
    pub const fn hides(mut self, hide: fn(&mut Value)) -> Self {
        self.hiding = Some(hide);
        self
    }
}

impl ToolBuilder {
    /// What it does, when to use it and when not.
    #[must_use]
    pub const fn description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// Hints for clients.
    #[must_use]
    pub const fn annotations(mut self, annotations: Annotations) -> Self {
        self.annotations = annotations;
        self
    }

    /// Python code and pages may call it only where the operator says so.
    #[must_use]
    pub const fn closed_to_code(mut self) -> Self {
        self.open_to_code = false;
        self
    }

    /// Pages may call it only where the operator says so; Python code may, which acts for whoever
    /// runs it.
    #[must_use]
    pub const fn closed_to_pages(mut self) -> Self {
        self.open_to_pages = false;
        self
    }

    /// A tool that answers at once.
    pub fn direct<P, F, Fut>(self, output_schema: Value, handler: F) -> Tool
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        F: Fn(Call, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<DirectReply, ToolError>> + Send + 'static,
    {
        let handler: DirectHandler =
            Arc::new(move |call, arguments| match parse_arguments::<P>(arguments) {
                Ok(params) => Box::pin(handler(call, params)),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            });
        self.finish(portable_schema::<P>(), output_schema, Handler::Direct(handler))
    }

    /// A tool that runs as a durable job. It may run again from the top after a crash or a host
    /// completion: everything paid for sits in steps, and nothing else has an effect before the
    /// last of them.
    pub fn job<P, O, F, Fut>(self, handler: F) -> Tool
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        O: Into<ToolOutput> + JsonSchema + 'static,
        F: Fn(Run, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O, Failure>> + Send + 'static,
    {
        let handler: JobHandler =
            Arc::new(move |run, arguments| match parse_arguments::<P>(arguments) {
                Ok(params) => {
                    let future = handler(run, params);
                    Box::pin(async move { future.await.map(Into::into) })
                }
                Err(error) => Box::pin(std::future::ready(Err(Failure::Error(error)))),
            });
        self.finish(portable_schema::<P>(), portable_schema::<O>(), Handler::Job(handler))
    }

    fn finish(self, input_schema: Value, output_schema: Value, handler: Handler) -> Tool {
        // What may destroy something needs somebody's decision.
        let open_to_code = self.open_to_code && !self.annotations.destructive;
        Tool {
            name: self.name,
            title: self.title,
            description: self.description,
            toolset: self.toolset,
            annotations: self.annotations,
            input_schema,
            output_schema: with_common_fields(output_schema),
            open_to_code,
            open_to_pages: open_to_code && self.open_to_pages,
            internal: false,
            forwarding: None,
            hiding: None,
            error_fields: Map::new(),
            handler,
        }
    }
}

fn parse_arguments<P: DeserializeOwned>(arguments: Value) -> Result<P, ToolError> {
    serde_json::from_value(arguments).map_err(|error| {
        ToolError::invalid(
            "invalid_arguments",
            format!("the arguments do not fit the tool: {error}"),
        )
        .hint("compare them with the tool's input schema")
    })
}

/// Adds what every result may carry, and requires `status` alone, so that `running` and
/// `needs_completion` validate too.
fn with_common_fields(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        let properties = object.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            for (name, field) in [
                (
                    "status",
                    json!({"type": "string", "description": "`success` or `warning`; `running` (ask get_job); `needs_completion` (write the text and submit it)"}),
                ),
                ("message", json!({"type": "string", "description": "What happened, for people"})),
                (
                    "call_id",
                    json!({"type": "string", "description": "Id for references: @@ref_<call_id>__<path>"}),
                ),
                (
                    "job_id",
                    json!({"type": "string", "description": "Set while running: argument of get_job and cancel_job"}),
                ),
                (
                    "handle",
                    json!({"type": "string", "description": "Set with needs_completion: argument of submit_completion"}),
                ),
            ] {
                properties.entry(name).or_insert(field);
            }
        }
        object.insert("required".into(), json!(["status"]));
        object.shift_remove("additionalProperties");
    }
    schema
}

/// Turns a serializable result into a tool's output. Implement `From<O>` with this.
pub(crate) fn structured(value: &impl Serialize) -> ToolOutput {
    ToolOutput::structured(serde_json::to_value(value).unwrap_or_else(|_| json!({})))
}
