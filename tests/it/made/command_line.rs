//! `atelier factory` on the command line: folders that are named there, scans, tests, rules.

use serde_json::{Value, json};

use super::document;
use crate::support::factory_python::environment;
use crate::support::product::{Finished, Installation};

fn plain() -> Installation {
    Installation::new().with("ATELIER_FACTORY__ENVIRONMENT", environment().display().to_string())
}

fn rules(finished: &Finished) -> Vec<String> {
    let report = finished.json();
    let findings = report["findings"].as_array().unwrap_or_else(|| panic!("{finished:?}"));
    findings.iter().map(|finding| finding["rule"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn scans_tell_by_their_exit_code() {
    let world = plain();
    world.write(
        "bad/tool.py",
        "import os\n\n\nasync def run(args, ctx):\n    os.system(args['x'])\n",
    );
    world.write("bad/.venv/hidden.py", "eval('1')\n");
    world.write("good/tool.py", "async def run(args, ctx):\n    return {'sum': args['a'] + 1}\n");
    world.write("odd/latin.py", "x = 1\n");
    std::fs::write(world.folder().join("odd/latin.py"), b"x = '\xe4'\n").unwrap();

    let found = world.run(&["factory", "scan", "bad"]).await;
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stdout.contains("# Security report") && found.stdout.contains("tool.py:5:"));
    assert!(!found.stdout.contains("hidden"), "what others wrote is passed over: {found:?}");
    let found = world.run(&["factory", "scan", "bad", "--format", "json"]).await;
    assert_eq!(found.code, Some(1));
    let high = found.json()["findings"][0].clone();
    assert_eq!((&high["severity"], &high["line"]), (&json!("high"), &json!(5)), "{high}");
    let found = world.run(&["factory", "scan", "bad/tool.py", "good", "--format", "sarif"]).await;
    let sarif = found.json();
    assert_eq!(sarif["version"], "2.1.0");
    assert_eq!(sarif["runs"][0]["results"].as_array().unwrap().len(), 1, "{sarif:#}");

    let clean = world.run(&["factory", "scan", "good", "--gate", "low"]).await;
    assert_eq!(clean.code, Some(0), "{clean:?}");
    assert!(clean.stdout.contains("Nothing was found"));
    let odd = world.run(&["factory", "scan", "odd", "--format", "json"]).await;
    assert_eq!((odd.code, rules(&odd)), (Some(1), vec!["unreadable".to_owned()]));
    let none = world.run(&["factory", "scan", "nowhere"]).await;
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("nowhere"), "{none:?}");
    let usage = world.run(&["factory", "scan"]).await;
    assert_eq!(usage.code, Some(2));
}

#[tokio::test]
async fn rules_of_the_user_count_everywhere() {
    const RULES: &str = r#"[{name = "no-todo", pattern = "TODO", severity = "MEDIUM", message = "finish it"}, {name = "no-sleep", call = "time.sleep", severity = "low", message = "do not wait"}]"#;
    let world = plain().with("ATELIER_FACTORY__SCAN_RULES", RULES);
    world.write(
        "tools/slow.py",
        "from time import sleep as wait\n\n\nasync def run(args, ctx):\n    wait(1)  # TODO: less\n",
    );
    let scan = ["factory", "scan", "tools", "--format", "json"];
    let found = world.run(&scan).await;
    assert_eq!((found.code, rules(&found)), (Some(0), vec!["no-sleep".into(), "no-todo".into()]));
    let found = world.run(&[&scan[..], &["--gate", "medium"]].concat()).await;
    assert_eq!(found.code, Some(1));
    let checked = world.run(&["config", "check"]).await;
    assert!(checked.stdout.contains("no-sleep"), "{checked:?}");

    // By file, with the gate; what a caller writes is judged by them.
    world.write(
        "atelier.toml",
        "[factory]\nscan_gate = \"low\"\n[[factory.scan_rules]]\nname = \"no-sleep\"\ncall = \"time.sleep\"\nseverity = \"low\"\nmessage = \"do not wait\"\n",
    );
    let file = world.folder().join("atelier.toml").to_string_lossy().into_owned();
    let strict = plain().with("ATELIER_CONFIG", file);
    let specs = json!({"tool_specs": [{
        "name": "nap", "description": "Waits.", "input_schema": {"type": "object"},
        "implementation": "import time\n\n\nasync def run(args, ctx):\n    time.sleep(1)\n    return 1",
    }]})
    .to_string();
    let refused = strict.run(&["call", "create_mcp_server", &specs]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(refused.json()["code"], "factory_scan_blocked", "{refused:?}");
    assert!(refused.json()["message"].as_str().unwrap().contains("no-sleep"), "{refused:?}");
    let let_through = plain().run(&["call", "create_mcp_server", &specs]).await;
    assert_eq!(let_through.code, Some(0), "{let_through:?}");

    for (rule, words) in [
        (
            r#"[{name = "x", pattern = "(", severity = "low", message = "m"}]"#,
            "no regular expression",
        ),
        (r#"[{name = "x", pattern = "a", severity = "worst", message = "m"}]"#, "no severity"),
        (r#"[{name = "x", severity = "low", message = "m"}]"#, "either `pattern` or `call`"),
    ] {
        let wrong = plain().with("ATELIER_FACTORY__SCAN_RULES", rule);
        for command in [&["config", "check"][..], &["factory", "scan", "."], &["tools"]] {
            let refused = wrong.run(command).await;
            assert_eq!(refused.code, Some(1), "{refused:?}");
            let said = &refused.stderr;
            assert!(
                said.contains("factory.scan_rules") && said.contains(words),
                "{command:?}: {said}"
            );
        }
    }
}

#[tokio::test]
async fn a_package_is_made_scanned_and_tested_where_it_lies() {
    let world = plain();
    world.write("specs/trips.yaml", &document("https://trips.example.com"));
    let made = world
        .run(&["factory", "from-openapi", "specs/trips.yaml", "--output", "out", "--name", "trips"])
        .await;
    assert_eq!(made.code, Some(0), "the folder that is named is allowed: {made:?}");
    let package = world.folder().join("out/trips");
    let path = package.to_string_lossy().into_owned();
    assert!(package.join("server.py").is_file());
    let scanned = world.run(&["factory", "scan", &path, "--gate", "low"]).await;
    assert_eq!(scanned.code, Some(0), "our own runtime is not judged: {scanned:?}");
    let tested = world.run(&["factory", "test", &path]).await;
    assert_eq!(tested.code, Some(0), "{tested:?}");
    assert!(tested.stdout.contains("server: trips") && tested.stdout.contains("proven: tested"));

    // A case that does not hold.
    let cases = package.join("tests/cases.json");
    let text = std::fs::read_to_string(&cases).unwrap();
    std::fs::write(&cases, text.replacen("\"GET\"", "\"PUT\"", 1)).unwrap();
    let failed = world.run(&["factory", "test", &path, "--json"]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    let result = failed.json();
    assert!(result["self_test"]["failed"].as_u64().unwrap() > 0, "{result:#}");
    assert!(result["self_test"]["problems"].to_string().contains("method"), "{result:#}");
    std::fs::write(&cases, text).unwrap();

    // A program that is not ours any more is code of somebody: it runs behind the fences, and gets at
    // nothing beside the package; where the operator does without fences, it does.
    let server = package.join("runtime/http.py");
    let ours = std::fs::read_to_string(&server).unwrap();
    let trace = world.folder().join("trace");
    let code = format!(
        "\ntry:\n    open({:?}, 'w').close()\nexcept OSError:\n    pass\n",
        trace.to_string_lossy()
    );
    std::fs::write(&server, format!("{ours}{code}")).unwrap();
    let tested = world.run(&["factory", "test", &path]).await;
    assert!(tested.stdout.contains("proven: tested"), "{tested:?}");
    assert!(!trace.exists(), "code of a package left the sandbox");
    let open = plain().with("ATELIER_FACTORY__UNSANDBOXED", "true");
    let tested = open.run(&["factory", "test", &path]).await;
    assert!(tested.stdout.contains("proven: tested"), "{tested:?}");
    assert!(trace.exists(), "the same code leaves a trace where nothing is in its way");
    std::fs::write(&server, &ours).unwrap();
    let none = world.run(&["factory", "test", "specs"]).await;
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("holds no made server"), "{none:?}");
}

#[tokio::test]
async fn the_folder_of_a_database_that_is_named_is_allowed() {
    let world = plain();
    world.write("data/readme.txt", "");
    let file = world.folder().join("data/shop.db");
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    for given in ["data/shop.db", "sqlite:data/shop.db"] {
        let made = world.run(&["factory", "from-database", given]).await;
        assert_eq!(made.code, Some(0), "{given}: {made:?}");
        assert_eq!(made.json()["self_test"]["level"], "tested");
    }
    // Over MCP the same file is not: nobody at a terminal has named it.
    let arguments = json!({"database_url": file}).to_string();
    let refused = world.run(&["call", "create_mcp_server", &arguments]).await;
    let refused: Value = refused.json();
    assert_eq!(refused["code"], "factory_not_allowed", "{refused:#}");
}
