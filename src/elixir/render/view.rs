//! What the templates see of a resource.

use serde_json::{Value, json};

use super::parents::{Parent, parents};
use super::samples::{Sample, as_json, expected, sample, unique_value};
use crate::elixir::definition::{Embed, Field, FieldType, Relation, Validation};
use crate::elixir::literal;
use crate::elixir::names::{human, singular, with_article};
use crate::elixir::project::{Project, Version};
use crate::elixir::resource::{Related, Resource};

/// The view of a resource.
pub(crate) fn view(resource: &Resource, project: &Project) -> Value {
    let names = &resource.names;
    let parents = parents(resource, project);
    let mut view = base(resource, project);
    let queries = queries(resource, project);
    let tests = tests(resource, project, &parents);
    let json = json_layer(resource, project, &parents);
    for part in [queries, tests, json] {
        if let (Some(view), Value::Object(part)) = (view.as_object_mut(), part) {
            view.extend(part);
        }
    }
    debug_assert!(!names.alias.is_empty());
    view
}

fn base(resource: &Resource, project: &Project) -> Value {
    let names = &resource.names;
    let human_name = human(&names.singular);
    let list_var = if names.plural == names.singular {
        format!("{}_collection", names.plural)
    } else {
        names.plural.clone()
    };
    let scope = resource.scope.as_ref().map(|scope| {
        json!({
            "name": scope.name,
            "alias": scope.alias(),
            "module": scope.module,
            "access": scope.access(),
            "key": scope.schema_key,
            "fixture_module": scope.test_data_fixture.clone().unwrap_or_else(|| names.fixtures.clone()),
            "setup": scope.test_setup_helper,
        })
    });
    let alias = resource.scope.as_ref().map(|scope| scope.alias().to_owned());
    let scoped = |with: String| if alias.is_some() { with } else { String::new() };
    let head = alias.clone().unwrap_or_default();
    json!({
        "base": names.base,
        "web": project.web.as_ref().map(|web| web.module.clone()),
        "schema": names.schema,
        "alias": names.alias,
        "singular": names.singular,
        "plural": names.plural,
        "list_var": list_var,
        "human": human_name,
        "human_plural": human(&names.plural),
        "human_title": title(&human_name),
        "a_human": with_article(&human_name),
        "context": names.context,
        "context_alias": names.context_alias,
        "repo": names.repo,
        "fixtures": names.fixtures,
        "binding": resource.binding(),
        "scope": scope,
        "s_arity": usize::from(alias.is_some()),
        "s_arg": scoped(format!("%{head}{{}} = scope, ")),
        "s_head": scoped(format!("(%{head}{{}} = scope)")),
        "s_call": resource.scope_argument(),
        "s_only": scoped("scope".to_owned()),
        "conn_only": resource.scope.as_ref().map(|scope| format!("conn.assigns.{}", scope.assign_key)).unwrap_or_default(),
        "conn_call": resource.scope.as_ref().map(|scope| format!("conn.assigns.{}, ", scope.assign_key)).unwrap_or_default(),
        "key": resource.key.name,
        "soft_delete": resource.options.soft_delete,
        "pagination": resource.options.pagination,
    })
}

/// `blog post` as `Blog post`, as the generators write it.
fn title(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), letters.as_str()))
}

/// The fields that find one row.
pub(crate) fn key_fields(resource: &Resource) -> Vec<String> {
    if resource.key.composite {
        return resource
            .fields
            .iter()
            .filter(|field| field.primary_key)
            .map(|field| field.name.clone())
            .collect();
    }
    vec![resource.key.name.clone()]
}

