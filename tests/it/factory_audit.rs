//! What becomes of awkward descriptions: names, schemas, variables and reasons; and descriptions in
//! several files, from a folder and from the web. What is sent for them is judged in `factory_corpus`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use atelier::factory::ir::{Kind, Mode, Package, Style, Tool};
use atelier::factory::load::{Fetched, Loader, limits};
use atelier::factory::serialise;
use atelier::factory::source::openapi::bundle::Bundle;
use atelier::factory::source::openapi::{Settings, document, normalise};
use atelier::fetch::address::AddressPolicy;
use atelier::fetch::{Fetcher, SystemResolver};
use axum::Router;
use axum::extract::Path as UrlPath;
use axum::http::StatusCode;
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/factory/audit")
}

fn package(name: &str) -> Package {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    of_text(&text)
}

fn of_text(text: &str) -> Package {
    let bundle = Bundle::new(document::read(text, "it").unwrap(), None);
    normalise(&bundle, &Settings::default(), "it").unwrap()
}

fn tool<'a>(package: &'a Package, name: &str) -> &'a Tool {
    let names = || package.tools.iter().map(|tool| &tool.name).collect::<Vec<_>>();
    let found = package.tools.iter().find(|tool| tool.name == name);
    found.unwrap_or_else(|| panic!("{name} is not among {:?}", names()))
}

fn sorted(value: &Value) -> Vec<&str> {
    let mut words: Vec<&str> =
        value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    words.sort_unstable();
    words
}

#[test]
fn schemas_say_what_a_request_takes() {
    let package = package("styles.yaml");
    // What is `readOnly` behind a reference goes, and what requires it; `writeOnly` stays.
    let both = &package.defs["Both"];
    assert_eq!(sorted(&both["required"]), ["extra", "kind", "name"]);
    assert!(both["properties"].get("id").is_none(), "{both}");
    assert!(both["properties"].get("secret").is_some(), "{both}");
    // In 3.1 what stands beside a reference counts.
    let beside = &package.defs["Beside"];
    assert_eq!(sorted(&beside["required"]), ["kind", "more"]);
    assert_eq!(beside["properties"]["more"], json!({"type": "integer"}));
    // A cycle stays one.
    assert_eq!(package.defs["Tree"]["properties"]["left"], json!({"$ref": "#/$defs/Tree"}));
    // A discriminator's words are told.
    let pet = package.defs["Pet"]["description"].as_str().unwrap();
    assert_eq!(pet, "The variant is chosen by `petType`: `feline`, `canine`.");
    // An anchor is found.
    let anchored = &tool(&package, "anchor").input_schema["properties"]["body"];
    assert_eq!(anchored, &json!({"$ref": "#/$defs/Anchored"}));
    assert_eq!(package.defs["Anchored"]["required"], json!(["text"]));
    let messages: Vec<&str> = package.notes.iter().map(|note| note.message.as_str()).collect();
    assert!(messages.iter().all(|message| !message.contains("leads nowhere")), "{messages:#?}");
}

