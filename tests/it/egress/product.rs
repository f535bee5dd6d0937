//! Through the tools: made and proven without the operator's leave, started with it in mind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use atelier::app::App;
use atelier::config::Config;
use atelier::factory::host::client::ServerProcess;
use atelier::factory::host::launcher::Program;
use atelier::factory::host::reach::{self, Given};
use atelier::factory::ir::Package;
use atelier::factory::render::{render, templates::Templates};
use atelier::factory::source::openapi::bundle::Bundle;
use atelier::factory::source::openapi::{self, Settings};
use atelier::registry::{CallContext, Origin};
use atelier::sandbox::Layer;
use atelier::sandbox::local::LocalSettings;
use serde_json::{Value, json};

use super::app::open;
use super::support::{API, Api, Names, Workbench};
use crate::sandbox::support::{as_every_user, settings};
use crate::support::factory_python::environment;

const PETS: &str = r#"{
  "openapi": "3.0.3",
  "info": {"title": "Pets", "version": "1"},
  "servers": [{"url": "BASE", "variables": {"port": {"default": "PORT"}}}],
  "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"}}},
  "security": [{"key": []}],
  "paths": {"/pets/{petId}": {"get": {
    "operationId": "getPet",
    "parameters": [{"name": "petId", "in": "path", "required": true, "schema": {"type": "integer"}}],
    "responses": {"200": {"description": "one"}}
  }}}
}"#;

fn document(base: &str, port: u16) -> String {
    PETS.replace("BASE", base).replace("PORT", &port.to_string())
}

/// A package of an API at this base, with the variable `KEY`.
pub(super) fn package(base: &str, port: u16) -> Package {
    let bundle = Bundle::new(serde_json::from_str(&document(base, port)).unwrap(), None);
    openapi::normalise(&bundle, &Settings::default(), "inline").unwrap()
}

/// Its files.
pub(super) fn write(package: &Package, folder: &Path) {
    for file in render(package, &[], &Templates::default()).unwrap() {
        let path = folder.join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, file.text).unwrap();
    }
}

struct Shop {
    app: Arc<App>,
    folder: tempfile::TempDir,
}

impl Shop {
    async fn open(sandbox: LocalSettings, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = folder.path().join("data");
        config.factory.environment = Some(environment());
        config.factory.allowed_roots = vec![folder.path().to_owned()];
        config.limits.answer_budget_s = 300.0;
        change(&mut config);
        Self { app: open(config, sandbox).await, folder }
    }

