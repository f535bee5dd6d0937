//! Storage of hosted pages: areas and entries.

use std::cmp::Reverse;

use async_trait::async_trait;

use super::error::from_sqlx;
use super::{SqliteCatalog, Write};
use crate::storage::{
    Area, AreaWrite, DocumentId, Others, PageStore, PageWrite, PageWritten, StorageResult,
    StoredChanges, StoredEntry, StoredName,
};

/// How many removals an area remembers, so that tabs that missed them learn them one by one.
const REMEMBERED_REMOVALS: i64 = 500;

/// The row of an area.
#[derive(Debug, Clone, Copy, Default, sqlx::FromRow)]
struct AreaRow {
    bytes: i64,
    entries: i64,
    revision: i64,
    horizon: i64,
    sequence: i64,
}

/// What the areas of a visitor have in common, and what sorts behind them.
fn tabs_range(visitor: &str) -> (String, String) {
    // `0` comes right after `/`.
    (format!("tab/{visitor}/"), format!("tab/{visitor}0"))
}

fn size(name: &str, content: &str) -> i64 {
    i64::try_from(name.len() + content.len()).unwrap_or(i64::MAX)
}

#[async_trait]
impl PageStore for SqliteCatalog {
    async fn page_changes(
        &self,
        document: &DocumentId,
        area: &Area,
        since: i64,
    ) -> StorageResult<StoredChanges> {
        let key = area.key();
        // The revision is read first: entries may then be newer than it says, never older.
        let row: Option<AreaRow> = sqlx::query_as(
            "SELECT bytes, entries, revision, horizon, sequence FROM page_area \
             WHERE document = $1 AND area = $2",
        )
        .bind(document.as_str())
        .bind(&key)
        .fetch_optional(&self.reader)
        .await
        .map_err(from_sqlx)?;
        let Some(row) = row else {
            return Ok(StoredChanges { is_whole: true, ..StoredChanges::default() });
        };
        let is_whole = since == 0 || since < row.horizon;
        let entries: Vec<(String, Option<String>, i64)> = if is_whole {
            sqlx::query_as(
                "SELECT name, content, revision FROM page_entry \
                 WHERE document = $1 AND area = $2 AND content IS NOT NULL \
                 ORDER BY revision, name",
            )
            .bind(document.as_str())
            .bind(&key)
        } else {
            sqlx::query_as(
                "SELECT name, content, revision FROM page_entry \
                 WHERE document = $1 AND area = $2 AND revision > $3 ORDER BY revision, name",
            )
            .bind(document.as_str())
            .bind(&key)
            .bind(since)
        }
        .fetch_all(&self.reader)
        .await
        .map_err(from_sqlx)?;
        let entries = entries
            .into_iter()
            .map(|(name, content, revision)| StoredEntry { name, content, revision })
            .collect();
        Ok(StoredChanges { revision: row.revision, sequence: row.sequence, is_whole, entries })
    }

    async fn area_revision(&self, document: &DocumentId, area: &Area) -> StorageResult<i64> {
        let revision =
            sqlx::query_scalar("SELECT revision FROM page_area WHERE document = $1 AND area = $2")
                .bind(document.as_str())
                .bind(area.key())
                .fetch_optional(&self.reader)
                .await
                .map_err(from_sqlx)?;
        Ok(revision.unwrap_or(0))
    }

    async fn visitor_tabs(
        &self,
        document: &DocumentId,
        visitor: &str,
    ) -> StorageResult<Vec<String>> {
        let (first, end) = tabs_range(visitor);
        let mut tabs: Vec<(String, i64)> = sqlx::query_as(
            "SELECT area, revision FROM page_area WHERE document = $1 AND area >= $2 AND area < $3",
        )
        .bind(document.as_str())
        .bind(&first)
        .bind(end)
        .fetch_all(&self.reader)
        .await
        .map_err(from_sqlx)?;
        tabs.sort_unstable_by_key(|(_, revision)| Reverse(*revision));
        let names = tabs.iter().filter_map(|(key, _)| key.strip_prefix(&first));
        Ok(names.map(str::to_owned).collect())
    }

    async fn page_store_revision(&self, document: &DocumentId) -> StorageResult<i64> {
        let revision = sqlx::query_scalar("SELECT revision FROM page_store WHERE document = $1")
            .bind(document.as_str())
            .fetch_optional(&self.reader)
            .await
            .map_err(from_sqlx)?;
        Ok(revision.unwrap_or(0))
    }

