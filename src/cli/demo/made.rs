//! The demo's MCP servers: one from a description of an API, one from a database. Each is made,
//! proven, started and called; where there is no Python for them, the demo says so and goes on.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tokio_util::sync::CancellationToken;

use super::super::{CommandError, tools};
use super::Made;
use super::client::Client;
use super::costs_api::CostsApi;
use crate::app::App;

/// The folder of the database, below the data folder.
pub(super) const FOLDER: &str = "demo/servers";

/// Names of the two.
const OF_API: &str = "costs_api";
const OF_DATABASE: &str = "trips_database";

const DOCUMENT: &str = include_str!("../../../examples/demo/servers/costs_api.yaml");
const SCHEMA: &str = include_str!("../../../examples/demo/servers/trips.sql");

/// A server of the API that the demo serves itself.
pub(super) async fn of_api(client: &Client, api: &CostsApi) -> Result<Made, CommandError> {
    let arguments = json!({
        "openapi": DOCUMENT,
        "name": OF_API,
        "options": {"base_url": api.base_url()},
    });
    let mut lines =
        vec![format!("from: examples/demo/servers/costs_api.yaml; its API: {}", api.base_url())];
    if let Some(server) = made(client, arguments, &mut lines).await? {
        let added = json!({"body": {"what": "Pastel de nata", "paid_by": "Ana", "amount": 4.2, "kind": "food"}});
        called(client, &server, "addExpense", added, &mut lines).await?;
        let listed = called(client, &server, "listExpenses", json!({"kind": ["food"]}), &mut lines);
        let expenses = listed.await?;
        let expenses = expenses.get("data").and_then(Value::as_array).map(Vec::as_slice);
        let expenses = expenses.unwrap_or_default();
        let total: f64 =
            expenses.iter().filter_map(|one| one.get("amount").and_then(Value::as_f64)).sum();
        lines.push(format!("answer: {} expenses for food, {total:.2} € in all", expenses.len()));
    }
    Ok(Made { lines, picture: None })
}

/// A server of a SQLite database that the demo puts down first. A second demo finds it there.
pub(super) async fn of_database(client: &Client, data_dir: &Path) -> Result<Made, CommandError> {
    let folder = data_dir.join(FOLDER);
    tokio::fs::create_dir_all(&folder).await?;
    let file = tokio::fs::canonicalize(&folder).await?.join("trips.db");
    if !tokio::fs::try_exists(&file).await? {
        put_down(&file).await.map_err(|error| {
            CommandError::failed(format!("`{}` cannot be made: {error}", file.display()))
        })?;
    }
    let arguments = json!({"database_url": file, "name": OF_DATABASE});
    let mut lines = vec![format!("from: {}", file.display())];
    if let Some(server) = made(client, arguments, &mut lines).await? {
        let paid = called(client, &server, "list_paid", json!({}), &mut lines);
        let paid = paid.await?;
        let rows = paid.get("rows").and_then(Value::as_array).map(Vec::as_slice);
        let rows: Vec<String> = rows
            .unwrap_or_default()
            .iter()
            .map(|row| {
                let name = row.get("name").and_then(Value::as_str).unwrap_or_default();
                let cents = row.get("cents").and_then(Value::as_f64).unwrap_or_default();
                format!("{name} {:.2} €", cents / 100.0)
            })
            .collect();
        lines.push(format!("answer: {}", rows.join(", ")));
    }
    Ok(Made { lines, picture: None })
}

/// Stops what was started: the API ends with the demo, and what stays started would stand in the
/// catalog of every later session.
pub(super) async fn leave(app: &Arc<App>) {
    for name in [OF_API, OF_DATABASE] {
        let context = tools::context(app, CancellationToken::new());
        let stop = json!({"server_name": name});
        let outcome = app.registry.call("stop_mcp_server", stop, context).await;
        if outcome.is_error {
            tracing::debug!(server = name, "the demo's server was not stopped");
        }
    }
}

/// Makes and starts a server; its name in the catalog, or why it does not run, as a line.
async fn made(
    client: &Client,
    arguments: Value,
    lines: &mut Vec<String>,
) -> Result<Option<String>, CommandError> {
    let made = client.finish("create_mcp_server", arguments, "").await?.result;
    let field = |name: &str| made.get(name).and_then(Value::as_str).unwrap_or_default();
    let tested = made.get("self_test").unwrap_or(&Value::Null);
    let number = |name: &str| tested.get(name).and_then(Value::as_u64).unwrap_or_default();
    lines.push(format!("done: {}", field("message")));
    lines.push(format!("package: {}", field("path")));
    let level = tested.get("level").and_then(Value::as_str).unwrap_or_default();
    if level != "tested" {
        lines.push(
            "not started: there is no Python environment for made servers here; `atelier doctor` says what is missing"
                .to_owned(),
        );
        return Ok(None);
    }
    lines.push(format!("proven: {} checks passed, {} failed", number("passed"), number("failed")));
    let start = json!({"server_name": field("server_name")});
    match client.finish("start_mcp_server", start, "").await {
        Ok(started) => {
            let text = |name: &str| started.result.get(name).and_then(Value::as_str);
            let name = text("catalog_name").unwrap_or_default().to_owned();
            let isolation = text("isolation").unwrap_or_default();
            lines.push(format!("started: `{name}` in the catalog, isolation: {isolation}"));
            Ok(Some(name))
        }
        // What this machine cannot do is no reason to end the demo.
        Err(CommandError::Tool { message, hint, .. }) => {
            lines.push(format!("not started: {message} ({hint})"));
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

/// Calls a tool of a started server as any client does.
async fn called(
    client: &Client,
    server: &str,
    tool: &str,
    arguments: Value,
    lines: &mut Vec<String>,
) -> Result<Value, CommandError> {
    let name = format!("{server}__{tool}");
    let call = json!({"name": name, "arguments": arguments});
    let answered = client.finish("call_tool", call, "").await?.result;
    lines.push(format!("called: {name} {arguments}"));
    Ok(answered.get("result").cloned().unwrap_or_default())
}

async fn put_down(file: &Path) -> Result<(), sqlx::Error> {
    // Whole or not at all: a demo that was stopped in between must not leave half of it.
    let part = file.with_extension("part");
    let _ = tokio::fs::remove_file(&part).await;
    let options = SqliteConnectOptions::new().filename(&part).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await?;
    sqlx::raw_sql(SCHEMA).execute(&pool).await?;
    pool.close().await;
    tokio::fs::rename(&part, file).await.map_err(sqlx::Error::Io)
}
