//! Servers that a model writes in parts: a design, then each body by itself, several at a time. With the
//! real binary, counted by what the model is asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fake_llm::{CapturedRequest, FakeLlm, Fault, Outcome, Reply, Rule, Script};
use serde_json::{Value, json};

use crate::support::factory_python::environment;
use crate::support::product::{Installation, StdioClient};

/// Tools of the design, in its order, which is not that of the alphabet.
const TOOLS: [&str; 6] = ["zeta", "alpha", "mid", "beta", "omega", "delta"];

/// Six tools without bodies.
fn design() -> String {
    let tools: Vec<Value> = TOOLS
        .iter()
        .zip(1..)
        .map(|(name, number)| {
            json!({
                "name": name, "description": format!("Adds {number}."),
                "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                "dependencies": [], "environment": [], "hosts": [],
                "examples": [{"arguments": {"a": 1}, "result": 1 + number}],
            })
        })
        .collect();
    json!({"title": "Adders", "description": "Adds.", "tools": tools}).to_string()
}

fn body(name: &str) -> String {
    let number = TOOLS.iter().position(|tool| *tool == name).unwrap() + 1;
    let code = format!("async def run(args, ctx):\n    return args['a'] + {number}\n");
    json!({ "implementation": code }).to_string()
}

/// What the question about a body says about its tool.
fn about(name: &str) -> String {
    format!("\"name\": \"{name}\"")
}

const OF_BODIES: &str = "You write the body of one tool";

fn good(name: &'static str) -> Rule {
    Rule::reply(Reply::text(body(name))).on_system(OF_BODIES).on_user_text(about(name))
}

fn of_design() -> Rule {
    Rule::reply(Reply::text(design())).on_system("You design the tools")
}

fn installation(server: &FakeLlm) -> Installation {
    Installation::new()
        .with("ANTHROPIC_API_KEY", "test-key")
        .with("ANTHROPIC_BASE_URL", server.base_url())
        .with("ATELIER_FACTORY__UNSANDBOXED", "true")
        .with("ATELIER_LIMITS__ANSWER_BUDGET_S", "300")
        .with("ATELIER_LIMITS__LEASE_S", "0.5")
        .with("ATELIER_FACTORY__ENVIRONMENT", environment().to_str().unwrap())
}

async fn create(client: &mut StdioClient) -> Value {
    client.call("create_mcp_server", json!({"description": "six adders"})).await
}

/// How often each tool's body was asked for.
fn asked(server: &FakeLlm) -> BTreeMap<&'static str, usize> {
    let requests = server.model_requests();
    let times = |name: &str| {
        let of_body = |text: &str| text.contains(OF_BODIES);
        requests
            .iter()
            .filter(|request| request.system.as_deref().is_some_and(of_body))
            .filter(|request| {
                request.body["messages"][0].to_string().contains(&about(name).replace('"', "\\\""))
            })
            .count()
    };
    TOOLS.into_iter().map(|name| (name, times(name))).collect()
}

fn each(times: usize) -> BTreeMap<&'static str, usize> {
    TOOLS.into_iter().map(|name| (name, times)).collect()
}

