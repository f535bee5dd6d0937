//! The use case: pin a version, edit its source, publish on it or do it again on the next one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::judge::Verdict;
use super::{Change, EditTask, Edited, apply, given};
use crate::browser::PageSetup;
use crate::documents::error::DocumentError;
use crate::documents::html::{Page, stored_page};
use crate::documents::model::{Brief, EditDocument, edit_brief, user_key, words};
use crate::documents::patch::{Level, MAX_DIFF, Placed};
use crate::documents::pdf::MadeCall;
use crate::documents::pdf::paper;
use crate::documents::pdf::print::{Press, Print};
use crate::documents::pdf::record::PrintRecord;
use crate::documents::pdf::tool_calls::Toolbox;
use crate::documents::publish::{Draft, Place, Writer};
use crate::documents::service::Documents;
use crate::documents::verification::Verification;
use crate::documents::verification::drafts::Broken;
use crate::jobs::{Failure, Run};
use crate::registry::{Origin, ToolDescription};
use crate::storage::{Document, DocumentId, DocumentKind, Owner, PublishedVersion, Sha256Hex};

/// The version that an edit is made on. Kept as a step: whatever happens meanwhile, a call that is
/// run again works on the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Base {
    document: DocumentId,
    token: String,
    name: String,
    head: i64,
    source: Sha256Hex,
    tool_names: Vec<String>,
    /// How it was printed, when it was.
    #[serde(default)]
    print: PrintRecord,
}

/// An edited document.
#[derive(Debug, Clone)]
pub struct EditedDocument {
    /// Where it is.
    pub url: String,
    /// Where its source is shown as plain text.
    pub source_url: String,
    /// Its newest version, as far as this edit knows.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Who wrote the change, where that is known.
    pub writer: Option<Writer>,
    /// What changed; `None` when nothing did and there is no new version.
    pub result: Option<EditResult>,
    /// Answers of the model that it took.
    pub answers: u32,
    /// What was printed, when the document is printed and there is a new version.
    pub print: Option<EditedPrint>,
    /// Calls of tools that the model made.
    pub tool_calls: Vec<MadeCall>,
    /// What the check of its new page found; `None` when the page is as it was.
    pub verification: Option<Verification>,
    /// What its reader should know.
    pub warnings: Vec<String>,
    /// What happened, in sentences.
    pub message: String,
}

/// The printed form of an edited document.
#[derive(Debug, Clone)]
pub struct EditedPrint {
    /// Pages.
    pub pages: usize,
    /// Size in bytes.
    pub bytes: usize,
    /// Width and height of the first page, in millimetres.
    pub paper_mm: Option<(f64, f64)>,
    /// Where a picture of the first page is.
    pub thumbnail_url: Option<String>,
}

/// What an edit changed.
#[derive(Debug, Clone)]
pub struct EditResult {
    /// Unified diff; a very long one is cut and says so. Empty when only the tools changed.
    pub diff: String,
    /// How each block went in.
    pub blocks: Vec<Placed>,
    /// The most lenient level that was needed.
    pub level: Option<Level>,
}

/// A call that is being worked on.
struct Calling<'a> {
    run: &'a Run,
    owner: &'a Owner,
    call: &'a EditDocument,
    brief: Option<&'a Brief>,
}

/// What one try came to.
enum Attempt {
    Done(Box<EditedDocument>),
    /// Somebody else published meanwhile; the blocks of this try.
    Overtaken(Option<String>),
}

impl Documents {
    /// Edits a document: the next version of it, or the reason why there is none.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the edit; else why nothing was published.
    pub async fn edit(&self, run: &Run, call: EditDocument) -> Result<EditedDocument, Failure> {
        let owner = Owner {
            principal: run.context().principal.clone(),
            user: user_key(&call.user_number)?,
        };
        let brief = edit_brief(&call)?;
        let tool_names =
            self.checked_given(call.kind, call.tool_names.as_deref(), run.context()).await?;
        let call = EditDocument { tool_names, ..call };
        let first = run.step("base", || self.base(&owner, &call)).await?;
        let has_edits = call.edits.as_deref().is_some_and(|edits| !edits.trim().is_empty());
        let has_tools = call.tool_names.as_ref().is_some_and(|names| *names != first.tool_names);
        let has_page = first.setup(&call) != first.print.page;
        if brief.is_none() && !has_edits && !has_tools && !has_page {
            return Err(DocumentError::NoEdit(call.kind).into());
        }
        let calling = Calling { run, owner: &owner, call: &call, brief: brief.as_ref() };
        // A call that was overtaken goes on where it was, not where it began.
        let second = match run.stored::<Base>("base#2").await? {
            Some(second) => second,
            None => match self.edit_on(&calling, &first, &[]).await? {
                Attempt::Done(edited) => return Ok(*edited),
                Attempt::Overtaken(_) => {
                    run.progress(5.0, Some(100.0), "the document has changed: editing it anew");
                    run.step("base#2", || self.newest(&call, &first)).await?
                }
            },
        };
        let errors = [format!(
            "version {} was published by somebody else meanwhile: this is the document as it is now",
            second.head
        )];
        match self.edit_on(&calling, &second, &errors).await? {
            Attempt::Done(edited) => Ok(*edited),
            Attempt::Overtaken(edits) => {
                let newest = self.newest(&call, &second).await?;
                Err(DocumentError::EditConflict { name: newest.name, head: newest.head, edits }
                    .into())
            }
        }
    }

