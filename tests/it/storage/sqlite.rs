//! What only SQLite can get wrong: files, locks, schema versions, query plans.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use atelier::storage::sqlite::SqliteCatalog;
use atelier::storage::{Catalog, JobState, StorageError};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row as _};
use tracing_subscriber::layer::SubscriberExt as _;

use super::fixtures::*;
use super::history::raw;
use super::processes::Helper;
use super::{Store, every_rule};

async fn open_error(path: &Path) -> StorageError {
    SqliteCatalog::open(path).await.unwrap_err()
}

#[tokio::test]
async fn the_file_is_durable_and_private() {
    let store = Store::sqlite_file().await;
    publish(&*store.catalog, new_version("app")).await;
    let mut database = raw(&store.file()).await;
    let mode: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut database).await.unwrap();
    assert_eq!(mode, "wal");
    #[cfg(unix)]
    for suffix in ["", "-wal", "-shm"] {
        use std::os::unix::fs::PermissionsExt as _;
        let path = format!("{}{suffix}", store.file().display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{path} is open to others: {mode:o}");
    }
    // Nothing else lies in the folder.
    let beside = std::fs::read_dir(store.folder.as_ref().unwrap().path()).unwrap().count();
    assert_eq!(beside, 3);
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("atelier.db");
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    let document = publish(&catalog, new_version("app")).await.document;
    let (_, completion) = parked(&catalog).await;
    catalog.close().await;
    assert!(matches!(catalog.ping().await, Err(StorageError::Unavailable(_))));
    let catalog = SqliteCatalog::open(&path).await.unwrap();
    assert!(catalog.document_by_token(&document.token).await.unwrap().is_some());
    assert!(submit(&catalog, &completion.handle, 1, "text").await.is_some());
}