fn queries(resource: &Resource, project: &Project) -> Value {
    let names = &resource.names;
    let alias = &names.alias;
    let binding = resource.binding();
    let keys = key_fields(resource);
    let soft = resource
        .options
        .soft_delete
        .then(|| format!("where([{binding}], is_nil({binding}.deleted_at))"));
    let owned = resource.scope.as_ref().map(|scope| {
        format!("where([{binding}], {binding}.{} == ^{})", scope.schema_key, scope.access())
    });
    let steps: Vec<String> = owned.into_iter().chain(soft.clone()).collect();
    let preloads = (!resource.options.preloads.is_empty())
        .then(|| super::schema::atoms(&resource.options.preloads));
    let all_by = project.ecto.is_none_or(|version| version >= Version(3, 13));
    let list_expression = match (&resource.scope, steps.len(), &preloads) {
        (None, 0, None) => Some(format!("Repo.all({alias})")),
        (Some(scope), 1, None) if all_by => {
            Some(format!("Repo.all_by({alias}, {}: {})", scope.schema_key, scope.access()))
        }
        _ => None,
    };
    let mut clauses: Vec<String> = keys.iter().map(|key| format!("{key}: {key}")).collect();
    if let Some(scope) = &resource.scope {
        clauses.push(format!("{}: {}", scope.schema_key, scope.access()));
    }
    let simple = clauses.len() == 1;
    let clauses = clauses.join(", ");
    let key_params = keys.join(", ");
    let (whole, piped) = if simple {
        (format!("Repo.get!({alias}, {key_params})"), format!("Repo.get!({key_params})"))
    } else {
        (format!("Repo.get_by!({alias}, {clauses})"), format!("Repo.get_by!({clauses})"))
    };
    let one_line = soft.is_none() && preloads.is_none() && simple;
    let filters = &resource.options.filters;
    let kept: Vec<String> = keys
        .iter()
        .cloned()
        .chain(resource.stamps.iter().map(|stamps| stamps.inserted_at.clone()))
        .collect();
    let deletion = deletion(resource, project);
    let old_phoenix = project.phoenix.is_some_and(|version| version < Version(1, 8));
    json!({
        "query_tail": steps.iter().map(|step| format!("\n    |> {step}")).collect::<String>(),
        "preload_tail": preloads.as_ref().map(|names| format!("\n    |> Repo.preload({names})")).unwrap_or_default(),
        "steps": steps,
        "preloads": preloads,
        "list_expression": list_expression,
        "key_params": key_params,
        "key_count": keys.len(),
        "key_example": vec!["123"; keys.len()].join(", "),
        "key_missing": vec!["456"; keys.len()].join(", "),
        "get_one_line": one_line,
        "get_short": soft.is_none() && preloads.is_none(),
        "get_steps": soft.into_iter().collect::<Vec<_>>(),
        "get_expression": whole,
        "get_piped": piped,
        "attrs_default": if old_phoenix && resource.scope.is_none() { " \\\\ %{}" } else { "" },
        "create_least": usize::from(!(old_phoenix && resource.scope.is_none())),
        "filters": filters,
        "filters_atoms": super::schema::atoms(filters),
        "filters_text": filters.iter().map(|name| format!("`:{name}`")).collect::<Vec<_>>().join(", "),
        "upsert": resource.options.upsert,
        "upsert_text": resource.options.upsert.iter().map(|name| human(name)).collect::<Vec<_>>().join(" and "),
        "upsert_kept": super::schema::atoms(&kept),
        "conflict_target": (project.adapter != crate::elixir::project::Adapter::MySql)
            .then(|| super::schema::atoms(&resource.options.upsert)),
        "changeset_scope": if resource.scope.is_some() { ", scope" } else { "" },
        "order": super::schema::atoms(&keys),
        "deletion": deletion,
        "delete_with": if resource.options.soft_delete { "update" } else { "delete" },
    })
}

/// Steps before a row is deleted: what children refuse must be an error of the changeset.
pub(crate) fn deletion(resource: &Resource, project: &Project) -> Vec<String> {
    if resource.options.soft_delete {
        let kind = resource
            .fields
            .iter()
            .find(|field| field.name == "deleted_at")
            .map(|field| &field.kind);
        let now = match kind {
            Some(FieldType::UtcDatetimeUsec) => "DateTime.utc_now()",
            Some(FieldType::NaiveDatetime) => {
                "NaiveDateTime.truncate(NaiveDateTime.utc_now(), :second)"
            }
            Some(FieldType::NaiveDatetimeUsec) => "NaiveDateTime.utc_now()",
            _ => "DateTime.truncate(DateTime.utc_now(), :second)",
        };
        return vec![format!("Ecto.Changeset.change(deleted_at: {now})")];
    }
    let blocked: Vec<&Related> = resource
        .related
        .iter()
        .filter(|related| {
            matches!(related.relation, Relation::HasMany | Relation::HasOne)
                && related.through.is_empty()
        })
        .filter(|related| !lets_go(related, project))
        .collect();
    if blocked.is_empty() {
        return Vec::new();
    }
    let mut steps = vec!["Ecto.Changeset.change()".to_owned()];
    steps.extend(
        blocked.iter().map(|related| {
            no_assoc_step(&related.name, &related.target.table, &related.foreign_key)
        }),
    );
    steps
}

