//! The use cases: make a server, list servers, start and stop them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{FactoryError, Refusal};
use super::execution_log::ExecutionLog;
use super::from_database;
use super::host::environment::Environments;
use super::host::running::{Offered, ServerHost, StartServer};
use super::ir::{Features, Mode, Package, PackageFile, Skipped, SourceKind, Sourced};
use super::load::Loader;
use super::names::{self, prose};
use super::publish;
use super::render::{self, listing, templates::Templates};
use super::scan::{self, Severity, SourceFile};
use super::selftest::{self, SelfTest};
use super::source::database::Access;
use super::source::description;
use super::source::openapi::{self, Settings};
use super::source::select::Selection;
use super::write::{ATTEMPTS, Conversation, json_of};
use super::{auth, cases};
use crate::config::factory::FactoryConfig;
use crate::fetch::Fetcher;
use crate::jobs::{Failure, Run};
use crate::prompts::Prompts;
use crate::storage::blobs::sha256_hex;
use crate::storage::{Catalog, MadeServer, NewServer, PrincipalId};

/// Most servers of one listing.
const LISTED: u32 = 500;

/// Largest template.
const TEMPLATE_BYTES: u64 = 1024 * 1024;

/// What the factory works with.
pub struct FactoryParts {
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Prompts.
    pub prompts: Arc<Prompts>,
    /// Fetches descriptions.
    pub fetcher: Fetcher,
    /// Settings.
    pub config: FactoryConfig,
    /// The data folder.
    pub data_dir: PathBuf,
    /// Keeps servers running.
    pub host: Arc<dyn ServerHost>,
}

/// Makes servers and runs them.
pub struct Factory {
    parts: FactoryParts,
    environments: Environments,
}

/// What a server is made from.
#[derive(Debug, Clone, Default)]
pub struct CreateServer {
    /// Words.
    pub description: Option<String>,
    /// An API's description: text, path or URL.
    pub openapi: Option<String>,
    /// Path or URL of a database, or `env:NAME`.
    pub database_url: Option<String>,
    /// Tools that the caller wrote.
    pub tool_specs: Option<Value>,
    /// Name.
    pub name: Option<String>,
    /// Model that writes tools.
    pub model: String,
    /// Patterns of what is wanted.
    pub include: Vec<String>,
    /// Patterns of what is not.
    pub exclude: Vec<String>,
    /// How operations authenticate of which the source says nothing.
    pub auth: Option<Value>,
    /// Folder for a copy.
    pub output_dir: Option<String>,
    /// The rest.
    pub options: Options,
}

/// How a server is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Around every call.
    pub features: Features,
    /// Folder with templates.
    pub template_dir: Option<String>,
    /// Base URL of the API.
    pub base_url: Option<String>,
    /// How tools are offered.
    pub mode: Option<Mode>,
    /// Tables of a database; empty: all.
    pub tables: Vec<String>,
    /// Whether tools may write to a database.
    pub access: Access,
}

/// A server that was made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Created {
    /// Name.
    pub server_name: String,
    /// Version, from 1.
    pub version: i64,
    /// Folder of the package.
    pub path: String,
    /// Folder of the copy that was asked for.
    pub output_path: Option<String>,
    /// Tools: name and description.
    pub tools: Vec<(String, String)>,
    /// How they are offered.
    pub mode: Mode,
    /// What became no tool.
    pub skipped: Vec<Skipped>,
    /// What was proven.
    pub self_test: SelfTest,
    /// What the scan found.
    pub findings: Vec<Value>,
    /// The block of a client's configuration.
    pub client_config: Value,
    /// Variables that the server reads: name, description, required.
    pub environment: Vec<(String, String, bool)>,
    /// Model that wrote the tools.
    pub model_used: Option<String>,
}

/// A package before it is published.
struct Draft {
    findings: Vec<Value>,
    package: Package,
    files: Vec<PackageFile>,
    self_test: SelfTest,
    python: Option<PathBuf>,
    staged: PathBuf,
}

impl Factory {
    /// A factory on these parts.
    pub fn new(parts: FactoryParts) -> Self {
        let folder = parts.data_dir.join("environments");
        let environments = Environments::new(&parts.config, folder);
        Self { parts, environments }
    }

