//! From the library's errors to ours.
//!
//! The library prints whole requests and bodies into its errors. Nothing of that text goes on:
//! only the status, the headers that say when to come back, the request's id, and words of the
//! provider's error code that look like a code.

use std::time::Duration;

use genai::webc::StreamTimeout;
use http::HeaderMap;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::Target;
use super::frames::Seen;
use crate::llm::{LlmError, LlmErrorCode};

/// Turns an error of the library into ours. `seen` is what the frames said before it.
pub(super) fn convert(error: &genai::Error, target: &Target, seen: &Seen) -> LlmError {
    if let Some(failure) = &seen.failure {
        return named(failure.clone(), target);
    }
    if let genai::Error::WebStream { error: cause, .. } = error {
        return match cause.downcast_ref::<genai::Error>() {
            Some(inner) => convert(inner, target, seen),
            None => transport(cause.as_ref(), target, seen),
        };
    }
    if let Some(status) = error.status() {
        let body = match error {
            genai::Error::HttpError { body, .. } => body.as_str(),
            _ => "",
        };
        return http_error(status.as_u16(), error.headers(), body, target);
    }
    match error {
        genai::Error::ChatResponse { body, .. } => named(in_stream(body), target),
        genai::Error::StreamParse { .. } if seen.starts_as_text => not_a_model(target),
        genai::Error::StreamParse { .. }
        | genai::Error::JsonValueExt(_)
        | genai::Error::SerdeJson(_) => truncated(target),
        _ => LlmError::new(
            LlmErrorCode::RequestRejected,
            format!("the request for {target} could not be put into its provider's form"),
        ),
    }
}

/// The stream ended before the answer was complete.
pub(super) fn truncated(target: &Target) -> LlmError {
    LlmError::new(
        LlmErrorCode::Truncated,
        format!("the answer of {target} broke off before its end; nothing of it was kept"),
    )
    .hint("repeat the call")
}

/// What answers is no model.
pub(super) fn not_a_model(target: &Target) -> LlmError {
    LlmError::new(
        LlmErrorCode::NotAModelEndpoint,
        format!("what answers in place of {target} is no model: it sent a page or a plain text"),
    )
    .hint("check the base URL, and whether this network asks for a login first")
}

/// The endpoint sends one event that has no end.
pub(super) fn endless_frame(target: &Target) -> LlmError {
    LlmError::new(LlmErrorCode::TooLarge, format!("{target} sends an event without end"))
        .hint("use another endpoint")
}

