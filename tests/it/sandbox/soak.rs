//! Thousands of mixed runs, after which everything is as it was after the first hundreds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atelier::sandbox::local::LocalSandbox;
use atelier::sandbox::{End, Event, RunSpec, Sandbox as _, Unfinished};
use serde_json::json;

use super::support::{sandbox, spec};
use super::traces::{Traces, descendants, groups_of};

/// Runs in flight.
const LANES: usize = 4;
/// After so many runs, caches and pools have their size.
const WARM: usize = 300;

/// What grows when something is left behind.
#[derive(Debug)]
struct Size {
    processes: usize,
    descriptors: usize,
    groups: usize,
    memory_kb: u64,
    files: usize,
}

fn size() -> Size {
    let own = std::process::id();
    let mut processes = descendants(own);
    let count = processes.len();
    processes.push(own);
    let memory_kb = processes.iter().filter_map(|process| {
        let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim().to_owned();
        line.split(' ').next()?.parse::<u64>().ok()
    });
    Size {
        memory_kb: memory_kb.sum(),
        processes: count,
        descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        groups: groups_of(own).len(),
        files: std::fs::read_dir(std::env::temp_dir())
            .unwrap()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("atelier-"))
            .count(),
    }
}

/// One of many kinds of runs; panics when it comes to anything but what it should.
async fn one(sandbox: &LocalSandbox, number: usize) {
    let (spec, good): (RunSpec, fn(&End) -> bool) = match number % 10 {
        0..4 => (RunSpec::new(format!("{number} + 1")), |end| matches!(end, End::Success(_))),
        4 => (RunSpec::new("open('a.txt', 'w').write('x' * 100000)\nprint('y' * 10000)"), |end| {
            matches!(end, End::Success(_))
        }),
        5 => (RunSpec::new("1 / 0"), |end| matches!(end, End::Failed(..))),
        6 => (RunSpec::new("import os\nos._exit(3)"), |end| {
            matches!(end, End::Unfinished(Unfinished::Exited(3)))
        }),
        7 => (RunSpec::new("[await _call_mcp_tool('t', {'n': n}) for n in range(5)]"), |end| {
            matches!(end, End::Success(_))
        }),
        8 => (
            RunSpec::new(
                "import os, signal\nfor _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n        signal.pause()\n'left behind'",
            ),
            |end| matches!(end, End::Success(_)),
        ),
        _ if number % 100 == 9 => (spec_of_one_second("while True: pass"), |end| {
            matches!(end, End::Unfinished(Unfinished::Timeout))
        }),
        _ => (
            RunSpec::new("import os\nos.write(3, b'\\xff' * 64)\nimport time\ntime.sleep(20)"),
            |end| matches!(end, End::Unfinished(Unfinished::Protocol(_))),
        ),
    };
    let mut handle = sandbox.start(spec).await.unwrap();
    loop {
        match handle.next().await.unwrap() {
            Event::Call(call) => handle.reply(call.id, Ok(json!(1))).await,
            Event::Ended(outcome) => {
                assert!(good(&outcome.end), "run {number}: {:?}", outcome.end);
                return;
            }
            Event::Output { .. } | Event::Ask(_) => {}
        }
    }
}

fn spec_of_one_second(code: &str) -> RunSpec {
    spec(code, 1)
}

async fn many(sandbox: &Arc<LocalSandbox>, from: usize, to: usize) {
    let next = Arc::new(AtomicUsize::new(from));
    let lanes = (0..LANES).map(|_| {
        let (sandbox, next) = (Arc::clone(sandbox), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= to {
                    return;
                }
                one(&sandbox, number).await;
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
    sandbox.pool_filled(None).await.unwrap();
    // The kernel's own clearing up, and the release of the last runs.
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// `make soak` runs it; `ATELIER_SOAK_RUNS` says how long it is.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make soak"]
async fn many_mixed_runs_leave_nothing_behind() {
    let runs = std::env::var("ATELIER_SOAK_RUNS").map_or(10_000, |text| text.parse().unwrap());
    let traces = Traces::now();
    let sandbox = Arc::new(sandbox());
    many(&sandbox, 0, WARM).await;
    let before = size();
    many(&sandbox, WARM, runs).await;
    let after = size();
    println!("after {WARM} runs: {before:?}\nafter {runs} runs: {after:?}");
    assert_eq!(after.processes, before.processes);
    assert_eq!(after.files, before.files);
    assert!(after.descriptors <= before.descriptors + 8, "{before:?} {after:?}");
    assert!(after.groups <= before.groups + LANES * 3, "{before:?} {after:?}");
    assert!(after.memory_kb <= before.memory_kb * 5 / 4 + 16_384, "{before:?} {after:?}");
    sandbox.close().await;
    traces.assert_none_left().await;
}
