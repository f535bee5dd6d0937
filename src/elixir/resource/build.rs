//! Settles a definition in a project: names, places, types of keys.

use super::relations::settle_relations;
use super::{Key, Names, Paths, Resource, ResourceConstraint, ResourceIndex, Stamps};
use crate::elixir::definition::{
    Autogenerate, Definition, Field, FieldType, Index, IndexColumn, KeyType, Layer, Layout,
    PrimaryKey, ScopeChoice, Timestamps,
};
use crate::elixir::error::{ElixirError, Refusal};
use crate::elixir::literal;
use crate::elixir::names::{camel, database_name, nearest, plural, snake};
use crate::elixir::project::migrations::default_index_name;
use crate::elixir::project::modules::Schema;
use crate::elixir::project::{Adapter, Project, Scope, Version};

/// Makes every choice that a definition leaves open.
///
/// # Errors
/// When a name is taken, a target is missing, or the database cannot do what is wanted.
pub(crate) fn settle(
    definition: &Definition,
    project: &Project,
    layers: &[Layer],
) -> Result<Resource, ElixirError> {
    let existing = existing(definition, project);
    let names = names(definition, project, existing)?;
    let paths = paths(&names, definition, project, existing);
    taken(&names, project)?;
    let key = key(definition, project);
    let stamps = stamps(definition, project);
    let scope = scope(definition, project)?;
    let mut fields = definition.fields.clone();
    if definition.options.soft_delete {
        fields.push(deleted_at(stamps.as_ref()));
    }
    let mut resource = Resource {
        names,
        paths,
        key,
        stamps,
        fields,
        related: Vec::new(),
        embeds: definition.embeds.clone(),
        indexes: Vec::new(),
        constraints: Vec::new(),
        scope,
        options: definition.options.clone(),
        layers: if definition.layers.is_empty() {
            layers.to_vec()
        } else {
            definition.layers.clone()
        },
        renames: definition.renames.clone(),
        gone: definition.gone,
    };
    settle_relations(&mut resource, definition, project)?;
    resource.indexes = indexes(&resource, definition);
    resource.constraints = constraints(&resource, definition);
    if resource.layers.contains(&Layer::Json) && project.web.is_none() {
        return Err(ElixirError::refused(
            Refusal::ProjectUnclear,
            format!("the layer `json` needs a router, and `{}` has none", project.app),
            "leave `json` out, or name a project that Phoenix made",
        ));
    }
    possible(&resource, project)?;
    Ok(resource)
}

/// The schema that the definition means, when the project has it.
fn existing<'a>(definition: &Definition, project: &'a Project) -> Option<&'a Schema> {
    let relative = relative(definition, project);
    let whole = format!("{}.{}", project.base, relative.join("."));
    if let Some(schema) = project.schema(&whole) {
        return Some(schema);
    }
    let (alias, front) = relative.split_last()?;
    let in_context =
        definition.context.is_some() || definition.layout.is_some() || !front.is_empty();
    let candidates: Vec<&Schema> = project
        .schemas
        .iter()
        .filter(|schema| schema.alias() == alias && !in_context)
        .filter(|schema| definition.table.as_ref().is_none_or(|table| *table == schema.table))
        .collect();
    match candidates.as_slice() {
        [only] => Some(only),
        _ => None,
    }
}

/// The module's segments without those of the app.
fn relative(definition: &Definition, project: &Project) -> Vec<String> {
    let base: Vec<&str> = project.base.split('.').collect();
    let given = &definition.module;
    let has_base =
        given.len() > base.len() && given.iter().zip(&base).all(|(given, base)| given == base);
    given.iter().skip(if has_base { base.len() } else { 0 }).cloned().collect()
}

