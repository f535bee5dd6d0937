//! Why a block cannot be placed, in words for whoever wrote it.

use super::matching::Level;

/// Why a block was not applied. Lines are counted from 1, in the document with all blocks that
/// could be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// No match at any level.
    #[error("its SEARCH part is not in the document")]
    NotFound,
    /// Several matches.
    #[error("its SEARCH part matches {} at lines {}; add lines around it until it is unique",
        .level.words(), list(.lines))]
    Ambiguous {
        /// The level at which it first matches.
        level: Level,
        /// Where the matches begin, the first twenty.
        lines: Vec<usize>,
    },
    /// A part of one line of ordinary length.
    #[error("its SEARCH part is only a part of line {line}; SEARCH must hold whole lines")]
    PartOfLine {
        /// The line.
        line: usize,
    },
    /// Another block of the same answer changed the lines.
    #[error(
        "block {earlier} already changed lines that its SEARCH part holds; search for the lines as they are after block {earlier}"
    )]
    Overlaps {
        /// The earlier block.
        earlier: usize,
    },
    /// Nothing to search for.
    #[error(
        "its SEARCH part is empty; that is allowed only for an empty document or with a complete document as REPLACE"
    )]
    EmptySearch,
    /// A whole document behind other blocks, whose work it would undo.
    #[error("it replaces the whole document behind blocks that edit it; send it alone")]
    RewriteAfterEdits,
    /// REPLACE is indented less than the shift takes away.
    #[error(
        "its SEARCH part is indented more than the document, and line {line} of its REPLACE part is not; write both as in the document"
    )]
    Reindent {
        /// Line of REPLACE.
        line: usize,
    },
    /// Unpaired elisions.
    #[error(
        "its SEARCH part has {search} `...` lines and its REPLACE part {replace}; both must have the same, or none"
    )]
    ElisionCount {
        /// In SEARCH.
        search: usize,
        /// In REPLACE.
        replace: usize,
    },
    /// Something left out in words or dots.
    #[error(
        "line {line} of its REPLACE part stands for text that is left out; write the text out, or put the same `...` line into SEARCH"
    )]
    Placeholder {
        /// Line of REPLACE.
        line: usize,
    },
    /// A piece that has no or several places.
    #[error("piece {piece} of its SEARCH part, between `...` lines, {}", elision(.lines))]
    ElisionPiece {
        /// Counted from 1.
        piece: usize,
        /// Where it matches.
        lines: Vec<usize>,
    },
    /// Pieces out of order.
    #[error("the pieces of its SEARCH part around `...` are not in this order in the document")]
    ElisionOrder,
    /// Text next to an elision without an anchor.
    #[error(
        "its REPLACE part adds text in piece {piece}, where its SEARCH part has nothing to find"
    )]
    ElisionAnchor {
        /// Counted from 1.
        piece: usize,
    },
    /// The same as a block that failed.
    #[error("it repeats block {earlier}, which could not be applied")]
    RepeatsFailed {
        /// The earlier block.
        earlier: usize,
    },
    /// It can be placed now that others are applied, but could not in its turn.
    #[error("it matches only with the other blocks applied: send it again as it is, behind them")]
    OutOfOrder,
    /// A document and blocks made to be slow.
    #[error(
        "the document repeats itself too much for so many blocks; send fewer or a whole document"
    )]
    TooMuchWork,
}

fn list(lines: &[usize]) -> String {
    lines.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

fn elision(lines: &[usize]) -> String {
    match lines {
        [] => "is not in the document".to_owned(),
        several => format!("matches at lines {}; it must be unique", list(several)),
    }
}
