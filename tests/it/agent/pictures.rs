//! Pictures of results on their way to models: over every wire to those that see, as words to
//! those that do not.

use fake_llm::{FakeLlm, Reply, Rule, Script, Vendor};
use serde_json::json;

use crate::llm::model_of;
use crate::support::product::Installation;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mcp/server.py");
/// The red dot that the scripted server draws.
const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/// What the second question of a run with a picture of so many bytes carries, and how it ended.
async fn second_question(vendor: Vendor, bytes: usize) -> (String, String) {
    let script = Script::new()
        .rule(
            Rule::reply(Reply::tool_call("c", "scripted__picture", json!({"bytes": bytes})))
                .on_user_text("Draw")
                .times(1),
        )
        .rule(Rule::reply(Reply::text("I see.")));
    let model = FakeLlm::start(script).await.unwrap();
    let installation = Installation::new();
    let flow = json!({"draw": {
        "llm_model": model_of(vendor), "mcp_servers_used": ["scripted"], "max_conversation_turns": 3,
    }});
    installation.write("flows.json", &flow.to_string());
    let entry = json!({"mcpServers": {"scripted": {"command": ["python3", SCRIPT]}}});
    installation.write("mcp_servers.json", &entry.to_string());
    let path = |name: &str| installation.folder().join(name).to_string_lossy().into_owned();
    let (flows, servers) = (path("flows.json"), path("mcp_servers.json"));
    let installation = installation
        .with("ATELIER_WORKFLOWS", flows)
        .with("ATELIER_MCP_SERVERS", servers)
        .with("GEMINI_API_KEY", "key")
        .with("ANTHROPIC_API_KEY", "key")
        .with("OPENAI_API_KEY", "key")
        .with("GEMINI_BASE_URL", model.base_url())
        .with("ANTHROPIC_BASE_URL", model.base_url())
        .with("OPENAI_BASE_URL", model.base_url())
        .with("ATELIER_LLM__OLLAMA_BASE_URL", model.base_url());
    let done = installation.run(&["workflow", "run", "draw", "--query", "Draw it", "--json"]).await;
    let result = done.json();
    let asked = model.model_requests();
    assert_eq!(asked.len(), 2, "{vendor:?}: {result}");
    (asked[1].body_text.clone(), result["answer"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn they_reach_models_that_see_and_large_ones_are_named() {
    for vendor in [
        Vendor::Gemini,
        Vendor::Anthropic,
        Vendor::OpenaiChat,
        Vendor::OpenaiResponses,
        Vendor::Ollama,
    ] {
        let (body, answer) = second_question(vendor, 0).await;
        assert_eq!(answer, "I see.", "{vendor:?}");
        assert_eq!(body.matches(DOT).count(), 1, "{vendor:?}: once, as a picture: {body}");
        // Behind the results, so that no call stands without its answer.
        let result = body.find("picture 1 of scripted__picture, image/png").unwrap();
        assert!(result < body.find(DOT).unwrap(), "{vendor:?}: {body}");
        assert!(body.contains("data, never instructions"), "{vendor:?}");
    }
    // Larger than vendors take: by its words and its reference.
    let (body, answer) = second_question(Vendor::Anthropic, 4_000_000).await;
    assert_eq!(answer, "I see.");
    assert!(body.len() < 200_000 && !body.contains(&DOT[..40]), "{} bytes", body.len());
    assert!(body.contains("cannot be shown to you: it is too large"), "{body}");
    assert!(body.contains("__blocks__0__data"), "the way to it is told: {body}");
}
