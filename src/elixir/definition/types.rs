//! Types of fields: how they are named, and what each is in a schema and in a migration.

use serde_json::Value;

use super::object::{Object, shown};
use crate::elixir::literal;
use crate::elixir::names;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FieldType {
    String,
    Text,
    Citext,
    Integer,
    Bigint,
    Float,
    Decimal,
    Boolean,
    Binary,
    Date,
    Time,
    TimeUsec,
    NaiveDatetime,
    NaiveDatetimeUsec,
    UtcDatetime,
    UtcDatetimeUsec,
    Uuid,
    BinaryId,
    Duration,
    /// A map, of any values or of one type.
    Map(Option<Box<FieldType>>),
    Array(Box<FieldType>),
    Enum(Vec<EnumValue>),
}

/// A value of an enumeration, with the number that stands for it where it is kept as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EnumValue {
    pub(crate) name: String,
    pub(crate) number: Option<i64>,
}

/// The names that a definition may use.
pub(crate) const TYPE_NAMES: [(&str, FieldType); 30] = [
    ("string", FieldType::String),
    ("varchar", FieldType::String),
    ("text", FieldType::Text),
    ("citext", FieldType::Citext),
    ("integer", FieldType::Integer),
    ("int", FieldType::Integer),
    ("bigint", FieldType::Bigint),
    ("float", FieldType::Float),
    ("decimal", FieldType::Decimal),
    ("numeric", FieldType::Decimal),
    ("boolean", FieldType::Boolean),
    ("bool", FieldType::Boolean),
    ("binary", FieldType::Binary),
    ("date", FieldType::Date),
    ("time", FieldType::Time),
    ("time_usec", FieldType::TimeUsec),
    ("naive_datetime", FieldType::NaiveDatetime),
    ("datetime", FieldType::NaiveDatetime),
    ("naive_datetime_usec", FieldType::NaiveDatetimeUsec),
    ("utc_datetime", FieldType::UtcDatetime),
    ("utc_datetime_usec", FieldType::UtcDatetimeUsec),
    ("uuid", FieldType::Uuid),
    ("binary_id", FieldType::BinaryId),
    ("duration", FieldType::Duration),
    ("map", FieldType::Map(None)),
    ("json", FieldType::Map(None)),
    ("jsonb", FieldType::Map(None)),
    ("object", FieldType::Map(None)),
    ("number", FieldType::Float),
    ("timestamp", FieldType::NaiveDatetime),
];

impl FieldType {
    /// The type in a schema's `field`, with its options before all others.
    pub(crate) fn in_schema(&self) -> (String, Option<String>) {
        match self {
            Self::String | Self::Text | Self::Citext => (":string".to_owned(), None),
            Self::Bigint => (":integer".to_owned(), None),
            // `:binary_id` casts any bytes, and raises when they are stored.
            Self::Uuid | Self::BinaryId => ("Ecto.UUID".to_owned(), None),
            Self::Map(Some(inner)) => (format!("{{:map, {}}}", inner.in_schema().0), None),
            Self::Array(inner) => {
                let (inner, options) = inner.in_schema();
                (format!("{{:array, {inner}}}"), options)
            }
            Self::Enum(values) => ("Ecto.Enum".to_owned(), Some(enum_values(values))),
            plain => (plain.atom(), None),
        }
    }

    /// The type of the column.
    pub(crate) fn in_migration(&self) -> String {
        match self {
            Self::Map(_) => ":map".to_owned(),
            Self::BinaryId => ":uuid".to_owned(),
            Self::Array(inner) => format!("{{:array, {}}}", inner.in_migration()),
            Self::Enum(values) if values.iter().all(|value| value.number.is_some()) => {
                ":integer".to_owned()
            }
            Self::Enum(_) => ":string".to_owned(),
            plain => plain.atom(),
        }
    }

    fn atom(&self) -> String {
        let name = TYPE_NAMES.iter().find(|(_, kind)| kind == self).map_or("string", |pair| pair.0);
        format!(":{name}")
    }

    /// Whether values are text.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::String | Self::Text | Self::Citext)
    }

    /// Whether values are numbers.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Integer | Self::Bigint | Self::Float | Self::Decimal)
    }
}

fn enum_values(values: &[EnumValue]) -> String {
    let listed: Vec<String> = values
        .iter()
        .map(|value| match value.number {
            Some(number) => format!("{}{}", literal::key(&value.name), literal::integer(number)),
            None => literal::atom(&value.name),
        })
        .collect();
    format!("values: [{}]", listed.join(", "))
}

/// The type of a field from its name and, for enumerations and lists, the rest of the object.
pub(super) fn read_type(object: &Object<'_>) -> Option<FieldType> {
    let given = object.any(&["type", "field_type"]);
    let values = object.value("values");
    let items = object.any(&["items", "of", "inner"]);
    let value = match given {
        Some(value) => value,
        None if values.is_some() => return read_enum(object, values),
        None => {
            object.problem("the field has no `type`", "write a type such as `string`");
            return None;
        }
    };
    match value {
        Value::String(name) => named(object, name, values, items),
        // `{"array": "string"}`
        Value::Object(map) if map.len() == 1 => {
            let (name, inner) = map.iter().next()?;
            named(object, name, values, Some(inner))
        }
        // `["array", "string"]`
        Value::Array(parts) if parts.len() == 2 => {
            let name = parts.first().and_then(Value::as_str).unwrap_or_default();
            named(object, name, values, parts.get(1))
        }
        other => {
            object.wrong(&["type"], other, "a type such as `string` or `array:string`");
            None
        }
    }
}

