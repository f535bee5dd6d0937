//! What can go wrong with a question to a model.

use serde_json::json;

use crate::error::{ErrorKind, ToolError};
use crate::jobs::Failure;
use crate::prompts::PromptError;

/// A failure of this module.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing is asked.
    #[error("`prompt` is empty")]
    NoPrompt,
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
    /// The schema is none.
    #[error("`json_schema` is not a usable JSON Schema: {0}")]
    Schema(String),
    /// The model's answers were unusable, the last one for these reasons.
    #[error("the model's answer was still unusable after a repair round: {}", problems.join("; "))]
    Unusable {
        /// What was wrong with the last answer.
        problems: Vec<String>,
    },
    /// A prompt could not be made.
    #[error(transparent)]
    Prompt(#[from] PromptError),
}

impl From<AskError> for ToolError {
    fn from(error: AskError) -> Self {
        let message = error.to_string();
        match error {
            AskError::NoPrompt => {
                Self::invalid("prompt_missing", message).hint("say in `prompt` what to answer")
            }
            AskError::ArgumentTooLarge { limit, .. } => {
                Self::new(ErrorKind::Limit, "request_too_large", message)
                    .hint("shorten it, or ask about one part at a time")
                    .detail("limit_bytes", json!(limit))
            }
            AskError::Schema(_) => Self::invalid("invalid_json_schema", message).hint(
                "give one self-contained JSON Schema object, without references to other documents",
            ),
            AskError::Unusable { problems } => {
                Self::new(ErrorKind::Unavailable, "unusable_answer", message)
                    .for_its_answers()
                    .hint("call again, name another `model`, or ask for a simpler shape")
                    .detail("problems", json!(problems))
            }
            AskError::Prompt(error) => error.into(),
        }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::Error(error.into())
    }
}
