//! Files that a request brings along: fetched, checked, stored by their content.
//!
//! A file that fails is a warning, since the app can mostly do without it; when all fail, the
//! request is refused. The model and the page know a file by its name, type, size and stored
//! address, never by the address it came from, whose query may be a key.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::DocumentError;
use super::media::{self, MediaProblem};
use super::names::clean_name;
use crate::content_urls::{ContentUrls, HostedFile};
use crate::fetch::{Allowance, FetchProblem, Fetcher};
use crate::storage::blobs::Blobs;
use crate::storage::{Attachment, Catalog, Document, DocumentKind, Sha256Hex, StorageError};

/// Collects the files of a call.
#[derive(Clone)]
pub struct Attachments {
    fetcher: Fetcher,
    catalog: Arc<dyn Catalog>,
    blobs: Blobs,
    urls: ContentUrls,
}

/// The files of a call, as its step stores them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Those that were stored.
    pub files: Vec<CollectedFile>,
    /// What was wrong with these or others.
    pub warnings: Vec<String>,
}

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedFile {
    /// What the document may serve.
    pub attachment: Attachment,
    /// Width and height of a picture.
    pub pixels: Option<(u64, u64)>,
}

impl CollectedFile {
    /// The address by which a page of the document shows it.
    pub fn address(&self) -> String {
        format!("a/{}", self.attachment.sha)
    }
}

