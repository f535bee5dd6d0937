//! Neither the key nor the prompt nor the answer is seen in errors or in the log, whatever fails.

use std::io::Write;
use std::sync::{Arc, Mutex};

use fake_llm::{Fault, HttpEnd, Reply, Rule, Stop, Vendor};
use tracing_subscriber::fmt::MakeWriter;

use super::{KEY, PROMPT, ask_all};

const ANSWER: &str = "planted answer about a copper walrus";

/// Collects what a subscriber prints.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn faults() -> Vec<Fault> {
    let echo = |status| Fault::Status {
        status,
        retry_after: Some("3600".to_owned()),
        retry_after_ms: None,
        message: Some(format!("bad key {KEY} for {PROMPT}")),
        code: None,
        body: None,
    };
    let plain = |status| Fault::Status {
        status,
        retry_after: Some("3600".to_owned()),
        retry_after_ms: None,
        message: None,
        code: None,
        body: Some(format!("{KEY} {PROMPT}")),
    };
    let mut faults: Vec<_> = [302, 400, 401, 402, 403, 404, 413, 422, 429, 500, 529]
        .into_iter()
        .flat_map(|status| [echo(status), plain(status)])
        .collect();
    faults.extend([
        Fault::HtmlPage,
        Fault::EmptyBody,
        Fault::StallHeaders { millis: None },
        Fault::StallBody { after_events: 3, millis: None },
        Fault::CutBeforeEnd { http_end: HttpEnd::Complete },
        Fault::CutInJson { after_events: 3, http_end: HttpEnd::Complete },
        Fault::CutInJson { after_events: 3, http_end: HttpEnd::Torn },
        Fault::ResetAfterEvents { events: 3 },
        Fault::ResetBeforeHeaders,
        Fault::HugeEvent { bytes: 1_200_000 },
        Fault::DuplicateEnd,
        Fault::LateText { text: ANSWER.to_owned() },
        Fault::ErrorEvent {
            after_events: 3,
            form: fake_llm::ErrorForm::Error,
            message: Some(format!("{KEY} {PROMPT}")),
        },
        Fault::ErrorEvent {
            after_events: 3,
            form: fake_llm::ErrorForm::ResponseFailed,
            message: Some(format!("{KEY} {PROMPT}")),
        },
    ]);
    faults
}

fn replies() -> Vec<Reply> {
    vec![
        Reply::text(ANSWER),
        Reply::text(ANSWER).stop(Stop::MaxTokens),
        Reply::text(ANSWER).stop(Stop::Missing),
        Reply::empty(),
    ]
}

#[tokio::test]
async fn rule_11_no_secret_is_printed() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let spoiled = faults().into_iter().map(|fault| {
        Rule::reply(Reply::chunks(["planted answer ", "über ", "a copper ", "walrus"])).fault(fault)
    });
    let rules: Vec<_> = spoiled.chain(replies().into_iter().map(Rule::reply)).collect();
    let cases = Vendor::ALL
        .into_iter()
        .flat_map(|vendor| rules.iter().map(move |rule| (vendor, vec![rule.clone()])))
        .collect();
    let observed = ask_all(cases, |config| config.timeouts.idle_s = 2.0).await;
    let results: Vec<_> = observed.into_iter().map(|observed| observed.result).collect();
    assert!(results.iter().filter(|result| result.is_err()).count() > 150);
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        clean("an error", &format!("{error} {error:?}"));
    }

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The span and the retries are there, so the log was listening.
    assert!(log.contains("gen_ai.request.model") && log.contains("trying again"));
    for line in log.lines() {
        // The test server has a log of its own.
        clean("the log", line);
    }
}

#[track_caller]
fn clean(place: &str, text: &str) {
    for secret in [KEY, PROMPT, "marmalade", "copper", "walrus"] {
        assert!(!text.contains(secret), "{place} shows `{secret}`: {text}");
    }
}
