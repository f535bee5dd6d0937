//! What the server tells the launcher; the launcher passes a part of it on to the zygote.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sandbox::SharedFolder;

/// Largest plan, a limit of one packet on the control socket.
pub(super) const PLAN_BYTES: usize = 64 << 10;

/// Home, working folder and only writable place of a run in a private root.
pub(super) const PRIVATE_HOME: &str = "/home/sandbox";

/// How to build one zygote and what its workers do to themselves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LaunchPlan {
    /// The interpreter, all links resolved.
    pub(super) executable: PathBuf,
    /// What is readable inside, besides the fixed list of [`SYSTEM_PATHS`].
    pub(super) readable: Vec<PathBuf>,
    /// Appended to `sys.path`.
    pub(super) search_paths: Vec<PathBuf>,
    /// Modules to load before the first fork.
    pub(super) preload: Vec<String>,
    /// The user to become, when the server is root.
    pub(super) drop_to: Option<u32>,
    /// Namespaces and a private root.
    pub(super) namespaces: bool,
    /// A Landlock rule set.
    pub(super) landlock: bool,
    /// The seccomp filters.
    pub(super) seccomp: Option<SeccompPolicy>,
    /// Folder of the zygote's caches when there is no private root.
    pub(super) cache: Option<PathBuf>,
    /// Bounds of each worker.
    pub(super) limits: WorkerLimits,
    /// Groups to remove when the zygote has ended.
    pub(super) groups: Vec<PathBuf>,
    /// A program to run in place of a zygote.
    #[serde(default)]
    pub(super) service: Option<ServicePlan>,
}

/// A program that stays up behind the same fences.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ServicePlan {
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// Its working folder, which is readable.
    pub(super) folder: PathBuf,
    /// Its whole environment.
    pub(super) environment: BTreeMap<String, String>,
    /// Folders of the host that it shares.
    pub(super) shares: Vec<SharedFolder>,
    /// Small files of the host that it gets copies of, for itself alone.
    pub(super) copies: Vec<PathBuf>,
    /// Loopback addresses of its network on which the server listens.
    pub(super) listen: Vec<SocketAddr>,
}

/// Which filters to compile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SeccompPolicy {
    /// A memory group counts shared memory too.
    Standard,
    /// Nothing counts memory that no process maps, so it is refused.
    NoSharedMemory,
}

/// Bounds that each worker sets for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerLimits {
    /// Open descriptors of a process.
    pub open_files: u64,
    /// Largest single file.
    pub file_bytes: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Processor seconds of a process.
    pub cpu_seconds: u64,
    /// Address space of a process; only where no memory group counts.
    pub address_space_bytes: Option<u64>,
    /// Bytes in the run folder.
    pub tmpfs_bytes: u64,
    /// Files in the run folder.
    pub tmpfs_inodes: u64,
    /// Memory of all processes of a run.
    pub memory_bytes: u64,
    /// Processors that a run may keep busy, where groups count that.
    pub processors: u64,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self {
            open_files: 128,
            file_bytes: 64 << 20,
            processes: 64,
            cpu_seconds: 310,
            address_space_bytes: None,
            tmpfs_bytes: 64 << 20,
            tmpfs_inodes: 4096,
            memory_bytes: 512 << 20,
            processors: processors(),
        }
    }
}

/// All but one, so that the server and other runs stay responsive.
fn processors() -> u64 {
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u64::try_from(all).unwrap_or(1).saturating_sub(1).max(1)
}

/// Parts of the system that the interpreter and its packages need. Missing ones are left out.
pub(super) const SYSTEM_PATHS: [&str; 14] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/matplotlibrc",
    "/etc/mime.types",
    "/etc/ssl/openssl.cnf",
];

/// What a service needs besides: the certificates that connections are checked against.
pub(super) const SERVICE_PATHS: [&str; 4] =
    ["/etc/ssl/certs", "/etc/ca-certificates", "/etc/pki/ca-trust/extracted", "/etc/pki/tls"];

/// Devices that code may use. `/dev/zero` is none of them: mapped shared, it is memory that no process
/// is charged for.
pub(super) const DEVICES: [&str; 3] = ["/dev/null", "/dev/random", "/dev/urandom"];

impl LaunchPlan {
    /// All readable paths, no one below another.
    pub(super) fn all_readable(&self) -> Vec<PathBuf> {
        let mut kept: Vec<PathBuf> = SYSTEM_PATHS.iter().map(PathBuf::from).collect();
        let mut own = self.readable.clone();
        if self.service.is_some() {
            own.extend(SERVICE_PATHS.iter().map(PathBuf::from));
        }
        own.sort();
        for path in own {
            if !kept.iter().any(|upper| path.starts_with(upper)) {
                kept.push(path);
            }
        }
        kept
    }

    /// Whether any fence is up at all.
    pub(super) fn fenced(&self) -> bool {
        self.namespaces || self.landlock || self.seccomp.is_some()
    }

    /// Where the zygote may write while it loads modules.
    pub(super) fn cache_folder(&self) -> &Path {
        self.cache.as_deref().unwrap_or(Path::new("/cache"))
    }
}
