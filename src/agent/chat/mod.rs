//! The chat: conversations over every tool.
//!
//! A conversation is a tree of turns. A turn is what a person said and a run of the engine that
//! answers it, with the conversation up to its parent as its prompt; so retrying or editing adds a
//! turn beside the old one, and the old one stays. The rows are in [`crate::storage::ChatStore`],
//! what happens while an answer is made in the run's events. Nothing runs here: the page and the
//! terminal follow the run.

mod events;
mod export;
mod files;
mod history;
mod keys;
mod model;
mod service;

pub use events::compact;
pub use export::{json, markdown};
pub use files::{FILE_BYTES, sniff};
pub use keys::{LINK_MS, SESSION_MS};
pub use model::{Choice, Exchange, Person, Said, Say, Shown, ToolMode, Ways};
pub use service::{Chat, ChatParts};
