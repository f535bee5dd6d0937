//! Reads what the context offers beyond the usual functions.

use serde_json::{Map, Value};

use super::object::{Object, Problems};
use super::{ContextOptions, Definition, Field, IndexColumn};

/// Reads `context_options`; its keys may also stand in the definition itself.
pub(super) fn context_options(
    object: &Object<'_>,
    problems: &Problems,
    definition: &Definition,
) -> ContextOptions {
    let empty = Map::new();
    let map = match object.value("context_options") {
        None => &empty,
        Some(Value::Object(map)) => map,
        Some(other) => {
            object.wrong(&["context_options"], other, "an object");
            &empty
        }
    };
    let inner = Object::new(map, "context_options".to_owned(), problems);
    let columns = |key: &'static str| -> Vec<String> {
        let all = || {
            definition
                .fields
                .iter()
                .filter(|field| !field.is_virtual && !field.redact && is_comparable(field))
                .map(|field| field.name.clone())
                .collect()
        };
        match (inner.value(key), object.value(key)) {
            (Some(Value::Bool(true)), _) | (None, Some(Value::Bool(true))) => all(),
            (Some(Value::Bool(false)), _) | (None, Some(Value::Bool(false)) | None) => Vec::new(),
            (None, Some(_)) => object.texts(key),
            (Some(_), _) => inner.texts(key),
        }
    };
    let flag = |key: &'static str| {
        let (inner, outer) = (inner.flag(key), object.flag(key));
        inner.or(outer).unwrap_or(false)
    };
    let options = ContextOptions {
        pagination: flag("pagination"),
        filters: columns("filters"),
        soft_delete: flag("soft_delete"),
        upsert: upsert(&inner, object, definition),
        preloads: [inner.texts("preloads"), object.texts("preloads")].concat(),
    };
    inner.finish();
    options
}

fn is_comparable(field: &Field) -> bool {
    use super::FieldType::{Array, Binary, Map};
    !matches!(field.kind, Array(_) | Map(_) | Binary)
}

/// The columns that tell rows apart; `true` means the first unique field or index.
fn upsert(inner: &Object<'_>, outer: &Object<'_>, definition: &Definition) -> Vec<String> {
    let (from, value) = match (inner.value("upsert"), outer.value("upsert")) {
        (Some(value), _) => (inner, value),
        (None, Some(value)) => (outer, value),
        (None, None) => return Vec::new(),
    };
    let columns = match value {
        Value::Bool(false) => return Vec::new(),
        Value::Bool(true) => definition
            .fields
            .iter()
            .find(|field| field.unique)
            .map(|field| vec![field.name.clone()])
            .unwrap_or_default(),
        Value::Object(map) => map
            .get("conflict_target")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
        _ => from.texts("upsert"),
    };
    let is_unique = match columns.as_slice() {
        [] => false,
        [only] if definition.fields.iter().any(|field| field.unique && field.name == *only) => true,
        several => definition.indexes.iter().any(|index| {
            index.unique
                && index.filter.is_none()
                && index.columns.len() == several.len()
                && index.columns.iter().all(
                    |column| matches!(column, IndexColumn::Name(name) if several.contains(name)),
                )
        }),
    };
    if !is_unique {
        from.problem(
            "`upsert` needs columns with a unique index",
            "make a field `unique`, or add a unique index over the columns that `upsert` names",
        );
        return Vec::new();
    }
    columns
}
