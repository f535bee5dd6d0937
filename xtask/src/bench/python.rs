//! Python code in the sandbox beside what else runs it: bubblewrap around `python3`, plain `python3`,
//! and the interpreter of pydantic-monty.
//!
//! The sandbox is driven inside this process, so that what is measured is the way from a request to
//! its result and no wire. Its helper is the release binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use atelier::sandbox::local::{InterpreterProfile, LocalSandbox, LocalSettings};
use atelier::sandbox::{End, Event, RunSpec, Sandbox as _, Tier};
use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use rmcp::transport::TokioChildProcess;
use serde_json::json;

use super::Effort;
use super::process::installed;
use super::report::Section;

const CODE: &str = "print(1 + 1)";
const WITH_PANDAS: &str = "import pandas\nprint(1 + 1)";
const EXPECTED: &str = "2\n";
const IN_FLIGHT: usize = 4;
const CALLS: u32 = 20_000;
/// One run of the tool may make 1,000 calls.
const DISPATCHED_CALLS: u32 = 900;
/// Tools that need the least themselves, and what they do.
const TOOLS: [Measured; 2] = [
    Measured {
        tool: "describe_tool",
        arguments: "{'name': 'ask_ai'}",
        what: "answers from memory",
    },
    Measured { tool: "list_web_apps", arguments: "{}", what: "reads the store" },
];
/// A pooled worker that has waited for so long is ready, as it is on a server between two requests.
const REST: Duration = Duration::from_millis(20);

const OURS: &str = "Atelier";
const BUBBLEWRAP: &str = "bubblewrap + python3";
const PLAIN: &str = "plain python3, no isolation";
const MONTY: &str = "pydantic-monty";

/// Prints the milliseconds of fresh runs, and calls of a host function per second.
const MONTY_SCRIPT: &str = "
import json, sys, time
from pydantic_monty import Monty
rounds, calls = int(sys.argv[1]), int(sys.argv[2])
code = f'i = 0\\nr = None\\nwhile i < {calls}:\\n    r = add(i, 1)\\n    i = i + 1\\nr'
rates, runs = [], []
with Monty() as pool:
    for _ in range(rounds):
        with pool.checkout(limits={'max_suspensions': 10**9}) as session:
            began = time.perf_counter()
            assert session.feed_run(code, external_lookup={'add': lambda a, b: a + b}) == calls
            rates.append(calls / (time.perf_counter() - began))
    for _ in range(rounds * 30):
        began = time.perf_counter()
        with pool.checkout() as session:
            assert session.feed_run('1 + 1') == 2
        runs.append((time.perf_counter() - began) * 1000)
print(json.dumps([runs, rates]))
";

/// Every comparison of Python.
pub(super) async fn against_peers(
    root: &Path,
    binary: &Path,
    effort: Effort,
) -> anyhow::Result<Vec<Section>> {
    let (root, binary) = (root.to_owned(), binary.to_owned());
    // On the runtime's own threads, as in a server.
    tokio::spawn(async move { measure(&root, &binary, effort).await }).await?
}

async fn measure(root: &Path, binary: &Path, effort: Effort) -> anyhow::Result<Vec<Section>> {
    let peers = Peers {
        python: installed("python3", "python3")?,
        bubblewrap: installed("bwrap", "bubblewrap")?,
        monty: python_with_monty(root)?,
    };
    let pooled = sandbox(binary, &peers.python, 2);
    let unpooled = sandbox(binary, &peers.python, 0);
    for sandbox in [&pooled, &unpooled] {
        sandbox.warm_up().await?;
        // The packages too, before anything is measured.
        once(sandbox, WITH_PANDAS).await?;
        once(sandbox, CODE).await?;
    }
    let tier = pooled.report().await.isolation.tier;
    ensure!(tier >= Tier::NoCgroup, "this machine isolates too little to compare: {tier}");
    let (runs, rates) = peers.monty(effort)?;
    let mut sections = latencies(&peers, &pooled, &unpooled, effort, runs, tier).await?;
    sections.push(throughput(&peers, &pooled, effort).await?);
    sections.push(callbacks(&pooled, effort, &rates).await?);
    for measured in TOOLS {
        sections.extend(dispatched(binary, effort, &rates, &measured).await?);
    }
    pooled.close().await;
    unpooled.close().await;
    Ok(sections)
}

/// A tool that code calls again and again.
struct Measured {
    tool: &'static str,
    arguments: &'static str,
    what: &'static str,
}

struct Peers {
    python: PathBuf,
    bubblewrap: PathBuf,
    monty: PathBuf,
}

impl Peers {
    fn plain(&self, code: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-c", code]);
        command
    }

    fn bubblewrap(&self) -> Command {
        let mut command = Command::new(&self.bubblewrap);
        command
            .args(["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"])
            .args(["--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib"])
            .args(["--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin"])
            .args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--chdir", "/tmp", "--"])
            .arg(&self.python)
            .args(["-c", CODE]);
        command
    }

