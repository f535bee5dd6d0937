//! The conversation that a model is given.

use std::collections::HashMap;

use super::files::{TEXT, stored_file};
use super::service::Chat;
use crate::agent::runs::RunId;
use crate::error::ToolError;
use crate::llm::{Message, Part, Role};
use crate::storage::{ChatFile, PrincipalId, Turn};

/// What a model reads where an answer was cut off by the user.
const STOPPED: &str = "[The user stopped this answer here.]";

impl Chat {
    /// All messages up to and with this turn's answer.
    pub(super) async fn history(
        &self,
        principal: &PrincipalId,
        turns: &[Turn],
        last: &str,
    ) -> Result<Vec<Message>, ToolError> {
        let by_id: HashMap<&str, &Turn> =
            turns.iter().map(|turn| (turn.id.as_str(), turn)).collect();
        let mut later = Vec::new();
        let mut at = by_id.get(last).copied();
        let mut messages = Vec::new();
        while let Some(turn) = at {
            let kept = match RunId::parse(&turn.run) {
                // A run's messages are all that was said before, too.
                Some(run) => self.parts.agent.messages(principal, &run).unwrap_or_default(),
                None => None,
            };
            if let Some(kept) = kept {
                messages = kept;
                close(&mut messages, turn);
                break;
            }
            later.push(turn);
            at = turn.parent.as_deref().and_then(|parent| by_id.get(parent).copied());
        }
        for turn in later.into_iter().rev() {
            messages.push(self.user_message(&turn.question, &files_of(turn)).await?);
            messages.push(Message::assistant(words_or_stopped(turn)));
        }
        Ok(messages)
    }

    /// What a person says, with files.
    pub(super) async fn user_message(
        &self,
        text: &str,
        files: &[ChatFile],
    ) -> Result<Message, ToolError> {
        let mut parts = Vec::new();
        for file in files {
            let content = if file.media_type == TEXT {
                let bytes = self.parts.blobs.get(&file.sha).await?;
                Some(String::from_utf8_lossy(&bytes).into_owned())
            } else {
                None
            };
            parts.push(Part::StoredFile(stored_file(file, content.as_deref())?));
        }
        if !text.is_empty() || parts.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        Ok(Message { role: Role::User, parts })
    }
}

/// The files of a turn.
pub(super) fn files_of(turn: &Turn) -> Vec<ChatFile> {
    serde_json::from_str(&turn.files).unwrap_or_default()
}

/// Ends a conversation with words of the model, whatever cut it off.
fn close(messages: &mut Vec<Message>, turn: &Turn) {
    let is_open = messages.last().is_none_or(|message| message.role != Role::Assistant);
    if is_open {
        messages.push(Message::assistant(words_or_stopped(turn)));
    }
}

fn words_or_stopped(turn: &Turn) -> String {
    match turn.answer.as_deref().map(str::trim).filter(|words| !words.is_empty()) {
        Some(words) => format!("{words}\n\n{STOPPED}"),
        None => STOPPED.to_owned(),
    }
}
