//! Versions of a document: listing them, bringing one back, deleting the document.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::DocumentError;
use super::html::stored_page;
use super::model::{WhichDocument, user_key, words};
use super::service::Documents;
use crate::jobs::{Failure, Run};
use crate::storage::{
    Document, DocumentId, DocumentKind, NewVersion, Owner, PrincipalId, Sha256Hex, StorageError,
    Version, keys,
};

/// The versions of a document.
#[derive(Debug, Clone)]
pub struct VersionList {
    /// The document.
    pub document: Document,
    /// Where it is.
    pub url: String,
    /// Newest first, each with its address.
    pub versions: Vec<(Version, String)>,
}

/// A document with an earlier version as its newest.
#[derive(Debug, Clone)]
pub struct RestoredDocument {
    /// What it is.
    pub kind: DocumentKind,
    /// Where it is.
    pub url: String,
    /// Its newest version.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// What the check of the restored version found when it was made.
    pub verification: Value,
    /// What happened, in sentences.
    pub message: String,
}

/// A document that is gone.
#[derive(Debug, Clone)]
pub struct DeletedDocument {
    /// What it was.
    pub kind: DocumentKind,
    /// Its name, which is free again.
    pub name: String,
    /// What happened, in sentences.
    pub message: String,
}

/// The version that a call is about. Kept as a step: a call that is run again means the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Wanted {
    document: DocumentId,
    token: String,
    name: String,
    head: i64,
    /// What is served of it, its source, its size, its picture and its record.
    blob: Sha256Hex,
    source: Option<Sha256Hex>,
    bytes: i64,
    thumb: Option<Sha256Hex>,
    facts: String,
}

/// The document that a call is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Target {
    document: DocumentId,
    name: String,
}

impl Documents {
    /// The versions that are kept of a document.
    ///
    /// # Errors
    /// When there is no such document, or the store fails.
    pub async fn list_versions(
        &self,
        principal: &PrincipalId,
        user_number: &str,
        which: &WhichDocument,
    ) -> Result<VersionList, DocumentError> {
        let owner = Owner { principal: principal.clone(), user: user_key(user_number)? };
        let (kind, name) = which.parts()?;
        let document = self.find(&owner, kind, Some(name)).await?;
        let versions = self.parts.catalog.versions(&document.id).await?;
        let versions = versions
            .into_iter()
            .map(|version| {
                let url = self.version_address(kind, &document.token, version.n);
                (version, url)
            })
            .collect();
        Ok(VersionList { url: self.address(kind, &document.token), document, versions })
    }

    /// Publishes an earlier version as the next one: the same bytes, whatever was published in
    /// between.
    ///
    /// # Errors
    /// When there is no such version, or the store fails.
    pub async fn restore_version(
        &self,
        run: &Run,
        user_number: &str,
        which: &WhichDocument,
        n: i64,
    ) -> Result<RestoredDocument, Failure> {
        let owner =
            Owner { principal: run.context().principal.clone(), user: user_key(user_number)? };
        let (kind, name) = which.parts()?;
        let wanted = run.step("wanted", || self.wanted(&owner, kind, name, n)).await?;
        let url = self.address(kind, &wanted.token);
        let facts: Value = serde_json::from_str(&wanted.facts).unwrap_or_default();
        let verification = facts.get("verification").cloned().unwrap_or_default();
        let noun = words(kind).noun;
        if n == wanted.head {
            let message = format!(
                "Version {n} is the newest of the {noun} `{}` already: nothing was changed.",
                wanted.name
            );
            let name = wanted.name;
            return Ok(RestoredDocument { kind, url, version: n, name, verification, message });
        }
        let deleted = DocumentError::Deleted { kind, name: wanted.name.clone() };
        let new = self.restored(owner, kind, wanted, facts, n).await?;
        let published = match self.parts.catalog.publish_version(&run.fence(), new).await {
            Ok(published) => published,
            // No head is expected: all that can be in the way is that the document is gone.
            Err(StorageError::Conflict(_)) => return Err(deleted.into()),
            Err(error) => return Err(error.into()),
        };
        let before = self.version_address(kind, &published.document.token, published.n - 1);
        let name = published.document.name;
        let message = format!(
            "Restored version {n} of the {noun} `{name}` as version {}: {url} (version {} stays at {before}).",
            published.n,
            published.n - 1
        );
        let version = published.n;
        Ok(RestoredDocument { kind, url, version, name, verification, message })
    }

    async fn wanted(
        &self,
        owner: &Owner,
        kind: DocumentKind,
        name: &str,
        n: i64,
    ) -> Result<Wanted, DocumentError> {
        let document = self.find(owner, kind, Some(name)).await?;
        let Some(version) = self.parts.catalog.version(&document.id, n).await? else {
            let kept = self.parts.catalog.versions(&document.id).await?;
            return Err(DocumentError::NoVersion {
                name: document.name,
                version: n,
                oldest: kept.last().map_or(document.head, |version| version.n),
                newest: document.head,
            });
        };
        Ok(Wanted {
            document: document.id,
            token: document.token,
            name: document.name,
            head: document.head,
            blob: version.blob_sha,
            source: version.source_sha,
            bytes: version.bytes,
            thumb: version.thumb_sha,
            facts: version.facts,
        })
    }

    async fn restored(
        &self,
        owner: Owner,
        kind: DocumentKind,
        wanted: Wanted,
        mut facts: Value,
        n: i64,
    ) -> Result<NewVersion, DocumentError> {
        let source = self.parts.blobs.get(wanted.source.as_ref().unwrap_or(&wanted.blob)).await?;
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("restored_from".to_owned(), json!(n));
        }
        Ok(NewVersion {
            owner,
            kind,
            name: wanted.name,
            document: keys::document_id(),
            token: keys::content_token()?,
            expected_document: Some(wanted.document),
            expected_head: None,
            blob_sha: wanted.blob,
            source_sha: wanted.source,
            bytes: wanted.bytes,
            title: stored_page(&String::from_utf8_lossy(&source)).title,
            facts: facts.to_string(),
            attachments: Vec::new(),
            tool_names: None,
            thumb_sha: wanted.thumb,
        })
    }

    /// Deletes a document with all its versions: its links lead nowhere, its name is free.
    ///
    /// # Errors
    /// When there is no such document, or the store fails.
    pub async fn delete(
        &self,
        run: &Run,
        user_number: &str,
        which: &WhichDocument,
    ) -> Result<DeletedDocument, Failure> {
        let owner =
            Owner { principal: run.context().principal.clone(), user: user_key(user_number)? };
        let (kind, name) = which.parts()?;
        // Pinned, so that a call that is run again never deletes what took the name meanwhile.
        let target: Target = run
            .step("target", || async {
                let document = self.find(&owner, kind, Some(name)).await?;
                Ok::<_, DocumentError>(Target { document: document.id, name: document.name })
            })
            .await?;
        self.parts.catalog.delete_document(&run.fence(), &target.document).await?;
        let message = format!(
            "Deleted the {} `{}` with all its versions: its links answer 404 from now on, and the name is free.",
            words(kind).noun,
            target.name
        );
        Ok(DeletedDocument { kind, name: target.name, message })
    }
}
