//! The JSON API of a plan.

use serde_json::Value;

use super::work::Work;
use crate::elixir::edit::{RouteChange, add_map_keys, add_route, function_span};
use crate::elixir::error::ElixirError;
use crate::elixir::project::Project;
use crate::elixir::render::{Template, render, squeezed_block};
use crate::elixir::resource::Resource;

/// Controller, views, their tests and the route.
pub(super) fn json(
    work: &mut Work<'_>,
    resource: &Resource,
    project: &Project,
    view: &Value,
    notes: &mut Vec<String>,
) -> Result<(), ElixirError> {
    let Some(web) = &project.web else { return Ok(()) };
    let names = &resource.names;
    if resource.key.composite {
        return Err(ElixirError::definition(
            "layers",
            "the layer `json` needs a primary key of one field",
            "leave `json` out, or use the usual key with a unique index",
        ));
    }
    let controllers = format!("{}/controllers", web.folder);
    let tests = format!("{}/controllers", web.test_folder);
    let singular = &names.singular;
    let files = [
        (format!("{controllers}/{singular}_controller.ex"), Template::Controller),
        (format!("{controllers}/{singular}_json.ex"), Template::Json),
        (format!("{controllers}/changeset_json.ex"), Template::ChangesetJson),
        (format!("{controllers}/fallback_controller.ex"), Template::FallbackController),
        (format!("{tests}/{singular}_controller_test.exs"), Template::ControllerTest),
    ];
    for (path, template) in files {
        match work.text(&path)? {
            None => work.create(&path, &squeezed_block(&render(template, view)?))?,
            // A view that is there learns of new fields; everything else is the user's.
            Some(text) if template == Template::Json => {
                let pairs = pairs_of(view);
                let module = format!("{}.{}JSON", web.module, names.alias);
                if let Some(span) = function_span(&path, &text, &module, "data")? {
                    let gone = renames(resource);
                    let edited =
                        add_map_keys(&path, &text, span, &|line| line.is_empty(), &pairs, &gone)?;
                    work.edit(&path, &edited)?;
                }
            }
            Some(_) => {}
        }
    }
    let prefix = project.generators.api_prefix.as_deref().unwrap_or("/api");
    let route = RouteChange {
        web: &web.module,
        prefix,
        path: &format!("/{}", names.plural),
        controller: &format!("{}Controller", names.alias),
    };
    if let Some(text) = work.text(&web.router)? {
        let edited = add_route(&web.router, &text, &route)?;
        work.edit(&web.router, &edited)?;
    }
    if let Some(scope) = &resource.scope {
        notes.push(format!(
            "the routes need a pipeline that assigns `{}`, since rows belong to the scope `{}`",
            scope.assign_key, scope.name
        ));
    }
    Ok(())
}

fn renames(resource: &Resource) -> Vec<(String, Option<String>)> {
    resource.renames.iter().map(|(old, new)| (old.clone(), Some(new.clone()))).collect()
}

fn pairs_of(view: &Value) -> Vec<(String, String)> {
    let text = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    view.get("json_fields")
        .and_then(Value::as_array)
        .map(|pairs| {
            pairs
                .iter()
                .map(|pair| {
                    (text(pair, "key").trim_end_matches([':', ' ']).to_owned(), text(pair, "value"))
                })
                .collect()
        })
        .unwrap_or_default()
}
