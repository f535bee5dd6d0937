//! What a model may answer, and what becomes of it.

use serde_json::{Value, json};

use crate::support::studio::{PAGE, Reply, Studio, StudioBuilder};

fn request() -> Value {
    json!({"user_request": "a tip calculator", "app_name": "tips"})
}

/// Plays one bad answer and returns the repair question.
async fn after(studio: &Studio, bad: &str) -> Reply {
    studio.play("create_web_app", request(), &[bad]).await
}

#[tokio::test]
async fn every_bad_answer_gets_one_repair_round_with_its_reason() {
    let two = format!("```html\n{PAGE}\n```\nor\n```html\n{PAGE}\n```");
    let cut = &PAGE[..PAGE.len() - 10];
    for (bad, reason) in [
        ("I'm sorry, I can't help with that.", "only text: “I'm sorry"),
        ("```html\n<div>part</div>\n```", "fragment"),
        (&two, "more than one HTML document"),
        (cut, "cut off"),
        ("<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE", "patch"),
        ("<!doctype html><html><head></head><body></body></html>", "empty body"),
        (&format!("{PAGE}<script>more()</script>"), "behind `</html>`"),
    ] {
        let studio = StudioBuilder::new().build().await;
        let repair = after(&studio, bad).await;
        assert_eq!(repair.text("status"), "needs_completion", "{bad}");
        assert_eq!(repair.field("attempt"), 2);
        assert!(repair.texts("errors")[0].contains(reason), "{repair:?}");
        assert!(repair.prompt().contains(reason), "{repair:?}");
        assert!(studio.names().await.is_empty(), "nothing half-made is listed");
        let made = studio.answer(&repair, PAGE).await;
        assert_eq!(made.text("status"), "success", "{made:?}");
        assert_eq!(made.field("version"), 1);
    }
}

#[tokio::test]
async fn a_second_bad_answer_is_an_error_and_nothing_is_listed() {
    for (first, second) in [
        ("no", "I cannot do that."),
        ("no", &PAGE[..PAGE.len() - 3]),
        (&PAGE[..40], "still no page"),
    ] {
        let studio = StudioBuilder::new().build().await;
        let failed = studio.play("create_web_app", request(), &[first, second]).await;
        assert_eq!(failed.code(), "unusable_answer");
        assert!(failed.text("hint").contains("html"));
        assert_eq!(failed.texts("problems").len(), 1);
        assert!(studio.names().await.is_empty());
    }
}

#[tokio::test]
async fn a_failed_version_leaves_the_app_as_it_was() {
    let studio = StudioBuilder::new().build().await;
    let made = studio.play("create_web_app", request(), &[PAGE]).await;
    let failed = studio.play("create_web_app", request(), &["no", "no again"]).await;
    assert_eq!(failed.code(), "unusable_answer");
    let list = studio.call("list_web_apps", json!({})).await;
    assert_eq!(list.field("web_apps")[0]["version"], 1);
    assert_eq!(studio.page(made.text("url"), 1).await, PAGE.as_bytes());
}

#[tokio::test]
async fn code_from_elsewhere_is_asked_back_once_and_then_published_with_a_warning() {
    let studio = StudioBuilder::new().build().await;
    let leaning = PAGE.replace("<h1>", "<script src='https://cdn.example/x.js'></script><h1>");
    let repair = after(&studio, &leaning).await;
    assert!(repair.prompt().contains("cdn.example/x.js"), "{repair:?}");
    let clean = studio.answer(&repair, PAGE).await;
    assert_eq!(clean.text("status"), "success");

    let stubborn = studio.play("create_web_app", request(), &[&leaning, &leaning]).await;
    assert_eq!(stubborn.text("status"), "warning");
    assert!(stubborn.texts("warnings")[0].contains("cdn.example/x.js"));
    assert_eq!(stubborn.field("version"), 2);

    let broken_repair = studio.play("create_web_app", request(), &[&leaning, "Sorry."]).await;
    assert_eq!(broken_repair.text("status"), "warning", "a whole page is kept: {broken_repair:?}");
    assert_eq!(studio.page(broken_repair.text("url"), 3).await, leaning.as_bytes());
}

#[tokio::test]
async fn pictures_from_elsewhere_are_only_reported() {
    let studio = StudioBuilder::new().build().await;
    let page = PAGE.replace("<h1>", "<img alt='' src='https://x.example/p.png?sig=secret'><h1>");
    let made = studio.play("create_web_app", request(), &[&page]).await;
    assert_eq!(made.text("status"), "warning");
    assert_eq!(made.field("version"), 1);
    let warning = made.texts("warnings")[0];
    assert!(warning.contains("https://x.example/p.png") && !warning.contains("secret"));
}

#[tokio::test]
async fn a_page_over_the_cap_is_asked_for_again() {
    let studio = StudioBuilder::new().page_bytes(500).build().await;
    let long = PAGE.replace("Tips", &"long ".repeat(200));
    let repair = after(&studio, &long).await;
    assert!(repair.texts("errors")[0].contains("at most 500"), "{repair:?}");
    let made = studio.answer(&repair, PAGE).await;
    assert_eq!(made.text("status"), "success");
}

#[tokio::test]
async fn the_host_is_not_sent_its_own_page_back() {
    let studio = StudioBuilder::new().build().await;
    let cut = format!("{}<p>{}", &PAGE[..80], "long ".repeat(20_000));
    let repair = after(&studio, &cut).await;
    let prompt = repair.prompt();
    assert!(prompt.len() < 5_000, "{} bytes", prompt.len());
    assert!(prompt.contains("a tip calculator") && prompt.contains("cut off"));
}
