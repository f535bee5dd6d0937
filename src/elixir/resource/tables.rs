//! The tables that a resource needs.

use super::{Key, Related, Resource};
use crate::elixir::definition::{Field, FieldType, Relation};
use crate::elixir::literal::{self, Literal};
use crate::elixir::names::database_name;
use crate::elixir::project::Project;
use crate::elixir::project::migrations::references;
use crate::elixir::project::table::{Column, Table, TableConstraint, TableIndex};

/// The resource's own table.
pub(crate) fn desired_table(resource: &Resource, project: &Project) -> Table {
    let mut table = Table {
        name: resource.names.table.clone(),
        prefix: resource.names.prefix.clone(),
        ..Table::default()
    };
    table.columns.extend(key_column(&resource.key));
    let fkey = |related: &Related| foreign_key_name(&resource.names.table, &related.foreign_key);
    for field in
        resource.fields.iter().filter(|field| !field.is_virtual && field.name != "deleted_at")
    {
        table.columns.push(field_column(field));
    }
    for embed in &resource.embeds {
        let (kind, default) =
            if embed.many { ("{:array, :map}", Some("[]")) } else { (":map", None) };
        let mut options: Vec<(String, String)> = Vec::new();
        if let Some(default) = default {
            options.push(("default".to_owned(), default.to_owned()));
        }
        if embed.required || embed.many {
            options.push(("null".to_owned(), "false".to_owned()));
        }
        table.columns.push(Column::new(&embed.name, kind, options));
    }
    for related in resource.of(Relation::BelongsTo) {
        table.columns.push(key_to(related, fkey(related), project));
    }
    for field in
        resource.fields.iter().filter(|field| field.name == "deleted_at" && !field.is_virtual)
    {
        table.columns.push(field_column(field));
    }
    if let Some(stamps) = &resource.stamps {
        table.stamps = Some([stamps.inserted_at.clone(), stamps.updated_at.clone()]);
        let kind = stamps.kind.as_deref().unwrap_or("naive_datetime");
        for name in [&stamps.inserted_at, &stamps.updated_at] {
            table.columns.push(Column::new(
                name,
                &literal::atom(kind),
                vec![("null".to_owned(), "false".to_owned())],
            ));
        }
    }
    for index in &resource.indexes {
        table.indexes.push(TableIndex {
            name: index.name.clone(),
            columns: index.columns.iter().map(|column| bare(column)).collect(),
            unique: index.unique,
            options: index.options.clone(),
        });
    }
    for constraint in &resource.constraints {
        table.constraints.push(TableConstraint {
            name: constraint.name.clone(),
            options: vec![(constraint.kind.to_owned(), literal::text(&constraint.sql))],
        });
    }
    table
}

/// A column of an index in the spelling of the table model.
fn bare(column: &str) -> String {
    column.strip_prefix(':').unwrap_or(column).to_owned()
}

fn key_column(key: &Key) -> Option<Column> {
    if key.composite {
        return None;
    }
    let mut options = vec![("primary_key".to_owned(), "true".to_owned())];
    if !key.autogenerate && key.schema_type == ":id" {
        // A key that the caller gives is no sequence.
        return Some(Column::new(&key.name, ":bigint", options));
    }
    Some(Column::new(&key.name, &key.column_type, std::mem::take(&mut options)))
}

fn field_column(field: &Field) -> Column {
    let mut options: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: String| options.push((key.to_owned(), value));
    if field.primary_key {
        add("primary_key", "true".to_owned());
    }
    for (key, value) in
        [("size", field.size), ("precision", field.precision), ("scale", field.scale)]
    {
        if let Some(value) = value {
            add(key, literal::integer(value));
        }
    }
    if let Some(collation) = &field.collation {
        add("collation", literal::text(collation));
    }
    if let Some(default) = &field.default {
        add("default", default_in_column(field, default));
    }
    if field.is_not_null() && !field.primary_key {
        add("null", "false".to_owned());
    }
    if let Some(comment) = &field.comment {
        add("comment", literal::text(comment));
    }
    if let Some(generated) = &field.generated {
        add("generated", literal::text(&format!("ALWAYS AS ({generated}) STORED")));
    }
    Column::new(field.column(), &field.kind.in_migration(), options)
}

