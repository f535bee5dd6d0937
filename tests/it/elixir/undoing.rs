//! Taking changes back.

use serde_json::json;

use super::{Forge, tree, user};

#[tokio::test]
async fn the_last_change_is_taken_back_to_the_byte() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let before = tree(&project);
    forge.crud(&project, user()).await;
    let first = tree(&project);
    let mut wider = user();
    wider["fields"] =
        json!(["name:string", "email:string:unique", "age:integer", "tags:array:string"]);
    let second = forge.crud(&project, wider).await;
    assert_ne!(first, tree(&project));
    let undo = json!({"target_project_path": project});
    let reply = forge.call("undo_elixir_change", undo.clone()).await;
    assert_eq!(reply.text("status"), "success", "{reply:?}");
    assert_eq!(reply.text("undone_call_id"), second.text("call_id"));
    assert_eq!(first, tree(&project));
    forge.call("undo_elixir_change", undo.clone()).await;
    assert_eq!(before, tree(&project));
    assert!(!project.join("lib/my_app/schemas").exists(), "an empty folder was left");
    assert_eq!(forge.call("undo_elixir_change", undo).await.code(), "elixir_nothing_to_undo");
}

#[tokio::test]
async fn nothing_is_taken_back_when_a_file_changed_since() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let made = forge.crud(&project, user()).await;
    let file = project.join("lib/my_app/schemas/user.ex");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("# mine\n{text}")).unwrap();
    let changed = tree(&project);
    let undo = json!({"call_id": made.text("call_id")});
    let reply = forge.call("undo_elixir_change", undo.clone()).await;
    assert_eq!(reply.code(), "elixir_conflict");
    assert!(reply.text("message").contains("lib/my_app/schemas/user.ex"), "{reply:?}");
    assert_eq!(changed, tree(&project));
    std::fs::write(&file, text).unwrap();
    // Somebody else's changes are nobody's business.
    let other = forge.call_as("eve", "undo_elixir_change", undo.clone()).await;
    assert_eq!(other.code(), "elixir_nothing_to_undo");
    assert_eq!(forge.call("undo_elixir_change", undo).await.text("status"), "success");
    assert!(!file.exists());
}

#[tokio::test]
async fn a_change_that_a_crash_cut_off_is_taken_back_by_the_next_call() {
    let forge = Forge::new().await;
    let project = forge.my_app();
    let before = tree(&project);
    let made = forge.crud(&project, user()).await;
    let whole = tree(&project);
    // What a process leaves that dies between two files: the record pending, some files in place.
    let journal = forge.folder().join("journal");
    let record = journal.join(format!("{}.json", made.text("call_id")));
    std::fs::rename(&record, journal.join(format!("{}.json.pending", made.text("call_id"))))
        .unwrap();
    std::fs::remove_file(project.join("test/my_app/users_test.exs")).unwrap();
    let refused = forge.crud(&project, json!({"module_name": "User", "fields": []})).await;
    assert_eq!(refused.code(), "invalid_definition");
    let arguments =
        json!({"schema_definition": user(), "target_project_path": project, "dry_run": true});
    let reply = forge.call("create_elixir_crud", arguments).await;
    assert_eq!(reply.text("status"), "success", "{reply:?}");
    assert_eq!(before, tree(&project));
    forge.crud(&project, user()).await;
    assert_eq!(whole.len(), tree(&project).len());
}
