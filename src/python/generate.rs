//! A program from a model: the question, the answer's check, one repair round.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::value::Value;

use super::code::{CodeProblem, Finding, examine};
use super::error::PythonError;
use super::reply::program;
use crate::error::ErrorKind;
use crate::jobs::{Ask, Failure, Run};
use crate::llm::{ExpectedKind, Expects, LlmErrorCode, Message, Outcome, Request};
use crate::prompts::{Prompts, RenderedPrompt};

/// Answers that a model may give: the first, and one that puts it right.
const ATTEMPTS: u32 = 2;

/// Codes of model calls that ended without a whole answer, where a shorter one may come through.
const UNFINISHED: [&str; 3] = [
    LlmErrorCode::Incomplete.as_str(),
    LlmErrorCode::Truncated.as_str(),
    LlmErrorCode::Empty.as_str(),
];

/// A program that parses, and who wrote it.
pub(super) struct Generated {
    pub(super) code: String,
    pub(super) findings: Vec<Finding>,
    pub(super) outcome: Outcome,
}

/// What a model is to write.
pub(super) struct Wanted<'call> {
    pub(super) prompt: RenderedPrompt,
    pub(super) model: &'call str,
    /// Names of the tools that the program may call.
    pub(super) tools: &'call BTreeSet<String>,
}

/// Asks for a program until one parses and looks right, at most [`ATTEMPTS`] times.
///
/// # Errors
/// [`Failure::Suspend`] while somebody else writes the text; an error when no answer parses.
pub(super) async fn generate(
    run: &Run,
    prompts: &Prompts,
    wanted: Wanted<'_>,
) -> Result<Generated, Failure> {
    let expects = Expects::kind(ExpectedKind::Python);
    let mut request = Request::new(wanted.prompt.system, wanted.prompt.user, expects);
    let mut fallback: Option<Generated> = None;
    let mut errors = Vec::new();
    for attempt in 1..=ATTEMPTS {
        let asked = run
            .complete(Ask {
                step: format!("code#{attempt}"),
                model: Some(wanted.model.to_owned()).filter(|model| !model.trim().is_empty()),
                request: request.clone(),
                as_text: None,
                attempt,
                max_attempts: ATTEMPTS,
                errors: errors.clone(),
            })
            .await;
        let (said, judged) = match asked {
            Ok(outcome) => (outcome.text.clone(), judge(outcome, wanted.tools).await),
            Err(Failure::Error(error)) => {
                if error.kind == ErrorKind::Cancelled {
                    return Err(error.into());
                }
                // A repair that only was to make a program better is not worth losing it.
                if let Some(generated) = fallback {
                    tracing::warn!(error.code = %error.code, "no repair of a program; its first form is kept");
                    return Ok(generated);
                }
                if attempt == ATTEMPTS || !UNFINISHED.contains(&error.code.as_ref()) {
                    return Err(error.into());
                }
                let advice = "the answer broke off before its end; write a shorter program";
                (String::new(), Err(vec![advice.to_owned()]))
            }
            Err(suspended @ Failure::Suspend(_)) => return Err(suspended),
        };
        errors = match judged {
            Ok(generated) if generated.findings.is_empty() => return Ok(generated),
            Ok(generated) => {
                let told = generated.findings.iter();
                let told =
                    told.map(|finding| format!("line {}: {}", finding.line, finding.message));
                let told = told.collect();
                fallback = Some(match fallback {
                    Some(earlier) if earlier.findings.len() < generated.findings.len() => earlier,
                    Some(_) | None => generated,
                });
                told
            }
            Err(problems) => problems,
        };
        let listed: Vec<String> = errors.iter().map(|error| format!("- {error}")).collect();
        let repair = prompts
            .render(
                "python/repair",
                &run.delimiter(),
                BTreeMap::from([("problems", Value::from(listed.join("\n")))]),
            )
            .map_err(PythonError::from)?;
        // Vendors refuse an empty turn.
        let said = if said.trim().is_empty() { "(no answer)".to_owned() } else { said };
        request.messages.push(Message::assistant(said));
        request.messages.push(Message::user(repair.user));
    }
    fallback.ok_or_else(|| PythonError::Unusable { problems: errors }.into())
}

/// The program in an answer, or what is wrong with it in words for the model.
async fn judge(outcome: Outcome, tools: &BTreeSet<String>) -> Result<Generated, Vec<String>> {
    let code = program(&outcome.text).map_err(|problem| vec![problem.to_string()])?;
    match look_at(&code, tools).await {
        Ok(findings) => Ok(Generated { code, findings, outcome }),
        Err(problem) => Err(vec![format!("it does not parse as Python: {problem}")]),
    }
}

/// Reads a program on a thread where that may take its time.
pub(super) async fn look_at(
    code: &str,
    tools: &BTreeSet<String>,
) -> Result<Vec<Finding>, CodeProblem> {
    let (code, tools) = (code.to_owned(), tools.clone());
    let reading = tokio::task::spawn_blocking(move || examine(&code, &tools));
    reading.await.unwrap_or(Err(CodeProblem::NoMemory))
}
