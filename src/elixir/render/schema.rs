//! The schema: its lines and its changeset, each by itself, so that an existing file can be compared
//! with them and edited line by line.

use std::fmt::Write as _;

use super::lines::Lines;
use crate::elixir::definition::{Embed, Field, FieldType, Relation, Validation};
use crate::elixir::literal::{self, Literal};
use crate::elixir::resource::{Related, Resource, foreign_key_name, has_length};

/// Longest text in a column without a size.
const VARCHAR: i64 = 255;

/// What a schema's module is made of.
#[derive(Debug, Clone, Default)]
pub(crate) struct SchemaParts {
    /// `@primary_key …`
    pub(crate) attributes: Vec<String>,
    pub(crate) fields: Vec<String>,
    pub(crate) embeds: Vec<Vec<String>>,
    pub(crate) associations: Vec<String>,
    pub(crate) timestamps: Option<String>,
    pub(crate) cast: Vec<String>,
    pub(crate) required: Vec<String>,
    /// Steps of the changeset behind `validate_required`.
    pub(crate) steps: Vec<String>,
    /// Steps between `cast` and `validate_required`.
    pub(crate) early_steps: Vec<String>,
    /// Private functions for embeds.
    pub(crate) functions: Vec<Vec<String>>,
}

/// The parts of a resource's schema.
pub(crate) fn schema_parts(resource: &Resource) -> SchemaParts {
    let mut parts = SchemaParts {
        attributes: attributes(resource),
        fields: resource.fields.iter().map(field_line).collect(),
        timestamps: resource.stamps.as_ref().map(crate::elixir::resource::Stamps::code),
        cast: owned(&resource.cast_names()),
        required: owned(&resource.required_names()),
        ..SchemaParts::default()
    };
    for embed in &resource.embeds {
        parts.embeds.push(embed_lines(embed));
        parts.functions.push(embed_function(embed));
        let required = if embed.required { ", required: true" } else { "" };
        parts
            .early_steps
            .push(format!("cast_embed(:{0}, with: &{0}_changeset/2{required})", embed.name));
    }
    for related in &resource.related {
        parts.associations.push(association_line(resource, related));
    }
    for field in &resource.fields {
        parts.steps.extend(field_steps(field));
    }
    parts.steps.extend(constraint_steps(resource));
    if let Some(scope) = &resource.scope {
        parts.steps.push(format!("put_change(:{}, {})", scope.schema_key, scope.access()));
    }
    parts
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The whole file.
pub(crate) fn schema_file(resource: &Resource, parts: &SchemaParts) -> String {
    let mut out = Lines::default();
    let names = &resource.names;
    out.add(0, &format!("defmodule {} do", names.schema));
    out.add(1, "use Ecto.Schema");
    out.add(1, "import Ecto.Changeset");
    out.blank();
    for attribute in &parts.attributes {
        out.add(1, attribute);
    }
    out.add(1, &format!("schema {} do", literal::text(&names.table)));
    for line in &parts.fields {
        out.add(2, line);
    }
    for embed in &parts.embeds {
        out.blank();
        out.nested(2, embed);
    }
    if !parts.associations.is_empty() {
        out.blank_unless_open();
        for line in &parts.associations {
            out.add(2, line);
        }
    }
    if let Some(line) = &parts.timestamps {
        out.blank_unless_open();
        out.add(2, line);
    }
    out.add(1, "end");
    out.blank();
    out.add(1, "@doc false");
    let scope = if resource.scope.is_some() { ", scope" } else { "" };
    out.add(1, &format!("def changeset({}, attrs{scope}) do", names.singular));
    out.add(2, &names.singular);
    for step in changeset_steps(parts) {
        out.add(2, &format!("|> {step}"));
    }
    out.add(1, "end");
    for function in &parts.functions {
        out.blank();
        out.nested(1, function);
    }
    out.add(0, "end");
    out.text()
}

/// All steps of the changeset in their order.
pub(crate) fn changeset_steps(parts: &SchemaParts) -> Vec<String> {
    let mut steps = vec![format!("cast(attrs, {})", atoms(&parts.cast))];
    steps.extend(parts.early_steps.iter().cloned());
    if !parts.required.is_empty() {
        steps.push(format!("validate_required({})", atoms(&parts.required)));
    }
    steps.extend(parts.steps.iter().cloned());
    steps
}

/// `[:a, :b]`
pub(crate) fn atoms(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| literal::atom(name)).collect();
    format!("[{}]", names.join(", "))
}

