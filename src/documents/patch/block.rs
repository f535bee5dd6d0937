//! One search-and-replace block.

use std::fmt;

use super::markers::escape;

/// Replace these lines by those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Lines to find, without their endings.
    pub search: Vec<String>,
    /// Lines to put in their place; none to delete them.
    pub replace: Vec<String>,
}

impl Block {
    /// A block from two texts; an empty text has no lines.
    pub fn new(search: &str, replace: &str) -> Self {
        let lines = |text: &str| text.lines().map(str::to_owned).collect();
        Self { search: lines(search), replace: lines(replace) }
    }

    /// Bytes of both parts.
    pub(super) fn size(&self) -> usize {
        self.search.iter().chain(&self.replace).map(|line| line.len() + 1).sum()
    }

    /// Whether there is nothing to search for.
    pub(super) fn search_is_empty(&self) -> bool {
        self.search.iter().all(|line| line.trim().is_empty())
    }
}

/// The block as it is written in an answer, with marker lines in its content escaped.
impl fmt::Display for Block {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "<<<<<<< SEARCH")?;
        for line in &self.search {
            writeln!(formatter, "{}", escape(line))?;
        }
        writeln!(formatter, "=======")?;
        for line in &self.replace {
            writeln!(formatter, "{}", escape(line))?;
        }
        writeln!(formatter, ">>>>>>> REPLACE")
    }
}