fn names(
    definition: &Definition,
    project: &Project,
    existing: Option<&Schema>,
) -> Result<Names, ElixirError> {
    let relative = relative(definition, project);
    let Some((alias, front)) = relative.split_last() else {
        return Err(ElixirError::definition(
            "module_name",
            "it names the app alone",
            "name a schema",
        ));
    };
    let singular = snake(alias);
    let many = definition.plural.clone().unwrap_or_else(|| plural(&singular));
    let base = &project.base;
    let stripped =
        |context: &str| context.strip_prefix(&format!("{base}.")).unwrap_or(context).to_owned();
    let in_schemas = front.len() == 1 && front.first().is_some_and(|first| first == "Schemas");
    let named = definition
        .context
        .as_deref()
        .map(stripped)
        .or_else(|| (!front.is_empty() && !in_schemas).then(|| front.join(".")));
    let layout = definition.layout.unwrap_or_else(|| {
        let apart = in_schemas || named.is_none() || project.keeps_schemas_apart();
        if apart { Layout::Seed } else { Layout::Phoenix }
    });
    let context_of_existing = existing
        .and_then(|schema| schema.module.rsplit_once('.'))
        .map(|(parent, _)| stripped(parent))
        .filter(|parent| parent != base && parent != "Schemas");
    let derived = || {
        let camels = camel(&many);
        if camels == *alias { format!("{camels}Context") } else { camels }
    };
    let context = named.or(context_of_existing).unwrap_or_else(derived);
    let schema = match existing {
        Some(schema) => schema.module.clone(),
        None if layout == Layout::Seed => format!("{base}.Schemas.{alias}"),
        None => format!("{base}.{context}.{alias}"),
    };
    let context_alias = context.rsplit('.').next().unwrap_or(&context).to_owned();
    if context_alias == *alias {
        return Err(ElixirError::definition(
            "context",
            format!("the context and the schema are both named `{alias}`"),
            format!("name the context `{}`", camel(&plural(&singular))),
        ));
    }
    Ok(Names {
        base: base.clone(),
        schema,
        alias: alias.clone(),
        table: definition
            .table
            .clone()
            .or_else(|| existing.map(|schema| schema.table.clone()))
            .unwrap_or_else(|| many.clone()),
        plural: many,
        singular,
        prefix: definition.prefix.clone(),
        context: format!("{base}.{context}"),
        fixtures: format!("{base}.{context}Fixtures"),
        context_alias,
        repo: project.repo.module.clone(),
    })
}

fn paths(
    names: &Names,
    definition: &Definition,
    project: &Project,
    existing: Option<&Schema>,
) -> Paths {
    let below = |module: &str| -> String {
        let relative = module.strip_prefix(&format!("{}.", project.base)).unwrap_or(module);
        relative.split('.').map(snake).collect::<Vec<_>>().join("/")
    };
    let in_schemas = names.schema == format!("{}.Schemas.{}", project.base, names.alias);
    let seed = definition.layout.map_or(in_schemas, |layout| layout == Layout::Seed);
    let context = below(&names.context);
    let context_path = project.modules.get(&names.context).cloned().unwrap_or_else(|| {
        if seed {
            let last = snake(&names.context_alias);
            format!("{}{context}/{last}.ex", project.lib())
        } else {
            format!("{}{context}.ex", project.lib())
        }
    });
    Paths {
        schema: existing.map_or_else(
            || format!("{}{}.ex", project.lib(), below(&names.schema)),
            |schema| schema.path.clone(),
        ),
        context: context_path,
        test: format!("{}{context}_test.exs", project.test()),
        fixtures: project.modules.get(&names.fixtures).cloned().unwrap_or_else(|| {
            format!("{}test/support/fixtures/{context}_fixtures.ex", project.folder)
        }),
    }
}

/// Refuses names that mean something else in the project already.
fn taken(names: &Names, project: &Project) -> Result<(), ElixirError> {
    if let Some(path) = project.modules.get(&names.schema)
        && project.schema(&names.schema).is_none()
    {
        return Err(ElixirError::refused(
            Refusal::NameTaken,
            format!("`{}` is a module in {path} and no schema", names.schema),
            "choose another `module_name` or `context`",
        ));
    }
    if project.schema(&names.context).is_some() {
        return Err(ElixirError::refused(
            Refusal::NameTaken,
            format!("the context `{}` is a schema already", names.context),
            "choose another `context`",
        ));
    }
    let other = project.schemas.iter().find(|schema| {
        schema.table == names.table && schema.module != names.schema && names.prefix.is_none()
    });
    if let Some(other) = other {
        return Err(ElixirError::refused(
            Refusal::NameTaken,
            format!("the table `{}` belongs to `{}` ({})", names.table, other.module, other.path),
            "name that module to change it, or choose another `table` or `plural`",
        ));
    }
    Ok(())
}

fn key(definition: &Definition, project: &Project) -> Key {
    let composite = definition.fields.iter().any(|field| field.primary_key);
    let configured = project.repo.defaults.primary_key.as_ref();
    let binary = project.generators.binary_id
        || configured.is_some_and(|(_, kind)| matches!(kind.as_str(), ":binary_id" | ":uuid"));
    let given = definition.primary_key.clone().unwrap_or_else(|| PrimaryKey {
        name: configured.map_or_else(|| "id".to_owned(), |(name, _)| name.clone()),
        key_type: if binary { KeyType::BinaryId } else { KeyType::Id },
        autogenerate: Autogenerate::Yes,
    });
    let (schema_type, column_type) = match given.key_type {
        KeyType::Id => (":id", ":bigserial"),
        KeyType::BinaryId => (":binary_id", ":binary_id"),
        KeyType::Uuid => ("Ecto.UUID", ":uuid"),
    };
    Key {
        name: given.name,
        schema_type: schema_type.to_owned(),
        column_type: column_type.to_owned(),
        autogenerate: given.autogenerate == Autogenerate::Yes,
        composite,
    }
}

