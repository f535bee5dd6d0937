//! The table of models: which provider serves a name, on which wire, at which price.
//!
//! Rows and aliases are data (`models.toml`, with a file of the operator on top), because vendors
//! retire and rename models faster than a program is released. Aliases switch by date, so every
//! question takes the day it is asked on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use time::Date;
use time::macros::format_description;

use super::{LlmError, LlmErrorCode, Usage};

/// Rows that are built into the program.
const EMBEDDED: &str = include_str!("models.toml");

/// Who serves a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// Google's Gemini API.
    Gemini,
    /// Anthropic.
    Anthropic,
    /// OpenAI, or the server that `OPENAI_BASE_URL` names.
    #[serde(rename = "openai")]
    OpenAi,
    /// OpenRouter.
    #[serde(rename = "openrouter")]
    OpenRouter,
    /// An Ollama server.
    Ollama,
    /// llama.cpp's server.
    #[serde(rename = "llamacpp")]
    LlamaCpp,
}

impl Provider {
    /// Providers with keys, in the order in which `auto` tries them.
    pub const WITH_KEYS: [Self; 4] =
        [Self::Gemini, Self::Anthropic, Self::OpenAi, Self::OpenRouter];

    /// Name for limits, logs and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gemini => "gemini",
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::OpenRouter => "openrouter",
            Self::Ollama => "ollama",
            Self::LlamaCpp => "llamacpp",
        }
    }

    /// What to set so that the provider can be reached.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Gemini => "GEMINI_API_KEY",
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
            Self::OpenRouter => "OPENROUTER_API_KEY",
            Self::Ollama => "OLLAMA_HOST",
            Self::LlamaCpp => "ATELIER_LLM__LLAMACPP_BASE_URL",
        }
    }
}

/// The wire a model is spoken to on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wire {
    /// Google `generateContent`.
    Gemini,
    /// Google Interactions.
    GeminiIx,
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI chat completions and servers that speak like it.
    #[serde(rename = "openai_chat")]
    OpenAiChat,
    /// OpenAI Responses.
    #[serde(rename = "openai_responses")]
    OpenAiResponses,
    /// Ollama's own API.
    Ollama,
}

/// What a model accepts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Pictures in the prompt.
    pub vision: bool,
    /// PDFs in the prompt.
    pub pdf: bool,
    /// A JSON Schema for the answer.
    pub schema: bool,
    /// Encrypted reasoning state on request.
    pub encrypted_reasoning: bool,
    /// Levels of effort.
    pub effort: Vec<String>,
    /// Temperature and its kin.
    pub sampling: bool,
    /// A forced choice of tool.
    pub forced_tool: bool,
}

impl Caps {
    /// Of a model that is in no table: it may read files, and nothing special is asked of it.
    pub fn unknown() -> Self {
        Self { vision: true, pdf: true, ..Self::default() }
    }
}

/// Prices in US dollars per million tokens.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Tokens read.
    pub input: f64,
    /// Tokens written.
    pub output: f64,
    /// Tokens read from the provider's cache; absent: as `input`.
    pub cached: Option<f64>,
    /// Prompts of more tokens than this cost `long_input_factor` times as much to read.
    pub long_over: Option<u64>,
    /// See `long_over`.
    pub long_input_factor: Option<f64>,
    /// First day on which the price no longer holds.
    #[serde(default, deserialize_with = "date")]
    pub valid_until: Option<Date>,
}

impl Price {
    /// Cost of these tokens; `None` when the provider did not count them.
    pub fn cost_usd(&self, usage: &Usage) -> Option<f64> {
        let (input, output) = (usage.input_tokens?, usage.output_tokens?);
        let cached = usage.cached_tokens.unwrap_or(0).min(input);
        let factor = match self.long_over {
            Some(limit) if input > limit => self.long_input_factor.unwrap_or(1.0),
            _ => 1.0,
        };
        let read = tokens(input - cached) * self.input
            + tokens(cached) * self.cached.unwrap_or(self.input);
        Some((read * factor + tokens(output) * self.output) / 1_000_000.0)
    }
}