    /// Makes a server, proves it and lists it.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the tools; else why nothing was published.
    pub async fn create(&self, run: &Run, call: CreateServer) -> Result<Created, Failure> {
        check_sources(&call)?;
        let loader = Loader {
            fetcher: &self.parts.fetcher,
            allowed_roots: &self.parts.config.allowed_roots,
        };
        let templates = match &call.options.template_dir {
            Some(folder) => read_templates(&loader.allowed(Path::new(folder))?).await?,
            None => Templates::default(),
        };
        let output = match &call.output_dir {
            Some(folder) => Some(loader.allowed_folder(Path::new(folder))?),
            None => None,
        };
        let mut log = ExecutionLog::default();
        let (draft, model_used) = if let Some(given) = &call.openapi {
            run.progress(5.0, Some(100.0), "reading the description");
            let (bundle, shown) = loader.load(given).await?;
            log.step("read", shown.clone());
            let settings = Settings {
                name: call.name.clone(),
                base_url: checked_base_url(call.options.base_url.as_deref())?,
                selection: Selection::new(&call.include, &call.exclude)?,
                mode: call.options.mode,
                features: call.options.features.clone(),
                auth: call.auth.as_ref().map(auth::read).transpose()?,
            };
            // Large documents take a second of work.
            let work = tokio::task::spawn_blocking(move || {
                let mut package = openapi::normalise(&bundle, &settings, &shown)?;
                listing::fit(&mut package);
                let cases = cases::of_requests(&package);
                Ok::<_, FactoryError>(Sourced { package, cases, files: Vec::new() })
            });
            let sourced = work.await.map_err(|error| internal(&error))??;
            log.step(
                "normalise",
                format!(
                    "{} tools, {} skipped",
                    sourced.package.tools.len(),
                    sourced.package.skipped.len()
                ),
            );
            let draft = self.draft(run, sourced, &templates, &mut log, None).await?;
            refuse_failed(&draft)?;
            (draft, None)
        } else if let Some(given) = &call.database_url {
            run.progress(5.0, Some(100.0), "reading the database");
            let sourced = from_database::sourced(&call, given, &self.parts.config, &loader).await?;
            log.step(
                "introspect",
                format!(
                    "{} tools, {} skipped",
                    sourced.package.tools.len(),
                    sourced.package.skipped.len()
                ),
            );
            let draft = self.draft(run, sourced, &templates, &mut log, None).await?;
            refuse_failed(&draft)?;
            (draft, None)
        } else if let Some(specs) = &call.tool_specs {
            let sourced =
                description::from_specs(specs, call.name.as_deref(), &call.options.features)
                    .map_err(|problems| refused_specs(problems))?;
            log.step(
                "tool_specs",
                format!("{} tools written by the caller", sourced.package.tools.len()),
            );
            let draft = self.draft(run, sourced, &templates, &mut log, None).await?;
            refuse_failed(&draft)?;
            (draft, None)
        } else {
            let words = description::check(call.description.as_deref().unwrap_or_default())?;
            self.written(run, &call, words, &templates, &mut log).await?
        };
        self.publish(run, draft, output, model_used).await
    }

    /// Tools written by a model: every answer is judged by parser, scan and its own tests.
    async fn written(
        &self,
        run: &Run,
        call: &CreateServer,
        words: &str,
        templates: &Templates,
        log: &mut ExecutionLog,
    ) -> Result<(Draft, Option<String>), Failure> {
        let mut talk = Conversation::new(run, &self.parts.prompts, &call.model, words)?;
        for attempt in 1..=ATTEMPTS {
            run.progress(5.0, Some(100.0), "asking for the tools");
            let outcome = talk.ask(attempt).await?;
            log.model_call(outcome.model_used.as_deref(), "tools", outcome.text.len());
            let judged = json_of(&outcome.text).and_then(|value| {
                description::from_specs(&value, call.name.as_deref(), &call.options.features)
            });
            let problems = match judged {
                Ok(sourced) => {
                    match self.draft(run, sourced, templates, log, Some(attempt)).await {
                        Ok(draft) if draft.self_test.failed == 0 => {
                            return Ok((draft, outcome.model_used));
                        }
                        Ok(draft) => {
                            publish::forget(&draft.staged).await;
                            draft.self_test.problems
                        }
                        // What the scan does not let through is the author's to put right.
                        Err(Failure::Error(error))
                            if error.code == Refusal::ScanBlocked.as_str() =>
                        {
                            vec![error.message]
                        }
                        Err(failure) => return Err(failure),
                    }
                }
                Err(problems) => problems,
            };
            log.step("refused", format!("answer {attempt}: {} problems", problems.len()));
            talk.refuse(outcome.text, problems)?;
        }
        Err(talk.given_up().into())
    }

