//! Raw settings to a resolved [`Config`], once, at start-up.
//!
//! Defaults, then `atelier.toml`, then `.env` beside it, then the environment, then flags: later
//! layers win. Each layer is checked by itself, so that every refusal names its place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::{Table, Value};

use super::Config;
use super::checks;
use super::environment::Environment;
use super::layers::{Assignment, Layer, dot_env, misspelt_variables};
use super::log::LogFormat;
use super::mcp_servers::{self, McpServers};
use super::schema::Schema;
use super::source::{ConfigError, Problem, Source};

/// What the command line sets.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--workflows`.
    pub workflows: Option<PathBuf>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<std::net::SocketAddr>,
    /// `--content-listen`.
    pub content_listen: Option<std::net::SocketAddr>,
    /// `--log-level`.
    pub log_level: Option<String>,
    /// `--log-format`.
    pub log_format: Option<LogFormat>,
    /// `--toolsets`.
    pub toolsets: Vec<String>,
    /// `--tools`.
    pub tools: Vec<String>,
    /// `--exclude-tools`.
    pub exclude_tools: Vec<String>,
    /// `--read-only`.
    pub read_only: bool,
    /// `--mcp-servers`.
    pub mcp_servers: Option<PathBuf>,
}

/// The configuration with its history.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// What the program runs with.
    pub config: Config,
    /// Where each value that somebody set comes from, by path (`server.listen`).
    pub sources: BTreeMap<String, Source>,
    /// Where `atelier.toml` is, or would be; absent when no home folder is known.
    pub file: Option<PathBuf>,
    /// What is odd but no reason to stop.
    pub warnings: Vec<String>,
}

/// Resolves the configuration.
///
/// # Errors
/// Everything that is wrong, each with its place and what to do.
pub fn load(environment: &Environment, flags: &Flags) -> Result<Resolved, ConfigError> {
    let schema = Schema::new();
    let mut warnings = misspelt_variables(environment);
    let (file, demanded) = config_file(environment, flags);
    let mut layers = Vec::new();
    let mut known = environment.clone();
    if let Some(path) = &file {
        if let Some(text) = read(path, demanded)? {
            layers.push(Layer::file(&schema, path, &text));
        }
        let env_path = path.with_file_name(".env");
        if let Some(text) = read(&env_path, false)? {
            warnings.extend(readable_by_others(&env_path));
            let variables = dot_env(&env_path, &text)?;
            known = variables.clone().overlaid_by(environment);
            layers.push(Layer::variables(&schema, &variables, &|name| Source::DotEnv {
                path: env_path.clone(),
                name: name.to_owned(),
            }));
        }
    }
    layers.push(Layer::variables(&schema, environment, &|name| Source::Variable(name.to_owned())));
    layers.push(flag_layer(flags));

    let mut problems = Vec::new();
    let mut table = Table::new();
    let mut sources = BTreeMap::new();
    for layer in layers {
        problems.extend(layer.problems);
        for assignment in layer.assignments {
            match absolute(assignment, environment) {
                Ok(Assignment { path, value, source }) => {
                    sources.insert(path.join("."), source);
                    insert(&mut table, &path, value);
                }
                Err(problem) => problems.push(problem),
            }
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    let mut config = Config::deserialize(Value::Table(table)).map_err(|error| {
        Problem::new(
            "configuration",
            format!("the layers do not fit together: {}", error.message()),
            "set the section named here in one place only",
        )
    })?;
    if config.storage.data_dir.as_os_str().is_empty() {
        config.storage.data_dir = environment.data_folder().ok_or_else(|| {
            Problem::new(
                "storage.data_dir",
                "there is no home folder to keep the data in",
                "name a folder: `--data-dir PATH` or `ATELIER_DATA_DIR`",
            )
        })?;
    }
    if config.agent.workflows.is_none() {
        let beside = file.as_ref().map(|file| file.with_file_name("workflows.json"));
        config.agent.workflows = beside.filter(|path| path.is_file());
    }
    if config.elixir.allowed_roots.is_empty() {
        config.elixir.allowed_roots.extend(working_project(environment));
    }
    let mut problems = checks::problems(&mut config, &sources);
    match mcp_servers(&config, &sources, file.as_deref(), &known) {
        Ok(servers) => {
            warnings.extend(servers.warnings.iter().cloned());
            warnings.extend(servers.problems.values().map(|problem| {
                format!("{}: {}; {}", problem.place, problem.message, problem.hint)
            }));
            config.catalog.servers = servers;
        }
        Err(problem) => problems.push(problem),
    }
    if problems.is_empty() {
        Ok(Resolved { config, sources, file, warnings })
    } else {
        Err(ConfigError { problems })
    }
}

/// The other servers: the file that somebody named, which must be there, or `mcp_servers.json`
/// beside `atelier.toml`.
fn mcp_servers(
    config: &Config,
    sources: &BTreeMap<String, Source>,
    file: Option<&Path>,
    environment: &Environment,
) -> Result<McpServers, Problem> {
    let named = config.catalog.servers_file.clone();
    let path = named.clone().or_else(|| file.map(|file| file.with_file_name("mcp_servers.json")));
    let Some(path) = path else { return Ok(McpServers::default()) };
    let text = read(&path, named.is_some()).map_err(|problem| {
        let place = sources.get("catalog.servers_file").unwrap_or(&Source::Default);
        Problem::new(
            format!("{place} ({})", path.display()),
            problem.message,
            "name a readable file with `--mcp-servers` or `ATELIER_MCP_SERVERS`, or leave both out",
        )
    })?;
    match text {
        Some(text) => mcp_servers::read(&text, &path, environment),
        None => Ok(McpServers::default()),
    }
}

/// The working folder, when it is a mix project: who works in one wants code there. A home folder
/// and the root never are.
fn working_project(environment: &Environment) -> Option<PathBuf> {
    let folder = std::env::current_dir().ok()?;
    let is_home = environment.home().is_some_and(|home| home == folder);
    let is_project = folder.parent().is_some() && folder.join("mix.exs").is_file();
    (is_project && !is_home).then_some(folder)
}

/// The file to read, and whether somebody named it. The working folder is never searched: opening
/// a repository must not run what lies in it.
fn config_file(environment: &Environment, flags: &Flags) -> (Option<PathBuf>, bool) {
    let named =
        flags.config.clone().or_else(|| environment.get("ATELIER_CONFIG").map(PathBuf::from));
    match named {
        Some(path) => (Some(path), true),
        None => (environment.config_folder().map(|folder| folder.join("atelier.toml")), false),
    }
}

#[expect(clippy::disallowed_methods, reason = "the configuration's own files")]
fn read(path: &Path, demanded: bool) -> Result<Option<String>, Problem> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !demanded => Ok(None),
        Err(error) => Err(Problem::new(
            path.display(),
            format!("the file cannot be read: {error}"),
            "name a readable UTF-8 file with `--config` or `ATELIER_CONFIG`, or leave both out",
        )),
    }
}

