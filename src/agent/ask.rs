//! The use case of `ask_ai`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jsonschema::Validator;
use minijinja::value::Value as PromptValue;
use serde_json::{Map, Value};

use super::error::AskError;
use super::json::value_from_reply;
use crate::jobs::{Ask, Failure, Run};
use crate::llm::{ExpectedKind, Expects, Message, Outcome, Request};
use crate::prompts::Prompts;

/// Answers that a model may give: the first, and one that puts it right.
const ATTEMPTS: u32 = 2;

/// Largest prompt, system text or schema.
const TEXT_BYTES: usize = 1024 * 1024;

/// Faults that one repair round names.
const NAMED_FAULTS: usize = 10;

/// A question to a model.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// What to answer.
    pub prompt: String,
    /// Shape of the answer.
    pub json_schema: Option<Map<String, Value>>,
    /// Instructions.
    pub system: Option<String>,
    /// Model that the caller names.
    pub model: String,
}

/// Asks a model once.
pub struct AskAi {
    prompts: Arc<Prompts>,
}

/// What an answer has to be.
enum Shape {
    Text,
    Json { schema: Value, validator: Box<Validator> },
}

impl AskAi {
    /// With these prompts.
    pub const fn new(prompts: Arc<Prompts>) -> Self {
        Self { prompts }
    }

    /// Asks, and returns the answer, text or a JSON value, with who gave it.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the text; else why there is no answer.
    pub async fn ask(&self, run: &Run, question: Question) -> Result<(Value, Outcome), Failure> {
        let shape = checked_shape(&question)?;
        let schema = match &shape {
            Shape::Text => String::new(),
            Shape::Json { schema, .. } => format!("{schema:#}"),
        };
        let is_json = !schema.is_empty();
        let prompt = self
            .prompts
            .render(
                "agent/ask",
                &run.delimiter(),
                BTreeMap::from([
                    ("prompt", PromptValue::from(question.prompt.as_str())),
                    (
                        "system",
                        PromptValue::from(question.system.as_deref().unwrap_or_default().trim()),
                    ),
                    ("schema", PromptValue::from(schema)),
                ]),
            )
            .map_err(AskError::from)?;
        let expects = match &shape {
            Shape::Text => Expects::kind(ExpectedKind::Text),
            Shape::Json { schema, .. } => {
                Expects { schema: Some(schema.clone()), ..Expects::kind(ExpectedKind::Json) }
            }
        };
        let mut request = Request::new(prompt.system, prompt.user, expects);
        let mut problems: Vec<String> = Vec::new();
        for attempt in 1..=ATTEMPTS {
            let outcome = run
                .complete(Ask {
                    step: format!("answer#{attempt}"),
                    model: Some(question.model.clone()).filter(|model| !model.trim().is_empty()),
                    request: request.clone(),
                    as_text: None,
                    attempt,
                    max_attempts: ATTEMPTS,
                    errors: problems.clone(),
                })
                .await?;
            problems = match shape.judge(&outcome.text) {
                Ok(answer) => return Ok((answer, outcome)),
                Err(problems) => problems,
            };
            let listed: Vec<String> =
                problems.iter().map(|problem| format!("- {problem}")).collect();
            let repair = self
                .prompts
                .render(
                    "agent/repair",
                    &run.delimiter(),
                    BTreeMap::from([
                        ("problems", PromptValue::from(listed.join("\n"))),
                        ("json", PromptValue::from(is_json)),
                    ]),
                )
                .map_err(AskError::from)?;
            // Vendors refuse an empty turn.
            let is_blank = outcome.text.trim().is_empty();
            let said = if is_blank { "(no answer)".to_owned() } else { outcome.text };
            request.messages.push(Message::assistant(said));
            request.messages.push(Message::user(repair.user));
        }
        Err(AskError::Unusable { problems }.into())
    }
}

impl Shape {
    fn judge(&self, reply: &str) -> Result<Value, Vec<String>> {
        match self {
            Self::Text if reply.trim().is_empty() => Err(vec!["the answer is empty".to_owned()]),
            Self::Text => Ok(Value::from(reply.trim())),
            Self::Json { validator, .. } => {
                let value = value_from_reply(reply).map_err(|problem| vec![problem.to_string()])?;
                let faults: Vec<String> = validator
                    .iter_errors(&value)
                    .take(NAMED_FAULTS)
                    .map(|fault| {
                        let place = fault.instance_path().to_string();
                        let place = if place.is_empty() {
                            "the value".to_owned()
                        } else {
                            format!("`{place}`")
                        };
                        let text: String = fault.to_string().chars().take(300).collect();
                        format!("{place}: {text}")
                    })
                    .collect();
                if faults.is_empty() { Ok(value) } else { Err(faults) }
            }
        }
    }
}

fn checked_shape(question: &Question) -> Result<Shape, AskError> {
    if question.prompt.trim().is_empty() {
        return Err(AskError::NoPrompt);
    }
    let schema = question.json_schema.clone().map(Value::Object);
    let sizes = [
        ("prompt", question.prompt.len()),
        ("system", question.system.as_deref().map_or(0, str::len)),
        ("json_schema", schema.as_ref().map_or(0, |schema| schema.to_string().len())),
    ];
    for (argument, bytes) in sizes {
        if bytes > TEXT_BYTES {
            return Err(AskError::ArgumentTooLarge { argument, bytes, limit: TEXT_BYTES });
        }
    }
    let Some(schema) = schema else { return Ok(Shape::Text) };
    // Schemas of other documents are not loaded: this build has no resolver for them.
    let validator = jsonschema::validator_for(&schema)
        .map_err(|error| AskError::Schema(error.to_string().chars().take(300).collect()))?;
    Ok(Shape::Json { schema, validator: Box::new(validator) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape(schema: &Value) -> Result<Shape, AskError> {
        checked_shape(&Question {
            prompt: "x".to_owned(),
            json_schema: schema.as_object().cloned(),
            ..Question::default()
        })
    }

    #[test]
    fn faults_are_named_with_their_place() {
        let schema = json!({
            "type": "object",
            "properties": {"age": {"type": "integer"}},
            "required": ["age"],
        });
        let shape = shape(&schema).unwrap();
        assert_eq!(shape.judge("{\"age\": 3}"), Ok(json!({"age": 3})));
        let faults = shape.judge("{\"age\": \"three\"}").unwrap_err();
        assert!(faults[0].starts_with("`/age`: "), "{faults:?}");
        let faults = shape.judge("[]").unwrap_err();
        assert!(faults[0].starts_with("the value: "), "{faults:?}");
    }

    #[test]
    fn schemas_that_are_none_or_lead_elsewhere_are_refused() {
        for schema in [
            json!({"type": "thing"}),
            json!({"$ref": "http://127.0.0.1:1/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"pattern": "("}),
        ] {
            assert!(matches!(shape(&schema), Err(AskError::Schema(_))), "{schema}");
        }
    }
}
