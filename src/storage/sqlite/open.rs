//! Opening the database file: connections, their settings, and the schema.
//!
//! Several processes share one file. What SQLite cannot wait for by itself (the switch of a new
//! file to a write-ahead log) is tried again here; everything else waits by the busy timeout.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::time::Instant;

use super::SqliteCatalog;
use super::error::{from_io, from_sqlx, is_busy};
use crate::storage::{StorageError, StorageResult};

/// Every schema change since the first one, compiled into the program.
static MIGRATIONS: Migrator = sqlx::migrate!("storage/migrations/sqlite");

/// How long a statement waits for a lock of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a task waits for a connection of its own process, behind others that may each wait
/// for another process.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause between two tries to open a file that another process is just creating.
const OPEN_PAUSE: Duration = Duration::from_millis(20);
/// Connections for reading. Each is a thread; they open when needed and close when idle.
const READERS: u32 = 4;
/// When an unused connection for reading closes.
const READER_IDLE: Duration = Duration::from_mins(1);

impl SqliteCatalog {
    /// Opens the database file, makes it when it is absent, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is not a database, or has a newer schema.
    pub async fn open(path: &Path) -> StorageResult<Self> {
        create_private_file(path).map_err(|error| {
            from_io(&error, &format!("the database `{}` cannot be created", path.display()))
        })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let writing = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let writer = connect_writer(writing).await.map_err(|error| at(path, error))?;
        let reader = pool_options(READERS)
            .idle_timeout(READER_IDLE)
            .connect_lazy_with(options.pragma("query_only", "ON"));
        let catalog = Self { writer, reader };
        catalog.migrate().await.map_err(|error| at(path, error))?;
        Ok(catalog)
    }

    /// A database that lives as long as this value, for tests.
    ///
    /// # Errors
    /// When memory is short.
    pub async fn in_memory() -> StorageResult<Self> {
        let options = SqliteConnectOptions::new().filename(":memory:").foreign_keys(true);
        let writer = connect_writer(options).await?;
        // Another connection would be another database.
        let catalog = Self { reader: writer.clone(), writer };
        catalog.migrate().await?;
        Ok(catalog)
    }

    /// Closes all connections; the last process to do so folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }

    /// Applies what is missing in one transaction that excludes every other process, so that
    /// each change happens once.
    async fn migrate(&self) -> StorageResult<()> {
        let mut write = self.write().await?;
        MIGRATIONS
            .run_direct(None, &mut *write.transaction, false)
            .await
            .map_err(from_migration)?;
        write.commit().await
    }
}

/// Connects at once, so that a wrong path or file is known before the first request.
async fn connect_writer(options: SqliteConnectOptions) -> StorageResult<SqlitePool> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        // One connection that is never replaced: SQLite has one writer at a time, and waiting for
        // it in a queue of this process is fair.
        let pool = pool_options(1).idle_timeout(None).connect_with(options.clone()).await;
        match pool {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(OPEN_PAUSE).await;
            }
            pool => return pool.map_err(from_sqlx),
        }
    }
}

fn pool_options(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .max_lifetime(None)
        .acquire_timeout(QUEUE_TIMEOUT)
        .test_before_acquire(false)
}

/// Makes an empty file that only this user can read; the files beside it inherit that.
///
/// It gets its name after it was closed: closing a second descriptor of a database would drop the
/// locks that other connections of this process hold on it.
fn create_private_file(path: &Path) -> std::io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let file = tempfile::NamedTempFile::new_in(folder)?.into_temp_path();
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

/// Names the file in errors of opening it.
fn at(path: &Path, error: StorageError) -> StorageError {
    let path = path.display();
    match error {
        StorageError::Unavailable(cause) => StorageError::Unavailable(format!("`{path}`: {cause}")),
        StorageError::Corrupt(cause) => StorageError::Corrupt(format!("`{path}`: {cause}")),
        StorageError::Full | StorageError::Fenced(_) | StorageError::Conflict(_) => error,
    }
}

fn from_migration(error: MigrateError) -> StorageError {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    match error {
        MigrateError::VersionMissing(version) => StorageError::Corrupt(format!(
            "its schema has version {version}, this program knows versions up to {newest}: \
             start the newer Atelier that wrote it, or choose another data folder"
        )),
        MigrateError::VersionMismatch(version) => StorageError::Corrupt(format!(
            "version {version} of its schema was made by another build of Atelier: \
             start that build, or choose another data folder"
        )),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => from_sqlx(error),
        other => StorageError::Corrupt(other.to_string()),
    }
}