fn attributes(resource: &Resource) -> Vec<String> {
    let key = &resource.key;
    let mut lines = Vec::new();
    if key.composite {
        lines.push("@primary_key false".to_owned());
    } else if !key.is_usual() {
        lines.push(format!(
            "@primary_key {{:{}, {}, autogenerate: {}}}",
            key.name, key.schema_type, key.autogenerate
        ));
    }
    if default_key_type(resource) != ":id" {
        lines.push(format!("@foreign_key_type {}", foreign_key_type(&key.schema_type)));
    }
    if let Some(prefix) = &resource.names.prefix {
        lines.push(format!("@schema_prefix {}", literal::text(prefix)));
    }
    lines
}

/// The type of foreign keys that say nothing else.
fn default_key_type(resource: &Resource) -> &str {
    let key = &resource.key;
    let belongs = resource.of(Relation::BelongsTo).next().is_some();
    if key.composite || (key.schema_type == "Ecto.UUID" && !belongs) {
        ":id"
    } else {
        &key.schema_type
    }
}

/// The type of a field that holds another row's key. A key of `:binary_id` is made by Ecto; one that a
/// caller names has to be checked, which `:binary_id` leaves to the moment when it is stored.
fn foreign_key_type(key_type: &str) -> &str {
    if key_type == ":binary_id" { "Ecto.UUID" } else { key_type }
}

fn field_line(field: &Field) -> String {
    let (kind, values) = field.kind.in_schema();
    let mut line = format!("field :{}, {kind}", field.name);
    let mut add = |option: String| {
        line.push_str(", ");
        line.push_str(&option);
    };
    if let Some(values) = values {
        add(values);
    }
    if let Some(source) = field.source.as_ref().filter(|source| **source != field.name) {
        add(format!("source: {}", literal::atom(source)));
    }
    if let Some(default) = &field.default {
        add(format!("default: {}", schema_default(field, default)));
    }
    if field.primary_key {
        add("primary_key: true".to_owned());
    }
    if field.is_virtual {
        add("virtual: true".to_owned());
    }
    if field.generated.is_some() {
        add("read_after_writes: true".to_owned());
        add("writable: :never".to_owned());
    }
    if field.redact {
        add("redact: true".to_owned());
    }
    line
}

/// A default as a value of the struct.
fn schema_default(field: &Field, default: &Literal) -> String {
    match (&field.kind, default) {
        (FieldType::Decimal, Literal::Text(digits)) => {
            format!("Decimal.new({})", literal::text(digits))
        }
        _ => default.code(),
    }
}

fn embed_lines(embed: &Embed) -> Vec<String> {
    let module = crate::elixir::names::camel(&crate::elixir::names::singular(&embed.name));
    let head = if embed.many {
        format!("embeds_many :{}, {module}, on_replace: :delete do", embed.name)
    } else {
        format!("embeds_one :{}, {module}, on_replace: :update do", embed.name)
    };
    let mut lines = vec![head];
    lines.extend(embed.fields.iter().map(|field| format!("  {}", field_line(field))));
    lines.push("end".to_owned());
    lines
}

fn embed_function(embed: &Embed) -> Vec<String> {
    let variable = crate::elixir::names::singular(&embed.name);
    let names = |fields: Vec<&Field>| {
        atoms(&fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>())
    };
    let required: Vec<&Field> = embed.fields.iter().filter(|field| field.is_required()).collect();
    let mut lines = vec![
        format!("defp {}_changeset({variable}, attrs) do", embed.name),
        format!("  {variable}"),
        format!(
            "  |> cast(attrs, {})",
            names(embed.fields.iter().filter(|field| field.cast).collect())
        ),
    ];
    if !required.is_empty() {
        lines.push(format!("  |> validate_required({})", names(required)));
    }
    for step in embed.fields.iter().flat_map(|field| validation_steps(field, None, None)) {
        lines.push(format!("  |> {step}"));
    }
    lines.push("end".to_owned());
    lines
}

fn association_line(resource: &Resource, related: &Related) -> String {
    let target = if related.target.itself { "__MODULE__" } else { &related.target.module };
    let name = &related.name;
    match related.relation {
        Relation::BelongsTo => belongs_to_line(name, target, related, default_key_type(resource)),
        Relation::HasMany | Relation::HasOne if !related.through.is_empty() => {
            format!("{} :{name}, through: {}", related.relation.as_str(), atoms(&related.through))
        }
        Relation::HasMany | Relation::HasOne => has_line(
            related.relation,
            name,
            target,
            &related.foreign_key,
            &resource.names.singular,
            &resource.key.name,
        ),
        Relation::ManyToMany => {
            let join = related.join_table.as_deref().unwrap_or_default();
            let own_key = format!("{}_id", resource.names.singular);
            let (first, second) = related.join_keys(&own_key);
            many_line(
                name,
                target,
                join,
                related.target.itself.then_some((&first, &second)),
                &resource.key.name,
            )
        }
    }
}

