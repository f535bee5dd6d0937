//! Failures of SQLite, by what the operator or the caller can do about them.
//!
//! The texts come from SQLite and name tables and columns, never a bound value.

use sqlx::error::{DatabaseError, ErrorKind};

use crate::storage::{StorageError, is_no_space};

/// Primary result codes (the low byte of the extended ones), see the SQLite documentation.
mod code {
    pub(super) const PERM: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const NOTADB: i32 = 26;
    /// The index of the write-ahead log could not grow: in practice a full disk.
    pub(super) const IOERR_SHMSIZE: i32 = IOERR | (19 << 8);
}

/// The extended result code of an error, when the database reported it.
fn result_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether another process held a lock for longer than this one waited.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    result_code(error)
        .is_some_and(|code| matches!(code & 0xff, code::BUSY | code::LOCKED | code::PROTOCOL))
}

/// Turns any error of sqlx into one of the port.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
pub(super) fn from_sqlx(error: sqlx::Error) -> StorageError {
    match &error {
        sqlx::Error::Database(database) => from_database(database.as_ref()),
        sqlx::Error::Io(io) => from_io(io, "the database cannot be read or written"),
        sqlx::Error::PoolTimedOut => StorageError::Unavailable(
            "no connection to the database became free in time; the disk may be too slow".into(),
        ),
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
            StorageError::Unavailable(format!("the database connection was closed: {error}"))
        }
        // What is left says that a row, or the schema, is not what this program expects.
        _ => StorageError::Corrupt(error.to_string()),
    }
}

/// Turns an error of the file system into one of the port.
pub(super) fn from_io(error: &std::io::Error, what: &str) -> StorageError {
    if is_no_space(error) {
        StorageError::Full
    } else {
        StorageError::Unavailable(format!("{what}: {error}"))
    }
}

fn from_database(error: &dyn DatabaseError) -> StorageError {
    match error.kind() {
        ErrorKind::UniqueViolation => {
            return StorageError::Conflict("a row with the same key exists already".into());
        }
        ErrorKind::ForeignKeyViolation => {
            return StorageError::Conflict("a row that this one belongs to does not exist".into());
        }
        _ => {}
    }
    let code = error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or_default();
    let unavailable =
        |what: &str| StorageError::Unavailable(format!("{what}: {}", error.message()));
    match (code, code & 0xff) {
        (code::IOERR_SHMSIZE, _) | (_, code::FULL) => StorageError::Full,
        (_, code::BUSY | code::LOCKED | code::PROTOCOL) => {
            unavailable("another process has kept the database locked for too long")
        }
        (_, code::READONLY | code::PERM) => {
            unavailable("the database file or its folder cannot be written by this user")
        }
        (_, code::CANTOPEN) => unavailable("the database file or its folder cannot be opened"),
        (_, code::IOERR) => unavailable("the disk of the database failed"),
        (_, code::NOMEM) => unavailable("no memory left for the database"),
        (_, code::CORRUPT | code::NOTADB) => {
            StorageError::Corrupt(format!("the database file: {}", error.message()))
        }
        _ => StorageError::Corrupt(format!("code {code}: {}", error.message())),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use super::*;
    use crate::storage::sqlite::SqliteCatalog;
    use crate::storage::{Catalog as _, StorageResult};

    /// What a write says after the connection was set up to fail.
    async fn write_after(pragma: &str) -> StorageResult<()> {
        let catalog = SqliteCatalog::in_memory().await.unwrap();
        catalog.set_setting("key", "value").await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(pragma.to_owned())).execute(&catalog.writer).await.unwrap();
        let result = catalog.set_setting("key", &"large".repeat(100_000)).await;
        // The failure leaves what was there.
        assert_eq!(catalog.setting("key").await.unwrap().as_deref(), Some("value"));
        result
    }

    #[tokio::test]
    async fn a_full_disk_is_told_as_such() {
        let result = write_after("PRAGMA max_page_count = 1").await;
        assert!(matches!(result, Err(StorageError::Full)), "{result:?}");
    }

    #[tokio::test]
    async fn writing_goes_on_once_there_is_space_again() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(&folder.path().join("atelier.db")).await.unwrap();
        let pages = "PRAGMA max_page_count = 1";
        sqlx::raw_sql(pages).execute(&catalog.writer).await.unwrap();
        let mut write = catalog.write().await.unwrap();
        let filled = sqlx::query("INSERT INTO setting (name, content) VALUES ('key', ?)")
            .bind("large".repeat(100_000))
            .execute(&mut *write.transaction)
            .await;
        assert!(matches!(filled.map_err(from_sqlx), Err(StorageError::Full)));
        drop(write);
        // The connection that is replaced takes its limit along.
        catalog.write().await.unwrap().commit().await.unwrap();
        catalog.set_setting("key", "value").await.unwrap();
        assert_eq!(catalog.setting("key").await.unwrap().as_deref(), Some("value"));
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_told_as_such() {
        let result = write_after("PRAGMA query_only = ON").await;
        let Err(StorageError::Unavailable(cause)) = result else { panic!("{result:?}") };
        assert!(cause.contains("cannot be written by this user"), "{cause}");
    }

    #[tokio::test]
    async fn a_schema_that_is_not_ours_is_damage() {
        let catalog = SqliteCatalog::in_memory().await.unwrap();
        sqlx::raw_sql("DROP TABLE setting").execute(&catalog.writer).await.unwrap();
        let result = catalog.setting("key").await;
        let Err(StorageError::Corrupt(cause)) = result else { panic!("{result:?}") };
        assert!(cause.contains("no such table: setting"), "{cause}");
    }

    #[tokio::test]
    async fn a_word_that_is_not_ours_is_damage() {
        let catalog = SqliteCatalog::in_memory().await.unwrap();
        sqlx::raw_sql(
            "PRAGMA ignore_check_constraints = ON; \
             INSERT INTO job (id, principal, tool, args_sha, call_id, mode, state, attempt, \
             created_at, updated_at) VALUES ('j', 'p', 't', 'a', 'c', 'plain', 'paused', 1, 0, 0)",
        )
        .execute(&catalog.writer)
        .await
        .unwrap();
        let result = catalog.jobs(&"p".into(), 1).await;
        let Err(StorageError::Corrupt(cause)) = result else { panic!("{result:?}") };
        assert!(cause.contains("the word `paused` is unknown"), "{cause}");
    }

    #[tokio::test]
    async fn a_lock_that_stays_is_told_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("atelier.db");
        let catalog = SqliteCatalog::open(&path).await.unwrap();
        let other = SqliteCatalog::open(&path).await.unwrap();
        sqlx::raw_sql("PRAGMA busy_timeout = 1").execute(&catalog.writer).await.unwrap();
        let held = other.write().await.unwrap();
        let result = catalog.set_setting("key", "value").await;
        let Err(StorageError::Unavailable(cause)) = result else { panic!("{result:?}") };
        assert!(cause.contains("another process has kept the database locked"), "{cause}");
        // Readers go on, and so does the writer once the lock is free.
        assert_eq!(catalog.setting("key").await.unwrap(), None);
        drop(held);
        other.ping().await.unwrap();
        catalog.set_setting("key", "value").await.unwrap();
    }

    #[test]
    fn the_operating_system_s_words_for_a_full_disk_are_known() {
        // ENOSPC, EDQUOT and EFBIG of Linux; then EACCES.
        for (number, full) in [(28, true), (122, true), (27, true), (13, false)] {
            let error = from_io(&std::io::Error::from_raw_os_error(number), "here");
            assert_eq!(matches!(error, StorageError::Full), full, "{error:?}");
        }
    }
}