#[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
fn tokens(count: u64) -> f64 {
    count as f64
}

/// One model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRow {
    /// Id, as the provider wants it.
    pub id: String,
    /// Who serves it.
    pub provider: Provider,
    /// Wire it is spoken to on.
    #[serde(rename = "adapter")]
    pub wire: Wire,
    /// The provider's model when a call names none.
    #[serde(default)]
    pub default: bool,
    /// Context in tokens, when known.
    pub ctx: Option<u64>,
    /// Limit of output in tokens, when known.
    pub max_out: Option<u32>,
    /// What it accepts.
    #[serde(default)]
    pub caps: Caps,
    /// Prices, the first one that is still valid counts.
    #[serde(default)]
    pub price: Vec<Price>,
    /// First day without the model.
    #[serde(default, deserialize_with = "date")]
    pub retired_on: Option<Date>,
}

impl ModelRow {
    /// A model that is in no table, asked for by an id of its provider.
    pub fn passed_through(id: &str, provider: Provider, wire: Wire) -> Self {
        Self {
            id: id.to_owned(),
            provider,
            wire,
            default: false,
            ctx: None,
            max_out: None,
            caps: Caps::unknown(),
            price: Vec::new(),
            retired_on: None,
        }
    }

    /// The price on a day.
    pub fn price_on(&self, today: Date) -> Option<&Price> {
        self.price.iter().find(|price| price.valid_until.is_none_or(|until| today < until))
    }

    fn alive_on(&self, today: Date) -> bool {
        self.retired_on.is_none_or(|date| today < date)
    }
}

/// A name that leads to another model.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    /// The name.
    pub name: String,
    /// Id of the model.
    pub id: String,
    /// First day on which the name stands for the model.
    #[serde(default, deserialize_with = "date")]
    pub from: Option<Date>,
}

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The operator's file cannot be read.
    #[error("the model table `{path}` cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A table is malformed.
    #[error("the model table {origin} is not valid: {cause}")]
    Malformed {
        /// Which table.
        origin: String,
        /// Where and why.
        cause: String,
    },
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The model.
    pub row: ModelRow,
    /// The name is one that earlier clients send by themselves: it must never fail for want of a
    /// key.
    pub inherited: bool,
}

