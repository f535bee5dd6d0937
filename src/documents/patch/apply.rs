//! Applying all blocks of an answer, or none.

use std::fmt::Write as _;

use similar::TextDiff;

use super::block::Block;
use super::lines::{Line, Lines, Splice};
use super::matching::{Level, Located, Work, locate};
use super::nearest::{Nearest, Region};
use super::plan::{Plan, changes_nothing, plan, rewritten};
use super::reason::Reason;
use super::{MAX_BLOCKS, MAX_BYTES};

/// All blocks are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The new document.
    pub text: String,
    /// What changed, as a unified diff; empty when nothing did. A very long one is cut and says so.
    pub diff: String,
    /// One entry per block, in their order.
    pub blocks: Vec<Placed>,
    /// What is worth telling: blocks that had nothing to do, and levels other than exact.
    pub notes: Vec<String>,
    /// Steps of comparing and searching, for bounds that hold on any machine.
    pub work: u64,
}

/// How one block went in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Placed {
    /// Number of the block, from 1.
    pub block: usize,
    /// The level that placed it.
    pub level: Level,
    /// Line of the document at which it was placed, at its turn; none when nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// Nothing was applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct Failures {
    /// Why the answer as a whole is refused, whatever its blocks do.
    pub refusal: Option<Refusal>,
    /// The blocks that could not be placed.
    pub failed: Vec<Failure>,
    /// The blocks that could.
    pub applied: Vec<Placed>,
    /// Those blocks again: with the corrected ones behind them they make the next attempt.
    pub kept: Vec<Block>,
    /// Steps of comparing and searching.
    pub work: u64,
}

/// One block that could not be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Number of the block, from 1.
    pub block: usize,
    /// The first line of its SEARCH part that is not blank.
    pub begins: String,
    /// Why.
    pub reason: Reason,
    /// What resembles its SEARCH part, when that was not found.
    pub nearest: Option<Region>,
    /// The first places where an ambiguous SEARCH part stands, or the line it is a part of.
    pub places: Vec<Region>,
}

/// Why an answer as a whole is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No blocks.
    #[error("there are no edit blocks")]
    NoBlocks,
    /// Too many.
    #[error("there are {count} edit blocks; at most {MAX_BLOCKS} are allowed")]
    TooManyBlocks {
        /// How many.
        count: usize,
    },
    /// Blocks too large.
    #[error("the edit blocks have {bytes} bytes; at most {MAX_BYTES} are allowed")]
    BlocksTooLarge {
        /// How many.
        bytes: usize,
    },
    /// Document too large.
    #[error("the document has {bytes} bytes; at most {MAX_BYTES} can be edited by blocks")]
    DocumentTooLarge {
        /// How many.
        bytes: usize,
    },
    /// Result too large.
    #[error("the edited document would have {bytes} bytes; at most {MAX_BYTES} are allowed")]
    ResultTooLarge {
        /// How many.
        bytes: usize,
    },
    /// The caller's check says no.
    #[error("every block was placed, but the result is not sound: {0}")]
    Unsound(String),
}

/// Lines around a resembling region.
const AROUND: usize = 5;
/// Lines around each place of an ambiguous block.
const AROUND_PLACE: usize = 2;
/// Places shown of an ambiguous block.
const PLACES: usize = 3;
/// Lines and bytes per line of an excerpt.
const EXCERPT_LINES: usize = 60;
const EXCERPT_WIDTH: usize = 400;
/// Bytes of a diff: a result must stay below what hosts take. A diff that is longer was cut.
pub const MAX_DIFF: usize = 40_000;

/// Applies blocks without a check of the result.
///
/// # Errors
/// Every block that could not be placed.
pub fn apply(document: &str, blocks: &[Block]) -> Result<Applied, Failures> {
    apply_checked(document, blocks, |_| Ok(()))
}

/// Applies blocks, one after the other on a working copy, and has the result judged.
///
/// # Errors
/// Every block that could not be placed, or what `check` says about the result.
pub fn apply_checked(
    document: &str,
    blocks: &[Block],
    check: impl FnOnce(&str) -> Result<(), String>,
) -> Result<Applied, Failures> {
    if let Some(refusal) = refuse(document, blocks) {
        return Err(Failures::refused(refusal, 0));
    }
    let mut session = Session::new(document);
    for (index, block) in blocks.iter().enumerate() {
        session.place(blocks.get(..index).unwrap_or_default(), block);
    }
    if !session.pending.is_empty() {
        return Err(session.into_failures(blocks));
    }
    let work = session.work.steps;
    let text = session.working.text();
    if text.len() > MAX_BYTES {
        return Err(Failures::refused(Refusal::ResultTooLarge { bytes: text.len() }, work));
    }
    if text != document {
        check(&text).map_err(|problem| Failures::refused(Refusal::Unsound(problem), work))?;
    }
    let diff = unified(document, &text);
    Ok(Applied { diff, text, blocks: session.placed, notes: session.notes, work })
}

