//! CPython on this machine, behind every fence that the kernel offers.
//!
//! For each interpreter there is a *zygote*: a process with the usual modules loaded that runs no code
//! of anybody. It forks *workers*, which put up their fences and wait in a small pool; each serves one
//! run. See `launcher` for the processes in between.
//!
//! | file | holds |
//! | --- | --- |
//! | `launcher`, `root`, `fence`, `seccomp`, `sys` | the way from this program to a fenced interpreter |
//! | `zygote`, `worker`, `pool` | the server's ends of them |
//! | `run`, `frames`, `output`, `collect` | one run: its clock, channel, output, files |
//! | `cgroup`, `host`, `kernel_files` | the machine: groups, what is missing and how to fix it |
//! | `profile` | interpreters and virtual environments |

mod cgroup;
mod collect;
mod embedded;
mod fence;
mod frames;
mod host;
mod kernel_files;
pub(super) mod launcher;
mod output;
mod plan;
mod pool;
mod profile;
mod root;
mod run;
mod seccomp;
mod sys;
mod worker;
mod zygote;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use plan::WorkerLimits;
pub use profile::InterpreterProfile;

use self::cgroup::Groups;
use self::host::Findings;
use self::plan::{LaunchPlan, SeccompPolicy};
use self::pool::{Pool, PoolSettings};
use self::run::Run;
use self::zygote::{Ready, Refusal};
use super::{
    IsolationReport, Layer, LayerState, ProfileReport, RunHandle, RunSpec, Sandbox, SandboxError,
    SandboxReport, Tier,
};

/// Address space of a process where no group counts memory. Less breaks libraries that reserve much.
const ADDRESS_SPACE_BYTES: u64 = 4 << 30;
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
}

impl Default for LocalSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            program: PathBuf::from("/proc/self/exe"),
            least: Tier::NoUserns,
            without: BTreeSet::new(),
            profiles: vec![InterpreterProfile::new("default", "python3")],
            pool: cores.max(2),
            running: 4 * cores.max(2),
            limits: WorkerLimits::default(),
            user: SANDBOX_USER,
        }
    }
}

/// The sandbox of this machine.
pub struct LocalSandbox {
    settings: LocalSettings,
    machine: OnceCell<Machine>,
    profiles: BTreeMap<String, OnceCell<Result<Profile, SandboxError>>>,
    running: Arc<Semaphore>,
    closed: CancellationToken,
    tasks: TaskTracker,
}

/// What all interpreters share.
struct Machine {
    groups: Option<Arc<Groups>>,
    groups_missing: Option<String>,
    /// Run folders and caches, where there is no private root.
    scratch: Result<TempDir, String>,
}

/// One interpreter in service.
struct Profile {
    pool: Arc<Pool>,
    isolation: Arc<IsolationReport>,
    ready: Ready,
    executable: PathBuf,
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
            running,
            closed: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Starts the default interpreter and fills its pool.
    pub async fn warm_up(&self) -> Result<(), SandboxError> {
        self.profile(None).await?.pool.filled().await;
        Ok(())
    }

    /// Returns when as many workers of a profile wait as should.
    pub async fn pool_filled(&self, profile: Option<&str>) -> Result<(), SandboxError> {
        self.profile(profile).await?.pool.filled().await;
        Ok(())
    }

    async fn profile(&self, name: Option<&str>) -> Result<&Profile, SandboxError> {
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
        let opened = cell.get_or_init(|| self.open(wanted)).await;
        opened.as_ref().map_err(SandboxError::clone)
    }

    /// Tries the strongest way first, and weaker ones as the machine refuses.
    async fn open(&self, wanted: &InterpreterProfile) -> Result<Profile, SandboxError> {
        let interpreter = profile::resolve(wanted).await?;
        let machine = self.machine().await;
        let off = |layer: Layer| self.settings.without.contains(&layer);
        let mut findings =
            Findings { groups: machine.groups_missing.clone(), ..Findings::default() };
        let groups = machine.groups.clone();
        let mut limits = self.settings.limits.clone();
        let mut policy = SeccompPolicy::Standard;
        if groups.is_none() {
            policy = SeccompPolicy::NoSharedMemory;
            limits.address_space_bytes.get_or_insert(ADDRESS_SPACE_BYTES);
        }
        let mut plan = LaunchPlan {
            executable: interpreter.executable.clone(),
            readable: interpreter.readable.clone(),
            search_paths: interpreter.search_paths.clone(),
            preload: wanted.preload.clone(),
            drop_to: rustix::process::geteuid().is_root().then_some(self.settings.user),
            namespaces: !Layer::NAMESPACES.into_iter().any(off),
            landlock: !off(Layer::Landlock),
            seccomp: (!off(Layer::Seccomp)).then_some(policy),
            cache: None,
            limits,
            groups: groups.as_ref().map(|groups| groups.folders()).unwrap_or_default(),
        };
        let (pool, ready) = loop {
            let scratch = match (&plan.namespaces, &machine.scratch) {
                (true, _) => PathBuf::new(),
                (false, Ok(folder)) => folder.path().to_owned(),
                (false, Err(reason)) => return Err(SandboxError::Start(reason.clone())),
            };
            plan.cache = (!plan.namespaces).then(|| scratch.join("cache"));
            let settings = PoolSettings {
                program: self.settings.program.clone(),
                plan: plan.clone(),
                size: self.settings.pool,
                scratch,
                groups: groups.clone(),
            };
            let opened = Pool::open(settings, self.closed.clone(), self.tasks.clone()).await;
            match opened {
                Ok(opened) => break opened,
                Err(refusal) => weaken(&mut plan, &mut findings, &refusal, wanted)?,
            }
        };
        let states = host::states(&pool.held(), &findings, &self.settings.without);
        let isolation = IsolationReport::new(states);
        if isolation.tier < self.settings.least {
            return Err(self.too_weak(isolation));
        }
        tracing::info!(
            profile = wanted.name,
            python = ready.python,
            tier = isolation.tier.name(),
            "the sandbox is ready"
        );
        Ok(Profile {
            pool,
            isolation: Arc::new(isolation),
            ready,
            executable: interpreter.executable,
        })
    }

