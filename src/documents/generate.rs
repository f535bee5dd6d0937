//! A page from a model: the question, the check of the answer and of the page, repair rounds.

use std::collections::BTreeMap;

use minijinja::value::Value;
use serde_json::json;

use super::attachments::{CollectedFile, facts_for_prompt};
use super::dependencies::Severity;
use super::error::DocumentError;
use super::html::{Page, ReplyProblem, page_from_reply};
use super::model::Brief;
use super::service::Documents;
use super::verification::Checked;
use super::verification::Score;
use super::verification::drafts::Broken;
use super::verification::rounds::{repairs_on_create, rounds};
use crate::error::ErrorKind;
use crate::jobs::{Ask, Failure, Run};
use crate::llm::{ExpectedKind, Expects, LlmErrorCode, Message, Outcome, Part, Request, Route};
use crate::prompts::{Prompts, RenderedPrompt};

/// Codes of model calls that ended without a whole answer, where a shorter one may come through.
pub(super) const UNFINISHED: [&str; 3] = [
    LlmErrorCode::Incomplete.as_str(),
    LlmErrorCode::Truncated.as_str(),
    LlmErrorCode::Empty.as_str(),
];

/// What such a model is told.
pub(super) const UNFINISHED_ADVICE: &str =
    "the answer broke off before its end; write a shorter document that is complete";

/// What a page is made from.
pub(crate) struct Material<'a> {
    /// What is wanted.
    pub(crate) brief: &'a Brief,
    /// Files that the page may show.
    pub(crate) files: &'a [CollectedFile],
    /// What can be seen of them.
    pub(crate) parts: Vec<Part>,
    /// What is said of the tools that the page may call.
    pub(crate) tools: &'a str,
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

/// A page that is made, with its check.
#[derive(Debug)]
pub(crate) struct CheckedPage {
    /// The page, and who wrote it.
    pub(crate) generated: GeneratedPage,
    /// What its check found.
    pub(crate) checked: Checked,
    /// Rounds in which something was put right, whether they helped or not.
    pub(crate) rounds: u32,
}

impl CheckedPage {
    fn score(&self) -> Score {
        self.checked.score(repairs(&self.generated).len())
    }
}

/// What a model is asked for a page with.
struct Conversation<'a> {
    run: &'a Run,
    prompts: &'a Prompts,
    model: &'a str,
    request: Request,
    attempt: u32,
    max_attempts: u32,
}

impl Documents {
    /// Asks for a page until one works, as often as [`rounds`] allows, and returns the best.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the text; an error when no answer is usable,
    /// or none is a page that works.
    pub(crate) async fn generate(
        &self,
        run: &Run,
        model: &str,
        material: Material<'_>,
    ) -> Result<CheckedPage, Failure> {
        let files = self.page_files(None, material.files, "").await?;
        let prompt = first_prompt(run, &self.parts.prompts, &material)?;
        let expects = Expects::kind(ExpectedKind::Html);
        let mut request = Request::new(prompt.system.clone(), prompt.user.clone(), expects);
        if let Some(question) = request.messages.first_mut() {
            question.parts.extend(material.parts);
        }
        let mut talk = Conversation {
            run,
            prompts: &self.parts.prompts,
            model,
            request,
            attempt: 0,
            max_attempts: 1 + rounds(false, Route::Host),
        };
        // The best page so far: better than none, when no better one comes.
        let mut best: Option<CheckedPage> = None;
        let mut problems = Vec::new();
        loop {
            let asked = talk.ask(&problems).await;
            let used = talk.attempt - 1;
            let (reply, judged, route) = match asked {
                Ok(outcome) => {
                    let (text, route) = (outcome.text.clone(), outcome.route);
                    (
                        text,
                        judge(outcome, "documents/web_app", &prompt, self.parts.page_bytes),
                        route,
                    )
                }
                Err(Failure::Error(error)) => {
                    if error.kind == ErrorKind::Cancelled {
                        return Err(error.into());
                    }
                    // A repair that only was to make a page better is not worth losing the page.
                    if let Some(best) = best {
                        tracing::warn!(error.code = %error.code, "no repair of a page; its best form is kept");
                        return self.settled(run, best).await;
                    }
                    if used >= rounds(false, Route::Host)
                        || !UNFINISHED.contains(&error.code.as_ref())
                    {
                        return Err(error.into());
                    }
                    (String::new(), Err(vec![UNFINISHED_ADVICE.to_owned()]), Route::Host)
                }
                Err(suspended @ Failure::Suspend(_)) => return Err(suspended),
            };
            problems = match judged {
                Ok(generated) => {
                    run.progress(90.0, Some(100.0), "checking the page");
                    let checked = self.check(run, &generated.page.html, &files).await?;
                    let wanted = repairs_on_create(&generated.page.findings, &checked);
                    let page = CheckedPage { generated, checked, rounds: used };
                    best = Some(match best {
                        // Of equal ones the newer.
                        Some(earlier) if earlier.score() < page.score() => earlier,
                        Some(_) | None => page,
                    });
                    wanted
                }
                Err(problems) => problems,
            };
            let is_blocked = best.as_ref().is_some_and(|best| best.checked.is_blocked());
            let allowed = rounds(is_blocked, route);
            if problems.is_empty() || used >= allowed {
                break;
            }
            talk.max_attempts = 1 + allowed;
            talk.go_on(reply, &problems, best.as_ref().map(|best| &best.checked))?;
        }
        let rounds = talk.attempt - 1;
        let best = best.ok_or(DocumentError::Unusable { problems })?;
        self.settled(run, CheckedPage { rounds, ..best }).await
    }

