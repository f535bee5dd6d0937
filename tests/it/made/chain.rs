//! From a description to calls by every way, and what happens when something ends in between.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Api, installation};
use crate::support::product::{Installation, StdioClient, get};
use crate::transport::http_client::plain_client;

/// Names of the tools that a search finds.
async fn found(client: &mut StdioClient, query: &str) -> Vec<String> {
    let result = client.call("search_tools", json!({"query": query, "limit": 20})).await;
    let tools = result["tools"].as_array().unwrap_or_else(|| panic!("{result}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

async fn made(client: &mut StdioClient, api: &Api) -> Value {
    let made = client.call("create_mcp_server", json!({"openapi": api.document()})).await;
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    made
}

async fn listed(client: &mut StdioClient) -> Value {
    client.call("list_mcp_servers", json!({})).await["servers"][0].clone()
}

/// A call as the script of a hosted page sends it.
async fn page_call(url: &str, tool: &str) -> Value {
    let (_, page) = get(url).await;
    let (_, rest) = page.rsplit_once("})({").expect("the page has its script");
    let (boot, _) = rest.split_once(");</script>").unwrap();
    let boot: Value = serde_json::from_str(&format!("{{{boot}")).unwrap();
    let body = json!({"token": boot["tools"]["token"], "tool_name": tool, "arguments": {}});
    let request = plain_client().post(format!("{url}call")).header("origin", "null").json(&body);
    request.send().await.unwrap().json().await.unwrap()
}

/// Processes that serve a package of this installation.
fn processes(installation: &Installation) -> Vec<u32> {
    let folder = installation.data().join("servers").canonicalize().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(process) = entry.file_name().to_string_lossy().parse() else { continue };
        let place = std::fs::read_link(entry.path().join("cwd"));
        if place.is_ok_and(|place| place.starts_with(&folder)) {
            found.push(process);
        }
    }
    found
}

#[tokio::test]
async fn a_made_server_is_called_by_every_way_until_it_is_stopped() {
    let api = Api::start().await;
    let installation = installation();
    installation.write(
        "workflows.json",
        &json!({"traveller": {
            "description": "Plans journeys.",
            "mcp_servers_used": ["trips"],
            "initial_prompt_template": "Plan: {user_query}",
            "max_conversation_turns": 4,
        }})
        .to_string(),
    );
    let workflows = installation.folder().join("workflows.json").to_string_lossy().into_owned();
    let installation = installation.with("ATELIER_WORKFLOWS", workflows);
    let mut client = installation.stdio().await;

    made(&mut client, &api).await;
    assert_eq!(listed(&mut client).await["state"], "stopped");
    assert!(!found(&mut client, "journeys by train").await.contains(&"trips__listTrips".into()));
    let early = client.exchange("tools/call", json!({"name": "trips__listTrips"})).await;
    assert!(early["error"]["message"].as_str().unwrap().contains("Unknown tool"), "{early}");

    let started = client.call("start_mcp_server", json!({"server_name": "trips"})).await;
    assert_eq!(
        (&started["status"], &started["catalog_name"]),
        (&json!("success"), &json!("trips"))
    );
    let names: Vec<&str> = started["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"trips__listTrips"), "{started:#}");
    let state = listed(&mut client).await;
    assert_eq!((&state["state"], &state["running"]), (&json!("running"), &json!(true)), "{state}");

    // Found, described, called by the client.
    assert_eq!(found(&mut client, "journeys by train").await[0], "trips__listTrips");
    let described = client.call("describe_tool", json!({"name": "trips__getTrip"})).await;
    assert_eq!(described["inputSchema"]["required"], json!(["id"]), "{described:#}");
    let call = json!({"name": "trips__listTrips", "arguments": {}});
    let answered = client.call("call_tool", call).await;
    assert_eq!(answered["result"]["data"][1]["to"], "Faro", "{answered:#}");
    assert_eq!(*api.keys.lock().unwrap(), ["secret-key"], "the variable reaches the API");
    let named = client.call("trips__getTrip", json!({"id": 7})).await;
    assert_eq!(named["result"]["data"]["id"], 7, "{named:#}");

    // From code.
    let code = "answer = await _call_mcp_tool('trips__getTrip', {'id': 5})\nanswer['result']['data']['to']";
    let ran = client.call("execute_python_code", json!({"code": code})).await;
    assert_eq!(ran["result"], "Porto", "{ran:#}");

    // From a page.
    let app = json!({
        "app_name": "journeys", "html": "<!doctype html><title>Journeys</title>",
        "mcp_tool_names": ["trips__listTrips"],
    });
    let app = client.call("create_web_app", app).await;
    let url = app["url"].as_str().unwrap_or_else(|| panic!("{app:#}")).to_owned();
    let from_page = page_call(&url, "trips__listTrips").await;
    assert_eq!(from_page["result"]["result"]["data"][0]["to"], "Porto", "{from_page:#}");
    let other = page_call(&url, "trips__addTrip").await;
    assert_eq!(other["code"], "tool_not_allowed", "{other:#}");

    // From a workflow, with the host as its model.
    let mut run =
        client.call("run_workflow", json!({"name": "traveller", "query": "to the south"})).await;
    for text in [
        json!({"tool_calls": [{"name": "trips__listTrips", "arguments": {}}]}).to_string(),
        json!({"final": "Take the train to Faro."}).to_string(),
    ] {
        assert_eq!(run["status"], "needs_completion", "{run:#}");
        let handle = run["handle"].clone();
        run = client.call("submit_completion", json!({"handle": handle, "text": text})).await;
    }
    assert_eq!(run["answer"], "Take the train to Faro.", "{run:#}");
    let call = &run["tool_calls"][0];
    assert_eq!((&call["tool"], &call["ok"]), (&json!("trips__listTrips"), &json!(true)), "{run:#}");

    // Ended from outside, it costs at most the call that meets it.
    let [process] = processes(&installation)[..] else { panic!("one process runs") };
    std::process::Command::new("kill").args(["-9", &process.to_string()]).status().unwrap();
    let mut faults = 0;
    let again = loop {
        let answer = client.call("trips__getTrip", json!({"id": 8})).await;
        if answer["status"] != "error" {
            break answer;
        }
        faults += 1;
        assert!(faults < 2, "one call at most is lost: {answer:#}");
    };
    assert_eq!(again["result"]["data"]["id"], 8);

    let stopped = client.call("stop_mcp_server", json!({"server_name": "trips"})).await;
    assert_eq!(stopped["stopped"], true);
    assert!(processes(&installation).is_empty(), "no process is left");
    assert!(!found(&mut client, "journeys by train").await.contains(&"trips__listTrips".into()));
    let gone = client.call("call_tool", json!({"name": "trips__listTrips"})).await;
    assert_eq!(gone["code"], "unknown_tool", "{gone:#}");
    let gone = client.call("execute_python_code", json!({"code": code})).await;
    assert!(gone.to_string().contains("unknown_tool"), "{gone:#}");
    assert_eq!(listed(&mut client).await["state"], "stopped");
    client.close().await;
}

#[tokio::test]
async fn a_started_server_outlives_the_program_and_is_seen_by_others_on_its_folder() {
    let api = Api::start().await;
    let installation = installation();
    let mut first = installation.stdio().await;
    made(&mut first, &api).await;
    first.call("start_mcp_server", json!({"server_name": "trips"})).await;
    first.close().await;
    assert!(processes(&installation).is_empty(), "a process outlived the program");

    // Started again by the first call that needs it.
    let mut second = installation.stdio().await;
    assert_eq!(listed(&mut second).await["state"], "idle");
    assert!(processes(&installation).is_empty(), "listing starts nothing");
    let answer = second.call("trips__getTrip", json!({"id": 4})).await;
    assert_eq!(answer["result"]["data"]["id"], 4, "{answer:#}");
    assert_eq!(listed(&mut second).await["state"], "running");

    // What another process on the folder stops is gone here as well.
    let mut third = installation.stdio().await;
    // A search waits for servers a bounded time only; a call waits for its server.
    let answer = third.call("trips__getTrip", json!({"id": 5})).await;
    assert_eq!(answer["result"]["data"]["id"], 5, "{answer:#}");
    assert!(found(&mut third, "journeys").await.contains(&"trips__getTrip".into()));
    let stopped = third.call("stop_mcp_server", json!({"server_name": "trips"})).await;
    assert_eq!(stopped["stopped"], true);
    let gone = second.exchange("tools/call", json!({"name": "trips__getTrip"})).await;
    assert!(gone["error"]["message"].as_str().unwrap().contains("Unknown tool"), "{gone}");
    assert!(processes(&installation).is_empty(), "its process here ended too");
    third.close().await;
    second.close().await;
}

#[tokio::test]
async fn names_that_clash_and_servers_that_do_not_start() {
    let api = Api::start().await;
    let installation = installation();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mcp/server.py");
    installation.write(
        "mcp_servers.json",
        &json!({"mcpServers": {"Trips": {"command": "python3", "args": [script]}}}).to_string(),
    );
    let servers = installation.folder().join("mcp_servers.json").to_string_lossy().into_owned();
    let installation = installation.with("ATELIER_MCP_SERVERS", servers);
    let mut client = installation.stdio().await;
    made(&mut client, &api).await;
    let started = client.call("start_mcp_server", json!({"server_name": "trips"})).await;
    assert_eq!(started["status"], "warning", "{started:#}");
    assert_eq!(started["catalog_name"], "trips-made");
    assert!(started["message"].as_str().unwrap().contains("already"), "{started:#}");
    let made_one = client.call("trips-made__getTrip", json!({"id": 4})).await;
    assert_eq!(made_one["result"]["data"]["id"], 4, "{made_one:#}");
    let other = client.call("Trips__echo", json!({"text": "still there"})).await;
    assert_eq!(other["text"], "still there", "{other:#}");

    // A version whose server ends at once leaves the one that runs.
    let second = made(&mut client, &api).await;
    assert_eq!(second["version"], 2);
    let broken = std::path::Path::new(second["path"].as_str().unwrap()).join("server.py");
    std::fs::write(&broken, "raise SystemExit('broken on purpose')\n").unwrap();
    let refused = client.call("start_mcp_server", json!({"server_name": "trips"})).await;
    assert_eq!(refused["code"], "factory_not_started", "{refused:#}");
    assert!(refused["message"].as_str().unwrap().contains("broken on purpose"), "{refused:#}");
    let state = listed(&mut client).await;
    assert_eq!((&state["version"], &state["started_version"]), (&json!(2), &json!(1)), "{state}");
    let still = client.call("trips-made__getTrip", json!({"id": 9})).await;
    assert_eq!(still["result"]["data"]["id"], 9, "{still:#}");
    client.close().await;
    // The pages of this program go with it, and so do the servers.
    let until = tokio::time::Instant::now() + Duration::from_secs(20);
    while !processes(&installation).is_empty() {
        assert!(tokio::time::Instant::now() < until, "a process outlived the program");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn many_operations_stand_behind_three_tools() {
    let api = Api::start().await;
    let installation = installation().with("ATELIER_CATALOG__EXPOSE_AT_MOST", "20");
    let mut client = installation.stdio().await;
    let arguments = json!({"openapi": api.document(), "options": {"mode": "search"}});
    let made = client.call("create_mcp_server", arguments).await;
    assert_eq!(made["mode"], "search", "{made:#}");
    client.call("start_mcp_server", json!({"server_name": "trips"})).await;
    let listed = client.request("tools/list", json!({})).await.to_string();
    for name in ["search_operations", "describe_operation", "call_operation"] {
        assert!(listed.contains(&format!("\"trips__{name}\"")), "{name} is in the tool list");
    }
    let found = client.call("trips__search_operations", json!({"query": "one journey"})).await;
    assert_eq!(found["result"]["operations"][0]["name"], "getTrip", "{found:#}");
    let call = json!({"name": "getTrip", "arguments": {"id": 6}});
    let answer = client.call("trips__call_operation", call).await;
    assert_eq!(answer["result"]["data"]["id"], 6, "{answer:#}");
    client.call("stop_mcp_server", json!({"server_name": "trips"})).await;
    let listed = client.request("tools/list", json!({})).await.to_string();
    assert!(!listed.contains("trips__"), "{listed}");
    let (status, _) = get(&format!("http://{}/trips/1", api.address)).await;
    assert_eq!(status, 200);
    client.close().await;
}
