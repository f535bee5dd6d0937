//! Conversations: branches, titles, search, export, deletion, and what the model is told of them.

use fake_llm::{Reply, Rule, Script};
use serde_json::json;

use super::support::{House, MODEL};

fn echoing() -> Script {
    Script::new().rule(Rule::compute(|request| {
        Reply::text(format!("You said: {}.", request.user_text.clone().unwrap_or_default()))
    }))
}

#[tokio::test]
async fn edits_and_retries_are_branches_and_nothing_is_lost() {
    let house = House::with(echoing()).await;
    let client = house.client("local").await;
    let (conversation, first) = client.talk(json!({"text": "one apple"})).await;
    let (_, second) =
        client.talk(json!({"conversation": conversation, "parent": first, "text": "two"})).await;
    let (_, edited) = client
        .talk(json!({"conversation": conversation, "parent": first, "text": "two pears"}))
        .await;
    let asked = house.asked().pop().unwrap();
    assert!(asked.contains("one apple") && asked.contains("You said: one apple."), "{asked}");
    assert!(!asked.contains("\"two\""), "the other branch is not told: {asked}");
    let path = format!("/chat/api/conversations/{conversation}");
    let shown = client.get(&path).await.json();
    assert_eq!(shown["title"], "one apple");
    assert_eq!(shown["turns"][1]["id"], json!(edited));
    assert_eq!(shown["turns"][1]["siblings"], json!([second, edited]));

    let selected = client.post(&format!("{path}/select"), &json!({"turn": second})).await;
    assert_eq!(selected.status, 200);
    assert_eq!(client.last_turn(&conversation).await["id"], json!(second));
    // A new beginning is a branch too; going back shows the newest of what followed the old one.
    client.talk(json!({"conversation": conversation, "text": "no fruit"})).await;
    assert_eq!(client.get(&path).await.json()["turns"].as_array().unwrap().len(), 1);
    client.post(&format!("{path}/select"), &json!({"turn": first})).await;
    assert_eq!(client.last_turn(&conversation).await["id"], json!(edited));
    let unknown = client.post(&format!("{path}/select"), &json!({"turn": "x"})).await;
    assert_eq!(unknown.code(), "turn_not_found");
    let stray = json!({"conversation": conversation, "parent": "x", "text": "?"});
    assert_eq!(client.post("/chat/api/turns", &stray).await.code(), "turn_not_found");
}

#[tokio::test]
async fn conversations_are_found_renamed_saved_and_deleted() {
    let house = House::with(echoing()).await;
    let client = house.client("local").await;
    let (apples, _) = client.talk(json!({"text": "apples 100% `x` <b>"})).await;
    let (pears, turn) = client.talk(json!({"text": "pears"})).await;
    let find = |words: &'static str| {
        let client = client.clone();
        async move {
            let path = format!("/chat/api/conversations?words={words}");
            let found = client.get(&path).await.json();
            let list = found["conversations"].as_array().unwrap().clone();
            list.into_iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(find("").await, [pears.clone(), apples.clone()], "newest first");
    assert_eq!(find("said%3A+pears").await, std::slice::from_ref(&pears), "answers are searched");
    assert_eq!(
        find("100%25").await,
        std::slice::from_ref(&apples),
        "a sign of patterns is a letter"
    );
    assert_eq!(find("1_0%25").await, Vec::<String>::new());

    let path = format!("/chat/api/conversations/{pears}");
    let renamed =
        client.post(&format!("{path}/rename"), &json!({"title": "Green\u{202e} ones\n"})).await;
    assert_eq!(renamed.status, 200);
    assert_eq!(client.get(&path).await.json()["title"], "Green ones");
    let empty = client.post(&format!("{path}/rename"), &json!({"title": " \u{200b}"})).await;
    assert_eq!((empty.status, empty.code().as_str()), (400, "empty_title"));

    let saved = client.get(&format!("{path}/export?format=markdown")).await;
    assert!(saved.header("content-disposition").starts_with("attachment; "), "{saved:?}");
    assert_eq!(
        saved.text(),
        "# Green ones\n\n## You\n\n> pears\n\n## Answer\n\nYou said: pears.\n"
    );
    let saved = client.get(&format!("{path}/export?format=json")).await.json();
    assert_eq!(saved["conversation"]["turns"][0]["id"], json!(turn));
    assert_eq!(saved["conversation"]["turns"][0]["question"], "pears");

    assert_eq!(client.post(&format!("{path}/delete"), &json!({})).await.status, 200);
    assert_eq!(client.get(&path).await.code(), "conversation_not_found");
    assert_eq!(find("").await, [apples]);
}

#[tokio::test]
async fn the_chosen_model_and_tools_are_those_of_the_answer() {
    let house = House::with(echoing()).await;
    let client = house.client("local").await;
    let state = client.get("/chat/api/state").await.json();
    assert_eq!(state["ways"]["default_model"], MODEL);
    let tools = state["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "create_web_app"), "{tools:?}");
    assert!(tools.iter().all(|tool| tool["name"] != "agent_run"), "the inner tool is no choice");
    let declared = || {
        let requests = house.llm.as_ref().unwrap().model_requests();
        requests.last().unwrap().clone()
    };
    client.talk(json!({"text": "a"})).await;
    assert!(declared().tool_names.iter().any(|name| name == "create_web_app"));
    let choice = json!({"tools": "except", "names": ["create_web_app"], "model": "gpt-6.1-sol"});
    let (conversation, _) = client.talk(json!({"text": "b", "choice": choice})).await;
    let request = declared();
    assert!(!request.tool_names.iter().any(|name| name == "create_web_app"));
    assert!(request.tool_names.iter().any(|name| name == "edit_web_app"));
    assert_eq!(request.model.as_deref(), Some("gpt-6.1-sol"));
    assert_eq!(client.last_turn(&conversation).await["choice"], choice_in_full());
    client.talk(json!({"text": "c", "choice": {"tools": "nothing"}})).await;
    assert_eq!(declared().tool_names, Vec::<String>::new());

    let unknown = json!({"text": "d", "choice": {"model": "../x"}});
    assert_eq!(client.post("/chat/api/turns", &unknown).await.code(), "invalid_model");
    assert_eq!(
        client.post("/chat/api/turns", &json!({"text": " \n"})).await.code(),
        "empty_message"
    );
    let long = json!({"text": "x".repeat(400_001)});
    assert_eq!(client.post("/chat/api/turns", &long).await.code(), "message_too_long");
}

fn choice_in_full() -> serde_json::Value {
    json!({"model": "gpt-6.1-sol", "tools": "except", "names": ["create_web_app"]})
}
