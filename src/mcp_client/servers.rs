//! All other servers, and their tools as the registry sees them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::asking::{Offer, Texts};
use super::connection::Opening;
use super::error::ClientError;
use super::launch::{Launch, LocalLaunch};
use super::server::Server;
use super::{Asker, Connector, ToolClient, http, result, stdio};
use crate::config::mcp_servers::{self, Connection, Protocol, ServerSpec};
use crate::error::ToolError;
use crate::jobs::ToolOutput;
use crate::registry::{
    ForeignCall, ForeignList, ForeignTool, ForeignTools, SERVER_DIVIDER, UnlistedServer,
};
use crate::storage::PrincipalId;

/// How long a search waits for servers to start before it goes on without them.
const LEARN: Duration = Duration::from_secs(15);

/// What [`Servers`] are made from.
pub struct ServersParts {
    /// The servers of the configuration.
    pub specs: BTreeMap<String, ServerSpec>,
    /// Up to how many tools stand in the tool list themselves.
    pub expose_at_most: usize,
    /// How long a server may be idle; zero: for ever.
    pub idle: Duration,
    /// Starts programs.
    pub launch: Arc<dyn Launch>,
    /// Writes texts for servers that may ask for them; `None`: for none.
    pub texts: Option<Arc<dyn Texts>>,
}

impl Default for ServersParts {
    fn default() -> Self {
        Self {
            specs: BTreeMap::new(),
            expose_at_most: 0,
            idle: Duration::ZERO,
            launch: Arc::new(LocalLaunch),
            texts: None,
        }
    }
}

/// All other servers. Clones share them.
#[derive(Clone)]
pub struct Servers {
    inner: Arc<Inner>,
}

/// Whose a server is, and its name. Those without an owner are everybody's.
type Key = (Option<PrincipalId>, String);

struct Inner {
    servers: RwLock<BTreeMap<Key, Arc<Server>>>,
    known: RwLock<Known>,
    /// Held while the list is put together, so that an older one never replaces a newer one.
    publishing: Mutex<()>,
    changes: watch::Sender<()>,
    launch: Arc<dyn Launch>,
    texts: Option<Arc<dyn Texts>>,
    expose_at_most: usize,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The lists of tools: everybody's, and of each principal with servers of its own one that holds
/// both.
#[derive(Default)]
struct Known {
    shared: Arc<ForeignList>,
    own: BTreeMap<PrincipalId, Arc<ForeignList>>,
}

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// It was not needed yet, or is not any more.
    Stopped,
    /// It is connected.
    Running,
    /// It failed the last time.
    Failed,
}

/// What there is to say about a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Whose it is; `None`: everybody's.
    #[serde(skip)]
    pub owner: Option<PrincipalId>,
    /// How it is.
    pub state: ServerState,
    /// What it is, without secrets.
    pub summary: String,
    /// How many of its tools are passed on, once it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<usize>,
    /// The version of the protocol that is spoken.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub protocol_version: String,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Connects over pipes or HTTP, as the spec says.
struct Reach {
    launch: Arc<dyn Launch>,
    texts: Option<Arc<dyn Texts>>,
}

#[async_trait]
impl Connector for Reach {
    async fn connect(
        &self,
        name: &str,
        spec: &ServerSpec,
        protocol: Protocol,
    ) -> Result<Box<dyn ToolClient>, ClientError> {
        let opening = Opening {
            name: name.to_owned(),
            protocol,
            offer: Offer::of(name, spec, self.texts.as_ref()),
        };
        Ok(match &spec.connection {
            Connection::Stdio(program) => {
                Box::new(stdio::connect(&*self.launch, spec, program, opening).await?)
            }
            Connection::Http { url, headers } => {
                Box::new(http::connect(spec, url, headers, opening).await?)
            }
        })
    }
}

