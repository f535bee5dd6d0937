//! JSON Schemas that every client and vendor can read.
//!
//! Clients break on `$ref` and `$defs`, on type arrays and on numeric formats, so schemas are
//! inlined, optional means "not in `required`", and nothing is nullable.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The portable schema of a type.
pub fn portable_schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    clean(&mut schema);
    if let Some(object) = schema.as_object_mut() {
        object.shift_remove("title");
        object.shift_remove("description");
        object.entry("type").or_insert_with(|| Value::from("object"));
        if object.get("type").and_then(Value::as_str) == Some("object") {
            object.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        }
    }
    schema
}

/// Removes what is not portable, all the way down.
fn clean(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(object) => clean_object(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn clean_object(object: &mut Map<String, Value>) {
    for key in ["$schema", "$defs"] {
        object.shift_remove(key);
    }
    if is_numeric_format(object.get("format")) {
        object.shift_remove("format");
    }
    if object.get("default") == Some(&Value::Null) {
        object.shift_remove("default");
    }
    // Some vendors take no schema that is a mere `true`.
    if object.get("items") == Some(&Value::Bool(true)) {
        object.insert("items".into(), Value::Object(Map::new()));
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    for key in ["anyOf", "oneOf"] {
        let Some(Value::Array(options)) = object.get_mut(key) else { continue };
        options.retain(|option| option.get("type").and_then(Value::as_str) != Some("null"));
        if let [only] = options.as_slice() {
            let only = only.clone();
            object.shift_remove(key);
            if let Value::Object(fields) = only {
                for (name, field) in fields {
                    object.entry(name).or_insert(field);
                }
            }
        }
    }
    object.values_mut().for_each(clean);
}

fn is_numeric_format(format: Option<&Value>) -> bool {
    format.and_then(Value::as_str).is_some_and(|format| {
        ["uint", "int", "float", "double"].iter().any(|prefix| format.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Sample {
        count: Option<u32>,
        kind: Option<Kind>,
        list: Vec<Inner>,
    }

    #[derive(serde::Deserialize, JsonSchema)]
    enum Kind {
        Small,
        Large,
    }

    #[derive(serde::Deserialize, JsonSchema)]
    #[expect(dead_code, reason = "only its schema is read")]
    struct Inner {
        name: String,
    }

    #[test]
    fn nothing_unportable_is_left() {
        let schema = portable_schema::<Sample>();
        let text = schema.to_string();
        for bad in ["$ref", "$defs", "$schema", "null", "uint32"] {
            assert!(!text.contains(bad), "{bad} in {text}");
        }
        assert_eq!(schema["properties"]["count"]["type"], "integer");
        assert_eq!(schema["properties"]["kind"]["enum"][1], "Large");
        assert_eq!(schema["required"], serde_json::json!(["list"]));
    }
}