/// The table.
#[derive(Debug, Clone, Default)]
pub struct ModelTable {
    rows: BTreeMap<String, ModelRow>,
    aliases: BTreeMap<String, Alias>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableFile {
    #[serde(default)]
    model: Vec<ModelRow>,
    #[serde(default)]
    alias: Vec<Alias>,
}

impl ModelTable {
    /// The embedded table, with the operator's file on top when there is one.
    ///
    /// # Errors
    /// When a file cannot be read or is malformed.
    pub fn load(file: Option<&Path>) -> Result<Self, TableError> {
        let mut table = Self::default();
        table.add(EMBEDDED, "of the program")?;
        if let Some(path) = file {
            #[expect(
                clippy::disallowed_methods,
                reason = "the operator's file of models, read once"
            )]
            let text = std::fs::read_to_string(path)
                .map_err(|cause| TableError::Unreadable { path: path.to_owned(), cause })?;
            table.add(&text, &format!("`{}`", path.display()))?;
        }
        Ok(table)
    }

    fn add(&mut self, text: &str, origin: &str) -> Result<(), TableError> {
        let malformed = |cause: String| TableError::Malformed { origin: origin.to_owned(), cause };
        let file: TableFile = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
        for row in file.model {
            if !is_valid_id(&row.id) {
                return Err(malformed(format!("`{}` is not a model id", row.id)));
            }
            if row.default {
                // The newest table decides which model of a provider is the default.
                for other in self.rows.values_mut().filter(|other| other.provider == row.provider) {
                    other.default = false;
                }
            }
            self.rows.insert(row.id.clone(), row);
        }
        for alias in file.alias {
            self.aliases.insert(alias.name.clone(), alias);
        }
        let dangling = self.aliases.values().find(|alias| !self.rows.contains_key(&alias.id));
        match dangling {
            Some(alias) => Err(malformed(format!(
                "alias `{}` leads to `{}`, which is no model",
                alias.name, alias.id
            ))),
            None => Ok(()),
        }
    }

    /// The row of an id, as it stands in the table.
    pub fn row(&self, id: &str) -> Option<&ModelRow> {
        self.rows.get(id)
    }

    /// The model of a provider when a call names none.
    pub fn default_of(&self, provider: Provider, today: Date) -> Option<&ModelRow> {
        self.rows
            .values()
            .find(|row| row.provider == provider && row.default && row.alive_on(today))
    }

    /// What a name leads to on a day. `None`: no provider is known for it.
    ///
    /// # Errors
    /// When the name is malformed.
    pub fn find(&self, name: &str, today: Date) -> Result<Option<Found>, LlmError> {
        let name = name.strip_prefix("models/").unwrap_or(name);
        if !is_valid_id(name) {
            return Err(invalid_id());
        }
        let inherited = self.aliases.contains_key(name);
        let alias =
            self.aliases.get(name).filter(|alias| alias.from.is_none_or(|from| from <= today));
        let id = alias.map_or(name, |alias| alias.id.as_str());
        let row = match self.rows.get(id) {
            Some(row) if row.alive_on(today) => Some(row.clone()),
            Some(_) => None,
            None => passed_through(id),
        };
        Ok(row.map(|row| Found { row, inherited }))
    }

    /// Ids of the models that live on a day, of these providers.
    pub fn ids<'table>(
        &'table self,
        today: Date,
        providers: &'table [Provider],
    ) -> impl Iterator<Item = &'table str> {
        self.rows
            .values()
            .filter(move |row| row.alive_on(today) && providers.contains(&row.provider))
            .map(|row| row.id.as_str())
    }
}

/// The error of a malformed id. It does not repeat the text, which may be anything.
fn invalid_id() -> LlmError {
    LlmError::new(LlmErrorCode::InvalidModel, "`model` is not the id of a model").hint(
        "name a model by letters, digits, `.`, `-`, `_`, `:` and single `/`, or leave it at `auto`",
    )
}

/// Whether a text may be sent as a model id. Ids are pasted into URLs, so nothing passes that
/// could change a path, and no `::`, which the client library reads as the name of a provider.
pub fn is_valid_id(id: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    let mut segments = id.split('/');
    let head = segments.next().unwrap_or_default();
    let head_is_valid = head.len() <= 128
        && head.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && head.bytes().all(word);
    head_is_valid
        && id.len() <= 256
        && !id.contains("..")
        && !id.contains("::")
        && segments.all(|segment| !segment.is_empty() && segment.bytes().all(word))
}

/// New models are reachable before the table knows them: the vendors' names tell whose they are.
fn passed_through(id: &str) -> Option<ModelRow> {
    let row = |provider, wire| Some(ModelRow::passed_through(id, provider, wire));
    if id.starts_with("gemini-4-argon") {
        return row(Provider::Gemini, Wire::GeminiIx);
    }
    if id.starts_with("gemini-") {
        return row(Provider::Gemini, Wire::Gemini);
    }
    if id.starts_with("claude-") {
        return row(Provider::Anthropic, Wire::Anthropic);
    }
    if id.starts_with("gpt-6") {
        return row(Provider::OpenAi, Wire::OpenAiResponses);
    }
    let mut bytes = id.bytes();
    let is_o_series =
        bytes.next() == Some(b'o') && bytes.next().is_some_and(|byte| byte.is_ascii_digit());
    if id.starts_with("gpt-") || is_o_series {
        return row(Provider::OpenAi, Wire::OpenAiChat);
    }
    if let Some(name) = id.strip_prefix("ollama/") {
        return Some(ModelRow::passed_through(name, Provider::Ollama, Wire::Ollama));
    }
    if let Some(name) = id.strip_prefix("openrouter/") {
        return Some(ModelRow::passed_through(name, Provider::OpenRouter, Wire::OpenAiChat));
    }
    None
}

