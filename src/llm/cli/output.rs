//! What commands print, read as answers. Their texts never reach an error message.

use serde_json::Value;

use super::process::Finished;
use crate::llm::{Event, LlmError, LlmErrorCode, Stop, Usage};

/// How a command's output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// One JSON object of Claude Code.
    Claude,
    /// One JSON object a line, of Codex.
    Codex,
    /// The answer itself.
    Plain,
}

/// Reads the output as the events of an answer.
pub(super) fn read(
    reading: Reading,
    name: &str,
    finished: &Finished,
) -> Result<Vec<Event>, LlmError> {
    if !finished.status.success() {
        return Err(if asks_for_login(&finished.output) || asks_for_login(&finished.errors) {
            login(name)
        } else {
            unreadable(name, "ended with an error")
        });
    }
    let Ok(text) = std::str::from_utf8(&finished.output) else {
        return Err(unreadable(name, "prints something that is no text"));
    };
    match reading {
        Reading::Claude => read_claude(name, text),
        Reading::Codex => read_codex(name, text),
        Reading::Plain => Ok(answer(text.trim_end_matches('\n'), None)),
    }
}

fn answer(text: &str, usage: Option<Usage>) -> Vec<Event> {
    let mut events: Vec<_> = pieces(text).map(|piece| Event::Text(piece.to_owned())).collect();
    events.extend(usage.map(Event::Usage));
    events.push(Event::End(Stop::Complete));
    events
}

/// The guard takes no event as large as a whole answer may be.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut end = rest.len().min(64 * 1024);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

fn read_claude(name: &str, text: &str) -> Result<Vec<Event>, LlmError> {
    let unexpected = || unreadable(name, "prints something else than its JSON result");
    let result: Value = serde_json::from_str(text.trim()).map_err(|_| unexpected())?;
    let words = result.get("result").and_then(Value::as_str);
    if result.get("is_error").and_then(Value::as_bool).unwrap_or(false) {
        return Err(if words.is_some_and(|words| asks_for_login(words.as_bytes())) {
            login(name)
        } else {
            unreadable(name, "reports an error")
        });
    }
    let words = words.ok_or_else(unexpected)?;
    let count = |key: &str| result.pointer("/usage").and_then(|usage| usage.get(key)?.as_u64());
    let cached = count("cache_read_input_tokens");
    let written = count("cache_creation_input_tokens").unwrap_or(0);
    let usage = Usage {
        input_tokens: count("input_tokens").map(|fresh| fresh + cached.unwrap_or(0) + written),
        output_tokens: count("output_tokens"),
        cached_tokens: cached,
        reasoning_tokens: None,
    };
    Ok(answer(words, Some(usage)))
}

fn read_codex(name: &str, text: &str) -> Result<Vec<Event>, LlmError> {
    let mut words = None;
    let mut usage = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let event: Value = serde_json::from_str(line)
            .map_err(|_| unreadable(name, "prints something else than lines of JSON"))?;
        match event.get("type").and_then(Value::as_str) {
            Some("item.completed") => {
                let item = event.get("item");
                let kind = item.and_then(|item| item.get("type")?.as_str());
                if kind == Some("agent_message") {
                    let text = item.and_then(|item| item.get("text")?.as_str());
                    words = text.map(str::to_owned).or(words);
                }
            }
            Some("turn.completed") => {
                let count =
                    |key: &str| event.pointer("/usage").and_then(|usage| usage.get(key)?.as_u64());
                usage = Some(Usage {
                    input_tokens: count("input_tokens"),
                    output_tokens: count("output_tokens"),
                    cached_tokens: count("cached_input_tokens"),
                    reasoning_tokens: count("reasoning_output_tokens"),
                });
            }
            Some("turn.failed" | "error") => {
                return Err(if asks_for_login(line.as_bytes()) {
                    login(name)
                } else {
                    unreadable(name, "reports an error")
                });
            }
            // Other events tell of its work, not of the answer.
            _ => {}
        }
    }
    let words = words.ok_or_else(|| unreadable(name, "ended without a message"))?;
    Ok(answer(&words, usage))
}

fn asks_for_login(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    ["/login", "log in", "login", "logged in", "sign in", "unauthorized", "invalid api key"]
        .iter()
        .any(|phrase| text.contains(phrase))
}

fn login(name: &str) -> LlmError {
    LlmError::new(LlmErrorCode::CommandLogin, format!("the command `{name}` asks for a login"))
        .hint(format!("run `{name}` in a terminal and log in, or name another model"))
}

fn unreadable(name: &str, what: &str) -> LlmError {
    LlmError::new(LlmErrorCode::CommandOutput, format!("the command `{name}` {what}"))
        .hint(format!("run `{name}` in a terminal to see what it says, or name another model"))
}
