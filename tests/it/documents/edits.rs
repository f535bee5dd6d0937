//! Edits: from a request or blocks to the next version, and everything that leaves the old one.

use serde_json::{Value, json};

use super::scripted::{full, model, said};
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
    assert_eq!(studio.page(&url, 2).await, rewritten.as_bytes());
}

#[tokio::test]
async fn blocks_that_matched_are_kept_for_the_next_answer() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let right = block("  <h1>Clock</h1>", "  <h1>Watch</h1>");
    let wrong = block("  <footer>made here</footer>", "  <footer>there</footer>");
    let corrected = block("  <footer>made “here”</footer>", "  <footer>there</footer>");
    let first = format!("{right}{wrong}");
    let asked = studio.play("edit_web_app", change(), &[&first]).await;
    assert_eq!(asked.texts("errors").len(), 1);
    // The host is not sent its own text back, but everything that it needs.
    assert!(asked.prompt().contains("[your text, "), "{asked:?}");
    let edited = studio.answer(&asked, &corrected).await;
    assert_eq!(edited.field("blocks_applied"), 2, "{edited:?}");
    let expected = CLOCK.replace("<h1>Clock", "<h1>Watch").replace("made “here”", "there");
    assert_eq!(studio.page(&url, 2).await, expected.as_bytes());
}

#[tokio::test]
async fn a_whole_document_as_answer_is_a_rewrite() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let rewritten = CLOCK.replace("Clock", "Watch");
    let reply = format!("```html\n{rewritten}```");
    let edited = studio.play("edit_web_app", change(), &[&reply]).await;
    assert_eq!((edited.text("level"), edited.field("version")), ("whole_document", &json!(2)));
    assert!(edited.text("diff").contains("+  <title>Watch</title>"), "{edited:?}");
    assert_eq!(studio.page(&url, 2).await, rewritten.as_bytes());
    // One that leaves lines out is none.
    let lazy = rewritten
        .replace("  <hr>\n  <p class=\"row\">two</p>", "  <!-- ... rest as before ... -->");
    let asked = studio.play("edit_web_app", change(), &[&lazy]).await;
    assert!(asked.prompt().contains("stands for text that is left out"), "{asked:?}");
    let failed = ["no", "no", lazy.as_str()];
    let mut reply = asked;
    for text in failed {
        reply = studio.answer(&reply, text).await;
    }
    assert_eq!(reply.code(), "unusable_answer");
    assert!(reply.text("message").contains("left out"), "{reply:?}");
    assert_eq!(studio.page(&url, 2).await, rewritten.as_bytes());
}

#[tokio::test]
async fn nothing_to_change_is_a_success_without_a_version() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let same = block("  <h1>Clock</h1>", "  <h1>Clock</h1>");
    let applied = block("  <footer>made there</footer>", "  <footer>made “here”</footer>");
    for reply in ["NO CHANGES", "```\nNo changes needed.\n```", &same, &applied, CLOCK.trim_end()] {
        let edited = studio.play("edit_web_app", change(), &[reply]).await;
        assert_eq!(edited.text("status"), "success", "{reply}: {edited:?}");
        assert_eq!(edited.field("changed"), false, "{reply}: {edited:?}");
        assert_eq!((edited.field("version"), edited.text("diff")), (&json!(1), ""));
        assert_eq!(edited.text("url"), url);
        assert!(edited.text("message").contains("Nothing was changed"), "{edited:?}");
        untouched(&studio, &url).await;
    }
    // A model that says nothing at all; the guard asks it again before it believes that.
    let silent = model(&vec![said(""); 8]);
    let edited = studio.call_with(silent, "edit_web_app", change()).await;
    assert_eq!(
        (edited.text("status"), edited.field("changed")),
        ("success", &json!(false)),
        "{edited:?}"
    );
    untouched(&studio, &url).await;
    // But it is no answer to blocks that failed.
    let wrong = block("  <h1>Clok</h1>", "  <h1>Watch</h1>");
    let asked = studio.play("edit_web_app", change(), &[&wrong, "NO CHANGES"]).await;
    assert_eq!(asked.field("attempt"), 3);
    assert!(asked.prompt().contains("are still missing"), "{asked:?}");
}

