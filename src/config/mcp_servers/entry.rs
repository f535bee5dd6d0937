//! One entry of the file to a [`ServerSpec`].

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};

use super::expand::Values;
use super::{Connection, Protocol, Root, ServerSpec, StdioSpec, base_environment};
use crate::config::environment::Environment;
use crate::config::secret::Secret;

/// Why an entry cannot be used.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) hint: String,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

/// An entry that can be used.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) spec: ServerSpec,
    pub(super) disabled: bool,
    /// What is said about keys that nobody knows.
    pub(super) unknown_keys: Vec<String>,
}

/// Keys that are read, and those of other programs that mean nothing here.
const KEYS: [&str; 44] = [
    "command",
    "cmd",
    "args",
    "arguments",
    "env",
    "envs",
    "env_keys",
    "envFile",
    "cwd",
    "workingDirectory",
    "url",
    "uri",
    "headers",
    "type",
    "transport",
    "protocol",
    "roots",
    "allowed_tools",
    "allowedTools",
    "available_tools",
    "tools",
    "disallowed_tools",
    "disallowedTools",
    "timeout_s",
    "timeout",
    "read_timeout_seconds",
    "start_timeout_s",
    "max_parallel",
    "disabled",
    "enabled",
    "expose",
    "name",
    "description",
    "display_name",
    "bundled",
    "autoApprove",
    "alwaysAllow",
    "gallery",
    "version",
    "icon",
    "trust_hints",
    "allow_sampling",
    "sampling_tokens_per_day",
    "allow_elicitation",
];

/// Reads entries.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a Environment,
    /// The folder of the file: relative folders are meant from it.
    pub(super) folder: &'a Path,
    pub(super) inputs: BTreeMap<String, Option<String>>,
}