    /// Lets a page through that works; keeps one that does not as a draft.
    async fn settled(&self, run: &Run, page: CheckedPage) -> Result<CheckedPage, Failure> {
        if page.checked.is_blocked() {
            let verification = page.checked.verification(page.rounds);
            let html = &page.generated.page.html;
            return Err(self.broken(run, Broken::Create, html, verification).await?.into());
        }
        Ok(page)
    }
}

impl Conversation<'_> {
    async fn ask(&mut self, problems: &[String]) -> Result<Outcome, Failure> {
        self.attempt += 1;
        self.run
            .complete(Ask {
                step: format!("page#{}", self.attempt),
                model: Some(self.model.to_owned()).filter(|model| !model.trim().is_empty()),
                request: self.request.clone(),
                as_text: None,
                attempt: self.attempt,
                max_attempts: self.max_attempts,
                errors: problems.to_vec(),
            })
            .await
    }

    /// Adds an answer and what is wrong with it.
    fn go_on(
        &mut self,
        reply: String,
        problems: &[String],
        checked: Option<&Checked>,
    ) -> Result<(), DocumentError> {
        let is_seen = checked.is_some_and(|checked| !checked.findings.is_empty());
        let repair = self.prompts.render(
            "documents/repair",
            &self.run.delimiter(),
            BTreeMap::from([
                ("problems", Value::from(list(problems))),
                ("is_seen", Value::from(is_seen)),
            ]),
        )?;
        // Vendors refuse an empty turn.
        let said = if reply.trim().is_empty() { "(no answer)".to_owned() } else { reply };
        self.request.messages.push(Message::assistant(said));
        self.request.messages.push(Message::user(repair.user));
        Ok(())
    }
}

fn first_prompt(
    run: &Run,
    prompts: &Prompts,
    material: &Material<'_>,
) -> Result<RenderedPrompt, DocumentError> {
    let Material { brief, files, tools, .. } = material;
    Ok(prompts.render(
        "documents/web_app",
        &run.delimiter(),
        BTreeMap::from([
            ("request", Value::from(brief.request.as_str())),
            ("context", Value::from(brief.context.as_deref().unwrap_or_default())),
            ("attachments", Value::from(facts_for_prompt(files))),
            ("tools", Value::from(*tools)),
            ("today", Value::from(date(run.started_at()))),
        ]),
    )?)
}

/// The page in an answer, or what is wrong with it in words for the model.
pub(super) fn judge(
    outcome: Outcome,
    prompt_id: &str,
    prompt: &RenderedPrompt,
    page_bytes: usize,
) -> Result<GeneratedPage, Vec<String>> {
    match page_from_reply(&outcome.text, page_bytes) {
        Ok(page) => Ok(GeneratedPage { page, outcome, prompt: prompt_facts(prompt_id, prompt) }),
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
                | ReplyProblem::TextOutside
                | ReplyProblem::NoDoctype
                | ReplyProblem::EmptyBody => "",
            };
            Err(vec![format!("{problem}{what}")])
        }
    }
}

/// What another round should put right.
pub(super) fn repairs(generated: &GeneratedPage) -> Vec<String> {
    generated
        .page
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Repair)
        .map(|finding| finding.message.clone())
        .collect()
}

pub(super) fn list(errors: &[String]) -> String {
    errors.iter().map(|error| format!("- {error}")).collect::<Vec<_>>().join("\n")
}

fn prompt_facts(id: &str, prompt: &RenderedPrompt) -> serde_json::Value {
    json!({
        "id": id,
        "version": prompt.version,
        "template_sha": prompt.template_sha,
    })
}

/// The day of a time in milliseconds, as `2026-11-21`.
pub(super) fn date(milliseconds: i64) -> String {
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
