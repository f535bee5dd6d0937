//! Who calls, from where, and how far the call may go.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::jobs::ProgressSink;
use crate::llm::ClientModels;
use crate::storage::PrincipalId;

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
}

impl CallContext {
    /// A context with all rights that waits until the end and reports no progress.
    pub fn new(principal: PrincipalId, origin: Origin) -> Self {
        Self {
            principal,
            rights: Rights::default(),
            origin,
            cancel: CancellationToken::new(),
            progress: ProgressSink::none(),
            models: ClientModels { host_completion: true, ..ClientModels::default() },
            idempotency_key: None,
            answer_budget: None,
        }
    }
}
