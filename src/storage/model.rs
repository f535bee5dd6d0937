//! Rows as types. Times are milliseconds since the Unix epoch by the database's clock.

use serde::{Deserialize, Serialize};

/// Makes a text newtype: ids of different kinds must not be mixed up.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id!(
    /// Who is authenticated; `local` when one user owns the machine's installation.
    PrincipalId
);
text_id!(
    /// UUID of a job.
    JobId
);
text_id!(
    /// UUID of a document (web app or PDF).
    DocumentId
);
text_id!(
    /// 8 hex digits that name an earlier call in references; unique per principal.
    CallId
);
text_id!(
    /// Lower-case hex SHA-256 of a blob.
    Sha256Hex
);

/// Handle of a pending completion: a secret, so its text never reaches a log.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CompletionHandle(pub String);

impl std::fmt::Debug for CompletionHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("CompletionHandle(…)")
    }
}

/// Owner of data: the authenticated principal and the user that it named.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Who is authenticated.
    pub principal: PrincipalId,
    /// `user_number` as normalised by [`crate::documents`]; a key, never a path.
    pub user: String,
}

/// Makes an enum that is stored as text.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// The stored text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads the stored text.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

text_enum!(
    /// State of a job. `queued -> running -> done | failed | cancelled | interrupted`, and
    /// `running -> waiting -> running` for host completions.
    JobState {
        /// Not claimed yet.
        Queued => "queued",
        /// A worker holds it by a lease.
        Running => "running",
        /// A completion is open; nobody holds it.
        Waiting => "waiting",
        /// Ended with a result.
        Done => "done",
        /// Ended with an error.
        Failed => "failed",
        /// Stopped on request.
        Cancelled => "cancelled",
        /// Its worker or its caller was lost; its steps stay usable.
        Interrupted => "interrupted",
        /// Its completion was not answered in time.
        Expired => "expired",
    }
);

text_enum!(
    /// Whether a job outlives the call that made it.
    JobMode {
        /// Bound to the call: interrupted when the caller leaves.
        Plain => "plain",
        /// The caller holds its id: adopted by another worker when its own is lost.
        Task => "task",
    }
);

text_enum!(
    /// State of a completion.
    CompletionState {
        /// The current round waits for a text.
        Open => "open",
        /// A text was accepted and is being checked by the job.
        Checking => "checking",
        /// The job ended after the last text.
        Settled => "settled",
        /// Nobody answered in time.
        Expired => "expired",
        /// The job was cancelled.
        Cancelled => "cancelled",
    }
);

text_enum!(
    /// What a document is.
    DocumentKind {
        /// A hosted web app.
        WebApp => "web",
        /// A PDF with its HTML source.
        Pdf => "pdf",
    }
);

/// What a job's writes are checked against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The job.
    pub job: JobId,
    /// The attempt that holds it.
    pub attempt: i64,
}

/// A job to insert.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Id, made by the caller.
    pub id: JobId,
    /// Owner.
    pub principal: PrincipalId,
    /// Idempotency key chosen by the client, if any.
    pub key: Option<String>,
    /// Tool name.
    pub tool: String,
    /// Resolved, validated arguments, as a blob of JSON.
    pub args_sha: Sha256Hex,
    /// Call id under which the result will be recorded.
    pub call_id: CallId,
    /// Whether it outlives its caller.
    pub mode: JobMode,
    /// Worker that claims it at once.
    pub owner: String,
    /// Length of the first lease.
    pub lease_ms: i64,
}

/// Answer of [`super::Catalog::insert_job`].
#[derive(Debug, Clone)]
pub enum InsertedJob {
    /// The new job, claimed.
    New(Job),
    /// The job that has the same key.
    Existing(Job),
}

