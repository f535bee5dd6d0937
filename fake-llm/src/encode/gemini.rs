//! Google `generateContent`: chunks of the whole response, CRLF line ends, no terminal event.
//!
//! A tool call ends with `STOP`; a blocked prompt has `promptFeedback` and no candidate at all.

use serde_json::{Map, Value, json};

use super::{Encoded, Frame, NotExpressible, SIGNATURE, Turn};
use crate::reply::{Arguments, Part, Stop, ToolCall};

pub(super) fn encode(turn: &Turn<'_>) -> Result<Encoded, NotExpressible> {
    if !turn.request.streaming {
        let body = whole_response(turn)?;
        return Ok(Encoded::json("application/json; charset=UTF-8", &body));
    }
    let values = stream_values(turn)?;
    if turn.request.query.contains("alt=sse") {
        let count = values.len();
        let frames = values
            .iter()
            .enumerate()
            .map(|(index, value)| {
                let frame = event(value);
                if index + 1 == count { frame.end() } else { frame }
            })
            .collect();
        Ok(Encoded::event_stream("text/event-stream", frames))
    } else {
        Ok(json_array(&values))
    }
}

/// Without `alt=sse` the stream is one JSON array that grows.
fn json_array(values: &[Value]) -> Encoded {
    let mut frames: Vec<Frame> = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let opening = if index == 0 { "[" } else { ",\r\n" };
            Frame::text(format!("{opening}{value}"))
        })
        .collect();
    frames.push(Frame::text("]".to_owned()).end());
    let mut encoded = Encoded::json("application/json; charset=UTF-8", &Value::Null);
    encoded.frames = frames;
    encoded
}

/// Gemini is the one vendor whose event streams have CRLF line ends.
pub(super) fn event(value: &Value) -> Frame {
    Frame::text(format!("data: {value}\r\n\r\n"))
}

pub(super) fn text_frame(turn: &Turn<'_>, text: &str) -> Frame {
    let value = candidate_chunk(turn, &json!([{ "text": text }]), None, Counting::Running);
    event(&value)
}

fn stream_values(turn: &Turn<'_>) -> Result<Vec<Value>, NotExpressible> {
    if blocks_prompt(turn) {
        return Ok(vec![blocked_prompt(turn)]);
    }
    let finish = finish_reason(turn)?;
    let mut parts_per_chunk = Vec::new();
    let mut signed = false;
    for part in &turn.reply.parts {
        if let Some(part) = part_value(part, &mut signed) {
            parts_per_chunk.push(part);
        }
    }
    // Text carries the finish reason on its last chunk; a call is followed by an empty chunk.
    let ends_on_text = matches!(turn.reply.parts.last(), Some(Part::Text(_)));
    let carries_finish = ends_on_text && matches!(turn.stop(), Stop::Stop | Stop::MaxTokens);
    let last = parts_per_chunk.len().wrapping_sub(1);
    let mut values: Vec<Value> = parts_per_chunk
        .iter()
        .enumerate()
        .map(|(index, part)| {
            if carries_finish && index == last {
                candidate_chunk(turn, &json!([part]), finish.as_ref(), Counting::Final)
            } else {
                candidate_chunk(turn, &json!([part]), None, Counting::Running)
            }
        })
        .collect();
    if !carries_finish {
        values.push(closing_chunk(turn, finish.as_ref()));
    }
    Ok(values)
}

fn whole_response(turn: &Turn<'_>) -> Result<Value, NotExpressible> {
    if blocks_prompt(turn) {
        return Ok(blocked_prompt(turn));
    }
    let finish = finish_reason(turn)?;
    let mut signed = false;
    let mut parts: Vec<Value> = Vec::new();
    for part in &turn.reply.parts {
        let Some(value) = part_value(part, &mut signed) else {
            continue;
        };
        append_part(&mut parts, value);
    }
    if parts.is_empty() {
        return Ok(closing_chunk(turn, finish.as_ref()));
    }
    Ok(candidate_chunk(turn, &Value::Array(parts), finish.as_ref(), Counting::Final))
}

/// A whole answer has one text part where the stream has many chunks.
fn append_part(parts: &mut Vec<Value>, value: Value) {
    let joins = |last: &Value| {
        last.get("text").is_some()
            && value.get("text").is_some()
            && last.get("thought") == value.get("thought")
    };
    match parts.last_mut() {
        Some(last) if joins(last) => {
            let text = format!(
                "{}{}",
                last["text"].as_str().unwrap_or_default(),
                value["text"].as_str().unwrap_or_default()
            );
            last["text"] = Value::String(text);
        }
        _ => parts.push(value),
    }
}

fn part_value(part: &Part, signed: &mut bool) -> Option<Value> {
    match part {
        Part::Text(text) => Some(json!({ "text": text })),
        Part::Thinking(text) => Some(json!({ "text": text, "thought": true })),
        // Its arguments are a structure, so a call Gemini could not parse leaves no part behind.
        Part::ToolCall(ToolCall { arguments: Arguments::Raw(_), .. }) | Part::Refusal(_) => None,
        Part::ToolCall(ToolCall { id, name, arguments: Arguments::Json(arguments) }) => {
            let mut value =
                json!({ "functionCall": { "name": name, "args": arguments, "id": id } });
            // Only the first of several calls is signed.
            if !std::mem::replace(signed, true) {
                value["thoughtSignature"] = Value::String(SIGNATURE.to_owned());
            }
            Some(value)
        }
    }
}

