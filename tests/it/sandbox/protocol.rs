//! Code that abuses its channel harms its own run at most.

use atelier::sandbox::{End, RunSpec, Sandbox as _, Unfinished};
use serde_json::json;

use super::support::{run, sandbox, spec, unfinished, value};

/// Frames by hand.
const FORGE: &str = "
import json, os, struct, time
def frame(message):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    os.write(3, struct.pack('<I', len(body)) + body)
";

async fn broken(code: &str) -> String {
    let sandbox = sandbox();
    let outcome = run(&sandbox, spec(&format!("{FORGE}{code}\ntime.sleep(60)"), 30)).await;
    let reason = match unfinished(&outcome) {
        Unfinished::Protocol(reason) => reason.clone(),
        other => panic!("{other:?}"),
    };
    // The next run is none the wiser.
    assert_eq!(value(&run(&sandbox, RunSpec::new("20 + 1")).await), &json!(21));
    sandbox.close().await;
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_ends_the_run() {
    assert!(broken("os.write(3, b'\\xff' * 64)").await.contains("at most"));
    assert!(broken("frame(b'no json')").await.contains("no JSON"));
    assert!(broken("frame(b'[' * 100000)").await.contains("no JSON"));
    assert!(broken("frame({'kind': 'unheard of'})").await.contains("does not send"));
    assert!(
        broken("frame({'kind': 'call', 'id': -1, 'tool': 't'})").await.contains("does not send")
    );
    assert!(broken("os.close(3)").await.contains("closed its channel"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_made_twice_ends_the_run() {
    let sandbox = sandbox();
    let call = "frame({'kind': 'call', 'id': 7, 'tool': 't', 'arguments': {}})";
    let code = format!("{FORGE}{call}\n{call}\ntime.sleep(60)");
    let mut handle = sandbox.start(spec(&code, 30)).await.unwrap();
    let mut outcome = None;
    while let Some(event) = handle.next().await {
        if let atelier::sandbox::Event::Ended(ended) = event {
            outcome = Some(ended);
        }
    }
    let outcome = outcome.unwrap();
    assert_eq!(unfinished(&outcome), &Unfinished::Protocol("the call 7 was made twice".to_owned()));
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_result_is_the_only_one_and_says_nothing_about_others() {
    let sandbox = sandbox();
    let forged =
        "frame({'kind': 'result', 'ok': True, 'value': {'value': 'forged', 'exact': True}})";
    let code = format!("{FORGE}{forged}\nframe({{'kind': 'result', 'ok': False}})\ntime.sleep(60)");
    let outcome = run(&sandbox, spec(&code, 30)).await;
    assert_eq!(value(&outcome), &json!("forged"));
    // The server's own counts are not the code's to say.
    assert_eq!(outcome.calls, 0);
    assert_eq!(value(&run(&sandbox, RunSpec::new("'clean'")).await), &json!("clean"));
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_that_code_sends_are_dropped() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let sandbox = sandbox();
    run(&sandbox, RunSpec::new("1")).await;
    sandbox.pool_filled(None).await.unwrap();
    let before = count();
    let code = "
import array, json, os, socket, struct
channel = socket.socket(fileno=os.dup(3))
body = json.dumps({'kind': 'image', 'name': 'x'}).encode()
rights = array.array('i', [os.open('/dev/null', os.O_RDONLY) for _ in range(10)])
channel.sendmsg([struct.pack('<I', len(body)) + body], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
'sent'";
    for _ in 0..20 {
        assert_eq!(value(&run(&sandbox, RunSpec::new(code)).await), &json!("sent"));
    }
    sandbox.pool_filled(None).await.unwrap();
    // Other tests of this process come and go; two hundred descriptors would show.
    assert!(count() < before + 150, "{before} descriptors became {}", count());
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_code_rewrote_is_gone_with_the_run() {
    let sandbox = sandbox();
    let code = "
import sys, builtins
runner = sys.modules['atelier_runner']
runner.Run._result = lambda self, result: {'ok': True, 'value': {'value': 'taken over'}}
builtins.print = None
open('left.txt', 'w').write('x')
sys.modules['planted'] = sys";
    let outcome = run(&sandbox, RunSpec::new(code)).await;
    assert_eq!(value(&outcome), &json!("taken over"));
    let code = "
import os, sys
print('still here')
['planted' in sys.modules, os.listdir('.')]";
    let outcome = run(&sandbox, RunSpec::new(code)).await;
    assert_eq!(value(&outcome), &json!([false, [".tmp"]]));
    assert_eq!(outcome.stdout.text, "still here\n");
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_calls_is_refused_call_by_call() {
    let sandbox = sandbox();
    let mut spec = spec(
        "
async def once(number):
    try:
        return await _call_mcp_tool('t', {})
    except McpToolError as error:
        return error.code
import asyncio
results = await asyncio.gather(*[once(number) for number in range(200)])
[results.count('fine'), results.count('too_many_calls')]",
        30,
    );
    spec.limits.calls = 5;
    let mut handle = sandbox.start(spec).await.unwrap();
    let outcome = loop {
        match handle.next().await.unwrap() {
            atelier::sandbox::Event::Call(call) => handle.reply(call.id, Ok(json!("fine"))).await,
            atelier::sandbox::Event::Ended(outcome) => break outcome,
            _ => {}
        }
    };
    assert!(matches!(outcome.end, End::Success(_)), "{:?}", outcome.end);
    assert_eq!(value(&outcome), &json!([5, 195]));
    assert_eq!(outcome.calls, 5);
    sandbox.close().await;
}
