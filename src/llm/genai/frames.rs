//! What the raw frames of an answer say that the client library loses or cannot survive.
//!
//! The library hands every frame to this watch before it reads it. The watch cannot answer, so it
//! stops a dangerous frame by unwinding with a [`Halt`], which the stream around the library
//! catches: a call index of fifty million would make the library fill the memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use genai::chat::{ChatFrameSink, FrameCtx, RawFrameRef};
use serde_json::Value;

use super::errors::{code_word, from_code};
use crate::llm::models::Wire;
use crate::llm::{LlmError, LlmErrorCode};

/// Most bytes of one frame.
const FRAME_BYTES: usize = 1024 * 1024;
/// First index of a tool call that no honest endpoint sends.
const CALL_INDEX_LIMIT: u64 = 128;

/// The payload the watch unwinds with.
pub(super) struct Halt;

/// Watches the frames of one answer.
pub(super) struct FrameWatch {
    wire: Wire,
    frames: AtomicU64,
    seen: Mutex<Seen>,
}

/// What the frames said so far.
#[derive(Default, Clone)]
pub(super) struct Seen {
    /// Frames with a payload.
    pub(super) payloads: u64,
    /// Frames without one: comments, or the lines of something that is no event stream.
    pub(super) blanks: u64,
    /// The first payload was no JSON and no end marker.
    pub(super) starts_as_text: bool,
    /// The provider's reason, or words, of a refusal.
    pub(super) refusal: Option<String>,
    /// An error that the provider reported inside the stream.
    pub(super) failure: Option<LlmError>,
    /// A frame that must not be read.
    pub(super) halt: Option<LlmError>,
    /// Encrypted reasoning of the Responses wire.
    pub(super) reasoning: Vec<String>,
    /// The Interactions wire said that it was done.
    pub(super) completed: bool,
}

impl FrameWatch {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, frames: AtomicU64::new(0), seen: Mutex::new(Seen::default()) }
    }

    /// Frames so far.
    pub(super) fn frames(&self) -> u64 {
        self.frames.load(Ordering::Relaxed)
    }

    /// What was seen so far.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().map(|seen| seen.clone()).unwrap_or_default()
    }

    fn note(&self, data: &str) -> Result<(), Halt> {
        let Ok(mut seen) = self.seen.lock() else { return Ok(()) };
        if data.is_empty() {
            seen.blanks += 1;
            return Ok(());
        }
        seen.payloads += 1;
        if data.len() > FRAME_BYTES {
            seen.halt = Some(LlmError::new(
                LlmErrorCode::TooLarge,
                format!("the model endpoint sent one event of {} bytes", data.len()),
            ));
            return Err(Halt);
        }
        if seen.payloads == 1 && !data.trim_start().starts_with(['{', '[']) {
            seen.starts_as_text = true;
        }
        self.read(data, &mut seen)
    }

    /// Frames are parsed only when they hold one of the few words that matter here.
    fn read(&self, data: &str, seen: &mut Seen) -> Result<(), Halt> {
        match self.wire {
            Wire::Gemini => {
                if data.contains("\"blockReason\"") {
                    let reason = parsed(data).and_then(|frame| {
                        text_at(&frame, "/promptFeedback/blockReason").map(str::to_owned)
                    });
                    seen.refusal = reason.map(|reason| code_word(&reason).to_owned());
                }
            }
            Wire::OpenAiChat => {
                if data.contains("\"tool_calls\"") && call_index_is_hostile(data) {
                    seen.halt = Some(
                        LlmError::new(
                            LlmErrorCode::HostileEndpoint,
                            "the model endpoint numbers its tool calls beyond any use",
                        )
                        .hint("use another endpoint"),
                    );
                    return Err(Halt);
                }
                if data.contains("\"refusal\":\"") || data.contains("\"refusal\": \"") {
                    let frame = parsed(data).unwrap_or_default();
                    if let Some(words) = text_at(&frame, "/choices/0/delta/refusal") {
                        seen.refusal.get_or_insert_default().push_str(words);
                    }
                }
            }
            Wire::OpenAiResponses => read_response(data, seen),
            Wire::GeminiIx => {
                if data.contains("\"interaction.completed\"") {
                    seen.completed = true;
                }
                if data.contains("\"event_type\":\"error\"") {
                    let frame = parsed(data).unwrap_or_default();
                    let code = text_at(&frame, "/error/code").unwrap_or_default();
                    if is_block(code) {
                        seen.refusal = Some(code_word(code).to_owned());
                    } else {
                        seen.failure = Some(from_code(code));
                    }
                }
            }
            Wire::Anthropic => {
                if data.contains("\"refusal\"") {
                    let frame = parsed(data).unwrap_or_default();
                    if let Some(words) = text_at(&frame, "/delta/stop_details/explanation") {
                        seen.refusal = Some(words.to_owned());
                    }
                }
            }
            Wire::Ollama => {
                // The library takes an error for a line without content.
                if data.contains("\"error\"") {
                    let frame = parsed(data).unwrap_or_default();
                    if frame.get("error").is_some() {
                        seen.failure = Some(from_code(""));
                    }
                }
            }
        }
        Ok(())
    }
}

impl ChatFrameSink for FrameWatch {
    fn on_frame(&self, _context: &FrameCtx, frame: RawFrameRef<'_>) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        if let Err(halt) = self.note(frame.data) {
            std::panic::resume_unwind(Box::new(halt));
        }
    }
}

fn read_response(data: &str, seen: &mut Seen) {
    let says = |word: &str| data.contains(word);
    if says("\"response.refusal.delta\"") {
        let frame = parsed(data).unwrap_or_default();
        if let Some(words) = text_at(&frame, "/delta") {
            seen.refusal.get_or_insert_default().push_str(words);
        }
    } else if says("\"response.failed\"") || says("\"type\":\"error\"") {
        let frame = parsed(data).unwrap_or_default();
        let code = text_at(&frame, "/response/error/code").or_else(|| text_at(&frame, "/code"));
        seen.failure = Some(from_code(code.unwrap_or_default()));
    } else if says("\"response.incomplete\"") && says("\"content_filter\"") {
        let frame = parsed(data).unwrap_or_default();
        let reason = text_at(&frame, "/response/incomplete_details/reason");
        if reason == Some("content_filter") {
            seen.refusal.get_or_insert_with(|| "content_filter".to_owned());
        }
    } else if says("\"response.output_item.done\"") && says("\"encrypted_content\"") {
        let frame = parsed(data).unwrap_or_default();
        if let Some(state) = text_at(&frame, "/item/encrypted_content") {
            seen.reasoning.push(state.to_owned());
        }
    }
}

fn parsed(data: &str) -> Option<Value> {
    serde_json::from_str(data).ok()
}

fn text_at<'frame>(frame: &'frame Value, pointer: &str) -> Option<&'frame str> {
    frame.pointer(pointer).and_then(Value::as_str)
}

fn call_index_is_hostile(data: &str) -> bool {
    let frame = parsed(data).unwrap_or_default();
    let calls = frame.pointer("/choices/0/delta/tool_calls").and_then(Value::as_array);
    calls.into_iter().flatten().any(|call| {
        call.get("index").and_then(Value::as_u64).is_some_and(|index| index >= CALL_INDEX_LIMIT)
    })
}

/// Words by which Google says that it blocked the prompt or the answer.
fn is_block(code: &str) -> bool {
    matches!(
        code.to_ascii_lowercase().as_str(),
        "safety"
            | "prohibited_content"
            | "blocklist"
            | "recitation"
            | "spii"
            | "image_safety"
            | "language"
            | "content_filter"
    )
}