fn stamps(definition: &Definition, project: &Project) -> Option<Stamps> {
    let configured = || {
        let migrations = project.repo.defaults.timestamps.as_deref();
        project
            .generators
            .timestamp_type
            .clone()
            .or_else(|| migrations.map(|kind| kind.trim_start_matches(':').to_owned()))
    };
    let (kind, inserted_at, updated_at) = match &definition.timestamps {
        Some(Timestamps::Off) => return None,
        None => (None, None, None),
        Some(Timestamps::On { kind, inserted_at, updated_at }) => {
            (kind.clone(), inserted_at.clone(), updated_at.clone())
        }
    };
    Some(Stamps {
        kind: kind.or_else(configured),
        inserted_at: inserted_at.unwrap_or_else(|| "inserted_at".to_owned()),
        updated_at: updated_at.unwrap_or_else(|| "updated_at".to_owned()),
    })
}

/// The field of soft deletion, in the timestamps' type.
fn deleted_at(stamps: Option<&Stamps>) -> Field {
    let kind = match stamps.and_then(|stamps| stamps.kind.as_deref()) {
        Some("naive_datetime") => FieldType::NaiveDatetime,
        Some("naive_datetime_usec") => FieldType::NaiveDatetimeUsec,
        Some("utc_datetime_usec") => FieldType::UtcDatetimeUsec,
        Some(_) | None => FieldType::UtcDatetime,
    };
    Field {
        name: "deleted_at".to_owned(),
        kind,
        required: Some(false),
        null: Some(true),
        default: None,
        unique: false,
        index: true,
        redact: false,
        is_virtual: false,
        primary_key: false,
        cast: false,
        size: None,
        precision: None,
        scale: None,
        source: None,
        comment: None,
        collation: None,
        generated: None,
        message: None,
        validations: Vec::new(),
    }
}

fn scope(definition: &Definition, project: &Project) -> Result<Option<Scope>, ElixirError> {
    match &definition.scope {
        ScopeChoice::Off => Ok(None),
        ScopeChoice::Default => Ok(project.scopes.iter().find(|scope| scope.is_default).cloned()),
        ScopeChoice::Named(name) => {
            let known = || project.scopes.iter().map(|scope| scope.name.as_str());
            match project.scopes.iter().find(|scope| scope.name == *name) {
                Some(scope) => Ok(Some(scope.clone())),
                None => Err(ElixirError::definition(
                    "scope",
                    format!("the project has no scope `{name}`"),
                    nearest(name, known()).map_or_else(
                        || {
                            format!(
                                "configured in `config :{}, :scopes` are: {}",
                                project.app,
                                known().collect::<Vec<_>>().join(", ")
                            )
                        },
                        |near| format!("did you mean `{near}`?"),
                    ),
                )),
            }
        }
    }
}

fn indexes(resource: &Resource, definition: &Definition) -> Vec<ResourceIndex> {
    let table = &resource.names.table;
    let mut found: Vec<ResourceIndex> = Vec::new();
    let mut simple = |field: &str, column: &str, unique: bool, message: Option<String>| {
        found.push(plain_index(table, &[column.to_owned()], &[field.to_owned()], unique, message));
    };
    for field in &resource.fields {
        if field.unique || field.index {
            simple(
                &field.name,
                field.column(),
                field.unique,
                field.message.clone().filter(|_| field.unique),
            );
        }
    }
    for related in &resource.related {
        if related.relation == crate::elixir::definition::Relation::BelongsTo {
            let leads = definition.indexes.iter().any(|index| {
                index.filter.is_none()
                    && matches!(index.columns.first(), Some(IndexColumn::Name(name)) if *name == related.foreign_key)
            });
            let first_of_key = definition
                .fields
                .iter()
                .find(|field| field.primary_key)
                .is_some_and(|field| field.name == related.foreign_key);
            if related.unique || !(leads || first_of_key) {
                simple(&related.foreign_key, &related.foreign_key, related.unique, None);
            }
        }
    }
    for index in &definition.indexes {
        let built = given_index(resource, index);
        if !found.iter().any(|known| known.name == built.name) {
            found.push(built);
        }
    }
    found
}

fn plain_index(
    table: &str,
    columns: &[String],
    fields: &[String],
    unique: bool,
    message: Option<String>,
) -> ResourceIndex {
    let name = default_index_name(table, columns);
    let whole = format!("{table}_{}_index", columns.join("_"));
    ResourceIndex {
        named: name != whole,
        name,
        columns: columns.iter().map(|column| literal::atom(column)).collect(),
        fields: fields.to_vec(),
        unique,
        concurrently: false,
        options: Vec::new(),
        message,
    }
}

