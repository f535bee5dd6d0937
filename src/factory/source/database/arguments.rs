//! Schemas of arguments.

use serde_json::{Map, Value, json};

use crate::factory::ir::{Column, Table, Values};

/// Longest text of a comment that is repeated in a schema.
const COMMENT: usize = 300;
/// Most rows of one page, and of one `create_many`.
pub(super) const MOST_ROWS: u32 = 500;

/// What may be given for a column.
pub(super) fn of_column(column: &Column, nullable: bool) -> Value {
    let mut schema = of_values(&column.values);
    if nullable {
        make_nullable(&mut schema);
    }
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".to_owned(), describe(column).into());
    }
    schema
}

fn describe(column: &Column) -> String {
    let mut text = String::new();
    if column.argument != column.name {
        text = format!("Column `{}`. ", column.name.replace('`', "'"));
    }
    let comment: String = column.comment.chars().take(COMMENT).collect();
    if !comment.is_empty() {
        text.push_str(&comment);
        text.push_str(if comment.ends_with('.') { " " } else { ". " });
    }
    let declared = if column.declared.is_empty() { "no type" } else { &column.declared };
    text.push_str(declared);
    match column.values {
        Values::Blob => text.push_str(", as base64"),
        Values::Decimal => text.push_str(", exact: as text"),
        Values::Time => text.push_str(", ISO 8601"),
        _ => {}
    }
    text
}

fn of_values(values: &Values) -> Value {
    match values {
        // Beyond 2^53 a number would lose digits on its way.
        Values::Integer => {
            json!({ "type": ["integer", "string"], "pattern": "^[+-]?[0-9]{1,20}$" })
        }
        Values::Decimal => json!({ "type": ["string", "number"] }),
        Values::Float => json!({
            "type": ["number", "string"],
            "pattern": "^(NaN|-?Infinity|[+-]?[0-9.]+([eE][+-]?[0-9]+)?)$",
        }),
        Values::Boolean => json!({ "type": "boolean" }),
        Values::Text | Values::Time => json!({ "type": "string" }),
        Values::Blob => json!({ "type": "string", "contentEncoding": "base64" }),
        Values::Json => json!({}),
        Values::Uuid => json!({
            "type": "string",
            "pattern": "^[{]?[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}[}]?$",
        }),
        Values::Enum { choices } => json!({ "type": "string", "enum": choices }),
        Values::Array { items } => {
            let mut inner = of_values(items);
            make_nullable(&mut inner);
            // A list of lists is declared as a list.
            json!({ "type": "array", "items": { "anyOf": [inner, { "type": "array" }] } })
        }
        Values::Any => json!({ "type": ["string", "number", "boolean", "object"] }),
        Values::Other => json!({ "type": ["string", "number", "boolean", "object", "array"] }),
    }
}

fn make_nullable(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let kinds = match object.get("type") {
        Some(Value::String(kind)) => json!([kind, "null"]),
        Some(Value::Array(kinds)) => {
            let mut kinds = kinds.clone();
            kinds.push("null".into());
            Value::Array(kinds)
        }
        _ => return,
    };
    object.insert("type".to_owned(), kinds);
    if let Some(Value::Array(choices)) = object.get_mut("enum") {
        choices.push(Value::Null);
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a schema takes its parts over")]
fn object(properties: Map<String, Value>, required: Vec<String>) -> Value {
    let mut schema = json!({ "type": "object", "properties": properties });
    if let Some(schema) = schema.as_object_mut() {
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}

fn keys(table: &Table) -> (Map<String, Value>, Vec<String>) {
    let mut properties = Map::new();
    for argument in &table.key {
        if let Some(column) = table.columns.iter().find(|column| column.argument == *argument) {
            properties.insert(argument.clone(), of_column(column, column.nullable));
        }
    }
    (properties, table.key.clone())
}

/// One row by its key; without a key, by any columns.
pub(super) fn one(table: &Table) -> Value {
    if !table.key.is_empty() {
        let (properties, required) = keys(table);
        return object(properties, required);
    }
    let mut properties = Map::new();
    for column in table.columns.iter().filter(|column| column.comparable) {
        properties.insert(column.argument.clone(), of_column(column, column.nullable));
    }
    let mut schema = object(properties, Vec::new());
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("minProperties".to_owned(), 1.into());
    }
    schema
}

/// A new row.
pub(super) fn new_row(table: &Table) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for column in table.columns.iter().filter(|column| column.writable) {
        properties.insert(column.argument.clone(), of_column(column, column.nullable));
        if !column.optional {
            required.push(column.argument.clone());
        }
    }
    object(properties, required)
}

/// New rows.
pub(super) fn new_rows(table: &Table) -> Value {
    let mut properties = Map::new();
    properties.insert(
        "rows".to_owned(),
        json!({ "type": "array", "items": new_row(table), "minItems": 1, "maxItems": MOST_ROWS }),
    );
    object(properties, vec!["rows".to_owned()])
}

/// Changes of one row.
pub(super) fn change(table: &Table) -> Value {
    let (mut properties, required) = keys(table);
    for column in table.columns.iter().filter(|column| column.writable) {
        if !table.key.contains(&column.argument) {
            properties.insert(column.argument.clone(), of_column(column, column.nullable));
        }
    }
    let least = required.len() + 1;
    let mut schema = object(properties, required);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("minProperties".to_owned(), least.into());
    }
    schema
}

/// Rows by filter, order and page.
pub(super) fn list(table: &Table) -> Value {
    let names: Vec<&str> = table.columns.iter().map(|column| column.argument.as_str()).collect();
    let ordered: Vec<&str> = table
        .columns
        .iter()
        .filter(|column| column.comparable)
        .map(|column| column.argument.as_str())
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": {
            "filters": {
                "type": "array",
                "description": "Conditions that all hold. `like` takes % and _; `in` a list; `is_null` true or false.",
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "properties": {
                        "column": { "type": "string", "enum": names },
                        "op": { "type": "string", "enum": ["eq", "ne", "lt", "le", "gt", "ge", "in", "like", "is_null"] },
                        "value": {},
                    },
                    "required": ["column", "op"],
                    "additionalProperties": false,
                },
            },
            "order": {
                "type": "array",
                "description": "What rows are ordered by; NULL comes last.",
                "maxItems": 10,
                "items": {
                    "type": "object",
                    "properties": {
                        "column": { "type": "string", "enum": ordered },
                        "direction": { "type": "string", "enum": ["asc", "desc"], "default": "asc" },
                    },
                    "required": ["column"],
                    "additionalProperties": false,
                },
            },
            "columns": {
                "type": "array",
                "description": "Columns that are wanted; otherwise all.",
                "items": { "type": "string", "enum": names },
            },
            "limit": { "type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": 50 },
            "cursor": { "type": "string", "description": "`next_cursor` of the page before." },
            "total": { "type": "boolean", "default": false, "description": "Whether to count all rows that fit." },
        },
        "additionalProperties": false,
    });
    if ordered.is_empty()
        && let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut)
    {
        properties.remove("order");
    }
    schema
}

/// What is in the database.
pub(super) fn describe_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "table": { "type": "string", "description": "One table; otherwise all." },
        },
        "additionalProperties": false,
    })
}