    fn too_weak(&self, isolation: IsolationReport) -> SandboxError {
        let missing: Vec<_> =
            isolation.missing().map(|(layer, reason, _)| format!("{layer} ({reason})")).collect();
        let fix = isolation.missing().map(|(_, _, fix)| fix.to_owned()).next().unwrap_or_default();
        SandboxError::TooWeak {
            reached: isolation.tier,
            least: self.settings.least,
            missing: missing.join(", "),
            fix,
            report: Box::new(SandboxReport { isolation, profiles: Vec::new() }),
        }
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
                Machine { groups, groups_missing, scratch: self.make_scratch() }
            })
            .await
    }

    /// Run folders on disk: nobody but their owner may list them.
    fn make_scratch(&self) -> Result<TempDir, String> {
        let make = || -> std::io::Result<TempDir> {
            let folder = tempfile::Builder::new().prefix("atelier-sandbox-").tempdir()?;
            kernel_files::make_folder(&folder.path().join("cache"))?;
            if rustix::process::geteuid().is_root() {
                let user = Some(rustix::process::Uid::from_raw(self.settings.user));
                for path in [folder.path().to_owned(), folder.path().join("cache")] {
                    rustix::fs::chown(&path, user, None)?;
                }
            }
            Ok(folder)
        };
        make().map_err(|error| format!("a folder for runs cannot be made: {error}"))
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
                report.executable = profile.executable.display().to_string();
                report.version = Some(profile.ready.python.clone());
                report.preloaded.clone_from(&profile.ready.preloaded);
                report.missing.clone_from(&profile.ready.missing);
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
        let profile = self.profile(spec.profile.as_deref()).await?;
        let permit =
            Arc::clone(&self.running).acquire_owned().await.map_err(|_| SandboxError::Closed)?;
        let worker = profile
            .pool
            .take()
            .await
            .map_err(|refusal| SandboxError::Start(refusal.to_string()))?;
        let (handle, driver) = RunHandle::pair();
        let isolation = Arc::clone(&profile.isolation);
        let memory = self.settings.limits.memory_bytes;
        let run = Run::new(worker, spec, driver, isolation, memory);
        let pool = Arc::clone(&profile.pool);
        self.tasks.spawn(async move {
            run.drive().await;
            pool.run_ended();
            drop(permit);
        });
        Ok(handle)
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
        if let Some(groups) = self.machine.get().and_then(|machine| machine.groups.clone()) {
            // Blocks for a moment at most: every process is gone.
            let _ = tokio::task::spawn_blocking(move || groups.close()).await;
        }
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

/// Leaves out the layer that was refused, or gives up.
fn weaken(
    plan: &mut LaunchPlan,
    findings: &mut Findings,
    refusal: &Refusal,
    wanted: &InterpreterProfile,
) -> Result<(), SandboxError> {
    let text = refusal.to_string();
    if refusal.step == "seccomp" && plan.seccomp.take().is_some() {
        findings.seccomp = Some(text);
    } else if refusal.step == "landlock" && plan.landlock {
        plan.landlock = false;
        findings.landlock = Some(text);
    } else if refusal.step.starts_with("start /") {
        let mut fix = "sudo apt-get install python3".to_owned();
        if plan.drop_to.is_some() {
            fix = format!("use an interpreter that every user may execute; {fix}");
        }
        let path = wanted.executable.display().to_string();
        return Err(SandboxError::Interpreter { path, reason: text, fix });
    } else if plan.namespaces && !refusal.step.starts_with("prepare") {
        plan.namespaces = false;
        findings.namespaces = Some(text);
    } else {
        return Err(SandboxError::Start(text));
    }
    Ok(())
}
