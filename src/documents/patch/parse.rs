//! From an answer to blocks.
//!
//! Text outside of blocks is prose: fences, paths, explanations. Whatever might be a block but
//! cannot be read as one makes the whole answer unusable, so that no edit is lost unseen.

use super::block::Block;
use super::markers::{Marker, is_suspicious, is_unclear, marker, unescape};
use super::{MAX_BLOCKS, MAX_BYTES};

/// What an answer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Blocks to apply.
    Blocks(Vec<Block>),
    /// A complete document that replaces the old one. It is only recognised here by its begin and
    /// end; whether it is sound is for the caller's check.
    Document(String),
    /// The answer says that there is nothing to change, or says nothing at all.
    NoChange,
    /// Nothing that can be applied.
    Unusable(Unusable),
}

/// Why an answer cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Only prose.
    #[error("it holds neither an edit block nor a complete document")]
    Prose,
    /// A block that cannot be read.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// A document without its end.
    #[error("it holds a document that is cut off: `</html>` is missing at its end")]
    IncompleteDocument,
    /// More than one document.
    #[error("it holds more than one document")]
    SeveralDocuments,
    /// Too many blocks.
    #[error("it holds {count} blocks; at most {MAX_BLOCKS} are allowed")]
    TooManyBlocks {
        /// How many there are.
        count: usize,
    },
    /// Too long.
    #[error("it has {bytes} bytes; at most {limit} are allowed", limit = MAX_REPLY)]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
}

/// A block that cannot be read. Lines are counted in the answer, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The answer ends within a block.
    #[error(
        "the block that begins on line {line} of the answer has no end: `>>>>>>> REPLACE` is missing"
    )]
    Unterminated {
        /// Where the block begins.
        line: usize,
    },
    /// No divider.
    #[error(
        "the block that begins on line {line} of the answer has no `=======` between its parts"
    )]
    NoDivider {
        /// Where the block begins.
        line: usize,
    },
    /// A marker without its block.
    #[error(
        "the marker on line {line} of the answer belongs to no block; put a backslash before a marker line that is content"
    )]
    Stray {
        /// Where the marker is.
        line: usize,
    },
    /// Something that may be meant as a marker.
    #[error(
        "line {line} of the answer looks like a marker but is none; markers are `<<<<<<< SEARCH`, `=======` and `>>>>>>> REPLACE`, each alone on its line and not indented, with a backslash before a line that is content"
    )]
    Unclear {
        /// Where it is.
        line: usize,
    },
    /// Content behind a divider that ended a block.
    #[error(
        "the block that begins on line {line} of the answer has a second `=======` with text behind it; put a backslash before a `=======` line that is content"
    )]
    SecondDivider {
        /// Where the block begins.
        line: usize,
    },
}

/// Both parts of every block may be as large as a document.
const MAX_REPLY: usize = 4 * MAX_BYTES;

/// Answers that say in words that nothing is to be changed.
const NO_CHANGE: [&str; 9] = [
    "no change",
    "no changes",
    "no change needed",
    "no changes needed",
    "no change required",
    "no changes required",
    "no changes necessary",
    "no changes are needed",
    "nothing to change",
];

/// Reads an answer.
pub fn parse(reply: &str) -> Reply {
    if reply.len() > MAX_REPLY {
        return Reply::Unusable(Unusable::TooLong { bytes: reply.len() });
    }
    let reply = reply.trim_start_matches('\u{feff}');
    let body = without_fence(reply);
    if body.trim().is_empty() || says_no_change(body) {
        return Reply::NoChange;
    }
    // A document that shows marker lines in its text is still a document.
    if opens_document(body.trim_start())
        && let Some(Ok((document, after))) = find_document(body)
        && !after.lines().any(is_marker_like)
    {
        return Reply::Document(document.to_owned());
    }
    match read_blocks(reply) {
        Err(malformed) => Reply::Unusable(malformed.into()),
        Ok(blocks) if blocks.len() > MAX_BLOCKS => {
            Reply::Unusable(Unusable::TooManyBlocks { count: blocks.len() })
        }
        Ok(blocks) if !blocks.is_empty() => match blocks.as_slice() {
            [block] if block.search_is_empty() && is_document(&block.replace.join("\n")) => {
                Reply::Document(block.replace.join("\n"))
            }
            _ => Reply::Blocks(blocks),
        },
        Ok(_) => match find_document(reply) {
            Some(Ok((document, _))) => Reply::Document(document.to_owned()),
            Some(Err(problem)) => Reply::Unusable(problem),
            None => Reply::Unusable(Unusable::Prose),
        },
    }
}

/// Whether a text is one complete document: the only thing that may stand behind an empty SEARCH.
pub(super) fn is_document(text: &str) -> bool {
    let text = text.trim();
    opens_document(text)
        && find_document(text).is_some_and(
            |found| matches!(found, Ok((document, after)) if after.is_empty() && document == text),
        )
}

/// What the reader is in the middle of.
enum State {
    Prose,
    Search {
        begin: usize,
        search: Vec<String>,
    },
    Replace {
        begin: usize,
        search: Vec<String>,
        replace: Vec<String>,
    },
    /// Behind a block that a second divider ended.
    AfterDivider {
        begin: usize,
    },
}

