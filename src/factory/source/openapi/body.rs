//! Bodies: which media types there are, and how each is written.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::bundle::{Bundle, Place};
use super::document::Edition;
use super::parameters::{collection, described};
use super::schema::Schemas;
use crate::factory::ir::{Location, Media, MediaForm, PropertyForm, Style};

/// How deep `allOf` is opened when the properties of a form are looked for.
const FORM_DEPTH: usize = 8;

/// A body before its arguments have names.
pub(super) struct RawBody {
    pub(super) required: bool,
    pub(super) media: Vec<Media>,
    /// Schema of the argument.
    pub(super) schema: Value,
}

/// What an argument is that stands for a file.
pub(super) fn file_schema() -> Value {
    json!({
        "type": "object",
        "description": "A file: its content as `content_base64` or as `text`.",
        "properties": {
            "filename": {"type": "string"},
            "content_type": {"type": "string"},
            "content_base64": {"type": "string", "contentEncoding": "base64"},
            "text": {"type": "string"},
        },
        "oneOf": [{"required": ["content_base64"]}, {"required": ["text"]}],
        "additionalProperties": false,
    })
}

/// The `requestBody` of edition 3.
///
/// # Errors
/// Why the operation cannot be called.
pub(super) fn read<'a>(
    bundle: &'a Bundle,
    schemas: &mut Schemas<'a>,
    place: Place<'a>,
) -> Result<Option<RawBody>, String> {
    let place = bundle.resolve(place).map_err(|reason| format!("the body is missing: {reason}"))?;
    let required = place.value.get("required") == Some(&Value::Bool(true));
    let Some(content) = place.get("content") else { return Ok(None) };
    let Some(types) = content.value.as_object() else { return Ok(None) };
    let mut forms: Vec<(Media, Value)> = Vec::new();
    for (content_type, value) in types {
        let inner = Place { document: content.document, value };
        let schema = inner.get("schema");
        let raw = schema.and_then(|schema| bundle.resolve(schema).ok());
        let (sent, form) = media_form(content_type, raw.map(|place| place.value));
        if forms.iter().any(|(media, _)| media.content_type == sent) {
            continue;
        }
        let mut properties = BTreeMap::new();
        let converted = match form {
            MediaForm::Binary => file_schema(),
            MediaForm::Text => json!({"type": "string"}),
            MediaForm::Json => schema.map_or(json!({}), |schema| schemas.convert(schema)),
            MediaForm::Urlencoded | MediaForm::Multipart => {
                let mut converted =
                    schema.map_or(json!({"type": "object"}), |schema| schemas.convert(schema));
                let mut files = Vec::new();
                if let Some(schema) = schema {
                    form_properties(bundle, schema, FORM_DEPTH, &mut properties, &mut files);
                }
                // In 3.0 styles count for urlencoded forms alone.
                let styled =
                    form == MediaForm::Urlencoded || schemas.edition() == Edition::ThreeOne;
                encoding(inner, &mut properties);
                if !styled {
                    for form in properties.values_mut() {
                        form.style = None;
                        form.explode = None;
                        form.allow_reserved = false;
                    }
                }
                if !files.is_empty() {
                    converted = with_files(bundle, schemas, schema, converted, &files);
                }
                properties.retain(|_, form| *form != PropertyForm::default());
                converted
            }
        };
        forms.push((
            Media { content_type: sent, form, properties },
            described(converted, place.value),
        ));
    }
    Ok(Some(assemble(required, forms)))
}

fn assemble(required: bool, mut forms: Vec<(Media, Value)>) -> RawBody {
    // JSON first: it carries every value. The rest stays in the document's order.
    forms.sort_by_key(|(media, _)| u8::from(media.form != MediaForm::Json));
    let mut schemas: Vec<Value> = Vec::new();
    for (_, schema) in &forms {
        if !schemas.contains(schema) {
            schemas.push(schema.clone());
        }
    }
    let schema = match schemas.as_slice() {
        [one] => one.clone(),
        _ if schemas.iter().any(|schema| schema == &json!({})) => json!({}),
        _ => json!({"anyOf": schemas}),
    };
    RawBody { required, media: forms.into_iter().map(|(media, _)| media).collect(), schema }
}

