//! The tools of other servers beside our own: names, rights, references, results.

use std::collections::BTreeSet;
use std::time::Duration;

use atelier::registry::{CallContext, Origin, Rights, shown};
use serde_json::{Value, json};

use super::{Bench, grant, is_alive, scripted};

async fn bench() -> Bench {
    Bench::new([("scripted", scripted(&[]))]).await
}

#[tokio::test]
async fn the_three_tools_find_describe_and_call() {
    let bench = bench().await;
    let found =
        bench.result("search_tools", json!({"query": "total of two figures", "limit": 5})).await;
    assert!(
        found["tools"].as_array().unwrap().iter().any(|tool| tool["name"] == "scripted__add"),
        "{found}"
    );
    let about = bench.result("describe_tool", json!({"name": "scripted__add"})).await;
    assert_eq!(about["inputSchema"]["required"], json!(["a", "b"]));
    assert_eq!(about["outputSchema"]["required"], json!(["sum"]));
    assert_eq!(about["annotations"], json!({"readOnlyHint": true}));
    let own = bench.result("describe_tool", json!({"name": "search_tools"})).await;
    assert_eq!(own["server"], "atelier");
    let arguments = json!({"name": "scripted__add", "arguments": {"a": 1, "b": "2"}});
    let called = bench.result("call_tool", arguments).await;
    assert_eq!((&called["result"]["sum"], &called["server"]), (&json!(3), &json!("scripted")));
    let own = json!({"name": "search_tools", "arguments": {"query": "x", "limit": 0}});
    assert_eq!(bench.error("call_tool", own).await["code"], "invalid_arguments");
    let error = bench.error("call_tool", json!({"name": "scripted__ad"})).await;
    assert_eq!(error["code"], "unknown_tool");
    assert!(error["hint"].as_str().unwrap().contains("`scripted__add`"), "{error}");
    let error = bench.error("call_tool", json!({"name": "call_tool", "arguments": {}})).await;
    assert_eq!(error["code"], "tool_not_allowed");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn arguments_are_checked_before_the_server_sees_them() {
    let bench = bench().await;
    let error = bench.error("scripted__add", json!({"a": 1})).await;
    assert_eq!(error["code"], "invalid_arguments");
    assert!(error["message"].as_str().unwrap().contains("\"b\""), "{error}");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn results_can_be_referred_to() {
    let bench = bench().await;
    let sum = bench.result("scripted__add", json!({"a": 20, "b": 1})).await;
    let id = sum["call_id"].as_str().unwrap();
    let reference = json!({"a": format!("@@ref_{id}__result__sum"), "b": 21});
    let again = json!({"name": "scripted__add", "arguments": reference});
    assert_eq!(bench.result("call_tool", again).await["result"]["sum"], 42);
    let inside = format!("see @@ref_{id}__result__sum");
    let echo = bench.result("scripted__echo", json!({"text": inside})).await;
    assert_eq!(echo["text"], inside, "only whole texts are references");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn blocks_are_passed_on_and_large_results_shown_by_their_shape() {
    let bench = bench().await;
    let outcome = bench.call("scripted__blocks", json!({})).await;
    let content = serde_json::to_value(&outcome.content).unwrap();
    let kinds: Vec<&str> = (0..5).map(|n| content[n]["block"]["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "image", "audio", "resource", "resource_link"]);
    assert_eq!(content[1]["block"]["data"], "iVBORw0KGgo=");
    let rows = bench.call("scripted__rows", json!({"count": 20_000})).await;
    let id = rows.call_id.clone().unwrap();
    assert_eq!(rows.structured["result"]["rows"].as_array().map(Vec::len), Some(20_000));
    let rows = shown(rows, 24_000).structured;
    assert_eq!(rows["result_shape"]["rows"]["list_of"], 20_000);
    assert_eq!(rows["reference"], format!("@@ref_{id}__result"));
    let deep = json!({"text": format!("@@ref_{id}__result__rows__19999__name")});
    assert_eq!(bench.result("scripted__echo", deep).await["text"], "row 19999");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn programs_get_the_whole_result_and_confirm_nothing() {
    let bench = bench().await;
    let call = async |origin, tool: &str, arguments: Value| {
        let context = CallContext::new("me".into(), Origin::Client);
        bench.caller.call(&grant(origin), None, tool, arguments, context).await
    };
    let rows = call(Origin::Code, "scripted__rows", json!({"count": 20_000})).await.structured;
    assert_eq!(rows["result"]["rows"].as_array().map(Vec::len), Some(20_000));
    let confirmed = json!({"text": "x", "confirm": true});
    let by_code = call(Origin::Code, "scripted__echo", confirmed.clone()).await.structured;
    assert_eq!(by_code["text"], "x");
    let wrapped = json!({"name": "scripted__echo", "arguments": confirmed.clone()});
    let by_code = call(Origin::Code, "call_tool", wrapped).await.structured;
    assert_eq!(by_code["text"], "x");
    let by_person = bench.result("scripted__echo", confirmed).await;
    assert_eq!(by_person["text"], "x confirmed");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn rights_are_those_on_the_inner_name_by_every_way() {
    let bench = Bench::with(
        [("scripted", scripted(&[]))],
        |_| {},
        |server| {
            server.exclude_tools = vec!["scripted__where".into()];
            server.open_to_code = vec!["scripted__fails".into()];
        },
    )
    .await;
    let call = async |origin, rights: Rights, tool: &str| {
        let mut context = CallContext::new("me".into(), origin);
        context.rights = rights;
        let wrapped = json!({"name": tool, "arguments": {"text": "x"}});
        let registry = &bench.workshop.registry;
        let direct = registry.call(tool, json!({"text": "x"}), context.clone()).await.label();
        let inner = registry.call("call_tool", wrapped, context).await.label();
        (direct, inner)
    };
    let all = Rights::default;
    let named = |names: &[&str]| {
        let names: BTreeSet<String> = names.iter().map(|&name| name.into()).collect();
        all().narrowed_to(&names)
    };
    let both = |code: &str| (code.to_owned(), code.to_owned());
    let ok = || both("success");
    assert_eq!(call(Origin::Client, all(), "scripted__write").await, ok());
    assert_eq!(call(Origin::Client, all(), "scripted__destroy").await, ok());
    assert_eq!(call(Origin::Client, all(), "scripted__where").await, both("unknown_tool"));
    let only = named(&["call_tool", "scripted__echo"]);
    assert_eq!(call(Origin::Client, only.clone(), "scripted__echo").await, ok());
    assert_eq!(call(Origin::Client, only, "scripted__write").await, both("tool_not_allowed"));
    let read_only = Rights { read_only: true, ..all() };
    assert_eq!(call(Origin::Client, read_only.clone(), "scripted__echo").await.0, "success");
    assert_eq!(call(Origin::Client, read_only, "scripted__write").await, both("tool_not_allowed"));
    let documents = Rights { toolsets: Some(["documents".to_owned()].into()), ..all() };
    assert_eq!(call(Origin::Client, documents, "scripted__echo").await, both("tool_not_allowed"));
    // Code may call what is not said to destroy, pages what is said to change nothing.
    assert_eq!(call(Origin::Code, all(), "scripted__write").await, ok());
    assert_eq!(call(Origin::Code, all(), "scripted__destroy").await, both("tool_not_allowed"));
    assert_eq!(call(Origin::Page, all(), "scripted__echo").await, ok());
    assert_eq!(call(Origin::Page, all(), "scripted__write").await, both("tool_not_allowed"));
    assert_eq!(call(Origin::Workflow, all(), "scripted__destroy").await, ok());
    let seen = bench.caller.tools(&named(&["scripted__echo"]), Origin::Code);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].server.as_deref(), Some("scripted"));
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn only_what_is_allowed_is_passed_on() {
    let mut spec = scripted(&[]);
    spec.allowed_tools = Some(vec!["e*".into(), "add".into()]);
    spec.disallowed_tools = vec!["environment".into()];
    let bench = Bench::new([("scripted", spec)]).await;
    bench.works().await;
    assert_eq!(bench.servers.status()[0].tools, Some(2));
    assert_eq!(bench.error("scripted__environment", json!({})).await["code"], "unknown_tool");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn a_child_gets_a_small_environment_and_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut spec = scripted(&[]);
    let atelier::config::mcp_servers::Connection::Stdio(program) = &mut spec.connection else {
        unreachable!()
    };
    program.folder = Some(folder.path().to_owned());
    program.environment.insert("OWN".into(), atelier::config::Secret::new("value".into()));
    let bench = Bench::new([("scripted", spec)]).await;
    let seen = bench.result("scripted__environment", json!({})).await["result"].clone();
    let mut names: Vec<&str> = seen.as_object().unwrap().keys().map(String::as_str).collect();
    // A shell in front of the interpreter adds its own.
    let is_added = |name: &str| name.starts_with('_') || name.starts_with("PYENV_");
    names.retain(|name| {
        !is_added(name) && !matches!(*name, "LC_CTYPE" | "PWD" | "SHLVL" | "OLDPWD")
    });
    names.retain(|name| !matches!(*name, "LANG" | "TMPDIR" | "HOME"));
    names.sort_unstable();
    assert_eq!(names, ["OWN", "PATH"]);
    let ours = std::env::vars().filter(|(name, _)| seen.get(name.as_str()).is_none()).count();
    assert!(ours > 0, "this process has variables to keep to itself");
    let place = bench.result("scripted__where", json!({})).await["result"]["folder"].clone();
    assert_eq!(place, folder.path().canonicalize().unwrap().to_str().unwrap());
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn servers_come_and_go_at_run_time() {
    let bench = Bench::new([]).await;
    assert_eq!(bench.error("late__echo", json!({})).await["code"], "unknown_tool");
    bench.servers.add("late", scripted(&[])).unwrap();
    assert_eq!(bench.servers.add("LATE", scripted(&[])).unwrap_err().code, "name_taken");
    assert_eq!(bench.servers.add("a__b", scripted(&[])).unwrap_err().code, "invalid_name");
    let process = bench.result("late__where", json!({})).await["result"]["process"].clone();
    assert!(bench.servers.remove("late").await);
    assert!(!bench.servers.remove("late").await);
    assert!(!is_alive(&process));
    assert_eq!(bench.error("late__echo", json!({})).await["code"], "unknown_tool");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn small_catalogs_are_exposed_by_configuration() {
    let specs = [("scripted", scripted(&[]))];
    let bench = Bench::with(specs.clone(), |parts| parts.expose_at_most = 30, |_| {}).await;
    bench.works().await;
    assert_eq!(bench.workshop.registry.exposed_tools(&Rights::default()).len(), 24);
    bench.servers.shut_down().await;
    let bench = Bench::with(specs, |parts| parts.expose_at_most = 22, |_| {}).await;
    bench.works().await;
    assert!(bench.workshop.registry.exposed_tools(&Rights::default()).is_empty());
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn a_long_call_becomes_a_job_that_holds_its_result() {
    let bench = bench().await;
    bench.works().await;
    bench.workshop.runner.start_heartbeat();
    let mut context = CallContext::new("me".into(), Origin::Client);
    context.answer_budget = Some(Duration::from_millis(100));
    let registry = &bench.workshop.registry;
    let running = registry.call("scripted__slow", json!({"seconds": 1}), context.clone()).await;
    assert_eq!(running.structured["status"], "running", "{}", running.structured);
    let job = running.running_job.unwrap();
    let done = registry.job(&job, Duration::from_secs(20), context).await;
    assert_eq!(done.structured["text"], "late", "{}", done.structured);
    let reference = json!({"text": format!("@@ref_{}__text", done.call_id.unwrap())});
    assert_eq!(bench.result("scripted__echo", reference).await["text"], "late");
    bench.servers.shut_down().await;
}

#[tokio::test]
async fn calls_at_once_start_a_server_once() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let mut spec = scripted(&["counted"]);
    let atelier::config::mcp_servers::Connection::Stdio(program) = &mut spec.connection else {
        unreachable!()
    };
    let path = atelier::config::Secret::new(starts.to_str().unwrap().to_owned());
    program.environment.insert("STARTS".into(), path);
    let bench = Bench::new([("scripted", spec)]).await;
    futures::future::join_all((0..12).map(|_| bench.works())).await;
    assert_eq!(std::fs::read_to_string(&starts).unwrap(), "started\n");
    bench.servers.shut_down().await;
}
