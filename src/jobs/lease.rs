//! Keeping jobs alive: heartbeats, adoption of lost ones, expiry, and the end of the process.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::runner::{JobRunner, OnCancel, StopReason, WaitFor, seconds_to_ms};
use crate::registry::{CallContext, Origin};
use crate::storage::{Fence, StorageError};

/// How often a job may be claimed before it counts as poison.
const MAX_ATTEMPTS: i64 = 5;
/// How many lost jobs one sweep adopts.
const ADOPTIONS_PER_SWEEP: u32 = 4;
/// Sweeps between two removals of rows whose time is over.
const SWEEPS_PER_CLEANUP: u32 = 120;

impl JobRunner {
    /// Starts the heartbeat and the reaper; they end with [`Self::shut_down`].
    pub fn start_background(self: &Arc<Self>) {
        self.start_heartbeat();
        let lease = Duration::from_secs_f64(self.limits.lease_s.max(0.05));
        let reaper = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut sweeps = 0_u32;
            // Spread over processes that started together, by the random owner name.
            let spread = u64::from(reaper.owner.bytes().next().unwrap_or(0)) * 4;
            while reaper.pause(lease / 4 + Duration::from_millis(spread)).await {
                // After a sleep of the machine our own leases have run out too: renew them first.
                reaper.beat().await;
                reaper.reap(sweeps.is_multiple_of(SWEEPS_PER_CLEANUP)).await;
                sweeps = sweeps.wrapping_add(1);
            }
        });
    }

    /// Starts the heartbeat alone: for a process that makes one call and adopts nothing.
    pub fn start_heartbeat(self: &Arc<Self>) {
        let lease = Duration::from_secs_f64(self.limits.lease_s.max(0.05));
        let heartbeat = Arc::clone(self);
        self.tasks.spawn(async move {
            while heartbeat.pause(lease / 4).await {
                heartbeat.beat().await;
            }
        });
    }

    /// Lets jobs go on for the grace time, then stops them and gives up their leases.
    pub async fn shut_down(&self) {
        self.closing.cancel();
        self.tasks.close();
        let grace = Duration::from_secs_f64(self.limits.shutdown_grace_s.max(0.0));
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            for live in self.lock().values() {
                live.stop(StopReason::Shutdown);
            }
            let _ = tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await;
        }
        if let Err(error) = self.catalog.release_jobs(&self.owner).await {
            tracing::warn!(error.cause = %error, "leases could not be released");
        }
    }

    /// Waits; `false` when the process ends.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.closing.cancelled() => {
                // Heartbeats go on while calls in flight use their grace time.
                if self.lock().is_empty() {
                    return false;
                }
                tokio::time::sleep(time.min(Duration::from_millis(100))).await;
                !self.lock().is_empty()
            }
            () = tokio::time::sleep(time) => true,
        }
    }

    async fn beat(&self) {
        let held: Vec<(Fence, Option<String>)> = self
            .lock()
            .values()
            .map(|live| {
                let progress = live
                    .progress
                    .borrow()
                    .as_ref()
                    .map(|progress| serde_json::to_string(progress).unwrap_or_default());
                (live.fence.clone(), progress)
            })
            .collect();
        if held.is_empty() {
            return;
        }
        let fences: Vec<Fence> = held.iter().map(|(fence, _)| fence.clone()).collect();
        match self.catalog.heartbeat(&self.owner, &fences, self.lease_ms()).await {
            Ok(answers) => {
                let live = self.lock();
                for fence in &fences {
                    let answer = answers.iter().find(|answer| answer.job == fence.job);
                    let Some(job) = live.get(&fence.job).filter(|job| job.fence == *fence) else {
                        continue;
                    };
                    match answer {
                        None => job.stop(StopReason::Lost),
                        Some(answer) if answer.cancel => job.stop(StopReason::Requested),
                        Some(_) => {}
                    }
                }
            }
            Err(error) => tracing::warn!(error.cause = %error, "heartbeat failed"),
        }
        for (fence, progress) in held {
            let Some(progress) = progress else { continue };
            match self.catalog.record_progress(&fence, &progress).await {
                Ok(()) | Err(StorageError::Fenced(_)) => {}
                Err(error) => {
                    tracing::debug!(error.cause = %error, "progress could not be stored");
                }
            }
        }
    }

    async fn reap(self: &Arc<Self>, clean_up: bool) {
        if self.closing.is_cancelled() {
            return;
        }
        match self
            .catalog
            .reap(&self.owner, self.lease_ms(), MAX_ATTEMPTS, ADOPTIONS_PER_SWEEP)
            .await
        {
            Ok(jobs) => {
                for job in jobs {
                    tracing::info!(job.id = %job.id, job.attempt = job.attempt, "adopting a lost job");
                    let context = CallContext::new(job.principal.clone(), Origin::Client);
                    match self.blobs.get_json::<Value>(&job.args_sha).await {
                        Ok(arguments) => self.spawn(job, arguments, context, None),
                        Err(error) => {
                            tracing::error!(job.id = %job.id, error.cause = %error, "a job's arguments cannot be read");
                        }
                    }
                }
            }
            Err(error) => tracing::warn!(error.cause = %error, "lost jobs could not be looked for"),
        }
        if let Err(error) = self.catalog.expire_completions(100).await {
            tracing::warn!(error.cause = %error, "completions could not be expired");
        }
        if clean_up && let Err(error) = self.catalog.sweep().await {
            tracing::warn!(error.cause = %error, "old rows could not be removed");
        }
    }

    /// Waits for a job by its id: the caller may leave, the job stays.
    pub(super) fn look_up(&self, budget: Duration, cancel: CancellationToken) -> WaitFor {
        let longest = Duration::from_millis(
            u64::try_from(seconds_to_ms(self.limits.answer_budget_s)).unwrap_or(0),
        );
        WaitFor { budget: Some(budget.min(longest)), cancel, on_cancel: OnCancel::Leave }
    }
}
