//! Jobs as rows: made, read, moved on by the worker that holds them, asked to stop.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use super::error::from_sqlx;
use super::{SqliteCatalog, Write, clock, completions, decoded};
use crate::storage::{
    CallId, CompletionState, Fence, InsertedJob, Job, JobId, JobMode, JobOutcome, JobState, NewJob,
    PrincipalId, Sha256Hex, StorageError, StorageResult,
};

/// The columns of a [`Job`].
macro_rules! job_columns {
    () => {
        "id, principal, client_key, tool, args_sha, call_id, mode, state, attempt, owner, cancel, \
         progress, result_sha, error, created_at, updated_at"
    };
}
pub(super) use job_columns;

impl FromRow<'_, SqliteRow> for Job {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: JobId(row.try_get("id")?),
            principal: PrincipalId(row.try_get("principal")?),
            key: row.try_get("client_key")?,
            tool: row.try_get("tool")?,
            args_sha: Sha256Hex(row.try_get("args_sha")?),
            call_id: CallId(row.try_get("call_id")?),
            state: decoded(row, "state", JobState::parse)?,
            attempt: row.try_get("attempt")?,
            owner: row.try_get("owner")?,
            mode: decoded(row, "mode", JobMode::parse)?,
            cancel: row.try_get("cancel")?,
            progress: row.try_get("progress")?,
            result_sha: row.try_get::<Option<String>, _>("result_sha")?.map(Sha256Hex),
            error: row.try_get("error")?,
            created_at: row.try_get("created_at")?,
            updated_at: row.try_get("updated_at")?,
        })
    }
}

