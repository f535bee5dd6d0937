//! Documents, their versions and attachments.

use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use super::error::from_sqlx;
use super::{SqliteCatalog, Write, decoded};
use crate::storage::{
    Attachment, Document, DocumentId, DocumentKind, Fence, JobId, KEPT_VERSIONS, NewVersion, Owner,
    PrincipalId, PublishedVersion, Sha256Hex, StorageError, StorageResult, Version,
};

/// The columns of a [`Document`].
macro_rules! document_columns {
    () => {
        "id, principal, user_key, kind, name, token, head, title, bytes, tool_names, created_at, \
         updated_at"
    };
}

pub(super) use document_columns;

/// The columns of a [`Version`].
macro_rules! version_columns {
    () => {
        "n, blob_sha, source_sha, bytes, job, facts, thumb_sha, created_at"
    };
}

impl FromRow<'_, SqliteRow> for Document {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: DocumentId(row.try_get("id")?),
            owner: Owner {
                principal: PrincipalId(row.try_get("principal")?),
                user: row.try_get("user_key")?,
            },
            kind: decoded(row, "kind", DocumentKind::parse)?,
            name: row.try_get("name")?,
            token: row.try_get("token")?,
            head: row.try_get("head")?,
            title: row.try_get("title")?,
            bytes: row.try_get("bytes")?,
            tool_names: decoded(row, "tool_names", |text| serde_json::from_str(text).ok())?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for Version {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            n: row.try_get("n")?,
            blob_sha: Sha256Hex(row.try_get("blob_sha")?),
            source_sha: row.try_get::<Option<String>, _>("source_sha")?.map(Sha256Hex),
            bytes: row.try_get("bytes")?,
            job: JobId(row.try_get("job")?),
            facts: row.try_get("facts")?,
            thumb_sha: row.try_get::<Option<String>, _>("thumb_sha")?.map(Sha256Hex),
            created_at: row.try_get("created_at")?,
        })
    }
}

/// What has to be unique of a name: names that differ in case alone are one.
pub(super) fn name_key(name: &str) -> String {
    name.to_lowercase()
}

pub(super) async fn publish_version(
    catalog: &SqliteCatalog,
    fence: &Fence,
    new: NewVersion,
) -> StorageResult<PublishedVersion> {
    let mut write = catalog.write().await?;
    write.check(fence).await?;
    if let Some(first) = write.published_by(&fence.job).await? {
        return Ok(first);
    }
    let live = match &new.expected_document {
        Some(id) => Some(write.expected_document(&new, id).await?),
        None => write.live_document(&new).await?,
    };
    let document = match live {
        Some(document) => write.move_head(document, &new).await?,
        None => write.insert_document(&new).await?,
    };
    write.insert_version(fence, &document, &new).await?;
    write.prune_versions(&document).await?;
    for attachment in &new.attachments {
        write.insert_attachment(&document.id, attachment).await?;
    }
    write.commit().await?;
    Ok(PublishedVersion { n: document.head, created: document.head == 1, document })
}

impl Write {
    /// What the job published already, in this attempt or an earlier one.
    async fn published_by(&mut self, job: &JobId) -> StorageResult<Option<PublishedVersion>> {
        let version: Option<(String, i64)> =
            sqlx::query_as("SELECT document, n FROM version WHERE job = $1")
                .bind(job.as_str())
                .fetch_optional(&mut *self.transaction)
                .await
                .map_err(from_sqlx)?;
        let Some((document, n)) = version else { return Ok(None) };
        let document =
            sqlx::query_as(concat!("SELECT ", document_columns!(), " FROM document WHERE id = $1"))
                .bind(document)
                .fetch_one(&mut *self.transaction)
                .await
                .map_err(from_sqlx)?;
        Ok(Some(PublishedVersion { document, n, created: n == 1 }))
    }

    async fn live_document(&mut self, new: &NewVersion) -> StorageResult<Option<Document>> {
        sqlx::query_as(concat!(
            "SELECT ",
            document_columns!(),
            " FROM document WHERE principal = $1 AND user_key = $2 AND kind = $3 \
             AND name_key = $4 AND deleted_at IS NULL"
        ))
        .bind(new.owner.principal.as_str())
        .bind(&new.owner.user)
        .bind(new.kind.as_str())
        .bind(name_key(&new.name))
        .fetch_optional(&mut *self.transaction)
        .await
        .map_err(from_sqlx)
    }

