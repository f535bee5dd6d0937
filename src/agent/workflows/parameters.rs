//! Parameters of workflows, and the prompts that they fill in.

use minijinja::{Environment, UndefinedBehavior};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt::Write as _;

use super::Workflow;
use crate::error::ToolError;

/// Name of what the user asks.
const QUERY: &str = "query";
/// Its names in single braces, as older files write them.
const BRACES: [&str; 2] = ["{query}", "{user_query}"];

/// A value that a caller gives or may give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What kind of value.
    #[serde(rename = "type", default)]
    pub kind: ParameterKind,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Value without one; a parameter without a default must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Choices, for `select`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// What kind of value a parameter is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// Yes or no.
    Boolean,
    /// One of the options.
    Select,
}

impl Parameter {
    /// The value, read by its kind; command lines give everything as text.
    fn read(&self, value: &Value) -> Result<Value, String> {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match self.kind {
            ParameterKind::String => Ok(Value::from(text)),
            ParameterKind::Integer => text
                .trim()
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| format!("`{text}` is no whole number")),
            ParameterKind::Number => text
                .trim()
                .parse::<f64>()
                .map(Value::from)
                .map_err(|_| format!("`{text}` is no number")),
            ParameterKind::Boolean => match text.trim() {
                "true" | "yes" | "1" => Ok(Value::Bool(true)),
                "false" | "no" | "0" => Ok(Value::Bool(false)),
                _ => Err(format!("`{text}` is neither true nor false")),
            },
            ParameterKind::Select if self.options.contains(&text) => Ok(Value::from(text)),
            ParameterKind::Select => {
                Err(format!("`{text}` is none of `{}`", self.options.join("`, `")))
            }
        }
    }
}

impl Workflow {
    /// The values of all parameters.
    ///
    /// # Errors
    /// `invalid_parameters` with everything that is wrong.
    pub(crate) fn values(
        &self,
        given: &Map<String, Value>,
    ) -> Result<Map<String, Value>, ToolError> {
        let mut problems = Vec::new();
        let mut values = Map::new();
        for name in given.keys() {
            if !self.parameters.contains_key(name) {
                let names: Vec<&str> = self.parameters.keys().map(String::as_str).collect();
                problems.push(format!(
                    "there is no parameter `{name}`; there are: {}",
                    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
                ));
            }
        }
        for (name, parameter) in &self.parameters {
            match (given.get(name).filter(|value| !value.is_null()), &parameter.default) {
                (Some(value), _) => match parameter.read(value) {
                    Ok(value) => {
                        values.insert(name.clone(), value);
                    }
                    Err(problem) => problems.push(format!("parameter `{name}`: {problem}")),
                },
                (None, Some(default)) => {
                    values.insert(name.clone(), default.clone());
                }
                (None, None) => problems.push(format!("parameter `{name}` is missing")),
            }
        }
        if problems.is_empty() {
            return Ok(values);
        }
        Err(ToolError::invalid("invalid_parameters", problems.join("; "))
            .hint("give parameters as `parameters: {name: value}`, or `--param name=value`"))
    }

    /// Instructions and first message, filled in.
    ///
    /// # Errors
    /// When a template is wrong or names a value that there is not.
    pub(crate) fn prompts(
        &self,
        query: &str,
        values: &Map<String, Value>,
    ) -> Result<(String, String), String> {
        let system = fill("system_prompt", &self.system_prompt, query, values)?;
        let mut first =
            fill("initial_prompt_template", &self.initial_prompt_template, query, values)?;
        if !uses_query(&self.initial_prompt_template) && !query.trim().is_empty() {
            first = format!("{}\n\n{query}", first.trim_end());
        }
        Ok((system, first))
    }

    /// What is wrong with it, as far as that can be seen without running it.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.run_limits().problems();
        for (name, parameter) in &self.parameters {
            if name == QUERY || !is_name(name) {
                problems.push(format!(
                    "parameter `{name}`: a name is made of letters, digits and `_`, and is not `query`"
                ));
            }
            if parameter.kind == ParameterKind::Select && parameter.options.is_empty() {
                problems.push(format!("parameter `{name}` has no `options` to select from"));
            }
            if let Some(default) = &parameter.default
                && let Err(problem) = parameter.read(default)
            {
                problems.push(format!("the default of parameter `{name}`: {problem}"));
            }
        }
        let samples: Map<String, Value> = self
            .parameters
            .iter()
            .map(|(name, parameter)| (name.clone(), parameter.sample()))
            .collect();
        if let Err(problem) = self.prompts("…", &samples) {
            problems.push(problem);
        }
        if let Some(schema) = &self.response_schema
            && let Err(error) = jsonschema::validator_for(schema)
        {
            problems.push(format!("`response_schema` is not a usable JSON Schema: {error}"));
        }
        problems
    }

    /// Parameters that no template uses.
    pub(crate) fn unused(&self) -> Vec<String> {
        let environment = environment();
        let mut used = std::collections::HashSet::new();
        for source in [&self.system_prompt, &self.initial_prompt_template] {
            if let Ok(template) = environment.template_from_str(source) {
                used.extend(template.undeclared_variables(false));
            }
        }
        self.parameters.keys().filter(|name| !used.contains(*name)).cloned().collect()
    }
}

impl Parameter {
    fn sample(&self) -> Value {
        if let Some(default) = &self.default {
            return default.clone();
        }
        match self.kind {
            ParameterKind::String => Value::from("…"),
            ParameterKind::Integer | ParameterKind::Number => Value::from(1),
            ParameterKind::Boolean => Value::Bool(true),
            ParameterKind::Select => self.options.first().cloned().unwrap_or_default().into(),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn uses_query(template: &str) -> bool {
    let in_braces = BRACES.iter().any(|form| template.contains(form));
    let environment = environment();
    let in_template = environment
        .template_from_str(template)
        .is_ok_and(|template| template.undeclared_variables(false).contains(QUERY));
    in_braces || in_template
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Prompts are no markup.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    // A template cannot run for ever.
    environment.set_recursion_limit(20);
    environment
}

fn fill(
    key: &str,
    source: &str,
    query: &str,
    values: &Map<String, Value>,
) -> Result<String, String> {
    // Older files write single braces; what the user asks is put in last, so that it is no template.
    let mut source = source.to_owned();
    for form in BRACES {
        source = replace_single(&source, form);
    }
    let mut inputs = values.clone();
    inputs.insert(QUERY.to_owned(), Value::from(query));
    inputs.insert("user_query".to_owned(), Value::from(query));
    environment().render_str(&source, minijinja::value::Serde(&inputs)).map_err(|error| {
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let line = error.line().map_or_else(String::new, |line| format!(", line {line}"));
        format!("`{key}`{line}: {detail}")
    })
}

/// `{query}` as `{{ query }}`, where it does not stand in double braces already.
fn replace_single(source: &str, form: &str) -> String {
    let name = form.trim_matches(['{', '}']);
    let mut text = String::new();
    let mut rest = source;
    while let Some(at) = rest.find(form) {
        let (before, found) = rest.split_at(at);
        let (_, after) = found.split_at(form.len());
        text.push_str(before);
        if before.ends_with('{') || after.starts_with('}') {
            text.push_str(form);
        } else {
            let _ = write!(text, "{{{{ {name} }}}}");
        }
        rest = after;
    }
    text.push_str(rest);
    text
}
