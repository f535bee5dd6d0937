//! A whole Phoenix slice against the least that any Mix task costs.
//!
//! `mix phx.gen.context` starts the Erlang VM and Mix, loads the project and compiles it when it
//! changed, before it writes its first file. Its packages are not fetched here, so the peer is what
//! it cannot do without: starting Elixir with Mix loaded.

use std::path::Path;
use std::process::Command as StdCommand;
use std::time::Instant;

use anyhow::Context as _;
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::TokioChildProcess;
use rmcp::{RoleClient, ServiceExt as _};
use serde_json::{Value, json};
use tokio::process::Command;

use super::Effort;
use super::process;
use super::report::Section;

/// Schema, migration, context, fixtures and tests, into a fresh copy of a project each time.
pub(super) async fn against_mix(
    root: &Path,
    binary: &Path,
    effort: Effort,
) -> anyhow::Result<Section> {
    let elixir = process::installed("elixir", "elixir")?;
    let folder = tempfile::tempdir()?;
    let projects = folder.path().join("projects");
    let mut command = Command::new(binary);
    command
        .args(["stdio", "--data-dir"])
        .arg(folder.path().join("data"))
        .env("ATELIER_LOG", "error")
        .env("ATELIER_ELIXIR__ALLOWED_ROOTS", &projects);
    let client = ().serve(TokioChildProcess::new(command)?).await?;
    let (mut ours, mut theirs, mut planned) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..=(effort.rounds * 8) {
        let project = projects.join(format!("app-{number}"));
        copy(&root.join("tests/fixtures/elixir/my_app"), &project)?;
        let mut arguments = json!({
            "dry_run": true,
            "target_project_path": project,
            "schema_definition": {
                "module_name": "Accounts.Person",
                "fields": [
                    {"name": "name", "type": "string"},
                    {"name": "email", "type": "string", "unique": true},
                    {"name": "age", "type": "integer"},
                    {"name": "state", "type": "enum", "values": ["new", "active"], "default": "new"},
                ],
                "context_options": {"pagination": true, "filters": true},
            },
        });
        let plan = generate(&client, &arguments).await?;
        if let Some(dry_run) = arguments.get_mut("dry_run") {
            *dry_run = false.into();
        }
        let time = generate(&client, &arguments).await?;
        let started = Instant::now();
        let status = StdCommand::new(&elixir)
            .args(["-e", "{:module, _} = Code.ensure_loaded(Mix)"])
            .status()?;
        anyhow::ensure!(status.success(), "elixir failed");
        // The first round warms both up.
        if number > 0 {
            ours.push(time);
            planned.push(plan);
            theirs.push(started.elapsed().as_secs_f64() * 1000.0);
        }
    }
    client.cancel().await?;
    Ok(Section {
        title: "Phoenix slice into an existing project".to_owned(),
        note: "Ours: `create_elixir_crud` over stdio, with the project read, every file written and the call stored. Theirs: Elixir started with Mix loaded, which `mix phx.gen.context` does before it reads the project, compiles what changed and writes.".to_owned(),
        unit: "ms",
        sides: vec![("Atelier".to_owned(), ours), ("start of Mix".to_owned(), theirs), ("Atelier, `dry_run`".to_owned(), planned)],
        larger_is_better: false,
    })
}

/// Milliseconds of one call.
async fn generate(
    client: &RunningService<RoleClient, ()>,
    arguments: &Value,
) -> anyhow::Result<f64> {
    let mut call = CallToolRequestParams::new("create_elixir_crud");
    call.arguments = arguments.as_object().cloned();
    let started = Instant::now();
    let result = client.call_tool(call).await?;
    let time = started.elapsed().as_secs_f64() * 1000.0;
    anyhow::ensure!(result.is_error != Some(true), "it failed: {result:?}");
    let made = result.structured_content.context("no result")?;
    let files = made.get("files").and_then(Value::as_array).map_or(0, Vec::len);
    anyhow::ensure!(files >= 5, "only {files} files");
    Ok(time)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
