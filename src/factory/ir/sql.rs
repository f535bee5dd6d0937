//! Databases and statements in them, as data.

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
    /// Tables and views; tools point to them by position.
    pub tables: Vec<Table>,
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

/// A table or view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Name space, where the database has them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub schema: Option<String>,
    /// Name in the database.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// What its owner says of it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub comment: String,
    /// Columns of the key, by the names of their arguments, in order; empty: there is none.
    pub key: Vec<String>,
    /// All columns, in order.
    pub columns: Vec<Column>,
    /// Where its columns point to.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub foreign_keys: Vec<ForeignKey>,
}

/// What rows come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// A table.
    Table,
    /// A view.
    View,
    /// A view whose rows are stored.
    MaterializedView,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name in the database.
    pub name: String,
    /// Name in arguments and results.
    pub argument: String,
    /// Type as the database writes it.
    pub declared: String,
    /// Type that values are read as, where that is another: one without a length, which would cut
    /// off what is too long.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cast: Option<String>,
    /// What its values are.
    #[serde(flatten)]
    pub values: Values,
    /// Whether NULL may stand in it.
    pub nullable: bool,
    /// Whether it may be written at all.
    pub writable: bool,
    /// Whether a new row needs no value for it.
    pub optional: bool,
    /// Whether values can be compared and ordered.
    pub comparable: bool,
    /// What its owner says of it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub comment: String,
}

/// What the values of a column are, in any language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Values {
    /// Whole numbers of up to 64 bits: beyond 2^53 as text.
    Integer,
    /// Exact numbers, as text.
    Decimal,
    /// Numbers; those that JSON lacks as text.
    Float,
    /// True or false.
    Boolean,
    /// Text.
    Text,
    /// Bytes, as base64.
    Blob,
    /// Any JSON.
    Json,
    /// Dates and times, as ISO 8601.
    Time,
    /// A UUID.
    Uuid,
    /// One of some texts.
    Enum {
        /// Which.
        choices: Vec<String>,
    },
    /// A list.
    Array {
        /// Of what.
        items: Box<Values>,
    },
    /// Any value that the database can store in any column.
    Any,
    /// Something that only the database understands, as it writes it.
    Other,
}

/// Columns whose values must stand in another table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKey {
    /// Its name, where it has one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// Columns, by their names in the database.
    pub columns: Vec<String>,
    /// Name space of the other table.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target_schema: Option<String>,
    /// The other table.
    pub target: String,
    /// Its columns, by their names in the database.
    pub target_columns: Vec<String>,
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sql {
    /// Position of the table in [`Database::tables`]; none for the database itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<usize>,
    /// Name of the table, for readers and searches.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub table: String,
    /// What is done.
    pub operation: Operation,
}

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Rows by filter, order and page.
    List,
    /// One row.
    Get,
    /// A new row.
    Create,
    /// New rows, all or none.
    CreateMany,
    /// Changes one row.
    Update,
    /// Removes one row.
    Delete,
    /// Tells about the database.
    Describe,
}
