//! Reads JSON objects as people and models write them, and collects what is wrong with all of it.

use std::cell::RefCell;

use serde_json::{Map, Value};

use super::Problem;
use crate::elixir::names;

/// Most problems that are reported at once.
const PROBLEMS: usize = 20;

/// What is wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(super) fn add(&self, place: &str, message: impl Into<String>, fix: impl Into<String>) {
        let mut problems = self.0.borrow_mut();
        if problems.len() < PROBLEMS {
            problems.push(Problem {
                place: place.to_owned(),
                message: message.into(),
                fix: fix.into(),
            });
        }
    }

    pub(super) fn take(&self) -> Vec<Problem> {
        self.0.take()
    }
}

/// An object, where it stands, and which of its keys were asked for.
pub(super) struct Object<'a> {
    map: &'a Map<String, Value>,
    pub(super) place: String,
    problems: &'a Problems,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Object<'a> {
    pub(super) fn new(map: &'a Map<String, Value>, place: String, problems: &'a Problems) -> Self {
        Self { map, place, problems, asked: RefCell::default() }
    }

    pub(super) fn problem(&self, message: impl Into<String>, fix: impl Into<String>) {
        self.problems.add(&self.place, message, fix);
    }

    pub(super) fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// A value that is there and not null.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// The value of the first of these names that is there.
    pub(super) fn any(&self, keys: &[&'static str]) -> Option<&'a Value> {
        let found: Vec<_> = keys.iter().filter_map(|key| self.value(key)).collect();
        found.first().copied()
    }

    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        self.any_text(&[key])
    }

    pub(super) fn any_text(&self, keys: &[&'static str]) -> Option<String> {
        let value = self.any(keys)?;
        match value {
            Value::String(text) if text.trim().is_empty() => None,
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            other => {
                self.wrong(keys, other, "a text");
                None
            }
        }
    }

    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let read = match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" => Some(true),
                "false" | "no" => Some(false),
                _ => None,
            },
            _ => None,
        };
        if read.is_none() {
            self.wrong(&[key], value, "true or false");
        }
        read
    }

    pub(super) fn integer(&self, key: &'static str) -> Option<i64> {
        let value = self.value(key)?;
        let read = match value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        if read.is_none() {
            self.wrong(&[key], value, "a whole number");
        }
        read
    }

    /// A list; one value alone counts as a list of one.
    pub(super) fn list(&self, key: &'static str) -> &'a [Value] {
        match self.value(key) {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(single) => std::slice::from_ref(single),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, key: &'static str) -> Vec<String> {
        self.list(key)
            .iter()
            .filter_map(|item| match item {
                Value::String(text) => Some(text.trim().to_owned()),
                other => {
                    self.wrong(&[key], other, "a list of texts");
                    None
                }
            })
            .collect()
    }

    /// An identifier: a field, table or column.
    pub(super) fn identifier(&self, key: &'static str) -> Option<String> {
        let name = self.text(key)?;
        if names::is_identifier(&name) {
            Some(name)
        } else {
            self.problem(
                format!("`{key}` is {}: no name that Elixir and the database share", shown(&name)),
                format!("write `{}`", names::proposed_identifier(&name)),
            );
            None
        }
    }

    pub(super) fn wrong(&self, keys: &[&'static str], value: &Value, wanted: &str) {
        let key = keys.first().copied().unwrap_or_default();
        let written = shown(&value.to_string());
        self.problem(format!("`{key}` is {written}"), format!("write {wanted}"));
    }

    /// Names the keys that nothing asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for key in self.map.keys().filter(|key| !asked.contains(&key.as_str())) {
            let fix = names::nearest(key, asked.iter().copied()).map_or_else(
                || format!("remove it; known are {}", asked.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.problem(format!("the key {} is unknown", shown(key)), fix);
        }
    }
}

/// A given text for a message: short, on one line, and nothing that a terminal obeys.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().count() > 60 {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// As [`shown`], without the marks around it.
pub(crate) fn shown_bare(text: &str) -> String {
    shown(text).trim_matches('`').to_owned()
}