/// `Ecto.Changeset.no_assoc_constraint(:posts)`
pub(crate) fn no_assoc_step(name: &str, table: &str, key: &str) -> String {
    let named = crate::elixir::resource::foreign_key_name(table, key)
        .map(|name| format!(", name: {}", literal::atom(&name)))
        .unwrap_or_default();
    format!("Ecto.Changeset.no_assoc_constraint(:{name}{named})")
}

/// The same where the row's schema has no association to the rows that point to it, and the words by
/// which it is known however its lines are broken.
pub(crate) fn kept_step(table: &str, key: &str, own_key: &str) -> (String, String) {
    let name = crate::elixir::resource::foreign_key_name(table, key)
        .unwrap_or_else(|| format!("{table}_{key}_fkey"));
    let mark = format!("name: {}", literal::atom(&name));
    let step = format!(
        "Ecto.Changeset.foreign_key_constraint(:{own_key}, {mark}, message: \"are still associated with this entry\")"
    );
    (step, mark)
}

/// Whether children do not keep the row from being deleted.
fn lets_go(related: &Related, project: &Project) -> bool {
    let column = project
        .migrations
        .tables
        .get(&related.target.table)
        .and_then(|table| table.column(&related.foreign_key).cloned());
    column.is_some_and(|column| {
        column.kind.contains("on_delete: :delete_all")
            || column.kind.contains("on_delete: :nilify_all")
    })
}

/// Fields that callers give.
fn given(resource: &Resource) -> Vec<&Field> {
    let cast = resource.cast_names();
    resource.fields.iter().filter(|field| cast.contains(&field.name.as_str())).collect()
}

fn confirmed(field: &Field) -> bool {
    field.validations.iter().any(|validation| matches!(validation, Validation::Confirmation))
}

/// An embed's attributes as code.
pub(crate) fn embed_attributes(embed: &Embed, pick: impl Fn(&Sample) -> String) -> String {
    let inner: Vec<String> = embed
        .fields
        .iter()
        .filter(|field| field.cast)
        .map(|field| format!("{}: {}", field.name, pick(&sample(field))))
        .collect();
    let inner = format!("%{{{}}}", inner.join(", "));
    if embed.many { format!("[{inner}]") } else { inner }
}

fn attributes(resource: &Resource, parents: &[Parent], pick: impl Fn(&Sample) -> String) -> String {
    let mut pairs = Vec::new();
    if !resource.key.autogenerate && !resource.key.composite {
        pairs.push(format!("{}: {}", resource.key.name, key_value(resource)));
    }
    for field in given(resource) {
        let value = pick(&sample(field));
        pairs.push(format!("{}: {value}", field.name));
        if confirmed(field) {
            pairs.push(format!("{}_confirmation: {value}", field.name));
        }
    }
    for embed in &resource.embeds {
        pairs.push(format!("{}: {}", embed.name, embed_attributes(embed, &pick)));
    }
    for parent in parents {
        pairs.push(format!("{}: {}.{}", parent.foreign_key, parent.variable, parent.key));
    }
    format!("%{{{}}}", pairs.join(", "))
}

fn key_value(resource: &Resource) -> String {
    match resource.key.schema_type.as_str() {
        ":id" => "42".to_owned(),
        _ => "\"7488a646-e31f-11e4-aace-600308960662\"".to_owned(),
    }
}

