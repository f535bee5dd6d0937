//! Pages that were not published, kept for whoever wants them.
//!
//! The call's own reference holds the draft: it belongs to the caller alone, is passed on by name
//! and not through anybody's context, and is forgotten when the call is.

use serde_json::json;

use super::verdict::Verification;
use crate::documents::error::DocumentError;
use crate::documents::service::Documents;
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