fn read_blocks(reply: &str) -> Result<Vec<Block>, Malformed> {
    let mut blocks = Vec::new();
    let mut state = State::Prose;
    for (index, text) in reply.split('\n').enumerate() {
        let line = index + 1;
        let text = text.strip_suffix('\r').unwrap_or(text);
        let found = marker(text);
        if found.is_none() && is_unclear(text) {
            return Err(Malformed::Unclear { line });
        }
        state = match (state, found) {
            (State::Prose | State::AfterDivider { .. }, Some(Marker::Search)) => {
                State::Search { begin: line, search: Vec::new() }
            }
            (State::Prose, None) if is_suspicious(text) => return Err(Malformed::Unclear { line }),
            // Alone it may underline a heading of the prose.
            (State::Prose, None | Some(Marker::Divider)) => State::Prose,
            (State::Prose, Some(Marker::Replace)) => return Err(Malformed::Stray { line }),
            (State::AfterDivider { begin }, None) if text.trim().is_empty() => {
                State::AfterDivider { begin }
            }
            (State::AfterDivider { .. }, None) if is_fence(text) => State::Prose,
            (State::AfterDivider { begin }, None | Some(Marker::Divider | Marker::Replace)) => {
                return Err(Malformed::SecondDivider { line: begin });
            }
            (State::Search { begin, mut search }, None) => {
                search.push(unescape(text).into_owned());
                State::Search { begin, search }
            }
            (State::Search { begin, search }, Some(Marker::Divider)) => {
                State::Replace { begin, search, replace: Vec::new() }
            }
            (State::Search { begin, .. }, Some(Marker::Search | Marker::Replace)) => {
                return Err(Malformed::NoDivider { line: begin });
            }
            (State::Replace { begin, search, mut replace }, None) => {
                replace.push(unescape(text).into_owned());
                State::Replace { begin, search, replace }
            }
            (State::Replace { begin, .. }, Some(Marker::Search)) => {
                return Err(Malformed::Unterminated { line: begin });
            }
            (State::Replace { begin, search, replace }, Some(Marker::Divider)) => {
                blocks.push(Block { search, replace });
                State::AfterDivider { begin }
            }
            (State::Replace { search, replace, .. }, Some(Marker::Replace)) => {
                blocks.push(Block { search, replace });
                State::Prose
            }
        };
    }
    match state {
        State::Prose | State::AfterDivider { .. } => Ok(blocks),
        State::Search { begin, .. } | State::Replace { begin, .. } => {
            Err(Malformed::Unterminated { line: begin })
        }
    }
}

fn is_marker_like(line: &str) -> bool {
    marker(line).is_some_and(|found| found != Marker::Divider) || is_suspicious(line)
}

fn is_fence(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("```") || line.starts_with("~~~")
}

/// The answer without the one fence around it, if there is one.
fn without_fence(reply: &str) -> &str {
    let trimmed = reply.trim();
    if !is_fence(trimmed) {
        return reply;
    }
    let inner = trimmed.split_once('\n').map_or("", |(_, rest)| rest);
    match inner.trim_end().rsplit_once('\n') {
        Some((body, last)) if is_fence(last) => body,
        None if is_fence(inner) => "",
        Some(_) | None => inner,
    }
}

fn says_no_change(text: &str) -> bool {
    let words = text.trim().trim_matches(|letter: char| letter.is_ascii_punctuation());
    words.len() < 40 && NO_CHANGE.contains(&words.to_ascii_lowercase().replace('_', " ").as_str())
}

/// The document in a text and what follows it. `None` when no line opens one.
fn find_document(text: &str) -> Option<Result<(&str, &str), Unusable>> {
    let mut offset = 0;
    let mut openings = Vec::new();
    for line in text.split_inclusive('\n') {
        let content = line.trim_start();
        if opens_document(content) {
            openings.push(offset + line.len() - content.len());
        }
        offset += line.len();
    }
    let start = *openings.first()?;
    let body = text.get(start..)?;
    let closing = body.as_bytes().windows(7).rposition(|end| end.eq_ignore_ascii_case(b"</html>"));
    let Some(end) = closing.map(|position| position + 7) else {
        return Some(Err(Unusable::IncompleteDocument));
    };
    // A root element on the line after its doctype belongs to it; any other opening is a second
    // document.
    let doctypes = openings
        .iter()
        .filter(|opening| {
            text.as_bytes().get(**opening + 1) == Some(&b'!') && **opening < start + end
        })
        .count();
    let roots = openings.iter().filter(|opening| **opening < start + end).count() - doctypes;
    if doctypes > 1 || roots > 1 {
        return Some(Err(Unusable::SeveralDocuments));
    }
    Some(body.split_at_checked(end).ok_or(Unusable::IncompleteDocument))
}

/// Whether a text begins with `<!doctype html` or `<html`.
fn opens_document(text: &str) -> bool {
    ["<!doctype html", "<html"].iter().any(|opening| {
        let bytes = text.as_bytes();
        bytes
            .get(..opening.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(opening.as_bytes()))
            && bytes
                .get(opening.len())
                .is_none_or(|next| *next == b'>' || next.is_ascii_whitespace())
    })
}
