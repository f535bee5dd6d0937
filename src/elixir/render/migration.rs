//! Migrations: steps as code, each of which can be taken back.

use std::fmt::Write as _;

use super::lines::Lines;
use crate::elixir::literal;
use crate::elixir::project::Project;
use crate::elixir::project::table::{Column, Table, TableConstraint, TableIndex};

/// A step on one table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Create(Table),
    Alter(Vec<Change>),
    Rename(String, String),
    RenameIndex(String, String),
    CreateIndex(TableIndex),
    DropIndex(TableIndex),
    CreateConstraint(TableConstraint),
    DropConstraint(TableConstraint),
    /// SQL, and the SQL that takes it back.
    Execute(String, String),
}

/// A line of `alter table`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    Add(Column),
    Modify { old: Column, new: Column },
    Remove(Column),
}

/// Whether indexes are made while the table is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Transaction,
    Concurrently,
}

/// A migration.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Migration {
    /// `create_users`
    pub(crate) name: String,
    /// Table of the steps that name none.
    pub(crate) table: String,
    pub(crate) prefix: Option<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) mode: Mode,
}

/// The whole file.
pub(crate) fn migration_file(migration: &Migration, project: &Project) -> String {
    let mut out = Lines::default();
    let module = crate::elixir::names::camel(&migration.name);
    out.add(0, &format!("defmodule {}.Migrations.{module} do", project.repo.module));
    out.add(1, &format!("use {}", project.repo.migration_module));
    out.blank();
    if migration.mode == Mode::Concurrently {
        // An index is built beside running writes only outside a transaction.
        out.add(1, "@disable_ddl_transaction true");
        out.add(1, "@disable_migration_lock true");
        out.blank();
    }
    out.add(1, "def change do");
    for step in &migration.steps {
        write(&mut out, migration, step, project);
    }
    out.add(1, "end");
    out.add(0, "end");
    out.text()
}

fn write(out: &mut Lines, migration: &Migration, step: &Step, project: &Project) {
    let prefix = migration.prefix.as_deref();
    let table = &migration.table;
    match step {
        Step::Create(table) => {
            out.blank_unless_open();
            create(out, table, project);
            out.blank();
        }
        Step::Alter(changes) => {
            out.blank_unless_open();
            out.add(2, &format!("alter table({}) do", reference(table, prefix)));
            for change in changes {
                out.add(3, &change_line(change));
            }
            out.add(2, "end");
            out.blank();
        }
        Step::Rename(old, new) => {
            out.add(
                2,
                &format!(
                    "rename table({}), {}, to: {}",
                    reference(table, prefix),
                    literal::atom(old),
                    literal::atom(new)
                ),
            );
        }
        Step::RenameIndex(old, new) => {
            let schema = prefix.map(|prefix| format!("{prefix}.")).unwrap_or_default();
            out.add(
                2,
                &format!(
                    "execute {}, {}",
                    literal::text(&format!("ALTER INDEX {schema}{old} RENAME TO {new}")),
                    literal::text(&format!("ALTER INDEX {schema}{new} RENAME TO {old}"))
                ),
            );
        }
        Step::CreateIndex(index) => {
            out.add(2, &format!("create {}", index_code(table, prefix, index, migration.mode)));
        }
        Step::DropIndex(index) => {
            out.add(2, &format!("drop {}", index_code(table, prefix, index, migration.mode)));
        }
        Step::CreateConstraint(constraint) => {
            out.add(2, &format!("create {}", constraint_code(table, prefix, constraint)));
        }
        Step::DropConstraint(constraint) => {
            out.add(2, &format!("drop {}", constraint_code(table, prefix, constraint)));
        }
        Step::Execute(up, down) => {
            out.add(2, &format!("execute {}, {}", literal::text(up), literal::text(down)));
        }
    }
}

fn reference(table: &str, prefix: Option<&str>) -> String {
    let prefix =
        prefix.map(|prefix| format!(", prefix: {}", literal::text(prefix))).unwrap_or_default();
    format!("{}{prefix}", literal::atom(table))
}

fn create(out: &mut Lines, table: &Table, project: &Project) {
    let usual = implicit_key(project);
    let first = table.columns.first();
    let implicit = first.is_some_and(|column| *column == usual);
    let key = if implicit { "" } else { ", primary_key: false" };
    out.add(
        2,
        &format!("create table({}{key}) do", reference(&table.name, table.prefix.as_deref())),
    );
    let stamps = stamps_of(table, project);
    let skip = usize::from(implicit);
    let count = table.columns.len() - skip - if stamps.is_some() { 2 } else { 0 };
    for column in table.columns.iter().skip(skip).take(count) {
        out.add(3, &format!("add {}, {}", literal::atom(&column.name), column.arguments()));
    }
    if let Some(line) = stamps {
        out.blank_unless_open();
        out.add(3, &line);
    }
    out.add(2, "end");
}

