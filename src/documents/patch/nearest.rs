//! The region of a document that resembles lines which were not found: for feedback only, never
//! a place to edit.
//!
//! Words and punctuation marks are compared, without blanks. A window of as many lines as SEARCH
//! has slides over the document and counts common words, whatever their order; only the few
//! windows that are best by that count are compared in order.

use std::collections::HashMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::lines::Line;
use super::matching::Work;

/// Lines of a document that resemble a SEARCH part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Number of the first line of the excerpt, from 1.
    pub first_line: usize,
    /// The resembling lines and five on either side.
    pub lines: Vec<String>,
    /// Whether some lines of the region are left out because it is long.
    pub is_cut: bool,
    /// How much of both is common, in thousandths; 1000 when only blanks differ.
    pub likeness: usize,
}

/// Where a region lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) likeness: usize,
}

/// Least likeness that is worth showing, in thousandths.
const LEAST: usize = 600;
/// Windows compared in order.
const CANDIDATES: usize = 5;
/// Longer sequences are not compared in order.
const MAX_TOKENS: usize = 4000;
/// Longer lines hold no region: a window is at least a line.
const MAX_LINE: usize = 1000;

/// A document prepared for such searches.
pub(super) struct Nearest<'a> {
    ids: HashMap<&'a str, usize>,
    lines: Vec<Tokens>,
    bytes: usize,
    tokens: usize,
}

struct Tokens {
    ids: Vec<usize>,
    /// What the line counts for: more than its tokens when it is too long to be read.
    weight: usize,
}

impl<'a> Nearest<'a> {
    pub(super) fn in_lines(document: &'a [Line<'_>]) -> Self {
        let mut ids = HashMap::new();
        let mut lines = Vec::with_capacity(document.len());
        let (mut bytes, mut tokens) = (0, 0);
        for line in document {
            bytes += 1 + line.text.len();
            if line.text.len() > MAX_LINE {
                lines.push(Tokens { ids: Vec::new(), weight: line.text.len() });
                continue;
            }
            let line: Vec<usize> = words(&line.text)
                .map(|word| {
                    let next = ids.len();
                    *ids.entry(word).or_insert(next)
                })
                .collect();
            tokens += 1 + line.len();
            lines.push(Tokens { weight: line.len(), ids: line });
        }
        Self { ids, lines, bytes, tokens }
    }

    /// The region that resembles `search` most, if one does and the work for it is allowed.
    pub(super) fn region(&self, search: &[String], work: &mut Work) -> Option<Found> {
        let is_blank = |line: &&String| line.trim().is_empty();
        let leading = search.iter().take_while(is_blank).count();
        let trailing = search.iter().rev().take_while(is_blank).count();
        let search = search.get(leading..search.len().checked_sub(trailing)?)?;
        let wanted: Vec<Option<usize>> = search
            .iter()
            .flat_map(|line| words(line))
            .map(|word| self.ids.get(word).copied())
            .collect();
        let length = search.len();
        let cost = self.bytes / 4 + 2 * self.tokens + self.ids.len() + wanted.len();
        if wanted.is_empty() || length > self.lines.len() || !work.allows_nearest(cost) {
            return None;
        }
        let mut candidates = self.windows(&wanted, length);
        candidates.sort_by_key(|found| (std::cmp::Reverse(found.likeness), found.start));
        candidates.truncate(CANDIDATES);
        candidates
            .into_iter()
            .map(|found| Found { likeness: self.likeness(&found, &wanted), ..found })
            .filter(|found| found.likeness >= LEAST)
            .max_by_key(|found| (found.likeness, std::cmp::Reverse(found.start)))
    }

    /// Every window whose words alone are alike enough; order can only make it less.
    fn windows(&self, wanted: &[Option<usize>], length: usize) -> Vec<Found> {
        // How many more of each word the window could use; negative when it has too many.
        let mut open = vec![0_i64; self.ids.len()];
        for id in wanted.iter().flatten() {
            if let Some(left) = open.get_mut(*id) {
                *left += 1;
            }
        }
        let (mut common, mut weight) = (0, 0);
        let mut found = Vec::new();
        for (index, line) in self.lines.iter().enumerate() {
            for id in &line.ids {
                if let Some(left) = open.get_mut(*id) {
                    common += usize::from(*left > 0);
                    *left -= 1;
                }
            }
            weight += line.weight;
            if let Some(leaving) = index.checked_sub(length).and_then(|gone| self.lines.get(gone)) {
                for id in &leaving.ids {
                    if let Some(left) = open.get_mut(*id) {
                        *left += 1;
                        common -= usize::from(*left > 0);
                    }
                }
                weight -= leaving.weight;
            }
            let likeness = 2000 * common / (wanted.len() + weight).max(1);
            if let Some(start) = (index + 1).checked_sub(length)
                && likeness >= LEAST
            {
                found.push(Found { start, length, likeness });
            }
        }
        found
    }

    fn likeness(&self, found: &Found, wanted: &[Option<usize>]) -> usize {
        let window: Vec<Option<usize>> = self
            .lines
            .iter()
            .skip(found.start)
            .take(found.length)
            .flat_map(|line| line.ids.iter().map(|id| Some(*id)))
            .collect();
        if window.len().max(wanted.len()) > MAX_TOKENS {
            return found.likeness;
        }
        let common: usize = capture_diff_slices(Algorithm::Myers, wanted, &window)
            .iter()
            .map(|operation| match operation {
                DiffOp::Equal { len, .. } => *len,
                DiffOp::Delete { .. } | DiffOp::Insert { .. } | DiffOp::Replace { .. } => 0,
            })
            .sum();
        2000 * common / (wanted.len() + window.len()).max(1)
    }
}

/// Words and single punctuation marks.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut rest = line.trim_start();
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = if is_word(first) {
            rest.find(|letter: char| !is_word(letter)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, tail) = rest.split_at_checked(end)?;
        rest = tail.trim_start();
        Some(word)
    })
}
