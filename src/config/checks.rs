//! What the types of the sections cannot say: ranges, forms and combinations.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::python::PythonConfig;
use super::source::{Problem, Source};
use super::{Config, Secret};

/// Trims the keys and lists everything that is wrong.
pub(super) fn problems(config: &mut Config, sources: &BTreeMap<String, Source>) -> Vec<Problem> {
    let mut checks = Checks { sources, problems: Vec::new() };
    checks.keys(config);
    checks.urls(config);
    checks.numbers(config);
    checks.tokens(config);
    checks.models(config);
    checks.python(config);
    checks.problems
}

struct Checks<'a> {
    sources: &'a BTreeMap<String, Source>,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    fn refuse(&mut self, key: &str, message: String, hint: impl Into<String>) {
        let place = self.sources.get(key).unwrap_or(&Source::Default);
        self.problems.push(Problem::new(place, message, hint));
    }

    fn keys(&mut self, config: &mut Config) {
        let llm = &mut config.llm;
        for (name, key) in [
            ("llm.gemini_api_key", &mut llm.gemini_api_key),
            ("llm.anthropic_api_key", &mut llm.anthropic_api_key),
            ("llm.openai_api_key", &mut llm.openai_api_key),
            ("llm.openrouter_api_key", &mut llm.openrouter_api_key),
            ("factory.tavily_api_key", &mut config.factory.tavily_api_key),
        ] {
            let Some(secret) = key else { continue };
            let trimmed = secret.expose().trim().to_owned();
            if trimmed.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
                self.refuse(
                    name,
                    format!("`{name}` has a line break, space or control character inside"),
                    "copy the key again, as one line",
                );
            }
            *key = (!trimmed.is_empty()).then(|| Secret::new(trimmed));
        }
    }

    fn python(&mut self, config: &Config) {
        const LEAST_MEMORY_BYTES: u64 = 64 << 20;
        const LEAST_PROCESSES: u64 = 4;
        let python = &config.python;
        for layer in &python.without_layers {
            if !PythonConfig::LAYERS.contains(&layer.as_str()) {
                self.refuse(
                    "python.without_layers",
                    format!("the sandbox has no layer `{layer}`"),
                    format!("layers are: {}", PythonConfig::LAYERS.join(", ")),
                );
            }
        }
        for (key, value, least) in [
            ("python.memory_bytes", python.memory_bytes, LEAST_MEMORY_BYTES),
            ("python.processes", python.processes, LEAST_PROCESSES),
        ] {
            if value < least {
                self.refuse(
                    key,
                    format!("`{key}` is {value}: an interpreter needs more"),
                    format!("write {least} or more"),
                );
            }
        }
    }

    fn urls(&mut self, config: &Config) {
        let llm = &config.llm;
        for (key, url) in [
            ("server.public_base_url", &config.server.public_base_url),
            ("llm.gemini_base_url", &llm.gemini_base_url),
            ("llm.anthropic_base_url", &llm.anthropic_base_url),
            ("llm.openai_base_url", &llm.openai_base_url),
            ("llm.openrouter_base_url", &llm.openrouter_base_url),
            ("llm.ollama_base_url", &llm.ollama_base_url),
            ("llm.llamacpp_base_url", &llm.llamacpp_base_url),
            ("factory.tavily_base_url", &config.factory.tavily_base_url),
        ] {
            let Some(url) = url else { continue };
            if let Some(message) = wrong_root(url) {
                self.refuse(
                    key,
                    format!("`{key}` {message}"),
                    "write it like `https://host.example`; keys have settings of their own",
                );
            }
        }
        if let Some(proxy) = &llm.https_proxy
            && (!matches!(proxy.scheme(), "http" | "https") || !proxy.has_host())
        {
            self.refuse(
                "llm.https_proxy",
                "the proxy is no HTTP proxy".to_owned(),
                "write it like `http://proxy.example:3128`",
            );
        }
    }

    fn numbers(&mut self, config: &Config) {
        let limits = &config.limits;
        let timeouts = &config.llm.timeouts;
        for (key, seconds) in [
            ("limits.answer_budget_s", limits.answer_budget_s),
            ("limits.reference_ttl_s", limits.reference_ttl_s),
            ("limits.completion_ttl_s", limits.completion_ttl_s),
            ("limits.completion_max_life_s", limits.completion_max_life_s),
            ("limits.lease_s", limits.lease_s),
            ("limits.page_call_s", limits.page_call_s),
            ("llm.timeouts.connect_s", timeouts.connect_s),
            ("llm.timeouts.idle_s", timeouts.idle_s),
            ("llm.timeouts.total_s", timeouts.total_s),
            ("browser.load_s", config.browser.load_s),
            ("browser.deadline_s", config.browser.deadline_s),
            ("browser.idle_s", config.browser.idle_s),
        ] {
            self.seconds(key, seconds, f64::MIN_POSITIVE, "more than 0");
        }
        self.seconds("catalog.idle_s", config.catalog.idle_s, 0.0, "0 or more");
        self.seconds("limits.shutdown_grace_s", limits.shutdown_grace_s, 0.0, "0 or more");
        for (key, count) in [
            ("limits.concurrent_calls", limits.concurrent_calls),
            ("limits.argument_bytes", limits.argument_bytes),
            ("limits.result_bytes", limits.result_bytes),
            ("limits.page_bytes", limits.page_bytes),
            ("catalog.shown_bytes", config.catalog.shown_bytes),
            ("limits.page_concurrent_calls", limits.page_concurrent_calls),
            ("browser.documents_per_start", config.browser.documents_per_start),
            ("python.concurrent_calls", config.python.concurrent_calls),
        ] {
            if count == 0 {
                self.refuse(key, format!("`{key}` is 0: nothing could run"), "write 1 or more");
            }
        }
        for (key, count) in [
            ("limits.page_calls_per_minute", limits.page_calls_per_minute),
            ("limits.page_tokens_per_day", limits.page_tokens_per_day),
        ] {
            if count < 0 {
                self.refuse(key, format!("`{key}` is negative"), "write 0 for none at all");
            }
        }
        if limits.calls_per_minute < 0 {
            self.refuse(
                "limits.calls_per_minute",
                "`limits.calls_per_minute` is negative".to_owned(),
                "write 0 for no cap",
            );
        }
    }

    /// A century is as good as for ever, and fits every clock.
    fn seconds(&mut self, key: &str, seconds: f64, least: f64, range: &str) {
        const CENTURY_S: f64 = 100.0 * 366.0 * 86_400.0;
        if !(least..=CENTURY_S).contains(&seconds) {
            self.refuse(
                key,
                format!("`{key}` is {seconds}: not a number of seconds that can be waited"),
                format!("write {range}, at most a century"),
            );
        }
    }

    fn tokens(&mut self, config: &Config) {
        let mut seen = BTreeSet::new();
        for (index, token) in config.auth.tokens.iter().enumerate() {
            let number = index + 1;
            if token.principal.trim().is_empty() {
                self.refuse(
                    "auth.tokens",
                    format!("token {number} has an empty `principal`"),
                    "name who the token stands for",
                );
            }
            let hex = token.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            if token.sha256.len() != 64 || !hex {
                self.refuse(
                    "auth.tokens",
                    format!("token {number} has a `sha256` that is no SHA-256 in hex"),
                    "make it with `printf %s TOKEN | sha256sum`: 64 hex digits",
                );
            } else if !seen.insert(token.sha256.to_ascii_lowercase()) {
                self.refuse(
                    "auth.tokens",
                    format!("token {number} has the `sha256` of an earlier one"),
                    "give each principal a token of its own",
                );
            }
        }
    }

    fn models(&mut self, config: &Config) {
        if config.llm.default_model.as_deref().is_some_and(|name| name.trim().is_empty()) {
            self.refuse(
                "llm.default_model",
                "`llm.default_model` is empty".to_owned(),
                "name a model, or remove the key",
            );
        }
        for (name, command) in &config.llm.commands {
            if command.command.first().is_none_or(|program| program.trim().is_empty()) {
                self.refuse(
                    "llm.commands",
                    format!("the model `{name}` has an empty `command`"),
                    "write the program and its arguments: `command = [\"program\", \"argument\"]`",
                );
            }
            if command.timeout_s == 0 {
                self.refuse(
                    "llm.commands",
                    format!("the model `{name}` has a `timeout_s` of 0"),
                    "write the seconds after which it is stopped",
                );
            }
        }
        let filter = &config.log.level;
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(filter) {
            self.refuse(
                "log.level",
                format!("`{filter}` is no log filter: {error}"),
                "write a level (`error`, `warn`, `info`, `debug`, `trace`) or `info,atelier::llm=debug`",
            );
        }
    }
}

/// Why a URL cannot be the root of an HTTP service.
fn wrong_root(url: &Url) -> Option<&'static str> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Some("is no `http` or `https` address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("has a user name or password inside");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Some("has a query or fragment");
    }
    None
}
