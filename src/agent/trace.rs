//! A run's trace: what was asked, each turn, each call, why it ended. For people and programs.

use serde_json::{Map, Value, json};
use std::fmt::Write as _;

use super::engine::{CallStatus, readable};
use super::event::{Event, EventKind};
use crate::storage::blobs::sha256_hex;

/// Bytes of a value that a trace shows; larger ones by hash.
const VALUE_BYTES: usize = 8_000;
/// What stands in the place of a secret.
const HIDDEN: &str = "•••";
/// Parts of names whose values are secrets.
const SECRET_NAMES: [&str; 11] = [
    "password",
    "passwd",
    "secret",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "authorization",
    "cookie",
    "credential",
    "connection_string",
];
/// How well-known keys begin.
const SECRET_BEGINNINGS: [&str; 9] =
    ["sk-", "sk_live_", "ghp_", "github_pat_", "xoxb-", "AIza", "AKIA", "Bearer ", "Basic "];

/// Arguments as they may be shown: secrets hidden, large values by hash.
pub(crate) fn shown_arguments(arguments: &Value) -> Value {
    shown(arguments, "", 0)
}

fn shown(value: &Value, name: &str, depth: usize) -> Value {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(_) | Value::Array(_) | Value::Object(_) if is_secret_name(name) => {
            Value::from(HIDDEN)
        }
        Value::String(text) => Value::from(shown_text(text)),
        Value::Array(_) | Value::Object(_) if depth > 32 => Value::from("…"),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| shown(item, name, depth + 1)).collect())
        }
        Value::Object(object) => Value::Object(
            object
                .iter()
                .map(|(key, value)| (key.clone(), shown(value, key, depth + 1)))
                .collect::<Map<_, _>>(),
        ),
    }
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    name == "token"
        || name.ends_with("_token")
        || SECRET_NAMES.iter().any(|part| name.contains(part))
}

fn shown_text(text: &str) -> String {
    if SECRET_BEGINNINGS.iter().any(|begin| text.starts_with(begin)) && text.len() >= 12 {
        return HIDDEN.to_owned();
    }
    if text.len() > VALUE_BYTES {
        let sha = sha256_hex(text.as_bytes()).0;
        let end = text.floor_char_boundary(400);
        let begin = text.get(..end).unwrap_or_default();
        let short: String = sha.chars().take(16).collect();
        return format!("{begin} … [{} bytes, sha256 {short}…]", text.len());
    }
    without_password(text)
}

/// Words of somebody else without the keys that stand in them.
pub(crate) fn scrubbed(text: &str) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-.".contains(letter);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (before, word) = rest.split_at(start);
        let end = word.find(|letter| !is_part(letter)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        clean.push_str(before);
        let is_key = word.len() >= 16
            && SECRET_BEGINNINGS
                .iter()
                .any(|begin| !begin.ends_with(' ') && word.starts_with(begin));
        clean.push_str(if is_key { HIDDEN } else { word });
        rest = after;
    }
    clean.push_str(rest);
    clean
}

/// An address without its password.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#', ' ']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@').and_then(|(user, host)| {
        user.split_once(':').map(|(user, _)| format!("{scheme}://{user}:{HIDDEN}@{host}{path}"))
    }) {
        Some(clean) => clean,
        None => text.to_owned(),
    }
}

/// The trace as JSON: all events but the single pieces of text.
pub fn json(events: &[Event]) -> Value {
    let events: Vec<&Event> = events
        .iter()
        .filter(|event| {
            !matches!(
                event.kind,
                EventKind::Text { .. }
                    | EventKind::Thinking { .. }
                    | EventKind::CallProgress { .. }
            )
        })
        .collect();
    json!({ "format": 1, "events": events })
}

