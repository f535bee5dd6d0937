//! Progress from a call to the client that asked for it.
//!
//! The job side never waits: updates go through a small channel and are lost when the client
//! reads slowly. While a job is silent the last figure is repeated a little higher, since clients
//! take silence for death.

use std::convert::Infallible;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::Peer;
use tokio::sync::mpsc;

use crate::jobs::{Progress, ProgressSink};

/// Updates that may wait for the client; more are dropped.
const WAITING: usize = 16;
/// Silence after which the client is told that the work goes on.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How much a repeated figure rises: clients demand rising values.
const STEP: f64 = 0.001;

/// The client's end of a call's progress.
pub(super) struct ProgressPump {
    peer: Peer<RoleServer>,
    token: ProgressToken,
    updates: mpsc::Receiver<Progress>,
}

impl ProgressPump {
    /// A sink for the call, and the pump that has to run beside it.
    pub(super) fn new(peer: Peer<RoleServer>, token: ProgressToken) -> (ProgressSink, Self) {
        let (sender, updates) = mpsc::channel(WAITING);
        let sink = ProgressSink::new(move |progress| {
            // Full or closed: the client is slow or has its answer. Neither may hold up the job.
            let _ = sender.try_send(progress.clone());
        });
        (sink, Self { peer, token, updates })
    }

    /// Sends updates until it is dropped.
    pub(super) async fn run(mut self) -> Infallible {
        let mut last: Option<Progress> = None;
        loop {
            let update = match tokio::time::timeout(HEARTBEAT, self.updates.recv()).await {
                Ok(Some(update)) => update,
                Ok(None) => return std::future::pending().await,
                Err(_) => last.clone().unwrap_or(Progress {
                    value: 0.0,
                    total: None,
                    message: "at work".to_owned(),
                }),
            };
            let value = match &last {
                Some(last) if update.value <= last.value => last.value + STEP,
                _ => update.value,
            };
            let mut notification = ProgressNotificationParam::new(self.token.clone(), value)
                .with_message(&update.message);
            notification.total = update.total;
            if self.peer.notify_progress(notification).await.is_err() {
                return std::future::pending().await;
            }
            last = Some(Progress { value, ..update });
        }
    }
}