    /// Renders, stages and proves a package.
    async fn draft(
        &self,
        run: &Run,
        sourced: Sourced,
        templates: &Templates,
        log: &mut ExecutionLog,
        attempt: Option<u32>,
    ) -> Result<Draft, Failure> {
        let Sourced { package, cases, files: own } = sourced;
        run.progress(40.0, Some(100.0), "writing the package");
        let mut files = render::render(&package, &cases, templates)?;
        files.extend(own);
        let report = scan_all(&package, &files)?;
        log.step("scan", format!("{} findings", report.findings.len()));
        files.extend(reports(&report));
        let blocked = report.blocked(Severity::High);
        if let Some(first) = blocked.first() {
            return Err(FactoryError::new(
                Refusal::ScanBlocked,
                format!(
                    "the scan found {} serious faults; the first: {}:{}: {}",
                    blocked.len(),
                    first.path,
                    first.line,
                    first.message
                ),
                "correct the code of the tools",
            )
            .detail("scan", report.to_json())
            .into());
        }
        log.step("render", format!("{} files", files.len()));
        let staged = self.folder().join(".staging").join(format!(
            "{}-{}",
            run.job_id().as_str(),
            attempt.unwrap_or(0)
        ));
        publish::stage(&staged, &files).await?;
        run.progress(60.0, Some(100.0), "testing the package");
        let python = self.interpreter(&files).await;
        let self_test = match &python {
            Err(reason) => SelfTest::not_run(format!("no Python environment: {reason}")),
            Ok(_)
                if package.source == SourceKind::Description && !self.parts.config.unsandboxed =>
            {
                SelfTest::not_run(
                    "the code of its tools was not run: the operator has not allowed it (`factory.unsandboxed`)",
                )
            }
            Ok(python) => {
                let name = format!("self_test@{}", fingerprint(&files));
                run.step(&name, || async {
                    Ok::<_, Failure>(selftest::test(&package, &cases, &staged, python).await)
                })
                .await?
            }
        };
        log.step(
            "self-test",
            format!(
                "{:?}: {} passed, {} failed",
                self_test.level, self_test.passed, self_test.failed
            ),
        );
        let metadata = json!({
            "server": package.name,
            "source": package.source,
            "generator": concat!("atelier ", env!("CARGO_PKG_VERSION")),
            "format": package.format,
        });
        let summary = json!({
            "tools": package.tools.len(),
            "skipped": package.skipped.len(),
            "verification": self_test,
        });
        let logs = [
            PackageFile {
                path: "execution_log.json".to_owned(),
                text: format!("{:#}\n", log.to_json(&metadata, &summary)),
            },
            PackageFile {
                path: "EXECUTION_LOG.md".to_owned(),
                text: log.to_markdown(&package.name),
            },
        ];
        files.extend(logs);
        publish::stage(&staged, &files).await?;
        let findings =
            report.to_json().get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(Draft { findings, package, files, self_test, python: python.ok(), staged })
    }

    async fn interpreter(&self, files: &[PackageFile]) -> Result<PathBuf, String> {
        let text = |path: &str| {
            files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
        };
        self.environments.interpreter(text("requirements.txt"), text("requirements-dev.txt")).await
    }

    fn folder(&self) -> PathBuf {
        self.parts.data_dir.join(publish::SERVERS)
    }

