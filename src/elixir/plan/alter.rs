//! The steps from a table as it is to a table as it should be.

use crate::elixir::definition::Gone;
use crate::elixir::error::{ElixirError, Refusal};
use crate::elixir::project::table::{Column, Table, TableIndex};
use crate::elixir::render::migration::{Change, Step};
use crate::elixir::resource::Resource;

/// What has to happen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Difference {
    pub(crate) steps: Vec<Step>,
    /// Indexes that are made beside running writes, in a migration of their own.
    pub(crate) concurrent: Vec<Step>,
    /// Columns that are removed.
    pub(crate) dropped: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// Compares two states of a table.
///
/// # Errors
/// When a step could fail on rows that are there, or lose what they hold.
pub(crate) fn difference(
    old: &Table,
    wanted: &Table,
    resource: &Resource,
) -> Result<Difference, ElixirError> {
    let mut found = Difference::default();
    let mut old = old.clone();
    renames(&mut old, wanted, resource, &mut found);
    let mut changes = Vec::new();
    for column in &wanted.columns {
        match old.column(&column.name) {
            None => {
                addable(column, resource)?;
                changes.push(Change::Add(column.clone()));
            }
            Some(known) => changes.extend(modification(known, column, resource)?),
        }
    }
    for column in &old.columns {
        if wanted.column(&column.name).is_some() {
            continue;
        }
        let is_key = column.option("primary_key") == Some("true") || column.references().is_some();
        if resource.gone == Gone::Drop && !is_key {
            found.dropped.push(column.name.clone());
            changes.push(Change::Remove(column.clone()));
        } else {
            found.notes.push(format!(
                "the column `{}` of `{}` is not in the definition and stays; `allow_drop: true` removes it",
                column.name, old.name
            ));
        }
    }
    indexes(&old, wanted, resource, &mut found);
    constraints(&old, wanted, resource, &mut found);
    if !changes.is_empty() {
        let before = |step: &Step| match step {
            Step::Rename(..) => true,
            Step::DropIndex(index) => {
                index.columns.iter().any(|column| found.dropped.contains(column))
            }
            _ => false,
        };
        let (mut first, rest): (Vec<Step>, Vec<Step>) = found.steps.drain(..).partition(before);
        let place = first.len();
        first.extend(rest);
        found.steps = first;
        found.steps.insert(place, Step::Alter(changes));
    }
    Ok(found)
}

fn renames(old: &mut Table, wanted: &Table, resource: &Resource, found: &mut Difference) {
    for (from, to) in &resource.renames {
        if old.column(from).is_none() || old.column(to).is_some() || wanted.column(to).is_none() {
            continue;
        }
        found.steps.push(Step::Rename(from.clone(), to.clone()));
        for column in old.columns.iter_mut().filter(|column| column.name == *from) {
            column.name.clone_from(to);
        }
        for index in &mut old.indexes {
            if !index.columns.contains(from) {
                continue;
            }
            for name in index.columns.iter_mut().filter(|name| *name == from) {
                name.clone_from(to);
            }
            // The database keeps an index's name when its column gets another.
            if let Some(new) = wanted
                .indexes
                .iter()
                .find(|new| new.columns == index.columns && new.name != index.name)
            {
                found.steps.push(Step::RenameIndex(index.name.clone(), new.name.clone()));
                index.name.clone_from(&new.name);
            }
        }
        if let Some(column) = old.column(to)
            && column.references().is_some()
        {
            let name = |column: &str| format!("{}_{column}_fkey", old.name);
            let sql = |from: &str, to: &str| {
                format!("ALTER TABLE {} RENAME CONSTRAINT {} TO {}", old.name, name(from), name(to))
            };
            found.steps.push(Step::Execute(sql(from, to), sql(to, from)));
        }
    }
}

fn unsafe_change(message: String, hint: &str) -> ElixirError {
    ElixirError::refused(Refusal::UnsafeChange, message, hint)
}

