//! Arguments to the request that must reach the API: the reference that packages are judged by.
//!
//! The runtime of a package does the same in its own language; neither knows the other, and
//! requests written by hand judge both.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

use super::ir::{
    Body, ExpectedBody, ExpectedPart, ExpectedRequest, Http, Location, Media, MediaForm, Parameter,
    PropertyForm, Style,
};

/// What is escaped in names and values: everything but letters, digits and `-._~`.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a header cannot carry as it is.
const BEYOND_ASCII: &AsciiSet = &percent_encoding::CONTROLS.remove(b'\t');

/// As [`VALUE`], with the brackets of `a[b]` left alone.
const DEEP_KEY: &AsciiSet = &VALUE.remove(b'[').remove(b']');

/// As [`VALUE`], with the reserved characters that neither end the value nor the query.
const RESERVED: &AsciiSet = &VALUE
    .remove(b':')
    .remove(b'/')
    .remove(b'?')
    .remove(b'[')
    .remove(b']')
    .remove(b'@')
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b';')
    .remove(b'=');

/// What is escaped in the fixed parts of a path.
const TEMPLATE: &AsciiSet =
    &RESERVED.add(b'?').add(b'[').add(b']').remove(b'%').remove(b'&').remove(b'+').remove(b'|');

fn escape(text: &str) -> String {
    utf8_percent_encode(text, VALUE).to_string()
}

/// Escapes all but reserved characters and what is escaped already.
fn escape_reserved(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let is_escape = letter == '%'
            && rest
                .get(1..3)
                .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let length = if is_escape { 3 } else { letter.len_utf8() };
        let (piece, behind) = rest.split_at(length);
        if is_escape {
            result.push_str(piece);
        } else {
            result.extend(utf8_percent_encode(piece, RESERVED));
        }
        rest = behind;
    }
    result
}

/// A scalar as text, in plain decimal notation; what is structured as JSON.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// The request of an operation.
///
/// # Errors
/// Why these arguments make none.
pub fn request(
    operation: &Http,
    arguments: &Map<String, Value>,
) -> Result<ExpectedRequest, String> {
    let (path, fixed) = operation.path.split_once('?').unwrap_or((&operation.path, ""));
    let mut path = path.to_owned();
    let mut query: Vec<String> =
        Some(fixed.to_owned()).filter(|fixed| !fixed.is_empty()).into_iter().collect();
    let mut headers = BTreeMap::new();
    let mut cookies = Vec::new();
    for parameter in &operation.parameters {
        let value = arguments.get(&parameter.argument).filter(|value| !value.is_null());
        let Some(value) = value else {
            if parameter.location == Location::Path {
                return Err(format!("the argument `{}` is missing", parameter.argument));
            }
            continue;
        };
        let joined = |pairs: Vec<(String, String)>| {
            pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
        };
        match parameter.location {
            Location::Path => {
                let text = in_path(parameter, value);
                if matches!(text.as_str(), "" | "." | "..") {
                    return Err(format!(
                        "the argument `{}` would change the address",
                        parameter.argument
                    ));
                }
                path = path.replace(&format!("{{{}}}", parameter.wire_name), &text);
            }
            Location::Query => query.extend(joined(pairs(
                &parameter.wire_name,
                value,
                parameter.style,
                parameter.explode,
                if parameter.allow_reserved { escape_reserved } else { escape },
            ))),
            Location::Header => {
                headers
                    .insert(parameter.wire_name.to_ascii_lowercase(), in_header(parameter, value)?);
            }
            Location::Cookie => cookies.extend(joined(pairs(
                &parameter.wire_name,
                value,
                parameter.style,
                parameter.explode,
                escape,
            ))),
        }
    }
    if !cookies.is_empty() {
        headers.insert("cookie".to_owned(), cookies.join("; "));
    }
    let body = match &operation.body {
        Some(body) => with_body(body, arguments, &mut headers)?,
        None => ExpectedBody::None,
    };
    Ok(ExpectedRequest {
        method: operation.method.clone(),
        path: utf8_percent_encode(&path, TEMPLATE).to_string(),
        query: query.join("&"),
        headers,
        body,
    })
}

type Pairs = Vec<(String, String)>;

fn members(object: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    object.iter().filter(|(_, value)| !value.is_null())
}

const fn delimiter(style: Style) -> &'static str {
    match style {
        Style::SpaceDelimited => "%20",
        Style::PipeDelimited => "|",
        Style::TabDelimited => "%09",
        Style::Simple
        | Style::Label
        | Style::Matrix
        | Style::Form
        | Style::DeepObject
        | Style::Json => ",",
    }
}

