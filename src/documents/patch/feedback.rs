//! What to send instead, in words for a model or for the caller that wrote the `edits`.

use std::fmt::Write as _;

use super::apply::{Failure, Failures, Refusal};
use super::markers::escape;
use super::nearest::Region;
use super::parse::Unusable;
use super::reason::Reason;

/// Who reads the feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A model in a round of several. The blocks that matched are kept for its next answer, so it
    /// must send only the others. Of the blocks applied, this many were kept from earlier answers;
    /// the model counts without them.
    Model {
        /// How many.
        kept: usize,
    },
    /// The author of `edits`, whose next call stands alone.
    Caller,
}

/// How edits are written.
pub const FORMAT: &str = "\
Write each edit as a block:
<<<<<<< SEARCH
lines that stand exactly once in the document, copied exactly, as few as make them unique
=======
lines that take their place; none to delete
>>>>>>> REPLACE
Markers stand alone on their lines, not indented. Put a backslash before a line of content that looks like a marker.";

/// Bytes of excerpts in one feedback; further ones are left out.
const MAX_EXCERPTS: usize = 24_000;

impl Failures {
    /// One line.
    pub(super) fn summary(&self) -> String {
        if let Some(refusal) = &self.refusal {
            return refusal.to_string();
        }
        let total = self.failed.len() + self.applied.len();
        let mut text = format!("{} of {total} edit blocks could not be applied", self.failed.len());
        if let Some(first) = self.failed.first() {
            // A `String` takes every write.
            let _ = write!(text, "; block {}: {}", first.block, first.reason);
        }
        text
    }

    /// Everything that is needed to write the blocks anew.
    pub fn feedback(&self, audience: Audience) -> String {
        let mut text = match &self.refusal {
            Some(refusal) => return refused(refusal),
            None => self.introduction(audience),
        };
        let mut left = MAX_EXCERPTS;
        for failure in &self.failed {
            let (name, reason) = (name(failure.block, audience), reason(failure, audience));
            let begins = &failure.begins;
            text.push_str("\n\n");
            // A `String` takes every write.
            let _ = write!(text, "{name} (SEARCH begins `{begins}`): {reason}.");
            for excerpt in excerpts(failure) {
                if let Some(rest) = left.checked_sub(excerpt.len()) {
                    left = rest;
                    text.push_str(&excerpt);
                } else {
                    text.push_str("\nThe lines of the document are left out here.");
                    break;
                }
            }
        }
        text.push_str("\n\n");
        text.push_str(match audience {
            Audience::Model { .. } => {
                "Answer with corrected blocks for these only. Copy SEARCH from the document exactly."
            }
            Audience::Caller => {
                "Send all blocks again, with these corrected. Copy SEARCH from the document exactly."
            }
        });
        text
    }

    fn introduction(&self, audience: Audience) -> String {
        let failed = self.failed.len();
        let fresh: Vec<String> = self
            .applied
            .iter()
            .filter(|placed| placed.block > kept(audience))
            .map(|placed| (placed.block - kept(audience)).to_string())
            .collect();
        let mut text = match failed {
            1 => "1 edit block could not be applied".to_owned(),
            several => format!("{several} edit blocks could not be applied"),
        };
        text.push_str(match audience {
            Audience::Model { .. } => ".",
            Audience::Caller => ", so the document was not changed.",
        });
        if fresh.is_empty() {
            return text;
        }
        let fresh = fresh.join(", ");
        // A `String` takes every write.
        let _ = match audience {
            Audience::Model { .. } => write!(
                text,
                " These blocks of your answer match and are kept; do not send them again: {fresh}. \
                 Lines below are those of the document with every kept block applied."
            ),
            Audience::Caller => write!(
                text,
                " These blocks match: {fresh}. Lines below are those of the document with these \
                 applied."
            ),
        };
        text
    }
}

impl Unusable {
    /// What to send instead of an answer without a usable edit.
    pub fn feedback(&self) -> String {
        format!("Nothing of the answer was applied: {self}.\n\n{FORMAT}")
    }
}

const fn kept(audience: Audience) -> usize {
    match audience {
        Audience::Model { kept } => kept,
        Audience::Caller => 0,
    }
}

fn refused(refusal: &Refusal) -> String {
    let advice = match refusal {
        Refusal::NoBlocks => FORMAT,
        Refusal::TooManyBlocks { .. }
        | Refusal::BlocksTooLarge { .. }
        | Refusal::DocumentTooLarge { .. }
        | Refusal::ResultTooLarge { .. } => "Send fewer or smaller edits.",
        Refusal::Unsound(_) => "Send all blocks again, so that the whole document stays sound.",
    };
    format!("The document was not changed: {refusal}.\n\n{advice}")
}

fn name(block: usize, audience: Audience) -> String {
    match block.checked_sub(kept(audience)) {
        None | Some(0) => format!("Kept block {block}"),
        Some(number) => format!("Block {number}"),
    }
}

/// The reason, with blocks numbered as its reader counts them.
fn reason(failure: &Failure, audience: Audience) -> String {
    let kept = kept(audience);
    if let Reason::RepeatsFailed { earlier } = failure.reason {
        return Reason::RepeatsFailed { earlier: earlier.saturating_sub(kept) }.to_string();
    }
    let Reason::Overlaps { earlier } = failure.reason else { return failure.reason.to_string() };
    match earlier.checked_sub(kept) {
        Some(earlier) if earlier > 0 => Reason::Overlaps { earlier }.to_string(),
        Some(_) | None => "a block kept from an earlier answer already changed lines that its \
                           SEARCH part holds; search for the lines as they are now"
            .to_owned(),
    }
}

/// The lines of the document that belong to a failure.
fn excerpts(failure: &Failure) -> Vec<String> {
    let mut excerpts = Vec::new();
    if let Some(region) = &failure.nearest {
        let title = if region.likeness == 1000 {
            "These lines differ only in blanks or line breaks".to_owned()
        } else {
            format!("The nearest lines ({} % alike)", region.likeness / 10)
        };
        excerpts.push(excerpt(&title, region));
    }
    excerpts.extend(failure.places.iter().map(|region| excerpt("One place", region)));
    excerpts
}

fn excerpt(title: &str, region: &Region) -> String {
    let longest_run = region
        .lines
        .iter()
        .flat_map(|line| line.split(|letter| letter != '`'))
        .map(str::len)
        .max()
        .unwrap_or_default();
    let fence = "`".repeat(3.max(longest_run + 1));
    let last = region.first_line + region.lines.len().saturating_sub(1);
    let mut text = format!("\n{title}, lines {} to {last}:\n{fence}\n", region.first_line);
    for line in &region.lines {
        text.push_str(&escape(line));
        text.push('\n');
    }
    if region.is_cut {
        text.push_str("[… more lines]\n");
    }
    text.push_str(&fence);
    text
}
