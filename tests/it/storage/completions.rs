//! Rules of steps and completions.

use atelier::storage::{
    Catalog, Completion, CompletionHandle, CompletionState, JobState, NewCompletion, StorageError,
};

use super::fixtures::*;
use super::{Store, assert_error, eventually};

async fn look(catalog: &dyn Catalog, handle: &CompletionHandle) -> Completion {
    catalog.completion(&alice(), handle).await.unwrap().unwrap()
}

pub(super) async fn the_first_result_of_a_step_counts(store: &Store) {
    let job = running(&*store.catalog).await;
    assert_eq!(store.catalog.step(&job.id, "fetch").await.unwrap(), None);
    store.catalog.save_step(&job.fence(), "fetch", &sha("first")).await.unwrap();
    store.catalog.save_step(&job.fence(), "fetch", &sha("second")).await.unwrap();
    store.catalog.save_step(&job.fence(), "Fetch", &sha("third")).await.unwrap();
    assert_eq!(store.other.step(&job.id, "fetch").await.unwrap(), Some(sha("first")));
    assert_eq!(store.other.step(&job.id, "Fetch").await.unwrap(), Some(sha("third")));
    // The next attempt finds it.
    let again = taken_over(&*store.catalog, &job.fence()).await;
    store.catalog.save_step(&again.fence(), "fetch", &sha("fourth")).await.unwrap();
    assert_eq!(store.catalog.step(&job.id, "fetch").await.unwrap(), Some(sha("first")));
    let other = running(&*store.catalog).await;
    assert_eq!(store.catalog.step(&other.id, "fetch").await.unwrap(), None);
}

pub(super) async fn parking_opens_round_one(store: &Store) {
    let job = running(&*store.catalog).await;
    assert!(store.catalog.completion_of_job(&job.id).await.unwrap().is_none());
    let new = new_completion("llm#1");
    let opened = store.catalog.park_job(&job.fence(), new.clone()).await.unwrap();
    let read_back = store.other.completion_of_job(&job.id).await.unwrap().unwrap();
    for completion in [opened, look(&*store.other, &new.handle).await, read_back] {
        assert_eq!(completion.handle, new.handle);
        assert_eq!(completion.principal, alice());
        assert_eq!(completion.job, job.id);
        assert_eq!((completion.step.as_str(), completion.round), ("llm#1", 1));
        assert_eq!(completion.prompt_sha, new.prompt_sha);
        assert_eq!((completion.partial_sha, completion.submitted_sha), (None, None));
        assert_eq!(completion.state, CompletionState::Open);
        assert_eq!(completion.expires_at, completion.created_at + new.ttl_ms);
        assert!(!format!("{:?}", completion.handle).contains(&new.handle.0));
    }
    let job = read(&*store.other, &job.id).await;
    assert_eq!((job.state, job.owner, job.attempt), (JobState::Waiting, None, 1));
    // Nobody holds it, so nobody can lose it.
    assert!(store.catalog.reap("reaper", LONG, 5, 10).await.unwrap().is_empty());
    assert_eq!(read(&*store.catalog, &job.id).await.state, JobState::Waiting);
}

pub(super) async fn rounds_keep_the_handle_and_renew_the_time(store: &Store) {
    let catalog = &*store.catalog;
    let job = running(catalog).await;
    let short = NewCompletion { ttl_ms: LONG / 2, ..new_completion("llm#1") };
    let first = catalog.park_job(&job.fence(), short).await.unwrap();
    assert!(catalog.append_submission(&first.handle, 1, None, &sha("part")).await.unwrap());
    let job = submit(catalog, &first.handle, 1, "bad").await.unwrap();
    let second = catalog.park_job(&job.fence(), new_completion("llm#2")).await.unwrap();
    assert_eq!(second.handle, first.handle);
    assert_eq!((second.step.as_str(), second.round), ("llm#2", 2));
    assert_eq!(second.prompt_sha, sha("llm#2"));
    assert_eq!(second.state, CompletionState::Open);
    assert_eq!(second.partial_sha, None);
    assert_eq!(second.submitted_sha, Some(sha("bad")), "the last accepted text");
    assert_eq!(second.created_at, first.created_at);
    assert!(second.expires_at > first.expires_at);
}

