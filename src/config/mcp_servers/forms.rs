//! Where in a document the servers stand.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What was found.
#[derive(Debug)]
pub(super) struct Found {
    /// Name and entry, in the order of the file.
    pub(super) entries: Vec<(String, Value)>,
    /// VS Code's inputs, by id, with their default where they have one.
    pub(super) inputs: BTreeMap<String, Option<String>>,
}

/// Keys of an entry: a map whose values have one of them is a map of servers.
const MARKS: [&str; 4] = ["command", "cmd", "url", "uri"];

/// Finds the servers of a document.
///
/// # Errors
/// In words, when there are none to be found.
pub(super) fn entries(document: &Value) -> Result<Found, String> {
    let inputs = inputs(document.get("inputs"));
    let found = |entries| Ok(Found { entries, inputs });
    match document {
        Value::Array(items) => found(listed(items)?),
        Value::Object(object) => {
            // VS Code keeps the same below `mcp` in its settings; a key may be written with a dot.
            let inner = object.get("mcp").and_then(Value::as_object);
            for (holder, key) in [
                (Some(object), "mcpServers"),
                (Some(object), "mcp_servers"),
                (Some(object), "servers"),
                (Some(object), "mcp.servers"),
                (inner, "servers"),
                (Some(object), "extensions"),
            ] {
                if let Some(value) = holder.and_then(|holder| holder.get(key)) {
                    return match value {
                        Value::Object(servers) => found(pairs(servers)),
                        Value::Array(items) => found(listed(items)?),
                        Value::Null => found(Vec::new()),
                        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                            Err(format!("`{key}` is no object of servers"))
                        }
                    };
                }
            }
            let looks_bare = object.values().any(|value| {
                value.as_object().is_some_and(|entry| MARKS.iter().any(|m| entry.contains_key(*m)))
            });
            if object.is_empty() || looks_bare {
                return found(pairs(object));
            }
            Err("no servers are named: there is no key `mcpServers`".to_owned())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            Err("the file holds no JSON object".to_owned())
        }
    }
}

fn pairs(servers: &Map<String, Value>) -> Vec<(String, Value)> {
    servers.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// A list of servers that carry their name, as goose writes it.
fn listed(items: &[Value]) -> Result<Vec<(String, Value)>, String> {
    items
        .iter()
        .enumerate()
        .map(|(index, item)| match item.get("name").and_then(Value::as_str) {
            Some(name) => Ok((name.to_owned(), item.clone())),
            None => Err(format!("server {} of the list has no `name`", index + 1)),
        })
        .collect()
}

fn inputs(value: Option<&Value>) -> BTreeMap<String, Option<String>> {
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| {
            let id = item.get("id")?.as_str()?.to_owned();
            Some((id, item.get("default").and_then(Value::as_str).map(str::to_owned)))
        })
        .collect()
}
