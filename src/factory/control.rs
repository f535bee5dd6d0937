//! Made servers: listed, started and stopped.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::{FactoryError, Refusal};
use super::host::running::{Offered, StartServer};
use super::ir::{Package, PackageFile};
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
