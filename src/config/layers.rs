//! The layers of the configuration: what each of them sets, and where it says so.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::environment::Environment;
use super::schema::{Kind, Schema, is_secret};
use super::source::{Problem, Source};

/// One value that a layer sets.
#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    pub(super) source: Source,
}

/// What a layer sets, and what is wrong in it.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) assignments: Vec<Assignment>,
    pub(super) problems: Vec<Problem>,
}

/// Variables that other programs share with this one, in rising priority for the same key.
const SHARED_VARIABLES: [(&str, &str); 18] = [
    ("GOOGLE_API_KEY", "llm.gemini_api_key"),
    ("GEMINI_API_KEY", "llm.gemini_api_key"),
    ("ANTHROPIC_API_KEY", "llm.anthropic_api_key"),
    ("OPENAI_API_KEY", "llm.openai_api_key"),
    ("OPENROUTER_API_KEY", "llm.openrouter_api_key"),
    ("GEMINI_BASE_URL", "llm.gemini_base_url"),
    ("ANTHROPIC_BASE_URL", "llm.anthropic_base_url"),
    ("OPENAI_BASE_URL", "llm.openai_base_url"),
    ("OPENROUTER_BASE_URL", "llm.openrouter_base_url"),
    ("OLLAMA_HOST", "llm.ollama_base_url"),
    ("HTTPS_PROXY", "llm.https_proxy"),
    ("https_proxy", "llm.https_proxy"),
    ("NO_PROXY", "llm.no_proxy"),
    ("no_proxy", "llm.no_proxy"),
    ("TAVILY_API_KEY", "factory.tavily_api_key"),
    ("TAVILY_BASE_URL", "factory.tavily_base_url"),
    ("ATELIER_DATA_DIR", "storage.data_dir"),
    ("ATELIER_PUBLIC_BASE_URL", "server.public_base_url"),
];

/// Short names of our own, besides those of [`SHARED_VARIABLES`].
const SHORT_VARIABLES: [(&str, &str); 3] = [
    ("ATELIER_LOG", "log.level"),
    ("ATELIER_WORKFLOWS", "agent.workflows"),
    ("ATELIER_MCP_SERVERS", "catalog.servers_file"),
];

const PREFIX: &str = "ATELIER_";

impl Layer {
    /// What a configuration file sets.
    pub(super) fn file(schema: &Schema, path: &Path, text: &str) -> Self {
        let mut layer = Self::default();
        let place = |offset: usize| Source::File {
            path: path.to_owned(),
            line: text.get(..offset).unwrap_or(text).matches('\n').count() + 1,
        };
        let (spans, values) = match (DeTable::parse(text), toml::from_str::<Table>(text)) {
            (Ok(spans), Ok(values)) => (spans, values),
            (Err(error), _) | (_, Err(error)) => {
                let offset = error.span().map_or(0, |span| span.start);
                // Only the message: the whole error quotes the line, which may hold a secret.
                layer.problems.push(Problem::new(
                    place(offset),
                    format!("this is no valid TOML: {}", error.message()),
                    "correct the line; texts stand in double quotes, sections in `[brackets]`",
                ));
                return layer;
            }
        };
        layer.table(schema, &place, spans.get_ref(), &values, &mut Vec::new());
        layer
    }

    fn table(
        &mut self,
        schema: &Schema,
        place: &dyn Fn(usize) -> Source,
        spans: &DeTable<'_>,
        values: &Table,
        prefix: &mut Vec<String>,
    ) {
        for (key, span) in spans {
            let Some(value) = values.get(key.get_ref().as_ref()) else { continue };
            let source = place(key.span().start);
            prefix.push(key.get_ref().to_string());
            match (schema.kind(prefix), span.get_ref(), value) {
                (Some(Kind::Section), DeValue::Table(spans), Value::Table(values)) => {
                    self.table(schema, place, spans, values, prefix);
                }
                (Some(Kind::Section), _, _) => self.problems.push(Problem::new(
                    &source,
                    format!("`{}` is a section, not a value", prefix.join(".")),
                    format!("write `[{}]` and its keys below", prefix.join(".")),
                )),
                (Some(Kind::Value), _, value) => match Schema::accepts(prefix, value) {
                    Ok(()) => self.set(prefix.clone(), value.clone(), source),
                    Err(message) => self.refuse(schema, prefix, &source, &message),
                },
                (None, _, _) => self.problems.push(Problem::new(
                    &source,
                    format!("unknown key `{}`", prefix.join(".")),
                    suggestion(schema, prefix, |path| path.join(".")),
                )),
            }
            prefix.pop();
        }
    }

    /// What variables set; `source` says where a variable of this name stands.
    pub(super) fn variables(
        schema: &Schema,
        environment: &Environment,
        source: &dyn Fn(&str) -> Source,
    ) -> Self {
        let mut layer = Self::default();
        for (name, key) in SHARED_VARIABLES.into_iter().chain(SHORT_VARIABLES) {
            if let Some(text) = environment.get(name) {
                let text = match name {
                    "OLLAMA_HOST" => ollama_url(text),
                    "HTTPS_PROXY" | "https_proxy" => with_scheme(text),
                    _ => text.to_owned(),
                };
                layer.text(schema, split_key(key), &text, source(name));
            }
        }
        for (name, text) in environment.iter() {
            let Some((section, key)) =
                name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            let path: Vec<String> = std::iter::once(section)
                .chain(key.split("__"))
                .map(str::to_ascii_lowercase)
                .collect();
            if schema.kind(&path) == Some(Kind::Value) || schema.is_free(&path) {
                layer.text(schema, path, text, source(name));
            } else {
                layer.problems.push(Problem::new(
                    source(name),
                    "no setting has this name",
                    suggestion(schema, &path, variable_name),
                ));
            }
        }
        layer
    }

