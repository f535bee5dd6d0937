//! Making a PDF document.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::attachments::Collected;
use super::super::error::DocumentError;
use super::super::generate::GeneratedPage;
use super::super::html::{Page, page_as_given};
use super::super::model::{Brief, CreatePdf, brief, user_key};
use super::super::publish::{Draft, Place, Writer, given_name};
use super::super::service::{Documents, LinkLife};
use super::files::StoredFiles;
use super::paper;
use super::print::Print;
use super::tool_calls::{MadeCall, Toolbox};
use super::write::{Question, Writing};
use crate::browser::{PageSetup, PdfOptions};
use crate::jobs::{Failure, Run};
use crate::registry::Origin;
use crate::storage::{DocumentKind, Owner, PublishedVersion, Sha256Hex};

/// A published PDF document.
#[derive(Debug, Clone)]
pub struct PublishedPdf {
    /// Where it is.
    pub url: String,
    /// Its newest version.
    pub version: i64,
    /// Its name.
    pub doc_name: String,
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
    pub verification: Value,
    /// What its reader should know.
    pub warnings: Vec<String>,
    /// What happened, in sentences.
    pub message: String,
}

/// HTML with its print.
pub(super) struct Candidate {
    pub(super) page: Page,
    pub(super) writer: Writer,
    pub(super) prompt: Value,
    pub(super) print: Print,
}

/// What a document is printed with.
pub(super) struct Press<'a> {
    pub(super) run: &'a Run,
    pub(super) setup: PageSetup,
    pub(super) options: PdfOptions,
    pub(super) files: &'a Collected,
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
        let name = call.doc_name.as_deref().and_then(pdf_name);
        // All arguments are judged before anything is fetched, asked or printed.
        let options = paper::checked(&call.page).map_err(DocumentError::Render)?;
        let names = call.tool_names.as_deref().unwrap_or_default();
        let tools = self.checked_tools(names, Origin::Code, run.context())?;
        let tools = Toolbox::new(&self.parts.tools, run, tools);
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
        let press = Press { run, setup: call.page.clone(), options, files: &attachments };
        let (candidate, tool_calls) = match (given, wanted) {
            (Some(page), _) => {
                let print = self.press(&press, "print", &page).await?;
                let prompt = Value::Null;
                (Candidate { page, writer: Writer::Caller, prompt, print }, Vec::new())
            }
            (None, Some(brief)) => {
                self.write_and_print(&press, &call.model, &brief, &owner.user, tools).await?
            }
            (None, None) => return Err(DocumentError::NoRequest.into()),
        };
        let thumb_sha = self.first_page(&press, &candidate.page).await?;
        run.progress(95.0, Some(100.0), "publishing");
        let draft = Draft {
            kind: DocumentKind::Pdf,
            pdf: Some(self.parts.blobs.get(&candidate.print.pdf).await?),
            page: candidate.page,
            writer: candidate.writer,
            prompt: candidate.prompt,
            place: name.map_or(Place::Fresh, |name| Place::Named(given_name(run, name))),
            tool_names: call.tool_names,
            thumb_sha,
            verification: Value::Null,
            print: print_record(&press.setup, &candidate.print, &tool_calls),
        };
        let published = self.publish(run, owner, &draft, &attachments).await?;
        let made = Made { draft, print: candidate.print, attachments, tool_calls };
        Ok(self.describe_pdf(published, made, name))
    }

    /// Has the HTML written and printed, and once more when the print shows faults.
    async fn write_and_print(
        &self,
        press: &Press<'_>,
        model: &str,
        brief: &Brief,
        user: &str,
        tools: Toolbox,
    ) -> Result<(Candidate, Vec<MadeCall>), Failure> {
        press.run.progress(5.0, Some(100.0), "asking for the document");
        let question = Question {
            model,
            brief,
            files: &press.files.files,
            shown: self.seen(press.run, press.files).await?,
            paper: paper::for_prompt(&press.setup, &press.options),
            user,
            page_bytes: self.parts.page_bytes,
        };
        let mut writing = Writing::new(press.run, &self.parts.prompts, question, tools)?;
        let page = writing.page().await?;
        let mut best = self.candidate(press, "print#1", page).await?;
        if !best.print.problems.is_empty()
            && let Some(page) = writing.repaired(best.print.problems.clone()).await?
        {
            let other = self.candidate(press, "print#2", page).await?;
            // Of two prints the one with fewer faults; of equal ones the first.
            if other.print.problems.len() < best.print.problems.len() {
                best = other;
            }
        }
        Ok((best, writing.into_calls()))
    }

    async fn candidate(
        &self,
        press: &Press<'_>,
        step: &str,
        generated: GeneratedPage,
    ) -> Result<Candidate, Failure> {
        let GeneratedPage { page, outcome, prompt } = generated;
        let print = self.press(press, step, &page).await?;
        let writer = Writer::Model {
            used: outcome.model_used,
            route: outcome.route,
            note: outcome.model_note,
        };
        Ok(Candidate { page, writer, prompt, print })
    }

    pub(super) async fn press(
        &self,
        press: &Press<'_>,
        step: &str,
        page: &Page,
    ) -> Result<Print, Failure> {
        press.run.progress(91.0, Some(100.0), "printing");
        let files = self.page_files(press, page).await?;
        self.print(press.run, step, &page.html, &files, &press.options).await
    }

    pub(super) async fn first_page(
        &self,
        press: &Press<'_>,
        page: &Page,
    ) -> Result<Option<Sha256Hex>, Failure> {
        let files = self.page_files(press, page).await?;
        self.picture(press.run, "picture", &page.html, &files, &press.options).await
    }

    async fn page_files(
        &self,
        press: &Press<'_>,
        page: &Page,
    ) -> Result<Arc<StoredFiles>, Failure> {
        let given = press.files.files.iter().map(|file| file.attachment.clone());
        let (catalog, blobs) = (self.parts.catalog.as_ref(), &self.parts.blobs);
        Ok(StoredFiles::collect(catalog, blobs, None, given, &page.html).await?)
    }

    fn describe_pdf(
        &self,
        published: PublishedVersion,
        made: Made,
        asked_name: Option<&str>,
    ) -> PublishedPdf {
        let PublishedVersion { document, n, created } = published;
        let Made { draft, print, attachments, tool_calls } = made;
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
        let mut warnings = attachments.warnings.clone();
        warnings.extend(draft.page.findings.into_iter().map(|finding| finding.message));
        warnings.extend(print.problems);
        PublishedPdf {
            url,
            version: n,
            doc_name: name,
            title: document.title,
            pages,
            bytes: print.facts.bytes,
            paper_mm: print.facts.paper,
            writer: draft.writer,
            tool_calls,
            attachments,
            thumbnail_url: draft.thumb_sha.map(|_| urls.pdf_thumbnail(&document.token)),
            verification: draft.verification,
            warnings,
            message: sentences.join(". ") + ".",
        }
    }
}

