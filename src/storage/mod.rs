//! Where state lives: rows in a [`Catalog`], bytes in a blob store.
//!
//! Blobs are immutable and addressed by content; every fact that can change is a row. Whatever is
//! acknowledged was stored first: blob, then row, then reply.
//!
//! Every write that a job makes carries its [`Fence`]. A worker that was stopped long enough to
//! lose its lease writes nothing and learns it from [`StorageError::Fenced`].

pub mod blobs;
pub mod keys;
pub mod sqlite;

mod chat_store;
mod model;
mod page_store;
mod server_store;

use async_trait::async_trait;

pub use chat_store::*;
pub use model::*;
pub use page_store::*;
pub use server_store::*;

/// A failure of the store, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The job was claimed by another worker, cancelled or finished: stop working on it.
    #[error("job `{0}` is no longer held by this worker")]
    Fenced(JobId),
    /// A row that had to be new or unchanged was not.
    #[error("{0}")]
    Conflict(String),
    /// The disk is full.
    #[error("no space left in the data folder")]
    Full,
    /// The store is locked, gone or not writable for now.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store holds something this program cannot read.
    #[error("the store is damaged or of another version: {0}")]
    Corrupt(String),
}

/// Shorthand for results of this module.
pub type StorageResult<T> = Result<T, StorageError>;

/// Whether the operating system refused a write for want of space: a full disk, a quota, or a
/// limit on the size of files.
fn is_no_space(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge
    )
}

