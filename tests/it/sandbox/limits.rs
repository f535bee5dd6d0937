//! Time, memory, output: a run that takes too much ends, says why, and hurts no other.

use std::time::{Duration, Instant};

use atelier::sandbox::{End, Layer, RunSpec, Sandbox as _, Unfinished};
use serde_json::json;

use super::support::{
    processes_with, run, run_code, sandbox, sandbox_without, spec, unfinished, value,
};

/// What a refusal to end would take; far above any slow machine.
const PATIENCE: Duration = Duration::from_secs(45);

async fn ends_with(code: &str, seconds: u64, expected: Unfinished) {
    let sandbox = sandbox();
    let began = Instant::now();
    let outcome = run(&sandbox, spec(code, seconds)).await;
    assert_eq!(unfinished(&outcome), &expected, "{code}\n{}", outcome.stderr.text);
    assert!(began.elapsed() < PATIENCE, "{code}");
    assert_eq!(value(&run(&sandbox, RunSpec::new("'next'")).await), &json!("next"));
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_runs_out_whatever_the_code_does() {
    for code in [
        "while True: pass",
        "sum(range(10**13))",
        "import signal\nfor number in range(1, 65):\n    try: signal.signal(number, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",
        "import os\nwhile True:\n    if os.fork() == 0:\n        while True: pass\n    break\nos.wait()",
        "class Stuck:\n    def __repr__(self):\n        while True: pass\nStuck()",
    ] {
        ends_with(code, 1, Unfinished::Timeout).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_printed_before_the_timeout_is_kept() {
    let code = "print('before', flush=True)\nopen('kept.txt', 'w').write('kept')\nwhile True: pass";
    let sandbox = sandbox();
    let outcome = run(&sandbox, spec(code, 1)).await;
    assert_eq!(unfinished(&outcome), &Unfinished::Timeout);
    assert_eq!(outcome.stdout.text, "before\n");
    assert_eq!(outcome.files.first().unwrap().bytes, b"kept");
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_output_ends_the_run() {
    let sandbox = sandbox();
    let outcome = run(&sandbox, spec("while True: print('x' * 1000)", 60)).await;
    assert_eq!(unfinished(&outcome), &Unfinished::OutputLimit);
    assert!(outcome.stdout.text.len() < 140_000 && outcome.stdout.omitted > 1_000_000);
    assert!(outcome.stdout.text.contains("bytes omitted]"));
    sandbox.close().await;
}

/// Ways to take memory, each far above the limit.
const BOMBS: [&str; 4] = [
    "keep = [bytearray(16 << 20) for _ in range(500)]",
    "import os, time\nfor _ in range(10):\n    if os.fork() == 0:\n        keep = b'x' * (200 << 20)\n        time.sleep(60)\ntime.sleep(60)",
    "import mmap, os, time\nfor _ in range(6):\n    shared = mmap.mmap(-1, 200 << 20)\n    for start in range(0, 200 << 20, 4096): shared[start] = 1\n    if os.fork() == 0: time.sleep(60)\ntime.sleep(60)",
    "import os, time\nfile = os.memfd_create('m')\nblock = bytes(1 << 20)\nfor _ in range(2000): os.write(file, block)",
];

/// A bomb ends with the limit or with an error of the code's own; it never goes through.
fn assert_held(code: &str, outcome: &atelier::sandbox::Outcome) {
    match &outcome.end {
        End::Unfinished(Unfinished::MemoryLimit) => {}
        End::Failed(error, _) => {
            assert!(
                ["MemoryError", "PermissionError", "OSError"].contains(&error.type_name.as_str()),
                "{code}: {error:?}"
            );
        }
        other => panic!("{code}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_bombs_are_held_by_the_group() {
    let sandbox = sandbox();
    if !sandbox.report().await.isolation.holds(Layer::CgroupMemory) {
        // An ordinary user without delegation; the watchdog's test below covers that.
        sandbox.close().await;
        return;
    }
    for code in BOMBS {
        let outcome = run(&sandbox, spec(code, 60)).await;
        if code.contains("fork") {
            // The kernel kills one process of several; the rest runs into the timeout or ends.
            assert!(!matches!(outcome.end, End::Failed(..)), "{code}: {:?}", outcome.end);
        } else {
            assert_held(code, &outcome);
        }
        assert_eq!(value(&run(&sandbox, RunSpec::new("'next'")).await), &json!("next"));
    }
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_bombs_are_held_without_a_group() {
    let sandbox = sandbox_without(&[Layer::CgroupMemory]);
    for code in BOMBS {
        let outcome = run(&sandbox, spec(code, 60)).await;
        assert_held(code, &outcome);
        assert_eq!(value(&run(&sandbox, RunSpec::new("'next'")).await), &json!("next"));
    }
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_leave_by_themselves_are_named() {
    for (code, expected) in [
        ("import os; os._exit(7)", Unfinished::Exited(7)),
        ("import ctypes; ctypes.string_at(0)", Unfinished::Signalled(11)),
    ] {
        let outcome = run_code(code).await;
        assert_eq!(unfinished(&outcome), &expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_does_not_outlive_its_run() {
    for sandbox in [sandbox(), sandbox_without(&[Layer::UserNamespace])] {
        let number = format!("98{:07}.25", std::process::id());
        let code = format!(
            "
import os, time
def daemon():
    os.setsid()
    if os.fork() == 0:
        os.execv('/bin/sh', ['sh', '-c', 'echo up > up.txt; exec sleep {number}'])
    os._exit(0)
if os.fork() == 0:
    daemon()
os.wait()
while not os.path.exists('up.txt'):
    time.sleep(0.01)
'started'"
        );
        let outcome = run(&sandbox, spec(&code, 30)).await;
        // It ran, as the code itself saw, and is gone as soon as the outcome is there.
        assert_eq!(value(&outcome), &json!("started"));
        assert_eq!(processes_with(&number), Vec::<String>::new());
        sandbox.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_ends_at_once() {
    let sandbox = sandbox();
    let handle = sandbox.start(spec("while True: pass", 60)).await.unwrap();
    handle.cancel().await;
    let outcome = handle.finish().await.unwrap();
    assert_eq!(unfinished(&outcome), &Unfinished::Cancelled);
    sandbox.close().await;
}
