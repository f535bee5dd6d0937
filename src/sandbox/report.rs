//! Which layers of isolation hold, and what to do about the others.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Nothing of the server's environment and descriptors.
    Environment,
    /// Limits of the process: files, memory, processor time.
    Rlimits,
    /// No program grants more rights than its caller has.
    NoNewPrivs,
    /// System calls that code does not need are refused.
    Seccomp,
    /// Files outside a short list are refused; no signals or sockets across.
    Landlock,
    /// A user of its own that means nothing outside.
    UserNamespace,
    /// Mounts of its own.
    MountNamespace,
    /// Processes of its own; the first one takes all others with it.
    PidNamespace,
    /// No network.
    NetworkNamespace,
    /// No shared memory or semaphores of others.
    IpcNamespace,
    /// A host name of its own.
    UtsNamespace,
    /// A root folder in memory that holds the interpreter and nothing else.
    PrivateRoot,
    /// Memory of all processes of a run together.
    CgroupMemory,
    /// Number of processes of a run.
    CgroupPids,
}

impl Layer {
    /// All of them, in the order in which they are put up.
    pub const ALL: [Self; 14] = [
        Self::Environment,
        Self::Rlimits,
        Self::UserNamespace,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::PrivateRoot,
        Self::NoNewPrivs,
        Self::Landlock,
        Self::Seccomp,
        Self::CgroupMemory,
        Self::CgroupPids,
    ];

    /// The namespaces and what stands on them: they hold together or not at all.
    pub const NAMESPACES: [Self; 7] = [
        Self::UserNamespace,
        Self::MountNamespace,
        Self::PidNamespace,
        Self::NetworkNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::PrivateRoot,
    ];

    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Rlimits => "rlimits",
            Self::NoNewPrivs => "no_new_privs",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
            Self::UserNamespace => "user_namespace",
            Self::MountNamespace => "mount_namespace",
            Self::PidNamespace => "pid_namespace",
            Self::NetworkNamespace => "network_namespace",
            Self::IpcNamespace => "ipc_namespace",
            Self::UtsNamespace => "uts_namespace",
            Self::PrivateRoot => "private_root",
            Self::CgroupMemory => "cgroup_memory",
            Self::CgroupPids => "cgroup_pids",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Layer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|layer| layer.name() == text)
            .ok_or_else(|| format!("there is no sandbox layer `{text}`"))
    }
}

/// How much isolation there is; later ones are stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// A process with limits and nothing else: no isolation worth the name.
    Process,
    /// Landlock and seccomp, no namespaces.
    NoUserns,
    /// Namespaces and seccomp, no Landlock.
    NoLandlock,
    /// All but the groups that bound memory and processes together; a watchdog stands in.
    NoCgroup,
    /// Everything.
    Full,
}

impl Tier {
    /// Its name in configuration and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::NoUserns => "no-userns",
            Self::NoLandlock => "no-landlock",
            Self::NoCgroup => "no-cgroup",
            Self::Full => "full",
        }
    }

    /// The tier that a set of layers makes.
    pub fn of(holds: impl Fn(Layer) -> bool) -> Self {
        let basis = [Layer::Environment, Layer::Rlimits, Layer::NoNewPrivs, Layer::Seccomp]
            .into_iter()
            .all(&holds);
        let namespaces = Layer::NAMESPACES.into_iter().all(&holds);
        let landlock = holds(Layer::Landlock);
        let groups = holds(Layer::CgroupMemory) && holds(Layer::CgroupPids);
        match (basis, namespaces, landlock) {
            (false, _, _) | (true, false, false) => Self::Process,
            (true, false, true) => Self::NoUserns,
            (true, true, false) => Self::NoLandlock,
            (true, true, true) if groups => Self::Full,
            (true, true, true) => Self::NoCgroup,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Process, Self::NoUserns, Self::NoLandlock, Self::NoCgroup, Self::Full]
            .into_iter()
            .find(|tier| tier.name() == text)
            .ok_or_else(|| {
                format!("`{text}` is no tier: full, no-cgroup, no-landlock, no-userns, process")
            })
    }
}

/// Whether a layer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LayerState {
    /// It does.
    Held,
    /// It does not.
    Missing {
        /// What the probe met.
        reason: String,
        /// The command or setting that changes it.
        fix: String,
    },
}

/// The layers of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IsolationReport {
    /// What they add up to.
    pub tier: Tier,
    /// Each layer.
    pub layers: BTreeMap<Layer, LayerState>,
}

impl IsolationReport {
    /// Works out the tier.
    pub fn new(layers: BTreeMap<Layer, LayerState>) -> Self {
        let tier = Tier::of(|layer| layers.get(&layer) == Some(&LayerState::Held));
        Self { tier, layers }
    }

    /// Whether a layer holds.
    pub fn holds(&self, layer: Layer) -> bool {
        self.layers.get(&layer) == Some(&LayerState::Held)
    }

    /// The layers that do not hold: name, reason, fix.
    pub fn missing(&self) -> impl Iterator<Item = (Layer, &str, &str)> {
        self.layers.iter().filter_map(|(layer, state)| match state {
            LayerState::Held => None,
            LayerState::Missing { reason, fix } => Some((*layer, reason.as_str(), fix.as_str())),
        })
    }
}

/// What a sandbox is made of.
#[derive(Debug, Clone, Serialize)]
pub struct SandboxReport {
    /// The layers, as probed.
    pub isolation: IsolationReport,
    /// Its interpreters.
    pub profiles: Vec<ProfileReport>,
}

/// One interpreter.
#[derive(Debug, Clone, Serialize)]
pub struct ProfileReport {
    /// The profile's name.
    pub name: String,
    /// The interpreter's path.
    pub executable: String,
    /// Its version, when it starts.
    pub version: Option<String>,
    /// Modules that are loaded before the first run.
    pub preloaded: Vec<String>,
    /// Modules that were asked for and cannot be loaded, with the reason.
    pub missing: BTreeMap<String, String>,
    /// Why it cannot be used.
    pub error: Option<String>,
}
