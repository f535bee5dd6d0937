//! Made servers as servers of the catalog: once started, their tools are found and called like
//! those of any other MCP server, as `server__tool`, by the principal whose they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::fenced_launch::FencedLaunch;
use crate::config::mcp_servers::{Connection, ServerSpec, StdioSpec};
use crate::config::secret::Secret;
use crate::error::ToolError;
use crate::factory::Factory;
use crate::factory::host::environment::Environments;
use crate::factory::host::launcher::Launcher;
use crate::factory::host::running::{Condition, Offered, ServerHost, Standing, StartServer};
use crate::factory::names::hash8;
use crate::jobs::ToolOutput;
use crate::mcp_client::{Launch, Launched, Process, ServerState, Servers};
use crate::registry::{ForeignCall, ForeignList, ForeignTool, ForeignTools, UnlistedServer};
use crate::storage::{PrincipalId, StartedServer};

/// A little more than the longest call that a package's runtime lets run.
const CALL: Duration = Duration::from_secs(150);
/// How long a start waits for a place.
const PLACE: Duration = Duration::from_secs(2);
/// Letters of a server's name in the catalog.
const LONGEST_NAME: usize = 40;
/// Most names that are tried for a server whose own is taken.
const NAMES: usize = 100;

/// Keeps made servers in the catalog.
pub(super) struct MadeServers {
    servers: Servers,
    environments: Arc<Environments>,
    launcher: Arc<Launcher>,
    most: usize,
    places: Arc<Semaphore>,
    standing: Mutex<BTreeMap<(PrincipalId, String), Placed>>,
}

/// Where a server stands.
#[derive(Clone)]
struct Placed {
    noted: StartedServer,
    catalog_name: String,
    launch: Arc<FencedLaunch>,
}

impl MadeServers {
    /// A keeper that lets at most so many processes run at a time.
    pub(super) fn new(
        servers: Servers,
        environments: Arc<Environments>,
        launcher: Arc<Launcher>,
        most: usize,
    ) -> Self {
        Self {
            servers,
            environments,
            launcher,
            most,
            places: Arc::new(Semaphore::new(most)),
            standing: Mutex::default(),
        }
    }

    fn placed(&self, owner: &PrincipalId, name: &str) -> Option<Placed> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.get(&(owner.clone(), name.to_owned())).cloned()
    }

    /// A server's own name, or where another of those that its owner sees has it, one like it.
    fn free_name(&self, owner: &PrincipalId, name: &str) -> Result<String, String> {
        let numbered = |number: usize| {
            let ending = if number == 1 { "-made".to_owned() } else { format!("-made-{number}") };
            let start: String = name.chars().take(LONGEST_NAME - ending.len()).collect();
            format!("{}{ending}", start.trim_end_matches(['_', '-']))
        };
        std::iter::once(name.to_owned())
            .chain((1..=NAMES).map(numbered))
            .find(|name| self.servers.taken(Some(owner), name).is_none())
            .ok_or_else(|| format!("{NAMES} names like `{name}` are taken"))
    }
}

#[async_trait]
impl ServerHost for MadeServers {
    async fn add(&self, server: StartServer) -> Result<(), String> {
        let owner = server.owner.clone();
        self.remove(&owner, &server.noted.name).await;
        let catalog_name = self.free_name(&owner, &server.noted.name)?;
        let name = format!("{}/{}", hash8(owner.as_str()), server.noted.name);
        let fenced = FencedLaunch::new(Arc::clone(&self.launcher), name, server.reach.clone());
        let fenced = Arc::new(fenced);
        let launch = Arc::new(MadeProgram {
            folder: server.folder.clone(),
            environments: Arc::clone(&self.environments),
            launch: Arc::clone(&fenced),
            most: self.most,
            places: Arc::clone(&self.places),
        });
        self.servers
            .add_of(Some(&owner), &catalog_name, spec(&server), launch)
            .map_err(|error| error.message)?;
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (owner, server.noted.name.clone());
        standing.insert(key, Placed { noted: server.noted, catalog_name, launch: fenced });
        Ok(())
    }

    async fn start(&self, owner: &PrincipalId, name: &str) -> Result<Offered, String> {
        let placed = self.placed(owner, name).ok_or("it was stopped in the meantime")?;
        let tools = self.servers.start_of(Some(owner), &placed.catalog_name).await;
        let tools = tools.map_err(|error| error.message)?;
        Ok(Offered {
            catalog_name: placed.catalog_name,
            tools: tools.iter().map(|tool| (tool.name.clone(), tool.description.clone())).collect(),
            isolation: placed.launch.isolation().unwrap_or_default(),
        })
    }

    async fn remove(&self, owner: &PrincipalId, name: &str) -> bool {
        let placed = {
            let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
            standing.remove(&(owner.clone(), name.to_owned()))
        };
        match placed {
            Some(placed) => self.servers.remove_of(Some(owner), &placed.catalog_name).await,
            None => false,
        }
    }

