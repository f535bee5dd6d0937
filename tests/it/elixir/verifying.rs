//! `verify: true` with the real `mix`, on a project whose dependency is a folder beside it.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Forge, fixtures};
use crate::support::studio::Reply;

/// Where the libraries lie that a project gets from the network elsewhere: one folder that stands in
/// for all of them.
const MIX: &str = r#"defmodule EctoSQL.MixProject do
  use Mix.Project

  def project, do: [app: :ecto_sql, version: "3.13.0", deps: []]
end
"#;

const EXPORTS: &str = "locals = [field: :*, belongs_to: :*, has_many: :*, timestamps: 1, add: :*, create: :*, from: 2]
locals = locals ++ [plug: :*, pipe_through: :*, get: :*, scope: :*]
[export: [locals_without_parens: locals]]
";

/// A project that `mix` can compile without the network.
fn project(forge: &Forge) -> PathBuf {
    let root = forge.my_app();
    let standins = forge.folder().join("projects/ecto_sql");
    std::fs::create_dir_all(standins.join("lib")).unwrap();
    for file in std::fs::read_dir(fixtures().join("standins")).unwrap() {
        let file = file.unwrap();
        if file.path().extension().is_some_and(|extension| extension == "ex") {
            std::fs::copy(file.path(), standins.join("lib").join(file.file_name())).unwrap();
        }
    }
    std::fs::write(standins.join("mix.exs"), MIX).unwrap();
    std::fs::write(standins.join(".formatter.exs"), EXPORTS).unwrap();
    let mix = root.join("mix.exs");
    let text = std::fs::read_to_string(&mix).unwrap();
    let begin = text.find("      {:phoenix,").unwrap();
    let end = text.find("    ]\n  end\nend").unwrap();
    let text =
        format!("{}      {{:ecto_sql, path: \"../ecto_sql\"}}\n{}", &text[..begin], &text[end..]);
    std::fs::write(root.join("config/test.exs"), "import Config\n").unwrap();
    // Nothing is started: there is no database.
    let text = text.replace("      mod: {MyApp.Application, []},\n", "");
    std::fs::write(mix, text).unwrap();
    std::fs::write(
        root.join(".formatter.exs"),
        "[\n  import_deps: [:ecto_sql],\n  inputs: [\"{config,lib,priv,test}/**/*.{ex,exs}\"]\n]\n",
    )
    .unwrap();
    root
}

async fn verified(forge: &Forge, root: &Path) -> Reply {
    let definition = json!({"module_name": "Accounts.User", "fields": [
        {"name": "name", "type": "string"}, {"name": "email", "type": "string"},
        {"name": "age", "type": "integer"},
    ]});
    let arguments = json!({
        "schema_definition": definition, "target_project_path": root, "verify": true,
    });
    forge.call("create_elixir_crud", arguments).await
}

#[tokio::test]
async fn the_project_s_own_tools_judge_what_was_written() {
    let forge = Forge::new().await;
    let root = project(&forge);
    let reply = verified(&forge, &root).await;
    assert_eq!(reply.text("status"), "success", "{reply:?}");
    let verification = reply.field("verification");
    assert_eq!(verification["status"], "passed", "{verification:#}");
    let commands = verification["commands"].as_array().unwrap();
    assert_eq!(commands[0]["command"], "mix compile --warnings-as-errors");
    let said = commands[0]["output"].as_str().unwrap();
    assert!(said.contains("Generated my_app app"), "{said}");
    let formatted = commands[1]["command"].as_str().unwrap();
    assert!(formatted.starts_with("mix format --check-formatted lib/my_app/"), "{formatted}");
    // It was compiled, not only looked at.
    assert!(root.join("_build/test/lib/my_app/ebin/Elixir.MyApp.Accounts.User.beam").exists());

    // A project that does not compile says so, in its own words; what was written stays.
    std::fs::write(
        root.join("lib/my_app/broken.ex"),
        "defmodule MyApp.Broken do\n  def x, do: y\nend\n",
    )
    .unwrap();
    let reply = verified(&forge, &root).await;
    assert_eq!(reply.text("status"), "warning", "{reply:?}");
    let verification = reply.field("verification");
    assert_eq!(verification["status"], "failed", "{verification:#}");
    let commands = verification["commands"].as_array().unwrap();
    assert_eq!(commands.len(), 1, "nothing more is asked of what does not compile");
    let said = commands[0]["output"].as_str().unwrap();
    assert!(said.contains("lib/my_app/broken.ex"), "{said}");
    assert!(root.join("lib/my_app/accounts/user.ex").exists());
}
