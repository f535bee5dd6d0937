//! Bad input: an error that names the place and the fix, and an untouched project.

use std::path::Path;

use serde_json::{Value, json};

use super::{Forge, tree, user};

/// A definition with one field.
fn field(field: impl Into<Value>) -> Value {
    let field: Value = field.into();
    json!({"module_name": "Thing", "fields": ["title:string", field]})
}

#[tokio::test]
async fn definitions_are_refused_with_their_place_and_a_fix() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let before = tree(&project);
    let many: Vec<String> = (0..10_000).map(|number| format!("f{number}:string")).collect();
    let cases = [
        (json!({"fields": ["a:string"]}), "no `module_name`"),
        (json!({"module_name": "User", "fields": []}), "no fields"),
        (json!({"module_name": "User", "fields": many}), "10000 fields"),
        (json!({"module_name": "user", "fields": ["a:string"]}), "write `User`"),
        (
            json!({"module_name": "User do\n System.halt()", "fields": ["a:string"]}),
            "no name of a module",
        ),
        (json!({"module_name": "End", "fields": ["a:string"]}), "cannot be named `End`"),
        (json!({"module_name": "String", "fields": ["a:string"]}), "cannot be named `String`"),
        (
            json!({"module_name": "User", "context": "User", "fields": ["a:string"]}),
            "both named `User`",
        ),
        (field(json!("end:string")), "reserved word"),
        (field(json!("title:string")), "twice"),
        (field(json!("id:integer")), "made by the schema itself"),
        (field(json!("inserted_at:date")), "made by the schema itself"),
        (field(json!("__meta__:string")), "no field name"),
        (field(json!({"name": "First Name", "type": "string"})), "write `first_name`"),
        (field(json!({"name": "a\"b", "type": "string"})), "no field name"),
        (field(json!({"name": "#{x}", "type": "string"})), "no field name"),
        (field(json!({"name": "a\nb", "type": "string"})), "no field name"),
        (field(json!("a:strin")), "did you mean `string`"),
        (field(json!({"name": "a", "type": "enum"})), "needs its values"),
        (field(json!({"name": "a", "type": "string", "format": "a(b"})), "no regular expression"),
        (field(json!("a:enum:x:x")), "there twice"),
        (field(json!("a:enum:publish:redact")), "write the field as an object"),
        (field(json!("a:array")), "type of its elements"),
        (field(json!({"name": "a", "type": "integer", "default": "x"})), "write a whole number"),
        (field(json!({"name": "a", "type": "enum", "values": ["x"], "default": "y"})), "one of x"),
        (field(json!({"name": "a", "type": "decimal", "scale": 2})), "without a `precision`"),
        (field(json!({"name": "a", "type": "string", "reqired": true})), "did you mean `required`"),
        (
            field(json!({"name": "a", "type": "integer", "generated": "1; DROP TABLE x"})),
            "contains `;`",
        ),
        (
            json!({"module_name": "T", "fields": ["a:string"], "indexes": [{"columns": ["b"]}]}),
            "no field of this resource",
        ),
        (
            json!({"module_name": "T", "fields": ["a:string"], "constraints": [{"name": "c", "check": "a > 0 -- x"}]}),
            "contains a comment",
        ),
        (
            json!({"module_name": "T", "fields": ["a:string"], "context_options": {"upsert": ["a"]}}),
            "unique index",
        ),
        (
            json!({"module_name": "T", "fields": ["a:string"], "layers": ["html"]}),
            "is not generated",
        ),
        (
            json!({"module_name": "T", "fields": ["a:string"], "associations": [
            {"kind": "belongs_to", "name": "x", "on_delete": "nilify_all", "required": true}]}),
            "refuses it",
        ),
    ];
    for (definition, reason) in cases {
        let reply = forge.crud(&project, definition.clone()).await;
        let shown: String = definition.to_string().chars().take(200).collect();
        assert_eq!(reply.code(), "invalid_definition", "{shown}: {reply:?}");
        assert!(reply.text("message").contains(reason), "{shown}: no {reason:?} in {reply:?}");
        assert_eq!(before, tree(&project), "{shown}");
    }
    assert_eq!(forge.crud(&project, field(json!("a:string"))).await.text("status"), "success");
}

#[tokio::test]
async fn targets_that_are_not_there_are_named_with_near_ones() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    forge.crud(&project, user()).await;
    let before = tree(&project);
    let post = |target: &str| {
        json!({"module_name": "Post", "fields": ["title:string"], "associations": [
        {"kind": "belongs_to", "name": "writer", "target": target}]})
    };
    let reply = forge.crud(&project, post("Users.Usr")).await;
    assert_eq!(reply.code(), "elixir_target_missing", "{reply:?}");
    assert!(reply.text("message").contains("Users.Usr"), "{reply:?}");
    assert_eq!(before, tree(&project));
    assert_eq!(forge.crud(&project, post("User")).await.text("status"), "success");
}

