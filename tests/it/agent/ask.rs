//! `ask_ai`: one question, one answer.

use serde_json::{Value, json};

use crate::support::studio::StudioBuilder;

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name", "age"],
        "additionalProperties": false,
    })
}

#[tokio::test]
async fn a_question_gets_text() {
    let studio = StudioBuilder::new().build().await;
    let asked = studio.call("ask_ai", json!({"prompt": "Who?", "system": "Be brief."})).await;
    assert_eq!(asked.prompt(), "Who?");
    assert_eq!(asked.field("prompt")["system"], "Be brief.");
    assert_eq!(asked.field("expects")["kind"], "text");
    let answered = studio.answer(&asked, " Ada. \n").await;
    assert_eq!(answered.text("status"), "success");
    assert_eq!(answered.text("answer"), "Ada.");
    assert_eq!(answered.text("llm_route"), "host");
    assert_eq!(answered.text("model_requested"), "auto");
    assert_eq!(answered.field("model_used"), &Value::Null);
}

#[tokio::test]
async fn with_a_schema_the_answer_is_a_checked_value() {
    let studio = StudioBuilder::new().build().await;
    let arguments = json!({"prompt": "Who?", "json_schema": schema()});
    let asked = studio.call("ask_ai", arguments.clone()).await;
    assert_eq!(asked.field("expects")["kind"], "json");
    assert_eq!(asked.field("expects")["schema"], schema());
    let system = asked.field("prompt")["system"].as_str().unwrap();
    assert!(system.contains("\"additionalProperties\": false"), "{system}");
    for reply in [
        "{\"name\": \"Ada\", \"age\": 36}",
        "```json\n{\"name\": \"Ada\", \"age\": 36}\n```",
        "Here: {\"name\": \"Ada\", \"age\": 36}. Done.",
    ] {
        let answered = studio.play("ask_ai", arguments.clone(), &[reply]).await;
        assert_eq!(answered.field("answer"), &json!({"name": "Ada", "age": 36}), "{reply}");
    }
}

#[tokio::test]
async fn a_wrong_value_gets_one_repair_round_and_then_an_error() {
    for (reply, reason) in [
        ("{\"name\": \"Ada\", \"age\": -1}", "`/age`: "),
        ("{\"name\": \"Ada\"}", "\"age\" is a required property"),
        ("{\"name\": \"Ada\", \"age\": 3, \"x\": 1}", "Additional properties"),
        ("{\"name\": \"Ada\", \"age\":", "cut off"),
        ("{\"name\": \"Ada\", \"age\": 1} {\"name\": \"Eve\", \"age\": 2}", "more than one"),
        ("I do not know.", "no JSON value"),
        ("{name: Ada}", "malformed"),
    ] {
        let studio = StudioBuilder::new().build().await;
        let arguments = json!({"prompt": "Who?", "json_schema": schema()});
        let repair = studio.play("ask_ai", arguments.clone(), &[reply]).await;
        assert!(repair.prompt().contains(reason), "{repair:?}");
        assert_eq!(repair.field("attempt"), 2);
        let answered = studio.answer(&repair, "{\"name\": \"Ada\", \"age\": 36}").await;
        assert_eq!(answered.field("answer")["age"], 36);
        let failed = studio.play("ask_ai", arguments, &[reply, reply]).await;
        assert_eq!(failed.code(), "unusable_answer", "{reply}");
        assert!(failed.texts("problems")[0].contains(reason), "{failed:?}");
    }
}

#[tokio::test]
async fn bad_questions_are_refused() {
    let studio = StudioBuilder::new().build().await;
    for (arguments, code) in [
        (json!({}), "invalid_arguments"),
        (json!({"prompt": " \n"}), "prompt_missing"),
        (json!({"prompt": "x".repeat(2_000_000)}), "request_too_large"),
        (json!({"prompt": "x", "system": "x".repeat(2_000_000)}), "request_too_large"),
        (json!({"prompt": "x", "json_schema": {"type": "thing"}}), "invalid_json_schema"),
        (
            json!({"prompt": "x", "json_schema": {"$ref": "file:///etc/passwd"}}),
            "invalid_json_schema",
        ),
        (json!({"prompt": "x", "json_schema": [1]}), "invalid_arguments"),
    ] {
        let refused = studio.call("ask_ai", arguments).await;
        assert_eq!(refused.code(), code, "{refused:?}");
    }
}

#[tokio::test]
async fn a_schema_sent_as_text_is_understood() {
    let studio = StudioBuilder::new().build().await;
    let arguments = json!({"prompt": "Who?", "json_schema": schema().to_string()});
    let answered = studio.play("ask_ai", arguments, &["{\"name\": \"Ada\", \"age\": 1}"]).await;
    assert_eq!(answered.field("answer")["name"], "Ada");
}
