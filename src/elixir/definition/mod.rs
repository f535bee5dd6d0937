//! A resource as somebody describes it, before any project is looked at.

mod association;
mod check;
mod field;
mod object;
mod options;
mod read;
mod types;

use serde::Serialize;

use super::literal::Literal;

pub(crate) use object::shown_bare as shown;
pub(crate) use read::read;
pub(crate) use types::FieldType;

/// Most fields that one resource may have.
pub(crate) const FIELDS: usize = 200;

/// One thing that is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where: `fields[2] (email)`.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

/// A resource.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Definition {
    /// Segments of the module's name as given.
    pub(crate) module: Vec<String>,
    pub(crate) plural: Option<String>,
    pub(crate) table: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) layout: Option<Layout>,
    pub(crate) app: Option<String>,
    pub(crate) repo: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) primary_key: Option<PrimaryKey>,
    pub(crate) timestamps: Option<Timestamps>,
    pub(crate) fields: Vec<Field>,
    pub(crate) associations: Vec<Association>,
    pub(crate) embeds: Vec<Embed>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) constraints: Vec<Constraint>,
    pub(crate) scope: ScopeChoice,
    pub(crate) options: ContextOptions,
    pub(crate) layers: Vec<Layer>,
    /// Old and new names of columns.
    pub(crate) renames: Vec<(String, String)>,
    /// What may happen to columns that the definition no longer has.
    pub(crate) gone: Gone,
}

/// Where files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `lib/<app>/schemas/user.ex`
    Seed,
    /// `lib/<app>/<context>/user.ex`
    Phoenix,
}

/// Columns that are no longer defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// They stay, and the result says so.
    Keep,
    /// They are removed.
    Drop,
}

/// What is generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Schema,
    Migration,
    Context,
    Tests,
    Fixtures,
    Json,
}

impl Layer {
    pub(crate) const NAMES: [(&'static str, Self); 6] = [
        ("schema", Self::Schema),
        ("migration", Self::Migration),
        ("context", Self::Context),
        ("tests", Self::Tests),
        ("fixtures", Self::Fixtures),
        ("json", Self::Json),
    ];

    /// What a call without `layers` makes.
    pub(crate) const DEFAULT: [Self; 5] =
        [Self::Schema, Self::Migration, Self::Context, Self::Tests, Self::Fixtures];
}

/// Kinds of primary keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyType {
    Id,
    BinaryId,
    Uuid,
}

/// A primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PrimaryKey {
    pub(crate) name: String,
    pub(crate) key_type: KeyType,
    pub(crate) autogenerate: Autogenerate,
}

/// Who makes keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Autogenerate {
    Yes,
    No,
}

/// Timestamps of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Timestamps {
    Off,
    On { kind: Option<String>, inserted_at: Option<String>, updated_at: Option<String> },
}

/// Which scope of Phoenix 1.8 owns the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ScopeChoice {
    /// The project's default scope, when it has one.
    Default,
    Named(String),
    Off,
}

/// What the context offers beyond the usual functions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ContextOptions {
    pub(crate) pagination: bool,
    pub(crate) filters: Vec<String>,
    pub(crate) soft_delete: bool,
    pub(crate) upsert: Vec<String>,
    pub(crate) preloads: Vec<String>,
}

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: FieldType,
    pub(crate) required: Option<bool>,
    pub(crate) null: Option<bool>,
    pub(crate) default: Option<Literal>,
    pub(crate) unique: bool,
    pub(crate) index: bool,
    pub(crate) redact: bool,
    pub(crate) is_virtual: bool,
    pub(crate) primary_key: bool,
    pub(crate) cast: bool,
    pub(crate) size: Option<i64>,
    pub(crate) precision: Option<i64>,
    pub(crate) scale: Option<i64>,
    pub(crate) source: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) collation: Option<String>,
    pub(crate) generated: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) validations: Vec<Validation>,
}

