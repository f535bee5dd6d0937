//! What a model is shown of a result of another server.
//!
//! The whole result is kept behind its call id. Of a large one the model sees the beginning, the
//! shape, and the references to go on with.

use serde_json::{Map, Value, json};
use std::fmt::Write as _;

use super::reply::CallOutcome;
use super::validation::json_bytes;
use crate::jobs::Content;

/// Text that may stand in the structured result and in a block as well.
const TWICE_BYTES: usize = 4_000;
/// Bytes of the beginning that is shown in place of a large value.
const HEAD_BYTES: usize = 2_000;
/// Bytes of pictures, sounds and files that are passed on together, as base64.
const BINARY_BYTES: usize = 700_000;
/// Keys of an object that a shape names.
const SHAPE_KEYS: usize = 30;
/// Depth of a shape.
const SHAPE_DEPTH: usize = 3;

/// Whether a result came from another server: only those name one.
pub(super) fn is_foreign(structured: &Value) -> bool {
    let text = |key: &str| structured.get(key).is_some_and(Value::is_string);
    text("server") && text("tool")
}

/// The outcome as a model should see it, in about `limit` bytes beside pictures and sounds.
/// Outcomes of the program's own tools stay as they are.
#[must_use]
pub fn shown(mut outcome: CallOutcome, limit: usize) -> CallOutcome {
    if outcome.is_error || !is_foreign(&outcome.structured) {
        return outcome;
    }
    let id = outcome.call_id.as_ref().map(ToString::to_string).unwrap_or_default();
    if let Some(fields) = outcome.structured.as_object_mut() {
        show_result(fields, &id, limit);
        show_text(fields, &id);
        if let Some(blocks) = fields.get_mut("blocks").and_then(Value::as_array_mut) {
            for block in blocks {
                *block = describe(block);
            }
        }
    }
    outcome.content = blocks(std::mem::take(&mut outcome.content), &id, limit);
    outcome
}

fn show_result(fields: &mut Map<String, Value>, id: &str, limit: usize) {
    let Some(result) = fields.get_mut("result") else { return };
    let bytes = json_bytes(result);
    if bytes <= limit {
        return;
    }
    let result = result.take();
    fields.shift_remove("result");
    let head = match &result {
        Value::String(text) => head(text, HEAD_BYTES).to_owned(),
        other => head(&other.to_string(), HEAD_BYTES).to_owned(),
    };
    fields.insert("truncated".into(), json!(true));
    fields.insert("result_bytes".into(), json!(bytes));
    fields.insert("result_head".into(), json!(head));
    fields.insert("result_shape".into(), shape(&result, 0));
    fields.insert("reference".into(), json!(format!("@@ref_{id}__result")));
    fields.insert(
        "note".into(),
        json!("the result is too large to be shown; pass `reference`, or a part of it with __<key>__<index>, as an argument of another tool, such as execute_python_code"),
    );
}

fn show_text(fields: &mut Map<String, Value>, id: &str) {
    let Some(Value::String(text)) = fields.get("text") else { return };
    if text.len() <= TWICE_BYTES {
        return;
    }
    let (bytes, head) = (text.len(), head(text, HEAD_BYTES).to_owned());
    fields.shift_remove("text");
    fields.insert("text_bytes".into(), json!(bytes));
    fields.insert("text_head".into(), json!(head));
    fields.entry("reference").or_insert_with(|| json!(format!("@@ref_{id}__text")));
}

/// Blocks with long texts cut and with no more binary content than clients take.
fn blocks(content: Vec<Content>, id: &str, limit: usize) -> Vec<Content> {
    let mut text_left = limit;
    let mut binary_left = BINARY_BYTES;
    let mut binary_index = 0;
    let mut shown = Vec::new();
    for block in content {
        let Content::Block(mut value) = block else {
            shown.push(block);
            continue;
        };
        if value.get("type").and_then(Value::as_str) == Some("text") {
            if let Some(Value::String(text)) = value.get_mut("text") {
                if text.len() > text_left {
                    let bytes = text.len();
                    let kept = head(text, text_left.max(HEAD_BYTES.min(limit))).len();
                    text.truncate(kept);
                    let _ = write!(
                        text,
                        " …[cut: {kept} of {bytes} bytes; the whole text is at @@ref_{id}__text]"
                    );
                }
                text_left = text_left.saturating_sub(text.len());
            }
        } else {
            let bytes = json_bytes(&value);
            if bytes > binary_left {
                let about = describe(&value);
                value = json!({
                    "type": "text",
                    "text": format!("[too large to be shown: {about}; it is at @@ref_{id}__blocks__{binary_index}]"),
                });
            } else {
                binary_left -= bytes;
            }
            binary_index += 1;
        }
        shown.push(Content::Block(value));
    }
    shown
}

