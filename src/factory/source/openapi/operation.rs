//! One operation as one tool.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::body::{self, RawBody};
use super::bundle::{Bundle, Place};
use super::document::Edition;
use super::parameters::{self, free_argument, input_schema};
use super::schema::Schemas;
use super::{security, servers};
use crate::factory::ir::{
    Annotations, Body, Http, Kind, Location, Note, Parameter, Scheme, Skipped, Tool,
};
use crate::factory::names::{Names, prose};
use crate::factory::source::select::{Facts, Selection};

/// Longest description of a tool.
const DESCRIPTION: usize = 900;

/// What operations are made with.
pub(super) struct Context<'c, 'a> {
    pub(super) bundle: &'a Bundle,
    pub(super) edition: Edition,
    pub(super) schemes: &'c BTreeMap<String, Scheme>,
    pub(super) schemas: &'c mut Schemas<'a>,
    pub(super) answers: &'c mut Schemas<'a>,
    pub(super) names: &'c mut Names,
    pub(super) selection: &'c Selection,
    pub(super) notes: &'c mut Vec<Note>,
    pub(super) skipped: &'c mut Vec<Skipped>,
}

/// A tool, and what its operation answers.
pub(super) struct Made {
    pub(super) tool: Tool,
    pub(super) responses: Map<String, Value>,
}

/// Makes the tool of an operation.
///
/// # Errors
/// Why there is none.
pub(super) fn make<'a>(
    context: &mut Context<'_, 'a>,
    method: &str,
    path: &str,
    item: Place<'a>,
    place: Place<'a>,
) -> Result<(Made, Vec<String>), String> {
    let operation =
        place.value.as_object().ok_or_else(|| "the operation is no object".to_owned())?;
    let text = |key: &str| operation.get(key).and_then(Value::as_str).unwrap_or_default().trim();
    let tags: Vec<String> = operation
        .get("tags")
        .and_then(Value::as_array)
        .map(|tags| tags.iter().filter_map(Value::as_str).map(|tag| prose(tag, 60)).collect())
        .unwrap_or_default();
    let id = text("operationId");
    let hidden =
        [operation.get("x-mcp"), item.value.get("x-mcp"), context.bundle.root().value.get("x-mcp")]
            .into_iter()
            .flatten()
            .next()
            .is_some_and(|value| {
                value == &json!(false) || value.get("enabled") == Some(&json!(false))
            });
    let facts = Facts { method, path, id, tags: &tags };
    if let Some(reason) = context.selection.refuses(&facts) {
        return Err(reason);
    }
    if hidden && !context.selection.names(&facts) {
        return Err("the document says `x-mcp: false`".to_owned());
    }
    let mut notes = Vec::new();
    let (template, fragment) = path.split_once('#').unwrap_or((path, ""));
    if !fragment.is_empty() {
        notes.push("the fragment of the path is never sent".to_owned());
    }
    let read = parameters::read(
        context.bundle,
        context.edition,
        context.schemas,
        [item.get("parameters"), place.get("parameters")],
        template,
    )?;
    notes.extend(read.notes);
    let consumes =
        types(operation.get("consumes").or_else(|| context.bundle.root().value.get("consumes")));
    let raw = if context.edition == Edition::Two {
        if read.form.is_empty() {
            read.body.map(|place| body::of_swagger(context.schemas, place, &consumes))
        } else {
            Some(body::of_swagger_form(context.schemas, &read.form, &consumes))
        }
    } else {
        match place.get("requestBody") {
            Some(body) => body::read(context.bundle, context.schemas, body)?,
            None => None,
        }
    };
    let mut further = Vec::new();
    let body = raw
        .filter(|raw| !raw.media.is_empty())
        .map(|raw| with_arguments(raw, &read.list, &mut further));
    let schema = input_schema(&read.list, further);
    let global = context.bundle.root().value.get("security");
    let security =
        security::requirements(operation.get("security"), global, context.schemes, &mut notes);
    let mut own_servers = servers::of_place(place.get("servers"), context.bundle);
    if own_servers.is_empty() {
        own_servers = servers::of_place(item.get("servers"), context.bundle);
    }
    let (responses, accept) = answers(context, operation, place);
    let wanted = if id.is_empty() { named_by_path(method, template) } else { id.to_owned() };
    let name = context.names.tool(&wanted, &format!("{method} {path}"));
    let list: Vec<Parameter> = read.list.into_iter().map(|(parameter, _)| parameter).collect();
    if operation.get("callbacks").is_some() {
        notes.push("its callbacks are sent by the API; there is nothing to call".to_owned());
    }
    let tool = Tool {
        title: prose(if text("summary").is_empty() { &name } else { text("summary") }, 80),
        description: description(method, path, operation, &list),
        name,
        tags,
        annotations: annotations(method),
        input_schema: schema,
        listed_schema: None,
        listed_description: None,
        kind: Kind::Http(Box::new(Http {
            method: method.to_owned(),
            path: template.to_owned(),
            servers: own_servers,
            parameters: list,
            body,
            security,
            accept,
        })),
    };
    Ok((Made { tool, responses }, notes))
}

