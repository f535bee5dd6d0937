//! Section `[python]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Python code in the sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PythonConfig {
    /// Path of the interpreter; one of a virtual environment brings its packages along. Absent: the
    /// system's `/usr/bin/python3`, else `python3`.
    pub interpreter: Option<PathBuf>,
    /// Whether the interpreter is started along with the server, before the first code comes.
    pub warm_up: bool,
    /// The least isolation under which code runs at all.
    pub min_isolation: LeastIsolation,
    /// Runs code even where nothing isolates it from the server's machine.
    pub allow_unsandboxed: bool,
    /// Layers of the sandbox that are left out even where they can be had.
    pub without_layers: Vec<String>,
    /// Memory of all processes of a run, in bytes.
    pub memory_bytes: u64,
    /// Processes and threads of a run.
    pub processes: u64,
    /// Bytes of files that a run may hand out.
    pub file_bytes: u64,
    /// Runs at a time; 0: four per core, and eight at least.
    pub concurrent_runs: usize,
    /// Runs that may wait for an answer of the host at a time.
    pub waiting_runs: usize,
    /// Calls of tools that one run may make.
    pub tool_calls: u64,
    /// Questions to a model that one run may ask.
    pub ai_calls: u64,
    /// Calls of one run that are served at a time; more wait for their turn.
    pub concurrent_calls: usize,
    /// Whether code may create, start and stop MCP servers.
    pub may_manage_servers: bool,
    /// Whether code may name packages (PEP 723), which `uv` then installs as wheels.
    pub allow_dependencies: bool,
    /// The program `uv`.
    pub uv: PathBuf,
    /// Folders with wheels, beside the package index.
    pub wheels: Vec<PathBuf>,
    /// Address of the package index; absent: that of `uv`.
    pub package_index: Option<String>,
    /// Wheels come from the folders alone.
    pub only_local_wheels: bool,
    /// Whether figures stand in results as pictures, beside their links.
    pub inline_images: bool,
}

/// The least isolation under which code runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeastIsolation {
    /// Every layer.
    Full,
    /// All but groups that count memory and processes; a watchdog stands in.
    NoCgroup,
    /// Namespaces and seccomp, without Landlock.
    NoLandlock,
    /// Landlock and seccomp, without namespaces.
    #[default]
    NoUserns,
}

impl LeastIsolation {
    /// Its name, which is the name of the tier.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::NoCgroup => "no-cgroup",
            Self::NoLandlock => "no-landlock",
            Self::NoUserns => "no-userns",
        }
    }
}

impl PythonConfig {
    /// Layers that `without_layers` may name.
    pub const LAYERS: [&'static str; 14] = [
        "environment",
        "rlimits",
        "user_namespace",
        "mount_namespace",
        "pid_namespace",
        "network_namespace",
        "ipc_namespace",
        "uts_namespace",
        "private_root",
        "no_new_privs",
        "landlock",
        "seccomp",
        "cgroup_memory",
        "cgroup_pids",
    ];
}

impl Default for PythonConfig {
    fn default() -> Self {
        Self {
            interpreter: None,
            warm_up: true,
            min_isolation: LeastIsolation::default(),
            allow_unsandboxed: false,
            without_layers: Vec::new(),
            memory_bytes: 512 << 20,
            processes: 64,
            file_bytes: 20 << 20,
            concurrent_runs: 0,
            waiting_runs: 8,
            tool_calls: 1000,
            ai_calls: 100,
            concurrent_calls: 16,
            may_manage_servers: false,
            allow_dependencies: false,
            uv: PathBuf::from("uv"),
            wheels: Vec::new(),
            package_index: None,
            only_local_wheels: false,
            inline_images: true,
        }
    }
}
