//! What other servers may ask of us: their roots, and nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ElicitResult, ElicitationAction, ErrorCode, ErrorData,
    Implementation, InputRequest, NumberOrString, ProgressNotificationParam, ProgressToken,
    ProtocolVersion,
};
use rmcp::service::{NotificationContext, RequestContext, RoleClient};
use serde_json::{Value, json};

use crate::config::mcp_servers::Root;
use crate::jobs::{Progress, ProgressSink};

/// What a connection's handler shares with the connection.
#[derive(Debug, Default)]
pub(super) struct Shared {
    roots: Vec<Root>,
    /// How often the server said that its tools changed.
    pub(super) list_changes: AtomicU64,
    progress: Mutex<HashMap<i64, ProgressSink>>,
    next_token: AtomicU64,
}

impl Shared {
    pub(super) fn new(roots: Vec<Root>) -> Arc<Self> {
        Arc::new(Self { roots, ..Self::default() })
    }

    /// Passes the progress of a call on for as long as the listener lives.
    pub(super) fn listen(self: &Arc<Self>, sink: &ProgressSink) -> Option<Listener> {
        if !sink.is_some() {
            return None;
        }
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let token = i64::try_from(token).ok()?;
        let mut sinks = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.insert(token, sink.clone());
        Some(Listener { shared: Arc::clone(self), token })
    }

    /// The answer to what a server asks within a call (protocol 2026-07-28).
    ///
    /// # Errors
    /// What is never given.
    pub(super) fn answer(&self, request: &InputRequest) -> Result<Value, String> {
        match request {
            InputRequest::ListRoots(_) => Ok(json!({"roots": self.roots()})),
            InputRequest::Elicitation(_) => Ok(json!({"action": "decline"})),
            InputRequest::CreateMessage(_) => {
                Err("it asks for a text of a language model, which it is not given".to_owned())
            }
            _ => Err("it asks for something that is not known".to_owned()),
        }
    }

    #[expect(deprecated, reason = "servers of the older protocols ask for roots")]
    fn roots(&self) -> Vec<rmcp::model::Root> {
        self.roots
            .iter()
            .map(|root| {
                let named = rmcp::model::Root::new(&root.uri);
                match &root.name {
                    Some(name) => named.with_name(name),
                    None => named,
                }
            })
            .collect()
    }
}

/// Listens to the progress of one call.
pub(super) struct Listener {
    shared: Arc<Shared>,
    token: i64,
}

impl Listener {
    pub(super) fn token(&self) -> ProgressToken {
        ProgressToken(NumberOrString::Number(self.token))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut sinks = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
        sinks.remove(&self.token);
    }
}

/// Answers a server's requests and notes what it tells.
pub(super) struct Handler {
    pub(super) shared: Arc<Shared>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::builder().build();
        if !self.shared.roots.is_empty() {
            capabilities.roots = Some(rmcp::model::RootsCapabilities::default());
        }
        let about = Implementation::new("atelier", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(capabilities, about)
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    #[expect(deprecated, reason = "servers of the older protocols ask for roots")]
    async fn list_roots(
        &self,
        _context: RequestContext<RoleClient>,
    ) -> Result<rmcp::model::ListRootsResult, ErrorData> {
        Ok(rmcp::model::ListRootsResult::new(self.shared.roots()))
    }

    #[expect(deprecated, reason = "servers of the older protocols ask for texts")]
    async fn create_message(
        &self,
        _params: rmcp::model::CreateMessageRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<rmcp::model::CreateMessageResult, ErrorData> {
        Err(ErrorData::new(
            ErrorCode::METHOD_NOT_FOUND,
            "this client gives no texts of a language model",
            None,
        ))
    }

    async fn create_elicitation(
        &self,
        _request: rmcp::model::ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Decline))
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.shared.list_changes.fetch_add(1, Ordering::Relaxed);
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        let NumberOrString::Number(token) = params.progress_token.0 else { return };
        let sink = {
            let sinks = self.shared.progress.lock().unwrap_or_else(PoisonError::into_inner);
            sinks.get(&token).cloned()
        };
        if let Some(sink) = sink {
            let message = params.message.unwrap_or_default().chars().take(200).collect();
            sink.send(&Progress { value: params.progress, total: params.total, message });
        }
    }
}
