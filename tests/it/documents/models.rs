//! Pages from a model that is called from here: what it is sent, and what its failures become.

use std::sync::Arc;

use atelier::llm::{Event, LanguageModel, Part, Request, Role, Stop};
use serde_json::json;

use super::scripted::{Scripted, full, model, said};
use crate::support::studio::{PAGE, Reply, Studio, StudioBuilder};

async fn create(studio: &Studio, model: &Arc<Scripted>) -> Reply {
    let arguments = json!({"user_request": "a tip calculator", "app_name": "tips"});
    studio.call_with(Arc::clone(model) as Arc<dyn LanguageModel>, "create_web_app", arguments).await
}

fn texts(request: &Request) -> Vec<(Role, String)> {
    let text = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        other => panic!("unexpected {other:?}"),
    };
    request
        .messages
        .iter()
        .map(|message| (message.role, message.parts.iter().map(text).collect()))
        .collect()
}

#[tokio::test]
async fn who_wrote_the_page_is_told() {
    let studio = StudioBuilder::new().build().await;
    let made = create(&studio, &model(&[said(PAGE)])).await;
    assert_eq!(made.text("status"), "success");
    assert_eq!(made.text("model_used"), "scripted-1");
    assert_eq!(made.text("llm_route"), "sampling");
    assert_eq!(studio.page(made.text("url"), 1).await, PAGE.as_bytes());
}

#[tokio::test]
async fn a_repair_goes_on_with_the_conversation() {
    let studio = StudioBuilder::new().build().await;
    let model = model(&[said("Sorry, no."), said(PAGE)]);
    let made = create(&studio, &model).await;
    assert_eq!(made.text("status"), "success");
    let requests = model.requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].system, requests[1].system, "the cached begin stays");
    let conversation = texts(&requests[1]);
    assert_eq!(conversation[0], texts(&requests[0])[0]);
    assert_eq!(conversation[1], (Role::Assistant, "Sorry, no.".to_owned()));
    assert_eq!(conversation[2].0, Role::User);
    assert!(conversation[2].1.contains("holds no HTML document"), "{conversation:?}");
}

#[tokio::test]
async fn an_answer_without_end_is_asked_for_shorter_once() {
    let studio = StudioBuilder::new().build().await;
    let scripted = model(&[full("<!doctype html><p>"), full("and on"), said(PAGE)]);
    let made = create(&studio, &scripted).await;
    assert_eq!(made.text("status"), "success", "{made:?}");
    let last = texts(scripted.requests.lock().unwrap().last().unwrap());
    assert!(last.last().unwrap().1.contains("write a shorter document"), "{last:?}");

    let never = model(&[full("<p>"), full("<p>"), full("<p>"), full("<p>")]);
    let failed = create(&studio, &never).await;
    assert_eq!(failed.code(), "incomplete");
    let list = studio.call("list_web_apps", json!({})).await;
    assert_eq!(list.field("web_apps")[0]["version"], 1, "the app is as it was");
}

#[tokio::test]
async fn a_refusal_is_final_and_publishes_nothing() {
    let studio = StudioBuilder::new().build().await;
    let scripted = model(&[vec![
        Event::Text("<!doctype html><p>half".to_owned()),
        Event::Refused("policy".to_owned()),
        Event::End(Stop::Refused),
    ]]);
    let refused = create(&studio, &scripted).await;
    assert_eq!(refused.code(), "refused");
    assert_eq!(scripted.requests.lock().unwrap().len(), 1);
    assert!(studio.names().await.is_empty());
}

#[tokio::test]
async fn a_whole_page_is_kept_when_its_repair_fails() {
    let studio = StudioBuilder::new().build().await;
    let leaning = PAGE.replace("<h1>", "<script src='https://cdn.example/x.js'></script><h1>");
    let made = create(&studio, &model(&[said(&leaning)])).await;
    assert_eq!(made.text("status"), "warning", "{made:?}");
    assert_eq!(studio.page(made.text("url"), 1).await, leaning.as_bytes());
}

#[tokio::test]
async fn models_that_nobody_has_are_named_in_the_error() {
    let studio = StudioBuilder::new().build().await;
    for (name, code) in [
        ("no-such-model", "invalid_model"),
        ("gemini-x/../../../evil#", "invalid_model"),
        ("claude-sonnet-5-5", "model_key_missing"),
    ] {
        let arguments = json!({"user_request": "a clock", "model": name});
        let refused = studio.call("create_web_app", arguments).await;
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(refused.text("hint").len() > 10);
    }
    // The names of the first version never fail for lack of a key.
    for name in [
        "gemini-2.5-flash-preview-05-20",
        "gemini-2.5-pro-preview-05-06",
        "models/gemini-2.0-flash",
        "gemini-2.0-flash",
        "claude-3-7-sonnet-latest",
        "gpt-4.1-2025-04-14",
        "o4-mini-2025-04-16",
        "auto",
        "",
        "host",
    ] {
        let arguments = json!({"user_request": "a clock", "model": name});
        let asked = studio.call("create_web_app", arguments).await;
        assert_eq!(asked.text("status"), "needs_completion", "{name}");
        let made = studio.answer(&asked, PAGE).await;
        assert_eq!(made.text("model_requested"), name);
    }
}
