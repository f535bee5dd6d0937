//! The conversation with the author of a server's tools.

use std::collections::BTreeMap;

use minijinja::value::Value as PromptValue;
use serde_json::Value;

use super::error::{FactoryError, Refusal};
use super::source::description::PACKAGES;
use crate::jobs::{Ask, Failure, Run};
use crate::llm::{ExpectedKind, Expects, Message, Outcome, Part, Request, Role};
use crate::prompts::Prompts;

/// Answers that a model may give: the first, and three that put it right.
pub(super) const ATTEMPTS: u32 = 4;

/// A conversation, kept over its rounds.
pub(super) struct Conversation<'a> {
    run: &'a Run,
    prompts: &'a Prompts,
    model: String,
    /// What its steps are called.
    name: String,
    request: Request,
    problems: Vec<String>,
}

/// What a conversation begins with.
pub(super) struct Opening<'a> {
    /// The prompt.
    pub(super) prompt: &'a str,
    /// Its inputs.
    pub(super) inputs: BTreeMap<&'static str, PromptValue>,
    /// What its steps are called.
    pub(super) name: String,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        run: &'a Run,
        prompts: &'a Prompts,
        model: &str,
        opening: Opening<'_>,
    ) -> Result<Self, Failure> {
        let Opening { prompt, mut inputs, name } = opening;
        inputs.insert("packages", PromptValue::from(PACKAGES.join(", ")));
        let prompt = prompts
            .render(prompt, &run.delimiter(), inputs)
            .map_err(|error| Failure::Error(error.into()))?;
        let request = Request::new(prompt.system, prompt.user, Expects::kind(ExpectedKind::Json));
        Ok(Self { run, prompts, model: model.to_owned(), name, request, problems: Vec::new() })
    }

    /// Asks for a text; what was wrong with the last answer goes along.
    pub(super) async fn ask(&self, attempt: u32) -> Result<Outcome, Failure> {
        self.run
            .complete(Ask {
                step: format!("{}#{attempt}", self.name),
                model: Some(self.model.clone()).filter(|model| !model.trim().is_empty()),
                request: self.request.clone(),
                as_text: None,
                attempt,
                max_attempts: ATTEMPTS,
                errors: self.problems.clone(),
            })
            .await
    }

    /// What was asked last: the instructions, and the newest text of ours.
    pub(super) fn asked(&self) -> (&str, String) {
        let text = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            _ => None,
        };
        let last = self.request.messages.iter().rev().find(|message| message.role == Role::User);
        let words = last.map(|message| message.parts.iter().filter_map(text).collect::<Vec<_>>());
        (&self.request.system, words.unwrap_or_default().join("\n"))
    }

    /// Adds an answer that cannot be used, and why.
    pub(super) fn refuse(&mut self, answer: String, problems: Vec<String>) -> Result<(), Failure> {
        let listed: Vec<String> = problems.iter().map(|problem| format!("- {problem}")).collect();
        let repair = self
            .prompts
            .render(
                "factory/repair",
                &self.run.delimiter(),
                BTreeMap::from([("problems", PromptValue::from(listed.join("\n")))]),
            )
            .map_err(|error| Failure::Error(error.into()))?;
        // Vendors refuse an empty turn.
        let said = if answer.trim().is_empty() { "(no answer)".to_owned() } else { answer };
        self.request.messages.push(Message::assistant(said));
        self.request.messages.push(Message::user(repair.user));
        self.problems = problems;
        Ok(())
    }
}

/// The end of conversations that came to nothing.
pub(super) fn given_up(problems: Vec<String>) -> FactoryError {
    FactoryError::new(
        Refusal::NoSpecification,
        format!("after {ATTEMPTS} answers the tools still cannot be used: {}", problems.join("; ")),
        "describe the server more plainly, name another `model`, or write `tool_specs` yourself",
    )
    .detail("problems", Value::from(problems))
}

/// The JSON of an answer.
pub(super) fn json_of(answer: &str) -> Result<Value, Vec<String>> {
    let text = match (answer.find('{'), answer.rfind('}')) {
        (Some(start), Some(end)) if start < end => answer.get(start..=end).unwrap_or_default(),
        _ => return Err(vec!["the answer holds no JSON object".to_owned()]),
    };
    serde_json::from_str(text).map_err(|error| vec![format!("the answer is no JSON: {error}")])
}
