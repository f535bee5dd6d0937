use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::json;

use super::*;
use crate::llm::{Event, ExpectedKind, Expects, Part, Route, ToolCall};

/// What one request meets.
#[derive(Clone)]
enum Turn {
    /// These items, then the end of the stream.
    Items(Vec<Result<Event, LlmError>>),
    /// These items, then silence.
    Silence(Vec<Event>),
    /// No stream.
    Failure(LlmError),
}

/// A model that follows a script; the last turn repeats.
struct Scripted {
    turns: Mutex<VecDeque<Turn>>,
    requests: Mutex<Vec<Request>>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self {
            turns: Mutex::new(turns.into_iter().collect()),
            requests: Mutex::default(),
            open: Arc::default(),
            most_open: Arc::default(),
        }
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl LanguageModel for Scripted {
    fn model_id(&self) -> &'static str {
        "scripted"
    }

    fn route(&self) -> Route {
        Route::Api
    }

    fn provider(&self) -> &'static str {
        "test"
    }

    async fn stream(
        &self,
        request: &Request,
    ) -> Result<BoxStream<'static, Result<Event, LlmError>>, LlmError> {
        self.requests.lock().unwrap().push(request.clone());
        let turn = {
            let mut turns = self.turns.lock().unwrap();
            if turns.len() > 1 { turns.pop_front().unwrap() } else { turns[0].clone() }
        };
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_open.fetch_max(open, Ordering::SeqCst);
        let guard = Open(Arc::clone(&self.open));
        tokio::task::yield_now().await;
        let items = match turn {
            Turn::Items(items) => stream::iter(items).boxed(),
            Turn::Silence(events) => {
                stream::iter(events.into_iter().map(Ok)).chain(stream::pending()).boxed()
            }
            Turn::Failure(error) => return Err(error),
        };
        Ok(items
            .map(move |item| {
                let _ = &guard;
                item
            })
            .boxed())
    }
}

fn text(text: &str) -> Event {
    Event::Text(text.to_owned())
}

fn usage(input: u64, output: u64) -> Event {
    Event::Usage(Usage {
        input_tokens: Some(input),
        output_tokens: Some(output),
        ..Usage::default()
    })
}

fn items(events: impl IntoIterator<Item = Event>) -> Turn {
    Turn::Items(events.into_iter().map(Ok).collect())
}

fn answer(words: &str) -> Turn {
    items([text(words), usage(10, 5), Event::End(Stop::Complete)])
}

fn failure(code: LlmErrorCode, status: Option<u16>, retry_after_s: Option<f64>) -> Turn {
    let mut error = LlmError::new(code, "no");
    error.status = status;
    error.retry_after_s = retry_after_s;
    Turn::Failure(error)
}

fn request() -> Request {
    Request::new("system", "user", Expects::kind(ExpectedKind::Text))
}

fn guard() -> Guard {
    let mut guard = Guard::default();
    guard.backoff.random = || 1.0;
    guard
}

async fn complete(model: &Scripted) -> Result<Outcome, LlmError> {
    guard().complete(model, &request(), None, &CancellationToken::new(), &|_| {}).await
}

