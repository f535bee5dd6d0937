//! The other side of associations: the schema there gets its line, and its context learns that rows
//! with children cannot just be deleted.

use super::work::Work;
use crate::elixir::definition::Relation;
use crate::elixir::edit::{body_replaced, function_span, insert_association};
use crate::elixir::error::ElixirError;
use crate::elixir::names::snake;
use crate::elixir::project::Project;
use crate::elixir::render::schema::{belongs_to_line, has_line, many_line};
use crate::elixir::render::view::{kept_step, no_assoc_step};
use crate::elixir::resource::{Related, Resource, Said, Target};

/// The association that leads back.
pub(super) fn back(resource: &Resource, related: &Related) -> Related {
    Related {
        relation: Relation::BelongsTo,
        name: related.inverse.clone().unwrap_or_else(|| resource.names.singular.clone()),
        target: Target {
            module: resource.names.schema.clone(),
            path: resource.paths.schema.clone(),
            table: resource.names.table.clone(),
            key: resource.key.name.clone(),
            key_type: resource.key.schema_type.clone(),
            itself: false,
        },
        foreign_key: related.foreign_key.clone(),
        // Rows that are there belong to nobody yet.
        required: false,
        on_delete: related.on_delete.clone(),
        on_update: related.on_update.clone(),
        unique: related.relation == Relation::HasOne,
        join_table: None,
        through: Vec::new(),
        inverse: None,
        owner: false,
        said: Said::Explicitly,
    }
}

/// Puts the other sides into their schemas.
pub(super) fn schemas(
    work: &mut Work<'_>,
    resource: &Resource,
    project: &Project,
    notes: &mut Vec<String>,
) -> Result<(), ElixirError> {
    for related in &resource.related {
        let Some(name) = &related.inverse else { continue };
        let target = &related.target;
        let names = &resource.names;
        let itself = target.itself;
        let module = if itself { "__MODULE__" } else { &names.schema };
        let mut cast = None;
        let mut steps = Vec::new();
        let line = match related.relation {
            Relation::BelongsTo => {
                if known_elsewhere(project, related, resource) {
                    continue;
                }
                let relation = if related.unique { Relation::HasOne } else { Relation::HasMany };
                has_line(
                    relation,
                    name,
                    module,
                    &related.foreign_key,
                    &snake(target.alias()),
                    &target.key,
                )
            }
            Relation::HasMany | Relation::HasOne => {
                let has_back = project.schema(&target.module).is_some_and(|schema| {
                    schema
                        .associations
                        .iter()
                        .any(|known| known.relation == "belongs_to" && known.target == names.schema)
                });
                if has_back && !itself {
                    continue;
                }
                let back = back(resource, related);
                cast = Some(back.foreign_key.clone());
                steps.push(format!("foreign_key_constraint(:{})", back.foreign_key));
                if back.unique {
                    steps.push(format!("unique_constraint(:{})", back.foreign_key));
                }
                let usual = usual_key_type(project, &target.module);
                belongs_to_line(name, module, &back, usual)
            }
            Relation::ManyToMany => {
                let join = related.join_table.as_deref().unwrap_or_default();
                many_line(name, module, join, None, &resource.key.name)
            }
        };
        let path = if itself { resource.paths.schema.clone() } else { target.path.clone() };
        let Some(text) = work.text(&path)? else { continue };
        let edited =
            insert_association(&path, &text, &target.module, &line, cast.as_deref(), &steps)?;
        if edited != text {
            work.edit(&path, &edited)?;
            notes.push(format!("`{}` got the other side: {line}", target.module));
        }
    }
    Ok(())
}

/// Whether the target names this association already, by whatever name.
fn known_elsewhere(project: &Project, related: &Related, resource: &Resource) -> bool {
    let usual = format!("{}_{}", snake(related.target.alias()), related.target.key);
    project.schema(&related.target.module).is_some_and(|schema| {
        schema.associations.iter().any(|known| {
            matches!(known.relation.as_str(), "has_many" | "has_one")
                && known.target == resource.names.schema
                && known.foreign_key.as_deref().unwrap_or(&usual) == related.foreign_key
        })
    })
}