pub(super) async fn insert_job(catalog: &SqliteCatalog, new: NewJob) -> StorageResult<InsertedJob> {
    let mut write = catalog.write().await?;
    let inserted = sqlx::query_as::<_, Job>(concat!(
        "INSERT INTO job (id, principal, client_key, tool, args_sha, call_id, mode, state, \
         attempt, owner, lease_until, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'running', 1, $8, $9, $10, $10) \
         ON CONFLICT (principal, client_key) DO NOTHING RETURNING ",
        job_columns!()
    ))
    .bind(new.id.as_str())
    .bind(new.principal.as_str())
    .bind(new.key.as_deref())
    .bind(&new.tool)
    .bind(new.args_sha.as_str())
    .bind(new.call_id.as_str())
    .bind(new.mode.as_str())
    .bind(&new.owner)
    .bind(write.now.saturating_add(new.lease_ms))
    .bind(write.now)
    .fetch_optional(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    if let Some(job) = inserted {
        write.commit().await?;
        return Ok(InsertedJob::New(job));
    }
    let existing = sqlx::query_as(concat!(
        "SELECT ",
        job_columns!(),
        " FROM job WHERE principal = $1 AND client_key = $2"
    ))
    .bind(new.principal.as_str())
    .bind(new.key.as_deref())
    .fetch_one(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    Ok(InsertedJob::Existing(existing))
}

pub(super) async fn reattachable_job(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
    tool: &str,
    args_sha: &Sha256Hex,
    window_ms: i64,
) -> StorageResult<Option<Job>> {
    sqlx::query_as(concat!(
        "SELECT ",
        job_columns!(),
        " FROM job WHERE principal = $1 AND tool = $2 AND args_sha = $3 AND client_key IS NULL \
         AND created_at > ",
        clock!(),
        " - $4 AND state IN ('interrupted', 'waiting') ORDER BY created_at DESC, id DESC LIMIT 1"
    ))
    .bind(principal.as_str())
    .bind(tool)
    .bind(args_sha.as_str())
    .bind(window_ms)
    .fetch_optional(&catalog.reader)
    .await
    .map_err(from_sqlx)
}

pub(super) async fn job(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
    id: &JobId,
) -> StorageResult<Option<Job>> {
    sqlx::query_as(concat!("SELECT ", job_columns!(), " FROM job WHERE id = $1 AND principal = $2"))
        .bind(id.as_str())
        .bind(principal.as_str())
        .fetch_optional(&catalog.reader)
        .await
        .map_err(from_sqlx)
}

pub(super) async fn jobs(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
    limit: u32,
) -> StorageResult<Vec<Job>> {
    sqlx::query_as(concat!(
        "SELECT ",
        job_columns!(),
        " FROM job WHERE principal = $1 ORDER BY created_at DESC, id DESC LIMIT $2"
    ))
    .bind(principal.as_str())
    .bind(i64::from(limit))
    .fetch_all(&catalog.reader)
    .await
    .map_err(from_sqlx)
}

pub(super) async fn detach_job(catalog: &SqliteCatalog, fence: &Fence) -> StorageResult<()> {
    let mut write = catalog.write().await?;
    let result = sqlx::query(
        "UPDATE job SET mode = 'task' WHERE id = $1 AND attempt = $2 AND state = 'running'",
    )
    .bind(fence.job.as_str())
    .bind(fence.attempt)
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    fenced(fence, result.rows_affected())?;
    write.commit().await
}

pub(super) async fn record_progress(
    catalog: &SqliteCatalog,
    fence: &Fence,
    progress: &str,
) -> StorageResult<()> {
    let mut write = catalog.write().await?;
    let result = sqlx::query(
        "UPDATE job SET progress = $3 WHERE id = $1 AND attempt = $2 AND state = 'running'",
    )
    .bind(fence.job.as_str())
    .bind(fence.attempt)
    .bind(progress)
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    fenced(fence, result.rows_affected())?;
    write.commit().await
}

pub(super) async fn finish_job(
    catalog: &SqliteCatalog,
    fence: &Fence,
    outcome: &JobOutcome,
) -> StorageResult<()> {
    let completion = match outcome.state {
        JobState::Done | JobState::Failed | JobState::Interrupted => CompletionState::Settled,
        JobState::Cancelled => CompletionState::Cancelled,
        JobState::Queued | JobState::Running | JobState::Waiting | JobState::Expired => {
            return Err(StorageError::Conflict(format!(
                "a worker cannot end a job as `{}`",
                outcome.state.as_str()
            )));
        }
    };
    let mut write = catalog.write().await?;
    let result = sqlx::query(
        "UPDATE job SET state = $3, result_sha = $4, error = $5, owner = NULL, \
         lease_until = NULL, updated_at = $6 \
         WHERE id = $1 AND attempt = $2 AND state = 'running'",
    )
    .bind(fence.job.as_str())
    .bind(fence.attempt)
    .bind(outcome.state.as_str())
    .bind(outcome.result_sha.as_ref().map(Sha256Hex::as_str))
    .bind(outcome.error.as_deref())
    .bind(write.now)
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    fenced(fence, result.rows_affected())?;
    if let Some(reference) = &outcome.reference_sha {
        sqlx::query(
            "UPDATE call SET result_sha = $2 FROM job WHERE job.id = $1 \
             AND call.principal = job.principal AND call.call_id = job.call_id",
        )
        .bind(fence.job.as_str())
        .bind(reference.as_str())
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
    }
    completions::close(&mut write, &fence.job, completion).await?;
    write.commit().await
}

pub(super) async fn request_cancel(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
    id: &JobId,
) -> StorageResult<Option<JobState>> {
    let mut write = catalog.write().await?;
    let state: Option<String> =
        sqlx::query_scalar("SELECT state FROM job WHERE id = $1 AND principal = $2")
            .bind(id.as_str())
            .bind(principal.as_str())
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(from_sqlx)?;
    let Some(state) = state else { return Ok(None) };
    let Some(state) = JobState::parse(&state) else {
        return Err(StorageError::Corrupt(format!("job `{id}` has the unknown state `{state}`")));
    };
    match state {
        JobState::Running => {
            sqlx::query("UPDATE job SET cancel = TRUE WHERE id = $1")
                .bind(id.as_str())
                .execute(&mut *write.transaction)
                .await
                .map_err(from_sqlx)?;
            write.commit().await?;
            Ok(Some(JobState::Running))
        }
        JobState::Queued | JobState::Waiting | JobState::Interrupted => {
            set_cancelled(&mut write, id).await?;
            write.commit().await?;
            Ok(Some(JobState::Cancelled))
        }
        JobState::Done | JobState::Failed | JobState::Cancelled | JobState::Expired => {
            Ok(Some(state))
        }
    }
}

/// Ends a job, and its completion, as cancelled.
pub(super) async fn set_cancelled(write: &mut Write, id: &JobId) -> StorageResult<()> {
    sqlx::query(
        "UPDATE job SET state = 'cancelled', cancel = TRUE, owner = NULL, lease_until = NULL, \
         updated_at = $2 WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(write.now)
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    completions::close(write, id, CompletionState::Cancelled).await
}

impl Write {
    /// Checks that the attempt still holds the job, and keeps it so until the transaction ends.
    ///
    /// It is an update that changes nothing because that locks the row in databases that lock
    /// rows.
    pub(super) async fn check(&mut self, fence: &Fence) -> StorageResult<()> {
        let result = sqlx::query(
            "UPDATE job SET attempt = attempt \
             WHERE id = $1 AND attempt = $2 AND state = 'running'",
        )
        .bind(fence.job.as_str())
        .bind(fence.attempt)
        .execute(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        fenced(fence, result.rows_affected())
    }
}

fn fenced(fence: &Fence, rows: u64) -> StorageResult<()> {
    if rows == 0 { Err(StorageError::Fenced(fence.job.clone())) } else { Ok(()) }
}
