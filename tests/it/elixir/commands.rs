//! `atelier elixir`, and its servers of one tool each.

use serde_json::json;

use super::{copy, fixtures, read, user};
use crate::support::product::{Installation, StdioClient};

#[tokio::test]
async fn the_commands_do_what_the_tools_do() {
    let world = Installation::new();
    let project = world.folder().canonicalize().unwrap().join("my_app");
    copy(&fixtures().join("my_app"), &project, "my_app", "MyApp");
    let path = project.to_str().unwrap();
    let definition = user().to_string();
    let dry = world.run(&["elixir", "crud", &definition, "--project", path, "--dry-run"]).await;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.json()["diff"].as_str().unwrap().contains("+defmodule MyApp.Schemas.User do"));
    assert!(!project.join("lib/my_app/schemas").exists());
    for command in ["schema", "migration", "context"] {
        let finished = world.run(&["elixir", command, &definition, "--project", path]).await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert_eq!(finished.json()["status"], "success");
    }
    assert!(read(&project, "lib/my_app/users/users.ex").contains("def list_users do"));
    let undone = world.run(&["elixir", "undo", "--project", path]).await;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert!(!project.join("lib/my_app/users").exists());
    let wrong =
        world.run(&["elixir", "schema", "{\"module_name\": \"end\"}", "--project", path]).await;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert_eq!(wrong.json()["code"], "invalid_definition");
    assert_eq!(world.run(&["elixir", "schema"]).await.code, Some(2));
}

#[tokio::test]
async fn three_servers_make_a_resource_over_stdio() {
    let world = Installation::new();
    let folder = world.folder().canonicalize().unwrap();
    let project = folder.join("my_app");
    copy(&fixtures().join("my_app"), &project, "my_app", "MyApp");
    let world =
        world.with("ATELIER_ELIXIR__ALLOWED_ROOTS", format!("/nowhere:{}", folder.display()));
    let arguments = json!({"schema_definition": user(), "target_project_path": project});
    for (command, tool, file) in [
        ("serve-ecto", "generate_ecto_schema", "lib/my_app/schemas/user.ex"),
        ("serve-migration", "generate_ecto_migration", "_create_users.exs"),
        ("serve-context", "generate_phoenix_context", "lib/my_app/users/users.ex"),
    ] {
        let mut client = StdioClient::start(world.command(&["elixir", command]));
        client.initialize(json!({})).await;
        let listed = client.request("tools/list", json!({})).await;
        let names: Vec<&str> = listed["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, [tool]);
        let result = client.call(tool, arguments.clone()).await;
        assert_eq!(result["status"], "success", "{result}");
        assert!(result["file_path"].as_str().unwrap().ends_with(file), "{result}");
        let refused = client
            .call(tool, json!({"schema_definition": user(), "target_project_path": "/etc"}))
            .await;
        assert_eq!(refused["code"], "elixir_path_not_allowed");
        let (code, log) = client.close().await;
        assert_eq!(code, Some(0), "{log}");
    }
}
