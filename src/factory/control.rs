//! Made servers: listed, started and stopped.
//!
//! That a server was started is written down first; then it stands in the catalog, and its process
//! starts. So a server that was started is so in every process on the data folder and after every
//! restart, until it is stopped: each look at the catalog compares with the rows.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;

use super::error::{FactoryError, Refusal};
use super::host::reach::{self, Given};
use super::host::running::{Offered, Standing, StartServer};
use super::ir::{Dialect, Package};
use super::load::{Fetched, Loader};
use super::names::prose;
use super::service::Factory;
use crate::jobs::Failure;
use crate::storage::{MadeServer, PrincipalId, StartedServer};

/// Most servers of one listing.
const LISTED: u32 = 500;

/// What keeps changes of one principal's servers in order.
#[derive(Default)]
pub(super) struct Controls {
    locks: Mutex<HashMap<PrincipalId, Arc<AsyncMutex<()>>>>,
    /// Started servers that cannot stand in the catalog, and why.
    broken: Mutex<HashMap<PrincipalId, Vec<(StartedServer, String)>>>,
}

impl Controls {
    fn of(&self, principal: &PrincipalId) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(principal.clone()).or_default())
    }

    /// Keeps which started servers of a principal cannot stand in the catalog; those of which it was
    /// not known.
    fn keep_broken(
        &self,
        principal: &PrincipalId,
        now: Vec<(StartedServer, String)>,
    ) -> Vec<(StartedServer, String)> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let before = if now.is_empty() {
            broken.remove(principal)
        } else {
            broken.insert(principal.clone(), now.clone())
        };
        let before = before.unwrap_or_default();
        now.into_iter().filter(|one| !before.contains(one)).collect()
    }

    fn broken_of(&self, principal: &PrincipalId) -> Vec<(StartedServer, String)> {
        let broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.get(principal).cloned().unwrap_or_default()
    }
}

/// A server that was made, and how it is.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its newest version.
    pub server: MadeServer,
    /// How it stands in the catalog, when it is started.
    pub standing: Option<Standing>,
    /// The version that is started and cannot stand there, and why.
    pub broken: Option<(i64, String)>,
}

