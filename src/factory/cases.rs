//! The cases of an API's package: each operation once with everything and once with the least, and
//! what must be refused.

use serde_json::{Map, Value};

use super::examples::{Examples, Extent};
use super::ir::{Case, Expectation, Kind, Location, Package};
use super::{credentials, serialise};

/// Most cases of one package: a test run must stay short.
const CASES: usize = 400;

/// References that a validator of examples follows one after the other.
const STEPS: usize = 6;

/// Most shared schemas of such a validator.
const NEARBY: usize = 60;

/// Makes the cases of a package of requests.
pub fn of_requests(package: &Package) -> Vec<Case> {
    let examples = Examples::new(&package.defs);
    let mut cases = Vec::new();
    // Beyond the limit operations are taken at even distances.
    let step = (package.tools.len() * 2).div_ceil(CASES).max(1);
    for tool in package.tools.iter().step_by(step) {
        let Kind::Http(operation) = &tool.kind else { continue };
        let validator = validator(&tool.input_schema, &package.defs);
        let mut before: Option<Value> = None;
        for (extent, word) in [(Extent::Full, "full"), (Extent::Required, "least")] {
            let Some(arguments) = examples.value(&tool.input_schema, extent) else { continue };
            // An example that misses a keyword proves nothing.
            if before.as_ref() == Some(&arguments)
                || !validator.as_ref().is_some_and(|validator| validator.is_valid(&arguments))
            {
                continue;
            }
            let Some(object) = arguments.as_object() else { continue };
            let Ok(mut request) = serialise::request(operation, object) else { continue };
            let expect = match credentials::add(package, operation, &mut request) {
                Ok(()) => Expectation::Request(request),
                Err(variable) => Expectation::Error { holds: variable },
            };
            cases.push(Case {
                name: format!("{}_{word}", tool.name),
                tool: tool.name.clone(),
                arguments: arguments.clone(),
                expect,
                needs: None,
            });
            before = Some(arguments);
        }
        if let (Some(Value::Object(arguments)), Some(parameter)) = (
            before,
            operation.parameters.iter().find(|parameter| parameter.location == Location::Path),
        ) && cases.len() < CASES
        {
            let mut without: Map<String, Value> = arguments;
            without.shift_remove(&parameter.argument);
            cases.push(Case {
                name: format!("{}_refused", tool.name),
                tool: tool.name.clone(),
                arguments: Value::Object(without),
                expect: Expectation::Error { holds: parameter.argument.clone() },
                needs: None,
            });
        }
    }
    cases
}

/// A validator of arguments; `None` when the schema cannot be used as it is.
fn validator(schema: &Value, defs: &Map<String, Value>) -> Option<jsonschema::Validator> {
    let mut schema = schema.clone();
    let used = nearby(&schema, defs);
    schema.as_object_mut()?.insert("$defs".to_owned(), Value::Object(used));
    jsonschema::draft202012::new(&schema).ok()
}

/// The shared schemas that a schema leads to in a few steps; what lies further takes anything. The
/// examples are shallow, and there are documents in which every schema leads to every other.
fn nearby(schema: &Value, defs: &Map<String, Value>) -> Map<String, Value> {
    let mut found = Map::new();
    let mut level: Vec<&Value> = vec![schema];
    for step in 0..=STEPS {
        let mut next = Vec::new();
        for name in level.iter().flat_map(|value| references(value)) {
            if found.contains_key(name) {
                continue;
            }
            match defs.get(name) {
                Some(target) if step < STEPS && found.len() < NEARBY => {
                    found.insert(name.to_owned(), target.clone());
                    next.push(target);
                }
                _ => {
                    found.insert(name.to_owned(), Value::Bool(true));
                }
            }
        }
        level = next;
    }
    found
}

/// Names of the shared schemas that a schema itself points to.
fn references(schema: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    let mut stack = vec![schema];
    while let Some(value) = stack.pop() {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    names.extend(reference.strip_prefix("#/$defs/"));
                }
                stack.extend(object.values());
            }
            Value::Array(items) => stack.extend(items),
            _ => {}
        }
    }
    names
}

/// The shared schemas that a schema leads to, in the order in which they were found.
pub fn reachable(schema: &Value, defs: &Map<String, Value>) -> Map<String, Value> {
    let mut found = Map::new();
    let mut stack = vec![schema];
    while let Some(value) = stack.pop() {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref")
                    && let Some(name) = reference.strip_prefix("#/$defs/")
                    && !found.contains_key(name)
                    && let Some(target) = defs.get(name)
                {
                    found.insert(name.to_owned(), target.clone());
                    stack.push(target);
                }
                stack.extend(object.values());
            }
            Value::Array(items) => stack.extend(items),
            _ => {}
        }
    }
    found
}
