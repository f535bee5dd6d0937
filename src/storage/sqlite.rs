//! The catalog on SQLite: one file, many processes.
//!
//! Writes go through one connection and begin with `BEGIN IMMEDIATE`, so a transaction never
//! learns at its end that another process was faster. The clock is the database's, read once per
//! transaction. The statements keep to what PostgreSQL understands too, but for the lock.

mod calls;
mod chat_store;
mod check;
mod completions;
mod documents;
mod error;
mod gallery;
mod jobs;
mod open;
mod ownership;
mod page_store;
mod server_store;
mod settings;

use async_trait::async_trait;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Connection as _, Row as _, Sqlite, Transaction};

pub use self::check::check_file;
use self::error::from_sqlx;
use super::{
    Attachment, CallBatch, CallId, CallRecord, Catalog, Completion, CompletionHandle, Document,
    DocumentId, DocumentKind, Fence, Heartbeat, InsertedJob, Job, JobId, JobOutcome, JobState,
    NewCall, NewCompletion, NewJob, NewVersion, Owner, PrincipalId, PublishedVersion, Sha256Hex,
    StorageResult, Submission, Version,
};

/// The database's clock in milliseconds, as an expression.
macro_rules! clock {
    () => {
        "CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)"
    };
}
use clock;

/// Reads a text column as one of a fixed set of words.
fn decoded<T>(row: &SqliteRow, column: &str, parse: fn(&str) -> Option<T>) -> sqlx::Result<T> {
    let text: &str = row.try_get(column)?;
    parse(text).ok_or_else(|| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: format!("the word `{text}` is unknown").into(),
    })
}

/// Rows in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteCatalog {
    writer: SqlitePool,
    reader: SqlitePool,
}

/// A transaction that holds the write lock, and the time at which it got it.
struct Write {
    transaction: Transaction<'static, Sqlite>,
    now: i64,
}

impl SqliteCatalog {
    /// Waits for the write lock.
    async fn write(&self) -> StorageResult<Write> {
        let begun = match self.writer.begin_with("BEGIN IMMEDIATE").await {
            Err(sqlx::Error::InvalidSavePointStatement) => {
                self.leave_lost_transaction().await?;
                self.writer.begin_with("BEGIN IMMEDIATE").await
            }
            begun => begun,
        };
        let mut transaction = begun.map_err(from_sqlx)?;
        let now = sqlx::query_scalar(concat!("SELECT ", clock!()))
            .fetch_one(&mut *transaction)
            .await
            .map_err(from_sqlx)?;
        Ok(Write { transaction, now })
    }

    /// Replaces a connection that lost count of its transactions.
    ///
    /// A full disk makes SQLite undo a transaction by itself; the rollback that follows finds
    /// none and fails, and by its count the connection would be inside a transaction for ever,
    /// with every later write refused.
    async fn leave_lost_transaction(&self) -> StorageResult<()> {
        let connection = self.writer.acquire().await.map_err(from_sqlx)?;
        connection.detach().close().await.map_err(from_sqlx)
    }
}

