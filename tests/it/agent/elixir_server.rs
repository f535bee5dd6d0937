//! `examples/ecto_generator.exs` as a real process of the real Elixir.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::product::StdioClient;

/// The script; elixir has to be there, as it has for the other tests of generated code.
pub(crate) fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ecto_generator.exs")
}

fn server(roots: &Path) -> StdioClient {
    let mut command = Command::new("elixir");
    command
        .arg(script())
        .env("ECTO_GENERATOR_ROOTS", roots)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    StdioClient::start(command)
}

fn user() -> Value {
    json!({
        "module_name": "User",
        "fields": [
            {"name": "name", "type": "string"},
            {"name": "email", "type": "string"},
            {"name": "age", "type": "integer"},
        ],
    })
}

#[tokio::test]
async fn the_example_server_generates_a_schema_and_refuses_what_it_must() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().join("my_phoenix_app");
    std::fs::create_dir(&project).unwrap();
    let mut server = server(folder.path());
    let greeting = server.initialize(json!({})).await;
    assert_eq!(greeting["serverInfo"]["name"], "ecto_generator");
    let tools = server.request("tools/list", json!({})).await;
    assert_eq!(tools["tools"][0]["name"], "generate_ecto_schema");

    let call = |definition: Value, path: &Path| {
        json!({"name": "generate_ecto_schema", "arguments": {
            "schema_definition": definition, "target_project_path": path}})
    };
    let made = server.request("tools/call", call(user(), &project)).await;
    assert_eq!(made["isError"], false, "{made}");
    let file = project.join("lib/my_phoenix_app/schemas/user.ex");
    assert_eq!(made["structuredContent"]["file_path"], file.to_str().unwrap());
    let source = std::fs::read_to_string(&file).unwrap();
    for line in
        ["defmodule MyPhoenixApp.Schemas.User do", "schema \"users\" do", "field :age, :integer"]
    {
        assert!(source.contains(line), "{line}: {source}");
    }
    // The same again changes nothing; as JSON text it is the same.
    let again = server.request("tools/call", call(json!(user().to_string()), &project)).await;
    assert_eq!(again["structuredContent"]["action"], "unchanged", "{again}");

    let mut other = user();
    other["fields"][0]["name"] = json!("nick");
    let mut bad_type = user();
    bad_type["fields"][2]["type"] = json!("number; File.rm_rf(\"/\")");
    let mut injected = user();
    injected["module_name"] = json!("User do end; defmodule Evil");
    let outside = tempfile::tempdir().unwrap();
    for (definition, path, word) in [
        (other, project.as_path(), "there already with other content"),
        (bad_type, project.as_path(), "there are string"),
        (injected, project.as_path(), "CamelCase"),
        (user(), Path::new("my_phoenix_app"), "absolute path"),
        (user(), outside.path(), "outside the folders"),
        (json!({"module_name": "Ünïcödé 🎈"}), project.as_path(), "🎈"),
    ] {
        let refused = server.request("tools/call", call(definition, path)).await;
        assert_eq!(refused["isError"], true, "{refused}");
        let text = refused["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), source);
    let unknown = server.exchange("tools/call", json!({"name": "nothing"})).await;
    assert_eq!(unknown["error"]["code"], -32602);
    let unknown = server.exchange("resources/list", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32601);
    let (code, log) = server.close().await;
    assert_eq!((code, log.as_str()), (Some(0), ""));
}
