//! Packages of any origin, scanned and tested where they lie.

use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use super::error::{FactoryError, Refusal};
use super::ir::{Case, Dialect, Package, PackageFile};
use super::names::prose;
use super::render;
use super::scan::{self, CustomRule, Declared, Finding, Report, Rules, Severity, SourceFile};
use super::selftest::{self, Proven, SelfTest, Variables};
use super::service::Factory;
use super::source::description;
use crate::config::factory::{FactoryConfig, ScanGate};

/// Most files of one scan.
const FILES: usize = 10_000;
/// Most bytes of a file that is read; the scan itself says what is too large for it.
const FILE_BYTES: u64 = 1024 * 1024;
/// Folders that hold what others wrote, or nothing to read.
const PASSED_OVER: [&str; 6] =
    ["node_modules", "__pycache__", "venv", "site-packages", "target", "dist"];
/// The only hidden folder that is looked into: workflows lie there.
const WORKFLOWS: &str = ".github";

/// What a scan looks for, as configured.
///
/// # Errors
/// Which rule of the user cannot be used, and why.
pub fn configured_rules(config: &FactoryConfig) -> Result<Rules, FactoryError> {
    let rules = config.scan_rules.iter().map(|rule| {
        let value = serde_json::to_value(rule).unwrap_or_default();
        CustomRule::deserialize(&value).map_err(|error| {
            FactoryError::new(
                Refusal::Arguments,
                format!("scan rule `{}`: {error}", prose(&rule.name, 80)),
                "a rule has `name`, `severity` (low, medium, high), `message` and one of `pattern` (a regular expression) and `call` (the dotted name of a function)",
            )
        })
    });
    Rules::with_custom(rules.collect::<Result<_, _>>()?)
}

impl From<ScanGate> for Severity {
    fn from(gate: ScanGate) -> Self {
        match gate {
            ScanGate::Low => Self::Low,
            ScanGate::Medium => Self::Medium,
            ScanGate::High => Self::High,
        }
    }
}

/// Scans files and folders. Of a folder, what others wrote is passed over: environments, caches,
/// hidden folders. Files that are ours letter by letter, the runtime of made servers, are parsed
/// and not judged: they do by design what tools may not.
///
/// # Errors
/// What cannot be read.
pub async fn scan_paths(paths: &[PathBuf], rules: &Rules) -> Result<Report, FactoryError> {
    let mut report = Report::default();
    for path in paths {
        let files = read(path).await?;
        let package = files
            .iter()
            .find(|file| file.path == "operations.json")
            .and_then(|file| serde_json::from_str::<Package>(&file.text).ok());
        let declared = package.as_ref().map(declared).unwrap_or_default();
        let rules = rules.clone();
        // A large folder takes a moment.
        let scanned = tokio::task::spawn_blocking(move || scan_files(&files, &declared, &rules));
        let one = scanned.await.map_err(|error| {
            FactoryError::new(
                Refusal::Internal,
                format!("the scan stopped: {error}"),
                "report this with the files",
            )
        })?;
        report.files += one.files;
        report.findings.extend(one.findings);
    }
    Ok(report)
}

/// What a package says that its tools use.
pub(super) fn declared(package: &Package) -> Declared {
    Declared {
        environment: Some(
            package.environment.iter().map(|variable| variable.name.clone()).collect(),
        ),
        hosts: Some(package.hosts.clone()),
        packages: Some(description::PACKAGES.iter().map(|name| (*name).to_owned()).collect()),
        ..Declared::default()
    }
}

fn scan_files(files: &[PackageFile], declared: &Declared, rules: &Rules) -> Report {
    let source = |file: &'_ PackageFile| is_ours(file);
    let (ours, others): (Vec<&PackageFile>, Vec<&PackageFile>) =
        files.iter().partition(|file| source(file));
    let others: Vec<SourceFile<'_>> =
        others.iter().map(|file| SourceFile { path: &file.path, text: &file.text }).collect();
    let mut report = scan::scan(&others, declared, rules);
    report.files += ours.len();
    report
}

/// Whether a file is one of the constant runtime.
fn is_ours(file: &PackageFile) -> bool {
    let is_constant = render::constant_files().any(|(path, text)| {
        text == file.text && (file.path == path || file.path.ends_with(&format!("/{path}")))
    });
    is_constant
        || (file.path == "requirements.txt"
            && render::requirements_of_runtime().contains(&file.text))
}

