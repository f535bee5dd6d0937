//! Versions: listed, restored, kept up to a number, deleted with their document.

use atelier::storage::KEPT_VERSIONS;
use serde_json::{Value, json};

use super::edits::{CLOCK, block, with_clock};
use crate::support::studio::{Reply, Studio, StudioBuilder};

fn app() -> Value {
    json!({"app_name": "clock"})
}

fn numbers(list: &Reply) -> Vec<i64> {
    let versions = list.field("versions").as_array().unwrap_or_else(|| panic!("{list:?}"));
    versions.iter().map(|version| version["version"].as_i64().unwrap()).collect()
}

async fn set_heading(studio: &Studio, from: &str, to: &str) -> Reply {
    let edits = block(&format!("  <h1>{from}</h1>"), &format!("  <h1>{to}</h1>"));
    studio.call("edit_web_app", json!({"app_name": "clock", "edits": edits})).await
}

#[tokio::test]
async fn versions_are_listed_newest_first() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    set_heading(&studio, "Clock", "Watch").await;
    let list = studio.call("list_document_versions", app()).await;
    assert_eq!((list.text("status"), list.text("app_name")), ("success", "clock"));
    assert_eq!(list.field("doc_name"), &Value::Null);
    assert_eq!((list.text("url"), numbers(&list)), (url.as_str(), vec![2, 1]));
    let [newest, oldest] = list.field("versions").as_array().unwrap().as_slice() else {
        panic!("{list:?}")
    };
    assert_eq!((&newest["current"], &oldest["current"]), (&json!(true), &json!(false)));
    assert_eq!(newest["bytes"], CLOCK.len());
    assert_eq!(oldest["url"], format!("{url}v/1/"));
    let time = oldest["created_at"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
}

#[tokio::test]
async fn a_restored_version_is_the_next_one() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    set_heading(&studio, "Clock", "Watch").await;
    let titled = CLOCK.replace("<title>Clock", "<title>Other");
    studio.call("create_web_app", json!({"html": titled, "app_name": "clock"})).await;
    let back = json!({"app_name": "Clock", "version": 1});
    let restored = studio.call("restore_document_version", back.clone()).await;
    assert_eq!(restored.text("status"), "success", "{restored:?}");
    assert_eq!(
        (restored.field("version"), restored.field("restored_from")),
        (&json!(4), &json!(1))
    );
    assert_eq!((restored.text("url"), restored.field("model_used")), (url.as_str(), &Value::Null));
    assert_eq!(studio.page(&url, 4).await, CLOCK.as_bytes());
    let list = studio.call("list_web_apps", json!({})).await;
    assert_eq!(list.field("web_apps")[0]["title"], "Clock", "the title comes back too");
    assert_eq!(numbers(&studio.call("list_document_versions", app()).await), [4, 3, 2, 1]);
    // The newest one is there already.
    let same =
        studio.call("restore_document_version", json!({"app_name": "clock", "version": 4})).await;
    assert_eq!((same.text("status"), same.field("version")), ("success", &json!(4)));
    assert!(same.text("message").contains("nothing was changed"), "{same:?}");
    // What was restored can be restored over.
    let forth = json!({"app_name": "clock", "version": 2});
    assert_eq!(studio.call("restore_document_version", forth).await.field("version"), 5);
    assert_eq!(studio.page(&url, 5).await, studio.page(&url, 2).await);
    // Facts of the version stay with it.
    let token = url.trim_end_matches('/').rsplit('/').next().unwrap();
    let document = studio.workshop.catalog.document_by_token(token).await.unwrap().unwrap();
    let version = studio.workshop.catalog.version(&document.id, 4).await.unwrap().unwrap();
    let facts: Value = serde_json::from_str(&version.facts).unwrap();
    assert_eq!((&facts["restored_from"], &facts["writer"]), (&json!(1), &json!("caller")));
}

