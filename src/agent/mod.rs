//! Single model calls, and later workflows and chat.
//!
//! The flow of `ask_ai`: a tool -> [`AskAi`] fills `prompts/agent/ask.md.j2` -> a model's answer as
//! a step -> with a schema: the one JSON value in it, checked, with one repair round.

mod ask;
mod error;
mod json;
pub mod tools;

pub use ask::{AskAi, Question};
pub use error::AskError;
