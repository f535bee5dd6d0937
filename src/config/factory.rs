//! Section `[factory]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use super::secret::{MASK, Secret};

/// MCP servers that are made here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FactoryConfig {
    /// Folders that documents, databases and templates may be read from, and packages written to.
    pub allowed_roots: Vec<PathBuf>,
    /// Python that environments are made with.
    pub python: String,
    /// A virtual environment that is there already; without it one is made at first use.
    pub environment: Option<PathBuf>,
    /// File with the certificates (PEM) of the authorities that made servers trust, instead of those of
    /// the system: for APIs whose certificates a private authority signed.
    pub ca_bundle: Option<PathBuf>,
    /// Whether made servers may run as plain processes of this machine, with what they were given
    /// and no other variable, but without a sandbox around them.
    pub unsandboxed: bool,
    /// Hosts that made servers may reach, where they declare them, although they are not on the public
    /// internet: `host` or `host:port`; without a port, on every one that is declared.
    pub private_hosts: Vec<String>,
    /// Values of variables that made servers declare: keys, tokens, addresses. A server gets those
    /// that it declares, and no others.
    #[serde(serialize_with = "masked")]
    pub variables: BTreeMap<String, String>,
    /// `TAVILY_API_KEY`: key of the service that searches the web for descriptions.
    pub tavily_api_key: Option<Secret>,
    /// `TAVILY_BASE_URL`: root of that service, or of one that speaks like it.
    pub tavily_base_url: Option<Url>,
    /// Most servers that run at the same time.
    pub running_servers: usize,
    /// Most packages that are kept, so that the same call need not make and prove the same package
    /// again; 0: none.
    pub kept_packages: usize,
    /// Programs that add files to packages, or judge them.
    pub plugins: Vec<PluginConfig>,
    /// Rules of the scan beside those that are built in.
    pub scan_rules: Vec<ScanRule>,
    /// Findings of this severity and above are not let through.
    pub scan_gate: ScanGate,
}

/// The names alone: whatever prints the configuration must not print the values.
fn masked<S: Serializer>(
    variables: &BTreeMap<String, String>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(variables.keys().map(|name| (name, MASK)))
}

/// A rule of the user for the scan of packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanRule {
    /// Name of the rule in findings.
    pub name: String,
    /// Regular expression, looked for in each line; or `call`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Dotted name of a function, found under whatever name it was imported; or `pattern`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// How bad it is: low, medium or high.
    pub severity: String,
    /// What to tell.
    pub message: String,
}

/// A program of the operator's that adds files to packages, or judges them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginConfig {
    /// Its name, in findings and errors.
    pub name: String,
    /// What it does.
    pub kind: PluginKind,
    /// A Python file, or a folder with a `plugin.py`; absolute.
    pub path: PathBuf,
    /// Seconds that it may take for a package.
    #[serde(default = "plugin_timeout")]
    pub timeout_s: f64,
    /// Files of templates that it may write in place of ours, such as `README.md`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<String>,
}

/// What a plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginKind {
    /// It adds files.
    Generator,
    /// It tells what is wrong.
    Validator,
}

const fn plugin_timeout() -> f64 {
    30.0
}

/// The least severity that is not let through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanGate {
    /// Everything that is found.
    Low,
    /// What is dangerous in some uses.
    Medium,
    /// What is dangerous.
    #[default]
    High,
}

impl Default for FactoryConfig {
    fn default() -> Self {
        Self {
            allowed_roots: Vec::new(),
            python: "python3".to_owned(),
            environment: None,
            ca_bundle: None,
            unsandboxed: false,
            private_hosts: Vec::new(),
            variables: BTreeMap::new(),
            tavily_api_key: None,
            tavily_base_url: None,
            running_servers: 8,
            kept_packages: 200,
            plugins: Vec::new(),
            scan_rules: Vec::new(),
            scan_gate: ScanGate::default(),
        }
    }
}
