//! Nothing outlives its run, its sandbox, or a server that was killed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use atelier::sandbox::{Layer, RunSpec, Sandbox as _, Unfinished};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::support::{run, sandbox, sandbox_without, spec, unfinished, value};
use super::traces::{descendants, groups_of};

/// Marks this test binary as a server that is about to be killed.
const VICTIM: &str = "ATELIER_TEST_SANDBOX_VICTIM";

fn parent_of(process: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    line.trim().parse().unwrap()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Not a test of its own: the next one runs it in a process where nobody else has helpers.
#[tokio::test(flavor = "multi_thread")]
async fn closing() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let sandbox = sandbox();
    run(&sandbox, RunSpec::new("open('x', 'w').write('y')")).await;
    let handle = sandbox.start(spec("while True: pass", 60)).await.unwrap();
    assert!(descendants(std::process::id()).len() >= 4, "supervisor, launcher, zygote, worker");
    sandbox.close().await;
    let outcome = handle.finish().await.unwrap();
    assert_eq!(unfinished(&outcome), &Unfinished::Interrupted);
    assert_eq!(descendants(std::process::id()), Vec::<u32>::new());
    assert_eq!(groups_of(std::process::id()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_sandbox_leaves_nothing() {
    let output = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::leftovers::closing", "--nocapture"])
        .env(VICTIM, "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Not a test of its own: the server that the next test kills.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let sandbox = match std::env::var(VICTIM).as_deref() {
        Ok("unnamespaced") => sandbox_without(&[Layer::UserNamespace]),
        _ => sandbox(),
    };
    let code = "import os, time\nif os.fork() == 0:\n    os.setsid()\nprint('up', flush=True)\ntime.sleep(250)";
    let mut handle = sandbox.start(spec(code, 300)).await.unwrap();
    while let Some(event) = handle.next().await {
        if let atelier::sandbox::Event::Output { .. } = event {
            println!("victim is running");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_nothing() {
    killed("namespaced").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_nothing_without_namespaces() {
    killed("unnamespaced").await;
}

async fn killed(kind: &str) {
    let mut server = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::leftovers::victim", "--nocapture"])
        .env(VICTIM, kind)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let process = server.id().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("victim is running") {
            break;
        }
    }
    let below = descendants(process);
    assert!(below.len() >= 4, "supervisor, launcher, zygote, worker: {below:?}");
    let had_groups = !groups_of(process).is_empty();
    server.kill().await.unwrap();
    until("processes of a killed server live on", || {
        below.iter().all(|process| !std::path::Path::new(&format!("/proc/{process}")).exists())
    })
    .await;
    if had_groups {
        until("groups of a killed server are left", || groups_of(process).is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_zygote_is_replaced() {
    let sandbox = sandbox();
    run(&sandbox, RunSpec::new("1")).await;
    // A number that only this run names leads to its zygote: sleep, worker, zygote.
    let number = format!("97{:07}.5", std::process::id());
    let code = format!("import subprocess; subprocess.run(['/bin/sleep', '{number}'])");
    let handle = sandbox.start(spec(&code, 300)).await.unwrap();
    let sleeper = || {
        descendants(std::process::id()).into_iter().find(|process| {
            std::fs::read(format!("/proc/{process}/cmdline"))
                .is_ok_and(|line| line.starts_with(format!("/bin/sleep\0{number}").as_bytes()))
        })
    };
    until("the run does not begin", || sleeper().is_some()).await;
    let zygote = parent_of(parent_of(sleeper().unwrap()));
    let killed = std::process::Command::new("kill").args(["-9", &zygote.to_string()]).status();
    assert!(killed.unwrap().success());
    let outcome = handle.finish().await.unwrap();
    assert_eq!(unfinished(&outcome), &Unfinished::Interrupted);
    assert_eq!(value(&run(&sandbox, RunSpec::new("'again'")).await), &json!("again"));
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_leave_no_descriptor() {
    let sandbox = sandbox();
    run(&sandbox, RunSpec::new("1")).await;
    sandbox.pool_filled(None).await.unwrap();
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = count();
    for number in 0..100 {
        let outcome = run(&sandbox, RunSpec::new(format!("{number} + 1"))).await;
        assert_eq!(value(&outcome), &json!(number + 1));
    }
    sandbox.pool_filled(None).await.unwrap();
    assert!(count() < before + 80, "{before} descriptors became {}", count());
    sandbox.close().await;
}
