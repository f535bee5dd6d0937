//! Example values for fixtures and tests: one to create with, one to change to.

use crate::elixir::definition::{Field, FieldType, Validation};
use crate::elixir::literal::{self, Literal};
use crate::elixir::names::human;

/// Two values of a field as code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) created: String,
    pub(crate) updated: String,
}

fn pair(created: impl Into<String>, updated: impl Into<String>) -> Sample {
    Sample { created: created.into(), updated: updated.into() }
}

/// Values that the field's type and validations accept.
pub(crate) fn sample(field: &Field) -> Sample {
    for validation in &field.validations {
        match validation {
            Validation::Inclusion(items) if !items.is_empty() => return listed(field, items),
            Validation::Subset(items) if !items.is_empty() => {
                let listed = listed(field, items);
                return pair(format!("[{}]", listed.created), format!("[{}]", listed.updated));
            }
            Validation::Acceptance => return pair("true", "true"),
            Validation::Number(options) => return number(field, options),
            Validation::Format(pattern) => return formatted(pattern),
            Validation::Length(_)
            | Validation::Inclusion(_)
            | Validation::Exclusion(_)
            | Validation::Subset(_)
            | Validation::Confirmation => {}
        }
    }
    of_type(&field.kind, field)
}

fn of_type(kind: &FieldType, field: &Field) -> Sample {
    match kind {
        FieldType::String | FieldType::Text | FieldType::Citext => text(field),
        FieldType::Integer | FieldType::Bigint => pair("42", "43"),
        FieldType::Float => pair("120.5", "456.7"),
        FieldType::Decimal => decimal(field),
        FieldType::Boolean => pair("true", "false"),
        FieldType::Binary => pair("\"some binary\"", "\"some updated binary\""),
        FieldType::Date => pair("~D[2025-01-15]", "~D[2025-01-16]"),
        FieldType::Time => pair("~T[14:00:00]", "~T[15:01:01]"),
        FieldType::TimeUsec => pair("~T[14:00:00.000000]", "~T[15:01:01.000000]"),
        FieldType::NaiveDatetime => pair("~N[2025-01-15 14:00:00]", "~N[2025-01-16 14:00:00]"),
        FieldType::NaiveDatetimeUsec => {
            pair("~N[2025-01-15 14:00:00.000000]", "~N[2025-01-16 14:00:00.000000]")
        }
        FieldType::UtcDatetime => pair("~U[2025-01-15 14:00:00Z]", "~U[2025-01-16 14:00:00Z]"),
        FieldType::UtcDatetimeUsec => {
            pair("~U[2025-01-15 14:00:00.000000Z]", "~U[2025-01-16 14:00:00.000000Z]")
        }
        FieldType::Uuid | FieldType::BinaryId => pair(
            "\"7488a646-e31f-11e4-aace-600308960662\"",
            "\"7488a646-e31f-11e4-aace-600308960668\"",
        ),
        FieldType::Duration => pair("Duration.new!(hour: 1)", "Duration.new!(hour: 2)"),
        FieldType::Map(inner) => match inner {
            None => pair("%{}", "%{\"key\" => \"value\"}"),
            Some(inner) => {
                let inner = of_type(inner, field);
                pair(
                    format!("%{{\"key\" => {}}}", inner.created),
                    format!("%{{\"key\" => {}}}", inner.updated),
                )
            }
        },
        FieldType::Array(inner) => {
            let inner = of_type(inner, field);
            pair(format!("[{}]", inner.created), format!("[{}]", inner.updated))
        }
        FieldType::Enum(values) => {
            let name = |place: usize| {
                values
                    .get(place)
                    .or_else(|| values.first())
                    .map(|value| literal::atom(&value.name))
                    .unwrap_or_default()
            };
            pair(name(0), name(1))
        }
    }
}

fn text(field: &Field) -> Sample {
    let name = human(&field.name);
    let (least, most) = bounds(field);
    let created = fitted(&format!("some {name}"), least, most);
    let mut updated = fitted(&format!("some updated {name}"), least, most);
    if updated == created {
        // Cut to the same letters: any other letter will do.
        updated = fitted(&format!("other {name}"), least, most);
    }
    pair(literal::text(&created), literal::text(&updated))
}

fn bounds(field: &Field) -> (usize, usize) {
    let mut least = 0;
    let mut most = field.size.unwrap_or(255);
    for validation in &field.validations {
        let Validation::Length(options) = validation else { continue };
        for (key, value) in options {
            let Literal::Integer(value) = value else { continue };
            match key.as_str() {
                "min" => least = *value,
                "max" => most = most.min(*value),
                _ => (least, most) = (*value, *value),
            }
        }
    }
    (usize::try_from(least).unwrap_or(0), usize::try_from(most).unwrap_or(255))
}

