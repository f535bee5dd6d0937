//! Reads fields, in the form of an object and in the generators' short form `name:type:option`.

use serde_json::{Map, Value, json};

use super::object::{Object, shown};
use super::types::read_type;
use super::{Association, Field, FieldType, Relation, Validation};
use crate::elixir::literal::Literal;
use crate::elixir::names;

/// Options of `validate_number`.
const NUMBER_OPTIONS: [&str; 6] = [
    "less_than",
    "greater_than",
    "less_than_or_equal_to",
    "greater_than_or_equal_to",
    "equal_to",
    "not_equal_to",
];

/// A field, or an association that was written as one.
pub(super) enum Read {
    Field(Box<Field>),
    Association(Association),
}

/// Words of the short form that are options, not values.
const SHORT_OPTIONS: [&str; 5] = ["unique", "index", "redact", "required", "null"];

/// The short form as an object.
pub(super) fn expand_short(text: &str) -> Result<Map<String, Value>, String> {
    let mut parts: Vec<&str> = text.split(':').map(str::trim).collect();
    let mut object = Map::new();
    let name = parts.first().copied().unwrap_or_default();
    object.insert("name".to_owned(), json!(name));
    parts.remove(0);
    let in_enum = parts.contains(&"enum");
    if in_enum && let Some(word) = parts.iter().find(|part| SHORT_OPTIONS.contains(part)) {
        return Err(format!(
            "`{word}` behind `enum` may be a value or an option: write the field as an object with `values`"
        ));
    }
    while let Some(last) = parts.last().copied()
        && SHORT_OPTIONS.contains(&last)
    {
        object.insert(last.to_owned(), json!(true));
        parts.pop();
    }
    let kind = if parts.is_empty() { "string".to_owned() } else { parts.join(":") };
    object.insert("type".to_owned(), json!(kind));
    Ok(object)
}

/// Reads a field.
pub(super) fn read_field(object: Object<'_>) -> Option<Read> {
    let name = field_name(&object)?;
    if let Some(kind) = object.any_text(&["type", "field_type"])
        && let Some(association) = as_reference(&object, &name, &kind)
    {
        object.finish();
        return Some(Read::Association(association));
    }
    let kind = read_type(&object);
    let default = object.value("default").cloned();
    let mut field = Field {
        name,
        kind: kind.clone().unwrap_or(FieldType::String),
        required: object.flag("required"),
        null: object.flag("null"),
        default: None,
        unique: object.flag("unique").unwrap_or(false),
        index: object.flag("index").unwrap_or(false),
        redact: object.flag("redact").unwrap_or(false),
        is_virtual: object.flag("virtual").unwrap_or(false),
        primary_key: object.flag("primary_key").unwrap_or(false),
        cast: object.flag("cast").unwrap_or(true),
        size: object.integer("size"),
        precision: object.integer("precision"),
        scale: object.integer("scale"),
        source: object.identifier("source"),
        comment: object.any_text(&["comment", "description"]),
        collation: object.text("collation"),
        generated: object.text("generated"),
        message: object.text("message"),
        validations: validations(&object),
    };
    if let Some(default) = default.filter(|_| kind.is_some()) {
        match typed_default(&field.kind, &default) {
            Ok(default) => field.default = Some(default),
            Err(wanted) => object.wrong(&["default"], &default, &wanted),
        }
    }
    if field.kind == FieldType::Boolean && field.default.is_none() && field.null != Some(true) {
        field.default = Some(Literal::Bool(false));
    }
    check_options(&object, &field);
    object.finish();
    kind.map(|_| Read::Field(Box::new(field)))
}

fn field_name(object: &Object<'_>) -> Option<String> {
    let Some(name) = object.any_text(&["name", "field", "field_name"]) else {
        object.problem("the field has no `name`", "write `name` and `type`");
        return None;
    };
    if !names::is_identifier(&name) {
        object.problem(
            format!("{} is no field name", shown(&name)),
            format!(
                "write `{}`: a small letter, then small letters, digits and `_`, at most 63",
                names::proposed_identifier(&name)
            ),
        );
        return None;
    }
    if names::is_reserved(&name) {
        object.problem(
            format!("`{name}` is a reserved word of Elixir"),
            format!("write `{name}_at`, `{name}_value` or the like, with `source: \"{name}\"` for a column of that name"),
        );
        return None;
    }
    Some(name)
}

