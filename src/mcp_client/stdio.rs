//! Servers that are programs of ours.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{mpsc, watch};

use super::connection::{Connection, Opening};
use super::error::ClientError;
use super::launch::{Launch, Process};
use super::lines::{Lines, Skipped};
use crate::config::mcp_servers::{ServerSpec, StdioSpec};

/// How long a program has to end by itself when its input is closed, and again when it is asked.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Letters of a program's complaints that are kept.
const SAID: usize = 300;

/// Starts a program and connects to it.
///
/// # Errors
/// Why it does not serve.
pub(super) async fn connect(
    launch: &dyn Launch,
    server: &ServerSpec,
    spec: &StdioSpec,
    opening: Opening,
) -> Result<Connection, ClientError> {
    let launched = launch.launch(spec).await.map_err(ClientError::NotStarted)?;
    let said = Arc::new(Said { secrets: secrets(spec), last: Mutex::new(String::new()) });
    let skipped = Arc::new(Skipped::default());
    let lines = Lines::new(launched.input, launched.output, skipped);
    let child = Child::new(launched.process, launched.errors, said);
    let opening = Connection::open(lines, opening, Some(child.clone()));
    let limit = server.start_timeout;
    match tokio::time::timeout(limit, opening).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => {
            child.kill().await;
            Err(error)
        }
        Err(_) => {
            child.kill().await;
            Err(ClientError::StartTimeout { seconds: limit.as_secs_f64(), said: child.said.get() })
        }
    }
}

/// Values that must not be repeated to anybody.
fn secrets(spec: &StdioSpec) -> Vec<String> {
    let own = spec
        .environment
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "PATH" | "HOME" | "LANG" | "TMPDIR"));
    own.map(|(_, value)| value.expose().to_owned()).filter(|value| value.len() >= 6).collect()
}

/// The last that a program said on its error stream.
struct Said {
    secrets: Vec<String>,
    last: Mutex<String>,
}

impl Said {
    fn get(&self) -> String {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let mut line: String = line.chars().filter(|letter| !letter.is_control()).collect();
        if line.trim().is_empty() {
            return;
        }
        for secret in &self.secrets {
            line = line.replace(secret.as_str(), "••••••");
        }
        let line = line.trim().chars().take(SAID).collect();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

/// How a program is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its input is closed already: wait, ask, kill.
    Politely,
    /// At once.
    Now,
}

/// A running program. The last clone to go kills it.
#[derive(Clone)]
pub(super) struct Child {
    ended: watch::Receiver<Option<String>>,
    end: mpsc::Sender<End>,
    said: Arc<Said>,
}

impl Child {
    fn new(
        process: Box<dyn Process>,
        errors: Option<Box<dyn AsyncRead + Send + Unpin>>,
        said: Arc<Said>,
    ) -> Self {
        let (noted, ended) = watch::channel(None);
        let (end, orders) = mpsc::channel(4);
        // Both end with the process, which ends when the last sender of orders is gone.
        if let Some(errors) = errors {
            tokio::spawn(listen(errors, Arc::clone(&said)));
        }
        tokio::spawn(supervise(process, orders, noted));
        Self { ended, end, said }
    }

    pub(super) fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// How it ended, after its streams did; it is killed when it goes on without them.
    pub(super) async fn how_it_ended(&self, patience: Duration) -> ClientError {
        let mut ended = self.ended.clone();
        let how = match tokio::time::timeout(patience, ended.wait_for(Option::is_some)).await {
            Ok(Ok(how)) => how.clone().unwrap_or_default(),
            Ok(Err(_)) => "it is gone".to_owned(),
            Err(_) => String::new(),
        };
        if how.is_empty() {
            self.kill().await;
            return ClientError::Ended {
                how: "it closed its streams".to_owned(),
                said: self.said.get(),
            };
        }
        ClientError::Ended { how, said: self.said.get() }
    }

    pub(super) async fn kill(&self) {
        self.order(End::Now).await;
    }

    pub(super) async fn close(&self) {
        self.order(End::Politely).await;
    }

    async fn order(&self, end: End) {
        let _ = self.end.send(end).await;
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(Option::is_some).await;
    }
}

/// Waits for the end of a program, or brings it about.
async fn supervise(
    mut process: Box<dyn Process>,
    mut orders: mpsc::Receiver<End>,
    noted: watch::Sender<Option<String>>,
) {
    let order = tokio::select! {
        how = process.ended() => Err(how),
        order = orders.recv() => Ok(order.unwrap_or(End::Now)),
    };
    let how = match order {
        Err(how) => how,
        Ok(order) => end(process.as_mut(), order).await,
    };
    noted.send_replace(Some(how));
}

/// Ends a program in the ordered way, and says how it ended.
async fn end(process: &mut dyn Process, order: End) -> String {
    if order == End::Politely {
        // Its input is closed: most programs end by that.
        if let Ok(how) = tokio::time::timeout(PATIENCE, process.ended()).await {
            return how;
        }
        process.ask_to_end();
        if let Ok(how) = tokio::time::timeout(PATIENCE, process.ended()).await {
            return how;
        }
    }
    process.kill();
    process.ended().await
}

/// Reads a program's complaints, so that it never waits for somebody to do so, and keeps the last.
async fn listen(mut errors: Box<dyn AsyncRead + Send + Unpin>, said: Arc<Said>) {
    let mut chunk = vec![0; 16 * 1024];
    let mut line: Vec<u8> = Vec::new();
    loop {
        let read = match errors.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let bytes = chunk.get(..read).unwrap_or_default();
        // Of a flood only the last lines matter.
        let mut parts = bytes.rsplitn(3, |byte| *byte == b'\n');
        let (last, middle, rest) = (parts.next(), parts.next(), parts.next());
        if let Some(middle) = middle {
            if rest.is_some() {
                line.clear();
            }
            line.extend_from_slice(middle);
            said.set(&line);
            line.clear();
        }
        if line.len() < 4 * SAID {
            line.extend_from_slice(last.unwrap_or_default());
        }
    }
    said.set(&line);
}