#[tokio::test]
async fn a_patch_that_breaks_the_document_goes_back() {
    for (bad, reason) in [
        (block("</html>", ""), "cut off"),
        (block("</body>\n</html>", "</body>\n</html>\n<p>more</p>"), "behind `</html>`"),
        (
            block(
                "<body>\n...\n</body>",
                "<body>\n...\n</body>\n</html>\n<!DOCTYPE html>\n<html>\n<body><p>x</p></body>",
            ),
            "more than one",
        ),
    ] {
        // The same call again would go on with the one that waits.
        let (studio, url) = with_clock(StudioBuilder::new()).await;
        let asked = studio.play("edit_web_app", change(), &[&bad]).await;
        assert_eq!(asked.text("status"), "needs_completion", "{bad}: {asked:?}");
        assert!(asked.prompt().contains(reason), "{bad}: {asked:?}");
        assert!(asked.prompt().contains("Send all blocks again"), "{asked:?}");
        untouched(&studio, &url).await;
    }
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let good = block("  <h1>Clock</h1>", "  <h1>Watch</h1>");
    let edited = studio.play("edit_web_app", change(), &[&block("</html>", ""), &good]).await;
    assert_eq!(edited.field("version"), 2, "nothing of the broken answer is kept: {edited:?}");
    assert_eq!(studio.page(&url, 2).await, CLOCK.replace("<h1>Clock", "<h1>Watch").as_bytes());
}

#[tokio::test]
async fn a_page_that_outgrows_the_cap_is_not_published() {
    let (studio, url) = with_clock(StudioBuilder::new().page_bytes(1000)).await;
    let long = block("  <h1>Clock</h1>", &format!("  <h1>{}</h1>", "long ".repeat(300)));
    let asked = studio.play("edit_web_app", change(), &[&long]).await;
    assert!(asked.prompt().contains("at most 1000 are allowed"), "{asked:?}");
    let mut reply = asked;
    for text in [&long, &long, &CLOCK.replace("Clock", &"long ".repeat(300))] {
        reply = studio.answer(&reply, text).await;
    }
    assert_eq!(reply.code(), "unusable_answer");
    untouched(&studio, &url).await;
}

#[tokio::test]
async fn what_an_edit_adds_from_elsewhere_is_asked_back_once() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let script = "  <script src=\"https://cdn.example/x.js\"></script>";
    let leaning = block("  <h1>Clock</h1>", &format!("  <h1>Watch</h1>\n{script}"));
    let repair = studio.play("edit_web_app", change(), &[&leaning]).await;
    assert!(repair.prompt().contains("cdn.example"), "{repair:?}");
    assert!(repair.prompt().contains("<h1>Watch</h1>"), "the document with the edit in it");
    assert_eq!(repair.texts("errors").len(), 1);
    untouched(&studio, &url).await;
    let edited = studio.answer(&repair, &block(script, "")).await;
    assert_eq!(
        (edited.text("status"), edited.field("version")),
        ("success", &json!(2)),
        "{edited:?}"
    );
    assert_eq!(edited.field("blocks_applied"), 2);
    let clean = CLOCK.replace("<h1>Clock", "<h1>Watch");
    assert_eq!(studio.page(&url, 2).await, clean.as_bytes());
    assert!(!edited.text("diff").contains("cdn"), "the diff is from version to version");
    // A repair that is none: the edit is kept with a warning, and not told again afterwards.
    let leaning = block("  <h1>Watch</h1>", &format!("  <h1>Watch</h1>\n{script}"));
    for useless in ["NO CHANGES", "Sorry.", &block("nothing like this", "")] {
        let app = json!({"html": clean, "app_name": "clock"});
        studio.call("create_web_app", app).await;
        let edited = studio.play("edit_web_app", change(), &[&leaning, useless]).await;
        assert_eq!(edited.text("status"), "warning", "{edited:?}");
        assert!(edited.texts("warnings")[0].contains("cdn.example"), "{edited:?}");
        let next = block("  <h1>Watch</h1>", "  <h1>Clock</h1>");
        let next = studio.play("edit_web_app", change(), &[&next]).await;
        assert_eq!(next.text("status"), "success", "{next:?}");
    }
}

