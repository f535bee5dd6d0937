//! `@@ref_<call_id>__<path>`: a string argument that stands for a value of an earlier result.
//!
//! A reference is a whole string. `__` separates keys and list indexes; the longest key that
//! exists is taken first, so keys that contain `__` stay reachable. A first segment
//! `<tool>_response` is accepted and skipped. Inserted values are not scanned again.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::validation::json_bytes;
use crate::error::{ErrorKind, ToolError};
use crate::storage::blobs::Blobs;
use crate::storage::{CallId, CallRecord, Catalog, PrincipalId};

/// How many keys of a value an error lists.
const LISTED: usize = 20;
/// Bytes of a path; a longer one names nothing that a tool returns.
const MAX_PATH: usize = 1_000;
/// Depth of arguments that is searched; deeper ones are refused by the JSON parser anyway.
const MAX_DEPTH: usize = 100;

/// A parsed reference.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reference {
    call_id: CallId,
    path: String,
}

impl Reference {
    /// Reads a reference; `None` when the string is not one as a whole.
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("@@ref_")?;
        let (id, path) = rest.split_at_checked(8)?;
        let path = path.strip_prefix("__")?;
        let hex = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        (hex && !path.is_empty())
            .then(|| Self { call_id: CallId(id.to_ascii_lowercase()), path: path.to_owned() })
    }
}

/// Replaces the references in the arguments of one call.
pub(super) struct Resolver<'a> {
    pub(super) catalog: &'a dyn Catalog,
    pub(super) blobs: &'a Blobs,
    pub(super) principal: &'a PrincipalId,
    /// Bytes that all inserted values may have together.
    pub(super) bytes: usize,
}

impl Resolver<'_> {
    /// Replaces every reference, at any depth.
    ///
    /// # Errors
    /// `unknown_reference` when an id or path does not exist; it lists what does.
    pub(super) async fn resolve(
        &self,
        mut arguments: Value,
        schema: &Value,
    ) -> Result<Value, ToolError> {
        let mut references = Vec::new();
        collect(&arguments, 0, &mut references);
        if references.is_empty() {
            return Ok(arguments);
        }
        let mut results: HashMap<CallId, (CallRecord, Value)> = HashMap::new();
        for reference in &references {
            if reference.path.len() > MAX_PATH {
                return Err(unknown(format!(
                    "a reference to call `{}` has a path of {} bytes",
                    reference.call_id,
                    reference.path.len()
                ))
                .hint("take the path from an earlier result: keys and list indexes, separated by `__`"));
            }
            if !results.contains_key(&reference.call_id) {
                let loaded = self.load(&reference.call_id).await?;
                results.insert(reference.call_id.clone(), loaded);
            }
        }
        let mut replacement = Replacement { results: &results, left: self.bytes };
        replacement.replace(&mut arguments, Some(schema), 0)?;
        Ok(arguments)
    }

    /// The whole result of a call.
    ///
    /// # Errors
    /// `unknown_reference` with what there is; the store's.
    pub(super) async fn result(&self, id: &CallId) -> Result<Value, ToolError> {
        self.load(id).await.map(|(_, value)| value)
    }

    async fn load(&self, id: &CallId) -> Result<(CallRecord, Value), ToolError> {
        let Some(record) = self.catalog.call(self.principal, id).await? else {
            let recent = self.catalog.recent_calls(self.principal, 10).await?;
            let known: Vec<Value> = recent
                .iter()
                .map(|call| json!({"call_id": call.id.as_str(), "tool": call.tool}))
                .collect();
            return Err(unknown(format!("there is no result with call_id `{id}`"))
                .hint("use the call_id of an earlier result; references expire and belong to one user")
                .detail("known_calls", Value::Array(known)));
        };
        let Some(sha) = &record.result_sha else {
            return Err(ToolError::new(
                ErrorKind::Conflict,
                "reference_not_ready",
                format!("call `{id}` of `{}` has no result yet", record.tool),
            )
            .hint("wait for it with get_job, or submit its completion, then repeat this call"));
        };
        let value = match &record.result {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| ToolError::internal(&format!("call {id}: {error}")))?,
            None => self.blobs.get_json(sha).await?,
        };
        Ok((record, value))
    }
}

/// Lets arguments without references through as they are.
///
/// # Errors
/// `reference_not_allowed` when there is one.
pub(super) fn refuse(arguments: Value) -> Result<Value, ToolError> {
    let mut references = Vec::new();
    collect(&arguments, 0, &mut references);
    if references.is_empty() {
        return Ok(arguments);
    }
    Err(ToolError::new(
        ErrorKind::Denied,
        "reference_not_allowed",
        "a page cannot use references to earlier results",
    )
    .hint("pass the value itself"))
}

