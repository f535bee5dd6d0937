//! Jobs, steps, host completions and what every call shares, on a real catalog.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atelier::error::ToolError;
use atelier::jobs::{Ask, Failure, Run, ToolOutput};
use atelier::llm::{ExpectedKind, Expects, Request};
use atelier::registry::{
    Annotations, CallContext, CallOutcome, DirectReply, Origin, Tool, Toolset,
};
use atelier::storage::PrincipalId;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::workshop::{Workshop, WorkshopBuilder};

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    #[serde(default)]
    text: String,
    #[serde(default)]
    #[schemars(range(min = 1, max = 9))]
    limit: Option<i64>,
}

#[derive(Debug, JsonSchema)]
#[schemars(with = "std::collections::BTreeMap<String, String>")]
struct Output(Value);

impl From<Output> for ToolOutput {
    fn from(output: Output) -> Self {
        Self::structured(output.0)
    }
}

/// Counts of what the tools below did.
#[derive(Debug, Default)]
struct Counts {
    handler_runs: AtomicUsize,
    step_runs: AtomicUsize,
}

fn echo() -> Tool {
    Tool::builder("echo", "Echo", Toolset::Agent).description("Returns its text").direct(
        json!({"type": "object"}),
        |_call, params: Params| async move {
            Ok(DirectReply::Output(ToolOutput::structured(
                json!({"text": params.text, "limit": params.limit, "items": [{"a": 1}]}),
            )))
        },
    )
}

/// One paid step, then a text from a model that must start with `good`, with two repairs.
fn writer(counts: &Arc<Counts>) -> Tool {
    let counts = Arc::clone(counts);
    Tool::builder("writer", "Writer", Toolset::Agent)
        .description("Writes")
        .annotations(Annotations::CREATE)
        .job(move |run: Run, params: Params| {
            let counts = Arc::clone(&counts);
            async move {
                counts.handler_runs.fetch_add(1, Ordering::SeqCst);
                let paid: i64 = run
                    .step("fetch", || async {
                        counts.step_runs.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, Failure>(7)
                    })
                    .await?;
                let mut errors = Vec::new();
                for attempt in 1..=3 {
                    let outcome = run
                        .complete(Ask {
                            step: format!("llm#{attempt}"),
                            model: None,
                            request: Request::new(
                                "be good",
                                format!("write {}", params.text),
                                Expects { max_bytes: 1000, ..Expects::kind(ExpectedKind::Text) },
                            ),
                            as_text: None,
                            attempt,
                            max_attempts: 3,
                            errors: errors.clone(),
                        })
                        .await?;
                    if outcome.text.starts_with("good") {
                        return Ok(Output(json!({"text": outcome.text, "paid": paid})));
                    }
                    errors.push(format!("attempt {attempt} does not start with `good`"));
                }
                Err(ToolError::invalid("bad_text", "the text is still not good").into())
            }
        })
}

/// Works for `limit` seconds after a paid step.
fn sleeper(counts: &Arc<Counts>) -> Tool {
    let counts = Arc::clone(counts);
    Tool::builder("sleeper", "Sleeper", Toolset::Agent).description("Sleeps").job(
        move |run: Run, params: Params| {
            let counts = Arc::clone(&counts);
            async move {
                run.step("fetch", || async {
                    counts.step_runs.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, Failure>(())
                })
                .await?;
                run.progress(10.0, Some(100.0), "sleeping");
                let first = counts.handler_runs.fetch_add(1, Ordering::SeqCst) == 0;
                if first {
                    tokio::time::sleep(Duration::from_secs(
                        params.limit.unwrap_or(9).cast_unsigned(),
                    ))
                    .await;
                }
                Ok(Output(json!({"first": first})))
            }
        },
    )
}

fn panicker() -> Tool {
    Tool::builder("panicker", "Panicker", Toolset::Agent).description("Panics").job(
        |_run: Run, params: Params| async move {
            let items: [&str; 0] = [];
            // Out of bounds, whatever the text is.
            let item = items[params.text.len()];
            Ok(Output(json!({"item": item})))
        },
    )
}

async fn workshop(counts: &Arc<Counts>) -> Workshop {
    builder(counts).build().await
}

fn builder(counts: &Arc<Counts>) -> WorkshopBuilder {
    WorkshopBuilder::new(vec![echo(), writer(counts), sleeper(counts), panicker()])
}

fn context(principal: &str) -> CallContext {
    CallContext::new(PrincipalId::from(principal), Origin::Client)
}

