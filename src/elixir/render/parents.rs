//! Rows that a new row points to, for fixtures and tests.

use crate::elixir::definition::Relation;
use crate::elixir::names::human;
use crate::elixir::project::{Fixture, Project, Takes};
use crate::elixir::resource::{Related, Resource};

/// A row that others need to point to.
#[derive(Debug, Clone)]
pub(crate) struct Parent {
    /// Variable in tests.
    pub(crate) variable: String,
    /// Field that points to it.
    pub(crate) foreign_key: String,
    /// Key of the row.
    pub(crate) key: String,
    /// Call in a test that imports the fixtures: `user_fixture()`.
    pub(crate) call: String,
    /// Call in the fixtures' module.
    pub(crate) qualified: String,
    /// Module to import, when it is not our own.
    pub(crate) import: Option<String>,
    /// Code that inserts the row, where the project has no fixture for it.
    pub(crate) helper: Option<(String, String)>,
}

/// Rows that a new row needs.
pub(crate) fn parents(resource: &Resource, project: &Project) -> Vec<Parent> {
    resource
        .of(Relation::BelongsTo)
        .filter(|related| related.required && !related.owner && !related.target.itself)
        .map(|related| parent(resource, related, project))
        .collect()
}

fn parent(resource: &Resource, related: &Related, project: &Project) -> Parent {
    let wanted = format!("{}_fixture", crate::elixir::names::snake(related.target.alias()));
    let usable = |fixture: &&Fixture| {
        fixture.name == wanted && (fixture.takes == Takes::Attributes || resource.scope.is_some())
    };
    let common = |call: String,
                  qualified: String,
                  import: Option<String>,
                  helper: Option<(String, String)>| Parent {
        variable: related.name.clone(),
        foreign_key: related.foreign_key.clone(),
        key: related.target.key.clone(),
        call,
        qualified,
        import,
        helper,
    };
    let fixtures = &resource.names.fixtures;
    if let Some(fixture) = project.fixtures.iter().find(usable) {
        let arguments = if fixture.takes == Takes::Scope { "(scope)" } else { "()" };
        let call = format!("{wanted}{arguments}");
        let foreign = fixture.module != *fixtures;
        let qualified = if foreign { format!("{}.{call}", fixture.module) } else { call.clone() };
        return common(call, qualified, foreign.then(|| fixture.module.clone()), None);
    }
    let name = format!("{}_{}_fixture", resource.names.singular, related.name);
    let code = inserted(&related.target.module, project, 0);
    common(format!("{name}()"), format!("{name}()"), None, Some((name, code)))
}

/// Code that inserts a minimal row.
fn inserted(module: &str, project: &Project, depth: usize) -> String {
    let mut values = Vec::new();
    if let Some(schema) = project.schema(module)
        && let Some(table) = project.migrations.tables.get(&schema.table)
        && depth < 4
    {
        for column in table
            .columns
            .iter()
            .filter(|column| column.is_not_null() && column.option("default").is_none())
        {
            let field = schema
                .fields
                .iter()
                .find(|field| field.source.as_deref().unwrap_or(&field.name) == column.name);
            if let Some(field) = field {
                let value =
                    field.first_value.clone().unwrap_or_else(|| value_of(&field.kind, &field.name));
                values.push(format!("{}: {value}", field.name));
            } else if let Some(back) = schema.associations.iter().find(|known| {
                known.relation == "belongs_to"
                    && known.foreign_key.clone().unwrap_or_else(|| format!("{}_id", known.name))
                        == column.name
            }) && back.target != module
            {
                let key = project
                    .schema(&back.target)
                    .and_then(|schema| schema.primary_key.clone())
                    .map_or_else(|| "id".to_owned(), |key| key.0);
                values.push(format!(
                    "{}: {}.{key}",
                    column.name,
                    inserted(&back.target, project, depth + 1)
                ));
            }
        }
    }
    format!("{}.insert!(%{module}{{{}}})", project.repo.module, values.join(", "))
}

fn value_of(kind: &str, name: &str) -> String {
    let integer = "System.unique_integer([:positive])";
    match kind {
        ":integer" | ":id" => integer.to_owned(),
        ":float" => "120.5".to_owned(),
        ":decimal" => "Decimal.new(\"120.5\")".to_owned(),
        ":boolean" => "true".to_owned(),
        ":map" => "%{}".to_owned(),
        ":date" => "~D[2025-01-15]".to_owned(),
        ":time" => "~T[14:00:00]".to_owned(),
        ":naive_datetime" => "~N[2025-01-15 14:00:00]".to_owned(),
        ":naive_datetime_usec" => "~N[2025-01-15 14:00:00.000000]".to_owned(),
        ":utc_datetime" => "~U[2025-01-15 14:00:00Z]".to_owned(),
        ":utc_datetime_usec" => "~U[2025-01-15 14:00:00.000000Z]".to_owned(),
        "Ecto.UUID" | ":binary_id" => "Ecto.UUID.generate()".to_owned(),
        other if other.starts_with("{:array") => "[]".to_owned(),
        other if other.starts_with("{:map") => "%{}".to_owned(),
        _ => format!("\"some {}#{{{integer}}}\"", human(name)),
    }
}
