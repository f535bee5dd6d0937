//! Creating and listing: what is made, under which name, for whom.

use atelier::documents::LinkLife;
use serde_json::{Value, json};

use crate::support::studio::{CONTENT, PAGE, StudioBuilder};

#[tokio::test]
async fn a_request_becomes_a_hosted_app() {
    let studio = StudioBuilder::new().build().await;
    let asked = studio
        .call("create_web_app", json!({"user_request": "a tip calculator", "app_name": "tips"}))
        .await;
    assert!(asked.prompt().contains("a tip calculator"));
    assert_eq!(asked.field("expects")["kind"], "html");
    assert!(studio.names().await.is_empty(), "nothing is listed before there is a page");
    let made = studio.answer(&asked, &format!("```html\n{PAGE}\n```")).await;
    assert_eq!(made.text("status"), "success");
    assert_eq!(made.text("app_name"), "tips");
    assert_eq!(made.field("version"), 1);
    assert_eq!(made.field("model_used"), &Value::Null);
    assert_eq!(made.text("model_requested"), "auto");
    assert_eq!(made.text("llm_route"), "host");
    let url = made.text("url");
    let token = url.strip_prefix(&format!("{CONTENT}/a/")).unwrap().strip_suffix('/').unwrap();
    assert_eq!(token.len(), 22);
    assert!(made.text("message").contains(url));
    assert_eq!(studio.page(url, 1).await, PAGE.as_bytes());
}

#[tokio::test]
async fn a_page_given_by_the_caller_is_stored_as_it_is() {
    let studio = StudioBuilder::new().build().await;
    let html = "\u{feff}<!doctype html>\r\n<TITLE>Mine</TITLE>\r\n<p>ü</p>\n\n</html>\n ";
    let made = studio.call("create_web_app", json!({"html": html})).await;
    assert_eq!(made.text("status"), "success");
    assert_eq!(made.text("llm_route"), "none");
    assert_eq!(made.field("model_used"), &Value::Null);
    assert_eq!(made.text("app_name"), "mine");
    assert_eq!(studio.page(made.text("url"), 1).await, html.as_bytes());
}

#[tokio::test]
async fn libraries_from_elsewhere_are_loaded_from_here() {
    let studio = StudioBuilder::new().build().await;
    let html = PAGE
        .replace("<h1>", "<script src='https://unpkg.com/alpinejs@3' integrity='x'></script><h1>");
    let given = studio.call("create_web_app", json!({"html": html})).await;
    let asked = studio.call("create_web_app", json!({"user_request": "A page"})).await;
    // No repair round: nothing is wrong with it.
    let written = studio.answer(&asked, &html).await;
    for made in [given, written] {
        assert_eq!(made.text("status"), "success", "{made:?}");
        assert_eq!(made.texts("warnings"), Vec::<&str>::new());
        let said = "`https://unpkg.com/alpinejs@3` is loaded from this server (alpinejs 3.17.5)";
        assert!(made.text("message").contains(said), "{made:?}");
        let page = String::from_utf8(studio.page(made.text("url"), 1).await).unwrap();
        assert!(page.contains("<script src=\"lib/alpinejs-3.17.5.js\"></script>"), "{page}");
        assert!(!page.contains("integrity"));
    }
}

#[tokio::test]
async fn a_given_page_is_refused_only_when_it_is_none() {
    let studio = StudioBuilder::new().page_bytes(1000).build().await;
    for (html, code) in [
        // Callers send an empty text for an argument that they leave out.
        ("", "request_missing"),
        (" \n ", "request_missing"),
        ("just words", "invalid_html"),
        (&format!("<p>{}</p>", "x".repeat(1000)), "page_too_large"),
    ] {
        let refused = studio.call("create_web_app", json!({"html": html})).await;
        assert_eq!(refused.code(), code, "{html}");
        assert!(refused.text("hint").len() > 10);
    }
    assert!(studio.names().await.is_empty());
    let open = studio
        .call("create_web_app", json!({"html": "<script src='https://cdn.example/x.js'></script>"}))
        .await;
    assert_eq!(open.text("status"), "warning");
    assert_eq!(open.texts("warnings").len(), 2, "{open:?}");
}

#[tokio::test]
async fn calls_that_say_nothing_are_refused() {
    let studio = StudioBuilder::new().build().await;
    for arguments in [
        json!({}),
        json!({"user_request": ""}),
        json!({"user_request": " \n\t "}),
        json!({"user_request": null}),
        json!({"client_injected_context": "No additional context provided"}),
        json!({"client_injected_context": "No additional context provided for edit"}),
        json!({"attachments": ["http://files.example/cat.png"]}),
    ] {
        let refused = studio.call("create_web_app", arguments.clone()).await;
        assert_eq!(refused.code(), "request_missing", "{arguments}");
    }
    assert_eq!(studio.hosts.questions(), 0, "nothing is fetched for a call that is refused");
}