#[tokio::test]
async fn answers_that_break_off_count_as_rounds() {
    let (studio, _) = with_clock(StudioBuilder::new()).await;
    let cut = "<<<<<<< SEARCH\n  <h1>Clock</h1>\n=======\n  <h1>Wa";
    let good = block("  <h1>Clock</h1>", "  <h1>Watch</h1>");
    let asked = studio.play("edit_web_app", change(), &[cut]).await;
    assert!(asked.prompt().contains("has no end"), "{asked:?}");
    // The guard goes on with a cut answer once before it gives up.
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let scripted =
        model(&[full("<<<<<<< SEARCH\n"), full("a\n"), full("b\n"), full("c\n"), said(&good)]);
    let edited = studio.call_with(scripted.clone(), "edit_web_app", change()).await;
    let told = format!("{:?}", scripted.requests.lock().unwrap().last().unwrap().messages.last());
    assert!(told.contains("broke off"), "{told}");
    assert_eq!(edited.text("model_used"), "scripted-1", "{edited:?}");
    assert_eq!(studio.page(&url, 2).await, CLOCK.replace("<h1>Clock", "<h1>Watch").as_bytes());
}

#[tokio::test]
async fn a_model_that_fails_leaves_the_version() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let wrong = said(&block("nowhere", "x"));
    let failed = studio.call_with(model(&[wrong]), "edit_web_app", change()).await;
    assert_eq!(failed.code(), "model_request_rejected", "{failed:?}");
    untouched(&studio, &url).await;
}

#[tokio::test]
async fn both_sets_of_names_are_understood() {
    let (studio, _) = with_clock(StudioBuilder::new()).await;
    for arguments in [
        json!({"app_name": "CLOCK", "user_request": "call it Watch", "additional_context": "for chess"}),
        json!({"app_name": " clock ", "user_edit_request": "call it Watch", "client_injected_context": "for chess"}),
        json!({"app_name": "clock", "user_edit_request": " ", "user_request": "call it Watch", "additional_context": "for chess", "client_injected_context": "No additional context provided"}),
    ] {
        let asked = studio.call("edit_web_app", arguments).await;
        assert!(asked.prompt().contains("name=\"request\">\ncall it Watch\n"), "{asked:?}");
        assert!(asked.prompt().contains("name=\"context\">\nfor chess\n"), "{asked:?}");
    }
    let both = json!({
        "app_name": "clock", "user_edit_request": "one", "user_request": "two",
        "client_injected_context": "a", "additional_context": "b",
    });
    let edited = studio.play("edit_web_app", both, &["NO CHANGES"]).await;
    let message = edited.text("message");
    assert!(message.contains("`user_request` was ignored"), "{message}");
    assert!(message.contains("`additional_context` was ignored"), "{message}");
}

#[tokio::test]
async fn calls_that_say_nothing_or_name_nothing_are_refused() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    studio.call("create_web_app", json!({"html": CLOCK, "app_name": "chess_clock"})).await;
    let long = "x".repeat(2 * 1024 * 1024);
    for (arguments, code) in [
        (json!({}), "name_missing"),
        (json!({"app_name": " ", "user_edit_request": "x"}), "name_missing"),
        (json!({"user_edit_request": "x"}), "name_missing"),
        (json!({"app_name": "clock"}), "request_missing"),
        (json!({"app_name": "clock", "user_edit_request": " ", "edits": "\n"}), "request_missing"),
        // Clients add the context to every call.
        (json!({"app_name": "clock", "client_injected_context": "they talked"}), "request_missing"),
        (json!({"app_name": "clock", "mcp_tool_names": []}), "request_missing"),
        (json!({"app_name": "clok", "user_edit_request": "x"}), "document_not_found"),
        (json!({"app_name": "\u{0}../..", "user_edit_request": "x"}), "document_not_found"),
        (
            json!({"app_name": "clock", "user_number": "+1", "user_edit_request": "x"}),
            "document_not_found",
        ),
        (json!({"app_name": "clock", "user_edit_request": long}), "request_too_large"),
        (json!({"app_name": "clock", "client_injected_context": long}), "request_too_large"),
        (
            json!({"app_name": "clock", "user_number": "a\u{0}b", "user_edit_request": "x"}),
            "invalid_user_number",
        ),
        (
            json!({"app_name": "clock", "user_edit_request": "x", "mcp_tool_names": 7}),
            "invalid_arguments",
        ),
        (
            json!({"app_name": "clock", "user_edit_request": "x", "model": "no-such-model"}),
            "invalid_model",
        ),
    ] {
        let refused = studio.call("edit_web_app", arguments.clone()).await;
        let shown: String = arguments.to_string().chars().take(100).collect();
        assert_eq!(refused.code(), code, "{shown}: {refused:?}");
        assert!(refused.text("hint").len() > 10 && refused.text("message").len() < 1000, "{shown}");
    }
    let missing =
        studio.call("edit_web_app", json!({"app_name": "clok", "user_edit_request": "x"})).await;
    assert_eq!(missing.texts("near"), ["clock"], "the nearest first: {missing:?}");
    assert!(missing.text("hint").contains("`clock`"), "{missing:?}");
    let nobody = studio.call_as("eve", "edit_web_app", change()).await;
    assert_eq!(nobody.code(), "document_not_found");
    assert!(
        nobody.text("hint").contains("create_web_app"),
        "others' names are not told: {nobody:?}"
    );
    let endless = json!({"app_name": "clock", "edits": "x".repeat(5 * 1024 * 1024)});
    let refused = studio.call("edit_web_app", endless).await;
    assert!(refused.0.is_error && refused.text("message").len() < 1000, "{refused:?}");
    untouched(&studio, &url).await;
}

