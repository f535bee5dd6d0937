//! Schema, context, fixtures and tests of a plan.

use std::fmt::Write as _;

use serde_json::Value;

use super::alter::Difference;
use super::work::Work;
use crate::elixir::definition::FieldType;
use crate::elixir::edit::{
    SchemaChange, add_assertions, add_map_keys, edit_schema, ensure_alias, ensure_line,
    insert_functions, read_source,
};
use crate::elixir::error::{ElixirError, Refusal};
use crate::elixir::project::Project;
use crate::elixir::project::modules::modules;
use crate::elixir::render::schema::{schema_file, schema_parts};
use crate::elixir::render::view::embed_attributes;
use crate::elixir::render::{Function, Template, functions, render, sample};
use crate::elixir::resource::Resource;

/// The schema: a new file, or an existing one edited.
pub(super) fn schema(
    work: &mut Work<'_>,
    resource: &Resource,
    difference: &Difference,
    notes: &mut Vec<String>,
) -> Result<(), ElixirError> {
    let parts = schema_parts(resource);
    let path = &resource.paths.schema;
    let Some(text) = work.text(path)? else {
        return work.create(path, &schema_file(resource, &parts));
    };
    holds(path, &text, &resource.names.schema)?;
    let change = SchemaChange {
        renames: resource.renames.clone(),
        dropped: difference.dropped.clone(),
        known: resource.cast_names().iter().map(|name| (*name).to_owned()).collect(),
    };
    let (edited, left) = edit_schema(path, &text, &resource.names.schema, &parts, &change)?;
    notes.extend(left);
    work.edit(path, &edited)
}

/// Refuses a file that is there and is about something else.
fn holds(path: &str, text: &str, module: &str) -> Result<(), ElixirError> {
    let parsed = read_source(path, text)?;
    if modules(&parsed).iter().any(|known| known.name == module) {
        return Ok(());
    }
    Err(ElixirError::refused(
        Refusal::NameTaken,
        format!("`{path}` is there and holds no module `{module}`"),
        "rename that file, or choose another `module_name` or `context`",
    ))
}

/// The context: a new module, or functions put into the one that is there.
pub(super) fn context(
    work: &mut Work<'_>,
    resource: &Resource,
    project: &Project,
    view: &Value,
    notes: &mut Vec<String>,
) -> Result<(), ElixirError> {
    let names = &resource.names;
    if work.peek(&resource.paths.schema)?.is_none() {
        return Err(ElixirError::refused(
            Refusal::TargetMissing,
            format!("the context needs the schema `{}`, which is not there", names.schema),
            "generate the schema first, or use `create_elixir_crud`, which makes both",
        ));
    }
    let wanted = functions(&render(Template::Context, view)?);
    let path = &resource.paths.context;
    let aliases: Vec<String> =
        [Some(names.schema.clone()), resource.scope.as_ref().map(|scope| scope.module.clone())]
            .into_iter()
            .flatten()
            .collect();
    let _ = project;
    let Some(mut text) = work.text(path)? else {
        let mut out = format!(
            "defmodule {} do\n  @moduledoc \"\"\"\n  The {} context.\n  \"\"\"\n\n  import Ecto.Query, warn: false\n  alias {}\n\n",
            names.context, names.context_alias, names.repo
        );
        for alias in &aliases {
            let _ = writeln!(out, "  alias {alias}");
        }
        out.push('\n');
        out.push_str(&joined(&wanted));
        out.push_str("end\n");
        return work.create(path, &out);
    };
    let (edited, skipped) = insert_functions(path, &text, &names.context, &wanted)?;
    let changed = edited != text;
    text = edited;
    if changed {
        text = ensure_line(
            path,
            &text,
            &names.context,
            "import Ecto.Query, warn: false",
            "Ecto.Query",
        )?;
        text = ensure_alias(path, &text, &names.context, &names.repo)?;
        for alias in &aliases {
            text = ensure_alias(path, &text, &names.context, alias)?;
        }
        if !skipped.is_empty() {
            notes.push(format!(
                "`{}` has {} already, left as they are",
                names.context,
                skipped.join(", ")
            ));
        }
    }
    work.edit(path, &text)
}

fn joined(functions: &[Function]) -> String {
    functions.iter().map(|function| function.code.as_str()).collect::<Vec<_>>().join("\n")
}

/// Attributes that an altered resource adds, and those that go or get another name.
fn attribute_changes(
    resource: &Resource,
    difference: &Difference,
) -> Vec<(String, Option<String>)> {
    let renamed = resource.renames.iter().map(|(old, new)| (old.clone(), Some(new.clone())));
    let dropped = difference.dropped.iter().map(|name| (name.clone(), None));
    renamed.chain(dropped).collect()
}

/// The values of a view's `fixture_attrs`.
fn fixture_pairs(view: &Value) -> Vec<(String, String)> {
    let text = |value: &Value, key: &str| {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .trim_end_matches([':', ' '])
            .to_owned()
    };
    view.get("fixture_attrs")
        .and_then(Value::as_array)
        .map(|pairs| {
            pairs
                .iter()
                .map(|pair| {
                    (
                        text(pair, "key"),
                        pair.get("value").and_then(Value::as_str).unwrap_or_default().to_owned(),
                    )
                })
                .collect()
        })
        .unwrap_or_default()
}

