//! The module `atelier_tools`: the tools as typed Python functions.

use serde_json::Value;

use crate::registry::ToolDescription;

/// The module's name.
pub(super) const MODULE: &str = "atelier_tools";

/// Words that cannot name a parameter.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// Source of the module: one coroutine for each tool, whose parameters are named and typed as its
/// arguments. What is left out is not sent.
pub(super) fn source(tools: &[ToolDescription]) -> String {
    let mut text = String::from(
        "from typing import Any, Literal\n\n_ABSENT: Any = type(\"Absent\", (), {\"__repr__\": lambda self: \"...\"})()\n\n\
         async def _call(tool: str, arguments: dict) -> dict:\n    \
         return await _call_mcp_tool(tool, {name: value for name, value in arguments.items() if value is not _ABSENT})\n",
    );
    for tool in tools.iter().filter(|tool| is_name(&tool.name)) {
        text.push_str(&function(tool));
    }
    text
}

fn function(tool: &ToolDescription) -> String {
    let empty = serde_json::Map::new();
    let properties =
        tool.input_schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required = tool.input_schema.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|entry| entry == name));
    let mut parameters = Vec::new();
    let mut arguments = Vec::new();
    let mut explained = Vec::new();
    for (name, schema) in properties.iter().filter(|(name, _)| is_name(name)) {
        let kind = annotation(schema);
        parameters.push(if is_required(name) {
            format!("{name}: {kind}")
        } else {
            format!("{name}: {kind} = _ABSENT")
        });
        arguments.push(format!("\"{name}\": {name}"));
        if let Some(description) = schema.get("description").and_then(Value::as_str) {
            explained.push(format!("{name}: {description}"));
        }
    }
    let mut documentation = tool.description.clone();
    if !explained.is_empty() {
        documentation.push_str("\n\n");
        documentation.push_str(&explained.join("\n"));
    }
    let star = if parameters.is_empty() { "" } else { "*, " };
    format!(
        "\nasync def {}({star}{}) -> dict:\n    {}\n    return await _call(\"{}\", {{{}}})\n",
        tool.name,
        parameters.join(", "),
        literal(&documentation),
        tool.name,
        arguments.join(", "),
    )
}

/// The type of a parameter, as far as annotations say it.
fn annotation(schema: &Value) -> String {
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.is_empty()
        && choices.iter().all(Value::is_string)
    {
        let choices: Vec<String> = choices.iter().filter_map(Value::as_str).map(literal).collect();
        return format!("Literal[{}]", choices.join(", "));
    }
    if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
        let mut options: Vec<String> = options.iter().map(annotation).collect();
        options.dedup();
        return options.join(" | ");
    }
    match schema.get("type") {
        Some(Value::String(kind)) => plain(kind, schema),
        Some(Value::Array(kinds)) => {
            let kinds: Vec<String> =
                kinds.iter().filter_map(Value::as_str).map(|kind| plain(kind, schema)).collect();
            kinds.join(" | ")
        }
        Some(_) | None => "Any".to_owned(),
    }
}

fn plain(kind: &str, schema: &Value) -> String {
    match kind {
        "string" => "str".to_owned(),
        "integer" => "int".to_owned(),
        "number" => "float".to_owned(),
        "boolean" => "bool".to_owned(),
        "null" => "None".to_owned(),
        "array" => match schema.get("items") {
            Some(items) => format!("list[{}]", annotation(items)),
            None => "list".to_owned(),
        },
        "object" => "dict".to_owned(),
        _ => "Any".to_owned(),
    }
}

fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_');
    starts
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !KEYWORDS.contains(&text)
}

/// A text as a literal: JSON's escapes are Python's, but for characters beyond the first plane, which
/// it writes as they are.
fn literal(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use ruff_python_parser::parse_module;
    use serde_json::json;

    use super::*;

    #[test]
    fn tools_become_typed_functions() {
        let tool = |name: &str, schema| ToolDescription {
            name: name.to_owned(),
            description: "Makes \"it\".\nReally \\ \u{0}\"\"\".".to_owned(),
            input_schema: schema,
            output_schema: json!({}),
            title: None,
            annotations: crate::registry::Hints::default(),
            server: None,
        };
        let tools = [
            tool(
                "make_it",
                json!({"properties": {
                    "name": {"type": "string", "description": "Its name"},
                    "size": {"type": ["integer", "null"]},
                    "kind": {"enum": ["a", "b\"c"]},
                    "parts": {"type": "array", "items": {"type": "number"}},
                    "other": {"anyOf": [{"type": "boolean"}, {"type": "object"}]},
                    "class": {"type": "string"},
                    "x-y": {"type": "string"},
                }, "required": ["name"]}),
            ),
            tool("plain", json!({"type": "object"})),
            tool("no-name", json!({})),
        ];
        let source = source(&tools);
        assert!(parse_module(&source).is_ok(), "{source}");
        assert!(
            source.contains(
                "async def make_it(*, name: str, size: int | None = _ABSENT, kind: Literal[\"a\", \"b\\\"c\"] = _ABSENT, parts: list[float] = _ABSENT, other: bool | dict = _ABSENT) -> dict:"
            ),
            "{source}"
        );
        assert!(source.contains("async def plain() -> dict:"), "{source}");
        assert!(!source.contains("no-name") && !source.contains("class:"), "{source}");
    }
}
