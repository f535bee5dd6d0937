//! Why a document was not rendered, each reason with what to do about it.

use std::time::Duration;

/// Why Chrome did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No Chrome was found.
    #[error("Chrome was not found{}", .place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default())]
    ChromeMissing {
        /// Where it was expected, when the configuration says so.
        place: Option<String>,
    },
    /// Chrome is there and does not start, or does not talk.
    #[error("Chrome does not start: {0}")]
    ChromeBroken(String),
    /// More documents wait than may wait.
    #[error("the renderer is busy: {waiting} documents wait already")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// The page did not come to rest.
    #[error("the page did not finish loading within {} s: {reason}", .after.as_secs_f64())]
    NeverLoads {
        /// How long it was given.
        after: Duration,
        /// What it was still doing.
        reason: String,
    },
    /// Chrome or the page's process ended twice while it worked on this document.
    #[error("Chrome crashed on this document, on a fresh browser too: {0}")]
    Crashed(String),
    /// The document took longer than documents may.
    #[error("rendering took longer than {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The caller gave up.
    #[error("rendering was cancelled")]
    Cancelled,
    /// The renderer has been shut down.
    #[error("the renderer has been shut down")]
    Closed,
    /// An option cannot be used.
    #[error("`{field}` {problem}")]
    Options {
        /// Which one, as a path in the options.
        field: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The result is larger than results may be.
    #[error("the {what} is larger than {limit_bytes} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it may be.
        limit_bytes: usize,
    },
    /// Chrome cannot be kept away from the network and from files as the configuration asks.
    #[error("Chrome cannot be isolated here: {0}")]
    Isolation(String),
    /// Chrome refused a command that it should know.
    #[error("Chrome refused {method}: {message}")]
    Refused {
        /// The command of the protocol.
        method: String,
        /// What it said.
        message: String,
    },
}

impl RenderError {
    /// A wrong option.
    pub(super) fn option(field: &str, problem: impl Into<String>) -> Self {
        Self::Options { field: field.to_owned(), problem: problem.into() }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::ChromeMissing { .. } => {
                "run `sudo apt-get install chromium`, or set `browser.chrome` to the path of Chrome"
            }
            Self::ChromeBroken(_) => "run `atelier doctor`, which starts Chrome and says more",
            Self::Busy { .. } => "try again in a moment",
            Self::NeverLoads { .. } => {
                "remove endless loops, dialogs and promises that never end from the page"
            }
            Self::Crashed(_) => "make the document smaller or simpler",
            Self::TimedOut(_) => {
                "make the document smaller or simpler, or raise `browser.deadline_s`"
            }
            Self::Cancelled | Self::Closed => "call again if the result is still wanted",
            Self::Options { .. } => "correct the option and call again",
            Self::TooLarge { .. } => "split the document, or use smaller pictures",
            Self::Isolation(_) => {
                "run `atelier doctor`; `browser.isolation` says how much isolation is asked for"
            }
            Self::Refused { .. } => "update Chrome, or report this with its version",
        }
    }

    /// Whether another browser could do better.
    pub(super) fn is_crash(&self) -> bool {
        matches!(self, Self::Crashed(_))
    }
}
