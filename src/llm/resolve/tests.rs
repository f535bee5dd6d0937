use time::macros::date;

use super::*;
use crate::config::Secret;

/// A port on which nobody listens.
fn nowhere() -> Url {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    Url::parse(&format!("http://{address}")).unwrap()
}

fn models(config: &LlmConfig) -> Models {
    let calendar: Calendar = Arc::new(|| date!(2026 - 11 - 21));
    Models::new(config, calendar).unwrap().with_local_servers(nowhere(), nowhere())
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn with_keys() -> LlmConfig {
    LlmConfig {
        gemini_api_key: Some(secret("g")),
        anthropic_api_key: Some(secret("a")),
        openai_api_key: Some(secret("o")),
        openrouter_api_key: Some(secret("r")),
        ..LlmConfig::default()
    }
}

fn host() -> ClientModels {
    ClientModels { host_completion: true, ..ClientModels::default() }
}

fn page() -> ClientModels {
    ClientModels { local_models: true, ..ClientModels::default() }
}

/// Who answers, as one word, with the note.
async fn chosen(config: &LlmConfig, name: Option<&str>, client: &ClientModels) -> (String, String) {
    match models(config).choose(name, client).await.unwrap() {
        Choice::Model { model, note } => (model.model_id().to_owned(), note.unwrap_or_default()),
        Choice::Sampling => ("(sampling)".to_owned(), String::new()),
        Choice::Host => ("(host)".to_owned(), String::new()),
    }
}

async fn refused(config: &LlmConfig, name: Option<&str>, client: &ClientModels) -> LlmError {
    models(config).choose(name, client).await.err().unwrap()
}

#[tokio::test]
async fn without_anything_the_host_answers_and_a_page_gets_an_error() {
    let nothing = LlmConfig::default();
    for name in [None, Some("auto"), Some(""), Some(" auto ")] {
        assert_eq!(chosen(&nothing, name, &host()).await.0, "(host)");
        let error = refused(&nothing, name, &page()).await;
        assert_eq!(error.code, LlmErrorCode::NoLanguageModel);
        assert!(error.hint.unwrap().contains("GEMINI_API_KEY"));
    }
    assert_eq!(refused(&nothing, Some("host"), &page()).await.code, LlmErrorCode::NoLanguageModel);
}

#[tokio::test]
async fn keys_answer_in_their_order() {
    let mut config = with_keys();
    assert_eq!(chosen(&config, None, &host()).await.0, "gemini-3.8-flash");
    config.gemini_api_key = Some(secret("  "));
    assert_eq!(chosen(&config, None, &host()).await.0, "claude-sonnet-5-5");
    config.anthropic_api_key = None;
    assert_eq!(chosen(&config, None, &host()).await.0, "gpt-6.1-sol");
    config.openai_api_key = None;
    assert_eq!(chosen(&config, None, &host()).await.0, "openrouter/auto");
    assert_eq!(chosen(&config, Some("host"), &host()).await.0, "(host)");
}

#[tokio::test]
async fn a_configured_default_comes_before_keys_and_does_not_switch() {
    let mut config = LlmConfig {
        default_model: Some("claude-opus-5-5".to_owned()),
        gemini_api_key: Some(secret("g")),
        anthropic_api_key: Some(secret("a")),
        ..LlmConfig::default()
    };
    assert_eq!(chosen(&config, None, &host()).await.0, "claude-opus-5-5");
    config.anthropic_api_key = None;
    let error = refused(&config, None, &host()).await;
    assert_eq!(error.code, LlmErrorCode::KeyMissing);
    assert!(error.message.contains("ANTHROPIC_API_KEY"));
    config.default_model = Some("host".to_owned());
    assert_eq!(chosen(&config, None, &host()).await.0, "(host)");
}

#[tokio::test]
async fn a_named_model_without_its_key_names_the_setting_and_the_alternatives() {
    let config = LlmConfig { anthropic_api_key: Some(secret("a")), ..LlmConfig::default() };
    let error = refused(&config, Some("gpt-6-astra"), &host()).await;
    assert_eq!(error.code, LlmErrorCode::KeyMissing);
    assert!(error.message.contains("`OPENAI_API_KEY`"), "{error}");
    let hint = error.hint.unwrap();
    assert!(hint.contains("`claude-sonnet-5-5`") && hint.contains("`host`"), "{hint}");
    assert!(!hint.contains("gpt-"), "{hint}");
}

#[tokio::test]
async fn the_old_names_never_fail() {
    let names = [
        ("gemini-2.5-pro-preview-05-06", "gemini-3.8-flash"),
        ("gemini-2.5-flash-preview-05-20", "gemini-3.5-flash-lite"),
        ("gemini-2.0-flash", "gemini-3.5-flash-lite"),
        ("models/gemini-2.0-flash", "gemini-3.5-flash-lite"),
        ("claude-3-7-sonnet-latest", "claude-sonnet-5-5"),
        ("gpt-4.1-2025-04-14", "gpt-4.1-2025-04-14"),
        ("o4-mini-2025-04-16", "gpt-6-luna"),
    ];
    for (name, id) in names {
        let (model, note) = chosen(&with_keys(), Some(name), &host()).await;
        assert_eq!(model, id, "{name}");
        assert_eq!(note.is_empty(), name == id, "{note}");
        assert_eq!(chosen(&LlmConfig::default(), Some(name), &host()).await.0, "(host)", "{name}");
    }
    let config = LlmConfig { anthropic_api_key: Some(secret("a")), ..LlmConfig::default() };
    let (model, note) = chosen(&config, Some("gemini-2.0-flash"), &host()).await;
    assert_eq!(model, "claude-sonnet-5-5");
    assert!(note.contains("gemini-2.0-flash") && note.contains("GEMINI_API_KEY"), "{note}");
}

#[tokio::test]
async fn unknown_and_malformed_names_are_refused() {
    let error = refused(&with_keys(), Some("opus"), &host()).await;
    assert_eq!(error.code, LlmErrorCode::InvalidModel);
    assert!(error.hint.unwrap().contains("`claude-opus-5-5`"));
    let error = refused(&with_keys(), Some("gemini-x/../../../evil#"), &host()).await;
    assert_eq!(error.code, LlmErrorCode::InvalidModel);
    assert!(!error.message.contains("evil"));
    // The library would take the ending off and ask another model.
    let error = refused(&with_keys(), Some("gemini-9-high"), &host()).await;
    assert_eq!(error.code, LlmErrorCode::InvalidModel);
}

#[tokio::test]
async fn names_pass_to_the_server_that_may_have_them() {
    let base = Some(nowhere());
    let config = LlmConfig { openai_base_url: base.clone(), ..LlmConfig::default() };
    assert_eq!(chosen(&config, Some("qwen3-32b"), &host()).await.0, "qwen3-32b");
    let config = LlmConfig { ollama_base_url: base, ..LlmConfig::default() };
    assert_eq!(chosen(&config, Some("qwen3:8b"), &host()).await.0, "qwen3:8b");
    let config = LlmConfig { openrouter_api_key: Some(secret("r")), ..LlmConfig::default() };
    assert_eq!(chosen(&config, Some("x-ai/grok"), &host()).await.0, "x-ai/grok");
}

#[tokio::test]
async fn a_key_with_a_line_break_is_an_error_of_the_configuration() {
    let config = LlmConfig { gemini_api_key: Some(secret("abc\ndef")), ..LlmConfig::default() };
    let error = refused(&config, None, &host()).await;
    assert_eq!(error.code, LlmErrorCode::KeyRefused);
    assert!(error.message.contains("GEMINI_API_KEY") && !error.message.contains("abc"));
    let config = LlmConfig { gemini_api_key: Some(secret(" abc\n")), ..LlmConfig::default() };
    assert_eq!(chosen(&config, None, &host()).await.0, "gemini-3.8-flash");
}

#[tokio::test]
async fn commands_answer_only_when_enabled_and_before_the_host() {
    let error = refused(&LlmConfig::default(), Some("claude"), &host()).await;
    assert_eq!(error.code, LlmErrorCode::InvalidModel);
    assert!(error.hint.unwrap().contains("llm.claude_command"));
    let config = LlmConfig { codex_command: true, ..LlmConfig::default() };
    assert_eq!(chosen(&config, None, &host()).await.0, "codex");
    assert_eq!(chosen(&config, Some("codex"), &host()).await.0, "codex");
    let config = LlmConfig {
        codex_command: true,
        gemini_api_key: Some(secret("g")),
        ..LlmConfig::default()
    };
    assert_eq!(chosen(&config, None, &host()).await.0, "gemini-3.8-flash");
}

#[tokio::test]
async fn sampling_stands_between_keys_and_what_nobody_configured() {
    let client = ClientModels { sampling_by_retry: true, ..host() };
    assert_eq!(chosen(&LlmConfig::default(), None, &client).await.0, "(sampling)");
    assert_eq!(chosen(&with_keys(), None, &client).await.0, "gemini-3.8-flash");
    let config = LlmConfig { claude_command: true, ..LlmConfig::default() };
    assert_eq!(chosen(&config, None, &client).await.0, "(sampling)");
}

#[tokio::test]
async fn doctor_says_which_step_wins_and_why_the_earlier_ones_did_not() {
    let config = LlmConfig { openai_api_key: Some(secret("o")), ..LlmConfig::default() };
    let steps = models(&config).explain(&host()).await;
    assert_eq!(steps.iter().map(|step| step.step).collect::<Vec<_>>(), Step::ORDER);
    assert_eq!(
        steps.iter().map(|step| step.number).collect::<Vec<_>>(),
        (1..=9).collect::<Vec<_>>()
    );
    let winners: Vec<_> = steps.iter().filter(|step| step.wins).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(winners[0].step, Step::Keys);
    assert_eq!(winners[0].model.as_deref(), Some("gpt-6.1-sol"));
    assert!(winners[0].reason.contains("OPENAI_API_KEY"));
    assert!(steps.iter().all(|step| !step.reason.is_empty()));
    assert!(steps[2].reason.contains("llm.default_model"));

    let steps = models(&LlmConfig::default()).explain(&page()).await;
    assert!(steps.iter().all(|step| !step.wins));
    assert!(steps[3].reason.contains("ANTHROPIC_API_KEY"));
    assert!(steps[6].reason.contains("Ollama"));
}