fn refuse(document: &str, blocks: &[Block]) -> Option<Refusal> {
    let bytes: usize = blocks.iter().map(Block::size).sum();
    if blocks.is_empty() {
        Some(Refusal::NoBlocks)
    } else if blocks.len() > MAX_BLOCKS {
        Some(Refusal::TooManyBlocks { count: blocks.len() })
    } else if document.len() > MAX_BYTES {
        Some(Refusal::DocumentTooLarge { bytes: document.len() })
    } else if bytes > MAX_BYTES {
        Some(Refusal::BlocksTooLarge { bytes })
    } else {
        None
    }
}

/// A block that failed at its turn.
struct Pending {
    block: usize,
    reason: Reason,
    /// Splices that came before it: with no more, there is nothing new to say about it.
    splices: usize,
}

struct Session<'a> {
    original: Vec<Line<'a>>,
    /// For every line of the original, the block that replaced it.
    taken_by: Vec<Option<usize>>,
    working: Lines<'a>,
    placed: Vec<Placed>,
    pending: Vec<Pending>,
    /// Splices done so far.
    splices: usize,
    notes: Vec<String>,
    work: Work,
}

impl<'a> Session<'a> {
    fn new(document: &'a str) -> Self {
        let working = Lines::of(document);
        Self {
            original: working.lines().to_vec(),
            taken_by: vec![None; working.lines().len()],
            working,
            placed: Vec::new(),
            pending: Vec::new(),
            splices: 0,
            notes: Vec::new(),
            work: Work::default(),
        }
    }

    fn place(&mut self, earlier: &[Block], block: &Block) {
        let number = earlier.len() + 1;
        let mut planned = plan(&self.working, block, &mut self.work);
        if let Some(first) = earlier.iter().position(|other| other == block) {
            let first = first + 1;
            if self.pending.iter().any(|failed| failed.block == first) {
                planned = Err(Reason::RepeatsFailed { earlier: first });
            } else if repeats(block, &planned) {
                self.done_nothing(number, Level::NothingToDo, &format!("it repeats block {first}"));
                return;
            }
        }
        match planned {
            Ok(Plan::Edit { level, splices }) => {
                if level != Level::Exact {
                    self.notes.push(format!("block {number} matched {}", level.words()));
                }
                if splices.iter().all(|splice| changes_nothing(&self.working, splice)) {
                    self.notes.push(format!("block {number} changes nothing"));
                }
                self.commit(number, level, splices);
            }
            Ok(Plan::Rewrite(_)) if self.placed.iter().any(|placed| placed.line.is_some()) => {
                self.fail(number, Reason::RewriteAfterEdits);
            }
            Ok(Plan::Rewrite(lines)) => {
                let splice = rewritten(&self.working, lines);
                self.commit(number, Level::WholeDocument, vec![splice]);
            }
            Ok(Plan::Nothing { level, note }) => self.done_nothing(number, level, note),
            Err(reason) => self.fail(number, reason),
        }
    }

    fn fail(&mut self, block: usize, reason: Reason) {
        self.pending.push(Pending { block, reason, splices: self.splices });
    }

    fn done_nothing(&mut self, block: usize, level: Level, note: &str) {
        self.notes.push(format!("block {block} was left out: {note}"));
        self.placed.push(Placed { block, level, line: None });
    }

    fn commit(&mut self, block: usize, level: Level, splices: Vec<Splice<'a>>) {
        let line = splices.first().map(|splice| splice.start + 1);
        self.placed.push(Placed { block, level, line });
        for splice in splices.into_iter().rev() {
            let kept: Vec<Option<usize>> = splice.lines.iter().map(|line| line.origin).collect();
            let mut kept = kept.into_iter().flatten().peekable();
            self.splices += 1;
            for removed in self.working.splice(splice) {
                let Some(origin) = removed.origin else { continue };
                // Both sides keep the order of the document.
                if kept.next_if_eq(&origin).is_none()
                    && let Some(taken) = self.taken_by.get_mut(origin)
                {
                    *taken = Some(block);
                }
            }
        }
    }

