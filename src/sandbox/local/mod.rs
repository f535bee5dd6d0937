//! CPython on this machine, behind every fence that the kernel offers.
//!
//! For each interpreter there is a *zygote*: a process with the usual modules loaded that runs no code
//! of anybody. It forks *workers*, which put up their fences and wait in a small pool; each serves one
//! run. See `launcher` for the processes in between.
//!
//! | file | holds |
//! | --- | --- |
//! | `launcher`, `root`, `fence`, `seccomp`, `sys` | the way from this program to a fenced interpreter |
//! | `helper`, `zygote`, `worker`, `pool` | the server's ends of them |
//! | `inside`, `shares`, `service` | a program that stays up, in place of a zygote: its side and the server's |
//! | `run`, `frames`, `output`, `collect` | one run: its clock, channel, output, files |
//! | `cgroup`, `host`, `kernel_files` | the machine: groups, what is missing and how to fix it |
//! | `profile`, `interpreter`, `imports` | interpreters, what they load, which zygote serves a run |
//! | `header`, `dependencies` | packages that code names, installed outside |
//! | `scratch` | run folders on disk, where there is no private root |

mod cgroup;
mod collect;
mod dependencies;
mod embedded;
mod fence;
mod frames;
mod header;
mod helper;
mod host;
mod imports;
mod inside;
mod interpreter;
mod kernel_files;
pub(super) mod launcher;
mod output;
mod plan;
mod pool;
mod profile;
mod root;
mod run;
mod scratch;
mod seccomp;
mod service;
mod shares;
mod sys;
mod worker;
mod zygote;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::{Mutex as AsyncMutex, OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use dependencies::DependencySettings;
pub use plan::WorkerLimits;
pub use profile::InterpreterProfile;

use self::cgroup::Groups;
use self::dependencies::Builder;
use self::interpreter::Interpreter;
use self::run::Run;
use super::{
    IsolationReport, Layer, LayerState, ProfileReport, RunHandle, RunKind, RunSpec, Sandbox,
    SandboxError, SandboxReport, Service, ServiceSpec, Tier,
};

/// Interpreters with dependencies of code that are kept warm.
const ENVIRONMENTS: usize = 4;
/// A user that no system uses (between the ranges that systemd hands out).
const SANDBOX_USER: u32 = 60_978;

/// How the operator wants it.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// This program, which starts itself again as a helper.
    pub program: PathBuf,
    /// Below this tier nothing runs. [`Tier::Process`] is no isolation at all: an explicit choice.
    pub least: Tier,
    /// Layers that are left out even where they can be had.
    pub without: BTreeSet<Layer>,
    /// Interpreters; the first one is the default.
    pub profiles: Vec<InterpreterProfile>,
    /// Workers that wait, for each interpreter.
    pub pool: usize,
    /// Runs at the same time; more wait for their turn.
    pub running: usize,
    /// Bounds of each worker.
    pub limits: WorkerLimits,
    /// Who children become when the server is root.
    pub user: u32,
    /// How dependencies that code names are met; `None` refuses such code.
    pub dependencies: Option<DependencySettings>,
}

impl Default for LocalSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            program: PathBuf::from("/proc/self/exe"),
            least: Tier::NoUserns,
            without: BTreeSet::new(),
            profiles: vec![InterpreterProfile::system()],
            pool: cores.max(2),
            running: 4 * cores.max(2),
            limits: WorkerLimits::default(),
            user: SANDBOX_USER,
            dependencies: None,
        }
    }
}

/// The sandbox of this machine.
pub struct LocalSandbox {
    settings: LocalSettings,
    machine: OnceCell<Machine>,
    profiles: BTreeMap<String, OnceCell<Result<Arc<Interpreter>, SandboxError>>>,
    environments: AsyncMutex<Vec<Environment>>,
    builder: Builder,
    running: Arc<Semaphore>,
    closed: CancellationToken,
    tasks: TaskTracker,
}

/// An interpreter with the dependencies of some code, in service.
struct Environment {
    folder: PathBuf,
    interpreter: Arc<Interpreter>,
}

/// What all interpreters share.
struct Machine {
    groups: Option<Arc<Groups>>,
    groups_missing: Option<String>,
    /// Run folders and caches, where there is no private root.
    scratch: Mutex<Option<TempDir>>,
    /// Who children become when the server is root.
    user: Option<u32>,
}

