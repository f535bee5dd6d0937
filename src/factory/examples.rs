//! Arguments that fit a schema, for the cases of a package. The same schema gives the same values.

use serde_json::{Map, Number, Value, json};

/// Depth at which optional members are left out.
const DEEP: usize = 4;

/// Depth at which nothing more is tried.
const DEEPEST: usize = 24;

/// Which members an example has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of them, as far as it stays small.
    Full,
    /// Those that are required.
    Required,
}

/// Makes examples from schemas that point to shared ones.
pub struct Examples<'a> {
    defs: &'a Map<String, Value>,
}

impl<'a> Examples<'a> {
    /// Examples over these shared schemas.
    pub const fn new(defs: &'a Map<String, Value>) -> Self {
        Self { defs }
    }

    /// A value that fits the schema, as far as its keywords can be met; `None` when they cannot.
    pub fn value(&self, schema: &Value, extent: Extent) -> Option<Value> {
        self.make(schema, extent, 0)
    }

    fn make(&self, schema: &Value, extent: Extent, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        let Value::Object(object) = schema else {
            return (schema != &Value::Bool(false)).then(|| json!("value"));
        };
        if let Some(value) = object.get("const") {
            return Some(value.clone());
        }
        if let Some(Value::Array(values)) = object.get("enum") {
            return values
                .iter()
                .find(|value| !value.is_null())
                .or_else(|| values.first())
                .cloned();
        }
        if let Some(Value::String(reference)) = object.get("$ref") {
            let target = self.defs.get(reference.strip_prefix("#/$defs/")?)?;
            // Behind a reference only what is required: cycles end, and examples stay small.
            let extent = if depth > 1 { Extent::Required } else { extent };
            return self.make(target, extent, depth + 1);
        }
        if let Some(Value::Array(branches)) = object.get("allOf") {
            return self.all_of(object, branches, extent, depth);
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(Value::Array(branches)) = object.get(key)
                && !object.contains_key("properties")
            {
                return branches
                    .iter()
                    .filter(|branch| branch.get("type") != Some(&json!("null")))
                    .find_map(|branch| self.make(branch, extent, depth + 1));
            }
        }
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(Value::Array(kinds)) => kinds
                .iter()
                .filter_map(Value::as_str)
                .find(|kind| *kind != "null")
                .unwrap_or("null"),
            _ if object.contains_key("properties")
                || object.contains_key("additionalProperties") =>
            {
                "object"
            }
            _ if object.contains_key("items") => "array",
            _ if object.contains_key("minimum") || object.contains_key("maximum") => "number",
            _ => "string",
        };
        match kind {
            "object" => self.object(object, extent, depth),
            "array" => self.array(object, extent, depth),
            "boolean" => Some(json!(true)),
            "null" => Some(Value::Null),
            "integer" => number(object, true),
            "number" => number(object, false),
            _ => Some(text(object)),
        }
    }

    fn all_of(
        &self,
        object: &Map<String, Value>,
        branches: &[Value],
        extent: Extent,
        depth: usize,
    ) -> Option<Value> {
        let mut merged = Map::new();
        let mut rest = object.clone();
        rest.shift_remove("allOf");
        let own = Value::Object(rest);
        let mut scalar = None;
        for branch in branches.iter().chain(own.get("properties").is_some().then_some(&own)) {
            match self.make(branch, extent, depth + 1)? {
                Value::Object(members) => merged.extend(members),
                other => scalar = Some(other),
            }
        }
        scalar.filter(|_| merged.is_empty()).or(Some(Value::Object(merged)))
    }

    fn object(&self, object: &Map<String, Value>, extent: Extent, depth: usize) -> Option<Value> {
        let required: Vec<&str> = object
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let mut members = Map::new();
        let empty = Map::new();
        let properties = object.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        for (name, schema) in properties {
            let is_required = required.contains(&name.as_str());
            if is_required || (extent == Extent::Full && depth < DEEP) {
                match self.make(schema, extent, depth + 1) {
                    Some(value) => {
                        members.insert(name.clone(), value);
                    }
                    None if is_required => return None,
                    None => {}
                }
            }
        }
        for name in required {
            if !properties.contains_key(name) {
                members.insert(name.to_owned(), json!("value"));
            }
        }
        // A file is given by its text or by its bytes, never by both.
        if properties.contains_key("content_base64") && properties.contains_key("text") {
            members.shift_remove("content_base64");
            members.insert("text".to_owned(), json!("content"));
            members.insert("content_type".to_owned(), json!("text/plain"));
            members.insert("filename".to_owned(), json!("file.txt"));
        }
        if members.is_empty()
            && extent == Extent::Full
            && let Some(further @ Value::Object(_)) = object.get("additionalProperties")
            && depth < DEEP
        {
            members.insert("key".to_owned(), self.make(further, extent, depth + 1)?);
        }
        let least = object.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
        let mut index = 0;
        while (members.len() as u64) < least.min(20) {
            index += 1;
            members.entry(format!("key{index}")).or_insert(json!("value"));
        }
        Some(Value::Object(members))
    }

    fn array(&self, object: &Map<String, Value>, extent: Extent, depth: usize) -> Option<Value> {
        let least = object.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(20);
        if let Some(Value::Array(items)) = object.get("prefixItems") {
            return items
                .iter()
                .map(|item| self.make(item, extent, depth + 1))
                .collect::<Option<Vec<_>>>()
                .map(Value::Array);
        }
        let nothing = json!({"type": "string"});
        let schema = object.get("items").unwrap_or(&nothing);
        let wanted = least.max(if extent == Extent::Full && depth < DEEP { 2 } else { 0 });
        let most = object.get("maxItems").and_then(Value::as_u64).unwrap_or(u64::MAX);
        let mut items: Vec<Value> = Vec::new();
        for index in 0..wanted.min(most) {
            let Some(value) = self.make(schema, extent, depth + 1) else {
                return if (items.len() as u64) < least { None } else { Some(Value::Array(items)) };
            };
            let value = varied(value, index, schema);
            if object.get("uniqueItems") == Some(&json!(true)) && items.contains(&value) {
                break;
            }
            items.push(value);
        }
        ((items.len() as u64) >= least).then_some(Value::Array(items))
    }
}