impl Reader<'_> {
    pub(super) fn read(&self, value: &Value) -> Result<Entry, Fault> {
        let Some(entry) = value.as_object() else {
            return Err(Fault::new("it is no JSON object", "write {\"command\": \"…\"}"));
        };
        let disabled = flag(entry, "disabled")?.unwrap_or(false)
            || flag(entry, "enabled")?.is_some_and(|enabled| !enabled);
        let mut spec = ServerSpec::new(self.connection(entry)?);
        spec.protocol = protocol(entry)?;
        spec.allowed_tools =
            match first(entry, &["allowed_tools", "allowedTools", "available_tools", "tools"]) {
                // goose writes an empty list for "all".
                Some((key, value))
                    if key == "available_tools" && value == &Value::Array(Vec::new()) =>
                {
                    None
                }
                Some((key, value)) => Some(texts(key, value)?),
                None => None,
            };
        if let Some((key, value)) = first(entry, &["disallowed_tools", "disallowedTools"]) {
            spec.disallowed_tools = texts(key, value)?;
        }
        if let Some((key, value)) = first(entry, &["timeout_s", "read_timeout_seconds", "timeout"])
        {
            spec.timeout = seconds(key, value)?;
        }
        if let Some((key, value)) = first(entry, &["start_timeout_s"]) {
            spec.start_timeout = seconds(key, value)?;
        }
        if let Some((key, value)) = first(entry, &["max_parallel"]) {
            let count = value.as_u64().filter(|count| (1..=64).contains(count));
            let count = count.and_then(|count| usize::try_from(count).ok());
            spec.max_parallel = count.ok_or_else(|| {
                Fault::new(format!("`{key}` is no whole number from 1 to 64"), "write 4")
            })?;
        }
        spec.expose = flag(entry, "expose")?.unwrap_or(false);
        spec.allow_sampling = flag(entry, "allow_sampling")?.unwrap_or(false);
        spec.allow_elicitation = flag(entry, "allow_elicitation")?.unwrap_or(false);
        if let Some((key, value)) = first(entry, &["sampling_tokens_per_day"]) {
            spec.sampling_tokens_per_day =
                value.as_i64().filter(|tokens| *tokens >= 0).ok_or_else(|| {
                    Fault::new(format!("`{key}` is no whole number from 0"), "write 100000")
                })?;
        }
        spec.roots = self.roots(entry)?;
        let unknown_keys = entry
            .keys()
            .filter(|key| !KEYS.contains(&key.as_str()))
            .map(|key| {
                let near = KEYS
                    .iter()
                    .map(|known| (strsim::damerau_levenshtein(known, key), known))
                    .min()
                    .filter(|(distance, _)| *distance <= 3);
                match near {
                    Some((_, known)) => format!("unknown key `{key}`; did you mean `{known}`?"),
                    None => format!("unknown key `{key}`"),
                }
            })
            .collect();
        Ok(Entry { spec, disabled, unknown_keys })
    }

    fn connection(&self, entry: &Map<String, Value>) -> Result<Connection, Fault> {
        let command = first(entry, &["command", "cmd"]);
        let url = first(entry, &["url", "uri"]);
        match (command, url) {
            (Some(_), Some(_)) => Err(Fault::new(
                "it has a command and an address",
                "keep `command` for a program to start, or `url` for one that runs, not both",
            )),
            (None, None) => Err(Fault::new(
                "it has neither `command` nor `url`",
                "write {\"command\": \"program\", \"args\": […]} or {\"url\": \"http://…\"}",
            )),
            (Some((key, value)), None) => self.stdio(entry, key, value),
            (None, Some((key, value))) => self.http(entry, key, value),
        }
    }

    fn stdio(
        &self,
        entry: &Map<String, Value>,
        key: &str,
        command: &Value,
    ) -> Result<Connection, Fault> {
        let mut words = match command {
            Value::String(program) => vec![program.clone()],
            other => texts(key, other)?,
        };
        if let Some((key, value)) = first(entry, &["args", "arguments"]) {
            words.extend(texts(key, value)?);
        }
        let words = words.iter().map(|word| self.expand(word)).collect::<Result<Vec<_>, _>>()?;
        let Some((program, arguments)) = words.split_first() else {
            return Err(Fault::new(format!("`{key}` names no program"), "write the program first"));
        };
        if program.trim().is_empty() {
            return Err(Fault::new(
                format!("`{key}` names no program"),
                "write the program's name",
            ));
        }
        let mut environment = base_environment(self.environment);
        if let Some((key, value)) = first(entry, &["env_keys"]) {
            for name in texts(key, value)? {
                let value = self.environment.get(&name).ok_or_else(|| {
                    Fault::new(
                        format!("the environment variable `{name}` of `{key}` is not set"),
                        format!("set `{name}`, or take it out of `{key}`"),
                    )
                })?;
                environment.insert(name, Secret::new(value.to_owned()));
            }
        }
        if let Some((key, value)) = first(entry, &["env", "envs"]) {
            environment.extend(self.secrets(key, value)?);
        }
        let folder = match first(entry, &["cwd", "workingDirectory"]) {
            Some((key, value)) => Some(self.folder.join(self.path(&self.text(key, value)?))),
            None => None,
        };
        let program = program.clone();
        // A program named with a folder is meant from the file, like its working folder.
        let program = match program.strip_prefix("~/") {
            Some(_) => self.path(&program).to_string_lossy().into_owned(),
            None if program.starts_with("./") || program.starts_with("../") => {
                self.folder.join(&program).to_string_lossy().into_owned()
            }
            None => program,
        };
        let arguments = arguments.to_vec();
        Ok(Connection::Stdio(StdioSpec { program, arguments, environment, folder }))
    }

    fn http(
        &self,
        entry: &Map<String, Value>,
        key: &str,
        url: &Value,
    ) -> Result<Connection, Fault> {
        let kind = first(entry, &["type", "transport"]).and_then(|(_, value)| value.as_str());
        if kind.is_some_and(|kind| kind == "sse") {
            return Err(Fault::new(
                "the old transport `sse` is not spoken",
                "name the server's streamable HTTP address, often the same one ending in `/mcp`, and write \"type\": \"http\"",
            ));
        }
        let url = self.text(key, url)?;
        let url = url::Url::parse(&url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
        let url = url.ok_or_else(|| {
            // Not quoted: an address may carry a key.
            Fault::new(
                format!("`{key}` is no HTTP address"),
                "write it like `https://host.example/mcp`",
            )
        })?;
        let headers = match first(entry, &["headers"]) {
            Some((key, value)) => self.secrets(key, value)?,
            None => BTreeMap::new(),
        };
        for (name, value) in &headers {
            let is_valid = http::HeaderName::try_from(name.as_str()).is_ok()
                && http::HeaderValue::try_from(value.expose()).is_ok();
            if !is_valid {
                return Err(Fault::new(
                    format!("the header `{name}` cannot be sent"),
                    "write a header's name and one line of visible letters",
                ));
            }
        }
        Ok(Connection::Http { url, headers })
    }

    fn roots(&self, entry: &Map<String, Value>) -> Result<Vec<Root>, Fault> {
        let Some((_, value)) = first(entry, &["roots"]) else { return Ok(Vec::new()) };
        let wrong = || {
            Fault::new(
                "`roots` is no list of folders",
                "write [\"/folder\"] or [{\"uri\": \"file:///folder\", \"name\": \"…\"}]",
            )
        };
        let items = value.as_array().ok_or_else(wrong)?;
        items
            .iter()
            .map(|item| {
                let (place, name) = match item {
                    Value::String(place) => (place.as_str(), None),
                    item => {
                        let alias = item.get("server_uri_alias").or_else(|| item.get("uri"));
                        let place = alias.and_then(Value::as_str).ok_or_else(wrong)?;
                        (place, item.get("name").and_then(Value::as_str).map(str::to_owned))
                    }
                };
                let place = self.expand(place)?;
                let uri = if place.contains("://") {
                    place
                } else {
                    let path = self.folder.join(self.path(&place));
                    url::Url::from_file_path(path).map_err(|()| wrong())?.to_string()
                };
                Ok(Root { uri, name })
            })
            .collect()
    }

    fn secrets(&self, key: &str, value: &Value) -> Result<BTreeMap<String, Secret>, Fault> {
        let wrong = || {
            Fault::new(
                format!("`{key}` is no object of names and texts"),
                format!("write \"{key}\": {{\"NAME\": \"value\"}}"),
            )
        };
        let object = value.as_object().ok_or_else(wrong)?;
        object
            .iter()
            .map(|(name, value)| {
                let text = match value {
                    Value::String(text) => self.expand(text)?,
                    Value::Number(number) => number.to_string(),
                    Value::Bool(flag) => flag.to_string(),
                    Value::Null | Value::Array(_) | Value::Object(_) => return Err(wrong()),
                };
                Ok((name.clone(), Secret::new(text)))
            })
            .collect()
    }

    fn text(&self, key: &str, value: &Value) -> Result<String, Fault> {
        let text = value.as_str().filter(|text| !text.trim().is_empty());
        let text = text.ok_or_else(|| Fault::new(format!("`{key}` is no text"), "write a text"))?;
        self.expand(text.trim())
    }

    fn expand(&self, text: &str) -> Result<String, Fault> {
        Values { environment: self.environment, inputs: &self.inputs }.expand(text)
    }

    /// A path whose `~` is the home folder.
    fn path(&self, text: &str) -> std::path::PathBuf {
        match (text.strip_prefix("~/"), self.environment.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => text.into(),
        }
    }
}

