//! Bodies ready to be sent: read, prepared and compressed once, then kept by content hash.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use moka::future::Cache;

use super::encoding::Encoding;
use crate::page_runtime::{self, Bootstrap};
use crate::storage::blobs::{Blobs, sha256_hex};
use crate::storage::{Sha256Hex, StorageError};

/// Memory for kept bodies.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// What an entry costs besides its body.
const ENTRY_BYTES: u32 = 256;

/// Changes when the scripts do, so that browsers fetch pages again after an update.
static SCRIPTS_VERSION: LazyLock<String> = LazyLock::new(|| {
    let sha = sha256_hex(page_runtime::scripts().as_bytes());
    sha.as_str().get(..8).unwrap_or_default().to_owned()
});

/// What is made of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// The bytes as they are stored.
    Stored,
    /// A page with our scripts in it.
    Page,
}

/// Names a body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct BodyKey {
    pub(super) sha: Sha256Hex,
    pub(super) form: Form,
    pub(super) encoding: Encoding,
}

impl BodyKey {
    /// A strong entity tag: another one for every sequence of bytes that is sent.
    pub(super) fn etag(&self) -> String {
        let sha = self.sha.as_str();
        let sha = sha.get(..32).unwrap_or(sha);
        let form = match self.form {
            Form::Stored => "",
            Form::Page => SCRIPTS_VERSION.as_str(),
        };
        let encoding = self.encoding.name().unwrap_or_default();
        format!("\"{sha}-{form}-{encoding}\"")
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

    async fn make(&self, key: &BodyKey) -> Result<Bytes, StorageError> {
        let stored = self.blobs.get(&key.sha).await?;
        let (form, encoding) = (key.form, key.encoding);
        if (form, encoding) == (Form::Stored, Encoding::Identity) {
            return Ok(stored);
        }
        let work = move || {
            let body = match form {
                Form::Stored => stored,
                Form::Page => page_runtime::inject(&stored, &Bootstrap::offline()),
            };
            encoding.encode(&body)
        };
        // Compressing takes milliseconds: too long for a thread that answers requests.
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) => Err(StorageError::Unavailable(format!("cannot compress: {error}"))),
            Err(error) => Err(StorageError::Unavailable(format!("cannot prepare: {error}"))),
        }
    }
}