fn transport(
    cause: &(dyn std::error::Error + Send + Sync + 'static),
    target: &Target,
    seen: &Seen,
) -> LlmError {
    let timed_out = |what: &str| {
        LlmError::new(LlmErrorCode::Timeout, format!("{target} {what}"))
            .hint("repeat the call, or raise `llm.timeouts.idle_s`")
    };
    if let Some(timeout) = cause.downcast_ref::<StreamTimeout>() {
        return match timeout {
            StreamTimeout::Headers => timed_out("did not begin to answer in time"),
            StreamTimeout::Read => timed_out("fell silent in the middle of its answer"),
        };
    }
    let Some(error) = cause.downcast_ref::<reqwest::Error>() else {
        // What is left are bytes that are no text: an answer cut inside a character.
        return truncated(target);
    };
    if error.is_builder() {
        return LlmError::new(
            LlmErrorCode::BadEndpoint,
            format!("the address or the key for {target} cannot be put into a request"),
        );
    }
    if seen.payloads > 0 {
        return truncated(target);
    }
    LlmError::new(
        LlmErrorCode::Unavailable,
        if error.is_connect() || error.is_timeout() {
            format!("{target} cannot be reached")
        } else {
            format!("the connection to {target} broke before it answered")
        },
    )
    .hint("check the network and the base URL, or name another model")
}

fn http_error(status: u16, headers: Option<&HeaderMap>, body: &str, target: &Target) -> LlmError {
    let body: Option<Value> = serde_json::from_str(body).ok();
    let words = body.as_ref().map(ErrorWords::of).unwrap_or_default();
    let (code, hint) = classify(status, &words, body.is_some());
    let size = target.sizes();
    let message = match code {
        LlmErrorCode::ContextOverflow => {
            format!("the request does not fit the context of {target}: {size}")
        }
        LlmErrorCode::BadEndpoint => {
            format!("the endpoint of {target} answers HTTP {status}; it was not followed")
        }
        _ => format!("{target} answers HTTP {status}{}", words.shown()),
    };
    let mut error = LlmError::new(code, message).hint(hint);
    error.status = Some(status);
    error.retry_after_s = headers
        .and_then(retry_after)
        .or_else(|| body.as_ref().and_then(retry_delay))
        .map(|delay| delay.as_secs_f64());
    error.request_id = headers.and_then(request_id);
    error
}

fn classify(status: u16, words: &ErrorWords, is_json: bool) -> (LlmErrorCode, &'static str) {
    match status {
        300..=399 => (
            LlmErrorCode::BadEndpoint,
            "set the base URL to where the redirect leads, if you trust it",
        ),
        400 | 413 | 422 if status == 413 || words.speak_of_length() => {
            (LlmErrorCode::ContextOverflow, "shorten the request or its attachments")
        }
        400 if words.speak_of_key() => {
            (LlmErrorCode::KeyRefused, "set a valid key in the environment of the server")
        }
        401 | 403 => (
            LlmErrorCode::KeyRefused,
            "check that the key is valid, may use this model, and is allowed in this region",
        ),
        402 => (LlmErrorCode::PaymentRequired, "add credit to the provider's account"),
        429 if words.speak_of_quota() => {
            (LlmErrorCode::PaymentRequired, "add credit to the provider's account")
        }
        429 => (LlmErrorCode::RateLimited, "repeat the call later, or name another model"),
        404 if is_json => (
            LlmErrorCode::InvalidModel,
            "check the name of the model; the provider may have retired it",
        ),
        404 => (LlmErrorCode::BadEndpoint, "check the base URL"),
        408 | 409 | 500..=599 => {
            (LlmErrorCode::Unavailable, "repeat the call later, or name another model")
        }
        _ => (LlmErrorCode::RequestRejected, "name another model, or change the request"),
    }
}

/// An error that came as an event of the stream.
fn in_stream(body: &Value) -> LlmError {
    let words = ErrorWords::of(body);
    let status = body.pointer("/error/code").and_then(Value::as_u64);
    match status.and_then(|status| u16::try_from(status).ok()) {
        Some(status) if (400..600).contains(&status) => {
            let (code, hint) = classify(status, &words, true);
            let mut error = LlmError::new(code, words.shown()).hint(hint);
            error.status = Some(status);
            error
        }
        _ => from_code(words.all.first().map_or("", String::as_str)),
    }
}

/// The error that a provider's code word stands for. Its message is completed by [`named`].
pub(super) fn from_code(code: &str) -> LlmError {
    let words = ErrorWords { all: vec![code.to_owned()], text: String::new() };
    let kind = if words.speak_of_length() {
        LlmErrorCode::ContextOverflow
    } else if words.speak_of_quota() {
        LlmErrorCode::PaymentRequired
    } else {
        match code {
            "rate_limit_error" | "rate_limit_exceeded" | "resource_exhausted" => {
                LlmErrorCode::RateLimited
            }
            "authentication_error" | "permission_error" | "invalid_api_key" => {
                LlmErrorCode::KeyRefused
            }
            "invalid_request_error" | "invalid_prompt" | "invalid_argument" | "not_found_error" => {
                LlmErrorCode::RequestRejected
            }
            _ => LlmErrorCode::Unavailable,
        }
    };
    LlmError::new(kind, words.shown()).hint("repeat the call, or name another model")
}

/// Completes the message of an error that a code word stood for.
pub(super) fn named(mut error: LlmError, target: &Target) -> LlmError {
    error.message = match error.code {
        LlmErrorCode::ContextOverflow => {
            format!("the request does not fit the context of {target}: {}", target.sizes())
        }
        _ => format!("{target} reports an error{}", error.message),
    };
    error
}

/// The parts of an error body that may be looked at; only words that look like codes are shown.
#[derive(Default)]
struct ErrorWords {
    all: Vec<String>,
    text: String,
}

impl ErrorWords {
    fn of(body: &Value) -> Self {
        let error = body.get("error").unwrap_or(body);
        let mut all = Vec::new();
        for key in ["code", "type", "status"] {
            if let Some(word) = error.get(key).and_then(Value::as_str) {
                all.push(word.to_owned());
            }
        }
        let details = error.get("details").and_then(Value::as_array);
        for detail in details.into_iter().flatten() {
            if let Some(word) = detail.get("reason").and_then(Value::as_str) {
                all.push(word.to_owned());
            }
        }
        let message = error.get("message").or_else(|| error.as_str().map(|_| error));
        let text = message.and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        Self { all, text }
    }

    fn any(&self, wanted: &[&str]) -> bool {
        self.all.iter().any(|word| wanted.contains(&word.to_ascii_lowercase().as_str()))
    }

    fn speak_of_length(&self) -> bool {
        self.any(&[
            "context_length_exceeded",
            "string_above_max_length",
            "request_too_large",
            "exceed_context_size_error",
        ]) || [
            "prompt is too long",
            "maximum context length",
            "context window",
            "context length",
            "input token count",
            "exceeds the maximum number of tokens",
        ]
        .iter()
        .any(|phrase| self.text.contains(phrase))
    }

    fn speak_of_key(&self) -> bool {
        self.any(&["api_key_invalid", "invalid_api_key", "authentication_error"])
    }

    fn speak_of_quota(&self) -> bool {
        self.any(&["insufficient_quota", "billing_error", "billing_hard_limit_reached"])
    }

    /// The first code as ` (code)`, or nothing.
    fn shown(&self) -> String {
        let word = self.all.iter().map(|word| code_word(word)).find(|word| !word.is_empty());
        word.map_or_else(String::new, |word| format!(" ({word})"))
    }
}

/// The text when it is a code, else nothing: providers and proxies put anything into their
/// errors, parts of the key and of the prompt included.
pub(super) fn code_word(text: &str) -> &str {
    let is_code = (1..=48).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'.');
    if is_code { text } else { "" }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let seconds = |number: f64| Duration::try_from_secs_f64(number).ok();
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok()) {
        return seconds(millis / 1000.0);
    }
    let after = text("retry-after")?.trim();
    if let Ok(number) = after.parse::<f64>() {
        return seconds(number);
    }
    let until = http_date(after)?;
    let now = text("date").and_then(http_date).unwrap_or_else(OffsetDateTime::now_utc);
    Some((until - now).try_into().unwrap_or(Duration::ZERO))
}