impl Servers {
    /// Servers that are started when they are needed.
    pub fn new(parts: ServersParts) -> Self {
        let inner = Arc::new(Inner {
            servers: RwLock::default(),
            known: RwLock::default(),
            publishing: Mutex::default(),
            changes: watch::Sender::new(()),
            launch: parts.launch,
            texts: parts.texts,
            expose_at_most: parts.expose_at_most,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let servers = Self { inner };
        for (name, spec) in parts.specs {
            let launch = Arc::clone(&servers.inner.launch);
            servers.insert((None, name), spec, launch);
        }
        if !parts.idle.is_zero() && tokio::runtime::Handle::try_current().is_ok() {
            let (weak, stop) = (Arc::downgrade(&servers.inner), servers.inner.stop.clone());
            servers.inner.tasks.spawn(stop_idle(weak, stop, parts.idle));
        }
        servers
    }

    /// Adds a server at run time; it is started when it is needed.
    ///
    /// # Errors
    /// When its name cannot be used or is taken.
    pub fn add(&self, name: &str, spec: ServerSpec) -> Result<(), ToolError> {
        self.add_with(name, spec, Arc::clone(&self.inner.launch))
    }

    /// Adds a server that is started in a way of its own, such as in a sandbox.
    ///
    /// # Errors
    /// When its name cannot be used or is taken.
    pub fn add_with(
        &self,
        name: &str,
        spec: ServerSpec,
        launch: Arc<dyn Launch>,
    ) -> Result<(), ToolError> {
        self.add_of(None, name, spec, launch)
    }

    /// Adds a server of one principal, which nobody else sees. Its name must differ from those of
    /// everybody's servers and of the principal's own; other principals' do not matter.
    ///
    /// # Errors
    /// When its name cannot be used or is taken.
    pub fn add_of(
        &self,
        owner: Option<&PrincipalId>,
        name: &str,
        spec: ServerSpec,
        launch: Arc<dyn Launch>,
    ) -> Result<(), ToolError> {
        mcp_servers::check_name(name).map_err(|message| {
            ToolError::invalid("invalid_name", format!("`{name}`: {message}"))
                .hint("give the server another name")
        })?;
        if let Some(other) = self.taken(owner, name) {
            return Err(ToolError::new(
                crate::error::ErrorKind::Conflict,
                "name_taken",
                format!("there is a server named `{other}` already"),
            )
            .hint("give the server another name, or remove the other one first"));
        }
        self.insert((owner.cloned(), name.to_owned()), spec, launch);
        Ok(())
    }

    /// The server that stands in the way of a new one of this name.
    pub fn taken(&self, owner: Option<&PrincipalId>, name: &str) -> Option<String> {
        let folded = mcp_servers::folded_name(name);
        // A server of everybody must differ from everybody's and from every principal's.
        let meets = |other: &Server| owner.is_none() || other.is_seen_by(owner);
        self.all()
            .into_iter()
            .find(|other| meets(other) && mcp_servers::folded_name(&other.name) == folded)
            .map(|other| other.name.clone())
    }

    fn insert(&self, key: Key, spec: ServerSpec, launch: Arc<dyn Launch>) {
        let weak = Arc::downgrade(&self.inner);
        let on_change = Arc::new(move || {
            if let Some(inner) = weak.upgrade() {
                inner.publish();
            }
        });
        let connector = Arc::new(Reach { launch, texts: self.inner.texts.clone() });
        let tasks = self.inner.tasks.clone();
        let server = Server::new(key.clone(), spec, connector, on_change, tasks);
        let mut servers = self.inner.servers.write().unwrap_or_else(PoisonError::into_inner);
        servers.insert(key, server);
    }

    /// Starts a server at once and names its tools.
    ///
    /// # Errors
    /// Why it cannot be started; it stays, and the next call tries again.
    pub async fn start_of(
        &self,
        owner: Option<&PrincipalId>,
        name: &str,
    ) -> Result<Vec<Arc<ForeignTool>>, ToolError> {
        let server =
            self.server(owner, name).ok_or_else(|| ClientError::Removed.of_server(name))?;
        server.learn().await.map_err(|error| error.of_server(name))?;
        Ok(server.tools().unwrap_or_default())
    }

    /// Stops a server and forgets it; `false` when there is none of this name.
    pub async fn remove(&self, name: &str) -> bool {
        self.remove_of(None, name).await
    }

    /// Stops a server of one principal and forgets it; `false` when there is none of this name.
    pub async fn remove_of(&self, owner: Option<&PrincipalId>, name: &str) -> bool {
        let server = {
            let mut servers = self.inner.servers.write().unwrap_or_else(PoisonError::into_inner);
            servers.remove(&(owner.cloned(), name.to_owned()))
        };
        let Some(server) = server else { return false };
        self.inner.publish();
        server.remove().await;
        true
    }

    /// What there is to say about each server, by name.
    pub fn status(&self) -> Vec<ServerStatus> {
        let status = |server: Arc<Server>| {
            let facts = server.snapshot();
            let state = match (facts.is_running, &facts.last_error) {
                (true, _) => ServerState::Running,
                (false, Some(_)) => ServerState::Failed,
                (false, None) => ServerState::Stopped,
            };
            ServerStatus {
                name: server.name.clone(),
                owner: server.owner.clone(),
                state,
                summary: server.spec.summary(),
                tools: facts.tools,
                protocol_version: facts.protocol_version,
                last_error: facts.last_error,
            }
        };
        self.all().into_iter().map(status).collect()
    }

    /// Stops all servers. Nothing of them is left afterwards, and none is started any more.
    pub async fn shut_down(&self) {
        self.inner.stop.cancel();
        futures::future::join_all(self.all().iter().map(|server| server.remove())).await;
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn all(&self) -> Vec<Arc<Server>> {
        let servers = self.inner.servers.read().unwrap_or_else(PoisonError::into_inner);
        servers.values().cloned().collect()
    }

    /// Those that a principal may know of, everybody's first.
    fn seen_by(&self, principal: Option<&PrincipalId>) -> Vec<Arc<Server>> {
        let mut servers = self.all();
        servers.retain(|server| server.is_seen_by(principal));
        servers
    }

    fn server(&self, owner: Option<&PrincipalId>, name: &str) -> Option<Arc<Server>> {
        let servers = self.inner.servers.read().unwrap_or_else(PoisonError::into_inner);
        servers.get(&(owner.cloned(), name.to_owned())).cloned()
    }
}

impl Inner {
    /// Puts the lists of all known tools together anew.
    fn publish(&self) {
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let servers: Vec<Arc<Server>> = {
            let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
            servers.values().cloned().collect()
        };
        let owners: BTreeSet<&PrincipalId> =
            servers.iter().filter_map(|server| server.owner.as_ref()).collect();
        let lists: Vec<(Option<&PrincipalId>, ForeignList)> = std::iter::once(None)
            .chain(owners.into_iter().map(Some))
            .map(|owner| (owner, self.list(&servers, owner)))
            .collect();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let mut own = BTreeMap::new();
        let mut has_changed = false;
        for (owner, list) in lists {
            // An equal list stays the same one: what was made of it stays good.
            let old = owner.map_or(Some(&known.shared), |owner| known.own.get(owner));
            let list = match old {
                Some(old) if is_equal(old, &list) => Arc::clone(old),
                _ => {
                    has_changed = true;
                    Arc::new(list)
                }
            };
            match owner {
                None => known.shared = list,
                Some(owner) => {
                    own.insert(owner.clone(), list);
                }
            }
        }
        has_changed |= known.own.len() != own.len();
        known.own = own;
        drop(known);
        if has_changed {
            self.changes.send_replace(());
        }
    }

    /// The tools that a principal may know of.
    fn list(&self, servers: &[Arc<Server>], principal: Option<&PrincipalId>) -> ForeignList {
        let mut list = ForeignList::default();
        // Everybody's servers come first in their order.
        for server in servers.iter().filter(|server| server.is_seen_by(principal)) {
            for tool in server.tools().unwrap_or_default() {
                if server.spec.expose {
                    list.exposed.insert(tool.name.clone());
                }
                // Aliases of two servers that are equal in spite of their hashes: the first wins.
                list.tools.entry(tool.name.clone()).or_insert(tool);
            }
        }
        if list.tools.len() <= self.expose_at_most {
            list.exposed.extend(list.tools.keys().cloned());
        }
        list
    }
}

/// Whether two lists hold the very same tools.
fn is_equal(one: &ForeignList, other: &ForeignList) -> bool {
    one.exposed == other.exposed
        && one.tools.len() == other.tools.len()
        && one.tools.values().zip(other.tools.values()).all(|(one, other)| Arc::ptr_eq(one, other))
}

async fn stop_idle(inner: Weak<Inner>, stop: CancellationToken, idle: Duration) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(idle / 4) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        let servers = Servers { inner };
        for server in servers.all() {
            server.stop_when_idle(idle).await;
        }
    }
}

#[async_trait]
impl ForeignTools for Servers {
    fn known(&self, principal: Option<&PrincipalId>) -> Arc<ForeignList> {
        let known = self.inner.known.read().unwrap_or_else(PoisonError::into_inner);
        let own = principal.and_then(|principal| known.own.get(principal));
        Arc::clone(own.unwrap_or(&known.shared))
    }

