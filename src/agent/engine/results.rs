//! What a model gets to see of a result, and what is known of it besides.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::llm::StoredFile;
use crate::storage::blobs::sha256_hex;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// It succeeded.
    Ok,
    /// The tool, or its server, reported an error.
    Failed,
    /// There is no such tool.
    Unknown,
    /// The arguments do not fit.
    InvalidArguments,
    /// It took too long.
    TimedOut,
    /// A person declined, or nobody could be asked.
    Denied,
    /// It was not made: a limit, or the same call had been made before.
    Skipped,
    /// It was cut off, and nobody knows whether it had its effect.
    Interrupted,
}

impl CallStatus {
    /// Whether the call did what it was meant to do.
    pub const fn is_ok(self) -> bool {
        matches!(self, Self::Ok)
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallAnswer {
    /// How it ended.
    pub status: CallStatus,
    /// What the model sees.
    pub shown: String,
    /// What it sees later, when room gets short.
    pub short: String,
    /// Hash of the result without what differs from call to call.
    pub digest: String,
    /// Id for references to the whole result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// How long it took.
    pub ms: u64,
    /// The result says that something goes on and is worth asking for again.
    #[serde(default)]
    pub is_pending: bool,
    /// Code of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Addresses of what was made, for people: apps, documents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<ResultLink>,
    /// Pictures and documents beside the result, kept in the store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<StoredFile>,
}

/// Something that a call made and that can be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultLink {
    /// Its address.
    pub url: String,
    /// `app`, `document` or `link`.
    pub kind: String,
    /// Name for people.
    pub name: String,
    /// Version, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

impl CallAnswer {
    /// An answer that the engine gives itself.
    pub fn own(status: CallStatus, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            status,
            short: text.clone(),
            digest: digest_of_text(&text),
            shown: text,
            call_id: None,
            ms: 0,
            is_pending: false,
            code: None,
            links: Vec::new(),
            pictures: Vec::new(),
        }
    }
}

fn digest_of_text(text: &str) -> String {
    sha256_hex(text.as_bytes()).0.chars().take(32).collect()
}

/// Keys whose values differ from call to call of the same meaning.
const FLEETING: [&str; 9] = [
    "call_id",
    "job_id",
    "handle",
    "duration_ms",
    "elapsed_ms",
    "expires_at_ms",
    "timestamp",
    "error_id",
    "tool_calls",
];

/// Hash of a result by its meaning: keys in order, without what differs every time.
pub(super) fn digest(result: &Value) -> String {
    let mut text = String::new();
    canonical(result, &mut text, 0);
    digest_of_text(&text)
}

/// A value as text, keys in order, without what differs every time.
pub(super) fn canonical(value: &Value, text: &mut String, depth: usize) {
    match value {
        Value::Object(object) if depth < 64 => {
            let mut keys: Vec<&String> =
                object.keys().filter(|key| !FLEETING.contains(&key.as_str())).collect();
            keys.sort();
            text.push('{');
            for key in keys {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                canonical(object.get(key).unwrap_or(&Value::Null), text, depth + 1);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) if depth < 64 => {
            text.push('[');
            for item in items {
                canonical(item, text, depth + 1);
                text.push(',');
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// A text without control characters, terminal sequences and marks that cannot be seen: what a
/// model reads. Line ends and tabs stay.
pub(crate) fn readable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => skip_sequence(&mut letters),
            '\n' | '\t' => clean.push(letter),
            '\r'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}' => {}
            letter if letter.is_control() => {}
            letter => clean.push(letter),
        }
    }
    clean
}

/// Skips what follows an escape: `[…letter`, `]…bell`, or one character.
fn skip_sequence(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match letters.peek() {
        Some('[') => {
            letters.next();
            for letter in letters.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&letter) {
                    break;
                }
            }
        }
        Some(']' | 'P' | '_' | '^') => {
            letters.next();
            while let Some(letter) = letters.next() {
                if letter == '\u{7}' {
                    break;
                }
                if letter == '\u{1b}' {
                    letters.next();
                    break;
                }
            }
        }
        Some(_) => {
            letters.next();
        }
        None => {}
    }
}

/// What a model sees of a long text: its head and its tail, with the way to the rest.
pub(super) fn head_and_tail(text: &str, bytes: usize, call_id: Option<&str>) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(bytes * 3 / 4);
    let tail = text.ceil_char_boundary(text.len() - bytes / 4);
    let way = call_id.map_or_else(String::new, |id| {
        format!(
            "; the whole result is kept: read on with read_result(call_id: \"{id}\", path, offset), or pass `@@ref_{id}__<path>` on as an argument"
        )
    });
    format!(
        "{}\n[… {} of {} bytes are not shown{way} …]\n{}",
        text.get(..head).unwrap_or_default(),
        tail.saturating_sub(head),
        text.len(),
        text.get(tail..).unwrap_or_default()
    )
}

