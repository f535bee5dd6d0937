//! Legacy MCP sessions in our own store, so that they survive a restart.
//!
//! Only clients of the protocols before 2026-07-28 have sessions, and nothing of ours hangs on
//! them: what is kept is the client's `initialize`, from which rmcp makes the session anew. A
//! session belongs to the principal that opened it; for others its id is as unknown as any.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;
use rmcp::transport::streamable_http_server::session::{
    SessionState, SessionStore, SessionStoreError,
};
use serde::{Deserialize, Serialize};

use crate::storage::{Catalog, PrincipalId, StorageResult};

/// How long a session may rest before it is forgotten.
const SESSION_TTL: Duration = Duration::from_hours(7 * 24);
/// How many owners are remembered without asking the store.
const CACHED_OWNERS: u64 = 10_000;

tokio::task_local! {
    /// Who sends the request that is being served: the owner of a session that it opens.
    static PRINCIPAL: PrincipalId;
}

/// A session as it lies in the store.
#[derive(Debug, Serialize, Deserialize)]
struct StoredSession {
    principal: PrincipalId,
    state: SessionState,
}

/// Sessions on the [`Catalog`].
pub(super) struct CatalogSessions {
    catalog: Arc<dyn Catalog>,
    owners: Cache<String, PrincipalId>,
}

impl CatalogSessions {
    /// Sessions in this catalog.
    pub(super) fn new(catalog: Arc<dyn Catalog>) -> Self {
        Self { catalog, owners: Cache::new(CACHED_OWNERS) }
    }

    /// Runs the serving of a request of this principal.
    pub(super) async fn serve_as<T>(principal: PrincipalId, serve: impl Future<Output = T>) -> T {
        PRINCIPAL.scope(principal, serve).await
    }

    /// Whether the session is another principal's.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn is_foreign(
        &self,
        id: &str,
        principal: &PrincipalId,
    ) -> StorageResult<bool> {
        if let Some(owner) = self.owners.get(id).await {
            return Ok(owner != *principal);
        }
        let Some(session) = self.stored(id).await? else { return Ok(false) };
        self.owners.insert(id.to_owned(), session.principal.clone()).await;
        Ok(session.principal != *principal)
    }

    async fn stored(&self, id: &str) -> StorageResult<Option<StoredSession>> {
        let text = self.catalog.load_session(id).await?;
        // A session written by another version is no session: its client opens a new one.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }
}

#[async_trait]
impl SessionStore for CatalogSessions {
    async fn load(&self, id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        Ok(self.stored(id).await?.map(|session| session.state))
    }

    async fn store(&self, id: &str, state: &SessionState) -> Result<(), SessionStoreError> {
        let principal = PRINCIPAL
            .try_with(Clone::clone)
            .unwrap_or_else(|_| super::auth::LOCAL_PRINCIPAL.into());
        let session = StoredSession { principal: principal.clone(), state: state.clone() };
        let text = serde_json::to_string(&session)?;
        let ttl_ms = i64::try_from(SESSION_TTL.as_millis())?;
        self.catalog.store_session(id, &text, ttl_ms).await?;
        self.owners.insert(id.to_owned(), principal).await;
        Ok(())
    }

    async fn delete(&self, id: &str) -> Result<(), SessionStoreError> {
        self.owners.invalidate(id).await;
        self.catalog.delete_session(id).await?;
        Ok(())
    }
}
