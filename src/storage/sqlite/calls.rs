//! Calls: ids by which later calls refer to results.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row as _, Sqlite};

use super::error::from_sqlx;
use super::{SqliteCatalog, clock};
use crate::storage::{
    CallBatch, CallId, CallRecord, NewCall, PrincipalId, Sha256Hex, StorageResult,
};

/// Rows of one statement; far below SQLite's bound on values.
const ROWS: usize = 256;

impl FromRow<'_, SqliteRow> for CallRecord {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: CallId(row.try_get("call_id")?),
            tool: row.try_get("tool")?,
            result_sha: row.try_get::<Option<String>, _>("result_sha")?.map(Sha256Hex),
            result: row.try_get("result")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

pub(super) async fn insert_call(
    catalog: &SqliteCatalog,
    call: NewCall,
    result_sha: Option<&Sha256Hex>,
    result: Option<&str>,
) -> StorageResult<bool> {
    let mut write = catalog.write().await?;
    let inserted = sqlx::query(
        "INSERT INTO call (principal, call_id, tool, created_at, expires_at, result_sha, result) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (principal, call_id) DO NOTHING",
    )
    .bind(call.principal.as_str())
    .bind(call.id.as_str())
    .bind(&call.tool)
    .bind(write.now)
    .bind(write.now.saturating_add(call.ttl_ms))
    .bind(result_sha.map(Sha256Hex::as_str))
    .bind(result)
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    write.commit().await?;
    Ok(inserted.rows_affected() == 1)
}

pub(super) async fn write_calls(
    catalog: &SqliteCatalog,
    batch: &CallBatch,
) -> StorageResult<Vec<CallId>> {
    let mut write = catalog.write().await?;
    let (now, expires) = (write.now, write.now.saturating_add(batch.ttl_ms));
    let principal = batch.principal.as_str();
    for done in batch.done.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO call (principal, call_id, tool, created_at, expires_at, result_sha, result) ",
        );
        insert.push_values(done, |mut row, call| {
            row.push_bind(principal)
                .push_bind(call.id.as_str())
                .push_bind(&call.tool)
                .push_bind(now)
                .push_bind(expires)
                .push_bind(call.result_sha.as_str())
                .push_bind(call.result.as_deref());
        });
        insert.push(
            " ON CONFLICT (principal, call_id) DO UPDATE SET tool = excluded.tool, \
             created_at = excluded.created_at, expires_at = excluded.expires_at, \
             result_sha = excluded.result_sha, result = excluded.result",
        );
        insert.build().execute(&mut *write.transaction).await.map_err(from_sqlx)?;
    }
    for ids in batch.release.chunks(ROWS) {
        let mut delete = QueryBuilder::<Sqlite>::new("DELETE FROM call WHERE principal = ");
        delete.push_bind(principal).push(" AND result_sha IS NULL AND call_id IN (");
        let mut list = delete.separated(", ");
        for id in ids {
            list.push_bind(id.as_str());
        }
        delete.push(")");
        delete.build().execute(&mut *write.transaction).await.map_err(from_sqlx)?;
    }
    let mut reserved = Vec::with_capacity(batch.reserve.len());
    for ids in batch.reserve.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO call (principal, call_id, tool, created_at, expires_at) ",
        );
        insert.push_values(ids, |mut row, id| {
            row.push_bind(principal)
                .push_bind(id.as_str())
                .push_bind("")
                .push_bind(now)
                .push_bind(expires);
        });
        insert.push(" ON CONFLICT (principal, call_id) DO NOTHING RETURNING call_id");
        let rows: Vec<String> = insert
            .build_query_scalar()
            .fetch_all(&mut *write.transaction)
            .await
            .map_err(from_sqlx)?;
        reserved.extend(rows.into_iter().map(CallId));
    }
    write.commit().await?;
    Ok(reserved)
}

pub(super) async fn record_call(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
    call_id: &CallId,
    result_sha: &Sha256Hex,
) -> StorageResult<()> {
    let mut write = catalog.write().await?;
    sqlx::query(
        "UPDATE call SET result_sha = $3, result = NULL WHERE principal = $1 AND call_id = $2",
    )
    .bind(principal.as_str())
    .bind(call_id.as_str())
    .bind(result_sha.as_str())
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    write.commit().await
}

pub(super) async fn call(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
    call_id: &CallId,
) -> StorageResult<Option<CallRecord>> {
    sqlx::query_as(concat!(
        "SELECT call_id, tool, result_sha, result, created_at FROM call \
         WHERE principal = $1 AND call_id = $2 AND expires_at > ",
        clock!()
    ))
    .bind(principal.as_str())
    .bind(call_id.as_str())
    .fetch_optional(&catalog.reader)
    .await
    .map_err(from_sqlx)
}

pub(super) async fn recent_calls(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
    limit: u32,
) -> StorageResult<Vec<CallRecord>> {
    sqlx::query_as(concat!(
        "SELECT call_id, tool, result_sha, result, created_at FROM call \
         WHERE principal = $1 AND result_sha IS NOT NULL AND expires_at > ",
        clock!(),
        " ORDER BY created_at DESC, call_id DESC LIMIT $2"
    ))
    .bind(principal.as_str())
    .bind(i64::from(limit))
    .fetch_all(&catalog.reader)
    .await
    .map_err(from_sqlx)
}
