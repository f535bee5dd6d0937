#![expect(clippy::disallowed_methods, reason = "tests write files themselves")]

use serde_json::{Map, json};

use super::*;

fn load(text: &str) -> Result<WorkflowSet, ToolError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("work flows.json");
    std::fs::write(&file, text).unwrap();
    Workflows::new(Some(file)).load()
}

#[test]
fn the_programs_own_workflows_are_sound() {
    let set = Workflows::default().load().unwrap();
    assert_eq!(set.workflows.len(), 3);
    for (name, workflow) in &set.workflows {
        assert!(workflow.problems().is_empty(), "{name}: {:?}", workflow.problems());
        assert!(workflow.unused().is_empty(), "{name}");
        assert!(!workflow.description.is_empty());
    }
}

#[test]
fn all_forms_of_the_file_are_read() {
    let body = json!({
        "llm_model": "gemini-2.5-pro-preview-05-06",
        "mcp_servers_used": ["elixir_ecto_gen_tool"],
        "initial_prompt_template": "Do {user_query} now.",
        "max_conversation_turns": 5,
    });
    let mut listed = body.clone();
    listed["name"] = json!("mine");
    for text in [
        json!({"mine": body}).to_string(),
        json!({"workflows": {"mine": body}}).to_string(),
        json!([listed]).to_string(),
        json!({"workflows": [listed]}).to_string(),
        format!("\u{feff}{}", json!({"mine": body})),
    ] {
        let set = load(&text).unwrap();
        let workflow = &set.workflows["mine"];
        assert_eq!(workflow.run_limits().turns, 5, "{text}");
        let (_, prompt) = workflow.prompts("{{ 7 * 7 }}", &Map::new()).unwrap();
        assert_eq!(prompt, "Do {{ 7 * 7 }} now.");
    }
}

#[test]
fn a_template_without_the_query_gets_it_behind() {
    let workflow = Workflow { initial_prompt_template: "Do it.".into(), ..Workflow::default() };
    assert_eq!(workflow.prompts("What?", &Map::new()).unwrap().1, "Do it.\n\nWhat?");
    let with = Workflow { initial_prompt_template: "{{ query }}!".into(), ..Workflow::default() };
    assert_eq!(with.prompts("What?", &Map::new()).unwrap().1, "What?!");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, word) in [
        ("{\"a\": {}, // comment\n}", "line 1"),
        ("{\"a\": {},}", "trailing comma"),
        ("{\"a\": {}, \"a\": {}}", "stands twice"),
        ("[{}]", "no `name`"),
        ("7", "by name"),
    ] {
        let error = load(text).unwrap_err();
        assert_eq!(error.code, "invalid_workflows_file");
        assert!(error.message.contains(word), "{text}: {}", error.message);
    }
    for (body, word) in [
        (json!({"max_conversation_turns": 0}), "`turns` is 0"),
        (json!({"max_conversation_turn": 3}), "unknown field `max_conversation_turn`"),
        (json!({"initial_prompt_template": "{{ colour }}"}), "colour"),
        (json!({"initial_prompt_template": "{% if %}"}), "initial_prompt_template"),
        (json!({"parameters": {"a": {"type": "select"}}}), "options"),
        (json!({"parameters": {"a": {"type": "integer", "default": "x"}}}), "no whole number"),
        (json!({"response_schema": {"type": "thing"}}), "JSON Schema"),
        (json!({"limits": {"tool_calls": 5000}}), "tool_calls"),
        (json!({"approval": "sometimes"}), "approval"),
    ] {
        let set = load(&json!({"mine": body, "good": {}}).to_string()).unwrap();
        assert!(set.workflows.contains_key("good"));
        let problem = &set.broken["mine"];
        assert!(problem.contains(word) || word == "approval", "{body}: {problem}");
    }
}

#[test]
fn parameters_are_read_by_their_kind() {
    let workflow: Workflow = serde_json::from_value(json!({
        "parameters": {
            "count": {"type": "integer"},
            "deep": {"type": "boolean", "default": false},
            "kind": {"type": "select", "options": ["a", "b"], "default": "a"},
        },
        "initial_prompt_template": "{{ query }} {{ count }} {{ deep }} {{ kind }}",
    }))
    .unwrap();
    let given = |value: Value| value.as_object().cloned().unwrap();
    let values = workflow.values(&given(json!({"count": "3", "deep": "yes"}))).unwrap();
    assert_eq!(Value::Object(values), json!({"count": 3, "deep": true, "kind": "a"}));
    for (bad, word) in [
        (json!({}), "`count` is missing"),
        (json!({"count": "x"}), "no whole number"),
        (json!({"count": 1, "kind": "c"}), "none of `a`, `b`"),
        (json!({"count": 1, "more": 1}), "no parameter `more`"),
    ] {
        let error = workflow.values(&given(bad)).unwrap_err();
        assert!(error.message.contains(word), "{}", error.message);
    }
}

#[test]
fn unknown_names_get_near_ones() {
    let error = Workflows::default().get("elixir_crud_generatr").unwrap_err();
    assert_eq!(error.code, "workflow_not_found");
    assert_eq!(error.hint.unwrap(), "did you mean `elixir_crud_generator`?");
}