/// The first of these keys that the entry has.
fn first<'a>(
    entry: &'a Map<String, Value>,
    keys: &[&'static str],
) -> Option<(&'static str, &'a Value)> {
    keys.iter()
        .find_map(|key| entry.get(*key).filter(|value| !value.is_null()).map(|value| (*key, value)))
}

fn flag(entry: &Map<String, Value>, key: &'static str) -> Result<Option<bool>, Fault> {
    match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => {
            Err(Fault::new(format!("`{key}` is neither true nor false"), "write true or false"))
        }
    }
}

fn texts(key: &str, value: &Value) -> Result<Vec<String>, Fault> {
    let wrong = || {
        Fault::new(
            format!("`{key}` is no list of texts"),
            format!("write \"{key}\": [\"…\", \"…\"]"),
        )
    };
    let items = value.as_array().ok_or_else(wrong)?;
    items
        .iter()
        .map(|item| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(wrong()),
        })
        .collect()
}

/// A time of at most a day; `true` is none, whatever other programs make of it.
fn seconds(key: &str, value: &Value) -> Result<Duration, Fault> {
    // Other programs write `timeout` in milliseconds.
    let unit = |number: f64| if key == "timeout" && number >= 1_000.0 { 0.001 } else { 1.0 };
    let seconds = value
        .as_f64()
        .map(|number| number * unit(number))
        .filter(|seconds| *seconds > 0.0 && *seconds <= 86_400.0);
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(|| {
        Fault::new(format!("`{key}` is no time in seconds"), "write a number above 0, such as 60")
    })
}

fn protocol(entry: &Map<String, Value>) -> Result<Protocol, Fault> {
    match entry.get("protocol") {
        None | Some(Value::Null) => Ok(Protocol::Auto),
        Some(value) => match value.as_str() {
            Some("auto") => Ok(Protocol::Auto),
            Some("modern") => Ok(Protocol::Modern),
            Some("legacy") => Ok(Protocol::Legacy),
            _ => Err(Fault::new(
                "`protocol` is none that is spoken",
                "write \"auto\", \"modern\" or \"legacy\", or leave it out",
            )),
        },
    }
}
