//! Settles associations: where they lead, by which key, and what the other side is called.

use super::{Related, Resource, Said, Target};
use crate::elixir::definition::{Association, Definition, Inverse, Relation};
use crate::elixir::error::{ElixirError, Refusal};
use crate::elixir::names::{camel, database_name, nearest, plural, singular, snake};
use crate::elixir::project::Project;
use crate::elixir::project::modules::Schema;

/// Settles every association of a definition, and that to the owner of a scope.
pub(super) fn settle_relations(
    resource: &mut Resource,
    definition: &Definition,
    project: &Project,
) -> Result<(), ElixirError> {
    for association in &definition.associations {
        let related = settle(resource, association, project)?;
        resource.related.push(related);
    }
    let Some(scope) = resource.scope.clone() else { return Ok(()) };
    if resource.related.iter().any(|related| related.foreign_key == scope.schema_key)
        || resource.fields.iter().any(|field| field.name == scope.schema_key)
    {
        return Err(ElixirError::definition(
            &scope.schema_key,
            format!("the scope `{}` sets `{}` itself", scope.name, scope.schema_key),
            "remove it from the definition, or set `scope: false`",
        ));
    }
    if let Some(table) = &scope.schema_table
        && let Some(owner) = project.schemas.iter().find(|schema| schema.table == *table)
    {
        let name = scope.schema_key.strip_suffix("_id").unwrap_or(&scope.schema_key).to_owned();
        resource.related.push(Related {
            relation: Relation::BelongsTo,
            name,
            target: target_of(owner),
            foreign_key: scope.schema_key.clone(),
            required: true,
            on_delete: "delete_all".to_owned(),
            on_update: "nothing".to_owned(),
            unique: false,
            join_table: None,
            through: Vec::new(),
            inverse: None,
            owner: true,
            said: Said::Explicitly,
        });
        return Ok(());
    }
    Err(ElixirError::refused(
        Refusal::ProjectUnclear,
        format!("the scope `{}` names no table with a schema", scope.name),
        format!("set `schema_table` in `config :{}, :scopes`, or `scope: false`", project.app),
    ))
}

fn settle(
    resource: &Resource,
    association: &Association,
    project: &Project,
) -> Result<Related, ElixirError> {
    let target = if association.through.is_empty() {
        find(resource, association, project)?
    } else {
        own(resource)
    };
    let names = &resource.names;
    let is_belongs = association.relation == Relation::BelongsTo;
    let foreign_key = match association.relation {
        Relation::BelongsTo => association.key(),
        Relation::HasMany | Relation::HasOne => association
            .foreign_key
            .clone()
            .or_else(|| existing_key(&target, names, project))
            .unwrap_or_else(|| {
                if target.itself {
                    "parent_id".to_owned()
                } else {
                    format!("{}_id", names.singular)
                }
            }),
        Relation::ManyToMany => format!("{}_id", snake(target.alias())),
    };
    let required = association.required.unwrap_or_else(|| {
        is_belongs && !target.itself && association.on_delete.as_deref() != Some("nilify_all")
    });
    let join_table = (association.relation == Relation::ManyToMany).then(|| {
        association.join_table.clone().unwrap_or_else(|| {
            let mut tables = [names.table.clone(), target.table.clone()];
            tables.sort();
            if target.itself {
                format!("{}_{}", names.table, association.name)
            } else {
                database_name(&[&tables.concat_with_underscore()])
            }
        })
    });
    let mut related = Related {
        relation: association.relation,
        name: association.name.clone(),
        foreign_key,
        required,
        on_delete: association.on_delete.clone().unwrap_or_else(|| "nothing".to_owned()),
        on_update: association.on_update.clone().unwrap_or_else(|| "nothing".to_owned()),
        unique: association.unique,
        join_table,
        through: association.through.clone(),
        inverse: None,
        owner: false,
        said: if association.required.is_some() { Said::Explicitly } else { Said::ByDefault },
        target,
    };
    related.inverse = inverse(resource, &related, &association.inverse, project);
    Ok(related)
}

trait Underscored {
    fn concat_with_underscore(&self) -> String;
}

impl Underscored for [String; 2] {
    fn concat_with_underscore(&self) -> String {
        self.join("_")
    }
}

/// The key of a `belongs_to` that leads back here already.
fn existing_key(target: &Target, names: &super::Names, project: &Project) -> Option<String> {
    let schema = project.schema(&target.module)?;
    let back = schema
        .associations
        .iter()
        .find(|known| known.relation == "belongs_to" && known.target == names.schema)?;
    Some(back.foreign_key.clone().unwrap_or_else(|| format!("{}_id", back.name)))
}

fn target_of(schema: &Schema) -> Target {
    let (key, key_type) =
        schema.primary_key.clone().unwrap_or_else(|| ("id".to_owned(), ":id".to_owned()));
    Target {
        module: schema.module.clone(),
        path: schema.path.clone(),
        table: schema.table.clone(),
        key,
        key_type,
        itself: false,
    }
}

