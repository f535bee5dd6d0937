//! What the generators return.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::elixir::service::Generated;
use crate::elixir::verify::Verification;
use crate::jobs::ToolOutput;
use crate::llm::Outcome;
use crate::registry::structured;

/// Result of a generator.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct GeneratedOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// The main file: its whole path.
    file_path: String,
    /// Every file that the resource concerns.
    files: Vec<FileOutput>,
    /// The schema's module.
    schema_module: String,
    /// The context's module.
    context_module: String,
    /// The changes that a call without `dry_run` would make, as unified diffs.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
    /// What to know about the result: what was left as it is, what another side got.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// What the project's own tools said (`verify`).
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Verification>,
    /// The definition that was made from the description.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_definition: Option<Value>,
    /// Model that wrote the definition; null when you did.
    #[schemars(with = "Value")]
    model_used: Option<String>,
    /// How the model was reached: `api`, `sampling`, `local`, `command`, `host`, or `none` when the
    /// definition was given.
    llm_route: &'static str,
    /// Why another model than the requested one wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_note: Option<String>,
}

/// A file.
#[derive(Debug, Serialize, JsonSchema)]
struct FileOutput {
    /// Path relative to the project's folder.
    path: String,
    /// `created`, `updated` or `unchanged`.
    action: String,
}

impl GeneratedOutput {
    pub(super) fn new(generated: Generated, written: Option<(Value, Outcome)>) -> Self {
        let failed = generated
            .verification
            .as_ref()
            .is_some_and(|verification| verification.status != "passed");
        let message = message(&generated);
        let (definition, model_used, llm_route, model_note) = match written {
            Some((definition, outcome)) => {
                (Some(definition), outcome.model_used, outcome.route.as_str(), outcome.model_note)
            }
            None => (None, None, "none", None),
        };
        Self {
            status: if failed { "warning" } else { "success" },
            message,
            file_path: generated.main,
            files: generated
                .files
                .into_iter()
                .map(|(path, action)| FileOutput { path, action })
                .collect(),
            schema_module: generated.schema,
            context_module: generated.context,
            diff: generated.diff,
            notes: generated.notes,
            verification: generated.verification,
            schema_definition: definition,
            model_used,
            llm_route,
            model_note,
        }
    }
}

fn message(generated: &Generated) -> String {
    let count = |action: &str| generated.files.iter().filter(|(_, known)| known == action).count();
    let (created, updated) = (count("created"), count("updated"));
    let what = match (created, updated) {
        (0, 0) => "everything is there already, nothing changes".to_owned(),
        (created, 0) => format!("{created} files created"),
        (0, updated) => format!("{updated} files updated"),
        (created, updated) => format!("{created} files created, {updated} updated"),
    };
    let migrates = generated
        .files
        .iter()
        .any(|(path, action)| action == "created" && path.contains("/migrations/2"));
    let dry = if generated.diff.is_some() { "Dry run, nothing was written: " } else { "" };
    let next = if migrates { " Next: `mix ecto.migrate`, then `mix test`." } else { "" };
    let verified = generated
        .verification
        .as_ref()
        .map(|verification| format!(" Verification: {}.", verification.status))
        .unwrap_or_default();
    format!("{dry}{}: {what}.{next}{verified}", generated.schema)
}

impl From<GeneratedOutput> for ToolOutput {
    fn from(output: GeneratedOutput) -> Self {
        structured(&output)
    }
}
