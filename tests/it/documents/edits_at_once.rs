//! Two editors, restores and deletions in the middle of an edit: nobody's work is lost unseen.

use std::sync::Arc;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::edits::{CLOCK, block, change, with_clock};
use super::scripted::{Meeting, said};
use crate::support::studio::StudioBuilder;

fn to_watch() -> String {
    block("  <h1>Clock</h1>", "  <h1>Watch</h1>")
}

fn footer(text: &str) -> Value {
    let edits = block("  <footer>made “here”</footer>", &format!("  <footer>{text}</footer>"));
    json!({"app_name": "clock", "edits": edits})
}

#[tokio::test]
async fn of_two_models_at_once_the_second_edits_the_new_version() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let barrier = Arc::new(Barrier::new(2));
    let one = Meeting::new(&barrier, &[said(&to_watch()), said(&to_watch())]);
    let row = block("  <p class=\"row\">two</p>", "  <p class=\"row\">zwei</p>");
    let other = Meeting::new(&barrier, &[said(&row), said(&row)]);
    let (first, second) = tokio::join!(
        studio.call_with(one.clone(), "edit_web_app", change()),
        studio.call_with(other.clone(), "edit_web_app", change()),
    );
    let mut versions = [first.field("version").as_i64(), second.field("version").as_i64()];
    versions.sort_unstable();
    assert_eq!(versions, [Some(2), Some(3)], "{first:?} {second:?}");
    let expected = CLOCK.replace("<h1>Clock", "<h1>Watch").replace("two", "zwei");
    assert_eq!(studio.page(&url, 3).await, expected.as_bytes(), "both edits are there");
    let mut asked = [one.requests().len(), other.requests().len()];
    asked.sort_unstable();
    assert_eq!(asked, [1, 2], "only the loser is asked again");
}

#[tokio::test]
async fn an_overtaken_host_is_asked_again_with_the_new_document_once() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let slow = studio.call("edit_web_app", change()).await;
    assert_eq!(studio.call("edit_web_app", footer("there")).await.field("version"), 2);
    let again = studio.answer(&slow, &to_watch()).await;
    assert_eq!(again.text("status"), "needs_completion", "{again:?}");
    assert!(again.prompt().contains("<footer>there</footer>"), "the new document: {again:?}");
    assert!(again.texts("errors")[0].contains("version 2 was published"), "{again:?}");
    let edited = studio.answer(&again, &to_watch()).await;
    assert_eq!(edited.field("version"), 3, "{edited:?}");
    assert!(!edited.text("diff").contains("footer>there</footer>\n+"), "the diff is of this edit");
    let expected = CLOCK.replace("<h1>Clock", "<h1>Watch").replace("made “here”", "there");
    assert_eq!(studio.page(&url, 3).await, expected.as_bytes());

    // Overtaken twice: an error that keeps the work.
    let row = block("  <p class=\"row\">two</p>", "  <p class=\"row\">zwei</p>");
    let slow = studio.call("edit_web_app", change()).await;
    let to_clock = block("  <h1>Watch</h1>", "  <h1>Clock</h1>");
    studio.call("edit_web_app", json!({"app_name": "clock", "edits": to_clock})).await;
    let again = studio.answer(&slow, &row).await;
    studio.call("edit_web_app", json!({"app_name": "clock", "edits": to_watch()})).await;
    let lost = studio.answer(&again, &row).await;
    assert_eq!(lost.code(), "edit_conflict", "{lost:?}");
    assert!(lost.text("message").contains("version 5"), "{lost:?}");
    let kept = lost.text("edits").to_owned();
    let saved = studio.call("edit_web_app", json!({"app_name": "clock", "edits": kept})).await;
    assert_eq!(saved.field("version"), 6, "{saved:?}");
    assert_eq!(studio.page(&url, 6).await, expected.replace("two", "zwei").as_bytes());
}

