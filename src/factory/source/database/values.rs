//! Values that fit columns, for rows that tests make.

use serde_json::{Value, json};

use crate::factory::ir::{Column, Values};

/// Longest text that is made up.
const TEXT: &str = "it's \"quoted\" ü";
/// Values of types that only the database understands, by the beginning of their names.
const OTHERS: [(&str, &str); 15] = [
    ("inet", "192.0.2.1"),
    ("cidr", "192.0.2.0/24"),
    ("macaddr8", "08:00:2b:01:02:03:04:05"),
    ("macaddr", "08:00:2b:01:02:03"),
    ("int4range", "[1,5)"),
    ("int8range", "[1,5)"),
    ("numrange", "[1.5,2.5)"),
    ("daterange", "[2026-01-01,2026-02-01)"),
    ("tsrange", "[2026-01-01,2026-02-01)"),
    ("tstzrange", "[2026-01-01,2026-02-01)"),
    ("point", "(1,2)"),
    ("xml", "<a/>"),
    ("money", "1.00"),
    ("tsvector", "a b"),
    ("ltree", "a.b"),
];

/// A value that fits a column, as far as its type tells.
pub(super) fn made_up(column: &Column) -> Option<Value> {
    let declared = column.declared.to_lowercase();
    Some(match &column.values {
        Values::Integer => json!(7),
        Values::Float => json!(1.5),
        Values::Decimal => json!("12.25"),
        Values::Boolean => json!(true),
        Values::Blob => json!("AAEC/w=="),
        Values::Json => json!({ "a": [1, null, "x"] }),
        Values::Any if declared.contains("time") => json!("2026-01-02 03:04:05"),
        Values::Time if declared.starts_with("time ") || declared.starts_with("time(") => {
            json!("03:04:05")
        }
        Values::Time if declared.starts_with("interval") => json!("P1D"),
        Values::Time | Values::Any => json!("2026-01-02"),
        Values::Uuid => json!("00000000-0000-4000-8000-000000000001"),
        Values::Enum { choices } => choices.first().cloned().map(Value::String)?,
        Values::Array { .. } => json!([]),
        Values::Text => json!(short(column, TEXT)),
        Values::Other if column.cast.is_none() => json!(TEXT),
        Values::Other => {
            let name = declared.split(['(', '.']).next().unwrap_or_default();
            if name == "bit" || name == "bit varying" {
                let digits = length(&declared).unwrap_or(1);
                json!("1".repeat(digits))
            } else {
                json!(OTHERS.iter().find(|(known, _)| *known == name)?.1)
            }
        }
    })
}

/// A text that fits a column of a server, which refuses what is too long.
pub(super) fn short(column: &Column, text: &str) -> String {
    let most = column.cast.as_ref().and_then(|_| length(&column.declared)).unwrap_or(usize::MAX);
    text.chars().take(most).collect()
}

fn length(declared: &str) -> Option<usize> {
    let (_, rest) = declared.split_once('(')?;
    rest.split(')').next()?.parse().ok()
}

/// Whether a value comes back as it was given: a type may change how it is written.
pub(super) fn survives(column: &Column) -> bool {
    match column.values {
        Values::Integer | Values::Boolean | Values::Blob | Values::Json => true,
        // Filled up with spaces.
        Values::Text => !column.declared.starts_with("character(") && column.declared != "name",
        Values::Decimal => column.cast.is_none() || column.declared == "numeric",
        _ => false,
    }
}
