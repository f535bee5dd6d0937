//! Rules of quotas, sessions, settings and the sweep.

use atelier::storage::{CompletionState, JobState, NewCall, NewCompletion};

use super::fixtures::*;
use super::{Store, eventually};

/// A window that does not end while a test runs: it began in 1970.
const FOREVER: i64 = 1 << 50;

pub(super) async fn the_store_answers_a_ping(store: &Store) {
    store.catalog.ping().await.unwrap();
    store.other.ping().await.unwrap();
    assert_eq!(store.catalog.setting("").await.unwrap(), None, "a ping leaves no trace");
}

pub(super) async fn quotas_add_up_to_the_limit(store: &Store) {
    let add = async |amount, limit| {
        store.catalog.add_quota(&alice(), "calls", FOREVER, amount, limit).await.unwrap()
    };
    assert_eq!(add(0, 10).await, Some(0));
    assert_eq!(add(11, 10).await, None);
    assert_eq!(add(4, 10).await, Some(4));
    assert_eq!(add(7, 10).await, None);
    assert_eq!(add(6, 10).await, Some(10));
    assert_eq!(add(1, 10).await, None);
    assert_eq!(add(0, 10).await, Some(10));
    assert_eq!(add(0, 9).await, None, "what is used is beyond a limit that was lowered");
    assert_eq!(add(5, i64::MAX).await, Some(15));
    assert_eq!(add(i64::MAX, i64::MAX).await, None, "no sum overflows");
    // Others have their own.
    let other = store.other.add_quota(&bob(), "calls", FOREVER, 1, 10).await.unwrap();
    assert_eq!(other, Some(1));
    let other = store.other.add_quota(&alice(), "tokens", FOREVER, 1, 10).await.unwrap();
    assert_eq!(other, Some(1));
    let other = store.other.add_quota(&alice(), "calls", 2 * FOREVER, 1, 10).await.unwrap();
    assert_eq!(other, Some(1));
}

pub(super) async fn quota_windows_end(store: &Store) {
    let add = async || store.catalog.add_quota(&alice(), "calls", 50, 1, 1).await.unwrap();
    eventually("the window is full", async || add().await.is_none()).await;
    eventually("the next window begins", async || add().await == Some(1)).await;
}

pub(super) async fn sessions_are_replaced_expire_and_are_forgotten(store: &Store) {
    let load = async |id: &str| store.other.load_session(id).await.unwrap();
    assert_eq!(load("s").await, None);
    store.catalog.store_session("s", "one", LONG).await.unwrap();
    assert_eq!(load("s").await.as_deref(), Some("one"));
    store.catalog.store_session("s", "two", LONG).await.unwrap();
    assert_eq!(load("s").await.as_deref(), Some("two"));
    store.catalog.delete_session("s").await.unwrap();
    store.catalog.delete_session("s").await.unwrap();
    assert_eq!(load("s").await, None);
    store.catalog.store_session("s", "three", 1).await.unwrap();
    eventually("the session expires", async || load("s").await.is_none()).await;
    // Storing it again brings it back.
    store.catalog.store_session("s", "four", LONG).await.unwrap();
    assert_eq!(load("s").await.as_deref(), Some("four"));
}

pub(super) async fn settings_are_made_once_and_replaced(store: &Store) {
    assert_eq!(store.catalog.setting("key").await.unwrap(), None);
    assert_eq!(store.catalog.setting_or_insert("key", "one").await.unwrap(), "one");
    assert_eq!(store.other.setting_or_insert("key", "two").await.unwrap(), "one");
    store.catalog.set_setting("key", "three").await.unwrap();
    assert_eq!(store.other.setting("key").await.unwrap().as_deref(), Some("three"));
    assert_eq!(store.other.setting_or_insert("key", "four").await.unwrap(), "three");
    store.catalog.set_setting("new", "five").await.unwrap();
    assert_eq!(store.other.setting("new").await.unwrap().as_deref(), Some("five"));
}

pub(super) async fn the_sweep_removes_what_is_over_only(store: &Store) {
    let catalog = &*store.catalog;
    let call = |id: &str, ttl_ms| NewCall {
        id: id.into(),
        principal: alice(),
        tool: "ask_ai".into(),
        ttl_ms,
    };
    catalog.reserve_call(call("00000001", LONG)).await.unwrap();
    catalog.reserve_call(call("00000002", 1)).await.unwrap();
    catalog.store_session("kept", "state", LONG).await.unwrap();
    catalog.store_session("over", "state", 1).await.unwrap();
    catalog.add_quota(&alice(), "kept", FOREVER, 3, 10).await.unwrap();
    catalog.add_quota(&alice(), "over", 1, 3, 10).await.unwrap();
    let brief = || NewCompletion { max_life_ms: 1, ..new_completion("llm#1") };
    let (_, open) = parked(catalog).await;
    let waiting = running(catalog).await;
    let unswept = catalog.park_job(&waiting.fence(), brief()).await.unwrap();

    let mut removed = 0;
    eventually("four rows are swept", async || {
        catalog.expire_completions(10).await.unwrap();
        removed += store.other.sweep().await.unwrap();
        removed >= 4
    })
    .await;
    assert_eq!(removed, 4);
    assert!(catalog.call(&alice(), &"00000001".into()).await.unwrap().is_some());
    // The id of a call that was removed is free again.
    assert!(!catalog.reserve_call(call("00000001", LONG)).await.unwrap());
    assert!(catalog.reserve_call(call("00000002", LONG)).await.unwrap());
    assert!(catalog.load_session("kept").await.unwrap().is_some());
    assert_eq!(catalog.add_quota(&alice(), "kept", FOREVER, 0, 10).await.unwrap(), Some(3));
    let open = catalog.completion(&alice(), &open.handle).await.unwrap().unwrap();
    assert_eq!(open.state, CompletionState::Open);
    assert!(catalog.completion(&alice(), &unswept.handle).await.unwrap().is_none());
    assert_eq!(read(catalog, &waiting.id).await.state, JobState::Expired);
    assert_eq!(catalog.sweep().await.unwrap(), 0);
}
