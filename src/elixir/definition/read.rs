//! A definition from JSON.

use serde_json::{Map, Value};

use super::association::{read_association, read_embed};
use super::check::{check, unsafe_sql};
use super::field::{Read, expand_short, read_field};
use super::object::{Object, Problems, shown};
use super::options::context_options;
use super::{
    Autogenerate, Constraint, ContextOptions, Definition, Embed, FIELDS, Gone, Index, IndexColumn,
    KeyType, Layer, Layout, PrimaryKey, Problem, ScopeChoice, Timestamps,
};
use crate::elixir::names;

/// Reads a definition: an object, or its JSON as a text.
///
/// # Errors
/// Everything that is wrong with it, at most twenty things.
pub(crate) fn read(value: &Value) -> Result<Definition, Vec<Problem>> {
    let problems = Problems::default();
    let parsed;
    let map = match value {
        Value::Object(map) => Some(map),
        Value::String(text) => {
            parsed = serde_json::from_str::<Map<String, Value>>(text);
            match &parsed {
                Ok(map) => Some(map),
                Err(error) => {
                    problems.add(
                        "schema_definition",
                        format!("the text is no JSON object: {error}"),
                        "write an object with `module_name` and `fields`",
                    );
                    None
                }
            }
        }
        _ => {
            problems.add(
                "schema_definition",
                "it is no object",
                "write an object with `module_name` and `fields`",
            );
            None
        }
    };
    let definition = map.and_then(|map| read_object(map, &problems));
    if let Some(definition) = &definition {
        check(definition, &problems);
    }
    let problems = problems.take();
    match definition {
        Some(definition) if problems.is_empty() => Ok(definition),
        _ => Err(problems),
    }
}

fn read_object(map: &Map<String, Value>, problems: &Problems) -> Option<Definition> {
    let object = Object::new(map, "schema_definition".to_owned(), problems);
    let module = module_name(&object);
    let layers = layers(&object);
    let mut definition = Definition {
        module: module.clone().unwrap_or_default(),
        plural: object.identifier("plural"),
        table: object.any_identifier_table(),
        context: context_name(&object),
        layout: layout(&object),
        app: object.identifier("app"),
        repo: module_path(&object, "repo"),
        prefix: object.identifier("prefix"),
        primary_key: primary_key(&object),
        timestamps: timestamps(&object),
        fields: Vec::new(),
        associations: Vec::new(),
        embeds: Vec::new(),
        indexes: Vec::new(),
        constraints: Vec::new(),
        scope: scope(&object),
        options: ContextOptions::default(),
        layers,
        renames: renames(&object),
        gone: if object.flag("allow_drop") == Some(true) { Gone::Drop } else { Gone::Keep },
    };
    fields(&object, &mut definition, problems);
    for (place, map) in objects(&object, "associations") {
        if let Some(association) = read_association(Object::new(map, place, problems)) {
            definition.associations.push(association);
        }
    }
    for (place, map) in objects(&object, "embeds") {
        definition.embeds.extend(embed(Object::new(map, place, problems)));
    }
    for (place, map) in objects(&object, "indexes") {
        definition.indexes.extend(index(Object::new(map, place, problems)));
    }
    for (place, map) in objects(&object, "constraints") {
        definition.constraints.extend(constraint(Object::new(map, place, problems)));
    }
    definition.options = context_options(&object, problems, &definition);
    // The call's own arguments may stand in the definition, as models put them there.
    for key in ["target_project_path", "dry_run", "verify", "binary_id"] {
        object.value(key);
    }
    object.finish();
    module.map(|_| definition)
}

impl Object<'_> {
    fn any_identifier_table(&self) -> Option<String> {
        self.identifier("table").or_else(|| self.identifier("table_name"))
    }
}

fn module_name(object: &Object<'_>) -> Option<Vec<String>> {
    let Some(name) = object.any_text(&["module_name", "name", "schema", "module"]) else {
        object.problem("there is no `module_name`", "write the schema's module, such as `User`");
        return None;
    };
    let name = name.strip_prefix("Elixir.").unwrap_or(&name).to_owned();
    let segments: Vec<String> = name.split('.').map(str::to_owned).collect();
    if !segments.iter().all(|segment| names::is_module_segment(segment)) || segments.len() > 6 {
        let proposed: Vec<String> = segments
            .iter()
            .map(|segment| names::camel(&names::proposed_identifier(segment)))
            .collect();
        object.problem(
            format!("`module_name` is {}: no name of a module", shown(&name)),
            format!("write `{}`", proposed.join(".")),
        );
        return None;
    }
    let last = segments.last()?;
    let variable = names::snake(last);
    if names::is_reserved(&variable) || names::is_taken_module(last) {
        object.problem(
            format!("a schema cannot be named `{last}`: generated code needs that word for Elixir or Ecto"),
            format!("write `{last}Record` or another name"),
        );
        return None;
    }
    Some(segments)
}

