//! The definitions of the matrix on the real Ecto, Phoenix and PostgreSQL.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::{Forge, copy, fixtures};
use crate::databases::postgres::Postgres;

/// Folder that holds one folder with the sources of each library.
const SOURCES: &str = "ATELIER_TEST_ELIXIR_SOURCES";
/// Projects of one run of Elixir: each keeps connections open until its tests have run.
const TOGETHER: usize = 12;

#[tokio::test]
#[ignore = "needs the sources of Ecto and Phoenix in ATELIER_TEST_ELIXIR_SOURCES"]
async fn every_definition_holds_on_the_real_libraries() {
    let sources = std::env::var_os(SOURCES)
        .map_or_else(|| panic!("{SOURCES} names no folder"), PathBuf::from);
    let scripts = fixtures().join("real");
    let forge = Forge::new().await;
    let build = forge.folder().join("libraries");
    let compiled =
        elixir(&build, &scripts.join("libraries.exs"), &[sources.as_path(), build.as_path()]);
    assert!(compiled.status.success(), "{}", said(&compiled));

    let text = std::fs::read_to_string(fixtures().join("matrix.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut projects = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let root = super::matrix::project(&forge, number, case);
        furnish(&forge, &root, number, case);
        for definition in case["calls"].as_array().unwrap() {
            let reply = forge.crud(&root, definition.clone()).await;
            assert_eq!(reply.text("status"), "success", "{}: {reply:?}", case["name"]);
        }
        projects.push(root);
    }

    let postgres = Postgres::start().await;
    let server = PathBuf::from(postgres.administration());
    let mut complaints = String::new();
    for some in projects.chunks(TOGETHER) {
        let mut arguments = vec![sources.as_path(), build.as_path(), server.as_path()];
        arguments.extend(some.iter().map(PathBuf::as_path));
        let output = elixir(&build, &scripts.join("check.exs"), &arguments);
        let text = said(&output);
        assert!(text.contains("projects: "), "the check did not come to its end:\n{text}");
        println!("{}", text.lines().rev().take(2).collect::<Vec<_>>().join("\n"));
        if !output.status.success() {
            complaints.push_str(&text);
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

/// Puts what a web application has beside its generated part into a project.
fn furnish(forge: &Forge, root: &Path, number: usize, case: &Value) {
    let (app, base) = (format!("my_app{number}"), format!("MyApp{number}"));
    let parts = fixtures().join("real/app");
    if case["umbrella"] == true {
        let (own, web) =
            (root.join("apps").join(&app), root.join("apps").join(format!("{app}_web")));
        copy(&parts.join("lib"), &web.join("lib"), &app, &base);
        let support = forge.folder().join("support");
        copy(&parts.join("test/support"), &support, &app, &base);
        for (folder, file) in [(own, "data_case.ex"), (web, "conn_case.ex")] {
            std::fs::copy(support.join(file), folder.join("test/support").join(file)).unwrap();
        }
    } else {
        copy(&parts, root, &app, &base);
    }
    if case["scoped"] == true {
        copy(&fixtures().join("real/scoped"), root, &app, &base);
        // The schema that the project has from elsewhere is not what is judged.
        std::fs::write(root.join(".by_hand"), "Accounts.User").unwrap();
    }
}

fn elixir(build: &Path, script: &Path, arguments: &[&Path]) -> Output {
    Command::new("elixir")
        .arg("-pa")
        .arg(build.join("*/ebin"))
        .arg(script)
        .args(arguments)
        .output()
        .expect("elixir is not installed: scripts/install-packages.sh test")
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
