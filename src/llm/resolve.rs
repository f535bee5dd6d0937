//! Which model answers: the one readable list.
//!
//! [`Step::ORDER`] is the list. A call that names a model goes to that model or fails; every other
//! call takes the first step of the list that has somebody to ask. `atelier doctor` walks the same
//! list with [`Models::explain`], so what it says is what happens.

mod probe;
mod providers;

use std::sync::Arc;

use serde::Serialize;
use time::Date;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::probe::Probe;
use self::providers::Providers;
use super::guard::{Guard, Limits, Written};
use super::models::{Found, ModelTable, Provider, TableError};
use super::{ClientModels, LanguageModel, LlmError, LlmErrorCode, Outcome, Request, Route};
use crate::config::llm::LlmConfig;

/// Model name that leaves the choice to the list.
pub const AUTO: &str = "auto";
/// Model name that asks the host to write the text.
pub const HOST: &str = "host";

/// Tells the day; tests step it.
pub type Calendar = Arc<dyn Fn() -> Date + Send + Sync>;

/// The calendar of this machine.
pub fn system_calendar() -> Calendar {
    Arc::new(|| time::OffsetDateTime::now_utc().date())
}

/// Who is to answer.
pub enum Choice {
    /// A model that is reached from here.
    Model {
        /// The model.
        model: Arc<dyn LanguageModel>,
        /// Why it is another one than the caller named.
        note: Option<String>,
    },
    /// The client's own model, by a returned request and a retried call.
    Sampling,
    /// The host, by `submit_completion`.
    Host,
}

/// A step of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The call carries the content itself.
    GivenContent,
    /// The call names a model.
    NamedModel,
    /// `llm.default_model`.
    DefaultModel,
    /// Keys of vendors.
    Keys,
    /// Model servers that the operator named.
    ConfiguredServer,
    /// The client's own model, by sampling.
    Sampling,
    /// A model server on this machine that nobody named.
    LocalServer,
    /// A command of the user's own.
    Command,
    /// The host writes the text.
    Host,
}

impl Step {
    /// The list.
    pub const ORDER: [Self; 9] = [
        Self::GivenContent,
        Self::NamedModel,
        Self::DefaultModel,
        Self::Keys,
        Self::ConfiguredServer,
        Self::Sampling,
        Self::LocalServer,
        Self::Command,
        Self::Host,
    ];
}

/// What a step of the list comes to, for `atelier doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteStep {
    /// Number in the list, from 1.
    pub number: usize,
    /// The step.
    pub step: Step,
    /// It answers when a call names no model.
    pub wins: bool,
    /// Model that would answer, where it is known.
    pub model: Option<String>,
    /// Why it wins or not, in words.
    pub reason: String,
}

/// The models of the configuration.
pub struct Models {
    providers: Providers,
    probe: Probe,
    guard: Guard,
    calendar: Calendar,
    default_model: Option<String>,
    daily_tokens: Option<i64>,
}

impl std::fmt::Debug for Models {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Models")
            .field("default_model", &self.default_model)
            .finish_non_exhaustive()
    }
}

impl Default for Models {
    /// Nothing configured: the caller's own models answer.
    fn default() -> Self {
        let config = LlmConfig::default();
        Self::with_table(&config, system_calendar(), ModelTable::load(None).unwrap_or_default())
    }
}

/// What a step comes to.
enum Finding {
    /// Somebody to ask, with its id where it is known, and why.
    Somebody { choice: Choice, model: Option<String>, reason: String },
    /// Nobody, and why.
    Nobody(String),
}

/// What a name comes to.
enum Named {
    /// Somebody to ask.
    Choice(Choice),
    /// A name that earlier clients send by themselves, of a provider that cannot be reached.
    Unreachable(String),
}

impl Models {
    /// The models of a configuration. Nothing is asked or connected yet.
    ///
    /// # Errors
    /// When `llm.models_file` cannot be used.
    pub fn new(config: &LlmConfig, calendar: Calendar) -> Result<Self, TableError> {
        let table = ModelTable::load(config.models_file.as_deref())?;
        Ok(Self::with_table(config, calendar, table))
    }

    fn with_table(config: &LlmConfig, calendar: Calendar, table: ModelTable) -> Self {
        let limits = Limits {
            total: std::time::Duration::try_from_secs_f64(config.timeouts.total_s)
                .unwrap_or(Limits::default().total),
            concurrency: if config.concurrency == 0 {
                Limits::default().concurrency
            } else {
                config.concurrency
            },
            ..Limits::default()
        };
        Self {
            providers: Providers::new(config, table),
            probe: Probe::default(),
            guard: Guard::new(limits),
            calendar,
            default_model: config.default_model.clone().filter(|name| name != AUTO),
            daily_tokens: config
                .daily_tokens
                .map(|tokens| i64::try_from(tokens).unwrap_or(i64::MAX)),
        }
    }

