//! One connection to a server, over whatever carries the messages.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CancelledNotificationParam, ClientRequest,
    InputRequiredResult, ListToolsRequest, PaginatedRequestParams, ProtocolVersion, RequestId,
    ServerResult, Tool,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, Peer, PeerRequestOptions, RoleClient,
    RunningService, ServiceError,
};
use rmcp::transport::Transport;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use super::asking::Offer;
use super::error::ClientError;
use super::handler::{Handler, Shared};
use super::lines::{MAX_MESSAGE_BYTES, TOO_LARGE, UNREADABLE};
use super::stdio::Child;
use super::{Asker, ListedTool, ToolAnswer, ToolClient, ToolListing};
use crate::config::mcp_servers::Protocol;
use crate::jobs::ProgressSink;
use crate::registry::Hints;

/// Most tools that one server may list.
const MOST_TOOLS: usize = 20_000;
/// Most pages of a list.
const MOST_PAGES: usize = 1_000;
/// How often a server may ask back within one call.
const MOST_QUESTIONS: usize = 10;
/// How long the end of a child may take to be noticed after its streams have ended.
const NOTICE: Duration = Duration::from_secs(2);
/// How long messages under way may take when a connection is closed.
const CLOSE: Duration = Duration::from_secs(3);

/// How a connection is opened.
pub(super) struct Opening {
    /// The server's name here.
    pub(super) name: String,
    pub(super) protocol: Protocol,
    /// What the server is given when it asks.
    pub(super) offer: Offer,
}

/// A connection.
pub(super) struct Connection {
    peer: Peer<RoleClient>,
    service: Mutex<Option<RunningService<RoleClient, Handler>>>,
    shared: Arc<Shared>,
    /// The program behind it, if it is one.
    child: Option<Child>,
    version: String,
    is_legacy: bool,
}

impl Connection {
    /// Opens a connection over a transport.
    ///
    /// # Errors
    /// Why no server answers there.
    pub(super) async fn open<T>(
        transport: T,
        opening: Opening,
        child: Option<Child>,
    ) -> Result<Self, ClientError>
    where
        T: Transport<RoleClient> + 'static,
    {
        let preferred_versions = vec![ProtocolVersion::LATEST];
        let Opening { name, protocol, offer } = opening;
        let mode = match protocol {
            Protocol::Modern => ClientLifecycleMode::Discover { preferred_versions },
            Protocol::Legacy => ClientLifecycleMode::Initialize,
            Protocol::Auto => ClientLifecycleMode::Auto {
                preferred_versions,
                legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
            },
        };
        let shared = Shared::new(name, offer);
        let handler = Handler { shared: Arc::clone(&shared) };
        let opened = rmcp::service::serve_client_with_lifecycle(handler, transport, mode).await;
        let service = match opened {
            Ok(service) => service,
            Err(error) => {
                let error = not_opened(&error);
                return Err(match &child {
                    Some(child) if error.ends_connection() => child.how_it_ended(NOTICE).await,
                    Some(_) | None => error,
                });
            }
        };
        let version = service.peer_info().map(|info| info.protocol_version.clone());
        let is_legacy = version.as_ref().is_none_or(ProtocolVersion::has_initialize);
        Ok(Self {
            peer: service.peer().clone(),
            service: Mutex::new(Some(service)),
            shared,
            child,
            version: version.map(|version| version.as_str().to_owned()).unwrap_or_default(),
            is_legacy,
        })
    }

