//! Taking the text that a host, or a client's sampling, wrote.

use std::sync::Arc;

use super::endings::completion_expired;
use super::runner::{JobRunner, OnCancel, WaitFor};
use super::{CompletionRequest, JobReply};
use crate::error::{ErrorKind, ToolError};
use crate::llm::{Outcome, Route, Stop, Usage};
use crate::registry::CallContext;
use crate::storage::blobs::sha256_hex;
use crate::storage::{Completion, CompletionHandle, CompletionState, PrincipalId, Submission};

/// What became of a submitted text.
#[derive(Debug, Clone)]
pub enum Submitted {
    /// It was a part; this many bytes are there now.
    Part {
        /// Bytes collected so far.
        received_bytes: usize,
    },
    /// The call went on with it.
    Reply(JobReply),
}

/// A text to submit.
#[derive(Debug, Clone)]
pub struct Text {
    /// Handle of the completion.
    pub handle: CompletionHandle,
    /// The text, or its next part.
    pub text: String,
    /// Whether further parts follow.
    pub more: bool,
    /// Round that the text answers, where the caller was told; a text for an earlier round is not
    /// taken for the present one.
    pub round: Option<i64>,
}

impl JobRunner {
    /// Takes a text for a pending completion and goes on with its call.
    ///
    /// # Errors
    /// `completion_not_found`, `completion_expired`, `completion_already_used`,
    /// `completion_busy`, `completion_empty`, `too_large`, or the store's. None of them uses up a
    /// try.
    pub async fn submit(
        self: &Arc<Self>,
        submission: Text,
        context: CallContext,
    ) -> Result<Submitted, ToolError> {
        // In a task of its own: a caller that leaves between the acceptance of the text and the
        // start of the job must not strand the job.
        let runner = Arc::clone(self);
        let work = self.tasks.spawn(async move { runner.accept(submission, context).await });
        work.await.unwrap_or_else(|error| {
            Err(ToolError::internal(&format!("a submission ended: {error}")))
        })
    }

    async fn accept(
        self: &Arc<Self>,
        submission: Text,
        context: CallContext,
    ) -> Result<Submitted, ToolError> {
        let completion = self.pending(&context.principal, &submission.handle).await?;
        let wait = WaitFor {
            budget: context.answer_budget,
            cancel: context.cancel.clone(),
            on_cancel: OnCancel::Leave,
        };
        if submission.round.is_some_and(|round| round != completion.round) {
            let job = self.job(&context.principal, &completion.job).await?;
            return self.reply_of(&job).await.map(Submitted::Reply);
        }
        let text = self.collected(&completion, &submission.text).await?;
        match completion.state {
            CompletionState::Open => {}
            CompletionState::Checking | CompletionState::Settled => {
                let same = completion.submitted_sha == Some(sha256_hex(text.as_bytes()));
                return match (same, completion.state) {
                    (true, _) => {
                        // A job that was interrupted with this text goes on with it.
                        let job = self.job(&context.principal, &completion.job).await?;
                        let id = job.id.clone();
                        let reply = match self.go_on(job, &context, &wait).await? {
                            Some(reply) => reply,
                            None => self.wait(&context.principal, &id, &wait).await?,
                        };
                        Ok(Submitted::Reply(reply))
                    }
                    (false, CompletionState::Checking) => Err(busy()),
                    (false, _) => Err(already_used()),
                };
            }
            CompletionState::Expired => return Err(completion_expired()),
            CompletionState::Cancelled => return Err(cancelled()),
        }
        let request: CompletionRequest = self.blobs.get_json(&completion.prompt_sha).await?;
        let limit = request.request.expects.max_bytes;
        if text.len() > limit {
            if completion.partial_sha.is_some() {
                // The parts are given up, so that a shorter text can begin anew.
                let empty = self.blobs.put("").await?;
                let earlier = completion.partial_sha.as_ref();
                self.catalog
                    .append_submission(&completion.handle, completion.round, earlier, &empty)
                    .await?;
            }
            return Err(ToolError::new(
                ErrorKind::Limit,
                "too_large",
                format!(
                    "the text has {} bytes, more than the {limit} that are allowed",
                    text.len()
                ),
            )
            .hint("write a shorter text and submit it whole with the same handle"));
        }
        if submission.more {
            let sha = self.blobs.put(text.clone().into_bytes()).await?;
            let open = self
                .catalog
                .append_submission(
                    &completion.handle,
                    completion.round,
                    completion.partial_sha.as_ref(),
                    &sha,
                )
                .await?;
            return if open {
                Ok(Submitted::Part { received_bytes: text.len() })
            } else {
                Err(busy())
            };
        }
        if text.trim().is_empty() {
            return Err(ToolError::invalid("completion_empty", "`text` is empty").hint(
                "write the text that the prompt asks for and submit it with the same handle",
            ));
        }
        let outcome = Outcome {
            text: text.clone(),
            calls: Vec::new(),
            thought_signatures: Vec::new(),
            model_used: None,
            route: if request.by_sampling { Route::Sampling } else { Route::Host },
            model_note: None,
            usage: Usage::default(),
            cost_usd: None,
            tries: 1,
            elapsed_ms: 0,
            stop: Stop::Complete,
        };
        let text_sha = self.blobs.put(text.into_bytes()).await?;
        let step_sha = self.blobs.put_json(&outcome).await?;
        let claimed = self
            .catalog
            .submit_completion(Submission {
                handle: &completion.handle,
                round: completion.round,
                earlier: completion.partial_sha.as_ref(),
                text_sha: &text_sha,
                step_sha: &step_sha,
                owner: &self.owner,
                lease_ms: self.lease_ms(),
            })
            .await?;
        let Some(job) = claimed else { return Err(busy()) };
        self.resume(job, context, &wait).await.map(Submitted::Reply)
    }

