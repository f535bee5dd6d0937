//! A look at a database file from outside, for `atelier doctor`.

use std::path::Path;

use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnectOptions;

use super::error::from_sqlx;
use crate::storage::{StorageError, StorageResult};

/// Reads through the whole file and changes nothing.
///
/// # Errors
/// When the file cannot be read, is not a database, or SQLite finds damage in it.
pub async fn check_file(path: &Path) -> StorageResult<()> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.map_err(from_sqlx)?;
    let lines: Vec<String> = sqlx::query_scalar("PRAGMA quick_check(5)")
        .fetch_all(&mut connection)
        .await
        .map_err(from_sqlx)?;
    connection.close().await.map_err(from_sqlx)?;
    match lines.as_slice() {
        [only] if only == "ok" => Ok(()),
        damage => Err(StorageError::Corrupt(damage.join("; "))),
    }
}
