//! Chrome's debugging protocol over a pipe: messages of JSON, each ended by a zero byte.
//!
//! Events are handed on as plain JSON, so that one that nobody knows breaks nothing.

pub(in crate::browser) mod json;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::RenderError;

/// Commands that wait for Chrome to read them; further ones wait for room.
const QUEUE: usize = 256;
/// A longer message ends the connection: nothing that is asked for is that large.
const LARGEST_MESSAGE: u64 = 512 * 1024 * 1024;

/// Why a command has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CommandError {
    /// Chrome has gone.
    Closed,
    /// Chrome said no.
    Refused {
        /// The command.
        method: &'static str,
        /// What it said.
        message: String,
    },
}

impl From<CommandError> for RenderError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Closed => Self::Crashed("Chrome has ended".to_owned()),
            // The tab has gone, and with it what it showed.
            CommandError::Refused { message, .. } if message.contains("Session with given id") => {
                Self::Crashed(message)
            }
            CommandError::Refused { method, message } => {
                Self::Refused { method: method.to_owned(), message }
            }
        }
    }
}

/// What happened in a session.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) method: String,
    pub(super) params: Value,
}

/// Takes the events of a session. Called in the order of the events, from the task that reads, so
/// it must be quick and never wait.
pub(super) trait Listener: Send + Sync {
    fn hear(&self, event: Event);
}

/// The connection to one Chrome. Clones share it; it closes with the last one.
#[derive(Clone)]
pub(super) struct Connection {
    shared: Arc<Shared>,
    _tasks: Arc<Tasks>,
}

struct Shared {
    outgoing: mpsc::Sender<Vec<u8>>,
    next_id: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>,
    listeners: Mutex<HashMap<String, Arc<dyn Listener>>>,
    closed: CancellationToken,
}

struct Tasks([JoinHandle<()>; 2]);

impl Drop for Tasks {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

#[derive(Serialize)]
struct Outgoing<'a> {
    id: u64,
    method: &'a str,
    params: &'a Value,
    #[serde(rename = "sessionId", skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
}

#[derive(Deserialize)]
struct Incoming {
    id: Option<u64>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    #[serde(default)]
    result: Value,
    error: Option<Refusal>,
    #[serde(rename = "sessionId")]
    session: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    message: String,
}

impl Connection {
    /// Talks over these ends of the pipes.
    pub(super) fn new(sender: pipe::Sender, receiver: pipe::Receiver) -> Self {
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            outgoing,
            next_id: AtomicU64::new(1),
            answers: Mutex::default(),
            listeners: Mutex::default(),
            closed: CancellationToken::new(),
        });
        let tasks = [
            tokio::spawn(write(sender, queue, shared.closed.clone())),
            tokio::spawn(read(receiver, Arc::clone(&shared))),
        ];
        Self { shared, _tasks: Arc::new(Tasks(tasks)) }
    }

    /// Sends a command and waits for its answer.
    pub(super) async fn command(
        &self,
        session: Option<&str>,
        method: &'static str,
        params: Value,
    ) -> Result<Value, CommandError> {
        let sent = self.send(session, method, params).await?;
        sent.answer().await
    }

    /// Sends a command; the answer can be waited for later, or never.
    pub(super) async fn send(
        &self,
        session: Option<&str>,
        method: &'static str,
        params: Value,
    ) -> Result<Sent, CommandError> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.shared.answers).insert(id, sender);
        let sent = Sent { id, method, receiver, shared: Arc::clone(&self.shared) };
        let message = Outgoing { id, method, params: &params, session };
        let Ok(mut bytes) = serde_json::to_vec(&message) else {
            return Err(CommandError::Refused { method, message: "cannot be written".to_owned() });
        };
        bytes.push(0);
        if self.shared.closed.is_cancelled() || self.shared.outgoing.send(bytes).await.is_err() {
            return Err(CommandError::Closed);
        }
        Ok(sent)
    }

    /// Hands the events of a session to this listener, from now on.
    pub(super) fn listen(&self, session: &str, listener: Arc<dyn Listener>) {
        lock(&self.shared.listeners).insert(session.to_owned(), listener);
    }

    /// Forgets a session.
    pub(super) fn ignore(&self, session: &str) {
        lock(&self.shared.listeners).remove(session);
    }

    /// Waits until Chrome has gone.
    pub(super) async fn closed(&self) {
        self.shared.closed.cancelled().await;
    }

    /// Whether Chrome has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.shared.closed.is_cancelled()
    }
}

/// A command on its way.
pub(super) struct Sent {
    id: u64,
    method: &'static str,
    receiver: oneshot::Receiver<Result<Value, String>>,
    shared: Arc<Shared>,
}

impl Sent {
    /// Waits for the answer.
    pub(super) async fn answer(mut self) -> Result<Value, CommandError> {
        match (&mut self.receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(message)) => Err(CommandError::Refused { method: self.method, message }),
            Err(_) => Err(CommandError::Closed),
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        lock(&self.shared.answers).remove(&self.id);
    }
}

async fn write(
    mut pipe: pipe::Sender,
    mut queue: mpsc::Receiver<Vec<u8>>,
    closed: CancellationToken,
) {
    while let Some(bytes) = queue.recv().await {
        if pipe.write_all(&bytes).await.is_err() {
            break;
        }
    }
    closed.cancel();
}

async fn read(pipe: pipe::Receiver, shared: Arc<Shared>) {
    let mut pipe = BufReader::with_capacity(256 * 1024, pipe);
    let mut bytes = Vec::new();
    loop {
        match (&mut pipe).take(LARGEST_MESSAGE).read_until(0, &mut bytes).await {
            Ok(1..) if bytes.last() == Some(&0) => {}
            Ok(_) | Err(_) => break,
        }
        bytes.pop();
        if let Ok(message) = serde_json::from_slice::<Incoming>(&bytes) {
            shared.take(message);
        }
        bytes.clear();
        bytes.shrink_to(1024 * 1024);
    }
    shared.closed.cancel();
    // Whoever still waits learns that no answer comes.
    lock(&shared.answers).clear();
    lock(&shared.listeners).clear();
}

impl Shared {
    fn take(&self, message: Incoming) {
        if let Some(id) = message.id {
            let Some(sender) = lock(&self.answers).remove(&id) else { return };
            let answer = match message.error {
                Some(error) => Err(error.message),
                None => Ok(message.result),
            };
            // Whoever asked may have given up.
            let _ = sender.send(answer);
        } else if let (Some(method), Some(session)) = (message.method, message.session) {
            let listener = lock(&self.listeners).get(&session).cloned();
            if let Some(listener) = listener {
                listener.hear(Event { method, params: message.params });
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
