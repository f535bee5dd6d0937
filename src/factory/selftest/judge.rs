//! Whether a request is the one that had to come.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::factory::ir::{ExpectedBody, ExpectedPart, ExpectedRequest};

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Received {
    /// Upper case.
    pub method: String,
    /// Path below the base URL.
    pub path: String,
    /// Query without the question mark.
    pub query: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Received {
    /// The first header of a name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// Compares byte by byte; JSON by its value, multipart by its parts.
///
/// # Errors
/// The first difference.
pub fn compare(expected: &ExpectedRequest, received: &Received) -> Result<(), String> {
    let same = |what: &str, wanted: &str, got: &str| {
        if wanted == got { Ok(()) } else { Err(format!("{what}: `{got}` instead of `{wanted}`")) }
    };
    same("method", &expected.method, &received.method)?;
    same("path", &expected.path, &received.path)?;
    same("query", &expected.query, &received.query)?;
    for (name, value) in &expected.headers {
        match received.header(name) {
            Some(got) => same(&format!("header {name}"), value, got)?,
            None => return Err(format!("the header {name} is missing")),
        }
    }
    match &expected.body {
        ExpectedBody::None if received.body.is_empty() => Ok(()),
        ExpectedBody::None => Err("a body was sent where none belongs".to_owned()),
        ExpectedBody::Json { value } => {
            let got: Value = serde_json::from_slice(&received.body)
                .map_err(|error| format!("the body is no JSON: {error}"))?;
            if holds(value, &got) && holds(&got, value) {
                Ok(())
            } else {
                Err(format!("the body is {got} instead of {value}"))
            }
        }
        ExpectedBody::Text { text } => same("body", text, &String::from_utf8_lossy(&received.body)),
        ExpectedBody::Binary { base64 } => same("body", base64, &STANDARD.encode(&received.body)),
        ExpectedBody::Multipart { parts } => {
            let got = multipart(received)?;
            if &got == parts {
                Ok(())
            } else {
                Err(format!("the parts are {got:?} instead of {parts:?}"))
            }
        }
    }
}

/// Whether a value holds all of another.
pub fn holds(wanted: &Value, got: &Value) -> bool {
    match (wanted, got) {
        (Value::Object(wanted), Value::Object(got)) => {
            wanted.iter().all(|(key, value)| got.get(key).is_some_and(|other| holds(value, other)))
        }
        (Value::Array(wanted), Value::Array(got)) => {
            wanted.len() == got.len()
                && wanted.iter().zip(got).all(|(one, other)| holds(one, other))
        }
        (Value::Number(wanted), Value::Number(got)) => {
            wanted == got || wanted.as_f64() == got.as_f64()
        }
        _ => wanted == got,
    }
}

/// The parts of a multipart body.
fn multipart(received: &Received) -> Result<Vec<ExpectedPart>, String> {
    let kind = received.header("content-type").unwrap_or_default();
    let boundary = kind
        .split(';')
        .find_map(|part| part.trim().strip_prefix("boundary="))
        .map(|boundary| boundary.trim_matches('"'))
        .ok_or_else(|| format!("`{kind}` is no multipart type"))?;
    let marker = format!("--{boundary}");
    let mut parts = Vec::new();
    for piece in split(&received.body, marker.as_bytes()).into_iter().skip(1) {
        if piece.starts_with(b"--") {
            break;
        }
        let piece = piece.strip_prefix(b"\r\n").unwrap_or(piece);
        let piece = piece.strip_suffix(b"\r\n").unwrap_or(piece);
        let [head, content] = match split(piece, b"\r\n\r\n").as_slice() {
            [head, ..] => [*head, piece.get(head.len() + 4..).unwrap_or_default()],
            [] => return Err("a part has no head".to_owned()),
        };
        let head = String::from_utf8_lossy(head).into_owned();
        let field = |name: &str| {
            head.lines().find_map(|line| {
                let (own, value) = line.split_once(':')?;
                own.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let disposition = field("content-disposition").unwrap_or_default();
        let parameter = |name: &str| {
            let (_, rest) = disposition.split_once(&format!("; {name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        parts.push(ExpectedPart {
            name: parameter("name").unwrap_or_default(),
            filename: parameter("filename"),
            content_type: field("content-type"),
            base64: STANDARD.encode(content),
        });
    }
    Ok(parts)
}

fn split<'a>(bytes: &'a [u8], marker: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + marker.len()) {
        if window == marker {
            pieces.push(bytes.get(start..at).unwrap_or_default());
            at += marker.len();
            start = at;
        } else {
            at += 1;
        }
    }
    pieces.push(bytes.get(start..).unwrap_or_default());
    pieces
}
