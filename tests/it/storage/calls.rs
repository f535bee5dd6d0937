//! Rules of calls.

use atelier::storage::{CallBatch, CallId, DoneCall, NewCall, PrincipalId};

use super::fixtures::*;
use super::{Store, eventually};

fn new_call(principal: PrincipalId, id: &str) -> NewCall {
    NewCall { id: CallId::from(id), principal, tool: "ask_ai".into(), ttl_ms: LONG }
}

pub(super) async fn a_call_id_is_had_once_per_principal(store: &Store) {
    assert!(store.catalog.reserve_call(new_call(alice(), "00000001")).await.unwrap());
    assert!(!store.other.reserve_call(new_call(alice(), "00000001")).await.unwrap());
    assert!(store.other.reserve_call(new_call(bob(), "00000001")).await.unwrap());
    assert!(store.other.reserve_call(new_call(alice(), "00000002")).await.unwrap());
    // A refused reservation does not touch the call that is there.
    store.catalog.record_call(&alice(), &"00000001".into(), &sha("result")).await.unwrap();
    assert!(!store.catalog.reserve_call(new_call(alice(), "00000001")).await.unwrap());
    let call = store.catalog.call(&alice(), &"00000001".into()).await.unwrap().unwrap();
    assert_eq!(call.result_sha, Some(sha("result")));
    let call = store.catalog.call(&bob(), &"00000001".into()).await.unwrap().unwrap();
    assert_eq!(call.result_sha, None);
}

pub(super) async fn a_call_may_come_with_its_result(store: &Store) {
    let insert = |id: &'static str, result: Option<&'static str>| {
        let sha = sha("result");
        async move { store.catalog.insert_call(new_call(alice(), id), &sha, result).await.unwrap() }
    };
    assert!(insert("00000001", Some("{\"a\": 1}")).await);
    assert!(insert("00000002", None).await);
    assert!(!insert("00000001", Some("{\"a\": 2}")).await, "an id is had once");
    let small = store.other.call(&alice(), &"00000001".into()).await.unwrap().unwrap();
    assert_eq!(small.result.as_deref(), Some("{\"a\": 1}"));
    assert_eq!(small.result_sha, Some(sha("result")));
    let large = store.other.call(&alice(), &"00000002".into()).await.unwrap().unwrap();
    assert_eq!((large.result, large.result_sha), (None, Some(sha("result"))));
    assert!(store.catalog.call(&bob(), &"00000001".into()).await.unwrap().is_none());
    assert_eq!(store.catalog.recent_calls(&alice(), 9).await.unwrap().len(), 2);
}