    /// Where to look for servers that nobody configured, in place of their usual ports.
    #[must_use]
    pub fn with_local_servers(mut self, ollama: Url, llamacpp: Url) -> Self {
        self.providers.set_local_servers(ollama, llamacpp);
        self
    }

    /// Picks who answers.
    ///
    /// # Errors
    /// When a named model cannot be used, or nobody can answer.
    pub async fn choose(
        &self,
        requested: Option<&str>,
        client: &ClientModels,
    ) -> Result<Choice, LlmError> {
        let named = requested.map(str::trim).filter(|name| !name.is_empty() && *name != AUTO);
        let note = match named {
            Some(name) => match self.named(name, client)? {
                Named::Choice(choice) => return Ok(choice),
                Named::Unreachable(note) => Some(note),
            },
            None => None,
        };
        for step in Step::ORDER {
            if let Finding::Somebody { choice, .. } = self.look(step, client).await? {
                return Ok(match choice {
                    Choice::Model { model, note: own } => {
                        Choice::Model { model, note: note.or(own) }
                    }
                    Choice::Sampling | Choice::Host => choice,
                });
            }
        }
        Err(nobody())
    }

    /// Names of the models that can be reached from here.
    pub fn reachable_ids(&self) -> Vec<String> {
        self.providers.reachable_ids((self.calendar)())
    }

    /// What each step of the list comes to for a call that names no model.
    pub async fn explain(&self, client: &ClientModels) -> Vec<RouteStep> {
        let mut steps = Vec::new();
        let mut decided = false;
        for (index, step) in Step::ORDER.into_iter().enumerate() {
            let (wins, model, reason) = if decided {
                (false, None, "not needed: an earlier step answers".to_owned())
            } else {
                match self.look(step, client).await {
                    Ok(Finding::Somebody { model, reason, .. }) => (true, model, reason),
                    Ok(Finding::Nobody(reason)) => (false, None, reason),
                    // The call would end here as well.
                    Err(error) => (true, None, error.message),
                }
            };
            decided |= wins;
            steps.push(RouteStep { number: index + 1, step, wins, model, reason });
        }
        steps
    }

    /// Asks a model under the guard's rules. `written` is told how the answer grows.
    ///
    /// # Errors
    /// Why no complete answer came.
    pub async fn complete(
        &self,
        model: &dyn LanguageModel,
        request: &Request,
        cancel: &CancellationToken,
        written: Written<'_>,
    ) -> Result<Outcome, LlmError> {
        let row = self.providers.table().row(model.model_id());
        let price = row
            .filter(|_| model.route() == Route::Api)
            .and_then(|row| row.price_on((self.calendar)()));
        self.guard.complete(model, request, price, cancel, written).await
    }

    /// Tokens that one principal may use a day.
    pub const fn daily_tokens(&self) -> Option<i64> {
        self.daily_tokens
    }

    /// What a step of the list comes to.
    async fn look(&self, step: Step, client: &ClientModels) -> Result<Finding, LlmError> {
        let nobody = |reason: &str| Ok(Finding::Nobody(reason.to_owned()));
        match step {
            Step::GivenContent => nobody("for calls that carry the content themselves"),
            Step::NamedModel => nobody("for calls that name a model"),
            Step::DefaultModel => self.default_model(client),
            Step::Keys => self.keyed(),
            Step::ConfiguredServer => self.configured_server().await,
            Step::Sampling => match &client.sampling {
                Some(model) => Ok(somebody(Arc::clone(model), "the client offers its own model")),
                None if client.sampling_by_retry => Ok(Finding::Somebody {
                    choice: Choice::Sampling,
                    model: None,
                    reason: "the client offers its own model".to_owned(),
                }),
                None => nobody("the client offers no sampling"),
            },
            Step::LocalServer if client.local_models => self.local_server().await,
            Step::LocalServer => nobody(
                "only for the terminal, the chat page and pages; `llm.ollama_base_url` opens it to all",
            ),
            Step::Command => match self.providers.first_command() {
                Some(command) => Ok(somebody(Arc::new(command), "a command is enabled")),
                None => nobody("no command is enabled (`llm.claude_command`, `llm.codex_command`)"),
            },
            Step::Host if client.host_completion => Ok(Finding::Somebody {
                choice: Choice::Host,
                model: None,
                reason: "the caller's own model writes the text and submits it".to_owned(),
            }),
            Step::Host => nobody("the caller cannot submit a text"),
        }
    }

    fn default_model(&self, client: &ClientModels) -> Result<Finding, LlmError> {
        let Some(name) = &self.default_model else {
            return Ok(Finding::Nobody("`llm.default_model` is not set".to_owned()));
        };
        Ok(match self.named(name, client)? {
            Named::Choice(choice) => {
                let model = match &choice {
                    Choice::Model { model, .. } => Some(model.model_id().to_owned()),
                    Choice::Sampling | Choice::Host => None,
                };
                let reason = format!("`llm.default_model` is `{name}`");
                Finding::Somebody { choice, model, reason }
            }
            Named::Unreachable(note) => Finding::Nobody(note),
        })
    }

