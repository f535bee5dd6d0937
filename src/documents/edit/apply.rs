//! Blocks and whole documents onto a source, off the threads that serve others.

use std::sync::Arc;

use super::{EditTask, NewPage};
use crate::documents::error::DocumentError;
use crate::documents::html::{Page, ReplyProblem, page_after_edit};
use crate::documents::patch::{self, Applied, Block, Failures, Level, MAX_BYTES, Placed};

/// Blocks as text that an error may carry.
const MAX_BLOCKS_TEXT: usize = 40_000;

/// What blocks did.
pub(super) enum Outcome {
    /// They made a new page.
    Changed(NewPage, Vec<String>),
    /// Every block was placed and nothing differs.
    Same(Vec<String>),
    /// At least one could not be placed.
    Failed(Failures),
    /// All were placed, and the result is no page.
    Unsound(ReplyProblem),
}

/// Applies blocks to the source of a task, all or none.
///
/// # Errors
/// When the work was lost.
pub(super) async fn apply_blocks(
    task: &EditTask<'_>,
    blocks: Vec<Block>,
) -> Result<Outcome, DocumentError> {
    let (source, limit) = (Arc::clone(&task.source), task.page_bytes);
    off_thread(move || match patch::apply(&source, &blocks) {
        Err(failures) => Outcome::Failed(failures),
        Ok(Applied { notes, text, .. }) if text == *source => Outcome::Same(notes),
        Ok(Applied { text, blocks: placed, notes, .. }) => {
            match page_after_edit(&source, &text, limit) {
                Ok(page) => {
                    let blocks: String = blocks.iter().map(Block::to_string).collect();
                    let blocks = Some(blocks).filter(|text| text.len() <= MAX_BLOCKS_TEXT);
                    Outcome::Changed(NewPage { page, placed, blocks }, notes)
                }
                Err(problem) => Outcome::Unsound(problem),
            }
        }
    })
    .await
}

/// Why a whole document cannot take the place of the source.
#[derive(Debug, thiserror::Error)]
pub(super) enum RewriteProblem {
    /// It is no sound page.
    #[error(transparent)]
    Unsound(#[from] ReplyProblem),
    /// It leaves something out.
    #[error(
        "line {0} of the document stands for text that is left out; write every line of the document"
    )]
    LeftOut(usize),
}

/// Takes a whole document in the place of the source; `None` when it is the same.
///
/// # Errors
/// What is wrong with it, or that the work was lost.
pub(super) async fn rewrite(
    task: &EditTask<'_>,
    document: String,
) -> Result<Result<Option<NewPage>, RewriteProblem>, DocumentError> {
    let (source, limit) = (Arc::clone(&task.source), task.page_bytes);
    off_thread(move || {
        if let Some(line) = patch::left_out(&source, &document) {
            return Err(RewriteProblem::LeftOut(line));
        }
        let page = page_after_edit(&source, &framed(&source, &document), limit)?;
        if page.html == *source {
            return Ok(None);
        }
        let placed = vec![Placed { block: 1, level: Level::WholeDocument, line: Some(1) }];
        Ok(Some(NewPage { page, placed, blocks: None }))
    })
    .await
}

/// A document with what stands before and behind the old one: a byte-order mark, the last line's
/// end. An answer shows neither.
fn framed(source: &str, document: &str) -> String {
    let is_frame = |letter: char| letter.is_whitespace() || letter == '\u{feff}';
    let before = source.len() - source.trim_start_matches(is_frame).len();
    let behind = source.trim_end_matches(is_frame).len().max(before);
    let (before, behind) = (source.get(..before), source.get(behind..));
    let document = document.trim_matches(is_frame);
    [before.unwrap_or_default(), document, behind.unwrap_or_default()].concat()
}

/// The unified diff of two pages.
///
/// # Errors
/// When the work was lost.
pub(super) async fn diff(before: &Arc<str>, after: &Page) -> Result<String, DocumentError> {
    let (before, after) = (Arc::clone(before), after.html.clone());
    off_thread(move || patch::unified(&before, &after)).await
}

/// Refuses a source that the matcher would not take.
///
/// # Errors
/// When it is too long.
pub(super) const fn check_size(source: &str) -> Result<(), DocumentError> {
    if source.len() > MAX_BYTES {
        return Err(DocumentError::TooLargeToEdit { bytes: source.len(), limit: MAX_BYTES });
    }
    Ok(())
}

/// A page of a megabyte takes milliseconds, which is too long for a thread that serves others.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DocumentError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| DocumentError::Lost(format!("applying an edit ended: {error}")))
}
