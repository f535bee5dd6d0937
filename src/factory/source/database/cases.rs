//! Calls that prove a package, tried beforehand on an empty copy of the database.
//!
//! Nothing is promised that was not seen: a row that the copy does not take, because of a rule
//! that nobody can guess, becomes no case.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use crate::factory::ir::{
    Case, Column, Expectation, Kind, Operation, PackageFile, Table, TableKind, Tool, Values,
};

use super::Access;
use super::schema::{Schema, label};

/// Most tables whose tools are called.
const MOST_TABLES: usize = 25;
/// How often tables are gone through until all that point to others have their rows.
const ROUNDS: usize = 4;

/// Cases that need no database.
pub(super) fn described(tables: &[Table]) -> Vec<Case> {
    let names: Vec<Value> = tables.iter().map(|table| json!({ "name": label(table) })).collect();
    let mut cases = vec![Case {
        name: "describe_schema".to_owned(),
        tool: "describe_schema".to_owned(),
        arguments: json!({}),
        expect: Expectation::Result { holds: json!({ "tables": names }) },
        reads_database: false,
    }];
    cases.push(Case {
        name: "describe_schema of an unknown table".to_owned(),
        tool: "describe_schema".to_owned(),
        arguments: json!({ "table": "no such table" }),
        expect: Expectation::Error { holds: "There is no table `no such table`".to_owned() },
        reads_database: false,
    });
    cases
}

/// Cases on the database itself, for a dialect of which no copy can be made: each table is read,
/// in a session that cannot write.
pub(super) fn reading(tables: &[Table], tools: &[Tool]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (place, table) in tables.iter().enumerate().take(MOST_TABLES) {
        let mut case = |operation: Operation, what: &str, arguments: Value, expect: Expectation| {
            if let Some(tool) = tool_of(tools, place, operation) {
                cases.push(Case {
                    name: format!("{tool} {what}"),
                    tool: tool.to_owned(),
                    arguments,
                    expect,
                    reads_database: true,
                });
            }
        };
        let success = || Expectation::Result { holds: json!({ "status": "success" }) };
        case(Operation::List, "of the database", json!({ "limit": 1 }), success());
        if let Some(missing) = missing(table) {
            let holds = "has no row with".to_owned();
            let expect = Expectation::Error { holds };
            case(Operation::Get, "of no row", Value::Object(missing), expect);
        }
    }
    cases
}

/// The tool for an operation on a table.
fn tool_of(tools: &[Tool], place: usize, operation: Operation) -> Option<&str> {
    tools
        .iter()
        .find(|tool| match &tool.kind {
            Kind::Sql(sql) => sql.place == Some(place) && sql.operation == operation,
            Kind::Http(_) | Kind::Function(_) => false,
        })
        .map(|tool| tool.name.as_str())
}

/// A key that no row has, as far as one can be made up.
fn missing(table: &Table) -> Option<Map<String, Value>> {
    if table.key.is_empty() {
        return None;
    }
    table
        .key
        .iter()
        .map(|argument| {
            let column = table.columns.iter().find(|column| column.argument == *argument)?;
            let value = match column.values {
                Values::Integer => json!(987_654_321),
                Values::Text | Values::Any => json!("no such row"),
                _ => return None,
            };
            Some((argument.clone(), value))
        })
        .collect()
}

/// Cases, and the file that makes the copy on which they hold.
pub(super) async fn sqlite(
    schema: &Schema,
    tables: &[Table],
    tools: &[Tool],
    access: Access,
) -> (Vec<Case>, Vec<PackageFile>) {
    let mut cases = described(tables);
    let mut text = String::from("-- Makes an empty copy of the database, for tests.\n");
    for statement in &schema.statements {
        text.push_str(statement.trim_end().trim_end_matches(';'));
        text.push_str(";\n");
    }
    // A schema that cannot be made anew (a function of the application's own in an index, for one)
    // leaves the cases that need no rows.
    let file = PackageFile { path: "tests/schema.sql".to_owned(), text };
    if let Ok(mut copy) = copy(&schema.statements).await {
        Plan { tables, tools, copy: &mut copy, rows: BTreeMap::new(), cases: &mut cases }
            .make(access)
            .await;
        // In memory: there is nothing to lose.
        drop(copy.close().await);
        return (cases, vec![file]);
    }
    (cases, Vec::new())
}

async fn copy(statements: &[String]) -> sqlx::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(":memory:")
        .foreign_keys(true)
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    for statement in statements {
        // The statement that made the user's own table, on an empty database in memory.
        sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&mut connection).await?;
    }
    Ok(connection)
}

struct Plan<'a> {
    tables: &'a [Table],
    tools: &'a [Tool],
    copy: &'a mut SqliteConnection,
    /// The row of each table, by argument.
    rows: BTreeMap<usize, Map<String, Value>>,
    cases: &'a mut Vec<Case>,
}

