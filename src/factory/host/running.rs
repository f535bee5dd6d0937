//! Servers that stay up: the port to whoever runs them and offers their tools.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;

use super::reach::Reach;
use crate::storage::{PrincipalId, StartedServer};

/// How a made server is started.
#[derive(Clone)]
pub struct StartServer {
    /// Whose it is. Nobody else finds, describes or calls its tools.
    pub owner: PrincipalId,
    /// Name, version and what the call gave, as they are written down.
    pub noted: StartedServer,
    /// Folder of its package.
    pub folder: PathBuf,
    /// Variables that it gets, and no others. Values are never shown.
    pub variables: BTreeMap<String, String>,
    /// What it may reach.
    pub reach: Reach,
}

impl std::fmt::Debug for StartServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StartServer")
            .field("owner", &self.owner)
            .field("name", &self.noted.name)
            .field("version", &self.noted.version)
            .field("folder", &self.folder)
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

/// What a started server offers.
#[derive(Debug, Clone, Default)]
pub struct Offered {
    /// The name under which it stands in the catalog.
    pub catalog_name: String,
    /// Names in the catalog and descriptions of its tools.
    pub tools: Vec<(String, String)>,
    /// How it is isolated, in words.
    pub isolation: String,
}

/// How a server that was started is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Its process runs.
    Running,
    /// Its process starts with the next call.
    Idle,
    /// It failed the last time; the next call tries again.
    Failed,
}

impl Condition {
    /// Its name in results.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Failed => "failed",
        }
    }
}

/// A server that stands in the catalog.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What was written down when it was started.
    pub noted: StartedServer,
    /// The name under which it stands there.
    pub catalog_name: String,
    /// How it is.
    pub condition: Condition,
    /// What went wrong last.
    pub last_error: Option<String>,
}

/// Runs servers and makes their tools callable.
#[async_trait]
pub trait ServerHost: Send + Sync + 'static {
    /// Puts a server into the catalog, where the first call starts it; one of the same name is
    /// replaced.
    ///
    /// # Errors
    /// Why it cannot stand there, in words.
    async fn add(&self, server: StartServer) -> Result<(), String>;
    /// Starts a server of the catalog at once.
    ///
    /// # Errors
    /// Why it does not run, in words.
    async fn start(&self, owner: &PrincipalId, name: &str) -> Result<Offered, String>;
    /// Ends a server and takes it out of the catalog; `false` when it did not stand there.
    async fn remove(&self, owner: &PrincipalId, name: &str) -> bool;
    /// The servers of a principal that stand in the catalog, by name.
    fn standing(&self, owner: &PrincipalId) -> Vec<Standing>;
}