/// The shape of a value in a few words: keys with types and sizes.
pub(super) fn shape(value: &Value) -> String {
    const KEYS: usize = 20;
    match value {
        Value::Object(object) => {
            let mut keys: Vec<String> = object
                .iter()
                .take(KEYS)
                .map(|(key, value)| {
                    let key: String = key.chars().take(60).collect();
                    format!("{key}: {}", kind(value))
                })
                .collect();
            if object.len() > KEYS {
                keys.push(format!("and {} more", object.len() - KEYS));
            }
            format!("{{{}}}", keys.join(", "))
        }
        other => kind(other),
    }
}

fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.len() <= 80 => Value::from(readable(text).as_str()).to_string(),
        Value::String(text) => format!("text of {} bytes", text.len()),
        Value::Array(items) => format!("list of {}", items.len()),
        Value::Object(object) => format!("object of {} keys", object.len()),
    }
}

/// Whether a result says that something still goes on.
pub(super) fn is_pending(result: &Value) -> bool {
    const WORDS: [&str; 5] = ["running", "pending", "queued", "in_progress", "waiting"];
    ["status", "state"].iter().any(|key| {
        let word = result.get(key).and_then(Value::as_str);
        word.is_some_and(|word| WORDS.contains(&word.to_ascii_lowercase().as_str()))
    })
}

/// What of a result can be opened.
pub(super) fn links(tool: &str, result: &Value) -> Vec<ResultLink> {
    let text = |key: &str| result.get(key).and_then(Value::as_str);
    let Some(url) = text("url").filter(|url| {
        url.len() < 2000 && (url.starts_with("http://") || url.starts_with("https://"))
    }) else {
        return Vec::new();
    };
    let (kind, name) = match (text("app_name"), text("doc_name")) {
        (Some(name), _) => ("app", name),
        (None, Some(name)) => ("document", name),
        (None, None) => ("link", tool),
    };
    let version = result.get("version").and_then(Value::as_i64);
    vec![ResultLink { url: url.to_owned(), kind: kind.to_owned(), name: readable(name), version }]
}

/// What the model sees later of a result whose whole is kept.
pub(super) fn short_form(tool: &str, result: &Value, call_id: Option<&str>) -> String {
    let reference = call_id.map_or_else(String::new, |id| {
        format!("; whole result: read_result(call_id: \"{id}\") or @@ref_{id}__<path>")
    });
    let value = json!(tool);
    format!("[an earlier result of {value}, shortened: {}{reference}]", shape(result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_every_time_does_not_count() {
        let first = json!({"b": 1, "a": [1, {"call_id": "x"}], "duration_ms": 5});
        let second = json!({"a": [1, {"call_id": "y"}], "b": 1, "duration_ms": 7});
        assert_eq!(digest(&first), digest(&second));
        assert_ne!(digest(&first), digest(&json!({"b": 2, "a": [1, {}]})));
    }

    #[test]
    fn terminal_sequences_and_unseen_marks_go() {
        let hostile = "\u{1b}[31mred\u{1b}[0m\u{1b}]0;title\u{7}\u{202e}abc\u{200b}\u{8}\r\nend\tx";
        assert_eq!(readable(hostile), "redabc\nend\tx");
        assert_eq!(readable("\u{1b}"), "");
        assert_eq!(readable("grün 日本"), "grün 日本");
    }

    #[test]
    fn long_texts_keep_head_and_tail() {
        let text = format!("{}{}", "ä".repeat(50_000), "END");
        let shown = head_and_tail(&text, 1000, Some("0a1b2c3d"));
        assert!(shown.starts_with("ää") && shown.ends_with("END"));
        assert!(shown.contains("@@ref_0a1b2c3d__<path>"));
        assert!(shown.len() < 1400, "{}", shown.len());
        assert_eq!(head_and_tail("short", 1000, None), "short");
    }

    #[test]
    fn shapes_tell_keys_and_sizes() {
        let value = json!({"url": "u", "text": "x".repeat(500), "list": [1, 2], "deep": {"a": 1}});
        assert_eq!(
            shape(&value),
            "{url: \"u\", text: text of 500 bytes, list: list of 2, deep: object of 1 keys}"
        );
    }
}