/// What was made, for the caller's eyes.
struct Made {
    draft: Draft,
    print: Print,
    attachments: Collected,
    tool_calls: Vec<MadeCall>,
}

/// What the record of a version says about its print. An edit prints with the same options.
pub(super) fn print_record(setup: &PageSetup, print: &Print, tool_calls: &[MadeCall]) -> Value {
    json!({
        "page": setup,
        "pages": print.facts.pages,
        "paper_mm": print.facts.paper,
        "tool_calls": tool_calls,
    })
}

/// A name as the caller wants it, without the ending that people write.
pub(super) fn pdf_name(name: &str) -> Option<&str> {
    let name = name.trim();
    let has_ending =
        name.len() > 4 && name.get(name.len() - 4..).is_some_and(|end| end.eq_ignore_ascii_case(".pdf"));
    let name = if has_ending { name.get(..name.len() - 4).unwrap_or(name) } else { name };
    Some(name.trim()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_is_no_part_of_the_name() {
        assert_eq!(pdf_name("report.pdf"), Some("report"));
        assert_eq!(pdf_name(" Report.PDF "), Some("Report"));
        assert_eq!(pdf_name("a.pdf.b"), Some("a.pdf.b"));
        assert_eq!(pdf_name(".pdf"), Some(".pdf"));
        assert_eq!(pdf_name("é.pdf"), Some("é"));
        assert_eq!(pdf_name("  "), None);
    }
}
