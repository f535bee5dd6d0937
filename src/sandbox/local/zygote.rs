//! The server's end of a zygote: start it, ask it for workers, learn when they end.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::helper::{Control, Helper};
use super::plan::LaunchPlan;

/// Longest time for an interpreter to load its modules.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// A warm interpreter that forks workers.
#[derive(Debug)]
pub(super) struct Zygote {
    control: Control,
    pending: Mutex<HashMap<u64, Pending>>,
    next: AtomicU64,
    dead: CancellationToken,
}

/// What a zygote says of itself when it is ready.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Ready {
    pub(super) python: String,
    #[serde(default)]
    pub(super) preloaded: Vec<String>,
    #[serde(default)]
    pub(super) missing: BTreeMap<String, String>,
}

/// Why there is no zygote, or no worker.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) step: String,
    pub(super) message: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.step, self.message)
    }
}

impl Refusal {
    pub(super) fn new(step: &str, message: impl std::fmt::Display) -> Self {
        Self { step: step.to_owned(), message: message.to_string() }
    }
}

/// What a worker is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It will wait for its run, and may get ready at leisure.
    Pool,
    /// Its run is here.
    Run,
}

/// A worker that was just born.
#[derive(Debug)]
pub(super) struct Forked {
    pub(super) process: OwnedFd,
    /// The raw wait status, once it has ended and, without namespaces, all its strays too.
    pub(super) exited: oneshot::Receiver<i32>,
}

#[derive(Debug)]
struct Pending {
    forked: Option<oneshot::Sender<Result<OwnedFd, Refusal>>>,
    exited: Option<oneshot::Sender<i32>>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Message {
    Ready(Ready),
    Failed { step: String, message: String },
    Forked { run: u64 },
    Refused { run: u64, message: String },
    Exited { run: u64, status: i32 },
}

impl Zygote {
    /// Starts one by the plan and waits until it is ready.
    pub(super) async fn launch(
        program: &Path,
        plan: &LaunchPlan,
        tasks: &TaskTracker,
    ) -> Result<(Arc<Self>, Ready), Refusal> {
        let Helper { control, complaint, ended: _ } = Helper::start(program, tasks)?;
        let zygote = Arc::new(Self {
            control,
            pending: Mutex::default(),
            next: AtomicU64::new(1),
            dead: CancellationToken::new(),
        });
        let ready = match tokio::time::timeout(READY_LIMIT, zygote.introduce(plan)).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(mut refusal)) => {
                zygote.close();
                if let Ok(Ok(text)) = tokio::time::timeout(Duration::from_secs(5), complaint).await
                    && let Some(last) = text.lines().rev().find(|line| !line.trim().is_empty())
                {
                    refusal.message = format!("{} ({last})", refusal.message);
                }
                return Err(refusal);
            }
            Err(_) => {
                zygote.close();
                return Err(Refusal::new("wait for the interpreter", "it does not get ready"));
            }
        };
        let reader = Arc::clone(&zygote);
        tasks.spawn(async move { reader.listen().await });
        Ok((zygote, ready))
    }

    /// Hands over the plan and waits for the first word.
    async fn introduce(&self, plan: &LaunchPlan) -> Result<Ready, Refusal> {
        let lost = |error: io::Error| Refusal::new("talk to the sandbox's helper", error);
        let text = serde_json::to_vec(plan).map_err(|error| lost(error.into()))?;
        self.control.send(&text, &[]).await.map_err(lost)?;
        match self.receive().await.map_err(lost)? {
            Some((Message::Ready(ready), _)) => Ok(ready),
            Some((Message::Failed { step, message }, _)) => Err(Refusal { step, message }),
            Some(_) => Err(Refusal::new("prepare the interpreter", "an answer out of order")),
            None => Err(Refusal::new("prepare the interpreter", "it ended")),
        }
    }

    /// Whether it can still fork.
    pub(super) fn is_alive(&self) -> bool {
        !self.dead.is_cancelled()
    }

    /// Returns when it has ended.
    pub(super) async fn death(&self) {
        self.dead.cancelled().await;
    }

    /// Lets it end, and all its workers with it.
    pub(super) fn close(&self) {
        self.control.close();
        self.dead.cancel();
    }

    /// Asks for a worker with these descriptors: channel, output, errors, and its own rule set.
    pub(super) async fn fork(
        &self,
        folder: Option<&Path>,
        purpose: Purpose,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Forked, Refusal> {
        let run = self.next.fetch_add(1, Ordering::Relaxed);
        let (forked, process) = oneshot::channel();
        let (exit, exited) = oneshot::channel();
        self.lock().insert(run, Pending { forked: Some(forked), exited: Some(exit) });
        let request = json!({
            "run": run,
            "folder": folder,
            "idle": purpose == Purpose::Pool,
        });
        let lost = |error: String| Refusal::new("fork a worker", error);
        if let Err(error) = self.control.send(request.to_string().as_bytes(), descriptors).await {
            self.lock().remove(&run);
            return Err(lost(error.to_string()));
        }
        let process = process
            .await
            .map_err(|_| lost("the interpreter ended".to_owned()))
            .and_then(|it| it)?;
        Ok(Forked { process, exited })
    }

    async fn listen(&self) {
        loop {
            let received = tokio::select! {
                received = self.receive() => received,
                () = self.dead.cancelled() => break,
            };
            let Ok(Some((message, process))) = received else { break };
            let mut pending = self.lock();
            match message {
                Message::Forked { run } => {
                    let waiting = pending.get_mut(&run).and_then(|entry| entry.forked.take());
                    if let (Some(waiting), Some(process)) = (waiting, process) {
                        let _ = waiting.send(Ok(process));
                    }
                }
                Message::Refused { run, message } => {
                    let waiting = pending.remove(&run).and_then(|entry| entry.forked);
                    if let Some(waiting) = waiting {
                        let _ = waiting.send(Err(Refusal::new("fork a worker", message)));
                    }
                }
                Message::Exited { run, status } => {
                    if let Some(waiting) = pending.remove(&run).and_then(|entry| entry.exited) {
                        let _ = waiting.send(status);
                    }
                }
                Message::Ready(_) | Message::Failed { .. } => {}
            }
        }
        self.close();
        // Those who wait learn it from their closed channels.
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn receive(&self) -> io::Result<Option<(Message, Option<OwnedFd>)>> {
        let (data, descriptors) = self.control.receive().await?;
        if data.is_empty() {
            return Ok(None);
        }
        Ok(Some((serde_json::from_slice(&data)?, descriptors.into_iter().next())))
    }
}
