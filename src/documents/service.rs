//! The use cases of documents.

use std::sync::Arc;

use serde_json::json;

use super::attachments::{Attachments, Collected};
use super::error::DocumentError;
use super::generate::{CheckedPage, GeneratedPage, Material};
use super::html::{Page, page_as_given};
use super::material::file_parts;
use super::model::{CreateWebApp, brief, user_key};
use super::publish::{Draft, Place, Writer, given_name};
use super::verification::drafts::Broken;
use super::verification::{Checked, Verification, Verifier};
use crate::browser::Renderer;
use crate::content_urls::ContentUrls;
use crate::jobs::{Failure, Run};
use crate::llm::Part;
use crate::prompts::Prompts;
use crate::registry::Caller;
use crate::storage::blobs::Blobs;
use crate::storage::{
    Attachment, Catalog, Document, DocumentKind, Owner, PrincipalId, PublishedVersion,
};

/// Most documents that one listing holds.
const LISTED: u32 = 1000;

/// How long a link works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkLife {
    /// While this program runs: over stdio the client starts and ends it.
    WhileRunning,
    /// As long as the server does.
    Lasting,
}

/// What documents are made with.
pub struct DocumentParts {
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Bytes.
    pub blobs: Blobs,
    /// Prompts.
    pub prompts: Arc<Prompts>,
    /// Files that requests bring along.
    pub attachments: Attachments,
    /// URLs of what is hosted.
    pub urls: ContentUrls,
    /// How long they work.
    pub link_life: LinkLife,
    /// Cap on a page, in bytes.
    pub page_bytes: usize,
    /// Checks pages before they are published.
    pub verifier: Verifier,
    /// The tools that pages may be allowed to call.
    pub tools: Caller,
    /// Prints PDF documents.
    pub renderer: Arc<dyn Renderer>,
}

/// Makes and lists documents.
pub struct Documents {
    pub(super) parts: DocumentParts,
}

/// A published web app.
#[derive(Debug, Clone)]
pub struct PublishedApp {
    /// Where it is.
    pub url: String,
    /// Its newest version.
    pub version: i64,
    /// Its name.
    pub app_name: String,
    /// Who wrote it.
    pub writer: Writer,
    /// Files that it may show.
    pub attachments: Collected,
    /// Tools that its pages may call.
    pub tool_names: Vec<String>,
    /// What its check found.
    pub verification: Verification,
    /// What its reader should know.
    pub warnings: Vec<String>,
    /// What happened, in sentences.
    pub message: String,
}

/// The documents of a user that are of one kind.
#[derive(Debug, Clone)]
pub struct DocumentList {
    /// Newest change first, each with its address.
    pub documents: Vec<(Document, String)>,
    /// Whether there are more than were asked for.
    pub more: bool,
    /// The link that opens the gallery.
    pub gallery_url: Option<String>,
}

impl Documents {
    /// Documents on these ports.
    pub const fn new(parts: DocumentParts) -> Self {
        Self { parts }
    }

    /// Makes a web app, or a new version of the one that has its name.
    ///
    /// # Errors
    /// [`Failure::Suspend`] while somebody else writes the page; else why nothing was published.
    pub async fn create_web_app(
        &self,
        run: &Run,
        call: CreateWebApp,
    ) -> Result<PublishedApp, Failure> {
        let owner = Owner {
            principal: run.context().principal.clone(),
            user: user_key(&call.user_number)?,
        };
        let name = call.app_name.as_deref().filter(|name| !name.trim().is_empty());
        // All arguments are judged before anything is fetched.
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
        let tool_names = self
            .checked_given(DocumentKind::WebApp, call.tool_names.as_deref(), run.context())
            .await?;
        let attachments = if call.attachments.is_empty() {
            Collected::default()
        } else {
            run.progress(2.0, Some(100.0), "fetching attachments");
            run.step("attachments", || self.parts.attachments.collect(&call.attachments)).await?
        };
        let (page, writer, prompt, checked, rounds) = match (given, wanted) {
            (Some(page), _) => {
                let checked = self.check_given(run, &page, &attachments).await?;
                (page, Writer::Caller, json!(null), checked, 0)
            }
            (None, Some(brief)) => {
                run.progress(5.0, Some(100.0), "asking for the page");
                let tools = self.prompt_of_tools(run, tool_names.as_deref().unwrap_or_default())?;
                let material = Material {
                    brief: &brief,
                    files: &attachments.files,
                    parts: self.seen(run, &attachments).await?,
                    tools: &tools,
                };
                let CheckedPage { generated, checked, rounds } =
                    self.generate(run, &call.model, material).await?;
                let GeneratedPage { page, outcome, prompt } = generated;
                let writer = Writer::Model {
                    used: outcome.model_used,
                    route: outcome.route,
                    note: outcome.model_note,
                };
                (page, writer, prompt, checked, rounds)
            }
            (None, None) => return Err(DocumentError::NoRequest.into()),
        };
        run.progress(95.0, Some(100.0), "publishing");
        let verification = checked.verification(rounds);
        let (page, lifted) = self.lifted(page).await?;
        let draft = Draft {
            kind: DocumentKind::WebApp,
            page,
            pdf: None,
            writer,
            prompt,
            place: name.map_or(Place::Fresh, |name| Place::Named(given_name(run, name))),
            // A call that names none leaves those of an app that is there already.
            tool_names,
            thumb_sha: checked.thumb_sha,
            verification: json!(verification),
            print: json!(null),
        };
        let files = attachments.files.iter().map(|file| file.attachment.clone());
        let files: Vec<Attachment> = files.chain(lifted).collect();
        let published = self.publish(run, owner, &draft, &files).await?;
        Ok(self.describe(published, draft, verification, attachments, name))
    }