fn own(resource: &Resource) -> Target {
    Target {
        module: resource.names.schema.clone(),
        path: resource.paths.schema.clone(),
        table: resource.names.table.clone(),
        key: resource.key.name.clone(),
        key_type: resource.key.schema_type.clone(),
        itself: true,
    }
}

/// The schema that an association means: by module, else by table, in any context.
fn find(
    resource: &Resource,
    association: &Association,
    project: &Project,
) -> Result<Target, ElixirError> {
    let names = &resource.names;
    let wanted = association.target.clone().unwrap_or_else(|| association.name.clone());
    let is_own = wanted == names.alias
        || wanted == names.table
        || wanted == names.schema
        || (association.target.is_none() && association.name == "parent");
    if is_own {
        return Ok(own(resource));
    }
    let alias = camel(&singular(&snake(wanted.rsplit('.').next().unwrap_or(&wanted))));
    let table = plural(&snake(&wanted));
    let matches = |schema: &&Schema| {
        schema.module == wanted
            || schema.module == format!("{}.{wanted}", project.base)
            || schema.table == wanted
    };
    let likely = |schema: &&Schema| {
        if wanted.contains('.') {
            return schema.module.ends_with(&format!(".{wanted}"));
        }
        schema.alias() == alias || schema.alias() == wanted || schema.table == table
    };
    let mut found: Vec<&Schema> = project.schemas.iter().filter(matches).collect();
    if found.is_empty() {
        found = project.schemas.iter().filter(likely).collect();
    }
    if found.len() > 1 {
        let near: Vec<&Schema> = found
            .iter()
            .copied()
            .filter(|schema| schema.module.starts_with(&format!("{}.", names.context)))
            .collect();
        if near.len() == 1 {
            found = near;
        }
    }
    match found.as_slice() {
        [only] => Ok(target_of(only)),
        [] => {
            let known = || {
                project.schemas.iter().flat_map(|schema| [schema.alias(), schema.table.as_str()])
            };
            let hint = nearest(&wanted, known()).map_or_else(
                || {
                    let listed: Vec<&str> = project
                        .schemas
                        .iter()
                        .map(|schema| schema.module.as_str())
                        .take(20)
                        .collect();
                    if listed.is_empty() {
                        "the project has no schemas yet: create that one first".to_owned()
                    } else {
                        format!("create it first, or name one in `target`: {}", listed.join(", "))
                    }
                },
                |near| format!("did you mean `{near}`? Else create it first"),
            );
            Err(ElixirError::refused(
                Refusal::TargetMissing,
                format!(
                    "the association `{}` leads to `{wanted}`, and the project has no such schema",
                    association.name
                ),
                hint,
            ))
        }
        several => Err(ElixirError::refused(
            Refusal::ProjectUnclear,
            format!("the association `{}` may lead to several schemas", association.name),
            format!(
                "name one in `target`: {}",
                several.iter().map(|schema| schema.module.as_str()).collect::<Vec<_>>().join(", ")
            ),
        )),
    }
}

/// What the other side calls this one.
fn inverse(
    resource: &Resource,
    related: &Related,
    wanted: &Inverse,
    project: &Project,
) -> Option<String> {
    if *wanted == Inverse::Off || !related.through.is_empty() {
        return None;
    }
    let names = &resource.names;
    let usual = match (related.relation, related.target.itself) {
        (Relation::BelongsTo, true) => "children".to_owned(),
        (Relation::HasMany | Relation::HasOne, true) => "parent".to_owned(),
        (Relation::ManyToMany, true) => return None,
        (Relation::BelongsTo, false) if related.unique => names.singular.clone(),
        (Relation::BelongsTo | Relation::ManyToMany, false) => names.plural.clone(),
        (Relation::HasMany | Relation::HasOne, false) => {
            related.foreign_key.strip_suffix("_id").unwrap_or(&names.singular).to_owned()
        }
    };
    let name = match wanted {
        Inverse::Named(name) => name.clone(),
        Inverse::Default | Inverse::Off => usual,
    };
    // One target twice: the second gets a name of its own.
    let again = resource.related.iter().any(|other| {
        other.target.module == related.target.module && other.inverse.as_ref() == Some(&name)
    });
    let differs = project.schema(&related.target.module).is_some_and(|schema| {
        schema.fields.iter().any(|field| field.name == name)
            || schema
                .associations
                .iter()
                .any(|known| known.name == name && known.target != names.schema)
    });
    let other_key = project.schema(&related.target.module).is_some_and(|schema| {
        schema.associations.iter().any(|known| {
            known.name == name
                && known.target == names.schema
                && related.relation == Relation::BelongsTo
                && known
                    .foreign_key
                    .clone()
                    .unwrap_or_else(|| format!("{}_id", snake(related.target.alias())))
                    != related.foreign_key
        })
    });
    Some(if again || differs || other_key { format!("{}_{name}", related.name) } else { name })
}
