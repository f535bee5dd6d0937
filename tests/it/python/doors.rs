//! The other ways in: jobs, the HTTP API, the command line.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Lab, PATIENCE, context};
use crate::sandbox::support::processes_with;
use crate::support::product::Installation;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_run_becomes_a_job_and_can_be_cancelled() {
    let lab = Lab::new().await;
    let brief = || {
        let mut context = context();
        context.answer_budget = Some(Duration::from_millis(200));
        context
    };
    let mark = format!("96{}", std::process::id());
    let code = format!("import subprocess\nsubprocess.run(['/usr/bin/sleep', '{mark}'])");
    let running = lab.call_in(brief(), "execute_python_code", json!({"code": code})).await;
    assert_eq!(running.text("status"), "running", "{running:?}");
    let waiting = async {
        while processes_with(&mark).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let cancelled = lab.call("cancel_job", json!({"job_id": running.text("job_id")})).await;
        assert_eq!(cancelled.text("state"), "cancelling", "{cancelled:?}");
        while !processes_with(&mark).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it is not killed");
    let ended = lab.call("get_job", json!({"job_id": running.text("job_id")})).await;
    assert_eq!(ended.code(), "cancelled", "{ended:?}");

    // One that is let be hands its result to who asks for it.
    let code = "import time\ntime.sleep(0.6)\n'slept'";
    let running = lab.call_in(brief(), "execute_python_code", json!({"code": code})).await;
    assert_eq!(running.text("status"), "running", "{running:?}");
    let done = lab.call("get_job", json!({"job_id": running.text("job_id")})).await;
    assert_eq!(done.field("result"), "slept", "{done:?}");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_run_over_the_api_and_from_the_command_line() {
    let lab = Lab::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    let server = atelier::server::HttpServer::new(std::sync::Arc::clone(&lab.app));
    let served = tokio::spawn(server.serve(listener, shutdown.clone()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = |tool: &str, arguments: Value| {
        let request = client.post(format!("http://{address}/api/tools/{tool}")).json(&arguments);
        async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
        }
    };
    let (status, done) = post("execute_python_code", json!({"code": "6 * 7"})).await;
    assert_eq!((status, &done["result"]), (200, &json!(42)), "{done}");
    let (status, failed) = post("execute_python_code", json!({"code": "1 / 0"})).await;
    assert_eq!((status, &failed["code"]), (400, &json!("python_error")), "{failed}");
    let (status, asked) =
        post("execute_python_code", json!({"code": "await _call_ai('Why?')"})).await;
    assert_eq!((status, &asked["status"]), (200, &json!("needs_completion")), "{asked}");
    let (status, done) =
        post("submit_completion", json!({"handle": asked["handle"], "text": "So."})).await;
    assert_eq!((status, &done["result"]), (200, &json!("So.")), "{done}");
    shutdown.cancel();
    served.await.unwrap().unwrap();
    lab.close().await;

    let world = Installation::new();
    let arguments = json!({"code": "print('hello')\n6 * 7"}).to_string();
    let finished = world.run(&["call", "execute_python_code", &arguments]).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let result = finished.json();
    assert_eq!((&result["result"], &result["stdout"]), (&json!(42), &json!("hello\n")));
    let failing = json!({"code": "await _call_ai('Why?')"}).to_string();
    let finished = world.run(&["call", "execute_python_code", &failing]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(
        finished.json()["message"].as_str().unwrap().contains("no_language_model"),
        "{finished:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_least_isolation_nothing_runs() {
    // A layer is left out, so that the machine reaches less than is asked for.
    let world = Installation::new()
        .with("ATELIER_PYTHON__WITHOUT_LAYERS", "cgroup_memory,cgroup_pids")
        .with("ATELIER_PYTHON__MIN_ISOLATION", "full");
    let arguments = json!({"code": "1"}).to_string();
    let finished = world.run(&["call", "execute_python_code", &arguments]).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let refused = finished.json();
    assert_eq!(refused["code"], "sandbox_unavailable", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("cgroup_memory"), "{refused}");
    assert!(refused["hint"].as_str().unwrap().len() > 10, "{refused}");

    let allowed =
        Installation::new().with("ATELIER_PYTHON__WITHOUT_LAYERS", "cgroup_memory,cgroup_pids");
    let finished = allowed.run(&["call", "execute_python_code", &arguments]).await;
    let result = finished.json();
    assert_eq!(result["result"], 1, "{result}");
    let missing = result["isolation_layers"]["missing"].to_string();
    assert!(missing.contains("cgroup_memory"), "{result}");

    let wrong = Installation::new().with("ATELIER_PYTHON__WITHOUT_LAYERS", "walls");
    let finished = wrong.run(&["config", "check"]).await;
    assert_ne!(finished.code, Some(0));
    assert!(
        finished.stderr.contains("walls") && finished.stderr.contains("landlock"),
        "{finished:?}"
    );
}
