//! A page from a model: the question, the answer's check, one repair round.

use std::collections::BTreeMap;

use minijinja::value::Value;
use serde_json::json;

use super::attachments::{CollectedFile, facts_for_prompt};
use super::dependencies::Severity;
use super::error::DocumentError;
use super::html::{Page, ReplyProblem, page_from_reply};
use super::model::Brief;
use crate::jobs::{Ask, Failure, Run};
use crate::llm::{ExpectedKind, Expects, Message, Outcome, Request};
use crate::prompts::{Prompts, RenderedPrompt};

/// Answers that a model may give: the first, and one that puts it right.
const ATTEMPTS: u32 = 2;

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
    files: &[CollectedFile],
    page_bytes: usize,
) -> Result<GeneratedPage, Failure> {
    let prompt = prompts
        .render(
            "documents/web_app",
            &run.delimiter(),
            BTreeMap::from([
                ("request", Value::from(brief.request.as_str())),
                ("context", Value::from(brief.context.as_deref().unwrap_or_default())),
                ("attachments", Value::from(facts_for_prompt(files))),
                ("today", Value::from(date(run.started_at()))),
            ]),
        )
        .map_err(DocumentError::from)?;
    let expects = Expects::kind(ExpectedKind::Html);
    let mut request = Request::new(prompt.system.clone(), prompt.user.clone(), expects);
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
        let outcome = match (asked, fallback.take()) {
            (Ok(outcome), earlier) => {
                fallback = earlier;
                outcome
            }
            // A repair that only was to make a whole page better is not worth losing the page.
            (Err(Failure::Error(error)), Some(page)) if error.code != "cancelled" => {
                tracing::warn!(error.code = %error.code, "no repair of a page; its first form is kept");
                return Ok(page);
            }
            (Err(failure), _) => return Err(failure),
        };
        let reply = outcome.text.clone();
        errors = match page_from_reply(&reply, page_bytes) {
            Ok(page) => {
                let wanted: Vec<String> = page
                    .findings
                    .iter()
                    .filter(|finding| finding.severity == Severity::Repair)
                    .map(|finding| finding.message.clone())
                    .collect();
                let generated = GeneratedPage { page, outcome, prompt: prompt_facts(&prompt) };
                if wanted.is_empty() {
                    return Ok(generated);
                }
                fallback = Some(fewer_repairs(fallback, generated));
                wanted
            }
            Err(problem) if attempt == ATTEMPTS && fallback.is_none() => {
                return Err(DocumentError::unusable(&problem, outcome.model_used).into());
            }
            Err(problem) => vec![advice(&problem)],
        };
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
    fallback.ok_or_else(|| DocumentError::unusable(&ReplyProblem::Empty, None).into())
}

/// The page that leans less on other servers; of two equal ones the newer.
fn fewer_repairs(earlier: Option<GeneratedPage>, later: GeneratedPage) -> GeneratedPage {
    let repairs = |generated: &GeneratedPage| {
        generated
            .page
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Repair)
            .count()
    };
    match earlier {
        Some(earlier) if repairs(&earlier) < repairs(&later) => earlier,
        Some(_) | None => later,
    }
}

/// A problem with what to do about it, for the model.
fn advice(problem: &ReplyProblem) -> String {
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
    format!("{problem}{what}")
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
