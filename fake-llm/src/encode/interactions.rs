//! Google Interactions: steps with a start, deltas and a stop; the event name is repeated inside.

use serde_json::{Map, Value, json};

use super::outline::{Block, argument_pieces};
use super::{CREATED_TEXT, Encoded, Frame, NotExpressible, SIGNATURE, Turn, error_body};
use crate::reply::{Arguments, Stop};
use crate::vendor::Vendor;

pub(super) fn encode(turn: &Turn<'_>) -> Result<Encoded, NotExpressible> {
    let ending = Ending::of(turn)?;
    if turn.request.streaming {
        return Ok(Encoded::event_stream("text/event-stream", stream_frames(turn, &ending)));
    }
    match ending {
        Ending::Status(status) => {
            let mut body = interaction(turn, status);
            body["steps"] = Value::Array(whole_steps(turn)?);
            Ok(Encoded::json("application/json; charset=UTF-8", &body))
        }
        Ending::Blocked(code) => {
            let message = blocked_message(turn);
            let body =
                error_body(Some(Vendor::GeminiInteractions), 400, Some(code), Some(&message), None);
            let mut encoded = Encoded::json("application/json; charset=UTF-8", &body);
            encoded.status = 400;
            Ok(encoded)
        }
    }
}

pub(super) fn text_frame(index: usize, text: &str) -> Frame {
    step_delta(index, &json!({ "text": text, "type": "text" }))
}

pub(super) fn error_event(code: &str, message: &str) -> Frame {
    event("error", json!({ "error": { "code": code, "message": message } }))
}