/// Another value of the same schema, where that is easy.
fn varied(value: Value, index: u64, schema: &Value) -> Value {
    if index == 0 {
        return value;
    }
    if let Some(Value::Array(values)) = schema.get("enum") {
        return values
            .iter()
            .filter(|value| !value.is_null())
            .nth(usize::try_from(index).unwrap_or(0))
            .cloned()
            .unwrap_or(value);
    }
    let free = ["pattern", "format", "maxLength", "const", "$ref", "allOf", "oneOf", "anyOf"]
        .iter()
        .all(|key| schema.get(key).is_none());
    match &value {
        Value::String(text) if free => Value::String(format!("{text} {index}")),
        _ => value,
    }
}

fn number(object: &Map<String, Value>, whole: bool) -> Option<Value> {
    let limit = |key: &str| object.get(key).and_then(Value::as_f64);
    let step = limit("multipleOf").filter(|step| *step > 0.0);
    let above = limit("exclusiveMinimum").map(|value| value + if whole { 1.0 } else { 0.5 });
    let below = limit("exclusiveMaximum").map(|value| value - if whole { 1.0 } else { 0.5 });
    let least = limit("minimum").into_iter().chain(above).reduce(f64::max);
    let most = limit("maximum").into_iter().chain(below).reduce(f64::min);
    let mut value = if whole { 7.0 } else { 1.5 };
    if let Some(most) = most {
        value = f64::min(value, most);
    }
    if let Some(least) = least {
        value = f64::max(value, least);
    }
    if whole {
        value = value.ceil();
    }
    if let Some(step) = step {
        value = (value / step).ceil() * step;
    }
    if most.is_some_and(|most| value > most) {
        value = most.unwrap_or(value);
    }
    // Beyond 2^53 a float is no integer any more.
    #[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^53")]
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Some(json!(value as i64));
    }
    Number::from_f64(value).map(Value::Number)
}

/// A text that says as much as possible about escaping: a space, a comma, a slash, a letter beyond
/// ASCII; plainer where the schema wants less.
fn text(object: &Map<String, Value>) -> Value {
    let known = match object.get("format").and_then(Value::as_str) {
        Some("date") => Some("2026-01-31"),
        Some("date-time") => Some("2026-01-31T10:20:30Z"),
        Some("time") => Some("10:20:30Z"),
        Some("duration") => Some("P1D"),
        Some("email" | "idn-email") => Some("a.user@example.com"),
        Some("uuid") => Some("123e4567-e89b-12d3-a456-426614174000"),
        Some("uri" | "url" | "iri" | "uri-reference") => Some("https://example.com/a?b=c"),
        Some("hostname" | "idn-hostname") => Some("example.com"),
        Some("ipv4" | "ip") => Some("192.0.2.1"),
        Some("ipv6") => Some("2001:db8::1"),
        Some("byte") => Some("aGVsbG8="),
        _ => None,
    };
    let least = object.get("minLength").and_then(Value::as_u64).unwrap_or(0).min(4096);
    let most = object.get("maxLength").and_then(Value::as_u64).unwrap_or(u64::MAX);
    if object.contains_key("pattern") {
        if let Some(Value::String(example)) = object.get("default") {
            return json!(example);
        }
        return json!(known.unwrap_or("abc123"));
    }
    let mut text = known.unwrap_or("a b,c/d&é").to_owned();
    while (text.chars().count() as u64) < least {
        text.push('x');
    }
    Value::String(text.chars().take(usize::try_from(most).unwrap_or(usize::MAX)).collect())
}
