//! Lines of generated code.

/// Collects lines; never two blank ones behind each other.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<String>);

impl Lines {
    /// A line at a depth of blocks.
    pub(crate) fn add(&mut self, depth: usize, line: &str) {
        // Nothing stands between the last statement of a block and its end.
        if line == "end" && self.0.last().is_some_and(String::is_empty) {
            self.0.pop();
        }
        self.0.push(format!("{}{line}", "  ".repeat(depth)));
    }

    /// Lines that are indented among themselves.
    pub(crate) fn nested(&mut self, depth: usize, lines: &[String]) {
        for line in lines {
            self.add(depth, line);
        }
    }

    /// A blank line, unless there is one.
    pub(crate) fn blank(&mut self) {
        if self.0.last().is_some_and(|last| !last.is_empty()) {
            self.0.push(String::new());
        }
    }

    /// A blank line, unless a block has just been opened.
    pub(crate) fn blank_unless_open(&mut self) {
        if self.0.last().is_some_and(|last| !last.ends_with(" do")) {
            self.blank();
        }
    }

    /// The text, with a newline at its end.
    pub(crate) fn text(self) -> String {
        self.0.join("\n") + "\n"
    }
}
