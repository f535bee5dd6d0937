//! Calls that make, read, change and remove a row of each table, as far as a copy takes them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::factory::ir::{Case, Column, Expectation, Operation, Table, TableKind, Tool, Values};

use super::Access;
use super::blueprint::quoted;
use super::cases::{MOST_TABLES, missing, tool_of};
use super::empty_copy::EmptyCopy;
use super::values::{made_up, short, survives};

/// How often tables are gone through until all that point to others have their rows.
const ROUNDS: usize = 4;

/// Finds the calls that hold on a copy.
pub(super) struct Plan<'a> {
    pub(super) tables: &'a [Table],
    pub(super) tools: &'a [Tool],
    pub(super) copy: EmptyCopy<'a>,
    /// The row of each table, by argument.
    pub(super) rows: BTreeMap<usize, Map<String, Value>>,
    pub(super) cases: &'a mut Vec<Case>,
}

impl Plan<'_> {
    fn tool(&self, table: usize, operation: Operation) -> Option<&str> {
        tool_of(self.tools, table, operation)
    }

    fn case(&mut self, tool: &str, what: &str, arguments: Value, expect: Expectation) {
        let name = if what.is_empty() { tool.to_owned() } else { format!("{tool} {what}") };
        let tool = tool.to_owned();
        self.cases.push(Case { name, tool, arguments, expect, needs: self.copy.needs() });
    }

    pub(super) async fn make(&mut self, access: Access) {
        let count = self.tables.len().min(MOST_TABLES);
        let places: Vec<usize> = (0..count).filter(|place| self.copy.has(*place)).collect();
        if access == Access::ReadWrite {
            for _ in 0..ROUNDS {
                for place in places.iter().copied() {
                    if !self.rows.contains_key(&place) {
                        self.create(place).await;
                    }
                }
            }
        }
        for place in places {
            self.read(place).await;
        }
        let mut made: Vec<usize> = self.rows.keys().copied().collect();
        for place in made.clone() {
            self.change(place).await;
        }
        // What points to others goes first.
        for _ in 0..ROUNDS {
            let mut kept = Vec::new();
            for place in made.into_iter().rev() {
                if !self.remove(place).await {
                    kept.push(place);
                }
            }
            kept.reverse();
            made = kept;
        }
    }

    async fn create(&mut self, place: usize) {
        let Some(table) = self.tables.get(place) else { return };
        let Some(tool) = self.tool(place, Operation::Create).map(str::to_owned) else { return };
        let mut row = Map::new();
        for column in table.columns.iter().filter(|column| column.writable) {
            // Most defaults are worth more to a test than a value of ours.
            let keyed = table.key.contains(&column.argument);
            if column.optional && !column.nullable && !keyed {
                continue;
            }
            row.insert(column.argument.clone(), self.value(table, column));
        }
        if self.insert(place, &row).await {
            self.created(place, tool, row).await;
            return;
        }
        // A rule of some column that may be left out.
        row.retain(|argument, _| {
            table.columns.iter().any(|column| column.argument == *argument && !column.optional)
                || table.key.contains(argument)
        });
        if self.insert(place, &row).await {
            self.created(place, tool, row).await;
        }
    }

    async fn created(&mut self, place: usize, tool: String, row: Map<String, Value>) {
        let Some(table) = self.tables.get(place) else { return };
        let stored = self.settled(table, row.clone()).await;
        self.case(&tool, "", Value::Object(row), holds_row(table, &stored));
        self.rows.insert(place, stored);
    }

    /// What of a row stands in the copy as it was written: triggers may have changed some of it.
    async fn settled(&mut self, table: &Table, row: Map<String, Value>) -> Map<String, Value> {
        let mut kept = Map::new();
        for (argument, value) in row {
            let Some(column) = table.columns.iter().find(|column| column.argument == argument)
            else {
                continue;
            };
            let condition = format!("{} IS ?", quoted(&column.name));
            let found = self.copy.count(table, &condition, vec![(column, &value)]).await;
            if found != Some(0) {
                kept.insert(argument, value);
            }
        }
        kept
    }

    /// A value that fits the column, of the row that it points to where it points to one.
    fn value(&self, table: &Table, column: &Column) -> Value {
        for key in &table.foreign_keys {
            let Some(at) = key.columns.iter().position(|name| *name == column.name) else {
                continue;
            };
            let Some(target) = self.tables.iter().position(|one| match &key.target_schema {
                Some(_) => one.name == key.target && one.schema == key.target_schema,
                None => one.name.eq_ignore_ascii_case(&key.target),
            }) else {
                continue;
            };
            let wanted = key.target_columns.get(at);
            let argument = self
                .tables
                .get(target)
                .and_then(|one| one.columns.iter().find(|column| Some(&column.name) == wanted));
            if let Some(column) = argument
                && let Some(value) =
                    self.rows.get(&target).and_then(|row| row.get(&column.argument))
            {
                return value.clone();
            }
            if column.nullable {
                return Value::Null;
            }
        }
        made_up(column).unwrap_or(Value::Null)
    }

    async fn insert(&mut self, place: usize, row: &Map<String, Value>) -> bool {
        let Some(table) = self.tables.get(place) else { return false };
        let mut names = Vec::new();
        let mut marks = Vec::new();
        let mut values = Vec::new();
        for column in &table.columns {
            if let Some(value) = row.get(&column.argument) {
                names.push(quoted(&column.name));
                values.push((column, value));
                marks.push(self.copy.mark(column, values.len()));
            }
        }
        let content = if names.is_empty() {
            "DEFAULT VALUES".to_owned()
        } else {
            format!("({}) VALUES ({})", names.join(", "), marks.join(", "))
        };
        let statement = format!("INSERT INTO {} {content}", self.copy.name(self.tables, place));
        self.copy.run(statement, values).await == Some(1)
    }

    /// The condition that picks one row; its values are bound from this number on.
    fn chosen(&self, table: &Table, first: usize) -> String {
        let names = table.key.iter().filter_map(|argument| {
            table.columns.iter().find(|column| column.argument == *argument)
        });
        names
            .zip(first..)
            .map(|(column, at)| {
                format!("{} = {}", quoted(&column.name), self.copy.mark(column, at))
            })
            .collect::<Vec<_>>()
            .join(" AND ")
    }

    async fn read(&mut self, place: usize) {
        let Some(table) = self.tables.get(place) else { return };
        let row = self.rows.get(&place).cloned();
        // Triggers of other tables may have made rows of this one.
        let count = self.copy.count(table, "1 = 1", Vec::new()).await;
        let stored = table.kind == TableKind::Table
            && count.is_none_or(|count| usize::try_from(count) == Ok(usize::from(row.is_some())));
        if let Some(tool) = self.tool(place, Operation::List).map(str::to_owned) {
            let holds = match &row {
                Some(row) if stored => {
                    json!({ "rows": [shown(table, row)], "next_cursor": null })
                }
                None if stored => json!({ "rows": [] }),
                Some(_) | None => json!({}),
            };
            self.case(&tool, "", json!({ "limit": 5 }), Expectation::Result { holds });
        }
        if table.key.is_empty() {
            return;
        }
        let Some(tool) = self.tool(place, Operation::Get).map(str::to_owned) else { return };
        if let Some(row) = &row
            && let Some(key) = key(table, row)
        {
            self.case(&tool, "", Value::Object(key), holds_row(table, row));
        }
        if let Some(missing) = missing(table) {
            let holds = "has no row with".to_owned();
            self.case(&tool, "of no row", Value::Object(missing), Expectation::Error { holds });
        }
    }

    async fn change(&mut self, place: usize) {
        let Some(table) = self.tables.get(place) else { return };
        let Some(tool) = self.tool(place, Operation::Update).map(str::to_owned) else { return };
        let Some(row) = self.rows.get(&place).cloned() else { return };
        let Some(mut arguments) = key(table, &row) else { return };
        let pointing =
            |name: &String| table.foreign_keys.iter().any(|key| key.columns.contains(name));
        let Some(column) = table.columns.iter().find(|column| {
            column.writable
                && column.values == Values::Text
                && !table.key.contains(&column.argument)
                && !pointing(&column.name)
        }) else {
            return;
        };
        let value = json!(short(column, "changed"));
        let statement = format!(
            "UPDATE {} SET {} = {} WHERE {}",
            self.copy.name(self.tables, place),
            quoted(&column.name),
            self.copy.mark(column, 1),
            self.chosen(table, 2)
        );
        let mut values = vec![(column, &value)];
        values.extend(keyed(table, &row));
        if self.copy.run(statement, values).await != Some(1) {
            return;
        }
        arguments.insert(column.argument.clone(), value.clone());
        let mut changed = row;
        changed.insert(column.argument.clone(), value);
        let changed = self.settled(table, changed).await;
        self.case(&tool, "", Value::Object(arguments), holds_row(table, &changed));
        self.rows.insert(place, changed);
    }

    async fn remove(&mut self, place: usize) -> bool {
        let Some(table) = self.tables.get(place) else { return true };
        let Some(tool) = self.tool(place, Operation::Delete).map(str::to_owned) else {
            return true;
        };
        let Some(row) = self.rows.get(&place).cloned() else { return true };
        let Some(arguments) = key(table, &row) else { return true };
        let statement = format!(
            "DELETE FROM {} WHERE {}",
            self.copy.name(self.tables, place),
            self.chosen(table, 1)
        );
        let values = keyed(table, &row);
        if self.copy.run(statement, values).await != Some(1) {
            return false;
        }
        self.case(
            &tool,
            "",
            Value::Object(arguments),
            Expectation::Result { holds: json!({ "deleted": 1 }) },
        );
        true
    }
}

fn keyed<'a>(table: &'a Table, row: &'a Map<String, Value>) -> Vec<(&'a Column, &'a Value)> {
    table
        .key
        .iter()
        .filter_map(|argument| {
            let column = table.columns.iter().find(|column| column.argument == *argument)?;
            Some((column, row.get(argument)?))
        })
        .collect()
}

fn key(table: &Table, row: &Map<String, Value>) -> Option<Map<String, Value>> {
    table
        .key
        .iter()
        .map(|argument| {
            let value = row.get(argument).filter(|value| !value.is_null())?;
            Some((argument.clone(), value.clone()))
        })
        .collect()
}

fn holds_row(table: &Table, row: &Map<String, Value>) -> Expectation {
    Expectation::Result { holds: json!({ "row": shown(table, row) }) }
}

/// What comes back of what was given: a type may change how a value is written.
fn shown(table: &Table, row: &Map<String, Value>) -> Map<String, Value> {
    row.iter()
        .filter(|(argument, value)| {
            table.columns.iter().any(|column| {
                column.argument == **argument && (value.is_null() || survives(column))
            })
        })
        .map(|(argument, value)| (argument.clone(), value.clone()))
        .collect()
}
