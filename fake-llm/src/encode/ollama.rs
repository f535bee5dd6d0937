//! Ollama's chat API: one JSON object per line, the last one with `done` and the counts.

use serde_json::{Value, json};

use super::{BodyKind, CREATED_TEXT, Encoded, Frame, NotExpressible, Turn};
use crate::reply::{Arguments, Part, Stop};

pub(super) fn encode(turn: &Turn<'_>) -> Result<Encoded, NotExpressible> {
    let done_reason = done_reason(turn)?;
    if !turn.request.streaming {
        let mut body = object(turn, &whole_message(turn));
        close(turn, &mut body, done_reason);
        return Ok(Encoded::json("application/json; charset=utf-8", &body));
    }
    let mut frames: Vec<Frame> =
        turn.reply.parts.iter().map(|part| line(turn, &message(part))).collect();
    let mut last = object(turn, &json!({ "role": "assistant", "content": "" }));
    close(turn, &mut last, done_reason);
    frames.push(Frame::line(&last).end());
    Ok(Encoded {
        status: 200,
        content_type: "application/x-ndjson",
        headers: Vec::new(),
        frames,
        kind: BodyKind::Lines,
    })
}

pub(super) fn text_frame(turn: &Turn<'_>, text: &str) -> Frame {
    line(turn, &json!({ "role": "assistant", "content": text }))
}

fn line(turn: &Turn<'_>, message: &Value) -> Frame {
    let mut value = object(turn, message);
    value["done"] = json!(false);
    Frame::line(&value)
}

fn object(turn: &Turn<'_>, message: &Value) -> Value {
    json!({ "model": turn.model(), "created_at": CREATED_TEXT, "message": message })
}

fn message(part: &Part) -> Value {
    match part {
        // A local model that refuses does so in plain text.
        Part::Text(text) | Part::Refusal(text) => json!({ "role": "assistant", "content": text }),
        Part::Thinking(text) => {
            json!({ "role": "assistant", "content": "", "thinking": text })
        }
        Part::ToolCall(call) => match &call.arguments {
            Arguments::Json(arguments) => json!({
                "role": "assistant",
                "content": "",
                "tool_calls": [{
                    "id": call.id,
                    "function": { "name": call.name, "arguments": arguments },
                }],
            }),
            // What Ollama cannot parse as a call stays in the text.
            Arguments::Raw(text) => json!({ "role": "assistant", "content": text }),
        },
    }
}

fn whole_message(turn: &Turn<'_>) -> Value {
    let mut whole = json!({ "role": "assistant", "content": "" });
    let mut calls = Vec::new();
    for part in &turn.reply.parts {
        let piece = message(part);
        for field in ["content", "thinking"] {
            if let Some(text) = piece[field].as_str() {
                let before = whole[field].as_str().unwrap_or_default();
                whole[field] = json!(format!("{before}{text}"));
            }
        }
        calls.extend(piece["tool_calls"].as_array().cloned().unwrap_or_default());
    }
    if !calls.is_empty() {
        whole["tool_calls"] = Value::Array(calls);
    }
    whole
}

fn close(turn: &Turn<'_>, value: &mut Value, done_reason: Option<&str>) {
    value["done"] = json!(true);
    if let Some(reason) = done_reason {
        value["done_reason"] = json!(reason);
    }
    value["total_duration"] = json!(94_027_084);
    value["load_duration"] = json!(1_981_395);
    if let Some(usage) = turn.usage() {
        if let Some(count) = usage.input_tokens {
            value["prompt_eval_count"] = json!(count);
            value["prompt_eval_duration"] = json!(32_899_000);
        }
        if let Some(count) = usage.cached_tokens {
            value["prompt_eval_cached_count"] = json!(count);
        }
        if let Some(count) = usage.output_tokens {
            value["eval_count"] = json!(count);
            value["eval_duration"] = json!(57_704_000);
        }
    }
}

fn done_reason(turn: &Turn<'_>) -> Result<Option<&'static str>, NotExpressible> {
    match turn.stop() {
        // A call for tools is an ordinary stop here.
        Stop::Auto | Stop::Stop | Stop::ToolUse => Ok(Some("stop")),
        Stop::MaxTokens => Ok(Some("length")),
        Stop::Missing => Ok(None),
        Stop::ContentFilter | Stop::MalformedFunctionCall => {
            Err(NotExpressible("ollama: there is no such `done_reason`".into()))
        }
    }
}
