//! Steps, and the completions that fill a step from outside.
//!
//! A handle is a secret. It is bound as a value and read back into a type that does not print it.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};

use super::error::from_sqlx;
use super::jobs::set_cancelled;
use super::{SqliteCatalog, Write, clock, decoded};
use crate::storage::{
    Completion, CompletionHandle, CompletionState, Fence, Job, JobId, JobState, NewCompletion,
    PrincipalId, Sha256Hex, StorageError, StorageResult, Submission,
};

/// The columns of a [`Completion`]. An open round past its time shows as expired, whether or not
/// [`expire_completions`] came by already.
macro_rules! completion_columns {
    () => {
        concat!(
            "handle, principal, job, step, round, prompt_sha, partial_sha, submitted_sha, \
             CASE WHEN state = 'open' AND expires_at <= ",
            clock!(),
            " THEN 'expired' ELSE state END AS state, expires_at, created_at"
        )
    };
}

impl FromRow<'_, SqliteRow> for Completion {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            handle: CompletionHandle(row.try_get("handle")?),
            principal: PrincipalId(row.try_get("principal")?),
            job: JobId(row.try_get("job")?),
            step: row.try_get("step")?,
            round: row.try_get("round")?,
            prompt_sha: Sha256Hex(row.try_get("prompt_sha")?),
            partial_sha: row.try_get::<Option<String>, _>("partial_sha")?.map(Sha256Hex),
            submitted_sha: row.try_get::<Option<String>, _>("submitted_sha")?.map(Sha256Hex),
            state: decoded(row, "state", CompletionState::parse)?,
            expires_at: row.try_get("expires_at")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

pub(super) async fn step(
    catalog: &SqliteCatalog,
    job: &JobId,
    name: &str,
) -> StorageResult<Option<Sha256Hex>> {
    let sha: Option<String> =
        sqlx::query_scalar("SELECT sha FROM step WHERE job = $1 AND name = $2")
            .bind(job.as_str())
            .bind(name)
            .fetch_optional(&catalog.reader)
            .await
            .map_err(from_sqlx)?;
    Ok(sha.map(Sha256Hex))
}

pub(super) async fn save_step(
    catalog: &SqliteCatalog,
    fence: &Fence,
    name: &str,
    sha: &Sha256Hex,
) -> StorageResult<()> {
    let mut write = catalog.write().await?;
    write.check(fence).await?;
    write.insert_step(fence, name, sha).await?;
    write.commit().await
}

impl Write {
    /// The first result of a step is the one that counts.
    async fn insert_step(
        &mut self,
        fence: &Fence,
        name: &str,
        sha: &Sha256Hex,
    ) -> StorageResult<()> {
        sqlx::query(
            "INSERT INTO step (job, name, sha, attempt, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (job, name) DO NOTHING",
        )
        .bind(fence.job.as_str())
        .bind(name)
        .bind(sha.as_str())
        .bind(fence.attempt)
        .bind(self.now)
        .execute(&mut *self.transaction)
        .await
        .map_err(from_sqlx)?;
        Ok(())
    }
}

/// What the next round of a completion needs to know of the last one.
#[derive(FromRow)]
struct LastRound {
    handle: String,
    step: String,
    state: String,
    dies_at: i64,
}

pub(super) async fn park_job(
    catalog: &SqliteCatalog,
    fence: &Fence,
    new: NewCompletion,
) -> StorageResult<Completion> {
    let mut write = catalog.write().await?;
    write.check(fence).await?;
    if write.is_asked_to_stop(&fence.job).await? {
        // Nobody would hold the job any more, so nobody would notice the request.
        set_cancelled(&mut write, &fence.job).await?;
        write.commit().await?;
        return Err(StorageError::Fenced(fence.job.clone()));
    }
    let last: Option<LastRound> =
        sqlx::query_as("SELECT handle, step, state, dies_at FROM completion WHERE job = $1")
            .bind(fence.job.as_str())
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(from_sqlx)?;
    let completion = match last {
        Some(last) => write.open_next_round(last, &new).await?,
        None => write.open_first_round(fence, &new).await?,
    };
    sqlx::query(
        // Its caller holds the id and the handle now, so it survives its workers.
        "UPDATE job SET state = 'waiting', mode = 'task', owner = NULL, lease_until = NULL, \
         updated_at = $2 WHERE id = $1",
    )
    .bind(fence.job.as_str())
    .bind(write.now)
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    write.commit().await?;
    Ok(completion)
}

impl Write {
    async fn is_asked_to_stop(&mut self, job: &JobId) -> StorageResult<bool> {
        sqlx::query_scalar("SELECT cancel FROM job WHERE id = $1")
            .bind(job.as_str())
            .fetch_one(&mut *self.transaction)
            .await
            .map_err(from_sqlx)
    }

    async fn open_first_round(
        &mut self,
        fence: &Fence,
        new: &NewCompletion,
    ) -> StorageResult<Completion> {
        let dies_at = self.now.saturating_add(new.max_life_ms);
        sqlx::query_as(concat!(
            "INSERT INTO completion (handle, principal, job, step, round, prompt_sha, state, \
             expires_at, dies_at, created_at) \
             SELECT $1, principal, id, $3, 1, $4, 'open', $5, $6, $7 FROM job WHERE id = $2 \
             RETURNING ",
            completion_columns!()
        ))
        .bind(&new.handle.0)
        .bind(fence.job.as_str())
        .bind(&new.step)
        .bind(new.prompt_sha.as_str())
        .bind(self.now.saturating_add(new.ttl_ms).min(dies_at))
        .bind(dies_at)
        .bind(self.now)
        .fetch_one(&mut *self.transaction)
        .await
        .map_err(from_sqlx)
    }

