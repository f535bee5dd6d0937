//! API descriptions: Swagger 2.0, `OpenAPI` 3.0 and 3.1.
//!
//! They are read as plain values: typed models refuse documents that are in use everywhere. Every
//! operation becomes a tool or is listed with the reason why not.

mod answers;
mod body;
pub mod bundle;
pub mod document;
mod keywords;
mod operation;
mod parameters;
mod schema;
pub mod security;
mod servers;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use self::bundle::{Bundle, Place};
use self::document::edition;
use self::operation::{Context, Made};
use self::schema::{Direction, Schemas};
use super::select::Selection;
use crate::factory::error::{FactoryError, Refusal};
use crate::factory::ir::{
    FORMAT, Features, Kind, Mode, Note, Package, Requirement, Scheme, Skipped, SourceKind, Variable,
};
use crate::factory::names::{self, Names, prose};

/// Operations up to which each is a tool of its own.
pub const DIRECT_TOOLS: usize = 40;

/// Methods that stand below a path.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// What the caller wants of a description.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Name of the server; from the title when there is none.
    pub name: Option<String>,
    /// Base URL that replaces all others.
    pub base_url: Option<String>,
    /// Operations that are wanted.
    pub selection: Selection,
    /// How the tools are offered; by their number when nothing is said.
    pub mode: Option<Mode>,
    /// Features around every call.
    pub features: Features,
    /// How operations authenticate of which the document says nothing.
    pub auth: Option<(String, Scheme)>,
}