fn text<'a>(outcome: &'a CallOutcome, key: &str) -> &'a str {
    outcome.structured.get(key).and_then(Value::as_str).unwrap_or_else(|| {
        panic!("no `{key}` in {}", outcome.structured);
    })
}

async fn submit(workshop: &Workshop, who: &str, handle: &str, body: &str) -> CallOutcome {
    workshop
        .registry
        .call("submit_completion", json!({"handle": handle, "text": body}), context(who))
        .await
}

#[tokio::test]
async fn a_host_completion_goes_on_where_it_was() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let asked = workshop.registry.call("writer", json!({"text": "x"}), context("ann")).await;
    assert_eq!(text(&asked, "status"), "needs_completion");
    assert_eq!(asked.structured["prompt"], json!({"system": "be good", "user": "write x"}));
    assert_eq!(asked.structured["respond_with"], "submit_completion");
    let handle = text(&asked, "handle").to_owned();
    let done = submit(&workshop, "ann", &handle, "good news").await;
    assert_eq!(done.structured["status"], "success");
    assert_eq!(done.structured["text"], "good news");
    assert_eq!(done.structured["paid"], 7);
    assert_eq!(done.call_id, asked.call_id, "the same call goes on");
    assert_eq!(counts.step_runs.load(Ordering::SeqCst), 1, "what was paid is not paid again");
    assert_eq!(counts.handler_runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_completion_is_answered_once() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let asked = workshop.registry.call("writer", json!({"text": "x"}), context("ann")).await;
    let handle = text(&asked, "handle").to_owned();
    assert_eq!(
        text(&submit(&workshop, "bob", &handle, "good").await, "code"),
        "completion_not_found"
    );
    assert_eq!(
        text(&submit(&workshop, "ann", "cmp_x", "good").await, "code"),
        "completion_not_found"
    );
    assert_eq!(text(&submit(&workshop, "ann", &handle, "  ").await, "code"), "completion_empty");
    let long = "g".repeat(1001);
    assert_eq!(text(&submit(&workshop, "ann", &handle, &long).await, "code"), "too_large");
    let done = submit(&workshop, "ann", &handle, "good one").await;
    assert_eq!(text(&done, "status"), "success");
    let again = submit(&workshop, "ann", &handle, "good one").await;
    assert_eq!(again.structured, done.structured, "the same text gets the same answer");
    let other = submit(&workshop, "ann", &handle, "good two").await;
    assert_eq!(text(&other, "code"), "completion_already_used");
}

#[tokio::test]
async fn a_bad_text_is_repaired_under_the_same_handle() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let asked = workshop.registry.call("writer", json!({"text": "x"}), context("ann")).await;
    let handle = text(&asked, "handle").to_owned();
    let repair = submit(&workshop, "ann", &handle, "bad").await;
    assert_eq!(text(&repair, "status"), "needs_completion");
    assert_eq!(text(&repair, "handle"), handle);
    assert_eq!(repair.structured["attempt"], 2);
    assert_eq!(repair.structured["errors"], json!(["attempt 1 does not start with `good`"]));
    submit(&workshop, "ann", &handle, "bad again").await;
    let failed = submit(&workshop, "ann", &handle, "bad for ever").await;
    assert_eq!(text(&failed, "code"), "bad_text");
    assert_eq!(counts.step_runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_long_text_comes_in_parts() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let asked = workshop.registry.call("writer", json!({"text": "x"}), context("ann")).await;
    let handle = text(&asked, "handle").to_owned();
    let part = workshop
        .registry
        .call(
            "submit_completion",
            json!({"handle": handle, "text": "good ", "more": true}),
            context("ann"),
        )
        .await;
    assert_eq!(part.structured["received_bytes"], 5);
    assert_eq!(text(&part, "status"), "needs_completion");
    let done = submit(&workshop, "ann", &handle, "parts").await;
    assert_eq!(done.structured["text"], "good parts");
}

#[tokio::test]
async fn parts_of_one_round_do_not_leak_into_the_next() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let asked = workshop.registry.call("writer", json!({"text": "x"}), context("ann")).await;
    let handle = text(&asked, "handle").to_owned();
    workshop
        .registry
        .call(
            "submit_completion",
            json!({"handle": handle, "text": "bad ", "more": true}),
            context("ann"),
        )
        .await;
    let repair = submit(&workshop, "ann", &handle, "start").await;
    assert_eq!(repair.structured["attempt"], 2);
    let done = submit(&workshop, "ann", &handle, "good").await;
    assert_eq!(done.structured["text"], "good");
}

