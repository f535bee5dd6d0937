//! A representation as the files of a package.

pub mod listing;
pub mod runtime_files;
pub mod templates;

use std::fmt::Write as _;

use minijinja::value::Serde;
use serde_json::{Map, Value, json};

use self::templates::Templates;
use super::error::{FactoryError, Refusal};
use super::ir::{Case, Dialect, Kind, Package, PackageFile, Scheme, SourceKind};
use super::names::is_unseen;

/// What a package may import beside the standard library.
const DEPENDENCIES: &str = "mcp>=2.3,<3";

/// Driver of `PostgreSQL`.
const DRIVER: [&str; 2] = ["psycopg[binary]>=3.2,<4", "psycopg[binary]==3.3.4"];

/// All files of a package but its logs and its report of the scan.
///
/// # Errors
/// When a template of the caller cannot be used.
pub fn render(
    package: &Package,
    cases: &[Case],
    templates: &Templates,
) -> Result<Vec<PackageFile>, FactoryError> {
    let mut files: Vec<PackageFile> =
        runtime_files::PYTHON.iter().map(|(path, text)| file(path, *text)).collect();
    if package.database.is_some() {
        files.extend(database_runtime());
    }
    let mut requirements = runtime_files::REQUIREMENTS.to_owned();
    let mut dependencies = vec![DEPENDENCIES.to_owned()];
    if package.database.as_ref().is_some_and(|database| database.dialect == Dialect::Postgresql) {
        let [range, pinned] = DRIVER;
        dependencies.push(range.to_owned());
        requirements.push_str(pinned);
        requirements.push('\n');
    }
    for tool in &package.tools {
        if let Kind::Function(function) = &tool.kind {
            for dependency in &function.dependencies {
                if !dependencies.contains(dependency) {
                    dependencies.push(dependency.clone());
                    let _ = writeln!(requirements, "{dependency}");
                }
            }
        }
    }
    files.push(file("requirements.txt", requirements));
    files.push(file("operations.json", json_text(package)?));
    files.push(file("tests/cases.json", json_text(&json!({"format": 1, "cases": cases}))?));
    if !package.responses.is_empty() {
        let responses = json!({"responses": package.responses, "defs": package.response_defs});
        files.push(file("responses.json", json_text(&responses)?));
    }
    let oauth: Vec<String> = package
        .schemes
        .iter()
        .filter(|(_, scheme)| matches!(scheme, Scheme::Oauth2(_) | Scheme::OpenIdConnect { .. }))
        .map(|(name, _)| name.clone())
        .collect();
    let values = minijinja::context! {
        package => Serde(package),
        skipped => Serde(&package.skipped),
        notes => Serde(&package.notes),
        oauth => oauth,
        dependencies => dependencies,
    };
    for (path, text) in templates.render(&values)? {
        files.push(file(path, text));
    }
    files.push(file(".env.example", environment(package)));
    files.push(file(
        "mcp.json.example",
        pretty(&client_config(package, "/path/to/this/folder", "python3")),
    ));
    files.push(file("server.json", pretty(&server_json(package))));
    files.push(file(".dockerignore", ".git\n.venv\n.env\n__pycache__\ntests\n"));
    files.push(file(".gitignore", ".venv\n.env\n__pycache__\n.pytest_cache\n"));
    Ok(files)
}

fn file(path: &str, text: impl Into<String>) -> PackageFile {
    PackageFile { path: path.to_owned(), text: text.into() }
}

fn json_text(value: &impl serde::Serialize) -> Result<String, FactoryError> {
    serde_json::to_string(value).map(|text| visible(&text) + "\n").map_err(|error| {
        FactoryError::new(
            Refusal::Internal,
            format!("the package cannot be written: {error}"),
            "report this with the source",
        )
    })
}

fn pretty(value: &Value) -> String {
    visible(&format!("{value:#}\n"))
}

/// JSON in which nothing hides from readers: letters that are not seen stand as escapes, and mean
/// the same.
fn visible(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_unseen(letter) && !letter.is_ascii() {
            // All of them lie in the basic plane.
            let _ = write!(text, "\\u{:04x}", u32::from(letter));
        } else {
            text.push(letter);
        }
    }
    text
}

fn environment(package: &Package) -> String {
    let mut text = String::from(
        "# Environment of the server. Copy to .env and fill in; never commit values.\n",
    );
    for variable in &package.environment {
        let _ = writeln!(
            text,
            "\n# {}\n{}=",
            variable.description.replace(['\n', '\r'], " "),
            variable.name
        );
    }
    text
}

/// The block of an MCP client's configuration.
pub fn client_config(package: &Package, folder: &str, python: &str) -> Value {
    let environment: Map<String, Value> = package
        .environment
        .iter()
        .filter(|variable| variable.required || variable.secret)
        .map(|variable| (variable.name.clone(), json!("")))
        .collect();
    let mut server = json!({"command": python, "args": [format!("{folder}/server.py")]});
    if !environment.is_empty()
        && let Some(object) = server.as_object_mut()
    {
        object.insert("env".to_owned(), Value::Object(environment));
    }
    let mut servers = Map::new();
    servers.insert(package.name.clone(), server);
    json!({ "mcpServers": servers })
}

fn server_json(package: &Package) -> Value {
    let variables: Vec<Value> = package
        .environment
        .iter()
        .map(|variable| {
            json!({
                "name": variable.name,
                "description": variable.description,
                "isRequired": variable.required,
                "isSecret": variable.secret,
            })
        })
        .collect();
    json!({
        "name": format!("local.atelier/{}", package.name),
        "description": super::names::prose(&package.title, 100),
        "version": "1.0.0",
        "packages": [{
            "registryType": "local",
            "identifier": package.name,
            "version": "1.0.0",
            "transport": {"type": "stdio"},
            "runtimeHint": "python3",
            "environmentVariables": variables,
        }],
    })
}

/// The files that are the same in every package: path and text.
pub fn constant_files() -> impl Iterator<Item = (&'static str, &'static str)> {
    runtime_files::PYTHON.into_iter().chain(DATABASE_RUNTIME)
}

/// What packages need that have no code of their own: without and with the driver of `PostgreSQL`.
pub fn requirements_of_runtime() -> [String; 2] {
    let plain = runtime_files::REQUIREMENTS.to_owned();
    let [_, pinned] = DRIVER;
    let with_driver = format!("{plain}{pinned}\n");
    [plain, with_driver]
}

/// The part of the runtime that databases need.
fn database_runtime() -> Vec<PackageFile> {
    DATABASE_RUNTIME.iter().map(|(path, text)| file(path, *text)).collect()
}

/// Files of packages whose tools are statements.
const DATABASE_RUNTIME: [(&str, &str); 2] = [
    ("runtime/database.py", include_str!("../runtime/python/runtime/database.py")),
    ("tests/postgresql.py", include_str!("../runtime/python/tests/postgresql.py")),
];

/// Where a package's tools come from, in words.
pub const fn origin(source: SourceKind) -> &'static str {
    match source {
        SourceKind::Description => "a description",
        SourceKind::Openapi => "an OpenAPI document",
        SourceKind::Database => "a database",
    }
}
