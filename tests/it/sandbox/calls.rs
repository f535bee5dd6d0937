//! Calls of tools and models from code.

use std::time::{Duration, Instant};

use atelier::sandbox::local::LocalSandbox;
use atelier::sandbox::{CallFailure, Event, Outcome, RunSpec, Sandbox as _, ToolStub, Unfinished};
use serde_json::{Value, json};

use super::support::{finished, run, sandbox, spec, unfinished, value};

/// Answers every call by a function.
async fn answering(
    sandbox: &LocalSandbox,
    spec: RunSpec,
    answer: impl Fn(&str, &Value) -> Result<Value, CallFailure>,
) -> Outcome {
    let mut handle = sandbox.start(spec).await.unwrap();
    loop {
        match handle.next().await.unwrap() {
            Event::Call(call) => {
                let reply = answer(&call.tool, &Value::Object(call.arguments));
                handle.reply(call.id, reply).await;
            }
            Event::Ask(question) => {
                let asked =
                    json!([question.prompt, question.json_schema, question.system, question.model]);
                handle.reply(question.id, answer("ai", &asked)).await;
            }
            Event::Output { .. } => {}
            Event::Ended(outcome) => return *outcome,
        }
    }
}

fn echo(tool: &str, arguments: &Value) -> Result<Value, CallFailure> {
    match tool {
        "fail" => Err(CallFailure {
            code: "not_found".to_owned(),
            message: "no such app".to_owned(),
            details: Some(json!({"hint": "look"})),
        }),
        "ai" => Ok(json!({"asked": arguments})),
        _ => Ok(json!({"tool": tool, "arguments": arguments})),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_returns_its_result_or_raises() {
    let sandbox = sandbox();
    let code = "
first = await _call_mcp_tool('list_web_apps', {'limit': 2, 'text': 'ä\\ud800'})
try:
    await _call_mcp_tool('fail', {})
except McpToolError as error:
    second = [error.code, error.message, error.details]
third = await _call_ai('why', json_schema={'type': 'object'}, system='s', model='auto')
[first, second, third]";
    let outcome = answering(&sandbox, RunSpec::new(code), echo).await;
    assert_eq!(
        value(&outcome),
        &json!([
            {"tool": "list_web_apps", "arguments": {"limit": 2, "text": "ä?"}},
            ["not_found", "no such app", {"hint": "look"}],
            {"asked": ["why", {"type": "object"}, "s", "auto"]},
        ])
    );
    assert_eq!(outcome.calls, 3);
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_work_from_loops_threads_and_functions() {
    let sandbox = sandbox();
    let code = "
import asyncio, threading
async def ask(number):
    return (await _call_mcp_tool('t', {'n': number}))['arguments']['n']
async def many():
    return await asyncio.gather(*[ask(number) for number in range(20)])
one = asyncio.run(many())
two = []
threads = [threading.Thread(target=lambda k=k: two.append(asyncio.run(ask(k)))) for k in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
async def generated_function_name(base):
    return [one, sorted(two), await asyncio.wait_for(ask(base), 20)]";
    let mut spec = spec(code, 40);
    spec.function_args = vec![json!(99)];
    let outcome = answering(&sandbox, spec, echo).await;
    let result = &finished(&outcome).function_value.value;
    assert_eq!(result, &json!([(0..20).collect::<Vec<_>>(), [0, 1, 2, 3], 99]));
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_of_every_size_come_whole_to_every_loop() {
    let sandbox = sandbox();
    // Around the piece that is read at once, alone and behind each other; then one after another from
    // loops that are closed, whose descriptors others have by then.
    let code = "
import asyncio, gc
sizes = [0, 1, *range(65_480, 65_560), 131_000, 131_072, 700_000]
async def sized(size):
    text = await _call_mcp_tool('long', {'size': size})
    return len(text) if text == 'x' * size else text[:50]
alone = [await sized(size) for size in sizes]
together = await asyncio.gather(*[sized(size) for size in sizes[:60]], sized(700_000))
lone, kept = [], []
for number in range(6):
    lone.append(await asyncio.to_thread(asyncio.run, sized(number)))
    kept.append(open('/dev/null'))
    gc.collect()
circle = []
circle.append(circle)
refused = []
for call in (lambda: _call_mcp_tool('t', {'c': circle}), lambda: _call_mcp_tool('t', {'f': float('nan')}),
             lambda: _call_mcp_tool('t', {'o': object()}), lambda: _call_ai('why', json_schema={'c': circle})):
    try:
        await call()
    except McpToolError as error:
        refused.append(error.code)
again = await sized(3)
[alone == sizes, together == sizes[:60] + [700_000], lone, refused, again]";
    let long = |_: &str, arguments: &Value| {
        Ok(json!("x".repeat(usize::try_from(arguments["size"].as_u64().unwrap()).unwrap())))
    };
    let outcome = answering(&sandbox, RunSpec::new(code), long).await;
    assert_eq!(
        value(&outcome),
        &json!([true, true, [0, 1, 2, 3, 4, 5], vec!["invalid_arguments"; 4], 3])
    );
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_calls_are_in_flight_together() {
    let sandbox = sandbox();
    let code = "
import asyncio
await asyncio.gather(*[_call_mcp_tool('t', {'n': number}) for number in range(10)])";
    let mut handle = sandbox.start(RunSpec::new(code)).await.unwrap();
    let mut waiting = Vec::new();
    let outcome = loop {
        match handle.next().await.unwrap() {
            Event::Call(call) => {
                waiting.push((call.id, call.arguments["n"].clone()));
                // All ten wait at once, and are answered in the reverse order.
                if waiting.len() == 10 {
                    for (id, number) in waiting.drain(..).rev() {
                        handle.reply(id, Ok(number)).await;
                    }
                }
            }
            Event::Ended(outcome) => break outcome,
            Event::Output { .. } | Event::Ask(_) => {}
        }
    };
    assert_eq!(value(&outcome), &json!((0..10).collect::<Vec<_>>()));
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_and_other_tasks_go_on_while_a_call_waits() {
    let sandbox = sandbox();
    let code = "
import asyncio
ticks = []
async def tick():
    for number in range(3):
        await asyncio.sleep(0.01)
        ticks.append(number)
task = asyncio.create_task(tick())
try:
    await asyncio.wait_for(_call_mcp_tool('never', {}), 0.5)
except asyncio.TimeoutError:
    ticks.append('timeout')
ticks + [await _call_mcp_tool('t', {})]";
    let mut handle = sandbox.start(spec(code, 30)).await.unwrap();
    let outcome = loop {
        match handle.next().await.unwrap() {
            Event::Call(call) if call.tool == "never" => {}
            Event::Call(call) => handle.reply(call.id, Ok(json!("late"))).await,
            Event::Ended(outcome) => break outcome,
            Event::Output { .. } | Event::Ask(_) => {}
        }
    };
    assert_eq!(value(&outcome), &json!([0, 1, 2, "timeout", "late"]));
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_stands_still_while_a_run_is_parked() {
    let sandbox = sandbox();
    let mut handle =
        sandbox.start(spec("import os\nanswer = await _call_ai('q')\nanswer", 2)).await.unwrap();
    let began = Instant::now();
    let outcome = loop {
        match handle.next().await.unwrap() {
            Event::Ask(question) => {
                handle.park().await;
                // Longer than the whole timeout; the clock is what is under test.
                tokio::time::sleep(Duration::from_millis(2500)).await;
                handle.resume().await;
                handle.reply(question.id, Ok(json!("at last"))).await;
            }
            Event::Ended(outcome) => break outcome,
            Event::Output { .. } | Event::Call(_) => {}
        }
    };
    assert_eq!(value(&outcome), &json!("at last"));
    assert!(began.elapsed() > Duration::from_secs(2) && outcome.duration < Duration::from_secs(2));
    // A run may not stay parked for ever.
    let mut endless = spec("await _call_ai('q')", 2);
    endless.limits.parked = Duration::from_millis(300);
    let mut handle = sandbox.start(endless).await.unwrap();
    let outcome = loop {
        match handle.next().await.unwrap() {
            Event::Ask(_) => handle.park().await,
            Event::Ended(outcome) => break outcome,
            Event::Output { .. } | Event::Call(_) => {}
        }
    };
    assert_eq!(unfinished(&outcome), &Unfinished::ParkedTooLong);
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_listed_and_stubs_imported() {
    let sandbox = sandbox();
    let mut spec = spec(
        "
import atelier_tools
names = [tool['name'] for tool in _list_tools()]
also = [tool['parameters'] for tool in await _list_tools()]
[names, also, await atelier_tools.shout(text='a')]",
        30,
    );
    spec.tools = vec![ToolStub {
        name: "shout".to_owned(),
        description: "Shouts".to_owned(),
        input_schema: json!({"type": "object"}),
    }];
    spec.stubs = Some(
        "async def shout(*, text: str):\n    return await _call_mcp_tool('shout', {'text': text})\n"
            .to_owned(),
    );
    let outcome = answering(&sandbox, spec, echo).await;
    assert_eq!(
        value(&outcome),
        &json!([["shout"], [{"type": "object"}], {"tool": "shout", "arguments": {"text": "a"}}])
    );
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_arguments_and_forgotten_awaits_are_named() {
    let sandbox = sandbox();
    let code = "
codes = []
for bad in ({'n': 1 << 70}, {'n': float('nan')}, {'n': {1: 2}}, {'n': object()}):
    try:
        await _call_mcp_tool('t', bad)
    except McpToolError as error:
        codes.append(error.code)
_call_mcp_tool('t', {})
codes";
    let outcome = answering(&sandbox, RunSpec::new(code), echo).await;
    assert_eq!(value(&outcome), &json!(vec!["invalid_arguments"; 4]));
    assert_eq!(outcome.calls, 0);
    let notes = finished(&outcome).notes.join("\n");
    assert!(notes.contains("without `await`") && notes.contains("line 8"), "{notes}");
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_replies_and_late_ones_are_survived() {
    let sandbox = sandbox();
    let code = "len((await _call_mcp_tool('t', {}))['text'])";
    let outcome =
        answering(&sandbox, RunSpec::new(code), |_, _| Ok(json!({"text": "x".repeat(5_000_000)})))
            .await;
    assert_eq!(value(&outcome), &json!(5_000_000));
    let mut handle = sandbox.start(RunSpec::new("import asyncio\ntry:\n    await asyncio.wait_for(_call_mcp_tool('t', {}), 0.05)\nexcept asyncio.TimeoutError: pass\n'done'")).await.unwrap();
    let mut late = None;
    while let Some(event) = handle.next().await {
        match event {
            Event::Call(call) => late = Some(call.id),
            Event::Ended(outcome) => assert_eq!(value(&outcome), &json!("done")),
            Event::Output { .. } | Event::Ask(_) => {}
        }
    }
    handle.reply(late.unwrap(), Ok(json!(1))).await;
    assert_eq!(value(&run(&sandbox, RunSpec::new("3")).await), &json!(3));
    sandbox.close().await;
}