fn pairs(
    name: &str,
    value: &Value,
    style: Style,
    explode: bool,
    escape_value: fn(&str) -> String,
) -> Pairs {
    if style == Style::Json {
        return vec![(escape(name), escape_value(&value.to_string()))];
    }
    if style == Style::DeepObject {
        let mut found = Vec::new();
        deep(name.to_owned(), value, &mut found);
        return found
            .into_iter()
            .map(|(key, text)| {
                (utf8_percent_encode(&key, DEEP_KEY).to_string(), escape_value(&text))
            })
            .collect();
    }
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items
                .iter()
                .filter(|item| !item.is_null())
                .map(|item| escape_value(&text_of(item)))
                .collect();
            if items.is_empty() {
                Vec::new()
            } else if explode {
                items.into_iter().map(|item| (escape(name), item)).collect()
            } else {
                vec![(escape(name), items.join(delimiter(style)))]
            }
        }
        Value::Object(object) => {
            let entries: Vec<(&String, String)> =
                members(object).map(|(key, item)| (key, escape_value(&text_of(item)))).collect();
            if entries.is_empty() {
                Vec::new()
            } else if explode {
                entries.into_iter().map(|(key, item)| (escape(key), item)).collect()
            } else {
                let flat: Vec<String> =
                    entries.into_iter().flat_map(|(key, item)| [escape_value(key), item]).collect();
                vec![(escape(name), flat.join(delimiter(style)))]
            }
        }
        scalar => vec![(escape(name), escape_value(&text_of(scalar)))],
    }
}

/// `a[b][c]=1`; the items of a list repeat its key, structured ones carry their index.
fn deep(key: String, value: &Value, found: &mut Pairs) {
    match value {
        Value::Object(object) => {
            for (name, item) in members(object) {
                deep(format!("{key}[{name}]"), item, found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                match item {
                    Value::Null => {}
                    Value::Object(_) | Value::Array(_) => {
                        deep(format!("{key}[{index}]"), item, found);
                    }
                    scalar => found.push((key.clone(), text_of(scalar))),
                }
            }
        }
        scalar => found.push((key, text_of(scalar))),
    }
}

fn in_path(parameter: &Parameter, value: &Value) -> String {
    let name = escape(&parameter.wire_name);
    if parameter.style == Style::Json {
        return escape(&value.to_string());
    }
    let explode = parameter.explode;
    let items: Vec<String> = match value {
        Value::Array(items) => {
            items.iter().filter(|item| !item.is_null()).map(|item| escape(&text_of(item))).collect()
        }
        Value::Object(object) if explode => members(object)
            .map(|(key, item)| format!("{}={}", escape(key), escape(&text_of(item))))
            .collect(),
        Value::Object(object) => {
            members(object).flat_map(|(key, item)| [escape(key), escape(&text_of(item))]).collect()
        }
        scalar => vec![escape(&text_of(scalar))],
    };
    match parameter.style {
        Style::Label => format!(".{}", items.join(if explode { "." } else { "," })),
        Style::Matrix if explode && value.is_object() => {
            items.iter().map(|item| format!(";{item}")).collect()
        }
        Style::Matrix if explode && value.is_array() => {
            items.iter().map(|item| format!(";{name}={item}")).collect()
        }
        Style::Matrix => {
            let joined = items.join(",");
            if joined.is_empty() { format!(";{name}") } else { format!(";{name}={joined}") }
        }
        other => items.join(delimiter(other)),
    }
}

fn in_header(parameter: &Parameter, value: &Value) -> Result<String, String> {
    let joint = match parameter.style {
        Style::SpaceDelimited => " ",
        Style::PipeDelimited => "|",
        Style::TabDelimited => "\t",
        _ => ",",
    };
    let text = match value {
        _ if parameter.style == Style::Json => value.to_string(),
        Value::Array(items) => {
            items.iter().filter(|item| !item.is_null()).map(text_of).collect::<Vec<_>>().join(joint)
        }
        Value::Object(object) if parameter.explode => members(object)
            .map(|(key, item)| format!("{key}={}", text_of(item)))
            .collect::<Vec<_>>()
            .join(joint),
        Value::Object(object) => members(object)
            .flat_map(|(key, item)| [key.clone(), text_of(item)])
            .collect::<Vec<_>>()
            .join(joint),
        scalar => text_of(scalar),
    };
    if text.contains(['\r', '\n', '\0']) {
        return Err(format!(
            "the argument for the header `{}` holds a line break",
            parameter.wire_name
        ));
    }
    // HTTP carries ASCII; the rest is escaped as in addresses.
    Ok(utf8_percent_encode(&text, BEYOND_ASCII).to_string())
}

fn with_body(
    body: &Body,
    arguments: &Map<String, Value>,
    headers: &mut BTreeMap<String, String>,
) -> Result<ExpectedBody, String> {
    let Some(value) = arguments.get(&body.argument) else {
        if body.required {
            return Err(format!("the argument `{}` is missing", body.argument));
        }
        return Ok(ExpectedBody::None);
    };
    let chosen = body
        .content_type_argument
        .as_ref()
        .and_then(|name| arguments.get(name))
        .and_then(Value::as_str)
        .and_then(|wanted| body.media.iter().find(|media| media.content_type == wanted))
        .or_else(|| body.media.first());
    let Some(media) = chosen else { return Ok(ExpectedBody::None) };
    let mut content_type = media.content_type.clone();
    let made = match media.form {
        MediaForm::Json => ExpectedBody::Json { value: value.clone() },
        MediaForm::Text => ExpectedBody::Text { text: text_of(value) },
        MediaForm::Binary => {
            if content_type.contains('*') {
                let own = value.get("content_type").and_then(Value::as_str);
                own.unwrap_or("application/octet-stream").clone_into(&mut content_type);
            }
            ExpectedBody::Binary { base64: content(value, &body.argument)? }
        }
        MediaForm::Urlencoded => {
            ExpectedBody::Text { text: urlencoded(media, fields(value, &body.argument)?) }
        }
        MediaForm::Multipart => {
            let parts = multipart(media, fields(value, &body.argument)?)?;
            return Ok(ExpectedBody::Multipart { parts });
        }
    };
    headers.insert("content-type".to_owned(), content_type);
    Ok(made)
}

fn fields<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("`{name}` is a form: give an object with its fields"))
}

