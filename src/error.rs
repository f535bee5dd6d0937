//! Errors of tools, by audience.
//!
//! A capability has its own error enum and turns it into a [`ToolError`] once. The message names
//! the input and says what is wrong, the hint says what to do, the code is stable and documented
//! in `docs/TOOLS.md`. Internal errors are logged with an id and never shown.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::llm::LlmError;
use crate::storage::StorageError;

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The caller: change the arguments.
    Invalid,
    /// The caller: name something that exists.
    NotFound,
    /// The caller: look again, then repeat.
    Conflict,
    /// The caller: later, or less.
    Limit,
    /// Nobody at the moment: something outside is away. Worth a retry.
    Unavailable,
    /// The caller may not do this.
    Denied,
    /// Somebody stopped the call.
    Cancelled,
    /// The operator, by the log.
    Internal,
}

/// An error that a tool call answers with.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ToolError {
    /// Who can do something about it.
    pub kind: ErrorKind,
    /// Stable code.
    pub code: Cow<'static, str>,
    /// What failed, for which input.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Seconds after which a retry makes sense.
    pub retry_after_s: Option<f64>,
    /// Further fields of the answer.
    pub details: Map<String, Value>,
    /// What a repeated call has to do with what this one was answered.
    pub answers: Answers,
}

/// What becomes of the answers of a model that a failed call had already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Answers {
    /// They are as good as before: the same call again uses them, and pays for none twice.
    #[default]
    Kept,
    /// They are what is wrong: the same call again asks anew.
    Refused,
}

impl ToolError {
    /// An error of this kind and code.
    pub fn new(
        kind: ErrorKind,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            code: code.into(),
            message: message.into(),
            hint: None,
            retry_after_s: None,
            details: Map::new(),
            answers: Answers::Kept,
        }
    }

    /// Says that the answers of a model are what is wrong, so that the same call again gets others.
    #[must_use]
    pub fn for_its_answers(mut self) -> Self {
        self.answers = Answers::Refused;
        self
    }

    /// The caller can fix its arguments.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, code, message)
    }

    /// What was named does not exist for this caller.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, code, message)
    }

    /// An error that only the operator can look into: logged here with an id, shown without the
    /// cause.
    pub fn internal(cause: &(impl std::fmt::Display + ?Sized)) -> Self {
        let error_id = uuid::Uuid::new_v4().simple().to_string();
        tracing::error!(error.id = %error_id, error.cause = %cause, "internal error");
        Self::new(ErrorKind::Internal, "internal", "the server could not finish this call")
            .hint("try again; if it happens again, the operator finds the cause in the log under this error_id")
            .detail("error_id", json!(error_id))
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a field to the answer.
    #[must_use]
    pub fn detail(mut self, key: &str, value: Value) -> Self {
        self.details.insert(key.to_owned(), value);
        self
    }

    /// The JSON of the answer: `{"status": "error", "code", "message", "hint", …}`.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("status".into(), json!("error"));
        object.insert("code".into(), json!(self.code));
        object.insert("message".into(), json!(self.message));
        if let Some(hint) = &self.hint {
            object.insert("hint".into(), json!(hint));
        }
        if let Some(seconds) = self.retry_after_s {
            object.insert("retry_after_s".into(), json!(seconds));
        }
        for (key, value) in &self.details {
            object.entry(key.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(object)
    }

    /// The error as it is stored with a job: the JSON of the answer and its kind.
    pub fn to_stored_json(&self) -> Value {
        let mut value = self.to_json();
        if let Some(object) = value.as_object_mut() {
            object.insert("kind".into(), json!(self.kind));
        }
        value
    }

    /// Reads back what [`Self::to_stored_json`] wrote.
    pub fn from_json(value: &Value) -> Self {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let mut details = value.as_object().cloned().unwrap_or_default();
        let kind = details.get("kind").cloned();
        for key in ["kind", "status", "code", "message", "hint", "retry_after_s"] {
            details.shift_remove(key);
        }
        Self {
            kind: kind
                .and_then(|kind| serde_json::from_value(kind).ok())
                .unwrap_or(ErrorKind::Unavailable),
            code: Cow::Owned(text("code").unwrap_or_else(|| "failed".to_owned())),
            message: text("message").unwrap_or_else(|| "the job failed".to_owned()),
            hint: text("hint"),
            retry_after_s: value.get("retry_after_s").and_then(Value::as_f64),
            details,
            answers: Answers::Kept,
        }
    }
}

impl From<StorageError> for ToolError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full => Self::new(
                ErrorKind::Unavailable,
                "disk_full",
                "the data folder has no space left; nothing was stored",
            )
            .hint("free space on the disk of the data folder (`atelier doctor` names it), then repeat the call"),
            StorageError::Unavailable(cause) => {
                tracing::warn!(error.cause = %cause, "the store is unavailable");
                let mut error = Self::new(
                    ErrorKind::Unavailable,
                    "storage_unavailable",
                    "the store cannot be reached at the moment; nothing was stored",
                )
                .hint("repeat the call in a few seconds; `atelier doctor` shows what is wrong");
                error.retry_after_s = Some(2.0);
                error
            }
            StorageError::Conflict(message) => {
                Self::new(ErrorKind::Conflict, "conflict", message)
                    .hint("look at the newest version, then repeat the call")
            }
            StorageError::Fenced(_) => Self::new(
                ErrorKind::Cancelled,
                "interrupted",
                "this call was stopped or taken over by another worker",
            )
            .hint("repeat the call: what it had paid for is reused"),
            StorageError::Corrupt(cause) => Self::internal(&cause),
        }
    }
}

impl From<LlmError> for ToolError {
    fn from(error: LlmError) -> Self {
        use crate::llm::LlmErrorCode as Code;
        let kind = match error.code {
            Code::NoLanguageModel
            | Code::KeyMissing
            | Code::KeyRefused
            | Code::PaymentRequired
            | Code::Unavailable
            | Code::Timeout
            | Code::Truncated
            | Code::Empty
            | Code::BadEndpoint
            | Code::NotAModelEndpoint
            | Code::HostileEndpoint
            | Code::CommandMissing
            | Code::CommandLogin
            | Code::CommandOutput => ErrorKind::Unavailable,
            Code::InvalidModel
            | Code::RequestRejected
            | Code::Refused
            | Code::ContextOverflow
            | Code::SamplingDenied => ErrorKind::Invalid,
            Code::RateLimited
            | Code::Incomplete
            | Code::TooLarge
            | Code::ToolLoop
            | Code::QuotaExceeded => ErrorKind::Limit,
            Code::Cancelled => ErrorKind::Cancelled,
        };
        let mut tool_error = Self::new(kind, error.code.as_str(), error.message);
        tool_error.hint = error.hint;
        tool_error.retry_after_s = error.retry_after_s;
        if let Some(request_id) = error.request_id {
            tool_error = tool_error.detail("provider_request_id", json!(request_id));
        }
        tool_error
    }
}