    /// The newest version of the document that the call names.
    async fn base(&self, owner: &Owner, call: &EditDocument) -> Result<Base, DocumentError> {
        let document = self.find(owner, call.kind, call.name.as_deref()).await?;
        self.base_of(call.kind, document).await
    }

    /// The newest version of the document that was edited before.
    async fn newest(&self, call: &EditDocument, earlier: &Base) -> Result<Base, DocumentError> {
        let document = self.parts.catalog.document_by_token(&earlier.token).await?;
        let deleted = || DocumentError::Deleted { kind: call.kind, name: earlier.name.clone() };
        self.base_of(call.kind, document.ok_or_else(deleted)?).await
    }

    async fn base_of(&self, kind: DocumentKind, document: Document) -> Result<Base, DocumentError> {
        let version = self.parts.catalog.version(&document.id, document.head).await?;
        let Some(version) = version else {
            // Its head moved on by more versions than are kept, or it was deleted: look again.
            return Err(DocumentError::Deleted { kind, name: document.name });
        };
        Ok(Base {
            document: document.id,
            token: document.token,
            name: document.name,
            head: document.head,
            print: PrintRecord::of(&version.facts),
            source: version.source_sha.unwrap_or(version.blob_sha),
            tool_names: document.tool_names,
        })
    }

    /// One try on one version; `errors` say why it is not the first.
    async fn edit_on(
        &self,
        calling: &Calling<'_>,
        base: &Base,
        errors: &[String],
    ) -> Result<Attempt, Failure> {
        let Calling { run, owner, call, brief } = *calling;
        let source = self.parts.blobs.get(&base.source).await?;
        let source: Arc<str> = String::from_utf8_lossy(&source).into();
        let files = self.files_of(&base.document, &source).await?;
        let tools = match call.kind {
            DocumentKind::WebApp => {
                self.prompt_of_tools(run, call.tool_names.as_ref().unwrap_or(&base.tool_names))?
            }
            DocumentKind::Pdf => String::new(),
        };
        let task = EditTask {
            kind: call.kind,
            document: &base.document,
            source,
            steps: format!("edit@{}", base.head),
            errors,
            files: &files,
            tools: &tools,
            page_bytes: self.parts.page_bytes,
            press: match call.kind {
                DocumentKind::WebApp => None,
                DocumentKind::Pdf => Some(base.press(call)?),
            },
        };
        let toolbox =
            Toolbox::new(&self.parts.tools, run, &owner.user, self.tools_of_edit(run, call, base));
        let edits = call.edits.as_deref().filter(|edits| !edits.trim().is_empty());
        let change = match (edits, brief) {
            (Some(edits), _) => Some(Change::Given(edits)),
            (None, Some(brief)) => Some(Change::Asked { brief, model: &call.model }),
            (None, None) => None,
        };
        run.progress(5.0, Some(100.0), "editing");
        let mut changed = match change {
            Some(change) => self.changed(run, &task, change, toolbox).await?,
            None => (Edited::unchanged(), Verdict::default()),
        };
        let mut files = Vec::new();
        if let Some(new) = changed.0.page.as_mut().filter(|_| call.kind == DocumentKind::WebApp) {
            (new.page, files) = self.lifted(new.page.clone()).await?;
        }
        let edited = &changed.0;
        let new_tools = call.tool_names.as_ref().filter(|names| **names != base.tool_names);
        let has_page = base.setup(call) != base.print.page;
        if edited.page.is_none() && new_tools.is_none() && !has_page {
            return Ok(Attempt::Done(Box::new(self.unchanged(call, base, changed.0))));
        }
        run.progress(95.0, Some(100.0), "publishing");
        let blocks = edited.page.as_ref().and_then(|page| page.blocks.clone());
        let (draft, print) = self.draft(calling, base, &task, &changed).await?;
        let published = self.publish_next(run, owner.clone(), &draft, &files).await?;
        let Some(published) = published else { return Ok(Attempt::Overtaken(blocks)) };
        let (edited, verdict) = changed;
        let done = Done { edited, verdict, print, has_thumbnail: draft.thumb_sha.is_some() };
        Ok(Attempt::Done(Box::new(self.edited(call, &task, done, published).await?)))
    }