/// The content of a file, in base64.
fn content(value: &Value, name: &str) -> Result<String, String> {
    if let Some(text) = value.as_str().or_else(|| value.get("text").and_then(Value::as_str)) {
        return Ok(STANDARD.encode(text));
    }
    let base64 = value.get("content_base64").and_then(Value::as_str);
    let bytes = base64.and_then(|text| STANDARD.decode(text).ok());
    bytes.map(|bytes| STANDARD.encode(bytes)).ok_or_else(|| {
        format!("`{name}` is a file: give an object with `content_base64` or `text`")
    })
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(_) => true,
        Value::Array(items) => items.iter().any(|item| item.is_object() || item.is_array()),
        _ => false,
    }
}

fn urlencoded(media: &Media, fields: &Map<String, Value>) -> String {
    let nothing = PropertyForm::default();
    let mut all: Pairs = Vec::new();
    for (key, value) in members(fields) {
        let form = media.properties.get(key).unwrap_or(&nothing);
        let unstyled = form.style.is_none() && form.explode.is_none();
        let is_json = form.content_type.as_deref().is_some_and(|kind| kind.contains("json"));
        if unstyled && is_json {
            all.push((escape(key), escape(&value.to_string())));
        } else if unstyled && is_nested(value) {
            let mut found = Vec::new();
            deep(key.clone(), value, &mut found);
            all.extend(found.into_iter().map(|(key, text)| (escape(&key), escape(&text))));
        } else {
            let style = form.style.unwrap_or(Style::Form);
            let explode = form.explode.unwrap_or(style == Style::Form);
            let escape_value = if form.allow_reserved { escape_reserved } else { escape };
            all.extend(pairs(key, value, style, explode, escape_value));
        }
    }
    all.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
}

fn multipart(media: &Media, fields: &Map<String, Value>) -> Result<Vec<ExpectedPart>, String> {
    let nothing = PropertyForm::default();
    let mut parts = Vec::new();
    for (key, value) in members(fields) {
        let form = media.properties.get(key).unwrap_or(&nothing);
        if !form.file && (form.style.is_some() || form.explode.is_some()) {
            let style = form.style.unwrap_or(Style::Form);
            let explode = form.explode.unwrap_or(style == Style::Form);
            // The pairs of a query, without its escapes: parts carry everything as it is.
            let unescaped = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
            for (name, text) in pairs(key, value, style, explode, escape) {
                parts.push(ExpectedPart {
                    name: String::from_utf8_lossy(&unescaped(&name)).into_owned(),
                    filename: None,
                    content_type: None,
                    base64: STANDARD.encode(unescaped(&text)),
                });
            }
            continue;
        }
        let whole =
            !form.file && form.content_type.as_deref().is_some_and(|kind| kind.contains("json"));
        let single = std::slice::from_ref(value);
        let items = if whole { single } else { value.as_array().map_or(single, Vec::as_slice) };
        for item in items.iter().filter(|item| !item.is_null()) {
            let text = |key: &str| item.get(key).and_then(Value::as_str).map(str::to_owned);
            parts.push(if form.file {
                ExpectedPart {
                    name: key.clone(),
                    filename: Some(safe_filename(&text("filename").unwrap_or_else(|| key.clone()))),
                    content_type: text("content_type")
                        .or_else(|| form.content_type.clone())
                        .or_else(|| Some("application/octet-stream".to_owned())),
                    base64: content(item, key)?,
                }
            } else {
                let structured = whole || item.is_object() || item.is_array();
                let fallback = structured.then(|| "application/json".to_owned());
                let sent = if structured { item.to_string() } else { text_of(item) };
                ExpectedPart {
                    name: key.clone(),
                    filename: None,
                    content_type: form.content_type.clone().or(fallback),
                    base64: STANDARD.encode(sent),
                }
            });
        }
    }
    Ok(parts)
}

fn safe_filename(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(
            |letter| {
                if matches!(letter, '\r' | '\n' | '\0' | '"' | '/' | '\\') { '_' } else { letter }
            },
        )
        .collect();
    if safe.is_empty() { "file".to_owned() } else { safe }
}
