//! The one JSON value in a model's answer.

use serde_json::Value;

/// Places where a value may begin that are looked at; an answer with more is no answer.
const MAX_PLACES: usize = 1000;

/// Why an answer is not one JSON value, in words for the model and for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonProblem {
    /// Nothing at all.
    #[error("the answer is empty")]
    Empty,
    /// No value.
    #[error("the answer holds no JSON value")]
    NoValue,
    /// Cut.
    #[error("the JSON value is cut off before its end")]
    Cut,
    /// Not well-formed.
    #[error("the JSON value is malformed: {0}")]
    Malformed(String),
    /// More than one.
    #[error("the answer holds more than one JSON value; exactly one is wanted")]
    Several,
}

/// Takes the one value out of an answer: the whole answer, or an object or array with a fence or
/// prose around it.
///
/// # Errors
/// Why there is not exactly one.
pub(crate) fn value_from_reply(reply: &str) -> Result<Value, JsonProblem> {
    let reply = reply.trim_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}');
    if reply.is_empty() {
        return Err(JsonProblem::Empty);
    }
    if let Ok(value) = serde_json::from_str(reply) {
        return Ok(value);
    }
    let mut found: Option<Value> = None;
    let mut first_problem = None;
    let mut at = 0;
    for _ in 0..MAX_PLACES {
        let rest = reply.get(at..).unwrap_or_default();
        let Some(start) = rest.find(['{', '[']) else { break };
        let mut values = serde_json::Deserializer::from_str(rest.get(start..).unwrap_or_default())
            .into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                if found.is_some() {
                    return Err(JsonProblem::Several);
                }
                found = Some(value);
                at += start + values.byte_offset();
            }
            Some(Err(error)) => {
                first_problem.get_or_insert_with(|| problem(&error));
                at += start + 1;
            }
            None => break,
        }
    }
    match (found, first_problem) {
        // A value after a broken one may be a piece of it.
        (Some(_), Some(JsonProblem::Cut)) => Err(JsonProblem::Cut),
        (Some(value), _) => Ok(value),
        (None, Some(problem)) => Err(problem),
        (None, None) => Err(JsonProblem::NoValue),
    }
}

fn problem(error: &serde_json::Error) -> JsonProblem {
    if error.is_eof() { JsonProblem::Cut } else { JsonProblem::Malformed(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn one_value_is_found_whatever_is_around_it() {
        let value = json!({"name": "Ada {[}", "tags": ["a", "b"]});
        for reply in [
            value.to_string(),
            format!("\u{feff} {value}\n"),
            format!("```json\n{value}\n```"),
            format!(
                "Here it is:\n\n```\n{}\n```\nDone.",
                serde_json::to_string_pretty(&value).unwrap()
            ),
            format!("Sure! {value} Anything else?"),
            format!("I use {{braces}} and [marks] here: {value}"),
        ] {
            assert_eq!(value_from_reply(&reply).unwrap(), value, "{reply}");
        }
        assert_eq!(value_from_reply("\"text\"").unwrap(), json!("text"));
        assert_eq!(value_from_reply("42").unwrap(), json!(42));
    }

    #[test]
    fn what_is_not_one_value_is_named() {
        for (reply, expected) in [
            ("", JsonProblem::Empty),
            (" \n", JsonProblem::Empty),
            ("I cannot do that.", JsonProblem::NoValue),
            ("{\"a\": 1} {\"a\": 2}", JsonProblem::Several),
            ("{\"a\": 1}\n```\n{\"a\": 2}", JsonProblem::Several),
            ("{\"a\": \"cut", JsonProblem::Cut),
            ("{\"a\": [{\"b\": 1}, {\"b\":", JsonProblem::Cut),
        ] {
            assert_eq!(value_from_reply(reply), Err(expected), "{reply}");
        }
        assert!(matches!(value_from_reply("{a: 1}"), Err(JsonProblem::Malformed(_))));
        assert!(matches!(value_from_reply("{'a': 1}"), Err(JsonProblem::Malformed(_))));
        assert!(value_from_reply(&"[".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn every_cut_of_an_object_is_noticed(key in "[a-z]{1,8}", text in "\\PC{0,20}", cut in 1_usize..40) {
            let whole = json!({key: {"text": text, "list": [1, 2]}}).to_string();
            let end = whole.char_indices().map(|(at, _)| at).filter(|at| *at > 0).nth(cut);
            if let Some(end) = end {
                prop_assert!(value_from_reply(&whole[..end]).is_err());
            }
        }
    }
}