#[tokio::test]
async fn two_submitters_one_wins() {
    let counts = Arc::default();
    let workshop = Arc::new(workshop(&counts).await);
    let asked = workshop.registry.call("writer", json!({"text": "x"}), context("ann")).await;
    let handle = text(&asked, "handle").to_owned();
    let calls = (0..8).map(|n| {
        let (workshop, handle) = (Arc::clone(&workshop), handle.clone());
        tokio::spawn(async move { submit(&workshop, "ann", &handle, &format!("good {n}")).await })
    });
    let outcomes = futures::future::join_all(calls).await;
    let mut won = 0;
    for outcome in outcomes {
        let outcome = outcome.unwrap();
        if outcome.is_error {
            let code = text(&outcome, "code").to_owned();
            assert!(
                ["completion_busy", "completion_already_used"].contains(&code.as_str()),
                "{code}"
            );
        } else {
            won += 1;
        }
    }
    assert_eq!(won, 1);
    assert_eq!(counts.handler_runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_caller_that_cannot_write_gets_a_clear_error() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let mut page = context("ann");
    page.models.host_completion = false;
    let outcome = workshop.registry.call("writer", json!({"text": "x"}), page).await;
    assert_eq!(text(&outcome, "code"), "no_language_model");
}

#[tokio::test]
async fn past_the_answer_budget_a_job_id_comes_back() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let mut hurried = context("ann");
    hurried.answer_budget = Some(Duration::from_millis(50));
    let running = workshop.registry.call("sleeper", json!({"limit": 1}), hurried).await;
    assert_eq!(text(&running, "status"), "running");
    assert!(running.running_job.is_some());
    let job = text(&running, "job_id").to_owned();
    let foreign = workshop.registry.call("get_job", json!({"job_id": job}), context("bob")).await;
    assert_eq!(text(&foreign, "code"), "job_not_found");
    let brief = workshop
        .registry
        .call("get_job", json!({"job_id": job, "wait_seconds": 0}), context("ann"))
        .await;
    assert_eq!(text(&brief, "status"), "running");
    assert_eq!(brief.structured["progress"]["message"], "sleeping");
    let done = workshop.registry.call("get_job", json!({"job_id": job}), context("ann")).await;
    assert_eq!(text(&done, "status"), "success");
    assert_eq!(done.call_id, running.call_id);
}

#[tokio::test]
async fn a_caller_that_leaves_stops_its_job_and_a_repetition_goes_on_with_it() {
    let counts: Arc<Counts> = Arc::default();
    let workshop = Arc::new(workshop(&counts).await);
    let leaving = context("ann");
    let cancel = leaving.cancel.clone();
    let call = {
        let workshop = Arc::clone(&workshop);
        tokio::spawn(async move {
            workshop.registry.call("sleeper", json!({"limit": 9}), leaving).await
        })
    };
    workshop.until(|| counts.handler_runs.load(Ordering::SeqCst) == 1).await;
    cancel.cancel();
    let left = call.await.unwrap();
    assert_eq!(text(&left, "code"), "cancelled");
    // The row says so once the attempt has ended.
    let again = loop {
        let outcome = workshop.registry.call("sleeper", json!({"limit": 9}), context("ann")).await;
        if outcome.structured["status"] == "success" {
            break outcome;
        }
    };
    assert_eq!(again.structured["first"], false);
    assert_eq!(counts.step_runs.load(Ordering::SeqCst), 1, "the paid step was reused");
}

#[tokio::test]
async fn cancel_job_stops_a_running_job_at_once() {
    let counts: Arc<Counts> = Arc::default();
    let workshop = workshop(&counts).await;
    let mut hurried = context("ann");
    hurried.answer_budget = Some(Duration::from_millis(20));
    let running = workshop.registry.call("sleeper", json!({"limit": 9}), hurried).await;
    let job = text(&running, "job_id").to_owned();
    let foreign =
        workshop.registry.call("cancel_job", json!({"job_id": job}), context("bob")).await;
    assert_eq!(text(&foreign, "code"), "job_not_found");
    let started = std::time::Instant::now();
    workshop.registry.call("cancel_job", json!({"job_id": job}), context("ann")).await;
    let outcome = workshop.registry.call("get_job", json!({"job_id": job}), context("ann")).await;
    assert_eq!(text(&outcome, "code"), "cancelled");
    assert!(started.elapsed() < Duration::from_secs(8), "it did not wait for the job's own end");
}

