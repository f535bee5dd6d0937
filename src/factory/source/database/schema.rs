//! What is in a database, and which of it is wanted.

use std::collections::{BTreeMap, BTreeSet};

use crate::factory::error::{FactoryError, Refusal};
use crate::factory::ir::{Note, Skipped, Table};

use super::blueprint::Blueprint;
use super::{DatabaseRequest, SHOWN};

/// Longest name of an argument.
const ARGUMENT: usize = 64;

/// What is in a database.
#[derive(Debug, Clone, Default)]
pub(super) struct Schema {
    pub(super) tables: Vec<Described>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) notes: Vec<Note>,
    /// Statements that make an empty copy, where the database tells them.
    pub(super) statements: Vec<String>,
    /// How tables are made anew, where the database does not.
    pub(super) blueprints: BTreeMap<(String, String), Blueprint>,
}

/// A table with what its user may do.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) table: Table,
    pub(super) rights: Rights,
}

/// What the user of a database may do with a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    pub(super) insert: bool,
    pub(super) update: bool,
    pub(super) delete: bool,
}

impl Rights {
    pub(super) const ALL: Self = Self { insert: true, update: true, delete: true };
}

/// Its name, with its name space where that tells something.
pub(super) fn label(table: &Table) -> String {
    match &table.schema {
        Some(schema) => format!("{schema}.{}", table.name),
        None => table.name.clone(),
    }
}

/// The tables that are wanted. Those that `exclude` and `include` leave out are told.
pub(super) fn select(
    schema: &Schema,
    request: &DatabaseRequest,
    skipped: &mut Vec<Skipped>,
) -> Result<Vec<Table>, FactoryError> {
    let is = |table: &Table, name: &str| label(table) == name || table.name == name;
    for name in &request.tables {
        if schema.tables.iter().any(|described| is(&described.table, name)) {
            continue;
        }
        let operation = format!("table {name}");
        if let Some(known) = schema
            .skipped
            .iter()
            .find(|one| one.operation == operation || one.operation.ends_with(&format!(" {name}")))
        {
            return Err(FactoryError::new(
                Refusal::Arguments,
                format!("`tables`: `{name}` cannot become a tool: {}", known.reason),
                "leave it out of `tables`",
            ));
        }
        let mut names: Vec<String> = schema.tables.iter().map(|one| label(&one.table)).collect();
        names.sort_by(|a, b| {
            strsim::jaro_winkler(b, name).total_cmp(&strsim::jaro_winkler(a, name))
        });
        names.truncate(SHOWN);
        return Err(FactoryError::new(
            Refusal::Arguments,
            format!("`tables`: the database has no table `{name}`"),
            format!("there are: {}", names.join(", ")),
        ));
    }
    let mut tables = Vec::new();
    for described in &schema.tables {
        let table = &described.table;
        let named = label(table);
        let matches = |patterns: &[String]| {
            patterns.iter().any(|pattern| {
                let pattern = pattern.strip_prefix("table:").unwrap_or(pattern);
                fits(pattern, &named) || fits(pattern, &table.name)
            })
        };
        let left_out =
            if !request.tables.is_empty() && !request.tables.iter().any(|name| is(table, name)) {
                Some("`tables` does not name it")
            } else if !request.include.is_empty() && !matches(&request.include) {
                Some("`include` does not name it")
            } else if matches(&request.exclude) {
                Some("`exclude` names it")
            } else {
                None
            };
        match left_out {
            Some(reason) => skipped.push(Skipped {
                pointer: named.clone(),
                operation: format!("table {named}"),
                reason: reason.to_owned(),
            }),
            None => tables.push(table.clone()),
        }
    }
    Ok(tables)
}

/// Whether a text fits a pattern, in which `*` stands for anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            let part: &str = part;
            let Some((_, after)) = rest.split_once(part) else { return false };
            rest = after;
        }
    }
    match last {
        Some(end) => rest.ends_with(end),
        None => rest.is_empty(),
    }
}

/// Names of arguments for columns: the column's own where clients take it.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    used: BTreeSet<String>,
}

impl Arguments {
    pub(super) fn of(&mut self, column: &str) -> String {
        let mut plain = String::new();
        for letter in column.chars() {
            if letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.') {
                plain.push(letter);
            } else if !plain.ends_with('_') {
                plain.push('_');
            }
        }
        if plain.chars().all(|letter| letter == '_') {
            "column".clone_into(&mut plain);
        }
        plain.truncate(ARGUMENT);
        let mut name = plain.clone();
        let mut number = 2;
        while !self.used.insert(name.clone()) {
            let end = format!("_{number}");
            name = format!(
                "{}{end}",
                plain
                    .get(..ARGUMENT.min(plain.len()).saturating_sub(end.len()))
                    .unwrap_or_default()
            );
            if plain.len() + end.len() <= ARGUMENT {
                name = format!("{plain}{end}");
            }
            number += 1;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit() {
        for (pattern, text, expected) in [
            ("orders", "orders", true),
            ("orders", "orders_old", false),
            ("orders*", "orders_old", true),
            ("*.log", "public.log", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "anything", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn arguments_are_unique_names_that_clients_take() {
        let mut arguments = Arguments::default();
        let long = "x".repeat(80);
        let names: Vec<String> = [
            "id",
            "first name",
            "first-name",
            "first name ",
            "größe",
            "日本",
            "日",
            "",
            &long,
            &format!("{long}y"),
        ]
        .iter()
        .map(|column| arguments.of(column))
        .collect();
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert_eq!(names[..3], ["id", "first_name", "first-name"]);
        for name in &names {
            assert!(
                (1..=64).contains(&name.len())
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)),
                "{name}"
            );
        }
    }
}
