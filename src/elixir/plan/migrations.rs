//! The migrations of a plan.

use time::{Duration, OffsetDateTime};

use super::alter::{Difference, difference};
use super::work::Work;
use crate::elixir::definition::Relation;
use crate::elixir::error::ElixirError;
use crate::elixir::project::Project;
use crate::elixir::project::migrations::{default_index_name, table_key};
use crate::elixir::project::table::{Table, TableIndex};
use crate::elixir::render::migration::{Change, Migration, Mode, Step, migration_file};
use crate::elixir::resource::{Resource, desired_table, foreign_key_name, join_tables, key_to};

/// The resource's table as the migrations leave it.
pub(super) fn table<'a>(project: &'a Project, resource: &Resource) -> Option<&'a Table> {
    let prefix = resource.names.prefix.as_deref();
    project.migrations.tables.get(&table_key(prefix, &resource.names.table))
}

/// What has to happen to the resource's own table; everything, when it is not there.
pub(super) fn difference_of(
    resource: &Resource,
    project: &Project,
) -> Result<Difference, ElixirError> {
    let wanted = desired_table(resource, project);
    if let Some(old) = table(project, resource) {
        return difference(old, &wanted, resource);
    }
    let mut steps = vec![Step::Create(wanted.clone())];
    steps.extend(wanted.indexes.iter().cloned().map(Step::CreateIndex));
    steps.extend(wanted.constraints.iter().cloned().map(Step::CreateConstraint));
    Ok(Difference { steps, ..Difference::default() })
}

/// Writes the migrations. Returns the path of the one that the resource's table is about.
pub(super) fn write(
    work: &mut Work<'_>,
    resource: &Resource,
    project: &Project,
    difference: &Difference,
    now: OffsetDateTime,
) -> Result<String, ElixirError> {
    let names = &resource.names;
    let mut pending: Vec<Migration> = Vec::new();
    let migration = |name: String, table: &str, steps: Vec<Step>, mode: Mode| Migration {
        name,
        table: table.to_owned(),
        prefix: names.prefix.clone(),
        steps,
        mode,
    };
    let extension = citext(resource, project);
    let schema = database_schema(resource, project);
    if !difference.steps.is_empty() {
        let name = name_of(&difference.steps, &names.table);
        let mut steps: Vec<Step> = schema.into_iter().chain(extension).collect();
        steps.extend(difference.steps.iter().cloned());
        pending.push(migration(name, &names.table, steps, Mode::Transaction));
    }
    if !difference.concurrent.is_empty() {
        let name = format!("alter_{}_add_indexes", names.table);
        pending.push(migration(
            name,
            &names.table,
            difference.concurrent.clone(),
            Mode::Concurrently,
        ));
    }
    for join in join_tables(resource, project) {
        if !project.migrations.tables.contains_key(&table_key(join.prefix.as_deref(), &join.name)) {
            let mut steps = vec![Step::Create(join.clone())];
            steps.extend(join.indexes.iter().cloned().map(Step::CreateIndex));
            pending.push(migration(
                format!("create_{}", join.name),
                &join.name,
                steps,
                Mode::Transaction,
            ));
        }
    }
    for (table, steps) in keys_elsewhere(resource, project) {
        let name = name_of(&steps, &table);
        pending.push(migration(name, &table, steps, Mode::Transaction));
    }
    let mut main = None;
    let mut version = Versions::new(project, now);
    let mut taken: Vec<String> =
        project.migrations.files.iter().map(|file| file.name.clone()).collect();
    for mut migration in pending {
        let base = migration.name.clone();
        let mut number = 2;
        while taken.contains(&migration.name) {
            migration.name = format!("{base}_{number}");
            number += 1;
        }
        taken.push(migration.name.clone());
        let path = format!("{}/{}_{}.exs", project.repo.migrations, version.next(), migration.name);
        formatter(work, project)?;
        work.create(&path, &migration_file(&migration, project))?;
        main.get_or_insert(path);
    }
    if let Some(path) = main {
        return Ok(path);
    }
    // Nothing to do: the migration that made the table is what the call is about.
    let made = project.migrations.files.iter().rev().find(|file| {
        file.name == format!("create_{}", names.table) || file.name.contains(&names.table)
    });
    match made {
        Some(file) => {
            work.text(&file.path)?;
            Ok(file.path.clone())
        }
        None => Ok(project.repo.migrations.clone()),
    }
}

/// Where the project has no formatter file for its migrations, `mix format` would put parentheses
/// around `add`; generated projects have this file.
fn formatter(work: &mut Work<'_>, project: &Project) -> Result<(), ElixirError> {
    let path = format!("{}/.formatter.exs", project.repo.migrations);
    let top = format!("{}.formatter.exs", project.folder);
    if project.migrations.files.is_empty()
        && work.text(&path)?.is_none()
        && work.text(&top)?.is_some()
    {
        work.create(&path, "[\n  import_deps: [:ecto_sql],\n  inputs: [\"*.exs\"]\n]\n")?;
    }
    Ok(())
}