    /// Sets a flag.
    pub(super) fn flag(&mut self, key: &str, value: Value, flag: &str) {
        self.set(split_key(key), value, Source::Flag(flag.to_owned()));
    }

    fn text(&mut self, schema: &Schema, path: Vec<String>, text: &str, source: Source) {
        match schema.parse(&path, text) {
            Ok(value) => self.set(path, value, source),
            Err(message) => self.refuse(schema, &path, &source, &message),
        }
    }

    fn set(&mut self, path: Vec<String>, value: Value, source: Source) {
        self.assignments.push(Assignment { path, value, source });
    }

    fn refuse(&mut self, schema: &Schema, path: &[String], source: &Source, message: &str) {
        let key = path.join(".");
        // A message about a URL quotes it, and a URL may carry a password.
        let message = if is_secret(path) || message.contains('@') {
            format!("the value of `{key}` has the wrong form")
        } else {
            format!("the value of `{key}` is refused: {message}")
        };
        self.problems.push(Problem::new(source, message, schema.example(path)));
    }
}

/// The variable that sets a path.
pub(super) fn variable_name(path: &[String]) -> String {
    format!("{PREFIX}{}", path.join("__").to_ascii_uppercase())
}

/// Variables that look like ours, set nothing, and are probably misspelt. Names that merely begin
/// with our prefix are left alone: Kubernetes sets such for a service of our name.
pub(super) fn misspelt_variables(environment: &Environment) -> Vec<String> {
    let known = || {
        let pairs = SHARED_VARIABLES.into_iter().chain(SHORT_VARIABLES);
        pairs.map(|(name, _)| name).chain(["ATELIER_CONFIG"])
    };
    let near = |name: &str| {
        known().find(|known| *known != name && strsim::damerau_levenshtein(known, name) <= 2)
    };
    environment
        .iter()
        .filter(|(name, _)| name.starts_with(PREFIX) && !name.contains("__"))
        .filter(|(name, _)| !known().any(|known| known == *name))
        .filter_map(|(name, _)| {
            Some(format!(
                "the environment variable `{name}` sets nothing; did you mean `{}`?",
                near(name)?
            ))
        })
        .collect()
}

/// Where a value without a scheme names Ollama the way Ollama's own variable does.
fn ollama_url(text: &str) -> String {
    if text.contains("://") {
        return text.trim_end_matches('/').to_owned();
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && !host.ends_with(':') => (host, port),
        _ => (text, "11434"),
    };
    // The server's "every address" is no address to call.
    let host = match host {
        "" | "0.0.0.0" => "127.0.0.1",
        "::" | "[::]" => "[::1]",
        other => other,
    };
    format!("http://{host}:{port}")
}

fn with_scheme(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("http://{text}") }
}

fn split_key(key: &str) -> Vec<String> {
    key.split('.').map(str::to_owned).collect()
}

fn suggestion(schema: &Schema, path: &[String], show: impl Fn(&[String]) -> String) -> String {
    // The first part that names nothing is where the mistake is.
    let wrong = (1..=path.len())
        .find(|length| path.get(..*length).is_none_or(|prefix| schema.kind(prefix).is_none()));
    let known = wrong.and_then(|length| path.get(..length)).unwrap_or(path);
    let mut names = schema.nearest(known);
    let Some(nearest) = names.first() else {
        return "remove it, or look the key up in atelier.example.toml".to_owned();
    };
    let meant: Vec<String> = path
        .iter()
        .enumerate()
        .map(|(index, key)| if index + 1 == known.len() { nearest } else { key }.clone())
        .collect();
    names.sort();
    format!("did you mean `{}`? Here stand: {}", show(&meant), names.join(", "))
}

/// The `.env` file as variables.
///
/// # Errors
/// When a line cannot be read; the line itself is not quoted, since it may hold a key.
pub(super) fn dot_env(path: &Path, text: &str) -> Result<Environment, Problem> {
    let variables: Result<Vec<(String, String)>, dotenvy::Error> =
        dotenvy::from_read_iter(text.as_bytes()).collect();
    variables.map(Environment::from_pairs).map_err(|error| {
        let line = match &error {
            dotenvy::Error::LineParse(wrong, _) => text
                .lines()
                .position(|line| line == wrong.lines().next().unwrap_or_default())
                .map_or(1, |index| index + 1),
            _ => 1,
        };
        Problem::new(
            Source::File { path: path.to_owned(), line },
            "this is no line of the form `NAME=value`",
            "put values with spaces, `#` or `$` in single quotes",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollama_hosts_become_urls() {
        for (text, url) in [
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("box", "http://box:11434"),
            ("box:99", "http://box:99"),
            (":99", "http://127.0.0.1:99"),
            ("[::1]:99", "http://[::1]:99"),
            ("https://box/", "https://box"),
        ] {
            assert_eq!(ollama_url(text), url, "{text}");
        }
    }

    #[test]
    fn misspelt_short_names_are_told_and_foreign_ones_left_alone() {
        let environment = Environment::from_pairs([
            ("ATELIER_DATADIR", "/x"),
            ("ATELIER_SERVICE_HOST", "10.0.0.1"),
            ("ATELIER_PORT_7410_TCP", "tcp://10.0.0.1:7410"),
        ]);
        let warnings = misspelt_variables(&environment);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains("`ATELIER_DATA_DIR`")));
    }
}
