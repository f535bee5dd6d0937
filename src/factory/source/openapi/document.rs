//! A text of an API description, read as one JSON value.

use serde_json::Value;

use crate::factory::error::{FactoryError, Refusal};

/// Largest document.
pub const DOCUMENT_BYTES: usize = 96 * 1024 * 1024;

/// Values that aliases of a YAML document may repeat.
const REPEATED_VALUES: usize = 200_000;

/// Reads JSON or YAML. Dates, `yes` and `on` stay texts; keys that are numbers become texts.
///
/// # Errors
/// What it is instead, or where it breaks off.
pub fn read(text: &str, name: &str) -> Result<Value, FactoryError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() > DOCUMENT_BYTES {
        return Err(FactoryError::new(
            Refusal::TooLarge,
            format!("{name} has {} bytes, at most {DOCUMENT_BYTES} are read", text.len()),
            "split the document, or keep only the paths that are needed",
        ));
    }
    let start = text.trim_start();
    if start.is_empty() {
        return Err(document(format!("{name} is empty")));
    }
    if start.starts_with('<') {
        return Err(document(format!(
            "{name} is HTML or XML, not an OpenAPI document: an address of its documentation page, perhaps"
        )));
    }
    if start.starts_with(['{', '[']) {
        return match serde_json::from_str(text) {
            Ok(value) => Ok(value),
            // Flow style YAML begins alike; the message about JSON is the better one if both fail.
            Err(error) => read_yaml(text, name).map_err(|_| {
                let place = format!("line {}, column {}", error.line(), error.column());
                let what = error.to_string();
                if what.contains("recursion limit") {
                    return FactoryError::new(
                        Refusal::TooLarge,
                        format!("{name} is nested too deeply ({place})"),
                        "flatten the document: 128 levels are read",
                    );
                }
                document(format!("{name} is no valid JSON at {place}: {what}"))
            }),
        };
    }
    read_yaml(text, name)
}

fn read_yaml(text: &str, name: &str) -> Result<Value, FactoryError> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        reject_unsupported_tags: false,
        budget: serde_saphyr::budget! {
            max_depth: 200,
            max_events: 20_000_000,
            max_nodes: 10_000_000,
            max_total_scalar_bytes: DOCUMENT_BYTES,
            max_anchors: 10_000,
            max_aliases: 50_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPEATED_VALUES,
            max_replay_stack_depth: 64,
            max_alias_expansions_per_anchor: 10_000,
        },
    };
    serde_saphyr::from_str_with_options::<Value>(text, options).map_err(|error| {
        let what: String = error.to_string().chars().take(300).collect();
        let lower = what.to_ascii_lowercase();
        if ["budget", "alias", "depth", "limit"].iter().any(|word| lower.contains(word)) {
            return FactoryError::new(
                Refusal::TooLarge,
                format!("{name} is YAML beyond the limits: {what}"),
                "write repeated parts as `$ref`, and nest at most 128 levels",
            );
        }
        document(format!("{name} is no valid YAML: {what}"))
    })
}

/// Which edition of the standard a document follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// Swagger 2.0.
    Two,
    /// `OpenAPI` 3.0.
    ThreeZero,
    /// `OpenAPI` 3.1 and later.
    ThreeOne,
}

/// The edition of a document.
///
/// # Errors
/// What the document seems to be instead.
pub fn edition(document_value: &Value, name: &str) -> Result<Edition, FactoryError> {
    let version = |key: &str| {
        document_value.get(key).map(|value| match value {
            Value::String(text) => text.trim().to_owned(),
            other => other.to_string(),
        })
    };
    if let Some(version) = version("openapi") {
        return if version.starts_with("3.0") || version == "3" {
            Ok(Edition::ThreeZero)
        } else if version.starts_with("3.") {
            Ok(Edition::ThreeOne)
        } else {
            Err(document(format!("{name} says `openapi: {version}`; 3.0 and 3.1 are understood")))
        };
    }
    if let Some(version) = version("swagger") {
        return if version.starts_with('2') {
            Ok(Edition::Two)
        } else {
            Err(document(format!("{name} says `swagger: {version}`; 2.0 is understood")))
        };
    }
    let guess = guess(document_value);
    Err(document(format!("{name} has neither `openapi` nor `swagger` at its top: {guess}")))
}

fn guess(value: &Value) -> &'static str {
    let has = |path: &str| value.pointer(path).is_some();
    if value.is_string() {
        "it is plain text"
    } else if has("/info/_postman_id") || has("/item") {
        "it looks like a Postman collection; export it as OpenAPI"
    } else if has("/data/__schema") || has("/__schema") {
        "it looks like a GraphQL schema"
    } else if has("/asyncapi") {
        "it is an AsyncAPI document"
    } else if has("/swaggerVersion") {
        "it is Swagger 1; convert it to OpenAPI 3"
    } else if has("/$schema") {
        "it looks like a JSON Schema"
    } else if has("/log/entries") {
        "it looks like a HAR recording"
    } else if has("/paths") {
        "it has `paths`; add the line that names the version"
    } else {
        "it is another kind of file"
    }
}

fn document(message: String) -> FactoryError {
    FactoryError::new(
        Refusal::Document,
        message,
        "give an OpenAPI 3.0 or 3.1 or a Swagger 2.0 document, as JSON or YAML",
    )
}
