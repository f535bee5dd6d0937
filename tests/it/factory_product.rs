//! Servers made, listed, started, called and stopped through the tools.

use std::path::Path;
use std::sync::Arc;

use atelier::app::App;
use atelier::config::Config;
use atelier::registry::{CallContext, Origin};
use serde_json::{Value, json};

use crate::egress::app::open;
use crate::sandbox::support::settings;
use crate::support::factory_python::environment;

const PETSTORE: &str = r"
openapi: 3.0.3
info: {title: Pet Store, version: 1.0.0}
servers: [{url: 'https://pets.example.com/v1'}]
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Api-Key}
paths:
  /pets:
    get:
      operationId: listPets
      tags: [pets]
      parameters: [{name: tags, in: query, schema: {type: array, items: {type: string}}}]
      security: [{key: []}]
      responses: {200: {description: all}}
    post:
      operationId: addPet
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}}}}}}
      responses: {201: {description: made}}
  /pets/{petId}:
    get:
      operationId: getPet
      parameters: [{name: petId, in: path, required: true, schema: {type: integer}}]
      responses: {200: {description: one}}
webhooks: {petBorn: {post: {}}}
";

struct Shop {
    app: Arc<App>,
    folder: tempfile::TempDir,
}

impl Shop {
    async fn open(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.storage.data_dir = folder.path().join("data");
        config.factory.environment = Some(environment());
        config.factory.allowed_roots = vec![folder.path().to_owned()];
        config.limits.answer_budget_s = 300.0;
        change(&mut config);
        let app = open(config, settings()).await;
        Self { app, folder }
    }

    async fn call(&self, tool: &str, arguments: Value) -> (bool, Value) {
        let context = CallContext::new("tester".into(), Origin::Client);
        let outcome = self.app.registry.call(tool, arguments, context).await;
        (outcome.is_error, outcome.structured)
    }

    async fn made(&self, arguments: Value) -> Value {
        let (is_error, result) = self.call("create_mcp_server", arguments).await;
        assert!(!is_error, "{result:#}");
        result
    }

    async fn refused(&self, arguments: Value) -> Value {
        let (is_error, result) = self.call("create_mcp_server", arguments).await;
        assert!(is_error, "{result:#}");
        result
    }
}

#[tokio::test]
async fn a_server_of_an_api_is_made_proven_started_and_stopped() {
    let shop = Shop::open(|config| {
        config.factory.variables.insert("KEY".to_owned(), "secret-key".to_owned());
    })
    .await;
    let made = shop.made(json!({"openapi": PETSTORE})).await;
    assert_eq!(made["status"], "success", "{made:#}");
    assert_eq!(made["server_name"], "pet_store");
    assert_eq!(made["self_test"]["level"], "tested");
    assert_eq!(made["self_test"]["failed"], 0);
    assert_eq!(made["tools"].as_array().unwrap().len(), 3);
    assert_eq!(made["skipped"][0]["operation"], "webhook petBorn");
    let path = Path::new(made["path"].as_str().unwrap());
    for file in [
        "server.py",
        "operations.json",
        "tests/cases.json",
        "tests/test_tools.py",
        "Dockerfile",
        "README.md",
        "skill.md",
        "pyproject.toml",
        ".github/workflows/ci.yml",
        "EXECUTION_LOG.md",
        "execution_log.json",
        "COVERAGE.md",
        "SECURITY_REPORT.md",
        ".env.example",
        "mcp.json.example",
        "server.json",
        "requirements.txt",
    ] {
        assert!(path.join(file).is_file(), "{file}");
    }
    let config = &made["client_config"]["mcpServers"]["pet_store"];
    assert!(config["args"][0].as_str().unwrap().ends_with("server.py"));
    let again =
        shop.made(json!({"openapi": PETSTORE, "name": "pet_store", "include": ["tag:pets"]})).await;
    assert_eq!((&again["version"], &again["tool_count"]), (&json!(2), &json!(1)));
    assert!(path.is_dir(), "the first version stays");

    let (is_error, started) =
        shop.call("start_mcp_server", json!({"server_name": "pet_store", "version": 1})).await;
    assert!(!is_error, "{started:#}");
    assert_eq!(started["tools"].as_array().unwrap().len(), 3);
    let (_, listed) = shop.call("list_mcp_servers", json!({})).await;
    assert_eq!(listed["servers"][0]["running"], true, "{listed:#}");
    let (is_error, refused) = shop
        .call("start_mcp_server", json!({"server_name": "pet_store", "environment": {"KEY": "x"}}))
        .await;
    assert!(is_error && refused["message"].as_str().unwrap().contains("secret"), "{refused:#}");
    let (_, stopped) = shop.call("stop_mcp_server", json!({"server_name": "pet_store"})).await;
    assert_eq!(stopped["stopped"], true);
    let (_, listed) = shop.call("list_mcp_servers", json!({})).await;
    assert_eq!(listed["servers"][0]["running"], false);
    let text = std::fs::read_to_string(path.join("operations.json")).unwrap();
    assert!(!text.contains("secret-key"));
}

#[tokio::test]
async fn servers_are_closed_to_code_and_known_by_name() {
    let shop = Shop::open(|_| {}).await;
    let (_, refused) = shop.call("start_mcp_server", json!({"server_name": "none"})).await;
    assert_eq!(refused["code"], "factory_unknown_server");
    for name in ["create_mcp_server", "start_mcp_server", "stop_mcp_server"] {
        let tool = shop.app.registry.tool(name).unwrap();
        assert!(!tool.open_to_code && !tool.open_to_pages, "{name}");
    }
    let listing = shop.app.registry.tool("list_mcp_servers").unwrap();
    assert!(listing.open_to_code, "the others are closed one by one");
}