    async fn page_entry(
        &self,
        document: &DocumentId,
        area: &Area,
        name: &str,
    ) -> StorageResult<Option<StoredEntry>> {
        let row: Option<(Option<String>, i64)> = sqlx::query_as(
            "SELECT content, revision FROM page_entry \
             WHERE document = $1 AND area = $2 AND name = $3 AND content IS NOT NULL",
        )
        .bind(document.as_str())
        .bind(area.key())
        .bind(name)
        .fetch_optional(&self.reader)
        .await
        .map_err(from_sqlx)?;
        Ok(row.map(|(content, revision)| StoredEntry { name: name.to_owned(), content, revision }))
    }

    async fn page_entry_names(
        &self,
        document: &DocumentId,
        area: &Area,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> StorageResult<Vec<StoredName>> {
        // What begins with the prefix comes first of all that is not below it.
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT name, LENGTH(CAST(content AS BLOB)) FROM page_entry \
             WHERE document = $1 AND area = $2 AND content IS NOT NULL AND name >= $3 \
             AND ($4 IS NULL OR name > $4) ORDER BY name LIMIT $5",
        )
        .bind(document.as_str())
        .bind(area.key())
        .bind(prefix)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await
        .map_err(from_sqlx)?;
        let named = rows.into_iter().take_while(|(name, _)| name.starts_with(prefix));
        Ok(named.map(|(name, bytes)| StoredName { name, bytes }).collect())
    }

    async fn write_page_entries(
        &self,
        document: &DocumentId,
        write: PageWrite,
    ) -> StorageResult<PageWritten> {
        // Whatever ends this early drops the transaction, which undoes it.
        let mut transaction = self.write().await?;
        let Some((before, revision)) = transaction.open_page_store(document).await? else {
            return Ok(PageWritten::NoDocument);
        };
        if let Some((area, number)) = &write.number {
            let row = transaction.page_area(document, &area.key()).await?.unwrap_or_default();
            if row.sequence >= *number {
                return Ok(PageWritten::Repeated);
            }
            let row = AreaRow { sequence: *number, revision, ..row };
            transaction.save_page_area(document, &area.key(), row).await?;
        }
        let mut total = before;
        for area in write.areas {
            let limits = area.limits;
            let (grown, row) = transaction.change_area(document, &area, revision).await?;
            if row.bytes > limits.bytes || row.entries > limits.entries {
                return Ok(PageWritten::AreaFull(area.area));
            }
            total += grown;
        }
        if let Some((Area::Tab { visitor, .. }, _)) = &write.number {
            total -= transaction.forget_tabs(document, visitor, write.kept_tabs).await?;
        }
        if total > write.document_bytes && total > before {
            return Ok(PageWritten::DocumentFull);
        }
        sqlx::query("UPDATE page_store SET bytes = $2 WHERE document = $1")
            .bind(document.as_str())
            .bind(total)
            .execute(&mut *transaction.transaction)
            .await
            .map_err(from_sqlx)?;
        transaction.commit().await?;
        Ok(PageWritten::Done { revision })
    }
}

impl Write {
    /// Takes the next revision. Returns what the document holds, and the revision.
    async fn open_page_store(
        &mut self,
        document: &DocumentId,
    ) -> StorageResult<Option<(i64, i64)>> {
        sqlx::query_as(
            "INSERT INTO page_store (document, bytes, revision) \
             SELECT id, 0, 1 FROM document WHERE id = $1 AND deleted_at IS NULL \
             ON CONFLICT (document) DO UPDATE SET revision = page_store.revision + 1 \
             RETURNING bytes, revision",
        )
        .bind(document.as_str())
        .fetch_optional(&mut *self.transaction)
        .await
        .map_err(from_sqlx)
    }

    async fn page_area(
        &mut self,
        document: &DocumentId,
        key: &str,
    ) -> StorageResult<Option<AreaRow>> {
        sqlx::query_as(
            "SELECT bytes, entries, revision, horizon, sequence FROM page_area \
             WHERE document = $1 AND area = $2",
        )
        .bind(document.as_str())
        .bind(key)
        .fetch_optional(&mut *self.transaction)
        .await
        .map_err(from_sqlx)
    }