fn fitted(text: &str, least: usize, most: usize) -> String {
    let mut fitted: String = text.chars().take(most).collect();
    while fitted.chars().count() < least.min(most) {
        fitted.push('x');
    }
    // Callers' text is trimmed at its end in many forms; keep clear of that.
    if fitted.ends_with(' ') {
        fitted.pop();
        fitted.push('x');
    }
    fitted
}

fn decimal(field: &Field) -> Sample {
    let (precision, scale) = (field.precision.unwrap_or(10), field.scale.unwrap_or(1));
    match (precision - scale, scale) {
        (whole, 0) if whole >= 3 => pair("\"120\"", "\"456\""),
        (_, 0) => pair("\"1\"", "\"4\""),
        (whole, _) if whole >= 3 => pair("\"120.5\"", "\"456.7\""),
        (whole, _) if whole >= 1 => pair("\"1.5\"", "\"4.7\""),
        _ => pair("\"0.5\"", "\"0.7\""),
    }
}

fn number(field: &Field, options: &[(String, Literal)]) -> Sample {
    #[expect(clippy::cast_precision_loss, reason = "an example within wide bounds")]
    let value = |literal: &Literal| match literal {
        Literal::Integer(number) => *number as f64,
        Literal::Float(number) => *number,
        _ => 0.0,
    };
    let mut least = f64::NEG_INFINITY;
    let mut most = f64::INFINITY;
    let mut exact = None;
    let step = if matches!(field.kind, FieldType::Integer | FieldType::Bigint) { 1.0 } else { 0.5 };
    for (key, literal) in options {
        let bound = value(literal);
        match key.as_str() {
            "greater_than" => least = least.max(bound + step),
            "greater_than_or_equal_to" => least = least.max(bound),
            "less_than" => most = most.min(bound - step),
            "less_than_or_equal_to" => most = most.min(bound),
            "equal_to" => exact = Some(bound),
            _ => {}
        }
    }
    let inside = |wish: f64| exact.unwrap_or_else(|| wish.max(least).min(most));
    let first = inside(42.0);
    let mut second = inside(43.0);
    if (second - first).abs() < f64::EPSILON {
        second = inside(first - step);
    }
    let code = |number: f64| match field.kind {
        FieldType::Float => Literal::Float(number).code(),
        FieldType::Decimal => literal::text(&number.to_string()),
        #[expect(clippy::cast_possible_truncation, reason = "an example within wide bounds")]
        _ => literal::integer(number as i64),
    };
    pair(code(first), code(second))
}

/// Values of many shapes: a pattern cannot be run backwards, but it can be tried.
const SHAPES: [&str; 34] = [
    "some.one@example.com",
    "some.other@example.com",
    "https://example.com/some",
    "https://example.com/other",
    "some-value",
    "other-value",
    "some_value",
    "other_value",
    "somevalue",
    "othervalue",
    "some value",
    "other value",
    "Some value",
    "Other value",
    "SomeValue",
    "OtherValue",
    "12345",
    "54321",
    "1234567890",
    "9876543210",
    "+15551234567",
    "+15559876543",
    "555-123-4567",
    "555-987-6543",
    "ABC-123",
    "XYZ-789",
    "#ff8800",
    "#0088ff",
    "2025-01-15",
    "2025-01-16",
    "192.168.0.1",
    "192.168.0.2",
    "example.com",
    "example.org",
];

/// Further ones: pieces of each length of digits and letters.
fn pieces() -> impl Iterator<Item = String> {
    (1..=20_usize).flat_map(|length| {
        ["1", "2", "a", "b", "A", "B"].into_iter().map(move |letter| letter.repeat(length))
    })
}

/// Two values that a pattern takes.
fn matching(pattern: &str) -> Option<Sample> {
    let regex = fancy_regex::Regex::new(pattern).ok()?;
    let takes = |value: &String| regex.is_match(value).unwrap_or(false);
    let mut values = SHAPES.iter().map(|shape| (*shape).to_owned()).chain(pieces()).filter(takes);
    let created = values.next()?;
    let updated = values.next().unwrap_or_else(|| created.clone());
    Some(pair(literal::text(&created), literal::text(&updated)))
}

fn formatted(pattern: &str) -> Sample {
    matching(pattern).unwrap_or_else(|| pair("\"some-value\"", "\"other-value\""))
}