/// A column that every row must have needs a value for the rows that are there.
fn addable(column: &Column, resource: &Resource) -> Result<(), ElixirError> {
    if column.option("primary_key") == Some("true") {
        return Err(unsafe_change(
            format!("`{}` would be a new primary key of `{}`", column.name, resource.names.table),
            "a table's key is changed by hand, with its references",
        ));
    }
    if column.is_not_null()
        && column.option("default").is_none()
        && column.option("generated").is_none()
    {
        return Err(unsafe_change(
            format!(
                "`{}` is required, and rows of `{}` that are there have no value for it",
                column.name, resource.names.table
            ),
            "give it a `default`; or set `required: false`, fill the rows, and require it by a later migration",
        ));
    }
    Ok(())
}

/// Types that hold the same values.
fn agrees(old: &str, new: &str) -> bool {
    const SAME: [&[&str]; 6] = [
        &[":id", ":bigserial", ":serial", ":identity", ":bigint"],
        &[":binary_id", ":uuid"],
        &[":naive_datetime", ":utc_datetime", ":timestamp", ":timestamptz"],
        &[":naive_datetime_usec", ":utc_datetime_usec", ":timestamp", ":timestamptz"],
        &[":map", ":json", ":jsonb"],
        &[":decimal", ":numeric"],
    ];
    let wider = [
        (":text", ":string"),
        (":citext", ":string"),
        (":bigint", ":integer"),
        (":citext", ":text"),
    ];
    old == new
        || SAME.iter().any(|kinds| kinds.contains(&old) && kinds.contains(&new))
        || wider.contains(&(old, new))
        || (old.starts_with("references(")
            && new.starts_with("references(")
            && reference_agrees(old, new))
}

/// The same table is pointed to, and the rows there do the same to ours.
fn reference_agrees(old: &str, new: &str) -> bool {
    let parts = |code: &str| -> Vec<String> {
        let inner = code.trim_start_matches("references(").trim_end_matches(')');
        let mut parts: Vec<String> = inner
            .split(", ")
            .filter(|part| !part.starts_with("type:") && !part.starts_with("name:"))
            .map(str::to_owned)
            .collect();
        parts.sort();
        parts
    };
    parts(old) == parts(new)
}

/// Type changes that keep every value.
fn is_safe(old: &Column, new: &Column) -> bool {
    let number = |column: &Column, key: &str| {
        column.option(key).and_then(|value| value.replace('_', "").parse::<i64>().ok())
    };
    let casts = [
        (":string", ":text"),
        (":string", ":citext"),
        (":text", ":citext"),
        (":integer", ":bigint"),
        (":integer", ":decimal"),
        (":bigint", ":decimal"),
        (":integer", ":float"),
    ];
    if old.kind == new.kind {
        let size = |column: &Column| number(column, "size").unwrap_or(255);
        let digits = |column: &Column| {
            number(column, "precision").map_or((i64::MAX, i64::MAX), |precision| {
                let scale = number(column, "scale").unwrap_or(0);
                (precision - scale, scale)
            })
        };
        return match new.kind.as_str() {
            ":string" => size(new) >= size(old),
            ":decimal" => digits(new).0 >= digits(old).0 && digits(new).1 >= digits(old).1,
            _ => true,
        };
    }
    casts.contains(&(old.kind.as_str(), new.kind.as_str()))
        || (old.kind.starts_with("references(")
            && new.kind.starts_with("references(")
            && old.references() == new.references())
}