    async fn expected_document(
        &mut self,
        new: &NewVersion,
        id: &DocumentId,
    ) -> StorageResult<Document> {
        let live: Option<Document> = sqlx::query_as(concat!(
            "SELECT ",
            document_columns!(),
            " FROM document WHERE id = $1 AND principal = $2 AND user_key = $3 AND kind = $4 \
             AND deleted_at IS NULL"
        ))
        .bind(id.as_str())
        .bind(new.owner.principal.as_str())
        .bind(&new.owner.user)
        .bind(new.kind.as_str())
        .fetch_optional(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        live.ok_or_else(|| {
            StorageError::Conflict(format!(
                "`{}` was deleted while this change of it was made",
                new.name
            ))
        })
    }

    async fn move_head(&mut self, document: Document, new: &NewVersion) -> StorageResult<Document> {
        let expected = new.expected_head.unwrap_or(document.head);
        let moved = sqlx::query_as(concat!(
            "UPDATE document SET head = head + 1, title = $3, bytes = $4, updated_at = $5, \
             tool_names = COALESCE($6, tool_names) WHERE id = $1 AND head = $2 RETURNING ",
            document_columns!()
        ))
        .bind(document.id.as_str())
        .bind(expected)
        .bind(new.title.as_deref())
        .bind(new.bytes)
        .bind(self.now)
        .bind(new.tool_names.as_ref().map(|names| json!(names).to_string()))
        .fetch_optional(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        moved.ok_or_else(|| {
            let Document { name, head, .. } = document;
            StorageError::Conflict(match expected {
                0 => format!("the name `{name}` is taken"),
                _ => format!(
                    "`{name}` is at version {head} now, and this change was made on version \
                     {expected}"
                ),
            })
        })
    }

    async fn insert_document(&mut self, new: &NewVersion) -> StorageResult<Document> {
        if let Some(expected) = new.expected_head.filter(|expected| *expected != 0) {
            return Err(StorageError::Conflict(format!(
                "`{}` does not exist any more, and this change was made on version {expected}",
                new.name
            )));
        }
        sqlx::query_as(concat!(
            "INSERT INTO document (id, principal, user_key, kind, name, name_key, token, head, \
             title, bytes, created_at, updated_at, tool_names) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $10, $10, $11) RETURNING ",
            document_columns!()
        ))
        .bind(new.document.as_str())
        .bind(new.owner.principal.as_str())
        .bind(&new.owner.user)
        .bind(new.kind.as_str())
        .bind(&new.name)
        .bind(name_key(&new.name))
        .bind(&new.token)
        .bind(new.title.as_deref())
        .bind(new.bytes)
        .bind(self.now)
        .bind(json!(new.tool_names.as_deref().unwrap_or_default()).to_string())
        .fetch_one(&mut *self.transaction)
        .await
        .map_err(from_sqlx)
    }

    async fn insert_version(
        &mut self,
        fence: &Fence,
        document: &Document,
        new: &NewVersion,
    ) -> StorageResult<()> {
        sqlx::query(
            "INSERT INTO version (document, n, job, blob_sha, source_sha, bytes, facts, \
             created_at, thumb_sha) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(document.id.as_str())
        .bind(document.head)
        .bind(fence.job.as_str())
        .bind(new.blob_sha.as_str())
        .bind(new.source_sha.as_ref().map(Sha256Hex::as_str))
        .bind(new.bytes)
        .bind(&new.facts)
        .bind(self.now)
        .bind(new.thumb_sha.as_ref().map(Sha256Hex::as_str))
        .execute(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        Ok(())
    }

    /// Their blobs stay: other versions and documents may share them.
    async fn prune_versions(&mut self, document: &Document) -> StorageResult<()> {
        sqlx::query("DELETE FROM version WHERE document = $1 AND n <= $2")
            .bind(document.id.as_str())
            .bind(document.head - KEPT_VERSIONS)
            .execute(&mut *self.transaction)
            .await
            .map_err(from_sqlx)?;
        Ok(())
    }

    async fn insert_attachment(
        &mut self,
        document: &DocumentId,
        attachment: &Attachment,
    ) -> StorageResult<()> {
        sqlx::query(
            "INSERT INTO attachment (document, sha, name, media_type, bytes) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (document, sha) DO NOTHING",
        )
        .bind(document.as_str())
        .bind(attachment.sha.as_str())
        .bind(&attachment.name)
        .bind(&attachment.media_type)
        .bind(attachment.bytes)
        .execute(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        Ok(())
    }
}

pub(super) async fn delete_document(
    catalog: &SqliteCatalog,
    fence: &Fence,
    id: &DocumentId,
) -> StorageResult<bool> {
    let mut write = catalog.write().await?;
    write.check(fence).await?;
    let deleted =
        sqlx::query("UPDATE document SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL")
            .bind(id.as_str())
            .bind(write.now)
            .execute(&mut *write.transaction)
            .await
            .map_err(from_sqlx)?;
    write.commit().await?;
    Ok(deleted.rows_affected() > 0)
}

pub(super) async fn document(
    catalog: &SqliteCatalog,
    owner: &Owner,
    kind: DocumentKind,
    name: &str,
) -> StorageResult<Option<Document>> {
    sqlx::query_as(concat!(
        "SELECT ",
        document_columns!(),
        " FROM document WHERE principal = $1 AND user_key = $2 AND kind = $3 \
         AND name_key = $4 AND deleted_at IS NULL"
    ))
    .bind(owner.principal.as_str())
    .bind(&owner.user)
    .bind(kind.as_str())
    .bind(name_key(name))
    .fetch_optional(&catalog.reader)
    .await
    .map_err(from_sqlx)
}

pub(super) async fn documents(
    catalog: &SqliteCatalog,
    owner: &Owner,
    kind: Option<DocumentKind>,
    limit: u32,
) -> StorageResult<Vec<Document>> {
    let query = match kind {
        Some(kind) => sqlx::query_as(concat!(
            "SELECT ",
            document_columns!(),
            " FROM document WHERE principal = $1 AND user_key = $2 AND kind = $4 \
             AND deleted_at IS NULL ORDER BY updated_at DESC, id DESC LIMIT $3"
        ))
        .bind(owner.principal.as_str())
        .bind(&owner.user)
        .bind(i64::from(limit))
        .bind(kind.as_str()),
        None => sqlx::query_as(concat!(
            "SELECT ",
            document_columns!(),
            " FROM document WHERE principal = $1 AND user_key = $2 \
             AND deleted_at IS NULL ORDER BY updated_at DESC, id DESC LIMIT $3"
        ))
        .bind(owner.principal.as_str())
        .bind(&owner.user)
        .bind(i64::from(limit)),
    };
    query.fetch_all(&catalog.reader).await.map_err(from_sqlx)
}

pub(super) async fn documents_of_principal(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
    limit: u32,
) -> StorageResult<Vec<Document>> {
    sqlx::query_as(concat!(
        "SELECT ",
        document_columns!(),
        " FROM document WHERE principal = $1 AND deleted_at IS NULL \
         ORDER BY updated_at DESC, id DESC LIMIT $2"
    ))
    .bind(principal.as_str())
    .bind(i64::from(limit))
    .fetch_all(&catalog.reader)
    .await
    .map_err(from_sqlx)
}

pub(super) async fn document_by_token(
    catalog: &SqliteCatalog,
    token: &str,
) -> StorageResult<Option<Document>> {
    sqlx::query_as(concat!(
        "SELECT ",
        document_columns!(),
        " FROM document WHERE token = $1 AND deleted_at IS NULL"
    ))
    .bind(token)
    .fetch_optional(&catalog.reader)
    .await
    .map_err(from_sqlx)
}

pub(super) async fn version(
    catalog: &SqliteCatalog,
    document: &DocumentId,
    n: i64,
) -> StorageResult<Option<Version>> {
    sqlx::query_as(concat!(
        "SELECT ",
        version_columns!(),
        " FROM version WHERE document = $1 AND n = $2"
    ))
    .bind(document.as_str())
    .bind(n)
    .fetch_optional(&catalog.reader)
    .await
    .map_err(from_sqlx)
}

pub(super) async fn versions(
    catalog: &SqliteCatalog,
    document: &DocumentId,
) -> StorageResult<Vec<Version>> {
    sqlx::query_as(concat!(
        "SELECT ",
        version_columns!(),
        " FROM version WHERE document = $1 ORDER BY n DESC"
    ))
    .bind(document.as_str())
    .fetch_all(&catalog.reader)
    .await
    .map_err(from_sqlx)
}

pub(super) async fn link_attachment(
    catalog: &SqliteCatalog,
    document: &DocumentId,
    attachment: &Attachment,
) -> StorageResult<()> {
    let mut write = catalog.write().await?;
    write.insert_attachment(document, attachment).await?;
    write.commit().await
}

pub(super) async fn attachment(
    catalog: &SqliteCatalog,
    document: &DocumentId,
    sha: &Sha256Hex,
) -> StorageResult<Option<Attachment>> {
    let row: Option<(String, String, i64)> = sqlx::query_as(
        "SELECT name, media_type, bytes FROM attachment WHERE document = $1 AND sha = $2",
    )
    .bind(document.as_str())
    .bind(sha.as_str())
    .fetch_optional(&catalog.reader)
    .await
    .map_err(from_sqlx)?;
    Ok(row.map(|(name, media_type, bytes)| Attachment {
        sha: sha.clone(),
        name,
        media_type,
        bytes,
    }))
}
