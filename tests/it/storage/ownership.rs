//! Rules of claims, leases and fences.

use atelier::storage::{
    Catalog, CompletionState, Fence, Job, JobMode, JobState, NewJob, StorageError,
};

use super::fixtures::*;
use super::{Store, assert_error, eventually};

const MAX: i64 = 5;

async fn reap(catalog: &dyn Catalog) -> Vec<Job> {
    catalog.reap("reaper", LONG, MAX, 10).await.unwrap()
}

/// A job whose lease ran out before it was made.
async fn lost(catalog: &dyn Catalog, mode: JobMode) -> Job {
    insert(catalog, NewJob { mode, lease_ms: 0, ..new_job() }).await
}

pub(super) async fn a_claim_adds_an_attempt(store: &Store) {
    let job = running(&*store.catalog).await;
    store.catalog.request_cancel(&alice(), &job.id).await.unwrap();
    let again = taken_over(&*store.catalog, &job.fence()).await;
    assert_eq!((again.state, again.attempt), (JobState::Running, 2));
    assert_eq!(again.owner.as_deref(), Some("worker-2"));
    assert!(!again.cancel, "the request went to the attempt before");
    assert_eq!(again.error, None);
    assert_eq!(read(&*store.other, &job.id).await.attempt, 2);
}

pub(super) async fn a_claim_takes_the_named_states_only(store: &Store) {
    let job = running(&*store.catalog).await;
    for from in [&[][..], &[JobState::Queued], &[JobState::Waiting, JobState::Interrupted]] {
        let claimed = store.catalog.claim_job(&job.id, "worker-2", LONG, from).await.unwrap();
        assert!(claimed.is_none());
    }
    assert_eq!(read(&*store.catalog, &job.id).await.attempt, 1);
    let unknown = "unknown".into();
    let claimed = store.catalog.claim_job(&unknown, "w", LONG, &[JobState::Queued]).await;
    assert!(claimed.unwrap().is_none());
}

pub(super) async fn heartbeats_keep_leases_and_report_what_is_lost(store: &Store) {
    let catalog = &*store.catalog;
    let short = NewJob { lease_ms: 0, mode: JobMode::Task, ..new_job() };
    let kept = insert(catalog, short).await;
    let asked = running(catalog).await;
    catalog.request_cancel(&alice(), &asked.id).await.unwrap();
    let gone = running(catalog).await;
    // Another attempt of the same worker is another holder.
    catalog.finish_job(&gone.fence(), &ended(JobState::Interrupted)).await.unwrap();
    let again = catalog.claim_job(&gone.id, "worker-1", LONG, &[JobState::Interrupted]).await;
    assert_eq!(again.unwrap().unwrap().attempt, 2);
    let finished = running(catalog).await;
    catalog.finish_job(&finished.fence(), &ended(JobState::Done)).await.unwrap();

    let held = [kept.fence(), asked.fence(), gone.fence(), finished.fence()];
    let mut beats = catalog.heartbeat("worker-1", &held, LONG).await.unwrap();
    beats.sort_by_key(|beat| beat.cancel);
    let beats: Vec<_> = beats.iter().map(|beat| (&beat.job, beat.cancel)).collect();
    assert_eq!(beats, [(&kept.id, false), (&asked.id, true)]);
    // The lease was renewed in time.
    assert!(reap(catalog).await.is_empty());
    assert_eq!(read(catalog, &kept.id).await.attempt, 1);

    assert!(catalog.heartbeat("stranger", &held, LONG).await.unwrap().is_empty());
    assert!(catalog.heartbeat("worker-1", &[], LONG).await.unwrap().is_empty());
}