    /// The page after a change, judged.
    async fn changed(
        &self,
        run: &Run,
        task: &EditTask<'_>,
        change: Change<'_>,
        tools: Toolbox,
    ) -> Result<(Edited, Verdict), Failure> {
        apply::check_size(&task.source)?;
        match change {
            Change::Given(edits) => {
                let edited = given::edit(task, edits).await?;
                let verdict = match &edited.page {
                    Some(page) => {
                        let verdict = self.judge(run, task, page).await?;
                        self.let_through(run, Broken::Given, page, &verdict).await?;
                        verdict
                    }
                    None => Verdict::default(),
                };
                Ok((edited, verdict))
            }
            Change::Asked { brief, model } => {
                let (edited, verdict) = self.edit_by_model(run, task, brief, model, tools).await?;
                let verdict = verdict.unwrap_or_default();
                if let Some(page) = &edited.page {
                    self.let_through(run, Broken::Edit, page, &verdict).await?;
                }
                Ok((edited, verdict))
            }
        }
    }

    /// The tools that the model may call while it edits a PDF; those of a web app are for its pages.
    /// What was named before may be closed by now; an edit can do without.
    fn tools_of_edit(&self, run: &Run, call: &EditDocument, base: &Base) -> Vec<ToolDescription> {
        let names = match call.kind {
            DocumentKind::WebApp => return Vec::new(),
            DocumentKind::Pdf => call.tool_names.as_ref().unwrap_or(&base.tool_names),
        };
        let rights = &run.context().rights;
        let open = |name: &String| self.parts.tools.check(name, rights, Origin::Code).ok();
        names.iter().filter_map(open).collect()
    }

    /// What is published of an edited source. A web app is its source; a PDF is printed.
    async fn draft(
        &self,
        calling: &Calling<'_>,
        base: &Base,
        task: &EditTask<'_>,
        changed: &(Edited, Verdict),
    ) -> Result<(Draft, Option<Print>), Failure> {
        let Calling { run, call, .. } = *calling;
        let (edited, verdict) = changed;
        let (page, mut thumb_sha, mut verification): (Page, _, _) = if let Some(new) = &edited.page
        {
            let verification = json!(verdict.checked.verification(verdict.rounds));
            (new.page.clone(), verdict.checked.thumb_sha.clone(), verification)
        } else {
            // The page is as it was, and so are its picture and what is known about it.
            let before = self.parts.catalog.version(&base.document, base.head).await?;
            let facts = before
                .as_ref()
                .and_then(|version| serde_json::from_str::<serde_json::Value>(&version.facts).ok());
            let verification = facts.and_then(|facts| facts.get("verification").cloned());
            let thumb_sha = before.and_then(|version| version.thumb_sha);
            (stored_page(&task.source), thumb_sha, verification.unwrap_or_default())
        };
        let (mut pdf, mut printed, mut record) = (None, None, json!(null));
        if let Some(press) = &task.press {
            let print = self.print(run, press, &page.html).await?;
            thumb_sha.clone_from(&print.checked.thumb_sha);
            verification = json!(print.checked.verification(verdict.rounds));
            pdf = Some(self.parts.blobs.get(&print.pdf).await?);
            record = PrintRecord::new(press, &print, &edited.tool_calls).to_json();
            printed = Some(print);
        }
        let draft = Draft {
            kind: call.kind,
            page,
            pdf,
            writer: edited.writer.clone().unwrap_or(Writer::Caller),
            prompt: edited.prompt.clone(),
            place: Place::Next {
                document: base.document.clone(),
                name: base.name.clone(),
                head: base.head,
            },
            tool_names: call.tool_names.clone(),
            thumb_sha,
            verification,
            print: record,
        };
        Ok((draft, printed))
    }