impl Machine {
    fn scratch(&self) -> Result<PathBuf, String> {
        let mut made = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = made.as_ref() {
            return Ok(folder.path().to_owned());
        }
        let folder = scratch::make(self.user)?;
        Ok(made.insert(folder).path().to_owned())
    }
}

impl LocalSandbox {
    /// Starts nothing yet: the first run or [`Self::warm_up`] does.
    pub fn new(settings: LocalSettings) -> Self {
        let profiles = settings
            .profiles
            .iter()
            .map(|profile| (profile.name.clone(), OnceCell::new()))
            .collect();
        let running = Arc::new(Semaphore::new(settings.running.max(1)));
        Self {
            settings,
            machine: OnceCell::new(),
            profiles,
            environments: AsyncMutex::default(),
            builder: Builder::default(),
            running,
            closed: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Starts the default interpreter and fills its pool; its packages load on behind that.
    pub async fn warm_up(&self) -> Result<(), SandboxError> {
        let interpreter = self.profile(None).await?;
        interpreter.filled().await;
        interpreter.load_packages();
        Ok(())
    }

    /// Returns when as many workers of a profile wait as should.
    pub async fn pool_filled(&self, profile: Option<&str>) -> Result<(), SandboxError> {
        self.profile(profile).await?.filled().await;
        Ok(())
    }

    async fn profile(&self, name: Option<&str>) -> Result<&Arc<Interpreter>, SandboxError> {
        if self.closed.is_cancelled() {
            return Err(SandboxError::Closed);
        }
        let unknown = |name: &str| SandboxError::UnknownProfile {
            name: name.to_owned(),
            known: self.profiles.keys().cloned().collect::<Vec<_>>().join(", "),
        };
        let default = self.settings.profiles.first().map(|profile| profile.name.as_str());
        let name = name.or(default).unwrap_or("default");
        let wanted = self.settings.profiles.iter().find(|profile| profile.name == name);
        let (Some(wanted), Some(cell)) = (wanted, self.profiles.get(name)) else {
            return Err(unknown(name));
        };
        let opened = cell
            .get_or_init(|| async {
                let machine = self.machine().await;
                let resolved = profile::resolve(wanted).await?;
                Interpreter::open(&self.settings, machine, resolved, &self.closed, &self.tasks)
                    .await
                    .map(Arc::new)
            })
            .await;
        opened.as_ref().map_err(SandboxError::clone)
    }

    /// The interpreter that a run wants, with the packages that its code names.
    async fn interpreter(&self, spec: &RunSpec) -> Result<Arc<Interpreter>, SandboxError> {
        let plain = Arc::clone(self.profile(spec.profile.as_deref()).await?);
        let header = if spec.kind == RunKind::Execute { header::read(&spec.code)? } else { None };
        let Some(header) = header else { return Ok(plain) };
        let version = &plain.resolved.version;
        if let Some(wanted) = &header.requires_python
            && !header::fits(wanted, version)
        {
            return Err(dependencies::wrong_python(wanted, version));
        }
        if header.dependencies.is_empty() {
            return Ok(plain);
        }
        let settings = self.settings.dependencies.as_ref().ok_or_else(dependencies::not_allowed)?;
        let executable = &plain.resolved.executable;
        let folder =
            self.builder.environment(settings, executable, version, &header.dependencies).await?;
        let mut environments = self.environments.lock().await;
        if let Some(at) = environments.iter().position(|known| known.folder == folder) {
            // The last one was wanted last.
            let known = environments.remove(at);
            let interpreter = Arc::clone(&known.interpreter);
            environments.push(known);
            return Ok(interpreter);
        }
        // One that serves a run is held by it.
        let idle = |known: &Environment| Arc::strong_count(&known.interpreter) == 1;
        if environments.len() >= ENVIRONMENTS
            && let Some(at) = environments.iter().position(idle)
        {
            environments.remove(at).interpreter.retire();
        }
        let resolved = plain.resolved.with_environment(&folder);
        let machine = self.machine().await;
        let opened =
            Interpreter::open(&self.settings, machine, resolved, &self.closed, &self.tasks).await?;
        let interpreter = Arc::new(opened);
        environments.push(Environment { folder, interpreter: Arc::clone(&interpreter) });
        Ok(interpreter)
    }

    async fn machine(&self) -> &Machine {
        self.machine
            .get_or_init(|| async {
                let limits = self.settings.limits.clone();
                let off = [Layer::CgroupMemory, Layer::CgroupPids]
                    .iter()
                    .any(|layer| self.settings.without.contains(layer));
                let groups = if off {
                    Err("it is switched off".to_owned())
                } else {
                    tokio::task::spawn_blocking(move || cgroup::establish(&limits))
                        .await
                        .unwrap_or_else(|error| Err(error.to_string()))
                };
                let (groups, groups_missing) = match groups {
                    Ok(groups) => (Some(Arc::new(groups)), None),
                    Err(reason) => (None, Some(reason)),
                };
                let user = rustix::process::geteuid().is_root().then_some(self.settings.user);
                Machine { groups, groups_missing, scratch: Mutex::default(), user }
            })
            .await
    }

    async fn profile_report(
        &self,
        wanted: &InterpreterProfile,
    ) -> (ProfileReport, Option<IsolationReport>) {
        let mut report = ProfileReport {
            name: wanted.name.clone(),
            executable: wanted.executable.display().to_string(),
            version: None,
            preloaded: Vec::new(),
            missing: BTreeMap::new(),
            error: None,
        };
        match self.profile(Some(&wanted.name)).await {
            Ok(profile) => {
                profile.describe(&mut report).await;
                (report, Some(IsolationReport::clone(&profile.isolation)))
            }
            Err(error) => {
                report.error = Some(error.to_string());
                let isolation = match error {
                    SandboxError::TooWeak { report, .. } => Some(report.isolation),
                    _ => None,
                };
                (report, isolation)
            }
        }
    }
}

#[async_trait]
impl Sandbox for LocalSandbox {
    async fn start(&self, spec: RunSpec) -> Result<RunHandle, SandboxError> {
        spec.check()?;
        let interpreter = self.interpreter(&spec).await?;
        let permit =
            Arc::clone(&self.running).acquire_owned().await.map_err(|_| SandboxError::Closed)?;
        let pool = Arc::clone(interpreter.pool_for(&spec).await);
        let worker =
            pool.take().await.map_err(|refusal| SandboxError::Start(refusal.to_string()))?;
        let (handle, driver) = RunHandle::pair();
        let isolation = Arc::clone(&interpreter.isolation);
        let memory = self.settings.limits.memory_bytes;
        let run = Run::new(worker, spec, driver, isolation, memory);
        self.tasks.spawn(async move {
            run.drive(|| pool.run_ended()).await;
            drop((permit, interpreter));
        });
        Ok(handle)
    }

    async fn start_service(&self, spec: ServiceSpec) -> Result<Service, SandboxError> {
        if self.closed.is_cancelled() {
            return Err(SandboxError::Closed);
        }
        let machine = self.machine().await;
        service::start(&self.settings, machine, spec, &self.closed, &self.tasks).await
    }

    async fn report(&self) -> SandboxReport {
        let mut isolation = None;
        let mut profiles = Vec::new();
        for wanted in &self.settings.profiles {
            let (report, found) = self.profile_report(wanted).await;
            profiles.push(report);
            isolation = isolation.or(found);
        }
        let isolation = isolation.unwrap_or_else(|| {
            let reason = "no interpreter could be started".to_owned();
            let fix = "sudo apt-get install python3".to_owned();
            let missing = LayerState::Missing { reason, fix };
            IsolationReport::new(Layer::ALL.map(|layer| (layer, missing.clone())).into())
        });
        SandboxReport { isolation, profiles }
    }

    async fn close(&self) {
        self.closed.cancel();
        self.running.close();
        self.tasks.close();
        self.tasks.wait().await;
        let Some(machine) = self.machine.get() else { return };
        let groups = machine.groups.clone();
        let scratch = machine.scratch.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Blocks for a moment at most: every process is gone.
        let _ = tokio::task::spawn_blocking(move || {
            drop(scratch);
            if let Some(groups) = groups {
                groups.close();
            }
        })
        .await;
    }
}

impl std::fmt::Debug for LocalSandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LocalSandbox")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