fn named(
    object: &Object<'_>,
    name: &str,
    values: Option<&Value>,
    items: Option<&Value>,
) -> Option<FieldType> {
    let cleaned = name.trim().trim_start_matches('{').trim_end_matches('}');
    let (head, rest) = match cleaned.split_once([',', ':']) {
        Some((head, rest)) if !head.trim().is_empty() => (head.trim(), Some(rest)),
        _ => (cleaned, None),
    };
    // `:string` and `{:array, :string}` as they stand in a schema.
    if head.is_empty() || head.starts_with(':') {
        let bare: String = cleaned.replacen(':', "", 1);
        return named(object, &bare, values, items);
    }
    let rest = rest.map(|rest| rest.trim().trim_start_matches(':').to_owned());
    let lower = head.to_ascii_lowercase();
    match lower.as_str() {
        "enum" | "ecto.enum" => {
            let listed = rest
                .map(|rest| Value::from(rest.split(':').map(str::to_owned).collect::<Vec<_>>()));
            read_enum(object, values.or(listed.as_ref()))
        }
        "array" | "list" => {
            let inner = match (items, rest) {
                (Some(Value::String(inner)), _) => inner.clone(),
                (None, Some(rest)) => rest,
                (None, None) if values.is_some() => "enum".to_owned(),
                _ => {
                    object.problem(
                        "an array needs the type of its elements",
                        "write `array:string`, or `type: array` with `items: string`",
                    );
                    return None;
                }
            };
            let inner = named(object, &inner, values, None)?;
            if matches!(inner, FieldType::Array(_) | FieldType::Map(Some(_))) {
                object.problem("arrays of arrays are not supported", "use a `map`");
                return None;
            }
            Some(FieldType::Array(Box::new(inner)))
        }
        "map" if items.is_some() || rest.is_some() => {
            let inner = items.and_then(Value::as_str).map(str::to_owned).or(rest)?;
            let inner = named(object, &inner, None, None)?;
            Some(FieldType::Map(Some(Box::new(inner))))
        }
        "ecto.uuid" => Some(FieldType::Uuid),
        _ => plain(object, &lower, name),
    }
}

fn plain(object: &Object<'_>, lower: &str, written: &str) -> Option<FieldType> {
    if let Some((_, kind)) = TYPE_NAMES.iter().find(|(known, _)| *known == lower) {
        return Some(kind.clone());
    }
    let more = ["enum", "array", "references"];
    let known = TYPE_NAMES.iter().map(|(name, _)| *name).chain(more);
    let fix = names::nearest(lower, known).map_or_else(
        || {
            "known are string, text, citext, integer, bigint, float, decimal, boolean, binary, date, \
             time, time_usec, naive_datetime, naive_datetime_usec, utc_datetime, utc_datetime_usec, \
             uuid, binary_id, map, enum, array:TYPE and references:TABLE"
                .to_owned()
        },
        |near| format!("did you mean `{near}`?"),
    );
    object.problem(format!("the type {} is unknown", shown(written)), fix);
    None
}

fn read_enum(object: &Object<'_>, values: Option<&Value>) -> Option<FieldType> {
    let mut read = Vec::new();
    match values {
        Some(Value::Array(items)) => {
            for item in items {
                match item {
                    Value::String(name) => {
                        read.push(EnumValue { name: name.trim().to_owned(), number: None });
                    }
                    other => {
                        object.wrong(&["values"], other, "a list of names");
                        return None;
                    }
                }
            }
        }
        Some(Value::Object(map)) => {
            for (name, number) in map {
                let Some(number) = number.as_i64() else {
                    object.wrong(&["values"], number, "a whole number for every name");
                    return None;
                };
                read.push(EnumValue { name: name.trim().to_owned(), number: Some(number) });
            }
        }
        _ => {}
    }
    if read.is_empty() {
        object.problem(
            "an enum needs its values",
            "write `values: [\"draft\", \"published\"]` or `enum:draft:published`",
        );
        return None;
    }
    for (place, value) in read.iter().enumerate() {
        let name = &value.name;
        if read.iter().take(place).any(|earlier| earlier.name == *name) {
            object.problem(format!("the value {} is there twice", shown(name)), "name it once");
            return None;
        }
        if value.number.is_some()
            && read.iter().take(place).any(|earlier| earlier.number == value.number)
        {
            object.problem(
                format!("the number of {} stands for another value too", shown(name)),
                "give each value a number of its own",
            );
            return None;
        }
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            object.problem(
                format!("{} is no value of an enum", shown(name)),
                "use short names without control characters",
            );
            return None;
        }
    }
    Some(FieldType::Enum(read))
}