#[test]
fn required_properties_that_are_read_only_elsewhere_are_not_required() {
    let package = of_text(
        r"
openapi: 3.0.3
info: {title: Required, version: '1'}
components:
  schemas:
    Base: {type: object, properties: {id: {type: integer, readOnly: true}, name: {type: string}}}
    Whole: {allOf: [{$ref: '#/components/schemas/Base'}], required: [id, name]}
    Ignored: {$ref: '#/components/schemas/Base', required: [more]}
paths:
  /a: {post: {operationId: whole, requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Whole'}}}}, responses: {200: {description: ok}}}}
  /b: {post: {operationId: ignored, requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Ignored'}}}}, responses: {200: {description: ok}}}}
",
    );
    assert_eq!(package.defs["Whole"]["required"], json!(["name"]));
    // Before 3.1 what stands beside a reference is ignored.
    assert!(!serde_json::to_string(&package.defs).unwrap().contains("more"), "{:?}", package.defs);
}

#[test]
fn names_are_unique_and_methods_say_what_they_do() {
    let package = package("styles.yaml");
    let mut names: Vec<String> =
        package.tools.iter().map(|tool| tool.name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), package.tools.len());
    for tool in &package.tools {
        assert!(tool.name.len() <= 56, "{}", tool.name);
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-".contains(letter);
        assert!(tool.name.chars().all(plain), "{}", tool.name);
        let arguments = tool.input_schema["properties"].as_object().unwrap();
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
        assert!(arguments.keys().all(|name| name.len() <= 64 && name.chars().all(plain)));
    }
    assert_eq!(tool(&package, "make_both").title, "make_both");
    let hints = |name: &str| {
        let hints = &tool(&package, name).annotations;
        (hints.read_only, hints.destructive, hints.idempotent)
    };
    assert_eq!(hints("get_noid_by_x-y"), (true, false, true));
    assert_eq!(hints("head_noid_by_x-y"), (true, false, true));
    assert_eq!(hints("delete_noid_by_x-y"), (false, true, true));
    assert_eq!(hints("patch_noid_by_x-y"), (false, false, false));
    assert_eq!(hints("tree"), (false, false, true));
    assert_eq!(hints("pet"), (false, false, false));
    // The same name in four places.
    let arguments = &tool(&package, "manyPlaces").input_schema["properties"];
    for name in ["path_a", "query_a", "header_a", "cookie_a", "filter_name", "ids"] {
        assert!(arguments.get(name).is_some(), "{name}: {arguments:#}");
    }
}

#[test]
fn variables_are_declared_once_and_never_take_the_systems() {
    let declared = |package: &Package| -> Vec<String> {
        package.environment.iter().map(|variable| variable.name.clone()).collect()
    };
    let styles = declared(&package("styles.yaml"));
    // Those of an operation's own server too.
    for name in ["SERVER_REGION", "SERVER_PORT", "SERVER_ZONE", "SERVER_BASE"] {
        assert!(styles.contains(&name.to_owned()), "{name}: {styles:?}");
    }
    let package = package("security.yaml");
    let names = declared(&package);
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "{names:?}");
    // `apiKey` and `api_key` are two keys; a scheme called `path` has nothing to do with PATH.
    assert!(names.contains(&"API_KEY".to_owned()) && names.contains(&"API_API_KEY".to_owned()));
    assert!(names.contains(&"API_PATH".to_owned()) && !names.contains(&"PATH".to_owned()));
    let ways = |name: &str| -> Vec<Vec<String>> {
        let Kind::Http(http) = &tool(&package, name).kind else { panic!("{name}") };
        http.security.iter().map(|entry| entry.schemes.keys().cloned().collect()).collect()
    };
    let none: Vec<Vec<String>> = Vec::new();
    assert_eq!(ways("global"), [["apiKey"]]);
    assert_eq!(ways("none"), none);
    assert_eq!(ways("optional"), [vec![], vec!["bearerAuth".to_owned()]]);
    assert_eq!(ways("and"), [["apiKey", "api_key", "path"]]);
    assert_eq!(ways("or"), [["basicAuth"], ["oauth"]]);
}

#[test]
fn pages_are_hinted_at_whatever_the_parameter_is_called() {
    for (name, argument) in [
        ("page", "page"),
        ("page[number]", "page_number"),
        ("pageToken", "pageToken"),
        ("startingAfter", "startingAfter"),
        ("$skip", "skip"),
    ] {
        let document = json!({
            "openapi": "3.0.3", "info": {"title": "Pages", "version": "1"},
            "paths": {"/a": {"get": {"operationId": "a", "parameters": [
                {"name": name, "in": "query", "schema": {"type": "string"}},
                {"name": "sort", "in": "query", "schema": {"type": "string"}},
            ], "responses": {"200": {"description": "ok"}}}}},
        });
        let package = of_text(&document.to_string());
        let description = &tool(&package, "a").description;
        let hint = format!("Answers come in pages: `{argument}`.");
        assert!(description.contains(&hint), "{name}: {description}");
    }
}

#[test]
fn what_cannot_be_called_is_told_with_its_reason() {
    let package = package("skipped.yaml");
    let names: Vec<&str> = package.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["fine"]);
    for (operation, reason) in [
        ("GET /missing", "there is no `Gone`"),
        ("GET /style", "has the style `matrix`, which its place does not know"),
        ("GET /header", "is no name of a header"),
        ("POST /body", "the body is missing"),
        ("GET /hidden", "`x-mcp: false`"),
        ("/item", "leads nowhere"),
        ("relative", "does not begin with `/`"),
        ("/empty", "holds no operations"),
        ("GET /broken", "is no object"),
        ("webhook told", "there is nothing to call"),
    ] {
        let told = package.skipped.iter().find(|skipped| skipped.operation == operation);
        let told = told.unwrap_or_else(|| panic!("{operation}: {:#?}", package.skipped));
        assert!(told.reason.contains(reason), "{operation}: {}", told.reason);
    }
    assert_eq!(package.skipped.len(), 10, "{:#?}", package.skipped);
}

#[test]
fn more_than_forty_operations_are_searched() {
    let document = |count: usize| {
        let paths: serde_json::Map<String, Value> = (0..count)
            .map(|number| {
                let operation = json!({"get": {"responses": {"200": {"description": "ok"}}}});
                (format!("/a{number}"), operation)
            })
            .collect();
        json!({"openapi": "3.0.3", "info": {"title": "Many", "version": "1"}, "paths": paths})
    };
    let mode = |count, wanted| {
        let bundle = Bundle::new(document(count), None);
        let settings = Settings { mode: wanted, ..Settings::default() };
        normalise(&bundle, &settings, "it").unwrap().mode
    };
    assert_eq!(mode(40, None), Mode::Direct);
    assert_eq!(mode(41, None), Mode::Search);
    assert_eq!(mode(41, Some(Mode::Direct)), Mode::Direct);
}

/// Files of the split description, as a web server has them.
async fn served() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let read = async |UrlPath(path): UrlPath<String>| {
        std::fs::read_to_string(folder().join("split").join(path))
            .map_err(|_| StatusCode::NOT_FOUND)
    };
    let app = Router::new().route("/{*path}", axum::routing::get(read));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
}

