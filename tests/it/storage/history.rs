//! What must hold of a store whatever happened to its writers.
//!
//! The checker reads the file and the blobs from outside. Its own test plants one fault of each
//! kind and expects to be told.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use atelier::storage::blobs::{Blobs, sha256_hex};
use atelier::storage::{Catalog, KEPT_VERSIONS, NewVersion, Sha256Hex};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use super::Store;
use super::fixtures::*;

/// A version that a writer was told is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acknowledged {
    pub(super) document: String,
    pub(super) n: i64,
    pub(super) sha: String,
}

/// A connection of this test's own.
pub(super) async fn raw(file: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file).connect().await.unwrap()
}

/// Everything that is wrong with a store; empty when it is whole.
pub(super) async fn problems(
    file: &Path,
    blobs: &Blobs,
    acknowledged: &[Acknowledged],
) -> Vec<String> {
    let mut database = raw(file).await;
    let mut problems = Vec::new();
    let integrity: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut database).await.unwrap();
    if integrity != ["ok"] {
        problems.push(format!("integrity: {integrity:?}"));
    }
    let dangling = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut database).await.unwrap();
    if !dangling.is_empty() {
        problems.push(format!("dangling rows: {}", dangling.len()));
    }
    let heads: Vec<(String, i64)> =
        sqlx::query_as("SELECT id, head FROM document").fetch_all(&mut database).await.unwrap();
    let versions: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT document, n, blob_sha FROM version ORDER BY document, n")
            .fetch_all(&mut database)
            .await
            .unwrap();
    let mut by_document: HashMap<&str, Vec<i64>> = HashMap::new();
    for (document, n, sha) in &versions {
        by_document.entry(document).or_default().push(*n);
        match blobs.get(&Sha256Hex(sha.clone())).await {
            Ok(bytes) if sha256_hex(&bytes).0 == *sha => {}
            Ok(_) => problems.push(format!("version {n} has other bytes")),
            Err(error) => problems.push(format!("version {n} without its blob: {error}")),
        }
    }
    for (document, head) in &heads {
        let numbers = by_document.remove(document.as_str()).unwrap_or_default();
        let oldest = (head - KEPT_VERSIONS + 1).max(1);
        if numbers != (oldest..=*head).collect::<Vec<_>>() {
            problems.push(format!("head {head}, versions {numbers:?}"));
        }
    }
    if !by_document.is_empty() {
        problems.push(format!("versions without a document: {by_document:?}"));
    }
    for told in acknowledged {
        let kept = versions.iter().any(|(document, n, sha)| {
            *document == told.document && *n == told.n && *sha == told.sha
        });
        let head = heads.iter().find(|(document, _)| *document == told.document);
        let pruned = head.is_some_and(|(_, head)| told.n <= head - KEPT_VERSIONS)
            && blobs.get(&Sha256Hex(told.sha.clone())).await.is_ok();
        if !kept && !pruned {
            problems.push(format!("acknowledged and lost: version {}", told.n));
        }
    }
    database.close().await.unwrap();
    problems
}

/// A document with three versions and their blobs.
async fn whole(store: &Store) -> (Blobs, PathBuf, Vec<Acknowledged>) {
    let folder = store.folder.as_ref().unwrap().path().join("blobs");
    std::fs::create_dir(&folder).unwrap();
    let blobs = Blobs::local(&folder).unwrap();
    let mut acknowledged = Vec::new();
    for text in ["one", "two", "three"] {
        let blob_sha = blobs.put(text.as_bytes()).await.unwrap();
        let new = NewVersion { blob_sha: blob_sha.clone(), ..new_version("app") };
        let published = publish(&*store.catalog, new).await;
        acknowledged.push(Acknowledged {
            document: published.document.id.0,
            n: published.n,
            sha: blob_sha.0,
        });
    }
    (blobs, folder, acknowledged)
}

#[tokio::test]
async fn the_checker_finds_planted_faults() {
    let plant = async |statement: &str| {
        let store = Store::sqlite_file().await;
        let (blobs, _, acknowledged) = whole(&store).await;
        assert_eq!(problems(&store.file(), &blobs, &acknowledged).await, [""; 0]);
        let mut database = raw(&store.file()).await;
        let statement = format!("PRAGMA foreign_keys = OFF; {statement}");
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut database).await.unwrap();
        problems(&store.file(), &blobs, &acknowledged).await
    };
    assert_eq!(
        plant("DELETE FROM version WHERE n = 2").await,
        ["head 3, versions [1, 3]", "acknowledged and lost: version 2"]
    );
    assert_eq!(plant("UPDATE document SET head = 4").await, ["head 4, versions [1, 2, 3]"]);
    assert_eq!(
        plant("DELETE FROM job WHERE id = (SELECT job FROM version WHERE n = 1)").await,
        ["dangling rows: 1"]
    );
    let changed = plant("UPDATE version SET blob_sha = 'ab' WHERE n = 3").await;
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert!(changed[0].starts_with("version 3 without its blob"), "{changed:?}");
    assert_eq!(changed[1], "acknowledged and lost: version 3");

    let store = Store::sqlite_file().await;
    let (blobs, folder, acknowledged) = whole(&store).await;
    let path = |n: usize| {
        let sha = &acknowledged[n].sha;
        folder.join("b").join(&sha[..2]).join(sha)
    };
    std::fs::remove_file(path(0)).unwrap();
    std::fs::write(path(1), "other").unwrap();
    let found = problems(&store.file(), &blobs, &acknowledged).await;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("version 1 without its blob"), "{found:?}");
    assert!(found[1].starts_with("version 2"), "{found:?}");
}

/// What was killed or damaged before can be worked with again.
pub(super) async fn still_works(catalog: &dyn Catalog) {
    catalog.ping().await.unwrap();
    publish(catalog, new_version("afterwards")).await;
}