fn module_path(object: &Object<'_>, key: &'static str) -> Option<String> {
    let name = object.text(key)?;
    if name.split('.').all(names::is_module_segment) {
        return Some(name);
    }
    object.problem(
        format!("`{key}` is {}: no module", shown(&name)),
        "write a module such as `MyApp.Repo`",
    );
    None
}

fn context_name(object: &Object<'_>) -> Option<String> {
    let value = object.any(&["context", "context_name"])?;
    let name = value.as_str()?.trim().to_owned();
    if name.is_empty() {
        return None;
    }
    let name = if names::is_identifier(&name) { names::camel(&name) } else { name };
    if name.split('.').all(names::is_module_segment) {
        return Some(name);
    }
    object.problem(
        format!("`context` is {}: no module", shown(&name)),
        "write a module such as `Accounts`",
    );
    None
}

fn layout(object: &Object<'_>) -> Option<Layout> {
    match object.text("layout")?.as_str() {
        "seed" | "schemas" => Some(Layout::Seed),
        "phoenix" => Some(Layout::Phoenix),
        other => {
            object.problem(format!("`layout` is {}", shown(other)), "write `phoenix` or `seed`");
            None
        }
    }
}

fn layers(object: &Object<'_>) -> Vec<Layer> {
    let mut read = Vec::new();
    for name in object.texts("layers") {
        match Layer::NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, layer)) => read.push(*layer),
            None if name == "html" || name == "live" => object.problem(
                format!("the layer `{name}` is not generated"),
                "use `json`, or run `mix phx.gen.html` or `mix phx.gen.live` with `--no-context`",
            ),
            None => object.problem(
                format!("the layer {} is unknown", shown(&name)),
                "write schema, migration, context, tests, fixtures or json",
            ),
        }
    }
    if object.flag("json") == Some(true) && !read.contains(&Layer::Json) {
        if read.is_empty() {
            read.extend(Layer::DEFAULT);
        }
        read.push(Layer::Json);
    }
    read.sort();
    read.dedup();
    read
}

fn primary_key(object: &Object<'_>) -> Option<PrimaryKey> {
    let short = object.flag("binary_id").map(|binary| PrimaryKey {
        name: "id".to_owned(),
        key_type: if binary { KeyType::BinaryId } else { KeyType::Id },
        autogenerate: Autogenerate::Yes,
    });
    let map = match object.value("primary_key") {
        None => return short,
        Some(Value::Object(map)) => map.clone(),
        Some(Value::String(text)) => {
            let mut map = Map::new();
            map.insert("type".to_owned(), Value::from(text.as_str()));
            map
        }
        Some(other) => {
            object.wrong(&["primary_key"], other, "an object with `name` and `type`");
            return None;
        }
    };
    let inner = Object::new(&map, "primary_key".to_owned(), object.problems());
    let key_type = match inner.text("type").as_deref() {
        None | Some("id" | "integer" | "bigint" | "bigserial") => KeyType::Id,
        Some("binary_id") => KeyType::BinaryId,
        Some("uuid" | "Ecto.UUID") => KeyType::Uuid,
        Some(other) => {
            inner.problem(
                format!("the type of the key is {}", shown(other)),
                "write `id`, `binary_id` or `uuid`",
            );
            return None;
        }
    };
    let key = PrimaryKey {
        name: inner.identifier("name").unwrap_or_else(|| "id".to_owned()),
        key_type,
        autogenerate: match inner.flag("autogenerate") {
            Some(false) => Autogenerate::No,
            _ => Autogenerate::Yes,
        },
    };
    if names::is_reserved(&key.name) {
        inner
            .problem(format!("`{}` is a reserved word of Elixir", key.name), "choose another name");
    }
    inner.finish();
    Some(key)
}

