//! Documents from where they lie: a text, a file below an allowed folder, or a public address.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use url::Url;

use super::error::{FactoryError, Refusal};
use super::source::openapi::bundle::Bundle;
use super::source::openapi::document::{self, DOCUMENT_BYTES};
use crate::fetch::{FetchLimits, Fetcher};

/// Most documents that one description may be spread over.
const DOCUMENTS: usize = 100;

/// What the documents of one call may take.
pub fn limits() -> FetchLimits {
    FetchLimits {
        total: Duration::from_mins(1),
        file_bytes: DOCUMENT_BYTES,
        call_bytes: DOCUMENT_BYTES * 2,
        files: DOCUMENTS,
        redirects: 5,
    }
}

/// Reads a description and everything that it refers to.
pub struct Loader<'a> {
    /// Fetches public addresses.
    pub fetcher: &'a Fetcher,
    /// Folders that files may be read from.
    pub allowed_roots: &'a [PathBuf],
    /// What was fetched on the way.
    pub fetched: Fetched,
}

/// What was fetched: addresses without their query, and how many bytes came, or why none did.
#[derive(Debug, Default)]
pub struct Fetched(Mutex<Vec<(String, Result<usize, String>)>>);

impl Fetched {
    fn note(&self, address: &Url, outcome: Result<usize, String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((plain(address), outcome));
    }

    /// All of it, in order.
    pub fn all(&self) -> Vec<(String, Result<usize, String>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Loader<'_> {
    /// Loads a description given as text, path or URL.
    ///
    /// # Errors
    /// What cannot be read, and why.
    pub async fn load(&self, given: &str) -> Result<(Bundle, String), FactoryError> {
        let given = given.trim();
        if given.is_empty() {
            return Err(FactoryError::new(
                Refusal::Arguments,
                "`openapi` is empty",
                "give the URL, the path or the text of an OpenAPI document",
            ));
        }
        let allowance = self.fetcher.allowance();
        let (bundle, shown) = if is_web(given) {
            let address = Url::parse(given).map_err(|_| {
                FactoryError::new(
                    Refusal::Arguments,
                    "`openapi` is no URL",
                    "write it with https:// in front",
                )
            })?;
            let text = self.fetched(&address, &allowance).await.map_err(|reason| {
                FactoryError::new(
                    Refusal::NotAccessible,
                    format!("the document at {} cannot be fetched: {reason}", plain(&address)),
                    "give a public address, or the text itself",
                )
            })?;
            let shown = format!("the document at {}", plain(&address));
            (Bundle::new(document::read(&text, &shown)?, Some(address)), shown)
        } else if given.contains('\n') || given.starts_with(['{', '[', '<']) {
            let shown = "`openapi`".to_owned();
            (Bundle::new(document::read(given, &shown)?, None), shown)
        } else {
            let path = self.allowed(Path::new(given))?;
            let text = read_file(&path).await?;
            let shown = path.display().to_string();
            let address = Url::from_file_path(&path).ok();
            (Bundle::new(document::read(&text, &shown)?, address), shown)
        };
        let bundle = self.follow(bundle, &allowance).await;
        Ok((bundle, shown))
    }

    /// Loads what references lead to; what cannot be had is remembered with its reason.
    async fn follow(&self, mut bundle: Bundle, allowance: &crate::fetch::Allowance) -> Bundle {
        let root = bundle
            .address()
            .filter(|address| address.scheme() == "file")
            .and_then(|address| address.to_file_path().ok())
            .and_then(|path| path.parent().map(Path::to_owned));
        let mut count = 1;
        loop {
            let missing = bundle.missing();
            if missing.is_empty() {
                return bundle;
            }
            for address in missing {
                count += 1;
                let text = if count > DOCUMENTS {
                    Err(format!("more than {DOCUMENTS} documents"))
                } else if address.scheme() == "file" {
                    self.beside(&address, root.as_deref()).await
                } else {
                    self.fetched(&address, allowance).await
                };
                let value = text
                    .and_then(|text| document::read(&text, "it").map_err(|error| error.message));
                match value {
                    Ok(value) => bundle.add(address, value),
                    Err(reason) => bundle.refuse(&address, reason),
                }
            }
        }
    }

    /// A file that a document refers to; it lies below the document's own folder.
    async fn beside(&self, address: &Url, root: Option<&Path>) -> Result<String, String> {
        let path = address.to_file_path().map_err(|()| "it is no path".to_owned())?;
        let path =
            tokio::fs::canonicalize(&path).await.map_err(|_| "there is no such file".to_owned())?;
        if !root.is_some_and(|root| path.starts_with(root)) {
            return Err("the file lies outside the folder of the document".to_owned());
        }
        read_file(&path).await.map_err(|error| error.message)
    }

    async fn fetched(
        &self,
        address: &Url,
        allowance: &crate::fetch::Allowance,
    ) -> Result<String, String> {
        let file = self.fetcher.fetch(address.clone(), allowance).await;
        let file = file.map_err(|problem| problem.to_string());
        self.fetched
            .note(address, file.as_ref().map(|file| file.bytes.len()).map_err(String::clone));
        let file = file?;
        String::from_utf8(file.bytes).map_err(|_| "it is no UTF-8 text".to_owned())
    }

    /// A folder below an allowed one that is written to; it need not be there yet.
    ///
    /// # Errors
    /// When it is not allowed.
    pub fn allowed_folder(&self, path: &Path) -> Result<PathBuf, FactoryError> {
        if path.symlink_metadata().is_ok() {
            return self.allowed(path);
        }
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(self.allowed(parent)?.join(name)),
            _ => self.allowed(path),
        }
    }

