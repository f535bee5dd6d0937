//! What the gallery asks and changes.

use super::documents::{document_columns, name_key};
use super::error::from_sqlx;
use super::{SqliteCatalog, Write};
use crate::storage::{
    Document, DocumentId, DocumentKind, Owner, PrincipalId, StorageError, StorageResult,
};

pub(super) async fn rename_document(
    catalog: &SqliteCatalog,
    owner: &Owner,
    kind: DocumentKind,
    name: &str,
    new_name: &str,
) -> StorageResult<Option<Document>> {
    let mut write = catalog.write().await?;
    let Some(id) = write.id_of(owner, kind, name).await? else { return Ok(None) };
    let holder = write.id_of(owner, kind, new_name).await?;
    if holder.is_some_and(|holder| holder != id) {
        return Err(StorageError::Conflict(format!("the name `{new_name}` is taken")));
    }
    let renamed = sqlx::query_as(concat!(
        "UPDATE document SET name = $2, name_key = $3 WHERE id = $1 RETURNING ",
        document_columns!()
    ))
    .bind(id)
    .bind(new_name)
    .bind(name_key(new_name))
    .fetch_one(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    write.commit().await?;
    Ok(Some(renamed))
}

pub(super) async fn pictured_documents(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
) -> StorageResult<Vec<DocumentId>> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT document.id FROM document \
         JOIN version ON version.document = document.id AND version.n = document.head \
         WHERE document.principal = $1 AND document.deleted_at IS NULL \
         AND version.thumb_sha IS NOT NULL",
    )
    .bind(principal.as_str())
    .fetch_all(&catalog.reader)
    .await
    .map_err(from_sqlx)?;
    Ok(ids.into_iter().map(DocumentId).collect())
}

impl Write {
    async fn id_of(
        &mut self,
        owner: &Owner,
        kind: DocumentKind,
        name: &str,
    ) -> StorageResult<Option<String>> {
        sqlx::query_scalar(
            "SELECT id FROM document WHERE principal = $1 AND user_key = $2 AND kind = $3 \
             AND name_key = $4 AND deleted_at IS NULL",
        )
        .bind(owner.principal.as_str())
        .bind(&owner.user)
        .bind(kind.as_str())
        .bind(name_key(name))
        .fetch_optional(&mut *self.transaction)
        .await
        .map_err(from_sqlx)
    }
}
