//! Small things: quotas, legacy sessions, values of the installation, and the sweep.

use super::error::from_sqlx;
use super::{SqliteCatalog, clock};
use crate::storage::{PrincipalId, StorageResult};

/// Proves that the file can be read and that the write lock can be had, and leaves no trace.
pub(super) async fn ping(catalog: &SqliteCatalog) -> StorageResult<()> {
    sqlx::query_scalar::<_, i64>("SELECT count(*) FROM setting WHERE name = ''")
        .fetch_one(&catalog.reader)
        .await
        .map_err(from_sqlx)?;
    let mut write = catalog.write().await?;
    sqlx::query("INSERT INTO setting (name, content) VALUES ('', '') ON CONFLICT DO NOTHING")
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
    write.transaction.rollback().await.map_err(from_sqlx)
}

pub(super) async fn add_quota(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
    kind: &str,
    window_ms: i64,
    amount: i64,
    limit: i64,
) -> StorageResult<Option<i64>> {
    if amount > limit {
        return Ok(None);
    }
    let mut write = catalog.write().await?;
    let window_ms = window_ms.max(1);
    let start = write.now - write.now.rem_euclid(window_ms);
    let used: Option<i64> = sqlx::query_scalar(
        "INSERT INTO quota (principal, kind, window_start, expires_at, used) \
         VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (principal, kind, window_start, expires_at) \
         DO UPDATE SET used = quota.used + excluded.used WHERE quota.used <= $6 RETURNING used",
    )
    .bind(principal.as_str())
    .bind(kind)
    .bind(start)
    .bind(start.saturating_add(window_ms))
    .bind(amount)
    .bind(limit.saturating_sub(amount))
    .fetch_optional(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    write.commit().await?;
    Ok(used)
}

pub(super) async fn store_session(
    catalog: &SqliteCatalog,
    id: &str,
    state: &str,
    ttl_ms: i64,
) -> StorageResult<()> {
    let mut write = catalog.write().await?;
    sqlx::query(
        "INSERT INTO legacy_session (id, state, expires_at) VALUES ($1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET state = excluded.state, expires_at = excluded.expires_at",
    )
    .bind(id)
    .bind(state)
    .bind(write.now.saturating_add(ttl_ms))
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    write.commit().await
}

pub(super) async fn load_session(
    catalog: &SqliteCatalog,
    id: &str,
) -> StorageResult<Option<String>> {
    sqlx::query_scalar(concat!(
        "SELECT state FROM legacy_session WHERE id = $1 AND expires_at > ",
        clock!()
    ))
    .bind(id)
    .fetch_optional(&catalog.reader)
    .await
    .map_err(from_sqlx)
}

pub(super) async fn delete_session(catalog: &SqliteCatalog, id: &str) -> StorageResult<()> {
    let mut write = catalog.write().await?;
    sqlx::query("DELETE FROM legacy_session WHERE id = $1")
        .bind(id)
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
    write.commit().await
}

pub(super) async fn setting_or_insert(
    catalog: &SqliteCatalog,
    key: &str,
    make: &str,
) -> StorageResult<String> {
    if let Some(value) = setting(catalog, key).await? {
        return Ok(value);
    }
    let mut write = catalog.write().await?;
    // The update changes nothing; it makes the present value come back.
    let value = sqlx::query_scalar(
        "INSERT INTO setting (name, content) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET content = setting.content RETURNING content",
    )
    .bind(key)
    .bind(make)
    .fetch_one(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    write.commit().await?;
    Ok(value)
}

pub(super) async fn setting(catalog: &SqliteCatalog, key: &str) -> StorageResult<Option<String>> {
    sqlx::query_scalar("SELECT content FROM setting WHERE name = $1")
        .bind(key)
        .fetch_optional(&catalog.reader)
        .await
        .map_err(from_sqlx)
}

pub(super) async fn set_setting(
    catalog: &SqliteCatalog,
    key: &str,
    value: &str,
) -> StorageResult<()> {
    let mut write = catalog.write().await?;
    sqlx::query(
        "INSERT INTO setting (name, content) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET content = excluded.content",
    )
    .bind(key)
    .bind(value)
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    write.commit().await
}

/// What is over, table by table: each is a transaction of its own, so that other writers get
/// their turn in between.
const SWEEPS: [&str; 6] = [
    "DELETE FROM chat_key WHERE expires_at <= $1",
    "DELETE FROM call WHERE expires_at <= $1",
    "DELETE FROM legacy_session WHERE expires_at <= $1",
    "DELETE FROM quota WHERE expires_at <= $1",
    "DELETE FROM completion \
     WHERE state IN ('settled', 'expired', 'cancelled') AND dies_at <= $1",
    // Areas and entries go with it.
    "DELETE FROM page_store \
     WHERE document IN (SELECT id FROM document WHERE deleted_at <= $1)",
];

pub(super) async fn sweep(catalog: &SqliteCatalog) -> StorageResult<u64> {
    let mut removed = 0;
    for statement in SWEEPS {
        let mut write = catalog.write().await?;
        let result = sqlx::query(statement)
            .bind(write.now)
            .execute(&mut *write.transaction)
            .await
            .map_err(from_sqlx)?;
        write.commit().await?;
        removed += result.rows_affected();
    }
    Ok(removed)
}