/// The extension that citext needs, unless a migration makes it already.
fn citext(resource: &Resource, project: &Project) -> Option<Step> {
    use crate::elixir::definition::FieldType;
    let wanted = resource.fields.iter().any(|field| field.kind == FieldType::Citext);
    let known = project
        .migrations
        .tables
        .values()
        .any(|table| table.columns.iter().any(|column| column.kind == ":citext"))
        || project.modules.contains_key("CitextExtension");
    (wanted && !known).then(|| {
        Step::Execute(
            "CREATE EXTENSION IF NOT EXISTS citext".to_owned(),
            "DROP EXTENSION IF EXISTS citext".to_owned(),
        )
    })
}

/// The database schema of the first table that is put into one.
fn database_schema(resource: &Resource, project: &Project) -> Option<Step> {
    let prefix = resource.names.prefix.as_deref()?;
    let known = prefix == "public"
        || project.migrations.tables.values().any(|table| table.prefix.as_deref() == Some(prefix));
    (!known).then(|| {
        Step::Execute(
            format!("CREATE SCHEMA IF NOT EXISTS {prefix}"),
            format!("DROP SCHEMA IF EXISTS {prefix}"),
        )
    })
}

/// Foreign keys that a `has_many` or `has_one` needs in the other table.
fn keys_elsewhere(resource: &Resource, project: &Project) -> Vec<(String, Vec<Step>)> {
    let mut found = Vec::new();
    for related in resource.of(Relation::HasMany).chain(resource.of(Relation::HasOne)) {
        if !related.through.is_empty() || related.target.itself {
            continue;
        }
        let Some(table) = project.migrations.tables.get(&related.target.table) else { continue };
        if table.column(&related.foreign_key).is_some() {
            continue;
        }
        let back = super::other_side::back(resource, related);
        let name = foreign_key_name(&table.name, &back.foreign_key);
        let column = key_to(&back, name, project);
        let columns = vec![back.foreign_key.clone()];
        let index = TableIndex {
            name: default_index_name(&table.name, &columns),
            columns,
            unique: related.relation == Relation::HasOne,
            options: Vec::new(),
        };
        found.push((
            table.name.clone(),
            vec![Step::Alter(vec![Change::Add(column)]), Step::CreateIndex(index)],
        ));
    }
    found
}

/// `create_users`, `alter_users_add_phone`, `alter_users`.
fn name_of(steps: &[Step], table: &str) -> String {
    if steps.iter().any(|step| matches!(step, Step::Create(_))) {
        return format!("create_{table}");
    }
    let mut words: Vec<String> = Vec::new();
    for step in steps {
        match step {
            Step::Alter(changes) => words.extend(changes.iter().map(|change| match change {
                Change::Add(column) => format!("add_{}", column.name),
                Change::Remove(column) => format!("remove_{}", column.name),
                Change::Modify { new, .. } => format!("change_{}", new.name),
            })),
            Step::Rename(old, new) => words.push(format!("rename_{old}_to_{new}")),
            Step::CreateConstraint(constraint) => words.push(format!("add_{}", constraint.name)),
            _ => {}
        }
    }
    if words.is_empty() {
        words.push("indexes".to_owned());
    }
    let whole = format!("alter_{table}_{}", words.join("_"));
    if whole.len() <= 80 {
        whole
    } else {
        format!("alter_{table}_{}", words.first().cloned().unwrap_or_default())
    }
}

/// Versions: above every one that is there, one second apart.
struct Versions {
    next: OffsetDateTime,
}

impl Versions {
    fn new(project: &Project, now: OffsetDateTime) -> Self {
        let highest = project.migrations.files.iter().map(|file| file.version).max();
        let after = highest.and_then(moment_of).map(|moment| moment + Duration::SECOND);
        Self { next: after.map_or(now, |after| after.max(now)) }
    }

    fn next(&mut self) -> String {
        let moment = self.next;
        self.next = moment + Duration::SECOND;
        format!(
            "{:04}{:02}{:02}{:02}{:02}{:02}",
            moment.year(),
            u8::from(moment.month()),
            moment.day(),
            moment.hour(),
            moment.minute(),
            moment.second()
        )
    }
}

/// The moment that a version of 14 digits names.
fn moment_of(version: u64) -> Option<OffsetDateTime> {
    let part = |divisor: u64, size: u64| u8::try_from(version / divisor % size).ok();
    let year = i32::try_from(version / 10_000_000_000).ok()?;
    let month = time::Month::try_from(part(100_000_000, 100)?).ok()?;
    let date = time::Date::from_calendar_date(year, month, part(1_000_000, 100)?).ok()?;
    let clock = time::Time::from_hms(part(10_000, 100)?, part(100, 100)?, part(1, 100)?).ok()?;
    Some(time::PrimitiveDateTime::new(date, clock).assume_utc())
}
