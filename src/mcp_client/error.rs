//! What goes wrong with other servers, and what it means to a caller.

use serde_json::{Value, json};

use crate::error::{ErrorKind, ToolError};

/// A failure of one server.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// Its program is not there, or cannot be executed.
    #[error("its program cannot be started: {0}")]
    NotStarted(String),
    /// It did not become ready in time.
    #[error("it was not ready within {seconds} s{}", last_words(.said))]
    StartTimeout {
        /// How long it had.
        seconds: f64,
        /// The last it said on its error stream.
        said: String,
    },
    /// It ended, or closed its streams.
    #[error("it ended: {how}{}", last_words(.said))]
    Ended {
        /// How.
        how: String,
        /// The last it said on its error stream.
        said: String,
    },
    /// It cannot be reached.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It answered with a protocol error.
    #[error("it answered with the error {code}: {message}")]
    Refused {
        /// JSON-RPC code.
        code: i32,
        /// Its words.
        message: String,
    },
    /// Its answer makes no sense.
    #[error("its answer is not understood: {0}")]
    Nonsense(String),
    /// Its answer is too large.
    #[error("its answer has more than {limit} bytes")]
    TooLarge {
        /// The most that is taken.
        limit: usize,
    },
    /// A call took too long.
    #[error("it did not answer within {seconds} s")]
    CallTimeout {
        /// How long it had.
        seconds: f64,
    },
    /// It failed too often just now.
    #[error("it is not started again for {seconds:.0} s, since it failed {failures} times: {last}")]
    BackingOff {
        /// How long from now.
        seconds: f64,
        /// How often it failed.
        failures: u32,
        /// The last failure.
        last: String,
    },
    /// All its places are taken.
    #[error("{places} calls of it are under way already")]
    Busy {
        /// Calls at a time.
        places: usize,
    },
    /// It was removed, or the program is shutting down.
    #[error("it was removed or is being shut down")]
    Removed,
}

fn last_words(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("; the last it said: {text}") }
}

impl ClientError {
    /// Whether the connection is of no use any more.
    pub(super) const fn ends_connection(&self) -> bool {
        match self {
            Self::Ended { .. }
            | Self::Unreachable(_)
            | Self::NotStarted(_)
            | Self::StartTimeout { .. }
            | Self::Removed => true,
            Self::Refused { .. }
            | Self::Nonsense(_)
            | Self::TooLarge { .. }
            | Self::CallTimeout { .. }
            | Self::BackingOff { .. }
            | Self::Busy { .. } => false,
        }
    }

    /// The error as a caller of a tool of this server gets it.
    pub(super) fn of_server(&self, server: &str) -> ToolError {
        let message = format!("server `{server}`: {self}");
        let (kind, code, hint, retry): (ErrorKind, &'static str, String, Option<f64>) = match self {
            Self::NotStarted(_) => (
                ErrorKind::Unavailable,
                "server_not_started",
                format!("the operator checks the `command` of `{server}` in mcp_servers.json; `atelier doctor` shows it"),
                None,
            ),
            Self::StartTimeout { .. } => (
                ErrorKind::Unavailable,
                "server_not_started",
                format!("call again later; the operator can give `{server}` more time with `start_timeout_s` in mcp_servers.json"),
                None,
            ),
            Self::Ended { .. } => (
                ErrorKind::Unavailable,
                "server_ended",
                "the next call starts it again; whether this one took effect is not known, so look before you repeat it".to_owned(),
                None,
            ),
            Self::Unreachable(_) => (
                ErrorKind::Unavailable,
                "server_unreachable",
                format!("call again later; the operator checks the `url` of `{server}` in mcp_servers.json"),
                None,
            ),
            Self::Refused { code: -32602, .. } => (
                ErrorKind::Invalid,
                "upstream_error",
                "correct the arguments by the tool's inputSchema (describe_tool) and call again".to_owned(),
                None,
            ),
            Self::Refused { .. } => (
                ErrorKind::Unavailable,
                "upstream_error",
                "read the server's words; other arguments may work".to_owned(),
                None,
            ),
            Self::Nonsense(_) => (
                ErrorKind::Unavailable,
                "upstream_result_invalid",
                "the server is at fault; call again, or use another tool".to_owned(),
                None,
            ),
            Self::TooLarge { .. } => (
                ErrorKind::Limit,
                "result_too_large",
                "ask for less in one call".to_owned(),
                None,
            ),
            Self::CallTimeout { .. } => (
                ErrorKind::Limit,
                "call_timeout",
                format!("ask for less in one call; the operator can give `{server}` more time with `timeout_s` in mcp_servers.json"),
                None,
            ),
            Self::BackingOff { seconds, .. } => (
                ErrorKind::Unavailable,
                "server_not_started",
                "call again after that time, or use another tool".to_owned(),
                Some(*seconds),
            ),
            Self::Busy { .. } => (
                ErrorKind::Limit,
                "busy",
                "wait for one to end, then repeat this call".to_owned(),
                Some(1.0),
            ),
            Self::Removed => (
                ErrorKind::NotFound,
                "unknown_tool",
                "search_tools lists the tools there are".to_owned(),
                None,
            ),
        };
        let mut error =
            ToolError::new(kind, code, message).hint(hint).detail("server", Value::from(server));
        if let Self::Refused { code, .. } = self {
            error = error.detail("upstream_code", json!(code));
        }
        error.retry_after_s = retry;
        error
    }
}
