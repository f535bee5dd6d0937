//! Section `[llm]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::Secret;

/// Models, keys and endpoints. Keys usually come from the environment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LlmConfig {
    /// Model used when a call names none.
    pub default_model: Option<String>,
    /// `GEMINI_API_KEY` or `GOOGLE_API_KEY`.
    pub gemini_api_key: Option<Secret>,
    /// `ANTHROPIC_API_KEY`.
    pub anthropic_api_key: Option<Secret>,
    /// `OPENAI_API_KEY`.
    pub openai_api_key: Option<Secret>,
    /// `OPENROUTER_API_KEY`.
    pub openrouter_api_key: Option<Secret>,
    /// `GEMINI_BASE_URL`: the vendor's root without the version path.
    pub gemini_base_url: Option<Url>,
    /// `ANTHROPIC_BASE_URL`.
    pub anthropic_base_url: Option<Url>,
    /// `OPENAI_BASE_URL`: also any OpenAI-compatible server.
    pub openai_base_url: Option<Url>,
    /// `OPENROUTER_BASE_URL`.
    pub openrouter_base_url: Option<Url>,
    /// `OLLAMA_HOST` or a URL; absent: `http://127.0.0.1:11434`.
    pub ollama_base_url: Option<Url>,
    /// llama.cpp's server; absent: `http://127.0.0.1:8080`.
    pub llamacpp_base_url: Option<Url>,
    /// Proxy for calls to vendors (`HTTPS_PROXY`).
    pub https_proxy: Option<Url>,
    /// Hosts that are reached without the proxy (`NO_PROXY`).
    pub no_proxy: Option<String>,
    /// Let the `claude` command answer, with the user's own login.
    pub claude_command: bool,
    /// Let the `codex` command answer, with the user's own login.
    pub codex_command: bool,
    /// Further commands that answer a prompt, by model name.
    pub commands: BTreeMap<String, CommandConfig>,
    /// File that replaces or adds rows of the model table.
    pub models_file: Option<PathBuf>,
    /// Folder whose files replace single prompts of the program.
    pub prompts_dir: Option<PathBuf>,
    /// Tokens that one principal may use a day over all models; absent: no cap.
    pub daily_tokens: Option<u64>,
    /// Calls to one provider at a time; 0: the default (8).
    pub concurrency: usize,
    /// Time limits, in seconds. Absent: the defaults of the guard.
    pub timeouts: TimeoutsConfig,
}

/// A command that reads a prompt on standard input and prints the answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandConfig {
    /// Program and arguments; `{model}` is replaced by the model's name.
    pub command: Vec<String>,
    /// Environment variables that are handed on, besides `PATH` and `HOME`.
    #[serde(default)]
    pub env: Vec<String>,
    /// Seconds until it is killed.
    #[serde(default = "default_command_timeout")]
    pub timeout_s: u64,
}

const fn default_command_timeout() -> u64 {
    600
}

/// Time limits of model calls, in seconds (fractions allowed, for tests).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsConfig {
    /// Until connected.
    pub connect_s: f64,
    /// Until response headers arrive, and between two pieces of the body. Reasoning models are
    /// silent for minutes.
    pub idle_s: f64,
    /// For the whole call with its retries.
    pub total_s: f64,
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self { connect_s: 10.0, idle_s: 300.0, total_s: 900.0 }
    }
}
