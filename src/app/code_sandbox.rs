//! The sandbox for code, as the configuration wants it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::AppError;
use crate::config::python::PythonConfig;
use crate::error::ToolError;
use crate::sandbox::local::{InterpreterProfile, LocalSandbox, LocalSettings, WorkerLimits};
use crate::sandbox::{Sandbox, Tier};

/// The interpreter of most systems. One that is found by name may be a shim in somebody's home.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";
/// Levels of code that runs code, each with places of its own.
const LEVELS: usize = 3;

/// The sandbox of this machine.
pub(super) fn sandbox(config: &PythonConfig) -> Result<Arc<dyn Sandbox>, AppError> {
    let settings = settings(config)
        .map_err(|reason| AppError::Tools(ToolError::invalid("invalid_arguments", reason)))?;
    Ok(Arc::new(LocalSandbox::new(settings)))
}

/// Runs at a time.
pub(super) fn concurrent_runs(config: &PythonConfig) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    if config.concurrent_runs == 0 { 4 * cores.max(2) } else { config.concurrent_runs }
}

fn settings(config: &PythonConfig) -> Result<LocalSettings, String> {
    let least = if config.allow_unsandboxed {
        Tier::Process
    } else {
        config.min_isolation.name().parse()?
    };
    let without =
        config.without_layers.iter().map(|layer| layer.parse()).collect::<Result<_, String>>()?;
    let defaults = LocalSettings::default();
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
        ..defaults
    })
}

fn interpreter(config: &PythonConfig) -> PathBuf {
    match &config.interpreter {
        Some(path) => path.clone(),
        None if Path::new(SYSTEM_PYTHON).exists() => PathBuf::from(SYSTEM_PYTHON),
        None => PathBuf::from("python3"),
    }
}