fn date<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Date::parse(&text, format_description!("[year]-[month]-[day]"))
        .map(Some)
        .map_err(|error| serde::de::Error::custom(format!("`{text}` is not a date: {error}")))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests write files")]
mod tests {
    use time::macros::date;

    use super::*;

    fn table() -> ModelTable {
        ModelTable::load(None).unwrap()
    }

    fn id_of(name: &str, today: Date) -> String {
        table().find(name, today).unwrap().unwrap().row.id
    }

    #[test]
    fn the_old_names_lead_to_living_models() {
        let today = date!(2026 - 11 - 21);
        for (name, id) in [
            ("gemini-2.5-pro-preview-05-06", "gemini-3.8-flash"),
            ("gemini-2.5-flash-preview-05-20", "gemini-3.5-flash-lite"),
            ("gemini-2.0-flash", "gemini-3.5-flash-lite"),
            ("models/gemini-2.0-flash", "gemini-3.5-flash-lite"),
            ("claude-3-7-sonnet-latest", "claude-sonnet-5-5"),
            ("gpt-4.1-2025-04-14", "gpt-4.1-2025-04-14"),
            ("o4-mini-2025-04-16", "gpt-6-luna"),
        ] {
            let found = table().find(name, today).unwrap().unwrap();
            assert_eq!(found.row.id, id, "{name}");
            assert!(found.inherited, "{name}");
        }
    }

    #[test]
    fn an_alias_switches_on_its_day() {
        assert_eq!(id_of("gpt-4.1-2025-04-14", date!(2027 - 01 - 13)), "gpt-4.1-2025-04-14");
        assert_eq!(id_of("gpt-4.1-2025-04-14", date!(2027 - 01 - 14)), "gpt-6-luna");
        let alive =
            |today| table().ids(today, &[Provider::OpenAi]).any(|id| id.starts_with("gpt-4.1"));
        assert!(alive(date!(2027 - 01 - 13)));
        assert!(!alive(date!(2027 - 01 - 14)));
    }

    #[test]
    fn prices_change_on_their_day() {
        let table = table();
        let argon = table.row("gemini-4-argon").unwrap();
        let usage = Usage {
            input_tokens: Some(1_000_000),
            output_tokens: Some(1_000_000),
            ..Usage::default()
        };
        let cost = |today| argon.price_on(today).unwrap().cost_usd(&usage).unwrap();
        assert!((cost(date!(2026 - 11 - 30)) - 12.0).abs() < 1e-9);
        assert!((cost(date!(2026 - 12 - 01)) - 24.0).abs() < 1e-9);
        assert!(table.row("gemini-3.8-flash").unwrap().price_on(date!(2026 - 11 - 21)).is_none());
    }

    #[test]
    fn a_cost_counts_cached_and_long_prompts_and_is_unknown_without_counts() {
        let price = Price {
            input: 2.0,
            output: 10.0,
            cached: Some(0.5),
            long_over: Some(272_000),
            long_input_factor: Some(2.0),
            valid_until: None,
        };
        let usage = |input, cached, output| Usage {
            input_tokens: input,
            output_tokens: output,
            cached_tokens: cached,
            reasoning_tokens: None,
        };
        let cost = |usage: &Usage| price.cost_usd(usage);
        let known = cost(&usage(Some(100_000), Some(40_000), Some(1_000))).unwrap();
        assert!((known - (0.12 + 0.02 + 0.01)).abs() < 1e-9, "{known}");
        let long = cost(&usage(Some(300_000), None, Some(0))).unwrap();
        assert!((long - 1.2).abs() < 1e-9, "{long}");
        assert_eq!(cost(&usage(None, None, Some(5))), None);
        assert_eq!(cost(&usage(Some(5), None, None)), None);
    }

