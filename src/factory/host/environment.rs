//! The Python of packages: a virtual environment with exactly the versions that a package names,
//! made at first use from wheels alone, and shared by all packages that name the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;

use super::process::run;
use crate::config::factory::FactoryConfig;
use crate::factory::names::hash8;
use crate::factory::publish;
use crate::factory::render::runtime_files;

/// Written last: an environment without it is not finished.
const READY: &str = "READY";

/// How long a download may take.
const PATIENCE: Duration = Duration::from_mins(8);

/// Makes and finds environments.
#[derive(Debug)]
pub struct Environments {
    folder: PathBuf,
    python: PathBuf,
    given: Option<PathBuf>,
    making: Mutex<()>,
}

impl Environments {
    /// Environments below this folder.
    pub fn new(config: &FactoryConfig, folder: PathBuf) -> Self {
        Self {
            folder,
            python: PathBuf::from(&config.python),
            given: config.environment.clone(),
            making: Mutex::new(()),
        }
    }

    /// The interpreter for the package in a folder.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub async fn interpreter_of(&self, package: &Path) -> Result<PathBuf, String> {
        let text = async |name: &str| {
            tokio::fs::read_to_string(package.join(name)).await.unwrap_or_default()
        };
        let (requirements, development) =
            (text("requirements.txt").await, text("requirements-dev.txt").await);
        self.interpreter(&requirements, &development).await
    }

    /// The interpreter for a package with these requirements, the development ones included.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub async fn interpreter(
        &self,
        requirements: &str,
        development: &str,
    ) -> Result<PathBuf, String> {
        if let Some(given) = &self.given {
            let python = interpreter(given);
            return if python.exists() {
                Ok(python)
            } else {
                Err(format!(
                    "`factory.environment` is {}, which holds no bin/python",
                    given.display()
                ))
            };
        }
        let _making = self.making.lock().await;
        let folder = folder_of(&self.folder, requirements, development);
        if folder.join(READY).exists() {
            return Ok(interpreter(&folder));
        }
        // What is left of an attempt that was interrupted.
        let _ = tokio::fs::remove_dir_all(&folder).await;
        let told =
            |what: &str, error: &std::io::Error| format!("{what} {}: {error}", folder.display());
        tokio::fs::create_dir_all(&folder).await.map_err(|error| told("cannot make", &error))?;
        let write = async {
            tokio::fs::write(folder.join("requirements.txt"), requirements).await?;
            tokio::fs::write(folder.join("requirements-dev.txt"), development).await
        };
        write.await.map_err(|error| told("cannot write to", &error))?;
        let none = BTreeMap::new();
        let venv = run(&self.python, &["-m", "venv", "."], &folder, &none, PATIENCE).await;
        if !venv.ok {
            return Err(format!(
                "`{} -m venv` failed: {}",
                self.python.display(),
                last_line(&venv.output)
            ));
        }
        let arguments = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--only-binary",
            ":all:",
            "-r",
            "requirements-dev.txt",
        ];
        let installed = run(&interpreter(&folder), &arguments, &folder, &none, PATIENCE).await;
        if !installed.ok {
            return Err(format!(
                "the packages could not be installed: {}",
                last_line(&installed.output)
            ));
        }
        publish::open_to_all(&folder).await.map_err(|error| told("cannot open", &error))?;
        tokio::fs::write(folder.join(READY), "")
            .await
            .map_err(|error| told("cannot write to", &error))?;
        Ok(interpreter(&folder))
    }
}

/// The environment that most packages share: those of an API or of a SQLite file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommonEnvironment {
    /// Where it is, or will be.
    pub folder: PathBuf,
    /// Its interpreter.
    pub python: PathBuf,
    /// Version of the MCP SDK that it holds.
    pub sdk: String,
    /// How many packages it holds, each in the version that is written down.
    pub packages: usize,
    /// Whether the operator gave it.
    pub is_given: bool,
    /// Whether it is there.
    pub is_ready: bool,
}

/// The environment that most packages share. Makes nothing.
pub fn common(config: &FactoryConfig, environments: &Path) -> CommonEnvironment {
    let requirements = runtime_files::REQUIREMENTS;
    let pinned = || requirements.lines().filter_map(|line| line.split_once("=="));
    let sdk = pinned().find(|(name, _)| *name == "mcp").map_or("", |(_, version)| version);
    let folder = config.environment.clone().unwrap_or_else(|| {
        let development = runtime_files::DEVELOPMENT;
        folder_of(environments, requirements, development)
    });
    let is_given = config.environment.is_some();
    let mark = if is_given { interpreter(&folder) } else { folder.join(READY) };
    CommonEnvironment {
        python: interpreter(&folder),
        sdk: sdk.split([' ', ';']).next().unwrap_or_default().to_owned(),
        packages: pinned().count(),
        is_given,
        is_ready: mark.exists(),
        folder,
    }
}

/// Where the environment of such a package is.
fn folder_of(environments: &Path, requirements: &str, development: &str) -> PathBuf {
    environments.join(hash8(&format!("{requirements}\n{development}")))
}

fn interpreter(folder: &Path) -> PathBuf {
    folder.join("bin").join("python")
}

fn last_line(output: &str) -> String {
    let line = output.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output");
    line.chars().take(300).collect()
}
