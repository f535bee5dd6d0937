//! What can go wrong with Python code.

use serde_json::json;

use crate::error::{ErrorKind, ToolError};
use crate::jobs::Failure;
use crate::prompts::PromptError;

/// A failure of this module.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// Nothing says what to write.
    #[error("`{0}` is empty")]
    NoRequest(&'static str),
    /// There is no program to change.
    #[error("`original_code` is empty")]
    NoCode,
    /// An argument is too long.
    #[error("`{argument}` has {bytes} bytes; at most {limit} are allowed")]
    ArgumentTooLarge {
        /// The argument.
        argument: &'static str,
        /// Its size.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
    /// The caller's program is not Python.
    #[error("`{argument}` is not Python: {problem}")]
    NotPython {
        /// The argument.
        argument: &'static str,
        /// Where and why.
        problem: String,
    },
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

impl From<PythonError> for ToolError {
    fn from(error: PythonError) -> Self {
        let message = error.to_string();
        match error {
            PythonError::NoRequest(argument) => Self::invalid("request_missing", message)
                .hint(format!("say in `{argument}` what the program should do")),
            PythonError::NoCode => Self::invalid("code_missing", message)
                .hint("give the program to change, or make one with `create_python_code`"),
            PythonError::ArgumentTooLarge { limit, .. } => {
                Self::new(ErrorKind::Limit, "request_too_large", message)
                    .hint("shorten it, or split the work into several programs")
                    .detail("limit_bytes", json!(limit))
            }
            PythonError::NotPython { .. } => Self::invalid("invalid_python", message)
                .hint("correct the line that is named, then call again"),
            PythonError::Unusable { problems } => {
                Self::new(ErrorKind::Unavailable, "unusable_answer", message)
                    .for_its_answers()
                    .hint("call again, name another `model`, or write the program yourself and give it in the call")
                    .detail("problems", json!(problems))
            }
            PythonError::Prompt(error) => error.into(),
        }
    }
}

impl From<PythonError> for Failure {
    fn from(error: PythonError) -> Self {
        Self::Error(error.into())
    }
}