    fn changes(&self) -> Option<watch::Receiver<()>> {
        Some(self.inner.changes.subscribe())
    }

    async fn learn(&self, principal: Option<&PrincipalId>) -> Vec<UnlistedServer> {
        let learn = |server: Arc<Server>| async move {
            let problem = match tokio::time::timeout(LEARN, server.learn()).await {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!(
                    "it is still being started after {} s; ask again in a moment",
                    LEARN.as_secs()
                ),
            };
            Some(UnlistedServer { name: server.name.clone(), problem })
        };
        let servers = self.seen_by(principal);
        let learned = futures::future::join_all(servers.into_iter().map(learn)).await;
        learned.into_iter().flatten().collect()
    }

    async fn find(
        &self,
        name: &str,
        principal: Option<&PrincipalId>,
    ) -> Result<Option<Arc<ForeignTool>>, ToolError> {
        if let Some(tool) = self.known(principal).tools.get(name) {
            return Ok(Some(Arc::clone(tool)));
        }
        let servers = self.seen_by(principal).into_iter().filter(|server| {
            let name = name.strip_prefix('_').unwrap_or(name);
            let rest = name.strip_prefix(server.name.as_str());
            rest.is_some_and(|rest| rest.starts_with(SERVER_DIVIDER))
        });
        let mut failed = None;
        for server in servers {
            if let Err(error) = server.learn_again().await {
                failed = Some(error.of_server(&server.name));
            }
            if let Some(tool) = self.known(principal).tools.get(name) {
                return Ok(Some(Arc::clone(tool)));
            }
        }
        failed.map_or(Ok(None), Err)
    }

    async fn call(&self, call: ForeignCall) -> Result<ToolOutput, ToolError> {
        let tool = &*call.tool;
        let arguments = match call.arguments {
            Value::Object(arguments) => arguments,
            _ => serde_json::Map::new(),
        };
        let server = self
            .server(tool.owner.as_ref(), &tool.server)
            .ok_or_else(|| ClientError::Removed.of_server(&tool.server))?;
        let from = Asker { progress: call.progress, person: call.person };
        let answer = server.call(&tool.inner_name, arguments, &from).await;
        let answer = answer.map_err(|error| {
            error.of_server(&tool.server).detail("tool", Value::from(tool.inner_name.as_str()))
        })?;
        result::output(tool, answer)
    }
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.all().iter().map(|server| &server.name)).finish()
    }
}
