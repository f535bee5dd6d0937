//! What the tools that edit documents have in common.

use schemars::JsonSchema;
use serde::Serialize;

use crate::browser::PageSetup;
use crate::documents::model::{NO_CONTEXT, NO_CONTEXT_FOR_EDIT};
use crate::documents::patch::{Level, Placed};
use crate::documents::{EditDocument, EditResult, Writer};
use crate::storage::DocumentKind;

/// Arguments under both sets of names that clients use.
pub(super) struct EditArguments {
    pub(super) user_number: String,
    pub(super) name: Option<String>,
    pub(super) user_edit_request: Option<String>,
    pub(super) user_request: Option<String>,
    pub(super) client_injected_context: String,
    pub(super) additional_context: Option<String>,
    pub(super) model: String,
    pub(super) edits: Option<String>,
    pub(super) tool_names: Option<Vec<String>>,
    pub(super) page: Option<PageSetup>,
}

impl EditArguments {
    /// The call, and what there is to say about arguments that are left aside.
    pub(super) fn into_call(self, kind: DocumentKind) -> (EditDocument, Vec<&'static str>) {
        let mut notes = Vec::new();
        let request = self.user_edit_request.filter(|request| !request.trim().is_empty());
        let other_request = self.user_request.filter(|request| !request.trim().is_empty());
        if request.is_some() && other_request.is_some() {
            notes.push("`user_request` was ignored, since `user_edit_request` was given too.");
        }
        let context = Some(self.client_injected_context).filter(|context| {
            let context = context.trim();
            !context.is_empty() && context != NO_CONTEXT && context != NO_CONTEXT_FOR_EDIT
        });
        if context.is_some() && self.additional_context.is_some() {
            notes.push(
                "`additional_context` was ignored, since `client_injected_context` was given too.",
            );
        }
        let request = request.or(other_request);
        let edits = self.edits.filter(|edits| !edits.trim().is_empty());
        if edits.is_some() && request.is_some() {
            notes
                .push("`user_edit_request` was not given to a model, since `edits` was given too.");
        }
        let call = EditDocument {
            kind,
            user_number: self.user_number,
            name: self.name,
            user_request: request,
            context: context.or(self.additional_context),
            model: self.model,
            edits,
            tool_names: self.tool_names,
            page: self.page,
        };
        (call, notes)
    }
}

/// What a result says about the edit itself.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EditFacts {
    /// Whether there is a new version.
    changed: bool,
    /// What changed, as a unified diff of the source. A very long one is cut; `message` says so
    /// then.
    diff: String,
    /// How many blocks were applied.
    blocks_applied: usize,
    /// How each block was placed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blocks: Vec<Placed>,
    /// The most lenient way in which a block had to be placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<Level>,
    /// Answers of the model that it took.
    rounds: u32,
    /// Model that wrote the change; null when you did.
    #[schemars(with = "serde_json::Value")]
    model_used: Option<String>,
    /// Model as the call named it.
    model_requested: String,
    /// How the model was reached: `api`, `sampling`, `local`, `command`, `host`, or `none` when the
    /// change was given.
    llm_route: &'static str,
    /// Why another model than the requested one wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_note: Option<String>,
}

impl EditFacts {
    pub(super) fn new(
        result: Option<EditResult>,
        writer: Option<Writer>,
        rounds: u32,
        model_requested: String,
    ) -> Self {
        let (model_used, llm_route, model_note) = match writer {
            Some(Writer::Model { used, route, note }) => (used, route.as_str(), note),
            Some(Writer::Caller) | None => (None, "none", None),
        };
        let changed = result.is_some();
        let (diff, blocks, level) = match result {
            Some(EditResult { diff, blocks, level }) => (diff, blocks, level),
            None => (String::new(), Vec::new(), None),
        };
        Self {
            changed,
            diff,
            blocks_applied: blocks.iter().filter(|placed| placed.line.is_some()).count(),
            blocks,
            level,
            rounds,
            model_used,
            model_requested,
            llm_route,
            model_note,
        }
    }
}

/// A message with notes behind it.
pub(super) fn said(message: &str, notes: &[&str]) -> String {
    [&[message], notes].concat().join(" ")
}