    async fn call(&self, tool: &str, arguments: Value) -> (bool, Value) {
        let context = CallContext::new("tester".into(), Origin::Client);
        let outcome = self.app.registry.call(tool, arguments, context).await;
        (outcome.is_error, outcome.structured)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_proven_and_started_behind_fences() {
    let api = Api::start().await;
    let host = format!("127.0.0.1:{}", api.port());
    let shop = Shop::open(settings(), |config| {
        config.factory.private_hosts = vec![host.clone()];
        config.factory.variables.insert("KEY".to_owned(), "secret-key".to_owned());
    })
    .await;
    let (is_error, made) = shop
        .call(
            "create_mcp_server",
            json!({"openapi": document("http://127.0.0.1:{port}/v1", api.port())}),
        )
        .await;
    assert!(!is_error, "{made:#}");
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    assert_eq!(api.seen(), Vec::<String>::new(), "the proof has no network");
    let (is_error, started) = shop.call("start_mcp_server", json!({"server_name": "pets"})).await;
    assert!(!is_error, "{started:#}");
    let isolation = started["isolation"].as_str().unwrap();
    assert!(isolation.starts_with("sandbox, tier `"), "{isolation}");
    assert!(isolation.ends_with(&format!("network to {host} alone")), "{isolation}");

    // What a caller wrote runs behind the same fences: it sees neither files nor a network.
    let body = "import pathlib\nimport httpx2\nasync def run(args, ctx):\n    seen = pathlib.Path(args['path']).exists()\n    try:\n        await ctx.http.get('http://127.0.0.1:1/')\n        way = 'open'\n    except httpx2.HTTPError as error:\n        way = type(error).__name__\n    return {'seen': seen, 'way': way}";
    let tool = |path: &Path, seen: bool| {
        json!({"name": "looks", "tool_specs": [{
            "name": "look", "description": "Looks at a file.",
            "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
            "implementation": body, "hosts": ["127.0.0.1"],
            "examples": [{"arguments": {"path": path}, "result": {"seen": seen, "way": "ConnectError"}}],
        }]})
    };
    let secret = shop.folder.path().join("data/secret.txt");
    std::fs::write(&secret, "planted").unwrap();
    let (is_error, made) = shop.call("create_mcp_server", tool(&secret, false)).await;
    assert!(!is_error, "{made:#}");
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    let (is_error, refused) =
        shop.call("create_mcp_server", tool(Path::new("/usr/bin/env"), false)).await;
    assert!(is_error && refused["code"] == "factory_self_test_failed", "{refused:#}");
    shop.app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_isolation_nothing_runs_unless_the_operator_says_so() {
    let weak = || LocalSettings { without: [Layer::UserNamespace].into(), ..settings() };
    let document = document("https://pets.example.com/v1", 1);
    let shop = Shop::open(weak(), |_| {}).await;
    let (is_error, made) = shop.call("create_mcp_server", json!({"openapi": document})).await;
    assert!(!is_error, "{made:#}");
    assert_eq!(made["self_test"]["level"], "static");
    let problem = made["self_test"]["problems"][0].as_str().unwrap();
    assert!(problem.contains("nothing would isolate it"), "{problem}");
    assert!(problem.contains("python.without_layers"), "{problem}");
    let (is_error, refused) = shop.call("start_mcp_server", json!({"server_name": "pets"})).await;
    assert!(is_error && refused["code"] == "factory_not_started", "{refused:#}");
    assert!(refused["message"].as_str().unwrap().contains("factory.unsandboxed"), "{refused:#}");
    shop.app.shut_down().await;

    let shop = Shop::open(weak(), |config| config.factory.unsandboxed = true).await;
    let (_, made) = shop.call("create_mcp_server", json!({"openapi": document})).await;
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    let (is_error, started) = shop.call("start_mcp_server", json!({"server_name": "pets"})).await;
    assert!(!is_error, "{started:#}");
    assert!(started["isolation"].as_str().unwrap().starts_with("plain process"), "{started:#}");
    shop.app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_server_calls_its_api_through_the_proxy() {
    as_every_user("egress::product::a_made_server_calls_its_api_through_the_proxy", async || {
        let api = Api::start().await;
        let host = format!("{API}:{}", api.port());
        let bench = Workbench::new(std::slice::from_ref(&host), Names::new(&[(API, "127.0.0.1")]));
        let package = package(&format!("http://{API}:{{port}}/v1"), api.port());
        write(&package, &bench.package());
        let mut given = Given {
            values: BTreeMap::from([("KEY".to_owned(), "of the operator".to_owned())]),
            by_operator: ["KEY".to_owned()].into(),
        };
        let reach = reach::of(&package, &mut given).unwrap();
        let program = Program {
            arguments: vec!["server.py".to_owned()],
            variables: given.values.clone(),
            ..bench.program("", reach)
        };
        let started = bench.launcher.start(program).await.unwrap();
        assert!(
            started.isolation.ends_with(&format!("network to {host} alone")),
            "{}",
            started.isolation
        );
        let server = ServerProcess::greet(started).await.unwrap();
        let answer = server.call("getPet", json!({"petId": 7}).as_object().unwrap().clone()).await;
        let answer = answer.unwrap();
        assert_ne!(answer.is_error, Some(true), "{answer:?}");
        assert_eq!(api.seen(), [format!("GET {host} /v1/pets/7 of the operator")]);
        server.stop().await;

        // An address of the caller's is none of the operator's: the key does not go there.
        given.values.insert("API_BASE_URL".to_owned(), format!("http://127.0.0.1:{}", api.port()));
        let reach = reach::of(&package, &mut given).unwrap();
        let program = Program {
            arguments: vec!["server.py".to_owned()],
            variables: given.values,
            ..bench.program("", reach)
        };
        let server =
            ServerProcess::greet(bench.launcher.start(program).await.unwrap()).await.unwrap();
        let answer = server.call("getPet", json!({"petId": 7}).as_object().unwrap().clone()).await;
        let text = serde_json::to_string(&answer.unwrap()).unwrap();
        assert!(text.contains("is not among the declared hosts"), "{text}");
        assert_eq!(api.seen().len(), 1);
        server.stop().await;
        bench.close().await;
    })
    .await;
}
