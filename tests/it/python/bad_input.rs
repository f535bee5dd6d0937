//! Bad code and bad arguments: each a clear result in bounded time, and the next run is unharmed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Lab, endless};
use crate::support::studio::Reply;

/// A case ends long before this, on any machine.
const BOUND: Duration = Duration::from_secs(40);

async fn run_bad(lab: &Lab, arguments: &Value) -> Reply {
    let began = Instant::now();
    let reply = lab.call("execute_python_code", arguments.clone()).await;
    assert!(began.elapsed() < BOUND, "{arguments}");
    assert!(reply.0.structured["hint"].as_str().is_some_and(|hint| hint.len() > 10), "{reply:?}");
    // The next run is as good as the first.
    assert_eq!(lab.value("sum(range(10))").await, 45, "after {arguments}");
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_code_is_told_what_is_wrong() {
    let lab = Lab::new().await;
    for (code, error, message) in [
        ("x = (1,\nprint(x)", "python_error", "SyntaxError"),
        ("if x:\npass", "python_error", "IndentationError"),
        ("a\0b", "python_error", "null bytes"),
        (
            "def f():\n    return g()\nf()",
            "python_error",
            "NameError: name 'g' is not defined (line 2)",
        ),
        ("raise SystemExit(3)", "python_error", "sys.exit(3)"),
        ("import os\nos._exit(7)", "killed", "code 7"),
        ("import ctypes\nctypes.string_at(0)", "killed", "SIGSEGV"),
        ("import numpy_is_not_here", "python_error", "ModuleNotFoundError"),
        ("input('name? ')", "python_error", "EOFError"),
        ("def f(): f()\nf()", "python_error", "RecursionError"),
        (
            "import socket\nsocket.create_connection(('127.0.0.1', 80))",
            "python_error",
            "PermissionError",
        ),
        ("generated_function_name = 'nowhere'", "python_error", "nowhere"),
        ("generated_function_name = 7", "python_error", "cannot be called"),
        (
            "def generated_function_name(a, b): pass",
            "python_error",
            "does not take these arguments",
        ),
    ] {
        let reply = run_bad(&lab, &json!({"code": code})).await;
        assert!(error.split('|').any(|code| code == reply.code()), "{code}: {reply:?}");
        assert!(reply.text("message").contains(message), "{code}: {reply:?}");
    }
    // Nothing wrong with these.
    for code in
        ["# only a comment", "raise SystemExit", "\u{feff}x = 1\r\n", "print(1)  # cafe\u{301}"]
    {
        let reply = lab.run(code).await;
        assert_eq!(reply.text("status"), "success", "{code}: {reply:?}");
    }
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_ends_or_never_has_enough_is_ended() {
    let (sender, mut told) = tokio::sync::mpsc::channel(8);
    let lab = Lab::with(vec![endless(sender)], |_| {}).await;
    for (code, error, kept) in [
        ("print('begun')\nwhile True: pass", "timeout", "begun\n"),
        ("import time\nprint('begun')\ntime.sleep(100)", "timeout", "begun\n"),
        ("print('begun')\nawait _call_mcp_tool('endless', {})", "timeout", "begun\n"),
        (
            "print('begun')\nx = [bytearray(1 << 24) for n in range(1000)]",
            "memory_limit|python_error",
            "begun\n",
        ),
        ("while True: print('y' * 1000)", "output_limit", "yyyy"),
        (
            "import signal, time\nfor n in range(1, 32):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\ntime.sleep(100)",
            "timeout",
            "",
        ),
    ] {
        let reply = run_bad(&lab, &json!({"code": code, "timeout_seconds": 2})).await;
        assert!(error.split('|').any(|code| code == reply.code()), "{code}: {reply:?}");
        assert!(reply.text("stdout").contains(kept), "{code}: {reply:?}");
        if code.contains("endless") {
            assert_eq!(reply.field("tool_calls")[0]["code"], "cut_off", "{reply:?}");
        }
    }
    // The call inside ended with its run.
    assert_eq!((told.recv().await, told.recv().await), (Some("began"), Some("stopped")));
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_arguments_are_refused_by_name() {
    let lab = Lab::new().await;
    for (arguments, code, named) in [
        (json!({}), "invalid_arguments", "code"),
        (json!({"code": ""}), "code_missing", "`code`"),
        (json!({"code": " \n"}), "code_missing", "`code`"),
        (json!({"code": [3]}), "invalid_arguments", "code"),
        (json!({"code": "1", "timeout_seconds": 0}), "invalid_arguments", "timeout_seconds"),
        (json!({"code": "1", "timeout_seconds": 301}), "invalid_arguments", "timeout_seconds"),
        (json!({"code": "1", "timeout_seconds": -1}), "invalid_arguments", "timeout_seconds"),
        (json!({"code": "1", "timeout_seconds": 1.5}), "invalid_arguments", "timeout_seconds"),
        (json!({"code": "1", "timeout_seconds": "soon"}), "invalid_arguments", "timeout_seconds"),
        (json!({"code": "1", "function_args": {"a": 1}}), "invalid_arguments", "function_args"),
        (json!({"code": "1", "function_kwargs": [1]}), "invalid_arguments", "function_kwargs"),
        (json!({"code": "1", "files": {"../up": "x"}}), "invalid_arguments", "../up"),
        (json!({"code": "1", "files": {"/etc/x": "x"}}), "invalid_arguments", "/etc/x"),
        (json!({"code": "1", "attachments": ["nonsense"]}), "attachments_failed", "nonsense"),
        (
            json!({"code": "1", "attachments": ["http://127.0.0.1:1/x"]}),
            "attachments_failed",
            "127.0.0.1",
        ),
    ] {
        let reply = run_bad(&lab, &arguments).await;
        assert_eq!(reply.code(), code, "{arguments}: {reply:?}");
        assert!(reply.0.structured.to_string().contains(named), "{arguments}: {reply:?}");
    }
    for timeout in [1, 300] {
        let arguments = json!({"code": "5", "timeout_seconds": timeout});
        assert_eq!(lab.call("execute_python_code", arguments).await.field("result"), 5);
    }
    lab.close().await;
}

/// Code can write to the channel of its runner: forged frames harm its own run alone.
#[tokio::test(flavor = "multi_thread")]
async fn forged_and_late_frames_harm_nobody_else() {
    let lab = Lab::with(vec![super::support::echo("echo_it")], |_| {}).await;
    let forge = |frames: &str| {
        format!(
            "
import json, struct
channel = _call_mcp_tool.__self__._channel
def send(frame):
    body = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
    channel._socket.sendall(struct.pack('<I', len(body)) + body)
{frames}
import time
time.sleep(30)"
        )
    };
    for (frames, outcome) in [
        // The first result counts; what follows is dropped.
        (
            "send({'kind': 'result', 'ok': True, 'value': {'value': 'forged', 'exact': True}})\nsend({'kind': 'result', 'ok': True, 'value': {'value': 'second'}})\nsend({'kind': 'call', 'id': 1, 'tool': 'echo_it', 'arguments': {}})",
            "forged",
        ),
        ("send(b'junk')", "protocol_error"),
        ("send({'kind': 'unheard'})", "protocol_error"),
        ("channel._socket.sendall(struct.pack('<I', 1 << 31))", "protocol_error"),
        ("send({'kind': 'call', 'id': 5, 'tool': 'echo_it', 'arguments': 7})", "protocol_error"),
    ] {
        let reply = lab
            .call("execute_python_code", json!({"code": forge(frames), "timeout_seconds": 20}))
            .await;
        if outcome == "forged" {
            assert_eq!(reply.field("result"), outcome, "{frames}: {reply:?}");
            // What the server counts is not the code's to say.
            assert!(reply.field("isolation_layers")["held"].as_array().is_some());
        } else {
            assert_eq!(reply.code(), outcome, "{frames}: {reply:?}");
        }
        assert_eq!(lab.value("2 + 2").await, 4);
    }
    // A frame may claim anything: the call is still this user's, at this depth, by these rights.
    let claim = "
send({'kind': 'call', 'id': 900, 'tool': 'echo_it', 'arguments': {}, 'user': 'eve', 'principal': 'eve', 'origin': 'Client', 'depth': -5})
send({'kind': 'call', 'id': 901, 'tool': 'delete_document', 'arguments': {'app_name': 'x', 'confirm': True}, 'origin': 'Client'})
replies = {}
while len(replies) < 2:
    reply = channel.read_frame()
    replies[reply['id']] = reply
send({'kind': 'result', 'ok': True, 'value': {'value': [replies[900]['value']['user'], replies[900]['value']['depth'], replies[901]['code']], 'exact': True}})";
    let reply =
        lab.call("execute_python_code", json!({"code": forge(claim), "timeout_seconds": 20})).await;
    assert_eq!(reply.field("result"), &json!(["+17145986105", 1, "tool_not_allowed"]), "{reply:?}");
    lab.close().await;
}