/// The key column that `create table` adds by itself.
pub(crate) fn implicit_key(project: &Project) -> Column {
    let (name, kind) = project
        .repo
        .defaults
        .primary_key
        .clone()
        .unwrap_or_else(|| ("id".to_owned(), ":bigserial".to_owned()));
    Column::new(&name, &kind, vec![("primary_key".to_owned(), "true".to_owned())])
}

/// The last two columns as `timestamps(…)`, when the resource has them.
fn stamps_of(table: &Table, project: &Project) -> Option<String> {
    let stamps = table.stamps.as_ref()?;
    let [.., inserted, _] = table.columns.as_slice() else { return None };
    let mut options = Vec::new();
    if inserted.kind != ":naive_datetime" || project.repo.defaults.timestamps.is_some() {
        options.push(format!("type: {}", inserted.kind));
    }
    for (usual, name) in ["inserted_at", "updated_at"].iter().zip(stamps) {
        if usual != name {
            options.push(format!("{usual}: :{name}"));
        }
    }
    Some(format!("timestamps({})", options.join(", ")))
}

fn change_line(change: &Change) -> String {
    match change {
        Change::Add(column) => {
            format!("add {}, {}", literal::atom(&column.name), column.arguments())
        }
        Change::Remove(column) => {
            format!("remove {}, {}", literal::atom(&column.name), column.arguments())
        }
        Change::Modify { old, new } => modify_line(old, new),
    }
}

/// `modify` with all that `from:` needs to go back.
fn modify_line(old: &Column, new: &Column) -> String {
    let mut after = new.options.clone();
    let mut before = old.options.clone();
    // What one side does not say has to be said, or going forth and back would leave it.
    for (key, absent) in [("null", "true"), ("default", "nil")] {
        let in_new = new.option(key).is_some();
        let in_old = old.option(key).is_some();
        if in_new && !in_old {
            before.push((key.to_owned(), absent.to_owned()));
        } else if in_old && !in_new {
            after.push((key.to_owned(), absent.to_owned()));
        }
    }
    let written = |options: &[(String, String)]| {
        options.iter().map(|(key, value)| format!(", {key}: {value}")).collect::<String>()
    };
    let options = |options: Vec<(String, String)>| -> Vec<(String, String)> {
        options.into_iter().filter(|(key, _)| key != "primary_key").collect()
    };
    let (after, before) = (options(after), options(before));
    let from = if before.is_empty() {
        old.kind.clone()
    } else {
        format!("{{{}{}}}", old.kind, written(&before))
    };
    format!("modify {}, {}{}, from: {from}", literal::atom(&new.name), new.kind, written(&after))
}

/// `unique_index(:users, [:email])`
fn index_code(table: &str, prefix: Option<&str>, index: &TableIndex, mode: Mode) -> String {
    let function = if index.unique { "unique_index" } else { "index" };
    let columns: Vec<String> = index
        .columns
        .iter()
        .map(|column| {
            if crate::elixir::names::is_identifier(column) {
                literal::atom(column)
            } else {
                column.clone()
            }
        })
        .collect();
    let mut options = String::new();
    let usual = format!("{table}_{}_index", index.columns.join("_"));
    if index.name != usual {
        let _ = write!(options, ", name: {}", literal::atom(&index.name));
    }
    for (key, value) in &index.options {
        let _ = write!(options, ", {key}: {value}");
    }
    if let Some(prefix) = prefix {
        let _ = write!(options, ", prefix: {}", literal::text(prefix));
    }
    if mode == Mode::Concurrently {
        options.push_str(", concurrently: true");
    }
    format!("{function}({}, [{}]{options})", literal::atom(table), columns.join(", "))
}

fn constraint_code(table: &str, prefix: Option<&str>, constraint: &TableConstraint) -> String {
    let mut options: String =
        constraint.options.iter().map(|(key, value)| format!(", {key}: {value}")).collect();
    if let Some(prefix) = prefix {
        let _ = write!(options, ", prefix: {}", literal::text(prefix));
    }
    format!("constraint({}, {}{options})", literal::atom(table), literal::atom(&constraint.name))
}
