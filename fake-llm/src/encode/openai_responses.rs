//! OpenAI Responses: named, numbered events around output items; no `[DONE]`.

use serde_json::{Map, Value, json};

use super::outline::{Block, argument_pieces};
use super::{CREATED, Encoded, Frame, NotExpressible, SIGNATURE, Turn};
use crate::reply::{Stop, ToolCall};

pub(super) fn encode(turn: &Turn<'_>) -> Result<Encoded, NotExpressible> {
    let ending = Ending::of(turn)?;
    let mut stream = EventWriter::default();
    let opening = response_object(turn, "in_progress", &[], &Value::Null);
    for name in ["response.created", "response.in_progress"] {
        stream.push(name, json!({ "response": opening.clone() }));
    }
    let items = write_items(turn, ending, &mut stream);
    let usage = usage_counts(turn).unwrap_or(Value::Null);
    let closing = response_object(turn, ending.status(), &items, &usage);
    if !turn.request.streaming {
        return Ok(Encoded::json("application/json", &closing));
    }
    if let Some(name) = ending.event() {
        stream.push(name, json!({ "response": closing }));
        if let Some(frame) = stream.frames.last_mut() {
            frame.is_end = true;
        }
    }
    Ok(Encoded::event_stream("text/event-stream; charset=utf-8", stream.frames))
}

/// `response.failed` and the bare `error` event, for the error fault.
pub(super) fn failed_frame(turn: &Turn<'_>, error: &Value, sequence: usize) -> Frame {
    let mut response = response_object(turn, "failed", &[], &Value::Null);
    response["error"] = error.clone();
    numbered("response.failed", sequence, json!({ "response": response }))
}

pub(super) fn bare_error_frame(error: &Value, sequence: usize) -> Frame {
    let fields = json!({
        "code": error["code"],
        "message": error["message"],
        "param": null,
    });
    numbered("error", sequence, fields)
}

pub(super) fn late_text_frame(turn: &Turn<'_>, text: &str) -> Frame {
    // The number is past any the stream itself reached.
    numbered(
        "response.output_text.delta",
        1_000_000,
        json!({
            "item_id": turn.id("msg_"),
            "output_index": 0,
            "content_index": 0,
            "delta": text,
            "logprobs": [],
        }),
    )
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Completed,
    MaxOutputTokens,
    ContentFilter,
    Nothing,
}

impl Ending {
    /// A call for tools is an ordinary completion on this wire, and so is a refusal.
    fn of(turn: &Turn<'_>) -> Result<Self, NotExpressible> {
        match turn.stop() {
            Stop::Auto | Stop::Stop | Stop::ToolUse => Ok(Self::Completed),
            Stop::MaxTokens => Ok(Self::MaxOutputTokens),
            Stop::ContentFilter => Ok(Self::ContentFilter),
            Stop::Missing => Ok(Self::Nothing),
            Stop::MalformedFunctionCall => Err(NotExpressible(
                "openai_responses: there is no status for a malformed call; use raw arguments"
                    .into(),
            )),
        }
    }

    fn status(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::MaxOutputTokens | Self::ContentFilter => "incomplete",
            Self::Nothing => "in_progress",
        }
    }

    fn event(self) -> Option<&'static str> {
        match self {
            Self::Completed => Some("response.completed"),
            Self::MaxOutputTokens | Self::ContentFilter => Some("response.incomplete"),
            Self::Nothing => None,
        }
    }
}

/// Numbers the events.
#[derive(Default)]
struct EventWriter {
    frames: Vec<Frame>,
}

impl EventWriter {
    fn push(&mut self, name: &str, fields: Value) {
        let sequence = self.frames.len();
        self.frames.push(numbered(name, sequence, fields));
    }
}

fn numbered(name: &str, sequence: usize, fields: Value) -> Frame {
    let mut value = Map::new();
    value.insert("type".to_owned(), json!(name));
    value.insert("sequence_number".to_owned(), json!(sequence));
    if let Value::Object(fields) = fields {
        value.extend(fields);
    }
    Frame::event(name, &Value::Object(value))
}