    /// What to say about the blocks that failed, on the working copy with all others applied: that
    /// is what the next blocks must match.
    fn into_failures(mut self, blocks: &[Block]) -> Failures {
        let mut work = std::mem::take(&mut self.work);
        let pending = std::mem::take(&mut self.pending);
        let nearest = Nearest::in_lines(self.working.lines());
        let mut failed = Vec::with_capacity(pending.len());
        for pending in pending {
            let number = pending.block;
            let Some(block) = number.checked_sub(1).and_then(|index| blocks.get(index)) else {
                continue;
            };
            let reason = self.diagnose(block, pending, &mut work);
            let found = matches!(reason, Reason::NotFound | Reason::Overlaps { .. })
                .then(|| nearest.region(&block.search, &mut work))
                .flatten();
            let nearest =
                found.map(|found| self.region(found.start, found.length, AROUND, found.likeness));
            let starts = if let Reason::Ambiguous { lines, .. }
            | Reason::ElisionPiece { lines, .. } = &reason
            {
                lines.as_slice()
            } else if let Reason::PartOfLine { line } = &reason {
                std::slice::from_ref(line)
            } else {
                &[]
            };
            let length = block.search.len();
            let places = starts
                .iter()
                .take(PLACES)
                .map(|line| self.region(line - 1, length.min(8), AROUND_PLACE, 1000))
                .collect();
            let begins = block.search.iter().map(|line| line.trim()).find(|line| !line.is_empty());
            let begins = begins.unwrap_or_default().chars().take(80).collect();
            failed.push(Failure { block: number, begins, reason, nearest, places });
        }
        let kept = self.placed.iter().filter_map(|placed| blocks.get(placed.block - 1)).cloned();
        Failures {
            refusal: None,
            failed,
            kept: kept.collect(),
            applied: self.placed,
            work: work.steps,
        }
    }

    fn diagnose(&self, block: &Block, failed: Pending, work: &mut Work) -> Reason {
        let mut reason = failed.reason;
        let stays = matches!(
            reason,
            Reason::EmptySearch
                | Reason::RewriteAfterEdits
                | Reason::RepeatsFailed { .. }
                | Reason::TooMuchWork
        );
        if stays || self.splices == 0 {
            return reason;
        }
        if failed.splices < self.splices {
            match plan(&self.working, block, work) {
                Ok(Plan::Edit { .. } | Plan::Rewrite(_)) => return Reason::OutOfOrder,
                Ok(Plan::Nothing { .. }) => {}
                Err(now) => reason = now,
            }
        }
        let absent = matches!(reason, Reason::NotFound | Reason::PartOfLine { .. });
        if absent
            && let Located::Once(place) = locate(&self.original, &block.search, work)
            && let Some(earlier) =
                self.taken_by.iter().skip(place.start).take(place.length).flatten().max()
        {
            return Reason::Overlaps { earlier: *earlier };
        }
        reason
    }

    fn region(&self, start: usize, length: usize, around: usize, likeness: usize) -> Region {
        let first = start.saturating_sub(around);
        let wanted = start - first + length + around;
        let lines = self.working.excerpt(first, wanted.min(EXCERPT_LINES), EXCERPT_WIDTH);
        Region { first_line: first + 1, lines, is_cut: wanted > EXCERPT_LINES, likeness }
    }
}

/// Whether a block that stands in the answer twice would be applied a second time by mistake:
/// because its REPLACE holds its SEARCH again, or because its work is already done.
fn repeats(block: &Block, planned: &Result<Plan, Reason>) -> bool {
    let flat = |lines: &[String]| -> String {
        lines.iter().flat_map(|line| [line.trim(), "\n"]).collect()
    };
    let is_absent = matches!(
        planned,
        Err(Reason::NotFound | Reason::PartOfLine { .. } | Reason::Overlaps { .. })
    );
    is_absent || flat(&block.replace).contains(flat(&block.search).trim_end())
}

impl Failures {
    fn refused(refusal: Refusal, work: u64) -> Self {
        Self {
            refusal: Some(refusal),
            failed: Vec::new(),
            applied: Vec::new(),
            kept: Vec::new(),
            work,
        }
    }
}

/// A unified diff with three lines of context; empty when nothing differs. A very long one is cut
/// and says so.
pub fn unified(before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(before, after);
    let mut text = diff.unified_diff().context_radius(3).header("before", "after").to_string();
    if text.len() > MAX_DIFF {
        let total = text.len();
        let mut end = MAX_DIFF;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        // A `String` takes every write.
        let _ = write!(text, "\n[… {} more bytes of the diff]\n", total - end);
    }
    text
}
