//! What can go wrong with a document.

use serde_json::json;

use super::html::{GivenProblem, ReplyProblem};
use super::model::words;
use super::verification::Verification;
use super::verification::drafts::{self, Broken};
use crate::browser::RenderError;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::Failure;
use crate::prompts::PromptError;
use crate::storage::{DocumentKind, StorageError};

/// A failure of this module.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Nothing says what to make.
    #[error("neither `user_request` nor `client_injected_context` says what to make")]
    NoRequest,
    /// A text argument is too long.
    #[error("`{argument}` has {bytes} bytes; at most {limit} are allowed")]
    ArgumentTooLarge {
        /// The argument.
        argument: &'static str,
        /// Its size.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
    /// `user_number` is no key.
    #[error("`user_number` has more than {0} characters or contains control characters")]
    UserNumber(usize),
    /// The page in the call is none.
    #[error(transparent)]
    Given(#[from] GivenProblem),
    /// All attachments failed.
    #[error("none of the attachments could be used")]
    NoAttachment(Vec<String>),
    /// The model's answers were unusable, the last one for these reasons.
    #[error("the model's answer was still unusable after a repair round: {}", problems.join("; "))]
    Unusable {
        /// What was wrong with the last answer.
        problems: Vec<String>,
    },
    /// The call names no document.
    #[error("`{}` is missing: it names the {} that is meant", words(*.0).argument, words(*.0).noun)]
    NoName(DocumentKind),
    /// The call names both an app and a PDF, or neither.
    #[error("exactly one of `app_name` and `doc_name` is needed: the document that is meant")]
    OneName,
    /// No live document of this user has the name.
    #[error("the user has no {} `{name}`", words(*.kind).noun)]
    NotFound {
        /// What was looked for.
        kind: DocumentKind,
        /// The name in the call.
        name: String,
        /// The user's names that resemble it, nearest first; of none, the newest.
        near: Vec<String>,
        /// Whether a document of the other kind has the name.
        is_other_kind: bool,
    },
    /// It was deleted after the call began.
    #[error("the {} `{name}` was deleted while this call worked on it; nothing was published",
        words(*.kind).noun)]
    Deleted {
        /// What it was.
        kind: DocumentKind,
        /// Its name.
        name: String,
    },
    /// The call says nothing about what should change.
    #[error("neither `user_edit_request` nor `edits` says what should change in the {}",
        words(*.0).noun)]
    NoEdit(DocumentKind),
    /// The document is too long for edits.
    #[error("the page has {bytes} bytes; at most {limit} can be edited")]
    TooLargeToEdit {
        /// Its size.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
    /// The caller's edits do not fit the document.
    #[error("`edits` was not applied, and the document is as it was: {summary}")]
    EditsRefused {
        /// What is wrong, in one line.
        summary: String,
        /// What to send instead.
        feedback: String,
    },
    /// The caller's edits would break the document.
    #[error("`edits` was not applied, since the page would not be sound: {0}")]
    EditsUnsound(ReplyProblem),
    /// The model's answers to an edit were unusable, the last one for these reasons.
    #[error("the model's edit was still unusable after two rounds of feedback and a rewrite, and the \
             document is as it was: {}", problems.join("; "))]
    EditUnusable {
        /// What was wrong with the last answer.
        problems: Vec<String>,
    },
    /// The document was changed by others all the time.
    #[error(
        "`{name}` was changed by others twice while this edit was made; it is at version \
             {head} now, and nothing of this edit was published"
    )]
    EditConflict {
        /// Its name.
        name: String,
        /// Its newest version.
        head: i64,
        /// The edit as blocks, to be given in `edits` once more.
        edits: Option<String>,
    },
    /// No such version.
    #[error("`{name}` has no version {version}; there are {oldest} to {newest}")]
    NoVersion {
        /// The document.
        name: String,
        /// The number in the call.
        version: i64,
        /// Oldest one that is kept.
        oldest: i64,
        /// Newest one.
        newest: i64,
    },
    /// A page was made and does not work.
    #[error("{}", drafts::summary(*what, verification))]
    Broken {
        /// What made it.
        what: Broken,
        /// Reference that holds it.
        draft: Option<String>,
        /// What its check found.
        verification: Box<Verification>,
    },
    /// The caller gave up.
    #[error("the call was cancelled")]
    Cancelled,
    /// A task of this program ended without its result.
    #[error("{0}")]
    Lost(String),
    /// An argument of another tool.
    #[error("`{argument}` is no argument of this tool, but of `{tool}`")]
    WrongTool {
        /// The argument.
        argument: &'static str,
        /// Whose it is.
        tool: &'static str,
    },
    /// The document could not be printed.
    #[error(transparent)]
    Render(RenderError),
    /// The document never comes to rest.
    #[error("{0}")]
    NeverPrinted(String),
    /// What Chrome printed is no PDF.
    #[error("Chrome printed something that cannot be read as a PDF")]
    UnreadablePdf,
    /// Nothing is left of a new name.
    #[error("`{0}` cannot be a name: it has neither letters nor digits")]
    UnusableName(String),
    /// Another document has the new name.
    #[error("the user has another {} `{name}`", words(*.kind).noun)]
    NameTaken {
        /// What it is.
        kind: DocumentKind,
        /// The name.
        name: String,
    },
    /// Names made from the title were all taken meanwhile.
    #[error("no free name was found for the app")]
    NoFreeName,
    /// A prompt could not be made.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<DocumentError> for ToolError {
    fn from(error: DocumentError) -> Self {
        let message = error.to_string();
        match error {
            DocumentError::NoRequest => Self::invalid("request_missing", message)
                .hint("say in `user_request` what to make, or write the page yourself and give it in `html`"),
            DocumentError::ArgumentTooLarge { limit, .. } => {
                Self::new(ErrorKind::Limit, "request_too_large", message)
                    .hint("shorten it, or put long material into attachments")
                    .detail("limit_bytes", json!(limit))
            }
            DocumentError::UserNumber(_) => Self::invalid("invalid_user_number", message)
                .hint("leave `user_number` out, or give the user's short identifier"),
            DocumentError::Given(GivenProblem::TooLarge { limit, .. })
            | DocumentError::EditsUnsound(ReplyProblem::TooLarge { limit, .. }) => {
                Self::new(ErrorKind::Limit, "page_too_large", message)
                    .for_its_answers()
                    .hint("make the page smaller; the operator sets the cap with `limits.page_bytes`")
                    .detail("limit_bytes", json!(limit))
            }
            DocumentError::Given(GivenProblem::Empty | GivenProblem::NotHtml) => {
                Self::invalid("invalid_html", message)
                    .hint("give one complete HTML document, or leave `html` out and describe the app in `user_request`")
            }
            DocumentError::NoAttachment(warnings) => {
                Self::invalid("attachments_failed", format!("{message}: {}", warnings.join("; ")))
                    .hint("give public http(s) addresses of files, or leave `attachments` out")
                    .detail("warnings", json!(warnings))
            }
            DocumentError::Unusable { problems } => {
                Self::new(ErrorKind::Unavailable, "unusable_answer", message)
                    .for_its_answers()
                    .hint("call again, name another `model`, or write the page yourself and give it in `html`")
                    .detail("problems", json!(problems))
            }
            DocumentError::NoName(kind) => Self::invalid("name_missing", message)
                .hint(format!("`{}` lists the names", words(kind).list)),
            DocumentError::OneName => Self::invalid("name_missing", message)
                .hint("`list_web_apps` and `list_pdf_documents` list the names"),
            DocumentError::NotFound { kind, near, is_other_kind, .. } => {
                Self::not_found("document_not_found", message)
                    .hint(not_found_hint(kind, &near, is_other_kind))
                    .detail("near", json!(near))
            }
            DocumentError::Deleted { kind, .. } => Self::not_found("document_deleted", message)
                .hint(format!("`{}` lists what there is, `{}` makes a new one", words(kind).list, words(kind).create)),
            DocumentError::NoEdit(_) => Self::invalid("request_missing", message)
                .hint("say in `user_edit_request` what should change, or give the changes as SEARCH/REPLACE blocks in `edits`"),
            DocumentError::TooLargeToEdit { limit, .. } => {
                Self::new(ErrorKind::Limit, "page_too_large_to_edit", message)
                    .hint("give the whole new page in `html` of the tool that created it, under the same name")
                    .detail("limit_bytes", json!(limit))
            }
            DocumentError::EditsRefused { feedback, .. } => {
                Self::invalid("edits_not_applied", message)
                    .hint("correct the blocks by `feedback` and send all of them again")
                    .detail("feedback", json!(feedback))
            }
            DocumentError::EditsUnsound(_) => Self::invalid("edits_not_applied", message)
                .hint("send all blocks again, so that the document stays one complete page"),
            DocumentError::EditUnusable { problems } => {
                Self::new(ErrorKind::Unavailable, "unusable_answer", message)
                    .for_its_answers()
                    .hint("call again, name another `model`, ask for less at once, or write the blocks yourself and give them in `edits`")
                    .detail("problems", json!(problems))
            }
            DocumentError::EditConflict { edits, .. } => {
                let error = Self::new(ErrorKind::Conflict, "edit_conflict", message)
                    .hint("look at the newest version, then call again; the changes of this call are in `edits` when they can be given there");
                match edits {
                    Some(edits) => error.detail("edits", json!(edits)),
                    None => error,
                }
            }
            DocumentError::NoVersion { .. } => Self::not_found("version_not_found", message)
                .hint("`list_document_versions` lists the versions that are kept"),
            DocumentError::Broken { what, draft, verification } => {
                drafts::error(what, message, draft.as_deref(), &verification)
            }
            DocumentError::Cancelled => Self::new(ErrorKind::Cancelled, "cancelled", message),
            DocumentError::Lost(cause) => Self::internal(&cause),
            DocumentError::UnusableName(_) => Self::invalid("invalid_name", message)
                .hint("use letters and digits; blanks and signs become `_`"),
            DocumentError::NameTaken { .. } => Self::new(ErrorKind::Conflict, "name_taken", message)
                .hint("choose another name, or rename the other one first"),
            DocumentError::NoFreeName => Self::new(ErrorKind::Conflict, "name_taken", message)
                .hint("give the app a name in `app_name`"),
            DocumentError::WrongTool { argument, tool } => {
                Self::invalid("invalid_arguments", message).hint(format!(
                    "call `{tool}` with it, under the same `doc_name`, or leave `{argument}` out"
                ))
            }
            DocumentError::Render(error) => not_rendered(error),
            DocumentError::NeverPrinted(_) => Self::invalid("page_never_loads", message)
                .hint("remove endless loops and promises that never end from the document"),
            DocumentError::UnreadablePdf => Self::new(ErrorKind::Internal, "unreadable_pdf", message)
                .hint("call again; `atelier doctor` tests Chrome"),
            DocumentError::Prompt(error) => error.into(),
            DocumentError::Storage(error) => error.into(),
        }
    }
}