/// The `in: body` of Swagger 2.0.
pub(super) fn of_swagger<'a>(
    schemas: &mut Schemas<'a>,
    place: Place<'a>,
    consumes: &[String],
) -> RawBody {
    let required = place.value.get("required") == Some(&Value::Bool(true));
    let mut forms: Vec<(Media, Value)> = Vec::new();
    let raw = place.value.get("schema");
    let types: Vec<String> =
        if consumes.is_empty() { vec!["application/json".to_owned()] } else { consumes.to_vec() };
    for content_type in &types {
        let (sent, form) = media_form(content_type, raw);
        if forms.iter().any(|(media, _)| media.content_type == sent) {
            continue;
        }
        let schema = match form {
            MediaForm::Binary => file_schema(),
            MediaForm::Text => json!({"type": "string"}),
            MediaForm::Json | MediaForm::Urlencoded | MediaForm::Multipart => {
                place.get("schema").map_or(json!({}), |schema| schemas.convert(schema))
            }
        };
        let media = Media { content_type: sent, form, properties: BTreeMap::new() };
        forms.push((media, described(schema, place.value)));
    }
    assemble(required, forms)
}

/// The `in: formData` of Swagger 2.0.
pub(super) fn of_swagger_form<'a>(
    schemas: &mut Schemas<'a>,
    fields: &[Place<'a>],
    consumes: &[String],
) -> RawBody {
    let mut properties = BTreeMap::new();
    let mut schema = Map::new();
    let mut required = Vec::new();
    let mut has_file = false;
    for field in fields {
        let Some(name) = field.value.get("name").and_then(Value::as_str) else { continue };
        let is_file = field.value.get("type") == Some(&json!("file"));
        has_file |= is_file;
        let converted = if is_file { file_schema() } else { schemas.convert(*field) };
        schema.insert(name.to_owned(), described(converted, field.value));
        if field.value.get("required") == Some(&Value::Bool(true)) {
            required.push(json!(name));
        }
        let mut form = PropertyForm { file: is_file, ..PropertyForm::default() };
        if field.value.get("type") == Some(&json!("array")) {
            let (style, explode) = collection(Location::Query, field.value);
            form.style = Some(style);
            form.explode = Some(explode);
        }
        if form != PropertyForm::default() {
            properties.insert(name.to_owned(), form);
        }
    }
    let multipart = has_file
        || (consumes.iter().any(|kind| kind.starts_with("multipart/"))
            && !consumes.iter().any(|kind| kind.starts_with("application/x-www-form-urlencoded")));
    let (content_type, form) = if multipart {
        ("multipart/form-data", MediaForm::Multipart)
    } else {
        ("application/x-www-form-urlencoded", MediaForm::Urlencoded)
    };
    let is_required = !required.is_empty();
    let mut object = json!({"type": "object", "properties": schema});
    if is_required && let Some(object) = object.as_object_mut() {
        object.insert("required".to_owned(), Value::Array(required));
    }
    RawBody {
        required: is_required,
        media: vec![Media { content_type: content_type.to_owned(), form, properties }],
        schema: object,
    }
}

/// The media type as it is sent, and how it is written.
fn media_form(declared: &str, schema: Option<&Value>) -> (String, MediaForm) {
    let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_text = schema
        .is_some_and(|schema| schema.get("type") == Some(&json!("string")) && !is_binary(schema));
    let form = match essence.as_str() {
        "application/json" | "text/json" => MediaForm::Json,
        "application/x-www-form-urlencoded" => MediaForm::Urlencoded,
        "application/xml"
        | "application/yaml"
        | "application/x-yaml"
        | "application/javascript"
        | "application/graphql"
        | "application/x-ndjson"
        | "application/sql" => MediaForm::Text,
        "application/octet-stream" => MediaForm::Binary,
        // A range says nothing about the form but by its family; the schema does.
        other if other.contains('*') || other.is_empty() => {
            let (sent, form) = of_range(other, schema.is_some_and(is_binary), is_text);
            return (sent.to_owned(), form);
        }
        other if other.ends_with("+json") => MediaForm::Json,
        other if other.starts_with("multipart/") => MediaForm::Multipart,
        other if other.ends_with("+xml") || other.ends_with("+yaml") => MediaForm::Text,
        other if other.starts_with("text/") => MediaForm::Text,
        _ if is_text => MediaForm::Text,
        _ if schema.is_some_and(is_structured) => MediaForm::Json,
        _ => MediaForm::Binary,
    };
    (declared.trim().to_owned(), form)
}

/// What is sent for a range of media types. One that stays a range takes the type of the file.
fn of_range(range: &str, is_binary: bool, is_text: bool) -> (&str, MediaForm) {
    let family = range.split('/').next().unwrap_or_default();
    match family {
        "multipart" => ("multipart/form-data", MediaForm::Multipart),
        "image" | "audio" | "video" | "font" | "model" => (range, MediaForm::Binary),
        "text" if is_binary => (range, MediaForm::Binary),
        "text" => ("text/plain", MediaForm::Text),
        _ if range.ends_with("+xml") => ("application/xml", MediaForm::Text),
        _ if range.ends_with("+json") => ("application/json", MediaForm::Json),
        _ if is_binary && range.is_empty() => ("application/octet-stream", MediaForm::Binary),
        _ if is_binary => (range, MediaForm::Binary),
        _ if is_text => ("text/plain", MediaForm::Text),
        _ => ("application/json", MediaForm::Json),
    }
}

