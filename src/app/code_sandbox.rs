//! The sandbox for code, as the configuration wants it.

use std::path::Path;
#[cfg(target_os = "linux")]
use std::path::PathBuf;
use std::sync::Arc;

use super::AppError;
use crate::config::python::PythonConfig;
use crate::error::ToolError;
use crate::sandbox::{Sandbox, Tier};

/// The interpreter of most systems. One that is found by name may be a shim in somebody's home.
#[cfg(target_os = "linux")]
const SYSTEM_PYTHON: &str = "/usr/bin/python3";
/// Levels of code that runs code, each with places of its own.
#[cfg(target_os = "linux")]
const LEVELS: usize = 3;

/// The sandbox of this machine.
#[cfg(target_os = "linux")]
pub(super) fn sandbox(
    config: &PythonConfig,
    data_dir: &Path,
) -> Result<Arc<dyn Sandbox>, AppError> {
    use crate::sandbox::local::LocalSandbox;

    let settings = settings(config, data_dir)
        .map_err(|reason| AppError::Tools(ToolError::invalid("invalid_arguments", reason)))?;
    Ok(Arc::new(LocalSandbox::new(settings)))
}

/// No sandbox: code runs on Linux.
#[cfg(not(target_os = "linux"))]
pub(super) fn sandbox(
    _config: &PythonConfig,
    _data_dir: &Path,
) -> Result<Arc<dyn Sandbox>, AppError> {
    Ok(Arc::new(elsewhere::NoSandbox))
}

/// The tier below which nothing runs.
pub(super) fn least(config: &PythonConfig) -> Result<Tier, AppError> {
    least_tier(config)
        .map_err(|reason| AppError::Tools(ToolError::invalid("invalid_arguments", reason)))
}

fn least_tier(config: &PythonConfig) -> Result<Tier, String> {
    if config.allow_unsandboxed { Ok(Tier::Process) } else { config.min_isolation.name().parse() }
}

/// Runs at a time.
pub(super) fn concurrent_runs(config: &PythonConfig) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    if config.concurrent_runs == 0 { 4 * cores.max(2) } else { config.concurrent_runs }
}

#[cfg(target_os = "linux")]
fn settings(
    config: &PythonConfig,
    data_dir: &Path,
) -> Result<crate::sandbox::local::LocalSettings, String> {
    use crate::sandbox::local::{
        DependencySettings, InterpreterProfile, LocalSettings, WorkerLimits,
    };

    let least = least_tier(config)?;
    let without =
        config.without_layers.iter().map(|layer| layer.parse()).collect::<Result<_, String>>()?;
    Ok(LocalSettings {
        least,
        without,
        profiles: vec![InterpreterProfile::new("default", interpreter(config))],
        // Who waits for the host, or for code further inside, keeps a place.
        running: LEVELS * concurrent_runs(config) + config.waiting_runs,
        limits: WorkerLimits {
            processes: config.processes,
            memory_bytes: config.memory_bytes,
            ..WorkerLimits::default()
        },
        dependencies: config.allow_dependencies.then(|| DependencySettings {
            uv: config.uv.clone(),
            find_links: config.wheels.clone(),
            index: config.package_index.clone(),
            offline: config.only_local_wheels,
            ..DependencySettings::new(data_dir.join("packages"))
        }),
        ..LocalSettings::default()
    })
}

#[cfg(target_os = "linux")]
fn interpreter(config: &PythonConfig) -> PathBuf {
    match &config.interpreter {
        Some(path) => path.clone(),
        None if Path::new(SYSTEM_PYTHON).exists() => PathBuf::from(SYSTEM_PYTHON),
        None => PathBuf::from("python3"),
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::collections::BTreeMap;

    use async_trait::async_trait;

    use crate::sandbox::{
        IsolationReport, RunHandle, RunSpec, Sandbox, SandboxError, SandboxReport,
    };

    /// Refuses every run.
    pub(super) struct NoSandbox;

    #[async_trait]
    impl Sandbox for NoSandbox {
        async fn start(&self, _spec: RunSpec) -> Result<RunHandle, SandboxError> {
            Err(SandboxError::Start("code is isolated and run on Linux only".to_owned()))
        }

        async fn report(&self) -> SandboxReport {
            let isolation = IsolationReport::new(BTreeMap::new());
            SandboxReport { isolation, profiles: Vec::new() }
        }

        async fn close(&self) {}
    }
}
