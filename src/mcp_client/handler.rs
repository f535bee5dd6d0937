//! What other servers tell us and ask of us while they are connected.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rmcp::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction,
    ErrorCode, ErrorData, Implementation, InputRequest, NumberOrString, ProgressNotificationParam,
    ProgressToken, ProtocolVersion,
};
use rmcp::service::{NotificationContext, RequestContext, RoleClient};
use serde_json::{Value, json};

use super::asking::{self, Offer, People};
use crate::jobs::{Progress, ProgressSink};
use crate::registry::CallerPerson;

/// Code by which clients say that a request was declined.
const REJECTED: ErrorCode = ErrorCode(-1);

/// What a connection's handler shares with the connection.
#[derive(Debug, Default)]
pub(super) struct Shared {
    server: String,
    offer: Offer,
    /// Who calls at the moment.
    pub(super) people: People,
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
    pub(super) fn new(server: String, offer: Offer) -> Arc<Self> {
        Arc::new(Self { server, offer, ..Self::default() })
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
    pub(super) async fn answer(
        &self,
        request: InputRequest,
        person: Option<Arc<dyn CallerPerson>>,
    ) -> Result<Value, String> {
        match request {
            InputRequest::ListRoots(_) => Ok(json!({"roots": self.roots()})),
            InputRequest::Elicitation(request) => {
                Ok(json!(self.elicited(&request.params, person).await))
            }
            InputRequest::CreateMessage(request) => {
                self.offer.text(request.params).await.map(|text| json!(text))
            }
            _ => Err("it asks for something that is not known".to_owned()),
        }
    }

    async fn elicited(
        &self,
        params: &ElicitRequestParams,
        person: Option<Arc<dyn CallerPerson>>,
    ) -> ElicitResult {
        let person = person.filter(|_| self.offer.asks_people);
        asking::elicited(&self.server, params, person).await
    }

    #[expect(deprecated, reason = "servers of the older protocols ask for roots")]
    fn roots(&self) -> Vec<rmcp::model::Root> {
        self.offer
            .roots
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
        let offer = &self.shared.offer;
        if !offer.roots.is_empty() {
            capabilities.roots = Some(rmcp::model::RootsCapabilities::default());
        }
        if offer.texts.is_some() {
            capabilities.sampling = Some(rmcp::model::SamplingCapability::default());
        }
        if offer.asks_people {
            let form = rmcp::model::FormElicitationCapability::default();
            capabilities.elicitation =
                Some(rmcp::model::ElicitationCapability::new().with_form(form));
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
        params: rmcp::model::CreateMessageRequestParams,
        context: RequestContext<RoleClient>,
    ) -> Result<rmcp::model::CreateMessageResult, ErrorData> {
        let is_offered = self.shared.offer.texts.is_some();
        let text = tokio::select! {
            () = context.ct.cancelled() => Err("the request was cancelled".to_owned()),
            text = self.shared.offer.text(params) => text,
        };
        text.map_err(|reason| {
            let code = if is_offered { REJECTED } else { ErrorCode::METHOD_NOT_FOUND };
            ErrorData::new(code, reason, None)
        })
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let person = self.shared.people.the_one();
        tokio::select! {
            () = context.ct.cancelled() => Ok(ElicitResult::new(ElicitationAction::Cancel)),
            result = self.shared.elicited(&request, person) => Ok(result),
        }
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
        let shared = Shared::new("s".to_owned(), Offer::default());
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
