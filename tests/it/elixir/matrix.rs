//! Every type, modifier, association, option and many of their pairs: generated, generated again, and
//! checked by Elixir itself against strict stand-ins for Ecto and Phoenix.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::{Forge, fixtures, tree};

/// Fewest definitions that the matrix has.
const LEAST: usize = 60;

#[tokio::test]
async fn every_definition_gives_code_that_elixir_takes() {
    let forge = Forge::new().await;
    let text = std::fs::read_to_string(fixtures().join("matrix.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= LEAST, "{}", cases.len());
    let mut projects = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let name = case["name"].as_str().unwrap();
        let root = project(&forge, number, case);
        for definition in case["calls"].as_array().unwrap() {
            let reply = forge.crud(&root, definition.clone()).await;
            assert_eq!(reply.text("status"), "success", "{name}: {reply:?}");
            let before = tree(&root);
            let again = forge.crud(&root, definition.clone()).await;
            assert_eq!(again.text("status"), "success", "{name}, again: {again:?}");
            assert_eq!(before, tree(&root), "{name}: the same call changed something");
        }
        projects.push(root);
    }
    let checked = elixir(&projects);
    assert!(checked.contains("tests: %{"), "the generated tests did not run:\n{checked}");
}

/// The project that a definition of the matrix is generated into.
pub(super) fn project(forge: &Forge, number: usize, case: &Value) -> PathBuf {
    let (app, base) = (format!("my_app{number}"), format!("MyApp{number}"));
    let fixture = if case["umbrella"] == true { "umbrella" } else { "my_app" };
    let root = forge.project(fixture, &app, &base);
    if case["scoped"] == true {
        super::copy(&fixtures().join("scoped"), &root, &app, &base);
    }
    if let Some(width) = case["width"].as_u64() {
        std::fs::write(root.join(".width"), width.to_string()).unwrap();
        let formatter = format!("[\n  line_length: {width},\n  inputs: [\"lib/**/*.ex\"]\n]\n");
        std::fs::write(root.join(".formatter.exs"), formatter).unwrap();
    }
    root
}

/// Runs the checker over projects; what it says.
#[track_caller]
fn elixir(projects: &[std::path::PathBuf]) -> String {
    let standins = fixtures().join("standins");
    let output = Command::new("elixir")
        .arg(standins.join("check.exs"))
        .arg(&standins)
        .args(projects)
        .output()
        .expect("elixir is not installed: scripts/install-packages.sh test");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test]
async fn the_checker_catches_what_is_wrong() {
    let forge = Forge::new().await;
    let author =
        json!({"module_name": "Accounts.Author", "fields": ["name:string", "email:string:unique"]});
    let post = json!({"module_name": "Blog.Post", "fields": ["title:string", "author_id:references:authors"]});
    // What is broken: file, text, replacement, and the complaint.
    let faults = [
        (
            "lib/APP/blog/post.ex",
            "    |> foreign_key_constraint(:author_id)\n",
            "",
            "is not declared",
        ),
        ("lib/APP/accounts/author.ex", "    |> unique_constraint(:email)\n", "", "is not declared"),
        ("lib/APP/blog/post.ex", "field :title, :string", "field :titel, :string", "has no column"),
        (
            "lib/APP/blog/post.ex",
            ":title, :author_id])\n    |> validate_required",
            ":titel, :author_id])\n    |> validate_required",
            "unknown field",
        ),
        (
            "lib/APP/accounts/author.ex",
            "field :name, :string",
            "field :name, :strin",
            "unknown type",
        ),
        ("lib/APP/blog.ex", "Repo.delete(post)", "Repo.delet(post)", "undefined"),
        (
            "lib/APP/blog.ex",
            "%Post{} = post, attrs)",
            "%Post{} = post,  attrs)",
            "is not formatted",
        ),
        ("lib/APP/blog.ex", "    |> Repo.update()\n", "", "right: %Ecto.Changeset{"),
        (
            "lib/APP/blog.ex",
            "    Repo.delete(post)\n",
            "    {:ok, post}\n",
            "Expected exception Ecto.NoResultsError",
        ),
        ("lib/APP/accounts.ex", "  def delete_author", "  def delete_autor", "undefined"),
    ];
    let mut projects = Vec::new();
    for (number, (file, from, to, _)) in faults.iter().enumerate() {
        let (app, base) = (format!("faulty{number}"), format!("Faulty{number}"));
        let root = forge.project("my_app", &app, &base);
        for definition in [&author, &post] {
            assert_eq!(forge.crud(&root, definition.clone()).await.text("status"), "success");
        }
        let path = root.join(file.replace("APP", &app));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} holds no {from:?}:\n{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        projects.push(root);
    }
    for (project, (file, _, to, complaint)) in projects.iter().zip(&faults) {
        let standins = fixtures().join("standins");
        let output = Command::new("elixir")
            .arg(standins.join("check.exs"))
            .arg(&standins)
            .arg(project)
            .output()
            .expect("elixir is not installed: scripts/install-packages.sh test");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!output.status.success(), "{file} with {to:?} went through:\n{said}");
        assert!(said.contains(complaint), "{file} with {to:?}: no {complaint:?} in\n{said}");
    }
}
