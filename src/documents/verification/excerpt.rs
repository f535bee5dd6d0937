//! Lines of a page around a place that was reported.

use std::fmt::Write as _;

/// Lines before and behind the place.
const AROUND: usize = 2;
/// Letters that are shown of a line.
const LETTERS: usize = 160;

/// From the lines of a page as it was shown to the lines as they were written: what hosting puts
/// into a page moves them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines<'page> {
    written: &'page str,
    /// Line, from 1, in which something was put in.
    at: usize,
    /// Lines that were put in.
    added: usize,
}

impl<'page> Lines<'page> {
    pub(super) fn new(written: &'page str, shown: &str) -> Self {
        let same = written.bytes().zip(shown.bytes()).take_while(|(one, other)| one == other);
        let at = 1 + same.filter(|(byte, _)| *byte == b'\n').count();
        let count = |text: &str| text.bytes().filter(|byte| *byte == b'\n').count();
        Self { written, at, added: count(shown).saturating_sub(count(written)) }
    }

    /// The line as it was written; `None` when the page's author did not write it.
    pub(super) fn written_line(&self, shown: u64) -> Option<usize> {
        let shown = usize::try_from(shown).ok()?;
        let line = if shown > self.at + self.added {
            shown - self.added
        } else if shown <= self.at || shown == self.at + self.added {
            shown.min(self.at)
        } else {
            return None;
        };
        (1..=self.written.lines().count()).contains(&line).then_some(line)
    }

    /// The lines around a written one, numbered, with a mark at it. Of long lines the part at the
    /// column is shown.
    pub(super) fn excerpt(&self, line: usize, column: Option<u64>) -> String {
        let first = line.saturating_sub(AROUND).max(1);
        let mut excerpt = String::new();
        let lines =
            self.written.lines().enumerate().skip(first - 1).take(line + AROUND + 1 - first);
        for (index, text) in lines {
            let number = index + 1;
            let mark = if number == line { '>' } else { ' ' };
            let column = if number == line { column } else { None };
            if !excerpt.is_empty() {
                excerpt.push('\n');
            }
            // Writing to a text does not fail.
            let _ = write!(excerpt, "{mark} {number:>4} | {}", part(text, column));
        }
        excerpt
    }
}

fn part(line: &str, column: Option<u64>) -> String {
    let line = line.trim_end();
    let letters = line.chars().count();
    if letters <= LETTERS {
        return line.to_owned();
    }
    let column = column.and_then(|column| usize::try_from(column).ok()).unwrap_or(1).min(letters);
    let skipped = column.saturating_sub(LETTERS / 2);
    let shown: String = line.chars().skip(skipped).take(LETTERS).collect();
    let before = if skipped > 0 { "…" } else { "" };
    let behind = if letters - skipped > LETTERS { "…" } else { "" };
    format!("{before}{shown}{behind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_author() {
        let written =
            "<!doctype html>\n<html><head>\n<title>x</title>\n<script>\nboom()\n</script>";
        let shown = written.replacen("<head>", "<head><script>a\nb\nc</script>", 1);
        let lines = Lines::new(written, &shown);
        assert_eq!(lines.written_line(1), Some(1));
        assert_eq!(lines.written_line(2), Some(2));
        assert_eq!(lines.written_line(3), None, "inside what was put in");
        assert_eq!(lines.written_line(7), Some(5));
        assert_eq!(lines.written_line(99), None);
        assert_eq!(
            lines.excerpt(5, None),
            "     3 | <title>x</title>\n     4 | <script>\n>    5 | boom()\n     6 | </script>"
        );
        let same = Lines::new(written, written);
        assert_eq!(same.written_line(5), Some(5));
        assert_eq!(same.written_line(1), Some(1));
    }

    #[test]
    fn of_one_endless_line_the_place_is_shown() {
        let line = format!("{}boom(){}", "a".repeat(5_000), "b".repeat(5_000));
        let lines = Lines::new(&line, &line);
        let excerpt = lines.excerpt(1, Some(5_001));
        assert!(excerpt.contains("…a") && excerpt.contains("boom()") && excerpt.ends_with('…'));
        assert!(excerpt.chars().count() < 200);
        assert!(lines.excerpt(1, Some(u64::MAX)).chars().count() < 200);
    }
}