    async fn publish(
        &self,
        run: &Run,
        draft: Draft,
        output: Option<PathBuf>,
        model_used: Option<String>,
    ) -> Result<Created, Failure> {
        run.progress(95.0, Some(100.0), "publishing");
        let Draft { findings, package, files, self_test, python, staged } = draft;
        let principal = run.context().principal.clone();
        let place = Path::new(publish::SERVERS)
            .join(names::hash8(principal.as_str()))
            .join(&package.name)
            .join(run.call_id().as_str());
        let folder = self.parts.data_dir.join(&place);
        publish::publish(&staged, &folder).await?;
        let output_path = match output {
            Some(parent) => Some(publish::copy_out(&parent, &package.name, &files).await?),
            None => None,
        };
        let summary = json!({
            "title": package.title,
            "tools": package.tools.len(),
            "mode": package.mode,
            "hosts": package.hosts,
            "environment": package.environment,
            "self_test": self_test,
        });
        let made = self
            .parts
            .catalog
            .publish_server(
                &run.fence(),
                NewServer {
                    principal,
                    name: package.name.clone(),
                    folder: place.to_string_lossy().into_owned(),
                    source: package.source.as_str().to_owned(),
                    summary: summary.to_string(),
                },
            )
            .await?;
        let shown = output_path.as_deref().unwrap_or(&folder).to_string_lossy().into_owned();
        let program = python
            .map_or_else(|| "python3".to_owned(), |python| python.to_string_lossy().into_owned());
        Ok(Created {
            server_name: made.name,
            version: made.version,
            path: folder.to_string_lossy().into_owned(),
            output_path: output_path.map(|path| path.to_string_lossy().into_owned()),
            client_config: render::client_config(&package, &shown, &program),
            tools: package
                .tools
                .iter()
                .map(|tool| (tool.name.clone(), prose(&tool.description, 200)))
                .collect(),
            mode: package.mode,
            skipped: package.skipped,
            self_test,
            findings,
            environment: package
                .environment
                .into_iter()
                .map(|variable| (variable.name, variable.description, variable.required))
                .collect(),
            model_used,
        })
    }

    /// The newest version of every server of a principal, and whether it runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, principal: &PrincipalId) -> Result<Vec<(MadeServer, bool)>, Failure> {
        let made = self.parts.catalog.made_servers(principal, LISTED).await?;
        let running = self.parts.host.running().await;
        Ok(made
            .into_iter()
            .map(|server| {
                let runs = running.contains(&running_name(principal, &server.name));
                (server, runs)
            })
            .collect())
    }

    /// The folder of a version.
    pub fn folder_of(&self, server: &MadeServer) -> PathBuf {
        self.parts.data_dir.join(&server.folder)
    }

    /// Starts a server with the variables that the operator and the call give it, and no others.
    ///
    /// # Errors
    /// Why it does not run.
    pub async fn start(
        &self,
        principal: &PrincipalId,
        name: &str,
        version: Option<i64>,
        given: &BTreeMap<String, String>,
    ) -> Result<(MadeServer, Offered), Failure> {
        let made = self.find(principal, name, version).await?;
        if !self.parts.config.unsandboxed {
            return Err(FactoryError::new(
                Refusal::NotAllowed,
                format!("`{}` is not started: this installation runs made servers only where the operator allows plain processes", made.name),
                "the operator sets `factory.unsandboxed = true` (ATELIER_FACTORY__UNSANDBOXED); or run the package yourself: its README says how",
            )
            .into());
        }
        let folder = self.folder_of(&made);
        let read = async {
            let operations =
                tokio::fs::read_to_string(folder.join("operations.json")).await.ok()?;
            serde_json::from_str::<Package>(&operations).ok()
        };
        let package = read.await.ok_or_else(|| {
            FactoryError::new(
                Refusal::NotAccessible,
                format!("the files of `{}` are gone or damaged", made.name),
                "make the server again",
            )
        })?;
        let variables = self.variables(&package, given)?;
        let mut files = Vec::new();
        for path in ["requirements.txt", "requirements-dev.txt"] {
            let text = tokio::fs::read_to_string(folder.join(path)).await.unwrap_or_default();
            files.push(PackageFile { path: path.to_owned(), text });
        }
        let python = self.interpreter(&files).await.map_err(|reason| {
            FactoryError::new(
                Refusal::NotStarted,
                format!("there is no Python environment for `{}`: {reason}", made.name),
                "`atelier doctor` shows what is missing",
            )
        })?;
        let offered = self
            .parts
            .host
            .start(StartServer {
                name: running_name(principal, &made.name),
                python,
                folder,
                variables,
                hosts: package.hosts,
            })
            .await
            .map_err(|reason| {
                FactoryError::new(
                    Refusal::NotStarted,
                    format!("`{}` did not start: {reason}", made.name),
                    "look at its variables with list_mcp_servers, then try again",
                )
            })?;
        Ok((made, offered))
    }

    /// Stops a server; `false` when it did not run.
    ///
    /// # Errors
    /// When there is no such server.
    pub async fn stop(
        &self,
        principal: &PrincipalId,
        name: &str,
    ) -> Result<(MadeServer, bool), Failure> {
        let made = self.find(principal, name, None).await?;
        let stopped = self.parts.host.stop(&running_name(principal, &made.name)).await;
        Ok((made, stopped))
    }

    async fn find(
        &self,
        principal: &PrincipalId,
        name: &str,
        version: Option<i64>,
    ) -> Result<MadeServer, Failure> {
        let found = self.parts.catalog.made_server(principal, name, version).await?;
        found.ok_or_else(|| {
            let version =
                version.map(|version| format!(" in version {version}")).unwrap_or_default();
            FactoryError::new(
                Refusal::UnknownServer,
                format!("there is no server `{}`{version}", prose(name, 80)),
                "list_mcp_servers names those that were made",
            )
            .into()
        })
    }

    /// Of all variables those that the package declares; secrets come from the operator alone.
    fn variables(
        &self,
        package: &Package,
        given: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, FactoryError> {
        let mut values = BTreeMap::new();
        for variable in &package.environment {
            let configured = self
                .parts
                .config
                .variables
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&variable.name));
            if let Some((_, value)) = configured {
                values.insert(variable.name.clone(), value.clone());
            }
        }
        for (name, value) in given {
            let Some(variable) = package.environment.iter().find(|variable| &variable.name == name)
            else {
                return Err(FactoryError::new(
                    Refusal::Arguments,
                    format!("the server reads no variable `{}`", prose(name, 80)),
                    "list_mcp_servers names its variables",
                ));
            };
            if variable.secret {
                return Err(FactoryError::new(
                    Refusal::Arguments,
                    format!("`{name}` is a secret, which no argument may carry"),
                    format!(
                        "the operator sets it under `factory.variables` (ATELIER_FACTORY__VARIABLES__{name})"
                    ),
                ));
            }
            values.insert(name.clone(), value.clone());
        }
        Ok(values)
    }
}

