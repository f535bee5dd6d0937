//! All public descriptions of two npm packages: servers are made of them by the product, started, and
//! called; what they send is judged by `tests/corpus/`, which reads the descriptions by the standard
//! itself and knows nothing of the generator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use atelier::app::App;
use atelier::config::Config;
use atelier::registry::{CallContext, Origin};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::egress::app::open;
use crate::sandbox::support::settings;
use crate::support::factory_python::{environment, interpreter};

/// Descriptions in the two packages, the resolved doubles of GitHub's left aside.
const DESCRIPTIONS: usize = 134;

/// All of them, and how many are GitHub's.
const ALL_DESCRIPTIONS: (usize, usize) = (139, 10);

/// Operations that are called of each description in every run of the tests.
const SAMPLE: usize = 15;

/// Operations whose schemas nothing fits: a body that must hold itself, a text that is a number.
const IMPOSSIBLE: [(&str, &str); 3] = [
    ("circular-request-bodies", "POST /direct"),
    ("schema-types", "PUT /anything/quirks/polymorphism"),
    ("schema-types", "PATCH /anything/quirks/polymorphism"),
];

/// What the judge says of one description.
#[derive(Debug, Deserialize)]
struct Verdict {
    name: String,
    operations: usize,
    judged: usize,
    right: usize,
    requests: usize,
    wrong: Vec<String>,
    unjudged: Vec<String>,
    faults: Vec<String>,
    #[serde(default)]
    list_bytes: usize,
}

fn corpus() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/corpus");
    let folder = std::env::var_os("ATELIER_TEST_CORPUS").map_or(default, PathBuf::from);
    assert!(folder.join("ready").exists(), "run tests/corpus/setup.sh once");
    folder.canonicalize().unwrap()
}

/// Descriptions of our own, for what the packages do not hold.
fn awkward() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/factory/audit")
}

/// Name and path of every description.
fn descriptions(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<(String, PathBuf)> {
    let examples = folder.join("node_modules/@readme/oas-examples");
    let github = folder.join("node_modules/@octokit/openapi/generated");
    let mut found = Vec::new();
    let mut folders =
        vec![examples.join("2.0"), examples.join("3.0"), examples.join("3.1"), github];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_description =
                path.extension().is_some_and(|kind| kind == "json" || kind == "yaml");
            let name = path.to_string_lossy().into_owned();
            let name = ["oas-examples/", "@octokit/openapi/"]
                .iter()
                .find_map(|start| name.split_once(start))
                .unwrap()
                .1
                .to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if is_description && wanted(&name) {
                found.push((name, path));
            }
        }
    }
    found.sort();
    found
}

struct Factory {
    app: Arc<App>,
    _folder: TempDir,
}

impl Factory {
    async fn open(python: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = folder.path().join("data");
        config.factory.environment = Some(python.unwrap_or_else(|| folder.path().join("none")));
        config.factory.allowed_roots = vec![corpus(), awkward()];
        config.limits.answer_budget_s = 600.0;
        let app = open(config, settings()).await;
        Self { app, _folder: folder }
    }

    async fn create(&self, path: &Path) -> (bool, Value) {
        let context = CallContext::new("corpus".into(), Origin::Client);
        let arguments = json!({"openapi": path});
        let outcome = self.app.registry.call("create_mcp_server", arguments, context).await;
        (outcome.is_error, outcome.structured)
    }
}

/// Makes a server of each, two at a time; the entries of the judge's list.
async fn make(
    factory: &Factory,
    all: &[(String, PathBuf)],
    check: impl Fn(&str, &Value),
) -> Vec<Value> {
    use futures::StreamExt as _;
    let made = futures::stream::iter(all)
        .map(async |(name, path)| (name, path, factory.create(path).await))
        .buffer_unordered(2)
        .collect::<Vec<_>>()
        .await;
    let mut entries = Vec::new();
    for (name, path, (is_error, result)) in made {
        if name.contains("webhooks") || name.ends_with("openapi-workshop/title.json") {
            // There is nothing to call, and that is said.
            assert_eq!(result["code"], "factory_nothing_to_do", "{name}: {result:#}");
            let message = result["message"].as_str().unwrap();
            assert!(
                message.contains("webhook") || message.contains("no operations"),
                "{name}: {message}"
            );
            continue;
        }
        assert!(!is_error, "{name}: {result:#}");
        check(name, &result);
        entries.push(json!({"name": name, "spec": path, "folder": result["path"]}));
    }
    entries
}

fn judge(entries: &[Value], arguments: &[&str]) -> Vec<Verdict> {
    let folder = tempfile::tempdir().unwrap();
    let (list, result) = (folder.path().join("list.json"), folder.path().join("result.json"));
    std::fs::write(&list, serde_json::to_string(entries).unwrap()).unwrap();
    let ended = Command::new(corpus().join("venv/bin/python"))
        .arg(format!("{}/tests/corpus/run.py", env!("CARGO_MANIFEST_DIR")))
        .args([&list, &result, &interpreter()])
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{shown}{}", String::from_utf8_lossy(&ended.stderr));
    println!("{shown}");
    serde_json::from_slice(&std::fs::read(result).unwrap()).unwrap()
}

