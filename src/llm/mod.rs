//! The port to language models.
//!
//! A capability asks for a completion as a named step of its job (see [`crate::jobs::Run`]) and
//! never knows who answered: a vendor's API, the client's own model by sampling, the user's own
//! command-line tool, or the host through `submit_completion`.
//!
//! The flow: [`resolve`] picks a route, an adapter implements [`LanguageModel`], and [`guard`]
//! turns the adapter's events into one [`Outcome`] or one [`LlmError`] with a stable code. Only
//! [`genai`] knows the crate of that name.

pub mod attributes;
pub mod cli;
pub mod genai;
pub mod guard;
pub mod models;
pub mod resolve;
pub mod sampling;

mod error;

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use error::{LlmError, LlmErrorCode};

/// The pictures that every vendor reads.
pub(crate) fn is_common_picture(media_type: &str) -> bool {
    matches!(media_type, "image/png" | "image/jpeg" | "image/webp" | "image/gif")
}

/// Who said a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The user, or us on behalf of the user.
    User,
    /// The model.
    Assistant,
    /// Results of tools that the model called.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// Its parts, in order.
    pub parts: Vec<Part>,
}

impl Message {
    /// A user message of one text.
    pub fn user(text: impl Into<String>) -> Self {
        Self { role: Role::User, parts: vec![Part::Text(text.into())] }
    }

    /// An assistant message of one text.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self { role: Role::Assistant, parts: vec![Part::Text(text.into())] }
    }
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text(String),
    /// A picture or PDF, handed over as bytes in base64.
    File {
        /// Media type, such as `image/png` or `application/pdf`.
        media_type: String,
        /// Name for people.
        name: String,
        /// Content in base64.
        base64: String,
    },
    /// A file that lies in the store. Whoever sends the request puts it in as [`Part::File`] for a
    /// model that reads such files, and as its text for any other.
    StoredFile(StoredFile),
    /// A call that the model made.
    ToolCall(ToolCall),
    /// The answer to a call.
    ToolResult {
        /// Id of the call.
        call_id: String,
        /// Result as text, mostly JSON.
        content: String,
    },
    /// Opaque reasoning state that a vendor wants back in the next turn, as it came.
    ThoughtSignature(String),
}

/// A file of the store that a message carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// SHA-256 of its bytes, in hex: its blob.
    pub sha: String,
    /// Media type by its bytes.
    pub media_type: String,
    /// Name for people.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// What a model that sees it is told in front of it.
    pub label: String,
    /// What a model gets that cannot see it: its text, marked as data; `None`: nothing.
    pub text: Option<String>,
}

/// A tool call by a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Id, unique in the conversation.
    pub id: String,
    /// Tool name.
    pub name: String,
    /// Arguments; anything but an object is the model's mistake and goes back to it.
    pub arguments: Value,
}

/// A tool that a model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolDeclaration {
    /// Name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub schema: Value,
}

/// What kind of text is expected: hosts show it, and prompts depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedKind {
    /// One complete HTML document.
    Html,
    /// A diff-fenced patch.
    EditBlocks,
    /// Python source.
    Python,
    /// One JSON value.
    Json,
    /// Plain text.
    Text,
}

/// What a completion must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expects {
    /// Kind of text.
    pub kind: ExpectedKind,
    /// JSON Schema, for [`ExpectedKind::Json`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
    /// Cap on the text, in bytes.
    pub max_bytes: usize,
}

impl Expects {
    /// A text of this kind with the cap of the program (2 MiB).
    pub const fn kind(kind: ExpectedKind) -> Self {
        Self { kind, schema: None, max_bytes: 2 * 1024 * 1024 }
    }
}

/// A request to a model, without the choice of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Stable instructions; kept first so that vendors can cache them.
    pub system: String,
    /// The conversation.
    pub messages: Vec<Message>,
    /// Tools the model may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolDeclaration>,
    /// What the answer must be.
    pub expects: Expects,
}

impl Request {
    /// A request of one system text and one user text.
    pub fn new(system: impl Into<String>, user: impl Into<String>, expects: Expects) -> Self {
        Self {
            system: system.into(),
            messages: vec![Message::user(user)],
            tools: Vec::new(),
            expects,
        }
    }
}

