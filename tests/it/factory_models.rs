//! Tools that a model wrote, with the real binary: whatever its answer fails at, it is told and asked
//! again; what cannot be put right is an error with its log, and nothing of it stays.

use std::time::{Duration, Instant};

use fake_llm::{FakeLlm, Fault, Reply, Rule, Script};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::support::factory_python::environment;
use crate::support::product::{Installation, StdioClient};

/// An answer with one tool that is said to add.
fn answer(body: &str) -> String {
    json!({"title": "Adder", "description": "Adds.", "tools": [{
        "name": "add",
        "description": "Adds two numbers.",
        "input_schema": {
            "type": "object",
            "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
            "required": ["a", "b"],
        },
        "implementation": body,
        "dependencies": [], "environment": [], "hosts": [],
        "examples": [{"arguments": {"a": 2, "b": 3}, "result": 5}],
    }]})
    .to_string()
}

fn good() -> String {
    answer("async def run(args, ctx):\n    return args['a'] + args['b']\n")
}

/// What is wrong with an answer, and a word of what its author must be told.
fn bad(what: &str) -> (String, &'static str) {
    match what {
        "prose" => ("Certainly! Here is your server.".to_owned(), "no JSON object"),
        "parse" => (answer("async def run(args, ctx)\n    return 5\n"), "no Python"),
        "scan" => (
            answer(
                "import os\nasync def run(args, ctx):\n    os.system(f\"echo {args['a']}\")\n    return 5\n",
            ),
            "`os.system` starts a shell",
        ),
        "import" => (
            answer(
                "from math import no_such_function\nasync def run(args, ctx):\n    return no_such_function(args['a'])\n",
            ),
            "cannot import name",
        ),
        "crash" => (
            answer("async def run(args, ctx):\n    return {}[args['a']]\n"),
            "internal error in `add`: KeyError",
        ),
        "test" => (answer("async def run(args, ctx):\n    return args['a'] - args['b']\n"), "-1"),
        other => panic!("{other}"),
    }
}

async fn model(stages: &[&str], end: Option<String>) -> FakeLlm {
    let mut script = Script::new();
    for stage in stages {
        script = script.rule(Rule::reply(Reply::text(bad(stage).0)).times(1));
    }
    if let Some(end) = end {
        script = script.reply(Reply::text(end));
    }
    FakeLlm::start(script).await.unwrap()
}

async fn client(server: &FakeLlm) -> (Installation, StdioClient) {
    let installation = Installation::new()
        .with("ANTHROPIC_API_KEY", "test-key")
        .with("ANTHROPIC_BASE_URL", server.base_url())
        .with("ATELIER_FACTORY__UNSANDBOXED", "true")
        .with("ATELIER_LIMITS__ANSWER_BUDGET_S", "300")
        .with("ATELIER_FACTORY__ENVIRONMENT", environment().to_str().unwrap());
    let client = installation.stdio().await;
    (installation, client)
}

async fn create(client: &mut StdioClient) -> Value {
    client.call("create_mcp_server", json!({ "description": "adds two numbers" })).await
}

/// What every author was told before the next answer.
fn check_told(server: &FakeLlm, stages: &[&str]) {
    let requests = server.model_requests();
    for (number, stage) in stages.iter().enumerate() {
        if let Some(next) = requests.get(number + 1) {
            let told = next.user_text.as_deref().unwrap_or_default();
            assert!(told.contains(bad(stage).1), "after `{stage}`: {told}");
            // The answer that it is about stands before it.
            assert!(next.body_text.contains("adds two numbers"), "{}", next.body_text);
        }
    }
}