#[tokio::test]
async fn sizes_are_refused_with_their_limit() {
    let studio = StudioBuilder::new().build().await;
    let long = "x".repeat(2 * 1024 * 1024);
    for argument in ["user_request", "client_injected_context"] {
        let refused = studio.call("create_web_app", json!({argument: long})).await;
        assert_eq!(refused.code(), "request_too_large");
        assert!(refused.text("message").contains(argument));
    }
    let endless = "x".repeat(10 * 1024 * 1024);
    let refused = studio.call("create_web_app", json!({"user_request": endless})).await;
    assert!(refused.0.is_error);
    assert!(refused.text("message").len() < 1000, "the request is not repeated");
    let user = studio.call("create_web_app", json!({"html": PAGE, "user_number": "a\u{0}b"})).await;
    assert_eq!(user.code(), "invalid_user_number");
    assert!(studio.names().await.is_empty());
}

#[tokio::test]
async fn both_names_of_the_context_are_understood() {
    let studio = StudioBuilder::new().build().await;
    for arguments in [
        json!({"client_injected_context": "a chess clock"}),
        json!({"additional_context": "a chess clock"}),
        json!({"client_injected_context": "No additional context provided", "additional_context": "a chess clock"}),
    ] {
        let asked = studio.call("create_web_app", arguments).await;
        assert!(asked.prompt().contains("name=\"request\">\na chess clock\n"), "{asked:?}");
        assert!(!asked.prompt().contains("name=\"context\""));
    }
    let both = studio
        .play(
            "create_web_app",
            json!({"user_request": "a clock", "client_injected_context": "for chess", "additional_context": "for go"}),
            &[PAGE],
        )
        .await;
    assert!(both.text("message").contains("`additional_context` was ignored"), "{both:?}");
}

