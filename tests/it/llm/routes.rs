//! Model servers that are found by asking them.

use atelier::config::Secret;
use atelier::config::llm::LlmConfig;
use atelier::llm::resolve::{Choice, Step};
use atelier::llm::{ClientModels, Route};
use fake_llm::{FakeLlm, Fault, Reply, Rule, Script};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{models, question};

/// A port on which nobody listens.
fn nowhere() -> Url {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}

fn at(server: &FakeLlm) -> Url {
    Url::parse(&server.base_url()).unwrap()
}

fn terminal() -> ClientModels {
    ClientModels { local_models: true, host_completion: true, ..ClientModels::default() }
}

fn mcp_client() -> ClientModels {
    ClientModels { host_completion: true, ..ClientModels::default() }
}

#[tokio::test]
async fn an_unconfigured_server_answers_the_terminal_and_no_mcp_client() {
    for is_ollama in [true, false] {
        let server =
            FakeLlm::start(Script::new().model("tiny:1b").reply(Reply::text("hi"))).await.unwrap();
        let (ollama, llamacpp) =
            if is_ollama { (at(&server), nowhere()) } else { (nowhere(), at(&server)) };
        let models = models(&LlmConfig::default()).with_local_servers(ollama, llamacpp);
        assert!(matches!(models.choose(None, &mcp_client()).await.unwrap(), Choice::Host));
        assert_eq!(server.requests().len(), 0);

        let Choice::Model { model, .. } = models.choose(None, &terminal()).await.unwrap() else {
            panic!("nobody was found");
        };
        assert_eq!((model.model_id(), model.route()), ("tiny:1b", Route::Local));
        let cancel = CancellationToken::new();
        let outcome = models.complete(model.as_ref(), &question(), &cancel, &|_| {}).await.unwrap();
        assert_eq!((outcome.text.as_str(), outcome.cost_usd), ("hi", None));

        // Asked once, remembered for a minute.
        let before = server.requests().len();
        let steps = models.explain(&terminal()).await;
        assert_eq!(server.requests().len(), before);
        let winner = steps.iter().find(|step| step.wins).unwrap();
        assert_eq!((winner.step, winner.model.as_deref()), (Step::LocalServer, Some("tiny:1b")));
    }
}

#[tokio::test]
async fn a_server_that_loads_is_silent_or_lists_nonsense_does_not_count() {
    let stalled = Rule::default().on_path(".").fault(Fault::StallHeaders { millis: None });
    let loading = Rule::default().on_path(".").fault(Fault::status(503));
    let page = Rule::default().on_path(".").fault(Fault::HtmlPage);
    for rule in [stalled, loading, page] {
        let server = FakeLlm::start(Script::new().rule(rule)).await.unwrap();
        let models = models(&LlmConfig::default()).with_local_servers(at(&server), at(&server));
        assert!(matches!(models.choose(None, &terminal()).await.unwrap(), Choice::Host));
        assert_ne!(server.requests().len(), 0);
    }
}

#[tokio::test]
async fn a_configured_server_comes_before_sampling_and_answers_everybody() {
    let script = Script::new().model("house-model").model("gpt-6.1-sol").reply(Reply::text("hi"));
    let server = FakeLlm::start(script).await.unwrap();
    let config = LlmConfig { openai_base_url: Some(at(&server)), ..LlmConfig::default() };
    let client = ClientModels { sampling_by_retry: true, ..mcp_client() };
    let models = models(&config);
    let Choice::Model { model, .. } = models.choose(None, &client).await.unwrap() else {
        panic!("nobody was found");
    };
    // The default of the vendor when the server has it, else its first model.
    assert_eq!((model.model_id(), model.route()), ("gpt-6.1-sol", Route::Api));

    let server =
        FakeLlm::start(Script::new().model("tiny:1b").reply(Reply::text("hi"))).await.unwrap();
    let config = LlmConfig { ollama_base_url: Some(at(&server)), ..LlmConfig::default() };
    let models = super::models(&config);
    let Choice::Model { model, .. } = models.choose(None, &client).await.unwrap() else {
        panic!("nobody was found");
    };
    assert_eq!((model.model_id(), model.provider()), ("tiny:1b", "ollama"));
}

#[tokio::test]
async fn a_compatible_server_needs_no_key() {
    let server = FakeLlm::start(Script::new().reply(Reply::text("hi"))).await.unwrap();
    let config = LlmConfig { openai_base_url: Some(at(&server)), ..LlmConfig::default() };
    let models = models(&config);
    let model = super::named(&models, "qwen3-32b").await;
    let cancel = CancellationToken::new();
    let outcome = models.complete(model.as_ref(), &question(), &cancel, &|_| {}).await.unwrap();
    assert_eq!(outcome.text, "hi");
    assert_eq!(server.model_requests()[0].path, "/v1/chat/completions");
    assert_eq!(server.model_requests()[0].model.as_deref(), Some("qwen3-32b"));
}

/// The first line that a proxy is told when a vendor's API is asked through it.
async fn told_to_the_proxy(no_proxy: Option<&str>) -> Option<String> {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let vendor = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = |listener: &TcpListener, scheme: &str| {
        Url::parse(&format!("{scheme}://{}", listener.local_addr().unwrap())).unwrap()
    };
    let config = LlmConfig {
        anthropic_api_key: Some(Secret::new("key".to_owned())),
        anthropic_base_url: Some(address(&vendor, "https")),
        https_proxy: Some(address(&proxy, "http")),
        no_proxy: no_proxy.map(str::to_owned),
        ..LlmConfig::default()
    };
    let models = models(&config);
    let model = super::named(&models, "claude-sonnet-5-5").await;
    let (cancel, request) = (CancellationToken::new(), question());
    let first_line = async {
        let told = tokio::select! {
            accepted = proxy.accept() => {
                let mut lines = BufReader::new(accepted.unwrap().0).lines();
                lines.next_line().await.unwrap()
            }
            _ = vendor.accept() => None,
        };
        cancel.cancel();
        told
    };
    tokio::join!(models.complete(model.as_ref(), &request, &cancel, &|_| {}), first_line).1
}

#[tokio::test]
async fn vendors_are_asked_through_the_configured_proxy() {
    let line = told_to_the_proxy(None).await.unwrap();
    assert!(line.starts_with("CONNECT 127.0.0.1:"), "{line}");
    assert_eq!(told_to_the_proxy(Some("127.0.0.1")).await, None);
}
