//! A program that stays up behind the fences: what it gets, and what its holder has of it.
//!
//! Such a program is one that others wrote too, so it gets no more than a run does: its own folder, an
//! interpreter, memory for files of its own, the variables that it is given. Unlike a run it may share
//! a folder of the host and talk to loopback addresses of a network that holds nothing else: the
//! sockets that listen there belong to the holder, who decides where the bytes go.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::report::IsolationReport;

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct ServiceSpec {
    /// The interpreter; one of a virtual environment brings its packages along, read-only.
    pub interpreter: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its working folder, which it may read.
    pub folder: PathBuf,
    /// Its variables, besides those that every program needs. Values are never shown.
    pub environment: BTreeMap<String, String>,
    /// Further files and folders that it may read.
    pub readable: Vec<PathBuf>,
    /// Folders that it shares with the host.
    pub shares: Vec<SharedFolder>,
    /// Small files that it gets copies of, for itself alone.
    pub copies: Vec<PathBuf>,
    /// Loopback addresses that it may connect to; at most 8.
    pub listen: Vec<SocketAddr>,
}

/// A folder of the host. What it held besides the named files when the program started is hidden.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFolder {
    /// The folder.
    pub folder: PathBuf,
    /// Names of the files that are meant.
    pub files: Vec<String>,
    /// What the program may do with them.
    pub access: ShareAccess,
}

/// What a program may do in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareAccess {
    /// Read.
    Read,
    /// Read, write, make and remove files.
    Write,
    /// Connect to sockets in it.
    Connect,
}

/// A program that was started.
pub struct Service {
    /// What it reads.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// What it writes.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Where it complains.
    pub errors: Box<dyn AsyncRead + Send + Unpin>,
    /// The sockets behind the addresses of [`ServiceSpec::listen`], in their order.
    pub listeners: Vec<TcpListener>,
    /// The program.
    pub process: ServiceProcess,
    /// What stands around it.
    pub isolation: Arc<IsolationReport>,
}

impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Service")
            .field("tier", &self.isolation.tier)
            .finish_non_exhaustive()
    }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceEnd {
    /// With this code.
    Exited(i32),
    /// By this signal, of its own making or because its holder ended it.
    Signaled(i32),
    /// It needed more memory than it may have.
    OutOfMemory,
    /// Nobody can tell: the helper between is gone.
    Lost,
}

impl ServiceEnd {
    /// Whether it ended as a program should.
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }
}

impl fmt::Display for ServiceEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(formatter, "exit status: {code}"),
            Self::Signaled(signal) => write!(formatter, "signal: {signal}"),
            Self::OutOfMemory => formatter.write_str("it needed more memory than it may have"),
            Self::Lost => formatter.write_str("it was ended with its sandbox"),
        }
    }
}

/// What is wanted of a program; later ones stand above earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceOrder {
    /// Run.
    Run,
    /// Ask it to end.
    Ask,
    /// End it.
    Kill,
}

/// A running program. Dropped, it is killed with all that it started.
#[derive(Debug)]
pub struct ServiceProcess {
    orders: watch::Sender<ServiceOrder>,
    ended: watch::Receiver<Option<ServiceEnd>>,
}

impl ServiceProcess {
    /// The holder's half; the adapter keeps the other ends.
    pub fn new(
        orders: watch::Sender<ServiceOrder>,
        ended: watch::Receiver<Option<ServiceEnd>>,
    ) -> Self {
        Self { orders, ended }
    }

    /// Kills it and all that it started, at once. May be called again.
    pub fn kill(&self) {
        self.order(ServiceOrder::Kill);
    }

    /// Asks it to end.
    pub fn ask_to_end(&self) {
        self.order(ServiceOrder::Ask);
    }

    fn order(&self, wanted: ServiceOrder) {
        self.orders.send_if_modified(|order| {
            let is_new = *order < wanted;
            *order = wanted.max(*order);
            is_new
        });
    }

    /// Waits for its end. Nothing of it is left then.
    pub async fn ended(&mut self) -> ServiceEnd {
        match self.ended.wait_for(Option::is_some).await {
            Ok(end) => end.clone().unwrap_or(ServiceEnd::Lost),
            Err(_) => ServiceEnd::Lost,
        }
    }
}