    fn keyed(&self) -> Result<Finding, LlmError> {
        for provider in Provider::WITH_KEYS {
            if !self.providers.has_vendor_key(provider)? {
                continue;
            }
            if let Some(row) = self.providers.table().default_of(provider, self.today()) {
                let model = self.providers.api_model(row.clone())?;
                let setting = provider.setting();
                return Ok(somebody(model, &format!("`{setting}` is set")));
            }
        }
        Ok(Finding::Nobody(format!("no key is set ({})", key_settings())))
    }

    /// Servers that the operator named, in the order: OpenAI-compatible, Ollama, llama.cpp.
    async fn configured_server(&self) -> Result<Finding, LlmError> {
        let servers = self.providers.configured_servers();
        if servers.is_empty() {
            return Ok(Finding::Nobody("no model server is configured".to_owned()));
        }
        let mut silent = Vec::new();
        for server in servers {
            let preferred = self.providers.table().default_of(server.provider, self.today());
            let preferred = preferred.map(|row| row.id.as_str());
            match self.probe.model_of(self.providers.http()?, &server, preferred).await {
                Some(id) => {
                    let model = self.providers.server_model(&server, &id, Route::Api)?;
                    let reason = format!("`{}` is set", server.setting);
                    return Ok(somebody(model, &reason));
                }
                None => silent.push(server.setting),
            }
        }
        Ok(Finding::Nobody(format!(
            "the server of `{}` does not answer or has no model",
            silent.join("`, `")
        )))
    }

    async fn local_server(&self) -> Result<Finding, LlmError> {
        for server in self.providers.unconfigured_servers() {
            if let Some(id) = self.probe.model_of(self.providers.http()?, &server, None).await {
                let model = self.providers.server_model(&server, &id, Route::Local)?;
                let reason = format!("{} runs on this machine", server.provider.name());
                return Ok(somebody(model, &reason));
            }
        }
        Ok(Finding::Nobody("neither Ollama nor llama.cpp runs on this machine".to_owned()))
    }

    /// Whom a name means.
    fn named(&self, name: &str, client: &ClientModels) -> Result<Named, LlmError> {
        let choice = |model, note| Ok(Named::Choice(Choice::Model { model, note }));
        if name == HOST {
            return if client.host_completion {
                Ok(Named::Choice(Choice::Host))
            } else {
                Err(nobody())
            };
        }
        if let Some(command) = self.providers.command(name)? {
            return choice(Arc::new(command), None);
        }
        let Some(Found { row, inherited }) = self.providers.table().find(name, self.today())?
        else {
            return match self.providers.unlisted(name) {
                Some(row) => choice(self.providers.api_model(row)?, None),
                None => Err(self.unknown(name)),
            };
        };
        let plain = name.strip_prefix("models/").unwrap_or(name);
        let is_alias = inherited && row.id != plain;
        if self.providers.is_reachable(row.provider)? {
            let note = is_alias.then(|| format!("`{plain}` stands for `{}` now", row.id));
            return choice(self.providers.api_model(row)?, note);
        }
        let setting = row.provider.setting();
        if inherited {
            return Ok(Named::Unreachable(format!(
                "`{plain}` stands for `{}`, but `{setting}` is not set",
                row.id
            )));
        }
        Err(LlmError::new(
            LlmErrorCode::KeyMissing,
            format!("`{plain}` needs `{setting}`, which is not set"),
        )
        .hint(format!("set it, or name another model: {}", self.alternatives())))
    }

    fn unknown(&self, name: &str) -> LlmError {
        LlmError::new(LlmErrorCode::InvalidModel, format!("`{name}` is no model known here"))
            .hint(format!("name one of: {}", self.alternatives()))
    }

    /// Names that work here.
    fn alternatives(&self) -> String {
        let mut names = self.providers.reachable_ids(self.today());
        if names.is_empty() {
            names = self.providers.all_ids(self.today());
        }
        names.extend([AUTO.to_owned(), HOST.to_owned()]);
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    fn today(&self) -> Date {
        (self.calendar)()
    }
}

fn somebody(model: Arc<dyn LanguageModel>, reason: &str) -> Finding {
    let id = model.model_id().to_owned();
    Finding::Somebody {
        choice: Choice::Model { model, note: None },
        model: Some(id),
        reason: reason.to_owned(),
    }
}

fn key_settings() -> String {
    Provider::WITH_KEYS.map(Provider::setting).join(", ")
}

fn nobody() -> LlmError {
    LlmError::new(
        LlmErrorCode::NoLanguageModel,
        "no language model is at hand, and the caller cannot write the text itself",
    )
    .hint(format!("set one of {}, or run Ollama on this machine", key_settings()))
}

#[cfg(test)]
mod tests;
