//! The resolved configuration: what the program runs with, after defaults, file, `.env`,
//! environment and flags. Nothing else reads the environment.

pub mod agent;
pub mod auth;
pub mod browser;
pub mod catalog;
pub mod elixir;
pub mod factory;
pub mod limits;
pub mod llm;
pub mod load;
pub mod log;
pub mod mcp_servers;
pub mod python;
pub mod secret;
pub mod server;
pub mod storage;

mod checks;
mod data_dir;
mod environment;
mod layers;
mod render;
mod schema;
mod source;

use serde::{Deserialize, Serialize};

pub use data_dir::prepare_data_dir;
pub use environment::Environment;
pub use render::{render, render_servers};
pub use secret::Secret;
pub use source::{ConfigError, Problem, Source};

/// Everything that can be configured, one section per concern. Unknown keys are refused.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Listeners, hosts and which tools are offered.
    pub server: server::ServerConfig,
    /// Models, keys and endpoints.
    pub llm: llm::LlmConfig,
    /// The data folder.
    pub storage: storage::StorageConfig,
    /// Who may connect.
    pub auth: auth::AuthConfig,
    /// Budgets, sizes and times.
    pub limits: limits::LimitsConfig,
    /// Chrome.
    pub browser: browser::BrowserConfig,
    /// The Elixir generators.
    pub elixir: elixir::ElixirConfig,
    /// MCP servers that are made here.
    pub factory: factory::FactoryConfig,
    /// Python code in the sandbox.
    pub python: python::PythonConfig,
    /// Workflows and chat.
    pub agent: agent::AgentConfig,
    /// Other MCP servers.
    pub catalog: catalog::CatalogConfig,
    /// What is logged.
    pub log: log::LogConfig,
}
