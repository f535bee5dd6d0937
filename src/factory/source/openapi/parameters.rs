//! Parameters of an operation: where they go, how they are written, what their argument is called.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::bundle::{Bundle, Place};
use super::document::Edition;
use super::schema::Schemas;
use crate::factory::ir::{Location, Parameter, Style};
use crate::factory::names::prose;

/// Longest description of a parameter.
const DESCRIPTION: usize = 300;

/// Headers that the standard takes from elsewhere.
const OWN_HEADERS: [&str; 3] = ["accept", "content-type", "authorization"];

/// The parameters of an operation, and with Swagger 2.0 those that are its body.
#[derive(Default)]
pub(super) struct Parameters<'a> {
    pub(super) list: Vec<(Parameter, Value)>,
    /// `in: body` of Swagger 2.0.
    pub(super) body: Option<Place<'a>>,
    /// `in: formData` of Swagger 2.0.
    pub(super) form: Vec<Place<'a>>,
    pub(super) notes: Vec<String>,
}

/// Reads the parameters of a path and an operation; those of the operation count.
///
/// # Errors
/// Why the operation cannot be called.
pub(super) fn read<'a>(
    bundle: &'a Bundle,
    edition: Edition,
    schemas: &mut Schemas<'a>,
    levels: [Option<Place<'a>>; 2],
    path: &str,
) -> Result<Parameters<'a>, String> {
    let mut parameters = Parameters::default();
    let mut seen: HashSet<(String, String)> = HashSet::new();
    // The operation first: what it names hides what the path names.
    let [of_path, of_operation] = levels;
    let mut collected = Vec::new();
    for level in [of_operation, of_path] {
        let Some(level) = level else { continue };
        let Some(items) = level.value.as_array() else { continue };
        let mut own = Vec::new();
        for item in items {
            let place = Place { document: level.document, value: item };
            let place = bundle
                .resolve(place)
                .map_err(|reason| format!("a parameter is missing: {reason}"))?;
            let Some(name) = place.value.get("name").and_then(Value::as_str) else {
                parameters.notes.push("a parameter without a name was left out".to_owned());
                continue;
            };
            let Some(location) = place.value.get("in").and_then(Value::as_str) else {
                parameters
                    .notes
                    .push(format!("the parameter `{}` says nothing about `in`", prose(name, 60)));
                continue;
            };
            // Names of headers are equal without regard to case.
            let key =
                if location == "header" { name.to_ascii_lowercase() } else { name.to_owned() };
            if seen.insert((key, location.to_owned())) {
                own.push((place, name, location));
            }
        }
        collected.splice(0..0, own);
    }
    for (place, name, location) in collected {
        match location {
            "body" if edition == Edition::Two => parameters.body = Some(place),
            "formData" if edition == Edition::Two => parameters.form.push(place),
            "path" | "query" | "header" | "cookie" => {
                if let Some(parameter) =
                    one(edition, schemas, place, name, location, &mut parameters.notes)?
                {
                    parameters.list.push(parameter);
                }
            }
            other => parameters.notes.push(format!(
                "`in: {}` is not known; `{}` was left out",
                prose(other, 30),
                prose(name, 60)
            )),
        }
    }
    complete_path(&mut parameters, path);
    name_arguments(&mut parameters.list);
    Ok(parameters)
}

