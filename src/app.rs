//! Everything wired together: the only module that names adapters.

mod code_sandbox;
pub mod fenced_launch;
mod made_servers;
mod texts;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::task::TaskTracker;

use self::made_servers::{CatalogWithMade, MadeServers};
use crate::agent::chat::{Chat, ChatParts};
use crate::agent::engine::{Engine, EngineParts};
use crate::agent::runs::Runs;
use crate::agent::workflows::Workflows;
use crate::agent::{self, Agent, AskAi};
use crate::browser::{Chrome, Renderer};
use crate::config::{Config, Problem, prepare_data_dir};
use crate::content_urls::ContentUrls;
pub use crate::documents::LinkLife;
use crate::documents::verification::Verifier;
use crate::documents::{self, Attachments, DocumentParts, Documents};
use crate::egress::{self, EgressLimits, SystemResolver};
use crate::elixir::{self, Elixir, ElixirParts, Journal};
use crate::error::ToolError;
use crate::factory::cache::PackageCache;
pub use crate::factory::host::environment::CommonEnvironment;
use crate::factory::host::environment::{self, Environments};
use crate::factory::host::launcher::{Launcher, LauncherParts};
use crate::factory::inspect::{self, Inspected};
use crate::factory::plugins;
use crate::factory::scan::{Report, Rules};
use crate::factory::{self, Factory, FactoryParts};
use crate::fetch::Fetcher;
use crate::installation_key::InstallationKey;
use crate::jobs::{self, JobRunner, RunnerParts};
use crate::llm::models::TableError;
use crate::llm::resolve::{Models, system_calendar};
use crate::mcp_client::{Servers, ServersParts};
use crate::prompts::{PromptError, Prompts};
use crate::python::execute::{FetchedFile, FileSource, PythonRuns, RunParts, RunSettings};
use crate::python::{self, PythonCode, PythonParts};
use crate::registry::{self, Caller, Registry, RegistryParts, Tool};
use crate::sandbox::{Sandbox, Tier};
use crate::server::Metrics;
use crate::storage::blobs::Blobs;
use crate::storage::sqlite::{SqliteCatalog, check_file};
use crate::storage::{Catalog, Document, DocumentKind, Owner, StorageError, keys};

/// The database in the data folder.
const DATABASE: &str = "atelier.db";

/// Port of the content listener when nothing says otherwise.
const DEFAULT_CONTENT_PORT: u16 = 7411;

/// Tools that create or start servers: closed to code unless the operator opens them.
const SERVER_TOOLS: [&str; 3] = ["create_mcp_server", "start_mcp_server", "stop_mcp_server"];

/// The program, ready to serve: its configuration and its ports.
pub struct App {
    /// What it runs with.
    pub config: Arc<Config>,
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Bytes.
    pub blobs: Blobs,
    /// Models.
    pub models: Arc<Models>,
    /// Runs jobs.
    pub runner: Arc<JobRunner>,
    /// Calls tools.
    pub registry: Arc<Registry>,
    /// Prints documents and looks at pages; starts Chrome on first use.
    pub renderer: Arc<dyn Renderer>,
    /// Runs code of others; starts an interpreter on first use, or in the background.
    pub sandbox: Arc<dyn Sandbox>,
    /// Calls tools from inside the program.
    pub caller: Caller,
    /// Runs of Python, for their end.
    python: Arc<PythonRuns>,
    /// What is started before anybody asks for it.
    warming: TaskTracker,
    /// Runs of workflows and chats.
    pub agent: Agent,
    /// Conversations.
    pub chat: Arc<Chat>,
    /// Other MCP servers; they start on first use.
    pub servers: Servers,
    /// Servers that are made here.
    factory: Arc<Factory>,
    /// Documents, for what is no tool.
    documents: Arc<Documents>,
    /// Makes the URLs of hosted content; the listeners tell it where they are.
    pub urls: ContentUrls,
    /// Signs launch links and listener identities.
    pub key: InstallationKey,
    /// Figures of this process.
    pub metrics: Arc<Metrics>,
}

