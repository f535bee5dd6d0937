//! Who calls, from where, and how far the call may go.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use crate::jobs::ProgressSink;
use crate::llm::ClientModels;
use crate::storage::{JobId, PrincipalId};

/// Key of the user that calls without a `user_number` are for.
pub const DEFAULT_USER: &str = "+17145986105";

/// Where a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// An MCP client.
    Client,
    /// The HTTP API beside MCP.
    Api,
    /// A command of this program.
    Command,
    /// Python code in the sandbox.
    Code,
    /// A hosted page.
    Page,
    /// A workflow or the chat.
    Workflow,
}

/// What a caller may use. Narrowing is possible at every step, widening never.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    /// Names of the toolsets open to it; `None`: all that are offered.
    pub toolsets: Option<BTreeSet<String>>,
    /// Names of the tools open to it; `None`: all of the toolsets.
    pub tools: Option<BTreeSet<String>>,
    /// Only tools that change nothing.
    pub read_only: bool,
    /// Whose rights they are. Beside the tools that everybody has they cover those of the servers
    /// that this principal runs; `None`: those of nobody.
    pub principal: Option<PrincipalId>,
}

/// The folders that the caller works in, asked for when somebody wants to know.
#[async_trait]
pub trait CallerFolders: std::fmt::Debug + Send + Sync {
    /// The folders; `None` when the caller names none, or does not answer.
    async fn folders(&self) -> Option<Vec<PathBuf>>;
}

/// A question to the person in front of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct PersonQuestion {
    /// What is asked, for people. What it quotes of models and tools is data.
    pub message: String,
    /// JSON Schema of the answer: one object of plain values.
    pub schema: Value,
    /// The job that waits for the answer, where one does.
    pub job: Option<JobId>,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq)]
pub enum PersonAnswer {
    /// They answered, with these values.
    Accepted(Value),
    /// They declined.
    Declined,
    /// They closed it without an answer.
    Dismissed,
    /// They could not be asked.
    Unreachable,
}

/// The person in front of the client that calls, where the client can ask them.
#[async_trait]
pub trait CallerPerson: std::fmt::Debug + Send + Sync {
    /// Asks, and waits for the answer for as long as it takes.
    async fn ask(&self, question: &PersonQuestion) -> PersonAnswer;

    /// The same person for calls inside this one; `None` when a question from there cannot travel.
    fn inside(self: Arc<Self>) -> Option<Arc<dyn CallerPerson>>;
}

/// The circumstances of one call, made by the transport.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Who is authenticated.
    pub principal: PrincipalId,
    /// What it may use.
    pub rights: Rights,
    /// Where the call came in.
    pub origin: Origin,
    /// Fires when the caller is gone or does not want the answer any more.
    pub cancel: CancellationToken,
    /// Where progress goes.
    pub progress: ProgressSink,
    /// Models that the caller offers.
    pub models: ClientModels,
    /// Key by which the caller marks repetitions of the same call.
    pub idempotency_key: Option<String>,
    /// How long to wait before answering with a job id. `None`: until the end.
    pub answer_budget: Option<Duration>,
    /// The user that every call is for, whatever its arguments say. `None`: as the arguments say.
    pub user: Option<String>,
    /// Model tokens of the program that calls, where it has an allowance of its own.
    pub tokens: Option<TokenAllowance>,
    /// How many calls this one is made inside of.
    pub depth: u32,
    /// Folders that the caller works in. What reads or writes files of the user stays inside.
    pub folders: Option<Arc<dyn CallerFolders>>,
    /// Whom to ask.
    pub person: Option<Arc<dyn CallerPerson>>,
    /// Where results of direct calls wait until they are written down. `None`: each is written down
    /// before it is answered.
    pub ledger: Option<Arc<Ledger>>,
}

impl Origin {
    /// Whether the call is made by a program that a model or a stranger may have written, and not
    /// by the caller's own decision.
    pub const fn is_program(self) -> bool {
        match self {
            Self::Code | Self::Page => true,
            Self::Client | Self::Api | Self::Command | Self::Workflow => false,
        }
    }

    /// Of a call and one made inside it, the origin that may do less.
    #[must_use]
    pub const fn narrower(self, inner: Self) -> Self {
        match (self, inner) {
            (Self::Page, _) | (_, Self::Page) => Self::Page,
            (Self::Code, _) | (_, Self::Code) => Self::Code,
            (Self::Client | Self::Api | Self::Command | Self::Workflow, inner) => inner,
        }
    }
}

impl Rights {
    /// All rights of a principal.
    pub fn of(principal: PrincipalId) -> Self {
        Self { principal: Some(principal), ..Self::default() }
    }

    /// These rights for the named tools alone.
    #[must_use]
    pub fn narrowed_to(&self, names: &BTreeSet<String>) -> Self {
        let tools = match &self.tools {
            Some(own) => own.intersection(names).cloned().collect(),
            None => names.clone(),
        };
        Self { tools: Some(tools), ..self.clone() }
    }
}

/// Model tokens that a program may use a day, counted beside those of its principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAllowance {
    /// Whose they are; the name of the count.
    pub holder: String,
    /// How many.
    pub per_day: i64,
}

impl CallContext {
    /// A context with all rights that waits until the end and reports no progress.
    pub fn new(principal: PrincipalId, origin: Origin) -> Self {
        Self {
            rights: Rights::of(principal.clone()),
            principal,
            origin,
            cancel: CancellationToken::new(),
            progress: ProgressSink::none(),
            models: ClientModels { host_completion: true, ..ClientModels::default() },
            idempotency_key: None,
            answer_budget: None,
            user: None,
            tokens: None,
            depth: 0,
            folders: None,
            person: None,
            ledger: None,
        }
    }
}
