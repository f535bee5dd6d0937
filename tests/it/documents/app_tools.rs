//! `mcp_tool_names`: which names an app may have, and what the model learns of them.

use serde_json::{Value, json};

use crate::support::studio::{PAGE, Reply, Studio, StudioBuilder};

async fn named(studio: &Studio, names: Value) -> Reply {
    let arguments = json!({"html": PAGE, "app_name": "tips", "mcp_tool_names": names});
    studio.call("create_web_app", arguments).await
}

/// The list as it is stored with the app.
async fn stored(studio: &Studio, url: &str) -> Vec<String> {
    let token = url.trim_end_matches('/').rsplit('/').next().unwrap();
    let document = studio.workshop.catalog.document_by_token(token).await.unwrap().unwrap();
    document.tool_names
}

#[tokio::test]
async fn the_list_is_stored_and_replaced_only_when_given() {
    let studio = StudioBuilder::new().build().await;
    let made = named(&studio, json!(["ask_ai", " list_web_apps ", "ask_ai", ""])).await;
    assert_eq!(made.texts("mcp_tool_names"), ["ask_ai", "list_web_apps"], "{made:?}");
    let url = made.text("url").to_owned();
    assert_eq!(stored(&studio, &url).await, ["ask_ai", "list_web_apps"]);

    let kept = studio.call("create_web_app", json!({"html": PAGE, "app_name": "tips"})).await;
    assert_eq!(kept.field("version"), 2);
    assert_eq!(kept.texts("mcp_tool_names"), ["ask_ai", "list_web_apps"]);
    let fewer = named(&studio, json!(["list_web_apps"])).await;
    assert_eq!(fewer.texts("mcp_tool_names"), ["list_web_apps"]);
    let none = named(&studio, json!([])).await;
    assert!(none.field("mcp_tool_names").is_null(), "{none:?}");
    assert!(stored(&studio, &url).await.is_empty());
    let fresh = studio.call("create_web_app", json!({"html": PAGE})).await;
    assert!(stored(&studio, fresh.text("url")).await.is_empty());
}

#[tokio::test]
async fn names_that_a_page_cannot_call_are_refused_with_what_to_do() {
    let studio = StudioBuilder::new().build().await;
    let unknown =
        named(&studio, json!(["ask_aj", "list_web_apps", "nothing_at_all_like_it"])).await;
    assert_eq!(unknown.code(), "unknown_tool");
    let message = unknown.text("message");
    assert!(message.contains("`ask_aj`") && message.contains("`nothing_at_all_like_it`"));
    assert!(!message.contains("list_web_apps"), "{message}");
    assert!(unknown.text("hint").contains("did you mean `ask_ai`?"), "{unknown:?}");
    assert_eq!(unknown.field("refused")[0]["name"], "ask_aj");

    for closed in ["create_web_app", "get_job", "cancel_job", "submit_completion"] {
        let refused = named(&studio, json!([closed])).await;
        assert_eq!(refused.code(), "tool_not_allowed");
        let hint = refused.text("hint");
        assert!(hint.contains(&format!("server.open_to_pages = [\"{closed}\"]")), "{hint}");
    }
    let many: Vec<String> = (0..33).map(|n| format!("tool_{n}")).collect();
    assert_eq!(named(&studio, json!(many)).await.code(), "too_many_tools");
    assert_eq!(named(&studio, json!("ask_ai")).await.code(), "invalid_arguments");
    assert!(studio.names().await.is_empty(), "nothing was published");
}

#[tokio::test]
async fn nobody_names_tools_beyond_their_own_rights() {
    use std::collections::BTreeSet;

    use atelier::registry::{CallContext, Origin, Rights};

    let studio = StudioBuilder::new().build().await;
    let arguments = json!({"html": PAGE, "mcp_tool_names": ["ask_ai"]});
    let with_rights = async |toolsets: &[&str]| {
        let toolsets: BTreeSet<String> = toolsets.iter().map(|set| (*set).to_owned()).collect();
        let rights = Rights { toolsets: Some(toolsets), ..Rights::default() };
        let context = CallContext { rights, ..CallContext::new("ann".into(), Origin::Client) };
        Reply(studio.workshop.registry.call("create_web_app", arguments.clone(), context).await)
    };
    let refused = with_rights(&["documents"]).await;
    assert_eq!(refused.code(), "tool_not_allowed");
    assert!(refused.text("message").contains("these credentials do not cover it"));
    assert_eq!(with_rights(&["documents", "agent"]).await.text("status"), "success");
}

