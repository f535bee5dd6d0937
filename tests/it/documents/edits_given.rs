//! Edits that the caller wrote: the matcher's levels through the tool, and its refusals.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::edits::{CLOCK, assert_untouched, block, fenced, with_clock};
use crate::support::studio::{Reply, Studio, StudioBuilder};

fn given(edits: &str) -> Value {
    json!({"app_name": "clock", "edits": edits})
}

/// Applies edits to a fresh clock.
async fn apply(page: &str, edits: &str) -> (Reply, Vec<u8>) {
    let studio = StudioBuilder::new().build().await;
    let made = studio.call("create_web_app", json!({"html": page, "app_name": "clock"})).await;
    let edited = studio.call("edit_web_app", given(edits)).await;
    let version = edited.field("version").as_i64().unwrap_or(1);
    let page = studio.page(made.text("url"), version).await;
    (edited, page)
}

#[tokio::test]
async fn every_level_applies_through_the_tool() {
    let long = format!("<pre>{}-MIDDLE-{}</pre>", "a".repeat(900), "b".repeat(900));
    let page = CLOCK.replace("  <hr>\n  <footer>", &format!("{long}\n  <hr>\n  <footer>"));
    for (level, edits, before, after) in [
        ("exact", fenced("  <h1>Clock</h1>", "  <h1>Watch</h1>"), "<h1>Clock", "<h1>Watch"),
        ("exact", block("  <h1>Clock</h1>", ""), "  <h1>Clock</h1>\n", ""),
        (
            "trailing_whitespace",
            block("  <h1>Clock</h1>  ", "  <h1>Watch</h1>"),
            "<h1>Clock",
            "<h1>Watch",
        ),
        ("indentation", block("<h1>Clock</h1>", "<h1>Watch</h1>"), "<h1>Clock", "<h1>Watch"),
        (
            "blank_edges",
            block("\n  <h1>Clock</h1>\n", "\n  <h1>Watch</h1>\n"),
            "<h1>Clock",
            "<h1>Watch",
        ),
        (
            "punctuation",
            block("  <footer>made \"here\"</footer>", "  <footer>there</footer>"),
            "made “here”",
            "there",
        ),
        (
            "elision",
            block("<head>\n...\n</head>", "<head lang=\"en\">\n...\n</head>"),
            "<head>",
            "<head lang=\"en\">",
        ),
        ("fragment", block("MIDDLE", "CENTRE"), "MIDDLE", "CENTRE"),
    ] {
        let (edited, bytes) = apply(&page, &edits).await;
        assert_eq!(edited.text("status"), "success", "{level}: {edited:?}");
        assert_eq!(edited.text("level"), level, "{edited:?}");
        assert_eq!(edited.field("model_used"), &Value::Null);
        assert_eq!((edited.text("llm_route"), edited.field("rounds")), ("none", &json!(0)));
        assert_eq!(String::from_utf8(bytes).unwrap(), page.replace(before, after), "{level}");
    }
    let rewritten = CLOCK.replace("Clock", "Watch");
    for edits in [rewritten.clone(), block("", rewritten.trim_end())] {
        let (edited, bytes) = apply(&page, &edits).await;
        assert_eq!(edited.text("level"), "whole_document", "{edited:?}");
        assert_eq!(String::from_utf8(bytes).unwrap(), rewritten);
    }
}