#[tokio::test]
async fn folders_of_any_name_hold_a_database() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["with space", "ünïcode", "a?mode=ro", "a#b", "100%25", "file:x", "'\""] {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("atelier.db");
        let catalog = SqliteCatalog::open(&path).await.unwrap();
        publish(&catalog, new_version("app")).await;
        catalog.close().await;
        assert!(std::fs::metadata(&path).unwrap().len() > 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_openings_at_once_make_one_schema() {
    let folder = tempfile::tempdir().unwrap();
    let openings: Vec<_> = (0..16)
        .map(|n| {
            let path = folder.path().join("atelier.db");
            tokio::spawn(async move {
                let catalog = SqliteCatalog::open(&path).await.unwrap();
                catalog.setting_or_insert("key", &n.to_string()).await.unwrap()
            })
        })
        .collect();
    let mut values = BTreeSet::new();
    for opening in openings {
        values.insert(opening.await.unwrap());
    }
    assert_eq!(values.len(), 1, "{values:?}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let store = Store::sqlite_file().await;
    let mut database = raw(&store.file()).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'of the future', TRUE, x'00', 1)",
    )
    .execute(&mut database)
    .await
    .unwrap();
    let error = open_error(&store.file()).await;
    let StorageError::Corrupt(cause) = &error else { panic!("{error:?}") };
    for part in ["atelier.db", "version 9999", "newer Atelier", "another data folder"] {
        assert!(cause.contains(part), "`{part}` is not in `{cause}`");
    }
    // Nothing was changed; without the row it opens again.
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = 9999")
        .execute(&mut database)
        .await
        .unwrap();
    SqliteCatalog::open(&store.file()).await.unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET checksum = x'00'")
        .execute(&mut database)
        .await
        .unwrap();
    let error = open_error(&store.file()).await;
    assert!(matches!(&error, StorageError::Corrupt(cause) if cause.contains("another build")));
}

#[tokio::test]
async fn places_that_are_no_database_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    std::fs::write(&text, "this is a text, and no database at all\n".repeat(100)).unwrap();
    let error = open_error(&text).await;
    let StorageError::Corrupt(cause) = &error else { panic!("{error:?}") };
    assert!(cause.contains("text.db") && cause.contains("not a database"), "{cause}");

    let below_a_file = text.join("atelier.db");
    let absent = folder.path().join("absent").join("atelier.db");
    for path in [&below_a_file, &absent, &folder.path().to_owned()] {
        let error = open_error(path).await;
        let StorageError::Unavailable(cause) = &error else { panic!("{path:?}: {error:?}") };
        assert!(cause.contains(path.to_str().unwrap()), "{cause}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_told() {
    let store = Store::sqlite_file().await;
    let copy = store.folder.as_ref().unwrap().path().join("copy.db");
    publish(&*store.catalog, new_version("app")).await;
    let mut database = raw(&store.file()).await;
    sqlx::query("VACUUM INTO $1").bind(copy.to_str()).execute(&mut database).await.unwrap();
    let mut bytes = std::fs::read(&copy).unwrap();
    // The header stays; the pages behind the first are noise.
    bytes[4096..].fill(0x5a);
    std::fs::write(&copy, &bytes).unwrap();
    let error = match SqliteCatalog::open(&copy).await {
        Ok(catalog) => catalog.documents(&owner("1"), None, 10).await.unwrap_err(),
        Err(error) => error,
    };
    let StorageError::Corrupt(cause) = &error else { panic!("{error:?}") };
    assert!(cause.contains("malformed"), "{cause}");
}

#[tokio::test]
async fn a_dropped_call_holds_no_lock() {
    let store = Store::sqlite_file().await;
    let job = running(&*store.catalog).await;
    let fence = job.fence();
    for polls in 1..40 {
        // A caller that leaves somewhere inside the transaction.
        let mut writing = store.catalog.save_step(&fence, "step", &job.args_sha);
        for _ in 0..polls {
            if futures::poll!(&mut writing).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(writing);
        store.other.ping().await.unwrap();
        store.catalog.ping().await.unwrap();
    }
    store.catalog.finish_job(&fence, &ended(JobState::Done)).await.unwrap();
}

/// Every statement that the rules of the contract execute uses an index, in a process of its own:
/// what collects the statements is one for the whole process.
#[test]
fn no_statement_scans_a_table() {
    let folder = tempfile::tempdir().unwrap();
    Helper::start("storage::sqlite::helper_that_explains", folder.path()).finish();
}

/// Collects the texts of executed statements.
#[derive(Clone, Default)]
struct Statements(Arc<Mutex<BTreeSet<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Statements {
    fn on_event(
        &self,
        event: &tracing::Event<'_>,
        _context: tracing_subscriber::layer::Context<'_, S>,
    ) {
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            if field.name() == "db.statement" {
                // The text comes quoted and escaped.
                let text = format!("{value:?}");
                let text = serde_json::from_str::<String>(&text).unwrap_or(text);
                self.0.lock().unwrap().insert(text.trim().to_owned());
            }
        });
    }
}

/// The parts of a query plan that read more than they need.
async fn scans(database: &mut SqliteConnection, statement: &str) -> Vec<String> {
    sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}")))
        .fetch_all(database)
        .await
        .unwrap()
        .iter()
        .map(|row| row.get::<String, _>("detail"))
        .filter(|detail| detail.starts_with("SCAN") || detail.contains("TEMP B-TREE"))
        // These read no table.
        .filter(|detail| detail != "SCAN CONSTANT ROW" && !detail.ends_with("-ROW VALUES CLAUSE"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a helper process of other tests"]
async fn helper_that_explains() {
    assert!(std::env::var_os("ATELIER_TEST_FOLDER").is_some(), "started by other tests");
    let statements = Statements::default();
    let subscriber = tracing_subscriber::registry().with(statements.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let store = every_rule().await;

    let statements: Vec<_> = statements.0.lock().unwrap().iter().cloned().collect();
    let of_this_program: Vec<_> = statements
        .iter()
        .filter(|text| {
            ["SELECT ", "INSERT ", "UPDATE ", "DELETE "].iter().any(|verb| text.starts_with(verb))
                && !text.contains("_sqlx_migrations")
        })
        .collect();
    assert!(of_this_program.len() > 45, "only {} statements were seen", of_this_program.len());
    let mut database = raw(&store.file()).await;
    let mut found = Vec::new();
    for statement in of_this_program {
        let scans = scans(&mut database, statement).await;
        if !scans.is_empty() {
            found.push(format!("{scans:?}: {statement}"));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The same look finds what is wrong where something is.
    for (statement, expected) in [
        ("SELECT id FROM job WHERE tool = $1", "SCAN job"),
        ("SELECT id FROM job WHERE principal = $1 ORDER BY updated_at", "USE TEMP B-TREE"),
    ] {
        let scans = scans(&mut database, statement).await;
        assert!(scans.iter().any(|scan| scan.starts_with(expected)), "{scans:?}");
    }
}