    fn monty(&self, effort: Effort) -> anyhow::Result<(Vec<f64>, Vec<f64>)> {
        let output = Command::new(&self.monty)
            .args(["-c", MONTY_SCRIPT, &effort.rounds.to_string(), &CALLS.to_string()])
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

fn sandbox(binary: &Path, python: &Path, pool: usize) -> Arc<LocalSandbox> {
    Arc::new(LocalSandbox::new(LocalSettings {
        program: binary.to_owned(),
        profiles: vec![InterpreterProfile::new("default", python)],
        pool,
        ..LocalSettings::default()
    }))
}

/// Milliseconds from the request to the result, all traces of the run gone.
async fn once(sandbox: &LocalSandbox, code: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    let outcome = sandbox.start(RunSpec::new(code)).await?.finish().await.context("no end")?;
    let time = began.elapsed().as_secs_f64() * 1000.0;
    ensure!(matches!(outcome.end, End::Success(_)) && outcome.stdout.text == EXPECTED);
    Ok(time)
}

fn timed(mut command: Command) -> anyhow::Result<f64> {
    let began = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let time = began.elapsed().as_secs_f64() * 1000.0;
    if output.stdout != EXPECTED.as_bytes() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(time)
}

async fn latencies(
    peers: &Peers,
    pooled: &LocalSandbox,
    unpooled: &LocalSandbox,
    effort: Effort,
    monty: Vec<f64>,
    tier: Tier,
) -> anyhow::Result<Vec<Section>> {
    let (mut ours, mut fresh, mut bubblewrap, mut plain) = (vec![], vec![], vec![], vec![]);
    let (mut pandas, mut plain_pandas) = (vec![], vec![]);
    for round in 0..effort.rounds * 30 {
        bubblewrap.push(timed(peers.bubblewrap())?);
        plain.push(timed(peers.plain(CODE))?);
        pooled.pool_filled(None).await?;
        tokio::time::sleep(REST).await;
        ours.push(once(pooled, CODE).await?);
        tokio::time::sleep(REST).await;
        fresh.push(once(unpooled, CODE).await?);
        tokio::time::sleep(REST).await;
        if round % 10 == 0 {
            pandas.push(once(unpooled, WITH_PANDAS).await?);
            plain_pandas.push(timed(peers.plain(WITH_PANDAS))?);
        }
    }
    let section = |title: &str, note: String, sides: Vec<(&str, Vec<f64>)>| Section {
        title: title.to_owned(),
        note,
        unit: "ms",
        sides: sides.into_iter().map(|(name, samples)| (name.to_owned(), samples)).collect(),
        larger_is_better: false,
    };
    Ok(vec![
        section(
            "Python: request to result, a worker waits",
            format!(
                "`{CODE}` from the request to the result and the end of its processes; tier `{tier}`. \
                 Monty is an interpreter of its own for a part of Python, without packages."
            ),
            vec![(OURS, ours), (BUBBLEWRAP, bubblewrap.clone()), (PLAIN, plain), (MONTY, monty)],
        ),
        section(
            "Python: request to result, no worker waits",
            "The same with an empty pool: a fork puts up its fences first.".to_owned(),
            vec![(OURS, fresh), (BUBBLEWRAP, bubblewrap)],
        ),
        section(
            "Python: code that imports pandas, no worker waits",
            "Ours is a fork of a process that has pandas loaded.".to_owned(),
            vec![(OURS, pandas), (PLAIN, plain_pandas)],
        ),
    ])
}

async fn throughput(
    peers: &Peers,
    pooled: &Arc<LocalSandbox>,
    effort: Effort,
) -> anyhow::Result<Section> {
    let time = Duration::from_secs(u64::try_from(effort.seconds_per_round)?);
    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..effort.rounds {
        let began = Instant::now();
        let lanes: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let sandbox = Arc::clone(pooled);
                tokio::spawn(async move {
                    let mut runs = 0_u32;
                    while began.elapsed() < time {
                        once(&sandbox, CODE).await?;
                        runs += 1;
                    }
                    anyhow::Ok(runs)
                })
            })
            .collect();
        let mut runs = 0;
        for lane in lanes {
            runs += lane.await??;
        }
        ours.push(f64::from(runs) / began.elapsed().as_secs_f64());
        theirs.push(tokio::task::block_in_place(|| many(peers, time))?);
    }
    Ok(Section {
        title: "Python: runs per second".to_owned(),
        note: format!("{IN_FLIGHT} runs in flight, each with processes of its own."),
        unit: "runs/s",
        sides: vec![(OURS.to_owned(), ours), (BUBBLEWRAP.to_owned(), theirs)],
        larger_is_better: true,
    })
}