#[tokio::test]
async fn several_blocks_are_applied_in_their_order() {
    let edits = [
        fenced("  <h1>Clock</h1>", ""),
        fenced("  <p class=\"row\">one</p>\n  <hr>", "  <p class=\"row\">eins</p>"),
        block("  <p class=\"row\">eins</p>", "  <h1>Uhr</h1>\n  <p class=\"row\">eins</p>"),
    ];
    let (edited, bytes) = apply(CLOCK, &edits.concat()).await;
    assert_eq!(edited.field("blocks_applied"), 3, "{edited:?}");
    let expected = CLOCK.replace(
        "  <h1>Clock</h1>\n  <p class=\"row\">one</p>\n  <hr>\n",
        "  <h1>Uhr</h1>\n  <p class=\"row\">eins</p>\n",
    );
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[tokio::test]
async fn line_endings_and_the_mark_of_the_document_stay() {
    let page = format!("\u{feff}{}", CLOCK.replace('\n', "\r\n"));
    let edits = block(
        "  <h1>Clock</h1>\n  <p class=\"row\">one</p>",
        "  <h1>Uhr</h1>\n  <p>neu</p>\n  <p class=\"row\">one</p>",
    );
    for edits in [edits.clone(), edits.replace('\n', "\r\n")] {
        let (edited, bytes) = apply(&page, &edits).await;
        assert_eq!(edited.field("version"), 2, "{edited:?}");
        let expected = page.replace("<h1>Clock</h1>", "<h1>Uhr</h1>\r\n  <p>neu</p>");
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
    let bare = CLOCK.trim_end();
    let (_, bytes) = apply(bare, &block("  <h1>Clock</h1>", "  <h1>Uhr</h1>")).await;
    assert_eq!(String::from_utf8(bytes).unwrap(), bare.replace("<h1>Clock", "<h1>Uhr"));
}

#[tokio::test]
async fn a_page_that_never_was_one_document_can_be_edited_too() {
    let (edited, bytes) = apply("<h1>a</h1>\n<p>b</p>\n", &block("<p>b</p>", "<p>c</p>")).await;
    assert_eq!(edited.field("version"), 2, "{edited:?}");
    assert_eq!(bytes, b"<h1>a</h1>\n<p>c</p>\n");
    let (refused, _) = apply("<h1>a</h1>\n", &block("<h1>a</h1>", "words")).await;
    assert_eq!(refused.code(), "edits_not_applied", "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_placed_is_refused_as_a_whole() {
    let (studio, url) = with_clock(StudioBuilder::new().page_bytes(1000)).await;
    let good = block("  <h1>Clock</h1>", "  <h1>Watch</h1>");
    let long = block("  <h1>Clock</h1>", &"<p>long</p>\n".repeat(100));
    for (edits, code, reason) in [
        (
            format!("{good}{}", block("  <hr>", "")),
            "edits_not_applied",
            "matches exactly at lines 9, 11",
        ),
        (
            format!("{good}{}", block("  <h2>Clock</h2>", "x")),
            "edits_not_applied",
            "not in the document",
        ),
        (format!("{good}{}", block("", "<p>x</p>")), "edits_not_applied", "SEARCH part is empty"),
        (format!("{good}<<<<<<< SEARCH\nx\n"), "edits_not_applied", "has no"),
        (format!("{good}{}", block("</html>", "")), "edits_not_applied", "cut off"),
        (good.repeat(201), "edits_not_applied", "at most 200"),
        ("please make it blue".to_owned(), "edits_not_applied", "neither an edit block"),
        ("--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n".to_owned(), "edits_not_applied", "edit block"),
        ("<!doctype html><html><p>cut".to_owned(), "edits_not_applied", "cut off"),
        (CLOCK.replace("  <hr>", "  <!-- ... -->"), "edits_not_applied", "left out"),
        (long, "page_too_large", "at most 1000"),
    ] {
        let refused = studio.call("edit_web_app", given(&edits)).await;
        assert_eq!(refused.code(), code, "{edits}: {refused:?}");
        let said = format!("{}{}", refused.text("message"), refused.field("feedback"));
        assert!(said.contains(reason), "{reason}: {refused:?}");
        let list = studio.call("list_web_apps", json!({})).await;
        assert_untouched(&studio.page(&url, 1).await, &list);
    }
    // The refusal says what to send; what it says works.
    let near = studio.call("edit_web_app", given(&block("  <h1>Clok</h1>", "  <h1>x</h1>"))).await;
    let feedback = near.text("feedback");
    assert!(feedback.contains("  <h1>Clock</h1>"), "the nearest lines: {feedback}");
    assert!(feedback.contains("Send all blocks again"), "{feedback}");
    assert_eq!(studio.call("edit_web_app", given(&good)).await.field("version"), 2);
}

#[tokio::test]
async fn edits_win_over_a_request_and_say_so() {
    let (studio, _) = with_clock(StudioBuilder::new()).await;
    let mut arguments = given(&block("  <h1>Clock</h1>", "  <h1>Watch</h1>"));
    arguments["user_edit_request"] = json!("call it Watch");
    let edited = studio.call("edit_web_app", arguments).await;
    assert_eq!((edited.field("version"), edited.text("llm_route")), (&json!(2), "none"));
    assert!(edited.text("message").contains("was not given to a model"), "{edited:?}");
    let nothing = studio.call("edit_web_app", given("NO CHANGES")).await;
    assert_eq!((nothing.field("changed"), nothing.field("version")), (&json!(false), &json!(2)));
}

/// Texts that are nearly edits of the clock.
fn nearly_edits() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        8 => prop::sample::select(CLOCK.lines().map(str::to_owned).collect::<Vec<_>>()),
        3 => Just("<<<<<<< SEARCH".to_owned()),
        3 => Just("=======".to_owned()),
        3 => Just(">>>>>>> REPLACE".to_owned()),
        1 => Just("```html".to_owned()),
        1 => Just("...".to_owned()),
        1 => "[<>=]{4,9} ?(SEARCH|REPLACE)?",
        1 => "\\PC{0,20}",
    ];
    let once = CLOCK.lines().filter(|line| CLOCK.matches(line).count() == 1);
    let search = prop::sample::select(once.map(str::to_owned).collect::<Vec<_>>());
    let replace = prop::collection::vec(line.clone(), 0..3);
    let whole = (search, replace).prop_map(|(search, replace)| block(&search, &replace.join("\n")));
    let noise = prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"));
    prop::collection::vec(prop_oneof![5 => whole, 1 => noise], 1..3)
        .prop_map(|parts| parts.concat())
}

async fn newest(studio: &Studio) -> i64 {
    studio.call("list_web_apps", json!({})).await.field("web_apps")[0]["version"].as_i64().unwrap()
}

/// Whatever is given, there is a new sound version, or the old one as it was.
#[tokio::test]
async fn no_edits_corrupt_an_app() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let mut runner = TestRunner::deterministic();
    let (mut version, mut page, mut refused, mut changed) = (1, CLOCK.as_bytes().to_vec(), 0, 0);
    for _ in 0..150 {
        let edits = nearly_edits().new_tree(&mut runner).unwrap().current();
        if edits.trim().is_empty() {
            continue;
        }
        let reply = studio.call("edit_web_app", given(&edits)).await;
        if reply.field("changed") == &json!(true) {
            changed += 1;
            version += 1;
            assert_eq!(reply.field("version"), version, "{edits}");
            let next = studio.page(&url, version).await;
            let text = std::str::from_utf8(&next).unwrap();
            assert!(
                text.starts_with("<!DOCTYPE html>") && text.trim_end().ends_with("</html>"),
                "{edits}\n{text}"
            );
            assert!(text.matches("<html").count() <= 1, "{edits}\n{text}");
            assert!(
                !text.contains("<<<<<<< SEARCH") && !text.contains(">>>>>>> REPLACE"),
                "{edits}\n{text}"
            );
            assert_ne!(next, page, "{edits}");
            // Begin anew, so that the lines stay those of the clock.
            studio.call("create_web_app", json!({"html": CLOCK, "app_name": "clock"})).await;
            version += 1;
            page = CLOCK.as_bytes().to_vec();
        } else {
            refused += usize::from(reply.0.is_error);
            assert!(!reply.0.is_error || reply.code() == "edits_not_applied", "{edits}: {reply:?}");
        }
        assert_eq!(newest(&studio).await, version, "{edits}");
        assert_eq!(studio.page(&url, version).await, page, "{edits}");
    }
    assert!(
        refused > 20 && changed > 10,
        "the corpus is one-sided: {refused} refused, {changed} changed"
    );
}
