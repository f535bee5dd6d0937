//! Which failures are tried again, and after how long.

use std::time::Duration;

use super::answer::AttemptFailure;
use crate::llm::LlmErrorCode;

/// Statuses of HTTP that pass by themselves.
const PASSING: [u16; 8] = [408, 409, 429, 500, 502, 503, 504, 529];
/// Upper bound of the first wait; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Upper bound of every wait that the provider did not ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// How long to wait: full jitter, so that many callers do not come back together.
#[derive(Clone, Copy)]
pub(super) struct Backoff {
    /// A number from 0 to 1.
    pub(super) random: fn() -> f64,
}

impl std::fmt::Debug for Backoff {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Backoff")
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { random }
    }
}

impl Backoff {
    fn wait(self, failures: u32) -> Duration {
        let bound = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(8));
        bound.min(LONGEST_WAIT).mul_f64((self.random)().clamp(0.0, 1.0))
    }
}

fn random() -> f64 {
    // Without randomness from the system the longest wait is as good as any.
    let number = getrandom::u32().unwrap_or(u32::MAX);
    f64::from(number) / f64::from(u32::MAX)
}

/// The tries that are left of one question.
pub(super) struct Retries {
    tries: u32,
    failures: u32,
    truncated: bool,
    empty: bool,
    tools_ran: bool,
}

impl Retries {
    pub(super) const fn new(tries: u32, tools_ran: bool) -> Self {
        Self { tries, failures: 0, truncated: false, empty: false, tools_ran }
    }

    /// How long to wait before the next try; `None`: there is none.
    pub(super) fn after(&mut self, failure: &AttemptFailure, backoff: Backoff) -> Option<Duration> {
        self.failures += 1;
        if self.failures >= self.tries {
            return None;
        }
        let passes = failure.error.status.is_none_or(|status| PASSING.contains(&status));
        let again = match failure.error.code {
            // Once the model has begun, a failure is a broken answer whatever it is called.
            LlmErrorCode::RateLimited | LlmErrorCode::Unavailable if failure.output_began => {
                passes && self.once_truncated()
            }
            LlmErrorCode::RateLimited | LlmErrorCode::Unavailable => passes,
            LlmErrorCode::Truncated => self.once_truncated(),
            LlmErrorCode::Empty => !std::mem::replace(&mut self.empty, true),
            LlmErrorCode::NoLanguageModel
            | LlmErrorCode::InvalidModel
            | LlmErrorCode::KeyMissing
            | LlmErrorCode::KeyRefused
            | LlmErrorCode::RequestRejected
            | LlmErrorCode::PaymentRequired
            | LlmErrorCode::Timeout
            | LlmErrorCode::Incomplete
            | LlmErrorCode::Refused
            | LlmErrorCode::TooLarge
            | LlmErrorCode::ContextOverflow
            | LlmErrorCode::BadEndpoint
            | LlmErrorCode::NotAModelEndpoint
            | LlmErrorCode::HostileEndpoint
            | LlmErrorCode::ToolLoop
            | LlmErrorCode::Cancelled
            | LlmErrorCode::QuotaExceeded
            | LlmErrorCode::CommandMissing
            | LlmErrorCode::CommandLogin
            | LlmErrorCode::CommandOutput
            | LlmErrorCode::SamplingDenied => false,
        };
        if !again {
            return None;
        }
        let asked = failure.error.retry_after_s.map(Duration::try_from_secs_f64);
        Some(match asked {
            Some(Ok(wait)) => wait,
            Some(Err(_)) | None => backoff.wait(self.failures),
        })
    }

    const fn once_truncated(&mut self) -> bool {
        !self.tools_ran && !std::mem::replace(&mut self.truncated, true)
    }
}
