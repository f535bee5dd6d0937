//! Which rule answers.

use fake_llm::{Answer, FakeLlm, Fault, Part, Reply, Rule, Script, Stop, Vendor};
use serde_json::{Value, json};

use crate::raw_client;

fn chat(text: &str) -> Value {
    json!({ "model": "model-1", "messages": [{ "role": "user", "content": text }] })
}

async fn said(server: &FakeLlm, body: &Value) -> String {
    let answer = raw_client::post(server, "/v1/chat/completions", body).await;
    if answer.status() != 200 {
        return answer.status().to_string();
    }
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_first_rule_that_matches_answers() {
    let script = Script::new()
        .rule(Rule::reply(Reply::text("cats")).on_user_text("(?i)cat"))
        .rule(Rule::reply(Reply::text("dogs")).on_user_text("dog|cat"))
        .rule(Rule::reply(Reply::text("other")));
    let server = FakeLlm::start(script).await.unwrap();
    assert_eq!(said(&server, &chat("A Cat?")).await, "cats");
    assert_eq!(said(&server, &chat("a dog")).await, "dogs");
    assert_eq!(said(&server, &chat("a cow")).await, "other");
}

#[tokio::test]
async fn a_rule_is_exhausted_by_times_and_chosen_by_number() {
    let script = Script::new()
        .rule(Rule::reply(Reply::text("third")).on_nth(3))
        .rule(Rule::reply(Reply::text("twice")).times(2))
        .rule(Rule::reply(Reply::text("later")));
    let server = FakeLlm::start(script).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(said(&server, &chat("x")).await);
    }
    assert_eq!(answers, ["twice", "twice", "third", "later", "later"]);
}

#[tokio::test]
async fn every_condition_counts() {
    let matched = || Rule::reply(Reply::text("matched"));
    let conditions: [(Rule, Value); 4] = [
        (
            matched().on_system("brief"),
            json!({ "messages": [
            { "role": "system", "content": "Be brief" }, { "role": "user", "content": "x" },
        ] }),
        ),
        (
            matched().on_tools(["look", "hear"]),
            json!({ "tools": [
            { "function": { "name": "hear" } },
            { "function": { "name": "look" } },
            { "function": { "name": "smell" } },
        ] }),
        ),
        (matched().on_model("^gpt-6"), json!({ "model": "gpt-6-luna" })),
        (
            matched().on_tool_result("rain"),
            json!({ "messages": [
            { "role": "user", "content": "x" }, { "role": "tool", "content": "it rains" },
        ] }),
        ),
    ];
    for (rule, body) in conditions {
        let rule = rule.on_vendor(Vendor::OpenaiChat);
        let server = FakeLlm::start(Script::new().rule(rule)).await.unwrap();
        assert_eq!(said(&server, &body).await, "matched");
        assert_eq!(said(&server, &chat("x")).await, "400");
        assert_eq!(raw_client::ask(&server, Vendor::Ollama, true).await.status(), 400);
        assert_eq!(server.unmatched().len(), 2);
    }
}

#[tokio::test]
async fn unmatched_requests_get_the_vendors_error_and_fail_the_check() {
    for vendor in Vendor::ALL {
        let server = FakeLlm::start(Script::new()).await.unwrap();
        let answer = raw_client::ask(&server, vendor, true).await;
        assert_eq!(answer.status(), 400);
        assert!(answer.json().get("error").is_some(), "{vendor:?}");
        assert_eq!(server.unmatched().len(), 1);
        let error = server.check().unwrap_err().to_string();
        assert!(error.contains(raw_client::path(vendor, true).split('?').next().unwrap()));
    }
    let server = FakeLlm::start(Script::new().reply(Reply::text("x"))).await.unwrap();
    assert_eq!(raw_client::post(&server, "/nowhere", &json!({})).await.status(), 404);
    assert!(server.check().is_err());
}

#[tokio::test]
async fn a_closure_computes_the_answer() {
    let script = Script::new()
        .rule(
            Rule::compute(|request| Answer {
                reply: Reply::empty(),
                faults: vec![Fault::status(if request.order == 1 { 503 } else { 418 })],
            })
            .on_user_text("fail"),
        )
        .rule(Rule::compute(|request| {
            Reply::text(format!("{} has {}", request.order, request.user_text.as_deref().unwrap()))
        }));
    let server = FakeLlm::start(script).await.unwrap();
    assert_eq!(said(&server, &chat("fail")).await, "503");
    assert_eq!(said(&server, &chat("tea")).await, "2 has tea");
}

#[tokio::test]
async fn probes_meet_only_rules_with_a_path() {
    let script = Script::new().rule(Rule::reply(Reply::text("once")).times(1)).rule(
        Rule::default().on_path("/health$").fault(Fault::Status {
            status: 503,
            retry_after: None,
            retry_after_ms: None,
            message: Some("Loading model".into()),
            code: None,
            body: None,
        }),
    );
    let server = FakeLlm::start(script).await.unwrap();
    let health = raw_client::get(&server, "/health", "").await;
    assert_eq!(health.status(), 503);
    assert_eq!(health.json()["error"]["type"], "unavailable_error");
    assert_eq!(raw_client::get(&server, "/api/tags", "").await.status(), 200);
    assert_eq!(said(&server, &chat("x")).await, "once");
    server.assert_all_matched();
}

#[tokio::test]
async fn a_script_has_a_json_form() {
    let text = r#"{
        "models": [{ "id": "model-a", "shutdown_date": "2027-01-14" }],
        "rules": [
            { "match": { "nth": 1 }, "fault": { "kind": "status", "status": 429, "retry_after": "2" }, "times": 1 },
            { "match": { "vendor": "openai_chat", "user_text": "tool" },
              "reply": {
                "parts": [
                  { "text": "So: " },
                  { "tool_call": { "id": "c1", "name": "add", "arguments": { "json": { "a": 1 } } } }
                ],
                "stop": "tool_use",
                "usage": { "exact": { "input_tokens": 5, "output_tokens": -1 } }
              },
              "faults": [{ "kind": "split_every", "bytes": 7 }, { "kind": "cut_after_events", "events": 1, "http_end": "torn" }] }
        ]
    }"#;
    let script = Script::from_json(text).unwrap();
    assert_eq!(script.rules[0].faults, [Fault::status_retry_after(429, "2")]);
    assert_eq!(script.rules[1].reply.parts[0], Part::Text("So: ".into()));
    assert_eq!(script.rules[1].reply.stop, Stop::ToolUse);
    let written = serde_json::to_string(&script).unwrap();
    let again = Script::from_json(&written).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), written);
    let server = FakeLlm::start(script).await.unwrap();
    assert_eq!(said(&server, &chat("a tool")).await, "429");
    assert_eq!(
        raw_client::get(&server, "/v1/models", "").await.json()["data"][0]["shutdown_date"],
        "2027-01-14"
    );
}

#[tokio::test]
async fn a_bad_script_is_refused_at_the_start() {
    assert!(Script::from_json(r#"{ "rules": [{ "matches": {} }] }"#).is_err());
    assert!(Script::from_json(r#"{ "rules": [{ "fault": { "kind": "unknown" } }] }"#).is_err());
    let script = Script::new().rule(Rule::default().on_user_text("("));
    let error = FakeLlm::start(script).await.unwrap_err();
    assert!(format!("{error:#}").contains("rule 0: `user_text`: bad pattern"), "{error:#}");
}
