//! The working copy: a document as lines that keep their own endings.

use std::borrow::Cow;
use std::fmt::Write as _;

/// How a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The text ends here.
    Nothing,
    Lf,
    CrLf,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) ending: Ending,
    /// Its index in the document as it came; `None` for a line that an edit wrote.
    pub(super) origin: Option<usize>,
}

/// A document taken apart.
#[derive(Debug, Clone)]
pub(super) struct Lines<'a> {
    all: Vec<Line<'a>>,
    /// A byte-order mark is kept but never searched.
    has_mark: bool,
    ends_with_newline: bool,
    /// The ending of most lines: for lines that stand where there were none.
    usual: Ending,
}

/// Lines that take the place of others.
#[derive(Debug)]
pub(super) struct Splice<'a> {
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) lines: Vec<Line<'a>>,
}

const MARK: char = '\u{feff}';

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let (text, has_mark) = match text.strip_prefix(MARK) {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let lines: Vec<Line<'a>> = text
            .split_inclusive('\n')
            .enumerate()
            .map(|(index, line)| {
                let (text, ending) = match line.strip_suffix('\n') {
                    None => (line, Ending::Nothing),
                    Some(line) => match line.strip_suffix('\r') {
                        None => (line, Ending::Lf),
                        Some(line) => (line, Ending::CrLf),
                    },
                };
                Line { text: Cow::Borrowed(text), ending, origin: Some(index) }
            })
            .collect();
        let count = |ending| lines.iter().filter(|line| line.ending == ending).count();
        let usual = if count(Ending::CrLf) > count(Ending::Lf) { Ending::CrLf } else { Ending::Lf };
        let ends_with_newline = text.is_empty() || text.ends_with('\n');
        Self { all: lines, has_mark, ends_with_newline, usual }
    }

    pub(super) fn lines(&self) -> &[Line<'a>] {
        &self.all
    }

    pub(super) fn is_blank(&self) -> bool {
        self.all.iter().all(|line| line.text.trim().is_empty())
    }

    /// The ending that new lines get in a range: that of its first line.
    pub(super) fn ending_at(&self, index: usize) -> Ending {
        match self.all.get(index).map(|line| line.ending) {
            Some(ending @ (Ending::Lf | Ending::CrLf)) => ending,
            Some(Ending::Nothing) | None => self.usual,
        }
    }

    /// Puts lines in the place of others and returns those.
    pub(super) fn splice(&mut self, splice: Splice<'a>) -> Vec<Line<'a>> {
        let end = (splice.start + splice.length).min(self.all.len());
        let start = splice.start.min(end);
        let reaches_end = end == self.all.len();
        let added_end = start + splice.lines.len();
        let removed = self.all.splice(start..end, splice.lines).collect();
        // Context lines bring their own ending along: the last line of a text has none.
        if !reaches_end {
            let usual = self.ending_at(end.saturating_sub(1));
            for line in self.all.iter_mut().take(added_end).skip(start) {
                if line.ending == Ending::Nothing {
                    line.ending = usual;
                }
            }
            return removed;
        }
        let usual = self.usual;
        let last = self.all.len().saturating_sub(1);
        for (index, line) in self.all.iter_mut().enumerate().skip(start.saturating_sub(1)) {
            if index == last && !self.ends_with_newline {
                line.ending = Ending::Nothing;
            } else if line.ending == Ending::Nothing {
                line.ending = usual;
            }
        }
        // An empty last line without an ending is no line, only the newline before it.
        if self
            .all
            .last()
            .is_some_and(|line| line.text.is_empty() && line.ending == Ending::Nothing)
        {
            self.all.pop();
            self.ends_with_newline = true;
        }
        removed
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.all.iter().map(|line| line.text.len() + 2).sum());
        if self.has_mark {
            text.push(MARK);
        }
        for line in &self.all {
            text.push_str(&line.text);
            text.push_str(match line.ending {
                Ending::Nothing => "",
                Ending::Lf => "\n",
                Ending::CrLf => "\r\n",
            });
        }
        text
    }

    /// The lines from `start` on, as they are, cut at a width.
    pub(super) fn excerpt(&self, start: usize, length: usize, width: usize) -> Vec<String> {
        let cut = |line: &Line<'_>| {
            let mut text: String = line.text.chars().take(width).collect();
            if text.len() < line.text.len() {
                let left_out = line.text.len() - text.len();
                // A `String` takes every write.
                let _ = write!(text, " [… {left_out} more bytes on this line]");
            }
            text
        };
        self.all.iter().skip(start).take(length).map(cut).collect()
    }
}
