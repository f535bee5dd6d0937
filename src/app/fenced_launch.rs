//! Servers of the catalog whose programs run behind the fences: the launcher of packages in the shape
//! that the catalog knows.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::config::mcp_servers::StdioSpec;
use crate::factory::host::launcher::{self, LaunchError, Launcher, Program};
use crate::factory::host::reach::Reach;
use crate::mcp_client::{Launch, Launched, Process};

/// Starts the program of one made server.
pub struct FencedLaunch {
    launcher: Arc<Launcher>,
    name: String,
    reach: Reach,
    isolation: Mutex<Option<String>>,
}

impl FencedLaunch {
    /// For the server of this name, which may reach no more than that.
    pub fn new(launcher: Arc<Launcher>, name: impl Into<String>, reach: Reach) -> Self {
        Self { launcher, name: name.into(), reach, isolation: Mutex::default() }
    }

    /// What stood around the program when it was last started, in words.
    pub fn isolation(&self) -> Option<String> {
        self.isolation.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn start(&self, spec: &StdioSpec) -> Result<Launched, String> {
        let variables = spec.environment.iter();
        let program = Program {
            name: self.name.clone(),
            python: PathBuf::from(&spec.program),
            arguments: spec.arguments.clone(),
            folder: spec.folder.clone().ok_or("it has no folder")?,
            variables: variables
                .map(|(name, value)| (name.clone(), value.expose().to_owned()))
                .collect(),
            reach: self.reach.clone(),
            door: None,
        };
        let started = self.launcher.start(program).await.map_err(|error| match error {
            LaunchError::TooWeak { reason, fix } => format!(
                "{reason}; {fix}; or the operator lets made servers run without a sandbox: \
                 `factory.unsandboxed = true`"
            ),
            LaunchError::Failed(reason) => reason,
        })?;
        *self.isolation.lock().unwrap_or_else(PoisonError::into_inner) = Some(started.isolation);
        Ok(Launched {
            input: started.input,
            output: started.output,
            errors: Some(started.errors),
            process: Box::new(Fenced(started.process)),
        })
    }
}

impl Launch for FencedLaunch {
    fn launch<'a>(&'a self, spec: &'a StdioSpec) -> BoxFuture<'a, Result<Launched, String>> {
        Box::pin(self.start(spec))
    }
}

/// A program behind the fences.
struct Fenced(launcher::Launched);

#[async_trait]
impl Process for Fenced {
    fn kill(&self) {
        self.0.kill();
    }

    fn ask_to_end(&self) {
        self.0.ask_to_end();
    }

    async fn ended(&mut self) -> String {
        self.0.end().await.1
    }
}