/// The texts of a file or of a folder, with paths below it.
async fn read(path: &Path) -> Result<Vec<PackageFile>, FactoryError> {
    let told = |path: &Path, error: &std::io::Error| {
        FactoryError::new(
            Refusal::NotAccessible,
            format!("`{}` cannot be read: {error}", path.display()),
            "check the path and its rights",
        )
    };
    let facts = tokio::fs::metadata(path).await.map_err(|error| told(path, &error))?;
    if facts.is_file() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(text_of(path, name)
            .await
            .map_err(|error| told(path, &error))?
            .into_iter()
            .collect());
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let mut entries =
            tokio::fs::read_dir(&folder).await.map_err(|error| told(&folder, &error))?;
        while let Some(entry) = entries.next_entry().await.map_err(|error| told(&folder, &error))? {
            let name = entry.file_name().to_string_lossy().into_owned();
            // Links lead elsewhere; what lies there is somebody else's.
            let kind = entry.file_type().await.map_err(|error| told(&entry.path(), &error))?;
            if kind.is_dir() {
                let hidden = name.starts_with('.') && name != WORKFLOWS;
                if !hidden && !PASSED_OVER.contains(&name.as_str()) {
                    folders.push(entry.path());
                }
            } else if kind.is_file() {
                if files.len() == FILES {
                    return Err(FactoryError::new(
                        Refusal::TooLarge,
                        format!("`{}` holds more than {FILES} files", path.display()),
                        "name the folders that matter one by one",
                    ));
                }
                let full = entry.path();
                let shown = full.strip_prefix(path).unwrap_or(&full).to_string_lossy().into_owned();
                files.extend(text_of(&full, shown).await.map_err(|error| told(&full, &error))?);
            }
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn is_program(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("py"))
}

/// A file as text. A program that is none is handed over as one that cannot be read; other files
/// that are no text, or large, are left aside.
async fn text_of(path: &Path, shown: String) -> std::io::Result<Option<PackageFile>> {
    let is_program = is_program(path);
    if tokio::fs::metadata(path).await?.len() > FILE_BYTES && !is_program {
        return Ok(None);
    }
    let bytes = tokio::fs::read(path).await?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Some(PackageFile { path: shown, text }),
        // The parser refuses a NUL, and says where.
        Err(_) if is_program => Some(PackageFile { path: shown, text: "\0".to_owned() }),
        Err(_) => None,
    })
}

/// What a test of a package found.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// Name of its server.
    pub name: String,
    /// What the scan found.
    pub report: Report,
    /// What was proven; not at all when the scan refuses the package.
    pub self_test: SelfTest,
}

impl Factory {
    /// Scans the package in a folder, starts its server, lists it, calls it against a mock and runs
    /// its tests, as before it was published.
    ///
    /// # Errors
    /// When there is no package, or it may not be run here.
    pub async fn inspect(&self, folder: &Path) -> Result<Inspected, FactoryError> {
        let refused = |why: String| {
            FactoryError::new(
                Refusal::NotAccessible,
                format!("`{}` holds no made server: {why}", folder.display()),
                "name the folder that holds server.py and operations.json",
            )
        };
        let folder = &folder.canonicalize().map_err(|error| refused(error.to_string()))?;
        let text = async |name: &str| {
            let read = tokio::fs::read_to_string(folder.join(name)).await;
            read.map_err(|error| refused(format!("{name}: {error}")))
        };
        let package: Package = serde_json::from_str(&text("operations.json").await?)
            .map_err(|error| refused(format!("operations.json: {error}")))?;
        let cases: Cases = serde_json::from_str(&text("tests/cases.json").await?)
            .map_err(|error| refused(format!("tests/cases.json: {error}")))?;
        let report = scan_paths(std::slice::from_ref(folder), &self.parts.rules).await?;
        let gate = Severity::from(self.parts.config.scan_gate);
        let blocked = report.blocked(gate);
        let self_test = if let Some(first) = blocked.first() {
            failed(format!("it was not run: {}", place_of(first)))
        } else {
            self.tried(folder, &package, &cases.cases).await?
        };
        Ok(Inspected { name: package.name, report, self_test })
    }

    async fn tried(
        &self,
        folder: &Path,
        package: &Package,
        cases: &[Case],
    ) -> Result<SelfTest, FactoryError> {
        Ok(match self.parts.environments.interpreter_of(folder).await {
            Ok(python) => {
                let launcher = &self.parts.launcher;
                let variables = self.database_of(package);
                let package = Proven { package, cases, folder };
                Box::pin(selftest::test(package, Some(&variables), &python, launcher)).await
            }
            Err(reason) => failed(format!("no Python environment: {reason}")),
        })
    }
}

impl Factory {
    /// The address of a package's database server, where the operator has set it.
    fn database_of(&self, package: &Package) -> Variables {
        let Some(database) =
            package.database.as_ref().filter(|database| database.dialect == Dialect::Postgresql)
        else {
            return Variables::default();
        };
        let variables = &self.parts.config.variables;
        variables
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(&database.variable))
            .map(|(_, value)| (database.variable.clone(), value.clone()))
            .collect()
    }
}

/// The file of cases.
#[derive(serde::Deserialize)]
struct Cases {
    cases: Vec<Case>,
}

/// Nothing was proven of what was asked for.
fn failed(why: String) -> SelfTest {
    SelfTest { failed: 1, ..SelfTest::not_run(why) }
}

fn place_of(finding: &Finding) -> String {
    format!("{}:{}: {}", finding.path, finding.line, finding.message)
}
