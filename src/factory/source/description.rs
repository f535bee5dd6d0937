//! Servers from words: a model, the host or the caller writes tools with their bodies; nothing of it
//! is believed before it was parsed, scanned and tried.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::factory::error::{FactoryError, Refusal};
use crate::factory::ir::{
    Annotations, Case, Expectation, FORMAT, Features, Function, Kind, Mode, Package, PackageFile,
    SourceKind, Sourced, Tool, Variable,
};
use crate::factory::names::{self, Names, prose};

/// Longest description.
pub const DESCRIPTION_CHARS: usize = 10_000;

/// Packages that bodies may import beside the standard library; the runtime brings them along.
pub const PACKAGES: [&str; 3] = ["httpx2", "jsonschema", "pydantic"];

/// Most tools of one server.
const TOOLS: usize = 60;

/// A tool as it is written.
#[derive(Debug, Clone, Deserialize)]
struct Spec {
    name: String,
    #[serde(default)]
    description: String,
    input_schema: Value,
    implementation: String,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    environment: Vec<String>,
    #[serde(default)]
    hosts: Vec<String>,
    #[serde(default)]
    examples: Vec<Example>,
}

#[derive(Debug, Clone, Deserialize)]
struct Example {
    arguments: Value,
    #[serde(default)]
    result: Option<Value>,
}

