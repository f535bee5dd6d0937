//! The files of a plan while it is made.

use std::collections::BTreeMap;

use crate::elixir::error::{ElixirError, Refusal};
use crate::elixir::files::{FileChange, Root};
use crate::elixir::syntax::{fit, fit_marked, parse};

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// It is new.
    Created,
    /// It was there and changes.
    Updated,
    /// It is as it should be.
    Unchanged,
}

impl Action {
    /// The word in results.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

/// The changes of a plan, and what happens to each file.
pub(super) type Finished = (Vec<FileChange>, Vec<(String, Action)>);

/// Files as read and as they will be.
pub(super) struct Work<'a> {
    root: &'a Root,
    width: usize,
    files: BTreeMap<String, (Option<String>, Option<String>)>,
    order: Vec<String>,
}

impl<'a> Work<'a> {
    pub(super) fn new(root: &'a Root, width: usize) -> Self {
        Self { root, width, files: BTreeMap::new(), order: Vec::new() }
    }

    /// The text of a file as the plan has it so far.
    pub(super) fn text(&mut self, path: &str) -> Result<Option<String>, ElixirError> {
        if let Some((_, after)) = self.files.get(path) {
            return Ok(after.clone());
        }
        let text = self.root.read(path)?;
        self.files.insert(path.to_owned(), (text.clone(), text.clone()));
        self.order.push(path.to_owned());
        Ok(text)
    }

    /// As [`Self::text`], for files that the plan may not concern.
    pub(super) fn peek(&self, path: &str) -> Result<Option<String>, ElixirError> {
        match self.files.get(path) {
            Some((_, after)) => Ok(after.clone()),
            None => self.root.read(path),
        }
    }

    /// A whole new file.
    pub(super) fn create(&mut self, path: &str, text: &str) -> Result<(), ElixirError> {
        self.text(path)?;
        let text = fit(text, self.width);
        if let Some(file) = self.files.get_mut(path) {
            file.1 = Some(text);
        }
        Ok(())
    }

    /// A file with edits whose lines are marked.
    pub(super) fn edit(&mut self, path: &str, text: &str) -> Result<(), ElixirError> {
        self.text(path)?;
        let text = fit_marked(text, self.width);
        if let Some(file) = self.files.get_mut(path) {
            file.1 = Some(text);
        }
        Ok(())
    }

    /// The changes, and what happens to each file, in the order in which they were looked at.
    pub(super) fn finish(self) -> Result<Finished, ElixirError> {
        let mut changes = Vec::new();
        let mut outcomes = Vec::new();
        for path in &self.order {
            let Some((before, after)) = self.files.get(path) else { continue };
            let action = match (before, after) {
                (None, Some(_)) => Action::Created,
                (Some(before), Some(after)) if before != after => Action::Updated,
                (Some(_), _) => Action::Unchanged,
                (None, None) => continue,
            };
            if action != Action::Unchanged {
                check(path, after.as_deref().unwrap_or_default())?;
                changes.push(FileChange {
                    path: path.clone(),
                    before: before.clone(),
                    after: after.clone(),
                });
            }
            outcomes.push((path.clone(), action));
        }
        Ok((changes, outcomes))
    }
}

/// Nothing that does not parse is ever written.
fn check(path: &str, text: &str) -> Result<(), ElixirError> {
    let broken = parse(text).map_or(Some(1), |parsed| parsed.broken_line);
    match broken {
        None => Ok(()),
        Some(line) => Err(ElixirError::refused(
            Refusal::Unusable,
            format!(
                "what was generated for `{path}` does not parse near line {line}, so nothing was written"
            ),
            "report this with the definition",
        )),
    }
}
