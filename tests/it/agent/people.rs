//! People asked about calls: by elicitation in both eras of the protocol, and after a crash.

use std::time::Duration;

use fake_llm::{FakeLlm, Reply, Rule, Script};
use serde_json::{Value, json};

use crate::support::product::{Installation, StdioClient, structured};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mcp/server.py");
const PAGE: &str =
    "<!DOCTYPE html><html><head><title>Tea</title></head><body><h1>Tea</h1></body></html>";

/// A workflow whose model deletes an app and then says what it read.
async fn tidying() -> (Installation, FakeLlm) {
    let call = || Reply::tool_call("c", "delete_document", json!({"app_name": "tea"}));
    let script = Script::new()
        .rule(
            Rule::reply(Reply::text("It stays."))
                .on_tool_result("declined|closed the question|needs somebody"),
        )
        .rule(Rule::reply(Reply::text("It is gone.")).on_tool_result("success"))
        .rule(Rule::reply(call()).on_user_text("Tidy up"));
    let model = FakeLlm::start(script).await.unwrap();
    let installation = Installation::new();
    installation.write(
        "flows.json",
        &json!({"tidy": {"tools": ["delete_document"], "max_conversation_turns": 4}}).to_string(),
    );
    let flows = installation.folder().join("flows.json").to_string_lossy().into_owned();
    let installation = installation
        .with("ATELIER_WORKFLOWS", flows)
        .with("ATELIER_BROWSER__VERIFY", "false")
        .with("GEMINI_API_KEY", "key")
        .with("GEMINI_BASE_URL", model.base_url());
    (installation, model)
}

async fn with_app(client: &mut StdioClient) {
    let made = client.call("create_web_app", json!({"app_name": "tea", "html": PAGE})).await;
    assert_eq!(made["status"], "success", "{made}");
}