#[tokio::test]
async fn folders_are_refused_that_are_not_allowed_or_no_project() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let outside = forge.folder().join("outside");
    super::copy(&super::fixtures().join("my_app"), &outside, "my_app", "MyApp");
    let projects = forge.folder().join("projects");
    std::os::unix::fs::symlink(&outside, projects.join("link")).unwrap();
    std::fs::create_dir(projects.join("empty")).unwrap();
    std::fs::create_dir(projects.join("plain")).unwrap();
    std::fs::write(
        projects.join("plain/mix.exs"),
        "defmodule Plain.MixProject do\n  use Mix.Project\n\n  def project, do: [app: :plain, deps: []]\nend\n",
    )
    .unwrap();
    let before = tree(&outside);
    let cases: [(&Path, &str); 9] = [
        (&outside, "elixir_path_not_allowed"),
        (&projects.join("link"), "elixir_path_not_allowed"),
        (&projects.join("../outside"), "elixir_path_not_allowed"),
        (&projects.join("my_app/../../outside"), "elixir_path_not_allowed"),
        (Path::new("/"), "elixir_path_not_allowed"),
        (Path::new("my_app"), "elixir_path_not_allowed"),
        (&projects.join("empty"), "elixir_not_a_project"),
        (&projects.join("none"), "elixir_not_a_project"),
        (&projects.join("plain"), "elixir_not_a_project"),
    ];
    for (path, code) in cases {
        let reply = forge.crud(path, user()).await;
        assert_eq!(reply.code(), code, "{}: {reply:?}", path.display());
    }
    assert_eq!(before, tree(&outside));
    assert_eq!(forge.crud(&project, user()).await.text("status"), "success");
}

#[tokio::test]
async fn links_that_lead_out_of_the_project_are_not_followed() {
    for place in ["lib/my_app/schemas", "priv", "test"] {
        let forge = Forge::new().await;
        let project = forge.my_app();
        let outside = forge.folder().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let link = project.join(place);
        if link.exists() {
            std::fs::remove_dir_all(&link).unwrap();
        }
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        let before = tree(&project);
        let reply = forge.crud(&project, user()).await;
        assert_eq!(reply.code(), "elixir_not_accessible", "{place}: {reply:?}");
        assert!(tree(&outside).is_empty(), "{place}: {:?}", tree(&outside));
        assert_eq!(before, tree(&project), "{place}");
        // Without the link the same call goes through.
        std::fs::remove_file(&link).unwrap();
        assert_eq!(forge.crud(&project, user()).await.text("status"), "success", "{place}");
    }
}

#[tokio::test]
async fn what_stands_in_the_way_leaves_everything_as_it_was() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    // A file where a folder belongs: it is met after other files were prepared.
    std::fs::write(project.join("test/my_app"), "not a folder").unwrap();
    let before = tree(&project);
    let reply = forge.crud(&project, user()).await;
    assert_eq!(reply.code(), "elixir_not_accessible", "{reply:?}");
    assert_eq!(before, tree(&project));
    assert!(!project.join("lib/my_app/schemas").exists(), "a folder was left");
    std::fs::remove_file(project.join("test/my_app")).unwrap();
    assert_eq!(forge.crud(&project, user()).await.text("status"), "success");
}

#[tokio::test]
async fn names_that_mean_something_else_are_refused() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    std::fs::create_dir_all(project.join("lib/my_app/schemas")).unwrap();
    std::fs::write(
        project.join("lib/my_app/schemas/user.ex"),
        "defmodule MyApp.Schemas.User do\n  def hello, do: :world\nend\n",
    )
    .unwrap();
    let before = tree(&project);
    let reply = forge.crud(&project, user()).await;
    assert_eq!(reply.code(), "elixir_name_taken", "{reply:?}");
    assert!(reply.text("message").contains("lib/my_app/schemas/user.ex"), "{reply:?}");
    assert_eq!(before, tree(&project));
    let mut elsewhere = user();
    elsewhere["context"] = json!("Accounts");
    assert_eq!(forge.crud(&project, elsewhere).await.text("status"), "success");
}

#[tokio::test]
async fn a_call_says_either_definition_or_description() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let both =
        json!({"schema_definition": user(), "description": "x", "target_project_path": project});
    assert_eq!(forge.call("create_elixir_crud", both).await.code(), "elixir_arguments");
    let none = json!({"target_project_path": project});
    assert_eq!(forge.call("create_elixir_crud", none).await.code(), "elixir_arguments");
}
