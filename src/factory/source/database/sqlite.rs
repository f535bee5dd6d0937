//! SQLite files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::factory::error::{FactoryError, Refusal};
use crate::factory::ir::{Column, ForeignKey, Note, Skipped, Table, TableKind, Values};

use super::problem;
use super::schema::{Arguments, Described, Rights, Schema};

/// Virtual tables that every Python has; others would keep the copy for tests from being made.
const USUAL_MODULES: [&str; 6] = ["fts3", "fts4", "fts5", "rtree", "rtree_i32", "dbstat"];

/// The path that an address names.
pub(in crate::factory) fn path_of(url: &str) -> String {
    for prefix in ["sqlite://", "sqlite:"] {
        if let Some(rest) = url.strip_prefix(prefix) {
            let path = rest.split('?').next().unwrap_or(rest);
            return percent_decode_str(path).decode_utf8_lossy().into_owned();
        }
    }
    url.to_owned()
}

/// What is in a file.
pub(super) async fn read(
    url: &str,
    known: &moka::future::Cache<String, Arc<Schema>>,
) -> Result<Arc<Schema>, FactoryError> {
    let path = path_of(url);
    let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
    match tokio::fs::metadata(&path).await {
        Ok(found) if found.is_file() => {}
        Ok(_) => {
            return Err(FactoryError::new(
                Refusal::Arguments,
                format!("`{name}` is a folder or device, no database file"),
                "give the path of a SQLite file",
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(FactoryError::new(
                Refusal::NotAccessible,
                format!("the database `{name}` cannot be read: it cannot be opened"),
                "check the rights of the file and of its folder",
            ));
        }
        Err(_) => {
            return Err(FactoryError::new(
                Refusal::NotAccessible,
                format!("there is no database file `{name}`"),
                "give the path of an existing SQLite file",
            ));
        }
    }
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .read_only(true)
        .busy_timeout(Duration::from_secs(5))
        .disable_statement_logging();
    let told = format!("`{name}`");
    let mut connection = options.connect().await.map_err(|error| problem::of(&error, &told))?;
    let result = read_once(&mut connection, &path, known).await;
    // The file is let go before anybody is answered.
    let closed = connection.close().await;
    let schema = result.map_err(|error| problem::of(&error, &told))?;
    closed.map_err(|error| problem::of(&error, &told))?;
    Ok(schema)
}

async fn read_once(
    connection: &mut SqliteConnection,
    path: &str,
    known: &moka::future::Cache<String, Arc<Schema>>,
) -> sqlx::Result<Arc<Schema>> {
    // Changes with every change of the schema, whoever makes it.
    let version: i64 =
        sqlx::query_scalar("PRAGMA schema_version").fetch_one(&mut *connection).await?;
    let key = format!("sqlite:{version}:{path}");
    if let Some(schema) = known.get(&key).await {
        return Ok(schema);
    }
    let schema = Arc::new(schema(connection).await?);
    known.insert(key, Arc::clone(&schema)).await;
    Ok(schema)
}

/// Reads what is in an open database.
pub(super) async fn schema(connection: &mut SqliteConnection) -> sqlx::Result<Schema> {
    let mut schema = Schema::default();
    let listed = sqlx::query(
        "SELECT l.name, l.type, l.wr, l.strict, coalesce(s.sql, '') AS sql \
         FROM pragma_table_list AS l LEFT JOIN main.sqlite_schema AS s \
         ON s.name = l.name AND s.type IN ('table', 'view') \
         WHERE l.schema = 'main' ORDER BY s.rowid, l.name",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in listed {
        let name: String = row.try_get("name")?;
        let kind: String = row.try_get("type")?;
        let sql: String = row.try_get("sql")?;
        if name.starts_with("sqlite_") {
            continue;
        }
        let mut skip = |what: &str, reason: String| {
            schema.skipped.push(Skipped {
                pointer: name.clone(),
                operation: format!("{what} {name}"),
                reason,
            });
        };
        let kind = match kind.as_str() {
            "table" => TableKind::Table,
            "view" => TableKind::View,
            "shadow" => {
                skip("table", "it holds the index of a virtual table".to_owned());
                continue;
            }
            _ => {
                skip(
                    "table",
                    format!(
                        "it is a virtual table ({}), whose columns are not stored rows",
                        module(&sql)
                    ),
                );
                continue;
            }
        };
        let rules = TableRules {
            without_rowid: row.try_get::<i64, _>("wr")? != 0,
            strict: row.try_get::<i64, _>("strict")? != 0,
        };
        match table(connection, &name, kind, &rules, &mut schema.notes).await {
            Ok(table) if table.columns.is_empty() => {
                skip("table", "it has no visible columns".to_owned());
            }
            Ok(table) => schema.tables.push(Described { table, rights: Rights::ALL }),
            // A view of a table that is gone, for one.
            Err(sqlx::Error::Database(error)) => {
                let what = if kind == TableKind::View { "view" } else { "table" };
                skip(what, format!("the database cannot read it: {}", error.message()));
            }
            Err(error) => return Err(error),
        }
    }
    schema.statements = statements(connection).await?;
    Ok(schema)
}

struct TableRules {
    without_rowid: bool,
    strict: bool,
}

async fn table(
    connection: &mut SqliteConnection,
    name: &str,
    kind: TableKind,
    rules: &TableRules,
    notes: &mut Vec<Note>,
) -> sqlx::Result<Table> {
    let rows = sqlx::query("SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?1) ORDER BY cid")
        .bind(name)
        .fetch_all(&mut *connection)
        .await?;
    let indexes = sqlx::query(
        "SELECT name, \"unique\", origin, partial FROM pragma_index_list(?1) ORDER BY seq DESC",
    )
    .bind(name)
    .fetch_all(&mut *connection)
    .await?;
    let mut key: Vec<(i64, String)> = Vec::new();
    for row in &rows {
        let place: i64 = row.try_get("pk")?;
        if place > 0 {
            key.push((place, row.try_get("name")?));
        }
    }
    key.sort();
    let mut indexed_key = false;
    for index in &indexes {
        indexed_key |= index.try_get::<String, _>("origin")? == "pk";
    }
    let mut arguments = Arguments::default();
    let mut columns = Vec::new();
    for row in &rows {
        let hidden: i64 = row.try_get("hidden")?;
        if hidden == 1 {
            continue;
        }
        columns.push(column(row, &mut arguments, |in_key, declared| {
            // The column is the row's number itself, which the database gives.
            let is_number = in_key
                && key.len() == 1
                && !indexed_key
                && !rules.without_rowid
                && declared.eq_ignore_ascii_case("INTEGER");
            (is_number, in_key && (rules.without_rowid || rules.strict))
        })?);
    }
    let mut key: Vec<String> = key.into_iter().map(|(_, name)| name).collect();
    if key.is_empty() && kind == TableKind::Table {
        key = unique_key(connection, &indexes, &columns).await?;
        if !key.is_empty() {
            notes.push(Note {
                pointer: name.to_owned(),
                message: format!(
                    "it has no primary key; rows are found by the unique columns {}",
                    key.join(", ")
                ),
            });
        }
    }
    let key = key
        .iter()
        .filter_map(|name| columns.iter().find(|column| column.name == *name))
        .map(|column| column.argument.clone())
        .collect();
    let foreign_keys = foreign_keys(connection, name).await?;
    Ok(Table {
        schema: None,
        name: name.to_owned(),
        kind,
        comment: String::new(),
        key,
        columns,
        foreign_keys,
    })
}

fn column(
    row: &SqliteRow,
    arguments: &mut Arguments,
    key_rules: impl Fn(bool, &str) -> (bool, bool),
) -> sqlx::Result<Column> {
    let name: String = row.try_get("name")?;
    let declared: String = row.try_get::<Option<String>, _>("type")?.unwrap_or_default();
    let hidden: i64 = row.try_get("hidden")?;
    let not_null = row.try_get::<i64, _>("notnull")? != 0;
    let default: Option<String> = row.try_get("dflt_value")?;
    let (is_number, implied) = key_rules(row.try_get::<i64, _>("pk")? > 0, &declared);
    let nullable = !not_null && !is_number && !implied;
    let argument = arguments.of(&name);
    Ok(Column {
        argument,
        values: values(&declared),
        declared,
        cast: None,
        nullable,
        writable: hidden == 0,
        optional: nullable || default.is_some() || is_number || hidden != 0,
        comparable: true,
        comment: String::new(),
        name,
    })
}

/// What a declared type means: by its name where people mean something by it, else by SQLite's rules.
fn values(declared: &str) -> Values {
    let upper = declared.to_uppercase();
    let name = upper.split('(').next().unwrap_or_default().trim();
    match name {
        "BOOLEAN" | "BOOL" => return Values::Boolean,
        "JSON" | "JSONB" => return Values::Json,
        "UUID" | "GUID" => return Values::Text,
        "DATE" | "DATETIME" | "TIMESTAMP" | "TIME" | "TIMESTAMPTZ" | "ANY" | "" => {
            return Values::Any;
        }
        _ => {}
    }
    if name.contains("INT") {
        Values::Integer
    } else if ["CHAR", "CLOB", "TEXT"].iter().any(|word| name.contains(word)) {
        Values::Text
    } else if name.contains("BLOB") {
        Values::Blob
    } else if ["REAL", "FLOA", "DOUB"].iter().any(|word| name.contains(word)) {
        Values::Float
    } else if name.starts_with("DEC") || name.starts_with("NUM") || name == "MONEY" {
        Values::Decimal
    } else {
        Values::Any
    }
}

/// Columns that are unique and never NULL.
async fn unique_key(
    connection: &mut SqliteConnection,
    indexes: &[SqliteRow],
    columns: &[Column],
) -> sqlx::Result<Vec<String>> {
    for index in indexes {
        if index.try_get::<i64, _>("unique")? == 0 || index.try_get::<i64, _>("partial")? != 0 {
            continue;
        }
        let name: String = index.try_get("name")?;
        let names: Vec<Option<String>> =
            sqlx::query_scalar("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")
                .bind(&name)
                .fetch_all(&mut *connection)
                .await?;
        let names: Option<Vec<String>> = names.into_iter().collect();
        if let Some(names) = names
            && !names.is_empty()
            && names.iter().all(|name| columns.iter().any(|one| one.name == *name && !one.nullable))
        {
            return Ok(names);
        }
    }
    Ok(Vec::new())
}

async fn foreign_keys(
    connection: &mut SqliteConnection,
    name: &str,
) -> sqlx::Result<Vec<ForeignKey>> {
    let rows = sqlx::query("SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?1) ORDER BY id DESC, seq")
        .bind(name)
        .fetch_all(&mut *connection)
        .await?;
    let mut keys: BTreeMap<i64, ForeignKey> = BTreeMap::new();
    for row in rows {
        let target: String = row.try_get("table")?;
        let key = keys.entry(-row.try_get::<i64, _>("id")?).or_insert_with(|| ForeignKey {
            name: None,
            columns: Vec::new(),
            target_schema: None,
            target,
            target_columns: Vec::new(),
        });
        key.columns.push(row.try_get("from")?);
        key.target_columns.extend(row.try_get::<Option<String>, _>("to")?);
    }
    let mut found = Vec::new();
    for (_, mut key) in keys {
        if key.target_columns.len() != key.columns.len() {
            // It points to the other table's key without naming it.
            key.target_columns = sqlx::query_scalar(
                "SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk",
            )
            .bind(&key.target)
            .fetch_all(&mut *connection)
            .await?;
        }
        if key.target_columns.len() == key.columns.len() {
            found.push(key);
        }
    }
    Ok(found)
}

/// What makes an empty copy: tables before what needs them.
async fn statements(connection: &mut SqliteConnection) -> sqlx::Result<Vec<String>> {
    let rows = sqlx::query(
        "SELECT s.name, s.sql, coalesce(l.type, '') AS kind FROM main.sqlite_schema AS s \
         LEFT JOIN pragma_table_list AS l ON l.name = s.name AND l.schema = 'main' AND s.type = 'table' \
         WHERE s.sql IS NOT NULL AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         ORDER BY CASE s.type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, s.rowid",
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut statements = Vec::new();
    for row in rows {
        let sql: String = row.try_get("sql")?;
        let kind: String = row.try_get("kind")?;
        let unusual =
            kind == "virtual" && !USUAL_MODULES.contains(&module(&sql).to_lowercase().as_str());
        if kind != "shadow" && !unusual {
            statements.push(sql);
        }
    }
    Ok(statements)
}

/// The module of a virtual table.
fn module(sql: &str) -> String {
    let lower = sql.to_lowercase();
    let at = lower.find(" using ").map_or(sql.len(), |at| at + 7);
    sql.get(at..)
        .unwrap_or_default()
        .trim_start()
        .chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}
