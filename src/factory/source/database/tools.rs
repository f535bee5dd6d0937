//! The tools of a database.

use serde_json::Value;

use crate::factory::ir::{
    Annotations, Dialect, Kind, Operation, Skipped, Sql, Table, TableKind, Tool,
};
use crate::factory::names::Names;

use super::schema::{Rights, Schema, label};
use super::{Access, arguments};

/// Longest comment that a tool's description repeats.
const COMMENT: usize = 400;

/// Every tool of the tables, and of the database itself. What becomes none is told.
pub(super) fn make(
    dialect: Dialect,
    tables: &[Table],
    access: Access,
    schema: &Schema,
    skipped: &mut Vec<Skipped>,
) -> Vec<Tool> {
    let mut names = Names::default();
    let mut tools = vec![Tool {
        name: names.tool("describe_schema", "describe_schema"),
        title: "Describe the database".to_owned(),
        description: "Tables, views, columns, keys and foreign keys of the database.".to_owned(),
        tags: Vec::new(),
        annotations: reading(),
        input_schema: arguments::describe_schema(),
        listed_schema: None,
        listed_description: None,
        kind: Kind::Sql(Box::new(Sql {
            place: None,
            table: String::new(),
            operation: Operation::Describe,
        })),
    }];
    for (place, table) in tables.iter().enumerate() {
        let rights = schema
            .tables
            .iter()
            .find(|one| one.table.name == table.name && one.table.schema == table.schema)
            .map_or(Rights::ALL, |one| one.rights);
        for operation in [
            Operation::List,
            Operation::Get,
            Operation::Create,
            Operation::CreateMany,
            Operation::Update,
            Operation::Delete,
        ] {
            match refusal(table, operation, access, rights) {
                Some(reason) => skipped.push(Skipped {
                    pointer: label(table),
                    operation: format!("{} {}", verb(operation), label(table)),
                    reason: reason.to_owned(),
                }),
                None => tools.push(tool(dialect, place, table, operation, &mut names)),
            }
        }
    }
    tools
}

/// Why there is no such tool.
fn refusal(
    table: &Table,
    operation: Operation,
    access: Access,
    rights: Rights,
) -> Option<&'static str> {
    let view = table.kind != TableKind::Table;
    let keyed = !table.key.is_empty();
    match operation {
        Operation::List | Operation::Describe => None,
        Operation::Get => (!keyed && !table.columns.iter().any(|column| column.comparable))
            .then_some("no column of it can be compared"),
        _ if view => Some("rows of a view are not written"),
        _ if access == Access::ReadOnly => Some("the server only reads"),
        Operation::Create | Operation::CreateMany => {
            if !rights.insert {
                Some("the user of the database may not make rows")
            } else if table.columns.iter().any(|column| !column.writable && !column.optional) {
                Some("a column that needs a value may not be written")
            } else {
                None
            }
        }
        Operation::Update => {
            if !rights.update {
                Some("the user of the database may not change rows")
            } else if !keyed {
                Some("it has no key, so no single row can be chosen")
            } else if table
                .columns
                .iter()
                .all(|column| !column.writable || table.key.contains(&column.argument))
            {
                Some("every column that can be written belongs to the key")
            } else {
                None
            }
        }
        Operation::Delete => {
            if !rights.delete {
                Some("the user of the database may not remove rows")
            } else if !keyed {
                Some("it has no key, so no single row can be chosen")
            } else {
                None
            }
        }
    }
}

const fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::List => "list",
        Operation::Get => "get",
        Operation::Create => "create",
        Operation::CreateMany => "create_many",
        Operation::Update => "update",
        Operation::Delete => "delete",
        Operation::Describe => "describe",
    }
}

fn tool(
    dialect: Dialect,
    place: usize,
    table: &Table,
    operation: Operation,
    names: &mut Names,
) -> Tool {
    let named = match &table.schema {
        Some(schema) if schema != "public" => format!("{schema}_{}", table.name),
        _ => table.name.clone(),
    };
    let label = label(table).replace('`', "'");
    let verb = verb(operation);
    let what = if table.kind == TableKind::Table { "table" } else { "view" };
    let key =
        if table.key.is_empty() { "the given columns".to_owned() } else { table.key.join(", ") };
    let mut description = match operation {
        Operation::List => format!(
            "Rows of the {what} `{label}` by filter and order, a page at a time; `next_cursor` leads to the next."
        ),
        Operation::Get => format!("The one row of the {what} `{label}` with {key}."),
        Operation::Create => format!(
            "A new row of `{label}`. Columns that are left out get their default; the stored row comes back."
        ),
        Operation::CreateMany => format!("New rows of `{label}`: all of them, or none."),
        Operation::Update => format!(
            "Changes the one row of `{label}` with {key}: only the columns that are given; the stored row comes back."
        ),
        Operation::Delete => {
            format!("Removes the one row of `{label}` with {key}; it comes back once more.")
        }
        Operation::Describe => String::new(),
    };
    let comment: String = table.comment.chars().take(COMMENT).collect();
    if !comment.trim().is_empty() {
        description = format!("{description} {}", comment.trim());
    }
    if dialect == Dialect::Sqlite && operation == Operation::List {
        description.push_str(" `like` takes no notice of case.");
    }
    Tool {
        name: names.tool(&format!("{verb}_{named}"), &format!("{verb} {label}")),
        title: format!("{} {label}", title(operation)),
        description,
        tags: vec![label.clone()],
        annotations: annotations(operation),
        input_schema: input(table, operation),
        listed_schema: None,
        listed_description: None,
        kind: Kind::Sql(Box::new(Sql { place: Some(place), table: table.name.clone(), operation })),
    }
}

fn input(table: &Table, operation: Operation) -> Value {
    match operation {
        Operation::List => arguments::list(table),
        Operation::Get | Operation::Delete => arguments::one(table),
        Operation::Create => arguments::new_row(table),
        Operation::CreateMany => arguments::new_rows(table),
        Operation::Update => arguments::change(table),
        Operation::Describe => arguments::describe_schema(),
    }
}

const fn title(operation: Operation) -> &'static str {
    match operation {
        Operation::List => "List rows of",
        Operation::Get => "Get a row of",
        Operation::Create => "Create a row of",
        Operation::CreateMany => "Create rows of",
        Operation::Update => "Update a row of",
        Operation::Delete => "Delete a row of",
        Operation::Describe => "Describe",
    }
}

const fn reading() -> Annotations {
    Annotations { read_only: true, destructive: false, idempotent: true, open_world: false }
}

const fn annotations(operation: Operation) -> Annotations {
    match operation {
        Operation::List | Operation::Get | Operation::Describe => reading(),
        Operation::Create | Operation::CreateMany => Annotations {
            read_only: false,
            destructive: false,
            idempotent: false,
            open_world: false,
        },
        Operation::Update => {
            Annotations { read_only: false, destructive: true, idempotent: true, open_world: false }
        }
        Operation::Delete => Annotations {
            read_only: false,
            destructive: true,
            idempotent: false,
            open_world: false,
        },
    }
}