pub(super) async fn an_unanswered_round_stays_the_same(store: &Store) {
    let catalog = &*store.catalog;
    let (job, first) = parked(catalog).await;
    assert!(catalog.append_submission(&first.handle, 1, None, &sha("part")).await.unwrap());
    let job =
        catalog.claim_job(&job.id, "worker-2", LONG, &[JobState::Waiting]).await.unwrap().unwrap();
    // While its job runs, the round cannot be answered.
    assert!(submit(catalog, &first.handle, 1, "text").await.is_none());
    let again = catalog.park_job(&job.fence(), new_completion("llm#1")).await.unwrap();
    assert_eq!((&again.handle, again.round), (&first.handle, 1));
    assert_eq!(again.partial_sha, Some(sha("part")));
    assert!(submit(catalog, &first.handle, 1, "text").await.is_some());
}

pub(super) async fn the_longest_life_caps_the_rounds(store: &Store) {
    let catalog = &*store.catalog;
    let job = running(catalog).await;
    let new = NewCompletion { max_life_ms: LONG / 4, ..new_completion("llm#1") };
    let first = catalog.park_job(&job.fence(), new).await.unwrap();
    assert_eq!(first.expires_at, first.created_at + LONG / 4);
    let job = submit(catalog, &first.handle, 1, "bad").await.unwrap();
    // A later round does not make the life longer, whatever it asks for.
    let second = catalog.park_job(&job.fence(), new_completion("llm#2")).await.unwrap();
    assert_eq!(second.expires_at, first.expires_at);
}

pub(super) async fn parts_are_collected_in_an_open_round(store: &Store) {
    let catalog = &*store.catalog;
    let (_, completion) = parked(catalog).await;
    let handle = &completion.handle;
    assert!(catalog.append_submission(handle, 1, None, &sha("a")).await.unwrap());
    assert!(store.other.append_submission(handle, 1, Some(&sha("a")), &sha("ab")).await.unwrap());
    // Whoever goes on from what is not there any more is told so, and nothing is lost.
    assert!(!catalog.append_submission(handle, 1, Some(&sha("a")), &sha("ac")).await.unwrap());
    assert!(!catalog.append_submission(handle, 1, None, &sha("x")).await.unwrap());
    assert_eq!(look(catalog, handle).await.partial_sha, Some(sha("ab")));
    assert!(!catalog.append_submission(handle, 2, None, &sha("x")).await.unwrap());
    let unknown = CompletionHandle("cmp_unknown".into());
    assert!(!catalog.append_submission(&unknown, 1, None, &sha("x")).await.unwrap());
    submit(catalog, handle, 1, "abc").await.unwrap();
    assert!(!catalog.append_submission(handle, 1, None, &sha("x")).await.unwrap());
    assert_eq!(look(catalog, handle).await.partial_sha, None);
}

pub(super) async fn a_submission_goes_on_with_the_job(store: &Store) {
    let (job, completion) = parked(&*store.catalog).await;
    let resumed = submit(&*store.other, &completion.handle, 1, "text").await.unwrap();
    assert_eq!(resumed.id, job.id);
    assert_eq!((resumed.state, resumed.attempt), (JobState::Running, 2));
    assert_eq!(resumed.owner.as_deref(), Some("worker-2"));
    let completion = look(&*store.catalog, &completion.handle).await;
    assert_eq!(completion.state, CompletionState::Checking);
    assert_eq!(completion.submitted_sha, Some(sha("text")));
    assert_eq!(store.catalog.step(&job.id, "llm#1").await.unwrap(), Some(sha("step text")));
    // The lease is real, and so is the fence.
    let beats = store.catalog.heartbeat("worker-2", &[resumed.fence()], LONG).await.unwrap();
    assert_eq!(beats.len(), 1);
    assert_error!(
        store.catalog.save_step(&job.fence(), "x", &sha("x")).await,
        StorageError::Fenced(_)
    );
}

pub(super) async fn a_submission_to_another_round_is_refused(store: &Store) {
    let catalog = &*store.catalog;
    let (job, completion) = parked(catalog).await;
    for round in [0, 2] {
        assert!(submit(catalog, &completion.handle, round, "text").await.is_none());
    }
    let unknown = CompletionHandle("cmp_unknown".into());
    assert!(submit(catalog, &unknown, 1, "text").await.is_none());
    assert_eq!(read(catalog, &job.id).await.state, JobState::Waiting);
    assert_eq!(catalog.step(&job.id, "llm#1").await.unwrap(), None);
    submit(catalog, &completion.handle, 1, "text").await.unwrap();
    assert!(submit(catalog, &completion.handle, 1, "text").await.is_none());
}

