//! The MCP client's own model, by sampling.
//!
//! Up to protocol 2025-11-25 the server asks over the live connection ([`SamplingModel`]). From
//! 2026-07-28 on a tool answers with the request and the client repeats the call with the result;
//! [`create_message`] and [`read_result`] are the two ends of that.
//!
//! Sampling is deprecated in MCP and works until its removal; clients that have nothing else
//! depend on it.
#![expect(deprecated, reason = "sampling is what these clients offer, deprecated or not")]

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use rmcp::model::{
    ClientResult, ContentBlock, CreateMessageRequest, CreateMessageRequestParams,
    CreateMessageResult, ErrorCode, ImageContent, JsonObject, RequestId, Role as McpRole,
    SamplingMessage, SamplingMessageContentBlock, ServerRequest, Tool, ToolChoice,
};
use rmcp::service::{OriginatingRequestId, Peer, RoleServer, ServiceError};
use serde_json::Value;

use super::{
    Event, LanguageModel, LlmError, LlmErrorCode, Message, Part, Request, Role, Route, Stop,
    ToolCall, is_common_picture,
};

/// Tokens that a client is asked to allow. Clients demand a number, and a page needs many.
const MAX_TOKENS: u32 = 64_000;

/// Code by which clients say that their user declined.
const REJECTED: ErrorCode = ErrorCode(-1);

/// The model of a connected client.
pub struct SamplingModel {
    peer: Peer<RoleServer>,
    /// The client's request that is being answered. Over HTTP it decides on which stream the
    /// question travels; the client may listen to no other.
    origin: RequestId,
}

impl SamplingModel {
    /// The model of this client, when it declared that it has one.
    pub fn of(peer: &Peer<RoleServer>, origin: &RequestId) -> Option<Arc<dyn LanguageModel>> {
        peer.peer_info()?.capabilities.sampling.as_ref()?;
        Some(Arc::new(Self { peer: peer.clone(), origin: origin.clone() }))
    }

    /// Sends the question. rmcp's own method knows the origin only inside the request's task, and
    /// jobs run in their own.
    async fn ask(
        peer: &Peer<RoleServer>,
        origin: RequestId,
        params: CreateMessageRequestParams,
    ) -> Result<CreateMessageResult, ServiceError> {
        let mut request = CreateMessageRequest::new(params);
        request.extensions.insert(OriginatingRequestId(origin));
        match peer.send_request(ServerRequest::CreateMessageRequest(request)).await? {
            ClientResult::CreateMessageResult(result) => Ok(*result),
            _ => Err(ServiceError::UnexpectedResponse),
        }
    }
}

#[async_trait]
impl LanguageModel for SamplingModel {
    fn model_id(&self) -> &'static str {
        "client"
    }

    fn route(&self) -> Route {
        Route::Sampling
    }

    fn provider(&self) -> &'static str {
        "client"
    }

    fn reads(&self, media_type: &str) -> bool {
        reads(media_type)
    }

    async fn stream(
        &self,
        request: &Request,
    ) -> Result<BoxStream<'static, Result<Event, LlmError>>, LlmError> {
        let params = create_message(request)?;
        if params.tools.is_some() && !self.peer.supports_sampling_tools() {
            return Err(denied("the client's model cannot call tools"));
        }
        let peer = self.peer.clone();
        let origin = self.origin.clone();
        let answer = async move {
            let result = match Self::ask(&peer, origin, params).await {
                Ok(result) => read_result(result),
                Err(error) => Err(refusal(&error)),
            };
            match result {
                Ok(events) => events.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        };
        Ok(stream::once(answer).flat_map(stream::iter).boxed())
    }
}

/// Whether sampling has a form for files of this media type.
pub(crate) fn reads(media_type: &str) -> bool {
    is_common_picture(media_type)
}

/// The request of the protocol for one of ours.
///
/// # Errors
/// When the request carries a file that sampling has no form for.
pub fn create_message(request: &Request) -> Result<CreateMessageRequestParams, LlmError> {
    let messages =
        request.messages.iter().map(sampling_message).collect::<Result<Vec<_>, LlmError>>()?;
    let mut params = CreateMessageRequestParams::new(messages, MAX_TOKENS);
    if !request.system.is_empty() {
        params = params.with_system_prompt(request.system.as_str());
    }
    if !request.tools.is_empty() {
        let tools = request.tools.iter().map(|tool| {
            let schema = tool.schema.as_object().cloned().unwrap_or_default();
            Tool::new(tool.name.clone(), tool.description.clone(), Arc::new(schema))
        });
        params = params.with_tools(tools.collect()).with_tool_choice(ToolChoice::auto());
    }
    Ok(params)
}

