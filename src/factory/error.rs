//! Errors of the factory. Every one leaves what was published as it was.

use serde_json::{Map, Value};

use crate::error::{ErrorKind, ToolError};
use crate::jobs::Failure;

/// Why nothing was made, started or stopped.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct FactoryError {
    /// What kind of refusal.
    pub code: Refusal,
    /// What failed, for which input.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Further fields of the answer.
    pub details: Map<String, Value>,
}

/// Kinds of refusals, each with a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The call's arguments do not fit together.
    Arguments,
    /// A document is no `OpenAPI`, or cannot be read.
    Document,
    /// A document or database is beyond a limit.
    TooLarge,
    /// A path or address may not be read.
    NotAllowed,
    /// A file, database or address cannot be reached.
    NotAccessible,
    /// Nothing would become a tool.
    NothingToDo,
    /// A model's answers could not be used.
    NoSpecification,
    /// The scan found something of a severity that is not let through.
    ScanBlocked,
    /// The package failed its own test.
    SelfTestFailed,
    /// There is no such server.
    UnknownServer,
    /// The server did not start, or ended at once.
    NotStarted,
    /// A template of the caller cannot be used.
    Template,
    /// A plugin of the operator's cannot be used, or failed.
    Plugin,
    /// A defect of the generator.
    Internal,
}

impl Refusal {
    /// Every one, for the documentation's test.
    pub const ALL: [Self; 14] = [
        Self::Arguments,
        Self::Document,
        Self::TooLarge,
        Self::NotAllowed,
        Self::NotAccessible,
        Self::NothingToDo,
        Self::NoSpecification,
        Self::ScanBlocked,
        Self::SelfTestFailed,
        Self::UnknownServer,
        Self::NotStarted,
        Self::Template,
        Self::Plugin,
        Self::Internal,
    ];

    /// The stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Arguments => "factory_arguments",
            Self::Document => "factory_document",
            Self::TooLarge => "factory_too_large",
            Self::NotAllowed => "factory_not_allowed",
            Self::NotAccessible => "factory_not_accessible",
            Self::NothingToDo => "factory_nothing_to_do",
            Self::NoSpecification => "factory_no_specification",
            Self::ScanBlocked => "factory_scan_blocked",
            Self::SelfTestFailed => "factory_self_test_failed",
            Self::UnknownServer => "factory_unknown_server",
            Self::NotStarted => "factory_not_started",
            Self::Template => "factory_template",
            Self::Plugin => "factory_plugin",
            Self::Internal => "factory_internal",
        }
    }
}

impl FactoryError {
    /// A refusal.
    pub fn new(code: Refusal, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into(), details: Map::new() }
    }

    /// Adds a field to the answer.
    #[must_use]
    pub fn detail(mut self, key: &str, value: Value) -> Self {
        self.details.insert(key.to_owned(), value);
        self
    }
}

impl From<FactoryError> for ToolError {
    fn from(error: FactoryError) -> Self {
        let kind = match error.code {
            Refusal::Arguments
            | Refusal::Document
            | Refusal::NothingToDo
            | Refusal::ScanBlocked
            | Refusal::Template => ErrorKind::Invalid,
            Refusal::TooLarge => ErrorKind::Limit,
            Refusal::NotAllowed => ErrorKind::Denied,
            Refusal::NotAccessible
            | Refusal::NoSpecification
            | Refusal::NotStarted
            | Refusal::Plugin => ErrorKind::Unavailable,
            Refusal::UnknownServer => ErrorKind::NotFound,
            Refusal::SelfTestFailed | Refusal::Internal => ErrorKind::Internal,
        };
        let mut tool_error = Self::new(kind, error.code.as_str(), error.message).hint(error.hint);
        tool_error.details = error.details;
        match error.code {
            Refusal::NoSpecification => tool_error.for_its_answers(),
            _ => tool_error,
        }
    }
}

impl From<FactoryError> for Failure {
    fn from(error: FactoryError) -> Self {
        Self::Error(error.into())
    }
}
