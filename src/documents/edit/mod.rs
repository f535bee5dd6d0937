//! Edits: from the source of a document to its next one, whoever writes the change.
//!
//! Invariants: every block of an answer is applied or none is; what the matcher cannot place
//! exactly is asked for again and never guessed; the published version is not touched before the
//! next one is whole.
//!
//! The flow: [`Documents::edit`] pins the version that is edited as a step -> a [`Change`] makes
//! [`Edited`] out of its source, by a model ([`rounds`]) or by the caller's own blocks ([`given`])
//! -> [`Documents::judge`] looks at the new page, once more after a repair round -> publish on the
//! pinned head -> when somebody else published meanwhile, all of it once more on the new head.
//!
//! Nothing here knows web apps: the source is HTML, whatever is made of it.

mod apply;
mod given;
mod judge;
mod rounds;
mod service;

use std::sync::Arc;

pub use service::{EditResult, EditedDocument, EditedPrint};

use super::attachments::CollectedFile;
use super::html::Page;
use super::model::Brief;
use super::patch::{Level, Placed};
use super::pdf::MadeCall;
use super::pdf::print::Press;
use super::publish::Writer;
use crate::storage::{DocumentId, DocumentKind};

/// What is edited, and how its steps are called.
#[derive(Debug, Clone)]
struct EditTask<'a> {
    /// What the source becomes.
    kind: DocumentKind,
    /// The document that is edited.
    document: &'a DocumentId,
    /// The HTML as it is now.
    source: Arc<str>,
    /// Begin of the names of its steps, which no other try of the same call may have.
    steps: String,
    /// Why this is not the first try, in words for who is asked; empty when it is.
    errors: &'a [String],
    /// Files that the document refers to.
    files: &'a [CollectedFile],
    /// What is said of the tools that the page may call.
    tools: &'a str,
    /// Cap on the new page, in bytes.
    page_bytes: usize,
    /// What it is printed with, when it is.
    press: Option<Press>,
}

/// Who says what changes.
#[derive(Debug, Clone)]
enum Change<'a> {
    /// A model, by what is asked of it.
    Asked {
        /// What should change.
        brief: &'a Brief,
        /// Model that the caller names.
        model: &'a str,
    },
    /// The caller, by blocks.
    Given(&'a str),
}

/// What became of a source.
#[derive(Debug, Clone)]
struct Edited {
    /// The new page; `None` when nothing changed.
    page: Option<NewPage>,
    /// Who wrote the change, where that is known.
    writer: Option<Writer>,
    /// Facts about the prompt, for the version's record.
    prompt: serde_json::Value,
    /// What is worth telling.
    notes: Vec<String>,
    /// Answers of the model that it took.
    answers: u32,
    /// Calls of tools that the model made.
    tool_calls: Vec<MadeCall>,
}

/// A page that could be published.
#[derive(Debug, Clone)]
struct NewPage {
    /// The page.
    page: Page,
    /// How each block went in.
    placed: Vec<Placed>,
    /// The blocks as text, to apply them once more.
    blocks: Option<String>,
}

impl NewPage {
    /// The most lenient level that was needed.
    fn level(&self) -> Option<Level> {
        self.placed.iter().filter(|placed| placed.line.is_some()).map(|placed| placed.level).max()
    }
}
