//! OpenAI chat completions: unnamed events, a usage event on request, and `[DONE]`.

use serde_json::{Map, Value, json};

use super::outline::{Block, argument_pieces};
use super::{CREATED, Encoded, Frame, NotExpressible, Turn};
use crate::reply::{Stop, ToolCall};

pub(super) fn encode(turn: &Turn<'_>) -> Result<Encoded, NotExpressible> {
    let finish = finish_reason(turn)?;
    if !turn.request.streaming {
        let body = whole_completion(turn, &finish);
        return Ok(Encoded::json("application/json", &body));
    }
    let mut frames = vec![delta_frame(turn, &first_delta(turn), &Value::Null)];
    let mut tool_index = turn.first_tool_index;
    for block in turn.blocks() {
        let deltas = block_deltas(&block, tool_index);
        if matches!(block, Block::ToolCall(_)) {
            tool_index += 1;
        }
        frames.extend(deltas.iter().map(|delta| delta_frame(turn, delta, &Value::Null)));
    }
    if !finish.is_null() {
        frames.push(delta_frame(turn, &json!({}), &finish));
    }
    if wants_usage(turn)
        && let Some(usage) = usage_counts(turn)
    {
        let mut value = chunk(turn, &json!([]));
        value["usage"] = usage;
        frames.push(Frame::data(&value));
    }
    frames.push(Frame::text("data: [DONE]\n\n".to_owned()).end());
    Ok(Encoded::event_stream("text/event-stream; charset=utf-8", frames))
}

pub(super) fn text_frame(turn: &Turn<'_>, text: &str) -> Frame {
    delta_frame(turn, &json!({ "content": text }), &Value::Null)
}

/// Without this option the stream carries no usage at all.
fn wants_usage(turn: &Turn<'_>) -> bool {
    turn.request.body["stream_options"]["include_usage"].as_bool() == Some(true)
}

fn first_delta(turn: &Turn<'_>) -> Value {
    let opens_with_call = matches!(turn.blocks().first(), Some(Block::ToolCall(_)));
    let content = if opens_with_call { Value::Null } else { json!("") };
    json!({ "role": "assistant", "content": content, "refusal": null })
}

fn block_deltas(block: &Block<'_>, tool_index: u64) -> Vec<Value> {
    let each = |name: &str, pieces: &[&str]| {
        pieces.iter().map(|text| json!({ name: text })).collect::<Vec<Value>>()
    };
    match block {
        Block::Text(pieces) => each("content", pieces),
        Block::Refusal(pieces) => each("refusal", pieces),
        // OpenAI itself hides reasoning on this wire; its imitators stream it under this name.
        Block::Thinking(pieces) => each("reasoning_content", pieces),
        Block::ToolCall(call) => {
            let opening = json!({
                "tool_calls": [{
                    "index": tool_index,
                    "id": call.id,
                    "type": "function",
                    "function": { "name": call.name, "arguments": "" },
                }],
            });
            let pieces = argument_pieces(&call.arguments.text());
            std::iter::once(opening)
                .chain(pieces.into_iter().map(|piece| {
                    json!({
                        "tool_calls": [{
                            "index": tool_index,
                            "function": { "arguments": piece },
                        }],
                    })
                }))
                .collect()
        }
    }
}

fn delta_frame(turn: &Turn<'_>, delta: &Value, finish: &Value) -> Frame {
    let choice = json!({
        "index": 0,
        "delta": delta,
        "logprobs": null,
        "finish_reason": finish,
    });
    Frame::data(&chunk(turn, &json!([choice])))
}

fn chunk(turn: &Turn<'_>, choices: &Value) -> Value {
    let mut value = json!({
        "id": turn.id("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": turn.model(),
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
        "choices": choices,
    });
    if wants_usage(turn) {
        value["usage"] = Value::Null;
    }
    value
}

fn whole_completion(turn: &Turn<'_>, finish: &Value) -> Value {
    let refusal = turn.refusal();
    let text = turn.text();
    let calls: Vec<Value> = turn.tool_calls().map(whole_call).collect();
    let has_content = refusal.is_none() && (calls.is_empty() || !text.is_empty());
    let mut message = json!({
        "role": "assistant",
        "content": if has_content { json!(text) } else { Value::Null },
        "refusal": refusal,
        "annotations": [],
    });
    let thinking = turn.thinking();
    if !thinking.is_empty() {
        message["reasoning_content"] = json!(thinking);
    }
    if !calls.is_empty() {
        message["tool_calls"] = Value::Array(calls);
    }
    let mut value = json!({
        "id": turn.id("chatcmpl-"),
        "object": "chat.completion",
        "created": CREATED,
        "model": turn.model(),
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": finish,
        }],
    });
    if let Some(usage) = usage_counts(turn) {
        value["usage"] = usage;
    }
    value["service_tier"] = json!("default");
    value["system_fingerprint"] = json!("fp_fake");
    value
}

fn whole_call(call: &ToolCall) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": { "name": call.name, "arguments": call.arguments.text() },
    })
}

fn finish_reason(turn: &Turn<'_>) -> Result<Value, NotExpressible> {
    match turn.stop() {
        Stop::Auto | Stop::Stop => Ok(json!("stop")),
        Stop::MaxTokens => Ok(json!("length")),
        Stop::ToolUse => Ok(json!("tool_calls")),
        Stop::ContentFilter => Ok(json!("content_filter")),
        Stop::Missing => Ok(Value::Null),
        Stop::MalformedFunctionCall => Err(NotExpressible(
            "openai_chat: there is no finish reason for a malformed call; use raw arguments".into(),
        )),
    }
}

fn usage_counts(turn: &Turn<'_>) -> Option<Value> {
    let usage = turn.usage()?;
    let mut counts = Map::new();
    let mut add = |name: &str, count: Option<i64>| {
        if let Some(count) = count {
            counts.insert(name.to_owned(), json!(count));
        }
    };
    add("prompt_tokens", usage.input_tokens);
    add("completion_tokens", usage.output_tokens);
    add("total_tokens", usage.total_tokens());
    if usage.input_tokens.is_some() {
        counts.insert(
            "prompt_tokens_details".to_owned(),
            json!({ "cached_tokens": usage.cached_tokens.unwrap_or(0), "audio_tokens": 0 }),
        );
    }
    if usage.output_tokens.is_some() {
        counts.insert(
            "completion_tokens_details".to_owned(),
            json!({
                "reasoning_tokens": usage.reasoning_tokens.unwrap_or(0),
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            }),
        );
    }
    Some(Value::Object(counts))
}