fn tests(resource: &Resource, project: &Project, parents: &[Parent]) -> Value {
    let fields = given(resource);
    let required = resource.required_names();
    let by_key = !resource.options.preloads.is_empty()
        || !resource.embeds.is_empty()
        || resource.fields.iter().any(|field| {
            field.is_virtual || field.generated.is_some() || field.kind == FieldType::Decimal
        });
    let kept = resource
        .fields
        .iter()
        .find(|field| {
            !field.is_virtual
                && field.generated.is_none()
                && field.kind != FieldType::Decimal
                && field.cast
        })
        .map_or_else(|| key_fields(resource).concat(), |field| field.name.clone());
    let invalid: Vec<String> = fields
        .iter()
        .map(|field| field.name.as_str())
        .filter(|name| {
            !resource.fields.iter().any(|field| field.name == **name && field.primary_key)
        })
        .chain(parents.iter().map(|parent| parent.foreign_key.as_str()))
        .map(|name| format!("{name}: nil"))
        .collect();
    let refuses = required
        .iter()
        .any(|name| !resource.fields.iter().any(|field| field.name == **name && field.primary_key));
    let asserted: Vec<Value> = fields
        .iter()
        .filter(|field| !confirmed(field) || !field.is_virtual)
        .map(|field| {
            let sample = sample(field);
            json!({
                "name": field.name,
                "created": expected(field, &sample.created),
                "updated": expected(field, &sample.updated),
                "fixed": field.primary_key,
            })
        })
        .collect();
    let unique: Vec<Value> = fields
        .iter()
        .filter(|field| is_unique(resource, field))
        .filter_map(|field| {
            Some(json!({"name": field.name, "human": human(&field.name), "unique": unique_value(field)?}))
        })
        .collect();
    let uses: Vec<&str> = parents.iter().filter_map(|parent| parent.import.as_deref()).collect();
    let mut imports = vec![resource.names.fixtures.clone()];
    for module in uses {
        if !imports.iter().any(|known| known == module) {
            imports.push(module.to_owned());
        }
    }
    let scope_module = resource.scope.as_ref().and_then(|scope| scope.test_data_fixture.clone());
    let import_scope = scope_module.is_some_and(|module| !imports.contains(&module));
    let filter_field = resource
        .options
        .filters
        .iter()
        .find(|name| required.contains(&name.as_str()))
        .or(resource.options.filters.first());
    let keys = key_fields(resource);
    let key_access: Vec<String> =
        keys.iter().map(|key| format!("{}.{key}", resource.names.singular)).collect();
    let updating: Vec<&Field> = fields.iter().copied().filter(|field| !field.primary_key).collect();
    let update_attrs: Vec<String> = updating
        .iter()
        .flat_map(|field| {
            let value = sample(field).updated;
            let mut pairs = vec![format!("{}: {value}", field.name)];
            if confirmed(field) {
                pairs.push(format!("{}_confirmation: {value}", field.name));
            }
            pairs
        })
        .collect();
    debug_assert!(project.line_length > 0);
    json!({
        "scoped": resource.scope.as_ref().map(|scope| format!("\n      scope = {}_scope_fixture()", scope.name)).unwrap_or_default(),
        "parents": parents.iter().map(|parent| format!("\n      {} = {}", parent.variable, parent.call)).collect::<String>(),
        "by_key": by_key,
        "kept": kept,
        "key": keys.first().cloned().unwrap_or_default(),
        "invalid_attrs": refuses.then(|| format!("%{{{}}}", invalid.join(", "))),
        "valid_attrs": attributes(resource, parents, |sample| sample.created.clone()),
        "update_attrs": format!("%{{{}}}", update_attrs.join(", ")),
        "asserted": asserted,
        "unique_fields": unique,
        "fixture_attrs": fixture_attributes(resource, parents),
        "parent_lines": parents.iter().map(|parent| format!("{} = {}", parent.variable, parent.call)).collect::<Vec<_>>(),
        "helpers": parents.iter().filter_map(|parent| parent.helper.clone()).map(|(name, code)| json!({"name": name, "code": code, "human": human(name.trim_end_matches("_fixture"))})).collect::<Vec<_>>(),
        "imports": imports,
        "import_scope_fixture": import_scope,
        "filter_field": filter_field,
        "key_access": key_access.join(", "),
    })
}

/// Whether two rows may not have one value of a field.
fn is_unique(resource: &Resource, field: &Field) -> bool {
    field.primary_key
        || resource.indexes.iter().any(|index| {
            index.unique && index.fields.first().is_some_and(|first| *first == field.name)
        })
}

