//! Rules of jobs.

use std::sync::Arc;

use atelier::storage::{
    CompletionState, InsertedJob, JobId, JobMode, JobOutcome, JobState, NewJob, StorageError,
};

use super::fixtures::*;
use super::{Store, assert_error, eventually};

pub(super) async fn a_new_job_is_claimed_by_its_maker(store: &Store) {
    let new = NewJob { key: Some("k".into()), ..new_job() };
    let job = insert(&*store.catalog, new.clone()).await;
    for job in [job, read(&*store.other, &new.id).await] {
        assert_eq!(job.id, new.id);
        assert_eq!(job.principal, new.principal);
        assert_eq!(job.key, new.key);
        assert_eq!(job.tool, new.tool);
        assert_eq!(job.args_sha, new.args_sha);
        assert_eq!(job.call_id, new.call_id);
        assert_eq!(job.mode, JobMode::Plain);
        assert_eq!((job.state, job.attempt), (JobState::Running, 1));
        assert_eq!(job.owner.as_deref(), Some("worker-1"));
        assert!(!job.cancel);
        assert_eq!((job.progress, job.result_sha, job.error), (None, None, None));
        assert_eq!(job.created_at, job.updated_at);
        // The database's clock counts milliseconds since 1970: between 2024 and 2100.
        assert!((1_704_000_000_000..4_100_000_000_000).contains(&job.created_at));
    }
}

pub(super) async fn a_key_names_one_job_per_principal(store: &Store) {
    let first = insert(&*store.catalog, NewJob { key: Some("k".into()), ..new_job() }).await;
    let again = NewJob { key: Some("k".into()), tool: "other".into(), ..new_job() };
    match store.other.insert_job(again.clone()).await.unwrap() {
        InsertedJob::Existing(job) => {
            assert_eq!((job.id, job.tool), (first.id, "create_web_app".to_owned()));
        }
        InsertedJob::New(job) => panic!("two jobs for one key: {job:?}"),
    }
    assert!(store.catalog.job(&alice(), &again.id).await.unwrap().is_none());
    // Another principal's key, another key, and no key at all are other jobs.
    insert(&*store.catalog, NewJob { principal: bob(), id: keys_id(), ..again.clone() }).await;
    insert(&*store.catalog, NewJob { key: Some("K".into()), id: keys_id(), ..again }).await;
    running(&*store.catalog).await;
    running(&*store.catalog).await;
    assert_eq!(store.catalog.jobs(&alice(), 10).await.unwrap().len(), 4);
}

fn keys_id() -> JobId {
    atelier::storage::keys::job_id()
}

pub(super) async fn an_id_is_used_once(store: &Store) {
    let new = new_job();
    insert(&*store.catalog, new.clone()).await;
    assert_error!(store.catalog.insert_job(new).await, StorageError::Conflict(_));
}

pub(super) async fn jobs_are_seen_by_their_principal_alone(store: &Store) {
    let job = running(&*store.catalog).await;
    assert!(store.catalog.job(&bob(), &job.id).await.unwrap().is_none());
    assert!(store.catalog.jobs(&bob(), 10).await.unwrap().is_empty());
    assert_eq!(store.catalog.request_cancel(&bob(), &job.id).await.unwrap(), None);
    let found =
        store.catalog.reattachable_job(&bob(), &job.tool, &job.args_sha, LONG).await.unwrap();
    assert!(found.is_none());
    let job = read(&*store.catalog, &job.id).await;
    assert_eq!((job.state, job.cancel), (JobState::Running, false));
}

pub(super) async fn jobs_are_listed_newest_first(store: &Store) {
    let mut ids = Vec::new();
    for _ in 0..4 {
        let job = running(&*store.catalog).await;
        // Two jobs of one millisecond have no order that anybody could ask for.
        let made_at = job.created_at;
        eventually("the clock goes on", async || {
            let probe = insert(&*store.catalog, NewJob { principal: bob(), ..new_job() }).await;
            probe.created_at > made_at
        })
        .await;
        ids.insert(0, job.id);
    }
    let listed = |limit| async move {
        let jobs = store.catalog.jobs(&alice(), limit).await.unwrap();
        jobs.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(10).await, ids);
    assert_eq!(listed(2).await, ids[..2]);
}