fn collect(value: &Value, depth: usize, found: &mut Vec<Reference>) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::String(text) => found.extend(Reference::parse(text)),
        Value::Array(items) => items.iter().for_each(|item| collect(item, depth + 1, found)),
        Value::Object(object) => {
            object.values().for_each(|item| collect(item, depth + 1, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Puts values in place of references, within a budget: one small argument list could name a large
/// value any number of times.
struct Replacement<'a> {
    results: &'a HashMap<CallId, (CallRecord, Value)>,
    left: usize,
}

impl Replacement<'_> {
    fn replace(
        &mut self,
        value: &mut Value,
        schema: Option<&Value>,
        depth: usize,
    ) -> Result<(), ToolError> {
        if depth > MAX_DEPTH {
            return Ok(());
        }
        match value {
            Value::String(text) => {
                let Some(reference) = Reference::parse(text) else { return Ok(()) };
                let Some((record, result)) = self.results.get(&reference.call_id) else {
                    return Ok(());
                };
                let found = look_up(result, &reference.path, &record.tool)
                    .ok_or_else(|| no_such_path(&reference, record, result))?;
                self.left = self.left.checked_sub(json_bytes(found)).ok_or_else(too_large)?;
                let wants_text = schema
                    .and_then(|schema| schema.get("type"))
                    .and_then(Value::as_str)
                    .is_some_and(|kind| kind == "string");
                *value = match found {
                    Value::String(text) => Value::String(text.clone()),
                    other if wants_text => Value::String(other.to_string()),
                    other => other.clone(),
                };
            }
            Value::Array(items) => {
                let schema = schema.and_then(|schema| schema.get("items"));
                for item in items {
                    self.replace(item, schema, depth + 1)?;
                }
            }
            Value::Object(object) => {
                for (key, item) in object {
                    let schema = schema
                        .and_then(|schema| schema.get("properties"))
                        .and_then(|properties| properties.get(key.as_str()));
                    self.replace(item, schema, depth + 1)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        Ok(())
    }
}

fn too_large() -> ToolError {
    ToolError::new(
        ErrorKind::Limit,
        "arguments_too_large",
        "the values behind the references are too large together",
    )
    .hint("refer to smaller parts of the results, or to fewer of them")
}

/// Finds a path in a result; a first segment `<tool>_response` may stand before it.
fn look_up<'a>(result: &'a Value, path: &str, tool: &str) -> Option<&'a Value> {
    if let Some(found) = descend(result, path) {
        return Some(found);
    }
    match path.split_once("__") {
        Some((first, rest)) if is_response(first, tool) => descend(result, rest),
        None if is_response(path, tool) => Some(result),
        _ => None,
    }
}

fn is_response(segment: &str, tool: &str) -> bool {
    segment.strip_suffix("_response").is_some_and(|name| name == tool || !name.is_empty())
}

/// Goes down a path, trying the longest key first and shorter ones when that leads nowhere.
fn descend<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if path.is_empty() {
        return Some(value);
    }
    // Overlapping ones too: a key may end with an underscore.
    let mut ends: Vec<usize> = path
        .as_bytes()
        .windows(2)
        .enumerate()
        .filter_map(|(index, pair)| (pair == b"__").then_some(index))
        .collect();
    ends.push(path.len());
    for end in ends.into_iter().rev() {
        let (key, rest) = path.split_at(end);
        let rest = rest.strip_prefix("__").unwrap_or(rest);
        let child = match value {
            Value::Object(object) => object.get(key),
            Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        };
        if let Some(found) = child.and_then(|child| descend(child, rest)) {
            return Some(found);
        }
    }
    None
}

fn no_such_path(reference: &Reference, record: &CallRecord, result: &Value) -> ToolError {
    // Name what is there at the deepest point that the path reaches.
    let mut here = result;
    let mut reached = Vec::new();
    for segment in reference.path.split("__") {
        match descend(here, segment) {
            Some(next) => {
                here = next;
                reached.push(segment);
            }
            None if reached.is_empty() && is_response(segment, &record.tool) => {}
            None => break,
        }
    }
    let holds = match here {
        Value::Object(object) => object.keys().take(LISTED).map(|key| json!(key)).collect(),
        Value::Array(items) if items.is_empty() => vec![json!("an empty list")],
        Value::Array(items) => vec![json!(format!("indexes 0 to {}", items.len() - 1))],
        Value::String(_) => vec![json!("a text")],
        Value::Null | Value::Bool(_) | Value::Number(_) => vec![here.clone()],
    };
    let place = if reached.is_empty() {
        format!("the result of `{}`", record.tool)
    } else {
        format!("`{}`", reached.join("__"))
    };
    unknown(format!(
        "the result of call `{}` has nothing at `{}`",
        reference.call_id, reference.path
    ))
    .hint(format!("`holds` lists what is in {place}"))
    .detail("holds", Value::Array(holds))
}

fn unknown(message: String) -> ToolError {
    ToolError::not_found("unknown_reference", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> CallRecord {
        CallRecord {
            id: CallId("0a1b2c3d".into()),
            tool: "list_web_apps".into(),
            result_sha: None,
            result: None,
            created_at: 0,
        }
    }

    fn resolved(mut arguments: Value, schema: &Value, result: Value) -> Result<Value, ToolError> {
        let results = HashMap::from([(CallId("0a1b2c3d".into()), (record(), result))]);
        let mut replacement = Replacement { results: &results, left: 1_000_000 };
        replacement.replace(&mut arguments, Some(schema), 0)?;
        Ok(arguments)
    }

    #[test]
    fn whole_strings_only() {
        assert!(Reference::parse("@@ref_0a1b2c3d__url").is_some());
        assert_eq!(
            Reference::parse("@@ref_0A1B2C3D__url").map(|reference| reference.call_id.0),
            Some("0a1b2c3d".into())
        );
        for text in [
            "see @@ref_0a1b2c3d__url",
            "@@ref_0a1b2c3d",
            "@@ref_0a1b2c3d__",
            "@@ref_0a1b2c__url",
            "@@ref_0a1b2c3g__url",
            "@@ref_é1b2c3d__url",
        ] {
            assert_eq!(Reference::parse(text), None, "{text}");
        }
    }

    #[test]
    fn any_depth_and_any_type() {
        let result = json!({"web_apps": [{"url": "u", "n": 3}], "a__b": {"c": true}});
        let schema = json!({"properties": {"text": {"type": "string"}}});
        let arguments = json!({
            "deep": [{"x": "@@ref_0a1b2c3d__web_apps__0__url"}],
            "text": "@@ref_0a1b2c3d__web_apps__0__n",
            "any": "@@ref_0a1b2c3d__web_apps__0",
            "underscores": "@@ref_0a1b2c3d__a__b__c",
            "prefixed": "@@ref_0a1b2c3d__list_web_apps_response__web_apps__0__n",
        });
        assert_eq!(
            resolved(arguments, &schema, result).unwrap(),
            json!({
                "deep": [{"x": "u"}],
                "text": "3",
                "any": {"url": "u", "n": 3},
                "underscores": true,
                "prefixed": 3,
            })
        );
    }

    #[test]
    fn a_wrong_path_lists_what_is_there() {
        let result = json!({"web_apps": [{"url": "u"}], "status": "success"});
        let arguments = json!({"x": "@@ref_0a1b2c3d__web_apps__0__link"});
        let error = resolved(arguments, &json!({}), result.clone()).unwrap_err();
        assert_eq!(error.code, "unknown_reference");
        assert_eq!(error.details["holds"], json!(["url"]));
        let arguments = json!({"x": "@@ref_0a1b2c3d__nothing"});
        let error = resolved(arguments, &json!({}), result).unwrap_err();
        assert_eq!(error.details["holds"], json!(["web_apps", "status"]));
    }

    #[test]
    fn a_large_value_cannot_be_named_again_and_again() {
        let result = json!({"text": "x".repeat(100_000)});
        let once = json!(["@@ref_0a1b2c3d__text"]);
        assert!(resolved(once, &json!({}), result.clone()).is_ok());
        let often = json!(vec!["@@ref_0a1b2c3d__text"; 100]);
        let error = resolved(often, &json!({}), result).unwrap_err();
        assert_eq!(error.code, "arguments_too_large");
    }

    #[test]
    fn inserted_values_are_not_scanned_again() {
        let result = json!({"text": "@@ref_0a1b2c3d__text"});
        let arguments = json!({"x": "@@ref_0a1b2c3d__text"});
        assert_eq!(
            resolved(arguments, &json!({}), result).unwrap(),
            json!({"x": "@@ref_0a1b2c3d__text"})
        );
    }

    proptest! {
        #[test]
        fn every_key_is_reachable(keys in prop::collection::vec("[a-z_]{1,6}", 1..4), leaf in 0..1000_i64) {
            let mut value = json!(leaf);
            for key in keys.iter().rev() {
                value = json!({key.as_str(): value});
            }
            let path = keys.join("__");
            prop_assert_eq!(descend(&value, &path), Some(&json!(leaf)));
        }

        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = Reference::parse(&text);
            let _ = Reference::parse(&format!("@@ref_{text}"));
        }
    }
}
