//! One attempt of a job, from the claim to the state it leaves behind.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock, Weak};

use futures::FutureExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::endings::{interrupted, no_language_model, panicked};
use super::progress::ProgressSink;
use super::run::{Run, RunParts, stopped};
use super::runner::{JobRunner, StopReason, seconds_to_ms};
use super::{CompletionRequest, Failure, JobReply, ToolOutput};
use crate::error::{Answers, ErrorKind, ToolError};
use crate::registry::CallContext;
use crate::storage::{
    Fence, Job, JobMode, JobOutcome, JobState, NewCompletion, StorageError, keys,
};

/// One attempt to drive.
pub(super) struct Attempt {
    pub(super) job: Job,
    pub(super) arguments: Value,
    pub(super) context: CallContext,
    pub(super) stop: CancellationToken,
    pub(super) reason: Arc<OnceLock<StopReason>>,
    pub(super) progress: ProgressSink,
}

impl JobRunner {
    pub(super) async fn drive(&self, attempt: Attempt) -> JobReply {
        let job = attempt.job;
        let call_id = job.call_id.clone();
        let fence = job.fence();
        let Some(executor) = self.executor.get().and_then(Weak::upgrade) else {
            return JobReply::Failed { call_id, error: stopped() };
        };
        let host_completion = attempt.context.models.host_completion;
        let run = Run::new(RunParts {
            job: job.clone(),
            context: attempt.context,
            cancel: attempt.stop.clone(),
            catalog: Arc::clone(&self.catalog),
            blobs: self.blobs.clone(),
            models: Arc::clone(&self.models),
            progress: attempt.progress,
        });
        let tool = job.tool.clone();
        let work =
            AssertUnwindSafe(async { executor.execute(&tool, run, attempt.arguments).await })
                .catch_unwind();
        let result = tokio::select! {
            biased;
            () = attempt.stop.cancelled() => Err(Failure::Error(stopped())),
            result = work => result.unwrap_or_else(|panic| Err(Failure::Error(panicked(&tool, &panic)))),
        };
        let reply = match result {
            Ok(output) => self.finish_done(&job, output).await,
            Err(Failure::Suspend(request)) if host_completion || request.by_sampling => {
                self.park(&job, *request).await
            }
            Err(Failure::Suspend(_)) => {
                let error = no_language_model();
                self.finish_failed(&fence, JobState::Failed, &error)
                    .await
                    .map(|()| JobReply::Failed { call_id: call_id.clone(), error })
            }
            Err(Failure::Error(error)) => {
                let (state, error) = match attempt.reason.get() {
                    // What fails for a passing reason can be repeated without paying again.
                    None if is_passing(&error) => (JobState::Interrupted, error),
                    None => (JobState::Failed, error),
                    Some(StopReason::Requested) => (JobState::Cancelled, stopped()),
                    Some(StopReason::CallerGone | StopReason::Shutdown) => {
                        (JobState::Interrupted, interrupted())
                    }
                    Some(StopReason::Lost) => {
                        return JobReply::Failed { call_id, error: interrupted() };
                    }
                };
                // A task that a shutdown interrupts is left to be adopted; its lease is released.
                let adopt =
                    attempt.reason.get() == Some(&StopReason::Shutdown) && self.is_task(&job).await;
                if adopt {
                    return JobReply::Failed { call_id, error };
                }
                self.finish_failed(&fence, state, &error)
                    .await
                    .map(|()| JobReply::Failed { call_id: call_id.clone(), error })
            }
        };
        match reply {
            Ok(reply) => reply,
            // Somebody else ended or took the job; its row says how.
            Err(StorageError::Fenced(_)) => match self.catalog.job(&job.principal, &job.id).await {
                Ok(Some(now)) => self
                    .reply_of(&now)
                    .await
                    .unwrap_or_else(|error| JobReply::Failed { call_id, error }),
                Ok(None) | Err(_) => JobReply::Failed { call_id, error: interrupted() },
            },
            Err(error) => JobReply::Failed { call_id, error: error.into() },
        }
    }

    async fn is_task(&self, job: &Job) -> bool {
        matches!(
            self.catalog.job(&job.principal, &job.id).await,
            Ok(Some(Job { mode: JobMode::Task, .. }))
        )
    }

    async fn finish_done(&self, job: &Job, output: ToolOutput) -> Result<JobReply, StorageError> {
        let result_sha = self.blobs.put_json(&output).await?;
        let reference_sha = self.blobs.put_json(&output.structured).await?;
        let outcome = JobOutcome {
            state: JobState::Done,
            result_sha: Some(result_sha),
            reference_sha: Some(reference_sha),
            error: None,
        };
        self.catalog.finish_job(&job.fence(), &outcome).await?;
        Ok(JobReply::Done { call_id: job.call_id.clone(), output })
    }

    async fn finish_failed(
        &self,
        fence: &Fence,
        state: JobState,
        error: &ToolError,
    ) -> Result<(), StorageError> {
        let outcome = JobOutcome {
            state,
            result_sha: None,
            reference_sha: None,
            error: Some(error.to_stored_json().to_string()),
        };
        match self.catalog.finish_job(fence, &outcome).await {
            // Somebody ended it first; the error stands for this caller all the same.
            Ok(()) | Err(StorageError::Fenced(_)) => Ok(()),
            Err(storage) => {
                tracing::warn!(job.id = %fence.job, error.cause = %storage, "a failed job could not be stored");
                Ok(())
            }
        }
    }

    async fn park(&self, job: &Job, request: CompletionRequest) -> Result<JobReply, StorageError> {
        let prompt_sha = self.blobs.put_json(&request).await?;
        let new = NewCompletion {
            handle: keys::completion_handle()?,
            step: request.step.clone(),
            prompt_sha,
            ttl_ms: seconds_to_ms(self.limits.completion_ttl_s),
            max_life_ms: seconds_to_ms(self.limits.completion_max_life_s),
        };
        let completion = self.catalog.park_job(&job.fence(), new).await?;
        Ok(JobReply::NeedsCompletion {
            job: job.id.clone(),
            call_id: job.call_id.clone(),
            handle: completion.handle,
            round: completion.round,
            expires_at: completion.expires_at,
            request: Box::new(request),
        })
    }
}

/// Whether the same call may succeed later with the steps that are stored now.
fn is_passing(error: &ToolError) -> bool {
    let passing = match error.kind {
        ErrorKind::Unavailable | ErrorKind::Limit => true,
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Denied
        | ErrorKind::Cancelled
        | ErrorKind::Internal => false,
    };
    // Where the stored answers themselves are what is wrong, they would only fail again.
    passing && error.answers == Answers::Kept
}
