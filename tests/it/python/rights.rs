//! What code may do: decided on the server's side, whatever the code says.

use atelier::registry::{Origin, Rights};
use serde_json::{Value, json};

use super::support::{Lab, context, echo, names};

/// Calls a tool from code and says what came: the error's code, or `status`.
fn attempt(tool: &str, arguments: &Value) -> String {
    format!(
        "
try:
    outcome = (await _call_mcp_tool('{tool}', {arguments}))['status']
except McpToolError as error:
    outcome = error.code
outcome"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_closed_to_code_stays_closed() {
    let lab = Lab::new().await;
    let made = lab.call("create_web_app", json!({"app_name": "kept", "html": PAGE})).await;
    assert_eq!(made.text("status"), "success", "{made:?}");
    let delete = json!({"app_name": "kept", "confirm": true}).to_string().replace("true", "True");
    let code = format!(
        "
try:
    outcome = (await _call_mcp_tool('delete_document', {delete}))['status']
except McpToolError as error:
    outcome = [error.code, error.message]
outcome"
    );
    let outcome = lab.value(&code).await;
    assert_eq!(outcome[0], "tool_not_allowed");
    assert!(outcome[1].as_str().unwrap().contains("closed to code"), "{outcome}");
    for tool in ["submit_completion", "cancel_job", "get_job"] {
        assert_eq!(lab.value(&attempt(tool, &json!({}))).await, "tool_not_allowed", "{tool}");
    }
    // The same call works for the client.
    let deleted = lab.call("delete_document", json!({"app_name": "kept", "confirm": true})).await;
    assert_eq!(deleted.text("status"), "success", "{deleted:?}");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_starts_no_servers_unless_the_operator_says_so() {
    // Without its arguments the tool starts nothing; that it says so shows that it was reached.
    let code = attempt("start_mcp_server", &json!({}));
    let closed = Lab::with(Vec::new(), |_| {}).await;
    assert_eq!(closed.value(&code).await, "tool_not_allowed");
    let listed = "[tool['name'] for tool in _list_tools() if tool['name'] in \
                  ('create_mcp_server', 'start_mcp_server', 'stop_mcp_server')]";
    assert_eq!(closed.value(listed).await, json!([]));
    assert_eq!(closed.call("start_mcp_server", json!({})).await.code(), "invalid_arguments");
    closed.close().await;

    let opened = Lab::with(Vec::new(), |config| config.python.may_manage_servers = true).await;
    assert_eq!(opened.value(&code).await, "invalid_arguments");
    opened.close().await;

    let named = Lab::with(Vec::new(), |config| {
        config.server.open_to_code = vec!["start_mcp_server".to_owned()];
    })
    .await;
    assert_eq!(named.value(&code).await, "invalid_arguments");
    assert_eq!(named.value(&attempt("create_mcp_server", &json!({}))).await, "tool_not_allowed");
    named.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_may_no_more_than_its_caller() {
    let lab = Lab::with(vec![echo("echo_it")], |_| {}).await;
    let code = attempt("echo_it", &json!({}));
    // The rights of the credentials.
    let mut narrow = context();
    narrow.rights = Rights { tools: Some(names(&["execute_python_code"])), ..Rights::default() };
    let reply = lab.call_in(narrow, "execute_python_code", json!({"code": code})).await;
    assert_eq!(reply.field("result"), "tool_not_allowed", "{reply:?}");
    let mut wide = context();
    wide.rights =
        Rights { tools: Some(names(&["execute_python_code", "echo_it"])), ..Rights::default() };
    let reply = lab.call_in(wide, "execute_python_code", json!({"code": code})).await;
    assert_eq!(reply.field("result"), "success", "{reply:?}");
    // The list of the call.
    for (list, expected) in [(json!([]), "tool_not_allowed"), (json!(["echo_it"]), "success")] {
        let arguments = json!({"code": code, "mcp_tool_names": list});
        let reply = lab.call("execute_python_code", arguments).await;
        assert_eq!(reply.field("result"), expected, "{list}: {reply:?}");
    }
    for (name, expected) in
        [("no_such_tool", "unknown_tool"), ("delete_document", "tool_not_allowed")]
    {
        let arguments = json!({"code": "1", "mcp_tool_names": [name]});
        assert_eq!(lab.call("execute_python_code", arguments).await.code(), expected);
    }
    // A list does not take the model away: it is the lack of one that is met.
    let asks = "
try:
    await _call_ai('why?')
except McpToolError as error:
    outcome = error.code
outcome";
    let mut alone = context();
    alone.models.host_completion = false;
    let arguments = json!({"code": asks, "mcp_tool_names": ["echo_it"]});
    let reply = lab.call_in(alone.clone(), "execute_python_code", arguments).await;
    assert_eq!(reply.field("result"), "no_language_model", "{reply:?}");
    alone.rights = Rights { tools: Some(names(&["execute_python_code"])), ..Rights::default() };
    let reply = lab.call_in(alone, "execute_python_code", json!({"code": asks})).await;
    assert_eq!(reply.field("result"), "tool_not_allowed", "{reply:?}");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_acts_for_its_user_and_nobody_else() {
    let lab = Lab::with(vec![echo("echo_it")], |_| {}).await;
    let code = "(await _call_mcp_tool('echo_it', {}))['user']";
    for (user, expected) in
        [(json!("berta"), "berta"), (Value::Null, "+17145986105"), (json!(" "), "+17145986105")]
    {
        let arguments = json!({"code": code, "caller_user_id": user});
        let reply = lab.call("execute_python_code", arguments).await;
        assert_eq!(reply.field("result"), expected, "{reply:?}");
    }
    for (named, expected) in [("berta", "success"), ("carl", "other_user")] {
        let code = attempt("echo_it", &json!({"user_number": named}));
        let arguments = json!({"code": code, "caller_user_id": "berta"});
        let reply = lab.call("execute_python_code", arguments).await;
        assert_eq!(reply.field("result"), expected, "{reply:?}");
    }
    // Code inside code keeps the user, whatever it says.
    let inner = "
reply = await _call_mcp_tool('execute_python_code', {'code': \"(await _call_mcp_tool('echo_it', {}))['user']\", 'caller_user_id': 'carl'})
reply['result']";
    let arguments = json!({"code": inner, "caller_user_id": "berta"});
    let reply = lab.call("execute_python_code", arguments).await;
    assert_eq!(reply.field("result"), "berta", "{reply:?}");
    // References are those of the caller's results alone.
    let secret = lab.run("'mine'").await;
    let reference = format!("@@ref_{}__result", secret.text("call_id"));
    let code = attempt("echo_it", &json!({"text": reference}));
    let own = lab.call("execute_python_code", json!({"code": code})).await;
    assert_eq!(own.field("result"), "success", "{own:?}");
    let mut other = context();
    other.principal = "eve".into();
    let reply = lab.call_in(other, "execute_python_code", json!({"code": code})).await;
    assert_eq!(reply.field("result"), "unknown_reference", "{reply:?}");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_and_code_in_code_ends_somewhere() {
    let lab = Lab::with(vec![echo("echo_it")], |config| {
        config.python.tool_calls = 3;
        config.python.ai_calls = 0;
    })
    .await;
    let code = "
codes = []
for n in range(5):
    try:
        await _call_mcp_tool('echo_it', {})
        codes.append('ok')
    except McpToolError as error:
        codes.append(error.code)
try:
    await _call_ai('why?')
except McpToolError as error:
    codes.append(error.code)
codes";
    let spent = "too_many_calls";
    assert_eq!(lab.value(code).await, json!(["ok", "ok", "ok", spent, spent, spent]));

    let nested = "
import json
def wrap(code):
    return 'reply = await _call_mcp_tool(\"execute_python_code\", {\"code\": ' + json.dumps(code) + '})\\nreply[\"result\"]'
levels = []
code = '1'
for n in range(4):
    try:
        levels.append((await _call_mcp_tool('execute_python_code', {'code': code}))['result'])
    except McpToolError as error:
        levels.append(error.code)
        levels.append('calls_too_deep' in error.message)
        break
    code = wrap(code)
levels";
    assert_eq!(lab.value(nested).await, json!([1, 1, "python_error", true]));
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_run_no_code_unless_the_operator_says_so() {
    let arguments =
        json!({"app_name": "kept", "html": PAGE, "mcp_tool_names": ["execute_python_code"]});
    let closed = Lab::new().await;
    let refused = closed.call("create_web_app", arguments.clone()).await;
    assert_eq!(refused.code(), "tool_not_allowed", "{refused:?}");
    closed.close().await;
    let opened = Lab::with(Vec::new(), |config| {
        config.server.open_to_pages = vec!["execute_python_code".to_owned()];
    })
    .await;
    let made = opened.call("create_web_app", arguments).await;
    assert_eq!(made.text("status"), "success", "{made:?}");
    // What such a page runs may no more than the page.
    let mut page = context();
    page.origin = Origin::Page;
    let code = attempt("create_web_app", &json!({"html": PAGE}));
    let reply = opened.call_in(page, "execute_python_code", json!({"code": code})).await;
    assert_eq!(reply.field("result"), "tool_not_allowed", "{reply:?}");
    opened.close().await;
}

const PAGE: &str = "<!DOCTYPE html><html lang=\"en\"><head><title>Kept</title></head><body><h1>Kept</h1></body></html>";