/// Why one file is missing.
#[derive(Debug, thiserror::Error)]
enum FileProblem {
    #[error(transparent)]
    Fetch(#[from] FetchProblem),
    #[error(transparent)]
    Media(#[from] MediaProblem),
    #[error("there is nothing at this address")]
    NotHere,
    /// Not the file's fault: ends the call.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Attachments {
    /// Files fetched by `fetcher`, stored in `blobs`; those hosted here are found in `catalog`.
    pub fn new(
        fetcher: Fetcher,
        catalog: Arc<dyn Catalog>,
        blobs: Blobs,
        urls: ContentUrls,
    ) -> Self {
        Self { fetcher, catalog, blobs, urls }
    }

    /// Fetches and stores the files at these addresses.
    ///
    /// # Errors
    /// When there are addresses and none of them gave a file, or the store fails.
    pub async fn collect(&self, addresses: &[String]) -> Result<Collected, DocumentError> {
        let mut wanted: Vec<&str> = Vec::new();
        for address in addresses.iter().map(|address| address.trim()) {
            if !address.is_empty() && !wanted.contains(&address) {
                wanted.push(address);
            }
        }
        if wanted.is_empty() {
            return Ok(Collected::default());
        }
        let mut collected = Collected::default();
        let most = self.fetcher.limits().files;
        if wanted.len() > most {
            collected.warnings.push(format!(
                "{} attachments are too many: only the first {most} were used",
                wanted.len()
            ));
            wanted.truncate(most);
        }
        let allowance = self.fetcher.allowance();
        let files = wanted
            .iter()
            .enumerate()
            .map(|(index, address)| self.file(index + 1, address, &allowance));
        for (address, result) in wanted.iter().zip(join_all(files).await) {
            let shown = shown_address(address);
            match result {
                Ok((file, notes)) => {
                    for note in notes {
                        collected.warnings.push(format!("attachment `{shown}`: {note}"));
                    }
                    let is_new =
                        |known: &CollectedFile| known.attachment.sha != file.attachment.sha;
                    if collected.files.iter().all(is_new) {
                        collected.files.push(file);
                    }
                }
                Err(FileProblem::Storage(error)) => return Err(error.into()),
                Err(problem) => {
                    collected
                        .warnings
                        .push(format!("attachment `{shown}` was left out: {problem}"));
                }
            }
        }
        if collected.files.is_empty() {
            return Err(DocumentError::NoAttachment(collected.warnings));
        }
        Ok(collected)
    }

    async fn file(
        &self,
        number: usize,
        address: &str,
        allowance: &Allowance,
    ) -> Result<(CollectedFile, Vec<String>), FileProblem> {
        let url = Url::parse(address).map_err(|_| FetchProblem::NotAUrl)?;
        if let Some(file) = self.urls.hosted_file_of(address) {
            return Ok((self.hosted(file).await?, Vec::new()));
        }
        if let Some(place) = self.own_place(address) {
            return Ok((self.own_file(&place).await?, Vec::new()));
        }
        let fetched = self.fetcher.fetch(url.clone(), allowance).await?;
        let media = media::inspect(fetched.bytes, fetched.declared.as_deref())?;
        let bytes = i64::try_from(media.bytes.len()).unwrap_or(i64::MAX);
        let sha = self.blobs.put(media.bytes).await?;
        let name = file_name(&url).unwrap_or_else(|| format!("attachment-{number}"));
        let attachment = Attachment { sha, name, media_type: media.media_type, bytes };
        Ok((CollectedFile { attachment, pixels: media.size }, media.notes))
    }

    /// A file that a call made here.
    async fn hosted(&self, file: HostedFile) -> Result<CollectedFile, FileProblem> {
        let content = self.blobs.get(&Sha256Hex(file.sha)).await?.to_vec();
        let media = media::inspect(content, Some(&file.media_type))?;
        let bytes = i64::try_from(media.bytes.len()).unwrap_or(i64::MAX);
        let sha = self.blobs.put(media.bytes).await?;
        let name = clean_name(&file.name).unwrap_or_else(|| "file".to_owned());
        let attachment = Attachment { sha, name, media_type: media.media_type, bytes };
        Ok(CollectedFile { attachment, pixels: media.size })
    }

    /// The whole files at these addresses, as they are: for programs, which judge them themselves.
    ///
    /// # Errors
    /// When one of them cannot be had, or the store fails.
    pub async fn read(&self, addresses: &[String]) -> Result<Vec<(String, Bytes)>, DocumentError> {
        let allowance = self.fetcher.allowance();
        let files = addresses.iter().enumerate().map(|(index, address)| {
            let allowance = &allowance;
            async move { self.whole(index + 1, address.trim(), allowance).await }
        });
        let mut read = Vec::new();
        let mut problems = Vec::new();
        for (address, result) in addresses.iter().zip(join_all(files).await) {
            match result {
                Ok(file) => read.push(file),
                Err(FileProblem::Storage(error)) => return Err(error.into()),
                Err(problem) => {
                    problems.push(format!("`{}`: {problem}", shown_address(address)));
                }
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(DocumentError::NoAttachment(problems)) }
    }

    async fn whole(
        &self,
        number: usize,
        address: &str,
        allowance: &Allowance,
    ) -> Result<(String, Bytes), FileProblem> {
        let url = Url::parse(address).map_err(|_| FetchProblem::NotAUrl)?;
        if let Some(file) = self.urls.hosted_file_of(address) {
            return Ok((file.name, self.blobs.get(&Sha256Hex(file.sha)).await?));
        }
        if let Some(place) = self.own_place(address) {
            let attachment = self.own_file(&place).await?.attachment;
            return Ok((attachment.name, self.blobs.get(&attachment.sha).await?));
        }
        let name = file_name(&url).unwrap_or_else(|| format!("attachment-{number}"));
        let fetched = self.fetcher.fetch(url, allowance).await?;
        Ok((name, fetched.bytes.into()))
    }

    /// The place below this server's own content, when the address lies there.
    fn own_place(&self, address: &str) -> Option<OwnPlace> {
        let rest = address.strip_prefix(self.urls.bases().content.as_str())?;
        let (kind, rest) = match (rest.strip_prefix("/a/"), rest.strip_prefix("/d/")) {
            (Some(rest), _) => (DocumentKind::WebApp, rest),
            (None, Some(rest)) => (DocumentKind::Pdf, rest),
            (None, None) => return None,
        };
        let path = rest.split(['?', '#']).next().unwrap_or(rest);
        let path = match kind {
            DocumentKind::WebApp => path,
            DocumentKind::Pdf => path.strip_suffix(".pdf").unwrap_or(path),
        };
        let mut parts = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned);
        let token = parts.next()?;
        Some(OwnPlace { kind, token, parts: parts.collect() })
    }

    /// A file that is hosted here, found by the token in its address, which whoever holds it may
    /// read; the network is not asked.
    async fn own_file(&self, place: &OwnPlace) -> Result<CollectedFile, FileProblem> {
        let document = self.catalog.document_by_token(&place.token).await?;
        let document = document.filter(|document| document.kind == place.kind);
        let document = document.ok_or(FileProblem::NotHere)?;
        let parts: Vec<&str> = place.parts.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [] | ["download"] => self.own_page(&document, document.head, Half::Served).await,
            ["raw"] => self.own_page(&document, document.head, Half::Source).await,
            ["a", sha] | ["v", _, "a", sha] => {
                let sha = Sha256Hex((*sha).to_owned());
                let attachment = self.catalog.attachment(&document.id, &sha).await?;
                let attachment = attachment.ok_or(FileProblem::NotHere)?;
                let bytes = self.blobs.get(&sha).await?;
                let pixels = media::inspect(bytes.to_vec(), None)?.size;
                Ok(CollectedFile { attachment, pixels })
            }
            ["v", n] | ["v", n, "download"] => {
                let n = n.parse().map_err(|_| FileProblem::NotHere)?;
                self.own_page(&document, n, Half::Served).await
            }
            ["v", n, "raw"] => {
                let n = n.parse().map_err(|_| FileProblem::NotHere)?;
                self.own_page(&document, n, Half::Source).await
            }
            _ => Err(FileProblem::NotHere),
        }
    }

    /// A version as a file: what is served of it, or the HTML that it was made from.
    async fn own_page(
        &self,
        document: &Document,
        n: i64,
        half: Half,
    ) -> Result<CollectedFile, FileProblem> {
        let version = self.catalog.version(&document.id, n).await?.ok_or(FileProblem::NotHere)?;
        let name = &document.name;
        let attachment = match (document.kind, half, version.source_sha) {
            (DocumentKind::Pdf, Half::Source, Some(sha)) => Attachment {
                bytes: i64::try_from(self.blobs.get(&sha).await?.len()).unwrap_or(i64::MAX),
                sha,
                name: format!("{name}.html"),
                media_type: "text/html".to_owned(),
            },
            (DocumentKind::Pdf, _, _) => Attachment {
                sha: version.blob_sha,
                name: format!("{name}.pdf"),
                media_type: "application/pdf".to_owned(),
                bytes: version.bytes,
            },
            (DocumentKind::WebApp, _, _) => Attachment {
                sha: version.blob_sha,
                name: format!("{name}.html"),
                media_type: "text/html".to_owned(),
                bytes: version.bytes,
            },
        };
        Ok(CollectedFile { attachment, pixels: None })
    }
}

/// What of a version is wanted.
#[derive(Clone, Copy)]
enum Half {
    /// What is served.
    Served,
    /// The HTML that it was made from.
    Source,
}

/// A place below this server's own content.
struct OwnPlace {
    kind: DocumentKind,
    token: String,
    parts: Vec<String>,
}

/// The facts about files that a prompt gets, one line each.
pub(crate) fn facts_for_prompt(files: &[CollectedFile]) -> String {
    files
        .iter()
        .map(|file| {
            let Attachment { name, media_type, bytes, .. } = &file.attachment;
            let pixels = match file.pixels {
                Some((width, height)) => format!(", {width} × {height} pixels"),
                None => String::new(),
            };
            format!("- `{name}` ({media_type}, {bytes} bytes{pixels}): {}", file.address())
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// A name for people from the last part of the path.
fn file_name(url: &Url) -> Option<String> {
    let last = url.path_segments()?.rfind(|part| !part.is_empty())?;
    clean_name(&percent_decode_str(last).decode_utf8_lossy())
}

/// An address for warnings: without query, login and fragment, and short.
fn shown_address(address: &str) -> String {
    let shown = match Url::parse(address) {
        Ok(url) if url.host_str().is_some() => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
        }
        Ok(url) => format!("{}:…", url.scheme()),
        Err(_) => address.split(['?', '#']).next().unwrap_or_default().to_owned(),
    };
    let clean: String = shown.chars().filter(|letter| !letter.is_control()).collect();
    if clean.chars().count() <= 120 {
        return clean;
    }
    let mut short: String = clean.chars().take(119).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_without_secrets() {
        for (address, shown) in [
            ("https://me:pw@x.example/a/b.png?sig=secret#part", "https://x.example/a/b.png"),
            ("http://x.example:8080/", "http://x.example:8080/"),
            ("data:image/png;base64,AAAA", "data:…"),
            ("file:///etc/passwd", "file:…"),
            ("no url?key=secret", "no url"),
        ] {
            assert_eq!(shown_address(address), shown);
        }
        assert_eq!(
            shown_address(&format!("https://x.example/{}", "a".repeat(500))).chars().count(),
            120
        );
    }

    #[test]
    fn names_come_from_the_path() {
        for (address, name) in [
            ("https://x.example/photos/My%20Cat.png?x=1", Some("My_Cat.png")),
            ("https://x.example/..%2F..%2Fetc%2Fpasswd", Some("etc_passwd")),
            ("https://x.example/folder/", Some("folder")),
            ("https://x.example/", None),
            ("https://x.example/%F0%9F%90%88", None),
        ] {
            assert_eq!(file_name(&Url::parse(address).unwrap()).as_deref(), name, "{address}");
        }
    }
}
