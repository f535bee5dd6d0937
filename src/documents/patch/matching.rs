//! Finding the one place where lines stand.
//!
//! Every level accepts what the one before it accepts and more, so more than one match at a level
//! stays ambiguous at all later ones. Lines are compared with the Knuth-Morris-Pratt search, which
//! is linear in the document whatever the document repeats.

use std::borrow::Cow;

use super::lines::Line;

/// How a block was placed, from strict to lenient.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The lines stand exactly so.
    Exact,
    /// But for blanks at line ends.
    TrailingWhitespace,
    /// But for the same indentation more or less on every line; REPLACE is shifted with it.
    Indentation,
    /// But for blank lines at the begin and end of SEARCH.
    BlankEdges,
    /// But for typographic punctuation and no-break spaces.
    Punctuation,
    /// `...` lines stand for what lies between pieces that each match once.
    Elision,
    /// SEARCH is a part of one very long line, exactly and once in the document.
    Fragment,
    /// The document as a whole.
    WholeDocument,
    /// The document already holds the replacement; nothing was done.
    AlreadyApplied,
    /// The block repeats an earlier one or replaces lines by themselves; nothing was done.
    NothingToDo,
}

impl Level {
    /// The level in words, behind "matched".
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Exact => "exactly",
            Self::TrailingWhitespace => "when blanks at line ends are ignored",
            Self::Indentation => "when its indentation is shifted",
            Self::BlankEdges => "without the blank lines around it",
            Self::Punctuation => "when typographic punctuation is ignored",
            Self::Elision => "in pieces around `...`",
            Self::Fragment => "within a line",
            Self::WholeDocument => "as a whole document",
            Self::AlreadyApplied => "as already applied",
            Self::NothingToDo => "without any difference",
        }
    }
}

/// Counts comparisons and the bytes looked at (16 are one step), so that a bound holds on any machine.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) steps: u64,
    limit: u64,
    /// `None` once a search was refused.
    nearest_left: Option<u64>,
}

impl Default for Work {
    /// Steps allowed for all blocks of one answer: far more than 200 blocks on a page of 1 MB
    /// take, and some seconds for a document made to be searched slowly.
    fn default() -> Self {
        Self { steps: 0, limit: 150_000_000, nearest_left: Some(50_000_000) }
    }
}

impl Work {
    /// Takes the cost of a search for a resembling region, or refuses it: feedback without a
    /// region is still feedback.
    pub(super) fn allows_nearest(&mut self, cost: usize) -> bool {
        self.nearest_left = self.nearest_left.and_then(|left| left.checked_sub(cost as u64));
        if self.nearest_left.is_some() {
            self.add(cost);
        }
        self.nearest_left.is_some()
    }

    /// Whether such a search was refused, so that its silence proves nothing.
    pub(super) const fn refused_nearest(&self) -> bool {
        self.nearest_left.is_none()
    }

    pub(super) fn add(&mut self, steps: usize) {
        self.steps = self.steps.saturating_add(steps as u64);
    }

    pub(super) const fn is_used_up(&self) -> bool {
        self.steps > self.limit
    }
}

/// What changes at the begin of every line of REPLACE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shift {
    Keep,
    Add(String),
    Strip(String),
}

/// Where SEARCH stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) level: Level,
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) shift: Shift,
    /// Blank lines of SEARCH that were dropped at its begin and end.
    pub(super) dropped: (usize, usize),
}

/// Result of a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Located {
    Once(Place),
    /// The first lines of the matches, from 0.
    Several {
        level: Level,
        starts: Vec<usize>,
    },
    Nowhere,
}

/// More matches than this are not told apart.
const MAX_STARTS: usize = 20;

