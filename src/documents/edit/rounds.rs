//! Edits by a model: blocks, two rounds of feedback, then the whole document once.
//!
//! Every answer is a step of the job, so a call that waits for somebody else's text, or that died,
//! goes through the same rounds again without asking twice.

use std::collections::BTreeMap;

use minijinja::value::Value;
use serde_json::json;

use super::apply::{self, Outcome as Placing};
use super::judge::Verdict;
use super::{EditTask, Edited, NewPage};
use crate::documents::attachments::facts_for_prompt;
use crate::documents::error::DocumentError;
use crate::documents::generate::{UNFINISHED, date};
use crate::documents::html::page_from_reply;
use crate::documents::model::{Brief, words};
use crate::documents::patch::{Audience, Block, FORMAT, Failures, Placed, Reply, parse};
use crate::documents::pdf::tool_calls::Toolbox;
use crate::documents::publish::Writer;
use crate::documents::service::Documents;
use crate::documents::verification::rounds::rounds;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::{Ask, Failure, Run};
use crate::llm::{ExpectedKind, Expects, LlmErrorCode, Message, Outcome, Request, Route};
use crate::prompts::RenderedPrompt;
use crate::storage::DocumentKind;

/// Answers in blocks that a model may give: the first, and two by feedback.
const BLOCK_ANSWERS: u32 = 3;
/// All answers: the last one is the whole document.
const ALL_ANSWERS: u32 = BLOCK_ANSWERS + 1;

/// What a model whose answer broke off is told.
const UNFINISHED_ADVICE: &str = "The answer broke off before its end, so nothing of it was applied. Write fewer or smaller \
     blocks, each complete.";

/// What somebody asked for a text did.
enum Said {
    Text(Outcome),
    /// Nothing at all, which is an answer: there is nothing to change.
    Nothing,
    /// A text without an end.
    Unfinished(ToolError),
}

/// What one answer came to.
enum Answer {
    Changed(NewPage, Vec<String>),
    Same(Vec<String>),
    /// It cannot be used: in short, and in words for the model.
    Again {
        summary: String,
        feedback: String,
    },
}

/// One model at work on one source.
struct Rounds<'a> {
    documents: &'a Documents,
    run: &'a Run,
    task: &'a EditTask<'a>,
    brief: &'a Brief,
    model: &'a str,
    /// Blocks that matched in earlier answers.
    kept: Vec<Block>,
    /// What the model may call while it writes.
    tools: Toolbox,
    answers: u32,
    last: Option<Outcome>,
}

impl Documents {
    /// Has a model edit the source of a task.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the text; an error when no answer is usable.
    pub(super) async fn edit_by_model(
        &self,
        run: &Run,
        task: &EditTask<'_>,
        brief: &Brief,
        model: &str,
        tools: Toolbox,
    ) -> Result<(Edited, Option<Verdict>), Failure> {
        let mut rounds = Rounds {
            documents: self,
            run,
            task,
            brief,
            model,
            kept: Vec::new(),
            tools,
            answers: 0,
            last: None,
        };
        let prompt = rounds.prompt(task, &[])?;
        let facts = json!({
            "id": "documents/edit",
            "version": prompt.version,
            "template_sha": prompt.template_sha,
        });
        let (page, mut notes) = rounds.ask_until_usable(prompt).await?;
        let (page, verdict) = match page {
            Some(page) => {
                let (page, verdict) = rounds.repaired(page, &mut notes).await?;
                (Some(page), Some(verdict))
            }
            None => (None, None),
        };
        let edited = Edited {
            page,
            writer: rounds.last.map(writer),
            prompt: facts,
            notes,
            answers: rounds.answers,
            tool_calls: rounds.tools.made,
        };
        Ok((edited, verdict))
    }
}