/// A `belongs_to` in a schema whose keys are of `usual` type.
pub(crate) fn belongs_to_line(name: &str, target: &str, related: &Related, usual: &str) -> String {
    let mut line = format!("belongs_to :{name}, {target}");
    if related.foreign_key != format!("{name}_id") {
        let _ = write!(line, ", foreign_key: :{}", related.foreign_key);
    }
    if related.target.key != "id" {
        let _ = write!(line, ", references: :{}", related.target.key);
    }
    let kind = foreign_key_type(&related.target.key_type);
    if kind != foreign_key_type(usual) {
        let _ = write!(line, ", type: {kind}");
    }
    line
}

/// A `has_many` or `has_one`. Ecto takes the key's name from the owner's module.
pub(crate) fn has_line(
    relation: Relation,
    name: &str,
    target: &str,
    foreign_key: &str,
    owner: &str,
    key: &str,
) -> String {
    let mut line = format!("{} :{name}, {target}", relation.as_str());
    if foreign_key != format!("{owner}_{key}") {
        let _ = write!(line, ", foreign_key: :{foreign_key}");
    }
    line
}

/// A `many_to_many`.
pub(crate) fn many_line(
    name: &str,
    target: &str,
    join: &str,
    keys: Option<(&String, &String)>,
    key: &str,
) -> String {
    let keys = keys.map_or_else(String::new, |(own, other)| {
        format!(", join_keys: [{own}: :{key}, {other}: :{key}]")
    });
    format!(
        "many_to_many :{name}, {target}, join_through: {}{keys}, on_replace: :delete",
        literal::text(join)
    )
}

fn field_steps(field: &Field) -> Vec<String> {
    if !field.cast || field.generated.is_some() {
        return Vec::new();
    }
    let max = column_length(field);
    let range = column_range(field);
    let mut steps = validation_steps(field, max, range.as_ref());
    let has_numbers =
        field.validations.iter().any(|validation| matches!(validation, Validation::Number(_)));
    if !has_numbers && let Some(range) = range {
        steps.push(if field.kind == FieldType::Decimal {
            format!("validate_number(:{}{})", field.name, range.missing(&[]))
        } else {
            // The same in one line.
            format!("validate_inclusion(:{}, {}..{})", field.name, range.least, range.most)
        });
    }
    let has_range =
        field.validations.iter().any(|validation| matches!(validation, Validation::Length(_)));
    if let Some(max) = max.filter(|_| !has_range) {
        steps.push(format!("validate_length(:{}, max: {})", field.name, literal::integer(max)));
    }
    steps
}

/// What a column of characters holds: beyond it the database raises where a changeset should say so.
fn column_length(field: &Field) -> Option<i64> {
    let is_column = field.kind == FieldType::String && !field.is_virtual && !has_length(field);
    is_column.then(|| field.size.unwrap_or(VARCHAR))
}

/// The numbers that a column holds.
struct Range {
    least: String,
    most: String,
}

impl Range {
    /// The options of `validate_number` for the sides that nothing limits yet.
    fn missing(&self, given: &[(String, Literal)]) -> String {
        let limited = |prefix: &str| {
            given.iter().any(|(key, _)| key.starts_with(prefix) || key == "equal_to")
        };
        let mut options = String::new();
        for (prefix, bound) in [("greater_than", &self.least), ("less_than", &self.most)] {
            if !limited(prefix) {
                let _ = write!(options, ", {prefix}_or_equal_to: {bound}");
            }
        }
        options
    }
}

/// What a column of numbers holds: beyond it the database, or the driver before it, raises.
fn column_range(field: &Field) -> Option<Range> {
    let listed =
        field.validations.iter().any(|validation| matches!(validation, Validation::Inclusion(_)));
    if field.is_virtual || listed {
        return None;
    }
    let integers = |least: i64, most: i64| Range {
        least: literal::integer(least),
        most: literal::integer(most),
    };
    match &field.kind {
        FieldType::Integer => Some(integers(i32::MIN.into(), i32::MAX.into())),
        FieldType::Bigint => Some(integers(i64::MIN, i64::MAX)),
        FieldType::Decimal => {
            let scale = usize::try_from(field.scale.unwrap_or(0)).ok()?;
            let whole = usize::try_from(field.precision?).ok()?.checked_sub(scale)?;
            let mut most = "9".repeat(whole.max(1));
            if whole == 0 {
                "0".clone_into(&mut most);
            }
            if scale > 0 {
                let _ = write!(most, ".{}", "9".repeat(scale));
            }
            Some(Range {
                least: format!("Decimal.new({})", literal::text(&format!("-{most}"))),
                most: format!("Decimal.new({})", literal::text(&most)),
            })
        }
        _ => None,
    }
}

