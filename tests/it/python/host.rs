//! `_call_ai` and tools that need a text when no model is at hand: the run waits, and goes on.

use std::time::Duration;

use atelier::registry::{CallContext, Origin};
use serde_json::json;

use super::support::{Lab, PATIENCE, context};
use crate::sandbox::support::processes_with;
use crate::support::studio::Reply;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_run_waits_and_goes_on() {
    let lab = Lab::new().await;
    // What the run remembers, and how its clock stood still, shows that it is the same one.
    let code = "
import os, time
token = os.urandom(8)
began = time.monotonic()
print('before', token.hex())
first = await _call_ai('What is the capital of Portugal?', system='One word.')
print('between', token.hex())
second = await _call_ai('And of Spain?', json_schema={'type': 'object', 'properties': {'name': {'type': 'string'}}, 'required': ['name']})
print('after', token.hex())
[first, second]";
    let asked = lab.call("execute_python_code", json!({"code": code, "timeout_seconds": 5})).await;
    assert_eq!(asked.prompt(), "What is the capital of Portugal?", "{asked:?}");
    assert_eq!(asked.field("prompt")["system"], "One word.");
    assert_eq!(asked.text("respond_with"), "submit_completion");
    // Longer than the run may take: its clock stands still.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let asked = lab.answer(&asked, "Lisbon").await;
    assert_eq!(asked.prompt(), "And of Spain?");
    // A repair round is a question like any other.
    let asked = lab.answer(&asked, "no JSON").await;
    assert_eq!(asked.field("attempt"), 2, "{asked:?}");
    let done = lab.answer(&asked, "{\"name\": \"Madrid\"}").await;
    assert_eq!(done.text("status"), "success", "{done:?}");
    assert_eq!(done.field("result"), &json!(["Lisbon", {"name": "Madrid"}]));
    let printed: Vec<&str> =
        done.text("stdout").lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(printed.len(), 3);
    assert!(printed.iter().all(|token| *token == printed[0]), "{printed:?}");
    assert!(done.field("duration_ms").as_u64().unwrap() < 5000, "{done:?}");
    let tools: Vec<_> = done
        .field("tool_calls")
        .as_array()
        .unwrap()
        .iter()
        .map(|call| (&call["tool"], &call["ok"]))
        .collect();
    assert_eq!(tools, [(&json!("ask_ai"), &json!(true)); 2]);
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_at_once_are_asked_one_after_another() {
    let lab = Lab::new().await;
    let code = "
import asyncio
await asyncio.gather(*[_call_ai(f'Question {n}?') for n in range(3)], _call_mcp_tool('list_web_apps', {}))";
    let mut reply = lab.run(code).await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let number = reply.prompt().chars().find(char::is_ascii_digit).unwrap();
        answers.push(number);
        reply = lab.answer(&reply, &format!("Answer {number}")).await;
    }
    answers.sort_unstable();
    assert_eq!(answers, ['0', '1', '2']);
    let result = reply.field("result");
    for n in 0..3 {
        assert_eq!(result[n], format!("Answer {n}"), "{reply:?}");
    }
    assert_eq!(result[3]["status"], "success");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_needs_a_text_asks_through_the_code() {
    let lab = Lab::new().await;
    let code = "
made = await _call_mcp_tool('create_web_app', {'app_name': 'clock', 'user_request': 'a clock'})
[made['app_name'], made['llm_route']]";
    // From code inside code, too.
    let nested = format!(
        "(await _call_mcp_tool('execute_python_code', {{'code': {}}}))['result']",
        json!(code)
    );
    for code in [code, nested.as_str()] {
        let asked = lab.run(code).await;
        assert!(asked.prompt().contains("a clock"), "{asked:?}");
        let page = "<!DOCTYPE html><html lang=\"en\"><head><title>Clock</title></head><body><h1>12</h1></body></html>";
        let done = lab.answer(&asked, page).await;
        assert_eq!(done.field("result"), &json!(["clock", "host"]), "{done:?}");
    }
    lab.close().await;
}

/// Worker processes of this test's own sandbox: those that name what the code put into its arguments.
async fn gone(mark: &str) {
    let waiting = async {
        while !processes_with(mark).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("a process is left");
}

/// Code that starts a process whose arguments hold `mark`, and then asks.
fn marked(mark: &str) -> String {
    format!(
        "
import subprocess
child = subprocess.Popen(['/usr/bin/sleep', '{mark}'])
answer = await _call_ai('Go on?')
child.kill()
answer"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_run_ends_when_it_is_cancelled_or_expires() {
    let lab = Lab::with(Vec::new(), |config| config.limits.completion_ttl_s = 3600.0).await;
    let mark = format!("98{}", std::process::id());
    let code = marked(&mark);
    let asked = lab.run(&code).await;
    assert_eq!(asked.prompt(), "Go on?", "{asked:?}");
    assert_eq!(processes_with(&mark).len(), 1, "it waits");
    let cancelled = lab.call("cancel_job", json!({"job_id": asked.text("job_id")})).await;
    assert_eq!(cancelled.text("state"), "cancelled", "{cancelled:?}");
    gone(&mark).await;
    let late =
        lab.call("submit_completion", json!({"handle": asked.text("handle"), "text": "yes"})).await;
    assert_eq!(late.code(), "cancelled", "{late:?}");
    // The next one is served.
    let asked = lab.run(&code).await;
    assert_eq!(lab.answer(&asked, "yes").await.field("result"), "yes");
    lab.close().await;

    let brief = Lab::with(Vec::new(), |config| {
        config.limits.completion_ttl_s = 0.5;
        config.limits.lease_s = 1.0;
    })
    .await;
    brief.app.runner.start_background();
    let asked = brief.run(&code).await;
    assert_eq!(asked.prompt(), "Go on?", "{asked:?}");
    gone(&mark).await;
    let late = brief
        .call("submit_completion", json!({"handle": asked.text("handle"), "text": "yes"}))
        .await;
    assert_eq!(late.code(), "completion_expired", "{late:?}");
    brief.close().await;
}

/// Only the process that has the run can go on with it; another one does not run the code again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_not_repeated_by_another_process() {
    let lab = Lab::new().await;
    let other = lab.beside().await;
    let mark = format!("95{}", std::process::id());
    let asked = lab.run(&marked(&mark)).await;
    assert_eq!(asked.prompt(), "Go on?", "{asked:?}");
    let lost = other.answer(&asked, "yes").await;
    assert_eq!(lost.code(), "interrupted", "{lost:?}");
    assert!(lost.text("hint").contains("call again"), "{lost:?}");
    gone(&mark).await;
    assert_eq!(other.value("1").await, 1);
    other.close().await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_ends_with_the_program() {
    let lab = Lab::new().await;
    let mark = format!("97{}", std::process::id());
    let asked = lab.run(&marked(&mark)).await;
    assert_eq!(asked.prompt(), "Go on?", "{asked:?}");
    assert_eq!(processes_with(&mark).len(), 1);
    lab.close().await;
    assert_eq!(processes_with(&mark), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_to_ask_the_code_is_told() {
    let lab = Lab::with(Vec::new(), |config| config.python.waiting_runs = 1).await;
    let code = "
try:
    answer = await _call_ai('Anybody?')
except McpToolError as error:
    answer = error.code
answer";
    // A command ends before anybody could answer; a client without host completion never does.
    let command = CallContext::new("ann".into(), Origin::Command);
    let mut mute = context();
    mute.models.host_completion = false;
    for context in [command, mute] {
        let reply = lab.call_in(context, "execute_python_code", json!({"code": code})).await;
        assert_eq!(reply.field("result"), "no_language_model", "{reply:?}");
    }
    // No more runs wait than may.
    let first: Reply = lab.run(code).await;
    let second = lab.run(&format!("{code}  # another")).await;
    assert_eq!(second.field("result"), "too_many_waiting", "{second:?}");
    assert_eq!(lab.answer(&first, "me").await.field("result"), "me");
    lab.close().await;
}

/// The text belongs to this call: another user's hands do not fit.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_caller_answers() {
    let lab = Lab::new().await;
    let asked = lab.run("await _call_ai('Who?')").await;
    let mut eve = context();
    eve.principal = "eve".into();
    let arguments = json!({"handle": asked.text("handle"), "text": "Eve"});
    let refused = lab.call_in(eve, "submit_completion", arguments).await;
    assert_eq!(refused.code(), "completion_not_found", "{refused:?}");
    assert_eq!(lab.answer(&asked, "Ann").await.field("result"), "Ann");
    lab.close().await;
}
