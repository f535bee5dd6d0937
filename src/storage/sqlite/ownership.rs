//! Who runs a job: claims, leases, and what becomes of jobs whose worker was lost.

use super::error::from_sqlx;
use super::jobs::{job_columns, set_cancelled};
use super::{SqliteCatalog, Write, completions};
use crate::error::{ErrorKind, ToolError};
use crate::storage::{
    CompletionState, Fence, Heartbeat, Job, JobId, JobMode, JobState, StorageError, StorageResult,
};

pub(super) async fn claim_job(
    catalog: &SqliteCatalog,
    id: &JobId,
    owner: &str,
    lease_ms: i64,
    from: &[JobState],
) -> StorageResult<Option<Job>> {
    let mut write = catalog.write().await?;
    let job = write.claim(id, owner, lease_ms, from).await?;
    write.commit().await?;
    Ok(job)
}

impl Write {
    /// Claims a job inside a transaction.
    pub(super) async fn claim(
        &mut self,
        id: &JobId,
        owner: &str,
        lease_ms: i64,
        from: &[JobState],
    ) -> StorageResult<Option<Job>> {
        let state: Option<String> = sqlx::query_scalar("SELECT state FROM job WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *self.transaction)
            .await
            .map_err(from_sqlx)?;
        let Some(state) = state.filter(|state| from.iter().any(|from| from.as_str() == state))
        else {
            return Ok(None);
        };
        sqlx::query_as(concat!(
            "UPDATE job SET state = 'running', attempt = attempt + 1, owner = $3, \
             lease_until = $4, cancel = FALSE, error = NULL, updated_at = $5 WHERE id = $1 AND state = $2 \
             RETURNING ",
            job_columns!()
        ))
        .bind(id.as_str())
        .bind(state)
        .bind(owner)
        .bind(self.now.saturating_add(lease_ms))
        .bind(self.now)
        .fetch_optional(&mut *self.transaction)
        .await
        .map_err(from_sqlx)
    }
}

pub(super) async fn heartbeat(
    catalog: &SqliteCatalog,
    owner: &str,
    held: &[Fence],
    lease_ms: i64,
) -> StorageResult<Vec<Heartbeat>> {
    if held.is_empty() {
        return Ok(Vec::new());
    }
    let mut write = catalog.write().await?;
    let mut kept = Vec::with_capacity(held.len());
    for fence in held {
        let cancel: Option<bool> = sqlx::query_scalar(
            "UPDATE job SET lease_until = $4 \
             WHERE id = $1 AND attempt = $2 AND owner = $3 AND state = 'running' RETURNING cancel",
        )
        .bind(fence.job.as_str())
        .bind(fence.attempt)
        .bind(owner)
        .bind(write.now.saturating_add(lease_ms))
        .fetch_optional(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
        kept.extend(cancel.map(|cancel| Heartbeat { job: fence.job.clone(), cancel }));
    }
    write.commit().await?;
    Ok(kept)
}

/// A graceful end is no loss: it does not count against the cap of attempts.
pub(super) async fn release_jobs(catalog: &SqliteCatalog, owner: &str) -> StorageResult<()> {
    let mut write = catalog.write().await?;
    let asked_to_stop: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM job WHERE owner = $1 AND state = 'running' AND cancel = TRUE",
    )
    .bind(owner)
    .fetch_all(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    for id in asked_to_stop {
        set_cancelled(&mut write, &JobId(id)).await?;
    }
    sqlx::query(
        "UPDATE job SET state = CASE mode WHEN 'task' THEN 'queued' ELSE 'interrupted' END, \
         owner = NULL, lease_until = $2, updated_at = $2 WHERE owner = $1 AND state = 'running'",
    )
    .bind(owner)
    .bind(write.now)
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    write.commit().await
}

/// A running job whose lease has run out.
#[derive(sqlx::FromRow)]
struct Lost {
    id: String,
    mode: String,
    losses: i64,
    cancel: bool,
}

pub(super) async fn reap(
    catalog: &SqliteCatalog,
    owner: &str,
    lease_ms: i64,
    max_attempts: i64,
    limit: u32,
) -> StorageResult<Vec<Job>> {
    let mut write = catalog.write().await?;
    let lost: Vec<Lost> = sqlx::query_as(
        "SELECT id, mode, losses, cancel FROM job \
         WHERE state = 'running' AND lease_until <= $1 ORDER BY lease_until",
    )
    .bind(write.now)
    .fetch_all(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    for lost in lost {
        write.give_up_lease(lost, max_attempts).await?;
    }
    let queued: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM job WHERE state = 'queued' AND lease_until <= $1 \
         ORDER BY lease_until LIMIT $2",
    )
    .bind(write.now)
    .bind(i64::from(limit))
    .fetch_all(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    let mut adopted = Vec::with_capacity(queued.len());
    for id in queued {
        adopted.extend(write.claim(&JobId(id), owner, lease_ms, &[JobState::Queued]).await?);
    }
    write.commit().await?;
    Ok(adopted)
}

impl Write {
    /// Moves a lost job to where it waits for another worker, or ends it.
    async fn give_up_lease(&mut self, lost: Lost, max_attempts: i64) -> StorageResult<()> {
        let id = JobId(lost.id);
        if lost.cancel {
            return set_cancelled(self, &id).await;
        }
        let losses = lost.losses.saturating_add(1);
        let (state, error) = if losses >= max_attempts {
            (JobState::Failed, Some(attempts_exhausted(losses)))
        } else {
            match JobMode::parse(&lost.mode) {
                Some(JobMode::Task) => (JobState::Queued, None),
                Some(JobMode::Plain) => (JobState::Interrupted, None),
                None => {
                    return Err(StorageError::Corrupt(format!(
                        "job `{id}` has the unknown mode `{}`",
                        lost.mode
                    )));
                }
            }
        };
        sqlx::query(
            "UPDATE job SET state = $2, error = $3, losses = $4, owner = NULL, updated_at = $5 \
             WHERE id = $1",
        )
        .bind(id.as_str())
        .bind(state.as_str())
        .bind(&error)
        .bind(losses)
        .bind(self.now)
        .execute(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        if error.is_some() {
            completions::close(self, &id, CompletionState::Settled).await?;
        }
        Ok(())
    }
}

/// The error of a job that has cost too many workers, as its caller reads it.
fn attempts_exhausted(losses: i64) -> String {
    ToolError::new(
        ErrorKind::Unavailable,
        "attempts_exhausted",
        format!("the worker of this job was lost {losses} times, so it is not tried again"),
    )
    .hint("the server may have too little memory for it: ask for less, or look into its log")
    .to_json()
    .to_string()
}
