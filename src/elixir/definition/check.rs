//! Checks that need no project: values of times, SQL, and what a definition's parts say together.

use std::collections::BTreeSet;

use time::macros::format_description;
use time::{Date, PrimitiveDateTime, Time};

use super::object::Problems;
use super::{
    Association, ContextOptions, Definition, FieldType, IndexColumn, Relation, Timestamps,
};
use crate::elixir::literal::Literal;
use crate::elixir::names;

/// Fields that Ecto keeps for itself.
const KEPT: [&str; 2] = ["__meta__", "__struct__"];

/// A date or time in ISO 8601 as a sigil, or what is wanted.
pub(super) fn moment(kind: &FieldType, text: &str) -> Result<Literal, String> {
    let text = text.trim();
    let bare = text.trim_end_matches('Z').replace('T', " ");
    let usec = if kind.is_usec() { ".000000" } else { "" };
    let code = match kind {
        FieldType::Date => Date::parse(text, format_description!("[year]-[month]-[day]"))
            .ok()
            .map(|date| format!("~D[{date}]"))
            .ok_or("a date such as 2025-01-31")?,
        FieldType::Time | FieldType::TimeUsec => {
            Time::parse(text, format_description!("[hour]:[minute]:[second]"))
                .ok()
                .map(|_| format!("~T[{text}{usec}]"))
                .ok_or("a time such as 14:30:00")?
        }
        _ => {
            let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
            let parsed = PrimitiveDateTime::parse(&bare, format).ok();
            let utc = matches!(kind, FieldType::UtcDatetime | FieldType::UtcDatetimeUsec);
            let (sigil, end) = if utc { ("~U", "Z") } else { ("~N", "") };
            parsed
                .map(|_| format!("{sigil}[{bare}{usec}{end}]"))
                .ok_or("a date and time such as 2025-01-31T14:30:00")?
        }
    };
    Ok(Literal::Code(code))
}

impl FieldType {
    /// Whether values carry microseconds.
    pub(crate) fn is_usec(&self) -> bool {
        matches!(self, Self::TimeUsec | Self::NaiveDatetimeUsec | Self::UtcDatetimeUsec)
    }
}

/// Why a piece of SQL is not written into a migration.
pub(super) fn unsafe_sql(sql: &str) -> Option<&'static str> {
    if sql.contains(';') {
        Some("contains `;`")
    } else if sql.contains("--") || sql.contains("/*") {
        Some("contains a comment")
    } else if sql.chars().any(char::is_control) {
        Some("contains a control character")
    } else if sql.len() > 1000 {
        Some("is longer than 1000 bytes")
    } else {
        None
    }
}

/// Checks what the parts say together.
pub(super) fn check(definition: &Definition, problems: &Problems) {
    names_apart(definition, problems);
    associations(definition, problems);
    columns_exist(definition, problems);
    enums(definition, problems);
}

/// Names of a resource's own parts: all must differ.
fn names_apart(definition: &Definition, problems: &Problems) {
    let key = definition.primary_key.as_ref().map_or("id", |key| key.name.as_str());
    let composite = definition.fields.iter().any(|field| field.primary_key);
    let mut seen: BTreeSet<&str> = if composite { BTreeSet::new() } else { [key].into() };
    match &definition.timestamps {
        Some(Timestamps::Off) => {}
        Some(Timestamps::On { inserted_at, updated_at, .. }) => {
            seen.insert(inserted_at.as_deref().unwrap_or("inserted_at"));
            seen.insert(updated_at.as_deref().unwrap_or("updated_at"));
        }
        None => {
            seen.insert("inserted_at");
            seen.insert("updated_at");
        }
    }
    let generated = seen.clone();
    let belongs = |association: &Association| association.relation == Relation::BelongsTo;
    let keys: Vec<String> = definition
        .associations
        .iter()
        .filter(|association| belongs(association))
        .map(Association::key)
        .collect();
    let fields = definition.fields.iter().map(|field| field.name.as_str());
    let associated = definition.associations.iter().map(|association| association.name.as_str());
    let embedded = definition.embeds.iter().map(|embed| embed.name.as_str());
    for name in fields.chain(associated).chain(embedded).chain(keys.iter().map(String::as_str)) {
        if KEPT.contains(&name) {
            problems.add(name, "Ecto keeps this name for itself", "choose another name");
        } else if !seen.insert(name) {
            if generated.contains(name) {
                problems.add(
                    name,
                    format!("`{name}` is made by the schema itself (primary key or timestamps)"),
                    "remove the field, or set `primary_key` or `timestamps`",
                );
            } else {
                problems.add(
                    name,
                    format!("`{name}` is there twice among fields, associations and embeds"),
                    "give each one name",
                );
            }
        }
    }
    let mut columns = BTreeSet::new();
    for field in definition.fields.iter().filter(|field| field.source.is_some()) {
        if !columns.insert(field.column())
            || definition
                .fields
                .iter()
                .any(|other| other.source.is_none() && other.name == field.column())
        {
            problems.add(
                &field.name,
                "two fields have this column",
                "give each field its own `source`",
            );
        }
    }
}

