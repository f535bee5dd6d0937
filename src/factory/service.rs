//! The use case of making a server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::cache::{PackageCache, Reused};
use super::control::Controls;
use super::draft::{Draft, Trying, refuse_failed};
use super::error::{FactoryError, Refusal};
use super::execution_log::ExecutionLog;
use super::from_database;
use super::host::environment::Environments;
use super::host::launcher::Launcher;
use super::host::running::ServerHost;
use super::ir::{Features, Mode, PackageFile, Scheme, Skipped, Sourced};
use super::load::{Fetched, Loader};
use super::names::{self, prose};
use super::publish;
use super::render::{self, listing, templates::Templates};
use super::scan::Rules;
use super::selftest::SelfTest;
use super::source::database::Access;
use super::source::description;
use super::source::openapi::{self, Settings};
use super::source::select::Selection;
use super::{auth, cases};
use crate::config::factory::FactoryConfig;
use crate::fetch::Fetcher;
use crate::jobs::{Failure, Run};
use crate::prompts::Prompts;
use crate::storage::{Catalog, NewServer};

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
    /// Starts programs of packages.
    pub launcher: Arc<Launcher>,
    /// Keeps servers running.
    pub host: Arc<dyn ServerHost>,
    /// Finds the Python of packages.
    pub environments: Arc<Environments>,
    /// What the scan looks for.
    pub rules: Rules,
    /// What was made before.
    pub cache: PackageCache,
}

/// Makes servers and runs them.
pub struct Factory {
    pub(super) parts: FactoryParts,
    pub(super) controls: Controls,
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
    /// Whether to look for documentation on the web before a model designs the tools.
    pub web_search: WebSearching,
    /// Tables of a database; empty: all.
    pub tables: Vec<String>,
    /// Whether tools may write to a database.
    pub access: Access,
}

/// Whether the web is searched for documentation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WebSearching {
    /// It is not.
    #[default]
    Off,
    /// It is.
    On,
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
    /// The execution that made and proved the package, when it was not this one.
    pub reused: Option<Reused>,
}

impl Factory {
    /// A factory on these parts.
    pub fn new(parts: FactoryParts) -> Self {
        Self { parts, controls: Controls::default() }
    }

    /// Makes a server, proves it and lists it.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the tools; else why nothing was published.
    pub async fn create(&self, run: &Run, call: CreateServer) -> Result<Created, Failure> {
        check_sources(&call)?;
        let signing = signing(&call)?;
        self.check_search(&call)?;
        let loader = Loader {
            fetcher: &self.parts.fetcher,
            allowed_roots: &self.parts.config.allowed_roots,
            fetched: Fetched::default(),
        };
        let templates = match &call.options.template_dir {
            Some(folder) => read_templates(&loader.allowed(Path::new(folder))?).await?,
            None => Templates::default(),
        };
        let output = match &call.output_dir {
            Some(folder) => Some(loader.allowed_folder(Path::new(folder))?),
            None => None,
        };
        let mut log = ExecutionLog::new(self.parts.config.variables.values());
        let mut named = BTreeMap::new();
        let (draft, model_used) = if let Some(given) = &call.openapi {
            run.progress(5.0, Some(100.0), "reading the description");
            let (bundle, shown) = loader.load(given).await?;
            log.step("read", shown.clone());
            log.http_requests(&loader.fetched);
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
                Ok::<_, FactoryError>(Sourced { package, cases, files: Vec::new(), trial: None })
            });
            let sourced = work.await.map_err(|error| internal(&error))??;
            log.step("normalise", counted(&sourced));
            let draft =
                Box::pin(self.draft(run, sourced, &templates, &mut log, Trying::default())).await?;
            refuse_failed(&draft)?;
            (draft, None)
        } else if let Some(given) = &call.database_url {
            run.progress(5.0, Some(100.0), "reading the database");
            let (sourced, variables) =
                from_database::sourced(&call, given, &self.parts.config, &loader).await?;
            named.extend(from_database::named_file(given, &loader));
            log.step("introspect", counted(&sourced));
            let trying = Trying { variables: Some(&variables), ..Trying::default() };
            let draft = Box::pin(self.draft(run, sourced, &templates, &mut log, trying)).await?;
            refuse_failed(&draft)?;
            (draft, None)
        } else if let Some(specs) = &call.tool_specs {
            let sourced =
                description::from_specs(specs, call.name.as_deref(), &call.options.features)
                    .map_err(refused_specs)?;
            let sourced = signed(sourced, signing);
            log.step(
                "tool_specs",
                format!("{} tools written by the caller", sourced.package.tools.len()),
            );
            let draft =
                Box::pin(self.draft(run, sourced, &templates, &mut log, Trying::default())).await?;
            refuse_failed(&draft)?;
            (draft, None)
        } else {
            let words = description::check(call.description.as_deref().unwrap_or_default())?;
            Box::pin(self.written(run, &call, (words, signing), &templates, &mut log)).await?
        };
        self.publish(run, (draft, named), output, model_used).await
    }

    pub(super) async fn interpreter(&self, files: &[PackageFile]) -> Result<PathBuf, String> {
        let text = |path: &str| {
            files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
        };
        let environments = &self.parts.environments;
        environments.interpreter(text("requirements.txt"), text("requirements-dev.txt")).await
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.parts.data_dir.join(publish::SERVERS)
    }

    async fn publish(
        &self,
        run: &Run,
        (draft, named): (Draft, BTreeMap<String, String>),
        output: Option<PathBuf>,
        model_used: Option<String>,
    ) -> Result<Created, Failure> {
        run.progress(95.0, Some(100.0), "publishing");
        let Draft { findings, package, files, self_test, python, staged, reused } = draft;
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
            "files": named,
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
            reused,
        })
    }
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

/// How the functions of a description authenticate, and where.
pub(super) type Signing = Option<((String, Scheme), String)>;

/// What `auth` means for this source. For an API's description it fills gaps, and is read there.
fn signing(call: &CreateServer) -> Result<Signing, FactoryError> {
    let Some(given) = &call.auth else { return Ok(None) };
    let refused = |message: &str, hint: &str| {
        Err(FactoryError::new(Refusal::Arguments, message.to_owned(), hint.to_owned()))
    };
    if call.database_url.is_some() {
        return refused(
            "`auth` cannot be used with `database_url`: a database authenticates by its address",
            "write user and password into the address, or put the address into a variable and write `env:NAME`",
        );
    }
    let scheme = auth::read(given)?;
    if call.openapi.is_some() {
        return Ok(None);
    }
    match checked_base_url(call.options.base_url.as_deref())? {
        Some(base_url) => Ok(Some((scheme, base_url))),
        None => refused(
            "`auth` needs `options.base_url` here: credentials go to the API's own address and nowhere else",
            "give the address of the API as `options.base_url`, or leave `auth` out",
        ),
    }
}

/// Functions with the credentials of their API.
pub(super) fn signed(mut sourced: Sourced, signing: Signing) -> Sourced {
    if let Some((scheme, base_url)) = signing {
        auth::of_functions(&mut sourced.package, scheme, &base_url);
    }
    sourced
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

/// What a source came to, for the log.
fn counted(sourced: &Sourced) -> String {
    let Sourced { package, .. } = sourced;
    format!("{} tools, {} skipped", package.tools.len(), package.skipped.len())
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
