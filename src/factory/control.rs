//! Made servers: listed, started and stopped.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{FactoryError, Refusal};
use super::host::launcher::{LaunchError, Program};
use super::host::reach::{self, Given};
use super::host::running::Offered;
use super::ir::{Dialect, Package, PackageFile};
use super::load::Loader;
use super::names::{self, prose};
use super::service::Factory;
use crate::jobs::Failure;
use crate::storage::{MadeServer, PrincipalId};

/// Most servers of one listing.
const LISTED: u32 = 500;

impl Factory {
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
        let mut variables = self.variables(&package, given)?;
        let reach = reach::of(&package, &mut variables).map_err(|reason| {
            FactoryError::new(
                Refusal::NotStarted,
                format!("`{}` is not started: {reason}", made.name),
                "the operator corrects it under `factory.variables`",
            )
        })?;
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
            .start(Program {
                name: running_name(principal, &made.name),
                python,
                arguments: vec!["server.py".to_owned()],
                folder,
                variables: variables.values,
                reach,
                door: None,
            })
            .await
            .map_err(|error| not_started(&made.name, &error))?;
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

    /// Stops every server that runs, when the program ends.
    pub async fn close(&self) {
        self.parts.host.close().await;
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

    /// A database that a call names must lie where calls may read.
    fn check_file(&self, address: &str) -> Result<(), FactoryError> {
        let loader = Loader {
            fetcher: &self.parts.fetcher,
            allowed_roots: &self.parts.config.allowed_roots,
        };
        let file = reach::sqlite_file(address).map_err(|reason| {
            FactoryError::new(Refusal::NotAccessible, reason, "name a file that is there")
        })?;
        loader.allowed(&file).map(drop)
    }

    /// Of all variables those that the package declares; secrets come from the operator alone.
    fn variables(
        &self,
        package: &Package,
        given: &BTreeMap<String, String>,
    ) -> Result<Given, FactoryError> {
        let mut all = Given::default();
        for variable in &package.environment {
            let configured = self
                .parts
                .config
                .variables
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&variable.name));
            if let Some((_, value)) = configured {
                all.values.insert(variable.name.clone(), value.clone());
                all.by_operator.insert(variable.name.clone());
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
            if let Some(database) = &package.database
                && database.dialect == Dialect::Sqlite
                && &database.variable == name
            {
                self.check_file(value)?;
            }
            all.values.insert(name.clone(), value.clone());
            all.by_operator.remove(name);
        }
        Ok(all)
    }
}

fn not_started(name: &str, error: &LaunchError) -> FactoryError {
    match error {
        LaunchError::TooWeak { reason, fix } => FactoryError::new(
            Refusal::NotAllowed,
            format!("`{name}` is not started: {reason}"),
            format!(
                "{fix}; or the operator lets made servers run without a sandbox: \
                 `factory.unsandboxed = true` (ATELIER_FACTORY__UNSANDBOXED)"
            ),
        ),
        LaunchError::Failed(reason) => FactoryError::new(
            Refusal::NotStarted,
            format!("`{name}` did not start: {reason}"),
            "look at its variables with list_mcp_servers, then try again",
        ),
    }
}

/// The name under which a server of a principal runs.
fn running_name(principal: &PrincipalId, name: &str) -> String {
    format!("{}/{name}", names::hash8(principal.as_str()))
}