pub(super) async fn a_submission_without_a_job_changes_nothing(store: &Store) {
    let catalog = &*store.catalog;
    let (job, completion) = parked(catalog).await;
    catalog.claim_job(&job.id, "worker-3", LONG, &[JobState::Waiting]).await.unwrap().unwrap();
    assert!(submit(&*store.other, &completion.handle, 1, "text").await.is_none());
    let completion = look(catalog, &completion.handle).await;
    assert_eq!((completion.state, completion.submitted_sha), (CompletionState::Open, None));
    assert_eq!(catalog.step(&job.id, "llm#1").await.unwrap(), None);
}

pub(super) async fn completions_end_with_their_job(store: &Store) {
    let catalog = &*store.catalog;
    for (end, expected) in [
        (JobState::Done, CompletionState::Settled),
        (JobState::Failed, CompletionState::Settled),
        (JobState::Interrupted, CompletionState::Settled),
        (JobState::Cancelled, CompletionState::Cancelled),
    ] {
        let (_, completion) = parked(catalog).await;
        let job = submit(catalog, &completion.handle, 1, "text").await.unwrap();
        catalog.finish_job(&job.fence(), &ended(end)).await.unwrap();
        let completion = look(&*store.other, &completion.handle).await;
        assert_eq!(completion.state, expected, "after {end:?}");
        assert_eq!(completion.submitted_sha, Some(sha("text")));
        assert!(submit(catalog, &completion.handle, 1, "text").await.is_none());
    }
}

pub(super) async fn completions_expire_with_their_jobs(store: &Store) {
    let catalog = &*store.catalog;
    let (open_job, open) = parked(catalog).await;
    let job = running(catalog).await;
    let short = NewCompletion { ttl_ms: 1, ..new_completion("llm#1") };
    let handle = catalog.park_job(&job.fence(), short).await.unwrap().handle;
    // It shows as expired as soon as it is, before anybody has tidied up.
    eventually("the round shows as expired", async || {
        look(&*store.other, &handle).await.state == CompletionState::Expired
    })
    .await;
    let of_job = catalog.completion_of_job(&job.id).await.unwrap().unwrap();
    assert_eq!(of_job.state, CompletionState::Expired);
    assert_eq!(read(catalog, &job.id).await.state, JobState::Waiting);
    assert!(submit(catalog, &handle, 1, "late").await.is_none());
    assert!(!catalog.append_submission(&handle, 1, None, &sha("late")).await.unwrap());

    assert_eq!(catalog.expire_completions(0).await.unwrap(), 0);
    assert_eq!(catalog.expire_completions(10).await.unwrap(), 1);
    assert_eq!(catalog.expire_completions(10).await.unwrap(), 0);
    assert_eq!(look(catalog, &handle).await.state, CompletionState::Expired);
    assert_eq!(read(catalog, &job.id).await.state, JobState::Expired);
    // The other one is still there to be answered.
    assert_eq!(read(catalog, &open_job.id).await.state, JobState::Waiting);
    assert!(submit(catalog, &open.handle, 1, "text").await.is_some());
}

pub(super) async fn a_job_that_was_to_stop_is_not_parked(store: &Store) {
    let job = running(&*store.catalog).await;
    store.other.request_cancel(&alice(), &job.id).await.unwrap();
    let parked = store.catalog.park_job(&job.fence(), new_completion("llm#1")).await;
    assert_error!(parked, StorageError::Fenced(_));
    assert_eq!(read(&*store.catalog, &job.id).await.state, JobState::Cancelled);
    assert!(store.catalog.completion_of_job(&job.id).await.unwrap().is_none());
}

pub(super) async fn handles_are_seen_by_their_principal_alone(store: &Store) {
    let (_, completion) = parked(&*store.catalog).await;
    assert!(store.catalog.completion(&bob(), &completion.handle).await.unwrap().is_none());
    assert!(store.catalog.completion(&alice(), &completion.handle).await.unwrap().is_some());
    // The same handle for another job is a conflict whose text does not give it away.
    let job = running(&*store.catalog).await;
    let copy = NewCompletion { handle: completion.handle.clone(), ..new_completion("llm#1") };
    let error = store.catalog.park_job(&job.fence(), copy).await.unwrap_err();
    assert!(matches!(error, StorageError::Conflict(_)));
    assert!(!format!("{error} {error:?}").contains(&completion.handle.0));
    assert_eq!(read(&*store.catalog, &job.id).await.state, JobState::Running);
}