/// Makes a package of a description.
///
/// # Errors
/// When the document is none, or nothing of it would become a tool.
pub fn normalise(
    bundle: &Bundle,
    settings: &Settings,
    shown: &str,
) -> Result<Package, FactoryError> {
    let root = bundle.root();
    let edition = edition(root.value, shown)?;
    let info = |key: &str| {
        root.value.pointer(&format!("/info/{key}")).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    let title = prose(info("title").as_deref().unwrap_or("API"), 120);
    let title = if title.is_empty() { "API".to_owned() } else { title };
    let (schemes, wrong) = security::schemes(bundle, edition);
    let mut notes: Vec<Note> = wrong
        .into_iter()
        .map(|(name, reason)| Note {
            pointer: format!("security scheme {}", prose(&name, 60)),
            message: reason,
        })
        .collect();
    let mut skipped = Vec::new();
    let mut made = Vec::new();
    let mut schemas = Schemas::new(bundle, edition, Direction::Request);
    let mut answers = Schemas::new(bundle, edition, Direction::Response);
    let mut used = Names::default();
    let mut context = Context {
        bundle,
        edition,
        schemes: &schemes,
        schemas: &mut schemas,
        answers: &mut answers,
        names: &mut used,
        selection: &settings.selection,
        notes: &mut notes,
        skipped: &mut skipped,
    };
    for (path, item) in paths(root, context.skipped) {
        walk(&mut context, path, item, &mut made);
    }
    uncalled(root, &mut skipped);
    if made.is_empty() {
        let first = skipped.first().map_or_else(
            || "the document has no operations".to_owned(),
            |skipped| format!("`{}`: {}", skipped.operation, skipped.reason),
        );
        return Err(FactoryError::new(
            Refusal::NothingToDo,
            format!("no operation of {shown} would become a tool; {first}"),
            "look at `paths` of the document, and at `include` and `exclude`",
        )
        .detail("skipped", serde_json::to_value(&skipped).unwrap_or_default()));
    }
    let (defs, complaints) = schemas.finish();
    let (response_defs, _) = answers.finish();
    let complaints: BTreeSet<String> = complaints.into_iter().collect();
    notes.extend(
        complaints.into_iter().map(|message| Note { pointer: "schemas".to_owned(), message }),
    );
    let mut responses = Map::new();
    let mut tools: Vec<_> = made
        .into_iter()
        .map(|Made { tool, responses: own }| {
            if !own.is_empty() {
                responses.insert(tool.name.clone(), Value::Object(own));
            }
            tool
        })
        .collect();
    let mut servers = servers::of_document(bundle, edition);
    if let Some(base_url) = &settings.base_url {
        let url = base_url.trim_end_matches('/').to_owned();
        servers = vec![crate::factory::ir::ServerUrl { url, variables: BTreeMap::new() }];
    }
    let mode = settings.mode.unwrap_or(if tools.len() > DIRECT_TOOLS {
        Mode::Search
    } else {
        Mode::Direct
    });
    if mode == Mode::Direct {
        // Behind `describe_operation` stand the schemas themselves.
        for tool in &mut tools {
            let responses = responses.get(&tool.name).and_then(Value::as_object);
            if let Some(shape) = responses.and_then(|own| answers::shape(own, &response_defs)) {
                tool.description = format!("{} {shape}", tool.description);
            }
        }
    }
    let mut package = Package {
        format: FORMAT,
        name: names::server(settings.name.as_deref().unwrap_or(&title)),
        title,
        description: prose(info("description").as_deref().unwrap_or_default(), 2000),
        version: prose(info("version").as_deref().unwrap_or_default(), 60),
        source: SourceKind::Openapi,
        mode,
        tools,
        defs,
        schemes,
        servers,
        hosts: Vec::new(),
        environment: Vec::new(),
        features: settings.features.clone(),
        database: None,
        responses,
        response_defs,
        skipped,
        notes,
    };
    if settings.base_url.is_some() {
        for tool in &mut package.tools {
            if let Kind::Http(http) = &mut tool.kind {
                http.servers.clear();
            }
        }
    }
    if let Some((name, scheme)) = &settings.auth {
        package.schemes.insert(name.clone(), scheme.clone());
        let wanted = Requirement { schemes: BTreeMap::from([(name.clone(), Vec::new())]) };
        for tool in &mut package.tools {
            if let Kind::Http(http) = &mut tool.kind
                && http.security.is_empty()
            {
                http.security.push(wanted.clone());
            }
        }
    }
    package.schemes.retain(|name, _| is_used(name, &package.tools));
    package.hosts = hosts(&package);
    package.environment = environment(&package);
    Ok(package)
}

/// The paths of a document with what stands below them.
fn paths<'a>(root: Place<'a>, skipped: &mut Vec<Skipped>) -> Vec<(&'a str, Place<'a>)> {
    let Some(paths) = root.get("paths") else { return Vec::new() };
    let Some(object) = paths.value.as_object() else { return Vec::new() };
    object
        .iter()
        .filter(|(path, _)| !path.starts_with("x-"))
        .filter_map(|(path, value)| {
            if path.starts_with('/') {
                return Some((path.as_str(), Place { document: paths.document, value }));
            }
            skipped.push(Skipped {
                pointer: format!("/paths/{}", escaped(path)),
                operation: prose(path, 200),
                reason: "the path does not begin with `/`".to_owned(),
            });
            None
        })
        .collect()
}

fn escaped(path: &str) -> String {
    prose(&path.replace('~', "~0").replace('/', "~1"), 300)
}

fn walk<'a>(context: &mut Context<'_, 'a>, path: &'a str, item: Place<'a>, made: &mut Vec<Made>) {
    let pointer = format!("/paths/{}", escaped(path));
    let bundle = context.bundle;
    let item = match bundle.resolve(item) {
        Ok(place) => place,
        Err(reason) => {
            context.skipped.push(Skipped { pointer, operation: prose(path, 200), reason });
            return;
        }
    };
    let Some(object) = item.value.as_object() else {
        context.skipped.push(Skipped {
            pointer,
            operation: prose(path, 200),
            reason: "the path holds no operations".to_owned(),
        });
        return;
    };
    for (key, value) in object {
        if !METHODS.contains(&key.to_ascii_lowercase().as_str()) {
            if key == "query" || key == "additionalOperations" {
                context.skipped.push(Skipped {
                    pointer: format!("{pointer}/{key}"),
                    operation: format!("{} {}", key.to_uppercase(), prose(path, 200)),
                    reason: "methods of later editions are not supported".to_owned(),
                });
            }
            continue;
        }
        let method = key.to_ascii_uppercase();
        let place = Place { document: item.document, value };
        let name = format!("{method} {}", prose(path, 200));
        let pointer = format!("{pointer}/{key}");
        match operation::make(context, &method, path, item, place) {
            Ok(one) => {
                for message in one.1 {
                    context.notes.push(Note { pointer: pointer.clone(), message });
                }
                made.push(one.0);
            }
            Err(reason) => context.skipped.push(Skipped { pointer, operation: name, reason }),
        }
    }
}

