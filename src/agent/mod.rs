//! Single model calls, workflows, and what chat is made of.
//!
//! The flow of `ask_ai`: a tool -> [`AskAi`] fills `prompts/agent/ask.md.j2` -> a model's answer as
//! a step -> with a schema: the one JSON value in it, checked, with one repair round.
//!
//! The flow of a workflow: `run_workflow` -> [`workflows`] makes a [`engine::RunRequest`] of it ->
//! [`engine`] carries it out step by step -> its events go to [`runs`], where they can be followed,
//! and [`trace`] makes a report of them. A turn of a chat is the same with another request.

mod ask;
pub mod chat;
pub mod engine;
mod error;
pub mod event;
mod json;
pub mod runs;
mod service;
pub mod tools;
pub mod trace;
pub mod workflows;

pub use ask::{AskAi, Question};
pub use error::AskError;
pub use service::Agent;