#[tokio::test]
async fn names_are_cleaned_and_harmless() {
    let studio = StudioBuilder::new().build().await;
    for (given, kept) in [
        ("../../etc/passwd", "etc_passwd"),
        ("a\u{0}b", "a_b"),
        ("C:\\Windows\\nul", "C_Windows_nul"),
        ("nul", "app_nul"),
        ("\u{202e}evil", "evil"),
        ("party 🎉", "party"),
        (&"n".repeat(300), &"n".repeat(100)),
    ] {
        let made = studio.call("create_web_app", json!({"html": PAGE, "app_name": given})).await;
        assert_eq!(made.text("app_name"), kept);
        assert!(made.text("message").contains("The name was cleaned"), "{made:?}");
    }
    for given in ["🚀", "...", "///"] {
        let made = studio.call("create_web_app", json!({"html": PAGE, "app_name": given})).await;
        let word = made.text("app_name").strip_prefix("sanitized_").unwrap();
        assert!(word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

#[tokio::test]
async fn a_name_in_use_is_the_next_version_at_the_same_url() {
    let studio = StudioBuilder::new().build().await;
    let first = studio.call("create_web_app", json!({"html": PAGE, "app_name": "Notes"})).await;
    let other = PAGE.replace("Tips", "Other");
    let second = studio.call("create_web_app", json!({"html": other, "app_name": "notes"})).await;
    assert_eq!(second.field("version"), 2);
    assert_eq!(second.text("app_name"), "Notes");
    assert_eq!(second.text("url"), first.text("url"));
    let message = second.text("message");
    assert!(message.contains("was in use") && message.contains("/v/1/"), "{message}");
    assert_eq!(studio.page(first.text("url"), 1).await, PAGE.as_bytes(), "versions never change");
    assert_eq!(studio.page(first.text("url"), 2).await, other.as_bytes());
    assert_eq!(studio.names().await, ["Notes"]);
}

#[tokio::test]
async fn names_made_here_never_land_on_another_app() {
    let studio = StudioBuilder::new().build().await;
    for expected in ["tip_calculator", "tip_calculator-2", "tip_calculator-3"] {
        let made = studio.call("create_web_app", json!({"html": PAGE})).await;
        assert_eq!(made.text("app_name"), expected);
        assert_eq!(made.field("version"), 1);
    }
    let untitled = studio.call("create_web_app", json!({"html": "<p>Hi</p></html>"})).await;
    let word = untitled.text("app_name").strip_prefix("web-app-").unwrap();
    assert!(word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[tokio::test]
async fn users_see_their_own_apps_alone() {
    let studio = StudioBuilder::new().build().await;
    let make = |who: &'static str, user: &'static str, name: &'static str| {
        let arguments = json!({"html": PAGE, "user_number": user, "app_name": name});
        studio.call_as(who, "create_web_app", arguments)
    };
    let mut urls = std::collections::BTreeSet::new();
    for (who, user) in [("ann", "+1"), ("ann", "+2"), ("ann", ""), ("bob", "+1")] {
        let made = make(who, user, "same").await;
        assert_eq!(made.field("version"), 1, "the same name is free for everybody");
        urls.insert(made.text("url").to_owned());
    }
    assert_eq!(urls.len(), 4);
    make("bob", "+1", "only_bobs").await;
    assert_eq!(studio.names_as("ann", json!({"user_number": "+1"})).await, ["same"]);
    assert_eq!(studio.names_as("bob", json!({"user_number": "+1"})).await, ["only_bobs", "same"]);
    assert!(studio.names_as("bob", json!({"user_number": "+2"})).await.is_empty());
    assert!(studio.names_as("eve", json!({})).await.is_empty());
    for nobody in ["", "--user_number_not_needed--", "+17145986105"] {
        assert_eq!(studio.names_as("ann", json!({"user_number": nobody})).await, ["same"]);
    }
}

#[tokio::test]
async fn lists_are_newest_first_and_limited() {
    let studio = StudioBuilder::new().build().await;
    let empty = studio.call("list_web_apps", json!({})).await;
    assert_eq!(empty.field("web_apps"), &json!([]));
    assert_eq!(empty.text("status"), "success");
    for n in 0..12 {
        studio
            .call("create_web_app", json!({"html": PAGE, "app_name": format!("app{n:02}")}))
            .await;
    }
    studio.call("create_web_app", json!({"html": PAGE, "app_name": "app00"})).await;
    let names = studio.names().await;
    assert_eq!(names.len(), 10, "the default limit");
    let list = studio.call("list_web_apps", json!({"limit": 2})).await;
    assert_eq!(list.field("web_apps")[0]["version"], 2);
    assert_eq!(list.field("web_apps")[0]["app_name"], "app00");
    assert_eq!(list.field("web_apps")[1]["app_name"], "app11");
    assert!(list.text("message").contains("higher `limit`"));
    let time = list.field("web_apps")[0]["updated_at"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    assert_eq!(studio.names_as("ann", json!({"limit": 1_000_000_000})).await.len(), 12);
    for limit in [json!(0), json!(-1), json!("many"), json!(1.5)] {
        let refused = studio.call("list_web_apps", json!({"limit": limit})).await;
        assert_eq!(refused.code(), "invalid_arguments", "{limit}");
    }
}

#[tokio::test]
async fn over_stdio_the_message_says_how_long_the_link_lives() {
    let studio = StudioBuilder::new().link_life(LinkLife::WhileRunning).build().await;
    let made = studio.call("create_web_app", json!({"html": PAGE})).await;
    let message = made.text("message");
    for word in ["while Atelier runs", "/download", "`atelier serve`"] {
        assert!(message.contains(word), "{message}");
    }
    let lasting = StudioBuilder::new().build().await;
    let made = lasting.call("create_web_app", json!({"html": PAGE})).await;
    assert!(!made.text("message").contains("while Atelier runs"));
}

#[tokio::test]
async fn schemas_keep_the_promised_arguments() {
    let studio = StudioBuilder::new().build().await;
    let tools = &studio.workshop.registry;
    let create = &tools.tool("create_web_app").unwrap().input_schema;
    let properties = create["properties"].as_object().unwrap();
    let names: Vec<&str> = properties.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "user_number",
            "app_name",
            "attachments",
            "user_request",
            "client_injected_context",
            "model",
            "html",
            "mcp_tool_names"
        ]
    );
    assert_eq!(create.get("required"), None);
    assert_eq!(properties["user_number"]["default"], "+17145986105");
    assert_eq!(properties["client_injected_context"]["default"], "No additional context provided");
    assert_eq!(properties["model"]["default"], "auto");
    assert_eq!(properties["model"].get("enum"), None);
    let list = &tools.tool("list_web_apps").unwrap().input_schema;
    assert_eq!(list["properties"]["limit"]["default"], 10);
    assert_eq!(list["properties"]["limit"]["minimum"], 1);
    assert_eq!(list["properties"]["user_number"]["default"], "+17145986105");
}