/// What an API calls itself, listed for completeness.
fn uncalled(root: Place<'_>, skipped: &mut Vec<Skipped>) {
    for (key, what) in [("webhooks", "webhook"), ("x-webhooks", "webhook")] {
        let Some(Value::Object(entries)) = root.value.get(key) else { continue };
        for name in entries.keys() {
            skipped.push(Skipped {
                pointer: format!("/{key}/{}", escaped(name)),
                operation: format!("{what} {}", prose(name, 120)),
                reason: "the API sends it; there is nothing to call".to_owned(),
            });
        }
    }
}

fn is_used(name: &str, tools: &[crate::factory::ir::Tool]) -> bool {
    tools.iter().any(|tool| match &tool.kind {
        Kind::Http(http) => http.security.iter().any(|entry| entry.schemes.contains_key(name)),
        Kind::Sql(_) | Kind::Function(_) => false,
    })
}

/// The hosts that a server talks to: of its API, and where tokens are had.
pub fn hosts(package: &Package) -> Vec<String> {
    use crate::factory::ir::Oauth2;
    let of_operations = package.tools.iter().filter_map(|tool| match &tool.kind {
        Kind::Http(http) => Some(http.servers.iter().take(1)),
        Kind::Sql(_) | Kind::Function(_) => None,
    });
    let mut hosts: BTreeSet<String> = package
        .servers
        .iter()
        .take(1)
        .chain(of_operations.flatten())
        .filter_map(servers::host)
        .collect();
    let mut addresses = Vec::new();
    let of_oauth2 = |oauth2: &Oauth2| [Some(oauth2.token_url.clone()), oauth2.refresh_url.clone()];
    for scheme in package.schemes.values() {
        match scheme {
            Scheme::Oauth2(oauth2) => addresses.extend(of_oauth2(oauth2)),
            Scheme::OpenIdConnect { oauth2, url } => {
                addresses.extend(of_oauth2(oauth2));
                addresses.push(Some(url.clone()));
            }
            Scheme::ApiKey { .. }
            | Scheme::Basic { .. }
            | Scheme::Bearer { .. }
            | Scheme::MutualTls { .. } => {}
        }
    }
    let parsed = addresses.iter().flatten().filter_map(|address| url::Url::parse(address).ok());
    hosts.extend(parsed.filter_map(|url| url.host_str().map(str::to_owned)));
    hosts.into_iter().collect()
}

fn environment(package: &Package) -> Vec<Variable> {
    let known = package.servers.first().is_some_and(|server| servers::is_absolute(&server.url));
    let mut list = vec![Variable {
        name: "API_BASE_URL".to_owned(),
        description: match package.servers.first() {
            Some(server) if known => {
                format!("Base URL of the API, instead of {}", prose(&server.url, 200))
            }
            _ => "Base URL of the API; the document names none".to_owned(),
        },
        secret: false,
        required: !known,
    }];
    let of_operations = package.tools.iter().filter_map(|tool| match &tool.kind {
        Kind::Http(http) => http.servers.first(),
        Kind::Sql(_) | Kind::Function(_) => None,
    });
    for server in package.servers.iter().take(1).chain(of_operations) {
        for (name, variable) in &server.variables {
            list.push(Variable {
                name: variable.environment.clone(),
                description: format!(
                    "`{}` of the base URL; `{}` when not set",
                    prose(name, 60),
                    prose(&variable.default, 60)
                ),
                secret: false,
                required: false,
            });
        }
    }
    for (name, scheme) in &package.schemes {
        list.extend(security::variables(name, scheme));
    }
    let mut seen = BTreeSet::new();
    list.retain(|variable| seen.insert(variable.name.clone()));
    list
}
