//! Calls that prove a package, tried beforehand on an empty copy of the database.
//!
//! Nothing is promised that was not seen: a row that the copy does not take, because of a rule
//! that nobody can guess, becomes no case. Where no copy can be made, the server is asked how it
//! would do what writes, and does not do it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

use crate::factory::ir::{
    Case, Column, Expectation, Kind, Needs, Operation, PackageFile, Table, TableKind, Tool, Trial,
    Values,
};

use super::Access;
use super::blueprint::{Blueprint, quoted};
use super::schema::{Schema, label};
use super::trial::{self, Copied, Server};
use super::values::{made_up, short, survives};

/// Most tables whose tools are called.
const MOST_TABLES: usize = 40;
/// What the runtime of a package says in its tests of a statement that was planned and not run.
const PLANNED: &str = "It was planned and not run";
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
        needs: None,
    }];
    cases.push(Case {
        name: "describe_schema of an unknown table".to_owned(),
        tool: "describe_schema".to_owned(),
        arguments: json!({ "table": "no such table" }),
        expect: Expectation::Error { holds: "There is no table `no such table`".to_owned() },
        needs: None,
    });
    cases
}

/// Cases on the tables of a server themselves: each is read, in a session that cannot write.
fn reading(tables: &[Table], tools: &[Tool]) -> Vec<Case> {
    let mut cases = Vec::new();
    for (place, table) in tables.iter().enumerate().take(MOST_TABLES) {
        let mut case = |operation: Operation, what: &str, arguments: Value, expect: Expectation| {
            if let Some(tool) = tool_of(tools, place, operation) {
                cases.push(Case {
                    name: format!("{tool} {what}"),
                    tool: tool.to_owned(),
                    arguments,
                    expect,
                    needs: Some(Needs::Rows),
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
        let copy = EmptyCopy::Sqlite(&mut copy);
        Plan { tables, tools, copy, rows: BTreeMap::new(), cases: &mut cases }.make(access).await;
        // In memory: there is nothing to lose.
        return (cases, vec![file]);
    }
    (cases, Vec::new())
}

/// Cases of a server, how they were found, and what makes the copy on which some of them hold.
pub(super) async fn postgresql(
    url: &str,
    blueprints: &BTreeMap<(String, String), Blueprint>,
    tables: &[Table],
    tools: &[Tool],
) -> (Vec<Case>, Vec<PackageFile>, Trial) {
    let mut cases = described(tables);
    cases.extend(reading(tables, tools));
    let writes = |tool: &Tool| match &tool.kind {
        Kind::Sql(sql) => {
            !matches!(sql.operation, Operation::List | Operation::Get | Operation::Describe)
        }
        Kind::Http(_) | Kind::Function(_) => false,
    };
    if !tools.iter().any(writes) {
        return (cases, Vec::new(), trial::of_readers());
    }
    let mut found = Trial { way: String::new(), unchecked: Vec::new() };
    let server = match Server::connect(url).await {
        Ok(server) => server,
        Err(reason) => {
            "what writes was not tried".clone_into(&mut found.way);
            found.unchecked.push(format!("no row was written: {reason}"));
            return (cases, Vec::new(), found);
        }
    };
    let mut files = Vec::new();
    let mut server = match server.copy(blueprints, tables).await {
        Ok(mut copied) => {
            found.way = format!("what writes was run {}", copied.way);
            found.unchecked.append(&mut copied.left_out);
            let copy = EmptyCopy::Postgresql(&mut copied);
            Plan { tables, tools, copy, rows: BTreeMap::new(), cases: &mut cases }
                .make(Access::ReadWrite)
                .await;
            for (place, table) in tables.iter().enumerate() {
                let named =
                    |operation| tool_of(tools, place, operation).map(|tool| (operation, tool));
                let tried =
                    |tool: &str| cases.iter().any(|case| case.tool == tool && case.needs == Some(Needs::Copy));
                if let Some((_, tool)) = named(Operation::Create).filter(|(_, tool)| !tried(tool)) {
                    let why = if place < MOST_TABLES {
                        "no row was found that the copy takes"
                    } else {
                        "only the first tables are tried"
                    };
                    found.unchecked.push(format!("{}: {tool}: {why}", label(table)));
                }
            }
            files.push(copied.file.clone());
            copied.forget().await
        }
        Err((server, reason)) => {
            "what writes was planned by the server and not run".clone_into(&mut found.way);
            found.unchecked.push(format!("no row was written: {reason}"));
            server
        }
    };
    planned(&mut server, (tables, tools), &mut cases, &mut found).await;
    server.close().await;
    (cases, files, found)
}

/// Cases in which the server says how it would write to the tables themselves, with the rights
/// that its user has there.
async fn planned(
    server: &mut Server,
    (tables, tools): (&[Table], &[Tool]),
    cases: &mut Vec<Case>,
    found: &mut Trial,
) {
    if let Err(reason) = server.read_only().await {
        found.unchecked.push(reason);
        return;
    }
    for (place, table) in tables.iter().enumerate().take(MOST_TABLES) {
        for operation in [Operation::Create, Operation::Update, Operation::Delete] {
            let Some(tool) = tool_of(tools, place, operation) else { continue };
            let Some(row) = imagined(table, operation) else { continue };
            let (text, values) = statement(table, operation, &row);
            match server.plan(&text, &values).await {
                Ok(()) => cases.push(Case {
                    name: format!("{tool} planned"),
                    tool: tool.to_owned(),
                    arguments: Value::Object(row.clone()),
                    expect: Expectation::Error { holds: PLANNED.to_owned() },
                    needs: Some(Needs::Plan),
                }),
                Err(reason) => {
                    found.unchecked.push(format!("{}: {tool}: {reason}", label(table)));
                }
            }
        }
    }
}

/// Arguments for a statement that is not run: none of what may be left out, except for a change.
fn imagined(table: &Table, operation: Operation) -> Option<Map<String, Value>> {
    let mut row = Map::new();
    for column in &table.columns {
        let keyed = table.key.contains(&column.argument);
        let wanted = match operation {
            Operation::Create => column.writable && !column.optional,
            Operation::Update if !keyed => {
                column.writable && row.keys().all(|argument| table.key.contains(argument))
            }
            _ => keyed,
        };
        if wanted {
            row.insert(column.argument.clone(), made_up(column)?);
        }
    }
    Some(row)
}

/// A statement on a table itself, as the package's own are.
fn statement<'a>(
    table: &'a Table,
    operation: Operation,
    row: &'a Map<String, Value>,
) -> (String, Vec<(&'a Column, &'a Value)>) {
    let schema = table.schema.as_ref().map(|schema| quoted(schema) + ".").unwrap_or_default();
    let name = format!("{schema}{}", quoted(&table.name));
    let values: Vec<(&Column, &Value)> = table
        .columns
        .iter()
        .filter_map(|column| Some((column, row.get(&column.argument)?)))
        .collect();
    let given: Vec<(bool, String, String)> = values
        .iter()
        .enumerate()
        .map(|(at, (column, _))| {
            let keyed = table.key.contains(&column.argument);
            (keyed, quoted(&column.name), trial::mark(column, at + 1))
        })
        .collect();
    let pairs = |wanted: bool, between: &str| {
        let chosen = given.iter().filter(|(keyed, ..)| *keyed == wanted);
        chosen.map(|(_, name, mark)| format!("{name} = {mark}")).collect::<Vec<_>>().join(between)
    };
    let text = match operation {
        Operation::Update => {
            format!("UPDATE {name} SET {} WHERE {}", pairs(false, ", "), pairs(true, " AND "))
        }
        Operation::Delete => format!("DELETE FROM {name} WHERE {}", pairs(true, " AND ")),
        _ if given.is_empty() => format!("INSERT INTO {name} DEFAULT VALUES"),
        _ => {
            let names: Vec<&str> = given.iter().map(|(_, name, _)| name.as_str()).collect();
            let marks: Vec<&str> = given.iter().map(|(_, _, mark)| mark.as_str()).collect();
            format!("INSERT INTO {name} ({}) VALUES ({})", names.join(", "), marks.join(", "))
        }
    };
    (text, values)
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

/// An empty copy of a database.
enum EmptyCopy<'a> {
    Sqlite(&'a mut SqliteConnection),
    Postgresql(&'a mut Copied),
}

impl EmptyCopy<'_> {
    /// Whether a table is in it, or can be read as if it were.
    fn has(&self, place: usize) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgresql(copied) => copied.places.contains(&place),
        }
    }

    const fn needs(&self) -> Option<Needs> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgresql(_) => Some(Needs::Copy),
        }
    }

    fn name(&self, tables: &[Table], place: usize) -> String {
        match self {
            Self::Sqlite(_) => tables.get(place).map(|table| quoted(&table.name)).unwrap_or_default(),
            Self::Postgresql(_) => Copied::name(tables, place),
        }
    }

    fn mark(&self, column: &Column, number: usize) -> String {
        match self {
            Self::Sqlite(_) => "?".to_owned(),
            Self::Postgresql(_) => trial::mark(column, number),
        }
    }

    async fn run(&mut self, statement: String, values: Vec<(&Column, &Value)>) -> Option<u64> {
        match self {
            Self::Sqlite(connection) => {
                // Names from the catalog, each quoted; values are bound.
                let mut query = sqlx::query(AssertSqlSafe(statement));
                for (column, value) in values {
                    query = bind(query, column, value);
                }
                query.execute(&mut **connection).await.ok().map(|done| done.rows_affected())
            }
            Self::Postgresql(copied) => copied.run(statement, &values).await,
        }
    }
}

struct Plan<'a> {
    tables: &'a [Table],
    tools: &'a [Tool],
    copy: EmptyCopy<'a>,
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
        self.cases.push(Case { name, tool, arguments, expect, needs: self.copy.needs() });
    }

    async fn make(&mut self, access: Access) {
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
        if self.insert(place, &row).await {
            self.case(&tool, "", Value::Object(row.clone()), holds_row(table, &row));
            self.rows.insert(place, row);
            return;
        }
        // A rule of some column that may be left out.
        row.retain(|argument, _| {
            table.columns.iter().any(|column| column.argument == *argument && !column.optional)
                || table.key.contains(argument)
        });
        if self.insert(place, &row).await {
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
                self.tables.iter().position(|one| match &key.target_schema {
                    Some(_) => one.name == key.target && one.schema == key.target_schema,
                    None => one.name.eq_ignore_ascii_case(&key.target),
                })
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
            .map(|(column, at)| format!("{} = {}", quoted(&column.name), self.copy.mark(column, at)))
            .collect::<Vec<_>>()
            .join(" AND ")
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