/// `type: references:users`, or `references` with a table.
fn as_reference(object: &Object<'_>, name: &str, kind: &str) -> Option<Association> {
    let lower = kind.trim_start_matches(':').to_ascii_lowercase();
    let (head, table) = lower
        .split_once(':')
        .map_or((lower.as_str(), None), |(head, table)| (head, Some(table.to_owned())));
    if !matches!(head, "references" | "reference" | "belongs_to") {
        return None;
    }
    let target = table
        .or_else(|| object.any_text(&["references", "table", "target", "to"]))
        .filter(|target| !target.is_empty());
    let base = name.strip_suffix("_id").unwrap_or(name).to_owned();
    Some(Association {
        relation: Relation::BelongsTo,
        name: base,
        target,
        foreign_key: name.ends_with("_id").then(|| name.to_owned()),
        required: object.flag("required").or_else(|| object.flag("null").map(|null| !null)),
        on_delete: super::association::action(object, "on_delete"),
        on_update: super::association::action(object, "on_update"),
        unique: object.flag("unique").unwrap_or(false),
        join_table: None,
        through: Vec::new(),
        inverse: {
            object.flag("index");
            super::association::inverse(object)
        },
    })
}

fn validations(object: &Object<'_>) -> Vec<Validation> {
    let mut found = Vec::new();
    if let Some(value) = object.value("length") {
        let options = options(object, "length", value, &["min", "max", "is"]);
        found.extend((!options.is_empty()).then_some(Validation::Length(options)));
    }
    if let Some(pattern) = object.text("format") {
        let broken = pattern.chars().any(char::is_control) || pattern.len() > 500;
        if broken || fancy_regex::Regex::new(&pattern).is_err() {
            object.problem(
                format!("`format` is {}: no regular expression", shown(&pattern)),
                "write one on one line, such as ^[a-z]+$",
            );
        } else {
            found.push(Validation::Format(pattern));
        }
    }
    if let Some(value) = object.value("number") {
        let options = options(object, "number", value, &NUMBER_OPTIONS);
        found.extend((!options.is_empty()).then_some(Validation::Number(options)));
    }
    for (key, make) in [
        ("inclusion", Validation::Inclusion as fn(Vec<Literal>) -> Validation),
        ("exclusion", Validation::Exclusion),
        ("subset", Validation::Subset),
    ] {
        let items: Vec<Literal> = object.list(key).iter().filter_map(Literal::from_json).collect();
        found.extend((!items.is_empty()).then(|| make(items)));
    }
    found.extend(object.flag("confirmation").filter(|on| *on).map(|_| Validation::Confirmation));
    found.extend(object.flag("acceptance").filter(|on| *on).map(|_| Validation::Acceptance));
    found
}

