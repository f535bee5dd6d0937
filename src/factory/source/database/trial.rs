//! A `PostgreSQL` database on which tools are tried without changing anything in it.
//!
//! An empty copy of the tables is made in a transaction that is never committed: nobody else sees
//! it, no row, sequence or trigger of the database takes part, and when this program or the
//! connection ends, whenever that is, the server itself takes it back. Where the user of the database
//! may make nothing, or where an event trigger would notice, the server is only asked how it would do
//! what writes, in a transaction that cannot write.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use crate::factory::ir::{Column, PackageFile, Table, Trial, Values};

use super::blueprint::{self, Blueprint, copied_name, quoted};

/// How long connecting may take.
const CONNECTING: Duration = Duration::from_secs(15);
/// The statements that make the copy, for the package's own tests.
const FILE: &str = "tests/copy.json";
/// Where the copy is when the user may make no name space.
const TEMPORARY: &str = "pg_temp";
/// What the user of the database may make, and who would notice. The package's own tests ask the same.
const MAY: &str = "\
SELECT has_database_privilege(current_database(), 'CREATE') AS spaces, \
       has_database_privilege(current_database(), 'TEMPORARY') AS temporary, pg_is_in_recovery() AS standby, \
       ARRAY(SELECT evtname::text FROM pg_catalog.pg_event_trigger \
             WHERE evtenabled <> 'D' AND evtevent <> 'login' ORDER BY 1) AS watchers";

/// Where the copy is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// A name space of its own.
    Space(String),
    /// Temporary tables.
    Temporary,
}

/// A connection on which things are tried.
pub(super) struct Server {
    connection: PgConnection,
}

/// A copy, in a transaction that ends with its server's connection.
pub(super) struct Copied {
    connection: PgConnection,
    /// Tables that are in it.
    pub(super) places: BTreeSet<usize>,
    /// The way that was taken, in words.
    pub(super) way: String,
    /// What is not in it, and why.
    pub(super) left_out: Vec<String>,
    /// The statements that made it.
    pub(super) file: PackageFile,
}

/// A server, and why there is no copy on it.
pub(super) type Without = (Server, String);

impl Server {
    /// Connects to a server whose address was just used.
    pub(super) async fn connect(url: &str) -> Result<Self, String> {
        let words = |_: sqlx::Error| "the database was not reached a second time".to_owned();
        let options = PgConnectOptions::from_str(url)
            .map_err(words)?
            .application_name("atelier")
            .options([
                ("default_transaction_read_only", "off"),
                ("statement_timeout", "30000"),
                ("lock_timeout", "5000"),
                ("idle_in_transaction_session_timeout", "60000"),
                ("search_path", ""),
            ])
            .disable_statement_logging();
        match tokio::time::timeout(CONNECTING, options.connect()).await {
            Ok(connected) => Ok(Self { connection: connected.map_err(words)? }),
            Err(_) => Err("the database did not answer a second time".to_owned()),
        }
    }

    /// Makes an empty copy of the tables.
    pub(super) async fn copy(
        mut self,
        blueprints: &BTreeMap<(String, String), Blueprint>,
        tables: &[Table],
    ) -> Result<Copied, Without> {
        let place = match self.place().await {
            Ok(place) => place,
            Err(reason) => return Err((self, reason)),
        };
        match self.make(&place, blueprints, tables).await {
            Ok((places, statements, left_out)) => {
                let kept: Vec<usize> = places.iter().copied().collect();
                let text = json!({ "tables": kept, "statements": statements });
                Ok(Copied {
                    connection: self.connection,
                    places,
                    way: place.in_words().to_owned(),
                    left_out,
                    file: PackageFile { path: FILE.to_owned(), text: format!("{text:#}\n") },
                })
            }
            Err(error) => {
                // What was begun is taken back before anything else is asked.
                let reason = format!("the copy could not be made: {}", told(&error));
                match self.run("ROLLBACK").await {
                    Ok(()) => Err((self, reason)),
                    Err(_) => Err((self, format!("{reason}; the connection was lost"))),
                }
            }
        }
    }

    async fn place(&mut self) -> Result<Place, String> {
        let row = sqlx::query(MAY).fetch_one(&mut self.connection).await;
        let row = row.map_err(|error| format!("its rights are unknown: {}", told(&error)))?;
        let get = |column: &str| row.try_get::<bool, _>(column).unwrap_or(false);
        let watchers: Vec<String> = row.try_get("watchers").unwrap_or_default();
        if get("standby") {
            return Err("the server is a standby, on which nothing can be made".to_owned());
        }
        if let Some(first) = watchers.first() {
            return Err(format!(
                "the event trigger `{first}` of the database would notice tables that are made, and may do things that no rollback takes back"
            ));
        }
        if get("spaces") {
            let name = uuid::Uuid::new_v4().simple().to_string();
            return Ok(Place::Space(format!("atelier_test_{name}")));
        }
        if get("temporary") {
            return Ok(Place::Temporary);
        }
        Err("the user of the database may make neither schemas nor temporary tables there"
            .to_owned())
    }