    fn standing(&self, owner: &PrincipalId) -> Vec<Standing> {
        let placed: Vec<Placed> = {
            let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
            let own = standing.iter().filter(|((of, _), _)| of == owner);
            own.map(|(_, placed)| placed.clone()).collect()
        };
        if placed.is_empty() {
            return Vec::new();
        }
        let states = self.servers.status();
        let of = |placed: Placed| {
            let state = states.iter().find(|state| {
                state.owner.as_ref() == Some(owner) && state.name == placed.catalog_name
            });
            let condition = match state.map(|state| state.state) {
                Some(ServerState::Running) => Condition::Running,
                Some(ServerState::Failed) => Condition::Failed,
                Some(ServerState::Stopped) | None => Condition::Idle,
            };
            Standing {
                noted: placed.noted,
                catalog_name: placed.catalog_name,
                condition,
                last_error: state.and_then(|state| state.last_error.clone()),
            }
        };
        placed.into_iter().map(of).collect()
    }
}

/// How the catalog starts it: with the variables that it declares and no others of ours. The
/// interpreter is found when it starts.
fn spec(server: &StartServer) -> ServerSpec {
    let own = [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("LANG", "C.UTF-8"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONUNBUFFERED", "1"),
    ];
    let secret = |text: &str| Secret::new(text.to_owned());
    let mut environment: BTreeMap<String, Secret> =
        own.into_iter().map(|(name, value)| (name.to_owned(), secret(value))).collect();
    environment.insert("HOME".to_owned(), secret(&text(&server.folder)));
    let given = server.variables.iter().map(|(name, value)| (name.clone(), secret(value)));
    environment.extend(given);
    let program = StdioSpec {
        program: "python3".to_owned(),
        arguments: vec!["server.py".to_owned()],
        environment,
        folder: Some(server.folder.clone()),
    };
    let mut spec = ServerSpec::new(Connection::Stdio(program));
    spec.timeout = CALL;
    spec
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Starts the program of one made server, with the interpreter of its requirements.
struct MadeProgram {
    folder: std::path::PathBuf,
    environments: Arc<Environments>,
    launch: Arc<FencedLaunch>,
    most: usize,
    places: Arc<Semaphore>,
}

impl Launch for MadeProgram {
    fn launch<'a>(&'a self, spec: &'a StdioSpec) -> BoxFuture<'a, Result<Launched, String>> {
        Box::pin(async move {
            // A process that has just ended may be about to leave its place.
            let place = Arc::clone(&self.places).acquire_owned();
            let Ok(Ok(place)) = tokio::time::timeout(PLACE, place).await else {
                return Err(format!(
                    "{} made servers run already, which is the most (`factory.running_servers`); stop one first",
                    self.most
                ));
            };
            let python = self
                .environments
                .interpreter_of(&self.folder)
                .await
                .map_err(|reason| format!("there is no Python environment for it: {reason}"))?;
            let spec = StdioSpec { program: text(&python), ..spec.clone() };
            let mut launched = self.launch.launch(&spec).await?;
            launched.process = Box::new(Counted { process: launched.process, _place: place });
            Ok(launched)
        })
    }
}

/// A process that takes one of the places.
struct Counted {
    process: Box<dyn Process>,
    _place: OwnedSemaphorePermit,
}

#[async_trait]
impl Process for Counted {
    fn kill(&self) {
        self.process.kill();
    }

    fn ask_to_end(&self) {
        self.process.ask_to_end();
    }

    async fn ended(&mut self) -> String {
        self.process.ended().await
    }
}

/// The catalog with the servers that were made and started, by this process, an earlier one or
/// another one on the same data folder: the rows say which, and every look compares.
pub(super) struct CatalogWithMade {
    pub(super) servers: Servers,
    pub(super) factory: Arc<Factory>,
}

#[async_trait]
impl ForeignTools for CatalogWithMade {
    fn known(&self, principal: Option<&PrincipalId>) -> Arc<ForeignList> {
        self.servers.known(principal)
    }

    fn changes(&self) -> Option<watch::Receiver<()>> {
        self.servers.changes()
    }

    async fn learn(&self, principal: Option<&PrincipalId>) -> Vec<UnlistedServer> {
        if let Some(principal) = principal {
            self.factory.restore(principal).await;
        }
        self.servers.learn(principal).await
    }

    async fn find(
        &self,
        name: &str,
        principal: Option<&PrincipalId>,
    ) -> Result<Option<Arc<ForeignTool>>, ToolError> {
        // What everybody has is no made server's.
        if let Some(tool) = self.servers.known(None).tools.get(name) {
            return Ok(Some(Arc::clone(tool)));
        }
        if let Some(principal) = principal {
            self.factory.restore(principal).await;
        }
        self.servers.find(name, principal).await
    }

    async fn call(&self, call: ForeignCall) -> Result<ToolOutput, ToolError> {
        self.servers.call(call).await
    }
}
