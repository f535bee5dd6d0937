//! Documents: from a request to a published app, and everything that must not be published.

mod answers;
mod app_tools;
mod attachments;
mod check_rounds;
mod checks;
mod create;
mod edits;
mod edits_at_once;
mod edits_given;
mod edits_product;
mod embedded;
mod models;
mod pdf;
mod prompts;
mod scripted;
mod versions;
