//! Making a PDF document.

use serde_json::{Value, json};

use super::super::attachments::Collected;
use super::super::error::DocumentError;
use super::super::generate::{GeneratedPage, repairs};
use super::super::html::{Page, page_as_given};
use super::super::model::{CreatePdf, brief, user_key};
use super::super::names::without_pdf_ending;
use super::super::publish::{Draft, Place, Writer, given_name};
use super::super::service::{Documents, LinkLife};
use super::super::verification::drafts::Broken;
use super::super::verification::rounds::{repairs_on_create, rounds};
use super::super::verification::{Checked, Score, Verification};
use super::paper;
use super::print::{Press, Print};
use super::record::PrintRecord;
use super::tool_calls::{MadeCall, Toolbox};
use super::write::{Question, Writing};
use crate::jobs::{Failure, Run};
use crate::registry::Origin;
use crate::storage::{DocumentId, DocumentKind, Owner, PublishedVersion};

/// A published PDF document.
#[derive(Debug, Clone)]
pub struct PublishedPdf {
    /// Where it is.
    pub url: String,
    /// Its newest version.
    pub version: i64,
    /// Its name.
    pub doc_name: String,
    /// Where its HTML source is shown as plain text.
    pub source_url: String,
    /// Its title.
    pub title: Option<String>,
    /// Pages.
    pub pages: usize,
    /// Size in bytes.
    pub bytes: usize,
    /// Width and height of the first page, in millimetres.
    pub paper_mm: Option<(f64, f64)>,
    /// Who wrote it.
    pub writer: Writer,
    /// Calls of tools that the model made.
    pub tool_calls: Vec<MadeCall>,
    /// Files that it may show.
    pub attachments: Collected,
    /// Where its picture is, when there is one.
    pub thumbnail_url: Option<String>,
    /// What its check found.
    pub verification: Verification,
    /// What its reader should know.
    pub warnings: Vec<String>,
    /// What happened, in sentences.
    pub message: String,
}

/// HTML that a model wrote, with its print when it can be printed.
struct Candidate {
    generated: GeneratedPage,
    print: Result<Print, Checked>,
}

impl Candidate {
    fn checked(&self) -> &Checked {
        match &self.print {
            Ok(print) => &print.checked,
            Err(endless) => endless,
        }
    }

    fn score(&self) -> Score {
        self.checked().score(repairs(&self.generated).len())
    }
}

/// HTML that is published, with all that its record says.
struct Finished {
    page: Page,
    writer: Writer,
    prompt: Value,
    print: Print,
    rounds: u32,
    tool_calls: Vec<MadeCall>,
}

impl Documents {
    /// Makes a PDF document, or a new version of the one that has its name.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the text; else why nothing was published.
    pub async fn create_pdf(&self, run: &Run, call: CreatePdf) -> Result<PublishedPdf, Failure> {
        let owner = Owner {
            principal: run.context().principal.clone(),
            user: user_key(&call.user_number)?,
        };
        let name = call.doc_name.as_deref().map(without_pdf_ending).filter(|name| !name.is_empty());
        // All arguments are judged before anything is fetched, asked or printed.
        let options = paper::checked(&call.page).map_err(DocumentError::Render)?;
        let names = call.tool_names.as_deref().unwrap_or_default();
        let tools = self.checked_tools(names, Origin::Code, run.context()).await?;
        let tool_names =
            call.tool_names.as_ref().map(|_| tools.iter().map(|tool| tool.name.clone()).collect());
        let tools = Toolbox::new(&self.parts.tools, run, &owner.user, tools);
        let given = match call.html.clone().filter(|html| !html.trim().is_empty()) {
            Some(html) => {
                Some(page_as_given(html, self.parts.page_bytes).map_err(DocumentError::from)?)
            }
            None => None,
        };
        let wanted = if given.is_none() {
            Some(brief(call.user_request.as_deref(), call.context.as_deref())?)
        } else {
            None
        };
        let attachments = if call.attachments.is_empty() {
            Collected::default()
        } else {
            run.progress(2.0, Some(100.0), "fetching attachments");
            run.step("attachments", || self.parts.attachments.collect(&call.attachments)).await?
        };
        // Pictures that stand in the text are files of the document, like those that came along.
        let (given, lifted) = match given {
            Some(page) => {
                let (page, files) = self.lifted(page).await?;
                (Some(page), files)
            }
            None => (None, Vec::new()),
        };
        let place = name.map_or(Place::Fresh, |name| Place::Named(given_name(run, name)));
        let press = Press {
            setup: call.page.clone(),
            options,
            document: self.document_at(&owner, &place).await?,
            files: attachments
                .files
                .iter()
                .map(|file| file.attachment.clone())
                .chain(lifted)
                .collect(),
            steps: String::new(),
        };
        let finished = match (given, wanted) {
            (Some(page), _) => self.print_given(run, &press, page).await?,
            (None, Some(brief)) => {
                run.progress(5.0, Some(100.0), "asking for the document");
                let question = Question {
                    model: &call.model,
                    brief: &brief,
                    files: &attachments.files,
                    shown: self.seen(run, &attachments).await?,
                    paper: paper::for_prompt(&press.setup, &press.options),
                    page_bytes: self.parts.page_bytes,
                };
                let writing = Writing::new(run, &self.parts.prompts, question, tools)?;
                self.write_and_print(run, &press, writing).await?
            }
            (None, None) => return Err(DocumentError::NoRequest.into()),
        };
        run.progress(95.0, Some(100.0), "publishing");
        let Finished { page, writer, prompt, print, rounds, tool_calls } = finished;
        let verification = print.checked.verification(rounds);
        let draft = Draft {
            kind: DocumentKind::Pdf,
            pdf: Some(self.parts.blobs.get(&print.pdf).await?),
            page,
            writer,
            prompt,
            place,
            tool_names,
            thumb_sha: print.checked.thumb_sha.clone(),
            verification: json!(verification),
            print: PrintRecord::new(&press, &print, &tool_calls).to_json(),
        };
        let published = self.publish(run, owner, &draft, &press.files).await?;
        let made = Made { draft, print, verification, attachments, tool_calls };
        Ok(self.describe_pdf(published, made, name))
    }

