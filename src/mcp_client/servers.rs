//! All other servers, and their tools as the registry sees them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
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

struct Inner {
    servers: RwLock<BTreeMap<String, Arc<Server>>>,
    known: RwLock<Arc<ForeignList>>,
    /// Held while the list is put together, so that an older one never replaces a newer one.
    publishing: Mutex<()>,
    launch: Arc<dyn Launch>,
    texts: Option<Arc<dyn Texts>>,
    expose_at_most: usize,
    tasks: TaskTracker,
    stop: CancellationToken,
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
            launch: parts.launch,
            texts: parts.texts,
            expose_at_most: parts.expose_at_most,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let servers = Self { inner };
        for (name, spec) in parts.specs {
            let launch = Arc::clone(&servers.inner.launch);
            servers.insert(name, spec, launch);
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
        mcp_servers::check_name(name).map_err(|message| {
            ToolError::invalid("invalid_name", format!("`{name}`: {message}"))
                .hint("give the server another name")
        })?;
        let folded = mcp_servers::folded_name(name);
        let taken =
            self.all().into_iter().find(|other| mcp_servers::folded_name(&other.name) == folded);
        if let Some(other) = taken {
            return Err(ToolError::new(
                crate::error::ErrorKind::Conflict,
                "name_taken",
                format!("there is a server named `{}` already", other.name),
            )
            .hint("give the server another name, or remove the other one first"));
        }
        self.insert(name.to_owned(), spec, launch);
        Ok(())
    }

    fn insert(&self, name: String, spec: ServerSpec, launch: Arc<dyn Launch>) {
        let weak = Arc::downgrade(&self.inner);
        let on_change = Arc::new(move || {
            if let Some(inner) = weak.upgrade() {
                inner.publish();
            }
        });
        let connector = Arc::new(Reach { launch, texts: self.inner.texts.clone() });
        let tasks = self.inner.tasks.clone();
        let server = Server::new(name.clone(), spec, connector, on_change, tasks);
        let mut servers = self.inner.servers.write().unwrap_or_else(PoisonError::into_inner);
        servers.insert(name, server);
    }

    /// Stops a server and forgets it; `false` when there is none of this name.
    pub async fn remove(&self, name: &str) -> bool {
        let server = {
            let mut servers = self.inner.servers.write().unwrap_or_else(PoisonError::into_inner);
            servers.remove(name)
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

    fn server(&self, name: &str) -> Option<Arc<Server>> {
        let servers = self.inner.servers.read().unwrap_or_else(PoisonError::into_inner);
        servers.get(name).cloned()
    }
}

impl Inner {
    /// Puts the list of all known tools together anew.
    fn publish(&self) {
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let servers: Vec<Arc<Server>> = {
            let servers = self.servers.read().unwrap_or_else(PoisonError::into_inner);
            servers.values().cloned().collect()
        };
        let mut list = ForeignList::default();
        for server in &servers {
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
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
    }
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
    fn known(&self) -> Arc<ForeignList> {
        Arc::clone(&self.inner.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn learn(&self) -> Vec<UnlistedServer> {
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
        let learned = futures::future::join_all(self.all().into_iter().map(learn)).await;
        learned.into_iter().flatten().collect()
    }

    async fn find(&self, name: &str) -> Result<Option<Arc<ForeignTool>>, ToolError> {
        if let Some(tool) = self.known().tools.get(name) {
            return Ok(Some(Arc::clone(tool)));
        }
        let servers = self.all().into_iter().filter(|server| {
            let name = name.strip_prefix('_').unwrap_or(name);
            let rest = name.strip_prefix(server.name.as_str());
            rest.is_some_and(|rest| rest.starts_with(SERVER_DIVIDER))
        });
        let mut failed = None;
        for server in servers {
            if let Err(error) = server.learn_again().await {
                failed = Some(error.of_server(&server.name));
            }
            if let Some(tool) = self.known().tools.get(name) {
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
            .server(&tool.server)
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