    /// A round that nobody answered, and that is asked for again, stays the same round: whoever
    /// holds its prompt can still answer.
    async fn open_next_round(
        &mut self,
        last: LastRound,
        new: &NewCompletion,
    ) -> StorageResult<Completion> {
        let unanswered = last.step == new.step && last.state == CompletionState::Open.as_str();
        sqlx::query_as(concat!(
            "UPDATE completion SET step = $2, round = round + $3, prompt_sha = $4, \
             partial_sha = CASE $3 WHEN 0 THEN partial_sha END, state = 'open', expires_at = $5 \
             WHERE handle = $1 RETURNING ",
            completion_columns!()
        ))
        .bind(last.handle)
        .bind(&new.step)
        .bind(i64::from(!unanswered))
        .bind(new.prompt_sha.as_str())
        .bind(self.now.saturating_add(new.ttl_ms).min(last.dies_at))
        .fetch_one(&mut *self.transaction)
        .await
        .map_err(from_sqlx)
    }
}

pub(super) async fn completion(
    catalog: &SqliteCatalog,
    principal: &PrincipalId,
    handle: &CompletionHandle,
) -> StorageResult<Option<Completion>> {
    sqlx::query_as(concat!(
        "SELECT ",
        completion_columns!(),
        " FROM completion WHERE handle = $1 AND principal = $2"
    ))
    .bind(&handle.0)
    .bind(principal.as_str())
    .fetch_optional(&catalog.reader)
    .await
    .map_err(from_sqlx)
}

pub(super) async fn completion_of_job(
    catalog: &SqliteCatalog,
    job: &JobId,
) -> StorageResult<Option<Completion>> {
    sqlx::query_as(concat!("SELECT ", completion_columns!(), " FROM completion WHERE job = $1"))
        .bind(job.as_str())
        .fetch_optional(&catalog.reader)
        .await
        .map_err(from_sqlx)
}

pub(super) async fn append_submission(
    catalog: &SqliteCatalog,
    handle: &CompletionHandle,
    round: i64,
    earlier: Option<&Sha256Hex>,
    partial_sha: &Sha256Hex,
) -> StorageResult<bool> {
    let mut write = catalog.write().await?;
    let result = sqlx::query(
        "UPDATE completion SET partial_sha = $3 \
         WHERE handle = $1 AND round = $2 AND state = 'open' AND expires_at > $4 \
         AND COALESCE(partial_sha, '') = $5",
    )
    .bind(&handle.0)
    .bind(round)
    .bind(partial_sha.as_str())
    .bind(write.now)
    .bind(earlier.map_or("", Sha256Hex::as_str))
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    write.commit().await?;
    Ok(result.rows_affected() == 1)
}

pub(super) async fn submit_completion(
    catalog: &SqliteCatalog,
    submission: Submission<'_>,
) -> StorageResult<Option<Job>> {
    let mut write = catalog.write().await?;
    let taken: Option<(String, String)> = sqlx::query_as(
        "UPDATE completion SET state = 'checking', submitted_sha = $3, partial_sha = NULL \
         WHERE handle = $1 AND round = $2 AND state = 'open' AND expires_at > $4 \
         AND COALESCE(partial_sha, '') = $5 RETURNING job, step",
    )
    .bind(&submission.handle.0)
    .bind(submission.round)
    .bind(submission.text_sha.as_str())
    .bind(write.now)
    .bind(submission.earlier.map_or("", Sha256Hex::as_str))
    .fetch_optional(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    let Some((job, step)) = taken else { return Ok(None) };
    // Interrupted with an open round: claimed again by its caller, who left before it was answered.
    let claimed = write
        .claim(
            &JobId(job),
            submission.owner,
            submission.lease_ms,
            &[JobState::Waiting, JobState::Interrupted],
        )
        .await?;
    // Without a job to go on with, the round is not taken either: the transaction is dropped.
    let Some(job) = claimed else { return Ok(None) };
    write.insert_step(&job.fence(), &step, submission.step_sha).await?;
    write.commit().await?;
    Ok(Some(job))
}

pub(super) async fn expire_completions(catalog: &SqliteCatalog, limit: u32) -> StorageResult<u64> {
    let mut write = catalog.write().await?;
    let jobs: Vec<String> = sqlx::query_scalar(
        "UPDATE completion SET state = 'expired' WHERE handle IN \
         (SELECT handle FROM completion WHERE state = 'open' AND expires_at <= $1 \
          ORDER BY expires_at LIMIT $2) RETURNING job",
    )
    .bind(write.now)
    .bind(i64::from(limit))
    .fetch_all(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    for job in &jobs {
        sqlx::query(
            "UPDATE job SET state = 'expired', updated_at = $2 WHERE id = $1 AND state = 'waiting'",
        )
        .bind(job)
        .bind(write.now)
        .execute(&mut *write.transaction)
        .await
        .map_err(from_sqlx)?;
    }
    write.commit().await?;
    Ok(jobs.len() as u64)
}

/// Ends the completion of a job that has ended.
pub(super) async fn close(
    write: &mut Write,
    job: &JobId,
    state: CompletionState,
) -> StorageResult<()> {
    sqlx::query(
        "UPDATE completion SET state = $2 WHERE job = $1 AND state IN ('open', 'checking')",
    )
    .bind(job.as_str())
    .bind(state.as_str())
    .execute(&mut *write.transaction)
    .await
    .map_err(from_sqlx)?;
    Ok(())
}
