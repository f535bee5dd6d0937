//! Arguments against the tool's schema: the protocol library does not enforce bounds and patterns.
//!
//! Clients send numbers and booleans as text and explicit nulls for what they leave out; both are
//! put right before the schema judges.

use jsonschema::Validator;
use serde_json::Value;

use crate::error::{ErrorKind, ToolError};

/// How many faults one answer lists.
const LISTED: usize = 5;

/// Compiles a tool's schema.
///
/// # Errors
/// When it is no schema: a defect of the tool.
pub(super) fn compile(tool: &str, schema: &Value) -> Result<Validator, ToolError> {
    jsonschema::validator_for(schema).map_err(|error| {
        ToolError::internal(&format!("the schema of `{tool}` is invalid: {error}"))
    })
}

/// Compiles a schema of another server; `None` when it is no schema, or needs a network to be one.
pub(super) fn compile_foreign(schema: &Value) -> Option<Validator> {
    jsonschema::options()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(schema)
        .ok()
}

/// Puts lenient forms right: nulls for absent fields, numbers and booleans sent as text, and text
/// fields sent as numbers or booleans.
pub(super) fn normalise(arguments: &mut Value, schema: &Value) {
    let (Some(object), Some(properties)) =
        (arguments.as_object_mut(), schema.get("properties").and_then(Value::as_object))
    else {
        return;
    };
    object.retain(|key, value| !value.is_null() || !properties.contains_key(key));
    for (key, value) in object.iter_mut() {
        if let Some(field) = properties.get(key) {
            normalise_field(value, field);
        }
    }
}

