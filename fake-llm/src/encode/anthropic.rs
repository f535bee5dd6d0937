//! Anthropic Messages: named events, one start, deltas and one stop per content block.

use serde_json::{Map, Value, json};

use super::outline::{Block, argument_pieces};
use super::{Encoded, Frame, NotExpressible, SIGNATURE, Turn};
use crate::reply::{Arguments, Stop, Usage};

pub(super) fn encode(turn: &Turn<'_>) -> Result<Encoded, NotExpressible> {
    let stop_reason = stop_reason(turn)?;
    if !turn.request.streaming {
        let body = whole_message(turn, &stop_reason)?;
        return Ok(Encoded::json("application/json", &body));
    }
    let mut frames = vec![message_start(turn)];
    let mut index = 0;
    let mut pinged = false;
    let blocks = turn.blocks();
    let count = blocks.len();
    for (position, block) in blocks.into_iter().enumerate() {
        let Some((start, deltas)) = block_events(&block) else {
            continue;
        };
        frames.push(named(&json!({
            "type": "content_block_start",
            "index": index,
            "content_block": start,
        })));
        if !std::mem::replace(&mut pinged, true) {
            frames.push(ping());
        }
        frames.extend(deltas.into_iter().map(|delta| block_delta(index, &delta)));
        // The output limit can cut a tool call; such a block gets no stop event.
        let is_cut = position + 1 == count
            && turn.stop() == Stop::MaxTokens
            && matches!(&block, Block::ToolCall(call) if matches!(call.arguments, Arguments::Raw(_)));
        if !is_cut {
            frames.push(named(&json!({ "type": "content_block_stop", "index": index })));
        }
        index += 1;
    }
    if !pinged {
        frames.push(ping());
    }
    frames.push(message_delta(turn, &stop_reason).end());
    frames.push(named(&json!({ "type": "message_stop" })).end());
    Ok(Encoded::event_stream("text/event-stream; charset=utf-8", frames))
}

pub(super) fn text_frame(index: usize, text: &str) -> Frame {
    block_delta(index, &json!({ "type": "text_delta", "text": text }))
}

fn named(value: &Value) -> Frame {
    Frame::event(value["type"].as_str().unwrap_or_default(), value)
}

fn ping() -> Frame {
    named(&json!({ "type": "ping" }))
}

fn block_delta(index: usize, delta: &Value) -> Frame {
    named(&json!({ "type": "content_block_delta", "index": index, "delta": delta }))
}

fn message_start(turn: &Turn<'_>) -> Frame {
    let mut message = json!({
        "model": turn.model(),
        "id": turn.id("msg_"),
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "stop_details": null,
    });
    if let Some(usage) = turn.usage() {
        // At this point the vendor has counted the input and next to no output.
        let started = Usage {
            output_tokens: usage.output_tokens.map(|_| 1),
            reasoning_tokens: None,
            ..usage
        };
        message["usage"] = start_usage(&started);
    }
    named(&json!({ "type": "message_start", "message": message }))
}

fn message_delta(turn: &Turn<'_>, stop_reason: &Value) -> Frame {
    let mut value = json!({
        "type": "message_delta",
        "delta": {
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "stop_details": stop_details(turn, stop_reason),
        },
    });
    if let Some(usage) = turn.usage() {
        value["usage"] = Value::Object(usage_counts(&usage));
    }
    named(&value)
}

