//! From our request to the library's, with what each wire needs said or left out.

use std::collections::{BTreeMap, BTreeSet};

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
/// and the model it came from. What another version of the library read is not given back either,
/// since its form may differ.
#[derive(Serialize, Deserialize)]
struct ReasoningState {
    wire: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    library: String,
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
    /// Signatures that belong to one tool call, named by its place in the answer: ids may be
    /// missing, repeat, or be made unique later.
    Call { position: usize, signatures: Vec<String> },
}

fn wire_name(wire: Wire) -> String {
    format!("{wire:?}")
}

/// Version of the library, as state names it.
const LIBRARY: &str = "genai 0.7";

fn pack(row: &ModelRow, kind: StateKind) -> Option<String> {
    let state = ReasoningState {
        wire: wire_name(row.wire),
        model: row.id.clone(),
        library: LIBRARY.to_owned(),
        kind,
    };
    serde_json::to_string(&state).ok()
}

fn unpack(row: &ModelRow, text: &str) -> Option<StateKind> {
    let state: ReasoningState = serde_json::from_str(text).ok()?;
    let is_ours =
        state.wire == wire_name(row.wire) && state.model == row.id && state.library == LIBRARY;
    is_ours.then_some(state.kind)
}

/// The tool calls and the reasoning state of a finished answer. `reasoning` is state that only
/// the raw frames told.
pub(super) fn read_end(
    row: &ModelRow,
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
                    states.push(StateKind::Call { position: calls.len(), signatures });
                }
                calls.push(ToolCall { id, name: call.fn_name, arguments: call.fn_arguments });
            }
            ContentPart::Text(_) | ContentPart::Binary(_) | ContentPart::ToolResponse(_) => {}
        }
    }
    (calls, states.into_iter().filter_map(|state| pack(row, state)).collect())
}

/// The library's request.
///
/// # Errors
/// When the request carries a file that the model cannot read.
pub(super) fn chat_request(request: &Request, row: &ModelRow) -> Result<ChatRequest, LlmError> {
    let mut ids = CallIds::default();
    let messages = request
        .messages
        .iter()
        .map(|message| chat_message(message, row, &mut ids))
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

/// Ids of calls as one request carries them. Vendors want each once in a conversation and of
/// letters that they know; what models and other vendors made up may be neither.
#[derive(Default)]
struct CallIds {
    used: BTreeSet<String>,
    /// Of the last answer with calls: id as it came, id as it is sent, name of the tool.
    latest: Vec<(String, String, String)>,
}

impl CallIds {
    /// Begins an answer of the model.
    fn begin(&mut self) {
        self.latest.clear();
    }

    /// The id that a call is sent with.
    fn of_call(&mut self, call: &ToolCall, wire: Wire) -> String {
        // The library leaves out ids that it made up itself; on this wire they have their own form.
        let is_stand_in = matches!(wire, Wire::Gemini) && call.id.starts_with("call#");
        let id = if is_stand_in {
            call.id.clone()
        } else {
            let known = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
            let clean: String =
                call.id.chars().map(|letter| if known(letter) { letter } else { '_' }).collect();
            let mut id = if clean.is_empty() { "call".to_owned() } else { clean };
            let mut number = 1;
            let stem = id.clone();
            while !self.used.insert(id.clone()) {
                number += 1;
                id = format!("{stem}_{number}");
            }
            id
        };
        self.latest.push((call.id.clone(), id.clone(), call.name.clone()));
        id
    }

    /// The response to a call of the latest answer.
    fn response(&self, call_id: &str, content: &str) -> ToolResponse {
        match self.latest.iter().find(|(id, _, _)| id == call_id) {
            Some((_, sent, name)) => {
                ToolResponse::new(sent.as_str(), content).with_fn_name(name.as_str())
            }
            None => ToolResponse::new(call_id, content),
        }
    }
}

fn chat_message(
    message: &Message,
    row: &ModelRow,
    ids: &mut CallIds,
) -> Result<ChatMessage, LlmError> {
    if message.role == Role::Assistant {
        ids.begin();
    }
    let mut call_signatures: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut calls = 0;
    let mut parts = Vec::new();
    // State leads: vendors want reasoning before the text and the calls that follow from it.
    for part in &message.parts {
        let Part::ThoughtSignature(text) = part else { continue };
        match unpack(row, text) {
            Some(StateKind::Signed { signature, thinking }) => {
                parts.push(ContentPart::ThoughtSignature(signature));
                parts.extend(thinking.map(ContentPart::ReasoningContent));
            }
            Some(StateKind::Block(block)) => parts.push(ContentPart::from_custom(block, None)),
            Some(StateKind::Call { position, signatures }) => {
                call_signatures.insert(position, signatures);
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
            Part::ToolCall(call) => {
                parts.push(ContentPart::ToolCall(GenaiCall {
                    call_id: ids.of_call(call, row.wire),
                    fn_name: call.name.clone(),
                    fn_arguments: sendable_arguments(&call.arguments),
                    thought_signatures: call_signatures.remove(&calls),
                }));
                calls += 1;
            }
            Part::ToolResult { call_id, content } => {
                parts.push(ContentPart::ToolResponse(ids.response(call_id, content)));
            }
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