    #[test]
    fn only_plain_ids_are_valid() {
        for id in ["gpt-6-luna", "a", "qwen3:8b", "anthropic/claude-sonnet-5-5", "a/b/c.d_e"] {
            assert!(is_valid_id(id), "{id}");
        }
        let long = "a".repeat(129);
        for id in [
            "",
            "gemini-x/../../../evil#",
            "-a",
            ".a",
            "a//b",
            "a/",
            "/a",
            "a b",
            "a?b",
            "a%2e",
            "é",
            "a\n",
            "openai::gpt-4",
            "a/..",
            long.as_str(),
        ] {
            assert!(!is_valid_id(id), "{id:?}");
            assert!(table().find(id, date!(2026 - 11 - 21)).is_err(), "{id:?}");
        }
    }

    #[test]
    fn unknown_names_pass_by_their_prefix() {
        let today = date!(2026 - 11 - 21);
        let find = |name: &str| {
            let found = table().find(name, today).unwrap();
            found.map(|found| (found.row.id, found.row.provider, found.row.wire, found.inherited))
        };
        let passed = |id: &str, provider, wire| Some((id.to_owned(), provider, wire, false));
        assert_eq!(find("gpt-6.2-x"), passed("gpt-6.2-x", Provider::OpenAi, Wire::OpenAiResponses));
        assert_eq!(find("gpt-5.5"), passed("gpt-5.5", Provider::OpenAi, Wire::OpenAiChat));
        assert_eq!(find("o5-mini"), passed("o5-mini", Provider::OpenAi, Wire::OpenAiChat));
        assert_eq!(find("claude-x"), passed("claude-x", Provider::Anthropic, Wire::Anthropic));
        assert_eq!(find("models/gemini-9"), passed("gemini-9", Provider::Gemini, Wire::Gemini));
        assert_eq!(find("ollama/qwen3:8b"), passed("qwen3:8b", Provider::Ollama, Wire::Ollama));
        assert_eq!(
            find("openrouter/x-ai/grok-9"),
            passed("x-ai/grok-9", Provider::OpenRouter, Wire::OpenAiChat)
        );
        assert_eq!(find("opus"), None);
        assert_eq!(find("mistral-large"), None);
    }

    #[test]
    fn a_file_replaces_and_adds_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("models.toml");
        std::fs::write(
            &path,
            r#"
            [[model]]
            id = "gemini-9-x"
            provider = "gemini"
            adapter = "gemini"
            default = true

            [[alias]]
            name = "house"
            id = "gemini-9-x"
            "#,
        )
        .unwrap();
        let today = date!(2026 - 11 - 21);
        let table = ModelTable::load(Some(&path)).unwrap();
        assert_eq!(table.default_of(Provider::Gemini, today).unwrap().id, "gemini-9-x");
        assert_eq!(table.find("house", today).unwrap().unwrap().row.id, "gemini-9-x");
        assert!(table.row("claude-sonnet-5-5").is_some());

        std::fs::write(&path, "[[alias]]\nname = \"x\"\nid = \"nowhere\"\n").unwrap();
        let error = ModelTable::load(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("nowhere") && error.contains("models.toml"), "{error}");
        let missing = ModelTable::load(Some(&folder.path().join("none.toml"))).unwrap_err();
        assert!(missing.to_string().contains("none.toml"));
    }

    #[test]
    fn every_keyed_provider_has_a_living_default() {
        for provider in Provider::WITH_KEYS {
            assert!(table().default_of(provider, date!(2027 - 02 - 01)).is_some(), "{provider:?}");
        }
    }
}