    /// The document that a name means already.
    async fn document_at(
        &self,
        owner: &Owner,
        place: &Place,
    ) -> Result<Option<DocumentId>, DocumentError> {
        let Place::Named(name) = place else { return Ok(None) };
        let found = self.parts.catalog.document(owner, DocumentKind::Pdf, name).await?;
        Ok(found.map(|document| document.id))
    }

    /// Prints HTML that the caller wrote. It is published with its faults, since it is what the
    /// caller wants; only what cannot be printed at all is refused.
    async fn print_given(&self, run: &Run, press: &Press, page: Page) -> Result<Finished, Failure> {
        let print = match self.try_print(run, press, &page.html).await? {
            Ok(print) => print,
            Err(endless) => {
                let verification = endless.verification(0);
                return Err(self
                    .broken(run, Broken::Given, &page.html, verification)
                    .await?
                    .into());
            }
        };
        let (writer, prompt) = (Writer::Caller, Value::Null);
        Ok(Finished { page, writer, prompt, print, rounds: 0, tool_calls: Vec::new() })
    }

    /// Has the HTML written and printed, and put right as often as [`rounds`] allows; the best is
    /// kept.
    async fn write_and_print(
        &self,
        run: &Run,
        press: &Press,
        mut writing: Writing<'_>,
    ) -> Result<Finished, Failure> {
        let mut best = self.candidate(run, press, writing.page().await?).await?;
        let mut problems = repairs_on_create(&[], best.checked());
        let mut used = 0;
        while !problems.is_empty()
            && used < rounds(best.checked().is_blocked(), best.generated.outcome.route)
        {
            used += 1;
            let Some(page) = writing.repaired(problems).await? else { break };
            let candidate = self.candidate(run, press, page).await?;
            problems = repairs_on_create(&[], candidate.checked());
            if candidate.score() < best.score() {
                best = candidate;
            }
        }
        let Candidate { generated: GeneratedPage { page, outcome, prompt }, print } = best;
        let checked = print.as_ref().map_or_else(|endless| endless, |print| &print.checked);
        if checked.is_blocked() {
            let verification = checked.verification(used);
            return Err(self.broken(run, Broken::Create, &page.html, verification).await?.into());
        }
        let print = print.map_err(|endless| DocumentError::NeverPrinted(endless.reason()))?;
        let writer = Writer::Model {
            used: outcome.model_used,
            route: outcome.route,
            note: outcome.model_note,
        };
        let tool_calls = writing.into_calls();
        Ok(Finished { page, writer, prompt, print, rounds: used, tool_calls })
    }

    /// Prints what a model wrote.
    async fn candidate(
        &self,
        run: &Run,
        press: &Press,
        generated: GeneratedPage,
    ) -> Result<Candidate, Failure> {
        let print = self.try_print(run, press, &generated.page.html).await?;
        Ok(Candidate { generated, print })
    }

    fn describe_pdf(
        &self,
        published: PublishedVersion,
        made: Made,
        asked_name: Option<&str>,
    ) -> PublishedPdf {
        let PublishedVersion { document, n, created } = published;
        let Made { draft, print, verification, attachments, tool_calls } = made;
        let urls = &self.parts.urls;
        let url = urls.pdf(&document.token);
        let name = document.name;
        let pages = print.facts.pages;
        let count = if pages == 1 { "1 page".to_owned() } else { format!("{pages} pages") };
        let mut sentences = Vec::new();
        if created {
            sentences.push(format!("Created the PDF document `{name}`, {count}: {url}"));
        } else {
            let earlier = urls.pdf_version(&document.token, n - 1);
            sentences.push(format!(
                "The name `{name}` was in use, so this is version {n} of that document, {count}, at the same \
                 address: {url} (version {} stays at {earlier})",
                n - 1
            ));
        }
        if let Some(asked) = asked_name
            && asked.to_lowercase() != name.to_lowercase()
        {
            sentences.push(format!("The name was cleaned to `{name}`"));
        }
        if self.parts.link_life == LinkLife::WhileRunning {
            let download = urls.pdf_download(&document.token);
            sentences.push(format!(
                "The link works while Atelier runs, which over stdio is as long as the client keeps it: \
                 {download} gives the file to keep, and `atelier serve` keeps links open"
            ));
        }
        sentences.extend(draft.page.local_copies.iter().cloned());
        let mut warnings = attachments.warnings.clone();
        warnings.extend(draft.page.findings.into_iter().map(|finding| finding.message));
        warnings.extend(verification.warning());
        PublishedPdf {
            url,
            version: n,
            doc_name: name,
            source_url: urls.pdf_source(&document.token),
            title: document.title,
            pages,
            bytes: print.facts.bytes,
            paper_mm: print.facts.paper,
            writer: draft.writer,
            tool_calls,
            attachments,
            thumbnail_url: draft.thumb_sha.map(|_| urls.pdf_thumbnail(&document.token, n)),
            verification,
            warnings,
            message: sentences.join(". ") + ".",
        }
    }
}

/// What was made, for the caller's eyes.
struct Made {
    draft: Draft,
    print: Print,
    verification: Verification,
    attachments: Collected,
    tool_calls: Vec<MadeCall>,
}