fn options(
    object: &Object<'_>,
    key: &'static str,
    value: &Value,
    known: &[&'static str],
) -> Vec<(String, Literal)> {
    let Some(map) = value.as_object() else {
        object.wrong(&[key], value, &format!("an object with {}", known.join(", ")));
        return Vec::new();
    };
    map.iter()
        .filter_map(|(name, value)| {
            if !known.contains(&name.as_str()) {
                object.problem(
                    format!("`{key}` has the option {}", shown(name)),
                    format!("known are {}", known.join(", ")),
                );
                return None;
            }
            let number = match value {
                Value::String(text) => serde_json::from_str(text.trim()).unwrap_or(Value::Null),
                other => other.clone(),
            };
            let literal = Literal::from_json(&number).filter(|literal| {
                matches!(literal, Literal::Integer(_))
                    || (key == "number" && matches!(literal, Literal::Float(_)))
            });
            if literal.is_none() {
                object.wrong(&[key], value, "a number for each option");
            }
            literal.map(|literal| (name.clone(), literal))
        })
        .collect()
}

/// A default of the field's type, or what would be one.
pub(super) fn typed_default(kind: &FieldType, value: &Value) -> Result<Literal, String> {
    // Models write numbers and flags as text.
    let unquoted = match value {
        Value::String(text) => serde_json::from_str(text.trim()).unwrap_or(Value::Null),
        other => other.clone(),
    };
    let wanted = |what: &str| Err(what.to_owned());
    match kind {
        FieldType::String | FieldType::Text | FieldType::Citext => match value {
            Value::String(text) => Ok(Literal::Text(text.clone())),
            _ => wanted("a text"),
        },
        FieldType::Integer | FieldType::Bigint => match Literal::from_json(&unquoted) {
            Some(Literal::Integer(number)) => {
                if *kind == FieldType::Integer && i32::try_from(number).is_err() {
                    return wanted("a number within 32 bits, or use the type `bigint`");
                }
                Ok(Literal::Integer(number))
            }
            _ => wanted("a whole number"),
        },
        FieldType::Float => match Literal::from_json(&unquoted) {
            Some(Literal::Integer(number)) => {
                #[expect(clippy::cast_precision_loss, reason = "a float field holds no more")]
                let number = number as f64;
                Ok(Literal::Float(number))
            }
            Some(number @ Literal::Float(_)) => Ok(number),
            _ => wanted("a number"),
        },
        FieldType::Decimal => match &unquoted {
            Value::Number(number) => Ok(Literal::Text(number.to_string())),
            _ => wanted("a number"),
        },
        FieldType::Boolean => match unquoted {
            Value::Bool(flag) => Ok(Literal::Bool(flag)),
            _ => wanted("true or false"),
        },
        FieldType::Enum(values) => match value {
            Value::String(name) if values.iter().any(|value| value.name == *name) => {
                Ok(Literal::Atom(name.clone()))
            }
            _ => wanted(&format!(
                "one of {}",
                values.iter().map(|value| value.name.as_str()).collect::<Vec<_>>().join(", ")
            )),
        },
        FieldType::Map(_) => match value {
            Value::Object(_) => Literal::from_json(value).ok_or_else(|| "an object".to_owned()),
            _ => wanted("an object"),
        },
        FieldType::Array(inner) => match value {
            Value::Array(items) => Ok(Literal::List(
                items.iter().map(|item| typed_default(inner, item)).collect::<Result<_, _>>()?,
            )),
            _ => wanted("a list"),
        },
        FieldType::Date
        | FieldType::Time
        | FieldType::NaiveDatetime
        | FieldType::UtcDatetime
        | FieldType::TimeUsec
        | FieldType::NaiveDatetimeUsec
        | FieldType::UtcDatetimeUsec => {
            super::check::moment(kind, value.as_str().unwrap_or_default())
        }
        FieldType::Binary | FieldType::Uuid | FieldType::BinaryId | FieldType::Duration => {
            wanted("no default: fields of this type have none")
        }
    }
}

fn check_options(object: &Object<'_>, field: &Field) {
    let name = &field.name;
    let refuse = |on: bool, message: String, fix: &str| {
        if on {
            object.problem(message, fix);
        }
    };
    refuse(
        field.scale.is_some() && field.precision.is_none(),
        format!("`{name}` has a `scale` without a `precision`"),
        "give both",
    );
    refuse(
        (field.precision.is_some()) && field.kind != FieldType::Decimal,
        format!("`{name}` has a `precision` and is no decimal"),
        "use the type `decimal`",
    );
    refuse(
        field.precision.is_some_and(|precision| !(1..=1000).contains(&precision))
            || field.scale.is_some_and(|scale| scale < 0 || Some(scale) > field.precision),
        format!("`{name}` has an impossible `precision` or `scale`"),
        "write a precision from 1 to 1000 and a scale from 0 to the precision",
    );
    refuse(
        field.size.is_some() && !matches!(field.kind, FieldType::String | FieldType::Binary),
        format!("`{name}` has a `size` and is no string"),
        "remove `size`, or use the type `string`",
    );
    refuse(
        field.size.is_some_and(|size| !(1..=10_485_760).contains(&size)),
        format!("`{name}` has an impossible `size`"),
        "write a number from 1 to 10485760",
    );
    refuse(
        field.required == Some(true) && field.null == Some(true),
        format!("`{name}` is `required` and `null` at once"),
        "give one of them",
    );
    refuse(
        field.is_virtual
            && (field.unique
                || field.index
                || field.generated.is_some()
                || field.primary_key
                || field.source.is_some()),
        format!("`{name}` is virtual, so it has no column for an index, a key or a `source`"),
        "remove `virtual` or the other option",
    );
    refuse(
        matches!(&field.default, Some(Literal::Nil))
            || (field.generated.is_some() && field.default.is_some()),
        format!("`{name}` is generated and has a default"),
        "give one of them",
    );
    for validation in &field.validations {
        let fits = match validation {
            Validation::Length(_) => {
                field.kind.is_text()
                    || matches!(field.kind, FieldType::Array(_) | FieldType::Binary)
            }
            Validation::Format(_) | Validation::Confirmation => field.kind.is_text(),
            Validation::Number(_) => field.kind.is_number(),
            Validation::Acceptance => field.kind == FieldType::Boolean,
            Validation::Subset(_) => matches!(field.kind, FieldType::Array(_)),
            Validation::Inclusion(_) | Validation::Exclusion(_) => {
                !matches!(field.kind, FieldType::Array(_) | FieldType::Map(_))
            }
        };
        refuse(
            !fits,
            format!("`{name}` has a validation that its type cannot have"),
            "remove it, or change the type",
        );
    }
    for (key, sql) in [("generated", &field.generated)] {
        if let Some(sql) = sql
            && let Some(reason) = super::check::unsafe_sql(sql)
        {
            refuse(true, format!("`{key}` of `{name}` {reason}"), "write one SQL expression");
        }
    }
}