fn timestamps(object: &Object<'_>) -> Option<Timestamps> {
    let plain = Timestamps::On { kind: None, inserted_at: None, updated_at: None };
    match object.value("timestamps")? {
        Value::Bool(true) => Some(plain),
        Value::Bool(false) => Some(Timestamps::Off),
        Value::String(text) if text == "true" => Some(plain),
        Value::String(text) if text == "false" => Some(Timestamps::Off),
        Value::String(text) => Some(Timestamps::On {
            kind: timestamp_kind(object, text),
            inserted_at: None,
            updated_at: None,
        }),
        Value::Object(map) => {
            let inner = Object::new(map, "timestamps".to_owned(), object.problems());
            let read = Timestamps::On {
                kind: inner.text("type").and_then(|kind| timestamp_kind(&inner, &kind)),
                inserted_at: inner.identifier("inserted_at"),
                updated_at: inner.identifier("updated_at"),
            };
            inner.finish();
            Some(read)
        }
        other => {
            object.wrong(&["timestamps"], other, "true, false or an object with `type`");
            None
        }
    }
}

fn timestamp_kind(object: &Object<'_>, kind: &str) -> Option<String> {
    let kind = kind.trim_start_matches(':');
    if ["naive_datetime", "naive_datetime_usec", "utc_datetime", "utc_datetime_usec"]
        .contains(&kind)
    {
        return Some(kind.to_owned());
    }
    object.problem(
        format!("the type of the timestamps is {}", shown(kind)),
        "write naive_datetime, naive_datetime_usec, utc_datetime or utc_datetime_usec",
    );
    None
}

fn scope(object: &Object<'_>) -> ScopeChoice {
    match object.value("scope") {
        None | Some(Value::Bool(true)) => ScopeChoice::Default,
        Some(Value::Bool(false)) => ScopeChoice::Off,
        Some(Value::String(text)) if text == "false" => ScopeChoice::Off,
        Some(Value::String(text)) if names::is_identifier(text) => ScopeChoice::Named(text.clone()),
        Some(other) => {
            object.wrong(&["scope"], other, "the name of a configured scope, or false");
            ScopeChoice::Off
        }
    }
}

fn renames(object: &Object<'_>) -> Vec<(String, String)> {
    let Some(value) = object.value("renames") else { return Vec::new() };
    let Some(map) = value.as_object() else {
        object.wrong(&["renames"], value, "an object such as {\"old\": \"new\"}");
        return Vec::new();
    };
    map.iter()
        .filter_map(|(old, new)| {
            let new = new.as_str().unwrap_or_default();
            if names::is_identifier(old) && names::is_identifier(new) {
                return Some((old.clone(), new.to_owned()));
            }
            object.problem(format!("`renames` has {}", shown(old)), "write names of fields");
            None
        })
        .collect()
}

fn objects<'a>(object: &Object<'a>, key: &'static str) -> Vec<(String, &'a Map<String, Value>)> {
    object
        .list(key)
        .iter()
        .enumerate()
        .filter_map(|(number, value)| match value {
            Value::Object(map) => {
                let name = map
                    .get("name")
                    .and_then(Value::as_str)
                    .map(|name| shown(name).replace('`', ""));
                let named = name.map(|name| format!(" ({name})")).unwrap_or_default();
                Some((format!("{key}[{number}]{named}"), map))
            }
            other => {
                object.wrong(&[key], other, "a list of objects");
                None
            }
        })
        .collect()
}

fn fields(object: &Object<'_>, definition: &mut Definition, problems: &Problems) {
    let given = object.list("fields");
    if given.len() > FIELDS {
        object.problem(
            format!("there are {} fields, at most {FIELDS} are taken", given.len()),
            "split the resource, or keep rare values in a `map`",
        );
        return;
    }
    for (number, value) in given.iter().enumerate() {
        let expanded;
        let map = match value {
            Value::Object(map) => map,
            Value::String(text) => match expand_short(text) {
                Ok(map) => {
                    expanded = map;
                    &expanded
                }
                Err(message) => {
                    problems.add(&format!("fields[{number}]"), message, "write an object");
                    continue;
                }
            },
            other => {
                object.wrong(&["fields"], other, "a list of objects with `name` and `type`");
                continue;
            }
        };
        let name = map.get("name").and_then(Value::as_str).map(|name| shown(name).replace('`', ""));
        let place = name.map_or_else(
            || format!("fields[{number}]"),
            |name| format!("fields[{number}] ({name})"),
        );
        match read_field(Object::new(map, place, problems)) {
            Some(Read::Field(field)) => definition.fields.push(*field),
            Some(Read::Association(association)) => definition.associations.push(association),
            None => {}
        }
    }
    if given.is_empty()
        && object.list("associations").is_empty()
        && object.list("embeds").is_empty()
    {
        object.problem(
            "there are no fields",
            "write `fields`: a list of objects with `name` and `type`",
        );
    }
}