/// Looks for lines at every level that needs no pieces; the first with a match decides.
pub(super) fn locate(document: &[Line<'_>], search: &[String], work: &mut Work) -> Located {
    if search.iter().all(|line| line.trim().is_empty()) {
        return Located::Nowhere;
    }
    let leading = search.iter().take_while(|line| line.trim().is_empty()).count();
    let trailing = search.iter().rev().take_while(|line| line.trim().is_empty()).count();
    let core = search.get(leading..search.len() - trailing).unwrap_or_default();
    let whole = (search, (0, 0));
    let trimmed = (core, (leading, trailing));
    let attempts = [
        (Level::Exact, whole),
        (Level::TrailingWhitespace, whole),
        (Level::Indentation, whole),
        (Level::BlankEdges, trimmed),
        (Level::Punctuation, trimmed),
    ];
    for (level, (lines, dropped)) in attempts {
        if work.is_used_up() {
            return Located::Nowhere;
        }
        let is_same_as_before = match level {
            Level::BlankEdges => core.len() == search.len(),
            Level::Punctuation => {
                work.add(document.len());
                search.iter().all(|line| line.is_ascii())
                    && document.iter().all(|line| line.text.is_ascii())
            }
            Level::Exact
            | Level::TrailingWhitespace
            | Level::Indentation
            | Level::Elision
            | Level::Fragment
            | Level::WholeDocument
            | Level::AlreadyApplied
            | Level::NothingToDo => false,
        };
        if is_same_as_before {
            continue;
        }
        let mut places = find(document, lines, level, work)
            .into_iter()
            .filter_map(|start| Some((start, shift_at(document, lines, start, level, work)?)))
            .take(MAX_STARTS);
        let Some((start, shift)) = places.next() else { continue };
        let others: Vec<usize> = places.map(|(start, _)| start).collect();
        if others.is_empty() {
            return Located::Once(Place { level, start, length: lines.len(), shift, dropped });
        }
        return Located::Several { level, starts: [vec![start], others].concat() };
    }
    Located::Nowhere
}

/// Where lines stand as they are, but for blanks at line ends: at most the first two places.
pub(super) fn find_as_written(
    document: &[Line<'_>],
    lines: &[String],
    work: &mut Work,
) -> Vec<usize> {
    let mut starts = find(document, lines, Level::TrailingWhitespace, work);
    starts.truncate(2);
    starts
}

/// Every line at which `lines` begin to stand, with indentation left aside at its levels.
fn find(document: &[Line<'_>], lines: &[String], level: Level, work: &mut Work) -> Vec<usize> {
    let longest = lines.iter().map(String::len).max().unwrap_or_default();
    let keys: Vec<Cow<'_, str>> = lines.iter().map(|line| key(line, level)).collect();
    let borders = borders(&keys, work);
    let border_of = |matched: usize| {
        matched.checked_sub(1).and_then(|last| borders.get(last)).copied().unwrap_or(0)
    };
    let mut starts = Vec::new();
    let mut matched = 0;
    for (index, line) in document.iter().enumerate() {
        if work.is_used_up() {
            return Vec::new();
        }
        // No normalisation makes a line more than three times shorter, so a far longer one, like
        // a minified script, is not even normalised.
        let text = line.text.trim();
        let found = if text.len() > 3 * longest { None } else { Some(key(&line.text, level)) };
        work.add(1 + found.as_ref().map_or(0, |found| found.len() / 16));
        let equals = |matched: usize| found.is_some() && keys.get(matched) == found.as_ref();
        while matched > 0 && !equals(matched) {
            matched = border_of(matched);
            work.add(1);
        }
        if equals(matched) {
            matched += 1;
        }
        if matched == keys.len() {
            starts.push(index + 1 - matched);
            matched = border_of(matched);
        }
    }
    starts
}

/// For every prefix of the keys, the length of the longest shorter prefix that also ends it.
fn borders(keys: &[Cow<'_, str>], work: &mut Work) -> Vec<usize> {
    let mut borders = vec![0];
    let mut matched = 0;
    for key in keys.iter().skip(1) {
        work.add(1 + key.len() / 16);
        while matched > 0 && keys.get(matched) != Some(key) {
            matched = borders.get(matched - 1).copied().unwrap_or(0);
        }
        if keys.get(matched) == Some(key) {
            matched += 1;
        }
        borders.push(matched);
    }
    borders
}

/// The part of a line that a level compares.
fn key(line: &str, level: Level) -> Cow<'_, str> {
    match level {
        Level::TrailingWhitespace => Cow::Borrowed(line.trim_end()),
        Level::Indentation | Level::BlankEdges => Cow::Borrowed(line.trim()),
        Level::Punctuation => match normalise(line) {
            Cow::Borrowed(line) => Cow::Borrowed(line.trim()),
            Cow::Owned(line) => Cow::Owned(line.trim().to_owned()),
        },
        // The levels behind these compare pieces, or nothing.
        Level::Exact
        | Level::Elision
        | Level::Fragment
        | Level::WholeDocument
        | Level::AlreadyApplied
        | Level::NothingToDo => Cow::Borrowed(line),
    }
}

/// How all lines of a match are shifted; `None` when they are not shifted alike.
fn shift_at(
    document: &[Line<'_>],
    lines: &[String],
    start: usize,
    level: Level,
    work: &mut Work,
) -> Option<Shift> {
    match level {
        Level::Indentation | Level::BlankEdges | Level::Punctuation => {}
        Level::Exact
        | Level::TrailingWhitespace
        | Level::Elision
        | Level::Fragment
        | Level::WholeDocument
        | Level::AlreadyApplied
        | Level::NothingToDo => return Some(Shift::Keep),
    }
    let mut shift: Option<Shift> = None;
    for (there, here) in document.iter().skip(start).zip(lines) {
        work.add(1);
        if work.is_used_up() {
            return None;
        }
        if here.trim().is_empty() {
            continue;
        }
        let (there, here) = (indentation(&there.text, level), indentation(here, level));
        let is_alike = match &shift {
            Some(Shift::Keep) => there == here,
            Some(Shift::Add(more)) => there.strip_suffix(here.as_ref()) == Some(more),
            Some(Shift::Strip(less)) => here.strip_suffix(there.as_ref()) == Some(less),
            None if there == here => {
                shift = Some(Shift::Keep);
                true
            }
            None => {
                shift = Some(match there.strip_suffix(here.as_ref()) {
                    Some(more) => Shift::Add(more.to_owned()),
                    None => Shift::Strip(here.strip_suffix(there.as_ref())?.to_owned()),
                });
                true
            }
        };
        if !is_alike {
            return None;
        }
    }
    shift
}

fn indentation(line: &str, level: Level) -> Cow<'_, str> {
    let blanks = line.get(..line.len() - line.trim_start().len()).unwrap_or_default();
    if level == Level::Punctuation { normalise(blanks) } else { Cow::Borrowed(blanks) }
}

/// Typographic punctuation and special spaces as plain ones.
fn normalise(line: &str) -> Cow<'_, str> {
    if line.is_ascii() {
        return Cow::Borrowed(line);
    }
    let mut plain = String::with_capacity(line.len());
    for letter in line.chars() {
        match letter {
            '\u{2018}'..='\u{201b}' | '\u{2032}' => plain.push('\''),
            '\u{201c}'..='\u{201f}' | '\u{2033}' => plain.push('"'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => plain.push('-'),
            '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
                plain.push(' ');
            }
            '\u{2026}' => plain.push_str("..."),
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}
