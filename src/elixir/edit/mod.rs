//! Changes to existing sources, by their syntax: only what is meant is touched, every other byte
//! stays.

mod maps;
mod modules;
mod pipeline;
mod router;
mod schema;

use std::ops::Range;

use super::error::{ElixirError, Refusal};
use super::syntax::{MARK, Parsed, parse};

pub(crate) use maps::{add_assertions, add_map_keys};
pub(crate) use modules::{
    body_replaced, ensure_alias, ensure_line, function_span, insert_functions,
};
pub(crate) use router::{RouteChange, add_route};
pub(crate) use schema::{SchemaChange, edit_schema, insert_association};

/// Replacements of bytes, in any order and without overlap.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    /// Puts a text in the place of some bytes. Each of its lines counts as generated.
    pub(crate) fn replace(&mut self, range: Range<usize>, text: &str) {
        let marked: Vec<String> = text.split('\n').map(mark).collect();
        self.0.push((range, marked.join("\n")));
    }

    /// Puts a text before a byte.
    pub(crate) fn insert(&mut self, at: usize, text: &str) {
        self.replace(at..at, text);
    }

    /// Removes bytes.
    pub(crate) fn remove(&mut self, range: Range<usize>) {
        self.0.push((range, String::new()));
    }

    /// The text with all replacements made.
    pub(crate) fn apply(mut self, text: &str) -> String {
        self.0.sort_by_key(|(range, _)| range.start);
        let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for (range, new) in &self.0 {
            out.push_str(text.get(at..range.start).unwrap_or_default());
            out.push_str(&new.replace('\n', newline));
            at = range.end.max(at);
        }
        out.push_str(text.get(at..).unwrap_or_default());
        marks_at_ends(&out)
    }
}

/// Marks stand at the end of their lines, where they part no words.
fn marks_at_ends(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            if !line.contains(MARK) {
                return line.to_owned();
            }
            let bare = line.replace(MARK, "");
            let body = bare.trim_end_matches(['\r', '\n']);
            format!("{body}{MARK}{}", bare.get(body.len()..).unwrap_or_default())
        })
        .collect()
}

fn mark(line: &str) -> String {
    if line.trim().is_empty() { line.to_owned() } else { format!("{line}{MARK}") }
}

/// Reads a file that is to be edited.
///
/// # Errors
/// [`Refusal::BrokenSource`] when it does not parse.
pub(crate) fn read_source(path: &str, text: &str) -> Result<Parsed, ElixirError> {
    let broken = |line: usize| {
        ElixirError::refused(
            Refusal::BrokenSource,
            format!("`{path}` does not parse near line {line}, so it cannot be edited"),
            "correct the file, then repeat the call",
        )
    };
    let parsed = parse(&text.replace(MARK, " ")).ok_or_else(|| broken(1))?;
    match parsed.broken_line {
        Some(line) => Err(broken(line)),
        None => Ok(parsed),
    }
}

/// Where the line of a byte begins.
pub(crate) fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|front| front.rfind('\n')).map_or(0, |place| place + 1)
}

/// Where the line of a byte ends, its newline included.
pub(crate) fn line_end(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |place| at + place + 1)
}

/// The spaces before the first letter of a byte's line.
pub(crate) fn indent_of(text: &str, at: usize) -> String {
    let start = line_start(text, at);
    text.get(start..at)
        .unwrap_or_default()
        .chars()
        .take_while(|letter| *letter == ' ' || *letter == '\t')
        .collect()
}
