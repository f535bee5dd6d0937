//! MCP servers that were made: which there are, in which versions, and where their files lie.

use async_trait::async_trait;

use super::{Fence, PrincipalId, StorageResult};

/// A version of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeServer {
    /// Name.
    pub name: String,
    /// Version, from 1.
    pub version: i64,
    /// Where its files are, relative to the data folder.
    pub folder: String,
    /// What it was made from.
    pub source: String,
    /// What is told about it, as JSON.
    pub summary: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at: i64,
}

/// A server that is about to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewServer {
    /// Whose it is.
    pub principal: PrincipalId,
    /// Name.
    pub name: String,
    /// Where its files are, relative to the data folder.
    pub folder: String,
    /// What it was made from.
    pub source: String,
    /// What is told about it, as JSON.
    pub summary: String,
}

/// A server that was started and not stopped since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedServer {
    /// Name.
    pub name: String,
    /// Version that was started.
    pub version: i64,
    /// Values of variables that the call gave, as a JSON object; none of them is a secret.
    pub environment: String,
}

/// The rows of servers.
#[async_trait]
pub trait ServerStore: Send + Sync + 'static {
    /// Lists a server as the next version of its name. Fenced; a job that publishes twice gets its
    /// first version back.
    async fn publish_server(&self, fence: &Fence, new: NewServer) -> StorageResult<MadeServer>;
    /// The newest version of a server, or the one that is named.
    async fn made_server(
        &self,
        principal: &PrincipalId,
        name: &str,
        version: Option<i64>,
    ) -> StorageResult<Option<MadeServer>>;
    /// The newest version of every server of the principal, newest first, at most `limit`.
    async fn made_servers(
        &self,
        principal: &PrincipalId,
        limit: u32,
    ) -> StorageResult<Vec<MadeServer>>;
    /// Notes that a server was started, in place of what was noted for its name.
    async fn note_started(
        &self,
        principal: &PrincipalId,
        started: &StartedServer,
    ) -> StorageResult<()>;
    /// Notes that a server was stopped; `false` when it was not started.
    async fn note_stopped(&self, principal: &PrincipalId, name: &str) -> StorageResult<bool>;
    /// The servers of a principal that were started, by name.
    async fn started_servers(&self, principal: &PrincipalId) -> StorageResult<Vec<StartedServer>>;
}