impl Rounds<'_> {
    async fn ask_until_usable(
        &mut self,
        prompt: RenderedPrompt,
    ) -> Result<(Option<NewPage>, Vec<String>), Failure> {
        let expects = Expects::kind(ExpectedKind::EditBlocks);
        let mut request = self.question(prompt, expects)?;
        let mut errors = self.task.errors.to_vec();
        for round in 1..=BLOCK_ANSWERS {
            let said = self.ask(&format!("#{round}"), &mut request, round, &errors).await?;
            let (reply, answer) = match said {
                Said::Text(outcome) => {
                    let text = outcome.text.clone();
                    self.last = Some(outcome);
                    let answer = self.read(&text, round).await?;
                    (text, answer)
                }
                Said::Nothing => (String::new(), self.no_change(round)),
                Said::Unfinished(error) => {
                    let feedback = UNFINISHED_ADVICE.to_owned();
                    (String::new(), Answer::Again { summary: error.message, feedback })
                }
            };
            match answer {
                Answer::Changed(page, notes) => return Ok((Some(page), notes)),
                Answer::Same(notes) => return Ok((None, notes)),
                Answer::Again { summary, feedback } => {
                    errors = vec![summary];
                    if round < BLOCK_ANSWERS {
                        self.go_on(&mut request, reply, &feedback)?;
                    }
                }
            }
        }
        self.ask_for_all(errors).await
    }

    /// The last resort: the whole document, written anew.
    async fn ask_for_all(
        &mut self,
        errors: Vec<String>,
    ) -> Result<(Option<NewPage>, Vec<String>), Failure> {
        let prompt = self.rewrite_prompt()?;
        let expects = Expects::kind(ExpectedKind::Html);
        let mut request = self.question(prompt, expects)?;
        let problems = |problem: String| DocumentError::EditUnusable { problems: vec![problem] };
        let outcome = match self.ask("#rewrite", &mut request, ALL_ANSWERS, &errors).await? {
            Said::Text(outcome) => outcome,
            Said::Nothing => return Err(problems("the last answer was empty".to_owned()).into()),
            Said::Unfinished(error) => return Err(error.into()),
        };
        let page = page_from_reply(&outcome.text, self.task.page_bytes)
            .map_err(|problem| problems(problem.to_string()))?;
        self.last = Some(outcome);
        let page = apply::rewrite(self.task, page.html)
            .await?
            .map_err(|problem| problems(problem.to_string()))?;
        Ok((page, vec!["the model wrote the whole document anew".to_owned()]))
    }

    /// Puts right what is wrong with a page, in as many rounds as it is worth; the best page is
    /// kept.
    async fn repaired(
        &mut self,
        first: NewPage,
        notes: &mut Vec<String>,
    ) -> Result<(NewPage, Verdict), Failure> {
        let mut page = first;
        let mut verdict = self.documents.judge(self.run, self.task, &page).await?;
        let route = self.last.as_ref().map_or(Route::Host, |outcome| outcome.route);
        let mut round = 0;
        while !verdict.repairs.is_empty()
            && round < rounds(verdict.checked.is_blocked(), route)
            && apply::check_size(&page.page.html).is_ok()
        {
            round += 1;
            let Some((said, repaired, more)) = self.repair(&page, &verdict, round).await? else {
                break;
            };
            let judged = self.documents.judge(self.run, self.task, &repaired).await?;
            if judged.is_better_than(&verdict) {
                self.last = Some(said);
                notes.extend(more);
                (page, verdict) = (repaired, judged);
            }
        }
        verdict.rounds = round;
        Ok((page, verdict))
    }

    /// One round: the page once more, on top of what was placed before; `None` when nothing came
    /// of it.
    async fn repair(
        &mut self,
        page: &NewPage,
        verdict: &Verdict,
        round: u32,
    ) -> Result<Option<(Outcome, NewPage, Vec<String>)>, Failure> {
        let task = EditTask { source: page.page.html.as_str().into(), ..self.task.clone() };
        let prompt = self.prompt(&task, &verdict.repairs)?;
        let expects = Expects::kind(ExpectedKind::EditBlocks);
        let mut request = self.question(prompt, expects)?;
        let step = if round == 1 { "#repair".to_owned() } else { format!("#repair{round}") };
        let said = match self.ask(&step, &mut request, 1 + round, &verdict.repairs).await {
            Ok(Said::Text(outcome)) => outcome,
            Ok(Said::Nothing | Said::Unfinished(_)) => return Ok(None),
            Err(Failure::Error(error)) if error.kind != ErrorKind::Cancelled => {
                tracing::warn!(error.code = %error.code, "no repair of an edited page; its best form is kept");
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        let repaired = match parse(&said.text) {
            Reply::Blocks(blocks) => match apply::apply_blocks(&task, blocks).await? {
                Placing::Changed(page, more) => Some((page, more)),
                Placing::Same(_) | Placing::Failed(_) | Placing::Unsound(_) => None,
            },
            Reply::Document(document) => {
                apply::rewrite(&task, document).await?.ok().flatten().map(|page| (page, Vec::new()))
            }
            Reply::NoChange | Reply::Unusable(_) => None,
        };
        let Some((mut repaired, more)) = repaired else { return Ok(None) };
        let count = page.placed.len();
        let placed = std::mem::take(&mut repaired.placed).into_iter();
        let placed = placed.map(|placed| Placed { block: placed.block + count, ..placed });
        repaired.placed = page.placed.iter().copied().chain(placed).collect();
        repaired.blocks = None;
        Ok(Some((said, repaired, more)))
    }

    /// A question that begins a conversation.
    fn question(&self, prompt: RenderedPrompt, expects: Expects) -> Result<Request, Failure> {
        let mut request = Request::new(prompt.system, prompt.user, expects);
        self.tools
            .introduce(&self.documents.parts.prompts, &self.run.delimiter(), &mut request)
            .map_err(DocumentError::from)?;
        Ok(request)
    }

    /// One text, after as many calls of tools as the model makes and may make.
    async fn ask(
        &mut self,
        step: &str,
        request: &mut Request,
        attempt: u32,
        errors: &[String],
    ) -> Result<Said, Failure> {
        let mut step = format!("{}{step}", self.task.steps);
        let asked = loop {
            let asked = self
                .run
                .complete(Ask {
                    step: step.clone(),
                    model: Some(self.model.to_owned()).filter(|model| !model.trim().is_empty()),
                    request: request.clone(),
                    as_text: None,
                    attempt,
                    max_attempts: ALL_ANSWERS,
                    errors: errors.to_vec(),
                })
                .await;
            match asked {
                Ok(outcome) if !outcome.calls.is_empty() && !self.tools.is_empty() => {
                    request.messages.extend(self.tools.answer(self.run, &step, &outcome).await?);
                    step.push_str("+calls");
                }
                asked => break asked,
            }
        };
        self.answers += 1;
        match asked {
            Ok(outcome) => Ok(Said::Text(outcome)),
            Err(Failure::Error(error)) if error.code == LlmErrorCode::Empty.as_str() => {
                Ok(Said::Nothing)
            }
            Err(Failure::Error(error)) if UNFINISHED.contains(&error.code.as_ref()) => {
                Ok(Said::Unfinished(error))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Reads an answer, and applies it behind the blocks that are kept.
    async fn read(&mut self, text: &str, round: u32) -> Result<Answer, Failure> {
        match parse(text) {
            Reply::NoChange => Ok(self.no_change(round)),
            Reply::Unusable(problem) => Ok(Answer::Again {
                summary: problem.to_string(),
                feedback: self.with_kept(problem.feedback()),
            }),
            Reply::Document(document) => Ok(match apply::rewrite(self.task, document).await? {
                Ok(Some(page)) => Answer::Changed(page, Vec::new()),
                Ok(None) => Answer::Same(vec!["the answer is the document as it was".to_owned()]),
                Err(problem) => Answer::Again {
                    summary: problem.to_string(),
                    feedback: self.with_kept(format!(
                        "The document in the answer was not taken: {problem}.\n\n{FORMAT}"
                    )),
                },
            }),
            Reply::Blocks(new) => {
                let kept = self.kept.len();
                let blocks = [self.kept.as_slice(), new.as_slice()].concat();
                Ok(match apply::apply_blocks(self.task, blocks).await? {
                    Placing::Changed(page, notes) => Answer::Changed(page, notes),
                    Placing::Same(notes) => Answer::Same(notes),
                    Placing::Failed(failures) => self.failed(failures, kept),
                    Placing::Unsound(problem) => {
                        self.kept.clear();
                        Answer::Again {
                            summary: problem.to_string(),
                            feedback: format!(
                                "Every block was placed, but the document would not be sound: {problem}. \
                                 Nothing was applied and nothing is kept. Send all blocks again, so that \
                                 the whole document stays sound."
                            ),
                        }
                    }
                })
            }
        }
    }

    fn failed(&mut self, failures: Failures, kept: usize) -> Answer {
        let summary = failures.to_string();
        let mut feedback = failures.feedback(Audience::Model { kept });
        if failures.refusal.is_some() && kept > 0 {
            feedback.push_str(
                "\n\nNothing is kept of earlier answers either: send every block that is needed.",
            );
        }
        self.kept = failures.kept;
        Answer::Again { summary, feedback }
    }

    /// "Nothing to change" is an answer to the request, but not to blocks that failed.
    fn no_change(&self, round: u32) -> Answer {
        if round == 1 {
            return Answer::Same(vec!["the model says that nothing has to be changed".to_owned()]);
        }
        let summary = "the answer holds no blocks, and those that failed are still missing";
        Answer::Again {
            summary: summary.to_owned(),
            feedback: self.with_kept(format!(
                "The answer holds no blocks. Those that could not be applied are still missing.\n\n{FORMAT}"
            )),
        }
    }

    fn with_kept(&self, mut feedback: String) -> String {
        if !self.kept.is_empty() {
            feedback.push_str(
                "\n\nThe blocks that were kept from earlier answers are kept still; do not send them again.",
            );
        }
        feedback
    }

    /// Adds an answer and what is wrong with it to the conversation.
    fn go_on(&self, request: &mut Request, reply: String, feedback: &str) -> Result<(), Failure> {
        let prompt = self
            .documents
            .parts
            .prompts
            .render(
                "documents/edit_feedback",
                &self.run.delimiter(),
                BTreeMap::from([("feedback", Value::from(feedback))]),
            )
            .map_err(DocumentError::from)?;
        // Vendors refuse an empty turn.
        let said = if reply.trim().is_empty() { "(no answer)".to_owned() } else { reply };
        request.messages.push(Message::assistant(said));
        request.messages.push(Message::user(prompt.user));
        Ok(())
    }

    fn prompt(&self, task: &EditTask<'_>, problems: &[String]) -> Result<RenderedPrompt, Failure> {
        let problems: Vec<String> = problems.iter().map(|problem| format!("- {problem}")).collect();
        let mut inputs = self.inputs(task);
        inputs.insert("format", Value::from(FORMAT));
        inputs.insert("problems", Value::from(problems.join("\n")));
        self.render("documents/edit", inputs)
    }

    fn rewrite_prompt(&self) -> Result<RenderedPrompt, Failure> {
        self.render("documents/rewrite", self.inputs(self.task))
    }

    fn inputs(&self, task: &EditTask<'_>) -> BTreeMap<&'static str, Value> {
        BTreeMap::from([
            ("noun", Value::from(words(task.kind).noun)),
            ("is_printed", Value::from(matches!(task.kind, DocumentKind::Pdf))),
            ("document", Value::from(&*task.source)),
            ("request", Value::from(self.brief.request.as_str())),
            ("context", Value::from(self.brief.context.as_deref().unwrap_or_default())),
            ("attachments", Value::from(facts_for_prompt(task.files))),
            ("tools", Value::from(task.tools)),
            ("today", Value::from(date(self.run.started_at()))),
        ])
    }

    fn render(
        &self,
        id: &str,
        inputs: BTreeMap<&'static str, Value>,
    ) -> Result<RenderedPrompt, Failure> {
        let prompts = &self.documents.parts.prompts;
        Ok(prompts.render(id, &self.run.delimiter(), inputs).map_err(DocumentError::from)?)
    }
}

/// Who wrote the last answer that was used.
fn writer(outcome: Outcome) -> Writer {
    Writer::Model { used: outcome.model_used, route: outcome.route, note: outcome.model_note }
}