impl Association {
    /// The column that points to the other row.
    pub(crate) fn key(&self) -> String {
        self.foreign_key.clone().unwrap_or_else(|| format!("{}_id", self.name))
    }
}

fn associations(definition: &Definition, problems: &Problems) {
    for association in &definition.associations {
        let name = &association.name;
        if association.on_delete.as_deref() == Some("nilify_all")
            && association.required == Some(true)
        {
            problems.add(
                name,
                "`on_delete: nilify_all` writes NULL into a column that refuses it",
                "set `required: false`, or use `delete_all` or `restrict`",
            );
        }
        if association.on_delete.as_deref() == Some("default_all") {
            problems.add(name, "`on_delete: default_all` needs a default row", "use `nilify_all`");
        }
        let is_has = matches!(association.relation, Relation::HasMany | Relation::HasOne);
        if !association.through.is_empty() && (!is_has || association.through.len() != 2) {
            problems.add(
                name,
                "`through` is a path of two associations for has_many and has_one",
                "write `through: [\"posts\", \"comments\"]`",
            );
        }
        if association.through.iter().any(|part| !names::is_identifier(part)) {
            problems.add(
                name,
                "`through` holds something that is no name",
                "name two associations",
            );
        }
    }
}

/// Columns that indexes, filters and the like speak of.
fn columns_exist(definition: &Definition, problems: &Problems) {
    let known = definition.known_names();
    let near = |name: &str| {
        names::nearest(name, known.iter().map(String::as_str)).map_or_else(
            || "name a field of this resource".to_owned(),
            |near| format!("did you mean `{near}`?"),
        )
    };
    let check = |place: &str, name: &str| {
        if !known.iter().any(|known| known == name) {
            problems.add(place, format!("`{name}` is no field of this resource"), near(name));
        }
    };
    for index in &definition.indexes {
        for column in &index.columns {
            if let IndexColumn::Name(name) | IndexColumn::Ordered(name, _) = column {
                check("indexes", name);
            }
        }
        for name in &index.include {
            check("indexes", name);
        }
    }
    let ContextOptions { filters, upsert, .. } = &definition.options;
    for name in filters {
        check("context_options.filters", name);
    }
    for name in upsert {
        check("context_options.upsert", name);
    }
    for constraint in &definition.constraints {
        if let Some(field) = &constraint.field {
            check("constraints", field);
        }
    }
    for name in &definition.options.preloads {
        if !definition.associations.iter().any(|association| association.name == *name) {
            problems.add(
                "context_options.preloads",
                format!("`{name}` is no association of this resource"),
                "name one of `associations`",
            );
        }
    }
    if definition.options.soft_delete
        && definition.fields.iter().any(|field| field.name == "deleted_at")
    {
        problems.add("deleted_at", "`soft_delete` adds this field itself", "remove the field");
    }
}

impl Definition {
    /// Names that columns and the struct have.
    pub(crate) fn known_names(&self) -> Vec<String> {
        let mut known: Vec<String> =
            vec![self.primary_key.as_ref().map_or("id", |key| key.name.as_str()).to_owned()];
        match &self.timestamps {
            Some(Timestamps::Off) => {}
            Some(Timestamps::On { inserted_at, updated_at, .. }) => {
                known.push(inserted_at.clone().unwrap_or_else(|| "inserted_at".to_owned()));
                known.push(updated_at.clone().unwrap_or_else(|| "updated_at".to_owned()));
            }
            None => known.extend(["inserted_at".to_owned(), "updated_at".to_owned()]),
        }
        known.extend(
            self.fields.iter().filter(|field| !field.is_virtual).map(|field| field.name.clone()),
        );
        known.extend(self.fields.iter().filter_map(|field| field.source.clone()));
        known.extend(
            self.associations
                .iter()
                .filter(|association| association.relation == Relation::BelongsTo)
                .map(Association::key),
        );
        known.extend(self.embeds.iter().map(|embed| embed.name.clone()));
        if self.options.soft_delete {
            known.push("deleted_at".to_owned());
        }
        known
    }
}

fn enums(definition: &Definition, problems: &Problems) {
    for field in &definition.fields {
        let values = match &field.kind {
            FieldType::Enum(values) => values,
            FieldType::Array(inner) => match inner.as_ref() {
                FieldType::Enum(values) => values,
                _ => continue,
            },
            _ => continue,
        };
        let numbered = values.iter().filter(|value| value.number.is_some()).count();
        if numbered != 0 && numbered != values.len() {
            problems.add(
                &field.name,
                "some values of the enum have numbers and some have none",
                "give numbers to all or none",
            );
        }
    }
}