impl Write {
    /// Makes everything durable. Without it, dropping the value undoes everything.
    async fn commit(self) -> StorageResult<()> {
        self.transaction.commit().await.map_err(from_sqlx)
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn ping(&self) -> StorageResult<()> {
        settings::ping(self).await
    }
    async fn insert_job(&self, new: NewJob) -> StorageResult<InsertedJob> {
        jobs::insert_job(self, new).await
    }
    async fn reattachable_job(
        &self,
        principal: &PrincipalId,
        tool: &str,
        args_sha: &Sha256Hex,
        window_ms: i64,
    ) -> StorageResult<Option<Job>> {
        jobs::reattachable_job(self, principal, tool, args_sha, window_ms).await
    }
    async fn job(&self, principal: &PrincipalId, id: &JobId) -> StorageResult<Option<Job>> {
        jobs::job(self, principal, id).await
    }
    async fn jobs(&self, principal: &PrincipalId, limit: u32) -> StorageResult<Vec<Job>> {
        jobs::jobs(self, principal, limit).await
    }
    async fn claim_job(
        &self,
        id: &JobId,
        owner: &str,
        lease_ms: i64,
        from: &[JobState],
    ) -> StorageResult<Option<Job>> {
        ownership::claim_job(self, id, owner, lease_ms, from).await
    }
    async fn reap(
        &self,
        owner: &str,
        lease_ms: i64,
        max_attempts: i64,
        limit: u32,
    ) -> StorageResult<Vec<Job>> {
        ownership::reap(self, owner, lease_ms, max_attempts, limit).await
    }
    async fn heartbeat(
        &self,
        owner: &str,
        held: &[Fence],
        lease_ms: i64,
    ) -> StorageResult<Vec<Heartbeat>> {
        ownership::heartbeat(self, owner, held, lease_ms).await
    }
    async fn detach_job(&self, fence: &Fence) -> StorageResult<()> {
        jobs::detach_job(self, fence).await
    }
    async fn record_progress(&self, fence: &Fence, progress: &str) -> StorageResult<()> {
        jobs::record_progress(self, fence, progress).await
    }
    async fn finish_job(&self, fence: &Fence, outcome: &JobOutcome) -> StorageResult<()> {
        jobs::finish_job(self, fence, outcome).await
    }
    async fn request_cancel(
        &self,
        principal: &PrincipalId,
        id: &JobId,
    ) -> StorageResult<Option<JobState>> {
        jobs::request_cancel(self, principal, id).await
    }
    async fn release_jobs(&self, owner: &str) -> StorageResult<()> {
        ownership::release_jobs(self, owner).await
    }
    async fn step(&self, job: &JobId, name: &str) -> StorageResult<Option<Sha256Hex>> {
        completions::step(self, job, name).await
    }
    async fn save_step(&self, fence: &Fence, name: &str, sha: &Sha256Hex) -> StorageResult<()> {
        completions::save_step(self, fence, name, sha).await
    }
    async fn park_job(
        &self,
        fence: &Fence,
        completion: NewCompletion,
    ) -> StorageResult<Completion> {
        completions::park_job(self, fence, completion).await
    }
    async fn completion(
        &self,
        principal: &PrincipalId,
        handle: &CompletionHandle,
    ) -> StorageResult<Option<Completion>> {
        completions::completion(self, principal, handle).await
    }
    async fn completion_of_job(&self, job: &JobId) -> StorageResult<Option<Completion>> {
        completions::completion_of_job(self, job).await
    }
    async fn append_submission(
        &self,
        handle: &CompletionHandle,
        round: i64,
        earlier: Option<&Sha256Hex>,
        partial_sha: &Sha256Hex,
    ) -> StorageResult<bool> {
        completions::append_submission(self, handle, round, earlier, partial_sha).await
    }
    async fn submit_completion(&self, submission: Submission<'_>) -> StorageResult<Option<Job>> {
        completions::submit_completion(self, submission).await
    }
    async fn expire_completions(&self, limit: u32) -> StorageResult<u64> {
        completions::expire_completions(self, limit).await
    }
    async fn reserve_call(&self, call: NewCall) -> StorageResult<bool> {
        calls::insert_call(self, call, None, None).await
    }
    async fn insert_call(
        &self,
        call: NewCall,
        result_sha: &Sha256Hex,
        result: Option<&str>,
    ) -> StorageResult<bool> {
        calls::insert_call(self, call, Some(result_sha), result).await
    }
    async fn write_calls(&self, batch: CallBatch) -> StorageResult<Vec<CallId>> {
        calls::write_calls(self, &batch).await
    }
    async fn record_call(
        &self,
        principal: &PrincipalId,
        call_id: &CallId,
        result_sha: &Sha256Hex,
    ) -> StorageResult<()> {
        calls::record_call(self, principal, call_id, result_sha).await
    }
    async fn call(
        &self,
        principal: &PrincipalId,
        call_id: &CallId,
    ) -> StorageResult<Option<CallRecord>> {
        calls::call(self, principal, call_id).await
    }
    async fn recent_calls(
        &self,
        principal: &PrincipalId,
        limit: u32,
    ) -> StorageResult<Vec<CallRecord>> {
        calls::recent_calls(self, principal, limit).await
    }
    async fn publish_version(
        &self,
        fence: &Fence,
        new: NewVersion,
    ) -> StorageResult<PublishedVersion> {
        documents::publish_version(self, fence, new).await
    }
    async fn delete_document(&self, fence: &Fence, id: &DocumentId) -> StorageResult<bool> {
        documents::delete_document(self, fence, id).await
    }
    async fn document(
        &self,
        owner: &Owner,
        kind: DocumentKind,
        name: &str,
    ) -> StorageResult<Option<Document>> {
        documents::document(self, owner, kind, name).await
    }
    async fn documents(
        &self,
        owner: &Owner,
        kind: Option<DocumentKind>,
        limit: u32,
    ) -> StorageResult<Vec<Document>> {
        documents::documents(self, owner, kind, limit).await
    }
    async fn document_by_token(&self, token: &str) -> StorageResult<Option<Document>> {
        documents::document_by_token(self, token).await
    }
    async fn version(&self, document: &DocumentId, n: i64) -> StorageResult<Option<Version>> {
        documents::version(self, document, n).await
    }
    async fn versions(&self, document: &DocumentId) -> StorageResult<Vec<Version>> {
        documents::versions(self, document).await
    }
    async fn documents_of_principal(
        &self,
        principal: &PrincipalId,
        limit: u32,
    ) -> StorageResult<Vec<Document>> {
        documents::documents_of_principal(self, principal, limit).await
    }
    async fn rename_document(
        &self,
        owner: &Owner,
        kind: DocumentKind,
        name: &str,
        new_name: &str,
    ) -> StorageResult<Option<Document>> {
        gallery::rename_document(self, owner, kind, name, new_name).await
    }
    async fn pictured_documents(&self, principal: &PrincipalId) -> StorageResult<Vec<DocumentId>> {
        gallery::pictured_documents(self, principal).await
    }
    async fn link_attachment(
        &self,
        document: &DocumentId,
        attachment: &Attachment,
    ) -> StorageResult<()> {
        documents::link_attachment(self, document, attachment).await
    }
    async fn attachment(
        &self,
        document: &DocumentId,
        sha: &Sha256Hex,
    ) -> StorageResult<Option<Attachment>> {
        documents::attachment(self, document, sha).await
    }
    async fn add_quota(
        &self,
        principal: &PrincipalId,
        kind: &str,
        window_ms: i64,
        amount: i64,
        limit: i64,
    ) -> StorageResult<Option<i64>> {
        settings::add_quota(self, principal, kind, window_ms, amount, limit).await
    }
    async fn store_session(&self, id: &str, state: &str, ttl_ms: i64) -> StorageResult<()> {
        settings::store_session(self, id, state, ttl_ms).await
    }
    async fn load_session(&self, id: &str) -> StorageResult<Option<String>> {
        settings::load_session(self, id).await
    }
    async fn delete_session(&self, id: &str) -> StorageResult<()> {
        settings::delete_session(self, id).await
    }
    async fn setting_or_insert(&self, key: &str, make: &str) -> StorageResult<String> {
        settings::setting_or_insert(self, key, make).await
    }
    async fn setting(&self, key: &str) -> StorageResult<Option<String>> {
        settings::setting(self, key).await
    }
    async fn set_setting(&self, key: &str, value: &str) -> StorageResult<()> {
        settings::set_setting(self, key, value).await
    }
    async fn sweep(&self) -> StorageResult<u64> {
        settings::sweep(self).await
    }
}