/// The name under which a server of a principal runs.
fn running_name(principal: &PrincipalId, name: &str) -> String {
    format!("{}/{name}", names::hash8(principal.as_str()))
}

fn check_sources(call: &CreateServer) -> Result<(), FactoryError> {
    let given: Vec<&str> = [
        ("description", call.description.is_some() || call.tool_specs.is_some()),
        ("openapi", call.openapi.is_some()),
        ("database_url", call.database_url.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_given)| is_given.then_some(name))
    .collect();
    match given.as_slice() {
        [_] => Ok(()),
        [] => Err(FactoryError::new(
            Refusal::Arguments,
            "nothing says what the server is made from",
            "give exactly one of `description`, `openapi` and `database_url`",
        )),
        several => Err(FactoryError::new(
            Refusal::Arguments,
            format!("`{}` are given together", several.join("` and `")),
            "give exactly one of `description`, `openapi` and `database_url`",
        )),
    }
}

fn checked_base_url(given: Option<&str>) -> Result<Option<String>, FactoryError> {
    let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    let url = url::Url::parse(given).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
    });
    match url {
        Some(_) => Ok(Some(given.to_owned())),
        None => Err(FactoryError::new(
            Refusal::Arguments,
            "`options.base_url` is no plain http or https URL",
            "write it like https://api.example.com/v1, without a login or a query",
        )),
    }
}

fn refused_specs(problems: Vec<String>) -> FactoryError {
    FactoryError::new(
        Refusal::NoSpecification,
        format!("`tool_specs` cannot be used: {}", problems.join("; ")),
        "each tool needs `name`, `description`, `input_schema` and an `implementation` with `async def run(args, ctx)`",
    )
    .detail("problems", Value::from(problems))
}

