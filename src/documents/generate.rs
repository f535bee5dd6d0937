//! A page from a model: the question, the answer's check, one repair round.

use std::collections::BTreeMap;

use minijinja::value::Value;
use serde_json::json;

use super::attachments::{CollectedFile, facts_for_prompt};
use super::dependencies::Severity;
use super::error::DocumentError;
use super::html::{Page, ReplyProblem, page_from_reply};
use super::model::Brief;
use crate::error::ErrorKind;
use crate::jobs::{Ask, Failure, Run};
use crate::llm::{ExpectedKind, Expects, LlmErrorCode, Message, Outcome, Part, Request};
use crate::prompts::{Prompts, RenderedPrompt};

/// Answers that a model may give: the first, and one that puts it right.
const ATTEMPTS: u32 = 2;

/// Codes of model calls that ended without a whole answer, where a shorter one may come through.
const UNFINISHED: [&str; 3] = [
    LlmErrorCode::Incomplete.as_str(),
    LlmErrorCode::Truncated.as_str(),
    LlmErrorCode::Empty.as_str(),
];

/// What such a model is told.
const UNFINISHED_ADVICE: &str =
    "the answer broke off before its end; write a shorter document that is complete";

/// The files that a page may use.
pub(crate) struct Material<'call> {
    /// What they are.
    pub(crate) files: &'call [CollectedFile],
    /// What can be seen of them.
    pub(crate) parts: Vec<Part>,
}

/// A page and who wrote it.
#[derive(Debug)]
pub(crate) struct GeneratedPage {
    /// The page.
    pub(crate) page: Page,
    /// The answer that it comes from.
    pub(crate) outcome: Outcome,
    /// Facts about the prompt, for the version's record.
    pub(crate) prompt: serde_json::Value,
}

/// Asks for a page until one can be published, at most [`ATTEMPTS`] times.
///
/// # Errors
/// [`Failure::Suspend`] while somebody else writes the text; an error when no answer is usable.
pub(crate) async fn generate(
    run: &Run,
    prompts: &Prompts,
    model: &str,
    brief: &Brief,
    material: Material<'_>,
    page_bytes: usize,
) -> Result<GeneratedPage, Failure> {
    let prompt = prompts
        .render(
            "documents/web_app",
            &run.delimiter(),
            BTreeMap::from([
                ("request", Value::from(brief.request.as_str())),
                ("context", Value::from(brief.context.as_deref().unwrap_or_default())),
                ("attachments", Value::from(facts_for_prompt(material.files))),
                ("today", Value::from(date(run.started_at()))),
            ]),
        )
        .map_err(DocumentError::from)?;
    let expects = Expects::kind(ExpectedKind::Html);
    let mut request = Request::new(prompt.system.clone(), prompt.user.clone(), expects);
    if let Some(question) = request.messages.first_mut() {
        question.parts.extend(material.parts);
    }
    // A whole page that only leans on other servers: better than none, when no better one comes.
    let mut fallback: Option<GeneratedPage> = None;
    let mut errors = Vec::new();
    for attempt in 1..=ATTEMPTS {
        let asked = run
            .complete(Ask {
                step: format!("page#{attempt}"),
                model: Some(model.to_owned()).filter(|model| !model.trim().is_empty()),
                request: request.clone(),
                attempt,
                max_attempts: ATTEMPTS,
                errors: errors.clone(),
            })
            .await;
        let is_last = attempt == ATTEMPTS;
        let (reply, judged) = match asked {
            Ok(outcome) => (outcome.text.clone(), judge(outcome, &prompt, page_bytes)),
            Err(Failure::Error(error)) => {
                if error.kind == ErrorKind::Cancelled {
                    return Err(error.into());
                }
                // A repair that only was to make a whole page better is not worth losing the page.
                if let Some(page) = fallback {
                    tracing::warn!(error.code = %error.code, "no repair of a page; its first form is kept");
                    return Ok(page);
                }
                if is_last || !UNFINISHED.contains(&error.code.as_ref()) {
                    return Err(error.into());
                }
                (String::new(), Err(vec![UNFINISHED_ADVICE.to_owned()]))
            }
            Err(suspended @ Failure::Suspend(_)) => return Err(suspended),
        };
        errors = match judged {
            Ok(generated) => {
                let wanted = repairs(&generated);
                if wanted.is_empty() {
                    return Ok(generated);
                }
                fallback = Some(match fallback {
                    // Of two pages the one that leans less on others; of equal ones the newer.
                    Some(earlier) if repairs(&earlier).len() < wanted.len() => earlier,
                    Some(_) | None => generated,
                });
                wanted
            }
            Err(problems) => problems,
        };
        if is_last {
            break;
        }
        let repair = prompts
            .render(
                "documents/repair",
                &run.delimiter(),
                BTreeMap::from([("problems", Value::from(list(&errors)))]),
            )
            .map_err(DocumentError::from)?;
        // Vendors refuse an empty turn.
        let said = if reply.trim().is_empty() { "(no answer)".to_owned() } else { reply };
        request.messages.push(Message::assistant(said));
        request.messages.push(Message::user(repair.user));
    }
    fallback.ok_or_else(|| DocumentError::Unusable { problems: errors }.into())
}

/// The page in an answer, or what is wrong with it in words for the model.
fn judge(
    outcome: Outcome,
    prompt: &RenderedPrompt,
    page_bytes: usize,
) -> Result<GeneratedPage, Vec<String>> {
    match page_from_reply(&outcome.text, page_bytes) {
        Ok(page) => Ok(GeneratedPage { page, outcome, prompt: prompt_facts(prompt) }),
        Err(problem) => {
            let what = match problem {
                ReplyProblem::MissingEnd | ReplyProblem::TooLarge { .. } => {
                    "; write a shorter document that is complete"
                }
                ReplyProblem::Patch => "; write the whole document, not its changes",
                ReplyProblem::Empty
                | ReplyProblem::NoDocument { .. }
                | ReplyProblem::Fragment
                | ReplyProblem::SeveralDocuments
                | ReplyProblem::MarkupAfterEnd
                | ReplyProblem::EmptyBody => "",
            };
            Err(vec![format!("{problem}{what}")])
        }
    }
}

/// What another round should put right.
fn repairs(generated: &GeneratedPage) -> Vec<String> {
    generated
        .page
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Repair)
        .map(|finding| finding.message.clone())
        .collect()
}

fn list(errors: &[String]) -> String {
    errors.iter().map(|error| format!("- {error}")).collect::<Vec<_>>().join("\n")
}

fn prompt_facts(prompt: &RenderedPrompt) -> serde_json::Value {
    json!({
        "id": "documents/web_app",
        "version": prompt.version,
        "template_sha": prompt.template_sha,
    })
}

/// The day of a time in milliseconds, as `2026-11-21`.
fn date(milliseconds: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1000))
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    time.date().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_like_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(1_795_219_200_000), "2026-11-21");
        assert_eq!(date(i64::MAX), "1970-01-01");
    }
}