/// The rows. One contract suite (`tests/it/storage.rs`) holds for every adapter.
///
/// All times are milliseconds since the Unix epoch by the database's clock; no clock of a process
/// decides about leases or expiry.
#[async_trait]
pub trait Catalog: PageStore + ChatStore + ServerStore + Send + Sync + 'static {
    /// Answers when the store can be read and written.
    async fn ping(&self) -> StorageResult<()>;

    // --- jobs ---------------------------------------------------------------------------------

    /// Inserts a job and claims it for `new.owner`, or returns the job that already has the same
    /// `(principal, key)`. The caller compares tool and arguments of an existing one.
    async fn insert_job(&self, new: NewJob) -> StorageResult<InsertedJob>;
    /// The newest job of the principal with the same tool and arguments, no key, made within
    /// `window_ms`, that is `interrupted` or `waiting`: what a client that lost its answer and
    /// asks again may go on with.
    async fn reattachable_job(
        &self,
        principal: &PrincipalId,
        tool: &str,
        args_sha: &Sha256Hex,
        window_ms: i64,
    ) -> StorageResult<Option<Job>>;
    /// A job of this principal. Another principal's job is as absent as an unknown one.
    async fn job(&self, principal: &PrincipalId, id: &JobId) -> StorageResult<Option<Job>>;
    /// The principal's jobs, newest first, at most `limit`.
    async fn jobs(&self, principal: &PrincipalId, limit: u32) -> StorageResult<Vec<Job>>;
    /// Claims one job that is in one of `from`: sets it running, adds an attempt, clears the
    /// cancel flag. `None` when it is in another state (somebody else was first).
    async fn claim_job(
        &self,
        id: &JobId,
        owner: &str,
        lease_ms: i64,
        from: &[JobState],
    ) -> StorageResult<Option<Job>>;
    /// Deals with running jobs whose lease has run out: those that were asked to stop are
    /// `cancelled`, those lost `max_attempts` times `failed` with code `attempts_exhausted`, those
    /// of mode [`JobMode::Plain`] `interrupted`, and those of mode [`JobMode::Task`] `queued`. Then
    /// claims up to `limit` queued jobs. Attempts that ended by a completion or a release are no
    /// losses.
    async fn reap(
        &self,
        owner: &str,
        lease_ms: i64,
        max_attempts: i64,
        limit: u32,
    ) -> StorageResult<Vec<Job>>;
    /// Renews the leases of the held jobs. A job missing from the answer was lost.
    async fn heartbeat(
        &self,
        owner: &str,
        held: &[Fence],
        lease_ms: i64,
    ) -> StorageResult<Vec<Heartbeat>>;
    /// Turns a plain job into one that survives its caller (the caller has its id now).
    async fn detach_job(&self, fence: &Fence) -> StorageResult<()>;
    /// Stores the newest progress for readers in other processes.
    async fn record_progress(&self, fence: &Fence, progress: &str) -> StorageResult<()>;
    /// Ends a job. Fenced.
    async fn finish_job(&self, fence: &Fence, outcome: &JobOutcome) -> StorageResult<()>;
    /// Asks whoever runs the job to stop. Jobs that nobody runs (`queued`, `waiting`,
    /// `interrupted`) are `cancelled` at once, with their completions. Returns the new state.
    async fn request_cancel(
        &self,
        principal: &PrincipalId,
        id: &JobId,
    ) -> StorageResult<Option<JobState>>;
    /// Lets go of all running jobs of this owner, so that others go on without waiting for the
    /// leases: tasks are `queued`, plain ones `interrupted`, those asked to stop `cancelled`.
    async fn release_jobs(&self, owner: &str) -> StorageResult<()>;

    // --- steps --------------------------------------------------------------------------------

    /// The stored result of a step.
    async fn step(&self, job: &JobId, name: &str) -> StorageResult<Option<Sha256Hex>>;
    /// Stores a step's result. Fenced; the same name twice keeps the first.
    async fn save_step(&self, fence: &Fence, name: &str, sha: &Sha256Hex) -> StorageResult<()>;

    // --- completions --------------------------------------------------------------------------

    /// Opens a completion for the job, or the next round of the one it has (same handle), and sets
    /// the job `waiting`, in one transaction. Fenced. A round that is open for the same step stays
    /// the same round. A job that was asked to stop meanwhile is `cancelled` instead, and answered
    /// with [`StorageError::Fenced`].
    async fn park_job(&self, fence: &Fence, completion: NewCompletion)
    -> StorageResult<Completion>;
    /// The completion of this principal behind a handle. Expired ones are returned as expired.
    async fn completion(
        &self,
        principal: &PrincipalId,
        handle: &CompletionHandle,
    ) -> StorageResult<Option<Completion>>;
    /// The completion of a job, when it has one.
    async fn completion_of_job(&self, job: &JobId) -> StorageResult<Option<Completion>>;
    /// Replaces the text collected so far for an open round (`more: true`), if that is still
    /// `earlier`.
    async fn append_submission(
        &self,
        handle: &CompletionHandle,
        round: i64,
        earlier: Option<&Sha256Hex>,
        partial_sha: &Sha256Hex,
    ) -> StorageResult<bool>;
    /// Takes the answer to an open round: in one transaction the round closes (compare and set on
    /// handle, round and state), the text becomes the step's result and the job is claimed for
    /// `owner`. `None` when the round was not open any more.
    async fn submit_completion(&self, submission: Submission<'_>) -> StorageResult<Option<Job>>;
    /// Sets open completions past their time, and the jobs that wait for them, to `expired`; at
    /// most `limit`. Returns how many.
    async fn expire_completions(&self, limit: u32) -> StorageResult<u64>;

    // --- calls (references) -------------------------------------------------------------------

    /// Reserves a call id. `false` when the principal has it already: make another.
    async fn reserve_call(&self, call: NewCall) -> StorageResult<bool>;
    /// Stores a call that has its result already, in one write: as a blob, or in `result` when it
    /// is small. `false` when the principal has the call id already: make another.
    async fn insert_call(
        &self,
        call: NewCall,
        result_sha: &Sha256Hex,
        result: Option<&str>,
    ) -> StorageResult<bool>;
    /// Writes a batch of calls in one transaction. Returns those of the ids to reserve that were
    /// free and are reserved now.
    async fn write_calls(&self, batch: CallBatch) -> StorageResult<Vec<CallId>>;
    /// Stores the result of a call, from then on open to `@@ref_`.
    async fn record_call(
        &self,
        principal: &PrincipalId,
        call_id: &CallId,
        result_sha: &Sha256Hex,
    ) -> StorageResult<()>;
    /// A call of this principal that has not expired.
    async fn call(
        &self,
        principal: &PrincipalId,
        call_id: &CallId,
    ) -> StorageResult<Option<CallRecord>>;
    /// The newest calls of the principal that have a result, for error texts.
    async fn recent_calls(
        &self,
        principal: &PrincipalId,
        limit: u32,
    ) -> StorageResult<Vec<CallRecord>>;

    // --- documents ----------------------------------------------------------------------------

    /// Publishes a version in one transaction: makes the document or moves its head, inserts the
    /// version, links its attachments, prunes versions beyond [`KEPT_VERSIONS`], and remembers it
    /// as this job's (`UNIQUE (job)`: a job that publishes twice gets its first version back).
    /// Fenced. [`StorageError::Conflict`] when `expected_head` is given and the head is another, or
    /// `expected_document` is given and deleted.
    async fn publish_version(
        &self,
        fence: &Fence,
        new: NewVersion,
    ) -> StorageResult<PublishedVersion>;
    /// Deletes a document: its name is free again, and its token leads nowhere. Fenced. `false` when
    /// it is deleted already.
    async fn delete_document(&self, fence: &Fence, id: &DocumentId) -> StorageResult<bool>;
    /// A live document by its name, compared without case.
    async fn document(
        &self,
        owner: &Owner,
        kind: DocumentKind,
        name: &str,
    ) -> StorageResult<Option<Document>>;
    /// The live documents of an owner, newest change first, at most `limit`.
    async fn documents(
        &self,
        owner: &Owner,
        kind: Option<DocumentKind>,
        limit: u32,
    ) -> StorageResult<Vec<Document>>;
    /// A live document by the token of its URL, whoever owns it.
    async fn document_by_token(&self, token: &str) -> StorageResult<Option<Document>>;
    /// One version of a document.
    async fn version(&self, document: &DocumentId, n: i64) -> StorageResult<Option<Version>>;
    /// The versions of a document, newest first.
    async fn versions(&self, document: &DocumentId) -> StorageResult<Vec<Version>>;
    /// All live documents of a principal over all its users, newest change first: the gallery.
    async fn documents_of_principal(
        &self,
        principal: &PrincipalId,
        limit: u32,
    ) -> StorageResult<Vec<Document>>;

    /// Gives a live document another name; its token and versions stay. `None` when there is no
    /// such document, [`StorageError::Conflict`] when another one has the new name.
    async fn rename_document(
        &self,
        owner: &Owner,
        kind: DocumentKind,
        name: &str,
        new_name: &str,
    ) -> StorageResult<Option<Document>>;
    /// Those live documents of a principal whose newest version has a picture.
    async fn pictured_documents(&self, principal: &PrincipalId) -> StorageResult<Vec<DocumentId>>;

    // --- attachments --------------------------------------------------------------------------

    /// Remembers that a document may serve this attachment.
    async fn link_attachment(
        &self,
        document: &DocumentId,
        attachment: &Attachment,
    ) -> StorageResult<()>;
    /// An attachment, when the document has it.
    async fn attachment(
        &self,
        document: &DocumentId,
        sha: &Sha256Hex,
    ) -> StorageResult<Option<Attachment>>;

    // --- quotas, sessions, settings -----------------------------------------------------------

    /// Adds `amount` to a counter of the principal for the current window of time, which begins
    /// at a multiple of `window_ms`, and returns the new total, or `None` (nothing added) when it
    /// would pass `limit`.
    async fn add_quota(
        &self,
        principal: &PrincipalId,
        kind: &str,
        window_ms: i64,
        amount: i64,
        limit: i64,
    ) -> StorageResult<Option<i64>>;
    /// Stores, replaces a legacy MCP session's state (JSON).
    async fn store_session(&self, id: &str, state: &str, ttl_ms: i64) -> StorageResult<()>;
    /// A legacy MCP session's state that has not expired.
    async fn load_session(&self, id: &str) -> StorageResult<Option<String>>;
    /// Forgets a legacy MCP session.
    async fn delete_session(&self, id: &str) -> StorageResult<()>;
    /// A value of the installation, made by `make` when it is absent; all processes get the same.
    async fn setting_or_insert(&self, key: &str, make: &str) -> StorageResult<String>;
    /// Reads a value of the installation.
    async fn setting(&self, key: &str) -> StorageResult<Option<String>>;
    /// Replaces a value of the installation.
    async fn set_setting(&self, key: &str, value: &str) -> StorageResult<()>;
    /// Removes rows whose time is over: calls, sessions, quota windows, completions that ended and
    /// whose longest life is over, and what pages of deleted documents stored. Returns how many.
    async fn sweep(&self) -> StorageResult<u64>;
}