/// Runs of bubblewrap per second.
fn many(peers: &Peers, time: Duration) -> anyhow::Result<f64> {
    let began = Instant::now();
    let runs = std::thread::scope(|scope| {
        let lane = || {
            let mut runs = 0_u32;
            while began.elapsed() < time {
                timed(peers.bubblewrap())?;
                runs += 1;
            }
            anyhow::Ok(runs)
        };
        let lanes: Vec<_> = (0..IN_FLIGHT).map(|_| scope.spawn(lane)).collect();
        let mut runs = 0;
        for lane in lanes {
            runs += lane.join().map_err(|_| anyhow::anyhow!("a lane ended"))??;
        }
        anyhow::Ok(runs)
    })?;
    Ok(f64::from(runs) / began.elapsed().as_secs_f64())
}

/// Calls of the host from code, one after the other.
async fn callbacks(
    sandbox: &LocalSandbox,
    effort: Effort,
    monty: &[f64],
) -> anyhow::Result<Section> {
    let code = format!(
        "for number in range({CALLS}):\n    result = await _call_mcp_tool('add', {{'a': number, 'b': 1}})\n\
         assert result == {{'sum': {CALLS}}}, result"
    );
    let mut ours = vec![];
    for _ in 0..effort.rounds {
        let mut spec = RunSpec::new(code.clone());
        spec.limits.calls = u32::MAX;
        let began = Instant::now();
        let mut handle = sandbox.start(spec).await?;
        while let Some(event) = handle.next().await {
            match event {
                Event::Call(call) => {
                    let number =
                        |name| call.arguments.get(name).and_then(serde_json::Value::as_i64);
                    let sum = number("a").unwrap_or(0) + number("b").unwrap_or(0);
                    handle.reply(call.id, Ok(json!({"sum": sum}))).await;
                }
                Event::Ended(outcome) => {
                    ensure!(matches!(outcome.end, End::Success(_)), "{:?}", outcome.end);
                }
                Event::Output { .. } | Event::Ask(_) => {}
            }
        }
        ours.push(f64::from(CALLS) / began.elapsed().as_secs_f64());
    }
    Ok(Section {
        title: "Python: calls of the host from code".to_owned(),
        note: "One after the other, out of the sandbox and back, to a function that adds."
            .to_owned(),
        unit: "calls/s",
        sides: vec![(OURS.to_owned(), ours), (MONTY.to_owned(), monty.to_vec())],
        larger_is_better: true,
    })
}

/// Calls of a real tool from code, through the server's dispatcher, where the server runs code.
async fn dispatched(
    binary: &Path,
    effort: Effort,
    monty: &[f64],
    measured: &Measured,
) -> anyhow::Result<Option<Section>> {
    let Measured { tool, arguments, what } = measured;
    let folder = tempfile::tempdir()?;
    let mut command = tokio::process::Command::new(binary);
    command.args(["stdio", "--data-dir"]).arg(folder.path()).env("ATELIER_LOG", "error");
    let client = ().serve(TokioChildProcess::new(command)?).await?;
    let tools = client.list_all_tools().await?;
    if !tools.iter().any(|tool| tool.name == "execute_python_code") {
        client.cancel().await?;
        return Ok(None);
    }
    let code = format!(
        "import time\nbegan = time.perf_counter()\nfor _ in range({DISPATCHED_CALLS}):\n    \
         await _call_mcp_tool('{tool}', {arguments})\n{DISPATCHED_CALLS} / (time.perf_counter() - began)"
    );
    let mut ours = vec![];
    for _ in 0..=effort.rounds {
        let arguments = json!({"code": code, "timeout_seconds": 120});
        let mut call = CallToolRequestParams::new("execute_python_code");
        call.arguments = arguments.as_object().cloned();
        let result = client.call_tool(call).await?;
        let rate = result
            .structured_content
            .as_ref()
            .and_then(|content| content.get("result"))
            .and_then(serde_json::Value::as_f64)
            .with_context(|| format!("no rate: {result:?}"))?;
        ours.push(rate);
    }
    client.cancel().await?;
    // The first one warms up.
    ours.remove(0);
    Ok(Some(Section {
        title: format!("Python: calls of a tool that {what} from code"),
        note: format!(
            "`{tool}` through the server's dispatcher, with its checks and the record of each result, \
             beside Monty's call of a function that adds."
        ),
        unit: "calls/s",
        sides: vec![(OURS.to_owned(), ours), (MONTY.to_owned(), monty.to_vec())],
        larger_is_better: true,
    }))
}

/// A Python environment with pydantic-monty, made once under `target/`.
fn python_with_monty(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join("target/bench-monty");
    let python = folder.join("bin/python");
    if !python.exists() {
        let made = Command::new("/usr/bin/python3").args(["-m", "venv"]).arg(&folder).status()?;
        let installed = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "pydantic-monty==1.4.0"])
            .status()?;
        if !made.success() || !installed.success() {
            let _ = std::fs::remove_dir_all(&folder);
            bail!("cannot install the `pydantic-monty` package; try `python3 -m venv` by hand");
        }
    }
    Ok(python)
}