#[tokio::test]
async fn the_model_learns_of_the_named_tools_and_no_others() {
    let studio = StudioBuilder::new().build().await;
    let ask = async |names: Value| {
        let arguments = json!({"user_request": "a list of my apps", "mcp_tool_names": names});
        studio.call("create_web_app", arguments).await
    };
    let both = ask(json!(["list_web_apps", "ask_ai"])).await;
    let prompt = both.prompt();
    assert!(prompt.contains("{\"name\":\"list_web_apps\",\"description\":"), "{prompt}");
    assert!(prompt.contains("{\"name\":\"ask_ai\",\"description\":"));
    assert!(prompt.contains("\"gallery_url\""), "the result's schema is there");
    assert!(prompt.contains("window.atelier.callTool('list_web_apps', {})"));
    assert!(prompt.contains("window.atelier.askAi(prompt, schema)"));

    let one = ask(json!(["list_web_apps"])).await;
    assert!(one.prompt().contains("callTool('list_web_apps'"));
    assert!(!one.prompt().contains("askAi") && !one.prompt().contains("ask_ai"));
    let ai = ask(json!(["ask_ai"])).await;
    assert!(ai.prompt().contains("askAi(") && !ai.prompt().contains("callTool("));
    let none = ask(json!([])).await;
    assert!(!none.prompt().contains("atelier"), "{none:?}");
    let made = studio.answer(&both, PAGE).await;
    assert_eq!(made.texts("mcp_tool_names"), ["list_web_apps", "ask_ai"]);
}

#[tokio::test]
async fn an_edit_keeps_the_list_or_replaces_it_and_tells_the_model() {
    let studio = StudioBuilder::new().build().await;
    let made = named(&studio, json!(["list_web_apps", "ask_ai"])).await;
    let url = made.text("url").to_owned();
    let edit = async |further: Value| {
        let mut arguments = json!({"app_name": "tips", "user_edit_request": "Say Tip instead"});
        arguments.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        studio.call("edit_web_app", arguments).await
    };
    let asked = edit(json!({})).await;
    assert!(asked.prompt().contains("callTool('list_web_apps'"), "{asked:?}");
    assert!(asked.prompt().contains("askAi("));
    let patch =
        "<<<<<<< SEARCH\n<!DOCTYPE html>\n=======\n<!DOCTYPE html>\n<!-- x -->\n>>>>>>> REPLACE";
    let edited = studio.answer(&asked, patch).await;
    assert_eq!(edited.field("version"), 2, "{edited:?}");
    assert_eq!(stored(&studio, &url).await, ["list_web_apps", "ask_ai"]);

    for (names, code) in [("create_web_app", "tool_not_allowed"), ("ask_aj", "unknown_tool")] {
        let refused = edit(json!({"mcp_tool_names": [names]})).await;
        assert_eq!(refused.code(), code);
    }
    assert_eq!(stored(&studio, &url).await, ["list_web_apps", "ask_ai"]);
    let fewer = edit(json!({"mcp_tool_names": ["ask_ai"]})).await;
    assert!(!fewer.prompt().contains("list_web_apps"), "{fewer:?}");
    studio.answer(&fewer, "NO CHANGES").await;
    assert_eq!(stored(&studio, &url).await, ["ask_ai"]);
    let none = edit(json!({"mcp_tool_names": [], "user_edit_request": ""})).await;
    assert_eq!(none.text("status"), "success", "{none:?}");
    assert!(stored(&studio, &url).await.is_empty());
}
