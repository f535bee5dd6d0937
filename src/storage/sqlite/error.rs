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
