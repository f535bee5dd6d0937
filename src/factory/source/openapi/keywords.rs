//! Keywords of JSON Schema by what stands behind them.

use serde_json::{Map, Value};

use crate::factory::names::prose;

/// Types of JSON Schema.
pub(super) const TYPES: [&str; 7] =
    ["null", "boolean", "object", "array", "number", "string", "integer"];

/// Keywords whose value is a schema.
pub(super) const SCHEMA: [&str; 9] = [
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedProperties",
];

/// Keywords whose value is a list of schemas.
pub(super) const LISTS: [&str; 3] = ["oneOf", "anyOf", "prefixItems"];

/// Keywords whose value is a map of schemas.
pub(super) const MAPS: [&str; 2] = ["patternProperties", "dependentSchemas"];

/// Keywords that are copied.
pub(super) const COPIED: [&str; 19] = [
    "title",
    "enum",
    "const",
    "default",
    "format",
    "multipleOf",
    "maximum",
    "minimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "contentEncoding",
    "contentMediaType",
    "dependentRequired",
];

/// Whether a keyword beside a reference says more than a limit or a word about it.
pub(super) fn is_structural(key: &str) -> bool {
    matches!(key, "type" | "properties" | "required" | "allOf")
        || SCHEMA.contains(&key)
        || LISTS.contains(&key)
        || MAPS.contains(&key)
}

/// The words by which a discriminator chooses: those of its mapping, else the names of the schemas.
pub(super) fn variants(object: &Map<String, Value>) -> String {
    const SHOWN: usize = 20;
    let mapping = object.get("discriminator").and_then(|value| value.get("mapping"));
    let words: Vec<&str> = match mapping.and_then(Value::as_object) {
        Some(mapping) if !mapping.is_empty() => mapping.keys().map(String::as_str).collect(),
        _ => ["oneOf", "anyOf"]
            .iter()
            .filter_map(|key| object.get(*key)?.as_array())
            .flatten()
            .filter_map(|branch| branch.get("$ref")?.as_str()?.rsplit('/').next())
            .collect(),
    };
    let shown: Vec<String> =
        words.iter().take(SHOWN).map(|word| format!("`{}`", prose(word, 60))).collect();
    let more = if words.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}