/// Writes the events of all items and returns the finished items.
fn write_items(turn: &Turn<'_>, ending: Ending, stream: &mut EventWriter) -> Vec<Value> {
    let mut items = Vec::new();
    let blocks = turn.blocks();
    let count = blocks.len();
    for (index, block) in blocks.into_iter().enumerate() {
        let status = if ending != Ending::Completed && index + 1 == count {
            "incomplete"
        } else {
            "completed"
        };
        let place = Place { index, suffix: format!("{}_{index}", turn.id("")), status };
        items.push(match block {
            Block::Text(pieces) => write_message(stream, &place, &pieces, &TEXT),
            Block::Refusal(pieces) => write_message(stream, &place, &pieces, &REFUSAL),
            Block::Thinking(pieces) => write_reasoning(stream, &place, &pieces),
            Block::ToolCall(call) => write_call(stream, &place, call),
        });
    }
    items
}

struct Place {
    index: usize,
    suffix: String,
    status: &'static str,
}

impl Place {
    fn added(&self, stream: &mut EventWriter, item: &Value) {
        let fields = json!({ "output_index": self.index, "item": item });
        stream.push("response.output_item.added", fields);
    }

    fn done(&self, stream: &mut EventWriter, item: &Value) {
        let fields = json!({ "output_index": self.index, "item": item });
        stream.push("response.output_item.done", fields);
    }
}

/// Text and refusals are framed alike and named differently.
struct PartNames {
    part: &'static str,
    field: &'static str,
    delta: &'static str,
    done: &'static str,
}

const TEXT: PartNames = PartNames {
    part: "output_text",
    field: "text",
    delta: "response.output_text.delta",
    done: "response.output_text.done",
};

const REFUSAL: PartNames = PartNames {
    part: "refusal",
    field: "refusal",
    delta: "response.refusal.delta",
    done: "response.refusal.done",
};

impl PartNames {
    fn content(&self, text: &str) -> Value {
        let mut part = json!({ "type": self.part });
        if self.part == TEXT.part {
            part["annotations"] = json!([]);
            part["logprobs"] = json!([]);
        }
        part[self.field] = json!(text);
        part
    }
}

fn write_message(
    stream: &mut EventWriter,
    place: &Place,
    pieces: &[&str],
    names: &PartNames,
) -> Value {
    let id = format!("msg_{}", place.suffix);
    let item = |status: &str, content: Value| {
        json!({
            "id": id,
            "type": "message",
            "status": status,
            "content": content,
            "role": "assistant",
        })
    };
    let located = |mut fields: Value| {
        fields["item_id"] = json!(id);
        fields["output_index"] = json!(place.index);
        fields["content_index"] = json!(0);
        if names.part == TEXT.part && fields.get("part").is_none() {
            fields["logprobs"] = json!([]);
        }
        fields
    };
    place.added(stream, &item("in_progress", json!([])));
    stream.push("response.content_part.added", located(json!({ "part": names.content("") })));
    for piece in pieces {
        stream.push(names.delta, located(json!({ "delta": piece })));
    }
    let text = pieces.concat();
    stream.push(names.done, located(json!({ names.field: text })));
    let content = names.content(&text);
    stream.push("response.content_part.done", located(json!({ "part": content })));
    let finished = item(place.status, json!([content]));
    place.done(stream, &finished);
    finished
}

fn write_reasoning(stream: &mut EventWriter, place: &Place, pieces: &[&str]) -> Value {
    let id = format!("rs_{}", place.suffix);
    let item = |summary: Value| {
        json!({
            "id": id,
            "type": "reasoning",
            "encrypted_content": SIGNATURE,
            "summary": summary,
        })
    };
    let located = |mut fields: Value| {
        fields["item_id"] = json!(id);
        fields["output_index"] = json!(place.index);
        fields["summary_index"] = json!(0);
        fields
    };
    let part = |text: &str| json!({ "type": "summary_text", "text": text });
    place.added(stream, &item(json!([])));
    stream.push("response.reasoning_summary_part.added", located(json!({ "part": part("") })));
    for piece in pieces {
        stream.push("response.reasoning_summary_text.delta", located(json!({ "delta": piece })));
    }
    let text = pieces.concat();
    stream.push("response.reasoning_summary_text.done", located(json!({ "text": text })));
    stream.push("response.reasoning_summary_part.done", located(json!({ "part": part(&text) })));
    let finished = item(json!([part(&text)]));
    place.done(stream, &finished);
    finished
}