#[tokio::test]
async fn a_waiting_job_can_be_cancelled_and_its_handle_is_dead() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let asked = workshop.registry.call("writer", json!({"text": "x"}), context("ann")).await;
    let job = text(&asked, "job_id").to_owned();
    let cancelled =
        workshop.registry.call("cancel_job", json!({"job_id": job}), context("ann")).await;
    assert_eq!(text(&cancelled, "state"), "cancelled");
    let late = submit(&workshop, "ann", text(&asked, "handle"), "good").await;
    assert_eq!(text(&late, "code"), "cancelled");
}

#[tokio::test]
async fn an_idempotency_key_names_one_call() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let keyed = || CallContext { idempotency_key: Some("k1".into()), ..context("ann") };
    let first = workshop.registry.call("sleeper", json!({"limit": 1}), keyed()).await;
    let second = workshop.registry.call("sleeper", json!({"limit": 1}), keyed()).await;
    assert_eq!(first.structured, second.structured);
    assert_eq!(counts.handler_runs.load(Ordering::SeqCst), 1);
    let other = workshop.registry.call("sleeper", json!({"limit": 2}), keyed()).await;
    assert_eq!(text(&other, "code"), "idempotency_conflict");
}

#[tokio::test]
async fn a_panic_is_a_tool_error_without_its_cause() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let outcome =
        workshop.registry.call("panicker", json!({"text": "secret"}), context("ann")).await;
    assert_eq!(text(&outcome, "code"), "internal_panic");
    assert!(!outcome.structured.to_string().contains("secret"));
    let next = workshop.registry.call("echo", json!({"text": "fine"}), context("ann")).await;
    assert_eq!(text(&next, "text"), "fine");
}

#[tokio::test]
async fn references_reach_earlier_results_of_the_same_principal() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let first = workshop.registry.call("echo", json!({"text": "hello"}), context("ann")).await;
    let id = first.call_id.clone().unwrap();
    let reference = format!("@@ref_{id}__text");
    let second = workshop.registry.call("echo", json!({"text": reference}), context("ann")).await;
    assert_eq!(text(&second, "text"), "hello");
    let json_text = format!("@@ref_{id}__echo_response__items__0");
    let third = workshop.registry.call("echo", json!({"text": json_text}), context("ann")).await;
    assert_eq!(text(&third, "text"), r#"{"a":1}"#);
    let foreign = workshop.registry.call("echo", json!({"text": reference}), context("bob")).await;
    assert_eq!(text(&foreign, "code"), "unknown_reference");
    let wrong = format!("@@ref_{id}__txt");
    let wrong = workshop.registry.call("echo", json!({"text": wrong}), context("ann")).await;
    assert_eq!(text(&wrong, "code"), "unknown_reference");
    assert!(wrong.structured["holds"].as_array().unwrap().contains(&json!("text")));
    let unknown = json!({"text": "@@ref_00000000__text"});
    let unknown = workshop.registry.call("echo", unknown, context("ann")).await;
    assert!(unknown.structured["known_calls"].to_string().contains(id.as_str()));
}

#[tokio::test]
async fn references_expire() {
    let counts = Arc::default();
    let workshop = builder(&counts).limits(|limits| limits.reference_ttl_s = 0.2).build().await;
    let first = workshop.registry.call("echo", json!({"text": "hello"}), context("ann")).await;
    let reference = json!({"text": format!("@@ref_{}__text", first.call_id.unwrap())});
    loop {
        let outcome = workshop.registry.call("echo", reference.clone(), context("ann")).await;
        if outcome.is_error {
            assert_eq!(text(&outcome, "code"), "unknown_reference");
            break;
        }
    }
}

#[tokio::test]
async fn bounds_sizes_and_names_are_checked() {
    let counts = Arc::default();
    let workshop = builder(&counts).limits(|limits| limits.argument_bytes = 10_000).build().await;
    for (tool, arguments, code) in [
        ("echo", json!({"limit": 77}), "invalid_arguments"),
        ("echo", json!({"text": ["x"]}), "invalid_arguments"),
        ("echo", json!("text"), "invalid_arguments"),
        ("echo", json!({"text": "x".repeat(10_000)}), "arguments_too_large"),
        ("ecko", json!({}), "unknown_tool"),
    ] {
        let outcome = workshop.registry.call(tool, arguments, context("ann")).await;
        assert!(outcome.is_error);
        assert_eq!(text(&outcome, "code"), code);
    }
    let near = workshop.registry.call("ecko", json!({}), context("ann")).await;
    assert!(text(&near, "hint").contains("`echo`"));
}