fn http_date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc2822).ok()
}

/// Google says in the body when to come back: `"retryDelay": "7s"`.
fn retry_delay(body: &Value) -> Option<Duration> {
    let details = body.pointer("/error/details")?.as_array()?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    let number = delay.strip_suffix('s')?.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(number).ok()
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = ["request-id", "x-request-id", "x-goog-request-id"]
        .iter()
        .find_map(|name| headers.get(*name))?
        .to_str()
        .ok()?;
    let is_plain = (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    is_plain.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn retry_after_is_read_in_every_form() {
        let seconds = |pairs: &[(&'static str, &str)]| {
            retry_after(&headers(pairs)).map(|delay| delay.as_secs_f64())
        };
        assert_eq!(seconds(&[("retry-after", "7")]), Some(7.0));
        assert_eq!(seconds(&[("retry-after", "7"), ("retry-after-ms", "250")]), Some(0.25));
        let date = "Sat, 21 Nov 2026 10:00:00 GMT";
        let later = "Sat, 21 Nov 2026 10:01:30 GMT";
        assert_eq!(seconds(&[("date", date), ("retry-after", later)]), Some(90.0));
        assert_eq!(seconds(&[("date", later), ("retry-after", date)]), Some(0.0));
        for nonsense in ["soon", "-1", "NaN", "1e400"] {
            assert_eq!(seconds(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        let body = json!({"error": {"details": [{"retryDelay": "7.5s"}]}});
        assert_eq!(retry_delay(&body), Some(Duration::from_millis(7500)));
    }

    #[test]
    fn only_codes_are_shown() {
        assert_eq!(code_word("insufficient_quota"), "insufficient_quota");
        for text in ["", "sk-proj-abc123", "please write a poem", "a1", &"a".repeat(49)] {
            assert_eq!(code_word(text), "", "{text}");
        }
    }

    #[test]
    fn statuses_become_codes() {
        let of = |status, body: Value| {
            let words = ErrorWords::of(&body);
            classify(status, &words, !body.is_null()).0
        };
        let with_code = |code: &str| json!({"error": {"code": code}});
        assert_eq!(of(302, Value::Null), LlmErrorCode::BadEndpoint);
        assert_eq!(of(400, Value::Null), LlmErrorCode::RequestRejected);
        assert_eq!(of(400, with_code("context_length_exceeded")), LlmErrorCode::ContextOverflow);
        let long = json!({"error": {"message": "prompt is too long: 9 tokens > 8 maximum"}});
        assert_eq!(of(400, long), LlmErrorCode::ContextOverflow);
        let key = json!({"error": {"details": [{"reason": "API_KEY_INVALID"}]}});
        assert_eq!(of(400, key), LlmErrorCode::KeyRefused);
        assert_eq!(of(413, Value::Null), LlmErrorCode::ContextOverflow);
        assert_eq!(of(401, Value::Null), LlmErrorCode::KeyRefused);
        assert_eq!(of(402, Value::Null), LlmErrorCode::PaymentRequired);
        assert_eq!(of(404, Value::Null), LlmErrorCode::BadEndpoint);
        assert_eq!(of(404, with_code("not_found")), LlmErrorCode::InvalidModel);
        assert_eq!(of(429, Value::Null), LlmErrorCode::RateLimited);
        assert_eq!(of(429, with_code("insufficient_quota")), LlmErrorCode::PaymentRequired);
        assert_eq!(of(529, Value::Null), LlmErrorCode::Unavailable);
    }
}