impl Field {
    /// Name of the column.
    pub(crate) fn column(&self) -> &str {
        self.source.as_deref().unwrap_or(&self.name)
    }

    /// Whether the changeset demands it. Maps, lists, flags and what has a default are asked for
    /// only when the definition says so.
    pub(crate) fn is_required(&self) -> bool {
        let usual = !self.is_virtual
            && self.default.is_none()
            && self.null != Some(true)
            && self.generated.is_none()
            && !matches!(self.kind, FieldType::Map(_) | FieldType::Array(_) | FieldType::Boolean);
        self.required.unwrap_or(usual)
    }

    /// Whether it has a value of its own, and nil must not take that value's place. Blank text would
    /// itself count as missing.
    pub(crate) fn refuses_nil(&self) -> bool {
        let blank = matches!(&self.default, Some(Literal::Text(text)) if text.trim().is_empty());
        self.is_not_null() && self.default.is_some() && !blank && !self.is_virtual
    }

    /// Whether the column refuses NULL.
    pub(crate) fn is_not_null(&self) -> bool {
        let usual = self.is_required()
            || (self.default.as_ref().is_some_and(|default| *default != Literal::Nil));
        self.null.map_or(usual, |null| !null)
    }
}

/// A check of a value in the changeset.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Validation {
    /// `validate_length` with these options.
    Length(Vec<(String, Literal)>),
    /// `validate_format` with this regular expression.
    Format(String),
    /// `validate_number` with these options.
    Number(Vec<(String, Literal)>),
    Inclusion(Vec<Literal>),
    Exclusion(Vec<Literal>),
    Subset(Vec<Literal>),
    Confirmation,
    Acceptance,
}

/// Kinds of associations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    BelongsTo,
    HasMany,
    HasOne,
    ManyToMany,
}

impl Relation {
    pub(crate) const NAMES: [(&'static str, Self); 4] = [
        ("belongs_to", Self::BelongsTo),
        ("has_many", Self::HasMany),
        ("has_one", Self::HasOne),
        ("many_to_many", Self::ManyToMany),
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BelongsTo => "belongs_to",
            Self::HasMany => "has_many",
            Self::HasOne => "has_one",
            Self::ManyToMany => "many_to_many",
        }
    }
}

/// The other side of an association.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Inverse {
    /// Put there under the usual name.
    Default,
    Named(String),
    Off,
}

/// An association.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Association {
    pub(crate) relation: Relation,
    pub(crate) name: String,
    /// Module or table, as given; the name inflected when absent.
    pub(crate) target: Option<String>,
    pub(crate) foreign_key: Option<String>,
    pub(crate) required: Option<bool>,
    pub(crate) on_delete: Option<String>,
    pub(crate) on_update: Option<String>,
    pub(crate) unique: bool,
    pub(crate) join_table: Option<String>,
    pub(crate) through: Vec<String>,
    pub(crate) inverse: Inverse,
}

/// An embedded schema, written inline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Embed {
    pub(crate) name: String,
    pub(crate) many: bool,
    pub(crate) required: bool,
    pub(crate) fields: Vec<Field>,
}

/// An index.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Index {
    /// Columns, or expressions of SQL.
    pub(crate) columns: Vec<IndexColumn>,
    pub(crate) unique: bool,
    pub(crate) filter: Option<String>,
    pub(crate) using: Option<String>,
    pub(crate) include: Vec<String>,
    pub(crate) nulls_distinct: Option<bool>,
    pub(crate) concurrently: bool,
    pub(crate) name: Option<String>,
    pub(crate) message: Option<String>,
}

/// What an index is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IndexColumn {
    Name(String),
    Ordered(String, String),
    Expression(String),
}

/// A check or exclusion constraint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constraint {
    pub(crate) name: String,
    /// `check` or `exclude`.
    pub(crate) kind: &'static str,
    pub(crate) sql: String,
    pub(crate) field: Option<String>,
    pub(crate) message: Option<String>,
}
