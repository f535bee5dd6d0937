//! What a run tells while it goes on: one event per line of its log.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::engine::{CallStatus, Decision, ResultLink, StopReason, Totals};
use crate::llm::StoredFile;

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When, milliseconds since the Unix epoch.
    pub at: i64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// A picture or document of a result, as an event names it; its bytes lie in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownPicture {
    /// SHA-256 of its bytes.
    pub sha: String,
    /// Media type by its bytes.
    pub media_type: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Name for people.
    pub name: String,
}

impl ShownPicture {
    /// As events name this file.
    pub fn of(file: &StoredFile) -> Self {
        Self {
            sha: file.sha.clone(),
            media_type: file.media_type.clone(),
            bytes: file.bytes,
            name: file.name.clone(),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The run began.
    Started {
        /// Whose it is.
        principal: String,
        /// The workflow's name, or `chat`.
        title: String,
        /// Job that carries it.
        job_id: String,
        /// What the user asked last.
        query: String,
        /// Model that will answer; null when it is the client's own or the host.
        model: Option<String>,
        /// How it is reached.
        route: String,
        /// Turns it may take.
        turns: u32,
        /// Tools it may call.
        tools: Vec<String>,
    },
    /// It goes on after a break. Text of a turn that did not finish is void.
    Resumed {
        /// Attempt of the job.
        attempt: i64,
    },
    /// The model is asked. Text of the same number that came before is void.
    TurnStarted {
        /// Number of the question, from 1.
        number: u32,
        /// `turn`, `closing` or `summary`.
        kind: String,
    },
    /// A piece of the answer.
    Text {
        /// Number of the question.
        number: u32,
        /// The piece.
        delta: String,
    },
    /// A piece of reasoning.
    Thinking {
        /// Number of the question.
        number: u32,
        /// The piece.
        delta: String,
    },
    /// The provider failed and is asked again: of the text of this question these bytes stand.
    TextReset {
        /// Number of the question.
        number: u32,
        /// Bytes that stand.
        bytes: usize,
    },
    /// The model answered.
    TurnFinished {
        /// Number of the question.
        number: u32,
        /// The whole answer's text.
        text: String,
        /// Tools that it calls, in order.
        calls: Vec<String>,
        /// Model that answered.
        model: Option<String>,
        /// Tokens read, where they were counted.
        input_tokens: Option<u64>,
        /// Tokens written, where they were counted.
        output_tokens: Option<u64>,
        /// Cost, where it is known.
        cost_usd: Option<f64>,
        /// How long it took.
        ms: u64,
    },
    /// A call began.
    CallStarted {
        /// Answer of the model that it came with.
        turn: u32,
        /// Place in that answer.
        position: u32,
        /// Tool.
        tool: String,
        /// Arguments, without secrets, large values by hash.
        arguments: Value,
    },
    /// A call goes on.
    CallProgress {
        /// Answer of the model that it came with.
        turn: u32,
        /// Place in that answer.
        position: u32,
        /// Rising number.
        value: f64,
        /// What it rises to.
        total: Option<f64>,
        /// What is happening.
        message: String,
    },
    /// A call is over.
    CallFinished {
        /// Answer of the model that it came with.
        turn: u32,
        /// Place in that answer.
        position: u32,
        /// Tool.
        tool: String,
        /// How it ended.
        status: CallStatus,
        /// Id for references to the whole result.
        call_id: Option<String>,
        /// How long it took.
        ms: u64,
        /// Begin of what the model sees of the result: data of somebody else, never markup.
        head: String,
        /// What can be opened.
        links: Vec<ResultLink>,
        /// Pictures and documents of the result.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pictures: Vec<ShownPicture>,
    },
    /// A person has to agree to a call.
    ApprovalWanted {
        /// Answer of the model that it came with.
        turn: u32,
        /// Place in that answer.
        position: u32,
        /// Tool.
        tool: String,
        /// Arguments as they will be sent.
        arguments: Value,
        /// Hash of the arguments; the answer names it.
        arguments_sha: String,
        /// Why it is asked.
        reason: String,
    },
    /// A person decided.
    ApprovalGiven {
        /// Answer of the model that the call came with.
        turn: u32,
        /// Place in that answer.
        position: u32,
        /// What was decided.
        decision: Decision,
        /// Hash of what was asked about.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        arguments_sha: String,
    },
    /// What was used so far.
    Usage(Totals),
    /// The host writes the next answer.
    WaitingForHost {
        /// Number of the question.
        number: u32,
    },
    /// It is over, with an answer or at a limit.
    Done {
        /// Why.
        stop_reason: StopReason,
        /// More about why.
        detail: Option<String>,
        /// The last words.
        answer: String,
        /// The value, when a form was asked for.
        output: Option<Value>,
        /// What was used.
        totals: Totals,
    },
    /// It failed.
    Failed {
        /// Stable code.
        code: String,
        /// What failed.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// It was stopped: by somebody, or by the end of the program, which may go on with it later.
    Stopped {
        /// `cancelled` or `interrupted`.
        reason: String,
    },
}

impl EventKind {
    /// Whether nothing follows, unless the run is taken up again.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. } | Self::Stopped { .. })
    }

    /// The name by which the same event is known when a run goes on: it is told once.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Self::Started { .. } => Some("started".to_owned()),
            Self::TurnFinished { number, .. } => Some(format!("turn {number}")),
            Self::CallStarted { turn, position, .. } => Some(format!("call {turn}.{position}")),
            Self::CallFinished { turn, position, .. } => Some(format!("result {turn}.{position}")),
            Self::ApprovalWanted { turn, position, arguments_sha, .. } => {
                Some(format!("approval {turn}.{position} {arguments_sha}"))
            }
            Self::ApprovalGiven { turn, position, arguments_sha, .. } => {
                Some(format!("decision {turn}.{position} {arguments_sha}"))
            }
            Self::Done { .. } => Some("done".to_owned()),
            Self::Resumed { .. }
            | Self::TurnStarted { .. }
            | Self::Text { .. }
            | Self::Thinking { .. }
            | Self::TextReset { .. }
            | Self::CallProgress { .. }
            | Self::Usage(_)
            | Self::WaitingForHost { .. }
            | Self::Failed { .. }
            | Self::Stopped { .. } => None,
        }
    }
}