/// Whether an example for a field had to be guessed.
pub(crate) fn is_guess(field: &Field) -> bool {
    field.validations.iter().any(|validation| match validation {
        Validation::Format(pattern) => matching(pattern).is_none(),
        _ => false,
    })
}

fn listed(field: &Field, items: &[Literal]) -> Sample {
    let kind = match &field.kind {
        FieldType::Array(inner) => inner.as_ref(),
        other => other,
    };
    let code = |place: usize| {
        let item = items.get(place).or_else(|| items.first());
        match (kind, item) {
            (FieldType::Enum(_), Some(Literal::Text(name))) => literal::atom(name),
            (_, Some(item)) => item.code(),
            (_, None) => "nil".to_owned(),
        }
    };
    pair(code(0), code(1))
}

/// What a test compares with: decimals are equal as numbers, not as texts.
pub(crate) fn expected(field: &Field, sample: &str) -> String {
    match field.kind {
        FieldType::Decimal => format!("Decimal.new({sample})"),
        _ => sample.to_owned(),
    }
}

/// A value as JSON gives it back.
pub(crate) fn as_json(field: &Field, sample: &str) -> Option<String> {
    let sigil = |text: &str| -> String {
        let inner = text.split_once('[').map_or(text, |(_, rest)| rest).trim_end_matches(']');
        literal::text(&inner.replace(' ', "T"))
    };
    Some(match &field.kind {
        FieldType::Date
        | FieldType::Time
        | FieldType::TimeUsec
        | FieldType::NaiveDatetime
        | FieldType::NaiveDatetimeUsec
        | FieldType::UtcDatetime
        | FieldType::UtcDatetimeUsec => sigil(sample),
        FieldType::Enum(_) => literal::text(sample.trim_start_matches(':').trim_matches('"')),
        FieldType::Array(_) | FieldType::Map(Some(_)) | FieldType::Binary | FieldType::Duration => {
            return None;
        }
        _ => sample.to_owned(),
    })
}

/// Code that makes a value no other row has; `None` when the type has too few values.
pub(crate) fn unique_value(field: &Field) -> Option<String> {
    let integer = "System.unique_integer([:positive])";
    Some(match &field.kind {
        FieldType::String | FieldType::Text | FieldType::Citext => {
            let (least, most) = bounds(field);
            let formatted = field.validations.iter().find_map(|validation| match validation {
                Validation::Format(pattern) => Some(pattern.contains('@')),
                _ => None,
            });
            match formatted {
                Some(true) => format!("\"some#{{{integer}}}@example.com\""),
                _ if least > 20 || most < 30 => {
                    let base = format!("to_string({integer})");
                    if least > 1 {
                        format!("String.pad_leading({base}, {}, \"0\")", least.min(most))
                    } else {
                        base
                    }
                }
                _ => format!("\"some {}#{{{integer}}}\"", human(&field.name)),
            }
        }
        FieldType::Integer | FieldType::Bigint => integer.to_owned(),
        FieldType::Float => format!("{integer} / 2"),
        FieldType::Decimal => format!("Decimal.new({integer})"),
        FieldType::Binary => format!("<<{integer}::64>>"),
        FieldType::Uuid | FieldType::BinaryId => "Ecto.UUID.generate()".to_owned(),
        FieldType::Date => format!("Date.add(~D[2025-01-15], {integer})"),
        FieldType::NaiveDatetime => {
            format!("NaiveDateTime.add(~N[2025-01-15 14:00:00], {integer})")
        }
        FieldType::NaiveDatetimeUsec => {
            format!("NaiveDateTime.add(~N[2025-01-15 14:00:00.000000], {integer})")
        }
        FieldType::UtcDatetime => format!("DateTime.add(~U[2025-01-15 14:00:00Z], {integer})"),
        FieldType::UtcDatetimeUsec => {
            format!("DateTime.add(~U[2025-01-15 14:00:00.000000Z], {integer})")
        }
        FieldType::Time => format!("Time.add(~T[00:00:00], rem({integer}, 86_400))"),
        FieldType::TimeUsec => format!("Time.add(~T[00:00:00.000000], rem({integer}, 86_400))"),
        FieldType::Array(inner) if inner.is_text() => format!("[\"some #{{{integer}}}\"]"),
        FieldType::Map(None) => format!("%{{\"key\" => {integer}}}"),
        FieldType::Array(_)
        | FieldType::Map(_)
        | FieldType::Boolean
        | FieldType::Enum(_)
        | FieldType::Duration => return None,
    })
}
