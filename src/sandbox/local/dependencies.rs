//! Environments for the dependencies that code names: built by `uv` outside the sandbox, from wheels
//! alone, so that nothing of a package runs before it is inside; kept by what they hold; read-only
//! for runs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::kernel_files::{children, make_folder};
use crate::sandbox::SandboxError;

/// Longest time for an environment.
const BUILD_LIMIT: Duration = Duration::from_mins(3);
/// Characters of uv's complaint that are passed on.
const COMPLAINT: usize = 1500;
const INSTALL: &str = "install uv (see its documentation) and name it in `python.uv`";

/// Whether and how dependencies are met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencySettings {
    /// The program `uv`: a path, or a name on the PATH.
    pub uv: PathBuf,
    /// Folder of the environments and of uv's own cache.
    pub cache: PathBuf,
    /// Folders with wheels, beside the index.
    pub find_links: Vec<PathBuf>,
    /// Address of the index; absent is uv's default.
    pub index: Option<String>,
    /// Wheels come from `find_links` alone.
    pub offline: bool,
    /// Environments that are kept; older ones go.
    pub kept: usize,
}

impl DependencySettings {
    /// uv from the PATH with its usual index.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            uv: PathBuf::from("uv"),
            cache: cache.into(),
            find_links: Vec::new(),
            index: None,
            offline: false,
            kept: 20,
        }
    }
}

/// Builds environments, one at a time.
#[derive(Debug, Default)]
pub(super) struct Builder {
    building: Mutex<()>,
}

impl Builder {
    /// The folder that holds these dependencies for this interpreter.
    pub(super) async fn environment(
        &self,
        settings: &DependencySettings,
        interpreter: &Path,
        version: &str,
        dependencies: &[String],
    ) -> Result<PathBuf, SandboxError> {
        let folder = settings.cache.join(name(settings, interpreter, version, dependencies));
        let _alone = self.building.lock().await;
        if folder.is_dir() {
            touch(&folder);
            return Ok(folder);
        }
        let failed = |reason: String| failure(dependencies, &reason);
        make_folders(&settings.cache).map_err(|error| {
            failed(format!("{} cannot be made: {error}", settings.cache.display()))
        })?;
        let building = tempfile::Builder::new()
            .prefix(".building-")
            .tempdir_in(&settings.cache)
            .map_err(|error| failed(error.to_string()))?;
        let target = building.path().join("packages");
        install(settings, interpreter, dependencies, &target).await?;
        make_folder(&target).map_err(|error| failed(error.to_string()))?;
        rustix::fs::rename(&target, &folder).map_err(|error| failed(error.to_string()))?;
        forget_old(settings, &folder);
        Ok(folder)
    }
}

/// Equal for equal wishes, whatever their order.
fn name(
    settings: &DependencySettings,
    interpreter: &Path,
    version: &str,
    dependencies: &[String],
) -> String {
    let mut wishes: Vec<String> = dependencies
        .iter()
        .map(|wish| wish.split_whitespace().collect::<String>().to_ascii_lowercase())
        .collect();
    wishes.sort();
    wishes.dedup();
    let sources = format!("{:?} {:?} {}", settings.index, settings.find_links, settings.offline);
    let mut hash = Sha256::new();
    for part in [&interpreter.display().to_string(), version, &sources, &wishes.join("\n")] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

async fn install(
    settings: &DependencySettings,
    interpreter: &Path,
    dependencies: &[String],
    target: &Path,
) -> Result<(), SandboxError> {
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that starts processes")]
    let mut command = tokio::process::Command::new(&settings.uv);
    command
        .args(["pip", "install", "--only-binary", ":all:", "--no-config", "--quiet"])
        .args(["--no-progress", "--color", "never", "--link-mode", "copy", "--python"])
        .arg(interpreter)
        .arg("--target")
        .arg(target);
    for folder in &settings.find_links {
        command.arg("--find-links").arg(folder);
    }
    if let Some(index) = &settings.index {
        command.args(["--default-index", index]);
    }
    if settings.offline {
        command.args(["--no-index", "--offline"]);
    }
    command
        .arg("--")
        .args(dependencies)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", &settings.cache)
        .env("UV_CACHE_DIR", settings.cache.join("uv"))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = match tokio::time::timeout(BUILD_LIMIT, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            return Err(SandboxError::Dependencies {
                code: "dependencies_not_allowed",
                reason: format!(
                    "the code names dependencies, and `{}` cannot be started: {error}",
                    settings.uv.display()
                ),
                fix: INSTALL.to_owned(),
            });
        }
        Err(_) => {
            let reason = format!("uv takes longer than {} s", BUILD_LIMIT.as_secs());
            return Err(failure(dependencies, &reason));
        }
    };
    if output.status.success() {
        return Ok(());
    }
    let complaint: String =
        String::from_utf8_lossy(&output.stderr).trim().chars().take(COMPLAINT).collect();
    Err(failure(dependencies, &complaint))
}

/// Code names dependencies where the operator has not allowed that.
pub(super) fn not_allowed() -> SandboxError {
    SandboxError::Dependencies {
        code: "dependencies_not_allowed",
        reason: "the code names dependencies in its header, which this server does not install"
            .to_owned(),
        fix: "use the packages that are installed, or set `python.allow_dependencies = true`"
            .to_owned(),
    }
}

/// The interpreter is not one that the header asks for.
pub(super) fn wrong_python(wanted: &str, version: &str) -> SandboxError {
    SandboxError::Dependencies {
        code: "dependencies_failed",
        reason: format!("the header asks for Python {wanted}, and this is {version}"),
        fix: "change `requires-python` in the header of the code".to_owned(),
    }
}

fn failure(dependencies: &[String], reason: &str) -> SandboxError {
    SandboxError::Dependencies {
        code: "dependencies_failed",
        reason: format!("{} cannot be installed: {reason}", dependencies.join(", ")),
        fix: "correct the dependencies in the header of the code; only wheels are installed"
            .to_owned(),
    }
}

fn make_folders(folder: &Path) -> std::io::Result<()> {
    if let Some(parent) = folder.parent().filter(|parent| !parent.is_dir()) {
        make_folders(parent)?;
    }
    make_folder(folder)
}

/// Says when an environment was last wanted.
fn touch(folder: &Path) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    // An old time makes it go earlier, nothing else.
    let _ = utimensat(CWD, folder, &times, AtFlags::empty());
}

/// Removes what was not wanted for longest. What a zygote has mounted stays readable for it.
#[expect(clippy::disallowed_methods, reason = "folders of packages, of no store")]
fn forget_old(settings: &DependencySettings, fresh: &Path) {
    let mut known: Vec<(SystemTime, PathBuf)> = children(&settings.cache)
        .into_iter()
        .filter(|folder| folder != fresh && folder.file_name().is_some_and(|name| name.len() == 32))
        .filter_map(|folder| Some((std::fs::metadata(&folder).ok()?.modified().ok()?, folder)))
        .collect();
    known.sort();
    let excess = (known.len() + 1).saturating_sub(settings.kept.max(1));
    for (_, folder) in known.into_iter().take(excess) {
        let _ = std::fs::remove_dir_all(folder);
    }
}
