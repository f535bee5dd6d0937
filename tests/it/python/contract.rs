//! What `execute_python_code` returns.

use atelier::jobs::{Content, ProgressSink};
use serde_json::{Value, json};

use super::support::{Lab, context, echo, together};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_everything_that_came_of_it() {
    let lab = Lab::new().await;
    let code = "
import sys
print('one'); print('two', file=sys.stderr)
def generated_function_name(a, b, *, c=0):
    return {'sum': a + b + c}
[1, 'ä']";
    let arguments = json!({
        "code": code, "function_args": [1, 2], "function_kwargs": {"c": 3}, "timeout_seconds": 20,
        "caller_user_id": "someone",
    });
    let reply = lab.call("execute_python_code", arguments).await;
    assert_eq!(reply.text("status"), "success", "{reply:?}");
    assert_eq!((reply.text("stdout"), reply.text("stderr")), ("one\n", "two\n"));
    assert_eq!(reply.field("function_called"), true);
    assert_eq!(reply.field("function_result"), &json!({"sum": 6}));
    assert_eq!(reply.field("result"), &json!([1, "ä"]));
    assert_eq!(reply.field("files"), &json!([]));
    assert_eq!(reply.field("tool_calls"), &json!([]));
    assert!(reply.field("duration_ms").as_u64().unwrap() < 20_000);
    assert!(reply.text("message").contains("its function was called"), "{reply:?}");
    let held = &reply.field("isolation_layers")["held"];
    assert!(held.as_array().unwrap().contains(&json!("seccomp")), "{reply:?}");
    assert!(!reply.text("isolation").is_empty());

    // A string names the function; arguments that nobody takes are told of.
    let named = "def add(a, b):\n    return a + b\ngenerated_function_name = 'add'";
    let reply =
        lab.call("execute_python_code", json!({"code": named, "function_args": [20, 22]})).await;
    assert_eq!(reply.field("function_result"), 42);
    let reply = lab.call("execute_python_code", json!({"code": "1", "function_args": [1]})).await;
    assert_eq!(reply.field("function_called"), false);
    assert!(reply.text("message").contains("unused"), "{reply:?}");
    // Null is the default.
    let nulls = json!({"code": "2", "function_args": null, "function_kwargs": null, "timeout_seconds": null, "caller_user_id": null});
    assert_eq!(lab.call("execute_python_code", nulls).await.field("result"), 2);
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_json_lacks_are_shown_and_large_ones_kept() {
    let lab = Lab::new().await;
    let reply = lab.run("b'ab'").await;
    assert_eq!((reply.text("result"), reply.text("result_type")), ("b'ab'", "bytes"), "{reply:?}");
    let reply = lab.run("float('nan')").await;
    assert_eq!(reply.text("result"), "nan", "{reply:?}");
    // Larger than a client accepts: cut there, whole behind the reference.
    let reply = lab.run("'x' * 1_500_000").await;
    assert_eq!(reply.field("truncated"), true, "{:?}", reply.field("message"));
    assert!(reply.text("result").len() < 1_000_000);
    let arguments = json!({
        "code": "def generated_function_name(text):\n    return len(text)",
        "function_args": [format!("@@ref_{}__result", reply.text("call_id"))],
    });
    let measured = lab.call("execute_python_code", arguments).await;
    assert_eq!(measured.field("function_result"), 1_500_000, "{measured:?}");
    // Larger than the sandbox hands out: cut, with a note.
    let reply = lab.run("['y' * 1000] * 10_000").await;
    assert!(reply.text("message").contains("`result`"), "{}", reply.text("message"));
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_calls_tools_and_gets_results_or_errors() {
    let lab = Lab::with(vec![echo("echo_it"), together(12)], |_| {}).await;
    let code = "
import asyncio
names = [tool['name'] for tool in _list_tools()]
first = await _call_mcp_tool('echo_it', {'text': 'hi'})
try:
    await _call_mcp_tool('echo_it', {'text': ['no text']})
except McpToolError as error:
    second = [error.code, 'text' in error.message]
# Each ends only when all twelve are in flight.
third = await asyncio.gather(*[_call_mcp_tool('together', {'text': str(n)}) for n in range(12)])
fourth = await asyncio.gather(_call_mcp_tool('nothing', {}), _call_mcp_tool('echo_it', {}), return_exceptions=True)
[names, first, second, [each['text'] for each in third], [getattr(fourth[0], 'code', None), fourth[1]['status']]]";
    let reply = lab.run(code).await;
    let result = reply.field("result");
    let names: Vec<&str> = result[0]
        .as_array()
        .unwrap_or_else(|| panic!("{reply:?}"))
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert!(names.contains(&"echo_it") && names.contains(&"create_web_app"), "{names:?}");
    assert!(
        !names.contains(&"delete_document") && !names.contains(&"submit_completion"),
        "{names:?}"
    );
    let first = &result[1];
    assert_eq!((&first["text"], &first["status"]), (&json!("hi"), &json!("success")));
    assert_eq!((&first["origin"], &first["depth"]), (&json!("Code"), &json!(1)));
    assert_eq!(result[2], json!(["invalid_arguments", true]));
    assert_eq!(result[3], json!((0..12).map(|n| n.to_string()).collect::<Vec<_>>()));
    assert_eq!(result[4], json!(["unknown_tool", "success"]));
    let calls = reply.field("tool_calls").as_array().unwrap();
    assert_eq!(calls.len(), 16);
    assert_eq!((&calls[0]["tool"], &calls[0]["ok"]), (&json!("echo_it"), &json!(true)));
    assert_eq!((&calls[1]["ok"], &calls[1]["code"]), (&json!(false), &json!("invalid_arguments")));
    // The result of an inner call is at hand for references.
    let by_reference = json!({
        "code": "generated_function_name = print",
        "function_args": [format!("@@ref_{}__text", calls[0]["call_id"].as_str().unwrap())],
    });
    assert_eq!(lab.call("execute_python_code", by_reference).await.text("stdout"), "hi\n");
    lab.close().await;
}

/// Code that calls much does not wait for the disk each time, and nothing shows it.
#[tokio::test(flavor = "multi_thread")]
async fn the_results_of_many_calls_are_at_hand_for_references() {
    let lab = Lab::with(vec![echo("echo_it")], |_| {}).await;
    let code = "
ids = []
for n in range(150):
    # Each fourth is too large for its row, each fifth fails.
    text = str(n) * 20_000 if n % 4 == 0 else str(n)
    try:
        ids.append((await _call_mcp_tool('echo_it', {'text': [] if n % 5 == 0 else text}))['call_id'])
    except McpToolError as error:
        ids.append(error.code)
# In the arguments of a direct tool, of a job, and inside of text.
back = [(await _call_mcp_tool('echo_it', {'text': f'@@ref_{ids[n]}__text'}))['text'] for n in (1, 4, 149)]
in_job = await _call_mcp_tool('execute_python_code', {
    'code': 'def same(text):\\n    return text\\ngenerated_function_name = \\'same\\'',
    'function_args': [f'@@ref_{ids[148]}__text'],
})
[ids, back[0], len(back[1]), back[2], len(in_job['function_result'])]";
    let reply = lab.run(code).await;
    let result = reply.field("result");
    assert_eq!(result[1], "1", "{reply:?}");
    assert_eq!(
        (&result[2], &result[3], &result[4]),
        (&json!(20_000), &json!("149"), &json!(60_000))
    );
    let ids: Vec<&str> =
        result[0].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert_eq!(ids.iter().filter(|id| **id == "invalid_arguments").count(), 30);
    for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 5 != 0) {
        let arguments = json!({"text": format!("@@ref_{id}__text")});
        let told = lab.call("echo_it", arguments).await;
        let expected = if n % 4 == 0 { n.to_string().repeat(20_000) } else { n.to_string() };
        assert_eq!(told.text("text"), expected);
    }
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_are_typed_functions_too() {
    let lab = Lab::with(vec![echo("echo_it")], |_| {}).await;
    let code = "
import inspect
import atelier_tools as tools
from atelier_tools import echo_it
told = await echo_it(text='typed')
try:
    echo_it(txt='typo')
except TypeError as error:
    wrong = str(error)
signature = inspect.signature(tools.create_web_app)
[told['text'], wrong, str(signature.parameters['app_name'].annotation), 'For tests' in echo_it.__doc__]";
    let result = lab.value(code).await;
    assert_eq!(result[0], "typed");
    assert!(result[1].as_str().unwrap().contains("txt"), "{result}");
    assert!(result[2].as_str().unwrap().contains("str"), "{result}");
    assert_eq!(result[3], true);
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_told_while_the_code_runs() {
    let lab = Lab::with(vec![echo("echo_it"), together(2)], |_| {}).await;
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut watched = context();
    watched.progress = ProgressSink::new(move |progress| {
        let _ = sender.send(progress.message.clone());
    });
    // The code waits for a second call, which the test makes only once it has heard of the output.
    let code = "print('halfway'); await _call_mcp_tool('together', {})";
    let running = lab.call_in(watched, "execute_python_code", json!({"code": code}));
    let heard = async {
        while let Some(message) = told.recv().await {
            if message.contains("halfway") {
                break;
            }
        }
        lab.call("together", json!({})).await
    };
    let (reply, _) = tokio::join!(running, heard);
    assert_eq!(reply.text("stdout"), "halfway\n", "{reply:?}");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_images_and_files() {
    let lab = Lab::new().await;
    // A picture of one pixel, shown as a notebook would.
    let code = "
import base64
class Shown:
    def _repr_png_(self):
        return base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==')
Shown()";
    let reply = lab.run(code).await;
    let images = |reply: &crate::support::studio::Reply| {
        reply.0.content.iter().filter(|block| matches!(block, Content::Image { .. })).count()
    };
    assert_eq!(images(&reply), 1, "{reply:?}");
    assert_eq!(reply.field("files")[0]["type"], "image/png", "{reply:?}");
    lab.close().await;

    let quiet = Lab::with(Vec::new(), |config| config.python.inline_images = false).await;
    let reply = quiet.run(code).await;
    assert_eq!(images(&reply), 0);
    assert_eq!(reply.field("files").as_array().map(Vec::len), Some(1), "{reply:?}");
    quiet.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_has_the_fields_of_a_result() {
    let lab = Lab::new().await;
    let before_the_run = lab.call("execute_python_code", json!({"code": [7]})).await;
    let in_the_run = lab.run("print('so far')\n1 / 0").await;
    for (reply, code, stdout) in
        [(&before_the_run, "invalid_arguments", ""), (&in_the_run, "python_error", "so far\n")]
    {
        assert_eq!(reply.code(), code);
        assert_eq!(reply.text("stdout"), stdout);
        assert_eq!(reply.text("stderr"), "");
        assert_eq!(reply.field("function_called"), false);
        for name in ["function_result", "result", "files", "tool_calls", "duration_ms"] {
            assert!(reply.0.structured.get(name).is_some(), "no `{name}`: {reply:?}");
        }
        assert!(!reply.text("message").is_empty());
    }
    assert_eq!(in_the_run.text("message"), "ZeroDivisionError: division by zero (line 2)");
    assert_eq!(in_the_run.field("line"), 2);
    let traceback = in_the_run.text("traceback");
    assert!(traceback.contains("1 / 0") && !traceback.contains("atelier_runner"), "{traceback}");
    assert_eq!(in_the_run.field("result"), &Value::Null);
    lab.close().await;
}
