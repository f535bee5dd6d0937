//! What a run says while it goes on, and what can be said back.

use serde_json::{Map, Value};

use super::outcome::Outcome;

/// Names one call of one run; the code chose it, and it means nothing elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// Which stream a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Something that happened in a run.
#[derive(Debug)]
pub enum Event {
    /// Output as it appears. Pieces are dropped when nobody reads them in time; the outcome is whole.
    Output {
        /// Where it came from.
        stream: Stream,
        /// The text, invalid bytes replaced.
        text: String,
    },
    /// The code calls a tool and waits.
    Call(ToolCall),
    /// The code asks a model and waits.
    Ask(AiQuestion),
    /// The run is over and nothing of it is left. Always the last event.
    Ended(Box<Outcome>),
}

/// A call of a tool, as the code wrote it: unchecked.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// To be given back with the reply.
    pub id: CallId,
    /// The tool's name.
    pub tool: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

/// A question to a model, as the code wrote it: unchecked.
#[derive(Debug, Clone)]
pub struct AiQuestion {
    /// To be given back with the reply.
    pub id: CallId,
    /// What is asked.
    pub prompt: String,
    /// The shape that the answer must have.
    pub json_schema: Option<Value>,
    /// The system prompt.
    pub system: Option<String>,
    /// The model that the code wants.
    pub model: Option<String>,
}

/// Answer to a call or a question.
pub type Reply = Result<Value, CallFailure>;

/// Why a call failed; raised in the code as `McpToolError`.
#[derive(Debug, Clone, PartialEq)]
pub struct CallFailure {
    /// Stable name.
    pub code: String,
    /// For people.
    pub message: String,
    /// More, as JSON (`McpToolError.details`).
    pub details: Option<Value>,
}

impl CallFailure {
    /// A failure without details.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), details: None }
    }
}