#[tokio::test]
async fn a_description_in_several_files_is_the_same_from_a_folder_and_from_the_web() {
    let (address, server) = served().await;
    let policy = AddressPolicy::public_only().with_exception(address);
    let fetcher = Fetcher::with(Arc::new(SystemResolver), policy, limits());
    let roots = [folder()];
    let mut made = Vec::new();
    for given in [
        folder().join("split/api.yaml").display().to_string(),
        format!("http://{address}/api.yaml"),
    ] {
        let loader =
            Loader { fetcher: &fetcher, allowed_roots: &roots, fetched: Fetched::default() };
        let (bundle, shown) = loader.load(&given).await.unwrap();
        let package = normalise(&bundle, &Settings::default(), &shown).unwrap();
        assert_eq!(package.skipped, [], "{given}");
        assert_eq!(package.notes, [], "{given}");
        made.push((package, loader.fetched.all().len()));
    }
    server.abort();
    let [(by_path, none), (by_url, several)] = made.as_slice() else { panic!() };
    assert_eq!((*none, *several), (0, 7), "what is fetched is fetched once");
    assert_eq!(serde_json::to_value(by_path).unwrap(), serde_json::to_value(by_url).unwrap());

    let package = by_path;
    let names: Vec<&str> = package.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["listPets", "addPet", "getPet"]);
    let list = tool(package, "listPets");
    assert_eq!(list.input_schema["properties"]["page"]["minimum"], 1);
    let Kind::Http(http) = &list.kind else { panic!() };
    assert_eq!(http.parameters[1].style, Style::PipeDelimited);
    assert!(http.security[0].schemes.contains_key("key"), "{:?}", http.security);
    assert_eq!(package.defs["Pet"]["properties"]["mother"], json!({"$ref": "#/$defs/Pet"}));
    assert_eq!(package.defs["Pet"]["properties"]["name"]["pattern"], "^[a-z]+$");
    let one = tool(package, "getPet");
    assert_eq!(one.input_schema["properties"]["pet_id"]["type"], "integer", "{one:?}");
    let Kind::Http(http) = &one.kind else { panic!() };
    let arguments = json!({"pet_id": 7});
    let request = serialise::request(http, arguments.as_object().unwrap()).unwrap();
    assert_eq!(request.path, "/pets/7");
}