/// A refusal before any output is a blocked prompt; Gemini has no words for it.
fn blocks_prompt(turn: &Turn<'_>) -> bool {
    turn.refusal().is_some() && turn.reply.parts.iter().all(|part| matches!(part, Part::Refusal(_)))
}

fn blocked_prompt(turn: &Turn<'_>) -> Value {
    let mut value = json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" } });
    if let Some(input) = turn.usage().and_then(|usage| usage.input_tokens) {
        value["usageMetadata"] = json!({
            "promptTokenCount": input,
            "totalTokenCount": input,
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": input }],
        });
    }
    add_identity(turn, &mut value);
    value
}

struct Finish {
    reason: &'static str,
    message: Option<String>,
}

fn finish_reason(turn: &Turn<'_>) -> Result<Option<Finish>, NotExpressible> {
    let plain = |reason| Ok(Some(Finish { reason, message: None }));
    if turn.refusal().is_some() {
        return plain("PROHIBITED_CONTENT");
    }
    if let Some((call, text)) = turn.malformed_call() {
        if turn.stop() == Stop::MaxTokens {
            return plain("MAX_TOKENS");
        }
        return Ok(Some(Finish {
            reason: "MALFORMED_FUNCTION_CALL",
            message: Some(format!("Malformed function call: {}({text}", call.name)),
        }));
    }
    match turn.stop() {
        Stop::Auto | Stop::Stop | Stop::ToolUse => plain("STOP"),
        Stop::MaxTokens => plain("MAX_TOKENS"),
        Stop::ContentFilter => plain("SAFETY"),
        Stop::MalformedFunctionCall => Ok(Some(Finish {
            reason: "MALFORMED_FUNCTION_CALL",
            message: Some("Malformed function call: ".to_owned()),
        })),
        Stop::Missing => Ok(None),
    }
}

#[derive(Clone, Copy)]
enum Counting {
    /// Chunks before the last one know the prompt's size only.
    Running,
    Final,
}

/// The last chunk when no text carries the finish reason.
fn closing_chunk(turn: &Turn<'_>, finish: Option<&Finish>) -> Value {
    let is_ordinary = finish.is_none_or(|finish| matches!(finish.reason, "STOP" | "MAX_TOKENS"));
    if is_ordinary {
        return candidate_chunk(turn, &json!([{ "text": "" }]), finish, Counting::Final);
    }
    // A stopped candidate has no content.
    let mut value = candidate_chunk(turn, &json!([]), finish, Counting::Final);
    if let Some(candidate) = value["candidates"][0].as_object_mut() {
        candidate.shift_remove("content");
        if finish.is_some_and(|finish| finish.reason == "SAFETY") {
            candidate.insert(
                "safetyRatings".to_owned(),
                json!([{
                    "category": "HARM_CATEGORY_DANGEROUS_CONTENT",
                    "probability": "HIGH",
                    "blocked": true,
                }]),
            );
        }
    }
    value
}

fn candidate_chunk(
    turn: &Turn<'_>,
    parts: &Value,
    finish: Option<&Finish>,
    counting: Counting,
) -> Value {
    let mut candidate = json!({ "content": { "parts": parts, "role": "model" } });
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish.reason);
        if let Some(message) = &finish.message {
            candidate["finishMessage"] = json!(message);
        }
    }
    candidate["index"] = json!(0);
    let mut value = json!({ "candidates": [candidate] });
    if let Some(usage) = usage_metadata(turn, counting) {
        value["usageMetadata"] = usage;
    }
    add_identity(turn, &mut value);
    value
}

fn usage_metadata(turn: &Turn<'_>, counting: Counting) -> Option<Value> {
    let usage = turn.usage()?;
    let mut counts = Map::new();
    let mut add = |name: &str, count: Option<i64>| {
        if let Some(count) = count {
            counts.insert(name.to_owned(), json!(count));
        }
    };
    add("promptTokenCount", usage.input_tokens);
    match counting {
        Counting::Running => add("totalTokenCount", usage.input_tokens),
        Counting::Final => {
            add("candidatesTokenCount", usage.answer_tokens());
            add("totalTokenCount", usage.total_tokens());
            add("cachedContentTokenCount", usage.cached_tokens);
            add("thoughtsTokenCount", usage.reasoning_tokens);
        }
    }
    if let Some(input) = usage.input_tokens {
        counts.insert(
            "promptTokensDetails".to_owned(),
            json!([{ "modality": "TEXT", "tokenCount": input }]),
        );
    }
    counts.insert("serviceTier".to_owned(), json!("standard"));
    Some(Value::Object(counts))
}

fn add_identity(turn: &Turn<'_>, value: &mut Value) {
    value["modelVersion"] = json!(turn.model());
    value["responseId"] = json!(turn.id(""));
}