/// The attributes of a fixture, by name as the generators order them.
fn fixture_attributes(resource: &Resource, parents: &[Parent]) -> Vec<Value> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    if !resource.key.autogenerate && !resource.key.composite {
        let value = if resource.key.schema_type == ":id" {
            "System.unique_integer([:positive])"
        } else {
            "Ecto.UUID.generate()"
        };
        pairs.push((resource.key.name.clone(), value.to_owned()));
    }
    for field in given(resource) {
        let value = if is_unique(resource, field) && unique_value(field).is_some() {
            format!("unique_{}_{}()", resource.names.singular, field.name)
        } else {
            sample(field).created
        };
        if confirmed(field) {
            pairs.push((format!("{}_confirmation", field.name), value.clone()));
        }
        pairs.push((field.name.clone(), value));
    }
    for embed in &resource.embeds {
        let value = embed_attributes(embed, |sample| sample.created.clone());
        pairs.push((embed.name.clone(), value));
    }
    for parent in parents {
        pairs.push((parent.foreign_key.clone(), format!("{}.{}", parent.qualified, parent.key)));
    }
    pairs.sort();
    pairs
        .into_iter()
        .map(|(name, value)| json!({"key": literal::key(&name), "value": value}))
        .collect()
}

fn json_layer(resource: &Resource, project: &Project, parents: &[Parent]) -> Value {
    let names = &resource.names;
    let variable = &names.singular;
    let mut fields: Vec<Value> = Vec::new();
    let mut add =
        |name: &str, value: String| fields.push(json!({"key": literal::key(name), "value": value}));
    for key in key_fields(resource) {
        add(&key, format!("{variable}.{key}"));
    }
    let shown = resource.fields.iter().filter(|field| {
        !field.redact
            && !field.is_virtual
            && !field.primary_key
            && field.kind != FieldType::Binary
            && field.name != "deleted_at"
    });
    for field in shown {
        add(&field.name, format!("{variable}.{}", field.name));
    }
    for embed in &resource.embeds {
        add(&embed.name, format!("{0}({variable}.{0})", embed.name));
    }
    for related in resource.of(Relation::BelongsTo).filter(|related| !related.owner) {
        add(&related.foreign_key, format!("{variable}.{}", related.foreign_key));
    }
    let embeds: Vec<Value> = resource
        .embeds
        .iter()
        .map(|embed| {
            let names: Vec<String> = embed
                .fields
                .iter()
                .filter(|field| !field.redact)
                .map(|field| field.name.clone())
                .collect();
            json!({"name": embed.name, "many": embed.many, "fields": super::schema::atoms(&names)})
        })
        .collect();
    let pattern = |pick: &dyn Fn(&Sample) -> String| {
        let mut pairs: Vec<String> = vec![format!("\"{0}\" => ^{0}", resource.key.name)];
        for field in given(resource)
            .into_iter()
            .filter(|field| !field.redact && !field.is_virtual && field.kind != FieldType::Decimal)
        {
            if let Some(value) = as_json(field, &pick(&sample(field))) {
                pairs.push(format!("\"{}\" => {value}", field.name));
            }
        }
        format!("%{{{}}}", pairs.join(", "))
    };
    let prefix = project.generators.api_prefix.clone().unwrap_or_else(|| "/api".to_owned());
    let scope_prefix = resource
        .scope
        .as_ref()
        .and_then(|scope| scope.route_prefix.clone())
        .filter(|prefix| !prefix.contains(':'))
        .unwrap_or_default();
    let update: Vec<String> = given(resource)
        .into_iter()
        .filter(|field| !field.primary_key)
        .flat_map(|field| {
            let value = sample(field).updated;
            let mut pairs = vec![format!("{}: {value}", field.name)];
            if confirmed(field) {
                pairs.push(format!("{}_confirmation: {value}", field.name));
            }
            pairs
        })
        .collect();
    json!({
        "json_fields": fields,
        "json_embeds": embeds,
        "route": format!("{prefix}{scope_prefix}/{}", names.plural),
        "singular_key": literal::key(&names.singular),
        "static_attrs": parents.is_empty(),
        "create_json_attrs": attributes(resource, parents, |sample| sample.created.clone()),
        "update_json_attrs": format!("%{{{}}}", update.join(", ")),
        "created_json": pattern(&|sample| sample.created.clone()),
        "updated_json": pattern(&|sample| sample.updated.clone()),
        "embedded": resource.embeds.iter().map(|embed| singular(&embed.name)).collect::<Vec<_>>(),
    })
}
