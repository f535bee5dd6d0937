//! From our request to the library's, with what each wire needs said or left out.

use std::collections::BTreeMap;

use genai::adapter::AdapterKind;
use genai::chat::{
    Binary, CacheControl, ChatMessage, ChatOptions, ChatRequest, ChatRole, ContentPart, JsonSpec,
    MessageContent, ReasoningEffort, StreamEnd, Tool, ToolCall as GenaiCall, ToolResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::llm::models::{ModelRow, Provider, Wire};
use crate::llm::{ExpectedKind, LlmError, LlmErrorCode, Message, Part, Request, Role, ToolCall};

/// The library's name of a wire.
pub(super) const fn adapter_kind(provider: Provider, wire: Wire) -> AdapterKind {
    match wire {
        Wire::Gemini => AdapterKind::Gemini,
        Wire::GeminiIx => AdapterKind::GeminiIx,
        Wire::Anthropic => AdapterKind::Anthropic,
        Wire::OpenAiChat => match provider {
            Provider::OpenRouter => AdapterKind::OpenRouter,
            Provider::Gemini
            | Provider::Anthropic
            | Provider::OpenAi
            | Provider::Ollama
            | Provider::LlamaCpp => AdapterKind::OpenAI,
        },
        Wire::OpenAiResponses => AdapterKind::OpenAIResp,
        Wire::Ollama => AdapterKind::Ollama,
    }
}

/// Reasoning state as it travels through [`Part::ThoughtSignature`]: it goes back only to the wire
/// it came from.
#[derive(Serialize, Deserialize)]
struct ReasoningState {
    wire: String,
    #[serde(flatten)]
    kind: StateKind,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateKind {
    /// A signature, with the reasoning it signs where the vendor wants both.
    Signed { signature: String, thinking: Option<String> },
    /// A vendor's block, as it came.
    Block(Value),
    /// Signatures that belong to one tool call.
    Call { id: String, signatures: Vec<String> },
}

fn wire_name(wire: Wire) -> String {
    format!("{wire:?}")
}

fn pack(wire: Wire, kind: StateKind) -> Option<String> {
    serde_json::to_string(&ReasoningState { wire: wire_name(wire), kind }).ok()
}

fn unpack(wire: Wire, text: &str) -> Option<StateKind> {
    let state: ReasoningState = serde_json::from_str(text).ok()?;
    (state.wire == wire_name(wire)).then_some(state.kind)
}

/// The tool calls and the reasoning state of a finished answer. `reasoning` is state that only
/// the raw frames told.
pub(super) fn read_end(
    wire: Wire,
    end: StreamEnd,
    reasoning: Vec<String>,
) -> (Vec<ToolCall>, Vec<String>) {
    let mut calls = Vec::new();
    let mut states: Vec<StateKind> = reasoning
        .into_iter()
        .map(|signature| StateKind::Signed { signature, thinking: None })
        .collect();
    let parts = end.captured_content.map(MessageContent::into_parts).unwrap_or_default();
    for part in parts {
        match part {
            ContentPart::ThoughtSignature(signature) => {
                states.push(StateKind::Signed { signature, thinking: None });
            }
            ContentPart::ReasoningContent(text) => {
                if let Some(StateKind::Signed { thinking, .. }) = states.last_mut() {
                    *thinking = Some(text);
                }
            }
            ContentPart::Custom(custom) => states.push(StateKind::Block(custom.data)),
            ContentPart::ToolCall(call) => {
                let id = call.call_id;
                if let Some(signatures) = call.thought_signatures {
                    states.push(StateKind::Call { id: id.clone(), signatures });
                }
                calls.push(ToolCall { id, name: call.fn_name, arguments: call.fn_arguments });
            }
            ContentPart::Text(_) | ContentPart::Binary(_) | ContentPart::ToolResponse(_) => {}
        }
    }
    (calls, states.into_iter().filter_map(|state| pack(wire, state)).collect())
}

/// The library's request.
///
/// # Errors
/// When the request carries a file that the model cannot read.
pub(super) fn chat_request(request: &Request, row: &ModelRow) -> Result<ChatRequest, LlmError> {
    let messages = request
        .messages
        .iter()
        .map(|message| chat_message(message, row))
        .collect::<Result<Vec<_>, _>>()?;
    let mut chat = ChatRequest::from_messages(messages);
    if !request.system.is_empty() {
        chat = chat.with_system(request.system.as_str());
    }
    if !request.tools.is_empty() {
        chat = chat.with_tools(request.tools.iter().map(|tool| {
            Tool::new(tool.name.as_str())
                .with_description(tool.description.as_str())
                .with_schema(tool.schema.clone())
        }));
    }
    // Both of these wires keep answers at the vendor unless told not to.
    if matches!(row.wire, Wire::GeminiIx | Wire::OpenAiResponses) {
        chat = chat.with_store(false);
    }
    Ok(chat)
}

/// The library's options, without time limits.
pub(super) fn chat_options(request: &Request, row: &ModelRow) -> ChatOptions {
    let mut options = ChatOptions::default().with_capture_usage(true).with_capture_tool_calls(true);
    match row.wire {
        Wire::Anthropic => {
            // Thinking blocks must go back with their signatures; the system prompt, which is
            // stable, is cached.
            options = options
                .with_capture_reasoning_content(true)
                .with_cache_control(CacheControl::Ephemeral);
            // The vendor demands a limit; the model's own is the only one that cuts nothing.
            if let Some(limit) = row.max_out {
                options = options.with_max_tokens(limit);
            }
        }
        Wire::OpenAiChat | Wire::OpenAiResponses => {
            // A budget sends nothing on these wires. Without it the library takes an ending such
            // as `-high` off the id and asks for that effort.
            options = options.with_reasoning_effort(ReasoningEffort::Budget(0));
            if row.caps.encrypted_reasoning && !request.tools.is_empty() {
                let include = json!({ "include": ["reasoning.encrypted_content"] });
                options = options.with_extra_body(include);
            }
        }
        Wire::Gemini | Wire::GeminiIx | Wire::Ollama => {}
    }
    if let Some(schema) = &request.expects.schema
        && request.expects.kind == ExpectedKind::Json
        && row.caps.schema
        && request.tools.is_empty()
    {
        options = options.with_response_format(JsonSpec::new("answer", schema.clone()));
    }
    options
}

fn chat_message(message: &Message, row: &ModelRow) -> Result<ChatMessage, LlmError> {
    let mut call_signatures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut parts = Vec::new();
    // State leads: vendors want reasoning before the text and the calls that follow from it.
    for part in &message.parts {
        let Part::ThoughtSignature(text) = part else { continue };
        match unpack(row.wire, text) {
            Some(StateKind::Signed { signature, thinking }) => {
                parts.push(ContentPart::ThoughtSignature(signature));
                parts.extend(thinking.map(ContentPart::ReasoningContent));
            }
            Some(StateKind::Block(block)) => parts.push(ContentPart::from_custom(block, None)),
            Some(StateKind::Call { id, signatures }) => {
                call_signatures.insert(id, signatures);
            }
            None => {}
        }
    }
    for part in &message.parts {
        match part {
            Part::Text(text) => parts.push(ContentPart::from_text(text.as_str())),
            Part::File { media_type, name, base64 } => {
                check_file(media_type, name, row)?;
                parts.push(ContentPart::Binary(Binary::from_base64(
                    media_type.as_str(),
                    base64.as_str(),
                    Some(name.clone()),
                )));
            }
            Part::StoredFile(file) => {
                parts.extend(file.text.as_deref().map(ContentPart::from_text));
            }
            Part::ToolCall(call) => parts.push(ContentPart::ToolCall(GenaiCall {
                call_id: call.id.clone(),
                fn_name: call.name.clone(),
                fn_arguments: sendable_arguments(&call.arguments),
                thought_signatures: call_signatures.remove(&call.id),
            })),
            Part::ToolResult { call_id, content } => parts.push(ContentPart::ToolResponse(
                ToolResponse::new(call_id.as_str(), content.as_str()),
            )),
            Part::ThoughtSignature(_) => {}
        }
    }
    let role = match message.role {
        Role::User => ChatRole::User,
        Role::Assistant => ChatRole::Assistant,
        Role::Tool => ChatRole::Tool,
    };
    Ok(ChatMessage::new(role, MessageContent::from_parts(parts)))
}

/// Vendors answer 400 to a call in the conversation whose arguments are no object, also when the
/// model itself made it.
fn sendable_arguments(arguments: &Value) -> Value {
    if arguments.is_object() { arguments.clone() } else { json!({ "malformed": arguments }) }
}

fn check_file(media_type: &str, name: &str, row: &ModelRow) -> Result<(), LlmError> {
    let is_image = media_type.starts_with("image/");
    if if is_image { row.caps.vision } else { row.caps.pdf } {
        return Ok(());
    }
    Err(LlmError::new(
        LlmErrorCode::RequestRejected,
        format!("`{}` cannot read the attachment `{name}` ({media_type})", row.id),
    )
    .hint("name a model that reads such files, or leave the attachment out"))
}
