//! `create_python_code` and `edit_python_code`: what is returned parses, and nothing is run.

use fake_llm::{FakeLlm, Reply, Rule, Script};
use serde_json::json;

use super::support::{Lab, echo};
use crate::llm::config;

const GOOD: &str = "```python\nprint('made')\n```";

async fn with_model(rules: Vec<Rule>) -> (Lab, FakeLlm) {
    let script = rules.into_iter().fold(Script::new(), Script::rule);
    let server = FakeLlm::start(script).await.unwrap();
    let llm = config(&server);
    let lab = Lab::with(vec![echo("echo_it")], |config| config.llm = llm).await;
    (lab, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_writes_a_program_that_then_runs() {
    let program = "```python\nreply = await _call_mcp_tool('echo_it', {'text': 'from code'})\nreply['text']\n```";
    let (lab, server) = with_model(vec![Rule::reply(Reply::text(program)).times(1)]).await;
    let arguments = json!({
        "user_request": "echo something", "model": "claude-sonnet-5-5",
        "available_tool_names_for_code_gen": ["echo_it"],
    });
    let made = lab.call("create_python_code", arguments).await;
    assert_eq!(made.text("status"), "success", "{made:?}");
    assert_eq!(made.field("tools"), &json!(["echo_it"]));
    assert_eq!(made.text("llm_route"), "api");
    let request = &server.model_requests()[0];
    // The schemas of the named tools stand in the prompt, and no others.
    let prompt = format!("{request:?}");
    assert!(prompt.contains("echo_it") && prompt.contains("Comes back."), "{prompt}");
    assert!(!prompt.contains("create_web_app"), "{prompt}");
    let code = format!("@@ref_{}__generated_code", made.text("call_id"));
    let ran = lab.call("execute_python_code", json!({"code": code})).await;
    assert_eq!(ran.field("result"), "from code", "{ran:?}");
    server.assert_all_matched();
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_python_is_put_right_once() {
    let broken = Rule::reply(Reply::text("```python\nprint('made'\n```")).times(1);
    let repaired = Rule::reply(Reply::text(GOOD)).on_user_text("does not parse").times(1);
    let (lab, server) = with_model(vec![broken, repaired]).await;
    let arguments = json!({"user_request": "print it", "model": "claude-sonnet-5-5"});
    let made = lab.call("create_python_code", arguments.clone()).await;
    assert_eq!(made.text("generated_code"), "print('made')\n", "{made:?}");
    assert_eq!(server.model_requests().len(), 2);
    lab.close().await;

    let prose = || Rule::reply(Reply::text("I would rather not write Python today.")).times(1);
    let (lab, server) = with_model(vec![prose(), prose()]).await;
    let failed = lab.call("create_python_code", arguments).await;
    assert_eq!(failed.code(), "unusable_answer", "{failed:?}");
    assert_eq!(server.model_requests().len(), 2, "one repair round, no more");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_changes_a_program() {
    let (lab, server) = with_model(vec![Rule::reply(Reply::text(GOOD)).times(1)]).await;
    let arguments = json!({
        "original_code": "print('old')\n", "edit_request": "say made", "model": "claude-sonnet-5-5",
    });
    let edited = lab.call("edit_python_code", arguments).await;
    assert_eq!(edited.text("status"), "success", "{edited:?}");
    assert_eq!(edited.text("original_code"), "print('old')\n");
    assert_eq!(edited.text("edited_code"), "print('made')\n");
    assert!(edited.text("diff").contains("-print('old')"), "{edited:?}");
    assert!(format!("{:?}", server.model_requests()[0]).contains("print('old')"));
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_writes_when_there_is_no_model() {
    let lab = Lab::new().await;
    let asked = lab.call("create_python_code", json!({"user_request": "print it"})).await;
    assert!(asked.prompt().contains("print it"), "{asked:?}");
    // By default the tools that change nothing, which no writer is.
    assert!(asked.prompt().contains("list_web_apps") && !asked.prompt().contains("create_web_app"));
    let asked = lab.answer(&asked, "no python at all!").await;
    assert_eq!(asked.field("attempt"), 2, "{asked:?}");
    let made = lab.answer(&asked, GOOD).await;
    assert_eq!(made.text("generated_code"), "print('made')\n", "{made:?}");
    assert_eq!(made.text("llm_route"), "host");

    let asked = lab
        .call("edit_python_code", json!({"original_code": "x = 1", "edit_request": "two"}))
        .await;
    let edited = lab.answer(&asked, "```python\nx = 2\n```").await;
    assert_eq!(edited.text("edited_code"), "x = 2\n", "{edited:?}");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_wrote_is_read_and_never_run() {
    let lab = Lab::new().await;
    // Were it run, it would end in an error, or publish an app.
    let code = "await _call_mcp_tool('create_web_app', {'app_name': 'x', 'html': '<h1>x</h1>'})\nraise SystemExit(3)\n";
    let arguments = json!({
        "user_request": "x", "generated_code": code,
        "available_tool_names_for_code_gen": ["create_web_app"],
    });
    let made = lab.call("create_python_code", arguments).await;
    assert_eq!((made.text("status"), made.text("generated_code")), ("success", code), "{made:?}");
    assert_eq!(made.text("llm_route"), "none");
    let edited = lab
        .call(
            "edit_python_code",
            json!({"original_code": "1", "edit_request": "x", "edited_code": code}),
        )
        .await;
    assert_eq!(edited.text("edited_code"), code, "{edited:?}");
    let list = lab.call("list_web_apps", json!({})).await;
    assert_eq!(list.field("web_apps"), &json!([]), "it was run");

    let warned = lab
        .call(
            "create_python_code",
            json!({"user_request": "x", "generated_code": "import requests\n_call_ai('x')"}),
        )
        .await;
    assert_eq!(warned.text("status"), "warning", "{warned:?}");
    assert_eq!(warned.field("findings").as_array().map(Vec::len), Some(2), "{warned:?}");
    let stubs = lab
        .call(
            "create_python_code",
            json!({"user_request": "x", "generated_code": "import atelier_tools"}),
        )
        .await;
    assert_eq!(stubs.text("status"), "success", "{stubs:?}");
    for (tool, arguments, code) in [
        (
            "create_python_code",
            json!({"user_request": "x", "generated_code": "def f(:"}),
            "invalid_python",
        ),
        ("create_python_code", json!({"user_request": " "}), "request_missing"),
        (
            "create_python_code",
            json!({"user_request": "x", "available_tool_names_for_code_gen": ["nope"]}),
            "unknown_tool",
        ),
        (
            "create_python_code",
            json!({"user_request": "x", "available_tool_names_for_code_gen": ["delete_document"]}),
            "tool_not_allowed",
        ),
        ("edit_python_code", json!({"original_code": "", "edit_request": "x"}), "code_missing"),
        (
            "edit_python_code",
            json!({"original_code": "1", "edit_request": "x", "edited_code": "("}),
            "invalid_python",
        ),
    ] {
        let refused = lab.call(tool, arguments).await;
        assert_eq!(refused.code(), code, "{refused:?}");
    }
    lab.close().await;
}