/// Why the program cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data folder cannot be used.
    #[error(transparent)]
    DataFolder(#[from] Problem),
    /// A setting is understood only where it is used, and is wrong.
    #[error(transparent)]
    Setting(Problem),
    /// The store in the data folder cannot be used.
    #[error("the data folder {path} cannot be used: {source}")]
    Storage {
        /// The data folder.
        path: PathBuf,
        /// Why.
        source: StorageError,
    },
    /// The tools cannot be offered as configured.
    #[error("{}{}", .0.message, .0.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
    Tools(#[from] ToolError),
    /// The model table of the configuration cannot be used.
    #[error(transparent)]
    Models(#[from] TableError),
    /// The prompts of the configuration cannot be used.
    #[error(transparent)]
    Prompts(#[from] PromptError),
}

/// The sandbox for code, for the doctor to look at, and the least tier that it may have.
///
/// # Errors
/// When the configuration names no layers or tiers that there are.
pub fn sandbox_to_examine(config: &Config) -> Result<(Arc<dyn Sandbox>, Tier), AppError> {
    let sandbox = code_sandbox::sandbox(&config.python, &config.storage.data_dir)?;
    Ok((sandbox, code_sandbox::least(&config.python)?))
}

/// The Python that most made servers run with, for the doctor to show.
pub fn environment_of_made_servers(config: &Config) -> CommonEnvironment {
    environment::common(&config.factory, &config.storage.data_dir.join("environments"))
}

/// Checks the plugins of made servers, as configured.
///
/// # Errors
/// When one cannot be used.
pub fn check_plugins(config: &Config) -> Result<(), AppError> {
    plugins::check(&config.factory).map_err(|error| {
        AppError::Setting(Problem::new("factory.plugins", error.message, error.hint))
    })
}

/// What the scan of packages looks for, as configured.
///
/// # Errors
/// When a rule of the user cannot be used.
pub fn scan_rules(config: &Config) -> Result<Rules, AppError> {
    inspect::configured_rules(&config.factory).map_err(|error| {
        AppError::Setting(Problem::new("factory.scan_rules", error.message, error.hint))
    })
}

/// Scans files and folders with the rules of the configuration.
///
/// # Errors
/// When a rule cannot be used, or something cannot be read.
pub async fn scan_paths(config: &Config, paths: &[PathBuf]) -> Result<Report, AppError> {
    let rules = scan_rules(config)?;
    inspect::scan_paths(paths, &rules).await.map_err(|error| AppError::Tools(error.into()))
}

/// The outside things, each replaceable in tests.
pub struct Ports {
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Bytes.
    pub blobs: Blobs,
    /// Models.
    pub models: Arc<Models>,
    /// Fetches files from other servers.
    pub fetcher: Fetcher,
    /// Prints documents and looks at pages.
    pub renderer: Arc<dyn Renderer>,
    /// Runs code of others.
    pub sandbox: Arc<dyn Sandbox>,
    /// Tools beside those of the program.
    pub further_tools: Vec<Tool>,
}

impl App {
    /// Opens the data folder and wires the program.
    ///
    /// # Errors
    /// [`AppError`], each with what to do.
    pub async fn open(config: Config, link_life: LinkLife) -> Result<Arc<Self>, AppError> {
        let folder = config.storage.data_dir.clone();
        prepare_data_dir(&folder)?;
        prepare_data_dir(&folder.join("blobs"))?;
        let in_folder = |source| AppError::Storage { path: folder.clone(), source };
        let catalog = SqliteCatalog::open(&folder.join(DATABASE)).await.map_err(in_folder)?;
        let blobs = Blobs::local(&folder.join("blobs")).map_err(in_folder)?;
        let models = Arc::new(Models::new(&config.llm, system_calendar())?);
        let renderer = Arc::new(Chrome::new(&config.browser, vec![folder.clone()]));
        let ports = Ports {
            catalog: Arc::new(catalog),
            blobs,
            models,
            fetcher: Fetcher::new(),
            renderer,
            sandbox: code_sandbox::sandbox(&config.python, &folder)?,
            further_tools: Vec::new(),
        };
        Self::with_ports(config, ports, link_life).await
    }

    /// Wires the program over given ports.
    ///
    /// # Errors
    /// [`AppError`], each with what to do.
    pub async fn with_ports(
        config: Config,
        ports: Ports,
        link_life: LinkLife,
    ) -> Result<Arc<Self>, AppError> {
        let Ports { catalog, blobs, models, fetcher, renderer, sandbox, further_tools } = ports;
        let in_folder =
            |source| AppError::Storage { path: config.storage.data_dir.clone(), source };
        let fresh = keys::secret().map_err(in_folder)?;
        let secret =
            catalog.setting_or_insert("installation_secret", &fresh).await.map_err(in_folder)?;
        let key = InstallationKey::new(&secret);
        let content = config
            .server
            .content_listen
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], DEFAULT_CONTENT_PORT)));
        let urls = ContentUrls::new(config.server.public_base_url.as_ref(), content, key.clone());
        let runner = JobRunner::new(RunnerParts {
            catalog: Arc::clone(&catalog),
            blobs: blobs.clone(),
            models: Arc::clone(&models),
            limits: config.limits.clone(),
        });
        let prompts = Arc::new(Prompts::load(config.llm.prompts_dir.as_deref())?);
        let launcher = Launcher::new(LauncherParts {
            sandbox: Arc::clone(&sandbox),
            config: config.factory.clone(),
            resolver: Arc::new(SystemResolver),
            limits: EgressLimits::default(),
        })
        .map_err(|reason| ToolError::invalid("invalid_arguments", reason))?;
        let launcher = Arc::new(launcher);
        let servers = Servers::new(ServersParts {
            specs: config.catalog.servers.servers.clone(),
            expose_at_most: config.catalog.expose_at_most,
            idle: Duration::try_from_secs_f64(config.catalog.idle_s).unwrap_or_default(),
            texts: Some(Arc::new(texts::ModelTexts {
                models: Arc::clone(&models),
                catalog: Arc::clone(&catalog),
            })),
            ..ServersParts::default()
        });
        let environments = Arc::new(Environments::new(
            &config.factory,
            config.storage.data_dir.join("environments"),
        ));
        let made_servers = MadeServers::new(
            servers.clone(),
            Arc::clone(&environments),
            Arc::clone(&launcher),
            config.factory.running_servers,
        );
        check_plugins(&config)?;
        let factory = Arc::new(Factory::new(FactoryParts {
            catalog: Arc::clone(&catalog),
            prompts: Arc::clone(&prompts),
            fetcher: fetcher.limited(factory::load::limits()),
            config: config.factory.clone(),
            data_dir: config.storage.data_dir.clone(),
            launcher,
            host: Arc::new(made_servers),
            environments,
            rules: scan_rules(&config)?,
            cache: PackageCache::new(
                config.storage.data_dir.join("made_packages"),
                config.factory.kept_packages,
            ),
        }));
        let attachments =
            Attachments::new(fetcher, Arc::clone(&catalog), blobs.clone(), urls.clone());
        let caller = Caller::new();
        let python_code = Arc::new(PythonCode::new(PythonParts {
            prompts: Arc::clone(&prompts),
            caller: caller.clone(),
        }));
        let python = Arc::new(PythonRuns::new(RunParts {
            sandbox: Arc::clone(&sandbox),
            caller: caller.clone(),
            catalog: Arc::clone(&catalog),
            blobs: blobs.clone(),
            urls: urls.clone(),
            files: Arc::new(Addresses(attachments.clone())),
            settings: run_settings(&config),
        }));
        let documents = Arc::new(Documents::new(DocumentParts {
            catalog: Arc::clone(&catalog),
            blobs: blobs.clone(),
            prompts: Arc::clone(&prompts),
            attachments,
            urls: urls.clone(),
            link_life,
            page_bytes: config.limits.page_bytes,
            verifier: if config.browser.verify {
                Verifier::new(Arc::clone(&renderer), blobs.clone(), &config.browser)
            } else {
                Verifier::off(blobs.clone())
            },
            tools: caller.clone(),
            renderer: Arc::clone(&renderer),
        }));
        let mut tools = documents::tools::tools(&documents);
        let elixir = Arc::new(Elixir::new(ElixirParts {
            prompts: Arc::clone(&prompts),
            allowed_roots: config.elixir.allowed_roots.clone(),
            journal: Journal::new(config.storage.data_dir.join("elixir")),
        }));
        tools.extend(elixir::tools::tools(&elixir));
        tools.extend(factory::tools::tools(&factory));
        tools.extend(python::tools::tools(&python_code, &python));
        let engine = Arc::new(Engine::new(EngineParts {
            caller: caller.clone(),
            prompts: Arc::clone(&prompts),
            runs: Runs::new(config.storage.data_dir.join("runs")),
            blobs: blobs.clone(),
        }));
        let agent = Agent::new(Arc::clone(&engine), Arc::clone(&runner));
        tools.extend(agent::tools::tools(&Arc::new(AskAi::new(Arc::clone(&prompts)))));
        let workflows = Workflows::new(config.agent.workflows.clone());
        tools.extend(agent::tools::engine_tools(&engine, &workflows, &urls));
        tools.extend(jobs::tools::tools(&runner));
        tools.extend(registry::tools::tools(&caller));
        tools.extend(further_tools);
        let mut server = config.server.clone();
        if config.python.may_manage_servers {
            let there =
                SERVER_TOOLS.into_iter().filter(|name| tools.iter().any(|tool| tool.name == *name));
            server.open_to_code.extend(there.map(str::to_owned));
        }
        let parts = RegistryParts {
            tools,
            catalog: Arc::clone(&catalog),
            blobs: blobs.clone(),
            runner: Arc::clone(&runner),
            limits: config.limits.clone(),
            server,
            foreign: Arc::new(CatalogWithMade {
                servers: servers.clone(),
                factory: Arc::clone(&factory),
            }),
        };
        let metrics = Metrics::with(vec![Box::new(egress::Figures)]);
        let registry = Registry::new(parts, Some(metrics.clone()))?;
        caller.bind(&registry);
        let chat = Arc::new(Chat::new(ChatParts {
            catalog: Arc::clone(&catalog),
            blobs: blobs.clone(),
            agent: agent.clone(),
            registry: Arc::clone(&registry),
            caller: caller.clone(),
            models: Arc::clone(&models),
            prompts,
        }));
        let config = Arc::new(config);
        Ok(Arc::new(Self {
            config,
            catalog,
            blobs,
            models,
            runner,
            registry,
            renderer,
            sandbox,
            caller,
            python,
            warming: TaskTracker::new(),
            servers,
            documents,
            factory,
            agent,
            chat,
            urls,
            key,
            metrics,
        }))
    }
}

