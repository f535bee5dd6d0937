//! What code sees and what comes back.

use atelier::sandbox::{
    CodeError, End, Finished, InputFile, Outcome, RunKind, RunSpec, Sandbox as _,
};
use serde_json::{Value, json};

use super::support::{finished, run, run_code, sandbox, value};

fn failed(outcome: &Outcome) -> (&CodeError, &Finished) {
    match &outcome.end {
        End::Failed(error, finished) => (error, finished),
        other => panic!("no error: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_expression_is_the_value() {
    let sandbox = sandbox();
    for (code, expected) in [
        ("", Value::Null),
        ("# only a comment", Value::Null),
        ("1 + 1", json!(2)),
        ("1 + 1;", Value::Null),
        ("x = 5", Value::Null),
        ("\u{feff}'bom'", json!("bom")),
        ("a = 1\r\na + 1\r\n", json!(2)),
        ("import asyncio\nawait asyncio.sleep(0, 'awaited')", json!("awaited")),
        ("import asyncio\nasync def main(): return 3\nasyncio.run(main())", json!(3)),
        ("if __name__ == '__main__':\n    print('main')\n__name__", json!("__main__")),
        (
            "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int'\nimport pickle\npickle.loads(pickle.dumps(A(3))).x",
            json!(3),
        ),
        ("(1, [2, {'a': None}], True)", json!([1, [2, {"a": null}], true])),
        ("{1: 'a', None: 2.5}", json!({"1": "a", "null": 2.5})),
    ] {
        let outcome = run(&sandbox, RunSpec::new(code)).await;
        assert_eq!(value(&outcome), &expected, "{code}");
        assert!(finished(&outcome).value.exact, "{code}");
    }
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_json_lacks_are_shown_with_a_note() {
    let sandbox = sandbox();
    for (code, expected, type_name) in [
        ("float('nan')", json!("nan"), "float"),
        ("1 << 60", json!("1152921504606846976"), "int"),
        ("b'ab'", json!("b'ab'"), "bytes"),
        ("{1: 'a', '1': 'b'}", json!("{1: 'a', '1': 'b'}"), "dict"),
        ("x = []\nx.append(x)\nx", json!("[[...]]"), "list"),
        (
            "class Bad:\n    def __repr__(self): raise ValueError\nBad()",
            json!("<Bad cannot be shown: ValueError>"),
            "Bad",
        ),
        ("[1, b'x']", json!([1, "b'x'"]), "list"),
        ("{(1, 2): 3}", json!({"(1, 2)": 3}), "dict"),
    ] {
        let outcome = run(&sandbox, RunSpec::new(code)).await;
        let shown = &finished(&outcome).value;
        assert_eq!((&shown.value, shown.type_name.as_str()), (&expected, type_name), "{code}");
        assert!(!shown.exact && shown.note.is_some(), "{code}: {shown:?}");
    }
    let outcome = run(&sandbox, RunSpec::new("'x' * 50_000_000")).await;
    let shown = &finished(&outcome).value;
    assert!(shown.value.as_str().unwrap().len() < 30_000 && !shown.exact);
    assert!(shown.note.as_ref().unwrap().contains("its beginning is shown"));
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_named_function_is_called() {
    let sandbox = sandbox();
    let call = async |code: &str, args: Value, kwargs: Value| {
        let mut spec = RunSpec::new(code);
        spec.function_args = args.as_array().unwrap().clone();
        spec.function_kwargs = kwargs.as_object().unwrap().clone();
        run(&sandbox, spec).await
    };
    let outcome =
        call("def generated_function_name(a, b=1): return a + b", json!([2]), json!({"b": 5}))
            .await;
    assert_eq!(finished(&outcome).function_value.value, json!(7));
    assert!(finished(&outcome).function_called);
    let outcome = call(
        "async def work(*rows): return list(rows)\ngenerated_function_name = 'work'",
        json!([1, 2]),
        json!({}),
    )
    .await;
    assert_eq!(finished(&outcome).function_value.value, json!([1, 2]));
    let outcome = call("x = 1", json!([1]), json!({})).await;
    assert!(!finished(&outcome).function_called);
    assert!(finished(&outcome).notes[0].contains("were unused"));
    let outcome = call("def generated_function_name(a): pass", json!([]), json!({})).await;
    let (error, rest) = failed(&outcome);
    assert!(error.message.contains("generated_function_name(a)"), "{error:?}");
    assert!(!rest.function_called);
    let outcome = call("generated_function_name = 'gone'", json!([]), json!({})).await;
    assert!(failed(&outcome).0.message.contains("'gone'"));
    let outcome = call("generated_function_name = 5", json!([]), json!({})).await;
    assert!(failed(&outcome).0.message.contains("type int"));
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tracebacks_show_the_code_and_nothing_of_ours() {
    let sandbox = sandbox();
    let code = "import json\ndef inner():\n    json.loads('{')\ndef outer():\n    inner()\nprint('out')\nouter()";
    let outcome = run(&sandbox, RunSpec::new(code)).await;
    let (error, _) = failed(&outcome);
    assert_eq!(error.type_name, "JSONDecodeError");
    assert_eq!(error.line, Some(3));
    let frames: Vec<_> =
        error.traceback.lines().filter(|line| line.trim_start().starts_with("File ")).collect();
    assert_eq!(
        frames,
        [
            "  File \"code.py\", line 7, in <module>",
            "  File \"code.py\", line 5, in outer",
            "  File \"code.py\", line 3, in inner",
        ]
    );
    assert!(error.traceback.contains("json.loads('{')"));
    assert_eq!(outcome.stdout.text, "out\n");
    for (code, type_name, line, hint) in [
        ("await 1\nx = (", "SyntaxError", Some(2), None),
        ("x = 1\0", "ValueError", None, None),
        ("import nosuchmodule", "ModuleNotFoundError", Some(1), Some("installed packages")),
        ("input()", "EOFError", Some(1), Some("function_args")),
        ("import socket\nsocket.socket()", "PermissionError", Some(2), Some("no network")),
        ("import sys\nsys.exit(3)", "SystemExit", Some(2), None),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", Some(1), None),
        (
            "import asyncio\nawait asyncio.sleep(0)\nasyncio.run(asyncio.sleep(0))",
            "RuntimeError",
            Some(3),
            Some("await main()"),
        ),
    ] {
        let outcome = run(&sandbox, RunSpec::new(code)).await;
        let (error, _) = failed(&outcome);
        assert_eq!(error.type_name, type_name, "{code}: {error:?}");
        if line.is_some() {
            assert_eq!(error.line, line, "{code}: {error:?}");
        }
        assert!(!error.traceback.contains("atelier_"), "{code}: {}", error.traceback);
        if let Some(hint) = hint {
            assert!(error.hint.as_ref().unwrap().contains(hint), "{code}: {error:?}");
        }
    }
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_code_is_refused_in_time() {
    let sandbox = sandbox();
    for code in [
        "(".repeat(100_000),
        format!("x = {}1", "-".repeat(200_000)),
        format!("x = 1{}", " + 1".repeat(100_000)),
    ] {
        let outcome = run(&sandbox, RunSpec::new(&*code)).await;
        assert!(
            matches!(&outcome.end, End::Failed(error, _) if ["SyntaxError", "MemoryError", "RecursionError"]
                .contains(&error.type_name.as_str()))
                || matches!(&outcome.end, End::Unfinished(_) | End::Success(_)),
            "{:?}",
            outcome.end
        );
        assert_eq!(value(&run(&sandbox, RunSpec::new("1")).await), &json!(1));
    }
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exits_without_an_error_are_successes() {
    for code in ["import sys\nsys.exit()", "import sys\nsys.exit(0)", "raise SystemExit"] {
        finished(&run_code(code).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_decoded_and_kept_apart() {
    let outcome = run_code(
        "import os, sys\nprint('ä\\ud800')\nprint('oops', file=sys.stderr)\nos.write(1, b'\\xff')\nos.system('echo child')\nsys.stdout.write('no newline')",
    )
    .await;
    assert_eq!(outcome.stdout.text, "ä\\ud800\n\u{fffd}child\nno newline");
    assert_eq!(outcome.stderr.text, "oops\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_in_and_come_out() {
    let sandbox = sandbox();
    let mut spec = RunSpec::new(
        "
import os
text = open('in/data.csv').read()
os.makedirs('out/deep')
open('out/deep/copy.csv', 'w').write(text.upper())
open('untouched.txt').read()
open('changed.txt', 'a').write('!')
os.symlink('/etc/passwd', 'link.txt')
os.symlink('/etc', 'folder')
os.link('changed.txt', 'hard.txt')
os.mkfifo('pipe')
open('.hidden', 'w').write('x')
open('big.bin', 'wb').truncate(60 << 20)
open(b'odd\\xff\\nname.txt', 'w').write('odd')
import tempfile
tempfile.mkstemp()
open('/tmp/elsewhere', 'w').write('t') and None",
    );
    let input = |name: &str, text: &str| InputFile { name: name.to_owned(), bytes: text.into() };
    spec.inputs =
        vec![input("in/data.csv", "a,b"), input("untouched.txt", "u"), input("changed.txt", "c")];
    let outcome = run(&sandbox, spec).await;
    finished(&outcome);
    let files: Vec<_> = outcome
        .files
        .iter()
        .map(|file| (file.name.as_str(), String::from_utf8_lossy(&file.bytes)))
        .collect();
    assert_eq!(
        files,
        [
            ("changed.txt", "c!".into()),
            ("hard.txt", "c!".into()),
            ("odd\u{fffd}_name.txt", "odd".into()),
            ("out/deep/copy.csv", "A,B".into()),
        ]
    );
    let skipped: Vec<_> =
        outcome.skipped_files.iter().map(|it| (it.name.as_str(), it.reason.as_str())).collect();
    assert_eq!(skipped.len(), 4, "{skipped:?}");
    for (name, reason) in [
        ("link.txt", "a link"),
        ("folder", "a link"),
        ("pipe", "no regular file"),
        ("big.bin", "at most"),
    ] {
        assert!(skipped.iter().any(|it| it.0 == name && it.1.contains(reason)), "{skipped:?}");
    }
    for bad in ["../x", "/etc/x", "a//b", "", ".hidden", "a/../b"] {
        let mut spec = RunSpec::new("1");
        spec.inputs = vec![input(bad, "x")];
        assert!(spec.check().is_err(), "{bad}");
    }
    sandbox.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_inspected_without_running() {
    let sandbox = sandbox();
    let inspect = async |code: &str| {
        let mut spec = RunSpec::new(code);
        spec.kind = RunKind::Inspect;
        spec.tools = vec![atelier::sandbox::ToolStub {
            name: "known".to_owned(),
            description: String::new(),
            input_schema: json!({}),
        }];
        let outcome = run(&sandbox, spec).await;
        match outcome.end {
            End::Inspected(found) => (found, outcome.stdout.text),
            other => panic!("{other:?}"),
        }
    };
    let (found, printed) = inspect(
        "import json, nosuch.thing\nprint('ran')\nasync def f():\n    await _call_mcp_tool('known', {})\n    _call_mcp_tool('unheard', {})\n",
    )
    .await;
    assert!(found.parses && printed.is_empty());
    let imports: Vec<_> = found.imports.iter().map(|it| (it.name.as_str(), it.installed)).collect();
    assert_eq!(imports, [("json", true), ("nosuch.thing", false)]);
    let mut calls: Vec<_> = found
        .calls
        .iter()
        .map(|it| (it.tool.as_deref().unwrap(), it.line, it.awaited, it.known))
        .collect();
    calls.sort_unstable();
    assert_eq!(calls, [("known", 4, true, true), ("unheard", 5, false, false)]);
    assert_eq!(found.functions, ["f"]);
    let (found, _) = inspect("def broken(:\n  pass").await;
    assert!(!found.parses);
    assert_eq!(found.error.unwrap().line, Some(1));
    sandbox.close().await;
}