fn types(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .map(|types| types.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default()
}

fn with_arguments(
    raw: RawBody,
    list: &[(Parameter, Value)],
    further: &mut Vec<(String, Value, bool)>,
) -> Body {
    let argument = free_argument("body", list);
    let content_type_argument = (raw.media.len() > 1).then(|| free_argument("content_type", list));
    further.push((argument.clone(), raw.schema, raw.required));
    if let Some(name) = &content_type_argument {
        let choices: Vec<&str> =
            raw.media.iter().map(|media| media.content_type.as_str()).collect();
        let schema = json!({
            "type": "string",
            "enum": choices,
            "default": choices.first(),
            "description": format!("Media type of `{argument}`."),
        });
        further.push((name.clone(), schema, false));
    }
    Body { argument, content_type_argument, required: raw.required, media: raw.media }
}

/// `get /pets/{id}` becomes `get_pets_by_id`.
fn named_by_path(method: &str, path: &str) -> String {
    let words: Vec<String> = path
        .split('?')
        .next()
        .unwrap_or_default()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => format!("by_{name}"),
            None => segment.to_owned(),
        })
        .collect();
    let words = if words.is_empty() { "root".to_owned() } else { words.join("_") };
    format!("{}_{words}", method.to_ascii_lowercase())
}

/// What a method promises by its definition.
fn annotations(method: &str) -> Annotations {
    let read_only = matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE");
    Annotations {
        read_only,
        destructive: method == "DELETE",
        idempotent: read_only || matches!(method, "PUT" | "DELETE"),
        open_world: true,
    }
}

fn description(
    method: &str,
    path: &str,
    operation: &Map<String, Value>,
    list: &[Parameter],
) -> String {
    let text = |key: &str| operation.get(key).and_then(Value::as_str).unwrap_or_default().trim();
    let mut parts = Vec::new();
    if operation.get("deprecated") == Some(&Value::Bool(true)) {
        parts.push("Deprecated.".to_owned());
    }
    let (summary, long) = (text("summary"), text("description"));
    if !summary.is_empty() {
        let end = if summary.ends_with(['.', '!', '?']) { "" } else { "." };
        parts.push(format!("{}{end}", prose(summary, 300)));
    }
    if !long.is_empty() && long != summary {
        parts.push(prose(long, DESCRIPTION));
    }
    if let Some(hint) = pages(list) {
        parts.push(hint);
    }
    parts.push(format!("({method} {})", prose(path, 200)));
    parts.join(" ")
}

/// How to get further pages, where the parameters tell.
fn pages(list: &[Parameter]) -> Option<String> {
    // Without signs and case: `page[number]`, `pageToken` and `page_token` are of these.
    const WORDS: [&str; 21] = [
        "page",
        "pagenumber",
        "pagetoken",
        "pageno",
        "pageindex",
        "pagecursor",
        "pageafter",
        "pageoffset",
        "perpage",
        "offset",
        "cursor",
        "after",
        "startingafter",
        "startcursor",
        "startat",
        "skip",
        "$skip",
        "nexttoken",
        "nextpagetoken",
        "marker",
        "continuationtoken",
    ];
    let plain = |name: &str| -> String {
        let signs = ['_', '-', '[', ']', '.'];
        name.chars().filter(|letter| !signs.contains(letter)).collect::<String>().to_lowercase()
    };
    let named: Vec<String> = list
        .iter()
        .filter(|parameter| parameter.location == Location::Query)
        .filter(|parameter| WORDS.contains(&plain(&parameter.wire_name).as_str()))
        .map(|parameter| format!("`{}`", parameter.argument))
        .collect();
    (!named.is_empty()).then(|| format!("Answers come in pages: {}.", named.join(", ")))
}

/// The answers by status, and the media types of the successful ones.
fn answers<'a>(
    context: &mut Context<'_, 'a>,
    operation: &'a Map<String, Value>,
    place: Place<'a>,
) -> (Map<String, Value>, Vec<String>) {
    let mut found = Map::new();
    let mut accept: Vec<String> = Vec::new();
    let bundle = context.bundle;
    let Some(Value::Object(entries)) = operation.get("responses") else { return (found, accept) };
    let produces = types(operation.get("produces").or_else(|| bundle.root().value.get("produces")));
    for (status, value) in entries {
        if status.starts_with("x-") {
            continue;
        }
        let Ok(answer) = bundle.resolve(Place { document: place.document, value }) else {
            continue;
        };
        let mut entry = Map::new();
        if let Some(text) = answer.value.get("description").and_then(Value::as_str) {
            entry.insert("description".to_owned(), json!(prose(text, 200)));
        }
        let is_success = status.starts_with('2');
        let mut kinds = Vec::new();
        if context.edition == Edition::Two {
            if let Some(schema) = answer.get("schema") {
                kinds.clone_from(&produces);
                if is_success {
                    entry.insert("schema".to_owned(), context.answers.convert(schema));
                }
            }
        } else if let Some(content) = answer.get("content")
            && let Some(types) = content.value.as_object()
        {
            kinds = types.keys().cloned().collect();
            let first = types.values().find_map(|media| media.get("schema"));
            if let (true, Some(value)) = (is_success, first) {
                let schema = Place { document: content.document, value };
                entry.insert("schema".to_owned(), context.answers.convert(schema));
            }
        }
        if is_success {
            for kind in kinds {
                if !accept.contains(&kind) {
                    accept.push(kind);
                }
            }
        }
        found.insert(status.clone(), Value::Object(entry));
    }
    accept.sort_by_key(|kind| u8::from(!kind.contains("json")));
    (found, accept)
}