/// A package that fails its own test is an error of ours or of its author, and is not listed.
fn refuse_failed(draft: &Draft) -> Result<(), FactoryError> {
    if draft.self_test.failed == 0 {
        return Ok(());
    }
    let first = draft.self_test.problems.first().cloned().unwrap_or_default();
    Err(FactoryError::new(
        Refusal::SelfTestFailed,
        format!(
            "the package failed {} of its checks; the first: {}",
            draft.self_test.failed,
            prose(&first, 600)
        ),
        match draft.package.source {
            SourceKind::Description => "correct the tools and repeat the call",
            SourceKind::Openapi | SourceKind::Database => {
                "report this with the source; `exclude` leaves single operations out"
            }
        },
    )
    .detail("self_test", json!(draft.self_test)))
}

/// Parses and scans every Python file. Our own runtime does by design what tools may not (it opens
/// connections, it reads the environment): it is parsed alone.
fn scan_all(package: &Package, files: &[PackageFile]) -> Result<scan::Report, FactoryError> {
    for file in files.iter().filter(|file| file.path.ends_with(".py")) {
        if let Err(finding) = scan::parse_check(&file.path, &file.text) {
            return Err(FactoryError::new(
                Refusal::Internal,
                format!(
                    "the file {} is no Python: line {}: {}",
                    finding.path, finding.line, finding.message
                ),
                "report this with the source",
            ));
        }
    }
    let written: Vec<SourceFile<'_>> = files
        .iter()
        .filter(|file| {
            // Templates of the caller may make these two.
            file.path.starts_with("tools/")
                || file.path == "Dockerfile"
                || file.path.starts_with(".github/")
        })
        .map(|file| SourceFile { path: &file.path, text: &file.text })
        .collect();
    let declared = scan::Declared {
        environment: Some(
            package.environment.iter().map(|variable| variable.name.clone()).collect(),
        ),
        hosts: Some(package.hosts.clone()),
        packages: Some(description::PACKAGES.iter().map(|name| (*name).to_owned()).collect()),
        ..scan::Declared::default()
    };
    Ok(scan::scan(&written, &declared, &scan::Rules::builtin()))
}

fn reports(report: &scan::Report) -> [PackageFile; 3] {
    let file = |path: &str, text: String| PackageFile { path: path.to_owned(), text };
    [
        file("SECURITY_REPORT.md", report.to_markdown()),
        file("SECURITY_REPORT.json", format!("{:#}\n", report.to_json())),
        file("SECURITY_REPORT.sarif", format!("{:#}\n", report.to_sarif())),
    ]
}

fn fingerprint(files: &[PackageFile]) -> String {
    let mut all = String::new();
    for file in files {
        all.push_str(&file.path);
        all.push('\n');
        all.push_str(&sha256_hex(file.text.as_bytes()).0);
    }
    sha256_hex(all.as_bytes()).0.chars().take(16).collect()
}

fn internal(error: &tokio::task::JoinError) -> FactoryError {
    FactoryError::new(
        Refusal::Internal,
        format!("the generator stopped: {error}"),
        "report this with the source",
    )
}

/// The templates of a folder: those files whose names are ours.
async fn read_templates(folder: &Path) -> Result<Templates, FactoryError> {
    let mut replaced = BTreeMap::new();
    for (name, _, _) in render::templates::TEMPLATES {
        let path = folder.join(name);
        let Ok(facts) = tokio::fs::symlink_metadata(&path).await else { continue };
        if !facts.is_file() || facts.len() > TEMPLATE_BYTES {
            return Err(FactoryError::new(
                Refusal::Template,
                format!("the template `{name}` is no plain file of at most {TEMPLATE_BYTES} bytes"),
                "put the file itself into the folder",
            ));
        }
        let text = tokio::fs::read_to_string(&path).await.map_err(|error| {
            FactoryError::new(
                Refusal::Template,
                format!("the template `{name}` cannot be read: {error}"),
                "check the file and its rights",
            )
        })?;
        replaced.insert(name.to_owned(), text);
    }
    if replaced.is_empty() {
        let names: Vec<&str> =
            render::templates::TEMPLATES.iter().map(|(name, _, _)| *name).collect();
        return Err(FactoryError::new(
            Refusal::Template,
            "`options.template_dir` holds none of our templates",
            format!("the templates are {}", names.join(", ")),
        ));
    }
    Templates::replaced(replaced)
}
