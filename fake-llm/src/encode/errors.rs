//! Errors in each vendor's form: as an HTTP body and as an event inside a stream.

use serde_json::{Value, json};

use super::{Frame, Turn, gemini, interactions, openai_responses};
use crate::fault::ErrorForm;
use crate::vendor::Vendor;

/// The body that goes with an HTTP error status.
pub(crate) fn error_body(
    vendor: Option<Vendor>,
    status: u16,
    code: Option<&str>,
    message: Option<&str>,
    retry_after: Option<&str>,
) -> Value {
    let message = message.unwrap_or_else(|| default_message(status));
    match vendor {
        Some(Vendor::Gemini) => {
            let mut error = json!({
                "code": status,
                "message": message,
                "status": code.unwrap_or_else(|| google_status(status)),
            });
            // Google repeats the delay in its own form.
            let seconds = retry_after.and_then(|value| value.parse::<u64>().ok());
            if let Some(seconds) = seconds {
                error["details"] = json!([{
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": format!("{seconds}s"),
                }]);
            }
            json!({ "error": error })
        }
        Some(Vendor::GeminiInteractions) => json!({
            "error": {
                "code": code.unwrap_or_else(|| interactions_code(status)),
                "message": message,
            },
        }),
        Some(Vendor::Anthropic) => json!({
            "type": "error",
            "error": {
                "type": code.unwrap_or_else(|| anthropic_type(status)),
                "message": message,
            },
            "request_id": "req_fake",
        }),
        Some(Vendor::Ollama) => json!({ "error": message }),
        Some(Vendor::OpenaiChat | Vendor::OpenaiResponses) => json!({
            "error": {
                "message": message,
                "type": openai_type(status),
                "param": null,
                "code": code.map_or_else(|| openai_code(status), |code| json!(code)),
            },
        }),
        // llama.cpp's server, whose health probe answers 503 while a model loads.
        None => json!({
            "error": {
                "code": status,
                "message": message,
                "type": code.unwrap_or_else(|| llama_type(status)),
            },
        }),
    }
}

/// An error inside a stream; `sequence` is the number of events before it.
pub(crate) fn error_frame(
    vendor: Vendor,
    turn: &Turn<'_>,
    form: ErrorForm,
    message: Option<&str>,
    sequence: usize,
) -> Frame {
    const TROUBLE: &str = "The server had an error while processing your request.";
    match vendor {
        Vendor::Gemini => {
            let message = message.unwrap_or("The model is overloaded. Please try again later.");
            gemini::event(&error_body(Some(vendor), 503, None, Some(message), None))
        }
        Vendor::GeminiInteractions => interactions::error_event(
            "service_unavailable",
            message.unwrap_or("The service is temporarily overloaded."),
        ),
        Vendor::Anthropic => Frame::event(
            "error",
            &json!({
                "type": "error",
                "error": {
                    "type": "overloaded_error",
                    "message": message.unwrap_or("Overloaded"),
                },
                "request_id": turn.id("req_"),
            }),
        ),
        Vendor::OpenaiChat => Frame::data(&json!({
            "error": {
                "message": message.unwrap_or(TROUBLE),
                "type": "server_error",
                "param": null,
                "code": null,
            },
        })),
        Vendor::OpenaiResponses => {
            let error = json!({
                "code": "server_error",
                "message": message.unwrap_or(TROUBLE),
            });
            match form {
                ErrorForm::ResponseFailed => openai_responses::failed_frame(turn, &error, sequence),
                ErrorForm::Error => openai_responses::bare_error_frame(&error, sequence),
            }
        }
        Vendor::Ollama => Frame::line(&json!({
            "error": message.unwrap_or("an error was encountered while running the model"),
        })),
    }
}

fn default_message(status: u16) -> &'static str {
    match status {
        400 => "The request is not valid.",
        401 => "The API key is not valid.",
        402 => "Your account has no credit left.",
        403 => "You have no permission for this resource.",
        404 => "The requested resource was not found.",
        413 => "The request is too large.",
        429 => "Rate limit reached. Please try again later.",
        503 | 529 => "The model is overloaded. Please try again later.",
        _ => "An internal error has occurred.",
    }
}

fn google_status(status: u16) -> &'static str {
    match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500 => "INTERNAL",
        _ => "UNKNOWN",
    }
}

fn interactions_code(status: u16) -> &'static str {
    match status {
        400 => "invalid_request",
        401 => "authentication",
        402 => "payment_required",
        403 => "permission_denied",
        404 => "not_found",
        409 => "aborted",
        429 => "rate_limit_exceeded",
        503 => "service_unavailable",
        504 => "deadline_exceeded",
        _ => "api_error",
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        400 | 422 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        _ => "api_error",
    }
}

fn openai_type(status: u16) -> &'static str {
    match status {
        429 => "requests",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

fn openai_code(status: u16) -> Value {
    match status {
        401 => json!("invalid_api_key"),
        404 => json!("model_not_found"),
        429 => json!("rate_limit_exceeded"),
        _ => Value::Null,
    }
}

fn llama_type(status: u16) -> &'static str {
    match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        404 => "not_found_error",
        503 => "unavailable_error",
        _ => "server_error",
    }
}
