//! The files that a page is shown and printed with: its stored attachments, the
//! libraries that are served beside it, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::browser::{PageFile, PageFiles};
use crate::libraries::{self, Library};
use crate::storage::blobs::Blobs;
use crate::storage::{Attachment, Catalog, DocumentId, Sha256Hex, StorageResult};

/// Digits of a SHA-256 in hex.
const SHA_DIGITS: usize = 64;
/// Files that one document may show.
const MOST: usize = 500;

/// Answers what Chrome asks for from the store.
pub(super) struct StoredFiles {
    blobs: Blobs,
    known: HashMap<String, Attachment>,
}

impl StoredFiles {
    /// These files, and those of a document's earlier versions that the HTML refers to.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(super) async fn collect(
        catalog: &dyn Catalog,
        blobs: &Blobs,
        document: Option<&DocumentId>,
        files: impl Iterator<Item = Attachment>,
        html: &str,
    ) -> StorageResult<Arc<Self>> {
        let mut known: HashMap<String, Attachment> =
            files.map(|file| (file.sha.0.clone(), file)).collect();
        if let Some(document) = document {
            for sha in references(html).into_iter().take(MOST) {
                if !known.contains_key(&sha.0)
                    && let Some(file) = catalog.attachment(document, &sha).await?
                {
                    known.insert(sha.0, file);
                }
            }
        }
        Ok(Arc::new(Self { blobs: blobs.clone(), known }))
    }
}

#[async_trait]
impl PageFiles for StoredFiles {
    async fn file(&self, path: &str) -> Option<PageFile> {
        if let Some(library) = path.strip_prefix(libraries::FOLDER).and_then(libraries::find) {
            return library_file(library).await;
        }
        let file = self.known.get(path.strip_prefix("a/")?)?;
        match self.blobs.get(&file.sha).await {
            Ok(bytes) => Some(PageFile { media_type: file.media_type.clone(), bytes }),
            Err(error) => {
                tracing::warn!(error.cause = %error, "a file of a document cannot be read");
                None
            }
        }
    }
}

/// A library that every page may load.
async fn library_file(library: &'static Library) -> Option<PageFile> {
    let unpacked = tokio::task::spawn_blocking(|| library.content()).await;
    match unpacked {
        Ok(Ok(bytes)) => {
            Some(PageFile { media_type: library.media_type().to_owned(), bytes: bytes.into() })
        }
        Ok(Err(error)) => {
            tracing::error!(error.cause = %error, "a library cannot be unpacked");
            None
        }
        Err(error) => {
            tracing::error!(error.cause = %error, "a library was not unpacked");
            None
        }
    }
}

/// The stored files that HTML names as `a/<sha>`, each once.
pub(super) fn references(html: &str) -> Vec<Sha256Hex> {
    let mut found: Vec<Sha256Hex> = Vec::new();
    for (at, _) in html.match_indices("a/") {
        let Some(sha) = html.get(at + 2..at + 2 + SHA_DIGITS) else { continue };
        let is_sha = sha.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_sha && !found.iter().any(|known| known.as_str() == sha) {
            found.push(Sha256Hex::from(sha));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_once_each() {
        let (one, two) = ("ab".repeat(32), "cd".repeat(32));
        let html = format!("<img src='a/{one}'><img src=./a/{two}> a/{one} a/short ü a/");
        let found: Vec<String> = references(&html).into_iter().map(|sha| sha.0).collect();
        assert_eq!(found, [one, two]);
    }
}