#[tokio::test]
async fn feedback_rounds_do_not_mix_with_those_of_the_new_version() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let wrong = block("  <h1>Clok</h1>", "  <h1>Watch</h1>");
    let slow = studio.play("edit_web_app", change(), &[&wrong]).await;
    studio.call("edit_web_app", footer("there")).await;
    let again = studio.answer(&slow, &to_watch()).await;
    assert_eq!(again.field("attempt"), 1, "a conversation of its own: {again:?}");
    let second = studio.answer(&again, &wrong).await;
    assert_eq!(second.field("attempt"), 2, "{second:?}");
    let edited = studio.answer(&second, &to_watch()).await;
    assert_eq!((edited.field("version"), edited.field("rounds")), (&json!(3), &json!(2)));
    let expected = CLOCK.replace("<h1>Clock", "<h1>Watch").replace("made “here”", "there");
    assert_eq!(studio.page(&url, 3).await, expected.as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_given_edits_at_once_lose_nothing() {
    let studio = StudioBuilder::new().build().await;
    let rows: String = (0..12).map(|n| format!("<p>row {n}</p>\n")).collect();
    let page = format!("<!DOCTYPE html>\n<html><body>\n{rows}</body></html>\n");
    let made = studio.call("create_web_app", json!({"html": page, "app_name": "rows"})).await;
    let calls = (0..12).map(|n| {
        let edits = block(&format!("<p>row {n}</p>"), &format!("<p>line {n}</p>"));
        studio.call("edit_web_app", json!({"app_name": "rows", "edits": edits}))
    });
    let (mut done, mut lost) = (Vec::new(), Vec::new());
    for (n, reply) in join_all(calls).await.into_iter().enumerate() {
        if reply.0.is_error {
            assert_eq!(reply.code(), "edit_conflict", "{reply:?}");
            lost.push(n);
        } else {
            done.push(n);
        }
    }
    let newest = 1 + i64::try_from(done.len()).unwrap();
    let text = String::from_utf8(studio.page(made.text("url"), newest).await).unwrap();
    for n in 0..12 {
        let line =
            if lost.contains(&n) { format!("<p>row {n}</p>") } else { format!("<p>line {n}</p>") };
        assert!(text.contains(&line), "{line} is missing: {text}");
    }
    assert!(done.len() >= 2, "{done:?}");
}

#[tokio::test]
async fn an_app_that_is_deleted_meanwhile_stays_deleted() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let slow = studio.call("edit_web_app", change()).await;
    let other = json!({"app_name": "clock", "user_edit_request": "another change"});
    let other = studio.call("edit_web_app", other).await;
    let deleted = studio.call("delete_document", json!({"app_name": "clock"})).await;
    assert_eq!(deleted.text("status"), "success", "{deleted:?}");
    let failed = studio.answer(&slow, &to_watch()).await;
    assert_eq!(failed.code(), "document_deleted", "{failed:?}");
    assert!(studio.names().await.is_empty());
    // Another app of the same name is another app.
    let fresh = studio.call("create_web_app", json!({"html": CLOCK, "app_name": "clock"})).await;
    assert_ne!(fresh.text("url"), url);
    let failed = studio.answer(&other, &to_watch()).await;
    assert_eq!(failed.code(), "document_deleted", "{failed:?}");
    assert_eq!(studio.page(fresh.text("url"), 1).await, CLOCK.as_bytes());
    let list = studio.call("list_web_apps", json!({})).await;
    assert_eq!(list.field("web_apps")[0]["version"], 1);
    let patch = json!({"app_name": "gone", "edits": to_watch()});
    assert_eq!(studio.call("edit_web_app", patch).await.code(), "document_not_found");
}

#[tokio::test]
async fn a_restore_in_the_middle_counts_as_an_edit() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    studio.call("edit_web_app", footer("there")).await;
    let slow = studio.call("edit_web_app", change()).await;
    assert!(slow.prompt().contains("<footer>there"), "{slow:?}");
    let back = json!({"app_name": "clock", "version": 1});
    assert_eq!(studio.call("restore_document_version", back).await.field("version"), 3);
    let again = studio.answer(&slow, &to_watch()).await;
    assert!(again.prompt().contains("made “here”"), "{again:?}");
    assert_eq!(studio.answer(&again, &to_watch()).await.field("version"), 4);
    assert_eq!(studio.page(&url, 4).await, CLOCK.replace("<h1>Clock", "<h1>Watch").as_bytes());
}
