//! Keywords of single schemas: what older editions wrote otherwise, and what `allOf` puts together.

use serde_json::{Map, Value, json};

/// Numeric limits that older editions marked with a boolean.
pub(super) fn exclusive(object: &Map<String, Value>, result: &mut Map<String, Value>) {
    for (key, limit) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match object.get(key) {
            Some(Value::Bool(true)) => {
                if let Some(value) = result.shift_remove(limit) {
                    result.insert(key.to_owned(), value);
                }
            }
            Some(value @ Value::Number(_)) => {
                result.insert(key.to_owned(), value.clone());
            }
            _ => {}
        }
    }
}

/// `nullable` of 3.0 and `x-nullable` of 2.0.
pub(super) fn nullable(object: &Map<String, Value>, result: &mut Map<String, Value>) {
    let marked =
        ["nullable", "x-nullable"].iter().any(|key| object.get(*key) == Some(&Value::Bool(true)));
    if !marked {
        return;
    }
    if let Some(Value::String(name)) = result.get("type").cloned() {
        if name != "null" {
            result.insert("type".to_owned(), json!([name, "null"]));
        }
    } else if let Some(Value::Array(names)) = result.get_mut("type") {
        if !names.contains(&json!("null")) {
            names.push(json!("null"));
        }
    } else if ["oneOf", "anyOf", "allOf"].iter().any(|key| result.contains_key(*key)) {
        let inner = Value::Object(std::mem::take(result));
        result.insert("anyOf".to_owned(), json!([inner, {"type": "null"}]));
    }
    if let Some(Value::Array(values)) = result.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}

/// Whether a branch says nothing that contradicts or would replace what is there.
pub(super) fn mergeable(result: &Map<String, Value>, branch: &Map<String, Value>) -> bool {
    branch.iter().all(|(key, value)| match key.as_str() {
        "properties" => result.get("properties").and_then(Value::as_object).is_none_or(|own| {
            value.as_object().is_some_and(|other| {
                other.iter().all(|(name, schema)| own.get(name).is_none_or(|mine| mine == schema))
            })
        }),
        "required" | "title" | "description" | "default" => true,
        // It speaks of the properties beside it alone.
        "additionalProperties" | "unevaluatedProperties" => {
            value != &Value::Bool(false) && result.get(key).is_none_or(|own| own == value)
        }
        _ => result.get(key).is_none_or(|own| own == value),
    })
}

/// Adds what a branch says to what is there.
pub(super) fn merge(result: &mut Map<String, Value>, branch: Map<String, Value>) {
    for (key, value) in branch {
        match (result.get_mut(&key), value) {
            (Some(Value::Object(own)), Value::Object(other)) if key == "properties" => {
                for (name, schema) in other {
                    own.entry(name).or_insert(schema);
                }
            }
            (Some(Value::Array(own)), Value::Array(other)) if key == "required" => {
                for name in other {
                    if !own.contains(&name) {
                        own.push(name);
                    }
                }
            }
            (Some(_), _) => {}
            (None, value) => {
                result.insert(key, value);
            }
        }
    }
}
