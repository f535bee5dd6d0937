//! One attempt of a job, as its tool sees it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::Failure;
use super::completion::{Ask, CompletionRequest, ModelAtHand};
use super::files::with_files;
use super::progress::{Progress, ProgressSink};
use crate::error::{ErrorKind, ToolError};
use crate::llm::guard::{Growth, Written};
use crate::llm::resolve::{Choice, Models};
use crate::llm::{LlmError, LlmErrorCode, Outcome, Request, Route, sampling};
use crate::registry::CallContext;
use crate::storage::blobs::Blobs;
use crate::storage::{CallId, Catalog, Fence, Job, JobId, StorageResult};

/// One attempt of a job. Cheap to clone.
#[derive(Clone)]
pub struct Run {
    inner: Arc<Inner>,
}

struct Inner {
    job: Job,
    context: CallContext,
    cancel: CancellationToken,
    catalog: Arc<dyn Catalog>,
    blobs: Blobs,
    models: Arc<Models>,
    progress: ProgressSink,
    /// Bits of the highest progress value so far: clients demand rising values.
    progress_value: AtomicU64,
}

/// What a run is made from; the runner makes it.
pub(super) struct RunParts {
    pub(super) job: Job,
    pub(super) context: CallContext,
    pub(super) cancel: CancellationToken,
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) blobs: Blobs,
    pub(super) models: Arc<Models>,
    pub(super) progress: ProgressSink,
}

impl Run {
    pub(super) fn new(parts: RunParts) -> Self {
        Self {
            inner: Arc::new(Inner {
                job: parts.job,
                context: parts.context,
                cancel: parts.cancel,
                catalog: parts.catalog,
                blobs: parts.blobs,
                models: parts.models,
                progress: parts.progress,
                progress_value: AtomicU64::new(0),
            }),
        }
    }

    /// Id of the job.
    pub fn job_id(&self) -> &JobId {
        &self.inner.job.id
    }

    /// Call id under which the result will be recorded.
    pub fn call_id(&self) -> &CallId {
        &self.inner.job.call_id
    }

    /// Who calls, and from where.
    pub fn context(&self) -> &CallContext {
        &self.inner.context
    }

    /// What the writes of this attempt are checked against.
    pub fn fence(&self) -> Fence {
        self.inner.job.fence()
    }

    /// When the job was made, milliseconds since the Unix epoch: the clock of its prompts, equal
    /// in every attempt.
    pub fn started_at(&self) -> i64 {
        self.inner.job.created_at
    }

    /// Fires when the job must stop.
    pub fn cancel(&self) -> &CancellationToken {
        &self.inner.cancel
    }

    /// An unguessable word that is equal in every attempt: delimits data in prompts.
    pub fn delimiter(&self) -> String {
        let sha = crate::storage::blobs::sha256_hex(self.inner.job.id.as_str().as_bytes());
        sha.0.chars().take(16).collect()
    }

    /// Reports progress. `value` of `total`; values that do not rise are lifted.
    pub fn progress(&self, value: f64, total: Option<f64>, message: impl Into<String>) {
        let highest = f64::from_bits(self.inner.progress_value.load(Ordering::Relaxed));
        let value = if value > highest { value } else { highest + 0.001 };
        self.inner.progress_value.store(value.to_bits(), Ordering::Relaxed);
        self.inner.progress.send(&Progress { value, total, message: message.into() });
    }

