//! Rows to start from.

use atelier::storage::{
    CallId, Catalog, Completion, CompletionHandle, DocumentId, DocumentKind, Fence, InsertedJob,
    Job, JobId, JobMode, JobOutcome, JobState, NewCompletion, NewJob, NewVersion, Owner,
    PrincipalId, PublishedVersion, Sha256Hex, Submission, keys,
};

/// A lease that no test outlives.
pub(super) const LONG: i64 = 600_000;

pub(super) fn alice() -> PrincipalId {
    PrincipalId::from("alice")
}

pub(super) fn bob() -> PrincipalId {
    PrincipalId::from("bob")
}

/// A hash that stands for some content.
pub(super) fn sha(text: &str) -> Sha256Hex {
    atelier::storage::blobs::sha256_hex(text.as_bytes())
}

pub(super) fn new_job() -> NewJob {
    NewJob {
        id: keys::job_id(),
        principal: alice(),
        key: None,
        tool: "create_web_app".into(),
        args_sha: sha("arguments"),
        call_id: CallId::from("0a1b2c3d"),
        mode: JobMode::Plain,
        owner: "worker-1".into(),
        lease_ms: LONG,
    }
}

pub(super) async fn insert(catalog: &dyn Catalog, new: NewJob) -> Job {
    match catalog.insert_job(new).await.unwrap() {
        InsertedJob::New(job) => job,
        InsertedJob::Existing(job) => panic!("exists: {job:?}"),
    }
}

/// A running job with a long lease.
pub(super) async fn running(catalog: &dyn Catalog) -> Job {
    insert(catalog, new_job()).await
}

/// A running task.
pub(super) async fn running_task(catalog: &dyn Catalog) -> Job {
    insert(catalog, NewJob { mode: JobMode::Task, ..new_job() }).await
}

pub(super) async fn read(catalog: &dyn Catalog, id: &JobId) -> Job {
    catalog.job(&alice(), id).await.unwrap().unwrap()
}

pub(super) fn ended(state: JobState) -> JobOutcome {
    JobOutcome { state, result_sha: None, reference_sha: None, error: None }
}

/// Ends a job as interrupted and claims it again: the first fence is void then.
pub(super) async fn taken_over(catalog: &dyn Catalog, fence: &Fence) -> Job {
    catalog.finish_job(fence, &ended(JobState::Interrupted)).await.unwrap();
    catalog
        .claim_job(&fence.job, "worker-2", LONG, &[JobState::Interrupted])
        .await
        .unwrap()
        .unwrap()
}

pub(super) fn new_completion(step: &str) -> NewCompletion {
    NewCompletion {
        handle: keys::completion_handle().unwrap(),
        step: step.into(),
        prompt_sha: sha(step),
        ttl_ms: LONG,
        max_life_ms: 10 * LONG,
    }
}

/// A waiting job and its first round.
pub(super) async fn parked(catalog: &dyn Catalog) -> (Job, Completion) {
    let job = running(catalog).await;
    let completion = catalog.park_job(&job.fence(), new_completion("llm#1")).await.unwrap();
    (job, completion)
}

/// Answers a round as `worker-2`.
pub(super) async fn submit(
    catalog: &dyn Catalog,
    handle: &CompletionHandle,
    round: i64,
    text: &str,
) -> Option<Job> {
    let earlier = catalog
        .completion(&alice(), handle)
        .await
        .unwrap()
        .and_then(|completion| completion.partial_sha);
    let submission = Submission {
        handle,
        round,
        earlier: earlier.as_ref(),
        text_sha: &sha(text),
        step_sha: &sha(&format!("step {text}")),
        owner: "worker-2",
        lease_ms: LONG,
    };
    catalog.submit_completion(submission).await.unwrap()
}

pub(super) fn owner(user: &str) -> Owner {
    Owner { principal: alice(), user: user.into() }
}

pub(super) fn new_version(name: &str) -> NewVersion {
    NewVersion {
        owner: owner("1"),
        kind: DocumentKind::WebApp,
        name: name.into(),
        document: keys::document_id(),
        token: keys::content_token().unwrap(),
        expected_document: None,
        expected_head: None,
        blob_sha: sha(name),
        source_sha: None,
        bytes: 7,
        title: Some(format!("Title of {name}")),
        facts: "{}".into(),
        attachments: Vec::new(),
        tool_names: None,
        thumb_sha: None,
    }
}

/// Publishes by a job of its own.
pub(super) async fn publish(catalog: &dyn Catalog, new: NewVersion) -> PublishedVersion {
    let job = running(catalog).await;
    catalog.publish_version(&job.fence(), new).await.unwrap()
}

pub(super) async fn numbers(catalog: &dyn Catalog, document: &DocumentId) -> Vec<i64> {
    catalog.versions(document).await.unwrap().iter().map(|version| version.n).collect()
}