/// How the interaction ends.
enum Ending {
    Status(Option<&'static str>),
    /// The vendor reports blocked output as an error with a code, not as a status.
    Blocked(&'static str),
}

impl Ending {
    fn of(turn: &Turn<'_>) -> Result<Self, NotExpressible> {
        if turn.refusal().is_some() {
            return Ok(Self::Blocked("prohibited_content"));
        }
        match turn.stop() {
            Stop::Auto | Stop::Stop => Ok(Self::Status(Some("completed"))),
            Stop::ToolUse => Ok(Self::Status(Some("requires_action"))),
            Stop::MaxTokens => Ok(Self::Status(Some("incomplete"))),
            Stop::ContentFilter => Ok(Self::Blocked("safety")),
            Stop::Missing => Ok(Self::Status(None)),
            Stop::MalformedFunctionCall => {
                Err(NotExpressible("gemini_ix: use raw arguments for a malformed call".into()))
            }
        }
    }
}

fn blocked_message(turn: &Turn<'_>) -> String {
    turn.refusal()
        .filter(|words| !words.is_empty())
        .unwrap_or_else(|| "The request was blocked due to safety violations.".to_owned())
}

fn event(name: &str, mut fields: Value) -> Frame {
    fields["event_type"] = json!(name);
    Frame::event(name, &fields)
}

fn step_delta(index: usize, delta: &Value) -> Frame {
    event("step.delta", json!({ "index": index, "delta": delta }))
}

fn stream_frames(turn: &Turn<'_>, ending: &Ending) -> Vec<Frame> {
    let id = turn.id("v1_");
    let mut frames = vec![
        event(
            "interaction.created",
            json!({
                "interaction": {
                    "id": id,
                    "status": "in_progress",
                    "object": "interaction",
                    "model": turn.model(),
                },
            }),
        ),
        event(
            "interaction.status_update",
            json!({ "interaction_id": id, "status": "in_progress" }),
        ),
    ];
    let steps = turn.blocks().into_iter().filter(|block| !matches!(block, Block::Refusal(_)));
    for (index, block) in steps.enumerate() {
        let (start, deltas) = step_events(&block);
        frames.push(event("step.start", json!({ "index": index, "step": start })));
        frames.extend(deltas.iter().map(|delta| step_delta(index, delta)));
        frames.push(event("step.stop", json!({ "index": index })));
    }
    match ending {
        Ending::Status(status) => frames.push(
            event("interaction.completed", json!({ "interaction": interaction(turn, *status) }))
                .end(),
        ),
        Ending::Blocked(code) => frames.push(error_event(code, &blocked_message(turn)).end()),
    }
    frames.push(Frame::text("event: done\ndata: [DONE]\n\n".to_owned()).end());
    frames
}

fn step_events(block: &Block<'_>) -> (Value, Vec<Value>) {
    match block {
        Block::Text(pieces) | Block::Refusal(pieces) => (
            json!({ "type": "model_output" }),
            pieces.iter().map(|text| json!({ "text": text, "type": "text" })).collect(),
        ),
        Block::Thinking(pieces) => {
            let mut deltas: Vec<Value> = pieces
                .iter()
                .map(|text| {
                    json!({
                        "content": { "text": text, "type": "text" },
                        "type": "thought_summary",
                    })
                })
                .collect();
            deltas.push(json!({ "signature": SIGNATURE, "type": "thought_signature" }));
            (json!({ "type": "thought" }), deltas)
        }
        Block::ToolCall(call) => (
            json!({ "id": call.id, "type": "function_call", "name": call.name, "arguments": {} }),
            argument_pieces(&call.arguments.text())
                .into_iter()
                .map(|piece| json!({ "arguments": piece, "type": "arguments_delta" }))
                .collect(),
        ),
    }
}

fn whole_steps(turn: &Turn<'_>) -> Result<Vec<Value>, NotExpressible> {
    turn.blocks()
        .into_iter()
        .map(|block| match block {
            Block::Text(pieces) | Block::Refusal(pieces) => Ok(json!({
                "content": [{ "text": pieces.concat(), "type": "text" }],
                "type": "model_output",
            })),
            Block::Thinking(pieces) => Ok(json!({
                "signature": SIGNATURE,
                "summary": [{ "text": pieces.concat(), "type": "text" }],
                "type": "thought",
            })),
            Block::ToolCall(call) => match &call.arguments {
                Arguments::Json(arguments) => Ok(json!({
                    "id": call.id,
                    "type": "function_call",
                    "name": call.name,
                    "arguments": arguments,
                })),
                Arguments::Raw(_) => Err(NotExpressible(
                    "gemini_ix: a whole interaction has no form for malformed arguments".into(),
                )),
            },
        })
        .collect()
}

fn interaction(turn: &Turn<'_>, status: Option<&str>) -> Value {
    let mut value = json!({ "id": turn.id("v1_") });
    if let Some(status) = status {
        value["status"] = json!(status);
    }
    if let Some(usage) = usage_counts(turn) {
        value["usage"] = usage;
    }
    value["created"] = json!(CREATED_TEXT);
    value["updated"] = json!(CREATED_TEXT);
    value["service_tier"] = json!("standard");
    value["object"] = json!("interaction");
    value["model"] = json!(turn.model());
    value
}

fn usage_counts(turn: &Turn<'_>) -> Option<Value> {
    let usage = turn.usage()?;
    let mut counts = Map::new();
    let mut add = |name: &str, count: Option<i64>| {
        if let Some(count) = count {
            counts.insert(name.to_owned(), json!(count));
        }
    };
    add("total_tokens", usage.total_tokens());
    add("total_input_tokens", usage.input_tokens);
    add("total_cached_tokens", usage.input_tokens.map(|_| usage.cached_tokens.unwrap_or(0)));
    add("total_output_tokens", usage.answer_tokens());
    add("total_tool_use_tokens", Some(0));
    add("total_thought_tokens", usage.output_tokens.map(|_| usage.reasoning_tokens.unwrap_or(0)));
    add("raw_prompt_token", usage.input_tokens);
    if let Some(input) = usage.input_tokens {
        counts.insert(
            "input_tokens_by_modality".to_owned(),
            json!([{ "modality": "text", "tokens": input }]),
        );
    }
    Some(Value::Object(counts))
}
