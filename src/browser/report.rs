//! What happened while a page loaded.

use std::time::Duration;

use serde::Serialize;

/// How a load went, and everything that was noticed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Load {
    /// How it ended.
    pub outcome: LoadOutcome,
    /// How long it took until the page was at rest.
    pub duration: Duration,
    /// The document's title.
    pub title: String,
    /// Errors that no code caught, rejected promises among them.
    pub exceptions: Vec<PageException>,
    /// Errors and warnings on the console.
    pub console: Vec<ConsoleMessage>,
    /// Requests without an answer: own files that are not there, and everything foreign.
    pub requests: Vec<FailedRequest>,
    /// Dialogs, which were answered.
    pub dialogs: Vec<Dialog>,
    /// Addresses that the page tried to go to in place of itself.
    pub departures: Vec<String>,
    /// Further findings that were counted only.
    pub omitted: usize,
}

/// How a load ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LoadOutcome {
    /// Everything came, and the page was at rest.
    #[default]
    Loaded,
    /// It was still not at rest when it had to be.
    TimedOut {
        /// What was still going on.
        reason: String,
    },
    /// The page's process ended.
    Crashed,
}

/// When something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before the load event was over.
    Loading,
    /// Later.
    Loaded,
}

/// An error that no code caught.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageException {
    /// What it says, with its kind.
    pub message: String,
    /// The script, when it is not the document itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Line from 1 on, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Column from 1 on, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// Whether it is a promise that was rejected.
    pub is_rejection: bool,
    /// When.
    pub phase: Phase,
}

/// How grave a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleLevel {
    /// `console.error`, failed assertions, errors that the browser notes.
    Error,
    /// `console.warn`, warnings that the browser notes.
    Warning,
}

/// A message on the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsoleMessage {
    /// How grave.
    pub level: ConsoleLevel,
    /// What it says.
    pub text: String,
    /// Line of the document or script from 1 on, when known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// When.
    pub phase: Phase,
}

/// A request without an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedRequest {
    /// Relative for own files, else whole.
    pub url: String,
    /// What for: `image`, `script`, `stylesheet`, `fetch`, `web_socket`, …
    pub kind: String,
    /// Why.
    pub failure: RequestFailure,
    /// When.
    pub phase: Phase,
}

/// Why a request has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestFailure {
    /// The page has no such file.
    Missing,
    /// It goes elsewhere, which is refused.
    Foreign,
}

/// A dialog that the page opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dialog {
    /// `alert`, `confirm`, `prompt` or `beforeunload`.
    pub kind: String,
    /// What it says.
    pub message: String,
}