impl Factory {
    /// The newest version of every server of a principal, and how it is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self, principal: &PrincipalId) -> Result<Vec<Listed>, Failure> {
        let made = self.parts.catalog.made_servers(principal, LISTED).await?;
        self.restore(principal).await;
        let standing = self.parts.host.standing(principal);
        let broken = self.controls.broken_of(principal);
        let of = |server: MadeServer| {
            let standing = standing.iter().find(|standing| standing.noted.name == server.name);
            let broken = broken.iter().find(|(noted, _)| noted.name == server.name);
            Listed {
                standing: standing.cloned(),
                broken: broken.map(|(noted, reason)| (noted.version, reason.clone())),
                server,
            }
        };
        Ok(made.into_iter().map(of).collect())
    }

    /// The folder of a version.
    pub fn folder_of(&self, server: &MadeServer) -> PathBuf {
        self.parts.data_dir.join(&server.folder)
    }

    /// Starts a server with the variables that the operator and the call give it, and no others.
    /// One that does not start leaves what ran before.
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
        let server = self.plan(principal, &made, given).await?;
        // Before anything changes: it may have to be downloaded.
        self.parts.environments.interpreter_of(&server.folder).await.map_err(|reason| {
            FactoryError::new(
                Refusal::NotStarted,
                format!("there is no Python environment for `{}`: {reason}", made.name),
                "`atelier doctor` shows what is missing",
            )
        })?;
        let noted = server.noted.clone();
        let before = {
            let control = self.controls.of(principal);
            let _control = control.lock().await;
            let rows = self.parts.catalog.started_servers(principal).await?;
            let before = rows.into_iter().find(|row| row.name == made.name);
            self.parts.catalog.note_started(principal, &noted).await?;
            let added = self.parts.host.add(server).await;
            if let Err(reason) = added {
                self.put_back(principal, &noted, before).await?;
                return Err(not_started(&made, &reason).into());
            }
            before
        };
        match self.parts.host.start(principal, &made.name).await {
            Ok(offered) => Ok((made, offered)),
            Err(reason) => {
                let control = self.controls.of(principal);
                let _control = control.lock().await;
                self.put_back(principal, &noted, before).await?;
                Err(not_started(&made, &reason).into())
            }
        }
    }

    /// Takes a server back that does not start, for what was there before.
    async fn put_back(
        &self,
        principal: &PrincipalId,
        noted: &StartedServer,
        before: Option<StartedServer>,
    ) -> Result<(), Failure> {
        let catalog = &self.parts.catalog;
        let rows = catalog.started_servers(principal).await?;
        // Somebody else may have started or stopped it in the meantime: theirs counts.
        if rows.iter().any(|row| row == noted) {
            match before.filter(|before| before != noted) {
                Some(before) => catalog.note_started(principal, &before).await?,
                None => {
                    catalog.note_stopped(principal, &noted.name).await?;
                }
            }
        }
        self.compare(principal).await;
        Ok(())
    }

    /// Makes the catalog hold the servers of a principal that were started, and no others. What
    /// cannot be done is logged and tried again after a change.
    pub async fn restore(&self, principal: &PrincipalId) {
        let Some(rows) = self.started(principal).await else { return };
        let standing = self.parts.host.standing(principal);
        let is_so = rows.len() == standing.len()
            && rows.iter().all(|row| standing.iter().any(|standing| &standing.noted == row));
        if !is_so || !self.controls.broken_of(principal).is_empty() {
            let control = self.controls.of(principal);
            let _control = control.lock().await;
            self.compare(principal).await;
        }
    }

    /// [`Self::restore`], for who holds the principal's lock.
    async fn compare(&self, principal: &PrincipalId) {
        let Some(rows) = self.started(principal).await else { return };
        let host = &self.parts.host;
        let standing = host.standing(principal);
        for old in &standing {
            if !rows.contains(&old.noted) {
                host.remove(principal, &old.noted.name).await;
            }
        }
        let mut broken = Vec::new();
        for row in rows {
            if standing.iter().any(|standing| standing.noted == row) {
                continue;
            }
            if let Err(reason) = self.stand(principal, &row).await {
                broken.push((row, reason));
            }
        }
        for (row, reason) in self.controls.keep_broken(principal, broken) {
            tracing::warn!(
                server = row.name,
                error.cause = reason,
                "a started server cannot stand in the catalog"
            );
        }
    }

    async fn started(&self, principal: &PrincipalId) -> Option<Vec<StartedServer>> {
        match self.parts.catalog.started_servers(principal).await {
            Ok(rows) => Some(rows),
            Err(error) => {
                tracing::warn!(error.cause = %error, "started servers could not be looked up");
                None
            }
        }
    }

    /// Puts a started server into the catalog.
    async fn stand(&self, principal: &PrincipalId, row: &StartedServer) -> Result<(), String> {
        let words = |failure: Failure| match failure {
            Failure::Error(error) => error.message,
            Failure::Suspend(_) => "it waits for a text".to_owned(),
        };
        let made = self.find(principal, &row.name, Some(row.version)).await.map_err(words)?;
        let given = serde_json::from_str(&row.environment).unwrap_or_default();
        let server = self.plan(principal, &made, &given).await.map_err(|error| error.message)?;
        self.parts.host.add(server).await
    }

    /// What is needed to run a version.
    async fn plan(
        &self,
        principal: &PrincipalId,
        made: &MadeServer,
        given: &BTreeMap<String, String>,
    ) -> Result<StartServer, FactoryError> {
        let folder = self.folder_of(made);
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
        let named = self.named_files(made)?;
        let mut variables = self.variables(&package, &named, given)?;
        let reach = reach::of(&package, &mut variables).map_err(|reason| {
            FactoryError::new(
                Refusal::NotStarted,
                format!("`{}` is not started: {reason}", made.name),
                "correct it in `environment`, or the operator does under `factory.variables`",
            )
        })?;
        Ok(StartServer {
            owner: principal.clone(),
            noted: StartedServer {
                name: made.name.clone(),
                version: made.version,
                environment: serde_json::to_string(given).unwrap_or_default(),
            },
            folder,
            variables: variables.values,
            reach,
        })
    }

    /// Stops a server; `false` when it was not started.
    ///
    /// # Errors
    /// When there is no such server.
    pub async fn stop(
        &self,
        principal: &PrincipalId,
        name: &str,
    ) -> Result<(MadeServer, bool), Failure> {
        let made = self.find(principal, name, None).await?;
        let control = self.controls.of(principal);
        let _control = control.lock().await;
        let was_noted = self.parts.catalog.note_stopped(principal, &made.name).await?;
        let stood = self.parts.host.remove(principal, &made.name).await;
        Ok((made, was_noted || stood))
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

    /// The files that the call which made the server named, by their variables. That they lie in
    /// allowed folders is looked at anew: the operator may have thought better of it.
    fn named_files(&self, made: &MadeServer) -> Result<BTreeMap<String, String>, FactoryError> {
        let summary: Value = serde_json::from_str(&made.summary).unwrap_or_default();
        let files: BTreeMap<String, String> = summary
            .get("files")
            .and_then(|files| serde_json::from_value(files.clone()).ok())
            .unwrap_or_default();
        let loader = Loader {
            fetcher: &self.parts.fetcher,
            allowed_roots: &self.parts.config.allowed_roots,
            fetched: Fetched::default(),
        };
        for path in files.values() {
            loader.allowed(Path::new(path))?;
        }
        Ok(files)
    }

    /// A database that a call names must lie where calls may read.
    fn check_file(&self, address: &str) -> Result<(), FactoryError> {
        let loader = Loader {
            fetcher: &self.parts.fetcher,
            allowed_roots: &self.parts.config.allowed_roots,
            fetched: Fetched::default(),
        };
        let file = reach::sqlite_file(address).map_err(|reason| {
            FactoryError::new(Refusal::NotAccessible, reason, "name a file that is there")
        })?;
        loader.allowed(&file).map(drop)
    }

    /// A file that a call names for the server: it is given to code that the caller may have written,
    /// so it must lie where calls may read. It need not be there yet.
    fn allowed_file(&self, variable: &str, path: &str) -> Result<String, FactoryError> {
        let loader = Loader {
            fetcher: &self.parts.fetcher,
            allowed_roots: &self.parts.config.allowed_roots,
            fetched: Fetched::default(),
        };
        let path = Path::new(path);
        if !path.is_absolute() {
            return Err(FactoryError::new(
                Refusal::Arguments,
                format!(
                    "`{variable}`: `{}` is no absolute path",
                    prose(&path.display().to_string(), 200)
                ),
                "write where the file lies, from the root on",
            ));
        }
        let path = loader.allowed_folder(path).map_err(|mut error| {
            error.message = format!("`{variable}`: {}", error.message);
            error
        })?;
        path.into_os_string().into_string().map_err(|_| {
            FactoryError::new(
                Refusal::Arguments,
                format!("`{variable}` names a path that is no text"),
                "rename the file",
            )
        })
    }

    /// Of all variables those that the package declares; secrets come from the operator alone.
    fn variables(
        &self,
        package: &Package,
        named: &BTreeMap<String, String>,
        given: &BTreeMap<String, String>,
    ) -> Result<Given, FactoryError> {
        let declared = |name: &String| package.environment.iter().any(|entry| &entry.name == name);
        let mut all = Given::default();
        all.values.extend(
            named
                .iter()
                .filter(|(name, _)| declared(name))
                .map(|(name, value)| (name.clone(), value.clone())),
        );
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
        let files = reach::file_variables(package);
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
            let value = if files.contains(name.as_str()) && !value.is_empty() {
                self.allowed_file(name, value)?
            } else {
                value.clone()
            };
            all.values.insert(name.clone(), value);
            all.by_operator.remove(name);
        }
        Ok(all)
    }
}

fn not_started(made: &MadeServer, reason: &str) -> FactoryError {
    FactoryError::new(
        Refusal::NotStarted,
        format!("`{}` did not start: {}", made.name, prose(reason, 2000)),
        "look at its variables with list_mcp_servers, then try again",
    )
}
