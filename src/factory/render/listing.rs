//! What `tools/list` may weigh: schemas beyond their share are listed in short, the full ones are
//! behind `describe_operation`.

use serde_json::{Map, Value, json};

use crate::factory::cases::reachable;
use crate::factory::ir::{Mode, Package, Tool};
use crate::factory::names::prose;

/// Bytes of a list of tools that is short by itself.
const LIST_BYTES: usize = 90_000;

/// Bytes of a list that the caller wants to be long.
const LONG_LIST_BYTES: usize = 950_000;

/// Tools up to which a list is a short one.
const SHORT_LIST: usize = 40;

/// Bytes of a tool beside its schema and description.
const FRAME: usize = 500;

/// Shortest description that is worth listing.
const DESCRIPTION: usize = 160;

/// Gives tools that are too large a shorter face.
pub fn fit(package: &mut Package) {
    if package.mode == Mode::Search || package.tools.is_empty() {
        return;
    }
    let budget = if package.tools.len() <= SHORT_LIST { LIST_BYTES } else { LONG_LIST_BYTES };
    let sizes: Vec<usize> = package.tools.iter().map(|tool| size(tool, &package.defs)).collect();
    if sizes.iter().sum::<usize>() <= budget {
        return;
    }
    let share = share(&sizes, budget);
    let defs = package.defs.clone();
    for (tool, size) in package.tools.iter_mut().zip(sizes) {
        if size > share {
            shorten(tool, &defs, share);
        }
    }
}

/// The largest size that every tool may have so that all fit: what small ones leave goes to others.
fn share(sizes: &[usize], budget: usize) -> usize {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    let mut left = budget;
    let count = sorted.len();
    for (index, size) in sorted.into_iter().enumerate() {
        let equal = left / (count - index);
        if size > equal {
            return equal;
        }
        left -= size;
    }
    left
}

fn size(tool: &Tool, defs: &Map<String, Value>) -> usize {
    let shared: usize = reachable(&tool.input_schema, defs)
        .iter()
        .map(|(name, value)| name.len() + length(value))
        .sum();
    FRAME + length(&tool.input_schema) + tool.description.len() + tool.title.len() + shared
}

fn length(value: &Value) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len())
}

fn shorten(tool: &mut Tool, defs: &Map<String, Value>, share: usize) {
    let room = share.saturating_sub(FRAME + DESCRIPTION);
    let description = prose(&tool.description, DESCRIPTION);
    for depth in (1..6).rev() {
        let schema = cut(&tool.input_schema, defs, depth, depth > 2);
        if length(&schema) <= room || depth == 1 {
            tool.listed_schema = Some(schema);
            break;
        }
    }
    if let Some(schema) = &tool.listed_schema
        && length(schema) > room
    {
        tool.listed_schema = Some(bare(&tool.input_schema));
    }
    tool.listed_description = Some(format!("{description} Arguments in full: describe_operation."));
}

/// The names of the arguments with their types alone.
fn bare(schema: &Value) -> Value {
    let mut properties = Map::new();
    for (name, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let plain = value.get("type").map_or(json!({}), |kind| json!({"type": kind}));
        properties.insert(name.clone(), plain);
    }
    json!({"type": "object", "properties": properties, "required": schema.get("required").cloned().unwrap_or(json!([]))})
}

/// A schema down to a depth, references opened; what is deeper takes anything.
fn cut(schema: &Value, defs: &Map<String, Value>, depth: usize, described: bool) -> Value {
    let Value::Object(object) = schema else { return schema.clone() };
    if let Some(Value::String(reference)) = object.get("$ref") {
        let target = reference.strip_prefix("#/$defs/").and_then(|name| defs.get(name));
        return match target {
            Some(target) if depth > 0 => cut(target, defs, depth - 1, described),
            _ => json!({}),
        };
    }
    let mut result = Map::new();
    for (key, value) in object {
        let kept = match key.as_str() {
            "type" | "enum" | "const" | "required" | "format" | "default" => value.clone(),
            "description" if described => {
                Value::String(prose(value.as_str().unwrap_or_default(), 80))
            }
            "properties" if depth > 0 => Value::Object(
                value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, inner)| (name.clone(), cut(inner, defs, depth - 1, described)))
                    .collect(),
            ),
            "items" | "additionalProperties" if depth > 0 => cut(value, defs, depth - 1, described),
            "oneOf" | "anyOf" | "allOf" if depth > 0 => Value::Array(
                value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|inner| cut(inner, defs, depth - 1, described))
                    .collect(),
            ),
            _ => continue,
        };
        result.insert(key.clone(), kept);
    }
    Value::Object(result)
}
