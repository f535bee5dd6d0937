//! The loop of workflows and chat: model, calls of tools, their results, model again, until there
//! is an answer or a limit ends it.
//!
//! [`Machine`] decides and does nothing; `driver` does what it says and tells it what came of it:
//!
//! ```text
//! Machine::next() -> CallModel  -> the driver asks a model, as a step of the job
//!                 -> Approve    -> a person agrees or declines
//!                 -> CallTools  -> the driver calls them, each as a step, results in call order
//!                 -> Done
//! ```
//!
//! A run that goes on after a crash feeds the same machine with the stored steps, so it comes to
//! the same place without asking or calling anything twice.

mod answer;
mod approval;
mod calls;
mod choice;
mod content;
mod context;
mod driver;
mod guards;
mod machine;
mod plan;
mod preview;
mod requests;
mod results;
mod rules;
mod state;
mod text_protocol;

pub(crate) use choice::ON_REQUEST;
pub(crate) use content::without_bytes;
pub use driver::{Engine, EngineParts, Report};
pub use machine::Machine;
pub use plan::{
    Approval, ApprovalBy, ApprovalRule, FrozenPlan, FrozenTool, OnInterrupted, Retry, RunLimits,
    RunRequest, ToolChoice,
};
pub use preview::Preview;
pub(crate) use results::readable;
pub use results::{CallAnswer, CallStatus, ResultLink};
pub use state::{
    Action, AskKind, CallRecord, Decision, Ending, ModelAnswer, ModelFailure, PlannedCall,
    StopReason, Totals,
};
