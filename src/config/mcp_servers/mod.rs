//! `mcp_servers.json`: which other MCP servers there are.
//!
//! People paste what their client uses, so all common forms are read: Claude Desktop's
//! `mcpServers`, VS Code's `servers` with inputs, `mcp_servers`, `mcp.servers`, goose's
//! `extensions`, a bare map, a command as one list. An entry that cannot be used is a problem of
//! that entry; the others are served.

mod entry;
mod expand;
mod forms;
mod json;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::environment::Environment;
use super::secret::Secret;
use super::source::Problem;

/// The servers of a file, and what is wrong with it.
#[derive(Debug, Clone, Default)]
pub struct McpServers {
    /// The file, when there is one.
    pub file: Option<PathBuf>,
    /// The servers that can be used, by name.
    pub servers: BTreeMap<String, ServerSpec>,
    /// Names of entries that are switched off.
    pub disabled: Vec<String>,
    /// Entries that cannot be used, by name, each with what to change.
    pub problems: BTreeMap<String, Problem>,
    /// What is odd but no reason to leave a server out.
    pub warnings: Vec<String>,
}

/// A server, ready to be started or connected to.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSpec {
    /// How it is reached.
    pub connection: Connection,
    /// Which protocol it is spoken to in.
    pub protocol: Protocol,
    /// Names of its tools that are passed on; `None`: all. A `*` at the end stands for any rest.
    pub allowed_tools: Option<Vec<String>>,
    /// Names of its tools that are left out.
    pub disallowed_tools: Vec<String>,
    /// How long a call may take.
    pub timeout: Duration,
    /// How long it may take to start.
    pub start_timeout: Duration,
    /// Calls at a time.
    pub max_parallel: usize,
    /// Folders that it is told of when it asks for its roots.
    pub roots: Vec<Root>,
    /// Whether its tools stand in the tool list themselves.
    pub expose: bool,
    /// Whether it may ask for texts of a language model.
    pub allow_sampling: bool,
    /// Model tokens a day for such texts.
    pub sampling_tokens_per_day: i64,
    /// Whether it may ask the person in front of the client that calls.
    pub allow_elicitation: bool,
}

/// Model tokens a day that a server may ask for when its entry says nothing else.
const SAMPLING_TOKENS: i64 = 100_000;

/// How a server is reached.
#[derive(Debug, Clone, PartialEq)]
pub enum Connection {
    /// A program that is started and spoken to over its standard streams.
    Stdio(StdioSpec),
    /// An address that speaks streamable HTTP.
    Http {
        /// The address.
        url: url::Url,
        /// Headers of every request.
        headers: BTreeMap<String, Secret>,
    },
}

/// A program that is a server.
#[derive(Debug, Clone, PartialEq)]
pub struct StdioSpec {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment: the few variables that every program needs, and those of the entry.
    pub environment: BTreeMap<String, Secret>,
    /// Its working folder.
    pub folder: Option<PathBuf>,
}

/// Which protocol a server is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// The newer one when the server knows it, else the older.
    #[default]
    Auto,
    /// 2026-07-28 or newer: no handshake.
    Modern,
    /// Up to 2025-11-25: `initialize` first.
    Legacy,
}

/// A folder that a server may be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its address, `file://…`.
    pub uri: String,
    /// Its name.
    pub name: Option<String>,
}

impl ServerSpec {
    /// A spec with default limits.
    pub fn new(connection: Connection) -> Self {
        Self {
            connection,
            protocol: Protocol::Auto,
            allowed_tools: None,
            disallowed_tools: Vec::new(),
            timeout: Duration::from_mins(2),
            start_timeout: Duration::from_mins(1),
            max_parallel: 4,
            roots: Vec::new(),
            expose: false,
            allow_sampling: false,
            sampling_tokens_per_day: SAMPLING_TOKENS,
            allow_elicitation: false,
        }
    }

