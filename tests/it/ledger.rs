//! Results of a program's calls wait together and are written together.

use std::sync::Arc;

use atelier::registry::Ledger;
use atelier::storage::blobs::sha256_hex;
use atelier::storage::sqlite::SqliteCatalog;
use atelier::storage::{CallId, Catalog, DoneCall, NewCall, PrincipalId};
use serde_json::json;
use sqlx::Connection as _;

fn done(id: &CallId) -> DoneCall {
    let sha = sha256_hex(b"{}");
    DoneCall { id: id.clone(), tool: "t".into(), result_sha: sha, result: Some("{}".into()) }
}

async fn store() -> (Arc<SqliteCatalog>, PrincipalId) {
    (Arc::new(SqliteCatalog::in_memory().await.unwrap()), PrincipalId::from("ann"))
}

/// Ids of calls, after those that are written down one by one.
async fn ids(ledger: &Arc<Ledger>, count: usize) -> Vec<CallId> {
    let mut ids = Vec::new();
    while ids.len() < count {
        ids.extend(ledger.id().await.unwrap());
    }
    ids
}

#[tokio::test]
async fn results_are_written_in_blocks_and_unused_ids_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = Arc::new(SqliteCatalog::open(&path).await.unwrap());
    let ann = PrincipalId::from("ann");
    let ledger = Ledger::new(catalog.clone(), ann.clone(), 60_000);
    for _ in 0..4 {
        assert_eq!(ledger.id().await.unwrap(), None);
    }
    let first = ids(&ledger, 20).await;
    for id in first.iter().skip(1) {
        assert!(ledger.keep(done(id)).is_none());
    }
    let stored = async |id: &CallId| catalog.call(&ann, id).await.unwrap();
    assert!(stored(&first[1]).await.unwrap().result_sha.is_none(), "it waits");
    // Before the block is used up the next one is fetched, which takes the results along.
    let next = ids(&ledger, 40).await;
    while stored(&first[1]).await.unwrap().result_sha.is_none() {
        tokio::task::yield_now().await;
    }
    assert!(ledger.keep(done(&next[39])).is_none());
    ledger.settle_mentioned(&json!({"ref": first[1].as_str()})).await.unwrap();
    assert!(stored(&next[39]).await.unwrap().result_sha.is_none(), "nobody named it");
    ledger.settle_mentioned(&json!({"ref": next[39].as_str()})).await.unwrap();
    assert!(stored(&next[39]).await.unwrap().result_sha.is_some());
    // The last of these asks for a block, which nobody waits for before the end.
    let last = ids(&ledger, 170).await;
    ledger.close().await.unwrap();
    for id in [&first[0], &next[0], &last[0], &last[169]] {
        assert!(stored(id).await.is_none(), "given back");
    }
    let url = format!("sqlite://{}", path.display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM call WHERE result_sha IS NULL")
        .fetch_one(&mut other)
        .await
        .unwrap();
    assert_eq!(open, 0, "reserved and not given back");
    // It can be used on after that, as a parked program does.
    let again = ids(&ledger, 1).await;
    assert!(ledger.keep(done(&again[0])).is_none());
    ledger.close().await.unwrap();
    assert!(stored(&again[0]).await.unwrap().result_sha.is_some());
    // What did not come from here is not taken.
    assert!(ledger.keep(done(&CallId("00000000".into()))).is_some());
    catalog.close().await;
}

#[tokio::test]
async fn ids_that_are_taken_are_passed_over() {
    let (catalog, ann) = store().await;
    let mut seen = std::collections::HashSet::new();
    let mut ledgers = Vec::new();
    for _ in 0..6 {
        let ledger = Ledger::new(catalog.clone(), ann.clone(), 60_000);
        assert_eq!(ledger.id().await.unwrap(), None);
        ledgers.push(ledger);
    }
    for ledger in &ledgers {
        for id in ids(ledger, 100).await {
            assert!(seen.insert(id.clone()), "{id} was given twice");
            assert!(
                !catalog
                    .insert_call(
                        NewCall { id, principal: ann.clone(), tool: "t".into(), ttl_ms: 60_000 },
                        &sha256_hex(b"{}"),
                        None
                    )
                    .await
                    .unwrap(),
                "it is reserved"
            );
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.db");
    let catalog = Arc::new(SqliteCatalog::open(&path).await.unwrap());
    let ann = PrincipalId::from("ann");
    let ledger = Ledger::new(catalog.clone(), ann.clone(), 60_000);
    let id = ids(&ledger, 1).await.remove(0);
    assert!(ledger.keep(done(&id)).is_none());
    let url = format!("sqlite://{}", path.display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("ALTER TABLE call RENAME TO away").execute(&mut other).await.unwrap();
    ledger.close().await.unwrap_err();
    sqlx::query("ALTER TABLE away RENAME TO call").execute(&mut other).await.unwrap();
    ledger.settle_mentioned(&json!(id.as_str())).await.unwrap();
    assert!(catalog.call(&ann, &id).await.unwrap().unwrap().result_sha.is_some());
    catalog.close().await;
}
