//! What one block does to the working copy, or why it cannot be placed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::block::Block;
use super::lines::{Ending, Line, Lines, Splice};
use super::matching::{Level, Located, Place, Shift, Work, find_as_written, locate};
use super::nearest::Nearest;
use super::parse::is_document;
use super::reason::Reason;

/// What a block does.
#[derive(Debug)]
pub(super) enum Plan {
    /// Splices in the order of the document.
    Edit { level: Level, splices: Vec<Splice<'static>> },
    /// The text of REPLACE is the document.
    Rewrite(Vec<String>),
    /// Nothing, for the reason in the note.
    Nothing { level: Level, note: &'static str },
}

/// Lines longer than this, in bytes, cannot sensibly be quoted as a whole, so that an exact and
/// unique part of one is accepted. On ordinary lines a part is most often a line cut short by
/// mistake, whose rest would stay behind the replacement.
const LONG_LINE: usize = 1000;

/// Plans one block.
pub(super) fn plan(working: &Lines<'_>, block: &Block, work: &mut Work) -> Result<Plan, Reason> {
    let has_elision = block.search.iter().any(|line| is_elision(line));
    let left_out = block.replace.iter().position(|line| {
        is_placeholder(line) && !(has_elision && is_elision(line)) && !block.search.contains(line)
    });
    if let Some(index) = left_out {
        return Err(Reason::Placeholder { line: index + 1 });
    }
    if block.search_is_empty() {
        return plan_rewrite(working, block);
    }
    if block.search == block.replace {
        return Ok(Plan::Nothing {
            level: Level::NothingToDo,
            note: "SEARCH and REPLACE are the same",
        });
    }
    let located = locate(working.lines(), &block.search, work);
    if work.is_used_up() {
        return Err(Reason::TooMuchWork);
    }
    match located {
        Located::Once(place) => {
            let level = place.level;
            let splices = vec![compose(working, &place, &block.search, &block.replace)?];
            return Ok(Plan::Edit { level, splices });
        }
        Located::Several { level, starts } => {
            return Err(Reason::Ambiguous { level, lines: numbers(&starts) });
        }
        Located::Nowhere => {}
    }
    if has_elision {
        return plan_pieces(working, block, work);
    }
    let fragment = match plan_fragment(working, block, work) {
        Some(Err(Reason::PartOfLine { line })) => Some(line),
        Some(decided) => return decided,
        None => None,
    };
    if let Some(applied) = where_applied(working, block, work)
        && fragment.is_none_or(|line| applied.contains(&(line - 1)))
    {
        return Ok(Plan::Nothing {
            level: Level::AlreadyApplied,
            note: "the document already holds its REPLACE part",
        });
    }
    if work.is_used_up() {
        return Err(Reason::TooMuchWork);
    }
    Err(fragment.map_or(Reason::NotFound, |line| Reason::PartOfLine { line }))
}

/// Line numbers from indexes.
fn numbers(starts: &[usize]) -> Vec<usize> {
    starts.iter().map(|start| start + 1).collect()
}

fn plan_rewrite(working: &Lines<'_>, block: &Block) -> Result<Plan, Reason> {
    if block.replace.iter().all(|line| line.trim().is_empty()) {
        return Err(Reason::EmptySearch);
    }
    if working.is_blank() || is_document(&block.replace.join("\n")) {
        return Ok(Plan::Rewrite(block.replace.clone()));
    }
    Err(Reason::EmptySearch)
}

/// The lines that take the place of a match. Lines that SEARCH and REPLACE share stay as the
/// document has them, whatever the level left aside.
fn compose(
    working: &Lines<'_>,
    place: &Place,
    search: &[String],
    replace: &[String],
) -> Result<Splice<'static>, Reason> {
    let (leading, trailing) = place.dropped;
    let search = search.get(leading..search.len() - trailing).unwrap_or_default();
    let is_blank = |line: &&String| line.trim().is_empty();
    let skipped = replace.iter().take(leading).take_while(is_blank).count();
    let replace = replace.get(skipped..).unwrap_or_default();
    let cut = replace.iter().rev().take(trailing).take_while(is_blank).count();
    let replace = replace.get(..replace.len() - cut).unwrap_or_default();
    let ending = working.ending_at(place.start);
    let mut lines = Vec::with_capacity(replace.len());
    for operation in capture_diff_slices(Algorithm::Myers, search, replace) {
        match operation {
            DiffOp::Equal { old_index, len, .. } => {
                let kept = working.lines().iter().skip(place.start + old_index).take(len);
                lines.extend(kept.map(|line| Line {
                    text: Cow::Owned(line.text.clone().into_owned()),
                    ..*line
                }));
            }
            DiffOp::Delete { .. } => {}
            DiffOp::Insert { new_index, new_len, .. }
            | DiffOp::Replace { new_index, new_len, .. } => {
                for (index, line) in replace.iter().enumerate().skip(new_index).take(new_len) {
                    let text = shifted(line, &place.shift)
                        .ok_or(Reason::Reindent { line: skipped + index + 1 })?;
                    lines.push(Line { text: Cow::Owned(text), ending, origin: None });
                }
            }
        }
    }
    Ok(Splice { start: place.start, length: place.length, lines })
}

fn shifted(line: &str, shift: &Shift) -> Option<String> {
    match shift {
        Shift::Keep => Some(line.to_owned()),
        Shift::Add(_) | Shift::Strip(_) if line.trim().is_empty() => Some(line.to_owned()),
        Shift::Add(more) => Some(format!("{more}{line}")),
        Shift::Strip(less) => line.strip_prefix(less.as_str()).map(str::to_owned),
    }
}

fn is_elision(line: &str) -> bool {
    matches!(line.trim(), "..." | "…")
}

/// Whether a line is an elision or a comment that begins with one: never wanted as content, and
/// a loss of what it stands for.
fn is_placeholder(line: &str) -> bool {
    let line = line.trim();
    let comment = ["<!--", "/*", "//", "#"].iter().find_map(|opening| line.strip_prefix(opening));
    is_elision(line)
        || comment.is_some_and(|text| {
            let text = text.trim_start();
            text.starts_with("...") || text.starts_with('…')
        })
}

/// The first line of a whole document, from 1, that stands for text of the old one that is left
/// out. A line that the old one has as well is content.
pub fn left_out(old: &str, new: &str) -> Option<usize> {
    let mut lines = new.lines().enumerate().filter(|(_, line)| is_placeholder(line)).peekable();
    lines.peek()?;
    let kept: HashSet<&str> =
        old.lines().filter(|line| is_placeholder(line)).map(str::trim).collect();
    lines.find(|(_, line)| !kept.contains(line.trim())).map(|(index, _)| index + 1)
}

/// Every piece around `...` must have exactly one place, in the order of SEARCH.
fn plan_pieces(working: &Lines<'_>, block: &Block, work: &mut Work) -> Result<Plan, Reason> {
    let split = |lines: &[String]| -> Vec<Vec<String>> {
        lines.split(|line| is_elision(line)).map(<[String]>::to_vec).collect()
    };
    let (search, replace) = (split(&block.search), split(&block.replace));
    if search.len() != replace.len() {
        return Err(Reason::ElisionCount { search: search.len() - 1, replace: replace.len() - 1 });
    }
    let is_blank = |lines: &[String]| lines.iter().all(|line| line.trim().is_empty());
    let mut splices: Vec<Splice<'static>> = Vec::new();
    let mut end = 0;
    for (index, (search, replace)) in search.iter().zip(&replace).enumerate() {
        let piece = index + 1;
        if is_blank(search) {
            if is_blank(replace) {
                continue;
            }
            return Err(Reason::ElisionAnchor { piece });
        }
        let place = match locate(working.lines(), search, work) {
            Located::Once(place) => place,
            Located::Several { starts, .. } => {
                return Err(Reason::ElisionPiece { piece, lines: numbers(&starts) });
            }
            Located::Nowhere if work.is_used_up() => return Err(Reason::TooMuchWork),
            Located::Nowhere => return Err(Reason::ElisionPiece { piece, lines: Vec::new() }),
        };
        if place.start < end {
            return Err(Reason::ElisionOrder);
        }
        end = place.start + place.length;
        splices.push(compose(working, &place, search, replace)?);
    }
    if splices.is_empty() {
        Err(Reason::NotFound)
    } else {
        Ok(Plan::Edit { level: Level::Elision, splices })
    }
}

/// A part of one very long line. `None` when SEARCH is not one line or in no line.
fn plan_fragment(
    working: &Lines<'_>,
    block: &Block,
    work: &mut Work,
) -> Option<Result<Plan, Reason>> {
    let [search] = block.search.as_slice() else { return None };
    let step = search.chars().next().map_or(1, char::len_utf8);
    let mut found = Vec::new();
    for (index, line) in working.lines().iter().enumerate() {
        work.add(1 + line.text.len() / 16);
        let mut from = 0;
        while let Some(at) = line.text.get(from..).and_then(|rest| rest.find(search.as_str())) {
            found.push((index, from + at));
            from += at + step;
            if found.len() == 2 {
                break;
            }
        }
        if found.len() == 2 {
            break;
        }
    }
    let (index, at) = *found.first()?;
    let line = working.lines().get(index)?;
    if line.text.len() <= LONG_LINE {
        return (found.len() == 1).then_some(Err(Reason::PartOfLine { line: index + 1 }));
    }
    if found.len() > 1 {
        let lines = found.iter().map(|(index, _)| index + 1).collect();
        return Some(Err(Reason::Ambiguous { level: Level::Fragment, lines }));
    }
    let (before, rest) = line.text.split_at_checked(at)?;
    let (_, after) = rest.split_at_checked(search.len())?;
    let is_word = |letter: Option<char>| letter.is_some_and(|l| l.is_alphanumeric() || l == '_');
    let cuts_word = (is_word(before.chars().next_back()) && is_word(search.chars().next()))
        || (is_word(search.chars().next_back()) && is_word(after.chars().next()));
    if cuts_word {
        return Some(Err(Reason::PartOfLine { line: index + 1 }));
    }
    let text = format!("{before}{}{after}", block.replace.join("\n"));
    let ending = working.ending_at(index);
    let mut lines: Vec<Line<'static>> = text
        .split('\n')
        .map(|text| Line { text: Cow::Owned(text.to_owned()), ending, origin: None })
        .collect();
    if let Some(last) = lines.last_mut() {
        last.ending = line.ending;
    }
    let splices = vec![Splice { start: index, length: 1, lines }];
    Some(Ok(Plan::Edit { level: Level::Fragment, splices }))
}

/// Where the REPLACE part of a block stands whose SEARCH is absent because the block was applied
/// before. That REPLACE stands once is not enough: a short one may stand anywhere. So what SEARCH
/// has more must provably be gone from around it, and nothing elsewhere may resemble SEARCH.
fn where_applied(working: &Lines<'_>, block: &Block, work: &mut Work) -> Option<Range<usize>> {
    if block.replace.iter().all(|line| line.trim().is_empty()) {
        return None;
    }
    let starts = find_as_written(working.lines(), &block.replace, work);
    let [start] = starts.as_slice() else { return None };
    let found = *start..start + block.replace.len();
    let before =
        block.search.iter().zip(&block.replace).take_while(|(here, there)| here == there).count();
    let behind = block
        .search
        .iter()
        .rev()
        .zip(block.replace.iter().rev())
        .take_while(|(here, there)| here == there)
        .count();
    // Lines deleted at an edge of the block leave no trace in what remains of it.
    let only_deletes = before + behind >= block.replace.len();
    if only_deletes && (before == 0 || behind == 0) {
        return None;
    }
    let mut removed: HashSet<&str> = block.search.iter().map(|line| line.trim()).collect();
    removed.remove("");
    for line in &block.replace {
        removed.remove(line.trim());
    }
    let reach = block.search.len();
    let around = working.lines().iter().take(found.end + reach);
    if around.skip(found.start.saturating_sub(reach)).any(|line| removed.contains(line.text.trim()))
    {
        return None;
    }
    match Nearest::in_lines(working.lines()).region(&block.search, work) {
        Some(other) if other.start >= found.end || other.start + other.length <= found.start => {
            None
        }
        None if work.refused_nearest() => None,
        Some(_) | None => Some(found),
    }
}

/// Lines of a document that is written anew, in its line-ending style.
pub(super) fn rewritten(working: &Lines<'_>, lines: Vec<String>) -> Splice<'static> {
    let ending = working.ending_at(0);
    Splice {
        start: 0,
        length: working.lines().len(),
        lines: lines
            .into_iter()
            .map(|text| Line { text: Cow::Owned(text), ending, origin: None })
            .collect(),
    }
}

/// Whether a splice changes no byte.
pub(super) fn changes_nothing(working: &Lines<'_>, splice: &Splice<'_>) -> bool {
    let same = |(there, here): (&Line<'_>, &Line<'_>)| {
        there.text == here.text && (there.ending == here.ending || there.ending == Ending::Nothing)
    };
    splice.length == splice.lines.len()
        && working.lines().iter().skip(splice.start).zip(&splice.lines).all(same)
}
