//! Bodies ready to be sent: read and compressed once, then kept by content hash.

use std::sync::Arc;

use bytes::Bytes;
use moka::future::Cache;

use super::encoding::Encoding;
use crate::storage::blobs::Blobs;
use crate::storage::{Sha256Hex, StorageError};

/// Memory for kept bodies.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// What an entry costs besides its body.
const ENTRY_BYTES: u32 = 256;

/// Names a body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct BodyKey {
    pub(super) sha: Sha256Hex,
    pub(super) encoding: Encoding,
}

impl BodyKey {
    /// A strong entity tag: another one for every sequence of bytes that is sent. `made` names
    /// what was made of the blob.
    pub(super) fn etag(&self, made: &str) -> String {
        let sha = self.sha.as_str();
        let sha = sha.get(..32).unwrap_or(sha);
        let encoding = self.encoding.name().unwrap_or_default();
        format!("\"{sha}-{made}-{encoding}\"")
    }
}

/// The cache in front of the blob store.
pub(super) struct Bodies {
    blobs: Blobs,
    cache: Cache<BodyKey, Bytes>,
}

impl Bodies {
    pub(super) fn new(blobs: Blobs) -> Self {
        let cache = Cache::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|_, body: &Bytes| {
                u32::try_from(body.len()).unwrap_or(u32::MAX).saturating_add(ENTRY_BYTES)
            })
            .build();
        Self { blobs, cache }
    }

    /// The body. Requests that want the same one at the same time make it once.
    pub(super) async fn get(&self, key: &BodyKey) -> Result<Bytes, Arc<StorageError>> {
        if let Some(body) = self.cache.get(key).await {
            return Ok(body);
        }
        let make = Box::pin(self.make(key));
        self.cache.try_get_with_by_ref(key, make).await.map_err(|error: Arc<StorageError>| error)
    }

    /// The blob itself, not kept.
    pub(super) async fn load(&self, sha: &Sha256Hex) -> Result<Bytes, StorageError> {
        self.blobs.get(sha).await
    }

    async fn make(&self, key: &BodyKey) -> Result<Bytes, StorageError> {
        let stored = self.load(&key.sha).await?;
        let encoding = key.encoding;
        if encoding == Encoding::Identity {
            return Ok(stored);
        }
        // Compressing takes milliseconds: too long for a thread that answers requests.
        match tokio::task::spawn_blocking(move || encoding.encode(&stored)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => Err(StorageError::Unavailable(format!("cannot compress: {error}"))),
            Err(error) => Err(StorageError::Unavailable(format!("cannot prepare: {error}"))),
        }
    }
}
