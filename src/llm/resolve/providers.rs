//! What of the configuration can be reached: keys, servers, commands.

use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;

use time::Date;
use url::Url;

use crate::config::Secret;
use crate::config::llm::LlmConfig;
use crate::llm::cli::CommandModel;
use crate::llm::genai::{ApiModel, ApiModelParts, client, endpoint};
use crate::llm::models::{ModelRow, ModelTable, Provider, Wire};
use crate::llm::{LanguageModel, LlmError, LlmErrorCode, Route};

/// How long a server on this machine may take to say what it has.
const LOCAL_PATIENCE: Duration = Duration::from_millis(300);
/// The same for a server elsewhere.
const REMOTE_PATIENCE: Duration = Duration::from_secs(5);

/// A model server that is asked which models it has.
pub(super) struct Server {
    pub(super) provider: Provider,
    pub(super) wire: Wire,
    pub(super) root: Url,
    pub(super) key: Option<Secret>,
    pub(super) setting: &'static str,
    pub(super) patience: Duration,
}

impl Server {
    /// An address below the version path.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}{path}", endpoint(Some(&self.root), self.provider, self.wire))
    }

    /// An address beside the version path.
    pub(super) fn root_address(&self, path: &str) -> String {
        let address = endpoint(Some(&self.root), self.provider, self.wire);
        format!("{}{path}", address.strip_suffix("v1/").unwrap_or(&address))
    }
}

/// The configured providers.
pub(super) struct Providers {
    config: LlmConfig,
    table: ModelTable,
    http: OnceLock<Result<reqwest::Client, LlmError>>,
    local_ollama: Option<Url>,
    local_llamacpp: Option<Url>,
}

impl Providers {
    pub(super) fn new(config: &LlmConfig, table: ModelTable) -> Self {
        Self {
            config: config.clone(),
            table,
            http: OnceLock::new(),
            local_ollama: Url::parse("http://127.0.0.1:11434").ok(),
            local_llamacpp: Url::parse("http://127.0.0.1:8080").ok(),
        }
    }

    pub(super) const fn table(&self) -> &ModelTable {
        &self.table
    }

    pub(super) fn set_local_servers(&mut self, ollama: Url, llamacpp: Url) {
        self.local_ollama = Some(ollama);
        self.local_llamacpp = Some(llamacpp);
    }

    /// The shared HTTP client, made when it is first needed.
    pub(super) fn http(&self) -> Result<&reqwest::Client, LlmError> {
        self.http.get_or_init(|| client(&self.config)).as_ref().map_err(Clone::clone)
    }

    /// Whether there is a key of the vendor itself, and no server in its place.
    pub(super) fn has_vendor_key(&self, provider: Provider) -> Result<bool, LlmError> {
        if provider == Provider::OpenAi && self.compatible_url().is_some() {
            return Ok(false);
        }
        Ok(self.key(provider)?.is_some())
    }

    /// Whether a provider can be asked.
    pub(super) fn is_reachable(&self, provider: Provider) -> Result<bool, LlmError> {
        match provider {
            Provider::Gemini | Provider::Anthropic | Provider::OpenRouter => {
                Ok(self.key(provider)?.is_some())
            }
            Provider::OpenAi => {
                Ok(self.key(provider)?.is_some() || self.compatible_url().is_some())
            }
            // Whoever names them says that they run.
            Provider::Ollama | Provider::LlamaCpp => Ok(true),
        }
    }

    fn key(&self, provider: Provider) -> Result<Option<&Secret>, LlmError> {
        let config = &self.config;
        let key = match provider {
            Provider::Gemini => config.gemini_api_key.as_ref(),
            Provider::Anthropic => config.anthropic_api_key.as_ref(),
            Provider::OpenAi => config.openai_api_key.as_ref(),
            Provider::OpenRouter => config.openrouter_api_key.as_ref(),
            Provider::Ollama | Provider::LlamaCpp => None,
        };
        let key = key.filter(|key| !key.expose().trim().is_empty());
        match key {
            Some(key) if !key.expose().trim().bytes().all(|byte| byte.is_ascii_graphic()) => {
                let setting = provider.setting();
                Err(LlmError::new(
                    LlmErrorCode::KeyRefused,
                    format!("`{setting}` holds characters that no key has, such as a line break"),
                )
                .hint("set it again, to the key alone"))
            }
            key => Ok(key),
        }
    }

    fn base_url(&self, provider: Provider) -> Option<&Url> {
        let config = &self.config;
        match provider {
            Provider::Gemini => config.gemini_base_url.as_ref(),
            Provider::Anthropic => config.anthropic_base_url.as_ref(),
            Provider::OpenAi => config.openai_base_url.as_ref(),
            Provider::OpenRouter => config.openrouter_base_url.as_ref(),
            Provider::Ollama => config.ollama_base_url.as_ref().or(self.local_ollama.as_ref()),
            Provider::LlamaCpp => {
                config.llamacpp_base_url.as_ref().or(self.local_llamacpp.as_ref())
            }
        }
    }

    /// `OPENAI_BASE_URL` when it is another server than the vendor's.
    fn compatible_url(&self) -> Option<&Url> {
        self.config.openai_base_url.as_ref().filter(|url| url.host_str() != Some("api.openai.com"))
    }

