//! Links that open the chat once, and the sessions that come of them.

use super::service::Chat;
use crate::storage::blobs::sha256_hex;
use crate::storage::{ChatKey, PrincipalId, StorageResult, keys};

/// How long a link waits to be opened.
pub const LINK_MS: i64 = 24 * 3600 * 1000;
/// How long a browser stays let in.
pub const SESSION_MS: i64 = 30 * 24 * 3600 * 1000;

impl Chat {
    /// The secret of a new link for this principal. It serves once.
    ///
    /// # Errors
    /// The store's.
    pub async fn new_link(&self, principal: &PrincipalId) -> StorageResult<String> {
        self.new_key(principal, ChatKey::Link, LINK_MS).await
    }

    /// Whose link it is, with the secret of the session that begins. `None`: nobody's any more.
    ///
    /// # Errors
    /// The store's.
    pub async fn open_link(&self, secret: &str) -> StorageResult<Option<(PrincipalId, String)>> {
        let found = self.parts.catalog.take_chat_link(&sha256_hex(secret.as_bytes())).await?;
        let Some(principal) = found else { return Ok(None) };
        let session = self.new_key(&principal, ChatKey::Session, SESSION_MS).await?;
        Ok(Some((principal, session)))
    }

    /// Whose session it is.
    ///
    /// # Errors
    /// The store's.
    pub async fn session(&self, secret: &str) -> StorageResult<Option<PrincipalId>> {
        self.parts.catalog.chat_session(&sha256_hex(secret.as_bytes())).await
    }

    async fn new_key(
        &self,
        principal: &PrincipalId,
        kind: ChatKey,
        ttl_ms: i64,
    ) -> StorageResult<String> {
        let secret = keys::secret()?;
        let sha = sha256_hex(secret.as_bytes());
        self.parts.catalog.add_chat_key(&sha, principal, kind, ttl_ms).await?;
        Ok(secret)
    }
}