/// A job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Id.
    pub id: JobId,
    /// Owner.
    pub principal: PrincipalId,
    /// Idempotency key.
    pub key: Option<String>,
    /// Tool name.
    pub tool: String,
    /// Arguments (blob of JSON).
    pub args_sha: Sha256Hex,
    /// Call id of the result.
    pub call_id: CallId,
    /// State.
    pub state: JobState,
    /// How often it was claimed.
    pub attempt: i64,
    /// Worker that holds it.
    pub owner: Option<String>,
    /// Whether it outlives its caller.
    pub mode: JobMode,
    /// Whether somebody asked it to stop.
    pub cancel: bool,
    /// Newest progress (JSON).
    pub progress: Option<String>,
    /// Result (blob of JSON), when done.
    pub result_sha: Option<Sha256Hex>,
    /// Error (JSON), when failed.
    pub error: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When its state changed last.
    pub updated_at: i64,
}

impl Job {
    /// The fence of the attempt that this row shows.
    pub fn fence(&self) -> Fence {
        Fence { job: self.id.clone(), attempt: self.attempt }
    }
}

/// Answer of a heartbeat for one job that is still held.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// The job.
    pub job: JobId,
    /// Whether somebody asked it to stop.
    pub cancel: bool,
}

/// How a job ended.
#[derive(Debug, Clone)]
pub struct JobOutcome {
    /// `done`, `failed`, `cancelled` or `interrupted`.
    pub state: JobState,
    /// Result (blob of JSON).
    pub result_sha: Option<Sha256Hex>,
    /// What references to the job's call reach from now on (blob of JSON).
    pub reference_sha: Option<Sha256Hex>,
    /// Error (JSON).
    pub error: Option<String>,
}

/// A completion round to open.
#[derive(Debug, Clone)]
pub struct NewCompletion {
    /// Handle to use when the job has none yet.
    pub handle: CompletionHandle,
    /// Step whose result the answer becomes.
    pub step: String,
    /// Rendered prompt and what is expected (blob of JSON).
    pub prompt_sha: Sha256Hex,
    /// How long the round stays open.
    pub ttl_ms: i64,
    /// How long the completion may live over all its rounds.
    pub max_life_ms: i64,
}

/// A pending or settled completion.
#[derive(Debug, Clone)]
pub struct Completion {
    /// Handle.
    pub handle: CompletionHandle,
    /// Owner.
    pub principal: PrincipalId,
    /// The job that waits for it.
    pub job: JobId,
    /// Step whose result the answer becomes.
    pub step: String,
    /// Round, from 1; one per step that was asked for.
    pub round: i64,
    /// Prompt (blob of JSON).
    pub prompt_sha: Sha256Hex,
    /// Text collected by `more: true`.
    pub partial_sha: Option<Sha256Hex>,
    /// Last accepted text.
    pub submitted_sha: Option<Sha256Hex>,
    /// State.
    pub state: CompletionState,
    /// When it expires.
    pub expires_at: i64,
    /// When it was opened.
    pub created_at: i64,
}

/// An answer to a completion round.
#[derive(Debug, Clone, Copy)]
pub struct Submission<'a> {
    /// Handle.
    pub handle: &'a CompletionHandle,
    /// Round that the caller saw.
    pub round: i64,
    /// The parts collected before, as the caller saw them.
    pub earlier: Option<&'a Sha256Hex>,
    /// The text as submitted (for the same-text rule).
    pub text_sha: &'a Sha256Hex,
    /// The step's result as the job will read it (blob of JSON).
    pub step_sha: &'a Sha256Hex,
    /// Worker that goes on with the job.
    pub owner: &'a str,
    /// Length of its lease.
    pub lease_ms: i64,
}

/// A call id to reserve.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// Call id.
    pub id: CallId,
    /// Owner.
    pub principal: PrincipalId,
    /// Tool name.
    pub tool: String,
    /// How long its result stays open to references.
    pub ttl_ms: i64,
}

/// A call that has its result.
#[derive(Debug, Clone)]
pub struct DoneCall {
    /// Call id.
    pub id: CallId,
    /// Tool name.
    pub tool: String,
    /// Hash of the result.
    pub result_sha: Sha256Hex,
    /// The result, when it is small; else it is a blob.
    pub result: Option<String>,
}