#[tokio::test]
async fn versions_that_are_not_there_are_named() {
    let (studio, _) = with_clock(StudioBuilder::new()).await;
    for (arguments, code) in [
        (json!({"app_name": "clock", "version": 2}), "version_not_found"),
        (json!({"app_name": "clock", "version": 0}), "invalid_arguments"),
        (json!({"app_name": "clock", "version": -1}), "invalid_arguments"),
        (
            json!({"app_name": "clock", "version": 9_000_000_000_000_000_000_u64}),
            "version_not_found",
        ),
        (json!({"app_name": "clock"}), "invalid_arguments"),
        (json!({"app_name": "clocks", "version": 1}), "document_not_found"),
        (json!({"doc_name": "clock", "version": 1}), "document_not_found"),
        (json!({"app_name": "clock", "doc_name": "clock", "version": 1}), "name_missing"),
        (json!({"version": 1}), "name_missing"),
        (json!({"app_name": " ", "version": 1}), "name_missing"),
    ] {
        let refused = studio.call("restore_document_version", arguments.clone()).await;
        assert_eq!(refused.code(), code, "{arguments}: {refused:?}");
        assert!(refused.text("hint").len() > 10, "{refused:?}");
    }
    let other = studio.call("list_document_versions", json!({"doc_name": "clock"})).await;
    assert_eq!(other.code(), "document_not_found");
    assert!(other.text("hint").contains("`app_name`"), "an app has the name: {other:?}");
    assert_eq!(studio.call("list_document_versions", json!({})).await.code(), "name_missing");
    let nobodys = studio.call_as("eve", "list_document_versions", app()).await;
    assert_eq!(nobodys.code(), "document_not_found");
}

#[tokio::test]
async fn the_newest_fifty_are_kept() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let mut heading = "Clock".to_owned();
    for n in 2..=KEPT_VERSIONS + 2 {
        let next = format!("Clock {n}");
        let edited = set_heading(&studio, &heading, &next).await;
        assert_eq!(edited.field("version"), n, "{edited:?}");
        heading = next;
    }
    let kept = numbers(&studio.call("list_document_versions", app()).await);
    assert_eq!(kept, (3..=KEPT_VERSIONS + 2).rev().collect::<Vec<_>>());
    let pruned =
        studio.call("restore_document_version", json!({"app_name": "clock", "version": 2})).await;
    assert_eq!(pruned.code(), "version_not_found");
    assert!(pruned.text("message").contains("there are 3 to 52"), "{pruned:?}");
    let oldest =
        studio.call("restore_document_version", json!({"app_name": "clock", "version": 3})).await;
    assert_eq!(oldest.field("version"), KEPT_VERSIONS + 3);
    let restored = studio.page(&url, KEPT_VERSIONS + 3).await;
    assert!(String::from_utf8(restored).unwrap().contains("<h1>Clock 3</h1>"));
}

#[tokio::test]
async fn a_deleted_app_is_gone_and_its_name_free() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    studio.call("create_web_app", json!({"html": CLOCK, "app_name": "other"})).await;
    for arguments in [
        json!({}),
        json!({"app_name": "clock", "doc_name": "clock"}),
        json!({"app_name": "clok"}),
        json!({"doc_name": "clock"}),
    ] {
        assert!(studio.call("delete_document", arguments).await.0.is_error);
    }
    let nobodys = studio.call_as("eve", "delete_document", app()).await;
    assert_eq!(nobodys.code(), "document_not_found");
    assert_eq!(studio.names().await.len(), 2, "nothing was deleted so far");
    let deleted = studio.call("delete_document", json!({"app_name": "CLOCK"})).await;
    assert_eq!((deleted.text("status"), deleted.text("app_name")), ("success", "clock"));
    assert_eq!(studio.names().await, ["other"]);
    let token = url.trim_end_matches('/').rsplit('/').next().unwrap();
    assert!(studio.workshop.catalog.document_by_token(token).await.unwrap().is_none());
    for tool in ["list_document_versions", "delete_document"] {
        assert_eq!(studio.call(tool, app()).await.code(), "document_not_found");
    }
    let again = studio.call("create_web_app", json!({"html": CLOCK, "app_name": "clock"})).await;
    assert_eq!(again.field("version"), 1);
    assert_ne!(again.text("url"), url, "an old link never leads to a new app");
}

#[tokio::test]
async fn clients_are_told_what_destroys() {
    let studio = StudioBuilder::new().build().await;
    let registry = &studio.workshop.registry;
    let delete = registry.tool("delete_document").unwrap();
    assert!(delete.annotations.destructive && !delete.annotations.read_only);
    assert!(!delete.open_to_code, "neither code nor pages delete by themselves");
    for tool in ["edit_web_app", "restore_document_version"] {
        let annotations = registry.tool(tool).unwrap().annotations;
        assert!(!annotations.destructive && !annotations.read_only, "{tool}");
    }
    assert!(registry.tool("list_document_versions").unwrap().annotations.read_only);
}