/// A block without its bytes.
fn describe(block: &Value) -> Value {
    let inner = block.get("resource").unwrap_or(block);
    let mut about = Map::new();
    about.insert("type".into(), block.get("type").cloned().unwrap_or_default());
    for key in ["mimeType", "uri", "name"] {
        if let Some(value) = inner.get(key) {
            about.insert(key.into(), value.clone());
        }
    }
    about.insert("json_bytes".into(), json!(json_bytes(block)));
    Value::Object(about)
}

/// The first bytes of a text, to the end of a letter.
fn head(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

/// The shape of a value: keys, types and sizes without the values.
pub fn shape(value: &Value, depth: usize) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("true or false"),
        Value::Number(_) => json!("number"),
        Value::String(text) => json!(format!("text of {} bytes", text.len())),
        Value::Array(items) if depth >= SHAPE_DEPTH => json!(format!("list of {}", items.len())),
        Value::Array(items) => match items.first() {
            Some(first) => json!({"list_of": items.len(), "first": shape(first, depth + 1)}),
            None => json!("empty list"),
        },
        Value::Object(object) if depth >= SHAPE_DEPTH => {
            json!(format!("object of {} keys", object.len()))
        }
        Value::Object(object) => {
            let mut keys: Map<String, Value> = object
                .iter()
                .take(SHAPE_KEYS)
                .map(|(key, value)| (head(key, 100).to_owned(), shape(value, depth + 1)))
                .collect();
            if object.len() > SHAPE_KEYS {
                let more = object.len() - SHAPE_KEYS;
                keys.insert("…".into(), json!(format!("{more} more keys")));
            }
            Value::Object(keys)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(structured: Value, content: Vec<Content>) -> CallOutcome {
        CallOutcome {
            call_id: Some("0a1b2c3d".into()),
            is_error: false,
            error_kind: None,
            structured,
            content,
            running_job: None,
            sampling: None,
            question: None,
        }
    }

    #[test]
    fn small_results_are_shown_whole() {
        let structured = json!({"server": "s", "tool": "t", "result": {"a": 1}, "text": "x"});
        let text = Content::Block(json!({"type": "text", "text": "x"}));
        let seen = shown(outcome(structured.clone(), vec![text]), 1_000);
        assert_eq!(seen.structured, structured);
        assert_eq!(serde_json::to_value(&seen.content).unwrap()[0]["block"]["text"], "x");
    }

    #[test]
    fn of_large_results_the_beginning_and_the_shape_are_shown() {
        let rows: Vec<Value> =
            (0..5_000).map(|n| json!({"id": n, "name": "é".repeat(9)})).collect();
        let structured = json!({"server": "s", "tool": "t", "result": {"rows": rows}, "text": "ü".repeat(9_999)});
        let content = vec![
            Content::Block(json!({"type": "text", "text": "ü".repeat(9_999)})),
            Content::Block(
                json!({"type": "image", "mimeType": "image/png", "data": "A".repeat(800_000)}),
            ),
        ];
        let seen = shown(outcome(structured, content), 8_000);
        assert_eq!(seen.structured["reference"], "@@ref_0a1b2c3d__result");
        assert_eq!(seen.structured["result_shape"]["rows"]["list_of"], 5_000);
        assert_eq!(seen.structured["result_shape"]["rows"]["first"]["id"], "number");
        assert!(seen.structured["result_head"].as_str().unwrap().starts_with("{\"rows\":[{"));
        assert!(seen.structured.get("result").is_none());
        assert!(seen.structured.to_string().len() < 8_000);
        let content = serde_json::to_value(&seen.content).unwrap();
        assert!(content[0]["block"]["text"].as_str().unwrap().contains("@@ref_0a1b2c3d__text"));
        assert!(
            content[1]["block"]["text"].as_str().unwrap().contains("@@ref_0a1b2c3d__blocks__0")
        );
    }

    #[test]
    fn own_results_stay_as_they_are() {
        let structured = json!({"status": "success", "result": "x".repeat(99_999)});
        assert_eq!(shown(outcome(structured.clone(), Vec::new()), 100).structured, structured);
    }
}