fn sampling_message(message: &Message) -> Result<SamplingMessage, LlmError> {
    let role = match message.role {
        Role::User | Role::Tool => McpRole::User,
        Role::Assistant => McpRole::Assistant,
    };
    let mut blocks = Vec::new();
    for part in &message.parts {
        blocks.push(match part {
            Part::Text(text) => SamplingMessageContentBlock::text(text.as_str()),
            Part::StoredFile(file) => match &file.text {
                Some(text) => SamplingMessageContentBlock::text(text.as_str()),
                None => continue,
            },
            Part::File { media_type, base64, .. } if media_type.starts_with("image/") => {
                SamplingMessageContentBlock::Image(ImageContent::new(
                    base64.as_str(),
                    media_type.as_str(),
                ))
            }
            Part::File { media_type, name, .. } => {
                return Err(LlmError::new(
                    LlmErrorCode::RequestRejected,
                    format!("the attachment `{name}` ({media_type}) cannot be sent to the client's model"),
                )
                .hint("leave the attachment out, or name a model that reads such files"));
            }
            Part::ToolCall(call) => {
                let input = call.arguments.as_object().cloned().unwrap_or_default();
                SamplingMessageContentBlock::tool_use(call.id.as_str(), call.name.as_str(), input)
            }
            Part::ToolResult { call_id, content } => SamplingMessageContentBlock::tool_result(
                call_id.as_str(),
                vec![ContentBlock::text(content.as_str())],
            ),
            Part::ThoughtSignature(_) => continue,
        });
    }
    // Clients of earlier protocols know a single block only.
    match <[SamplingMessageContentBlock; 1]>::try_from(blocks) {
        Ok([block]) => Ok(SamplingMessage::new(role, block)),
        Err(blocks) => Ok(SamplingMessage::new_multiple(role, blocks)),
    }
}

/// A client's result as the events of an answer.
///
/// # Errors
/// When the answer is no text.
pub fn read_result(result: CreateMessageResult) -> Result<Vec<Event>, LlmError> {
    let mut events = vec![Event::Model(result.model)];
    for block in result.message.content.into_vec() {
        match block {
            SamplingMessageContentBlock::Text(text) => events.push(Event::Text(text.text)),
            SamplingMessageContentBlock::ToolUse(call) => events.push(Event::ToolCall(ToolCall {
                id: call.id,
                name: call.name,
                arguments: Value::Object(JsonObject::from_iter(call.input)),
            })),
            // The protocol may grow further kinds; none of them is a text.
            _ => {
                return Err(LlmError::new(
                    LlmErrorCode::RequestRejected,
                    "the client's model answered with something that is no text",
                )
                .hint("name another model, or `host`"));
            }
        }
    }
    let stop = match result.stop_reason.as_deref() {
        Some(CreateMessageResult::STOP_REASON_END_MAX_TOKEN) => Stop::MaxTokens,
        Some(CreateMessageResult::STOP_REASON_TOOL_USE) => Stop::ToolUse,
        // Many clients give no reason; the pipelines judge the text by its structure.
        Some(_) | None => Stop::Complete,
    };
    events.push(Event::End(stop));
    Ok(events)
}

/// The user declined, or the client turned out to have no model for this: the caller goes on to
/// host completion.
fn denied(what: &str) -> LlmError {
    LlmError::new(LlmErrorCode::SamplingDenied, what.to_owned())
        .hint("name another model, or `host`")
}

/// Clients put anything into the text of an error, so it is not passed on.
fn refusal(error: &ServiceError) -> LlmError {
    match error {
        ServiceError::McpError(error) if error.code == REJECTED => {
            denied("the user declined to let the client's model answer")
        }
        ServiceError::McpError(error) if error.code == ErrorCode::METHOD_NOT_FOUND => {
            denied("the client declared a model, but does not let it answer")
        }
        ServiceError::McpError(_) => LlmError::new(
            LlmErrorCode::RequestRejected,
            "the client could not let its model answer",
        )
        .hint("name another model, or `host`"),
        ServiceError::Timeout { .. } => {
            LlmError::new(LlmErrorCode::Timeout, "the client's model did not answer in time")
        }
        _ => LlmError::new(
            LlmErrorCode::RequestRejected,
            "the client left before its model had answered",
        ),
    }
}