    async fn make(
        &mut self,
        place: &Place,
        blueprints: &BTreeMap<(String, String), Blueprint>,
        tables: &[Table],
    ) -> sqlx::Result<(BTreeSet<usize>, Vec<String>, Vec<String>)> {
        self.run("BEGIN").await?;
        if let Place::Space(name) = place {
            self.run(&format!("CREATE SCHEMA {}", quoted(name))).await?;
        }
        let name = match place {
            Place::Space(name) => name.as_str(),
            Place::Temporary => TEMPORARY,
        };
        self.run(&format!("SET LOCAL search_path = {}", quoted(name))).await?;
        let (steps, mut left_out) = blueprint::steps(blueprints, tables);
        let (mut places, mut statements) = (BTreeSet::new(), Vec::new());
        for step in steps {
            if !step.is_table && !places.contains(&step.place) {
                continue;
            }
            self.run("SAVEPOINT step").await?;
            let mut failed = None;
            for text in &step.texts {
                if let Err(error) = self.run(text).await {
                    failed = Some(error);
                    break;
                }
            }
            match failed {
                None => {
                    if step.is_table {
                        places.insert(step.place);
                    }
                    statements.extend(step.texts);
                }
                Some(error) => {
                    self.run("ROLLBACK TO step").await?;
                    left_out.push(format!("{}: {}", step.what, told(&error)));
                }
            }
            self.run("RELEASE step").await?;
        }
        Ok((places, statements, left_out))
    }

    async fn run(&mut self, statement: &str) -> sqlx::Result<()> {
        // Names from the catalog, each quoted, and expressions as the server writes them.
        let query = sqlx::query(AssertSqlSafe(statement.to_owned()));
        query.execute(&mut self.connection).await.map(drop)
    }

    /// Begins a transaction that cannot write.
    pub(super) async fn read_only(&mut self) -> Result<(), String> {
        let begun = self.run("BEGIN READ ONLY").await;
        begun.map_err(|error| format!("nothing could be planned: {}", told(&error)))
    }

    /// Has a statement planned and not run.
    pub(super) async fn plan(
        &mut self,
        statement: &str,
        values: &[(&Column, &Value)],
    ) -> Result<(), String> {
        let lost = |error: sqlx::Error| told(&error);
        self.run("SAVEPOINT one").await.map_err(lost)?;
        let text = format!("EXPLAIN {statement}");
        let planned = execute(&mut self.connection, text, values).await;
        self.run("ROLLBACK TO one").await.map_err(lost)?;
        planned.map(drop).map_err(lost)
    }

    /// Ends the conversation, and with it whatever transaction is open.
    pub(super) async fn close(self) {
        drop(self.connection.close().await);
    }
}

impl Place {
    const fn in_words(&self) -> &'static str {
        match self {
            Self::Space(_) => {
                "in an empty copy of the tables, in a schema that existed only within a transaction that was rolled back"
            }
            Self::Temporary => {
                "in an empty copy of the tables, in temporary tables that existed only within a transaction that was rolled back"
            }
        }
    }
}

impl Copied {
    /// A table's name, where things are looked up in the copy first.
    pub(super) fn name(tables: &[Table], place: usize) -> String {
        quoted(&copied_name(tables, place))
    }

    /// Runs a statement as a call of the server would, with the checks that wait for the end of it;
    /// how many rows it touched, or nothing when it is refused.
    pub(super) async fn run(&mut self, text: String, values: &[(&Column, &Value)]) -> Option<u64> {
        self.step("SAVEPOINT one").await?;
        let done = execute(&mut self.connection, text, values).await.ok();
        let holds = match done {
            Some(_) => {
                self.step("SAVEPOINT checks").await?;
                let holds = self.step("SET CONSTRAINTS ALL IMMEDIATE").await.is_some();
                self.step("ROLLBACK TO checks").await?;
                holds
            }
            None => false,
        };
        if !holds {
            self.step("ROLLBACK TO one").await?;
        }
        self.step("RELEASE one").await?;
        done.filter(|_| holds)
    }

    async fn step(&mut self, text: &'static str) -> Option<()> {
        sqlx::query(text).execute(&mut self.connection).await.ok().map(drop)
    }

    /// Takes the copy back.
    pub(super) async fn forget(mut self) -> Server {
        // Should this fail the connection is lost, and the server takes it back itself.
        let _ = self.step("ROLLBACK").await;
        Server { connection: self.connection }
    }
}

async fn execute(
    connection: &mut PgConnection,
    text: String,
    values: &[(&Column, &Value)],
) -> sqlx::Result<u64> {
    // Names from the catalog, each quoted; values are bound.
    let mut query = sqlx::query(AssertSqlSafe(text));
    for (column, value) in values {
        query = query.bind(text_of(column, value));
    }
    query.execute(connection).await.map(|done| done.rows_affected())
}

/// A mark for a value that the server reads as its column's type.
pub(super) fn mark(column: &Column, number: usize) -> String {
    format!("CAST(${number} AS {})", column.cast.as_ref().unwrap_or(&column.declared))
}

/// A value as the server reads it.
fn text_of(column: &Column, value: &Value) -> Option<String> {
    use base64::Engine as _;
    match value {
        Value::Null => None,
        Value::String(text) if column.values == Values::Blob => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            Some(format!("\\x{digits}"))
        }
        Value::String(text) => Some(text.clone()),
        // Only empty lists are tried.
        Value::Array(_) if column.values != Values::Json => Some("{}".to_owned()),
        other => Some(other.to_string()),
    }
}

/// What a server says of a statement: names of the schema, no values of rows.
fn told(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(problem) => problem.message().chars().take(300).collect(),
        _ => "the connection was lost".to_owned(),
    }
}

/// What is told when no tool writes.
pub(super) fn of_readers() -> Trial {
    Trial {
        way: "no tool writes: the tables themselves were read, in sessions that cannot write"
            .to_owned(),
        unchecked: Vec::new(),
    }
}