fn validation_steps(field: &Field, max: Option<i64>, range: Option<&Range>) -> Vec<String> {
    let name = &field.name;
    let message = field
        .message
        .as_ref()
        .filter(|_| !field.unique)
        .map(|message| format!(", message: {}", literal::text(message)))
        .unwrap_or_default();
    let options = |options: &[(String, Literal)]| {
        options.iter().map(|(key, value)| format!(", {key}: {}", value.code())).collect::<String>()
    };
    field
        .validations
        .iter()
        .map(|validation| match validation {
            Validation::Length(given) => {
                let max = max.map(|max| format!(", max: {}", literal::integer(max)));
                format!(
                    "validate_length(:{name}{}{}{message})",
                    options(given),
                    max.unwrap_or_default()
                )
            }
            Validation::Number(given) => {
                let range = range.map(|range| range.missing(given));
                format!(
                    "validate_number(:{name}{}{}{message})",
                    options(given),
                    range.unwrap_or_default()
                )
            }
            Validation::Format(pattern) => {
                format!("validate_format(:{name}, {}{message})", regex(pattern))
            }
            Validation::Inclusion(items) => {
                format!("validate_inclusion(:{name}, {}{message})", list(field, items))
            }
            Validation::Exclusion(items) => {
                format!("validate_exclusion(:{name}, {}{message})", list(field, items))
            }
            Validation::Subset(items) => {
                format!("validate_subset(:{name}, {}{message})", list(field, items))
            }
            Validation::Confirmation => format!("validate_confirmation(:{name}{message})"),
            Validation::Acceptance => format!("validate_acceptance(:{name}{message})"),
        })
        .collect()
}

/// Values in a list as the field holds them.
fn list(field: &Field, items: &[Literal]) -> String {
    let kind = match &field.kind {
        FieldType::Array(inner) => inner.as_ref(),
        other => other,
    };
    let items: Vec<String> = items
        .iter()
        .map(|item| match (kind, item) {
            (FieldType::Enum(_), Literal::Text(name)) => literal::atom(name),
            (FieldType::Decimal, Literal::Text(digits)) => {
                format!("Decimal.new({})", literal::text(digits))
            }
            _ => item.code(),
        })
        .collect();
    format!("[{}]", items.join(", "))
}

/// A regular expression as a sigil that its text cannot leave.
fn regex(pattern: &str) -> String {
    let mut code = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                code.push('\\');
                code.extend(letters.next());
            }
            '/' => code.push_str("\\/"),
            '#' if letters.peek() == Some(&'{') => code.push_str("\\#"),
            other => code.push(other),
        }
    }
    let unicode = if pattern.is_ascii() { "" } else { "u" };
    format!("~r/{code}/{unicode}")
}

/// What the database refuses, said in the changeset under the same names.
fn constraint_steps(resource: &Resource) -> Vec<String> {
    let table = &resource.names.table;
    let message = |message: &Option<String>| {
        message
            .as_ref()
            .map(|text| format!(", message: {}", literal::text(text)))
            .unwrap_or_default()
    };
    let mut steps = Vec::new();
    for index in resource.indexes.iter().filter(|index| index.unique) {
        let fields = match index.fields.as_slice() {
            [] => format!(":{}", resource.cast_names().first().copied().unwrap_or("id")),
            [only] => format!(":{only}"),
            several => atoms(several),
        };
        let name = if index.named {
            format!(", name: {}", literal::atom(&index.name))
        } else {
            String::new()
        };
        steps.push(format!("unique_constraint({fields}{name}{})", message(&index.message)));
    }
    let in_key: Vec<String> = resource
        .fields
        .iter()
        .filter(|field| field.primary_key)
        .map(|field| field.name.clone())
        .collect();
    if !in_key.is_empty() {
        steps.push(format!(
            "unique_constraint({}, name: {})",
            atoms(&in_key),
            literal::atom(&format!("{table}_pkey"))
        ));
    } else if !resource.key.autogenerate {
        steps.push(format!(
            "unique_constraint(:{}, name: {})",
            resource.key.name,
            literal::atom(&format!("{table}_pkey"))
        ));
    }
    for related in resource.of(Relation::BelongsTo) {
        let key = &related.foreign_key;
        let name = foreign_key_name(table, key)
            .map(|name| format!(", name: {}", literal::atom(&name)))
            .unwrap_or_default();
        steps.push(format!("foreign_key_constraint(:{key}{name})"));
    }
    for constraint in &resource.constraints {
        let kind =
            if constraint.kind == "check" { "check_constraint" } else { "exclusion_constraint" };
        steps.push(format!(
            "{kind}(:{}, name: {}{})",
            constraint.field,
            literal::atom(&constraint.name),
            message(&constraint.message)
        ));
    }
    steps
}
