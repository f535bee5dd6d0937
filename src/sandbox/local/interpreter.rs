//! One interpreter in service: the layers that hold here, and its zygotes.
//!
//! There are up to two zygotes. One has the standard library loaded and is small, so that its forks
//! are cheap; the other has the profile's packages loaded too, which takes long and makes each fork
//! dearer, so it is started when code first imports one, or when the server has time.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::host::{self, Findings};
use super::imports::needs_packages;
use super::plan::{LaunchPlan, SeccompPolicy};
use super::pool::{Pool, PoolSettings};
use super::profile::Resolved;
use super::zygote::{Ready, Refusal};
use super::{LocalSettings, Machine};
use crate::sandbox::{
    IsolationReport, Layer, ProfileReport, RunKind, RunSpec, SandboxError, SandboxReport, Tier,
};

/// Address space of a process where no group counts memory. Less breaks libraries that reserve much.
pub(super) const ADDRESS_SPACE_BYTES: u64 = 4 << 30;

/// An interpreter that serves.
pub(super) struct Interpreter {
    plain: Arc<Pool>,
    packages: Option<Arc<Packages>>,
    pub(super) isolation: Arc<IsolationReport>,
    ready: Ready,
    pub(super) resolved: Resolved,
    closed: CancellationToken,
    tasks: TaskTracker,
}

/// The zygote with packages, started when it is needed.
struct Packages {
    settings: PoolSettings,
    opened: OnceCell<Result<(Arc<Pool>, Ready), Refusal>>,
    closed: CancellationToken,
    tasks: TaskTracker,
}

impl Packages {
    async fn pool(&self) -> Result<&(Arc<Pool>, Ready), &Refusal> {
        let opened = self
            .opened
            .get_or_init(|| async {
                let (closed, tasks) = (self.closed.clone(), self.tasks.clone());
                let opened = Pool::open(self.settings.clone(), closed, tasks).await;
                if let Err(refusal) = &opened {
                    tracing::warn!(%refusal, "packages cannot be loaded before runs");
                }
                opened
            })
            .await;
        opened.as_ref()
    }
}