pub(super) async fn lost_tasks_are_adopted_and_plain_jobs_interrupted(store: &Store) {
    let task = lost(&*store.catalog, JobMode::Task).await;
    let plain = lost(&*store.catalog, JobMode::Plain).await;
    let alive = running_task(&*store.catalog).await;
    let mut adopted = Vec::new();
    // A lease of no time has run out when the clock has reached it.
    eventually("the lost task is adopted", async || {
        adopted.extend(reap(&*store.other).await);
        !adopted.is_empty()
    })
    .await;
    assert_eq!(adopted.len(), 1);
    assert_eq!((&adopted[0].id, adopted[0].attempt), (&task.id, 2));
    assert_eq!(adopted[0].owner.as_deref(), Some("reaper"));
    let plain = read(&*store.catalog, &plain.id).await;
    assert_eq!((plain.state, plain.attempt, plain.owner), (JobState::Interrupted, 1, None));
    let alive = read(&*store.catalog, &alive.id).await;
    assert_eq!((alive.state, alive.attempt), (JobState::Running, 1));
    // Once.
    assert!(reap(&*store.other).await.is_empty());
}

pub(super) async fn a_lost_job_that_was_to_stop_is_cancelled(store: &Store) {
    for mode in [JobMode::Task, JobMode::Plain] {
        let job = lost(&*store.catalog, mode).await;
        store.catalog.request_cancel(&alice(), &job.id).await.unwrap();
        assert!(reap(&*store.catalog).await.is_empty());
        assert_eq!(read(&*store.catalog, &job.id).await.state, JobState::Cancelled);
    }
}

pub(super) async fn a_job_that_costs_too_many_workers_fails(store: &Store) {
    let task = lost(&*store.catalog, JobMode::Task).await;
    let mut attempts = Vec::new();
    eventually("the job is given up", async || {
        // A lease of no time: every adopter is lost at once.
        let adopted = store.catalog.reap("reaper", 0, MAX, 10).await.unwrap();
        attempts.extend(adopted.iter().map(|job| job.attempt));
        read(&*store.catalog, &task.id).await.state == JobState::Failed
    })
    .await;
    assert_eq!(attempts, [2, 3, 4, 5]);
    let error = read(&*store.catalog, &task.id).await.error.unwrap();
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["code"], "attempts_exhausted");
    assert!(error["message"].as_str().unwrap().contains("5 times"));
}

pub(super) async fn completions_are_no_losses(store: &Store) {
    let catalog = &*store.catalog;
    let mut job = running_task(catalog).await;
    for round in 1..=2 * MAX {
        let new = new_completion(&format!("llm#{round}"));
        let completion = catalog.park_job(&job.fence(), new).await.unwrap();
        job = submit(catalog, &completion.handle, round, "text").await.unwrap();
    }
    assert_eq!(job.attempt, 2 * MAX + 1);
    catalog.heartbeat("worker-2", &[job.fence()], 0).await.unwrap();
    let adopted = reap(catalog).await;
    assert_eq!(adopted.len(), 1, "ten answered rounds and one loss are not five losses");
    assert_eq!((&adopted[0].id, adopted[0].attempt), (&job.id, job.attempt + 1));
}

pub(super) async fn released_jobs_go_on_at_once(store: &Store) {
    let catalog = &*store.catalog;
    let task = running_task(catalog).await;
    let plain = running(catalog).await;
    let asked = running_task(catalog).await;
    catalog.request_cancel(&alice(), &asked.id).await.unwrap();
    let stranger = insert(catalog, NewJob { owner: "worker-9".into(), ..new_job() }).await;
    let (waiting, _) = parked(catalog).await;

    catalog.release_jobs("worker-1").await.unwrap();
    assert_eq!(read(catalog, &task.id).await.state, JobState::Queued);
    assert_eq!(read(catalog, &plain.id).await.state, JobState::Interrupted);
    assert_eq!(read(catalog, &asked.id).await.state, JobState::Cancelled);
    assert_eq!(read(catalog, &stranger.id).await.state, JobState::Running);
    assert_eq!(read(catalog, &waiting.id).await.state, JobState::Waiting);
    let late = catalog.save_step(&task.fence(), "late", &sha("late")).await;
    assert_error!(late, StorageError::Fenced(_));

    let adopted = reap(&*store.other).await;
    assert_eq!(adopted.iter().map(|job| &job.id).collect::<Vec<_>>(), [&task.id]);
}

