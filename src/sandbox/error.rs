//! Why a run could not be started.

use super::report::{SandboxReport, Tier};

/// Errors of the sandbox itself; errors of the code are outcomes.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SandboxError {
    /// This machine isolates less than the operator asks for.
    #[error(
        "the sandbox reaches the tier `{reached}` here, and `{least}` is the least that is allowed: {missing}"
    )]
    TooWeak {
        /// What can be had.
        reached: Tier,
        /// What the configuration demands.
        least: Tier,
        /// The missing layers and why.
        missing: String,
        /// The command or setting that fixes the host.
        fix: String,
        /// All that was probed.
        report: Box<SandboxReport>,
    },
    /// No profile of that name.
    #[error("there is no interpreter profile `{name}`; there are: {known}")]
    UnknownProfile {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The interpreter is missing or cannot be used.
    #[error("the Python interpreter `{path}` cannot be used: {reason}")]
    Interpreter {
        /// Its path or name.
        path: String,
        /// What went wrong.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// The code names dependencies that cannot be had.
    #[error("{reason}")]
    Dependencies {
        /// `dependencies_not_allowed` or `dependencies_failed`.
        code: &'static str,
        /// What stands in the way.
        reason: String,
        /// What to do.
        fix: String,
    },
    /// A run that makes no sense.
    #[error("{0}")]
    InvalidSpec(String),
    /// The helper process does not come up, or keeps ending.
    #[error("the sandbox cannot start a worker: {0}")]
    Start(String),
    /// The sandbox was closed.
    #[error("the sandbox is closed")]
    Closed,
}

impl SandboxError {
    /// A stable name for people who write programs against it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooWeak { .. } => "sandbox_unavailable",
            Self::UnknownProfile { .. } | Self::InvalidSpec(_) => "invalid_arguments",
            Self::Interpreter { .. } => "python_unavailable",
            Self::Dependencies { code, .. } => code,
            Self::Start(_) => "sandbox_failed",
            Self::Closed => "shutting_down",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::TooWeak { fix, .. }
            | Self::Interpreter { fix, .. }
            | Self::Dependencies { fix, .. } => fix.clone(),
            Self::UnknownProfile { known, .. } => format!("use one of: {known}"),
            Self::InvalidSpec(_) => "correct the arguments".to_owned(),
            Self::Start(_) => "look at `atelier doctor`".to_owned(),
            Self::Closed => "the server is ending; start it again".to_owned(),
        }
    }
}
