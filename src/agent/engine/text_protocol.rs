//! Calls as text, for whoever answers in text alone: a host, a command.
//!
//! One JSON object: `{"tool_calls": [{"name", "arguments"}], "note"?}` or `{"final": …}`.

use serde_json::Value;

use crate::agent::json::value_from_reply;
use crate::llm::ToolCall;

/// What a text says.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// Calls, with a word beside them.
    Calls { calls: Vec<ToolCall>, note: String },
    /// The answer.
    Final(String),
}

/// Reads a text.
///
/// # Errors
/// Why it is not the one object that is asked for.
pub(super) fn read(text: &str, number: u32) -> Result<Reading, String> {
    let value = value_from_reply(text).map_err(|problem| problem.to_string())?;
    let Value::Object(object) = value else {
        return Err("it is JSON, but no object with `tool_calls` or `final`".to_owned());
    };
    match (object.get("tool_calls"), object.get("final")) {
        (Some(_), Some(_)) => {
            Err("it has both `tool_calls` and `final`; write one of them".to_owned())
        }
        (None, None) => Err("it has neither `tool_calls` nor `final`".to_owned()),
        (None, Some(Value::String(answer))) => Ok(Reading::Final(answer.clone())),
        (None, Some(answer)) => Ok(Reading::Final(answer.to_string())),
        (Some(Value::Array(list)), None) if list.is_empty() => {
            Err("`tool_calls` is empty; name at least one call, or write `final`".to_owned())
        }
        (Some(Value::Array(list)), None) => {
            let mut calls = Vec::new();
            for (index, call) in (1..).zip(list) {
                let Some(name) = call.get("name").and_then(Value::as_str) else {
                    return Err(format!("call {index} of `tool_calls` has no `name`"));
                };
                calls.push(ToolCall {
                    id: format!("text_{number}_{index}"),
                    name: name.to_owned(),
                    arguments: call.get("arguments").cloned().unwrap_or(Value::Null),
                });
            }
            let note = object.get("note").and_then(Value::as_str).unwrap_or_default();
            Ok(Reading::Calls { calls, note: note.to_owned() })
        }
        (Some(_), None) => Err("`tool_calls` is no list".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_answers_are_read_with_words_around_them() {
        let text = "I will look.\n```json\n{\"tool_calls\": [{\"name\": \"a\", \"arguments\": {\"x\": 1}}, {\"name\": \"b\"}], \"note\": \"n\"}\n```";
        let Ok(Reading::Calls { calls, note }) = read(text, 3) else { panic!() };
        assert_eq!(note, "n");
        assert_eq!(calls[0].id, "text_3_1");
        assert_eq!(calls[1].arguments, Value::Null);
        assert_eq!(read("{\"final\": \"Done.\"}", 1), Ok(Reading::Final("Done.".into())));
        assert_eq!(read("{\"final\": {\"a\": 1}}", 1), Ok(Reading::Final("{\"a\":1}".into())));
    }

    #[test]
    fn what_is_not_one_object_is_named() {
        for (text, word) in [
            ("Done.", "no JSON"),
            ("[1]", "no object"),
            ("{\"final\": 1, \"tool_calls\": []}", "both"),
            ("{\"answer\": 1}", "neither"),
            ("{\"tool_calls\": []}", "empty"),
            ("{\"tool_calls\": [{\"tool\": \"a\"}]}", "has no `name`"),
            ("{\"tool_calls\": {}}", "no list"),
            ("{\"final\": \"a\"} {\"final\": \"b\"}", "more than one"),
        ] {
            let problem = read(text, 1).unwrap_err();
            assert!(problem.contains(word), "{text}: {problem}");
        }
    }
}
