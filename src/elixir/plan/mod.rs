//! The plan: every file that a resource needs, as it is and as it will be.

mod alter;
mod migrations;
mod other_side;
mod sources;
mod web;
mod work;

use time::OffsetDateTime;

pub(crate) use work::Action;

use super::definition::{Definition, Layer};
use super::error::ElixirError;
use super::files::{FileChange, Root};
use super::project::{self, Project, Wanted};
use super::resource::{Resource, Said, settle};
use work::Work;

/// What a call would do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) changes: Vec<FileChange>,
    /// Every file that was looked at, with what happens to it.
    pub(crate) files: Vec<(String, Action)>,
    /// The file that the call is about.
    pub(crate) main: String,
    /// What the caller should know.
    pub(crate) notes: Vec<String>,
    /// `MyApp.Accounts.User`
    pub(crate) schema: String,
    /// `MyApp.Accounts`
    pub(crate) context: String,
}

/// Plans a resource.
///
/// # Errors
/// When anything is in the way; nothing is written here.
pub(crate) fn plan(
    root: &Root,
    definition: &Definition,
    layers: &[Layer],
    now: OffsetDateTime,
) -> Result<Plan, ElixirError> {
    let wanted = Wanted { app: definition.app.as_deref(), repo: definition.repo.as_deref() };
    let project = project::read(root, wanted)?;
    let mut resource = settle(definition, &project, layers)?;
    let mut notes = project.notes.clone();
    adapt(&mut resource, &project, &mut notes);
    let mut work = Work::new(root, project.line_length);
    let mut main = None;
    let difference = migrations::difference_of(&resource, &project)?;
    if resource.has_layer(Layer::Schema) {
        sources::schema(&mut work, &resource, &difference, &mut notes)?;
        main.get_or_insert_with(|| resource.paths.schema.clone());
    }
    if resource.has_layer(Layer::Migration) {
        let path = migrations::write(&mut work, &resource, &project, &difference, now)?;
        notes.extend(difference.notes.iter().cloned());
        main.get_or_insert(path);
    }
    if resource.has_layer(Layer::Schema) {
        other_side::schemas(&mut work, &resource, &project, &mut notes)?;
    }
    let view = super::render::view::view(&resource, &project);
    if resource.has_layer(Layer::Context) {
        sources::context(&mut work, &resource, &project, &view, &mut notes)?;
        other_side::deletions(&mut work, &resource, &project, &mut notes)?;
        main.get_or_insert_with(|| resource.paths.context.clone());
    }
    if resource.has_layer(Layer::Fixtures) {
        sources::fixtures(&mut work, &resource, &view, &difference)?;
        main.get_or_insert_with(|| resource.paths.fixtures.clone());
    }
    if resource.has_layer(Layer::Tests) {
        sources::tests(&mut work, &resource, &view, &difference)?;
        main.get_or_insert_with(|| resource.paths.test.clone());
    }
    if resource.has_layer(Layer::Json) {
        web::json(&mut work, &resource, &project, &view, &mut notes)?;
        main.get_or_insert_with(|| resource.paths.schema.clone());
    }
    for field in resource.fields.iter().filter(|field| field.cast && super::render::is_guess(field))
    {
        notes.push(format!(
            "no example was found that fits the `format` of `{}`: put one into the fixture and the tests",
            field.name
        ));
    }
    let (changes, files) = work.finish()?;
    notes.sort();
    notes.dedup();
    Ok(Plan {
        changes,
        files,
        main: main.unwrap_or_default(),
        notes,
        schema: resource.names.schema,
        context: resource.names.context,
    })
}

/// What is required only by default follows the table that is there: rows without a value exist or
/// may exist.
fn adapt(resource: &mut Resource, project: &Project, notes: &mut Vec<String>) {
    let Some(table) = migrations::table(project, resource) else { return };
    let renames = resource.renames.clone();
    let renamed = |name: &str| {
        renames
            .iter()
            .find(|(old, new)| new == name && table.column(old).is_some())
            .map_or(name, |(old, _)| old.as_str())
            .to_owned()
    };
    let nullable =
        |name: &str| table.column(&renamed(name)).is_none_or(|column| !column.is_not_null());
    let mut optional = Vec::new();
    for field in &mut resource.fields {
        if field.required.is_none() && field.is_required() && nullable(field.column()) {
            field.required = Some(false);
            optional.push((field.name.clone(), table.column(field.column()).is_none()));
        }
    }
    for related in &mut resource.related {
        if related.said == Said::ByDefault && related.required && nullable(&related.foreign_key) {
            related.required = false;
            optional
                .push((related.foreign_key.clone(), table.column(&related.foreign_key).is_none()));
        }
    }
    for (name, new) in optional {
        if new {
            notes.push(format!(
                "`{name}` is optional, since rows of `{}` that are there have no value for it; with `required: true` it needs a `default`",
                resource.names.table
            ));
        }
    }
}