#[tokio::test]
async fn a_page_too_long_for_blocks_is_refused_before_anybody_is_asked() {
    let studio = StudioBuilder::new().build().await;
    let long = CLOCK.replace("<h1>", &format!("<p>{}</p><h1>", "word ".repeat(230_000)));
    studio.call("create_web_app", json!({"html": long, "app_name": "clock"})).await;
    for arguments in [change(), json!({"app_name": "clock", "edits": block("  <hr>", "")})] {
        let refused = studio.call("edit_web_app", arguments).await;
        assert_eq!(refused.code(), "page_too_large_to_edit");
        assert!(refused.text("hint").contains("`html`"), "{refused:?}");
    }
    let html = "x".repeat(5 * 1024 * 1024);
    let refused = studio.call("create_web_app", json!({"html": html, "app_name": "clock"})).await;
    assert!(refused.0.is_error, "{refused:?}");
    assert_eq!(studio.call("list_web_apps", json!({})).await.field("web_apps")[0]["version"], 1);
}

#[tokio::test]
async fn tools_of_an_app_are_replaced_only_when_given() {
    let (studio, url) = with_clock(StudioBuilder::new()).await;
    let token = url.trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
    let names = async || {
        studio.workshop.catalog.document_by_token(&token).await.unwrap().unwrap().tool_names
    };
    let with = json!({"app_name": "clock", "edits": block("  <h1>Clock</h1>", "  <h1>A</h1>"), "mcp_tool_names": ["ask_ai"]});
    assert_eq!(studio.call("edit_web_app", with).await.field("version"), 2);
    assert_eq!(names().await, ["ask_ai"]);
    let without = json!({"app_name": "clock", "edits": block("  <h1>A</h1>", "  <h1>B</h1>")});
    assert_eq!(studio.call("edit_web_app", without).await.field("version"), 3);
    assert_eq!(names().await, ["ask_ai"]);
    let alone =
        studio.call("edit_web_app", json!({"app_name": "clock", "mcp_tool_names": []})).await;
    assert_eq!(
        (alone.field("version"), alone.field("changed")),
        (&json!(4), &json!(true)),
        "{alone:?}"
    );
    assert!(alone.text("message").contains("page is as it was"), "{alone:?}");
    assert!(names().await.is_empty());
    assert_eq!(studio.page(&url, 4).await, studio.page(&url, 3).await);
}

#[tokio::test]
async fn a_very_long_diff_is_cut_and_says_where_the_rest_is() {
    let studio = StudioBuilder::new().build().await;
    let rows: String = (0..3000).map(|n| format!("<p>row {n}</p>\n")).collect();
    let page = CLOCK.replace("  <hr>\n", "").replace("  <h1>", &format!("{rows}  <h1>"));
    studio.call("create_web_app", json!({"html": page, "app_name": "clock"})).await;
    let rewritten = page.replace("<p>row", "<p>line");
    let edited =
        studio.call("edit_web_app", json!({"app_name": "clock", "edits": rewritten})).await;
    assert!(
        edited.text("diff").len() < 41_000
            && edited.text("diff").contains("more bytes of the diff")
    );
    assert!(
        edited.text("message").contains("/raw shows the whole source"),
        "{}",
        edited.text("message")
    );
}