    /// A path below an allowed folder, with links resolved.
    ///
    /// # Errors
    /// When it is not there, or not allowed.
    pub fn allowed(&self, path: &Path) -> Result<PathBuf, FactoryError> {
        let shown = super::names::prose(&path.display().to_string(), 200);
        let refused = || {
            FactoryError::new(
                Refusal::NotAllowed,
                format!("`{shown}` does not lie in an allowed folder"),
                "the operator names folders in `factory.allowed_roots` (ATELIER_FACTORY__ALLOWED_ROOTS); or give the text itself",
            )
        };
        if !path.is_absolute() {
            return Err(FactoryError::new(
                Refusal::Arguments,
                format!("`{shown}` is neither a URL, an absolute path nor a document"),
                "write an absolute path, a URL with https://, or the document's text",
            ));
        }
        // Before it is looked at: whether a file exists elsewhere is nobody's business.
        let inside = |path: &Path| {
            self.allowed_roots
                .iter()
                .any(|root| root.canonicalize().is_ok_and(|root| path.starts_with(root)))
        };
        let parent = path.parent().and_then(|parent| parent.canonicalize().ok());
        let is_root = path.canonicalize().is_ok_and(|path| inside(&path));
        if !is_root && !parent.as_deref().is_some_and(inside) {
            return Err(refused());
        }
        let found = path.canonicalize().map_err(|_| {
            FactoryError::new(
                Refusal::NotAccessible,
                format!("`{shown}` is not there"),
                "check the path",
            )
        })?;
        if inside(&found) { Ok(found) } else { Err(refused()) }
    }
}

fn is_web(text: &str) -> bool {
    let start = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    start.starts_with("http://") || start.starts_with("https://")
}

/// An address without its query, which may hold a secret.
fn plain(address: &Url) -> String {
    let mut address = address.clone();
    address.set_query(None);
    address.set_fragment(None);
    address.to_string()
}

async fn read_file(path: &Path) -> Result<String, FactoryError> {
    let shown = path.display().to_string();
    let told = |reason: String| {
        FactoryError::new(
            Refusal::NotAccessible,
            format!("`{shown}` cannot be read: {reason}"),
            "check the file and its rights",
        )
    };
    let size = tokio::fs::metadata(path).await.map_err(|error| told(error.to_string()))?.len();
    if size > DOCUMENT_BYTES as u64 {
        return Err(FactoryError::new(
            Refusal::TooLarge,
            format!("`{shown}` has {size} bytes, at most {DOCUMENT_BYTES} are read"),
            "split the document, or keep only the paths that are needed",
        ));
    }
    let bytes = tokio::fs::read(path).await.map_err(|error| told(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| told("it is no UTF-8 text".to_owned()))
}
