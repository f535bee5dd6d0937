//! What clients see of every tool: a snapshot in git, and the promises of the first program whose
//! tools these are.

use std::collections::BTreeSet;
use std::sync::Arc;

use atelier::app::App;
use atelier::config::Config;
use atelier::documents::LinkLife;
use atelier::registry::{Registry, Rights};
use atelier::server::show;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Tools of the first program that exist by now.
const KEPT: [&str; 8] = [
    "create_pdf_document",
    "create_python_code",
    "create_web_app",
    "edit_pdf_document",
    "edit_python_code",
    "edit_web_app",
    "execute_python_code",
    "list_web_apps",
];

async fn registry() -> (Arc<Registry>, TempDir) {
    let folder = TempDir::new().unwrap();
    let mut config = Config::default();
    folder.path().clone_into(&mut config.storage.data_dir);
    let app = App::open(config, LinkLife::Lasting).await.unwrap();
    (Arc::clone(&app.registry), folder)
}

/// All tools as a client gets them.
async fn shown() -> Vec<Value> {
    let (registry, _folder) = registry().await;
    registry.tools(&Rights::default()).map(|tool| json!(show(tool))).collect()
}

fn name(tool: &Value) -> &str {
    tool["name"].as_str().unwrap()
}

#[tokio::test]
async fn tools_are_as_reviewed() {
    let tools = shown().await;
    let names: Vec<&str> = tools.iter().map(name).collect();
    insta::assert_json_snapshot!("tool_names", names);
    for tool in &tools {
        insta::assert_json_snapshot!(format!("tool_{}", name(tool)), tool);
    }
}

#[tokio::test]
async fn schemas_are_portable() {
    for tool in shown().await {
        for key in ["inputSchema", "outputSchema"] {
            let mut wrong = Vec::new();
            find_foreign(&tool[key], key, &mut wrong);
            assert!(wrong.is_empty(), "{}: {wrong:?}", name(&tool));
            assert_eq!(tool[key]["type"], "object", "{}: {key}", name(&tool));
        }
        assert_eq!(tool["outputSchema"]["required"], json!(["status"]), "{}", name(&tool));
        for (parameter, schema) in tool["inputSchema"]["properties"].as_object().unwrap() {
            let described = schema["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(described, "{}: `{parameter}` has no description", name(&tool));
        }
    }
}

/// What some client is known to choke on.
fn find_foreign(schema: &Value, place: &str, wrong: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                let foreign = match key.as_str() {
                    "$ref" | "$defs" | "definitions" | "$schema" => true,
                    "type" => value.is_array() || value == "null",
                    "format" => value.as_str().is_some_and(|format| {
                        format.starts_with("uint") || format.starts_with("int")
                    }),
                    _ => false,
                };
                // A property may be named like a keyword.
                if foreign && !place.ends_with(".properties") {
                    wrong.push(format!("{place}.{key}"));
                }
                find_foreign(value, &format!("{place}.{key}"), wrong);
            }
        }
        Value::Array(items) => {
            for item in items {
                find_foreign(item, place, wrong);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn the_first_tools_keep_their_parameters() {
    let seed: Vec<Value> =
        serde_json::from_str(include_str!("../fixtures/seed_tools.json")).unwrap();
    let tools = shown().await;
    let mut found = BTreeSet::new();
    for old in &seed {
        let old_name = old["tool_name"].as_str().unwrap();
        let Some(new) = tools.iter().find(|tool| name(tool) == old_name) else { continue };
        found.insert(old_name);
        let schema = &new["inputSchema"];
        let required: BTreeSet<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut old_required = BTreeSet::new();
        for parameter in old["parameters"].as_array().unwrap() {
            let parameter_name = parameter["name"].as_str().unwrap();
            let place = format!("{old_name}.{parameter_name}");
            let property = &schema["properties"][parameter_name];
            assert!(property.is_object(), "{place} is gone");
            if parameter["required"] == true {
                old_required.insert(parameter_name);
            }
            assert_eq!(property["type"], json_type(parameter["type"].as_str().unwrap()), "{place}");
            let default = if parameter_name == "model" {
                // The old default is retired; `auto` leads where it led.
                json!("auto")
            } else {
                parameter.get("default").cloned().unwrap_or_default()
            };
            assert_eq!(property.get("default").cloned().unwrap_or_default(), default, "{place}");
        }
        assert_eq!(required, old_required, "{old_name}: required parameters");
    }
    assert_eq!(found, BTreeSet::from(KEPT));
}

/// The JSON type of a Python annotation of the first program.
fn json_type(annotation: &str) -> &'static str {
    let inner = annotation
        .strip_prefix("Optional[")
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(annotation);
    match inner {
        "str" | "MODELS_LITERAL" => "string",
        "int" => "integer",
        "bool" => "boolean",
        list if list.starts_with("List[") => "array",
        map if map.starts_with("Dict[") => "object",
        other => panic!("the fixture has a new annotation: {other}"),
    }
}