fn one<'a>(
    edition: Edition,
    schemas: &mut Schemas<'a>,
    place: Place<'a>,
    name: &str,
    location: &str,
    notes: &mut Vec<String>,
) -> Result<Option<(Parameter, Value)>, String> {
    let location = match location {
        "path" => Location::Path,
        "query" => Location::Query,
        "header" => Location::Header,
        _ => Location::Cookie,
    };
    if location == Location::Header {
        if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            notes.push(format!("the header parameter `{name}` is set by the media types and the security of the operation"));
            return Ok(None);
        }
        if !is_token(name) {
            return Err(format!("`{}` is no name of a header", prose(name, 60)));
        }
    }
    let value = place.value;
    let (style, explode, schema) = if edition == Edition::Two {
        let (style, explode) = collection(location, value);
        let place = place.get("schema").unwrap_or(place);
        (style, explode, without_parameter_keys(schemas.convert(place)))
    } else if let Some(content) = place.get("content").filter(|content| content.value.is_object()) {
        let first = content.value.as_object().and_then(|types| types.iter().next());
        let (media, schema) = match first {
            Some((media, inner)) => {
                let inner = Place { document: content.document, value: inner };
                (
                    media.as_str(),
                    inner.get("schema").map_or(json!({}), |schema| schemas.convert(schema)),
                )
            }
            None => ("", json!({})),
        };
        let style = if media.contains("json") || !is_text(&schema) {
            Style::Json
        } else {
            default_style(location)
        };
        (style, false, schema)
    } else {
        let style = match value.get("style").and_then(Value::as_str) {
            None => default_style(location),
            Some(word) => style(word, location).ok_or_else(|| {
                format!(
                    "`{}` has the style `{}`, which its place does not know",
                    prose(name, 60),
                    prose(word, 30)
                )
            })?,
        };
        let explode = value.get("explode").and_then(Value::as_bool).unwrap_or(style == Style::Form);
        let schema = place.get("schema").map_or(json!({}), |schema| schemas.convert(schema));
        (style, explode, schema)
    };
    let schema = described(schema, value);
    let parameter = Parameter {
        argument: name.to_owned(),
        wire_name: name.to_owned(),
        location,
        style,
        explode,
        allow_reserved: value.get("allowReserved") == Some(&Value::Bool(true))
            && location == Location::Query,
        required: location == Location::Path || value.get("required") == Some(&Value::Bool(true)),
    };
    Ok(Some((parameter, schema)))
}

/// The schema with the parameter's own description, which says more.
pub(super) fn described(schema: Value, parameter: &Value) -> Value {
    let mut text =
        parameter.get("description").and_then(Value::as_str).unwrap_or_default().trim().to_owned();
    if parameter.get("deprecated") == Some(&Value::Bool(true)) {
        format!("Deprecated. {text}").trim_end().clone_into(&mut text);
    }
    let mut schema = if schema == json!(true) { json!({}) } else { schema };
    if !text.is_empty()
        && let Some(object) = schema.as_object_mut()
    {
        object.insert("description".to_owned(), json!(prose(&text, DESCRIPTION)));
    }
    schema
}

fn is_text(schema: &Value) -> bool {
    schema.get("type") == Some(&json!("string"))
}

/// Swagger 2.0 writes the schema into the parameter itself; `required` there is no list.
fn without_parameter_keys(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut()
        && object.get("required").is_some_and(|value| !value.is_array())
    {
        object.shift_remove("required");
    }
    schema
}

const fn default_style(location: Location) -> Style {
    match location {
        Location::Path | Location::Header => Style::Simple,
        Location::Query | Location::Cookie => Style::Form,
    }
}

fn style(word: &str, location: Location) -> Option<Style> {
    match (word, location) {
        ("simple", Location::Path | Location::Header) => Some(Style::Simple),
        ("label", Location::Path) => Some(Style::Label),
        ("matrix", Location::Path) => Some(Style::Matrix),
        ("form", Location::Query | Location::Cookie) => Some(Style::Form),
        ("spaceDelimited", Location::Query) => Some(Style::SpaceDelimited),
        ("pipeDelimited", Location::Query) => Some(Style::PipeDelimited),
        ("deepObject", Location::Query) => Some(Style::DeepObject),
        _ => None,
    }
}

/// Style and explode of a `collectionFormat`.
pub(super) fn collection(location: Location, parameter: &Value) -> (Style, bool) {
    let format = parameter.get("collectionFormat").and_then(Value::as_str).unwrap_or("csv");
    match format {
        "multi" if matches!(location, Location::Query) => (Style::Form, true),
        "ssv" => (Style::SpaceDelimited, false),
        "tsv" => (Style::TabDelimited, false),
        "pipes" => (Style::PipeDelimited, false),
        _ => (default_style(location), false),
    }
}

