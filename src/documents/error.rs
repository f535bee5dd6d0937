//! What can go wrong with a document.

use serde_json::json;

use super::html::GivenProblem;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::Failure;
use crate::prompts::PromptError;
use crate::storage::StorageError;

/// A failure of this module.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Nothing says what to make.
    #[error("neither `user_request` nor `client_injected_context` says what to make")]
    NoRequest,
    /// A text argument is too long.
    #[error("`{argument}` has {bytes} bytes; at most {limit} are allowed")]
    ArgumentTooLarge {
        /// The argument.
        argument: &'static str,
        /// Its size.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
    /// `user_number` is no key.
    #[error("`user_number` has more than {0} characters or contains control characters")]
    UserNumber(usize),
    /// The page in the call is none.
    #[error(transparent)]
    Given(#[from] GivenProblem),
    /// All attachments failed.
    #[error("none of the attachments could be used")]
    NoAttachment(Vec<String>),
    /// The model's answers were unusable, the last one for these reasons.
    #[error("the model's answer was still unusable after a repair round: {}", problems.join("; "))]
    Unusable {
        /// What was wrong with the last answer.
        problems: Vec<String>,
    },
    /// Names made from the title were all taken meanwhile.
    #[error("no free name was found for the app")]
    NoFreeName,
    /// A prompt could not be made.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<DocumentError> for ToolError {
    fn from(error: DocumentError) -> Self {
        let message = error.to_string();
        match error {
            DocumentError::NoRequest => Self::invalid("request_missing", message)
                .hint("say in `user_request` what to make, or write the page yourself and give it in `html`"),
            DocumentError::ArgumentTooLarge { limit, .. } => {
                Self::new(ErrorKind::Limit, "request_too_large", message)
                    .hint("shorten it, or put long material into attachments")
                    .detail("limit_bytes", json!(limit))
            }
            DocumentError::UserNumber(_) => Self::invalid("invalid_user_number", message)
                .hint("leave `user_number` out, or give the user's short identifier"),
            DocumentError::Given(GivenProblem::TooLarge { limit, .. }) => {
                Self::new(ErrorKind::Limit, "page_too_large", message)
                    .hint("make the page smaller; the operator sets the cap with `limits.page_bytes`")
                    .detail("limit_bytes", json!(limit))
            }
            DocumentError::Given(GivenProblem::Empty | GivenProblem::NotHtml) => {
                Self::invalid("invalid_html", message)
                    .hint("give one complete HTML document, or leave `html` out and describe the app in `user_request`")
            }
            DocumentError::NoAttachment(warnings) => {
                Self::invalid("attachments_failed", format!("{message}: {}", warnings.join("; ")))
                    .hint("give public http(s) addresses of files, or leave `attachments` out")
                    .detail("warnings", json!(warnings))
            }
            DocumentError::Unusable { problems } => {
                Self::new(ErrorKind::Unavailable, "unusable_answer", message)
                    .hint("call again, name another `model`, or write the page yourself and give it in `html`")
                    .detail("problems", json!(problems))
            }
            DocumentError::NoFreeName => Self::new(ErrorKind::Conflict, "name_taken", message)
                .hint("give the app a name in `app_name`"),
            DocumentError::Prompt(error) => error.into(),
            DocumentError::Storage(error) => error.into(),
        }
    }
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        Self::Error(error.into())
    }
}
