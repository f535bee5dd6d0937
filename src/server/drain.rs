//! A transport that lets calls in flight end before the connection does.
//!
//! rmcp gives them five seconds after the end of input and then drops their answers. Here the end
//! of input, or a request to stop, is told to rmcp only when every request was answered, at most
//! after the grace period.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorData, GetMeta as _,
    JsonRpcMessage, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::Transport;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests that were read and not answered yet.
#[derive(Default)]
struct Pending {
    ids: Mutex<HashSet<RequestId>>,
    changed: Notify,
}

impl Pending {
    fn ids(&self) -> MutexGuard<'_, HashSet<RequestId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, id: RequestId) {
        self.ids().insert(id);
    }

    fn remove(&self, id: &RequestId) {
        self.ids().remove(id);
        self.changed.notify_waiters();
    }

    async fn empty(&self) {
        loop {
            let changed = self.changed.notified();
            if self.ids().is_empty() {
                return;
            }
            changed.await;
        }
    }
}

/// Where the connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Messages come in.
    Open,
    /// No new requests; answers of the client to our own requests still come in.
    Stopping(Instant),
    /// Nothing comes in any more.
    Ended(Instant),
}

/// A transport that ends when its requests are answered.
pub(super) struct Draining<T> {
    inner: T,
    pending: Arc<Pending>,
    shutdown: CancellationToken,
    /// Cancels the calls that are still in flight after the grace period.
    cut: CancellationToken,
    grace: Duration,
    phase: Phase,
    /// Whether a client has opened its lifecycle. rmcp ends the connection over a notification
    /// that comes before.
    greeted: bool,
}

impl<T> Draining<T> {
    /// Wraps a transport. `cut` is the token that the connection is served under.
    pub(super) fn new(
        inner: T,
        shutdown: CancellationToken,
        cut: CancellationToken,
        grace: Duration,
    ) -> Self {
        let pending = Arc::new(Pending::default());
        Self { inner, pending, shutdown, cut, grace, phase: Phase::Open, greeted: false }
    }

    /// Whether a message is handed on, with the bookkeeping that it needs.
    fn admit(&mut self, message: &ClientJsonRpcMessage) -> bool {
        match message {
            JsonRpcMessage::Request(request) => {
                self.greeted |= opens_lifecycle(&request.request);
                // A subscription lives as long as the connection; nobody waits for its answer.
                if !matches!(request.request, ClientRequest::SubscriptionsListenRequest(_)) {
                    self.pending.insert(request.id.clone());
                }
                true
            }
            JsonRpcMessage::Notification(notification) => {
                if let ClientNotification::CancelledNotification(cancelled) =
                    &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    // A cancelled request gets no answer.
                    self.pending.remove(id);
                }
                self.greeted
            }
            JsonRpcMessage::Response(_) | JsonRpcMessage::Error(_) => self.greeted,
        }
    }
}

fn opens_lifecycle(request: &ClientRequest) -> bool {
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::DiscoverRequest(_) | ClientRequest::PingRequest(_) => false,
        other => other.get_meta().protocol_version().is_some(),
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Draining<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        message: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let answered = match &message {
            JsonRpcMessage::Response(response) => Some(response.id.clone()),
            JsonRpcMessage::Error(error) => error.id.clone(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let pending = Arc::clone(&self.pending);
        let sent = self.inner.send(message);
        async move {
            let result = sent.await;
            if let Some(id) = answered {
                pending.remove(&id);
            }
            result
        }
    }

    /// Safe to drop and call again at every await, as rmcp does.
    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            match self.phase {
                Phase::Open => tokio::select! {
                    biased;
                    () = self.shutdown.cancelled() => {
                        self.phase = Phase::Stopping(Instant::now() + self.grace);
                    }
                    message = self.inner.receive() => match message {
                        Some(message) if self.admit(&message) => return Some(message),
                        Some(_) => {}
                        None => self.phase = Phase::Ended(Instant::now() + self.grace),
                    },
                },
                Phase::Stopping(until) => tokio::select! {
                    biased;
                    () = self.pending.empty() => return None,
                    () = tokio::time::sleep_until(until) => {
                        self.cut.cancel();
                        return None;
                    }
                    message = self.inner.receive() => match message {
                        Some(JsonRpcMessage::Request(request)) => {
                            let error = ErrorData::internal_error("the server is shutting down", None);
                            let refusal = ServerJsonRpcMessage::error(error, Some(request.id));
                            // The connection ends anyway when this cannot be sent.
                            let _ = self.inner.send(refusal).await;
                        }
                        Some(message) if self.admit(&message) => return Some(message),
                        Some(_) => {}
                        None => self.phase = Phase::Ended(until),
                    },
                },
                Phase::Ended(until) => {
                    if tokio::time::timeout_at(until, self.pending.empty()).await.is_err() {
                        self.cut.cancel();
                    }
                    return None;
                }
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}
