//! The demo's Phoenix slice, into a small project that it puts down first.

use std::path::Path;

use serde_json::{Value, json};

use super::super::CommandError;
use super::Made;
use super::client::Client;

/// The project's folder, below the data folder.
pub(super) const FOLDER: &str = "demo/trips";

const FILES: [(&str, &str); 3] = [
    ("mix.exs", include_str!("../../../examples/demo/phoenix/mix.exs")),
    ("lib/trips/repo.ex", include_str!("../../../examples/demo/phoenix/lib/trips/repo.ex")),
    ("config/config.exs", include_str!("../../../examples/demo/phoenix/config/config.exs")),
];

/// Adds a resource to the project. A second demo finds it there and changes nothing.
pub(super) async fn make(client: &Client, data_dir: &Path) -> Result<Made, CommandError> {
    let project = data_dir.join(FOLDER);
    for (name, text) in FILES {
        let path = project.join(name);
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        if !tokio::fs::try_exists(&path).await? {
            tokio::fs::write(&path, text).await?;
        }
    }
    let project = tokio::fs::canonicalize(&project).await?;
    let arguments = json!({
        "target_project_path": project,
        "schema_definition": {
            "module_name": "Costs.Expense",
            "fields": [
                {"name": "what", "type": "string"},
                {"name": "paid_by", "type": "string"},
                {"name": "amount", "type": "decimal", "precision": 10, "scale": 2},
                {"name": "kind", "type": "enum", "values": ["flat", "food", "car", "other"], "default": "other"},
                {"name": "paid_on", "type": "date"},
            ],
            "context_options": {"pagination": true, "filters": true},
        },
    });
    let finished = client.finish("create_elixir_crud", arguments, "").await?;
    let field = |name: &str| finished.result.get(name).unwrap_or(&Value::Null);
    let mut lines = vec![
        format!("project: {}", project.display()),
        format!("done: {}", field("message").as_str().unwrap_or_default()),
    ];
    for file in field("files").as_array().map(Vec::as_slice).unwrap_or_default() {
        let text = |name: &str| file.get(name).and_then(Value::as_str).unwrap_or_default();
        lines.push(format!("{}: {}", text("action"), text("path")));
    }
    Ok(Made { lines, picture: None })
}