pub(super) async fn calls_are_written_together(store: &Store) {
    let ids = |range: std::ops::Range<u32>| -> Vec<CallId> {
        range.map(|n| CallId(format!("{n:08x}"))).collect()
    };
    let batch = || CallBatch {
        principal: alice(),
        ttl_ms: LONG,
        reserve: Vec::new(),
        done: Vec::new(),
        release: Vec::new(),
    };
    let done = |id: &CallId, result: Option<&str>| DoneCall {
        id: id.clone(),
        tool: "ask_ai".into(),
        result_sha: sha("result"),
        result: result.map(str::to_owned),
    };
    // More than one statement holds; the id that is taken is left out.
    assert!(store.other.reserve_call(new_call(alice(), "00000007")).await.unwrap());
    assert!(store.other.reserve_call(new_call(bob(), "00000008")).await.unwrap());
    let wanted = ids(0..600);
    let reserve = CallBatch { reserve: wanted.clone(), ..batch() };
    let mut reserved = store.catalog.write_calls(reserve).await.unwrap();
    reserved.sort();
    assert_eq!(reserved.len(), 599);
    assert!(!reserved.contains(&CallId::from("00000007")) && reserved[0] == wanted[0]);
    assert!(!store.other.reserve_call(new_call(alice(), "00000009")).await.unwrap());
    assert!(store.other.recent_calls(&alice(), 9).await.unwrap().is_empty());

    // Results go in, new ids are had, and what is not needed goes, at once.
    let results = vec![done(&wanted[1], Some("{\"a\": 1}")), done(&wanted[2], None)];
    let release: Vec<CallId> = wanted[1..].to_vec();
    let all = CallBatch { reserve: ids(1000..1001), done: results, release, ..batch() };
    assert_eq!(store.catalog.write_calls(all).await.unwrap(), ids(1000..1001));
    let small = store.other.call(&alice(), &wanted[1]).await.unwrap().unwrap();
    assert_eq!((small.tool.as_str(), small.result.as_deref()), ("ask_ai", Some("{\"a\": 1}")));
    let large = store.other.call(&alice(), &wanted[2]).await.unwrap().unwrap();
    assert_eq!((large.result, large.result_sha), (None, Some(sha("result"))));
    assert!(store.other.call(&alice(), &wanted[0]).await.unwrap().is_some(), "still reserved");
    assert!(store.other.call(&alice(), &wanted[3]).await.unwrap().is_none());
    assert!(store.other.call(&bob(), &wanted[8]).await.unwrap().is_some(), "another's stays");

    // A result is stored even where the reservation is gone.
    let late = CallBatch { done: vec![done(&wanted[3], Some("3"))], ..batch() };
    assert_eq!(store.catalog.write_calls(late).await.unwrap(), []);
    let found = store.other.call(&alice(), &wanted[3]).await.unwrap().unwrap();
    assert_eq!(found.result.as_deref(), Some("3"));
}

pub(super) async fn results_are_read_until_they_expire(store: &Store) {
    let id = CallId::from("00000001");
    store.catalog.reserve_call(new_call(alice(), "00000001")).await.unwrap();
    let call = store.other.call(&alice(), &id).await.unwrap().unwrap();
    assert_eq!((call.id, call.tool.as_str(), call.result_sha), (id.clone(), "ask_ai", None));
    store.catalog.record_call(&alice(), &id, &sha("result")).await.unwrap();
    let call = store.other.call(&alice(), &id).await.unwrap().unwrap();
    assert_eq!(call.result_sha, Some(sha("result")));
    assert!(store.catalog.call(&bob(), &id).await.unwrap().is_none());

    let short = NewCall { ttl_ms: 1, ..new_call(alice(), "00000002") };
    store.catalog.reserve_call(short).await.unwrap();
    store.catalog.record_call(&alice(), &"00000002".into(), &sha("result")).await.unwrap();
    eventually("the call expires", async || {
        store.catalog.call(&alice(), &"00000002".into()).await.unwrap().is_none()
    })
    .await;
    let recent = store.catalog.recent_calls(&alice(), 10).await.unwrap();
    assert_eq!(recent.iter().map(|call| &call.id).collect::<Vec<_>>(), [&id]);
}

pub(super) async fn recent_calls_have_results_and_come_newest_first(store: &Store) {
    let mut expected = Vec::new();
    for n in 0..4 {
        let id = CallId(format!("0000000{n}"));
        store.catalog.reserve_call(new_call(alice(), id.as_str())).await.unwrap();
        if n != 1 {
            store.catalog.record_call(&alice(), &id, &sha("result")).await.unwrap();
            expected.insert(0, id);
        }
    }
    let recent = async |limit| {
        let calls = store.other.recent_calls(&alice(), limit).await.unwrap();
        assert!(calls.is_sorted_by(|a, b| a.created_at >= b.created_at));
        calls.into_iter().map(|call| call.id).collect::<Vec<_>>()
    };
    // Ids rise with time here, and break ties of one millisecond.
    assert_eq!(recent(10).await, expected);
    assert_eq!(recent(2).await, expected[..2]);
    assert!(store.catalog.recent_calls(&bob(), 10).await.unwrap().is_empty());
}
