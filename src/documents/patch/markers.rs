//! The lines that frame a block, and how a line that looks like one is written as content.

use std::borrow::Cow;

/// A line that frames a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// `<<<<<<< SEARCH` or `------- SEARCH`.
    Search,
    /// `=======`.
    Divider,
    /// `>>>>>>> REPLACE` or `+++++++ REPLACE`.
    Replace,
}

/// Reads an accepted marker: 5 to 9 marker characters at the begin of the line, its word,
/// perhaps a `>`, and trailing blanks.
pub(super) fn marker(line: &str) -> Option<Marker> {
    let line = line.trim_end();
    let (character, length, rest) = run(line)?;
    if !(5..=9).contains(&length) {
        return None;
    }
    let says = |word: &str| {
        rest.trim_start().strip_prefix(word).is_some_and(|tail| tail.is_empty() || tail == ">")
    };
    match character {
        '<' | '-' if says("SEARCH") => Some(Marker::Search),
        '>' | '+' if says("REPLACE") => Some(Marker::Replace),
        '=' if rest.is_empty() => Some(Marker::Divider),
        _ => None,
    }
}

/// Whether a line is no accepted marker but may well be meant as one: another number of marker
/// characters, indented, in small letters, or followed by something. It is never taken as content
/// or prose, because that would lose or mix up blocks.
pub(super) fn is_unclear(line: &str) -> bool {
    if marker(line).is_some() {
        return false;
    }
    let Some((character, length, rest)) = run(line.trim()) else { return false };
    if !matches!(character, '<' | '>' | '-' | '+') || length < 3 {
        return false;
    }
    let rest = rest.trim_start().to_ascii_uppercase();
    let Some(tail) = rest.strip_prefix("SEARCH").or_else(|| rest.strip_prefix("REPLACE")) else {
        return false;
    };
    let ends = tail.is_empty() || tail == ">";
    ends || (length >= 5 && !tail.starts_with(char::is_alphanumeric))
}

/// Whether a line between blocks may be meant as a marker: also conflict markers with other words.
pub(super) fn is_suspicious(line: &str) -> bool {
    is_unclear(line)
        || run(line.trim())
            .is_some_and(|(character, length, _)| matches!(character, '<' | '>') && length >= 5)
}

/// Writes a line of content so that it is not read as a marker.
pub(super) fn escape(line: &str) -> Cow<'_, str> {
    match escapable(line) {
        Some((indent, rest)) => Cow::Owned(format!("{indent}\\{rest}")),
        None => Cow::Borrowed(line),
    }
}

/// Takes back [`escape`].
pub(super) fn unescape(line: &str) -> Cow<'_, str> {
    match escapable(line) {
        Some((indent, rest)) if rest.starts_with('\\') => {
            Cow::Owned(format!("{indent}{}", rest.get(1..).unwrap_or_default()))
        }
        Some(_) | None => Cow::Borrowed(line),
    }
}

/// Splits a line behind its indentation when it is a marker behind any number of backslashes.
fn escapable(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim_start();
    let (indent, rest) = line.split_at(line.len() - rest.len());
    let bare = rest.trim_start_matches('\\');
    if run(bare).is_none_or(|(_, length, _)| length < 3) {
        return None;
    }
    let bare = format!("{indent}{bare}");
    (marker(&bare).is_some() || is_unclear(&bare)).then_some((indent, rest))
}

/// The run of one marker character that begins a line: the character, how many, what follows.
fn run(line: &str) -> Option<(char, usize, &str)> {
    let character = line.chars().next()?;
    if !matches!(character, '<' | '>' | '=' | '-' | '+') {
        return None;
    }
    let rest = line.trim_start_matches(character);
    Some((character, line.len() - rest.len(), rest))
}
