//! Base URLs.

use std::collections::BTreeMap;

use serde_json::Value;
use url::Url;

use super::bundle::{Bundle, Place};
use super::document::Edition;
use crate::factory::ir::{ServerUrl, ServerVariable};
use crate::factory::names::variable;

/// Base URLs of the document itself.
pub(super) fn of_document(bundle: &Bundle, edition: Edition) -> Vec<ServerUrl> {
    let root = bundle.root();
    match edition {
        Edition::Two => vec![of_swagger(root.value, bundle)],
        Edition::ThreeZero | Edition::ThreeOne => {
            let own = of_place(root.get("servers"), bundle);
            // Without a word, the document's own server is meant.
            if own.is_empty() { vec![server("/", BTreeMap::new(), bundle)] } else { own }
        }
    }
}

/// Base URLs of a path or an operation; none when it says nothing.
pub(super) fn of_place(servers: Option<Place<'_>>, bundle: &Bundle) -> Vec<ServerUrl> {
    let Some(Value::Array(list)) = servers.map(|place| place.value) else { return Vec::new() };
    list.iter()
        .filter_map(|entry| {
            let url = entry.get("url")?.as_str()?;
            let variables = entry
                .get("variables")
                .and_then(Value::as_object)
                .map(|variables| {
                    variables
                        .iter()
                        .map(|(name, value)| (name.clone(), server_variable(name, value)))
                        .collect()
                })
                .unwrap_or_default();
            Some(server(url, variables, bundle))
        })
        .collect()
}

fn server_variable(name: &str, value: &Value) -> ServerVariable {
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let values: Vec<String> = value
        .get("enum")
        .and_then(Value::as_array)
        .map(|values| values.iter().map(word).collect())
        .unwrap_or_default();
    let default = value.get("default").map(word).or_else(|| values.first().cloned());
    ServerVariable {
        default: default.unwrap_or_default(),
        values,
        environment: format!("SERVER_{}", variable(name)),
    }
}

fn server(url: &str, variables: BTreeMap<String, ServerVariable>, bundle: &Bundle) -> ServerUrl {
    let mut url = url.trim().to_owned();
    if !is_absolute(&url)
        && let Some(base) = bundle.address().filter(|base| base.scheme().starts_with("http"))
    {
        url = joined(base, &url);
    }
    let end = url.find(['?', '#']).unwrap_or(url.len());
    url.truncate(end);
    ServerUrl { url: url.trim_end_matches('/').to_owned(), variables }
}

/// Joins by hand: a variable's braces must survive.
fn joined(base: &Url, relative: &str) -> String {
    let origin = base.origin().ascii_serialization();
    if let Some(rest) = relative.strip_prefix("//") {
        return format!("{}://{rest}", base.scheme());
    }
    if relative.starts_with('/') {
        return format!("{origin}{relative}");
    }
    if relative.contains('{') {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        return format!("{origin}{folder}/{}", relative.trim_start_matches("./"));
    }
    base.join(relative).map_or_else(|_| relative.to_owned(), |url| url.to_string())
}

/// Whether a base URL names its host.
pub(super) fn is_absolute(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://") || url.starts_with('{')
}

fn of_swagger(root: &Value, bundle: &Bundle) -> ServerUrl {
    let text = |key: &str| root.get(key).and_then(Value::as_str).unwrap_or_default();
    let schemes: Vec<&str> = root
        .get("schemes")
        .and_then(Value::as_array)
        .map(|schemes| schemes.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let scheme = ["https", "http"]
        .into_iter()
        .find(|scheme| schemes.contains(scheme))
        .or_else(|| bundle.address().map(Url::scheme).filter(|scheme| scheme.starts_with("http")))
        .unwrap_or("https");
    let base_path = text("basePath").trim_start_matches('/');
    let host = text("host");
    if host.is_empty() {
        return server(&format!("/{base_path}"), BTreeMap::new(), bundle);
    }
    server(&format!("{scheme}://{host}/{base_path}"), BTreeMap::new(), bundle)
}

/// The host of a base URL with its default values.
pub(super) fn host(server: &ServerUrl) -> Option<String> {
    let mut url = server.url.clone();
    for (name, variable) in &server.variables {
        url = url.replace(&format!("{{{name}}}"), &variable.default);
    }
    let url = Url::parse(&url).ok()?;
    let host = url.host_str()?.to_owned();
    Some(url.port().map_or(host.clone(), |port| format!("{host}:{port}")))
}
