//! Statements in a database, as data.

use serde::{Deserialize, Serialize};

/// A database that tools work on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Which program.
    pub dialect: Dialect,
    /// Environment variable that holds the path or URL.
    pub variable: String,
    /// Whether it is opened so that nothing can be written.
    pub read_only: bool,
}

/// Which program a database belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// A file.
    Sqlite,
    /// A server.
    Postgresql,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sql {
    /// Name space of the table, where the database has them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schema: Option<String>,
    /// Table or view.
    pub table: String,
    /// What is done.
    pub operation: Operation,
    /// Columns of the key, in order; empty: the table has none.
    pub key: Vec<String>,
    /// All columns, in order.
    pub columns: Vec<Column>,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Rows by filter, order and page.
    List,
    /// One row by its key.
    Get,
    /// A new row.
    Create,
    /// Changes one row.
    Update,
    /// Removes one row.
    Delete,
    /// Tells about the database.
    Describe,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Name in the database.
    pub name: String,
    /// Name of the argument.
    pub argument: String,
    /// Type as the database writes it.
    pub declared: String,
    /// Whether NULL may stand in it.
    pub nullable: bool,
    /// Whether it may be written at all.
    pub writable: bool,
}