fn modification(
    old: &Column,
    new: &Column,
    resource: &Resource,
) -> Result<Option<Change>, ElixirError> {
    let table = &resource.names.table;
    let is_key =
        old.option("primary_key") == Some("true") || new.option("primary_key") == Some("true");
    if is_key {
        if agrees(&old.kind, &new.kind) {
            return Ok(None);
        }
        return Err(unsafe_change(
            format!(
                "the primary key `{}` of `{table}` is {} and cannot become {}",
                old.name, old.kind, new.kind
            ),
            "describe the key as it is; a key's type is changed by hand, with its references",
        ));
    }
    let mut target = new.clone();
    if agrees(&old.kind, &new.kind) {
        target.kind.clone_from(&old.kind);
    }
    // What only one side can know stays: comments and collations that nobody asked to change.
    for key in ["comment", "collation", "size", "precision", "scale", "default"] {
        if new.option(key).is_none()
            && let Some(value) = old.option(key)
            && (target.kind == old.kind)
            && !(key == "default"
                && !value.is_empty()
                && resource.fields.iter().any(|field| field.column() == new.name))
        {
            let mut options = target.options.clone();
            options.push((key.to_owned(), value.to_owned()));
            target = Column::new(&target.name, &target.kind, options);
        }
    }
    if target == *old {
        return Ok(None);
    }
    if !old.is_not_null() && target.is_not_null() {
        return Err(unsafe_change(
            format!(
                "`{}` of `{table}` is to refuse NULL, and rows that are there may have none",
                new.name
            ),
            "leave `required` out and fill the rows first; then require it by a migration of your own",
        ));
    }
    if !is_safe(old, &target) {
        return Err(unsafe_change(
            format!(
                "`{}` of `{table}` is {} and cannot become {} without losing values",
                old.name,
                old.arguments(),
                target.arguments()
            ),
            "add a new field and copy the values by a migration of your own; or describe the field as it is",
        ));
    }
    if old.option("generated").is_some() || target.option("generated").is_some() {
        return Err(unsafe_change(
            format!("`{}` of `{table}` is or becomes a generated column", new.name),
            "add a new field instead",
        ));
    }
    Ok(Some(Change::Modify { old: old.clone(), new: target }))
}

fn indexes(old: &Table, wanted: &Table, resource: &Resource, found: &mut Difference) {
    let concurrent =
        |name: &str| resource.indexes.iter().any(|index| index.name == name && index.concurrently);
    for index in &wanted.indexes {
        match old.indexes.iter().find(|known| known.name == index.name) {
            Some(known) if known == index => continue,
            Some(known) => found.steps.push(Step::DropIndex(known.clone())),
            None if covered(old, index) => continue,
            None => {}
        }
        let step = Step::CreateIndex(index.clone());
        if concurrent(&index.name) { found.concurrent.push(step) } else { found.steps.push(step) }
    }
    for index in &old.indexes {
        if wanted.indexes.iter().any(|known| {
            known.name == index.name
                || (known.columns == index.columns && known.unique == index.unique)
        }) {
            continue;
        }
        // An index would go with its column by itself, and would not come back with it.
        if resource.gone == Gone::Drop {
            found.steps.push(Step::DropIndex(index.clone()));
        } else {
            found
                .notes
                .push(format!("the index `{}` is not in the definition and stays", index.name));
        }
    }
}

/// Whether a plain index over one column would add nothing.
fn covered(old: &Table, index: &TableIndex) -> bool {
    let plain = !index.unique && index.options.is_empty();
    match index.columns.as_slice() {
        [only] if plain => old.leads_index(only),
        _ => old.indexes.iter().any(|known| {
            known.columns == index.columns
                && known.unique == index.unique
                && known.options == index.options
        }),
    }
}

fn constraints(old: &Table, wanted: &Table, resource: &Resource, found: &mut Difference) {
    for constraint in &wanted.constraints {
        match old.constraints.iter().find(|known| known.name == constraint.name) {
            Some(known) if known == constraint => continue,
            Some(known) => found.steps.push(Step::DropConstraint(known.clone())),
            None => {}
        }
        found.steps.push(Step::CreateConstraint(constraint.clone()));
    }
    for constraint in &old.constraints {
        if wanted.constraints.iter().any(|known| known.name == constraint.name) {
            continue;
        }
        if resource.gone == Gone::Drop {
            found.steps.push(Step::DropConstraint(constraint.clone()));
        } else {
            found.notes.push(format!(
                "the constraint `{}` is not in the definition and stays",
                constraint.name
            ));
        }
    }
}
