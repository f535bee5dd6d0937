//! Runs jobs where they land: inserts and claims them, drives the tool's handler, ends or parks
//! them, and tells whoever waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::Attempt;
use super::endings::{completion_expired, ended_error};
use super::progress::{Progress, ProgressSink};
use super::run::{Run, stopped};
use super::{CompletionRequest, Failure, JobReply, ToolOutput};
use crate::config::limits::LimitsConfig;
use crate::error::{ErrorKind, ToolError};
use crate::llm::resolve::Models;
use crate::registry::CallContext;
use crate::storage::blobs::Blobs;
use crate::storage::{
    CallId, Catalog, Completion, CompletionState, Fence, InsertedJob, Job, JobId, JobMode,
    JobState, NewJob, PrincipalId, StorageError, keys,
};

/// How long a call that lost its answer can be repeated and go on where it was.
const REATTACH_WINDOW_MS: i64 = 10 * 60 * 1000;

/// Runs a tool's handler; the registry does.
pub trait JobExecutor: Send + Sync + 'static {
    /// Runs the handler of a tool once, from its top.
    fn execute(
        &self,
        tool: &str,
        run: Run,
        arguments: Value,
    ) -> BoxFuture<'static, Result<ToolOutput, Failure>>;
}

/// A job to start.
#[derive(Debug)]
pub struct StartJob {
    /// Tool name.
    pub tool: String,
    /// Resolved, validated arguments.
    pub arguments: Value,
    /// Reserved call id.
    pub call_id: CallId,
    /// Circumstances of the call.
    pub context: CallContext,
    /// The principal's place for a call in flight, held until the job ends or is parked; `None` for
    /// a call inside one that has its place.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// How to wait for a job.
#[derive(Debug, Clone)]
pub struct WaitFor {
    /// How long; `None`: until its end.
    pub budget: Option<Duration>,
    /// Fires when nobody wants the answer any more.
    pub cancel: CancellationToken,
    /// Whether the job goes with its caller, or stays when the caller leaves.
    pub on_cancel: OnCancel,
}

/// What becomes of a job whose caller leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCancel {
    /// It is stopped; its steps stay usable. For the call that started it.
    Stop,
    /// It goes on. For look-ups of a job whose id the caller has.
    Leave,
}

/// Why a job was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopReason {
    /// The caller left before it had the job's id.
    CallerGone,
    /// Somebody called `cancel_job`.
    Requested,
    /// Another worker holds it now.
    Lost,
    /// This process ends.
    Shutdown,
}

/// A job that this process runs.
pub(super) struct Live {
    pub(super) fence: Fence,
    pub(super) stop: CancellationToken,
    reason: Arc<OnceLock<StopReason>>,
    pub(super) progress: watch::Receiver<Option<Progress>>,
    done: watch::Receiver<Option<Arc<JobReply>>>,
}

impl Live {
    pub(super) fn stop(&self, reason: StopReason) {
        // The first reason stands.
        let _ = self.reason.set(reason);
        self.stop.cancel();
    }
}

/// What the runner works with.
pub struct RunnerParts {
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Bytes.
    pub blobs: Blobs,
    /// Models.
    pub models: Arc<Models>,
    /// Times.
    pub limits: LimitsConfig,
}

/// Runs jobs. One per process; its owner name is new with every process.
pub struct JobRunner {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) blobs: Blobs,
    pub(super) models: Arc<Models>,
    pub(super) limits: LimitsConfig,
    pub(super) owner: String,
    pub(super) executor: OnceLock<Weak<dyn JobExecutor>>,
    live: Mutex<HashMap<JobId, Live>>,
    pub(super) tasks: TaskTracker,
    pub(super) closing: CancellationToken,
}