    /// Whether a tool of the server is passed on.
    pub fn passes(&self, tool: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|pattern| fits(pattern, tool));
        self.allowed_tools.as_deref().is_none_or(named) && !named(&self.disallowed_tools)
    }

    /// What it is, in one line without secrets.
    pub fn summary(&self) -> String {
        match &self.connection {
            Connection::Stdio(stdio) => {
                let more = if stdio.arguments.is_empty() { "" } else { " …" };
                format!("{}{more}", stdio.program)
            }
            Connection::Http { url, .. } => {
                format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default())
            }
        }
    }
}

/// Whether a name fits a pattern: equal, or equal up to a `*` at the pattern's end.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

/// Variables that every program gets from our environment.
const PASSED_ON: [&str; 4] = ["PATH", "HOME", "LANG", "TMPDIR"];

/// The few variables of our environment that a started program gets: never our keys.
pub fn base_environment(environment: &Environment) -> BTreeMap<String, Secret> {
    PASSED_ON
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), Secret::new(environment.get(name)?.to_owned()))))
        .collect()
}

/// Reads the text of a file.
///
/// # Errors
/// When the text is no JSON, or names no servers.
pub fn read(text: &str, file: &Path, environment: &Environment) -> Result<McpServers, Problem> {
    let document = json::parse(text).map_err(|fault| {
        Problem::new(
            format!("{}:{}", file.display(), fault.line),
            format!("this is no valid JSON: {}", fault.message),
            "correct the line; comments and trailing commas are allowed, single quotes are not",
        )
    })?;
    let found = forms::entries(&document.value).map_err(|message| {
        Problem::new(
            file.display(),
            message,
            "write {\"mcpServers\": {\"NAME\": {\"command\": \"…\", \"args\": [\"…\"]}}}",
        )
    })?;
    let mut servers = McpServers { file: Some(file.to_owned()), ..McpServers::default() };
    let reader = entry::Reader {
        environment,
        folder: file.parent().unwrap_or(Path::new("/")),
        inputs: found.inputs,
    };
    for (name, value) in found.entries {
        let outcome = if document.duplicates.contains(&name) {
            Err(entry::Fault::new(
                "the name stands twice in the file",
                "give one of the two another name",
            ))
        } else {
            name_fault(&name, &servers).map_or_else(|| reader.read(&value), Err)
        };
        match outcome {
            Ok(entry) => {
                let names = entry.unknown_keys.iter();
                servers.warnings.extend(names.map(|key| format!("server `{name}`: {key}")));
                if entry.disabled {
                    servers.disabled.push(name);
                } else {
                    servers.servers.insert(name, entry.spec);
                }
            }
            Err(fault) => {
                let place = format!("{}: server `{name}`", file.display());
                servers.problems.insert(name, Problem::new(place, fault.message, fault.hint));
            }
        }
    }
    Ok(servers)
}

/// Letters, digits, `_` and `-` that a server's name may have.
const LONGEST_NAME: usize = 40;

/// What is wrong with a server's name by itself.
///
/// # Errors
/// In words, with what is allowed.
pub fn check_name(name: &str) -> Result<(), String> {
    let letters =
        name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'));
    if name.is_empty() || name.len() > LONGEST_NAME || !letters {
        return Err(format!(
            "a server's name has 1 to {LONGEST_NAME} letters, digits, `_` or `-`, and no others"
        ));
    }
    if name.contains("__") {
        return Err("a server's name has no `__`: that divides it from its tools' names".to_owned());
    }
    Ok(())
}

/// The form in which names must differ: clients lose case and dashes.
pub fn folded_name(name: &str) -> String {
    name.to_ascii_lowercase().replace('-', "_")
}

fn name_fault(name: &str, servers: &McpServers) -> Option<entry::Fault> {
    if let Err(message) = check_name(name) {
        return Some(entry::Fault::new(message, "rename it"));
    }
    let taken = servers
        .servers
        .keys()
        .chain(&servers.disabled)
        .find(|other| folded_name(other) == folded_name(name))?;
    Some(entry::Fault::new(
        format!("its name differs from `{taken}` by case or `-` alone"),
        "give one of the two another name",
    ))
}