impl App {
    /// Starts the interpreter of the sandbox in the background, so that the first code need not wait.
    pub fn warm_up(&self) {
        if !self.config.python.warm_up {
            return;
        }
        let sandbox = Arc::clone(&self.sandbox);
        self.warming.spawn(async move { sandbox.report().await });
    }

    /// Ends everything in order: jobs first, then what they work with. No process is left.
    pub async fn shut_down(&self) {
        self.runner.shut_down().await;
        self.servers.shut_down().await;
        self.python.close().await;
        self.warming.close();
        self.sandbox.close().await;
        self.warming.wait().await;
        self.renderer.shut_down().await;
    }

    /// Scans and tests the package of a made server in a folder.
    ///
    /// # Errors
    /// When there is no package, or it cannot be read.
    pub async fn inspect_package(&self, folder: &Path) -> Result<Inspected, ToolError> {
        Ok(self.factory.inspect(folder).await?)
    }

    /// Gives a document another name; its address, versions and title stay.
    ///
    /// # Errors
    /// When there is no such document, or the name is none or taken.
    pub async fn rename_document(
        &self,
        owner: &Owner,
        kind: DocumentKind,
        name: &str,
        new_name: &str,
    ) -> Result<Document, ToolError> {
        Ok(self.documents.rename(owner, kind, name, new_name).await?)
    }
}