/// Whether a schema describes more than a text or bytes.
fn is_structured(schema: &Value) -> bool {
    schema.get("properties").is_some()
        || matches!(schema.get("type").and_then(Value::as_str), Some("object" | "array"))
}

/// Whether a schema stands for bytes.
fn is_binary(schema: &Value) -> bool {
    matches!(schema.get("format").and_then(Value::as_str), Some("binary"))
        || schema.get("type") == Some(&json!("file"))
        || (schema.get("contentMediaType").is_some_and(|kind| kind != &json!("application/json"))
            && schema.get("contentEncoding").is_none())
}

/// Finds the properties of a form, through references and `allOf`.
fn form_properties<'a>(
    bundle: &'a Bundle,
    schema: Place<'a>,
    depth: usize,
    properties: &mut BTreeMap<String, PropertyForm>,
    files: &mut Vec<String>,
) {
    let Ok(schema) = bundle.resolve(schema) else { return };
    if let Some(Value::Object(own)) = schema.value.get("properties") {
        for (name, value) in own {
            let Ok(place) = bundle.resolve(Place { document: schema.document, value }) else {
                continue;
            };
            let items = place.get("items").and_then(|items| bundle.resolve(items).ok());
            let form = properties.entry(name.clone()).or_default();
            if is_binary(place.value) || items.is_some_and(|items| is_binary(items.value)) {
                form.file = true;
                files.push(name.clone());
                if let Some(Value::String(kind)) = place.value.get("contentMediaType") {
                    form.content_type = Some(kind.clone());
                }
            }
        }
    }
    if depth > 0 {
        for key in ["allOf", "oneOf", "anyOf"] {
            if let Some(Value::Array(branches)) = schema.value.get(key) {
                for value in branches {
                    let place = Place { document: schema.document, value };
                    form_properties(bundle, place, depth - 1, properties, files);
                }
            }
        }
    }
}

/// What the `encoding` of a media type says.
fn encoding(media: Place<'_>, properties: &mut BTreeMap<String, PropertyForm>) {
    let Some(Value::Object(encodings)) = media.value.get("encoding") else { return };
    for (name, encoding) in encodings {
        let form = properties.entry(name.clone()).or_default();
        if let Some(kind) = encoding.get("contentType").and_then(Value::as_str) {
            // A list or a range leaves the choice to the file itself.
            let first = kind.split(',').next().unwrap_or_default().trim();
            let is_choice =
                first.is_empty() || first.contains('*') || form.file && kind.contains(',');
            if !is_choice {
                form.content_type = Some(first.to_owned());
            }
        }
        form.style = match encoding.get("style").and_then(Value::as_str) {
            Some("form") => Some(Style::Form),
            Some("spaceDelimited") => Some(Style::SpaceDelimited),
            Some("pipeDelimited") => Some(Style::PipeDelimited),
            Some("deepObject") => Some(Style::DeepObject),
            _ => None,
        };
        form.explode = encoding.get("explode").and_then(Value::as_bool);
        form.allow_reserved = encoding.get("allowReserved") == Some(&Value::Bool(true));
    }
}

/// The schema of a form with its files as objects that a caller can write.
fn with_files<'a>(
    bundle: &'a Bundle,
    schemas: &mut Schemas<'a>,
    schema: Option<Place<'a>>,
    converted: Value,
    files: &[String],
) -> Value {
    // A form behind a reference is opened: its files are written otherwise than elsewhere.
    let mut object = match schema.and_then(|schema| bundle.resolve(schema).ok()) {
        Some(place) if converted.get("$ref").is_some() => schemas.convert(place),
        _ => converted,
    };
    patch_files(&mut object, files);
    object
}

fn patch_files(schema: &mut Value, files: &[String]) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for name in files {
            if let Some(property) = properties.get_mut(name) {
                let description = property.get("description").cloned();
                let mut patched = if property.get("type") == Some(&json!("array")) {
                    json!({"type": "array", "items": file_schema()})
                } else {
                    file_schema()
                };
                if let (Some(description), Some(object)) = (description, patched.as_object_mut()) {
                    object.insert("description".to_owned(), description);
                }
                *property = patched;
            }
        }
    }
    for key in ["allOf", "oneOf", "anyOf"] {
        if let Some(Value::Array(branches)) = schema.get_mut(key) {
            for branch in branches {
                patch_files(branch, files);
            }
        }
    }
}
