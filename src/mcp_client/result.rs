//! A tool's answer as the registry takes it.

use serde_json::{Map, Value, json};

use super::ToolAnswer;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::{Content, ToolOutput};
use crate::registry::ForeignTool;

/// Letters of a server's own words in an error.
const WORDS: usize = 4_000;
/// Letters of a faulty result in an error.
const RECEIVED: usize = 2_000;

/// The whole answer: blocks as they came, the structured result in `result`.
///
/// # Errors
/// `upstream_error` when the tool says that it failed, `upstream_result_invalid` when its result
/// breaks the schema that its own server gives.
pub(super) fn output(tool: &ForeignTool, answer: ToolAnswer) -> Result<ToolOutput, ToolError> {
    let text = texts(&answer.content);
    if answer.is_error {
        return Err(failed(tool, &text, answer.structured));
    }
    let faults = tool.result_faults(answer.structured.as_ref());
    if !faults.is_empty() {
        return Err(faulty(tool, &faults, &text, answer.structured.as_ref()));
    }
    let mut fields = Map::new();
    fields.insert(
        "message".into(),
        json!(format!("`{}` of the server `{}` answered.", tool.inner_name, tool.server)),
    );
    fields.insert("server".into(), json!(tool.server));
    fields.insert("tool".into(), json!(tool.inner_name));
    let parsed: Option<Value> = serde_json::from_str(&text).ok();
    let parsed = parsed.filter(|value| value.is_object() || value.is_array());
    // Servers repeat the structured result as text, and many have nothing but the text.
    let is_repeated =
        parsed.is_some() && (answer.structured.is_none() || answer.structured == parsed);
    if let Some(result) = answer.structured.or(parsed) {
        fields.insert("result".into(), result);
    }
    if !text.is_empty() && !is_repeated {
        fields.insert("text".into(), json!(text));
    }
    let others: Vec<Value> =
        answer.content.iter().filter(|block| !is_text(block)).cloned().collect();
    if !others.is_empty() {
        fields.insert("blocks".into(), Value::Array(others));
    }
    let content = answer.content.into_iter().map(Content::Block).collect();
    Ok(ToolOutput { structured: Value::Object(fields), content })
}

fn is_text(block: &Value) -> bool {
    block.get("type").and_then(Value::as_str) == Some("text")
}

fn texts(content: &[Value]) -> String {
    let texts = content.iter().filter(|block| is_text(block));
    let texts = texts.filter_map(|block| block.get("text").and_then(Value::as_str));
    texts.collect::<Vec<_>>().join("\n")
}

fn failed(tool: &ForeignTool, text: &str, structured: Option<Value>) -> ToolError {
    let words: String = text.chars().take(WORDS).collect();
    let words = if words.trim().is_empty() { "it does not say why".to_owned() } else { words };
    let error = ToolError::new(
        ErrorKind::Invalid,
        "upstream_error",
        format!("`{}` of the server `{}` failed: {words}", tool.inner_name, tool.server),
    )
    .hint("read the server's words; other arguments may work (describe_tool shows what it takes)")
    .detail("server", json!(tool.server))
    .detail("tool", json!(tool.inner_name));
    match structured.filter(|result| result.to_string().len() <= WORDS) {
        Some(result) => error.detail("result", result),
        None => error,
    }
}

fn faulty(
    tool: &ForeignTool,
    faults: &[String],
    text: &str,
    structured: Option<&Value>,
) -> ToolError {
    let received = structured.map_or_else(|| text.to_owned(), Value::to_string);
    let received: String = received.chars().take(RECEIVED).collect();
    ToolError::new(
        ErrorKind::Unavailable,
        "upstream_result_invalid",
        format!(
            "`{}` of the server `{}` returned what its own outputSchema forbids: {}",
            tool.inner_name,
            tool.server,
            faults.join("; ")
        ),
    )
    .hint("the call may have taken effect; `received` is the beginning of what came; whoever maintains the server should know")
    .detail("server", json!(tool.server))
    .detail("tool", json!(tool.inner_name))
    .detail("received", json!(received))
}

#[cfg(test)]
mod tests {
    use crate::registry::{Hints, Validators};

    use super::*;

    fn tool(output_schema: Option<Value>) -> ForeignTool {
        ForeignTool {
            name: "s__t".into(),
            server: "s".into(),
            owner: None,
            inner_name: "t".into(),
            title: None,
            description: String::new(),
            input_schema: json!({"type": "object"}),
            output_schema,
            hints: Hints::default(),
            validators: Validators::default(),
        }
    }

    fn text(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    #[test]
    fn what_came_is_kept_whole_and_once() {
        let picture = json!({"type": "image", "mimeType": "image/png", "data": "AA=="});
        let content = vec![text("{\"n\": 1}"), picture.clone()];
        let answer = ToolAnswer { content, structured: Some(json!({"n": 1})), is_error: false };
        let output = output(&tool(None), answer).unwrap();
        assert_eq!(output.structured["result"], json!({"n": 1}));
        assert_eq!(output.structured.get("text"), None);
        assert_eq!(output.structured["blocks"], json!([picture]));
        assert_eq!(output.content.len(), 2);
    }

    #[test]
    fn text_alone_is_text_unless_it_is_json() {
        let answer =
            |words: &str| ToolAnswer { content: vec![text(words)], ..ToolAnswer::default() };
        let plain = output(&tool(None), answer("42 apples")).unwrap().structured;
        assert_eq!((plain.get("result"), &plain["text"]), (None, &json!("42 apples")));
        assert_eq!(output(&tool(None), answer("42")).unwrap().structured["text"], "42");
        let list = output(&tool(None), answer("[1, 2]")).unwrap().structured;
        assert_eq!((&list["result"], list.get("text")), (&json!([1, 2]), None));
    }

    #[test]
    fn a_result_against_its_own_schema_is_an_error_that_shows_it() {
        let schema =
            json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
        let answer = |structured| ToolAnswer { structured, ..ToolAnswer::default() };
        assert!(output(&tool(Some(schema.clone())), answer(Some(json!({"n": 1})))).is_ok());
        let error =
            output(&tool(Some(schema.clone())), answer(Some(json!({"n": "x"})))).unwrap_err();
        assert_eq!(error.code, "upstream_result_invalid");
        assert_eq!(error.details["received"], "{\"n\":\"x\"}");
        let error = output(&tool(Some(schema)), answer(None)).unwrap_err();
        assert!(error.message.contains("no structured result"), "{}", error.message);
    }

    #[test]
    fn a_failed_tool_is_quoted() {
        let content = vec![text("no such file")];
        let answer = ToolAnswer { content, structured: None, is_error: true };
        let error = output(&tool(None), answer).unwrap_err();
        assert_eq!(error.code, "upstream_error");
        assert!(error.message.ends_with("failed: no such file"), "{}", error.message);
    }
}