#[tokio::test]
async fn files_come_from_allowed_folders_alone() {
    let shop = Shop::open(|_| {}).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("pets.yaml");
    std::fs::write(&file, PETSTORE).unwrap();
    let refused = shop.refused(json!({"openapi": file})).await;
    assert_eq!(refused["code"], "factory_not_allowed", "{refused:#}");
    let link = shop.folder.path().join("link.yaml");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let refused = shop.refused(json!({"openapi": link})).await;
    assert_eq!(refused["code"], "factory_not_allowed", "{refused:#}");
    let refused = shop.refused(json!({"openapi": "http://127.0.0.1:1/openapi.json"})).await;
    assert_eq!(refused["code"], "factory_not_accessible", "{refused:#}");
    assert!(refused["message"].as_str().unwrap().contains("not on the public internet"));
    let inside = shop.folder.path().join("pets.yaml");
    std::fs::copy(&file, &inside).unwrap();
    let out = shop.folder.path().join("out");
    let made = shop.made(json!({"openapi": inside, "output_dir": out})).await;
    assert!(out.join("pet_store/server.py").is_file(), "{made:#}");
    shop.made(json!({"openapi": inside, "output_dir": out})).await;
    assert!(out.join("pet_store-2/server.py").is_file());
}

#[tokio::test]
async fn sources_must_be_one() {
    let shop = Shop::open(|_| {}).await;
    for (arguments, words) in [
        (json!({}), "nothing says"),
        (json!({"description": "x", "openapi": PETSTORE}), "together"),
        (json!({"openapi": PETSTORE, "language": "go"}), "not made yet"),
        (json!({"description": " "}), "is empty"),
        (json!({"description": "x".repeat(10_001)}), "10001 characters"),
    ] {
        let refused = shop.refused(arguments).await;
        assert!(refused["message"].as_str().unwrap().contains(words), "{refused:#}");
    }
}

#[tokio::test]
async fn written_tools_are_parsed_scanned_and_tried() {
    let shop = Shop::open(|_| {}).await;
    let spec = |code: &str| {
        json!({"tool_specs": [{
            "name": "add",
            "description": "Adds two numbers.",
            "input_schema": {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]},
            "implementation": code,
            "examples": [{"arguments": {"a": 2, "b": 3}, "result": 5}],
        }], "name": "adder"})
    };
    let made = shop.made(spec("async def run(args, ctx):\n    return args['a'] + args['b']")).await;
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    let broken = shop.refused(spec("async def run(args, ctx)\n    return 1")).await;
    assert_eq!(broken["code"], "factory_no_specification", "{broken:#}");
    let wrong =
        shop.refused(spec("async def run(args, ctx):\n    return args['a'] - args['b']")).await;
    assert_eq!(wrong["code"], "factory_self_test_failed", "{wrong:#}");
    let shell = shop
        .refused(spec("import os\nasync def run(args, ctx):\n    os.system('echo ' + str(args['a']))\n    return 5"))
        .await;
    assert_eq!(shell["code"], "factory_scan_blocked", "{shell:#}");
    let (_, listed) = shop.call("list_mcp_servers", json!({})).await;
    assert_eq!(listed["servers"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_of_a_database_is_made() {
    let shop = Shop::open(|_| {}).await;
    let file = shop.folder.path().join("shop.db");
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO item (name) VALUES ('kept');")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let made = shop.made(json!({"database_url": file})).await;
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    assert_eq!(made["server_name"], "shop");
}

#[tokio::test]
async fn references_to_private_addresses_are_never_fetched() {
    let shop = Shop::open(|_| {}).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let parameter = |reference: &str| json!({"get": {"parameters": [{"$ref": reference}], "responses": {"200": {"description": "ok"}}}});
    let document = json!({
        "openapi": "3.0.3",
        "info": {"title": "Refs", "version": "1"},
        "servers": [{"url": "https://api.example.com"}],
        "paths": {
            "/beside": parameter("beside.json#/limit"),
            "/local": parameter(&format!("http://{address}/far.json#/limit")),
            "/cloud": parameter("http://169.254.169.254/latest#/limit"),
            "/outside": parameter("../outside.json#/limit"),
        },
    });
    let beside = json!({"limit": {"name": "limit", "in": "query", "schema": {"type": "integer"}}});
    std::fs::write(shop.folder.path().join("beside.json"), beside.to_string()).unwrap();
    let path = shop.folder.path().join("api.json");
    std::fs::write(&path, document.to_string()).unwrap();
    let made = shop.made(json!({"openapi": path})).await;
    // The positive control is the one that lies beside it.
    assert_eq!(made["tools"][0]["name"], "get_beside", "{made:#}");
    assert_eq!((&made["tool_count"], &made["skipped_count"]), (&json!(1), &json!(3)), "{made:#}");
    for (operation, reason) in [
        ("GET /local", "not on the public internet"),
        ("GET /cloud", "not on the public internet"),
        ("GET /outside", "there is no such file"),
    ] {
        let skipped = made["skipped"].as_array().unwrap();
        let told = skipped.iter().find(|one| one["operation"] == operation).unwrap();
        assert!(told["reason"].as_str().unwrap().contains(reason), "{told}");
    }
    // Nobody knocked.
    let knocked = listener.accept().map(drop).unwrap_err();
    assert_eq!(knocked.kind(), std::io::ErrorKind::WouldBlock);
}
