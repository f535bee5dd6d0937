//! Pages that were not published, kept for whoever wants them.
//!
//! The call's own reference holds the draft: it belongs to the caller alone, is passed on by name
//! and not through anybody's context, and is forgotten when the call is.

use serde_json::json;

use super::finding::{Finding, Severity};

use super::verdict::Verification;
use crate::documents::error::DocumentError;
use crate::documents::service::Documents;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::Run;
use crate::storage::StorageResult;

/// What made a page that is not published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A model, asked for a new page.
    Create,
    /// An edit of a page that is published and stays as it is.
    Edit,
    /// The caller, who gave it.
    Given,
}

impl Documents {
    /// Keeps a page that is not published, and says so in the error to answer with.
    ///
    /// # Errors
    /// When the store fails.
    pub(in crate::documents) async fn broken(
        &self,
        run: &Run,
        what: Broken,
        html: &str,
        verification: Verification,
    ) -> StorageResult<DocumentError> {
        let draft = match what {
            // Who gave it has it.
            Broken::Given => None,
            Broken::Create | Broken::Edit => {
                let kept = json!({"draft": html, "verification": verification});
                let sha = self.parts.blobs.put_json(&kept).await?;
                let principal = &run.context().principal;
                self.parts.catalog.record_call(principal, run.call_id(), &sha).await?;
                Some(format!("@@ref_{}__draft", run.call_id()))
            }
        };
        Ok(DocumentError::Broken { what, draft, verification: Box::new(verification) })
    }
}

/// What is wrong, in one line.
pub(in crate::documents) fn summary(what: Broken, verification: &Verification) -> String {
    let grave = |finding: &&Finding| finding.severity >= Severity::Fault;
    let faults: Vec<&str> =
        verification.findings.iter().filter(grave).map(|found| found.message.as_str()).collect();
    let faults = faults.join("; ");
    match (what, verification.rounds) {
        (Broken::Given, _) => {
            format!("the page cannot be shown, and nothing was published: {faults}")
        }
        (Broken::Create, 0) => {
            format!("the page does not work, and nothing was published: {faults}")
        }
        (Broken::Create, rounds) => format!(
            "the page does not work, after {rounds} rounds of repair too, and nothing was published: {faults}"
        ),
        (Broken::Edit, _) => {
            format!("the edit breaks the page, and what is published stays as it was: {faults}")
        }
    }
}

/// The error to answer with.
pub(in crate::documents) fn error(
    what: Broken,
    message: String,
    draft: Option<&str>,
    verification: &Verification,
) -> ToolError {
    let kind = match what {
        Broken::Given => ErrorKind::Invalid,
        Broken::Create | Broken::Edit => ErrorKind::Unavailable,
    };
    let hint = match (what, draft) {
        (Broken::Given, _) | (_, None) => {
            "put right what `verification` names, and call again".to_owned()
        }
        (Broken::Create, Some(draft)) => format!(
            "call again with less or clearer wishes, or name another `model`; the draft is kept: \
             `html`: \"{draft}\" publishes it as it is, unless it cannot be shown at all"
        ),
        (Broken::Edit, Some(draft)) => format!(
            "ask for the change in other words or smaller steps, or give it in `edits`; the draft is \
             kept: the tool that created the document, with the same name and `html`: \"{draft}\", \
             publishes it as it is, unless it cannot be shown at all"
        ),
    };
    let error = ToolError::new(kind, "page_broken", message)
        .for_its_answers()
        .hint(hint)
        .detail("verification", json!(verification));
    match draft {
        Some(draft) => error.detail("draft", json!(draft)),
        None => error,
    }
}