#[tokio::test]
async fn bodies_are_written_side_by_side_and_stand_in_order() {
    // The first four are held back, so that what waits for them shows how many are asked at a time.
    let hold = |name| good(name).fault(Fault::StallHeaders { millis: Some(3000) }).times(1);
    let mut script = Script::new().rule(of_design());
    for name in TOOLS.iter().take(4) {
        script = script.rule(hold(*name));
    }
    for name in TOOLS {
        script = script.rule(good(name));
    }
    let server = FakeLlm::start(script).await.unwrap();
    let installation = installation(&server);
    let mut client = installation.stdio().await;
    let in_flight = |requests: &[CapturedRequest]| {
        requests.iter().filter(|request| request.outcome == Outcome::InFlight).count()
    };
    let watched = async {
        // Four are asked before one of them has answered, and a fifth only when one has.
        let limit = Duration::from_mins(1);
        let four = server.wait_for(limit, |requests| requests.len() == 5).await.unwrap();
        assert_eq!(in_flight(&four), 4, "{four:#?}");
        let fifth = server.wait_for(limit, |requests| requests.len() >= 6).await.unwrap();
        assert!(in_flight(&fifth) <= 4, "{fifth:#?}");
    };
    let (made, ()) = tokio::join!(create(&mut client), watched);
    assert_eq!(made["status"], "success", "{made:#}");
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    let names: Vec<&str> = made["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, TOOLS);
    let path = Path::new(made["path"].as_str().unwrap());
    let log = std::fs::read_to_string(path.join("execution_log.json")).unwrap();
    let log: Value = serde_json::from_str(&log).unwrap();
    let purposes: Vec<&str> = log["llm_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| call["purpose"].as_str().unwrap())
        .collect();
    let mut expected = vec!["tools".to_owned()];
    expected.extend(TOOLS.map(|name| format!("body of {name}")));
    assert_eq!(purposes, expected);
    client.close().await;
}

#[tokio::test]
async fn a_run_that_was_killed_asks_for_no_body_twice() {
    // The last two are never answered the first time; the other four are.
    let stuck = |name| good(name).fault(Fault::StallHeaders { millis: None }).times(1);
    let mut script = Script::new().rule(of_design());
    for name in ["omega", "delta"] {
        script = script.rule(stuck(name));
    }
    for name in TOOLS {
        script = script.rule(good(name));
    }
    let server = FakeLlm::start(script).await.unwrap();
    let installation = installation(&server);
    let mut client = installation.stdio().await;
    let call = json!({"name": "create_mcp_server", "arguments": {"description": "six adders"}});
    client.send(&json!({"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": call})).await;
    server.wait_for(Duration::from_mins(1), |requests| requests.len() == 7).await.unwrap();
    let database = installation.data().join("atelier.db");
    until(&database, "SELECT count(*) = 4 FROM step WHERE name LIKE 'body %'").await;
    client.kill().await;

    // The same call again goes on with the job that was lost.
    let mut client = installation.stdio().await;
    until(&database, "SELECT count(*) = 1 FROM job WHERE state = 'interrupted'").await;
    let made = create(&mut client).await;
    assert_eq!(made["status"], "success", "{made:#}");
    assert_eq!(made["version"], 1);
    let mut expected = each(1);
    expected.insert("omega", 2);
    expected.insert("delta", 2);
    assert_eq!(asked(&server), expected);
    assert_eq!(server.model_requests().len(), 1 + 8);
    client.close().await;
}

/// Waits until a question to the database is answered with yes.
async fn until(database: &Path, question: &'static str) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database).read_only(true);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let waiting = async {
        while !sqlx::query_scalar::<_, bool>(question).fetch_one(&mut connection).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.expect(question);
}

#[tokio::test]
async fn a_body_that_fails_is_written_again_and_no_other() {
    let wrong = |name, text: String| {
        Rule::reply(Reply::text(text)).on_system(OF_BODIES).on_user_text(about(name)).times(1)
    };
    let code = |code: &str| json!({ "implementation": code }).to_string();
    let mut script = Script::new()
        .rule(of_design())
        // No JSON; no Python; and later on a wrong sum, which the self-test finds.
        .rule(wrong("zeta", "Certainly!".to_owned()))
        .rule(wrong("mid", code("async def run(args, ctx)\n    return 1\n")))
        .rule(wrong("beta", code("async def run(args, ctx):\n    return args['a'] - 4\n")));
    for name in TOOLS {
        script = script.rule(good(name));
    }
    // What is asked again says what was wrong, and no longer what the tool is.
    for (name, problem) in
        [("zeta", "no JSON object"), ("mid", "no Python"), ("beta", "beta_example_1")]
    {
        let again = Rule::reply(Reply::text(body(name))).on_system(OF_BODIES);
        script = script.rule(again.on_user_text(problem));
    }
    let server = FakeLlm::start(script).await.unwrap();
    let installation = installation(&server);
    let mut client = installation.stdio().await;
    let made = create(&mut client).await;
    assert_eq!(made["status"], "success", "{made:#}");
    let mut expected = each(1);
    for name in ["zeta", "mid", "beta"] {
        expected.insert(name, 2);
    }
    assert_eq!(asked(&server), expected);
    assert_eq!(server.model_requests().len(), 1 + 9);
    server.assert_all_matched();
    client.close().await;
}

#[tokio::test]
async fn a_host_is_asked_for_everything_at_once() {
    let installation = Installation::new()
        .with("ATELIER_FACTORY__UNSANDBOXED", "true")
        .with("ATELIER_LIMITS__ANSWER_BUDGET_S", "300")
        .with("ATELIER_FACTORY__ENVIRONMENT", environment().to_str().unwrap());
    let mut client = installation.stdio().await;
    let question = create(&mut client).await;
    assert_eq!(question["status"], "needs_completion", "{question:#}");
    let system = question["prompt"]["system"].as_str().unwrap();
    assert!(system.contains("`implementation`: Python 3.11"), "{system}");
    assert!(!system.contains("written in parts"), "{system}");
    let mut whole: Value = serde_json::from_str(&design()).unwrap();
    for tool in whole["tools"].as_array_mut().unwrap() {
        let body: Value = serde_json::from_str(&body(tool["name"].as_str().unwrap())).unwrap();
        tool["implementation"] = body["implementation"].clone();
    }
    let made = client
        .call("submit_completion", json!({"handle": question["handle"], "text": whole.to_string()}))
        .await;
    assert_eq!(made["status"], "success", "{made:#}");
    assert_eq!(made["tool_count"], 6);
    client.close().await;
}