/// The type that foreign keys of a schema have when nothing else is said.
fn usual_key_type<'a>(project: &'a Project, module: &str) -> &'a str {
    match project.schema(module).and_then(|schema| schema.primary_key.as_ref()) {
        Some((_, kind)) if kind == ":binary_id" => ":binary_id",
        _ => ":id",
    }
}

/// Where our rows keep theirs from being deleted, their context says so in an error changeset.
pub(super) fn deletions(
    work: &mut Work<'_>,
    resource: &Resource,
    project: &Project,
    notes: &mut Vec<String>,
) -> Result<(), ElixirError> {
    for related in resource.of(Relation::BelongsTo) {
        let blocks = matches!(related.on_delete.as_str(), "nothing" | "restrict");
        if !blocks || related.target.itself {
            continue;
        }
        let variable = snake(related.target.alias());
        let function = format!("delete_{variable}");
        let (table, key) = (&resource.names.table, &related.foreign_key);
        let (step, mark) = match &related.inverse {
            Some(name) => (no_assoc_step(name, table, key), no_assoc_step(name, table, key)),
            // Their schema knows nothing of ours: the constraint goes by its own name.
            None => kept_step(table, key, &related.target.key),
        };
        let Some((context, path)) = context_with(work, project, &related.target.module, &function)?
        else {
            continue;
        };
        let Some(text) = work.text(&path)? else { continue };
        let Some(span) = function_span(&path, &text, &context, &function)? else { continue };
        let body = text.get(span.clone()).unwrap_or_default();
        if body.contains(&mark) {
            continue;
        }
        let simple = format!("Repo.delete({variable})");
        let steps = [
            variable.clone(),
            "|> Ecto.Changeset.change()".to_owned(),
            format!("|> {step}"),
            "|> Repo.delete()".to_owned(),
        ];
        if let Some(edited) = body_replaced(&text, span.clone(), &simple, &steps) {
            work.edit(&path, &edited)?;
        } else if let Some(place) =
            body.find("|> Repo.delete()").filter(|_| body.contains("_constraint("))
        {
            let at = span.start + place;
            let indent = crate::elixir::edit::indent_of(&text, at);
            let mut edits = crate::elixir::edit::Edits::default();
            edits.insert(at, &format!("|> {step}\n{indent}"));
            let edited = edits.apply(&text);
            work.edit(&path, &edited)?;
        } else if let [(place, _)] =
            body.match_indices(&format!(" {simple} do\n")).collect::<Vec<_>>().as_slice()
        {
            // With a scope the deletion is the last line of a `with`.
            let at = span.start + place + 1;
            let lines = steps.join(&format!("\n{}", crate::elixir::edit::indent_of(&text, at)));
            let mut edits = crate::elixir::edit::Edits::default();
            edits.replace(at..at + simple.len(), &lines);
            work.edit(&path, &edits.apply(&text))?;
        } else {
            notes.push(format!(
                "`{context}.{function}/1` should add `{step}`, so that deleting a {variable} with {table} is an error and no exception"
            ));
        }
    }
    Ok(())
}

/// The module that holds a schema's `delete_…`: its parent by name, else the one that aliases it.
fn context_with(
    work: &mut Work<'_>,
    project: &Project,
    schema: &str,
    function: &str,
) -> Result<Option<(String, String)>, ElixirError> {
    let head = format!("def {function}(");
    let parent = schema.rsplit_once('.').map(|(parent, _)| parent.to_owned()).unwrap_or_default();
    let lib = project.lib();
    let in_lib = project.modules.iter().filter(|(_, path)| path.starts_with(&lib));
    let mut candidates: Vec<(&String, &String)> = in_lib.collect();
    candidates.sort_by_key(|(module, _)| **module != parent);
    for (module, path) in candidates {
        let Some(text) = work.peek(path)? else { continue };
        if text.contains(&head) && (text.contains(schema) || *module == parent) {
            return Ok(Some((module.clone(), path.clone())));
        }
    }
    Ok(None)
}