fn given_index(resource: &Resource, index: &Index) -> ResourceIndex {
    let column = |name: &str| -> String {
        resource
            .fields
            .iter()
            .find(|field| field.name == name)
            .map_or_else(|| name.to_owned(), |field| field.column().to_owned())
    };
    let mut plain = true;
    let mut columns = Vec::new();
    let mut names = Vec::new();
    let mut fields = Vec::new();
    for part in &index.columns {
        match part {
            IndexColumn::Name(name) => {
                columns.push(literal::atom(&column(name)));
                names.push(column(name));
                fields.push(name.clone());
            }
            IndexColumn::Ordered(name, order) => {
                plain = false;
                columns.push(format!("{order}: {}", literal::atom(&column(name))));
                names.push(column(name));
                fields.push(name.clone());
            }
            IndexColumn::Expression(sql) => {
                plain = false;
                columns.push(literal::text(sql));
                let words: String = sql
                    .chars()
                    .map(|letter| {
                        if letter.is_ascii_alphanumeric() {
                            letter.to_ascii_lowercase()
                        } else {
                            ' '
                        }
                    })
                    .collect();
                names.push(words.split_whitespace().collect::<Vec<_>>().join("_"));
                let known = resource
                    .fields
                    .iter()
                    .find(|field| words.split_whitespace().any(|word| word == field.column()));
                fields.extend(known.map(|field| field.name.clone()));
            }
        }
    }
    // Orders have to follow plain columns, as keywords end a list.
    columns.sort_by_key(|column| column.contains(": :"));
    let table = &resource.names.table;
    let usual = plain && !names.is_empty();
    let mut parts = vec![table.as_str()];
    parts.extend(names.iter().map(String::as_str));
    parts.push("index");
    let made = database_name(&parts);
    let name = index.name.clone().unwrap_or_else(|| made.clone());
    let mut options = Vec::new();
    if let Some(using) = &index.using {
        options.push(("using".to_owned(), literal::text(using)));
    }
    if let Some(filter) = &index.filter {
        options.push(("where".to_owned(), literal::text(filter)));
    }
    if !index.include.is_empty() {
        let include: Vec<String> =
            index.include.iter().map(|name| literal::atom(&column(name))).collect();
        options.push(("include".to_owned(), format!("[{}]", include.join(", "))));
    }
    if let Some(distinct) = index.nulls_distinct {
        options.push(("nulls_distinct".to_owned(), distinct.to_string()));
    }
    ResourceIndex {
        named: !usual || name != parts.join("_"),
        name,
        columns,
        fields,
        unique: index.unique,
        concurrently: index.concurrently,
        options,
        message: index.message.clone(),
    }
}

fn constraints(resource: &Resource, definition: &Definition) -> Vec<ResourceConstraint> {
    let first = resource
        .cast_names()
        .first()
        .map_or_else(|| resource.key.name.clone(), |name| (*name).to_owned());
    definition
        .constraints
        .iter()
        .map(|constraint| ResourceConstraint {
            name: constraint.name.clone(),
            kind: constraint.kind,
            sql: constraint.sql.clone(),
            field: constraint
                .field
                .clone()
                .or_else(|| {
                    let known = resource.cast_names();
                    constraint
                        .sql
                        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
                        .find(|word| known.contains(word))
                        .map(str::to_owned)
                })
                .unwrap_or_else(|| first.clone()),
            message: constraint.message.clone(),
        })
        .collect()
}

/// Refuses what the project's database or Elixir cannot do.
fn possible(resource: &Resource, project: &Project) -> Result<(), ElixirError> {
    let refuse =
        |what: String, hint: &str| Err(ElixirError::refused(Refusal::Unsupported, what, hint));
    for field in &resource.fields {
        let name = &field.name;
        match &field.kind {
            FieldType::Array(_) if matches!(project.adapter, Adapter::MySql | Adapter::Sqlite) => {
                return refuse(
                    format!("`{name}` is an array, and the project's database has none"),
                    "use a `map`, or PostgreSQL",
                );
            }
            FieldType::Citext if !matches!(project.adapter, Adapter::Postgres | Adapter::Other) => {
                return refuse(
                    format!("`{name}` is citext, which only PostgreSQL has"),
                    "use `string`",
                );
            }
            FieldType::Duration
                if project.elixir.is_none_or(|version| version < Version(1, 17)) =>
            {
                return refuse(
                    format!("`{name}` is a duration, which needs Elixir 1.17"),
                    "require `elixir: \"~> 1.17\"` in mix.exs, or use an integer of seconds",
                );
            }
            _ => {}
        }
    }
    if project.adapter == Adapter::MySql
        && resource.indexes.iter().any(|index| index.options.iter().any(|(key, _)| key == "where"))
    {
        return refuse("MySQL has no partial indexes".to_owned(), "remove `where` from the index");
    }
    Ok(())
}