fn staged(installation: &Installation) -> usize {
    let folder = installation.data().join("servers/.staging");
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn bodies_that_fail_are_repaired() {
    for stages in [["parse", "scan", "import"].as_slice(), &["prose", "crash"], &["test"]] {
        let server = model(stages, Some(good())).await;
        let (installation, mut client) = client(&server).await;
        let made = create(&mut client).await;
        assert_eq!(made["status"], "success", "{stages:?}: {made:#}");
        assert_eq!(
            (&made["self_test"]["level"], &made["self_test"]["failed"]),
            (&json!("tested"), &json!(0)),
            "{made:#}"
        );
        assert_eq!(server.model_requests().len(), stages.len() + 1);
        check_told(&server, stages);
        // The log tells of every answer; the package holds the last one alone.
        let path = std::path::Path::new(made["path"].as_str().unwrap());
        let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
        let log: Value = serde_json::from_str(&read("execution_log.json")).unwrap();
        assert_eq!(log["llm_calls"].as_array().unwrap().len(), stages.len() + 1, "{log:#}");
        let refused: Vec<&str> = log["steps"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|step| step["step"] == "refused")
            .map(|step| step["details"].as_str().unwrap())
            .collect();
        assert_eq!(refused.len(), stages.len(), "{log:#}");
        for (stage, refused) in stages.iter().zip(refused) {
            assert!(refused.contains(bad(stage).1), "{stage}: {refused}");
        }
        assert!(read("EXECUTION_LOG.md").contains("refused"));
        assert!(read("tools/add.py").contains("args['a'] + args['b']"));
        assert_eq!(staged(&installation), 0);
        // What was repaired runs.
        let started =
            client.call("start_mcp_server", json!({"server_name": made["server_name"]})).await;
        assert_eq!(started["tools"].as_array().map(Vec::len), Some(1), "{started:#}");
        let (code, _) = client.close().await;
        assert_eq!(code, Some(0));
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_repaired_are_an_error_with_its_log() {
    let stages = ["parse", "scan", "import", "test"];
    let server = model(&stages, Some(good())).await;
    let (installation, mut client) = client(&server).await;
    let refused = create(&mut client).await;
    assert_eq!(refused["code"], "factory_no_specification", "{refused:#}");
    assert!(refused["message"].as_str().unwrap().contains("after 4 answers"), "{refused:#}");
    assert!(refused["problems"][0].as_str().unwrap().contains("-1"), "{refused:#}");
    let log = &refused["execution_log"];
    assert_eq!(log["llm_calls"].as_array().map(Vec::len), Some(4), "{refused:#}");
    let text = log["steps"].to_string();
    for stage in stages {
        assert!(text.contains(bad(stage).1), "{stage}: {log:#}");
    }
    assert_eq!(server.model_requests().len(), 4);
    check_told(&server, &stages);
    // Nothing of it is listed, startable or on disk.
    let listed = client.call("list_mcp_servers", json!({})).await;
    assert_eq!(listed["servers"], json!([]), "{listed:#}");
    let unknown = client.call("start_mcp_server", json!({"server_name": "adder"})).await;
    assert_eq!(unknown["code"], "factory_unknown_server", "{unknown:#}");
    assert_eq!(staged(&installation), 0);
    // The same call again does not fail at the same answers: the model is asked anew.
    let made = create(&mut client).await;
    assert_eq!(made["status"], "success", "{made:#}");
    assert_eq!(server.model_requests().len(), 5);
    let listed = client.call("list_mcp_servers", json!({})).await;
    assert_eq!(listed["servers"].as_array().map(Vec::len), Some(1), "{listed:#}");
    client.close().await;
}

/// Whether a job that was lost is known to be.
async fn is_interrupted(installation: &Installation) -> bool {
    let options = SqliteConnectOptions::new()
        .filename(installation.data().join("atelier.db"))
        .read_only(true)
        .busy_timeout(Duration::from_secs(10));
    let mut connection = options.connect().await.unwrap();
    let query = sqlx::query_scalar("SELECT count(*) FROM job WHERE state = 'interrupted'");
    let count: i64 = query.fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count > 0
}

/// The first answer is paid and refused; the program is killed while the second is written.
#[tokio::test]
async fn an_answer_is_not_paid_twice_after_a_crash() {
    let script = Script::new()
        .rule(Rule::reply(Reply::text(bad("prose").0)).times(1))
        .rule(Rule::reply(Reply::text(good())).fault(Fault::StallHeaders { millis: None }).times(1))
        .reply(Reply::text(good()));
    let server = FakeLlm::start(script).await.unwrap();
    let (installation, first) = client(&server).await;
    let installation = installation.with("ATELIER_LIMITS__LEASE_S", "0.5");
    first.kill().await;
    let mut first = installation.stdio().await;
    let call =
        json!({"name": "create_mcp_server", "arguments": {"description": "adds two numbers"}});
    first.send(&json!({"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": call})).await;
    server.wait_for(Duration::from_mins(1), |requests| requests.len() == 2).await.unwrap();
    first.kill().await;
    let mut second = installation.stdio().await;
    // The lost job is free once its lease has run out.
    let begun = Instant::now();
    while !is_interrupted(&installation).await {
        assert!(begun.elapsed() < Duration::from_mins(1), "the lost job is still held");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let made = create(&mut second).await;
    assert_eq!(made["status"], "success", "{made:#}");
    // Only what was never answered was asked again, with what the first answer was refused for.
    let requests = server.model_requests();
    assert_eq!(requests.len(), 3);
    check_told(&server, &["prose", "prose"]);
    second.close().await;
}
