//! Why no answer came, with stable codes. No key, header or prompt text is ever part of it.

/// Stable code of a failed model call; `code` of the tool error that it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LlmErrorCode {
    /// No model can be reached and the caller cannot write the text itself.
    NoLanguageModel,
    /// The model id is malformed or belongs to no known provider.
    InvalidModel,
    /// The named model's provider has no key.
    KeyMissing,
    /// The provider refused the key.
    KeyRefused,
    /// The provider refuses the request as it is.
    RequestRejected,
    /// The account may not use the model, or has no credit.
    PaymentRequired,
    /// The provider asks to wait longer than the deadline allows.
    RateLimited,
    /// The provider is down or cannot be reached.
    Unavailable,
    /// No answer within the time limits.
    Timeout,
    /// The stream ended before the answer was complete.
    Truncated,
    /// The model ran into its limit of output, also after a continuation.
    Incomplete,
    /// The model or its provider declined.
    Refused,
    /// The model answered with nothing.
    Empty,
    /// The answer is larger than allowed.
    TooLarge,
    /// The request does not fit the model's context.
    ContextOverflow,
    /// The endpoint redirects, so the key was not sent on.
    BadEndpoint,
    /// The endpoint answers with something that is no model's answer.
    NotAModelEndpoint,
    /// The endpoint sends what no honest one would.
    HostileEndpoint,
    /// The model kept calling tools beyond the limits.
    ToolLoop,
    /// The call was cancelled.
    Cancelled,
    /// The principal's daily allowance is used up.
    QuotaExceeded,
    /// The command-line tool is not installed.
    CommandMissing,
    /// The command-line tool asks for a login.
    CommandLogin,
    /// The command-line tool printed something that cannot be read.
    CommandOutput,
    /// The client's user declined the sampling request.
    SamplingDenied,
}

impl LlmErrorCode {
    /// The code as it appears in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoLanguageModel => "no_language_model",
            Self::InvalidModel => "invalid_model",
            Self::KeyMissing => "model_key_missing",
            Self::KeyRefused => "model_key_refused",
            Self::RequestRejected => "model_request_rejected",
            Self::PaymentRequired => "model_payment_required",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "model_unavailable",
            Self::Timeout => "model_timeout",
            Self::Truncated => "truncated",
            Self::Incomplete => "incomplete",
            Self::Refused => "refused",
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::ContextOverflow => "context_overflow",
            Self::BadEndpoint => "bad_endpoint",
            Self::NotAModelEndpoint => "not_a_model_endpoint",
            Self::HostileEndpoint => "hostile_endpoint",
            Self::ToolLoop => "tool_loop",
            Self::Cancelled => "cancelled",
            Self::QuotaExceeded => "quota_exceeded",
            Self::CommandMissing => "command_missing",
            Self::CommandLogin => "command_login",
            Self::CommandOutput => "command_output",
            Self::SamplingDenied => "sampling_denied",
        }
    }
}

/// A failed model call.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct LlmError {
    /// Stable code.
    pub code: LlmErrorCode,
    /// What happened, naming provider and model; free of keys, headers and prompts.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// HTTP status of the provider.
    pub status: Option<u16>,
    /// Seconds after which the provider wants to be asked again.
    pub retry_after_s: Option<f64>,
    /// The provider's id of the request.
    pub request_id: Option<String>,
}

impl LlmError {
    /// An error of this code.
    pub fn new(code: LlmErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            hint: None,
            status: None,
            retry_after_s: None,
            request_id: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
