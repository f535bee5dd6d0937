//! Many at once: somebody wins, and everybody knows who.

use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::sync::Arc;

use atelier::storage::{
    CallId, Catalog, DocumentKind, InsertedJob, Job, JobMode, JobState, NewCall, NewJob,
    NewVersion, StorageError,
};
use tokio::sync::Barrier;

use super::Store;
use super::fixtures::*;

const RACERS: usize = 24;

/// Runs a closure many times at once over both views of the store.
async fn race<T, F>(store: &Store, run: impl Fn(usize, Arc<dyn Catalog>) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let start = Arc::new(Barrier::new(RACERS));
    let racers: Vec<_> = (0..RACERS)
        .map(|n| {
            let (start, racer) = (Arc::clone(&start), run(n, store.view(n)));
            tokio::spawn(async move {
                start.wait().await;
                racer.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for racer in racers {
        results.push(racer.await.unwrap());
    }
    results
}

/// Running jobs, one for each racer.
async fn jobs(store: &Store) -> Vec<Job> {
    let mut jobs = Vec::new();
    for _ in 0..RACERS {
        jobs.push(running(&*store.catalog).await);
    }
    jobs
}

fn count<T>(results: &[T], is: impl Fn(&T) -> bool) -> usize {
    results.iter().filter(|result| is(result)).count()
}

pub(super) async fn one_key_makes_one_job(store: &Store) {
    let results = race(store, |_, catalog| async move {
        let new = NewJob { key: Some("k".into()), ..new_job() };
        match catalog.insert_job(new).await.unwrap() {
            InsertedJob::New(job) => (true, job.id),
            InsertedJob::Existing(job) => (false, job.id),
        }
    })
    .await;
    assert_eq!(count(&results, |(new, _)| *new), 1);
    assert_eq!(results.iter().map(|(_, id)| id).collect::<HashSet<_>>().len(), 1);
}

pub(super) async fn one_claim_wins(store: &Store) {
    let job = running(&*store.catalog).await;
    store.catalog.finish_job(&job.fence(), &ended(JobState::Interrupted)).await.unwrap();
    let results = race(store, |n, catalog| {
        let id = job.id.clone();
        async move {
            let owner = format!("worker-{n}");
            catalog.claim_job(&id, &owner, LONG, &[JobState::Interrupted]).await.unwrap()
        }
    })
    .await;
    assert_eq!(count(&results, Option::is_some), 1);
    let winner = results.into_iter().flatten().next().unwrap();
    let now = read(&*store.catalog, &job.id).await;
    assert_eq!((now.owner, now.attempt), (winner.owner, 2));
}

pub(super) async fn one_submission_wins(store: &Store) {
    let (job, completion) = parked(&*store.catalog).await;
    let results = race(store, |n, catalog| {
        let handle = completion.handle.clone();
        async move {
            let text = format!("text {n}");
            submit(&*catalog, &handle, 1, &text).await.map(|_| text)
        }
    })
    .await;
    assert_eq!(count(&results, Option::is_some), 1);
    let text = results.into_iter().flatten().next().unwrap();
    let step = store.catalog.step(&job.id, "llm#1").await.unwrap();
    assert_eq!(step, Some(sha(&format!("step {text}"))));
    let completion = store.catalog.completion_of_job(&job.id).await.unwrap().unwrap();
    assert_eq!(completion.submitted_sha, Some(sha(&text)));
    assert_eq!(read(&*store.catalog, &job.id).await.attempt, 2);
}

pub(super) async fn one_change_of_a_head_wins(store: &Store) {
    let id = publish(&*store.catalog, new_version("app")).await.document.id;
    let jobs = jobs(store).await;
    let results = race(store, |n, catalog| {
        let fence = jobs[n].fence();
        async move {
            let new = NewVersion { expected_head: Some(1), ..new_version("app") };
            match catalog.publish_version(&fence, new).await {
                Ok(published) => Some(published.n),
                Err(StorageError::Conflict(_)) => None,
                Err(other) => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(results.iter().flatten().collect::<Vec<_>>(), [&2]);
    assert_eq!(numbers(&*store.catalog, &id).await, [2, 1]);
}

pub(super) async fn unconditional_versions_are_dense(store: &Store) {
    let jobs = jobs(store).await;
    let results = race(store, |n, catalog| {
        let fence = jobs[n].fence();
        async move { catalog.publish_version(&fence, new_version("app")).await.unwrap() }
    })
    .await;
    assert_eq!(count(&results, |published| published.created), 1);
    let told: BTreeSet<_> = results.iter().map(|published| published.n).collect();
    let expected: BTreeSet<_> = (1..=i64::try_from(RACERS).unwrap()).collect();
    assert_eq!(told, expected);
    let stored = numbers(&*store.catalog, &results[0].document.id).await;
    assert_eq!(stored, expected.into_iter().rev().collect::<Vec<_>>());
}

pub(super) async fn one_document_per_name(store: &Store) {
    let jobs = jobs(store).await;
    let results = race(store, |n, catalog| {
        let fence = jobs[n].fence();
        let name = if n % 3 == 0 { "APP" } else { "app" };
        async move { catalog.publish_version(&fence, new_version(name)).await.unwrap() }
    })
    .await;
    let ids: HashSet<_> = results.iter().map(|published| &published.document.id).collect();
    assert_eq!(ids.len(), 1);
    let documents = store.catalog.documents(&owner("1"), Some(DocumentKind::WebApp), 100).await;
    assert_eq!(documents.unwrap().len(), 1);
}

pub(super) async fn one_call_id_is_reserved_once(store: &Store) {
    let results = race(store, |_, catalog| async move {
        let call = NewCall {
            id: CallId::from("00000001"),
            principal: alice(),
            tool: "ask_ai".into(),
            ttl_ms: LONG,
        };
        catalog.reserve_call(call).await.unwrap()
    })
    .await;
    assert_eq!(count(&results, |reserved| *reserved), 1);
}

pub(super) async fn one_setting_for_all(store: &Store) {
    let results = race(store, |n, catalog| async move {
        catalog.setting_or_insert("key", &format!("value {n}")).await.unwrap()
    })
    .await;
    assert_eq!(results.iter().collect::<HashSet<_>>().len(), 1);
    assert_eq!(store.catalog.setting("key").await.unwrap().as_ref(), results.first());
}

pub(super) async fn quotas_never_pass_the_limit(store: &Store) {
    let results = race(store, |_, catalog| async move {
        catalog.add_quota(&alice(), "calls", 1 << 50, 3, 20).await.unwrap()
    })
    .await;
    let told: BTreeSet<_> = results.iter().flatten().copied().collect();
    assert_eq!(told, BTreeSet::from([3, 6, 9, 12, 15, 18]));
    assert_eq!(count(&results, Option::is_some), 6);
}

pub(super) async fn lost_jobs_are_adopted_once(store: &Store) {
    let mut ids = HashSet::new();
    for _ in 0..2 * RACERS {
        let new = NewJob { mode: JobMode::Task, owner: "leaving".into(), ..new_job() };
        ids.insert(insert(&*store.catalog, new).await.id);
    }
    store.catalog.release_jobs("leaving").await.unwrap();
    let results = race(store, |n, catalog| async move {
        catalog.reap(&format!("worker-{n}"), LONG, 5, 4).await.unwrap()
    })
    .await;
    let adopted: Vec<_> = results.iter().flatten().collect();
    assert_eq!(adopted.len(), 2 * RACERS);
    assert_eq!(adopted.iter().map(|job| job.id.clone()).collect::<HashSet<_>>(), ids);
    assert!(adopted.iter().all(|job| job.attempt == 2));
    assert!(results.iter().all(|jobs| jobs.len() <= 4));
}
