//! Immutable bytes, addressed by content: `b/<first two hex digits>/<sha256>`.
//!
//! Only create-if-absent is used, since that is what every object store offers; a blob that is
//! there already has the same content by its name.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use sha2::{Digest as _, Sha256};

use super::{Sha256Hex, StorageError, StorageResult, is_no_space};

/// The blob store.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    /// Where the files are, when they are files.
    folder: Option<Arc<Path>>,
}

impl Blobs {
    /// Blobs below a folder of this machine, synced to disk before a write is acknowledged.
    pub fn local(folder: &Path) -> StorageResult<Self> {
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| from_object_store(&error))?
            .with_fsync(true);
        Ok(Self { store: Arc::new(store), folder: Some(folder.into()) })
    }

    /// Blobs in memory, for tests.
    pub fn in_memory() -> Self {
        Self { store: Arc::new(InMemory::new()), folder: None }
    }

    /// Stores bytes and returns their hash.
    pub async fn put(&self, bytes: impl Into<Bytes>) -> StorageResult<Sha256Hex> {
        let bytes = bytes.into();
        let sha = sha256_hex(&bytes);
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&object_path(&sha), PutPayload::from(bytes), options).await {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. }) => self.sync_name(&sha).await?,
            Err(error) => return Err(from_object_store(&error)),
        }
        Ok(sha)
    }

    /// Makes the name of a blob durable that another writer has just made: it syncs its folder
    /// after the name can be seen, so it may not have done so yet.
    #[expect(clippy::disallowed_methods, reason = "the adapter of local files")]
    async fn sync_name(&self, sha: &Sha256Hex) -> StorageResult<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let path = folder.join(object_path(sha).as_ref());
        let synced = tokio::task::spawn_blocking(move || {
            path.ancestors().skip(1).take(2).try_for_each(|folder| File::open(folder)?.sync_all())
        });
        match synced.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if is_no_space(&error) => Err(StorageError::Full),
            Ok(Err(error)) => {
                Err(StorageError::Unavailable(format!("a blob cannot be made durable: {error}")))
            }
            Err(stopped) => Err(StorageError::Unavailable(stopped.to_string())),
        }
    }

    /// Reads a blob and checks it: bytes that a disk or a person changed are not passed on.
    pub async fn get(&self, sha: &Sha256Hex) -> StorageResult<Bytes> {
        let result =
            self.store.get(&object_path(sha)).await.map_err(|error| from_object_store(&error))?;
        let bytes = result.bytes().await.map_err(|error| from_object_store(&error))?;
        if sha256_hex(&bytes) == *sha {
            Ok(bytes)
        } else {
            Err(StorageError::Corrupt(format!("the content of blob `{sha}` differs from its name")))
        }
    }

    /// Stores a value as JSON.
    pub async fn put_json(&self, value: &impl serde::Serialize) -> StorageResult<Sha256Hex> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| StorageError::Corrupt(format!("cannot encode a value: {error}")))?;
        self.put(bytes).await
    }

    /// Reads a value stored as JSON.
    pub async fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        sha: &Sha256Hex,
    ) -> StorageResult<T> {
        let bytes = self.get(sha).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| StorageError::Corrupt(format!("blob {sha}: {error}")))
    }
}

/// SHA-256 in lower-case hex.
pub fn sha256_hex(bytes: &[u8]) -> Sha256Hex {
    use std::fmt::Write as _;
    let digest = Sha256::digest(bytes);
    let mut text = String::with_capacity(64);
    for byte in digest {
        let _ = write!(text, "{byte:02x}");
    }
    Sha256Hex(text)
}

fn object_path(sha: &Sha256Hex) -> ObjectPath {
    let text = sha.as_str();
    let prefix = text.get(..2).unwrap_or("00");
    ObjectPath::from(format!("b/{prefix}/{text}"))
}

fn from_object_store(error: &object_store::Error) -> StorageError {
    match error {
        object_store::Error::NotFound { path, .. } => {
            StorageError::Corrupt(format!("blob `{path}` is missing"))
        }
        _ if is_disk_full(error) => StorageError::Full,
        _ => StorageError::Unavailable(error.to_string()),
    }
}

/// Walks the sources for the operating system's "no space left" or "quota exceeded".
fn is_disk_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return is_no_space(io);
        }
        current = error.source();
    }
    false
}
