//! What goes into the machine and what comes out of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::results::{CallAnswer, CallStatus};
use crate::llm::{ToolCall, Usage};

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Ask the model.
    CallModel {
        /// Which question of the run it is, from 1.
        number: u32,
        /// What for.
        kind: AskKind,
    },
    /// Ask a person about these calls.
    Approve(Vec<PlannedCall>),
    /// Make these calls; those with an answer are not made.
    CallTools(Vec<PlannedCall>),
    /// It is over.
    Done(Box<Ending>),
}

/// What the model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AskKind {
    /// The next step.
    Turn,
    /// An answer from what there is, without further calls.
    Closing,
    /// A summary of the older turns.
    Summary,
}

/// A call on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedCall {
    /// Answer of the model that it came with, from 1.
    pub turn: u32,
    /// Place in that answer, from 1.
    pub position: u32,
    /// The tool's own name; as the model said it when there is no such tool.
    pub tool: String,
    /// Arguments, put right where that was possible.
    pub arguments: Value,
    /// Milliseconds to wait before.
    pub wait_ms: u64,
    /// Its answer, when it is not to be made.
    pub answer: Option<CallAnswer>,
    /// Whether a person has to agree first.
    pub asks: bool,
    /// The call as the model made it.
    pub(super) call: ToolCall,
    /// Tool and arguments in one form, to know it again.
    pub(super) key: String,
}

/// A person's word on a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "decision")]
pub enum Decision {
    /// This call.
    Allow,
    /// This tool, for the rest of the run.
    AllowForRun,
    /// Not this call.
    Deny {
        /// Why; the model is told.
        #[serde(default)]
        reason: String,
    },
}

/// What a model answered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// Its words.
    pub text: String,
    /// Its calls.
    pub calls: Vec<ToolCall>,
    /// Opaque state that goes back with this answer.
    pub states: Vec<String>,
    /// Tokens.
    pub usage: Usage,
    /// Cost, when it is known.
    pub cost_usd: Option<f64>,
    /// How long it took.
    pub ms: u64,
    /// Why it cannot be read, when calls come as text.
    pub unreadable: Option<String>,
}

/// Why a model gave no answer, where the run can end or go on with that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelFailure {
    /// It declined.
    Refused(String),
    /// It ran into its limit of output.
    Truncated(String),
    /// The conversation is too long for it.
    TooLong(String),
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model answered.
    Answered,
    /// All turns were used.
    MaxTurns,
    /// All calls were used.
    MaxToolCalls,
    /// All tokens were used.
    TokenLimit,
    /// All money was used.
    CostLimit,
    /// All time was used.
    TimeLimit,
    /// It went in circles.
    LoopGuard,
    /// The model declined.
    Refused,
    /// The answer was cut off.
    Truncated,
    /// The answer never had the form that was asked for.
    InvalidOutput,
    /// A tool that had to succeed did not.
    ToolFailed,
}

impl StopReason {
    /// The name as results show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::MaxTurns => "max_turns",
            Self::MaxToolCalls => "max_tool_calls",
            Self::TokenLimit => "token_limit",
            Self::CostLimit => "cost_limit",
            Self::TimeLimit => "time_limit",
            Self::LoopGuard => "loop_guard",
            Self::Refused => "refused",
            Self::Truncated => "truncated",
            Self::InvalidOutput => "invalid_output",
            Self::ToolFailed => "tool_failed",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ending {
    /// Why.
    pub stop: StopReason,
    /// More about why, for people.
    pub detail: Option<String>,
    /// The last words of the model.
    pub answer: String,
    /// The answer's value, when a form was asked for and kept.
    pub output: Option<Value>,
}

/// A call that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Answer of the model that it came with, from 1.
    pub turn: u32,
    /// Place in that answer, from 1.
    pub position: u32,
    /// Tool.
    pub tool: String,
    /// How it ended.
    pub status: CallStatus,
    /// Id for references.
    pub call_id: Option<String>,
    /// How long it took.
    pub ms: u64,
}

/// What a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Answers of the model that count.
    pub turns: u32,
    /// Questions to the model, all kinds.
    pub model_calls: u32,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens that were estimated, since the provider did not count them.
    pub estimated_tokens: u64,
    /// Cost in US dollars, as far as it is known.
    pub cost_usd: f64,
    /// Some answer has no price.
    pub unpriced: bool,
    /// Milliseconds of work, without waiting for people.
    pub active_ms: u64,
}