fn embed(object: Object<'_>) -> Option<Embed> {
    let mut embed = read_embed(&object)?;
    for (number, value) in object.list("fields").iter().enumerate() {
        let expanded;
        let map = match value {
            Value::Object(map) => map,
            Value::String(text) => {
                expanded = expand_short(text).unwrap_or_default();
                &expanded
            }
            _ => continue,
        };
        let place = format!("{}.fields[{number}]", object.place);
        match read_field(Object::new(map, place, object.problems())) {
            Some(Read::Field(field))
                if !embed.fields.iter().any(|earlier| earlier.name == field.name) =>
            {
                if field.unique || field.index || field.generated.is_some() || field.primary_key {
                    object.problem(
                        format!("`{}` has an option that only columns have", field.name),
                        "remove it",
                    );
                }
                embed.fields.push(*field);
            }
            Some(Read::Field(field)) => {
                object.problem(format!("`{}` is there twice", field.name), "name it once");
            }
            Some(Read::Association(_)) => {
                object.problem("embeds have no references", "use an association");
            }
            None => {}
        }
    }
    if embed.fields.is_empty() {
        object.problem("the embed has no fields", "write its `fields`");
    }
    object.finish();
    Some(embed)
}

fn index(object: Object<'_>) -> Option<Index> {
    let mut columns = Vec::new();
    for value in object.list("columns").iter().chain(object.list("fields")) {
        match value {
            Value::String(name) if names::is_identifier(name) => {
                columns.push(IndexColumn::Name(name.clone()));
            }
            Value::String(expression) => {
                if let Some(reason) = unsafe_sql(expression) {
                    object.problem(
                        format!("an expression {reason}"),
                        "write one SQL expression such as lower(email)",
                    );
                }
                columns.push(IndexColumn::Expression(expression.clone()));
            }
            Value::Object(map) => {
                let name = map.get("name").and_then(Value::as_str).unwrap_or_default();
                let order = map.get("order").and_then(Value::as_str).unwrap_or("asc");
                let known = [
                    "asc",
                    "desc",
                    "asc_nulls_first",
                    "asc_nulls_last",
                    "desc_nulls_first",
                    "desc_nulls_last",
                ];
                if !names::is_identifier(name) || !known.contains(&order) {
                    object.problem(
                        "a column of the index is none",
                        "write a name, or {\"name\": …, \"order\": \"desc\"}",
                    );
                }
                columns.push(IndexColumn::Ordered(name.to_owned(), order.to_owned()));
            }
            other => object.wrong(&["columns"], other, "a list of names"),
        }
    }
    if columns.is_empty() {
        object.problem("the index has no `columns`", "name at least one");
        return None;
    }
    let filter = object.text("where");
    if let Some(reason) = filter.as_deref().and_then(unsafe_sql) {
        object.problem(format!("`where` {reason}"), "write one SQL condition");
    }
    let index = Index {
        columns,
        unique: object.flag("unique").unwrap_or(false),
        filter,
        using: object.identifier("using"),
        include: object.texts("include"),
        nulls_distinct: object.flag("nulls_distinct"),
        concurrently: object.flag("concurrently").unwrap_or(false),
        name: object.identifier("name"),
        message: object.text("message"),
    };
    object.finish();
    Some(index)
}

fn constraint(object: Object<'_>) -> Option<Constraint> {
    let (kind, sql) = match (object.text("check"), object.text("exclude")) {
        (Some(sql), None) => ("check", sql),
        (None, Some(sql)) => ("exclude", sql),
        _ => {
            object.problem(
                "a constraint is either `check` or `exclude`",
                "write its SQL in one of them",
            );
            return None;
        }
    };
    if let Some(reason) = unsafe_sql(&sql) {
        object.problem(format!("`{kind}` {reason}"), "write one SQL condition");
    }
    let Some(name) = object.identifier("name") else {
        object.problem(
            "the constraint has no `name`",
            "write a name such as `price_must_be_positive`",
        );
        return None;
    };
    let constraint = Constraint {
        name,
        kind,
        sql,
        field: object.identifier("field"),
        message: object.text("message"),
    };
    object.finish();
    Some(constraint)
}
