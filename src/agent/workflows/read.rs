//! The file `workflows.json`, in the forms that are around: a map by name, the same below
//! `workflows`, or a list of workflows with names.

use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{Workflow, WorkflowSet};
use crate::error::{ErrorKind, ToolError};

/// Bytes of the file.
const FILE_BYTES: usize = 4 * 1024 * 1024;

/// Adds the workflows of a file.
pub(super) fn file(path: &Path, set: &mut WorkflowSet) -> Result<(), ToolError> {
    let unusable = |what: String, hint: &str| {
        ToolError::new(
            ErrorKind::Invalid,
            "invalid_workflows_file",
            format!("the file of workflows {} {what}", path.display()),
        )
        .hint(hint)
    };
    let read = || {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(std::io::Error::other("it is no file"));
        };
        Dir::open_ambient_dir(folder, ambient_authority())?.read(name)
    };
    let bytes = read().map_err(|error| {
        unusable(
            format!("cannot be read: {error}"),
            "name a readable file with `--workflows` or `ATELIER_WORKFLOWS`, or leave both out",
        )
    })?;
    if bytes.len() > FILE_BYTES {
        return Err(unusable(format!("has more than {FILE_BYTES} bytes"), "split it"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| unusable("is not UTF-8".to_owned(), "save it as UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}');
    let entries = entries(text).map_err(|problem| {
        unusable(
            format!("is no list of workflows: {problem}"),
            "write `{\"name\": {\"initial_prompt_template\": \"…\"}}`; JSON has no comments and no comma before a closing bracket",
        )
    })?;
    for (name, value) in entries {
        add(set, name, value);
    }
    Ok(())
}

fn add(set: &mut WorkflowSet, name: String, value: Value) {
    // What a file says about a name replaces everything that was known of it.
    set.workflows.remove(&name);
    if set.broken.contains_key(&name) {
        return;
    }
    if !is_name(&name) {
        set.broken
            .insert(name, "a name is made of letters, digits, `_` and `-`, at most 64".to_owned());
        return;
    }
    let workflow: Workflow = match serde_json::from_value(value) {
        Ok(workflow) => workflow,
        Err(error) => {
            set.broken.insert(name, error.to_string());
            return;
        }
    };
    let problems = workflow.problems();
    if problems.is_empty() {
        for parameter in workflow.unused() {
            set.warnings.push(format!("workflow `{name}`: no template uses `{parameter}`"));
        }
        set.workflows.insert(name, workflow);
    } else {
        set.broken.insert(name, problems.join("; "));
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// The workflows of a file with their names.
fn entries(text: &str) -> Result<Vec<(String, Value)>, String> {
    let place = |error: &serde_json::Error| format!("{error}");
    if text.trim_start().starts_with('[') {
        let list: Vec<Value> = serde_json::from_str(text).map_err(|error| place(&error))?;
        return list
            .into_iter()
            .enumerate()
            .map(|(index, value)| match value.get("name").and_then(Value::as_str) {
                Some(name) => Ok((name.to_owned(), value)),
                None => Err(format!("entry {} has no `name`", index + 1)),
            })
            .collect::<Result<Vec<_>, _>>()
            .and_then(once);
    }
    let Pairs(pairs) = serde_json::from_str(text).map_err(|error| place(&error))?;
    match pairs.as_slice() {
        [(key, inner)] if key == "workflows" => entries(&inner.to_string()),
        _ => once(pairs),
    }
}

/// Every name stands once.
fn once(pairs: Vec<(String, Value)>) -> Result<Vec<(String, Value)>, String> {
    let mut names = std::collections::HashSet::new();
    for (name, _) in &pairs {
        if !names.insert(name.clone()) {
            return Err(format!("the name `{name}` stands twice"));
        }
    }
    Ok(pairs)
}

/// The keys of an object with their values, repeated ones included.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("workflows by name, or a list of them")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
