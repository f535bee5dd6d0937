//! An empty copy of a database, on which calls are tried.

use serde_json::Value;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row as _};

use crate::factory::ir::{Column, Needs, Table, Values};

use super::blueprint::quoted;
use super::trial::{self, Copied};

/// An empty copy of a database.
pub(super) enum EmptyCopy<'a> {
    /// In memory.
    Sqlite(&'a mut SqliteConnection),
    /// In a transaction that nobody commits.
    Postgresql(&'a mut Copied),
}

impl EmptyCopy<'_> {
    /// Whether a table is in it, or can be read as if it were.
    pub(super) fn has(&self, place: usize) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgresql(copied) => copied.places.contains(&place),
        }
    }

    pub(super) const fn needs(&self) -> Option<Needs> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgresql(_) => Some(Needs::Copy),
        }
    }

    pub(super) fn name(&self, tables: &[Table], place: usize) -> String {
        match self {
            Self::Sqlite(_) => {
                tables.get(place).map(|table| quoted(&table.name)).unwrap_or_default()
            }
            Self::Postgresql(_) => Copied::name(tables, place),
        }
    }

    pub(super) fn mark(&self, column: &Column, number: usize) -> String {
        match self {
            Self::Sqlite(_) => "?".to_owned(),
            Self::Postgresql(_) => trial::mark(column, number),
        }
    }

    pub(super) async fn run(
        &mut self,
        statement: String,
        values: Vec<(&Column, &Value)>,
    ) -> Option<u64> {
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

    /// How many rows of a table fit a condition; unknown where nothing but what was written can be
    /// there, since no code of the database's owner runs.
    pub(super) async fn count(
        &mut self,
        table: &Table,
        condition: &str,
        values: Vec<(&Column, &Value)>,
    ) -> Option<i64> {
        let Self::Sqlite(connection) = self else { return None };
        let text = format!("SELECT count(*) FROM {} WHERE {condition}", quoted(&table.name));
        let mut query = sqlx::query(AssertSqlSafe(text));
        for (column, value) in values {
            query = bind(query, column, value);
        }
        let row = query.fetch_one(&mut **connection).await.ok()?;
        row.try_get(0).ok()
    }
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
