//! A resource with every choice made: a definition settled in a project.

mod build;
mod relations;
mod tables;

use super::definition::{ContextOptions, Embed, Field, Gone, Layer, Relation, Validation};
use super::project::Scope;

pub(crate) use build::settle;
pub(crate) use tables::{desired_table, foreign_key_name, join_tables, key_to};

/// A resource.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) names: Names,
    pub(crate) paths: Paths,
    pub(crate) key: Key,
    pub(crate) stamps: Option<Stamps>,
    pub(crate) fields: Vec<Field>,
    pub(crate) related: Vec<Related>,
    pub(crate) embeds: Vec<Embed>,
    pub(crate) indexes: Vec<ResourceIndex>,
    pub(crate) constraints: Vec<ResourceConstraint>,
    pub(crate) scope: Option<Scope>,
    pub(crate) options: ContextOptions,
    pub(crate) layers: Vec<Layer>,
    pub(crate) renames: Vec<(String, String)>,
    pub(crate) gone: Gone,
}

/// Names.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    /// `MyApp`
    pub(crate) base: String,
    /// `MyApp.Accounts.User`
    pub(crate) schema: String,
    /// `User`
    pub(crate) alias: String,
    /// `user`
    pub(crate) singular: String,
    /// `users`
    pub(crate) plural: String,
    pub(crate) table: String,
    pub(crate) prefix: Option<String>,
    /// `MyApp.Accounts`
    pub(crate) context: String,
    /// `Accounts`
    pub(crate) context_alias: String,
    /// `MyApp.AccountsFixtures`
    pub(crate) fixtures: String,
    /// `MyApp.Repo`
    pub(crate) repo: String,
}

/// Files, relative to the project's folder.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    pub(crate) schema: String,
    pub(crate) context: String,
    pub(crate) test: String,
    pub(crate) fixtures: String,
}

/// The primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// `:id`, `:binary_id` or `Ecto.UUID`.
    pub(crate) schema_type: String,
    /// `:bigserial` or `:binary_id` or `:uuid`.
    pub(crate) column_type: String,
    pub(crate) autogenerate: bool,
    /// Fields of the definition are the key, and there is no other.
    pub(crate) composite: bool,
}

impl Key {
    /// Whether it is the one that Ecto makes unasked.
    pub(crate) fn is_usual(&self) -> bool {
        self.name == "id" && self.schema_type == ":id" && self.autogenerate && !self.composite
    }
}

/// The timestamps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamps {
    /// Type where it is not Ecto's own.
    pub(crate) kind: Option<String>,
    pub(crate) inserted_at: String,
    pub(crate) updated_at: String,
}

impl Stamps {
    /// `timestamps(…)`
    pub(crate) fn code(&self) -> String {
        let mut options = Vec::new();
        if let Some(kind) = &self.kind {
            options.push(format!("type: :{kind}"));
        }
        for (usual, name) in [("inserted_at", &self.inserted_at), ("updated_at", &self.updated_at)]
        {
            if usual != name {
                options.push(format!("{usual}: :{name}"));
            }
        }
        format!("timestamps({})", options.join(", "))
    }
}

/// An association, settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Related {
    pub(crate) relation: Relation,
    pub(crate) name: String,
    pub(crate) target: Target,
    pub(crate) foreign_key: String,
    pub(crate) required: bool,
    pub(crate) on_delete: String,
    pub(crate) on_update: String,
    pub(crate) unique: bool,
    pub(crate) join_table: Option<String>,
    pub(crate) through: Vec<String>,
    /// Name on the other side; `None`: left alone.
    pub(crate) inverse: Option<String>,
    /// Set by the server from the scope, never by the caller.
    pub(crate) owner: bool,
    /// Whether the definition itself says that it is required, or not.
    pub(crate) said: Said,
}

/// Where a choice comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    Explicitly,
    ByDefault,
}

/// The schema that an association leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) module: String,
    pub(crate) path: String,
    pub(crate) table: String,
    pub(crate) key: String,
    /// `:id`, `:binary_id` …
    pub(crate) key_type: String,
    pub(crate) itself: bool,
}

impl Target {
    /// The last segment of the module.
    pub(crate) fn alias(&self) -> &str {
        self.module.rsplit('.').next().unwrap_or(&self.module)
    }
}

/// An index with what the changeset says about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ResourceIndex {
    pub(crate) name: String,
    /// Whether the name is another than Ecto's own.
    pub(crate) named: bool,
    /// Code of the columns: `:email`, `desc: :email`, `"lower(email)"`.
    pub(crate) columns: Vec<String>,
    /// Fields for the changeset, as far as the columns are fields.
    pub(crate) fields: Vec<String>,
    pub(crate) unique: bool,
    pub(crate) concurrently: bool,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) message: Option<String>,
}

/// A constraint with what the changeset says about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ResourceConstraint {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) sql: String,
    pub(crate) field: String,
    pub(crate) message: Option<String>,
}

impl Resource {
    /// Associations of a kind.
    pub(crate) fn of(&self, relation: Relation) -> impl Iterator<Item = &Related> {
        self.related.iter().filter(move |related| related.relation == relation)
    }

    /// Fields that the changeset takes from callers.
    pub(crate) fn cast_names(&self) -> Vec<&str> {
        let fields = self.fields.iter().filter(|field| field.cast && field.generated.is_none());
        let keys = self.of(Relation::BelongsTo).filter(|related| !related.owner);
        let given =
            (!self.key.autogenerate && !self.key.composite).then_some(self.key.name.as_str());
        given
            .into_iter()
            .chain(fields.map(|field| field.name.as_str()))
            .chain(keys.map(|related| related.foreign_key.as_str()))
            .collect()
    }

    /// Fields that the changeset demands. One whose default stands for what is not given is among them:
    /// given as nil, its column refuses it, and the database would raise.
    pub(crate) fn required_names(&self) -> Vec<&str> {
        let cast = self.cast_names();
        let fields = self.fields.iter().filter(|field| field.is_required() || field.refuses_nil());
        let keys = self.of(Relation::BelongsTo).filter(|related| related.required);
        let given =
            (!self.key.autogenerate && !self.key.composite).then_some(self.key.name.as_str());
        given
            .into_iter()
            .chain(fields.map(|field| field.name.as_str()))
            .chain(keys.map(|related| related.foreign_key.as_str()))
            .filter(|name| cast.contains(name))
            .collect()
    }

    pub(crate) fn has_layer(&self, layer: Layer) -> bool {
        self.layers.contains(&layer)
    }

    /// The argument list's first part where a scope owns rows: `scope, `.
    pub(crate) fn scope_argument(&self) -> &'static str {
        if self.scope.is_some() { "scope, " } else { "" }
    }

    /// The name of the variable of one row in a query.
    pub(crate) fn binding(&self) -> String {
        self.names.singular.chars().take(1).collect()
    }
}

/// Whether a field is checked for a length already.
pub(crate) fn has_length(field: &Field) -> bool {
    field.validations.iter().any(|validation| {
        matches!(validation, Validation::Length(options) if options.iter().any(|(key, _)| key == "max" || key == "is"))
    })
}
