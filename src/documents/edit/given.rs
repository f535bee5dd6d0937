//! Edits that the caller wrote: the same matcher, no model, no second try.

use serde_json::json;

use super::apply::{self, Outcome, RewriteProblem};
use super::{EditTask, Edited, NewPage};
use crate::documents::error::DocumentError;
use crate::documents::patch::{Audience, Reply, parse};
use crate::documents::publish::Writer;

/// Applies the caller's `edits`.
///
/// # Errors
/// What is wrong with them, with what to send instead.
pub(super) async fn edit(task: &EditTask<'_>, edits: &str) -> Result<Edited, DocumentError> {
    let edited = |page: Option<NewPage>, notes| Edited {
        page,
        writer: Some(Writer::Caller),
        prompt: json!(null),
        notes,
        answers: 0,
        tool_calls: Vec::new(),
    };
    match parse(edits) {
        Reply::NoChange => Ok(edited(None, vec!["`edits` holds no change".to_owned()])),
        Reply::Unusable(problem) => Err(DocumentError::EditsRefused {
            summary: problem.to_string(),
            feedback: problem.feedback(),
        }),
        Reply::Document(document) => match apply::rewrite(task, document).await? {
            Ok(page) => Ok(edited(page, Vec::new())),
            Err(RewriteProblem::Unsound(problem)) => Err(DocumentError::EditsUnsound(problem)),
            Err(problem @ RewriteProblem::LeftOut(_)) => Err(DocumentError::EditsRefused {
                summary: problem.to_string(),
                feedback: problem.to_string(),
            }),
        },
        Reply::Blocks(blocks) => match apply::apply_blocks(task, blocks).await? {
            Outcome::Changed(page, notes) => Ok(edited(Some(page), notes)),
            Outcome::Same(notes) => Ok(edited(None, notes)),
            Outcome::Failed(failures) => Err(DocumentError::EditsRefused {
                summary: failures.to_string(),
                feedback: failures.feedback(Audience::Caller),
            }),
            Outcome::Unsound(problem) => Err(DocumentError::EditsUnsound(problem)),
        },
    }
}
