//! Which keys exist, derived from the section structs, and how a text becomes a value of them.

use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::Config;

/// All keys with their defaults. An object without keys is a map whose names are free.
#[derive(Debug)]
pub(super) struct Schema {
    defaults: Json,
}

/// What a path of the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A section with keys of its own.
    Section,
    /// A value.
    Value,
}

impl Schema {
    pub(super) fn new() -> Self {
        Self { defaults: serde_json::to_value(Config::default()).unwrap_or_default() }
    }

    /// What the path names; `None`: nothing.
    pub(super) fn kind(&self, path: &[String]) -> Option<Kind> {
        self.lookup(path).map(|value| match value {
            Json::Object(keys) if !keys.is_empty() => Kind::Section,
            _ => Kind::Value,
        })
    }

    /// Whether the path names an entry of a map whose names are free, such as `factory.variables`.
    pub(super) fn is_free(&self, path: &[String]) -> bool {
        path.split_last().is_some_and(|(_, parents)| {
            !parents.is_empty()
                && matches!(self.lookup(parents), Some(Json::Object(keys)) if keys.is_empty())
        })
    }

    /// All paths of values, in order.
    pub(super) fn value_paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        collect_paths(&self.defaults, &mut Vec::new(), &mut paths);
        paths
    }

    /// The sibling keys of a path that names nothing, nearest first.
    pub(super) fn nearest(&self, path: &[String]) -> Vec<String> {
        let Some((last, parents)) = path.split_last() else { return Vec::new() };
        let Some(Json::Object(siblings)) = self.lookup(parents) else { return Vec::new() };
        let mut names: Vec<String> = siblings.keys().cloned().collect();
        names.sort_by_key(|name| strsim::damerau_levenshtein(name, last));
        names
    }

    /// How a value of this path is written, for hints.
    pub(super) fn example(&self, path: &[String]) -> String {
        match self.lookup(path) {
            Some(Json::Bool(_)) => "write `true` or `false`".to_owned(),
            Some(Json::Number(number)) => format!("write a number such as {number}"),
            Some(Json::Array(_)) => {
                "write a list: `[\"a\", \"b\"]` in the file, `a,b` in a variable".to_owned()
            }
            Some(Json::String(text)) if !text.is_empty() => format!("write it like `{text}`"),
            Some(Json::Object(_) | Json::String(_) | Json::Null) | None => {
                "docs/OPERATIONS.md and atelier.example.toml show how it is written".to_owned()
            }
        }
    }

    /// Whether the section structs take this value at this path.
    pub(super) fn accepts(path: &[String], value: &Value) -> Result<(), String> {
        let mut nested = value.clone();
        for key in path.iter().rev() {
            nested = Value::Table(Table::from_iter([(key.clone(), nested)]));
        }
        match Config::deserialize(nested) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.message().to_owned()),
        }
    }

    /// Reads a text as the type that the section struct has at this path.
    pub(super) fn parse(&self, path: &[String], text: &str) -> Result<Value, String> {
        // Lists of folders are written like the PATH.
        let separator =
            if path.last().is_some_and(|key| key == "allowed_roots") { ':' } else { ',' };
        let as_list = || {
            let parts = text.split(separator).map(str::trim).filter(|part| !part.is_empty());
            Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
        };
        let mut candidates = vec![Value::String(text.to_owned())];
        candidates.extend(inline_toml(text));
        if matches!(self.lookup(path), Some(Json::Array(_))) {
            candidates.push(as_list());
        }
        let mut refusal = String::new();
        for candidate in candidates {
            match Self::accepts(path, &candidate) {
                Ok(()) => return Ok(candidate),
                Err(message) => refusal = message,
            }
        }
        Err(refusal)
    }

    fn lookup(&self, path: &[String]) -> Option<&Json> {
        path.iter().try_fold(&self.defaults, |value, key| value.get(key))
    }
}

/// Whether a value of this path is never to be shown, not even inside an error.
pub(super) fn is_secret(path: &[String]) -> bool {
    path.last().is_some_and(|key| key.ends_with("_api_key") || key == "https_proxy")
        || path.iter().any(|key| key == "tokens")
        || path.starts_with(&["factory".to_owned(), "variables".to_owned()])
}

fn inline_toml(text: &str) -> Option<Value> {
    toml::from_str::<Table>(&format!("value = {text}")).ok()?.remove("value")
}

fn collect_paths(value: &Json, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    match value {
        Json::Object(keys) if prefix.is_empty() || !keys.is_empty() => {
            for (key, value) in keys {
                prefix.push(key.clone());
                collect_paths(value, prefix, paths);
                prefix.pop();
            }
        }
        _ => paths.push(prefix.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn texts_take_the_type_of_their_key() {
        let schema = Schema::new();
        let parse = |key: &str, text: &str| schema.parse(&path(key), text);
        assert_eq!(parse("server.read_only", "true"), Ok(Value::Boolean(true)));
        assert_eq!(parse("limits.concurrent_calls", "4"), Ok(Value::Integer(4)));
        assert_eq!(parse("limits.answer_budget_s", "0.5"), Ok(Value::Float(0.5)));
        assert_eq!(parse("llm.default_model", "42"), Ok(Value::String("42".into())));
        assert_eq!(
            parse("server.toolsets", "documents, jobs"),
            Ok(Value::Array(vec!["documents".into(), "jobs".into()]))
        );
        assert!(parse("server.read_only", "yes").is_err());
        assert!(parse("limits.concurrent_calls", "-1").is_err());
    }

    #[test]
    fn keys_come_from_the_structs() {
        let schema = Schema::new();
        assert!(schema.is_free(&path("factory.variables.token")));
        assert!(!schema.is_free(&path("factory.token")) && !schema.is_free(&path("token")));
        assert_eq!(schema.kind(&path("llm.timeouts")), Some(Kind::Section));
        assert_eq!(schema.kind(&path("llm.commands")), Some(Kind::Value));
        assert_eq!(schema.kind(&path("llm.nothing")), None);
        assert_eq!(
            schema.nearest(&path("server.lisen")).first().map(String::as_str),
            Some("listen")
        );
    }
}