/// The block's first state and the deltas that complete it.
fn block_events(block: &Block<'_>) -> Option<(Value, Vec<Value>)> {
    match block {
        Block::Text(pieces) => Some((
            json!({ "type": "text", "text": "" }),
            pieces.iter().map(|text| json!({ "type": "text_delta", "text": text })).collect(),
        )),
        Block::Thinking(pieces) => {
            let mut deltas: Vec<Value> = pieces
                .iter()
                .map(|text| json!({ "type": "thinking_delta", "thinking": text }))
                .collect();
            deltas.push(json!({ "type": "signature_delta", "signature": SIGNATURE }));
            Some((json!({ "type": "thinking", "thinking": "", "signature": "" }), deltas))
        }
        Block::ToolCall(call) => {
            let pieces = argument_pieces(&call.arguments.text());
            let deltas = std::iter::once(String::new())
                .chain(pieces)
                .map(|piece| json!({ "type": "input_json_delta", "partial_json": piece }))
                .collect();
            Some((
                json!({
                    "type": "tool_use",
                    "id": call.id,
                    "name": call.name,
                    "input": {},
                    "caller": { "type": "direct" },
                }),
                deltas,
            ))
        }
        // The words of a refusal are in `stop_details`, never in a block.
        Block::Refusal(_) => None,
    }
}

fn whole_message(turn: &Turn<'_>, stop_reason: &Value) -> Result<Value, NotExpressible> {
    let mut content = Vec::new();
    for block in turn.blocks() {
        match block {
            Block::Text(pieces) => {
                content.push(json!({ "type": "text", "text": pieces.concat() }));
            }
            Block::Thinking(pieces) => content.push(json!({
                "type": "thinking",
                "thinking": pieces.concat(),
                "signature": SIGNATURE,
            })),
            Block::ToolCall(call) => {
                let Arguments::Json(input) = &call.arguments else {
                    return Err(NotExpressible(
                        "anthropic: a whole message has no form for malformed tool input".into(),
                    ));
                };
                content.push(json!({
                    "type": "tool_use",
                    "id": call.id,
                    "name": call.name,
                    "input": input,
                    "caller": { "type": "direct" },
                }));
            }
            Block::Refusal(_) => {}
        }
    }
    let mut message = json!({
        "model": turn.model(),
        "id": turn.id("msg_"),
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": null,
        "stop_details": stop_details(turn, stop_reason),
    });
    if let Some(usage) = turn.usage() {
        message["usage"] = start_usage(&usage);
    }
    Ok(message)
}

fn stop_reason(turn: &Turn<'_>) -> Result<Value, NotExpressible> {
    if turn.refusal().is_some() {
        return Ok(json!("refusal"));
    }
    match turn.stop() {
        Stop::Auto | Stop::Stop => Ok(json!("end_turn")),
        Stop::MaxTokens => Ok(json!("max_tokens")),
        Stop::ToolUse => Ok(json!("tool_use")),
        Stop::ContentFilter => Ok(json!("refusal")),
        Stop::Missing => Ok(Value::Null),
        Stop::MalformedFunctionCall => Err(NotExpressible(
            "anthropic: there is no stop reason for a malformed call; use raw arguments".into(),
        )),
    }
}

fn stop_details(turn: &Turn<'_>, stop_reason: &Value) -> Value {
    if stop_reason.as_str() != Some("refusal") {
        return Value::Null;
    }
    let explanation = turn.refusal().filter(|words| !words.is_empty());
    json!({ "type": "refusal", "category": null, "explanation": explanation })
}

fn start_usage(usage: &Usage) -> Value {
    let mut counts = usage_counts(usage);
    counts.insert("service_tier".to_owned(), json!("standard"));
    counts.insert("inference_geo".to_owned(), json!("not_available"));
    Value::Object(counts)
}

fn usage_counts(usage: &Usage) -> Map<String, Value> {
    let mut counts = Map::new();
    if let Some(count) = usage.uncached_tokens() {
        counts.insert("input_tokens".to_owned(), json!(count));
        counts.insert("cache_creation_input_tokens".to_owned(), json!(0));
        counts
            .insert("cache_read_input_tokens".to_owned(), json!(usage.cached_tokens.unwrap_or(0)));
    }
    if let Some(count) = usage.output_tokens {
        counts.insert("output_tokens".to_owned(), json!(count));
    }
    if let Some(count) = usage.reasoning_tokens {
        counts.insert("output_tokens_details".to_owned(), json!({ "thinking_tokens": count }));
    }
    counts
}
