//! Requests written out by hand against both implementations: the serialiser in Rust, and the
//! runtime in Python behind a real client. What is expected never passes through either of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use atelier::factory::host::client::ServerProcess;
use atelier::factory::host::launcher::Program;
use atelier::factory::ir::{ExpectedBody, ExpectedPart, ExpectedRequest, Kind, Mode, Package};
use atelier::factory::render::{render, templates::Templates};
use atelier::factory::selftest::judge::{Received, compare};
use atelier::factory::serialise;
use atelier::factory::source::openapi::bundle::Bundle;
use atelier::factory::source::openapi::{Settings, document, normalise};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use serde_json::{Map, Value, json};

use crate::egress::support::{Names, Workbench, open_up, reach};

struct Written {
    tool: String,
    arguments: Map<String, Value>,
    expected: ExpectedRequest,
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/factory/requests");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn package(name: &str) -> Package {
    let value = document::read(&fixture(name), name).unwrap();
    let settings = Settings { mode: Some(Mode::Direct), ..Settings::default() };
    normalise(&Bundle::new(value, None), &settings, name).unwrap()
}

fn written(name: &str) -> Vec<Written> {
    let rows: Vec<Value> = serde_json::from_str(&fixture(name)).unwrap();
    rows.into_iter()
        .map(|row| {
            let text = |index: usize| row[index].as_str().unwrap().to_owned();
            let headers = row[5].as_object().unwrap();
            Written {
                tool: text(0),
                arguments: row[1].as_object().unwrap().clone(),
                expected: ExpectedRequest {
                    method: text(2),
                    path: text(3),
                    query: text(4),
                    headers: headers
                        .iter()
                        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                        .collect(),
                    body: body(&row[6]),
                },
            }
        })
        .collect()
}

fn body(row: &Value) -> ExpectedBody {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    if let Some(value) = row.get("json") {
        ExpectedBody::Json { value: value.clone() }
    } else if let Some(value) = row.get("text") {
        ExpectedBody::Text { text: text(value) }
    } else if let Some(value) = row.get("base64") {
        ExpectedBody::Binary { base64: text(value) }
    } else if let Some(parts) = row.get("parts") {
        let part = |part: &Value| ExpectedPart {
            name: text(&part["name"]),
            filename: part.get("filename").map(text),
            content_type: part.get("content_type").map(text),
            base64: text(&part["base64"]),
        };
        ExpectedBody::Multipart { parts: parts.as_array().unwrap().iter().map(part).collect() }
    } else {
        assert_eq!(row, &Value::Null);
        ExpectedBody::None
    }
}

/// What arrived of the serialiser's own request, as if it had been sent.
fn differs(expected: &ExpectedRequest, made: &ExpectedRequest) -> Option<String> {
    let headers_hold =
        expected.headers.iter().all(|(name, value)| made.headers.get(name) == Some(value));
    let same = expected.method == made.method
        && expected.path == made.path
        && expected.query == made.query
        && expected.body == made.body
        && headers_hold;
    (!same).then(|| format!("{made:#?}\ninstead of\n{expected:#?}"))
}

#[test]
fn the_serialiser_writes_what_was_written_by_hand() {
    let mut count = 0;
    for (specification, requests) in
        [("styles.json", "styles.requests.json"), ("old.json", "old.requests.json")]
    {
        let package = package(specification);
        assert!(package.skipped.is_empty(), "{:?}", package.skipped);
        for one in written(requests) {
            let tool = package.tools.iter().find(|tool| tool.name == one.tool).unwrap();
            let Kind::Http(operation) = &tool.kind else { panic!("no request") };
            let made = serialise::request(operation, &one.arguments).unwrap();
            if let Some(difference) = differs(&one.expected, &made) {
                panic!("{} {:?}: {difference}", one.tool, one.arguments);
            }
            count += 1;
        }
    }
    assert!(count >= 120, "{count}");
}

#[test]
fn what_would_change_the_address_is_refused() {
    let package = package("styles.json");
    let tool = package.tools.iter().find(|tool| tool.name == "path_simple_scalar").unwrap();
    let Kind::Http(operation) = &tool.kind else { panic!("no request") };
    for bad in ["", ".", ".."] {
        let arguments = json!({"v": bad}).as_object().unwrap().clone();
        let error = serialise::request(operation, &arguments).unwrap_err();
        assert!(error.contains("would change the address"), "{error}");
    }
    let fine = json!({"v": "..."}).as_object().unwrap().clone();
    assert_eq!(serialise::request(operation, &fine).unwrap().path, "/simple/scalar/...");
}

type Inbox = Arc<Mutex<Vec<Received>>>;

async fn take(State(inbox): State<Inbox>, request: Request) -> &'static str {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let target = parts.uri.path_and_query().unwrap().as_str().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let headers = parts.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8(value.as_bytes().to_vec()).unwrap())
    });
    inbox.lock().unwrap().push(Received {
        method: parts.method.to_string(),
        path: path.strip_prefix("/v1").unwrap().to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
        body,
    });
    "ok"
}

#[tokio::test]
async fn made_servers_send_what_was_written_by_hand() {
    let inbox = Inbox::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(take).with_state(Arc::clone(&inbox));
    let api = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    // Behind the fences and through the proxy: not a byte may change on the way.
    let bench = Workbench::new(&[address.to_string()], Names::new(&[]));
    for (specification, requests) in
        [("styles.json", "styles.requests.json"), ("old.json", "old.requests.json")]
    {
        let package = package(specification);
        let folder = tempfile::tempdir().unwrap();
        for file in render(&package, &[], &Templates::default()).unwrap() {
            let path = folder.path().join(&file.path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file.text).unwrap();
        }
        let variables =
            BTreeMap::from([("API_BASE_URL".to_owned(), format!("http://{address}/v1"))]);
        open_up(folder.path());
        let program = Program {
            arguments: vec!["server.py".to_owned()],
            folder: folder.path().to_owned(),
            variables,
            ..bench.program("", reach(&[address.to_string()]))
        };
        let started = bench.launcher.start(program).await.unwrap();
        let server = ServerProcess::greet(started).await.unwrap();
        let names: Vec<String> =
            server.tools().await.unwrap().into_iter().map(|tool| tool.name.to_string()).collect();
        let wanted: Vec<&str> = package.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(names, wanted);
        for one in written(requests) {
            inbox.lock().unwrap().clear();
            let answer = server.call(&one.tool, one.arguments.clone()).await.unwrap();
            assert_ne!(answer.is_error, Some(true), "{} {:?}: {answer:?}", one.tool, one.arguments);
            let received = inbox.lock().unwrap().clone();
            assert_eq!(received.len(), 1);
            if let Err(difference) = compare(&one.expected, &received[0]) {
                panic!("{} {:?}: {difference}", one.tool, one.arguments);
            }
        }
        // Positive control of the judge: another request is not taken for the right one.
        if specification == "styles.json" {
            inbox.lock().unwrap().clear();
            let arguments = json!({"v": "other"}).as_object().unwrap().clone();
            server.call("path_simple_scalar", arguments).await.unwrap();
            let first = &written(requests)[0];
            assert!(compare(&first.expected, &inbox.lock().unwrap()[0]).is_err());
            let bad = json!({"v": ".."}).as_object().unwrap().clone();
            inbox.lock().unwrap().clear();
            let answer = server.call("path_simple_scalar", bad).await.unwrap();
            assert_eq!(answer.is_error, Some(true));
            assert!(inbox.lock().unwrap().is_empty());
        }
        server.stop().await;
    }
    bench.close().await;
    api.abort();
}
