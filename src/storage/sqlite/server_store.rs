//! Servers that were made.

use async_trait::async_trait;

use super::SqliteCatalog;
use super::error::from_sqlx;
use crate::storage::{
    Fence, MadeServer, NewServer, PrincipalId, ServerStore, StartedServer, StorageResult,
};

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    version: i64,
    folder: String,
    source: String,
    summary: String,
    created_at: i64,
}

impl From<Row> for MadeServer {
    fn from(row: Row) -> Self {
        let Row { name, version, folder, source, summary, created_at } = row;
        Self { name, version, folder, source, summary, created_at }
    }
}

#[async_trait]
impl ServerStore for SqliteCatalog {
    async fn publish_server(&self, fence: &Fence, new: NewServer) -> StorageResult<MadeServer> {
        let mut write = self.write().await?;
        write.check(fence).await?;
        let first: Option<Row> = sqlx::query_as(
            "SELECT name, version, folder, source, summary, created_at FROM made_server \
             WHERE job = $1",
        )
        .bind(fence.job.as_str())
        .fetch_optional(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        if let Some(first) = first {
            return Ok(first.into());
        }
        let row: Row = sqlx::query_as(
            "INSERT INTO made_server \
             (principal, name, version, job, folder, source, summary, created_at) \
             VALUES ($1, $2, (SELECT coalesce(max(version), 0) + 1 FROM made_server \
                              WHERE principal = $1 AND name = $2), $3, $4, $5, $6, $7) \
             RETURNING name, version, folder, source, summary, created_at",
        )
        .bind(new.principal.as_str())
        .bind(&new.name)
        .bind(fence.job.as_str())
        .bind(&new.folder)
        .bind(&new.source)
        .bind(&new.summary)
        .bind(write.now)
        .fetch_one(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        write.commit().await?;
        Ok(row.into())
    }

    async fn made_server(
        &self,
        principal: &PrincipalId,
        name: &str,
        version: Option<i64>,
    ) -> StorageResult<Option<MadeServer>> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT name, version, folder, source, summary, created_at FROM made_server \
             WHERE principal = $1 AND name = $2 AND ($3 IS NULL OR version = $3) \
             ORDER BY version DESC LIMIT 1",
        )
        .bind(principal.as_str())
        .bind(name)
        .bind(version)
        .fetch_optional(&self.reader)
        .await
        .map_err(from_sqlx)?;
        Ok(row.map(MadeServer::from))
    }

    async fn made_servers(
        &self,
        principal: &PrincipalId,
        limit: u32,
    ) -> StorageResult<Vec<MadeServer>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT name, version, folder, source, summary, created_at FROM made_server AS newest \
             WHERE principal = $1 AND version = (SELECT max(version) FROM made_server \
                 WHERE principal = newest.principal AND name = newest.name) \
             ORDER BY created_at DESC, name LIMIT $2",
        )
        .bind(principal.as_str())
        .bind(limit)
        .fetch_all(&self.reader)
        .await
        .map_err(from_sqlx)?;
        Ok(rows.into_iter().map(MadeServer::from).collect())
    }

    async fn note_started(
        &self,
        principal: &PrincipalId,
        started: &StartedServer,
    ) -> StorageResult<()> {
        let mut write = self.write().await?;
        sqlx::query(
            "INSERT INTO started_server (principal, name, version, environment, started_at) \
             VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (principal, name) DO UPDATE SET version = excluded.version, \
                 environment = excluded.environment, started_at = excluded.started_at",
        )
        .bind(principal.as_str())
        .bind(&started.name)
        .bind(started.version)
        .bind(&started.environment)
        .bind(write.now)
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        write.commit().await
    }

    async fn note_stopped(&self, principal: &PrincipalId, name: &str) -> StorageResult<bool> {
        let mut write = self.write().await?;
        let ended = sqlx::query("DELETE FROM started_server WHERE principal = $1 AND name = $2")
            .bind(principal.as_str())
            .bind(name)
            .execute(&mut *write.transaction)
            .await
            .map_err(from_sqlx)?;
        write.commit().await?;
        Ok(ended.rows_affected() > 0)
    }

    async fn started_servers(&self, principal: &PrincipalId) -> StorageResult<Vec<StartedServer>> {
        let rows: Vec<(String, i64, String)> = sqlx::query_as(
            "SELECT name, version, environment FROM started_server \
             WHERE principal = $1 ORDER BY name",
        )
        .bind(principal.as_str())
        .fetch_all(&self.reader)
        .await
        .map_err(from_sqlx)?;
        let started = |(name, version, environment)| StartedServer { name, version, environment };
        Ok(rows.into_iter().map(started).collect())
    }
}