/// Why nothing was printed, under a code for each reason.
fn not_rendered(error: RenderError) -> ToolError {
    let (message, hint) = (error.to_string(), error.hint());
    let made = match error {
        RenderError::ChromeMissing { .. } => {
            ToolError::new(ErrorKind::Unavailable, "chrome_missing", message)
        }
        RenderError::ChromeBroken(_) => {
            ToolError::new(ErrorKind::Unavailable, "chrome_broken", message)
        }
        RenderError::Isolation(_) => {
            ToolError::new(ErrorKind::Unavailable, "chrome_not_isolated", message)
        }
        RenderError::Busy { .. } => {
            let mut error = ToolError::new(ErrorKind::Limit, "renderer_busy", message);
            error.retry_after_s = Some(2.0);
            error
        }
        RenderError::NeverLoads { .. } => ToolError::invalid("page_never_loads", message),
        RenderError::Crashed(_) => {
            ToolError::new(ErrorKind::Unavailable, "chrome_crashed", message)
        }
        RenderError::TimedOut(_) => ToolError::new(ErrorKind::Limit, "render_timeout", message),
        RenderError::TooLarge { limit_bytes, .. } => {
            ToolError::new(ErrorKind::Limit, "pdf_too_large", message)
                .detail("limit_bytes", json!(limit_bytes))
        }
        RenderError::Options { field, .. } => {
            ToolError::invalid("invalid_page", format!("`page`: {message}"))
                .detail("field", json!(field))
        }
        RenderError::Cancelled => ToolError::new(ErrorKind::Cancelled, "cancelled", message),
        RenderError::Closed => ToolError::new(ErrorKind::Unavailable, "chrome_closed", message),
        RenderError::Refused { .. } => {
            ToolError::new(ErrorKind::Internal, "chrome_refused", message)
        }
    };
    made.hint(hint)
}

fn not_found_hint(kind: DocumentKind, near: &[String], is_other_kind: bool) -> String {
    let own = words(kind);
    if is_other_kind {
        let other = words(match kind {
            DocumentKind::WebApp => DocumentKind::Pdf,
            DocumentKind::Pdf => DocumentKind::WebApp,
        });
        return format!(
            "it is the name of a {}: give it in `{}`, or call `{}`",
            other.noun, other.argument, other.edit
        );
    }
    if near.is_empty() {
        return format!("this user has none yet: `{}` makes one", own.create);
    }
    format!("did you mean `{}`? `{}` lists all", near.join("`, `"), own.list)
}

impl From<DocumentError> for Failure {
    fn from(error: DocumentError) -> Self {
        Self::Error(error.into())
    }
}