/// The fixtures.
pub(super) fn fixtures(
    work: &mut Work<'_>,
    resource: &Resource,
    view: &Value,
    difference: &Difference,
) -> Result<(), ElixirError> {
    let names = &resource.names;
    let wanted = functions(&render(Template::Fixtures, view)?);
    let path = &resource.paths.fixtures;
    let Some(text) = work.text(path)? else {
        let out = format!(
            "defmodule {} do\n  @moduledoc \"\"\"\n  This module defines test helpers for creating\n  entities via the `{}` context.\n  \"\"\"\n\n{}end\n",
            names.fixtures,
            names.context,
            joined(&wanted)
        );
        return work.create(path, &out);
    };
    let (edited, skipped) = insert_functions(path, &text, &names.fixtures, &wanted)?;
    let fixture = format!("{}_fixture", names.singular);
    if !skipped.iter().any(|name| name.starts_with(&fixture)) {
        return work.edit(path, &edited);
    }
    let span = crate::elixir::edit::function_span(path, &edited, &names.fixtures, &fixture)?;
    let edited = match span {
        Some(span) => add_map_keys(
            path,
            &edited,
            span,
            &|line| line.ends_with("Enum.into(") || line.ends_with("Enum.into(attrs,"),
            &fixture_pairs(view),
            &attribute_changes(resource, difference),
        )?,
        None => edited,
    };
    work.edit(path, &edited)
}

/// The context's tests.
pub(super) fn tests(
    work: &mut Work<'_>,
    resource: &Resource,
    view: &Value,
    difference: &Difference,
) -> Result<(), ElixirError> {
    let names = &resource.names;
    let rendered = render(Template::ContextTest, view)?;
    let block = crate::elixir::render::squeezed_block(&format!("  {}", rendered.trim_start()));
    let path = &resource.paths.test;
    let module = format!("{}Test", names.context);
    let Some(text) = work.text(path)? else {
        let out = format!(
            "defmodule {module} do\n  use {}.DataCase\n\n  alias {}\n\n{block}end\n",
            names.base, names.context
        );
        return work.create(path, &out);
    };
    let describe = format!("describe \"{}\" do", names.plural);
    if !text.contains(&describe) {
        let function =
            Function { name: format!("describe {}", names.plural), least: 0, most: 0, code: block };
        let (edited, _) = insert_functions(path, &text, &module, &[function])?;
        return work.edit(path, &edited);
    }
    let span = describe_span(path, &text, &names.plural)?;
    let given: Vec<_> = {
        let cast = resource.cast_names();
        resource.fields.iter().filter(|field| cast.contains(&field.name.as_str())).collect()
    };
    let pairs =
        |pick: &dyn Fn(&crate::elixir::definition::Field) -> String| -> Vec<(String, String)> {
            given.iter().map(|field| (field.name.clone(), pick(field))).collect()
        };
    // A key of the row is never nil and never changes.
    let but_keys = |pairs: Vec<(String, String)>| -> Vec<(String, String)> {
        let is_key = |name: &str| given.iter().any(|field| field.primary_key && field.name == name);
        pairs.into_iter().filter(|(name, _)| !is_key(name)).collect()
    };
    let gone = attribute_changes(resource, difference);
    let mut edited = text;
    let maps: [(&str, Vec<(String, String)>); 3] = [
        ("@invalid_attrs", but_keys(pairs(&|_| "nil".to_owned()))),
        ("valid_attrs =", {
            let embeds = resource.embeds.iter().map(|embed| {
                let value = embed_attributes(embed, |sample| sample.created.clone());
                (embed.name.clone(), value)
            });
            pairs(&|field| sample(field).created).into_iter().chain(embeds).collect()
        }),
        ("update_attrs =", but_keys(pairs(&|field| sample(field).updated))),
    ];
    for (line, values) in &maps {
        let span = match &span {
            Some(_) => describe_span(path, &edited, &names.plural)?.unwrap_or(0..0),
            None => 0..edited.len(),
        };
        edited = add_map_keys(path, &edited, span, &|before| before == *line, values, &gone)?;
    }
    for (old, new) in &gone {
        edited = rename_assertions(&edited, &names.singular, old, new.as_deref());
    }
    for (test, pick) in [("create_", false), ("update_", true)] {
        let lines: Vec<(String, String)> = given
            .iter()
            .filter(|field| !matches!(field.kind, FieldType::Decimal) && !field.is_virtual)
            .filter(|field| !field.primary_key)
            .map(|field| {
                let sample = sample(field);
                (field.name.clone(), if pick { sample.updated } else { sample.created })
            })
            .collect();
        let name = format!("{test}{}/", names.singular);
        edited = add_assertions(path, &edited, &name, &names.singular, &lines)?;
    }
    work.edit(path, &edited)
}

/// Assertions on a field that has another name or is gone.
fn rename_assertions(text: &str, variable: &str, old: &str, new: Option<&str>) -> String {
    let start = format!("assert {variable}.{old} ==");
    text.split_inclusive('\n')
        .filter_map(|line| match (line.trim_start().starts_with(&start), new) {
            (true, None) => None,
            (true, Some(new)) => {
                Some(line.replacen(&start, &format!("assert {variable}.{new} =="), 1))
            }
            (false, _) => Some(line.to_owned()),
        })
        .collect()
}

fn describe_span(
    path: &str,
    text: &str,
    plural: &str,
) -> Result<Option<std::ops::Range<usize>>, ElixirError> {
    let parsed = read_source(path, text)?;
    let mut found = None;
    crate::elixir::syntax::walk(&parsed.body, &mut |expr| {
        if let Some(call) = expr.call()
            && call.target == "describe"
            && call.arg(0).and_then(crate::elixir::syntax::Expr::text) == Some(plural)
        {
            found.get_or_insert(expr.span.clone());
        }
    });
    Ok(found)
}
