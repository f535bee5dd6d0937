//! What an operation answers, in a few words: clients refuse answers that do not fit a schema that
//! they were told, and APIs deviate from their word, so a list of tools says it in its descriptions.

use serde_json::{Map, Value};

use crate::factory::names::prose;

/// Names of properties that are told.
const NAMES: usize = 12;
/// Longest text.
const LENGTH: usize = 200;
/// References and branches that are followed.
const STEPS: usize = 8;

/// The shape of the first successful answer that has one.
pub(super) fn shape(responses: &Map<String, Value>, defs: &Map<String, Value>) -> Option<String> {
    let mut statuses: Vec<&String> =
        responses.keys().filter(|status| status.starts_with('2')).collect();
    statuses.sort();
    let schema = statuses.into_iter().find_map(|status| responses.get(status)?.get("schema"))?;
    let text = of(schema, defs, STEPS)?;
    Some(format!("Answers {}.", prose(&text, LENGTH)))
}

fn of(schema: &Value, defs: &Map<String, Value>, steps: usize) -> Option<String> {
    let steps = steps.checked_sub(1)?;
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return of(defs.get(name.strip_prefix("#/$defs/")?)?, defs, steps);
    }
    if let Some(Value::Object(properties)) = schema.get("properties")
        && !properties.is_empty()
    {
        let names: Vec<&str> = properties.keys().map(String::as_str).take(NAMES).collect();
        let more = if properties.len() > NAMES { ", …" } else { "" };
        return Some(format!("{{{}{more}}}", names.join(", ")));
    }
    if let Some(items) = schema.get("items") {
        return Some(
            of(items, defs, steps).map_or_else(|| "a list".to_owned(), |one| format!("[{one}]")),
        );
    }
    for key in ["allOf", "oneOf", "anyOf"] {
        let branches = schema.get(key).and_then(Value::as_array).into_iter().flatten();
        if let Some(found) = branches.into_iter().find_map(|branch| of(branch, defs, steps)) {
            return Some(found);
        }
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => Some("an object".to_owned()),
        Some(word @ ("string" | "number" | "integer" | "boolean")) => Some(word.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shapes_are_told_in_a_few_words() {
        let defs = json!({
            "Pet": {"type": "object", "properties": {"id": {}, "name": {}}},
            "Loop": {"$ref": "#/$defs/Loop"},
            "Wide": {"properties": (0..20).map(|n| (format!("p{n}"), json!({}))).collect::<Map<_, _>>()},
        });
        let told = |schema: Value| {
            let responses =
                json!({"404": {"schema": {"type": "string"}}, "200": {"schema": schema}});
            shape(responses.as_object().unwrap(), defs.as_object().unwrap())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told(json!({"$ref": "#/$defs/Pet"})), some("Answers {id, name}."));
        let list = json!({"type": "array", "items": {"$ref": "#/$defs/Pet"}});
        assert_eq!(told(list), some("Answers [{id, name}]."));
        assert_eq!(told(json!({"oneOf": [{}, {"type": "string"}]})), some("Answers string."));
        assert_eq!(told(json!({"$ref": "#/$defs/Loop"})), None);
        assert_eq!(told(json!({})), None);
        let wide = told(json!({"$ref": "#/$defs/Wide"})).unwrap();
        assert!(wide.ends_with("p11, …}."), "{wide}");
    }
}
