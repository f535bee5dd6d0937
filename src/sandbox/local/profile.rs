//! Interpreter profiles: which Python, which packages, what is loaded before the first run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;

use crate::sandbox::SandboxError;

/// Oldest interpreter that the code inside understands.
const OLDEST: (u32, u32) = (3, 10);
const INSTALL: &str = "sudo apt-get install python3";
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What an interpreter says of itself. A shim or a link leads to the program it stands for.
const QUESTION: &str = "
import importlib.util, json, os, sys
print(json.dumps({
    'executable': os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable),
    'version': list(sys.version_info[:3]),
    'prefixes': [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix],
    'standard': sorted(getattr(sys, 'stdlib_module_names', ())),
    'found': [name for name in sys.argv[1:] if importlib.util.find_spec(name)],
    'paths': [os.path.realpath(path) for path in sys.path if path and os.path.isdir(path)],
}))
";

/// An interpreter that runs may ask for by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterpreterProfile {
    /// Its name.
    pub name: String,
    /// A path or a program's name: a system interpreter, or one of a virtual environment, whose
    /// packages come with it, read-only.
    pub executable: PathBuf,
    /// Modules to load before the first run, where they are installed.
    pub preload: Vec<String>,
    /// More folders with packages.
    pub extra_paths: Vec<PathBuf>,
}

impl InterpreterProfile {
    /// A profile with the modules that code most often wants.
    pub fn new(name: impl Into<String>, executable: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            executable: executable.into(),
            preload: Self::USUAL.map(str::to_owned).to_vec(),
            extra_paths: Vec::new(),
        }
    }

    /// The system's interpreter, where there is one: one that is found by name may be a shim in
    /// somebody's home.
    pub fn system() -> Self {
        const SYSTEM: &str = "/usr/bin/python3";
        Self::new("default", if Path::new(SYSTEM).exists() { SYSTEM } else { "python3" })
    }

    /// Loaded unless a profile says otherwise; missing ones are passed over.
    pub const USUAL: [&str; 20] = [
        "asyncio",
        "base64",
        "collections",
        "csv",
        "dataclasses",
        "datetime",
        "decimal",
        "functools",
        "hashlib",
        "itertools",
        "json",
        "math",
        "random",
        "re",
        "statistics",
        "string",
        "typing",
        "numpy",
        "pandas",
        "matplotlib.pyplot",
    ];
}

/// A profile whose interpreter has answered.
#[derive(Debug, Clone)]
pub(super) struct Resolved {
    pub(super) version: String,
    pub(super) executable: PathBuf,
    /// Folders that must be readable.
    pub(super) readable: Vec<PathBuf>,
    /// For `sys.path`.
    pub(super) search_paths: Vec<PathBuf>,
    /// Top names of the standard library.
    pub(super) standard: BTreeSet<String>,
    /// Modules of the standard library to load beforehand.
    pub(super) preload: Vec<String>,
    /// Installed packages to load beforehand.
    pub(super) packages: Vec<String>,
    /// Packages to load that are not installed.
    pub(super) absent: Vec<String>,
}

impl Resolved {
    /// The same interpreter with the packages of an environment in place of its own.
    ///
    /// Nothing of those is loaded before a run: the zygote runs no code that a run chose.
    pub(super) fn with_environment(&self, folder: &Path) -> Self {
        let of_packages =
            |path: &PathBuf| path.ends_with("site-packages") || path.ends_with("dist-packages");
        let mut new = Self { packages: Vec::new(), absent: Vec::new(), ..self.clone() };
        new.search_paths.retain(|path| !of_packages(path));
        new.search_paths.push(folder.to_owned());
        new.readable.push(folder.to_owned());
        new
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    executable: PathBuf,
    version: (u32, u32, u32),
    prefixes: Vec<PathBuf>,
    paths: Vec<PathBuf>,
    standard: BTreeSet<String>,
    found: BTreeSet<String>,
}

/// Asks the interpreter where it and its packages live.
pub(super) async fn resolve(profile: &InterpreterProfile) -> Result<Resolved, SandboxError> {
    let refuse = |reason: String, fix: &str| SandboxError::Interpreter {
        path: profile.executable.display().to_string(),
        reason,
        fix: fix.to_owned(),
    };
    #[expect(clippy::disallowed_methods, reason = "this is the adapter that starts processes")]
    let asked = tokio::process::Command::new(&profile.executable)
        .args(["-I", "-B", "-c", QUESTION])
        .args(profile.preload.iter().map(|name| top(name)))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(ANSWER_LIMIT, asked)
        .await
        .map_err(|_| refuse("it does not answer".to_owned(), INSTALL))?
        .map_err(|error| refuse(error.to_string(), INSTALL))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason");
        return Err(refuse(format!("{} ({last})", output.status), INSTALL));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|error| refuse(format!("an answer that cannot be read: {error}"), INSTALL))?;
    let (major, minor, patch) = answer.version;
    if (major, minor) < OLDEST {
        let reason = format!("version {major}.{minor}.{patch}, at least 3.10 is needed");
        return Err(refuse(reason, "install a newer Python and name it in `python.interpreter`"));
    }
    let mut search_paths = answer.paths;
    search_paths.extend(profile.extra_paths.iter().cloned());
    let mut readable = answer.prefixes;
    readable.extend(search_paths.iter().cloned());
    readable.retain(|path| path != Path::new("/"));
    readable.sort();
    readable.dedup();
    let (standard, others): (Vec<String>, Vec<String>) =
        profile.preload.iter().cloned().partition(|name| answer.standard.contains(top(name)));
    let (packages, absent) = others.into_iter().partition(|name| answer.found.contains(top(name)));
    Ok(Resolved {
        version: format!("{major}.{minor}.{patch}"),
        executable: answer.executable,
        readable,
        search_paths,
        standard: answer.standard,
        preload: standard,
        packages,
        absent,
    })
}

/// The package that a module belongs to.
fn top(module: &str) -> &str {
    module.split('.').next().unwrap_or_default()
}