pub(super) async fn adoption_keeps_its_limit(store: &Store) {
    for _ in 0..5 {
        lost(&*store.catalog, JobMode::Task).await;
    }
    eventually("their leases run out", async || {
        assert!(store.catalog.reap("reaper", LONG, MAX, 0).await.unwrap().is_empty());
        let jobs = store.catalog.jobs(&alice(), 10).await.unwrap();
        jobs.iter().all(|job| job.state == JobState::Queued)
    })
    .await;
    for expected in [2, 2, 1, 0] {
        let adopted = store.catalog.reap("reaper", LONG, MAX, 2).await.unwrap();
        assert_eq!(adopted.len(), expected);
    }
}

/// Every write that carries a fence, and whether it was let through.
async fn refused_writes(catalog: &dyn Catalog, fence: &Fence) -> Vec<(&'static str, bool)> {
    let refused = |result: Result<(), StorageError>| match result {
        Ok(()) => false,
        Err(StorageError::Fenced(job)) => {
            assert_eq!(job, fence.job);
            true
        }
        Err(other) => panic!("{other:?}"),
    };
    let parked = catalog.park_job(fence, new_completion("llm#1")).await.map(drop);
    let published = catalog.publish_version(fence, new_version("late")).await.map(drop);
    vec![
        ("detach_job", refused(catalog.detach_job(fence).await)),
        ("record_progress", refused(catalog.record_progress(fence, "{}").await)),
        ("save_step", refused(catalog.save_step(fence, "late", &sha("late")).await)),
        ("publish_version", refused(published)),
        ("park_job", refused(parked)),
        ("finish_job", refused(catalog.finish_job(fence, &ended(JobState::Done)).await)),
    ]
}

pub(super) async fn every_write_of_a_lost_worker_is_refused(store: &Store) {
    let job = running(&*store.catalog).await;
    let stale = job.fence();
    let held = taken_over(&*store.catalog, &stale).await;
    for (write, refused) in refused_writes(&*store.other, &stale).await {
        assert!(refused, "{write} went through for a lost attempt");
    }
    // Nothing of it is left, and the attempt that holds the job is not disturbed.
    let now = read(&*store.catalog, &job.id).await;
    assert_eq!((now.state, now.mode, now.progress), (JobState::Running, JobMode::Plain, None));
    assert_eq!(store.catalog.step(&job.id, "late").await.unwrap(), None);
    assert!(store.catalog.completion_of_job(&job.id).await.unwrap().is_none());
    let documents = store.catalog.documents(&owner("1"), None, 10).await.unwrap();
    assert!(documents.is_empty());
    // The same writes by the holder go through.
    let fence = held.fence();
    store.catalog.detach_job(&fence).await.unwrap();
    store.catalog.record_progress(&fence, "{}").await.unwrap();
    store.catalog.save_step(&fence, "late", &sha("late")).await.unwrap();
    store.catalog.publish_version(&fence, new_version("late")).await.unwrap();
    store.catalog.finish_job(&fence, &ended(JobState::Done)).await.unwrap();
    let (_, completion) = parked(&*store.catalog).await;
    assert_eq!(completion.state, CompletionState::Open);
}

pub(super) async fn every_write_of_a_cancelled_job_is_refused(store: &Store) {
    let job = running(&*store.catalog).await;
    store.catalog.finish_job(&job.fence(), &ended(JobState::Cancelled)).await.unwrap();
    for (write, refused) in refused_writes(&*store.catalog, &job.fence()).await {
        assert!(refused, "{write} went through for a cancelled job");
    }
    assert_eq!(read(&*store.catalog, &job.id).await.state, JobState::Cancelled);
}