impl JobRunner {
    /// A runner without an executor; [`Self::set_executor`] completes it.
    pub fn new(parts: RunnerParts) -> Arc<Self> {
        Arc::new(Self {
            catalog: parts.catalog,
            blobs: parts.blobs,
            models: parts.models,
            limits: parts.limits,
            owner: uuid::Uuid::new_v4().to_string(),
            executor: OnceLock::new(),
            live: Mutex::new(HashMap::new()),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Names who runs handlers: the registry, which owns this runner in turn.
    pub fn set_executor(&self, executor: Weak<dyn JobExecutor>) {
        let _ = self.executor.set(executor);
    }

    /// Starts a job, or goes on with the one that this call repeats, and waits for it.
    ///
    /// # Errors
    /// When the job could not be stored, or the key belongs to another call.
    pub async fn start(self: &Arc<Self>, start: StartJob) -> Result<JobReply, ToolError> {
        let wait = WaitFor {
            budget: start.context.answer_budget,
            cancel: start.context.cancel.clone(),
            on_cancel: OnCancel::Stop,
        };
        let args_sha = self.blobs.put_json(&start.arguments).await?;
        let principal = start.context.principal.clone();
        if start.context.idempotency_key.is_none()
            && let Some(earlier) = self
                .catalog
                .reattachable_job(&principal, &start.tool, &args_sha, REATTACH_WINDOW_MS)
                .await?
            && let Some(reply) = self.go_on(earlier, &start.context, &wait).await?
        {
            return Ok(reply);
        }
        let new = NewJob {
            id: keys::job_id(),
            principal: principal.clone(),
            key: start.context.idempotency_key.clone(),
            tool: start.tool.clone(),
            args_sha: args_sha.clone(),
            call_id: start.call_id,
            mode: JobMode::Plain,
            owner: self.owner.clone(),
            lease_ms: self.lease_ms(),
        };
        let job = match self.catalog.insert_job(new).await? {
            InsertedJob::New(job) => job,
            InsertedJob::Existing(job) => {
                if job.tool != start.tool || job.args_sha != args_sha {
                    return Err(ToolError::new(
                        ErrorKind::Conflict,
                        "idempotency_conflict",
                        "this idempotency key belongs to a call with another tool or other arguments",
                    )
                    .hint("use a new key for a new call"));
                }
                let id = job.id.clone();
                // The call that started it may still wait for it.
                let wait = WaitFor { on_cancel: OnCancel::Leave, ..wait };
                return match self.go_on(job, &start.context, &wait).await? {
                    Some(reply) => Ok(reply),
                    None => self.wait(&principal, &id, &wait).await,
                };
            }
        };
        let id = job.id.clone();
        self.spawn(job, start.arguments, start.context, start.permit);
        self.wait(&principal, &id, &wait).await
    }

    /// Runs an earlier job again if it can go on. `None`: it cannot be had by this call.
    pub(super) async fn go_on(
        self: &Arc<Self>,
        job: Job,
        context: &CallContext,
        wait: &WaitFor,
    ) -> Result<Option<JobReply>, ToolError> {
        match job.state {
            // A waiting job runs again too: a model may be at hand by now. If not, its round stays.
            JobState::Waiting | JobState::Interrupted => {
                let claimed = self
                    .catalog
                    .claim_job(
                        &job.id,
                        &self.owner,
                        self.lease_ms(),
                        &[JobState::Interrupted, JobState::Waiting],
                    )
                    .await?;
                let Some(claimed) = claimed else { return Ok(None) };
                self.resume(claimed, context.clone(), wait).await.map(Some)
            }
            JobState::Queued
            | JobState::Running
            | JobState::Done
            | JobState::Failed
            | JobState::Cancelled
            | JobState::Expired => Ok(None),
        }
    }

    /// Runs a job that this process has claimed, from its top, and waits for it.
    ///
    /// # Errors
    /// When its arguments cannot be read.
    pub(super) async fn resume(
        self: &Arc<Self>,
        job: Job,
        context: CallContext,
        wait: &WaitFor,
    ) -> Result<JobReply, ToolError> {
        let principal = job.principal.clone();
        let id = job.id.clone();
        let arguments: Value = self.blobs.get_json(&job.args_sha).await?;
        self.spawn(job, arguments, context, None);
        self.wait(&principal, &id, wait).await
    }

    /// Waits for a job, wherever it runs.
    ///
    /// # Errors
    /// `job_not_found` when the principal has no such job; the store's.
    pub async fn wait(
        self: &Arc<Self>,
        principal: &PrincipalId,
        id: &JobId,
        wait: &WaitFor,
    ) -> Result<JobReply, ToolError> {
        let deadline = wait.budget.map(|budget| tokio::time::Instant::now() + budget);
        // A live job must also be this principal's; the row decides.
        let job = self.job(principal, id).await?;
        let live = self.lock().get(id).map(|live| (live.fence.clone(), live.done.clone()));
        let Some((fence, mut done)) = live else {
            return self.poll(principal, job, deadline, &wait.cancel).await;
        };
        let finished = async {
            match done.wait_for(Option::is_some).await {
                Ok(reply) => reply.as_deref().cloned(),
                Err(_) => None,
            }
        };
        tokio::select! {
            biased;
            reply = finished => match reply {
                Some(reply) => Ok(reply),
                None => self.reply_of(&self.job(principal, id).await?).await,
            },
            () = wait.cancel.cancelled() => {
                if wait.on_cancel == OnCancel::Stop {
                    self.stop(id, StopReason::CallerGone);
                }
                Err(stopped())
            }
            () = until(deadline) => {
                // From here on the caller holds the id, so the job must survive the caller.
                match self.catalog.detach_job(&fence).await {
                    Ok(()) | Err(StorageError::Fenced(_)) => {}
                    Err(error) => return Err(error.into()),
                }
                self.reply_of(&self.job(principal, id).await?).await
            }
        }
    }

    /// Waits for a job of another process.
    async fn poll(
        &self,
        principal: &PrincipalId,
        mut job: Job,
        deadline: Option<tokio::time::Instant>,
        cancel: &CancellationToken,
    ) -> Result<JobReply, ToolError> {
        let mut pause = Duration::from_millis(100);
        loop {
            let running = matches!(job.state, JobState::Queued | JobState::Running);
            let over = deadline.is_some_and(|deadline| tokio::time::Instant::now() >= deadline);
            if !running || over {
                return self.reply_of(&job).await;
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(stopped()),
                () = until(deadline) => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(Duration::from_secs(1));
            job = self.job(principal, &job.id).await?;
        }
    }

    /// A job of this principal.
    ///
    /// # Errors
    /// `job_not_found`; the store's.
    pub(super) async fn job(&self, principal: &PrincipalId, id: &JobId) -> Result<Job, ToolError> {
        self.catalog.job(principal, id).await?.ok_or_else(|| {
            ToolError::not_found("job_not_found", format!("there is no job `{id}`"))
                .hint("use the job_id of a result with status `running`; jobs are kept for a limited time")
        })
    }

    /// Asks a job to stop and says what became of it.
    ///
    /// # Errors
    /// `job_not_found`; the store's.
    pub async fn cancel(&self, principal: &PrincipalId, id: &JobId) -> Result<JobState, ToolError> {
        let state = self.catalog.request_cancel(principal, id).await?;
        let Some(state) = state else {
            // The same answer as for any job that is not there.
            return self.job(principal, id).await.map(|job| job.state);
        };
        if state == JobState::Running {
            self.stop(id, StopReason::Requested);
        }
        Ok(state)
    }

    /// What the rows say about a job now.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn reply_of(&self, job: &Job) -> Result<JobReply, ToolError> {
        let call_id = job.call_id.clone();
        match job.state {
            JobState::Done => {
                let Some(sha) = &job.result_sha else {
                    return Err(ToolError::internal("a done job has no result"));
                };
                Ok(JobReply::Done { call_id, output: self.blobs.get_json(sha).await? })
            }
            JobState::Queued | JobState::Running => {
                let live = self.lock().get(&job.id).and_then(|live| live.progress.borrow().clone());
                let stored =
                    || job.progress.as_deref().and_then(|json| serde_json::from_str(json).ok());
                Ok(JobReply::Running {
                    job: job.id.clone(),
                    call_id,
                    progress: live.or_else(stored),
                })
            }
            JobState::Waiting => match self.catalog.completion_of_job(&job.id).await? {
                Some(completion) if completion.state == CompletionState::Expired => {
                    Ok(JobReply::Failed { call_id, error: completion_expired() })
                }
                Some(completion) => self.needs_completion(job, &completion).await,
                None => Err(ToolError::internal("a waiting job has no completion")),
            },
            JobState::Failed | JobState::Cancelled | JobState::Interrupted | JobState::Expired => {
                Ok(JobReply::Failed { call_id, error: ended_error(job) })
            }
        }
    }

    async fn needs_completion(
        &self,
        job: &Job,
        completion: &Completion,
    ) -> Result<JobReply, ToolError> {
        let request: CompletionRequest = self.blobs.get_json(&completion.prompt_sha).await?;
        Ok(JobReply::NeedsCompletion {
            job: job.id.clone(),
            call_id: job.call_id.clone(),
            handle: completion.handle.clone(),
            round: completion.round,
            expires_at: completion.expires_at,
            request: Box::new(request),
        })
    }

    /// Runs a claimed job in a task of its own.
    pub(super) fn spawn(
        self: &Arc<Self>,
        job: Job,
        arguments: Value,
        context: CallContext,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let stop = CancellationToken::new();
        let reason = Arc::new(OnceLock::new());
        let (progress_sender, progress) = watch::channel(None);
        let (done_sender, done) = watch::channel(None);
        let live = Live {
            fence: job.fence(),
            stop: stop.clone(),
            reason: Arc::clone(&reason),
            progress,
            done,
        };
        // After the machine slept, this process may take over its own earlier attempt.
        if let Some(earlier) = self.lock().insert(job.id.clone(), live) {
            earlier.stop(StopReason::Lost);
        }
        let listener = context.progress.clone();
        let sink = ProgressSink::new(move |progress| {
            progress_sender.send_replace(Some(progress.clone()));
            listener.send(progress);
        });
        let runner = Arc::clone(self);
        self.tasks.spawn(async move {
            let attempt = Attempt { job, arguments, context, stop, reason, progress: sink };
            let (id, fence) = (attempt.job.id.clone(), attempt.job.fence());
            let reply = runner.drive(attempt).await;
            drop(permit);
            // Readers that come later find the row; those that wait get the reply.
            let mut live = runner.lock();
            if live.get(&id).is_some_and(|live| live.fence == fence) {
                live.remove(&id);
            }
            drop(live);
            done_sender.send_replace(Some(Arc::new(reply)));
        });
    }

    fn stop(&self, id: &JobId, reason: StopReason) {
        if let Some(live) = self.lock().get(id) {
            live.stop(reason);
        }
    }

    pub(super) fn lease_ms(&self) -> i64 {
        seconds_to_ms(self.limits.lease_s)
    }

    /// The live jobs. A panic while it was held cannot leave it inconsistent: entries are whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for JobRunner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("JobRunner").field("owner", &self.owner).finish_non_exhaustive()
    }
}

async fn until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Milliseconds of a configured number of seconds.
pub(super) fn seconds_to_ms(seconds: f64) -> i64 {
    i64::try_from(Duration::from_secs_f64(seconds.max(0.0)).as_millis()).unwrap_or(i64::MAX)
}
