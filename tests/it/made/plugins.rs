//! The operator's plugins, as real programs behind the fences: what they add and find, and every way in
//! which they fail, each named.

use std::path::{Path, PathBuf};

use atelier::config::Config;
use atelier::config::factory::{PluginConfig, PluginKind};
use serde_json::json;

use super::reuse::{Shop, adder, files};

/// The example of the documentation, between its marks.
fn documented(title: &str) -> String {
    let guide = include_str!("../../../docs/FACTORY.md");
    let (_, rest) = guide.split_once(&format!("# {title}\n")).unwrap();
    rest.split("```").next().unwrap().to_owned()
}

fn plugin(folder: &Path, name: &str, kind: PluginKind, code: &str) -> PluginConfig {
    let path: PathBuf = folder.join(format!("{name}.py"));
    std::fs::write(&path, code).unwrap();
    let (timeout_s, replaces) = (30.0, Vec::new());
    PluginConfig { name: name.to_owned(), kind, path, timeout_s, replaces }
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_add_files_and_judge_them() {
    let data = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let generator =
        plugin(folder.path(), "changelog", PluginKind::Generator, &documented("changelog.py"));
    let validator =
        plugin(folder.path(), "house-style", PluginKind::Validator, &documented("style.py"));
    // In a folder, with a module beside it; it looks at what stands around it.
    let around = folder.path().join("around");
    std::fs::create_dir(&around).unwrap();
    std::fs::write(around.join("helper.py"), "NAME = 'docs/around.json'\n").unwrap();
    let secret = data.path().join("secret.txt");
    std::fs::write(&secret, "planted").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(), "from here it answers");
    std::fs::write(
        around.join("plugin.py"),
        format!(
            r#"
import json, os, socket, sys
from helper import NAME
question = json.load(sys.stdin)
try:
    socket.create_connection(("127.0.0.1", {port}), timeout=5)
    network = "open"
except OSError:
    network = "closed"
seen = {{"network": network, "secret": os.path.exists({secret:?}), "files": "server.py" in question["files"]}}
print(json.dumps({{"files": [
    {{"path": NAME, "text": json.dumps(seen)}},
    {{"path": "README.md", "text": "Ours.\n"}},
]}}))
"#
        ),
    )
    .unwrap();
    let around = PluginConfig {
        name: "around".to_owned(),
        kind: PluginKind::Generator,
        path: around,
        timeout_s: 30.0,
        replaces: vec!["README.md".to_owned()],
    };
    let configured = |config: &mut Config| {
        config.factory.plugins = vec![generator.clone(), around.clone(), validator.clone()];
    };
    let shop = Shop::open(data.path(), configured).await;
    let (is_error, made) = shop.create_as("tester", adder(1)).await;
    assert!(!is_error, "{made:#}");
    assert_eq!(made["self_test"]["level"], "tested", "{made:#}");
    let written = files(&made);
    let changes = &written[Path::new("CHANGELOG.md")];
    assert!(changes.contains("`add`"), "{changes}");
    assert_eq!(written[Path::new("README.md")], "Ours.\n");
    let around: serde_json::Value =
        serde_json::from_str(&written[Path::new("docs/around.json")]).unwrap();
    assert_eq!(around, json!({"network": "closed", "secret": false, "files": true}));
    assert_eq!(made["scan"]["findings"], json!([]));
    let log = &written[Path::new("execution_log.json")];
    assert!(log.contains("\"house-style\""), "{log}");

    // What a validator finds passes the same gate; below it, it is told.
    let mut call = adder(1);
    call["tool_specs"][0]["implementation"] =
        json!("async def run(args, ctx):\n    # TODO later\n    return args['a'] + 1\n");
    let (is_error, made) = shop.create_as("tester", call.clone()).await;
    assert!(!is_error, "{made:#}");
    let finding = &made["scan"]["findings"][0];
    assert_eq!(
        (&finding["rule"], &finding["severity"], &finding["path"], &finding["line"]),
        (&json!("house-style/todo"), &json!("medium"), &json!("tools/add.py"), &json!(2)),
        "{made:#}"
    );
    assert!(files(&made)[Path::new("SECURITY_REPORT.md")].contains("house-style/todo"));
    shop.app.shut_down().await;
    let shop = Shop::open(data.path(), |config| {
        configured(config);
        config.factory.scan_gate = atelier::config::factory::ScanGate::Medium;
    })
    .await;
    let (is_error, blocked) = shop.create_as("tester", call).await;
    assert!(is_error && blocked["code"] == "factory_scan_blocked", "{blocked:#}");
    assert!(blocked["message"].as_str().unwrap().contains("house-style/todo"), "{blocked:#}");
    // A plugin that changed makes another package of the same representation.
    let (is_error, made) = shop.create_as("tester", adder(1)).await;
    assert!(!is_error && made.get("from_cache").is_none(), "{made:#}");
    let (_, again) = shop.create_as("tester", adder(1)).await;
    assert!(again.get("from_cache").is_some(), "{again:#}");
    let code = documented("changelog.py").replace("# Changelog", "# Changes");
    std::fs::write(folder.path().join("changelog.py"), code).unwrap();
    let (_, changed) = shop.create_as("tester", adder(1)).await;
    assert!(changed.get("from_cache").is_none(), "{changed:#}");
    assert!(files(&changed)[Path::new("CHANGELOG.md")].starts_with("# Changes"));
    shop.app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_that_fail_are_named_and_nothing_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let python = |code: &str| format!("import json, sys, time\n{code}\n");
    let dangerous = r#"print(json.dumps({"files": [{"path": "extra.py", "text": "import os\ndef go(x):\n    os.system('ls ' + x)\n"}]}))"#;
    for (kind, code, expected) in [
        (PluginKind::Generator, "print('hello')", "answered no JSON: expected value"),
        (PluginKind::Generator, "print('{}')", "answered no list `files`: missing field"),
        (
            PluginKind::Generator,
            r#"print(json.dumps({"files": [{"path": "../out.py", "text": ""}]}))"#,
            "wrote to `../out.py`, which is no path in the package",
        ),
        (
            PluginKind::Generator,
            r#"print(json.dumps({"files": [{"path": "server.py", "text": ""}]}))"#,
            "wrote to `server.py`, where `server.py` is already",
        ),
        (
            PluginKind::Generator,
            "raise ValueError('no idea')",
            "failed (exit status: 1): ValueError: no idea",
        ),
        (PluginKind::Validator, "time.sleep(60)", "did not answer within 1 s, and was ended"),
        (
            PluginKind::Validator,
            "while True: sys.stdout.write('x' * 65536)",
            "answered with more than 8388608 bytes, and was ended",
        ),
        (
            PluginKind::Validator,
            r#"print(json.dumps({"findings": [{"rule": "r", "severity": "bad", "path": "server.py", "message": "m"}]}))"#,
            "told the severity `bad`",
        ),
        (PluginKind::Generator, dangerous, "extra.py:3: `os.system` starts a shell"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let mut plugin = plugin(folder.path(), "broken", kind, &python(code));
        if code.contains("sleep") {
            plugin.timeout_s = 1.0;
        }
        let shop = Shop::open(data.path(), |config| config.factory.plugins = vec![plugin]).await;
        let (is_error, refused) = shop.create_as("tester", adder(1)).await;
        let message = refused["message"].as_str().unwrap_or_default();
        assert!(is_error && message.contains(expected), "{expected}: {refused:#}");
        if code == dangerous {
            assert_eq!(refused["code"], "factory_scan_blocked", "{refused:#}");
        } else {
            assert_eq!(refused["code"], "factory_plugin", "{refused:#}");
            assert!(message.starts_with("the plugin `broken` "), "{message}");
        }
        shop.app.shut_down().await;
        // Neither a package nor a trace of the plugin's run.
        let servers = data.path().join("servers");
        let left: Vec<PathBuf> = servers.read_dir().map_or_else(
            |_| Vec::new(),
            |listing| listing.map(|entry| entry.unwrap().path()).collect(),
        );
        assert!(left.iter().all(|path| path.ends_with(".staging")), "{left:?}");
        let staged = servers.join(".staging");
        let staged = staged.read_dir().map_or(0, Iterator::count);
        assert_eq!(staged, 0, "{expected}");
    }
}

#[test]
fn plugins_that_cannot_be_used_are_errors_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let good = || plugin(folder.path(), "good", PluginKind::Validator, "");
    let checked = |plugins: Vec<PluginConfig>| {
        let mut config = Config::default();
        config.factory.plugins = plugins;
        atelier::app::check_plugins(&config).map_err(|error| error.to_string())
    };
    assert_eq!(checked(vec![good()]), Ok(()));
    for (plugins, reason) in [
        (vec![good(), good()], "the plugin `good` stands there twice"),
        (vec![PluginConfig { name: "a b".to_owned(), ..good() }], "the plugin `a b` is no name"),
        (vec![PluginConfig { path: "plugin.py".into(), ..good() }], "has a relative path"),
        (vec![PluginConfig { timeout_s: 0.0, ..good() }], "between 0 and 300"),
        (vec![PluginConfig { replaces: vec!["README.md".to_owned()], ..good() }], "is a validator"),
        (
            vec![PluginConfig {
                kind: PluginKind::Generator,
                replaces: vec!["server.py".to_owned()],
                ..good()
            }],
            "cannot replace `server.py`",
        ),
    ] {
        let error = checked(plugins).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}
