//! The resolved configuration: what the program runs with, after defaults, file, `.env`,
//! environment and flags. Nothing else reads the environment.

pub mod auth;
pub mod browser;
pub mod limits;
pub mod llm;
pub mod load;
pub mod secret;
pub mod server;
pub mod storage;

use serde::{Deserialize, Serialize};

pub use secret::Secret;

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
}