    /// Servers that the operator named.
    pub(super) fn configured_servers(&self) -> Vec<Server> {
        let compatible = self.compatible_url().map(|root| Server {
            provider: Provider::OpenAi,
            wire: Wire::OpenAiChat,
            root: root.clone(),
            key: self.config.openai_api_key.clone(),
            setting: "OPENAI_BASE_URL",
            patience: REMOTE_PATIENCE,
        });
        let ollama = self.config.ollama_base_url.clone();
        let ollama = ollama.map(|root| ollama_at(root, REMOTE_PATIENCE));
        let llamacpp = self.config.llamacpp_base_url.clone();
        let llamacpp = llamacpp.map(|root| llamacpp_at(root, REMOTE_PATIENCE));
        [compatible, ollama, llamacpp].into_iter().flatten().collect()
    }

    /// Servers that may run on this machine without anybody having named them.
    pub(super) fn unconfigured_servers(&self) -> Vec<Server> {
        let ollama = self.local_ollama.clone().filter(|_| self.config.ollama_base_url.is_none());
        let llamacpp =
            self.local_llamacpp.clone().filter(|_| self.config.llamacpp_base_url.is_none());
        [
            ollama.map(|root| ollama_at(root, LOCAL_PATIENCE)),
            llamacpp.map(|root| llamacpp_at(root, LOCAL_PATIENCE)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The model of a row, at its provider's address.
    pub(super) fn api_model(&self, row: ModelRow) -> Result<Arc<dyn LanguageModel>, LlmError> {
        let provider = row.provider;
        let key = self.key(provider)?;
        self.build(row, self.base_url(provider), key, Route::Api)
    }

    /// A model that a server listed.
    pub(super) fn server_model(
        &self,
        server: &Server,
        id: &str,
        route: Route,
    ) -> Result<Arc<dyn LanguageModel>, LlmError> {
        let listed = self.table.row(id).filter(|row| row.provider == server.provider);
        let row = listed
            .cloned()
            .unwrap_or_else(|| ModelRow::passed_through(id, server.provider, server.wire));
        self.build(row, Some(&server.root), server.key.as_ref(), route)
    }

    fn build(
        &self,
        row: ModelRow,
        base: Option<&Url>,
        key: Option<&Secret>,
        route: Route,
    ) -> Result<Arc<dyn LanguageModel>, LlmError> {
        let endpoint = endpoint(base, row.provider, row.wire);
        let idle = Duration::try_from_secs_f64(self.config.timeouts.idle_s)
            .unwrap_or(Duration::from_mins(5));
        let http = self.http()?.clone();
        Ok(Arc::new(ApiModel::new(ApiModelParts { http, row, endpoint, key, route, idle })?))
    }

    /// The model of a name that neither the table nor a vendor's prefix knows, when a server is
    /// configured that may have it.
    pub(super) fn unlisted(&self, name: &str) -> Option<ModelRow> {
        let row = |provider, wire| Some(ModelRow::passed_through(name, provider, wire));
        if self.compatible_url().is_some() {
            return row(Provider::OpenAi, Wire::OpenAiChat);
        }
        if name.contains('/') && self.config.openrouter_api_key.is_some() {
            return row(Provider::OpenRouter, Wire::OpenAiChat);
        }
        if self.config.ollama_base_url.is_some() {
            return row(Provider::Ollama, Wire::Ollama);
        }
        if self.config.llamacpp_base_url.is_some() {
            return row(Provider::LlamaCpp, Wire::OpenAiChat);
        }
        None
    }

    /// The command of a name. `claude` and `codex` are always names of commands.
    pub(super) fn command(&self, name: &str) -> Result<Option<CommandModel>, LlmError> {
        if let Some(command) = self.config.commands.get(name) {
            return Ok(Some(CommandModel::custom(name, command)));
        }
        let disabled = |setting: &str| {
            Err(LlmError::new(
                LlmErrorCode::InvalidModel,
                format!("the command `{name}` is not enabled here"),
            )
            .hint(format!("set `{setting} = true`, or name another model")))
        };
        match name {
            "claude" if self.config.claude_command => Ok(Some(CommandModel::claude())),
            "claude" => disabled("llm.claude_command"),
            "codex" if self.config.codex_command => Ok(Some(CommandModel::codex())),
            "codex" => disabled("llm.codex_command"),
            _ => Ok(None),
        }
    }

    /// The command that answers when nothing else does.
    pub(super) fn first_command(&self) -> Option<CommandModel> {
        if self.config.claude_command {
            return Some(CommandModel::claude());
        }
        if self.config.codex_command {
            return Some(CommandModel::codex());
        }
        let (name, command) = self.config.commands.iter().next()?;
        Some(CommandModel::custom(name, command))
    }

    /// Names that work here.
    pub(super) fn reachable_ids(&self, today: Date) -> Vec<String> {
        let providers: Vec<_> = Provider::WITH_KEYS
            .into_iter()
            .filter(|provider| self.is_reachable(*provider).unwrap_or(false))
            .collect();
        let mut ids: Vec<_> = self.table.ids(today, &providers).map(str::to_owned).collect();
        ids.extend(self.config.commands.keys().cloned());
        ids.extend(self.config.claude_command.then(|| "claude".to_owned()));
        ids.extend(self.config.codex_command.then(|| "codex".to_owned()));
        ids
    }

    /// Names of every model of the table.
    pub(super) fn all_ids(&self, today: Date) -> Vec<String> {
        self.table.ids(today, &Provider::WITH_KEYS).map(str::to_owned).collect()
    }
}

fn ollama_at(root: Url, patience: Duration) -> Server {
    Server {
        provider: Provider::Ollama,
        wire: Wire::Ollama,
        root,
        key: None,
        setting: "OLLAMA_HOST",
        patience,
    }
}

fn llamacpp_at(root: Url, patience: Duration) -> Server {
    Server {
        provider: Provider::LlamaCpp,
        wire: Wire::OpenAiChat,
        root,
        key: None,
        setting: "llm.llamacpp_base_url",
        patience,
    }
}