/// Every description at least starts and lists; nearly all operations are right, all of the styles.
fn accept(verdicts: &[Verdict]) {
    let sum = |count: fn(&Verdict) -> usize| verdicts.iter().map(count).sum::<usize>();
    let (judged, right) = (sum(|one| one.judged), sum(|one| one.right));
    let wrong: Vec<&String> = verdicts.iter().flat_map(|one| &one.wrong).collect();
    println!(
        "{} descriptions with {} operations: {right} of {judged} called ones right in {} requests, {} not judged, largest list {} bytes",
        verdicts.len(),
        sum(|one| one.operations),
        sum(|one| one.requests),
        sum(|one| one.unjudged.len()),
        verdicts.iter().map(|one| one.list_bytes).max().unwrap_or(0),
    );
    for verdict in verdicts {
        assert!(verdict.faults.is_empty(), "{}: {:#?}", verdict.name, verdict.faults);
        assert!(verdict.list_bytes > 0 && verdict.list_bytes <= 100_000, "{verdict:#?}");
        assert!(verdict.judged > 0, "{verdict:#?}");
        // A judge that could call next to nothing would have proven nothing.
        for unjudged in &verdict.unjudged {
            let known = IMPOSSIBLE.iter().any(|(name, operation)| {
                verdict.name.contains(name) && unjudged.starts_with(operation)
            });
            assert!(known, "{}: {unjudged}", verdict.name);
        }
        if verdict.name.contains("parameters-style") {
            assert_eq!(verdict.right, verdict.operations, "{verdict:#?}");
            assert!(verdict.operations >= 20 && verdict.wrong.is_empty(), "{verdict:#?}");
        }
    }
    assert!((judged - right) * 200 <= judged, "{} of {judged} are wrong: {wrong:#?}", wrong.len());
}

/// The examples that the standard prints are right, and each with a fault is wrong.
#[test]
fn the_judge_tells_right_from_wrong() {
    let ended = Command::new(corpus().join("venv/bin/python"))
        .arg(format!("{}/tests/corpus/control.py", env!("CARGO_MANIFEST_DIR")))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let count: usize = String::from_utf8_lossy(&ended.stdout).trim().parse().unwrap();
    assert!(count >= 140, "{count}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_public_descriptions_send_the_right_requests() {
    let folder = corpus();
    let all = descriptions(&folder, |name| !name.contains(".deref."));
    assert_eq!(all.len(), DESCRIPTIONS, "{all:#?}");
    let factory = Factory::open(None).await;
    let entries = make(&factory, &all, |name, result| {
        assert_eq!(result["self_test"]["level"], "static", "{name}: {result:#}");
    })
    .await;
    let sample = SAMPLE.to_string();
    accept(&judge(&entries, &["--sample", &sample]));
}

/// Every place, style, body and way in, in three descriptions written for it.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_awkward_descriptions_is_right() {
    let all: Vec<(String, PathBuf)> = ["styles", "security", "old"]
        .iter()
        .map(|name| ((*name).to_owned(), awkward().join(format!("{name}.yaml"))))
        .collect();
    let factory = Factory::open(None).await;
    let entries = make(&factory, &all, |_, _| {}).await;
    let verdicts = judge(&entries, &[]);
    let operations: Vec<usize> = verdicts.iter().map(|verdict| verdict.operations).collect();
    assert_eq!(operations, [6, 9, 32]);
    for verdict in verdicts {
        assert!(verdict.faults.is_empty() && verdict.wrong.is_empty(), "{verdict:#?}");
        assert_eq!(verdict.right, verdict.operations, "{verdict:#?}");
    }
}

/// The same with all descriptions, all operations, servers started as users start them, and each
/// package's own self-test.
async fn every_operation(wanted: impl Fn(&str) -> bool, count: usize) {
    let folder = corpus();
    let all = descriptions(&folder, wanted);
    assert_eq!(all.len(), count, "{all:#?}");
    let factory = Factory::open(Some(environment())).await;
    let entries = make(&factory, &all, |name, result| {
        let test = &result["self_test"];
        println!("{name}: {test}");
        assert_eq!((&test["level"], &test["failed"]), (&json!("tested"), &json!(0)), "{name}");
    })
    .await;
    accept(&judge(&entries, &["--cold"]));
}

fn is_githubs(name: &str) -> bool {
    name.starts_with("generated/")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a quarter of an hour: make soak"]
async fn every_operation_of_githubs_descriptions() {
    every_operation(is_githubs, ALL_DESCRIPTIONS.1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a quarter of an hour: make soak"]
async fn every_operation_of_all_other_public_descriptions() {
    every_operation(|name| !is_githubs(name), ALL_DESCRIPTIONS.0 - ALL_DESCRIPTIONS.1).await;
}