    async fn save_page_area(
        &mut self,
        document: &DocumentId,
        key: &str,
        row: AreaRow,
    ) -> StorageResult<()> {
        sqlx::query(
            "INSERT INTO page_area (document, area, bytes, entries, revision, horizon, sequence) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (document, area) DO UPDATE SET \
             bytes = excluded.bytes, entries = excluded.entries, revision = excluded.revision, \
             horizon = excluded.horizon, sequence = excluded.sequence",
        )
        .bind(document.as_str())
        .bind(key)
        .bind(row.bytes)
        .bind(row.entries)
        .bind(row.revision)
        .bind(row.horizon)
        .bind(row.sequence)
        .execute(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        Ok(())
    }

    /// Changes an area. Returns by how much it grew, and its row.
    async fn change_area(
        &mut self,
        document: &DocumentId,
        write: &AreaWrite,
        revision: i64,
    ) -> StorageResult<(i64, AreaRow)> {
        let key = write.area.key();
        let before = self.page_area(document, &key).await?.unwrap_or_default();
        let mut row = AreaRow { revision, ..before };
        // Entries refer to their area.
        self.save_page_area(document, &key, row).await?;
        if write.others == Others::Removed {
            sqlx::query(
                "UPDATE page_entry SET content = NULL, revision = $3 \
                 WHERE document = $1 AND area = $2 AND content IS NOT NULL",
            )
            .bind(document.as_str())
            .bind(&key)
            .bind(revision)
            .execute(&mut *self.transaction)
            .await
            .map_err(from_sqlx)?;
            (row.bytes, row.entries) = (0, 0);
        }
        for (name, content) in &write.changes {
            let old: Option<Option<String>> = sqlx::query_scalar(
                "SELECT content FROM page_entry WHERE document = $1 AND area = $2 AND name = $3",
            )
            .bind(document.as_str())
            .bind(&key)
            .bind(name)
            .fetch_optional(&mut *self.transaction)
            .await
            .map_err(from_sqlx)?;
            let is_known = old.is_some();
            if let Some(old) = old.flatten() {
                row.bytes -= size(name, &old);
                row.entries -= 1;
            }
            match content {
                Some(content) => {
                    row.bytes += size(name, content);
                    row.entries += 1;
                }
                // What was never there leaves no trace.
                None if !is_known => continue,
                None => {}
            }
            self.save_entry(document, &key, name, content.as_deref(), revision).await?;
        }
        let removes = write.others == Others::Removed
            || write.changes.iter().any(|(_, content)| content.is_none());
        if removes {
            row.horizon = row.horizon.max(self.forget_removals(document, &key).await?);
        }
        self.save_page_area(document, &key, row).await?;
        Ok((row.bytes - before.bytes, row))
    }

    async fn save_entry(
        &mut self,
        document: &DocumentId,
        key: &str,
        name: &str,
        content: Option<&str>,
        revision: i64,
    ) -> StorageResult<()> {
        sqlx::query(
            "INSERT INTO page_entry (document, area, name, content, revision) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (document, area, name) DO UPDATE SET \
             content = excluded.content, revision = excluded.revision",
        )
        .bind(document.as_str())
        .bind(key)
        .bind(name)
        .bind(content)
        .bind(revision)
        .execute(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        Ok(())
    }

    /// Forgets the oldest removals beyond those that are remembered. Returns the newest revision
    /// that is forgotten, or 0.
    async fn forget_removals(&mut self, document: &DocumentId, key: &str) -> StorageResult<i64> {
        let horizon: Option<i64> = sqlx::query_scalar(
            "SELECT revision FROM page_entry \
             WHERE document = $1 AND area = $2 AND content IS NULL \
             ORDER BY revision DESC LIMIT 1 OFFSET $3",
        )
        .bind(document.as_str())
        .bind(key)
        .bind(REMEMBERED_REMOVALS)
        .fetch_optional(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        let Some(horizon) = horizon else { return Ok(0) };
        sqlx::query(
            "DELETE FROM page_entry \
             WHERE document = $1 AND area = $2 AND content IS NULL AND revision <= $3",
        )
        .bind(document.as_str())
        .bind(key)
        .bind(horizon)
        .execute(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        Ok(horizon)
    }

    /// Removes the tabs of a visitor beyond those that were written to last. Returns their bytes.
    async fn forget_tabs(
        &mut self,
        document: &DocumentId,
        visitor: &str,
        kept: usize,
    ) -> StorageResult<i64> {
        let (first, end) = tabs_range(visitor);
        let mut tabs: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT area, revision, bytes FROM page_area \
             WHERE document = $1 AND area >= $2 AND area < $3",
        )
        .bind(document.as_str())
        .bind(first)
        .bind(end)
        .fetch_all(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        tabs.sort_unstable_by_key(|(_, revision, _)| Reverse(*revision));
        let mut freed = 0;
        for (key, _, bytes) in tabs.into_iter().skip(kept) {
            sqlx::query("DELETE FROM page_area WHERE document = $1 AND area = $2")
                .bind(document.as_str())
                .bind(key)
                .execute(&mut *self.transaction)
                .await
                .map_err(from_sqlx)?;
            freed += bytes;
        }
        Ok(freed)
    }
}
