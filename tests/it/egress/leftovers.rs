//! Nothing of a program outlives its holder, its sandbox, or an Atelier that was killed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use atelier::factory::host::reach::Reach;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::support::{Names, Workbench, reach};
use crate::sandbox::support::as_every_user;
use crate::sandbox::traces::{Traces, descendants, groups_of};

/// Marks this test binary as a server that is about to be killed.
const VICTIM: &str = "ATELIER_TEST_EGRESS_VICTIM";
/// Starts a stray that ignores everything, and stays.
const STAYS: &str = "\
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(300)
print('up', flush=True)
time.sleep(300)
";

async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_program_leaves_nothing() {
    as_every_user("egress::leftovers::an_ended_program_leaves_nothing", async || {
        let traces = Traces::now();
        let bench = Workbench::new(&[], Names::new(&[]));
        // Four ends: by itself, asked, killed, dropped; a fifth with the sandbox.
        for (way, expected) in [
            ("itself", "exit status: 7"),
            ("asked", "signal: 15"),
            ("killed", "signal: 9"),
            ("dropped", ""),
            ("closed", ""),
        ] {
            let code = if way == "itself" {
                STAYS.replace("time.sleep(300)\n", "os._exit(7)\n")
            } else {
                STAYS.to_owned()
            };
            let mut started = bench.launcher.start(bench.program(&code, reach(&[]))).await.unwrap();
            if way != "itself" {
                let mut word = [0; 3];
                started.output.read_exact(&mut word).await.unwrap();
                let below = descendants(std::process::id());
                assert!(below.len() >= 5, "supervisor, launcher, first, program, stray: {below:?}");
            }
            match way {
                "asked" => started.process.ask_to_end(),
                "killed" => started.process.kill(),
                _ => {}
            }
            match way {
                "dropped" => drop(started),
                "closed" => {
                    bench.sandbox_closed().await;
                    assert_eq!(descendants(std::process::id()), Vec::<u32>::new());
                }
                _ => assert_eq!(started.process.end().await.1, expected),
            }
            until("processes are left", || descendants(std::process::id()).is_empty()).await;
        }
        bench.close().await;
        traces.assert_none_left().await;
    })
    .await;
}

/// Not a test of its own: the server that the next test kills.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    if std::env::var_os(VICTIM).is_none() {
        return;
    }
    let bench = Workbench::new(&[], Names::new(&[]));
    let mut started = bench.launcher.start(bench.program(STAYS, reach(&[]))).await.unwrap();
    let mut word = [0; 3];
    started.output.read_exact(&mut word).await.unwrap();
    println!("victim is running");
    started.process.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_atelier_leaves_nothing() {
    let mut server = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "egress::leftovers::victim", "--nocapture"])
        .env(VICTIM, "1")
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
    assert!(below.len() >= 5, "supervisor, launcher, first, program, stray: {below:?}");
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
async fn many_programs_leave_no_descriptor() {
    let bench = Workbench::new(&[], Names::new(&[]));
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    bench.run("pass", Reach::default()).await;
    let before = count();
    for _ in 0..5 {
        assert!(bench.run("pass", reach(&[])).await.ok);
    }
    until("descriptors are left", || count() <= before + 2).await;
    bench.close().await;
}