/// Names of headers, after RFC 9110.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter))
}

/// Adds path parameters that the document forgot, and leaves out those that the path has no place
/// for.
fn complete_path(parameters: &mut Parameters<'_>, path: &str) {
    let wanted = variables(path);
    let notes = &mut parameters.notes;
    parameters.list.retain(|(parameter, _)| {
        let fits = parameter.location != Location::Path || wanted.contains(&parameter.wire_name);
        if !fits {
            notes.push(format!(
                "the path has no place for its parameter `{}`",
                prose(&parameter.wire_name, 60)
            ));
        }
        fits
    });
    for name in wanted {
        let known = parameters.list.iter().any(|(parameter, _)| {
            parameter.location == Location::Path && parameter.wire_name == name
        });
        if !known {
            notes.push(format!(
                "the path parameter `{}` is described nowhere; a text is taken",
                prose(&name, 60)
            ));
            parameters.list.push((
                Parameter {
                    argument: name.clone(),
                    wire_name: name,
                    location: Location::Path,
                    style: Style::Simple,
                    explode: false,
                    allow_reserved: false,
                    required: true,
                },
                json!({"type": "string"}),
            ));
        }
    }
}

/// Names in braces, each once, in order.
pub(super) fn variables(path: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = path;
    while let Some((_, behind)) = rest.split_once('{') {
        let Some((name, behind)) = behind.split_once('}') else { break };
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        rest = behind;
    }
    names
}

/// Gives every parameter an argument name that clients take, none twice.
fn name_arguments(list: &mut [(Parameter, Value)]) {
    let plain: Vec<String> =
        list.iter().map(|(parameter, _)| argument(&parameter.wire_name)).collect();
    let mut used = HashSet::new();
    for (index, (parameter, _)) in list.iter_mut().enumerate() {
        let Some(own) = plain.get(index) else { continue };
        let shared = plain.iter().filter(|other| *other == own).count() > 1;
        let mut name = if shared {
            format!("{}_{own}", location_word(parameter.location))
        } else {
            own.clone()
        };
        let mut number = 1;
        while !used.insert(name.clone()) {
            number += 1;
            name = format!("{own}_{number}");
        }
        parameter.argument = name;
    }
}

const fn location_word(location: Location) -> &'static str {
    match location {
        Location::Path => "path",
        Location::Query => "query",
        Location::Header => "header",
        Location::Cookie => "cookie",
    }
}

/// The nearest name that clients take.
pub(super) fn argument(wire_name: &str) -> String {
    let mut name = String::new();
    for letter in wire_name.chars() {
        if letter.is_ascii_alphanumeric() || "_.-".contains(letter) {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name: String = name.trim_end_matches('_').chars().take(60).collect();
    if name.is_empty() { "value".to_owned() } else { name }
}

/// A name for another argument that no parameter has.
pub(super) fn free_argument(wanted: &str, list: &[(Parameter, Value)]) -> String {
    let taken = |name: &str| list.iter().any(|(parameter, _)| parameter.argument == name);
    let mut name = wanted.to_owned();
    while taken(&name) {
        name = format!("request_{name}");
    }
    name
}

/// The arguments as one schema.
pub(super) fn input_schema(
    list: &[(Parameter, Value)],
    further: Vec<(String, Value, bool)>,
) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (parameter, schema) in list {
        properties.insert(parameter.argument.clone(), schema.clone());
        if parameter.required {
            required.push(json!(parameter.argument));
        }
    }
    for (name, schema, is_required) in further {
        if is_required {
            required.push(json!(name));
        }
        properties.insert(name, schema);
    }
    let mut schema =
        json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty()
        && let Some(object) = schema.as_object_mut()
    {
        object.insert("required".to_owned(), Value::Array(required));
    }
    schema
}