impl Interpreter {
    /// Tries the strongest way first, and weaker ones as the machine refuses.
    pub(super) async fn open(
        settings: &LocalSettings,
        machine: &Machine,
        interpreter: Resolved,
        closed: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Self, SandboxError> {
        let off = |layer: Layer| settings.without.contains(&layer);
        let mut findings =
            Findings { groups: machine.groups_missing.clone(), ..Findings::default() };
        let groups = machine.groups.clone();
        let mut limits = settings.limits.clone();
        let mut policy = SeccompPolicy::Standard;
        if groups.is_none() {
            policy = SeccompPolicy::NoSharedMemory;
            limits.address_space_bytes.get_or_insert(ADDRESS_SPACE_BYTES);
        }
        let mut plan = LaunchPlan {
            executable: interpreter.executable.clone(),
            readable: interpreter.readable.clone(),
            search_paths: interpreter.search_paths.clone(),
            preload: interpreter.preload.clone(),
            drop_to: rustix::process::geteuid().is_root().then_some(settings.user),
            namespaces: !Layer::NAMESPACES.into_iter().any(off),
            landlock: !off(Layer::Landlock),
            seccomp: (!off(Layer::Seccomp)).then_some(policy),
            cache: None,
            limits,
            groups: groups.as_ref().map(|groups| groups.folders()).unwrap_or_default(),
            service: None,
        };
        let closed = closed.child_token();
        let (plain, ready, pool_settings) = loop {
            let scratch = if plan.namespaces {
                PathBuf::new()
            } else {
                machine.scratch().map_err(SandboxError::Start)?
            };
            plan.cache = (!plan.namespaces).then(|| scratch.join("cache"));
            let pool_settings = PoolSettings {
                program: settings.program.clone(),
                plan: plan.clone(),
                size: settings.pool,
                scratch,
                groups: groups.clone(),
            };
            let opened = Pool::open(pool_settings.clone(), closed.clone(), tasks.clone()).await;
            match opened {
                Ok((pool, ready)) => break (pool, ready, pool_settings),
                Err(refusal) => weaken(&mut plan, &mut findings, &refusal)?,
            }
        };
        let states = host::states(&plain.held(), &findings, &settings.without);
        let isolation = IsolationReport::new(states);
        if isolation.tier < settings.least {
            closed.cancel();
            return Err(too_weak(settings.least, isolation));
        }
        tracing::info!(
            interpreter = %interpreter.executable.display(),
            python = ready.python,
            tier = isolation.tier.name(),
            "the sandbox is ready"
        );
        let packages = (!interpreter.packages.is_empty()).then(|| {
            let preload = [&interpreter.preload[..], &interpreter.packages[..]].concat();
            let plan = LaunchPlan { preload, ..pool_settings.plan.clone() };
            Arc::new(Packages {
                settings: PoolSettings { plan, ..pool_settings },
                opened: OnceCell::new(),
                closed: closed.clone(),
                tasks: tasks.clone(),
            })
        });
        Ok(Self {
            plain,
            packages,
            isolation: Arc::new(isolation),
            ready,
            resolved: interpreter,
            closed,
            tasks: tasks.clone(),
        })
    }

    /// The workers that serve a run best.
    pub(super) async fn pool_for(&self, spec: &RunSpec) -> &Arc<Pool> {
        let Some(packages) = &self.packages else { return &self.plain };
        if spec.kind == RunKind::Inspect || !needs_packages(&spec.code, &self.resolved.standard) {
            return &self.plain;
        }
        // Without that zygote the code loads its packages itself.
        packages.pool().await.map_or(&self.plain, |(pool, _)| pool)
    }

    /// Starts what is started later otherwise; does not wait for it.
    pub(super) fn load_packages(&self) {
        if let Some(packages) = self.packages.clone() {
            self.tasks.spawn(async move {
                let _ = packages.pool().await;
            });
        }
    }

    /// Ends its zygotes and their workers; for one that serves no run.
    pub(super) fn retire(&self) {
        self.closed.cancel();
    }

    /// Returns when as many workers wait as should.
    pub(super) async fn filled(&self) {
        self.plain.filled().await;
        if let Some((pool, _)) = self
            .packages
            .as_ref()
            .and_then(|packages| packages.opened.get())
            .and_then(|opened| opened.as_ref().ok())
        {
            pool.filled().await;
        }
    }

    /// Says what it is, with its packages loaded.
    pub(super) async fn describe(&self, report: &mut ProfileReport) {
        report.executable = self.resolved.executable.display().to_string();
        report.version = Some(self.ready.python.clone());
        report.preloaded.clone_from(&self.ready.preloaded);
        report.missing.clone_from(&self.ready.missing);
        for name in &self.resolved.absent {
            report.missing.insert(name.clone(), "it is not installed".to_owned());
        }
        if let Some(packages) = &self.packages {
            match packages.pool().await {
                Ok((_, ready)) => {
                    report.preloaded.clone_from(&ready.preloaded);
                    report.missing.extend(ready.missing.clone());
                }
                Err(refusal) => {
                    report.missing.insert("packages".to_owned(), refusal.to_string());
                }
            }
        }
    }
}

/// Says what is missing and how to get it.
pub(super) fn too_weak(least: Tier, isolation: IsolationReport) -> SandboxError {
    let missing: Vec<_> =
        isolation.missing().map(|(layer, reason, _)| format!("{layer} ({reason})")).collect();
    let mut fixes: Vec<_> = isolation.missing().map(|(_, _, fix)| fix).collect();
    fixes.dedup();
    let fix = fixes.join("; and: ");
    SandboxError::TooWeak {
        reached: isolation.tier,
        least,
        missing: missing.join(", "),
        fix,
        report: Box::new(SandboxReport { isolation, profiles: Vec::new() }),
    }
}

/// Leaves out the layer that was refused, or gives up.
pub(super) fn weaken(
    plan: &mut LaunchPlan,
    findings: &mut Findings,
    refusal: &Refusal,
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
        let path = plan.executable.display().to_string();
        return Err(SandboxError::Interpreter { path, reason: text, fix });
    } else if plan.namespaces && !refusal.step.starts_with("prepare") {
        plan.namespaces = false;
        findings.namespaces = Some(text);
    } else {
        return Err(SandboxError::Start(text));
    }
    Ok(())
}
