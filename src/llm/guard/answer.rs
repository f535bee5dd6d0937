//! One request, from its first event to its end.

use std::collections::HashSet;

use futures::StreamExt;
use serde_json::Value;

use super::{Growth, Limits, Written};
use crate::llm::{Event, LanguageModel, LlmError, LlmErrorCode, Request, Stop, ToolCall, Usage};

/// Most bytes of one event.
const EVENT_BYTES: usize = 1024 * 1024;
/// Most characters of a model's id, as a client reports it.
const ID_CHARS: usize = 128;
/// Most characters of a provider's reason to refuse.
const REASON_CHARS: usize = 300;

/// A complete answer to one request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) model: Option<String>,
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    pub(super) thought_signatures: Vec<String>,
    pub(super) usage: Option<Usage>,
    pub(super) stop: Stop,
}

/// Why a request gave no answer, and what it used.
#[derive(Debug)]
pub(super) struct AttemptFailure {
    pub(super) error: LlmError,
    pub(super) usage: Option<Usage>,
    /// The model had begun to write, so the request costs something.
    pub(super) output_began: bool,
}

impl From<LlmError> for AttemptFailure {
    fn from(error: LlmError) -> Self {
        Self { error, usage: None, output_began: false }
    }
}

/// What has come of an answer.
#[derive(Default)]
struct Partial {
    model: Option<String>,
    text: String,
    thinking_bytes: usize,
    calls: Vec<ToolCall>,
    thought_signatures: Vec<String>,
    usage: Option<Usage>,
    began: bool,
}

impl Partial {
    fn fail(self, error: LlmError) -> AttemptFailure {
        AttemptFailure { error, usage: self.usage, output_began: self.began }
    }
}

/// Asks once and gathers the answer.
pub(super) async fn gather(
    model: &dyn LanguageModel,
    request: &Request,
    limits: &Limits,
    written: Written<'_>,
) -> Result<Answer, AttemptFailure> {
    let mut events = model.stream(request).await?;
    let mut partial = Partial::default();
    loop {
        let event = match events.next().await {
            Some(Ok(event)) => event,
            Some(Err(error)) => return Err(partial.fail(error)),
            None => return Err(partial.fail(truncated(model))),
        };
        match event {
            Event::Model(id) => {
                let id = id.chars().filter(|character| !character.is_control());
                partial.model = Some(id.take(ID_CHARS).collect());
            }
            Event::Text(piece) => {
                partial.began = true;
                if piece.len() > EVENT_BYTES || partial.text.len() + piece.len() > limits.text_bytes
                {
                    return Err(partial.fail(too_large(model, limits.text_bytes)));
                }
                partial.text.push_str(&piece);
                written(Growth::Text { piece: &piece, bytes: partial.text.len() });
            }
            Event::Thinking(piece) => {
                partial.began = true;
                partial.thinking_bytes += piece.len();
                if partial.thinking_bytes > limits.text_bytes {
                    return Err(partial.fail(too_large(model, limits.text_bytes)));
                }
                written(Growth::Thinking(&piece));
            }
            Event::ToolCall(call) => {
                partial.began = true;
                if partial.calls.len() >= limits.calls {
                    return Err(partial.fail(too_many_calls(model, limits.calls)));
                }
                partial.calls.push(call);
            }
            Event::ThoughtSignature(state) => partial.thought_signatures.push(state),
            Event::Usage(usage) => partial.usage = Some(usage),
            Event::Refused(reason) => return Err(partial.fail(refused(model, &reason))),
            // Whatever an endpoint sends after the end is not looked at.
            Event::End(stop) => return finish(model, partial, stop),
        }
    }
}

fn finish(
    model: &dyn LanguageModel,
    mut partial: Partial,
    stop: Stop,
) -> Result<Answer, AttemptFailure> {
    if stop == Stop::Refused {
        return Err(partial.fail(refused(model, "")));
    }
    let is_empty = partial.text.trim().is_empty() && partial.calls.is_empty();
    if is_empty && stop != Stop::MaxTokens {
        let error = empty(model, &stop);
        return Err(partial.fail(error));
    }
    tidy_calls(&mut partial.calls);
    Ok(Answer {
        model: partial.model,
        text: partial.text,
        calls: partial.calls,
        thought_signatures: partial.thought_signatures,
        usage: partial.usage,
        stop,
    })
}

