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
    Case, Column, Expectation, Kind, Needs, Operation, PackageFile, Table, Tool, Trial, Values,
};

use super::Access;
use super::blueprint::{Blueprint, quoted};
use super::empty_copy::EmptyCopy;
use super::plan::Plan;
use super::schema::{Schema, label};
use super::trial::{self, Server};
use super::values::made_up;

/// Most tables whose tools are called.
pub(super) const MOST_TABLES: usize = 40;
/// What the runtime of a package says in its tests of a statement that was planned and not run.
const PLANNED: &str = "It was planned and not run";

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
pub(super) fn tool_of(tools: &[Tool], place: usize, operation: Operation) -> Option<&str> {
    tools
        .iter()
        .find(|tool| match &tool.kind {
            Kind::Sql(sql) => sql.place == Some(place) && sql.operation == operation,
            Kind::Http(_) | Kind::Function(_) => false,
        })
        .map(|tool| tool.name.as_str())
}

/// A key that no row has, as far as one can be made up.
pub(super) fn missing(table: &Table) -> Option<Map<String, Value>> {
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
                let tried = |tool: &str| {
                    cases.iter().any(|case| case.tool == tool && case.needs == Some(Needs::Copy))
                };
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
