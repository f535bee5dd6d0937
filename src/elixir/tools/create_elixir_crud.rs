//! `create_elixir_crud`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::GENERATE;
use super::output::GeneratedOutput;
use crate::elixir::Elixir;
use crate::elixir::service::{Check, Generate, Mode, Scope};
use crate::registry::{Tool, Toolset};

const DESCRIPTION: &str = "Adds a resource to a Phoenix or Ecto project in one call: Ecto schema, migration, context, fixtures and tests, and with the layer `json` a JSON API with its route. Give `schema_definition`, or say in `description` what the resource is. The project is read first and its conventions are kept; files that exist are edited in place. The same call with a changed definition alters the resource, the same call twice changes nothing, `dry_run` shows what would happen, and `undo_elixir_change` takes the last change back. Elixir need not be installed.";

/// Arguments of `create_elixir_crud`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Params {
    /// The resource; without it `description` says what it is. It has: `module_name` (such as `User` or `Accounts.User`) and `fields`, a list of
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
    /// The resource in words; a model turns them into the definition.
    #[serde(default)]
    description: Option<String>,
    /// Model that writes the definition. `auto` takes whatever is configured or at hand; `host` asks
    /// you to write it.
    #[serde(default = "default_model")]
    model: String,
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

fn default_model() -> String {
    "auto".to_owned()
}

/// The tool.
pub(crate) fn tool(elixir: &Arc<Elixir>) -> Tool {
    let elixir = Arc::clone(elixir);
    Tool::builder("create_elixir_crud", "Create Phoenix CRUD", Toolset::Elixir)
        .description(DESCRIPTION)
        .annotations(GENERATE)
        .closed_to_code()
        .job(move |run, params: Params| {
            let elixir = Arc::clone(&elixir);
            async move {
                let call = Generate {
                    scope: Scope::Crud,
                    definition: params
                        .schema_definition
                        .map(Value::Object)
                        .or(params.structured_schema_json),
                    description: params.description,
                    project: params.target_project_path,
                    mode: if params.dry_run { Mode::DryRun } else { Mode::Write },
                    check: if params.verify { Check::Verify } else { Check::Trust },
                    model: params.model,
                };
                let (generated, written) = elixir.generate(&run, call).await?;
                Ok(GeneratedOutput::new(generated, written))
            }
        })
}
