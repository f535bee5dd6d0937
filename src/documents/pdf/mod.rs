//! PDF documents: HTML made for paper, printed by Chrome, kept in versions with its source.
//!
//! Invariants: a version is published with its PDF and its source or not at all; nothing that Chrome
//! prints comes from anywhere but the store; a print that was paid for with time is a step like a
//! model's answer.
//!
//! The flow: `create` checks the call -> files are collected -> `write` asks for the HTML, with
//! `tool_calls` in between -> `print` hands it to Chrome and `facts` reads the result back -> publish.

mod create;
mod facts;
pub(super) mod paper;
pub(super) mod print;
pub(super) mod record;
pub(super) mod tool_calls;
mod write;

pub use create::PublishedPdf;
pub use tool_calls::MadeCall;
