//! A conversation as a file: Markdown to read, JSON to work with.

use serde_json::{Value, json as value};
use std::fmt::Write as _;

use super::model::{Exchange, Shown};
use crate::agent::engine::readable;
use crate::agent::event::EventKind;

/// The shown branch as Markdown.
pub fn markdown(shown: &Shown) -> String {
    let mut text = format!("# {}\n", readable(&shown.title));
    for turn in &shown.turns {
        text.push_str("\n## You\n\n");
        text.push_str(&quoted(&turn.question));
        for file in &turn.files {
            let _ = write!(
                text,
                "\n- Attached: {} ({}, {} bytes)\n",
                readable(&file.name),
                file.media_type,
                file.bytes
            );
        }
        text.push_str("\n## Answer\n");
        answer(&mut text, turn);
    }
    text
}

fn answer(text: &mut String, turn: &Exchange) {
    if let Some(note) = &turn.note {
        let _ = write!(text, "\n*{}*\n", readable(note));
    }
    let mut said = String::new();
    for event in &turn.events {
        match &event.kind {
            EventKind::TurnFinished { text: words, .. } | EventKind::Text { delta: words, .. } => {
                said.clone_from(words);
                paragraph(text, words);
            }
            EventKind::CallStarted { tool, arguments, .. } => {
                let shown = readable(&format!("{arguments:#}")).replace("```", "ˋˋˋ");
                let _ = write!(text, "\nTool `{}`:\n\n```json\n{shown}\n```\n", readable(tool));
            }
            EventKind::CallFinished { tool, status, ms, links, .. } => {
                let status = value!(status);
                let status = status.as_str().unwrap_or("done");
                let _ = write!(text, "\nTool `{}`: {status} after {ms} ms.\n", readable(tool));
                for link in links {
                    let _ = write!(text, "\n- {}: <{}>\n", readable(&link.name), link.url);
                }
            }
            EventKind::Done { stop_reason, answer, .. } => {
                if answer.trim() != said.trim() {
                    paragraph(text, answer);
                }
                if stop_reason.as_str() != "answered" {
                    let _ = write!(text, "\n*Ended: {}.*\n", stop_reason.as_str());
                }
            }
            EventKind::Failed { message, .. } => {
                let _ = write!(text, "\n*Failed: {}*\n", readable(message));
            }
            EventKind::Stopped { .. } => text.push_str("\n*Stopped here.*\n"),
            EventKind::Started { .. }
            | EventKind::Resumed { .. }
            | EventKind::TurnStarted { .. }
            | EventKind::Thinking { .. }
            | EventKind::TextReset { .. }
            | EventKind::CallProgress { .. }
            | EventKind::ApprovalWanted { .. }
            | EventKind::ApprovalGiven { .. }
            | EventKind::Usage(_)
            | EventKind::WaitingForHost { .. } => {}
        }
    }
}

fn paragraph(text: &mut String, words: &str) {
    let words = readable(words);
    if !words.trim().is_empty() {
        let _ = write!(text, "\n{}\n", words.trim_end());
    }
}

fn quoted(words: &str) -> String {
    readable(words).lines().map(|line| format!("> {line}\n")).collect()
}

/// The shown branch as JSON, with everything that happened.
pub fn json(shown: &Shown) -> Value {
    value!({ "format": 1, "conversation": shown })
}