#[cfg(unix)]
#[expect(clippy::disallowed_methods, reason = "the configuration's own files")]
fn readable_by_others(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o077 != 0)
        .then(|| format!("{0} can be read by other users; run `chmod 600 {0}`", path.display()))
}

#[cfg(not(unix))]
fn readable_by_others(_path: &Path) -> Option<String> {
    None
}

fn flag_layer(flags: &Flags) -> Layer {
    let mut layer = Layer::default();
    if let Some(path) = &flags.data_dir {
        layer.flag("storage.data_dir", path.to_string_lossy().into_owned().into(), "--data-dir");
    }
    if let Some(path) = &flags.workflows {
        layer.flag("agent.workflows", path.to_string_lossy().into_owned().into(), "--workflows");
    }
    if let Some(address) = flags.listen {
        layer.flag("server.listen", address.to_string().into(), "--listen");
    }
    if let Some(address) = flags.content_listen {
        layer.flag("server.content_listen", address.to_string().into(), "--content-listen");
    }
    if let Some(level) = &flags.log_level {
        layer.flag("log.level", level.clone().into(), "--log-level");
    }
    if let Some(format) = flags.log_format {
        let name = match format {
            LogFormat::Human => "human",
            LogFormat::Json => "json",
        };
        layer.flag("log.format", name.into(), "--log-format");
    }
    for (key, names, flag) in [
        ("server.toolsets", &flags.toolsets, "--toolsets"),
        ("server.tools", &flags.tools, "--tools"),
        ("server.exclude_tools", &flags.exclude_tools, "--exclude-tools"),
    ] {
        if !names.is_empty() {
            layer.flag(key, names.clone().into(), flag);
        }
    }
    if let Some(path) = &flags.mcp_servers {
        let path = path.to_string_lossy().into_owned();
        layer.flag("catalog.servers_file", path.into(), "--mcp-servers");
    }
    if flags.read_only {
        layer.flag("server.read_only", true.into(), "--read-only");
    }
    layer
}

/// Keys whose values are paths.
const PATHS: [&str; 9] = [
    "storage.data_dir",
    "browser.chrome",
    "factory.environment",
    "factory.ca_bundle",
    "python.interpreter",
    "llm.models_file",
    "llm.prompts_dir",
    "agent.workflows",
    "catalog.servers_file",
];

/// Keys whose values are lists of paths.
const PATH_LISTS: [&str; 3] = ["elixir.allowed_roots", "factory.allowed_roots", "python.wheels"];

/// Makes a path absolute: one in a file is meant from its folder, others from the working folder.
fn absolute(mut assignment: Assignment, environment: &Environment) -> Result<Assignment, Problem> {
    let key = assignment.path.join(".");
    let texts: Vec<&mut String> = match &mut assignment.value {
        Value::String(text) if PATHS.contains(&key.as_str()) => vec![text],
        Value::Array(items) if PATH_LISTS.contains(&key.as_str()) => items
            .iter_mut()
            .filter_map(|item| match item {
                Value::String(text) => Some(text),
                _ => None,
            })
            .collect(),
        _ => return Ok(assignment),
    };
    for text in texts {
        *text = absolute_path(text, &key, &assignment.source, environment)?;
    }
    Ok(assignment)
}

fn absolute_path(
    text: &str,
    key: &str,
    source: &Source,
    environment: &Environment,
) -> Result<String, Problem> {
    let path = match (text.strip_prefix("~/"), environment.home()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    };
    let path = match source {
        Source::File { path: file, .. } | Source::DotEnv { path: file, .. } => {
            file.parent().map_or_else(|| path.clone(), |folder| folder.join(&path))
        }
        Source::Default | Source::Variable(_) | Source::Flag(_) => path,
    };
    let path = std::path::absolute(&path).map_err(|error| {
        Problem::new(
            source,
            format!("the path of `{key}` cannot be used: {error}"),
            "write an absolute path",
        )
    })?;
    Ok(path.to_string_lossy().into_owned())
}

fn insert(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [section, rest @ ..] => {
            let entry = table.entry(section.clone()).or_insert_with(|| Table::new().into());
            if let Value::Table(inner) = entry {
                insert(inner, rest, value);
            }
        }
    }
}
