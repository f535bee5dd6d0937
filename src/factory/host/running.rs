//! Servers that stay up: the port, and the keeper that holds them as processes of its own.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::client::ServerProcess;

/// How a made server is started.
#[derive(Debug, Clone)]
pub struct StartServer {
    /// Name under which it is known.
    pub name: String,
    /// Interpreter.
    pub python: PathBuf,
    /// Folder of its package.
    pub folder: PathBuf,
    /// Variables that it gets, and no others. Values are never shown.
    pub variables: BTreeMap<String, String>,
    /// Hosts that it may talk to.
    pub hosts: Vec<String>,
}

/// What a started server offers.
#[derive(Debug, Clone, Default)]
pub struct Offered {
    /// Names and descriptions of its tools.
    pub tools: Vec<(String, String)>,
    /// How it is isolated, in words.
    pub isolation: String,
}

/// Keeps servers running, and makes their tools callable.
#[async_trait]
pub trait ServerHost: Send + Sync + 'static {
    /// Starts a server; one of the same name is replaced.
    async fn start(&self, server: StartServer) -> Result<Offered, String>;
    /// Stops a server; `false` when it did not run.
    async fn stop(&self, name: &str) -> bool;
    /// Names of those that run.
    async fn running(&self) -> Vec<String>;
    /// Stops all of them, for good.
    async fn close(&self);
}

/// Servers as plain processes of this one.
pub struct PlainHost {
    most: usize,
    servers: Mutex<HashMap<String, ServerProcess>>,
}

impl PlainHost {
    /// A keeper of at most so many.
    pub fn new(most: usize) -> Self {
        Self { most, servers: Mutex::new(HashMap::new()) }
    }
}

#[async_trait]
impl ServerHost for PlainHost {
    async fn start(&self, server: StartServer) -> Result<Offered, String> {
        let mut servers = self.servers.lock().await;
        if let Some(old) = servers.remove(&server.name) {
            old.stop().await;
        }
        if servers.len() >= self.most {
            return Err(format!("{} servers run already, which is the most", self.most));
        }
        let process =
            ServerProcess::start(&server.python, &server.folder, &server.variables).await?;
        let tools = process.tools().await?;
        let tools = tools
            .into_iter()
            .map(|tool| {
                (tool.name.into_owned(), tool.description.map(String::from).unwrap_or_default())
            })
            .collect();
        servers.insert(server.name, process);
        Ok(Offered { tools, isolation: "plain process".to_owned() })
    }

    async fn stop(&self, name: &str) -> bool {
        let process = self.servers.lock().await.remove(name);
        match process {
            Some(process) => {
                process.stop().await;
                true
            }
            None => false,
        }
    }

    async fn running(&self) -> Vec<String> {
        let servers = self.servers.lock().await;
        let mut names: Vec<String> = servers
            .iter()
            .filter(|(_, process)| process.is_alive())
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names
    }

    async fn close(&self) {
        let servers = std::mem::take(&mut *self.servers.lock().await);
        futures::future::join_all(servers.into_values().map(ServerProcess::stop)).await;
    }
}