/// What arrives from a model while it answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The model that answers, where that is known only now.
    Model(String),
    /// A piece of the answer.
    Text(String),
    /// A piece of reasoning; shown as progress, never part of the answer.
    Thinking(String),
    /// A whole tool call.
    ToolCall(ToolCall),
    /// Opaque reasoning state to give back in the next turn.
    ThoughtSignature(String),
    /// The model declined; the text is the provider's reason when it gives one.
    Refused(String),
    /// Figures, whenever they come; later ones replace earlier ones.
    Usage(Usage),
    /// The end of a complete answer. A stream that ends without it was cut.
    End(Stop),
}

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// It was done.
    Complete,
    /// It calls tools. What decides is whether there are calls, not this.
    ToolUse,
    /// It ran into its limit of output.
    MaxTokens,
    /// The provider cut it for its content.
    Refused,
    /// Anything else, in the provider's words.
    Other(String),
}

/// Token counts as the provider reports them; `None` where it says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read, cached ones included.
    pub input_tokens: Option<u64>,
    /// Tokens written, reasoning included.
    pub output_tokens: Option<u64>,
    /// Tokens read from the provider's cache.
    pub cached_tokens: Option<u64>,
    /// Tokens spent on reasoning.
    pub reasoning_tokens: Option<u64>,
}

/// How a model is reached: `llm_route` of results and of `doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// A vendor's API, or a server that speaks like one.
    Api,
    /// The MCP client's own model, by sampling.
    Sampling,
    /// A model server on this machine that nobody configured.
    Local,
    /// The user's own command-line tool.
    Command,
    /// The host writes the text and submits it.
    Host,
}

impl Route {
    /// The name as results show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Sampling => "sampling",
            Self::Local => "local",
            Self::Command => "command",
            Self::Host => "host",
        }
    }
}

/// A complete, guarded answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The answer.
    pub text: String,
    /// Tool calls, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// Opaque reasoning state to give back with this turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thought_signatures: Vec<String>,
    /// Model that answered; `None` when the host did.
    pub model_used: Option<String>,
    /// How it was reached.
    pub route: Route,
    /// Why another model than the one asked for answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_note: Option<String>,
    /// Token counts over all tries.
    pub usage: Usage,
    /// Cost in US dollars over all tries, when prices are known.
    pub cost_usd: Option<f64>,
    /// Requests made, failed ones included.
    pub tries: u32,
    /// How long the model took over all tries; zero when a host wrote the text.
    #[serde(default)]
    pub elapsed_ms: u64,
    /// Whether the answer is known to be complete. A host gives no stop reason, so its text is
    /// judged by structure alone.
    pub stop: Stop,
}

/// One model behind one wire. Adapters report events as they come and judge nothing; the
/// [`guard`] does.
#[async_trait]
pub trait LanguageModel: Send + Sync + 'static {
    /// Id of the model, as reported in `model_used`.
    fn model_id(&self) -> &str;
    /// How it is reached.
    fn route(&self) -> Route;
    /// Provider name for limits and logs, such as `anthropic`.
    fn provider(&self) -> &str;
    /// Whether it sees files of this media type.
    fn reads(&self, _media_type: &str) -> bool {
        false
    }
    /// Tokens that fit into one request with its answer, where that is known.
    fn context_tokens(&self) -> Option<u64> {
        None
    }
    /// Starts an answer. Dropping the stream ends the request at once.
    ///
    /// # Errors
    /// [`LlmError`] when the request fails before its first event; later failures are items of
    /// the stream.
    async fn stream(
        &self,
        request: &Request,
    ) -> Result<BoxStream<'static, Result<Event, LlmError>>, LlmError>;
}

/// What a caller offers as a model besides those of the configuration.
#[derive(Clone, Default)]
pub struct ClientModels {
    /// Sampling over a live connection (protocol up to 2025-11-25).
    pub sampling: Option<Arc<dyn LanguageModel>>,
    /// Sampling by a returned request and a retried call (protocol 2026-07-28): the run is parked
    /// as for host completion, and the transport asks the client.
    pub sampling_by_retry: bool,
    /// The caller reads `needs_completion` and can submit: false for hosted pages.
    pub host_completion: bool,
    /// The caller is the terminal, the chat page or a page, where an unconfigured local model may
    /// answer before the host.
    pub local_models: bool,
}

impl std::fmt::Debug for ClientModels {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ClientModels")
            .field("sampling", &self.sampling.is_some())
            .field("sampling_by_retry", &self.sampling_by_retry)
            .field("host_completion", &self.host_completion)
            .field("local_models", &self.local_models)
            .finish()
    }
}