async fn code(turns: impl IntoIterator<Item = Turn>) -> (LlmErrorCode, usize) {
    let model = Scripted::new(turns);
    let error = complete(&model).await.unwrap_err();
    (error.code, model.requests())
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_with_its_end_alone() {
    let model = Scripted::new([items([
        text("a"),
        Event::Thinking("hm".to_owned()),
        text("b"),
        usage(1, 1),
        usage(3, 2),
        Event::End(Stop::Complete),
        text("late"),
        Event::End(Stop::MaxTokens),
    ])]);
    let outcome = complete(&model).await.unwrap();
    assert_eq!(outcome.text, "ab");
    assert_eq!(outcome.stop, Stop::Complete);
    assert_eq!(outcome.model_used.as_deref(), Some("scripted"));
    assert_eq!((outcome.usage.input_tokens, outcome.usage.output_tokens), (Some(3), Some(2)));
    assert_eq!((outcome.tries, outcome.cost_usd), (1, None));

    let cut = items([text("half a page")]);
    assert_eq!(code([cut.clone()]).await, (LlmErrorCode::Truncated, 2));
    let model = Scripted::new([cut, answer("whole")]);
    assert_eq!(complete(&model).await.unwrap().text, "whole");
}

#[tokio::test(start_paused = true)]
async fn a_broken_answer_is_not_asked_for_again_once_tools_ran() {
    let model = Scripted::new([items([text("half")])]);
    let mut request = request();
    request.messages.push(Message {
        role: Role::Tool,
        parts: vec![Part::ToolResult { call_id: "a".to_owned(), content: "1".to_owned() }],
    });
    let error = guard()
        .complete(&model, &request, None, &CancellationToken::new(), &|_| {})
        .await
        .unwrap_err();
    assert_eq!((error.code, model.requests()), (LlmErrorCode::Truncated, 1));
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_output_is_continued_once_by_a_user_turn() {
    let cut = |words: &str| items([text(words), usage(10, 5), Event::End(Stop::MaxTokens)]);
    let model = Scripted::new([cut("<p>one "), answer("two</p>")]);
    let written = Mutex::new(Vec::new());
    let outcome = guard()
        .complete(&model, &request(), None, &CancellationToken::new(), &|growth| {
            if let Growth::Text { bytes, .. } = growth {
                written.lock().unwrap().push(bytes);
            }
        })
        .await
        .unwrap();
    assert_eq!(outcome.text, "<p>one two</p>");
    assert_eq!(outcome.tries, 2);
    assert_eq!(outcome.usage.output_tokens, Some(10));
    assert_eq!(*written.lock().unwrap(), [7, 14]);
    let requests = std::mem::take(&mut *model.requests.lock().unwrap());
    let roles: Vec<_> = requests[1].messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);

    assert_eq!(code([cut("a"), cut("b")]).await, (LlmErrorCode::Incomplete, 2));
    assert_eq!(code([cut(" ")]).await, (LlmErrorCode::Incomplete, 1));
    let call = Event::ToolCall(ToolCall {
        id: "a".to_owned(),
        name: "add".to_owned(),
        arguments: json!("{\"x\""),
    });
    let cut_call = items([text("a"), call, Event::End(Stop::MaxTokens)]);
    assert_eq!(code([cut_call]).await, (LlmErrorCode::Incomplete, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_and_keeps_its_reason() {
    let refused = items([text("half a page"), Event::Refused("SAFETY".to_owned())]);
    let model = Scripted::new([refused, answer("never")]);
    let error = complete(&model).await.unwrap_err();
    assert_eq!((error.code, model.requests()), (LlmErrorCode::Refused, 1));
    assert!(error.message.contains("SAFETY"), "{error}");
    assert!(!error.message.contains("half a page"), "{error}");
    let ended = items([text("half"), Event::End(Stop::Refused)]);
    assert_eq!(code([ended]).await, (LlmErrorCode::Refused, 1));
    let long = items([Event::Refused("x\n".repeat(10_000))]);
    let error = complete(&Scripted::new([long])).await.unwrap_err();
    assert!(error.message.len() < 400 && !error.message.contains('\n'));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_once_more() {
    let empty = items([text(" \n"), Event::Thinking("hm".into()), Event::End(Stop::Complete)]);
    assert_eq!(code([empty.clone()]).await, (LlmErrorCode::Empty, 2));
    let model = Scripted::new([empty, answer("here")]);
    assert_eq!(complete(&model).await.unwrap().text, "here");
    let malformed = items([Event::End(Stop::Other("MALFORMED_FUNCTION_CALL".to_owned()))]);
    let error = complete(&Scripted::new([malformed])).await.unwrap_err();
    assert!(error.message.contains("MALFORMED_FUNCTION_CALL"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn calls_decide_and_not_the_reason_to_stop() {
    let call = |id: &str| {
        Event::ToolCall(ToolCall {
            id: id.to_owned(),
            name: "add".to_owned(),
            arguments: json!({"x": 1}),
        })
    };
    let model = Scripted::new([items([call("a"), call("a"), Event::End(Stop::Complete)])]);
    let outcome = complete(&model).await.unwrap();
    assert_eq!(outcome.calls.len(), 2);
    assert_ne!(outcome.calls[0].id, outcome.calls[1].id);

    let flood = (0..200).map(|_| call("a")).chain([Event::End(Stop::ToolUse)]);
    assert_eq!(code([items(flood)]).await, (LlmErrorCode::HostileEndpoint, 1));
}

#[tokio::test(start_paused = true)]
async fn passing_failures_are_tried_three_times() {
    for status in [408, 409, 500, 502, 503, 504, 529] {
        let failing = failure(LlmErrorCode::Unavailable, Some(status), None);
        assert_eq!(code([failing.clone()]).await, (LlmErrorCode::Unavailable, 3), "{status}");
        let model = Scripted::new([failing.clone(), failing, answer("at last")]);
        let started = Instant::now();
        assert_eq!(complete(&model).await.unwrap().tries, 3);
        // With full jitter at its upper end: half a second, then one.
        assert_eq!(started.elapsed(), Duration::from_millis(1500), "{status}");
    }
    let unreachable = failure(LlmErrorCode::Unavailable, None, None);
    assert_eq!(code([unreachable]).await.1, 3);
    let limited = failure(LlmErrorCode::RateLimited, Some(429), None);
    assert_eq!(code([limited]).await, (LlmErrorCode::RateLimited, 3));
}

#[tokio::test(start_paused = true)]
async fn other_failures_are_final() {
    for (code_, status) in [
        (LlmErrorCode::RequestRejected, Some(400)),
        (LlmErrorCode::KeyRefused, Some(401)),
        (LlmErrorCode::PaymentRequired, Some(402)),
        (LlmErrorCode::KeyRefused, Some(403)),
        (LlmErrorCode::InvalidModel, Some(404)),
        (LlmErrorCode::ContextOverflow, Some(413)),
        (LlmErrorCode::RequestRejected, Some(422)),
        (LlmErrorCode::PaymentRequired, Some(429)),
        (LlmErrorCode::Unavailable, Some(501)),
        (LlmErrorCode::BadEndpoint, Some(302)),
        (LlmErrorCode::NotAModelEndpoint, None),
        (LlmErrorCode::HostileEndpoint, None),
        (LlmErrorCode::Timeout, None),
        (LlmErrorCode::TooLarge, None),
        (LlmErrorCode::SamplingDenied, None),
        (LlmErrorCode::CommandOutput, None),
    ] {
        assert_eq!(code([failure(code_, status, None)]).await, (code_, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn the_provider_says_when_to_come_back() {
    let wait = |seconds| failure(LlmErrorCode::RateLimited, Some(429), Some(seconds));
    let model = Scripted::new([wait(7.0), answer("ok")]);
    let started = Instant::now();
    complete(&model).await.unwrap();
    assert_eq!(started.elapsed(), Duration::from_secs(7));

    let started = Instant::now();
    let model = Scripted::new([wait(3600.0)]);
    let error = complete(&model).await.unwrap_err();
    assert_eq!((error.code, error.retry_after_s), (LlmErrorCode::RateLimited, Some(3600.0)));
    assert_eq!((model.requests(), started.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_error_in_the_middle_of_an_answer_is_tried_once() {
    let broken = Turn::Items(vec![
        Ok(text("half")),
        Err(LlmError::new(LlmErrorCode::Unavailable, "overloaded")),
    ]);
    assert_eq!(code([broken]).await, (LlmErrorCode::Unavailable, 2));
    let at_once = Turn::Items(vec![Err(LlmError::new(LlmErrorCode::Unavailable, "overloaded"))]);
    assert_eq!(code([at_once]).await, (LlmErrorCode::Unavailable, 3));
}

#[tokio::test(start_paused = true)]
async fn sizes_are_capped() {
    let piece = text(&"x".repeat(512 * 1024));
    let flood = std::iter::repeat_n(piece, 9).chain([Event::End(Stop::Complete)]);
    assert_eq!(code([items(flood)]).await, (LlmErrorCode::TooLarge, 1));
    let huge = text(&"x".repeat(1024 * 1024 + 1));
    assert_eq!(code([items([huge])]).await, (LlmErrorCode::TooLarge, 1));
    let thought = Event::Thinking("x".repeat(1024 * 1024));
    assert_eq!(code([items(std::iter::repeat_n(thought, 5))]).await, (LlmErrorCode::TooLarge, 1));
}

#[tokio::test(start_paused = true)]
async fn one_deadline_holds_for_everything() {
    let started = Instant::now();
    assert_eq!(code([Turn::Silence(vec![text("a")])]).await, (LlmErrorCode::Timeout, 1));
    assert_eq!(started.elapsed(), Limits::default().total);
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_every_phase_at_once() {
    for turn in [
        Turn::Silence(Vec::new()),
        Turn::Silence(vec![text("a")]),
        failure(LlmErrorCode::Unavailable, Some(503), Some(600.0)),
    ] {
        let model = Scripted::new([turn]);
        let cancel = CancellationToken::new();
        let started = Instant::now();
        let (guard, request) = (guard(), request());
        let (result, ()) =
            tokio::join!(guard.complete(&model, &request, None, &cancel, &|_| {}), async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                cancel.cancel();
            });
        assert_eq!(result.unwrap_err().code, LlmErrorCode::Cancelled);
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        assert_eq!(model.open.load(Ordering::SeqCst), 0, "the request was dropped");
        assert_eq!(model.requests(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_asked_by_few_at_a_time() {
    let model = Scripted::new([answer("ok")]);
    let guard = Guard::new(Limits { concurrency: 4, ..Limits::default() });
    let (request, cancel) = (request(), CancellationToken::new());
    let calls = (0..50).map(|_| guard.complete(&model, &request, None, &cancel, &|_| {}));
    for result in futures::future::join_all(calls).await {
        assert_eq!(result.unwrap().text, "ok");
    }
    assert_eq!(model.most_open.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_cost_is_known_only_when_all_of_it_is() {
    let price = Price {
        input: 1.0,
        output: 2.0,
        cached: None,
        long_over: None,
        long_input_factor: None,
        valid_until: None,
    };
    let cost = async |turns: Vec<Turn>| {
        let model = Scripted::new(turns);
        let cancel = CancellationToken::new();
        let guard = guard();
        let outcome = guard.complete(&model, &request(), Some(&price), &cancel, &|_| {}).await;
        outcome.unwrap().cost_usd
    };
    let million = items([text("a"), usage(1_000_000, 1_000_000), Event::End(Stop::Complete)]);
    let empty = items([usage(1_000_000, 0), Event::End(Stop::Complete)]);
    assert_eq!(cost(vec![million.clone()]).await, Some(3.0));
    // A failed try is paid as well.
    assert_eq!(cost(vec![empty, million.clone()]).await, Some(4.0));
    // Refused at the door, it costs nothing.
    let limited = failure(LlmErrorCode::RateLimited, Some(429), None);
    assert_eq!(cost(vec![limited, million.clone()]).await, Some(3.0));
    // What a broken answer cost, nobody said.
    assert_eq!(cost(vec![items([text("half")]), million]).await, None);
    let uncounted = items([text("a"), Event::End(Stop::Complete)]);
    assert_eq!(cost(vec![uncounted]).await, None);
}
