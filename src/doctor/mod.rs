//! `atelier doctor`: what is here, what is missing, and the command that fixes it.
//!
//! Every check looks for itself and changes nothing. The order of the report is the order of the
//! checks in [`examine`]; a part that is not needed for work never makes the report unusable.

mod chrome;
mod elixir;
mod factory;
mod model;
mod ports;
mod probe;
mod python;
mod sandbox;
mod servers;
mod storage;

use std::fmt;

use serde::Serialize;

pub use sandbox::explain as explain_sandbox;

use crate::config::Config;
use crate::config::load::Resolved;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, with something worth knowing.
    Warning,
    /// Not there, and not needed by what is in use.
    Optional,
    /// Keeps the program from working.
    Failed,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at; stable.
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// How the finding came about, where that is worth telling.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

impl Check {
    /// A check that found things as they should be.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, detail: detail.into(), fix: None, reasons: Vec::new() }
    }

    /// A check that found something, and what to do about it.
    pub fn finding(
        name: &'static str,
        status: Status,
        detail: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { name, status, detail: detail.into(), fix: Some(fix.into()), reasons: Vec::new() }
    }
}

/// Everything that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether the program can work.
    pub usable: bool,
    /// The checks, in order.
    pub checks: Vec<Check>,
}

impl From<Vec<Check>> for Report {
    fn from(checks: Vec<Check>) -> Self {
        let usable = checks.iter().all(|check| check.status != Status::Failed);
        Self { usable, checks }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let mark = match check.status {
                Status::Ok => "ok",
                Status::Warning => "warning",
                Status::Optional => "optional",
                Status::Failed => "FAILED",
            };
            writeln!(formatter, "{mark:<9} {:<14} {}", check.name, check.detail)?;
            for reason in &check.reasons {
                writeln!(formatter, "{:<24} {reason}", "")?;
            }
            if let Some(fix) = &check.fix {
                writeln!(formatter, "{:<24} fix: {fix}", "")?;
            }
        }
        let verdict = if self.usable { "usable" } else { "not usable: see FAILED above" };
        write!(formatter, "\n{verdict}")
    }
}

/// Looks at everything.
pub async fn examine(resolved: &Resolved) -> Report {
    let config = &resolved.config;
    let mut checks = vec![configuration(resolved)];
    checks.extend(storage::checks(&config.storage.data_dir).await);
    checks.extend(ports::checks(&config.server).await);
    let (model, chrome, python, sandbox, elixir, factory) = tokio::join!(
        model::check(&config.llm),
        chrome::check(config),
        python::checks(),
        code_sandbox(config),
        elixir::check(),
        factory::checks(config)
    );
    checks.push(model);
    checks.push(chrome);
    checks.extend(python);
    checks.extend(sandbox);
    checks.push(elixir);
    checks.extend(factory);
    checks.push(servers::check(&config.catalog.servers));
    Report::from(checks)
}

async fn code_sandbox(config: &Config) -> Vec<Check> {
    match crate::app::sandbox_to_examine(config) {
        Ok((code_sandbox, least)) => sandbox::checks(code_sandbox.as_ref(), least).await,
        Err(error) => {
            let fix = "put `[python]` in atelier.toml right";
            vec![Check::finding("sandbox", Status::Failed, error.to_string(), fix)]
        }
    }
}

fn configuration(resolved: &Resolved) -> Check {
    let detail = match &resolved.file {
        Some(file) if file.exists() => file.display().to_string(),
        Some(_) | None => "defaults and environment variables; no atelier.toml".to_owned(),
    };
    if resolved.warnings.is_empty() {
        Check::ok("configuration", detail)
    } else {
        Check::finding("configuration", Status::Warning, detail, resolved.warnings.join("; "))
    }
}