/// Calls of one principal that are written together.
#[derive(Debug, Clone)]
pub struct CallBatch {
    /// Owner of all of them.
    pub principal: PrincipalId,
    /// How long results stay open to references.
    pub ttl_ms: i64,
    /// Ids to reserve.
    pub reserve: Vec<CallId>,
    /// Calls, under reserved ids, that have their results.
    pub done: Vec<DoneCall>,
    /// Reserved ids that are not needed after all.
    pub release: Vec<CallId>,
}

/// A call and its result.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// Call id.
    pub id: CallId,
    /// Tool name.
    pub tool: String,
    /// Hash of the result, once there is one: its blob, unless `result` holds it.
    pub result_sha: Option<Sha256Hex>,
    /// The result itself (JSON), when it is small.
    pub result: Option<String>,
    /// When it was made.
    pub created_at: i64,
}

/// Versions that a document keeps; older ones are pruned when a new one is published.
pub const KEPT_VERSIONS: i64 = 50;

/// A version to publish.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// Owner of the document.
    pub owner: Owner,
    /// Kind of the document.
    pub kind: DocumentKind,
    /// Name as shown; compared without case.
    pub name: String,
    /// Id used when the document is new.
    pub document: DocumentId,
    /// Token used when the document is new.
    pub token: String,
    /// The document that it is a version of, whatever that is called by now. `None`: the one that
    /// has the name, or a new one.
    pub expected_document: Option<DocumentId>,
    /// Head the version was made from; 0: the name must be free. `None`: on whatever is there.
    pub expected_head: Option<i64>,
    /// What is served (HTML of an app, PDF of a document).
    pub blob_sha: Sha256Hex,
    /// HTML source, when it is not what is served.
    pub source_sha: Option<Sha256Hex>,
    /// Size of what is served, in bytes.
    pub bytes: i64,
    /// Title of the page.
    pub title: Option<String>,
    /// Facts about how it was made, for listings (JSON).
    pub facts: String,
    /// Files that the document may serve from now on, besides those of its other versions.
    pub attachments: Vec<Attachment>,
    /// Tools that its pages may call from now on; `None`: as before, none for a new document.
    pub tool_names: Option<Vec<String>>,
    /// Small picture of this version (WebP).
    pub thumb_sha: Option<Sha256Hex>,
}

/// What [`super::Catalog::publish_version`] made.
#[derive(Debug, Clone)]
pub struct PublishedVersion {
    /// The document as it is now.
    pub document: Document,
    /// The version's number.
    pub n: i64,
    /// Whether the document is new.
    pub created: bool,
}

/// A document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Id.
    pub id: DocumentId,
    /// Owner.
    pub owner: Owner,
    /// Kind.
    pub kind: DocumentKind,
    /// Name.
    pub name: String,
    /// Token of its URL.
    pub token: String,
    /// Newest version.
    pub head: i64,
    /// Title of the newest version.
    pub title: Option<String>,
    /// Size of the newest version, in bytes.
    pub bytes: i64,
    /// Tools that its pages may call.
    pub tool_names: Vec<String>,
    /// When it was made.
    pub created_at: i64,
    /// When its head moved last.
    pub updated_at: i64,
}

/// A version of a document.
#[derive(Debug, Clone)]
pub struct Version {
    /// Number, from 1; the newest [`KEPT_VERSIONS`] are there without a gap.
    pub n: i64,
    /// What is served.
    pub blob_sha: Sha256Hex,
    /// HTML source, when it is not what is served.
    pub source_sha: Option<Sha256Hex>,
    /// Size of what is served, in bytes.
    pub bytes: i64,
    /// The job that made it.
    pub job: JobId,
    /// Facts about how it was made (JSON).
    pub facts: String,
    /// Small picture of it (WebP), when one was taken.
    pub thumb_sha: Option<Sha256Hex>,
    /// When it was made.
    pub created_at: i64,
}

/// A file fetched for a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Content hash: its blob.
    pub sha: Sha256Hex,
    /// File name for people.
    pub name: String,
    /// Type by its bytes.
    pub media_type: String,
    /// Size in bytes.
    pub bytes: i64,
}