fn write_call(stream: &mut EventWriter, place: &Place, call: &ToolCall) -> Value {
    let id = format!("fc_{}", place.suffix);
    let item = |status: &str, arguments: &str| {
        json!({
            "id": id,
            "type": "function_call",
            "status": status,
            "arguments": arguments,
            "call_id": call.id,
            "name": call.name,
        })
    };
    place.added(stream, &item("in_progress", ""));
    let arguments = call.arguments.text();
    for piece in argument_pieces(&arguments) {
        stream.push(
            "response.function_call_arguments.delta",
            json!({ "item_id": id, "output_index": place.index, "delta": piece }),
        );
    }
    stream.push(
        "response.function_call_arguments.done",
        json!({ "item_id": id, "output_index": place.index, "arguments": arguments }),
    );
    let finished = item(place.status, &arguments);
    place.done(stream, &finished);
    finished
}

/// The response object repeats the request's settings, as the vendor does.
fn response_object(turn: &Turn<'_>, status: &str, output: &[Value], usage: &Value) -> Value {
    let request = &turn.request.body;
    let echoed = |name: &str, fallback: Value| match &request[name] {
        Value::Null => fallback,
        value => value.clone(),
    };
    let incomplete = match (status, turn.stop()) {
        ("incomplete", Stop::ContentFilter) => json!({ "reason": "content_filter" }),
        ("incomplete", _) => json!({ "reason": "max_output_tokens" }),
        _ => Value::Null,
    };
    let completed_at = if status == "completed" { json!(CREATED + 2) } else { Value::Null };
    json!({
        "id": turn.id("resp_"),
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": false,
        "completed_at": completed_at,
        "error": null,
        "frequency_penalty": 0.0,
        "incomplete_details": incomplete,
        "instructions": echoed("instructions", Value::Null),
        "max_output_tokens": echoed("max_output_tokens", Value::Null),
        "max_tool_calls": null,
        "model": turn.model(),
        "output": output,
        "parallel_tool_calls": true,
        "presence_penalty": 0.0,
        "previous_response_id": null,
        "prompt_cache_key": echoed("prompt_cache_key", Value::Null),
        "prompt_cache_retention": null,
        "reasoning": echoed("reasoning", json!({ "effort": null, "summary": null })),
        "safety_identifier": null,
        "service_tier": "default",
        "store": echoed("store", json!(true)),
        "temperature": 1.0,
        "text": echoed("text", json!({ "format": { "type": "text" }, "verbosity": "medium" })),
        "tool_choice": echoed("tool_choice", json!("auto")),
        "tools": echoed("tools", json!([])),
        "top_logprobs": 0,
        "top_p": 0.98,
        "truncation": "disabled",
        "usage": usage,
        "user": null,
        "metadata": {},
    })
}

fn usage_counts(turn: &Turn<'_>) -> Option<Value> {
    let usage = turn.usage()?;
    let mut counts = Map::new();
    if let Some(input) = usage.input_tokens {
        counts.insert("input_tokens".to_owned(), json!(input));
        counts.insert(
            "input_tokens_details".to_owned(),
            json!({ "cached_tokens": usage.cached_tokens.unwrap_or(0) }),
        );
    }
    if let Some(output) = usage.output_tokens {
        counts.insert("output_tokens".to_owned(), json!(output));
        counts.insert(
            "output_tokens_details".to_owned(),
            json!({ "reasoning_tokens": usage.reasoning_tokens.unwrap_or(0) }),
        );
    }
    if let Some(total) = usage.total_tokens() {
        counts.insert("total_tokens".to_owned(), json!(total));
    }
    Some(Value::Object(counts))
}
