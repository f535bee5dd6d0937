//! A question to a model as MCP sampling puts it.

#![expect(
    deprecated,
    reason = "sampling is on its way out of MCP, and still the only way to a client's own model"
)]

use rmcp::model::{
    CreateMessageRequest, CreateMessageRequestParams, ImageContent, Role as McpRole,
    SamplingMessage, SamplingMessageContentBlock,
};

use crate::llm::{Message, Part, Request, Role};

/// Tokens that the client's model may write: a large page with room to spare.
const MAX_TOKENS: u32 = 32_000;

/// The sampling request of a question.
pub(super) fn create_message_request(request: &Request) -> CreateMessageRequest {
    let messages = request.messages.iter().map(message).collect();
    CreateMessageRequest::new(
        CreateMessageRequestParams::new(messages, MAX_TOKENS)
            .with_system_prompt(request.system.clone()),
    )
}

fn message(message: &Message) -> SamplingMessage {
    let role = match message.role {
        Role::User | Role::Tool => McpRole::User,
        Role::Assistant => McpRole::Assistant,
    };
    let mut blocks: Vec<SamplingMessageContentBlock> =
        message.parts.iter().filter_map(block).collect();
    match blocks.len() {
        1 => SamplingMessage::new(role, blocks.remove(0)),
        _ => SamplingMessage::new_multiple(role, blocks),
    }
}

/// Tools are not offered to the client's model, so earlier calls are told as text.
fn block(part: &Part) -> Option<SamplingMessageContentBlock> {
    Some(match part {
        Part::Text(text) => SamplingMessageContentBlock::text(text.clone()),
        Part::File { media_type, base64, .. } if media_type.starts_with("image/") => {
            SamplingMessageContentBlock::Image(ImageContent::new(
                base64.clone(),
                media_type.clone(),
            ))
        }
        Part::File { media_type, name, .. } => SamplingMessageContentBlock::text(format!(
            "[attached file `{name}`, {media_type}; it cannot be shown here]"
        )),
        Part::ToolCall(call) => SamplingMessageContentBlock::text(format!(
            "[call {} of `{}`: {}]",
            call.id, call.name, call.arguments
        )),
        Part::ToolResult { call_id, content } => {
            SamplingMessageContentBlock::text(format!("[result of call {call_id}]\n{content}"))
        }
        Part::ThoughtSignature(_) => return None,
    })
}