    /// Checks a page that the caller wrote. It is published with its faults, since it is what the
    /// caller wants; only what cannot be shown at all is refused.
    async fn check_given(
        &self,
        run: &Run,
        page: &Page,
        attachments: &Collected,
    ) -> Result<Checked, Failure> {
        run.progress(50.0, Some(100.0), "checking the page");
        let files = self.page_files(None, &attachments.files, &page.html).await?;
        let checked = self.check(run, &page.html, &files).await?;
        if checked.is_unshowable() {
            let verification = checked.verification(0);
            return Err(self.broken(run, Broken::Given, &page.html, verification).await?.into());
        }
        Ok(checked)
    }

    /// What a model sees of the files of a call.
    pub(super) async fn seen(
        &self,
        run: &Run,
        attachments: &Collected,
    ) -> Result<Vec<Part>, Failure> {
        Ok(file_parts(&self.parts.blobs, &attachments.files, &run.delimiter()).await?)
    }

    /// The newest apps or PDF documents of a user.
    ///
    /// # Errors
    /// When the key is none, or the store fails.
    pub async fn list(
        &self,
        principal: &PrincipalId,
        user_number: &str,
        kind: DocumentKind,
        limit: u32,
    ) -> Result<DocumentList, DocumentError> {
        let owner = Owner { principal: principal.clone(), user: user_key(user_number)? };
        let limit = limit.clamp(1, LISTED);
        let mut found = self.parts.catalog.documents(&owner, Some(kind), limit + 1).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let documents = found
            .into_iter()
            .map(|document| {
                let url = match kind {
                    DocumentKind::WebApp => self.parts.urls.app(&document.token),
                    DocumentKind::Pdf => self.parts.urls.pdf(&document.token),
                };
                (document, url)
            })
            .collect();
        let gallery_url = self.parts.urls.gallery(principal.as_str());
        Ok(DocumentList { documents, more, gallery_url })
    }

    fn describe(
        &self,
        published: PublishedVersion,
        draft: Draft,
        verification: Verification,
        attachments: Collected,
        asked_name: Option<&str>,
    ) -> PublishedApp {
        let PublishedVersion { document, n, created } = published;
        let url = self.parts.urls.app(&document.token);
        let name = document.name;
        let mut sentences = Vec::new();
        if created {
            sentences.push(format!("Created the web app `{name}`: {url}"));
        } else {
            let earlier = self.parts.urls.version(&document.token, n - 1);
            sentences.push(format!(
                "The name `{name}` was in use, so this is version {n} of that app, at the same address: {url} \
                 (version {} stays at {earlier})",
                n - 1
            ));
        }
        if let Some(asked) = asked_name
            && asked.to_lowercase() != name.to_lowercase()
        {
            sentences.push(format!("The name was cleaned to `{name}`"));
        }
        sentences.extend(draft.page.local_copies.iter().cloned());
        if self.parts.link_life == LinkLife::WhileRunning {
            let download = self.parts.urls.download(&document.token);
            sentences.push(format!(
                "The link works while Atelier runs, which over stdio is as long as the client keeps it: \
                 {download} gives one file to keep, and `atelier serve` keeps links open"
            ));
        }
        let mut warnings = attachments.warnings.clone();
        warnings.extend(draft.page.findings.into_iter().map(|finding| finding.message));
        warnings.extend(verification.warning());
        PublishedApp {
            url,
            version: n,
            app_name: name,
            writer: draft.writer,
            attachments,
            tool_names: document.tool_names,
            verification,
            warnings,
            message: sentences.join(". ") + ".",
        }
    }
}