fn normalise_field(value: &mut Value, schema: &Value) {
    let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
    let replacement = match (kind, &*value) {
        ("integer", Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
        ("integer", Value::Number(number)) if !number.is_i64() && !number.is_u64() => {
            whole(number.as_f64())
        }
        ("number", Value::String(text)) => text
            .trim()
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Value::Number),
        ("boolean", Value::String(text)) => match text.trim() {
            "true" | "True" => Some(Value::Bool(true)),
            "false" | "False" => Some(Value::Bool(false)),
            _ => None,
        },
        ("string", Value::Number(number)) => Some(Value::String(number.to_string())),
        ("string", Value::Bool(flag)) => Some(Value::String(flag.to_string())),
        // Some clients send lists and objects as their JSON text.
        ("array", Value::String(text)) => parsed(text).filter(Value::is_array),
        ("object", Value::String(text)) => parsed(text).filter(Value::is_object),
        _ => None,
    };
    if let Some(replacement) = replacement {
        *value = replacement;
    }
    match value {
        Value::Object(_) => normalise(value, schema),
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items.iter_mut() {
                    normalise_field(item, schema);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// `3.0` as `3`: what JavaScript clients send.
fn whole(number: Option<f64>) -> Option<Value> {
    let number = number?;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    (number.fract() == 0.0 && number.abs() < 9.0e15).then(|| Value::from(number as i64))
}

/// Checks arguments.
///
/// # Errors
/// `invalid_arguments`, naming each fault with its place.
pub(super) fn check(tool: &str, validator: &Validator, arguments: &Value) -> Result<(), ToolError> {
    let faults = faults(validator, arguments);
    if faults.is_empty() {
        return Ok(());
    }
    Err(ToolError::new(
        ErrorKind::Invalid,
        "invalid_arguments",
        format!("the arguments of `{tool}` are wrong: {}", faults.join("; ")),
    )
    .hint("correct them by the tool's input schema and call again"))
}

/// What is wrong with a value, each fault with its place.
pub(super) fn faults(validator: &Validator, value: &Value) -> Vec<String> {
    validator
        .iter_errors(value)
        .take(LISTED)
        .map(|fault| {
            let place = fault.instance_path().to_string();
            let place = place.trim_start_matches('/').replace('/', ".");
            let text = shortened(&fault.to_string());
            if place.is_empty() { text } else { format!("`{place}`: {text}") }
        })
        .collect()
}

/// Messages quote the value; a long one is cut.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let head: String = text.chars().take(LONGEST / 2).collect();
    let tail: String = text.chars().skip(text.chars().count() - LONGEST / 2).collect();
    format!("{head} … {tail}")
}

/// Whether a value has more bytes as JSON text than this. Of most values a look tells that they have
/// far fewer.
pub(super) fn is_larger(value: &Value, limit: usize) -> bool {
    json_bytes_at_most(value) > limit && json_bytes(value) > limit
}

/// More bytes than the JSON text of a value can have: each byte of a text as an escape.
fn json_bytes_at_most(value: &Value) -> usize {
    const ESCAPE: usize = 6;
    const NUMBER: usize = 32;
    let text = |text: &str| 2 + ESCAPE * text.len();
    match value {
        Value::Null | Value::Bool(_) => 5,
        // Of arbitrary length where a library keeps numbers as texts, which ours does not.
        Value::Number(_) => NUMBER,
        Value::String(string) => text(string),
        Value::Array(items) => {
            items.iter().map(|item| 1 + json_bytes_at_most(item)).sum::<usize>() + 2
        }
        Value::Object(object) => {
            let entry = |(key, item): (&String, &Value)| 2 + text(key) + json_bytes_at_most(item);
            object.iter().map(entry).sum::<usize>() + 2
        }
    }
}

/// Size of a value as JSON text, without writing it.
pub(super) fn json_bytes(value: &Value) -> usize {
    struct Counter(usize);
    impl std::io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(mut arguments: Value) -> Result<Value, ToolError> {
        let schema = json!({
            "type": "object",
            "properties": {
                "limit": {"type": "integer", "minimum": 1, "maximum": 9},
                "name": {"type": "string"},
                "deep": {"type": "boolean"},
                "list": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["name"],
        });
        normalise(&mut arguments, &schema);
        check("sample", &compile("sample", &schema)?, &arguments)?;
        Ok(arguments)
    }

    #[test]
    fn lenient_forms_are_put_right() {
        assert_eq!(
            checked(json!({"name": 7, "limit": "3", "deep": "true", "list": "[\"a\"]", "more": 1}))
                .unwrap(),
            json!({"name": "7", "limit": 3, "deep": true, "list": ["a"], "more": 1})
        );
        assert_eq!(checked(json!({"name": "x", "limit": null})).unwrap(), json!({"name": "x"}));
        assert_eq!(checked(json!({"name": "x", "limit": 3.0})).unwrap()["limit"], json!(3));
    }

    #[test]
    fn bounds_and_required_fields_are_enforced() {
        for (arguments, place) in [
            (json!({"name": "x", "limit": 77}), "limit"),
            (json!({"name": "x", "limit": 0}), "limit"),
            (json!({"name": "x", "limit": "many"}), "limit"),
            (json!({"limit": 1}), "name"),
            (json!({"name": ["x"]}), "name"),
            (json!({"name": null}), "name"),
        ] {
            let error = checked(arguments.clone()).unwrap_err();
            assert_eq!(error.code, "invalid_arguments");
            assert!(error.message.contains(place), "{arguments}: {}", error.message);
        }
    }

    #[test]
    fn a_value_is_larger_only_than_what_its_text_exceeds() {
        let values = [
            json!(null),
            json!(false),
            json!(-1.797_693_134_862_315_7e308),
            json!(u64::MAX),
            json!("\u{1}\u{2}\"\\é😀"),
            json!([]),
            json!({"": [], "\n": {"a": [1, "b", null]}, "ü": "x".repeat(500)}),
        ];
        for value in values {
            let bytes = value.to_string().len();
            assert_eq!(json_bytes(&value), bytes);
            assert!(json_bytes_at_most(&value) >= bytes, "{value}");
            assert!(!is_larger(&value, bytes) && is_larger(&value, bytes - 1), "{value}");
        }
    }

    #[test]
    fn long_values_are_not_echoed_whole() {
        let error = checked(json!({"name": ["x".repeat(100_000)]})).unwrap_err();
        assert!(error.message.len() < 1_000, "{}", error.message.len());
    }
}
