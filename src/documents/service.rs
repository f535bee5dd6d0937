//! The use cases of documents.

use std::sync::Arc;

use serde_json::json;

use super::attachments::{Attachments, Collected};
use super::error::DocumentError;
use super::generate::{GeneratedPage, Material, generate};
use super::html::page_as_given;
use super::material::file_parts;
use super::model::{CreateWebApp, brief, user_key};
use super::publish::{Draft, Place, Writer, given_name};
use crate::content_urls::ContentUrls;
use crate::jobs::{Failure, Run};
use crate::prompts::Prompts;
use crate::storage::blobs::Blobs;
use crate::storage::{Catalog, Document, DocumentKind, Owner, PrincipalId, PublishedVersion};

/// Most apps that one listing holds.
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
    /// What its reader should know.
    pub warnings: Vec<String>,
    /// What happened, in sentences.
    pub message: String,
}

/// The apps of a user.
#[derive(Debug, Clone)]
pub struct AppList {
    /// Newest change first, each with its address.
    pub apps: Vec<(Document, String)>,
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
        let wanted = if given.is_none() { Some(brief(&call)?) } else { None };
        let attachments = if call.attachments.is_empty() {
            Collected::default()
        } else {
            run.progress(2.0, Some(100.0), "fetching attachments");
            run.step("attachments", || self.parts.attachments.collect(&call.attachments)).await?
        };
        let (page, writer, prompt) = match (given, wanted) {
            (Some(page), _) => (page, Writer::Caller, json!(null)),
            (None, Some(brief)) => {
                run.progress(5.0, Some(100.0), "asking for the page");
                let GeneratedPage { page, outcome, prompt } = generate(
                    run,
                    &self.parts.prompts,
                    &call.model,
                    &brief,
                    self.material(run, &attachments).await?,
                    self.parts.page_bytes,
                )
                .await?;
                let writer = Writer::Model {
                    used: outcome.model_used,
                    route: outcome.route,
                    note: outcome.model_note,
                };
                (page, writer, prompt)
            }
            (None, None) => return Err(DocumentError::NoRequest.into()),
        };
        run.progress(95.0, Some(100.0), "publishing");
        let draft = Draft {
            kind: DocumentKind::WebApp,
            page,
            pdf: None,
            writer,
            prompt,
            place: name.map_or(Place::Fresh, |name| Place::Named(given_name(run, name))),
            tool_names: None,
            thumb_sha: None,
            verification: json!(null),
        };
        let published = self.publish(run, owner, &draft, &attachments).await?;
        Ok(self.describe(published, draft, attachments, name))
    }

    /// The files of a call as a prompt shows them.
    pub(super) async fn material<'call>(
        &self,
        run: &Run,
        attachments: &'call Collected,
    ) -> Result<Material<'call>, Failure> {
        let files = attachments.files.as_slice();
        let parts = file_parts(&self.parts.blobs, files, &run.delimiter()).await?;
        Ok(Material { files, parts })
    }

    /// The newest apps of a user.
    ///
    /// # Errors
    /// When the key is none, or the store fails.
    pub async fn list_web_apps(
        &self,
        principal: &PrincipalId,
        user_number: &str,
        limit: u32,
    ) -> Result<AppList, DocumentError> {
        let owner = Owner { principal: principal.clone(), user: user_key(user_number)? };
        let limit = limit.clamp(1, LISTED);
        let kind = Some(DocumentKind::WebApp);
        let mut found = self.parts.catalog.documents(&owner, kind, limit + 1).await?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let apps = found
            .into_iter()
            .map(|document| {
                let url = self.parts.urls.app(&document.token);
                (document, url)
            })
            .collect();
        Ok(AppList { apps, more, gallery_url: self.parts.urls.gallery(principal.as_str()) })
    }

    fn describe(
        &self,
        published: PublishedVersion,
        draft: Draft,
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
        if self.parts.link_life == LinkLife::WhileRunning {
            let download = self.parts.urls.download(&document.token);
            sentences.push(format!(
                "The link works while Atelier runs, which over stdio is as long as the client keeps it: \
                 {download} gives one file to keep, and `atelier serve` keeps links open"
            ));
        }
        let mut warnings = attachments.warnings.clone();
        warnings.extend(draft.page.findings.into_iter().map(|finding| finding.message));
        PublishedApp {
            url,
            version: n,
            app_name: name,
            writer: draft.writer,
            attachments,
            warnings,
            message: sentences.join(". ") + ".",
        }
    }
}