    /// Sends a request and waits for its answer. Dropped before, it tells the server.
    async fn request(
        &self,
        request: ClientRequest,
        progress: &ProgressSink,
    ) -> Result<ServerResult, ClientError> {
        let options = PeerRequestOptions::no_options();
        let sent = self.peer.send_cancellable_request(request, options).await;
        let handle = match sent {
            Ok(handle) => handle,
            Err(error) => return Err(self.failed(error).await),
        };
        // Every request carries a token that the library made up; another one would be replaced.
        let _listener = self.shared.listen(&handle.progress_token, progress);
        let mut abandoned = Abandoned { peer: self.peer.clone(), id: Some(handle.id.clone()) };
        let answer = handle.await_response().await;
        abandoned.id = None;
        match answer {
            Ok(result) => Ok(result),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn failed(&self, error: ServiceError) -> ClientError {
        match error {
            ServiceError::McpError(error) if error.code == TOO_LARGE => {
                ClientError::TooLarge { limit: MAX_MESSAGE_BYTES }
            }
            ServiceError::McpError(error) if error.code == UNREADABLE => {
                ClientError::Nonsense(error.message.into_owned())
            }
            ServiceError::McpError(error) => ClientError::Refused {
                code: error.code.0,
                message: error.message.chars().take(2_000).collect(),
            },
            ServiceError::TransportClosed | ServiceError::TransportSend(_) => match &self.child {
                Some(child) => child.how_it_ended(NOTICE).await,
                None => ClientError::Unreachable(chain(&error)),
            },
            ServiceError::Cancelled { .. } => match &self.child {
                Some(child) => child.how_it_ended(NOTICE).await,
                None => ClientError::Unreachable("the connection was closed".to_owned()),
            },
            other => ClientError::Nonsense(chain(&other)),
        }
    }
}

#[async_trait]
impl ToolClient for Connection {
    async fn list(&self) -> Result<ToolListing, ClientError> {
        let mut listing =
            ToolListing { protocol_version: self.version.clone(), ..ToolListing::default() };
        let mut cursor = None;
        for _ in 0..MOST_PAGES {
            let params = PaginatedRequestParams::default().with_cursor(cursor.clone());
            let request = ListToolsRequest::with_param(params);
            let answer =
                self.request(ClientRequest::ListToolsRequest(request), &ProgressSink::none()).await;
            let next = match answer {
                Ok(ServerResult::ListToolsResult(page)) => {
                    listing.tools.extend(page.tools.into_iter().map(listed));
                    page.next_cursor
                }
                // One tool of an odd form must not cost the others.
                Ok(ServerResult::CustomResult(page)) => {
                    let tools = page.0.get("tools").and_then(Value::as_array);
                    let tools = tools.ok_or_else(|| {
                        ClientError::Nonsense("its tool list is no list".to_owned())
                    })?;
                    listing.tools.extend(tools.iter().filter_map(lenient));
                    page.0.get("nextCursor").and_then(Value::as_str).map(str::to_owned)
                }
                Ok(_) => {
                    return Err(ClientError::Nonsense("its tool list is no list".to_owned()));
                }
                // A server without tools need not know the method.
                Err(ClientError::Refused { code: -32601, .. }) => None,
                Err(error) => return Err(error),
            };
            if listing.tools.len() > MOST_TOOLS {
                listing.tools.truncate(MOST_TOOLS);
                listing.is_cut = true;
                return Ok(listing);
            }
            if next.is_none() || next == cursor {
                return Ok(listing);
            }
            cursor = next;
        }
        listing.is_cut = true;
        Ok(listing)
    }

    async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        from: &Asker,
    ) -> Result<ToolAnswer, ClientError> {
        let _entered = self.shared.people.enter(from.person.as_ref());
        let mut params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        for _ in 0..MOST_QUESTIONS {
            let request = CallToolRequest::new(params.clone());
            match self.request(ClientRequest::CallToolRequest(request), &from.progress).await? {
                ServerResult::CallToolResult(result) => {
                    let content = result
                        .content
                        .iter()
                        .filter_map(|block| serde_json::to_value(block).ok())
                        .collect();
                    return Ok(ToolAnswer {
                        content,
                        structured: result.structured_content,
                        is_error: result.is_error.unwrap_or(false),
                    });
                }
                ServerResult::CustomResult(result) => return odd_answer(&result.0),
                ServerResult::InputRequiredResult(question) => {
                    params = self.answered(params, question, from).await?;
                }
                _ => {
                    return Err(ClientError::Nonsense("it is no result of a tool".to_owned()));
                }
            }
        }
        Err(ClientError::Nonsense(format!("it asked back more than {MOST_QUESTIONS} times")))
    }

    async fn ping(&self) -> Result<(), ClientError> {
        // The newer protocol has no ping; any request that a server must know does.
        let request = if self.is_legacy {
            ClientRequest::PingRequest(rmcp::model::PingRequest::default())
        } else {
            ClientRequest::ListToolsRequest(ListToolsRequest::default())
        };
        match self.request(request, &ProgressSink::none()).await {
            // An error is a sign of life as well.
            Ok(_) | Err(ClientError::Refused { .. } | ClientError::Nonsense(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn ended(&self) -> Option<String> {
        if let Some(child) = &self.child {
            return child.ended();
        }
        self.peer.is_transport_closed().then(|| "the connection was closed".to_owned())
    }

    fn list_changes(&self) -> u64 {
        self.shared.list_changes.load(Ordering::Relaxed)
    }

    fn is_legacy(&self) -> bool {
        self.is_legacy
    }

    async fn close(&self) {
        let service = self.service.lock().await.take();
        if let Some(mut service) = service {
            let _ = service.close_with_timeout(CLOSE).await;
        }
        if let Some(child) = &self.child {
            child.close().await;
        }
    }
}

impl Connection {
    /// The call again, with answers to what the server asks.
    async fn answered(
        &self,
        mut params: CallToolRequestParams,
        question: InputRequiredResult,
        from: &Asker,
    ) -> Result<CallToolRequestParams, ClientError> {
        let requests = question.input_requests.unwrap_or_default();
        if requests.is_empty() && question.request_state.is_none() {
            return Err(ClientError::Nonsense("it asks back without a question".to_owned()));
        }
        let mut answers = rmcp::model::InputResponses::default();
        for (key, request) in requests {
            let answer = self.shared.answer(request, from.person.clone()).await;
            let answer = answer.map_err(ClientError::Nonsense)?;
            answers.insert(key, answer);
        }
        params.input_responses = (!answers.is_empty()).then_some(answers);
        params.request_state = question.request_state;
        Ok(params)
    }
}

/// Tells the server that nobody waits for an answer any more.
struct Abandoned {
    peer: Peer<RoleClient>,
    id: Option<RequestId>,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let peer = self.peer.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // It ends with the message sent, or with the connection.
            runtime.spawn(async move {
                let params = CancelledNotificationParam::new(
                    Some(id),
                    Some("the call was cancelled".into()),
                );
                let _ = tokio::time::timeout(CLOSE, peer.notify_cancelled(params)).await;
            });
        }
    }
}

fn not_opened(error: &ClientInitializeError) -> ClientError {
    match error {
        ClientInitializeError::JsonRpcError(error) => ClientError::Refused {
            code: error.code.0,
            message: error.message.chars().take(2_000).collect(),
        },
        ClientInitializeError::ConnectionClosed(_)
        | ClientInitializeError::TransportError { .. }
        | ClientInitializeError::Cancelled => ClientError::Unreachable(chain(error)),
        other => ClientError::Nonsense(chain(other)),
    }
}

/// An error and what lies behind it, without addresses: those may carry keys.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let text = text.split(" for url (").next().unwrap_or_default().to_owned();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    let text = parts.join(": ");
    text.chars().take(500).collect()
}

fn listed(tool: Tool) -> ListedTool {
    let hints = tool.annotations.as_ref().map(|stated| Hints {
        read_only_hint: stated.read_only_hint,
        destructive_hint: stated.destructive_hint,
        idempotent_hint: stated.idempotent_hint,
        open_world_hint: stated.open_world_hint,
    });
    let title = tool.title.or_else(|| tool.annotations.and_then(|stated| stated.title));
    ListedTool {
        name: tool.name.into_owned(),
        title,
        description: tool.description.unwrap_or_default().into_owned(),
        input_schema: Value::Object((*tool.input_schema).clone()),
        output_schema: tool.output_schema.map(|schema| Value::Object((*schema).clone())),
        hints: hints.unwrap_or_default(),
    }
}

/// A tool of an odd form, if it has a name at least.
fn lenient(value: &Value) -> Option<ListedTool> {
    if let Ok(tool) = serde_json::from_value::<Tool>(value.clone()) {
        return Some(listed(tool));
    }
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let schema = value.get("inputSchema").filter(|schema| schema.is_object()).cloned();
    Some(ListedTool {
        name: text("name").filter(|name| !name.is_empty())?,
        title: text("title"),
        description: text("description").unwrap_or_default(),
        input_schema: schema.unwrap_or_else(|| json!({"type": "object"})),
        output_schema: value.get("outputSchema").filter(|schema| schema.is_object()).cloned(),
        hints: Hints::default(),
    })
}

/// A result whose blocks are of kinds that are not known here.
fn odd_answer(value: &Value) -> Result<ToolAnswer, ClientError> {
    let content = value.get("content").and_then(Value::as_array);
    let structured = value.get("structuredContent").cloned();
    if content.is_none() && structured.is_none() {
        return Err(ClientError::Nonsense("it is no result of a tool".to_owned()));
    }
    Ok(ToolAnswer {
        content: content.cloned().unwrap_or_default(),
        structured,
        is_error: value.get("isError").and_then(Value::as_bool).unwrap_or(false),
    })
}