    /// The stored result of a step, when it ran before.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn stored<T: DeserializeOwned>(&self, name: &str) -> StorageResult<Option<T>> {
        match self.inner.catalog.step(&self.inner.job.id, name).await? {
            Some(sha) => Ok(Some(self.inner.blobs.get_json(&sha).await?)),
            None => Ok(None),
        }
    }

    /// Stores the result of a step: blob, then row, fenced.
    ///
    /// # Errors
    /// When the store cannot be written or the job was lost.
    pub async fn store<T: Serialize + Sync>(&self, name: &str, value: &T) -> StorageResult<()> {
        let sha = self.inner.blobs.put_json(value).await?;
        self.inner.catalog.save_step(&self.fence(), name, &sha).await
    }

    /// Runs a step unless its result is stored, and stores it before returning.
    ///
    /// # Errors
    /// The step's own, or the store's.
    pub async fn step<T, E, Fut>(
        &self,
        name: &str,
        work: impl FnOnce() -> Fut + Send,
    ) -> Result<T, Failure>
    where
        T: Serialize + DeserializeOwned + Send + Sync,
        E: Into<Failure>,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        if let Some(value) = self.stored(name).await? {
            return Ok(value);
        }
        let value = self.until_cancelled(work()).await?.map_err(Into::into)?;
        self.store(name, &value).await?;
        Ok(value)
    }

    /// Asks a model as a step: returns the stored answer, or asks and stores it, or suspends the
    /// job when somebody else has to write the text.
    ///
    /// # Errors
    /// [`Failure::Suspend`] for host completion and sampling by retry; else why no answer came.
    pub async fn complete(&self, ask: Ask) -> Result<Outcome, Failure> {
        let run = self.clone();
        self.complete_and_tell(ask, &|growth| {
            if let Growth::Text { bytes, .. } = growth {
                run.report_bytes(bytes);
            }
        })
        .await
    }

    /// Who would answer a question now.
    ///
    /// # Errors
    /// When the named model cannot be used, or nobody can answer.
    pub async fn model_at_hand(&self, model: Option<&str>) -> Result<ModelAtHand, Failure> {
        let choice = self
            .inner
            .models
            .choose(model, &self.inner.context.models)
            .await
            .map_err(tool_error)?;
        Ok(ModelAtHand::of(&choice))
    }

    /// As [`Self::complete`], and tells how the answer grows.
    ///
    /// # Errors
    /// As [`Self::complete`].
    pub async fn complete_and_tell(
        &self,
        ask: Ask,
        written: Written<'_>,
    ) -> Result<Outcome, Failure> {
        if let Some(outcome) = self.stored(&ask.step).await? {
            return Ok(outcome);
        }
        let inner = &self.inner;
        let choice = inner
            .models
            .choose(ask.model.as_deref(), &inner.context.models)
            .await
            .map_err(tool_error)?;
        let suspend = |ask: Ask, by_sampling| {
            Err(Failure::Suspend(Box::new(CompletionRequest {
                step: ask.step,
                // The answer is a text: whoever is asked this way makes calls by itself.
                request: Request { tools: Vec::new(), ..ask.as_text.unwrap_or(ask.request) },
                attempt: ask.attempt,
                max_attempts: ask.max_attempts,
                errors: ask.errors,
                by_sampling,
            })))
        };
        let (model, note) = match choice {
            Choice::Model { model, note } => (model, note),
            Choice::Sampling => {
                let asked = ask.as_text.as_ref().unwrap_or(&ask.request);
                let request = with_files(asked, sampling::reads, &inner.blobs).await?;
                let request = request.into_owned();
                return suspend(Ask { request, as_text: None, ..ask }, true);
            }
            Choice::Host => return suspend(ask, false),
        };
        self.check_daily_tokens().await?;
        let asked = match &ask.as_text {
            Some(request) if model.route() == Route::Command => request,
            Some(_) | None => &ask.request,
        };
        let request = with_files(asked, |media_type| model.reads(media_type), &inner.blobs).await?;
        let answer = inner.models.complete(model.as_ref(), &request, &inner.cancel, written).await;
        let mut outcome = match answer {
            Ok(outcome) => outcome,
            // The user of the client declined its model; the host may still write the text.
            Err(error)
                if error.code == LlmErrorCode::SamplingDenied
                    && inner.context.models.host_completion =>
            {
                return suspend(ask, false);
            }
            Err(error) => return Err(Failure::Error(tool_error(error))),
        };
        outcome.model_note = note;
        self.store(&ask.step, &outcome).await?;
        // The answer is paid and stored; a counter that fails must not cost it.
        if let Err(error) = self.count_daily_tokens(&outcome).await {
            tracing::warn!(error.cause = %error, "the daily tokens could not be counted");
        }
        Ok(outcome)
    }

    /// Waits for work unless the job is stopped first.
    async fn until_cancelled<T>(&self, work: impl Future<Output = T> + Send) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.inner.cancel.cancelled() => Err(Failure::Error(stopped())),
            value = work => Ok(value),
        }
    }

    fn report_bytes(&self, bytes: usize) {
        // 30 kB is a usual page: the bar nears its end and never reaches it.
        #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
        let written = bytes as f64;
        let value = 10.0 + 80.0 * (1.0 - (-written / 30_000.0).exp());
        self.progress(value, Some(100.0), format!("the model has written {bytes} bytes"));
    }

    async fn check_daily_tokens(&self) -> Result<(), Failure> {
        for allowance in self.allowances() {
            let used = self
                .inner
                .catalog
                .add_quota(&self.inner.job.principal, &allowance.kind, DAY_MS, 0, allowance.per_day)
                .await?;
            if used.is_none_or(|used| used >= allowance.per_day) {
                let LlmAllowance { per_day, whose, advice, .. } = allowance;
                return Err(Failure::Error(tool_error(
                    LlmError::new(
                        LlmErrorCode::QuotaExceeded,
                        format!("the daily allowance of {per_day} model tokens{whose} is used up"),
                    )
                    .hint(advice),
                )));
            }
        }
        Ok(())
    }

    /// What limits the tokens of this call: the principal's allowance, and that of the program
    /// that calls.
    fn allowances(&self) -> Vec<LlmAllowance> {
        let principal = self.inner.models.daily_tokens().map(|per_day| LlmAllowance {
            kind: "llm_tokens".to_owned(),
            per_day,
            whose: "",
            advice: "go on tomorrow, name the model `host` to write the text yourself, or raise `llm.daily_tokens`",
        });
        let program = self.inner.context.tokens.as_ref().map(|allowance| LlmAllowance {
            kind: format!("llm_tokens:{}", allowance.holder),
            per_day: allowance.per_day,
            whose: " of this app",
            advice: "go on tomorrow, or let the operator raise `limits.page_tokens_per_day`",
        });
        principal.into_iter().chain(program).collect()
    }

    async fn count_daily_tokens(&self, outcome: &Outcome) -> StorageResult<()> {
        let used =
            outcome.usage.input_tokens.unwrap_or(0) + outcome.usage.output_tokens.unwrap_or(0);
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        for allowance in self.allowances() {
            self.inner
                .catalog
                .add_quota(&self.inner.job.principal, &allowance.kind, DAY_MS, used, i64::MAX)
                .await?;
        }
        Ok(())
    }
}

/// A daily limit of model tokens.
struct LlmAllowance {
    kind: String,
    per_day: i64,
    whose: &'static str,
    advice: &'static str,
}

/// Window of the daily allowance.
const DAY_MS: i64 = 24 * 3600 * 1000;

fn tool_error(error: LlmError) -> ToolError {
    error.into()
}

/// The error of a job that was stopped from outside; the runner replaces it by the reason.
pub(super) fn stopped() -> ToolError {
    ToolError::new(ErrorKind::Cancelled, "cancelled", "the call was cancelled")
}
