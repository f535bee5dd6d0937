//! What other servers ask back for: given where their entry says so, refused with the reason
//! elsewhere.

use fake_llm::{FakeLlm, Reply, Rule, Script};
use serde_json::{Value, json};

use crate::support::product::{Installation, StdioClient};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mcp/server.py");

async fn started(
    model: Option<&FakeLlm>,
    entry: Value,
    capabilities: Value,
) -> (Installation, StdioClient) {
    let installation = Installation::new();
    let mut server = json!({"command": ["python3", SCRIPT]});
    server.as_object_mut().unwrap().extend(entry.as_object().unwrap().clone());
    installation
        .write("mcp_servers.json", &json!({"mcpServers": {"scripted": server}}).to_string());
    let file = installation.folder().join("mcp_servers.json").to_string_lossy().into_owned();
    let mut installation = installation.with("ATELIER_MCP_SERVERS", file);
    if let Some(model) = model {
        installation =
            installation.with("OPENAI_API_KEY", "key").with("OPENAI_BASE_URL", model.base_url());
    }
    let mut client = StdioClient::start(installation.command(&["stdio"]));
    client.initialize(capabilities).await;
    (installation, client)
}

async fn asked(client: &mut StdioClient) -> Value {
    let result = client.call("call_tool", json!({"name": "scripted__asks"})).await;
    assert_eq!(result["text"], "asked", "{result}");
    result["result"].clone()
}

#[tokio::test]
async fn texts_of_a_model_are_given_within_the_budget_of_the_entry() {
    let hello =
        Script::new().rule(Rule::reply(Reply::text("Hello, server.")).on_user_text("^hello$"));
    let model = FakeLlm::start(hello).await.unwrap();
    // Nothing said: refused, and told how it could be had.
    let (_folder, mut client) = started(Some(&model), json!({}), json!({})).await;
    let refused = asked(&mut client).await;
    let error = &refused["answers"][0]["error"];
    assert_eq!(error["code"], -32601, "{refused}");
    assert!(error["message"].as_str().unwrap().contains("`allow_sampling`"), "{error}");
    assert!(refused["client"].get("sampling").is_none(), "{refused}");
    assert!(model.model_requests().is_empty());
    client.close().await;

    // Allowed: answered by the configured model, until the tokens of the day are used up.
    let entry = json!({"allow_sampling": true, "sampling_tokens_per_day": 1});
    let (_folder, mut client) = started(Some(&model), entry, json!({})).await;
    let given = asked(&mut client).await;
    let text = &given["answers"][0];
    assert_eq!(text["content"]["text"], "Hello, server.", "{given}");
    assert_eq!((&text["role"], &text["stopReason"]), (&json!("assistant"), &json!("endTurn")));
    assert!(given["client"].get("sampling").is_some(), "{given}");
    assert_eq!(model.model_requests().len(), 1);
    let spent = asked(&mut client).await;
    let message = spent["answers"][0]["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("are used up") && message.contains("sampling_tokens_per_day"),
        "{spent}"
    );
    assert_eq!(model.model_requests().len(), 1, "nothing more is paid");
    client.close().await;

    // Allowed, and nobody there who could write.
    let (_folder, mut client) = started(None, json!({"allow_sampling": true}), json!({})).await;
    let nobody = asked(&mut client).await;
    assert_eq!(nobody["answers"][0]["error"]["code"], -1, "{nobody}");
    client.close().await;
}

#[tokio::test]
async fn a_person_is_asked_where_the_entry_and_the_client_allow_it() {
    let form = json!({"elicitation": {}});
    // The client could; the entry does not say so.
    let (_folder, mut client) = started(None, json!({}), form.clone()).await;
    let declined = asked(&mut client).await;
    assert_eq!(declined["answers"][1], json!({"action": "decline"}));
    assert!(client.elicited.is_empty());
    client.close().await;
    // The entry says so; the client cannot.
    let entry = json!({"allow_elicitation": true});
    let (_folder, mut client) = started(None, entry.clone(), json!({})).await;
    assert_eq!(asked(&mut client).await["answers"][1]["action"], "decline");
    client.close().await;
    // Both: the person reads who asks, and the answer goes back as it is.
    let (_folder, mut client) = started(None, entry, form).await;
    client.elicitation_answer = Some(json!({"action": "accept", "content": {"name": "Ada"}}));
    let given = asked(&mut client).await;
    assert_eq!(given["answers"][1]["action"], "accept", "{given}");
    assert_eq!(given["answers"][1]["content"], json!({"name": "Ada"}));
    let question = client.elicited[0]["message"].as_str().unwrap();
    assert!(question.contains("`scripted` asks") && question.contains("your name?"), "{question}");
    assert_eq!(client.elicited[0]["requestedSchema"]["properties"]["name"]["type"], "string");
    client.elicitation_answer = Some(json!({"action": "cancel"}));
    assert_eq!(asked(&mut client).await["answers"][1]["action"], "cancel");
    client.close().await;
}