/// Files behind addresses, fetched as attachments of documents are: from public addresses and from
/// what is hosted here.
struct Addresses(Attachments);

#[async_trait]
impl FileSource for Addresses {
    async fn fetch(&self, addresses: &[String]) -> Result<Vec<FetchedFile>, ToolError> {
        let files = self.0.read(addresses).await?;
        Ok(files.into_iter().map(|(name, bytes)| FetchedFile { name, bytes }).collect())
    }
}

fn run_settings(config: &Config) -> RunSettings {
    let python = &config.python;
    let opened = |name: &&str| {
        python.may_manage_servers || config.server.open_to_code.iter().any(|entry| entry == name)
    };
    RunSettings {
        concurrent_runs: code_sandbox::concurrent_runs(python),
        waiting_runs: python.waiting_runs,
        longest_wait: Duration::try_from_secs_f64(config.limits.completion_max_life_s)
            .unwrap_or(Duration::from_hours(1)),
        tool_calls: python.tool_calls,
        ai_calls: python.ai_calls,
        concurrent_calls: python.concurrent_calls,
        file_bytes: python.file_bytes,
        inline_images: python.inline_images,
        closed_tools: SERVER_TOOLS
            .into_iter()
            .filter(|name| !opened(name))
            .map(str::to_owned)
            .collect(),
    }
}

/// Reads through the database of a data folder and changes nothing; `false` when there is none yet.
///
/// # Errors
/// When it cannot be read or is damaged.
pub async fn check_database(folder: &Path) -> Result<bool, StorageError> {
    let file = folder.join(DATABASE);
    if file.exists() { check_file(&file).await.map(|()| true) } else { Ok(false) }
}

impl std::fmt::Debug for App {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("App").field("config", &self.config).finish_non_exhaustive()
    }
}