/// The trace as Markdown.
pub fn markdown(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        match &event.kind {
            EventKind::Started { title, query, model, route, turns, tools, .. } => {
                let model = model.as_deref().unwrap_or("chosen by the client");
                let _ = write!(
                    text,
                    "# Run of {}\n\nAsked:\n\n{}\n\nModel: {} ({route}). At most {turns} turns. Tools: {}.\n",
                    line(title),
                    quoted(query),
                    line(model),
                    tools
                        .iter()
                        .map(|tool| format!("`{}`", line(tool)))
                        .collect::<Vec<_>>()
                        .join(", ")
                );
            }
            EventKind::Resumed { attempt } => {
                let _ = write!(text, "\n*Taken up again, attempt {attempt}.*\n");
            }
            EventKind::TurnFinished {
                number,
                text: words,
                model,
                input_tokens,
                output_tokens,
                cost_usd,
                ms,
                ..
            } => {
                let count =
                    |tokens: &Option<u64>| tokens.map_or_else(|| "?".to_owned(), |n| n.to_string());
                let cost = cost_usd.map_or_else(String::new, |cost| format!(", ${cost:.4}"));
                let _ = write!(
                    text,
                    "\n## Answer {number}\n\n{}, {} tokens in, {} out, {ms} ms{cost}\n",
                    line(model.as_deref().unwrap_or("host")),
                    count(input_tokens),
                    count(output_tokens)
                );
                if !words.trim().is_empty() {
                    let _ = write!(text, "\n{}\n", quoted(words));
                }
            }
            EventKind::CallStarted { turn, position, tool, arguments } => {
                let _ = write!(
                    text,
                    "\n### Call {turn}.{position}: `{}`\n\n{}\n",
                    line(tool),
                    fenced(&format!("{arguments:#}"))
                );
            }
            EventKind::CallFinished {
                turn, position, status, call_id, ms, head, links, ..
            } => {
                let reference = call_id
                    .as_ref()
                    .map_or_else(String::new, |id| format!(", whole result `@@ref_{id}`"));
                let _ = write!(
                    text,
                    "\nResult of {turn}.{position}: {} after {ms} ms{reference}\n\n{}\n",
                    status_words(*status),
                    fenced(head)
                );
                for link in links {
                    let _ = write!(text, "\n{}: <{}>\n", line(&link.name), line(&link.url));
                }
            }
            EventKind::ApprovalWanted { turn, position, .. } => {
                let _ = write!(text, "\nCall {turn}.{position} waits for approval.\n");
            }
            EventKind::ApprovalGiven { turn, position, decision, .. } => {
                let _ = write!(
                    text,
                    "\nDecided about {turn}.{position}: {}\n",
                    line(&json!(decision).to_string())
                );
            }
            EventKind::WaitingForHost { number } => {
                let _ = write!(text, "\n*Answer {number} is written by the host.*\n");
            }
            EventKind::Done { stop_reason, detail, answer, output, totals } => {
                let detail =
                    detail.as_deref().map_or_else(String::new, |why| format!(": {}", line(why)));
                let _ = write!(
                    text,
                    "\n## End: {}{detail}\n\n{}\n\n{} turns, {} tokens in, {} out, {} ms of work, ${:.4}{}\n",
                    stop_reason.as_str(),
                    quoted(answer),
                    totals.turns,
                    totals.input_tokens,
                    totals.output_tokens,
                    totals.active_ms,
                    totals.cost_usd,
                    if totals.unpriced { " (not all answers have a known price)" } else { "" }
                );
                if let Some(output) = output {
                    let _ = write!(text, "\n{}\n", fenced(&format!("{output:#}")));
                }
            }
            EventKind::Failed { code, message, hint } => {
                let hint =
                    hint.as_deref().map_or_else(String::new, |hint| format!(" ({})", line(hint)));
                let _ = write!(text, "\n## Failed: `{code}`\n\n{}{hint}\n", line(message));
            }
            EventKind::Stopped { reason } => {
                let _ = write!(text, "\n## Stopped: {}\n", line(reason));
            }
            EventKind::TurnStarted { .. }
            | EventKind::Text { .. }
            | EventKind::Thinking { .. }
            | EventKind::TextReset { .. }
            | EventKind::CallProgress { .. }
            | EventKind::Usage(_) => {}
        }
    }
    text
}

/// One line of somebody else's words, without markup.
fn line(words: &str) -> String {
    let clean = readable(words).replace(['\n', '\t'], " ");
    clean.replace('<', "‹").replace('>', "›").replace('`', "ˋ")
}

/// Somebody else's words as a quote.
fn quoted(words: &str) -> String {
    let clean = readable(words).replace('<', "&lt;");
    clean.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n")
}

/// Text in a fence that it cannot close.
fn fenced(text: &str) -> String {
    let clean = readable(text);
    let longest = clean.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}text\n{clean}\n{fence}")
}

const fn status_words(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Ok => "done",
        CallStatus::Failed => "failed",
        CallStatus::Unknown => "no such tool",
        CallStatus::InvalidArguments => "wrong arguments",
        CallStatus::TimedOut => "took too long",
        CallStatus::Denied => "declined",
        CallStatus::Skipped => "not made",
        CallStatus::Interrupted => "interrupted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_large_values_named_by_hash() {
        let shown = shown_arguments(&json!({
            "api_key": "abc",
            "auth": {"Authorization": "Bearer xyz"},
            "note": "sk-1234567890abcdef",
            "database_url": "postgres://me:hunter2@db/x",
            "max_tokens": 5,
            "prompt": "tokens and passwords are fine in words",
            "html": "x".repeat(10_000),
        }));
        let text = shown.to_string();
        for secret in ["abc\"", "xyz", "sk-1234", "hunter2"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert_eq!(shown["max_tokens"], 5);
        assert_eq!(shown["prompt"], "tokens and passwords are fine in words");
        assert_eq!(shown["database_url"], "postgres://me:•••@db/x");
        assert!(shown["html"].as_str().unwrap().contains("10000 bytes, sha256 "));
    }

    #[test]
    fn keys_in_results_are_hidden() {
        let text = "{\"key\": \"sk-proj-1234567890abcdef\", \"note\": \"ask-me sk-short grün\"}";
        assert_eq!(scrubbed(text), "{\"key\": \"•••\", \"note\": \"ask-me sk-short grün\"}");
    }

    #[test]
    fn fences_cannot_be_closed_from_inside() {
        let text = fenced("a\n````\nb");
        assert!(text.starts_with("`````text\n") && text.ends_with("\n`````"), "{text}");
        assert_eq!(line("<script>`x`\n"), "‹script›ˋxˋ ");
    }
}
