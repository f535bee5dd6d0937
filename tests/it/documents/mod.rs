//! Documents: from a request to a published app, and everything that must not be published.

mod answers;
mod app_tools;
mod attachments;
mod create;
mod edits;
mod models;
mod pdf;
mod prompts;
