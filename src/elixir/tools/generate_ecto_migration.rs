//! `generate_ecto_migration`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::GENERATE;
use super::output::GeneratedOutput;
use crate::elixir::Elixir;
use crate::elixir::service::{Check, Generate, Mode, Scope};
use crate::registry::{Tool, Toolset};

const DESCRIPTION: &str = "Writes the migration that a resource needs in a Phoenix or Ecto project: it creates the table with its references, indexes and constraints, or alters it when the project's migrations have it already and the definition changed. Every step can be rolled back; when the tables already agree, nothing is written.";

/// Arguments of `generate_ecto_migration`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Params {
    /// The resource: `module_name` (such as `User` or `Accounts.User`) and `fields`, a list of
    /// `{name, type}` or of short forms such as `email:string:unique`. Types: string, text, citext,
    /// integer, bigint, float, decimal, boolean, binary, date, time, naive_datetime, utc_datetime
    /// (each time type also with `_usec`), uuid, binary_id, map, enum (with `values`), array (with
    /// `items`), references (with `references`: a table). Options of a field: required, null,
    /// default, unique, index, redact, virtual, size, precision, scale, source, comment, length,
    /// format, number, inclusion, exclusion, subset, confirmation, acceptance. Further keys:
    /// context, plural, table, layout, app, repo, prefix, primary_key, binary_id, timestamps,
    /// associations (kind, name, target, required, on_delete, inverse), embeds, indexes,
    /// constraints, scope, context_options (pagination, filters, soft_delete, upsert, preloads),
    /// layers, renames, allow_drop. The same JSON as a text is accepted too.
    #[serde(default)]
    schema_definition: Option<Map<String, Value>>,
    /// Absolute path of the project's folder, the one that holds `mix.exs`. It must lie in
    /// `elixir.allowed_roots`.
    target_project_path: String,
    /// Show what would change, as diffs, and write nothing.
    #[serde(default)]
    dry_run: bool,
    /// Afterwards run the project's `mix compile --warnings-as-errors` and `mix format
    /// --check-formatted` and report. This executes the project's code.
    #[serde(default)]
    verify: bool,
    /// Another name of `schema_definition`, as an object or as JSON text.
    #[serde(default)]
    #[schemars(skip)]
    structured_schema_json: Option<Value>,
}

/// The tool.
pub(crate) fn tool(elixir: &Arc<Elixir>) -> Tool {
    let elixir = Arc::clone(elixir);
    Tool::builder("generate_ecto_migration", "Generate an Ecto migration", Toolset::Elixir)
        .description(DESCRIPTION)
        .annotations(GENERATE)
        .closed_to_code()
        .job(move |run, params: Params| {
            let elixir = Arc::clone(&elixir);
            async move {
                let call = Generate {
                    scope: Scope::Migration,
                    definition: params
                        .schema_definition
                        .map(Value::Object)
                        .or(params.structured_schema_json),
                    description: None,
                    project: params.target_project_path,
                    mode: if params.dry_run { Mode::DryRun } else { Mode::Write },
                    check: if params.verify { Check::Verify } else { Check::Trust },
                    model: String::new(),
                };
                let (generated, written) = elixir.generate(&run, call).await?;
                Ok(GeneratedOutput::new(generated, written))
            }
        })
}
