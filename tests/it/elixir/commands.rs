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

#[tokio::test]
async fn folders_of_the_client_narrow_where_projects_may_lie() {
    let world = Installation::new();
    let folder = world.folder().canonicalize().unwrap();
    for name in ["open", "closed"] {
        copy(&fixtures().join("my_app"), &folder.join(name), "my_app", "MyApp");
    }
    let world = world.with("ATELIER_ELIXIR__ALLOWED_ROOTS", folder.display().to_string());
    let mut client = StdioClient::start(world.command(&["stdio"]));
    client.initialize(json!({"roots": {}})).await;
    let call =
        |name: &str| json!({"schema_definition": user(), "target_project_path": folder.join(name)});
    // A client that has nothing open says nothing.
    let made = client.call("generate_ecto_schema", call("closed")).await;
    assert_eq!(made["status"], "success", "{made}");
    client.roots = vec![folder.join("open")];
    let refused = client.call("generate_ecto_migration", call("closed")).await;
    assert_eq!(refused["code"], "elixir_path_not_allowed", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("that the client has open"));
    assert!(refused["hint"].as_str().unwrap().contains(folder.join("open").to_str().unwrap()));
    assert!(!folder.join("closed/priv/repo/migrations").read_dir().unwrap().any(|file| {
        file.unwrap().file_name().to_string_lossy().ends_with("_create_users.exs")
    }));
    let undo = json!({"target_project_path": folder.join("closed")});
    let refused = client.call("undo_elixir_change", undo).await;
    assert_eq!(refused["code"], "elixir_path_not_allowed", "{refused}");
    let made = client.call("generate_ecto_schema", call("open")).await;
    assert_eq!(made["status"], "success", "{made}");
    // Roots only narrow.
    client.roots = vec!["/".into()];
    let refused = client
        .call(
            "generate_ecto_schema",
            json!({"schema_definition": user(), "target_project_path": "/usr"}),
        )
        .await;
    assert_eq!(refused["code"], "elixir_path_not_allowed", "{refused}");
    client.close().await;
}