/// Arguments that came as the text of an object become the object, and ids become unique: results
/// are given back by id. Other arguments stay as they are and go back to the model as its mistake.
fn tidy_calls(calls: &mut [ToolCall]) {
    let mut ids = HashSet::new();
    for (index, call) in calls.iter_mut().enumerate() {
        if let Value::String(text) = &call.arguments {
            let text = if text.trim().is_empty() { "{}" } else { text.as_str() };
            if let Ok(object @ Value::Object(_)) = serde_json::from_str(text) {
                call.arguments = object;
            }
        }
        // A stand-in of the library for a missing id keeps its form, by which it is known.
        if let Some((stem, _)) = call.id.rsplit_once('#')
            && ids.contains(&call.id)
        {
            call.id = format!("{stem}#{}", 1000 + index);
        }
        while call.id.is_empty() || !ids.insert(call.id.clone()) {
            call.id = format!("{}call_{index}", call.id);
        }
    }
}

fn truncated(model: &dyn LanguageModel) -> LlmError {
    LlmError::new(
        LlmErrorCode::Truncated,
        format!(
            "the answer of `{}` broke off before its end; nothing of it was kept",
            model.model_id()
        ),
    )
    .hint("repeat the call")
}

fn too_large(model: &dyn LanguageModel, limit: usize) -> LlmError {
    LlmError::new(
        LlmErrorCode::TooLarge,
        format!("`{}` writes more than {limit} bytes", model.model_id()),
    )
    .hint("ask for less at a time")
}

fn too_many_calls(model: &dyn LanguageModel, limit: usize) -> LlmError {
    LlmError::new(
        LlmErrorCode::HostileEndpoint,
        format!("`{}` makes more than {limit} tool calls at once", model.model_id()),
    )
    .hint("name another model")
}

fn refused(model: &dyn LanguageModel, reason: &str) -> LlmError {
    let reason: String = reason
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(REASON_CHARS)
        .collect();
    let reason = reason.trim();
    let message = if reason.is_empty() {
        format!("`{}` declined the request", model.model_id())
    } else {
        format!("`{}` declined the request: {reason}", model.model_id())
    };
    LlmError::new(LlmErrorCode::Refused, message).hint("change the request, or name another model")
}

fn empty(model: &dyn LanguageModel, stop: &Stop) -> LlmError {
    let reason = match stop {
        Stop::Other(word) if !word.is_empty() => format!(" ({word})"),
        Stop::Other(_) | Stop::Complete | Stop::ToolUse | Stop::MaxTokens | Stop::Refused => {
            String::new()
        }
    };
    LlmError::new(
        LlmErrorCode::Empty,
        format!("`{}` answered with nothing{reason}", model.model_id()),
    )
    .hint("repeat the call, or name another model")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(id: &str, arguments: Value) -> ToolCall {
        ToolCall { id: id.to_owned(), name: "add".to_owned(), arguments }
    }

    #[test]
    fn ids_become_unique_and_texts_of_objects_become_objects() {
        let mut calls = vec![
            call("a", json!({"x": 1})),
            call("a", json!("{\"x\": 2}")),
            call("", json!("")),
            call("b", json!("{\"x\": ")),
            call("c", json!([1])),
        ];
        tidy_calls(&mut calls);
        let ids: HashSet<_> = calls.iter().map(|call| call.id.clone()).collect();
        assert_eq!(ids.len(), calls.len());
        assert_eq!(calls[0].id, "a");
        let arguments: Vec<_> = calls.into_iter().map(|call| call.arguments).collect();
        assert_eq!(
            arguments,
            [json!({"x": 1}), json!({"x": 2}), json!({}), json!("{\"x\": "), json!([1])]
        );
    }
}