#[tokio::test]
async fn rights_quotas_and_concurrency_hold() {
    let counts: Arc<Counts> = Arc::default();
    let workshop = builder(&counts)
        .limits(|limits| {
            limits.concurrent_calls = 1;
            limits.calls_per_minute = 5;
        })
        .build()
        .await;
    let mut reader = context("ann");
    reader.rights.read_only = true;
    let denied = workshop.registry.call("writer", json!({}), reader).await;
    assert_eq!(text(&denied, "code"), "tool_not_allowed");
    let mut hurried = context("ann");
    hurried.answer_budget = Some(Duration::from_millis(20));
    workshop.registry.call("sleeper", json!({"limit": 9}), hurried).await;
    let busy = workshop.registry.call("sleeper", json!({"limit": 8}), context("ann")).await;
    assert_eq!(text(&busy, "code"), "busy");
    let mut codes = Vec::new();
    for _ in 0..6 {
        let outcome = workshop.registry.call("echo", json!({}), context("ann")).await;
        codes.push(outcome.label());
    }
    assert_eq!(codes.last().map(String::as_str), Some("rate_limited"));
    let other = workshop.registry.call("echo", json!({}), context("bob")).await;
    assert!(!other.is_error, "another principal has its own share");
}

#[tokio::test]
async fn a_lost_job_is_adopted_and_its_old_worker_is_fenced() {
    let counts: Arc<Counts> = Arc::default();
    let first = builder(&counts).limits(|limits| limits.lease_s = 0.3).build().await;
    let mut hurried = context("ann");
    hurried.answer_budget = Some(Duration::from_millis(20));
    // The first worker never starts its heartbeat: it is lost as soon as its lease has run out.
    let running = first.registry.call("sleeper", json!({"limit": 2}), hurried).await;
    let job = text(&running, "job_id").to_owned();
    let second =
        builder(&counts).limits(|limits| limits.lease_s = 0.3).beside(&first).build().await;
    second.runner.start_background();
    let done = second.registry.call("get_job", json!({"job_id": job}), context("ann")).await;
    assert_eq!(text(&done, "status"), "success");
    assert_eq!(done.structured["first"], false, "the second worker's result");
    assert_eq!(counts.step_runs.load(Ordering::SeqCst), 1, "the paid step was reused");
    second.runner.shut_down().await;
}

#[tokio::test]
async fn pending_completions_survive_a_restart() {
    let counts = Arc::default();
    let first = builder(&counts).build().await;
    let asked = first.registry.call("writer", json!({"text": "x"}), context("ann")).await;
    let handle = text(&asked, "handle").to_owned();
    let second = builder(&counts).beside(&first).build().await;
    drop(first);
    let done = submit(&second, "ann", &handle, "good morning").await;
    assert_eq!(done.structured["text"], "good morning");
    assert_eq!(done.call_id, asked.call_id);
}

#[tokio::test]
async fn completions_expire() {
    let counts = Arc::default();
    let workshop = builder(&counts).limits(|limits| limits.completion_ttl_s = 0.1).build().await;
    let asked = workshop.registry.call("writer", json!({"text": "x"}), context("ann")).await;
    let handle = text(&asked, "handle").to_owned();
    loop {
        // A text that is too large is refused without using up a try, so this only looks.
        let outcome = submit(&workshop, "ann", &handle, &"g".repeat(1001)).await;
        match text(&outcome, "code") {
            "too_large" => tokio::time::sleep(Duration::from_millis(20)).await,
            code => {
                assert_eq!(code, "completion_expired");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_long_prompt_is_read_in_parts() {
    let counts = Arc::default();
    let workshop = workshop(&counts).await;
    let long = "line of the request\n".repeat(8_000);
    let asked = workshop.registry.call("writer", json!({"text": long}), context("ann")).await;
    let parts = asked.structured["prompt_parts"].as_u64().unwrap();
    assert!(parts >= 3);
    let handle = text(&asked, "handle").to_owned();
    let mut whole = String::new();
    for part in 1..=parts {
        let read = workshop
            .registry
            .call("read_completion_prompt", json!({"handle": handle, "part": part}), context("ann"))
            .await;
        whole.push_str(text(&read, "text"));
    }
    assert_eq!(whole, format!("write {long}"));
    let past = json!({"handle": handle, "part": parts + 1});
    let past = workshop.registry.call("read_completion_prompt", past, context("ann")).await;
    assert_eq!(text(&past, "code"), "invalid_arguments");
}
