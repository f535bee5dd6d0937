//! Every rule of the guard on every wire that can express its case.

use fake_llm::{ErrorForm, Fault, HttpEnd, LineEnding, Reply, Rule, Stop, Vendor};
use serde_json::json;

use super::{EIGHT, Observed, ask, ask_all, eight, question};

/// What a case must come to.
#[derive(Clone, Copy)]
enum Expected {
    /// This text, after so many requests.
    Text(&'static str, usize),
    /// This code, after so many requests.
    Code(&'static str, usize),
}

use Expected::{Code, Text};

const ALL: [Vendor; 6] = Vendor::ALL;
const BUT_OLLAMA: [Vendor; 5] = [
    Vendor::Gemini,
    Vendor::GeminiInteractions,
    Vendor::Anthropic,
    Vendor::OpenaiChat,
    Vendor::OpenaiResponses,
];

/// One case: its name, the rules of the server, where it can be expressed, what must come.
type Case = (&'static str, Vec<Rule>, Vec<Vendor>, Expected);

fn spoiled(fault: Fault) -> Vec<Rule> {
    vec![Rule::reply(eight()).fault(fault)]
}

/// First this, then the whole answer.
fn then_well(rule: Rule) -> Vec<Rule> {
    vec![rule.times(1), Rule::reply(eight())]
}

async fn check(cases: Vec<Case>) {
    let mut asked = Vec::new();
    let mut expectations = Vec::new();
    for (name, rules, vendors, expected) in cases {
        for vendor in vendors {
            asked.push((vendor, rules.clone()));
            expectations.push((format!("{name} on {vendor:?}"), expected));
        }
    }
    let observed = ask_all(asked, |_| {}).await;
    assert_eq!(observed.len(), expectations.len());
    for ((case, expected), observed) in expectations.into_iter().zip(observed) {
        judge(&case, expected, &observed);
    }
}

fn judge(case: &str, expected: Expected, observed: &Observed) {
    let requests = observed.requests.len();
    match (expected, &observed.result) {
        (Text(text, count), Ok(outcome)) => {
            assert_eq!((outcome.text.as_str(), requests), (text, count), "{case}");
            assert_eq!(usize::try_from(outcome.tries).unwrap(), requests, "{case}");
        }
        (Code(code, count), Err(error)) => {
            assert_eq!((error.code.as_str(), requests), (code, count), "{case}: {error}");
            assert!(!error.message.is_empty(), "{case}");
        }
        (Text(..), Err(error)) => panic!("{case}: {error:?}"),
        (Code(code, _), Ok(outcome)) => panic!("{case}: `{}` and not {code}", outcome.text),
    }
}

#[tokio::test]
async fn rule_1_an_answer_needs_its_end() {
    let cut = |fault| spoiled(fault);
    check(vec![
        ("whole", vec![Rule::reply(eight())], ALL.into(), Text(EIGHT, 1)),
        (
            "cut before the end",
            cut(Fault::CutBeforeEnd { http_end: HttpEnd::Complete }),
            ALL.into(),
            Code("truncated", 2),
        ),
        (
            "torn before the end",
            cut(Fault::CutBeforeEnd { http_end: HttpEnd::Torn }),
            ALL.into(),
            Code("truncated", 2),
        ),
        (
            "cut in JSON",
            cut(Fault::CutInJson { after_events: 3, http_end: HttpEnd::Complete }),
            ALL.into(),
            Code("truncated", 2),
        ),
        (
            "cut in UTF-8",
            cut(Fault::CutInUtf8 { http_end: HttpEnd::Complete }),
            ALL.into(),
            Code("truncated", 2),
        ),
        ("reset", cut(Fault::ResetAfterEvents { events: 4 }), ALL.into(), Code("truncated", 2)),
        ("empty body", cut(Fault::EmptyBody), ALL.into(), Code("truncated", 2)),
        (
            "missing reason to stop",
            vec![Rule::reply(eight().stop(Stop::Missing))],
            ALL.into(),
            Code("truncated", 2),
        ),
        (
            "cut once",
            then_well(Rule::reply(eight()).fault(Fault::cut_after(4))),
            ALL.into(),
            Text(EIGHT, 2),
        ),
    ])
    .await;
}

#[tokio::test]
async fn rule_2_the_limit_of_output_is_continued_once() {
    let cut = |text: &str| Rule::reply(Reply::text(text).stop(Stop::MaxTokens)).times(1);
    let page = vec![cut("<p>one "), Rule::reply(Reply::text("two</p>"))];
    check(vec![
        ("continued", page.clone(), ALL.into(), Text("<p>one two</p>", 2)),
        ("twice", vec![cut("a"), cut("b")], ALL.into(), Code("incomplete", 2)),
    ])
    .await;
    for vendor in ALL {
        let observed = ask(vendor, page.clone(), &question()).await;
        let second = &observed.requests[1];
        // The last turn is the user's: prefilled answers are refused by some models.
        let text = second.user_text.as_deref().unwrap();
        assert!(text.contains("cut off"), "{vendor:?}: {text}");
        assert!(second.body_text.contains("<p>one "), "{vendor:?}");
    }
}

#[tokio::test]
async fn rule_3_a_refusal_is_final() {
    let filtered = Reply::text("half a page ").stop(Stop::ContentFilter);
    check(vec![
        (
            "refusal",
            vec![Rule::reply(Reply::refusal("I cannot help with that."))],
            BUT_OLLAMA.into(),
            Code("refused", 1),
        ),
        (
            "filter after half a page",
            vec![Rule::reply(filtered)],
            BUT_OLLAMA.into(),
            Code("refused", 1),
        ),
    ])
    .await;
    for (vendor, reason) in [
        (Vendor::Gemini, "PROHIBITED_CONTENT"),
        (Vendor::GeminiInteractions, "prohibited_content"),
        (Vendor::Anthropic, "I cannot help with that."),
        (Vendor::OpenaiChat, "I cannot help with that."),
        (Vendor::OpenaiResponses, "I cannot help with that."),
    ] {
        let rules = vec![Rule::reply(Reply::refusal("I cannot help with that."))];
        let error = ask(vendor, rules, &question()).await.result.unwrap_err();
        assert!(error.message.contains(reason), "{vendor:?}: {error}");
    }
}

#[tokio::test]
async fn rule_4_nothing_is_asked_for_once_more() {
    let thinking = Reply::default().and_thinking("hm");
    check(vec![
        ("empty", vec![Rule::reply(Reply::empty())], ALL.into(), Code("empty", 2)),
        ("thinking alone", vec![Rule::reply(thinking)], ALL.into(), Code("empty", 2)),
        ("empty once", then_well(Rule::reply(Reply::empty())), ALL.into(), Text(EIGHT, 2)),
    ])
    .await;
}

#[tokio::test]
async fn rule_5_calls_decide_and_bad_arguments_are_kept() {
    for vendor in ALL {
        let reply = Reply::text("Adding.")
            .and_tool_call("call_1", "add", json!({"a": 1}))
            .and_tool_call("call_1", "add", json!({"a": 2}));
        let observed = ask(vendor, vec![Rule::reply(reply)], &question()).await;
        let outcome = observed.result.unwrap();
        let arguments: Vec<_> = outcome.calls.iter().map(|call| call.arguments.clone()).collect();
        assert_eq!(arguments, [json!({"a": 1}), json!({"a": 2})], "{vendor:?}");
        assert_ne!(outcome.calls[0].id, outcome.calls[1].id, "{vendor:?}");
        assert!(outcome.calls.iter().all(|call| call.name == "add"), "{vendor:?}");
    }
    let malformed = || Reply::empty().and_raw_tool_call("call_1", "add", "{\"a\": ");
    for vendor in
        [Vendor::GeminiInteractions, Vendor::Anthropic, Vendor::OpenaiChat, Vendor::OpenaiResponses]
    {
        let observed = ask(vendor, vec![Rule::reply(malformed())], &question()).await;
        let outcome = observed.result.unwrap();
        assert_eq!(outcome.calls[0].arguments, json!("{\"a\": "), "{vendor:?}");
    }
    // Gemini keeps such a call to itself and gives a reason instead.
    let observed = ask(Vendor::Gemini, vec![Rule::reply(malformed())], &question()).await;
    assert_eq!((observed.code(), observed.requests.len()), ("empty", 2));
    assert!(observed.result.unwrap_err().message.contains("MALFORMED_FUNCTION_CALL"));
}

#[tokio::test]
async fn rule_6_what_passes_is_tried_again() {
    let mut cases = Vec::new();
    for status in [408, 409, 500, 502, 503, 504, 529] {
        cases.push((
            "passing",
            spoiled(Fault::status(status)),
            ALL.into(),
            Code("model_unavailable", 3),
        ));
    }
    for (status, code) in [
        (400, "model_request_rejected"),
        (401, "model_key_refused"),
        (402, "model_payment_required"),
        (403, "model_key_refused"),
        (404, "invalid_model"),
        (413, "context_overflow"),
        (422, "model_request_rejected"),
    ] {
        cases.push(("final", spoiled(Fault::status(status)), ALL.into(), Code(code, 1)));
    }
    let soon = Fault::Status {
        status: 429,
        retry_after: None,
        retry_after_ms: Some(20),
        message: None,
        code: None,
        body: None,
    };
    let event = |after_events, form| Fault::ErrorEvent { after_events, form, message: None };
    cases.extend([
        ("429", spoiled(Fault::status(429)), ALL.to_vec(), Code("rate_limited", 3)),
        ("429 once", then_well(Rule::reply(eight()).fault(soon)), ALL.into(), Text(EIGHT, 2)),
        (
            "429 for an hour",
            spoiled(Fault::status_retry_after(429, "3600")),
            ALL.into(),
            Code("rate_limited", 1),
        ),
        (
            "reset before the head",
            spoiled(Fault::ResetBeforeHeaders),
            ALL.into(),
            Code("model_unavailable", 3),
        ),
        (
            "error in the middle",
            spoiled(event(7, ErrorForm::ResponseFailed)),
            ALL.into(),
            Code("model_unavailable", 2),
        ),
        (
            "bare error in the middle",
            spoiled(event(7, ErrorForm::Error)),
            ALL.into(),
            Code("model_unavailable", 2),
        ),
        (
            "error at once",
            spoiled(event(0, ErrorForm::ResponseFailed)),
            ALL.into(),
            Code("model_unavailable", 3),
        ),
    ]);
    check(cases).await;
}

#[tokio::test]
async fn rule_6_the_provider_says_when_to_come_back() {
    for vendor in ALL {
        let rules = spoiled(Fault::status_retry_after(429, "3600"));
        let error = ask(vendor, rules, &question()).await.result.unwrap_err();
        assert_eq!(error.retry_after_s, Some(3600.0), "{vendor:?}");
        assert_eq!(error.status, Some(429), "{vendor:?}");
    }
}

#[tokio::test]
async fn rule_14_a_page_is_no_model() {
    check(vec![(
        "captive page",
        spoiled(Fault::HtmlPage),
        ALL.into(),
        Code("not_a_model_endpoint", 1),
    )])
    .await;
}

#[tokio::test]
async fn rule_15_a_hostile_index_fills_no_memory() {
    let call = Rule::reply(Reply::tool_call("call_1", "add", json!({})));
    let index = |index| vec![call.clone().fault(Fault::ToolIndex { index })];
    let chat = || vec![Vendor::OpenaiChat];
    check(vec![
        ("fifty million", index(50_000_000), chat(), Code("hostile_endpoint", 1)),
        ("the first that is too high", index(128), chat(), Code("hostile_endpoint", 1)),
    ])
    .await;
}

#[tokio::test]
async fn rule_16_a_long_request_is_told_its_size() {
    for (vendor, code) in [
        (Vendor::OpenaiChat, "context_length_exceeded"),
        (Vendor::OpenaiResponses, "context_length_exceeded"),
        (Vendor::Anthropic, "request_too_large"),
    ] {
        let fault = Fault::Status {
            status: 400,
            retry_after: None,
            retry_after_ms: None,
            message: None,
            code: Some(code.to_owned()),
            body: None,
        };
        let observed = ask(vendor, spoiled(fault), &question()).await;
        assert_eq!((observed.code(), observed.requests.len()), ("context_overflow", 1));
        let message = observed.result.unwrap_err().message;
        assert!(message.contains("58 bytes") && message.contains("tokens"), "{message}");
    }
}

#[tokio::test]
async fn rule_17_nothing_after_the_end_is_read() {
    let late = Fault::LateText { text: "late".to_owned() };
    let text_type = Fault::ContentType { content_type: "text/plain".to_owned() };
    let crlf = Fault::LineEnds { ending: LineEnding::CrLf };
    check(vec![
        ("duplicate end", spoiled(Fault::DuplicateEnd), ALL.into(), Text(EIGHT, 1)),
        ("late text", spoiled(late), ALL.into(), Text(EIGHT, 1)),
        ("comments", spoiled(Fault::Comments), BUT_OLLAMA.into(), Text(EIGHT, 1)),
        ("single bytes", spoiled(Fault::SplitEvery { bytes: 1 }), ALL.into(), Text(EIGHT, 1)),
        ("one chunk", spoiled(Fault::Merge), ALL.into(), Text(EIGHT, 1)),
        ("no length", spoiled(Fault::CloseDelimited), ALL.into(), Text(EIGHT, 1)),
        ("plain content type", spoiled(text_type), ALL.into(), Text(EIGHT, 1)),
        ("CRLF", spoiled(crlf), ALL.into(), Text(EIGHT, 1)),
    ])
    .await;
}
