//! A definition from words: a model writes it, our own checks judge it, and what is wrong goes back.

use std::collections::BTreeMap;

use minijinja::value::Value as PromptValue;
use serde_json::Value;

use super::definition::{self, Problem};
use super::error::{ElixirError, Refusal};
use crate::jobs::{Ask, Failure, Run};
use crate::llm::{ExpectedKind, Expects, Message, Outcome, Request};
use crate::prompts::Prompts;

/// Answers that a model may give: the first, and two that put it right.
const ATTEMPTS: u32 = 3;

/// Longest description.
const DESCRIPTION_BYTES: usize = 64 * 1024;

/// Asks for a definition until one can be used.
///
/// # Errors
/// [`Failure::Suspend`] while somebody else writes it; an error when no answer is usable.
pub(crate) async fn define(
    run: &Run,
    prompts: &Prompts,
    model: &str,
    description: &str,
    project: &str,
) -> Result<(Value, Outcome), Failure> {
    if description.len() > DESCRIPTION_BYTES {
        return Err(ElixirError::refused(
            Refusal::Arguments,
            format!(
                "`description` has {} bytes, at most {DESCRIPTION_BYTES} are taken",
                description.len()
            ),
            "describe one resource at a time",
        )
        .into());
    }
    let prompt = prompts.render(
        "elixir/definition",
        &run.delimiter(),
        BTreeMap::from([
            ("description", PromptValue::from(description)),
            ("project", PromptValue::from(project)),
        ]),
    );
    let prompt = prompt.map_err(|error| Failure::Error(error.into()))?;
    let expects = Expects::kind(ExpectedKind::Json);
    let mut request = Request::new(prompt.system, prompt.user, expects);
    let mut problems: Vec<String> = Vec::new();
    for attempt in 1..=ATTEMPTS {
        let outcome = run
            .complete(Ask {
                step: format!("definition#{attempt}"),
                model: Some(model.to_owned()).filter(|model| !model.trim().is_empty()),
                request: request.clone(),
                as_text: None,
                attempt,
                max_attempts: ATTEMPTS,
                errors: problems.clone(),
            })
            .await?;
        problems = match judge(&outcome.text) {
            Ok(definition) => return Ok((definition, outcome)),
            Err(problems) => problems,
        };
        let listed: Vec<String> = problems.iter().map(|problem| format!("- {problem}")).collect();
        let repair = prompts.render(
            "elixir/repair",
            &run.delimiter(),
            BTreeMap::from([("problems", PromptValue::from(listed.join("\n")))]),
        );
        let repair = repair.map_err(|error| Failure::Error(error.into()))?;
        // Vendors refuse an empty turn.
        let is_blank = outcome.text.trim().is_empty();
        let said = if is_blank { "(no answer)".to_owned() } else { outcome.text };
        request.messages.push(Message::assistant(said));
        request.messages.push(Message::user(repair.user));
    }
    Err(ElixirError::refused(
        Refusal::NoDefinition,
        format!("the model's definition could not be used: {}", problems.join("; ")),
        "describe the resource more plainly, name another `model`, or write `schema_definition` yourself",
    )
    .into())
}

/// The definition in an answer, or what is wrong with it in words for the model.
fn judge(reply: &str) -> Result<Value, Vec<String>> {
    let json = match (reply.find('{'), reply.rfind('}')) {
        (Some(start), Some(end)) if start < end => reply.get(start..=end).unwrap_or_default(),
        _ => return Err(vec!["the answer holds no JSON object".to_owned()]),
    };
    let value: Value = serde_json::from_str(json)
        .map_err(|error| vec![format!("the answer is no JSON: {error}")])?;
    // Models like to wrap what they were asked for.
    let value = match value.get("schema_definition") {
        Some(inner) if value.get("fields").is_none() => inner.clone(),
        _ => value,
    };
    match definition::read(&value) {
        Ok(_) => Ok(value),
        Err(problems) => Err(problems.iter().map(Problem::sentence).collect()),
    }
}

impl Problem {
    fn sentence(&self) -> String {
        format!("{}: {} ({})", self.place, self.message, self.fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_out_of_their_wrapping() {
        let answer = "Here:\n```json\n{\"schema_definition\": {\"module_name\": \"User\", \"fields\": [\"name:string\"]}}\n```";
        assert_eq!(judge(answer).unwrap()["module_name"], "User");
        assert_eq!(judge("none"), Err(vec!["the answer holds no JSON object".to_owned()]));
        let wrong = judge("{\"module_name\": \"User\", \"fields\": [\"name:strin\"]}").unwrap_err();
        assert!(wrong[0].contains("did you mean `string`"), "{wrong:?}");
    }
}
