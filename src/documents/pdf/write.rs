//! A document's HTML from a model: the question, calls of tools, the answer's check, repairs.

use std::collections::BTreeMap;

use minijinja::value::Value;

use super::super::attachments::{CollectedFile, facts_for_prompt};
use super::super::error::DocumentError;
use super::super::generate::{
    GeneratedPage, UNFINISHED, UNFINISHED_ADVICE, date, judge, list, repairs,
};
use super::super::model::Brief;
use super::tool_calls::{MadeCall, Toolbox};
use crate::error::ErrorKind;
use crate::jobs::{Ask, Failure, Run};
use crate::llm::{ExpectedKind, Expects, Message, Outcome, Part, Request};
use crate::prompts::{Prompts, RenderedPrompt};

/// Whole texts that a model may write before one is usable: the first, and one that puts it right.
const ATTEMPTS: u32 = 2;
/// The same with those that put right what the print showed.
const ALL_ATTEMPTS: u32 = 4;

/// What a model is asked.
pub(super) struct Question<'a> {
    /// Model as the caller named it.
    pub(super) model: &'a str,
    /// What to write.
    pub(super) brief: &'a Brief,
    /// Files that the document may use.
    pub(super) files: &'a [CollectedFile],
    /// What the model sees of these files.
    pub(super) shown: Vec<Part>,
    /// The paper, in words.
    pub(super) paper: String,
    /// Cap on the HTML, in bytes.
    pub(super) page_bytes: usize,
}

/// A conversation with whoever writes the document.
pub(super) struct Writing<'a> {
    run: &'a Run,
    prompts: &'a Prompts,
    question: Question<'a>,
    tools: Toolbox,
    prompt: RenderedPrompt,
    request: Request,
    /// Questions asked so far: the number of the step.
    turn: u32,
    /// Whole texts asked for so far.
    attempt: u32,
    /// What was wrong with the last one.
    errors: Vec<String>,
}

impl<'a> Writing<'a> {
    /// Prepares the question.
    ///
    /// # Errors
    /// When the prompt cannot be made.
    pub(super) fn new(
        run: &'a Run,
        prompts: &'a Prompts,
        question: Question<'a>,
        tools: Toolbox,
    ) -> Result<Self, DocumentError> {
        let prompt = prompts.render(
            "documents/pdf",
            &run.delimiter(),
            BTreeMap::from([
                ("request", Value::from(question.brief.request.as_str())),
                ("context", Value::from(question.brief.context.as_deref().unwrap_or_default())),
                ("attachments", Value::from(facts_for_prompt(question.files))),
                ("paper", Value::from(question.paper.as_str())),
                ("today", Value::from(date(run.started_at()))),
            ]),
        )?;
        let expects = Expects::kind(ExpectedKind::Html);
        let mut request = Request::new(prompt.system.clone(), prompt.user.clone(), expects);
        if let Some(first) = request.messages.first_mut() {
            first.parts.extend(question.shown.iter().cloned());
        }
        tools.introduce(prompts, &run.delimiter(), &mut request)?;
        let (turn, attempt, errors) = (0, 0, Vec::new());
        Ok(Self { run, prompts, question, tools, prompt, request, turn, attempt, errors })
    }

    /// The calls of tools that were made.
    pub(super) fn into_calls(self) -> Vec<MadeCall> {
        self.tools.made
    }

    /// Asks until a text can be printed, at most [`ATTEMPTS`] times.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the text; an error when no answer is usable.
    pub(super) async fn page(&mut self) -> Result<GeneratedPage, Failure> {
        // A whole document that only leans on other servers: better than none.
        let mut fallback: Option<GeneratedPage> = None;
        let last = (self.attempt + ATTEMPTS).min(ALL_ATTEMPTS);
        loop {
            self.attempt += 1;
            let is_last = self.attempt >= last;
            let (reply, judged) = match self.answer().await {
                Ok(outcome) => {
                    let text = outcome.text.clone();
                    (text, judge(outcome, "documents/pdf", &self.prompt, self.question.page_bytes))
                }
                Err(Failure::Error(error)) => {
                    if error.kind == ErrorKind::Cancelled {
                        return Err(error.into());
                    }
                    if let Some(page) = fallback {
                        tracing::warn!(error.code = %error.code, "no repair of a document; its first form is kept");
                        return Ok(page);
                    }
                    if is_last || !UNFINISHED.contains(&error.code.as_ref()) {
                        return Err(error.into());
                    }
                    (String::new(), Err(vec![UNFINISHED_ADVICE.to_owned()]))
                }
                Err(suspended @ Failure::Suspend(_)) => return Err(suspended),
            };
            let problems = match judged {
                Ok(generated) => {
                    let wanted = repairs(&generated);
                    if wanted.is_empty() {
                        self.said(&reply);
                        return Ok(generated);
                    }
                    fallback = Some(match fallback {
                        Some(earlier) if repairs(&earlier).len() < wanted.len() => earlier,
                        Some(_) | None => generated,
                    });
                    wanted
                }
                Err(problems) => problems,
            };
            self.said(&reply);
            if is_last {
                return fallback.ok_or_else(|| DocumentError::Unusable { problems }.into());
            }
            let inputs = [("is_seen", Value::from(false))];
            self.complain("documents/repair", inputs, problems)?;
        }
    }

    /// Asks for the text once more, with what its print showed; `None` when there was no better
    /// answer, or it has been asked often enough.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the text; cancellation; the store's.
    pub(super) async fn repaired(
        &mut self,
        problems: Vec<String>,
    ) -> Result<Option<GeneratedPage>, Failure> {
        if self.attempt >= ALL_ATTEMPTS {
            return Ok(None);
        }
        self.complain("documents/pdf_repair", [], problems)?;
        match self.page().await {
            Ok(page) => Ok(Some(page)),
            Err(Failure::Error(error)) if error.kind != ErrorKind::Cancelled => {
                tracing::warn!(error.code = %error.code, "no repair of a document; its first form is kept");
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// One whole text, after as many calls of tools as the model makes and may make.
    async fn answer(&mut self) -> Result<Outcome, Failure> {
        loop {
            self.turn += 1;
            let step = format!("page#{}", self.turn);
            let outcome = self
                .run
                .complete(Ask {
                    step: step.clone(),
                    model: Some(self.question.model.to_owned())
                        .filter(|model| !model.trim().is_empty()),
                    request: self.request.clone(),
                    as_text: None,
                    attempt: self.attempt,
                    max_attempts: ALL_ATTEMPTS,
                    errors: self.errors.clone(),
                })
                .await?;
            // A model without tools that writes calls all the same is judged by its text.
            if outcome.calls.is_empty() || self.tools.is_empty() {
                return Ok(outcome);
            }
            let messages = self.tools.answer(self.run, &step, &outcome).await?;
            self.request.messages.extend(messages);
        }
    }

    fn said(&mut self, reply: &str) {
        // Vendors refuse an empty turn.
        let text = if reply.trim().is_empty() { "(no answer)" } else { reply };
        self.request.messages.push(Message::assistant(text));
    }

    /// Adds what is wrong, in the words of a prompt.
    fn complain<const N: usize>(
        &mut self,
        prompt: &str,
        inputs: [(&'static str, Value); N],
        problems: Vec<String>,
    ) -> Result<(), DocumentError> {
        let mut inputs = BTreeMap::from(inputs);
        inputs.insert("problems", Value::from(list(&problems)));
        let repair = self.prompts.render(prompt, &self.run.delimiter(), inputs)?;
        self.request.messages.push(Message::user(repair.user));
        self.errors = problems;
        Ok(())
    }
}