    /// The completion behind a handle of this principal.
    ///
    /// # Errors
    /// `completion_not_found`, also for another principal's; the store's.
    pub async fn pending(
        &self,
        principal: &PrincipalId,
        handle: &CompletionHandle,
    ) -> Result<Completion, ToolError> {
        self.catalog.completion(principal, handle).await?.ok_or_else(|| {
            ToolError::not_found(
                "completion_not_found",
                "there is no pending completion with this handle",
            )
            .hint("use the handle of a result with status `needs_completion`, whole and unchanged")
        })
    }

    /// What a completion asks, as its `needs_completion` answer.
    ///
    /// # Errors
    /// When it is over; the store's.
    pub async fn pending_reply(
        &self,
        principal: &PrincipalId,
        handle: &CompletionHandle,
    ) -> Result<JobReply, ToolError> {
        let completion = self.pending(principal, handle).await?;
        match completion.state {
            CompletionState::Open | CompletionState::Checking | CompletionState::Settled => {
                let job = self.job(principal, &completion.job).await?;
                self.reply_of(&job).await
            }
            CompletionState::Expired => Err(completion_expired()),
            CompletionState::Cancelled => Err(cancelled()),
        }
    }

    /// The parts sent so far and this one.
    async fn collected(&self, completion: &Completion, text: &str) -> Result<String, ToolError> {
        let Some(sha) = &completion.partial_sha else { return Ok(text.to_owned()) };
        let earlier = self.blobs.get(sha).await?;
        let earlier = std::str::from_utf8(&earlier).map_err(|error| {
            ToolError::internal(&format!("a stored part is not UTF-8: {error}"))
        })?;
        Ok(format!("{earlier}{text}"))
    }
}

fn busy() -> ToolError {
    let mut error = ToolError::new(
        ErrorKind::Conflict,
        "completion_busy",
        "another text for this handle is being checked",
    )
    .hint("ask get_job for the call's state, or submit the same text again");
    error.retry_after_s = Some(1.0);
    error
}

fn already_used() -> ToolError {
    ToolError::new(
        ErrorKind::Conflict,
        "completion_already_used",
        "this handle was answered with another text, and its call has ended",
    )
    .hint("call the tool again for another text")
}

fn cancelled() -> ToolError {
    ToolError::new(ErrorKind::Cancelled, "cancelled", "the call behind this handle was cancelled")
        .hint("call the tool again")
}