/// An enum that is kept as numbers has a number for its default too.
fn default_in_column(field: &Field, default: &Literal) -> String {
    if let (FieldType::Enum(values), Literal::Atom(name)) = (&field.kind, default)
        && let Some(number) =
            values.iter().find(|value| value.name == *name).and_then(|value| value.number)
    {
        return literal::integer(number);
    }
    column_default(default)
}

/// A default as the database takes it: enums and times as texts.
fn column_default(default: &Literal) -> String {
    match default {
        Literal::Atom(name) => literal::text(name),
        Literal::Code(sigil) => {
            let inner = sigil.split_once('[').map_or(sigil.as_str(), |(_, rest)| rest);
            literal::text(inner.trim_end_matches(']'))
        }
        Literal::List(items) => {
            let items: Vec<String> = items.iter().map(column_default).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.code(),
    }
}

/// A foreign key's name where PostgreSQL would cut Ecto's own.
pub(crate) fn foreign_key_name(table: &str, key: &str) -> Option<String> {
    let usual = format!("{table}_{key}_fkey");
    let made = database_name(&[table, key, "fkey"]);
    (made != usual).then_some(made)
}

/// The column of a `belongs_to`.
pub(crate) fn key_to(related: &Related, name: Option<String>, project: &Project) -> Column {
    let target = &related.target;
    let mut options: Vec<(String, String)> = Vec::new();
    if target.key != "id" {
        options.push(("column".to_owned(), literal::atom(&target.key)));
    }
    if let Some(name) = name {
        options.push(("name".to_owned(), literal::atom(&name)));
    }
    options.push(("on_delete".to_owned(), literal::atom(&related.on_delete)));
    options.push(("on_update".to_owned(), literal::atom(&related.on_update)));
    let kind = match target.key_type.as_str() {
        "Ecto.UUID" => ":uuid",
        other => other,
    };
    let usual = project.repo.foreign_key.as_deref().unwrap_or(":id");
    if kind != usual {
        options.push(("type".to_owned(), kind.to_owned()));
    }
    let mut column = Vec::new();
    if related.required {
        column.push(("null".to_owned(), "false".to_owned()));
    }
    Column::new(&related.foreign_key, &references(&target.table, &options), column)
}

/// The join tables of a resource.
pub(crate) fn join_tables(resource: &Resource, project: &Project) -> Vec<Table> {
    let own_key = format!("{}_id", resource.names.singular);
    resource
        .of(Relation::ManyToMany)
        .filter_map(|related| {
            let name = related.join_table.clone()?;
            let (first, second) = related.join_keys(&own_key);
            let column = |key: &str, table: &str, kind: &str| {
                let mut options = vec![("on_delete".to_owned(), ":delete_all".to_owned())];
                let kind = if kind == "Ecto.UUID" { ":uuid" } else { kind };
                if kind != project.repo.foreign_key.as_deref().unwrap_or(":id") {
                    options.push(("type".to_owned(), kind.to_owned()));
                }
                let primary = vec![("primary_key".to_owned(), "true".to_owned())];
                Column::new(key, &references(table, &options), primary)
            };
            let index = crate::elixir::project::migrations::default_index_name(
                &name,
                std::slice::from_ref(&second),
            );
            Some(Table {
                columns: vec![
                    column(&first, &resource.names.table, &resource.key.schema_type),
                    column(&second, &related.target.table, &related.target.key_type),
                ],
                indexes: vec![TableIndex {
                    name: index,
                    columns: vec![second],
                    unique: false,
                    options: Vec::new(),
                }],
                prefix: resource.names.prefix.clone(),
                name,
                ..Table::default()
            })
        })
        .collect()
}

impl Related {
    /// The columns of a join table: ours and the other's.
    pub(crate) fn join_keys(&self, own_key: &str) -> (String, String) {
        if self.target.itself {
            let other = crate::elixir::names::singular(&self.name);
            return (own_key.to_owned(), format!("{other}_id"));
        }
        (own_key.to_owned(), self.foreign_key.clone())
    }
}
