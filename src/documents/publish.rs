//! Publishing: blob, then one transaction.

use serde_json::json;

use super::error::DocumentError;
use super::html::Page;
use super::names::{clean_name, name_from_title};
use super::pdf::record;
use super::service::Documents;
use crate::jobs::{Failure, Run};
use crate::llm::Route;
use crate::storage::blobs::sha256_hex;
use crate::storage::{
    Attachment, DocumentId, DocumentKind, NewVersion, Owner, PublishedVersion, Sha256Hex,
    StorageError, keys,
};

/// Names tried for a document that was given none, before giving up.
const NAME_TRIES: usize = 20;

/// Who wrote a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// The caller, who gave it.
    Caller,
    /// A model.
    Model {
        /// Its name; `None`: the host's own.
        used: Option<String>,
        /// How it was reached.
        route: Route,
        /// Why it is another one than the caller named.
        note: Option<String>,
    },
}

/// A page to publish with all that its record says.
pub(super) struct Draft {
    /// What it is.
    pub(super) kind: DocumentKind,
    /// The HTML: what is served of an app, the source of a PDF.
    pub(super) page: Page,
    /// The printed form of a PDF document.
    pub(super) pdf: Option<bytes::Bytes>,
    /// Who wrote it.
    pub(super) writer: Writer,
    /// Facts about the prompt.
    pub(super) prompt: serde_json::Value,
    /// What it is called, and on what it was made.
    pub(super) place: Place,
    /// Tools that its pages may call from now on; `None`: as before.
    pub(super) tool_names: Option<Vec<String>>,
    /// Small picture of it.
    pub(super) thumb_sha: Option<Sha256Hex>,
    /// What its check found, for the record.
    pub(super) verification: serde_json::Value,
    /// How a PDF was printed, for the record.
    pub(super) print: serde_json::Value,
}

/// Where a draft goes.
pub(super) enum Place {
    /// A new document with a free name made from the title.
    Fresh,
    /// The document of this name, new or not.
    Named(String),
    /// The next version of this document, if that is still its head.
    Next {
        /// The document.
        document: DocumentId,
        /// Its name.
        name: String,
        /// The head that the draft was made from.
        head: i64,
    },
}

impl Documents {
    /// Publishes a draft. [`StorageError::Conflict`] (as a [`Failure`]) when the head has moved.
    pub(super) async fn publish(
        &self,
        run: &Run,
        owner: Owner,
        draft: &Draft,
        attachments: &[Attachment],
    ) -> Result<PublishedVersion, Failure> {
        let new = self.new_version(owner, draft, attachments).await?;
        if matches!(draft.place, Place::Fresh) {
            return self.publish_fresh(run, draft, new).await;
        }
        Ok(self.parts.catalog.publish_version(&run.fence(), new).await?)
    }

    /// Publishes a draft that was made from a version; `None` when that is not the newest any more,
    /// or its document was deleted.
    pub(super) async fn publish_next(
        &self,
        run: &Run,
        owner: Owner,
        draft: &Draft,
        attachments: &[Attachment],
    ) -> Result<Option<PublishedVersion>, Failure> {
        let new = self.new_version(owner, draft, attachments).await?;
        match self.parts.catalog.publish_version(&run.fence(), new).await {
            Ok(published) => Ok(Some(published)),
            Err(StorageError::Conflict(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Stores the bytes of a draft, and makes its row.
    async fn new_version(
        &self,
        owner: Owner,
        draft: &Draft,
        attachments: &[Attachment],
    ) -> Result<NewVersion, Failure> {
        let html = bytes::Bytes::from(draft.page.html.clone());
        let (served, source_sha) = match &draft.pdf {
            Some(pdf) => (pdf.clone(), Some(self.parts.blobs.put(html).await?)),
            None => (html, None),
        };
        let (name, expected_document, expected_head) = match &draft.place {
            Place::Fresh => (String::new(), None, None),
            Place::Named(name) => (name.clone(), None, None),
            Place::Next { document, name, head } => {
                (name.clone(), Some(document.clone()), Some(*head))
            }
        };
        Ok(NewVersion {
            owner,
            kind: draft.kind,
            name,
            document: keys::document_id(),
            token: keys::content_token()?,
            expected_document,
            expected_head,
            bytes: i64::try_from(served.len()).unwrap_or(i64::MAX),
            blob_sha: self.parts.blobs.put(served).await?,
            source_sha,
            title: draft.page.title.clone(),
            facts: facts(draft).to_string(),
            attachments: attachments.to_vec(),
            tool_names: draft.tool_names.clone(),
            thumb_sha: draft.thumb_sha.clone(),
        })
    }

    /// A name made here must be free.
    async fn publish_fresh(
        &self,
        run: &Run,
        draft: &Draft,
        new: NewVersion,
    ) -> Result<PublishedVersion, Failure> {
        for name in proposed_names(run, draft.kind, draft.page.title.as_deref()) {
            let new = NewVersion { name, expected_head: Some(0), ..new.clone() };
            match self.parts.catalog.publish_version(&run.fence(), new).await {
                Ok(published) => return Ok(published),
                Err(StorageError::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(DocumentError::NoFreeName.into())
    }
}

/// The record of a version, for listings.
fn facts(draft: &Draft) -> serde_json::Value {
    let mut facts = match &draft.writer {
        Writer::Caller => json!({"writer": "caller"}),
        Writer::Model { used, route, .. } => json!({
            "writer": "model",
            "model_used": used,
            "llm_route": route,
            "prompt": draft.prompt,
        }),
    };
    if let Some(facts) = facts.as_object_mut() {
        for (key, value) in [("verification", &draft.verification), (record::KEY, &draft.print)] {
            if !value.is_null() {
                facts.insert(key.to_owned(), value.clone());
            }
        }
    }
    facts
}

/// A name as the caller wants it. One of which nothing is left still is the caller's wish for an
/// app of its own.
pub(super) fn given_name(run: &Run, name: &str) -> String {
    clean_name(name).unwrap_or_else(|| format!("sanitized_{}", run_word(run)))
}

/// Names for a document that was given none: from its title, numbered when that is taken.
fn proposed_names(run: &Run, kind: DocumentKind, title: Option<&str>) -> Vec<String> {
    let stem = match kind {
        DocumentKind::WebApp => "web-app",
        DocumentKind::Pdf => "pdf-doc",
    };
    let last = format!("{stem}-{}", run_word(run));
    let Some(base) = title.and_then(name_from_title) else { return vec![last] };
    let numbered = (2..=NAME_TRIES).map(|n| format!("{base}-{n}"));
    std::iter::once(base.clone()).chain(numbered).chain([last]).collect()
}

/// Eight hex digits that are equal in every attempt of a run, and say nothing about its delimiter.
fn run_word(run: &Run) -> String {
    let sha = sha256_hex(format!("name of {}", run.job_id()).as_bytes());
    sha.0.chars().take(8).collect()
}
