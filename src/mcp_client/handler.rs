//! What other servers may ask of us: their roots, and nothing else.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    heard: Mutex<Heard>,
}

/// Most reports that are kept for calls whose token is not known yet.
const EARLY: usize = 32;

/// Who listens to which progress, and what came before anybody did.
#[derive(Debug, Default)]
struct Heard {
    /// By token: where it goes, and the highest figure so far.
    sinks: HashMap<i64, (ProgressSink, f64)>,
    /// The protocol library makes up a request's token and tells it after the request went out, so
    /// a quick server may be faster than we are.
    early: VecDeque<(i64, Progress)>,
}

impl Heard {
    /// Passes a report on. The library hands reports over side by side, so an earlier one may come
    /// late: figures of one call only rise.
    fn take(&mut self, token: i64, progress: Progress) {
        let Some((sink, highest)) = self.sinks.get_mut(&token) else {
            if self.early.len() >= EARLY {
                self.early.pop_front();
            }
            self.early.push_back((token, progress));
            return;
        };
        if progress.value >= *highest {
            *highest = progress.value;
            sink.send(&progress);
        }
    }
}

impl Shared {
    pub(super) fn new(roots: Vec<Root>) -> Arc<Self> {
        Arc::new(Self { roots, ..Self::default() })
    }

    /// Passes the progress of the request with this token on for as long as the listener lives.
    pub(super) fn listen(self: &Arc<Self>, token: &ProgressToken, sink: &ProgressSink) -> Listener {
        let token = match token.0 {
            NumberOrString::Number(token) if sink.is_some() => token,
            // Ours are numbers.
            NumberOrString::Number(_) | NumberOrString::String(_) => return Listener(None),
        };
        let mut heard = self.heard();
        heard.sinks.insert(token, (sink.clone(), f64::NEG_INFINITY));
        let (mine, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut heard.early).into_iter().partition(|(of, _)| *of == token);
        heard.early = others.into();
        for (token, progress) in mine {
            heard.take(token, progress);
        }
        Listener(Some((Arc::clone(self), token)))
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Listens to the progress of one request.
pub(super) struct Listener(Option<(Arc<Shared>, i64)>);

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some((shared, token)) = &self.0 {
            shared.heard().sinks.remove(token);
        }
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
        let message = params.message.unwrap_or_default().chars().take(200).collect();
        let progress = Progress { value: params.progress, total: params.total, message };
        self.shared.heard().take(token, progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(value: f64) -> Progress {
        Progress { value, total: None, message: value.to_string() }
    }

    #[test]
    fn what_came_before_the_token_was_known_is_passed_on_and_figures_only_rise() {
        let shared = Shared::new(Vec::new());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let seen = Arc::clone(&seen);
            ProgressSink::new(move |progress| seen.lock().unwrap().push(progress.value))
        };
        shared.heard().take(7, report(1.0));
        shared.heard().take(8, report(9.0));
        let listener = shared.listen(&ProgressToken(NumberOrString::Number(7)), &sink);
        shared.heard().take(7, report(3.0));
        shared.heard().take(7, report(2.0));
        shared.heard().take(7, report(3.0));
        assert_eq!(*seen.lock().unwrap(), [1.0, 3.0, 3.0]);
        drop(listener);
        shared.heard().take(7, report(4.0));
        assert_eq!(seen.lock().unwrap().len(), 3);
        // A server that reports to nobody fills no memory.
        for _ in 0..1000 {
            shared.heard().take(99, report(1.0));
        }
        assert_eq!(shared.heard().early.len(), EARLY);
    }
}
