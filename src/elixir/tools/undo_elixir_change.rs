//! `undo_elixir_change`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elixir::Elixir;
use crate::jobs::ToolOutput;
use crate::registry::{Annotations, Tool, Toolset, structured};

const DESCRIPTION: &str = "Takes back what a call of the Elixir generators wrote: created files are removed, edited ones restored. Only while none of its files was changed since; otherwise nothing happens and the files are named. Without `call_id` the last change of the project is meant.";

const ANNOTATIONS: Annotations =
    Annotations { read_only: false, destructive: true, idempotent: false, open_world: false };

/// Arguments of `undo_elixir_change`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Params {
    /// The project whose last change is taken back.
    #[serde(default)]
    target_project_path: Option<String>,
    /// The `call_id` of the call that is taken back.
    #[serde(default)]
    call_id: Option<String>,
}

/// Result of `undo_elixir_change`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Output {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// The call that was taken back.
    undone_call_id: String,
    /// Its files.
    files: Vec<UndoneFile>,
}

/// A file.
#[derive(Debug, Serialize, JsonSchema)]
struct UndoneFile {
    /// Path relative to the project's folder.
    path: String,
    /// `removed` or `restored`.
    action: &'static str,
}

/// The tool.
pub(crate) fn tool(elixir: &Arc<Elixir>) -> Tool {
    let elixir = Arc::clone(elixir);
    Tool::builder("undo_elixir_change", "Undo a generated change", Toolset::Elixir)
        .description(DESCRIPTION)
        .annotations(ANNOTATIONS)
        .closed_to_code()
        .job(move |run, params: Params| {
            let elixir = Arc::clone(&elixir);
            async move {
                let undone =
                    elixir.undo(run.context(), params.target_project_path, params.call_id).await?;
                let message = format!("{} files are as they were before.", undone.files.len());
                Ok(Output {
                    status: "success",
                    message,
                    undone_call_id: undone.call_id,
                    files: undone
                        .files
                        .into_iter()
                        .map(|(path, action)| UndoneFile { path, action })
                        .collect(),
                })
            }
        })
}

impl From<Output> for ToolOutput {
    fn from(output: Output) -> Self {
        structured(&output)
    }
}
