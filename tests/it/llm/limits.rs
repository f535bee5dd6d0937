//! Time, size, cost, cancellation and redirects.

use std::time::Duration;

use atelier::llm::Usage;
use fake_llm::{FakeLlm, Fault, Outcome as Sending, Reply, Rule, Script, Usage as Counted, Vendor};
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{EIGHT, KEY, ask, ask_all, config, eight, model_of, models, named, question};

/// The faults on every wire.
fn everywhere(faults: &[Fault]) -> Vec<(Vendor, Vec<Rule>)> {
    let spoiled = |vendor| {
        faults.iter().map(move |fault| (vendor, vec![Rule::reply(eight()).fault(fault.clone())]))
    };
    Vendor::ALL.into_iter().flat_map(spoiled).collect()
}

#[tokio::test]
async fn rule_7_a_redirect_is_not_followed_and_nobody_sees_the_key() {
    let other = FakeLlm::start(Script::new().reply(Reply::text("trap"))).await.unwrap();
    let location = format!("{}/v1/chat/completions", other.base_url());
    let redirects = [301, 302, 303, 307, 308]
        .map(|status| Fault::Redirect { status, location: location.clone() });
    for observed in ask_all(everywhere(&redirects), |_| {}).await {
        assert_eq!((observed.code(), observed.requests.len()), ("bad_endpoint", 1));
    }
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn rule_7_silence_ends() {
    let silences =
        [Fault::StallHeaders { millis: None }, Fault::StallBody { after_events: 4, millis: None }];
    for observed in ask_all(everywhere(&silences), |config| config.timeouts.idle_s = 1.0).await {
        assert_eq!((observed.code(), observed.requests.len()), ("model_timeout", 1));
    }
}

#[tokio::test]
async fn rule_7_the_whole_call_has_one_deadline() {
    // Never silent for long, and never at its end.
    let drip = [Fault::Drip { millis: 400 }];
    for observed in ask_all(everywhere(&drip), |config| config.timeouts.total_s = 1.0).await {
        assert_eq!((observed.code(), observed.requests.len()), ("model_timeout", 1));
    }
}

#[tokio::test]
async fn rule_7_sizes_are_capped() {
    let sizes =
        [Fault::HugeEvent { bytes: 1_200_000 }, Fault::HugeAnswer { bytes: 5 * 1024 * 1024 }];
    for observed in ask_all(everywhere(&sizes), |_| {}).await {
        assert_eq!((observed.code(), observed.requests.len()), ("too_large", 1));
    }
}

#[tokio::test]
async fn rule_10_a_bad_id_sends_nothing() {
    let server = FakeLlm::start(Script::new()).await.unwrap();
    let models = models(&config(&server));
    for id in ["gemini-x/../../../evil#", "a?b", "claude-x y", "gpt-6\r\nx: y", "openai::gpt-6"] {
        let choice = models.choose(Some(id), &atelier::llm::ClientModels::default()).await;
        assert_eq!(choice.err().unwrap().code.as_str(), "invalid_model", "{id:?}");
    }
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn rule_12_tokens_are_summed_and_costs_are_known_or_null() {
    let counted = |input, output| Counted {
        input_tokens: Some(input),
        output_tokens: Some(output),
        cached_tokens: None,
        reasoning_tokens: None,
    };
    for vendor in Vendor::ALL {
        let rules = vec![
            Rule::reply(Reply::empty().usage(counted(100, 10))).times(1),
            Rule::reply(eight().usage(counted(100, 30))),
        ];
        let outcome = ask(vendor, rules, &question()).await.result.unwrap();
        assert_eq!(outcome.tries, 2, "{vendor:?}");
        let sum = (outcome.usage.input_tokens, outcome.usage.output_tokens);
        assert_eq!(sum, (Some(200), Some(40)), "{vendor:?}");
        // Two dollars a million read, eight or ten written; the others have no price here.
        let expected = match vendor {
            Vendor::OpenaiChat => Some(0.000_72),
            Vendor::GeminiInteractions | Vendor::Anthropic | Vendor::OpenaiResponses => {
                Some(0.000_8)
            }
            Vendor::Gemini | Vendor::Ollama => None,
        };
        match (outcome.cost_usd, expected) {
            (Some(cost), Some(expected)) => {
                assert!((cost - expected).abs() < 1e-12, "{vendor:?}: {cost}");
            }
            (cost, expected) => assert_eq!(cost, expected, "{vendor:?}"),
        }
        let model = model_of(vendor);
        let model = model.strip_prefix("ollama/").unwrap_or(model);
        assert_eq!(outcome.model_used.as_deref(), Some(model));
    }
}

#[tokio::test]
async fn rule_12_missing_and_senseless_counts_are_unknown() {
    for vendor in Vendor::ALL {
        let rules = vec![Rule::reply(eight().without_usage())];
        let outcome = ask(vendor, rules, &question()).await.result.unwrap();
        assert_eq!(outcome.cost_usd, None, "{vendor:?}");
        assert_eq!(outcome.text, EIGHT);

        let negative = Counted {
            input_tokens: Some(-5),
            output_tokens: Some(-7),
            cached_tokens: None,
            reasoning_tokens: None,
        };
        let rules = vec![Rule::reply(eight().usage(negative))];
        let outcome = ask(vendor, rules, &question()).await.result.unwrap();
        let Usage { input_tokens, output_tokens, .. } = outcome.usage;
        assert_eq!((input_tokens, output_tokens), (None, None), "{vendor:?}");
        assert_eq!(outcome.cost_usd, None, "{vendor:?}");
    }
}

#[tokio::test]
async fn rule_13_cancelling_closes_the_connection_within_a_second() {
    let phases = [
        ("headers", Fault::StallHeaders { millis: None }),
        ("body", Fault::StallBody { after_events: 4, millis: None }),
    ];
    let runs = Vendor::ALL.into_iter().flat_map(|vendor| {
        phases.clone().map(|(phase, fault)| async move {
            let script = Script::new().rule(Rule::reply(eight()).fault(fault));
            let server = FakeLlm::start(script).await.unwrap();
            let models = models(&config(&server));
            let model = named(&models, model_of(vendor)).await;
            let (cancel, request) = (CancellationToken::new(), question());
            let (result, ()) =
                tokio::join!(models.complete(model.as_ref(), &request, &cancel, &|_| {}), async {
                    let arrived = |requests: &[fake_llm::CapturedRequest]| requests.len() == 1;
                    server.wait_for(Duration::from_secs(10), arrived).await.unwrap();
                    cancel.cancel();
                });
            let case = format!("{vendor:?} in {phase}");
            assert_eq!(result.unwrap_err().code.as_str(), "cancelled", "{case}");
            let closed = |requests: &[fake_llm::CapturedRequest]| {
                matches!(requests[0].outcome, Sending::ClosedEarly { .. })
            };
            let limit = Duration::from_secs(1);
            server.wait_for(limit, closed).await.unwrap_or_else(|error| panic!("{case}: {error}"));
        })
    });
    join_all(runs).await;
}

#[tokio::test]
async fn rule_13_cancelling_ends_the_wait_for_a_retry() {
    let fault = Fault::status_retry_after(503, "30");
    let server =
        FakeLlm::start(Script::new().rule(Rule::reply(eight()).fault(fault))).await.unwrap();
    let models = models(&config(&server));
    let model = named(&models, "claude-sonnet-5-5").await;
    let (cancel, request) = (CancellationToken::new(), question());
    let (result, ()) =
        tokio::join!(models.complete(model.as_ref(), &request, &cancel, &|_| {}), async {
            let sent = |requests: &[fake_llm::CapturedRequest]| {
                requests.first().is_some_and(|request| request.outcome == Sending::Sent)
            };
            server.wait_for(Duration::from_secs(10), sent).await.unwrap();
            cancel.cancel();
        });
    assert_eq!(result.unwrap_err().code.as_str(), "cancelled");
    assert_eq!(server.model_requests().len(), 1);
}

#[tokio::test]
async fn rule_13_fifty_at_once_all_get_their_answer() {
    let server = FakeLlm::start(Script::new().reply(eight())).await.unwrap();
    let models = models(&config(&server));
    let model = named(&models, "claude-sonnet-5-5").await;
    let (cancel, request) = (CancellationToken::new(), question());
    let calls = (0..50).map(|_| models.complete(model.as_ref(), &request, &cancel, &|_| {}));
    for result in join_all(calls).await {
        assert_eq!(result.unwrap().text, EIGHT);
    }
    assert_eq!(server.model_requests().len(), 50);
}

#[tokio::test]
async fn the_key_goes_to_the_provider_in_its_own_header() {
    for vendor in Vendor::ALL {
        let observed = ask(vendor, vec![Rule::reply(eight())], &question()).await;
        let request = &observed.requests[0];
        let (header, value) = match vendor {
            Vendor::Gemini | Vendor::GeminiInteractions => ("x-goog-api-key", KEY.to_owned()),
            Vendor::Anthropic => ("x-api-key", KEY.to_owned()),
            Vendor::OpenaiChat | Vendor::OpenaiResponses => {
                ("authorization", format!("Bearer {KEY}"))
            }
            Vendor::Ollama => continue,
        };
        assert_eq!(request.header(header), Some(value.as_str()), "{vendor:?}");
        assert!(!request.query.contains(KEY), "{vendor:?}");
    }
}
