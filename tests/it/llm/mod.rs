//! Models over real sockets, commands and clients: what the guard makes of every wire and fault.

mod commands;
mod guard_rules;
mod limits;
mod requests;
mod routes;
mod sampling;
mod secrets;

use std::sync::Arc;

use atelier::config::Secret;
use atelier::config::llm::{LlmConfig, TimeoutsConfig};
use atelier::llm::resolve::{Calendar, Choice, Models};
use atelier::llm::{
    ClientModels, ExpectedKind, Expects, LanguageModel, LlmError, Outcome, Request,
};
use fake_llm::{CapturedRequest, FakeLlm, Reply, Rule, Script, Vendor};
use futures::future::join_all;
use time::macros::date;
use tokio_util::sync::CancellationToken;
use url::Url;

/// A key that must never be seen again.
pub(crate) const KEY: &str = "sk-planted-7Kq0vYx2";
/// A prompt that must never be seen again.
pub(crate) const PROMPT: &str = "planted prompt about a marmalade lighthouse";

/// The model that is asked on each wire.
pub(crate) fn model_of(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::Gemini => "gemini-3.8-flash",
        Vendor::GeminiInteractions => "gemini-4-argon",
        Vendor::Anthropic => "claude-sonnet-5-5",
        Vendor::OpenaiChat => "gpt-4.1-2025-04-14",
        Vendor::OpenaiResponses => "gpt-6.1-sol",
        Vendor::Ollama => "ollama/llama3",
    }
}

/// A configuration that leads every provider to this server.
pub(crate) fn config(server: &FakeLlm) -> LlmConfig {
    let key = || Some(Secret::new(KEY.to_owned()));
    let base = || Some(Url::parse(&server.base_url()).unwrap());
    LlmConfig {
        gemini_api_key: key(),
        anthropic_api_key: key(),
        openai_api_key: key(),
        openrouter_api_key: key(),
        gemini_base_url: base(),
        anthropic_base_url: base(),
        openai_base_url: base(),
        openrouter_base_url: base(),
        ollama_base_url: base(),
        timeouts: TimeoutsConfig { connect_s: 10.0, idle_s: 20.0, total_s: 60.0 },
        ..LlmConfig::default()
    }
}

/// The models of a configuration, on a fixed day.
pub(crate) fn models(config: &LlmConfig) -> Models {
    let calendar: Calendar = Arc::new(|| date!(2026 - 11 - 21));
    Models::new(config, calendar).unwrap()
}

/// The model of a name.
pub(crate) async fn named(models: &Models, name: &str) -> Arc<dyn LanguageModel> {
    match models.choose(Some(name), &ClientModels::default()).await.unwrap() {
        Choice::Model { model, .. } => model,
        Choice::Sampling | Choice::Host => panic!("`{name}` is no model"),
    }
}

/// A plain question.
pub(crate) fn question() -> Request {
    Request::new("Answer briefly.", PROMPT, Expects::kind(ExpectedKind::Text))
}

/// What came of a question, and what the server saw.
pub(crate) struct Observed {
    pub(crate) result: Result<Outcome, LlmError>,
    pub(crate) requests: Vec<CapturedRequest>,
}

impl Observed {
    /// The code of the error.
    #[track_caller]
    pub(crate) fn code(&self) -> &'static str {
        match &self.result {
            Ok(outcome) => panic!("it answered `{}`", outcome.text),
            Err(error) => error.code.as_str(),
        }
    }
}

/// Asks one question on one wire.
pub(crate) async fn ask(vendor: Vendor, rules: Vec<Rule>, request: &Request) -> Observed {
    let script = rules.into_iter().fold(Script::new(), Script::rule);
    let server = FakeLlm::start(script).await.unwrap();
    let models = models(&config(&server));
    let model = named(&models, model_of(vendor)).await;
    let cancel = CancellationToken::new();
    let result = models.complete(model.as_ref(), request, &cancel, &|_| {}).await;
    server.assert_all_matched();
    Observed { result, requests: server.model_requests() }
}

/// Asks many questions at once of one server, each answered by its own rules. They are told apart
/// by their system prompts.
pub(crate) async fn ask_all(
    cases: Vec<(Vendor, Vec<Rule>)>,
    change: impl FnOnce(&mut LlmConfig),
) -> Vec<Observed> {
    let tag = |index: usize| format!("Case {index}.");
    let mut script = Script::new();
    for (index, (_, rules)) in cases.iter().enumerate() {
        for rule in rules {
            script = script.rule(rule.clone().on_system(format!("^Case {index}\\.$")));
        }
    }
    let server = FakeLlm::start(script).await.unwrap();
    let mut config = config(&server);
    config.concurrency = 64;
    change(&mut config);
    let models = models(&config);
    let answers = cases.iter().enumerate().map(|(index, (vendor, _))| {
        let models = &models;
        async move {
            let model = named(models, model_of(*vendor)).await;
            let request = Request { system: tag(index), ..question() };
            let cancel = CancellationToken::new();
            models.complete(model.as_ref(), &request, &cancel, &|_| {}).await
        }
    });
    let results = join_all(answers).await;
    server.assert_all_matched();
    let all = server.model_requests();
    let observed = results.into_iter().enumerate().map(|(index, result)| {
        let of_case = |request: &&CapturedRequest| request.system == Some(tag(index));
        Observed { result, requests: all.iter().filter(of_case).cloned().collect() }
    });
    observed.collect()
}

/// A reply of several events, with a character of several bytes.
pub(crate) fn eight() -> Reply {
    Reply::chunks(["one ", "two ", "three ", "vier ", "fünf ", "six ", "seven ", "eight"])
}

/// The text of [`eight`].
pub(crate) const EIGHT: &str = "one two three vier fünf six seven eight";