async fn apps(client: &mut StdioClient) -> usize {
    let listed = client.call("list_web_apps", json!({})).await;
    listed["web_apps"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_user_of_a_client_is_asked_before_something_is_destroyed() {
    let run = json!({"name": "tidy", "query": "Tidy up"});
    // A client that cannot ask: refused, with the way out.
    let (installation, model) = tidying().await;
    let mut client = installation.stdio().await;
    with_app(&mut client).await;
    let refused = client.call("run_workflow", run.clone()).await;
    assert_eq!(refused["tool_calls"][0]["status"], "denied", "{refused}");
    let told = model.model_requests().last().unwrap().tool_result.clone().unwrap();
    assert!(told.contains("a client that can ask its user"), "{told}");
    assert_eq!(apps(&mut client).await, 1);
    client.close().await;

    // One that can: what is asked names tool and arguments, and the word counts.
    for (answer, left, said) in [
        (json!({"action": "decline"}), 1, "It stays."),
        (json!({"action": "cancel"}), 1, "It stays."),
        (json!({"action": "accept", "content": {"decision": "deny"}}), 1, "It stays."),
        (json!({"action": "accept", "content": {"decision": "allow"}}), 0, "It is gone."),
    ] {
        let (installation, _model) = tidying().await;
        let mut client = StdioClient::start(installation.command(&["stdio"]));
        client.initialize(json!({"elicitation": {}})).await;
        with_app(&mut client).await;
        client.elicitation_answer = Some(answer.clone());
        let result = client.call("run_workflow", run.clone()).await;
        assert_eq!(result["answer"], said, "{answer}: {result}");
        assert_eq!(client.elicited.len(), 1);
        let question = client.elicited[0]["message"].as_str().unwrap();
        for word in ["`tidy`", "`delete_document`", "\"app_name\": \"tea\""] {
            assert!(question.contains(word), "{word}: {question}");
        }
        let choices = &client.elicited[0]["requestedSchema"]["properties"]["decision"]["enum"];
        assert_eq!(choices, &json!(["allow", "allow_for_run", "deny"]));
        assert_eq!(apps(&mut client).await, left, "{answer}");
        client.close().await;
    }
}

#[tokio::test]
async fn a_client_of_the_newer_protocol_gets_the_question_in_place_of_a_result() {
    for (answer, left, said) in [
        (json!({"action": "decline"}), 1, "It stays."),
        (json!({"action": "accept", "content": {"decision": "allow"}}), 0, "It is gone."),
    ] {
        let (installation, _model) = tidying().await;
        let mut client = StdioClient::start(installation.command(&["stdio"]));
        client.modern(&json!({"elicitation": {"form": {}}}));
        with_app(&mut client).await;
        let run = json!({"name": "tidy", "query": "Tidy up"});
        let params = json!({"name": "run_workflow", "arguments": run});
        let asked = client.request("tools/call", params.clone()).await;
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        let question = &asked["inputRequests"]["approval"];
        assert_eq!(question["method"], "elicitation/create");
        let words = question["params"]["message"].as_str().unwrap();
        assert!(words.contains("`delete_document`"), "{words}");
        // Nothing is done before the answer, however long that takes.
        assert_eq!(apps(&mut client).await, 1);
        // The state is the client's to carry and not to change.
        let state = asked["requestState"].as_str().unwrap();
        let forged = format!("{}x", &state[..state.len() - 1]);
        let mut retry = params.clone();
        retry["inputResponses"] = json!({"approval": answer});
        retry["requestState"] = json!(forged);
        let refused = client.exchange("tools/call", retry.clone()).await;
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        retry["requestState"] = json!(state);
        let result = structured(&client.request("tools/call", retry).await);
        assert_eq!(result["answer"], said, "{answer}: {result}");
        assert_eq!(apps(&mut client).await, left, "{answer}");
        client.close().await;
    }
    // A client that cannot ask its user gets no question.
    let (installation, _model) = tidying().await;
    let mut client = StdioClient::start(installation.command(&["stdio"]));
    client.modern(&json!({}));
    with_app(&mut client).await;
    let result = client.call("run_workflow", json!({"name": "tidy", "query": "Tidy up"})).await;
    assert_eq!(result["tool_calls"][0]["status"], "denied", "{result}");
    client.close().await;
}

/// A run that is killed while its call runs, and made again by a client that can ask its user.
async fn cut_off(answer: Value) -> (Value, usize, Vec<Value>) {
    let installation = Installation::new()
        .with("ATELIER_LIMITS__LEASE_S", "2")
        .with("ATELIER_LIMITS__ANSWER_BUDGET_S", "0.5");
    let path = |name: &str| installation.folder().join(name).to_string_lossy().into_owned();
    let (until, count) = (path("until"), path("count"));
    let arguments = json!({"until": until, "count": count});
    let script = Script::new()
        .rule(
            Rule::reply(Reply::tool_call("c", "scripted__progress", arguments))
                .on_user_text("Go")
                .times(1),
        )
        .rule(Rule::reply(Reply::text("Not again.")).on_tool_result("does not want it made again"))
        .rule(Rule::reply(Reply::text("Done.")).on_tool_result("progressed"));
    let model = FakeLlm::start(script).await.unwrap();
    installation.write(
        "flows.json",
        &json!({"go": {"mcp_servers_used": ["scripted"], "on_interrupted": "ask"}}).to_string(),
    );
    let entry = json!({"mcpServers": {"scripted": {"command": ["python3", SCRIPT]}}});
    installation.write("mcp_servers.json", &entry.to_string());
    let (flows, servers) = (path("flows.json"), path("mcp_servers.json"));
    let installation = installation
        .with("ATELIER_WORKFLOWS", flows)
        .with("ATELIER_MCP_SERVERS", servers)
        .with("GEMINI_API_KEY", "key")
        .with("GEMINI_BASE_URL", model.base_url());
    let calls = || std::fs::read_to_string(&count).map_or(0, |text| text.lines().count());
    let run = json!({"name": "go", "query": "Go"});
    let mut first = StdioClient::start(installation.command(&["stdio"]));
    first.initialize(json!({"elicitation": {}})).await;
    let started = first.call("run_workflow", run.clone()).await;
    assert_eq!(started["status"], "running", "{started}");
    tokio::time::timeout(Duration::from_mins(1), async {
        while calls() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    first.kill().await;
    std::fs::write(&until, "").unwrap();

    let mut second = StdioClient::start(installation.command(&["stdio"]));
    second.initialize(json!({"elicitation": {}})).await;
    second.elicitation_answer = Some(answer);
    // Another process takes the run over when the lease of the dead one is over. It has nobody to
    // ask, and so waits for somebody who can be asked.
    let job = json!({"job_id": started["job_id"], "wait_seconds": 1});
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    loop {
        let state = second.call("get_job", job.clone()).await;
        if state["code"] == "person_needed" {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{state}");
        assert!(state["status"] == "running" || state["code"] == "interrupted", "{state}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(second.elicited.is_empty());
    let mut result = second.call("run_workflow", run).await;
    while result["status"] == "running" {
        result = second.call("get_job", job.clone()).await;
    }
    assert_eq!(model.model_requests().len(), 2, "the first answer is not paid twice");
    let elicited = second.elicited.clone();
    second.close().await;
    (result, calls(), elicited)
}

#[tokio::test]
async fn a_call_that_was_cut_off_is_made_again_only_when_the_user_says_so() {
    let (result, calls, asked) = cut_off(json!({"action": "decline"})).await;
    assert_eq!((&result["answer"], calls), (&json!("Not again."), 1), "{result}");
    assert_eq!(asked.len(), 1);
    let question = asked[0]["message"].as_str().unwrap();
    assert!(question.contains("Shall it be made again?"), "{question}");

    let yes = json!({"action": "accept", "content": {"decision": "allow"}});
    let (result, calls, asked) = cut_off(yes).await;
    assert_eq!((&result["answer"], calls, asked.len()), (&json!("Done."), 2, 1), "{result}");
}

/// What became of a call of the scripted server's destructive tool, and the tools that were offered.
async fn destroyed(entry: Value) -> String {
    let script = Script::new()
        .rule(
            Rule::reply(Reply::tool_call("c", "scripted__destroy", json!({})))
                .on_user_text("Go")
                .times(1),
        )
        .rule(Rule::reply(Reply::text("So be it.")));
    let model = FakeLlm::start(script).await.unwrap();
    let installation = Installation::new();
    let flow = json!({"go": {"mcp_servers_used": ["scripted"]}});
    installation.write("flows.json", &flow.to_string());
    let mut server = json!({"command": ["python3", SCRIPT]});
    server.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
    let servers = json!({"mcpServers": {"scripted": server}});
    installation.write("mcp_servers.json", &servers.to_string());
    let path = |name: &str| installation.folder().join(name).to_string_lossy().into_owned();
    let (flows, servers) = (path("flows.json"), path("mcp_servers.json"));
    let installation = installation
        .with("ATELIER_WORKFLOWS", flows)
        .with("ATELIER_MCP_SERVERS", servers)
        .with("GEMINI_API_KEY", "key")
        .with("GEMINI_BASE_URL", model.base_url());
    let run = ["workflow", "run", "go", "--query", "Go", "--json"];
    let looked = installation.run(&[&run[..], &["--dry-run"]].concat()).await;
    assert!(model.model_requests().is_empty(), "a look asks nobody");
    let tools = looked.json()["tools"].as_array().unwrap().clone();
    let destroy = tools.iter().find(|tool| tool["name"] == "scripted__destroy").unwrap();
    let result = installation.run(&run).await.json();
    let status = result["tool_calls"][0]["status"].as_str().unwrap().to_owned();
    assert_eq!(destroy["asks_first"], status == "denied", "a look tells what will be");
    status
}

#[tokio::test]
async fn naming_a_server_of_one_tool_is_consent_to_it_and_of_several_is_not() {
    assert_eq!(destroyed(json!({})).await, "denied");
    assert_eq!(destroyed(json!({"allowed_tools": ["destroy", "echo"]})).await, "denied");
    assert_eq!(destroyed(json!({"allowed_tools": ["destroy"]})).await, "ok");
}
