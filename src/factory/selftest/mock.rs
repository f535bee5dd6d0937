//! An API that takes every request and remembers it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::judge::Received;

/// Most bytes of a body.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// What stands in front of every path.
pub(super) const PREFIX: &str = "/base";

/// The base URL of one that is reached at an address.
pub(super) fn base_url(address: SocketAddr) -> String {
    format!("http://{address}{PREFIX}")
}

type Inbox = Arc<Mutex<Vec<Received>>>;

/// The mock.
pub(super) struct MockApi {
    inbox: Inbox,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl MockApi {
    /// Serves on a socket.
    pub(super) fn start(listener: TcpListener) -> Self {
        let inbox = Inbox::default();
        let router = Router::new().fallback(take).with_state(Arc::clone(&inbox));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(async {
                let _ = stopped.await;
            });
            if let Err(error) = served.await {
                tracing::debug!(error.cause = %error, "the mock API ended badly");
            }
        });
        Self { inbox, stop, task }
    }

    pub(super) fn forget(&self) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn take(State(inbox): State<Inbox>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES).await.unwrap_or_default();
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    inbox.lock().unwrap_or_else(PoisonError::into_inner).push(Received {
        method: parts.method.as_str().to_owned(),
        path: path.strip_prefix(PREFIX).unwrap_or(path).to_owned(),
        query: query.to_owned(),
        headers,
        body: body.to_vec(),
    });
    ([("content-type", "application/json")], "{\"received\":true}").into_response()
}