impl Plan<'_> {
    fn tool(&self, table: usize, operation: Operation) -> Option<&str> {
        tool_of(self.tools, table, operation)
    }

    fn case(&mut self, tool: &str, what: &str, arguments: Value, expect: Expectation) {
        let name = if what.is_empty() { tool.to_owned() } else { format!("{tool} {what}") };
        let tool = tool.to_owned();
        self.cases.push(Case { name, tool, arguments, expect, reads_database: false });
    }

    async fn make(&mut self, access: Access) {
        let count = self.tables.len().min(MOST_TABLES);
        if access == Access::ReadWrite {
            for _ in 0..ROUNDS {
                for place in 0..count {
                    if !self.rows.contains_key(&place) {
                        self.create(place).await;
                    }
                }
            }
        }
        for place in 0..count {
            self.read(place);
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
        if self.insert(table, &row).await {
            self.case(&tool, "", Value::Object(row.clone()), holds_row(table, &row));
            self.rows.insert(place, row);
            return;
        }
        // A rule of some column that may be left out.
        row.retain(|argument, _| {
            table.columns.iter().any(|column| column.argument == *argument && !column.optional)
                || table.key.contains(argument)
        });
        if self.insert(table, &row).await {
            self.case(&tool, "", Value::Object(row.clone()), holds_row(table, &row));
            self.rows.insert(place, row);
        }
    }

    /// A value that fits the column, of the row that it points to where it points to one.
    fn value(&self, table: &Table, column: &Column) -> Value {
        for key in &table.foreign_keys {
            let Some(at) = key.columns.iter().position(|name| *name == column.name) else {
                continue;
            };
            let Some(target) =
                self.tables.iter().position(|one| one.name.eq_ignore_ascii_case(&key.target))
            else {
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
        match &column.values {
            Values::Integer => json!(7),
            Values::Float => json!(1.5),
            Values::Decimal => json!("12.25"),
            Values::Boolean => json!(true),
            Values::Blob => json!("AAEC/w=="),
            Values::Json => json!({ "a": [1, null, "x"] }),
            Values::Any if column.declared.to_uppercase().contains("TIME") => {
                json!("2026-01-02 03:04:05")
            }
            Values::Time | Values::Any => json!("2026-01-02"),
            Values::Uuid => json!("00000000-0000-4000-8000-000000000001"),
            Values::Enum { choices } => choices.first().cloned().map_or(Value::Null, Value::String),
            Values::Array { .. } => json!([]),
            Values::Text | Values::Other => json!("it's \"quoted\" ü"),
        }
    }

    async fn insert(&mut self, table: &Table, row: &Map<String, Value>) -> bool {
        let mut names = Vec::new();
        let mut values = Vec::new();
        for column in &table.columns {
            if let Some(value) = row.get(&column.argument) {
                names.push(quoted(&column.name));
                values.push((column, value));
            }
        }
        let marks = vec!["?"; names.len()].join(", ");
        let content = if names.is_empty() {
            "DEFAULT VALUES".to_owned()
        } else {
            format!("({}) VALUES ({marks})", names.join(", "))
        };
        let statement = format!("INSERT INTO {} {content}", quoted(&table.name));
        self.run(statement, values).await == Some(1)
    }

    async fn run(&mut self, statement: String, values: Vec<(&Column, &Value)>) -> Option<u64> {
        // Names from the catalog, each quoted; values are bound.
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for (column, value) in values {
            query = bind(query, column, value);
        }
        query.execute(&mut *self.copy).await.ok().map(|done| done.rows_affected())
    }

    fn read(&mut self, place: usize) {
        let Some(table) = self.tables.get(place) else { return };
        let row = self.rows.get(&place).cloned();
        let stored = table.kind == TableKind::Table;
        if let Some(tool) = self.tool(place, Operation::List).map(str::to_owned) {
            let holds = match &row {
                Some(row) => json!({ "rows": [shown(table, row)], "next_cursor": null }),
                None if stored => json!({ "rows": [] }),
                None => json!({}),
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
        let value = json!("changed");
        let statement = format!(
            "UPDATE {} SET {} = ? WHERE {}",
            quoted(&table.name),
            quoted(&column.name),
            chosen(table)
        );
        let mut values = vec![(column, &value)];
        values.extend(keyed(table, &row));
        if self.run(statement, values).await != Some(1) {
            return;
        }
        arguments.insert(column.argument.clone(), value.clone());
        let mut changed = row;
        changed.insert(column.argument.clone(), value);
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
        let statement = format!("DELETE FROM {} WHERE {}", quoted(&table.name), chosen(table));
        let values = keyed(table, &row);
        if self.run(statement, values).await != Some(1) {
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

/// An identifier, whatever characters it has.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn chosen(table: &Table) -> String {
    let names = table
        .key
        .iter()
        .filter_map(|argument| table.columns.iter().find(|column| column.argument == *argument));
    names.map(|column| format!("{} = ?", quoted(&column.name))).collect::<Vec<_>>().join(" AND ")
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
                column.argument == **argument
                    && (value.is_null()
                        || matches!(
                            column.values,
                            Values::Integer
                                | Values::Text
                                | Values::Boolean
                                | Values::Blob
                                | Values::Json
                                | Values::Decimal
                        ))
            })
        })
        .map(|(argument, value)| (argument.clone(), value.clone()))
        .collect()
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn bind<'q>(query: Query<'q>, column: &Column, value: &Value) -> Query<'q> {
    use base64::Engine as _;
    match value {
        Value::Null => query.bind(None::<i64>),
        Value::Bool(value) => query.bind(i64::from(*value)),
        Value::Number(number) => match number.as_i64() {
            Some(number) => query.bind(number),
            None => query.bind(number.as_f64()),
        },
        Value::String(text) if column.values == Values::Blob => {
            query.bind(base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default())
        }
        Value::String(text) => query.bind(text.clone()),
        Value::Array(_) | Value::Object(_) => query.bind(value.to_string()),
    }
}