pub(super) async fn a_lost_call_is_found_by_its_arguments(store: &Store) {
    let find = |tool: &'static str, args: &'static str, window_ms| {
        let catalog = Arc::clone(&store.other);
        async move {
            let job = catalog.reattachable_job(&alice(), tool, &sha(args), window_ms).await;
            job.unwrap().map(|job| job.id)
        }
    };
    let keyed = NewJob { key: Some("k".into()), ..new_job() };
    for new in [new_job(), keyed] {
        let job = insert(&*store.catalog, new).await;
        // A running job is somebody's; one that ended well is not repeated.
        assert_eq!(find("create_web_app", "arguments", LONG).await, None);
        if job.key.is_some() {
            let outcome = ended(JobState::Interrupted);
            store.catalog.finish_job(&job.fence(), &outcome).await.unwrap();
            assert_eq!(find("create_web_app", "arguments", LONG).await, None);
        } else {
            store.catalog.finish_job(&job.fence(), &ended(JobState::Done)).await.unwrap();
            assert_eq!(find("create_web_app", "arguments", LONG).await, None);
        }
    }
    let interrupted = running(&*store.catalog).await;
    store.catalog.finish_job(&interrupted.fence(), &ended(JobState::Interrupted)).await.unwrap();
    assert_eq!(find("create_web_app", "arguments", LONG).await, Some(interrupted.id.clone()));
    assert_eq!(find("other", "arguments", LONG).await, None);
    assert_eq!(find("create_web_app", "others", LONG).await, None);
    eventually("the window closes", async || {
        find("create_web_app", "arguments", 1).await.is_none()
    })
    .await;
    // The newest is found, once the clock has gone on.
    eventually("a waiting job is found", async || {
        let (waiting, _) = parked(&*store.catalog).await;
        waiting.created_at > interrupted.created_at
            && find("create_web_app", "arguments", LONG).await == Some(waiting.id)
    })
    .await;
}

pub(super) async fn the_end_of_a_job_is_kept(store: &Store) {
    for state in [JobState::Done, JobState::Failed, JobState::Cancelled, JobState::Interrupted] {
        let job = running(&*store.catalog).await;
        let outcome = JobOutcome {
            state,
            result_sha: Some(sha("result")),
            reference_sha: None,
            error: Some(r#"{"code": "x"}"#.into()),
        };
        store.catalog.finish_job(&job.fence(), &outcome).await.unwrap();
        let job = read(&*store.other, &job.id).await;
        assert_eq!(job.state, state);
        assert_eq!(job.owner, None);
        assert_eq!(job.result_sha, outcome.result_sha);
        assert_eq!(job.error, outcome.error);
        // Once.
        assert_error!(
            store.catalog.finish_job(&job.fence(), &outcome).await,
            StorageError::Fenced(_)
        );
    }
}

pub(super) async fn a_worker_ends_a_job_in_an_end_state(store: &Store) {
    let job = running(&*store.catalog).await;
    for state in [JobState::Queued, JobState::Running, JobState::Waiting, JobState::Expired] {
        let result = store.catalog.finish_job(&job.fence(), &ended(state)).await;
        assert_error!(result, StorageError::Conflict(_));
    }
    assert_eq!(read(&*store.catalog, &job.id).await.state, JobState::Running);
}

pub(super) async fn cancelling_depends_on_the_state(store: &Store) {
    let catalog = &*store.catalog;
    let cancel = |id: JobId| async move { catalog.request_cancel(&alice(), &id).await.unwrap() };
    assert_eq!(cancel(JobId::from("unknown")).await, None);

    // Somebody runs it: they are asked, by the answer to the heartbeat.
    let job = running(catalog).await;
    assert_eq!(cancel(job.id.clone()).await, Some(JobState::Running));
    let beats = store.other.heartbeat("worker-1", &[job.fence()], LONG).await.unwrap();
    assert_eq!((beats.len(), beats[0].cancel), (1, true));

    // Nobody runs it: it ends at once, with its completion.
    let (job, completion) = parked(catalog).await;
    assert_eq!(cancel(job.id.clone()).await, Some(JobState::Cancelled));
    assert_eq!(read(catalog, &job.id).await.state, JobState::Cancelled);
    let completion = catalog.completion(&alice(), &completion.handle).await.unwrap().unwrap();
    assert_eq!(completion.state, CompletionState::Cancelled);

    let job = running(catalog).await;
    catalog.finish_job(&job.fence(), &ended(JobState::Interrupted)).await.unwrap();
    assert_eq!(cancel(job.id).await, Some(JobState::Cancelled));

    let job =
        insert(catalog, NewJob { mode: JobMode::Task, owner: "leaving".into(), ..new_job() }).await;
    catalog.release_jobs("leaving").await.unwrap();
    assert_eq!(read(catalog, &job.id).await.state, JobState::Queued);
    assert_eq!(cancel(job.id).await, Some(JobState::Cancelled));

    // What has ended stays as it is.
    for state in [JobState::Done, JobState::Failed, JobState::Cancelled] {
        let job = running(catalog).await;
        catalog.finish_job(&job.fence(), &ended(state)).await.unwrap();
        assert_eq!(cancel(job.id.clone()).await, Some(state));
        assert_eq!(read(catalog, &job.id).await.state, state);
    }
}

pub(super) async fn progress_and_detaching_are_kept(store: &Store) {
    let job = running(&*store.catalog).await;
    store.catalog.record_progress(&job.fence(), r#"{"value": 1}"#).await.unwrap();
    store.catalog.record_progress(&job.fence(), r#"{"value": 2}"#).await.unwrap();
    store.catalog.detach_job(&job.fence()).await.unwrap();
    let job = read(&*store.other, &job.id).await;
    assert_eq!(job.progress.as_deref(), Some(r#"{"value": 2}"#));
    assert_eq!((job.mode, job.state), (JobMode::Task, JobState::Running));
}
