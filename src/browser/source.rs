//! What is rendered.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

/// A page with the files that it may load.
#[derive(Clone)]
pub struct Source {
    /// The document.
    pub html: String,
    /// Its own files, by relative path.
    pub files: Arc<dyn PageFiles>,
}

impl Source {
    /// A page that needs no files.
    pub fn alone(html: impl Into<String>) -> Self {
        Self { html: html.into(), files: Arc::new(NoFiles) }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Source")
            .field("html_bytes", &self.html.len())
            .finish_non_exhaustive()
    }
}

/// The own files of a page.
#[async_trait]
pub trait PageFiles: Send + Sync {
    /// The file at a path such as `a/<sha256>` or `lib/tailwind.js`: relative, decoded, without
    /// query and without `..`.
    async fn file(&self, path: &str) -> Option<PageFile>;
}

/// A file of a page.
#[derive(Debug, Clone)]
pub struct PageFile {
    /// Such as `image/png`.
    pub media_type: String,
    /// The content.
    pub bytes: Bytes,
}

/// No files at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

#[async_trait]
impl PageFiles for NoFiles {
    async fn file(&self, _path: &str) -> Option<PageFile> {
        None
    }
}
