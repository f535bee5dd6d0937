//! Edits: from a request or blocks to the next version, and everything that leaves the old one.

use serde_json::{Value, json};

use crate::support::studio::{CONTENT, Reply, Studio, StudioBuilder};

/// A page with lines that stand once and lines that repeat.
pub(super) const CLOCK: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n  <title>Clock</title>\n</head>\n<body>\n  <h1>Clock</h1>\n  <p class=\"row\">one</p>\n  <hr>\n  <p class=\"row\">two</p>\n  <hr>\n  <footer>made “here”</footer>\n</body>\n</html>\n";

/// A block as a model writes it.
pub(super) fn block(search: &str, replace: &str) -> String {
    let lines = |text: &str| if text.is_empty() { String::new() } else { format!("{text}\n") };
    format!("<<<<<<< SEARCH\n{}=======\n{}>>>>>>> REPLACE\n", lines(search), lines(replace))
}

/// A block inside a fence, with a path.
pub(super) fn fenced(search: &str, replace: &str) -> String {
    format!("Here:\n```html\nclock.html\n{}```\n", block(search, replace))
}

/// A studio with the app `clock`, and its URL.
pub(super) async fn with_clock(builder: StudioBuilder) -> (Studio, String) {
    let studio = builder.build().await;
    let made = studio.call("create_web_app", json!({"html": CLOCK, "app_name": "clock"})).await;
    let url = made.text("url").to_owned();
    (studio, url)
}

/// Arguments that ask for a change of the clock.
pub(super) fn change() -> Value {
    json!({"app_name": "clock", "user_edit_request": "call it Watch"})
}

/// Asserts that the clock is what it was, at version 1.
#[track_caller]
pub(super) fn assert_untouched(bytes: &[u8], list: &Reply) {
    assert_eq!(std::str::from_utf8(bytes).unwrap(), CLOCK);
    assert_eq!(list.field("web_apps")[0]["version"], 1, "{list:?}");
}

async fn untouched(studio: &Studio, url: &str) {
    assert_untouched(&studio.page(url, 1).await, &studio.call("list_web_apps", json!({})).await);
}

#[tokio::test]
async fn a_request_becomes_the_next_version() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let asked = studio.call("edit_web_app", change()).await;
    assert_eq!(asked.field("expects")["kind"], "edit_blocks");
    assert!(asked.prompt().contains(CLOCK), "the document is there line by line");
    assert!(asked.prompt().contains("call it Watch"));
    let edited = studio.answer(&asked, &fenced("  <h1>Clock</h1>", "  <h1>Watch</h1>")).await;
    assert_eq!(edited.text("status"), "success", "{edited:?}");
    assert_eq!((edited.text("url"), edited.text("app_name")), (url.as_str(), "clock"));
    assert_eq!((edited.field("version"), edited.field("changed")), (&json!(2), &json!(true)));
    assert_eq!(edited.field("blocks"), &json!([{"block": 1, "level": "exact", "line": 7}]));
    assert_eq!((edited.field("blocks_applied"), edited.text("level")), (&json!(1), "exact"));
    assert_eq!((edited.text("llm_route"), edited.field("rounds")), ("host", &json!(1)));
    let diff = edited.text("diff");
    assert!(diff.contains("-  <h1>Clock</h1>\n+  <h1>Watch</h1>\n"), "{diff}");
    let message = edited.text("message");
    assert!(message.contains(&url) && message.contains("/v/1/"), "{message}");
    assert!(url.starts_with(CONTENT));
    let expected = CLOCK.replace("<h1>Clock", "<h1>Watch");
    assert_eq!(studio.page(&url, 2).await, expected.as_bytes());
    assert_eq!(studio.page(&url, 1).await, CLOCK.as_bytes(), "versions never change");
}

#[tokio::test]
async fn feedback_twice_then_the_whole_document_then_an_error() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let wrong = block("  <h1>Clok</h1>", "  <h1>Watch</h1>");
    let right = block("  <footer>made “here”</footer>", "  <footer>there</footer>");
    let first = studio.call("edit_web_app", change()).await;
    let second = studio.answer(&first, &format!("{right}{wrong}")).await;
    assert_eq!(second.field("attempt"), 2);
    let prompt = second.prompt();
    assert!(prompt.contains("its SEARCH part is not in the document"), "{prompt}");
    assert!(prompt.contains("  <h1>Clock</h1>"), "the nearest lines: {prompt}");
    assert!(prompt.contains("are kept; do not send them again: 1"), "{prompt}");
    let third = studio.answer(&second, &block("  <hr>", "")).await;
    assert!(third.prompt().contains("matches exactly at lines 9, 11"), "{third:?}");
    let fourth = studio.answer(&third, "I would rather talk about it.").await;
    assert_eq!(fourth.field("expects")["kind"], "html", "{fourth:?}");
    assert!(fourth.prompt().contains(CLOCK));
    untouched(&studio, &url).await;
    let failed = studio.answer(&fourth, "Sorry.").await;
    assert_eq!(failed.code(), "unusable_answer");
    assert!(failed.texts("problems")[0].contains("only text"), "{failed:?}");
    untouched(&studio, &url).await;
    // A rewrite that is a page is taken.
    let rewritten = CLOCK.replace("Clock", "Watch");
    let again = ["no", "no", "no", &rewritten];
    let edited = studio.play("edit_web_app", change(), &again).await;
    assert_eq!((edited.field("version"), edited.field("rounds")), (&json!(2), &json!(4)));
    assert_eq!(edited.text("level"), "whole_document");
    assert_eq!(studio.page(&url, 2).await, rewritten.trim_end().as_bytes());
}
