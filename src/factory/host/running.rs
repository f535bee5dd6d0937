//! Servers that stay up: the port, and the keeper that holds them itself.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::client::ServerProcess;
use super::launcher::{LaunchError, Launcher, Program};

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
    /// Starts a server, known by the name of its program; one of the same name is replaced.
    async fn start(&self, server: Program) -> Result<Offered, LaunchError>;
    /// Stops a server; `false` when it did not run.
    async fn stop(&self, name: &str) -> bool;
    /// Names of those that run.
    async fn running(&self) -> Vec<String>;
    /// Stops all of them, for good.
    async fn close(&self);
}

/// Servers that this program holds itself.
pub struct OwnHost {
    launcher: Arc<Launcher>,
    most: usize,
    servers: Mutex<HashMap<String, ServerProcess>>,
}

impl OwnHost {
    /// A keeper of at most so many.
    pub fn new(launcher: Arc<Launcher>, most: usize) -> Self {
        Self { launcher, most, servers: Mutex::new(HashMap::new()) }
    }
}

#[async_trait]
impl ServerHost for OwnHost {
    async fn start(&self, server: Program) -> Result<Offered, LaunchError> {
        let failed = LaunchError::Failed;
        let mut servers = self.servers.lock().await;
        if let Some(old) = servers.remove(&server.name) {
            old.stop().await;
        }
        if servers.len() >= self.most {
            return Err(failed(format!("{} servers run already, which is the most", self.most)));
        }
        let name = server.name.clone();
        let started = self.launcher.start(server).await?;
        let isolation = started.isolation.clone();
        let process = ServerProcess::greet(started).await.map_err(failed)?;
        let tools = match process.tools().await {
            Ok(tools) => tools,
            Err(reason) => {
                process.stop().await;
                return Err(failed(reason));
            }
        };
        let tools = tools
            .into_iter()
            .map(|tool| {
                (tool.name.into_owned(), tool.description.map(String::from).unwrap_or_default())
            })
            .collect();
        servers.insert(name, process);
        Ok(Offered { tools, isolation })
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