/// Makes a package of written tools.
///
/// # Errors
/// Everything that is wrong with them, for their author.
pub fn from_specs(
    value: &Value,
    name: Option<&str>,
    features: &Features,
) -> Result<Sourced, Vec<String>> {
    let (head, list) = match value {
        Value::Array(list) => (None, list),
        Value::Object(object) => match object.get("tools").and_then(Value::as_array) {
            Some(list) => (Some(object), list),
            None => return Err(vec!["the object has no list `tools`".to_owned()]),
        },
        _ => return Err(vec!["the tools are no list".to_owned()]),
    };
    if list.is_empty() || list.len() > TOOLS {
        return Err(vec![format!("there are {} tools; 1 to {TOOLS} are taken", list.len())]);
    }
    let mut problems = Vec::new();
    let mut tools = Vec::new();
    let mut files = Vec::new();
    let mut cases = Vec::new();
    let mut hosts = Vec::new();
    let mut variables: BTreeMap<String, Variable> = BTreeMap::new();
    let mut used = Names::default();
    for (index, entry) in list.iter().enumerate() {
        let spec: Spec = match Spec::deserialize(entry) {
            Ok(spec) => spec,
            Err(error) => {
                problems.push(format!("tool {}: {error}", index + 1));
                continue;
            }
        };
        let shown = prose(&spec.name, 60);
        problems.extend(faults(&spec).into_iter().map(|fault| format!("`{shown}`: {fault}")));
        let tool_name = used.tool(&spec.name, &format!("{}{index}", spec.name));
        let module = module_name(&tool_name);
        for variable in &spec.environment {
            variables.entry(variable.clone()).or_insert_with(|| Variable {
                name: variable.clone(),
                description: format!("Used by `{tool_name}`"),
                secret: true,
                required: false,
            });
        }
        for (number, example) in spec.examples.iter().enumerate() {
            let Some(result) = &example.result else { continue };
            cases.push(Case {
                name: format!("{tool_name}_example_{}", number + 1),
                tool: tool_name.clone(),
                arguments: example.arguments.clone(),
                expect: Expectation::Result { holds: json!({"status": "success", "data": result}) },
                needs: None,
            });
        }
        for host in spec.hosts {
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        files.push(PackageFile {
            path: format!("tools/{module}.py"),
            text: format!("{}\n", spec.implementation.trim_end()),
        });
        tools.push(Tool {
            title: prose(&spec.name.replace(['_', '-'], " "), 80),
            description: prose(&spec.description, 1000),
            tags: Vec::new(),
            // What a body does is not known; the client is told the worst.
            annotations: Annotations {
                read_only: false,
                destructive: true,
                idempotent: false,
                open_world: true,
            },
            input_schema: spec.input_schema,
            listed_schema: None,
            listed_description: None,
            kind: Kind::Function(Function {
                module,
                dependencies: Vec::new(),
                environment: spec.environment,
            }),
            name: tool_name,
        });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let word =
        |key: &str| head.and_then(|head| head.get(key)).and_then(Value::as_str).unwrap_or_default();
    let first = tools.first().map(|tool| tool.name.clone()).unwrap_or_default();
    let title = if word("title").is_empty() {
        name.unwrap_or(&first).to_owned()
    } else {
        prose(word("title"), 120)
    };
    let package = Package {
        format: FORMAT,
        name: names::server(name.unwrap_or(&title)),
        title,
        description: prose(word("description"), 2000),
        version: String::new(),
        source: SourceKind::Description,
        mode: Mode::Direct,
        tools,
        defs: Map::new(),
        schemes: BTreeMap::new(),
        servers: Vec::new(),
        hosts,
        environment: variables.into_values().collect(),
        features: features.clone(),
        database: None,
        responses: Map::new(),
        response_defs: Map::new(),
        skipped: Vec::new(),
        notes: Vec::new(),
    };
    Ok(Sourced { package, cases, files, trial: None })
}

/// A name that is no keyword of an output language, since it never stands in code: only as a file.
fn module_name(tool: &str) -> String {
    tool.replace('-', "_")
}

fn faults(spec: &Spec) -> Vec<String> {
    let mut faults = Vec::new();
    if spec.name.trim().is_empty() {
        faults.push("it has no name".to_owned());
    }
    if spec.input_schema.get("type") != Some(&json!("object")) {
        faults.push("`input_schema` must be of type object".to_owned());
    } else if let Err(error) = jsonschema::draft202012::new(&spec.input_schema) {
        faults
            .push(format!("`input_schema` is no JSON Schema: {}", prose(&error.to_string(), 200)));
    }
    for dependency in &spec.dependencies {
        if !PACKAGES.contains(&dependency.as_str()) {
            faults.push(format!(
                "the package `{}` is not available; there are {}",
                prose(dependency, 60),
                PACKAGES.join(", ")
            ));
        }
    }
    for variable in &spec.environment {
        if names::variable(variable) != *variable {
            faults.push(format!(
                "`{}` is no name of an environment variable; write {}",
                prose(variable, 60),
                names::variable(variable)
            ));
        }
    }
    if !spec.implementation.contains("def run(") {
        faults.push("`implementation` defines no `run(args, ctx)`".to_owned());
    }
    if let Err(error) = ruff_python_parser::parse_module(&spec.implementation) {
        faults.push(format!(
            "`implementation` is no Python: {error} at byte {}",
            u32::from(error.location.start())
        ));
    }
    if let Ok(validator) = jsonschema::draft202012::new(&spec.input_schema) {
        for (index, example) in spec.examples.iter().enumerate() {
            if let Err(error) = validator.validate(&example.arguments) {
                faults.push(format!(
                    "the arguments of example {} do not fit: {}",
                    index + 1,
                    prose(&error.to_string(), 200)
                ));
            }
        }
    }
    faults
}

/// Checks the words before anybody is asked.
///
/// # Errors
/// When there are none, or too many.
pub fn check(description: &str) -> Result<&str, FactoryError> {
    let text = description.trim();
    let count = text.chars().count();
    if text.is_empty() {
        return Err(FactoryError::new(
            Refusal::Arguments,
            "`description` is empty",
            "say what the server should do",
        ));
    }
    if count > DESCRIPTION_CHARS {
        return Err(FactoryError::new(
            Refusal::TooLarge,
            format!("`description` has {count} characters, at most {DESCRIPTION_CHARS} are taken"),
            "say what the tools should do, without examples and data",
        ));
    }
    Ok(text)
}