    fn unchanged(&self, call: &EditDocument, base: &Base, edited: Edited) -> EditedDocument {
        let mut sentences = vec![format!(
            "Nothing was changed: the {} `{}` stays at version {}",
            words(call.kind).noun,
            base.name,
            base.head
        )];
        sentences.extend(edited.notes);
        EditedDocument {
            url: self.address(call.kind, &base.token),
            source_url: self.source_address(call.kind, &base.token),
            version: base.head,
            name: base.name.clone(),
            writer: edited.writer,
            result: None,
            answers: edited.answers,
            print: None,
            tool_calls: edited.tool_calls,
            verification: None,
            warnings: Vec::new(),
            message: sentences.join(". ") + ".",
        }
    }

    async fn edited(
        &self,
        call: &EditDocument,
        task: &EditTask<'_>,
        done: Done,
        published: PublishedVersion,
    ) -> Result<EditedDocument, Failure> {
        let Done { edited, verdict, print, has_thumbnail } = done;
        let PublishedVersion { document, n, .. } = published;
        let result = match &edited.page {
            Some(new) => EditResult {
                diff: apply::diff(&task.source, &new.page).await?,
                blocks: new.placed.clone(),
                level: new.level(),
            },
            None => EditResult { diff: String::new(), blocks: Vec::new(), level: None },
        };
        let url = self.address(call.kind, &document.token);
        let earlier = self.version_address(call.kind, &document.token, n - 1);
        let noun = words(call.kind).noun;
        let mut sentences = vec![match &edited.page {
            Some(_) => format!("Changed the {noun} `{}`: version {n} is at {url}", document.name),
            None if print.is_some() => format!(
                "Printed the {noun} `{}` anew, its text as it was: version {n} is at {url}",
                document.name
            ),
            None => format!(
                "The {noun} `{}` may call other tools from version {n} on, at {url}; its page is as it was",
                document.name
            ),
        }];
        sentences.push(format!(
            "Version {} stays at {earlier}, and `restore_document_version` brings it back",
            n - 1
        ));
        if result.diff.len() > MAX_DIFF {
            let raw = self.source_address(call.kind, &document.token);
            sentences.push(format!("The diff is cut; {raw} shows the whole source"));
        }
        sentences.extend(edited.notes);
        if let Some(new) = &edited.page {
            sentences.extend(new.page.local_copies.iter().cloned());
        }
        let checked = match &print {
            Some(print) => Some(&print.checked),
            None => edited.page.as_ref().map(|_| &verdict.checked),
        };
        let verification = checked.map(|checked| checked.verification(verdict.rounds));
        sentences.extend(verdict.brought());
        let mut warnings = verdict.warnings;
        warnings.extend(verification.as_ref().and_then(Verification::warning));
        Ok(EditedDocument {
            url,
            source_url: self.source_address(call.kind, &document.token),
            version: n,
            name: document.name,
            writer: edited.writer,
            result: Some(result),
            answers: edited.answers,
            print: print.map(|print| EditedPrint {
                pages: print.facts.pages,
                bytes: print.facts.bytes,
                paper_mm: print.facts.paper,
                thumbnail_url: has_thumbnail
                    .then(|| self.parts.urls.pdf_thumbnail(&document.token, n)),
            }),
            tool_calls: edited.tool_calls,
            verification,
            warnings,
            message: sentences.join(". ") + ".",
        })
    }
}

/// A change that is published.
struct Done {
    edited: Edited,
    verdict: Verdict,
    print: Option<Print>,
    has_thumbnail: bool,
}

impl Base {
    /// The page options that hold after the call.
    fn setup(&self, call: &EditDocument) -> PageSetup {
        let given = call.page.clone().unwrap_or_default();
        paper::merged(given, self.print.page.clone())
    }

    /// What the document is printed with.
    fn press(&self, call: &EditDocument) -> Result<Press, DocumentError> {
        let setup = self.setup(call);
        Ok(Press {
            options: paper::checked(&setup).map_err(DocumentError::Render)?,
            setup,
            document: Some(self.document.clone()),
            files: Vec::new(),
            steps: format!("edit@{}/", self.head),
        })
    }
}

impl Edited {
    /// A source that nobody was asked to change.
    const fn unchanged() -> Self {
        Self {
            page: None,
            writer: Some(Writer::Caller),
            prompt: serde_json::Value::Null,
            notes: Vec::new(),
            answers: 0,
            tool_calls: Vec::new(),
        }
    }
}
