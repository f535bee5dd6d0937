//! What goes wrong in a server costs the call that meets it an error, and nothing else.

use std::time::{Duration, Instant};

use atelier::config::mcp_servers::{Connection, Protocol};
use atelier::mcp_client::ServerState;
use serde_json::json;

use super::{Bench, is_alive, scripted, until};

async fn bench() -> Bench {
    Bench::new([("scripted", scripted(&[]))]).await
}

#[tokio::test]
async fn one_that_dies_in_mid_call_is_started_again() {
    let bench = bench().await;
    let error = bench.error("scripted__dies", json!({})).await;
    assert_eq!(error["code"], "server_ended");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("exit status: 7") && message.contains("out of luck"), "{message}");
    bench.works().await;
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn what_it_says_at_its_end_holds_no_secret_of_its_environment() {
    let mut spec = scripted(&[]);
    let Connection::Stdio(program) = &mut spec.connection else { unreachable!() };
    let secret = atelier::config::Secret::new("hunter2hunter2".to_owned());
    program.environment.insert("TOKEN".into(), secret);
    let bench = Bench::new([("scripted", spec)]).await;
    let error = bench.error("scripted__dies", json!({})).await.to_string();
    assert!(error.contains("token=••••••") && !error.contains("hunter2"), "{error}");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn one_that_hangs_is_replaced() {
    let mut spec = scripted(&[]);
    spec.timeout = Duration::from_millis(700);
    let bench = Bench::new([("scripted", spec)]).await;
    let before = bench.result("scripted__where", json!({})).await["result"]["process"].clone();
    let error = bench.error("scripted__hangs", json!({})).await;
    assert_eq!(error["code"], "call_timeout");
    // It gives no sign of life, so it is ended and started anew.
    bench.works().await;
    let after = bench.result("scripted__where", json!({})).await["result"]["process"].clone();
    assert_ne!(before, after);
    assert!(!is_alive(&before), "the one that hung is left");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn one_that_is_late_keeps_its_process_and_its_late_answer_disturbs_nobody() {
    let mut spec = scripted(&[]);
    spec.timeout = Duration::from_millis(500);
    let bench = Bench::new([("scripted", spec)]).await;
    let before = bench.result("scripted__where", json!({})).await["result"]["process"].clone();
    let error = bench.error("scripted__slow", json!({"seconds": 1.5})).await;
    assert_eq!(error["code"], "call_timeout");
    bench.works().await;
    let after = bench.result("scripted__where", json!({})).await["result"]["process"].clone();
    assert_eq!(before, after);
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn one_that_exits_at_once_is_told_with_its_words_and_not_started_in_a_storm() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let mut spec = scripted(&["counted", "exits"]);
    let Connection::Stdio(program) = &mut spec.connection else { unreachable!() };
    let path = atelier::config::Secret::new(starts.to_str().unwrap().to_owned());
    program.environment.insert("STARTS".into(), path);
    spec.protocol = Protocol::Legacy;
    let bench = Bench::new([("broken", spec), ("scripted", scripted(&[]))]).await;
    let error = bench.error("broken__echo", json!({})).await;
    assert_eq!(error["code"], "server_ended");
    assert!(error["message"].as_str().unwrap().contains("no licence found"), "{error}");
    let began = Instant::now();
    let mut refused = 0;
    while began.elapsed() < Duration::from_secs(2) {
        let error = bench.error("broken__echo", json!({})).await;
        refused += i32::from(error["code"] == "server_not_started");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(refused > 10, "{refused} refusals");
    let count = std::fs::read_to_string(&starts).unwrap().lines().count();
    assert!((2..=4).contains(&count), "{count} starts in 2 s");
    // The others are not concerned.
    bench.works().await;
    let status = bench.servers.status();
    assert_eq!(status[0].state, ServerState::Failed);
    assert_eq!(status[1].state, ServerState::Running);
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn one_that_hangs_at_start_costs_its_start_time() {
    let mut spec = scripted(&["hangs_at_start"]);
    spec.start_timeout = Duration::from_secs(1);
    let bench = Bench::new([("stuck", spec), ("scripted", scripted(&[]))]).await;
    let error = bench.error("stuck__echo", json!({})).await;
    assert_eq!(error["code"], "server_not_started");
    assert!(error["message"].as_str().unwrap().contains("not ready within 1 s"), "{error}");
    // A search names it and goes on.
    let found = bench.result("search_tools", json!({"query": "says a text back"})).await;
    assert_eq!(found["status"], "warning");
    assert_eq!(found["unavailable_servers"][0]["name"], "stuck");
    assert_eq!(found["tools"][0]["name"], "scripted__echo");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn one_that_is_not_installed_is_told() {
    let mut spec = scripted(&[]);
    let Connection::Stdio(program) = &mut spec.connection else { unreachable!() };
    program.program = "no-such-program-here".into();
    let bench = Bench::new([("absent", spec)]).await;
    let error = bench.error("absent__x", json!({})).await;
    assert_eq!(error["code"], "server_not_started");
    assert!(error["message"].as_str().unwrap().contains("is not installed"), "{error}");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn one_that_dies_of_the_newer_protocol_is_spoken_to_in_the_older() {
    let bench = Bench::new([("scripted", scripted(&["dies_of_discover"]))]).await;
    bench.works().await;
    assert_eq!(bench.servers.status()[0].protocol_version, "2025-06-18");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn floods_and_garbage_are_skipped() {
    let bench = bench().await;
    for tool in ["scripted__floods", "scripted__garbage"] {
        assert_eq!(bench.result(tool, json!({})).await["text"], "still here");
    }
    bench.works().await;
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn fifty_megabytes_are_refused_and_a_large_result_is_kept_whole() {
    let bench = bench().await;
    for id_last in [false, true] {
        let arguments = json!({"bytes": 50_000_000, "id_last": id_last});
        let error = bench.error("scripted__huge", arguments).await;
        assert_eq!(error["code"], "result_too_large");
        bench.works().await;
    }
    let shown = bench.call("scripted__huge", json!({"bytes": 3_000_000})).await;
    let call_id = shown.call_id.clone().unwrap();
    let shown = atelier::registry::shown(shown, 24_000);
    assert_eq!(shown.structured["text_bytes"], 3_000_000);
    assert!(shown.structured.to_string().len() < 24_000);
    let whole = json!({"text": format!("@@ref_{call_id}__text")});
    let back = bench.call("scripted__echo", whole).await;
    assert_eq!(back.structured["text"].as_str().map(str::len), Some(3_000_000));
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn a_list_that_changes_is_followed() {
    let bench = bench().await;
    bench.works().await;
    let error = bench.error("scripted__newcomer", json!({})).await;
    assert_eq!(error["code"], "unknown_tool");
    bench.result("scripted__changes", json!({})).await;
    until(|| bench.servers.status()[0].tools == Some(2)).await;
    assert_eq!(bench.result("scripted__newcomer", json!({})).await["text"], "newcomer");
    let error = bench.error("scripted__write", json!({})).await;
    assert_eq!(error["code"], "unknown_tool");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn five_thousand_tools_are_listed_page_by_page() {
    let bench = Bench::new([("scripted", scripted(&["many"]))]).await;
    let answer = bench.result("scripted__tool_4999", json!({})).await;
    assert_eq!(answer["text"], "tool_4999");
    assert_eq!(bench.servers.status()[0].tools, Some(5_000));
    let found = bench.result("search_tools", json!({"query": "job number 4321", "limit": 3})).await;
    assert_eq!(found["tools"][0]["name"], "scripted__tool_4321");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn equal_odd_and_bare_tools_cost_the_others_nothing() {
    let bench = Bench::new([("scripted", scripted(&["twice"]))]).await;
    bench.works().await;
    let found = bench.result("search_tools", json!({"query": "", "limit": 100})).await;
    let names: Vec<&str> = found["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|tool| tool["server"] == "scripted")
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let odd = names.iter().find(|name| name.contains("odd_name")).unwrap();
    assert_eq!(bench.result(odd, json!({})).await["text"], "odd name!");
    assert_eq!(bench.result("scripted__bare", json!({})).await["text"], "bare");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn lies_second_answers_and_nonsense_concern_their_call_alone() {
    let bench = bench().await;
    let error = bench.error("scripted__lies", json!({})).await;
    assert_eq!(error["code"], "upstream_result_invalid");
    assert_eq!(error["received"], "{\"n\":\"not a number\"}");
    assert_eq!(bench.result("scripted__add", json!({"a": 1, "b": 2})).await["result"]["sum"], 3);
    assert_eq!(bench.result("scripted__twice", json!({})).await["text"], "first");
    bench.works().await;
    let error = bench.error("scripted__nonsense", json!({})).await;
    assert_eq!(error["code"], "upstream_result_invalid");
    bench.works().await;
    let error = bench.error("scripted__fails", json!({})).await;
    assert_eq!(error["code"], "upstream_error");
    assert!(error["message"].as_str().unwrap().contains("no such file"));
    let error = bench.error("scripted__refuses", json!({})).await;
    assert_eq!(
        (&error["code"], &error["upstream_code"]),
        (&json!("upstream_error"), &json!(-32602))
    );
    bench.works().await;
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn what_it_asks_back_is_refused_but_for_its_roots() {
    let mut spec = scripted(&[]);
    let uri = "file:///srv/work".to_owned();
    spec.roots = vec![atelier::config::mcp_servers::Root { uri, name: Some("work".into()) }];
    let bench = Bench::new([("scripted", spec)]).await;
    let asked = bench.result("scripted__asks", json!({})).await;
    let answers = &asked["result"]["answers"];
    assert_eq!(answers[0]["error"]["code"], -32601);
    assert_eq!(answers[1]["action"], "decline");
    assert_eq!(answers[2]["roots"], json!([{"uri": "file:///srv/work", "name": "work"}]));
    bench.works().await;
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn an_answer_after_a_cancel_is_dropped() {
    let bench = bench().await;
    bench.works().await;
    let call = bench.call("scripted__slow", json!({"seconds": 1}));
    assert!(tokio::time::timeout(Duration::from_millis(200), call).await.is_err());
    // The server answers one after the other, so the late answer comes before this one.
    bench.works().await;
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn nothing_of_a_server_outlives_it() {
    let bench = bench().await;
    let server = bench.result("scripted__where", json!({})).await["result"]["process"].clone();
    let child =
        bench.result("scripted__leaves_child", json!({})).await["result"]["process"].clone();
    assert!(is_alive(&server) && is_alive(&child));
    bench.servers.shut_down().await;
    until(|| !is_alive(&server) && !is_alive(&child)).await;
    let error = bench.error("scripted__echo", json!({"text": "x"})).await;
    assert_eq!(error["code"], "unknown_tool", "nothing is started after the end: {error}");
}

#[tokio::test]
async fn an_idle_server_is_stopped_and_comes_back() {
    let idle = Duration::from_millis(400);
    let specs = [("scripted", scripted(&[]))];
    let bench = Bench::with(specs, |parts| parts.idle = idle, |_| {}).await;
    let process = bench.result("scripted__where", json!({})).await["result"]["process"].clone();
    until(|| bench.servers.status()[0].state == ServerState::Stopped).await;
    assert!(!is_alive(&process));
    assert_eq!(bench.servers.status()[0].tools, Some(24), "its tools stay known");
    bench.works().await;
    bench.servers.shut_down().await;
}
