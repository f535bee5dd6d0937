//! Whether a page works: it is loaded in a browser that reaches nothing but the page's own files,
//! through the window of a phone and of a desktop, and what happens there is judged.
//!
//! Invariants: a page that is being checked is data, and so is everything it says; a check never
//! changes what is published, it only says how good that is; without a browser pages are published
//! unchecked, and the result says so.
//!
//! The flow: [`Documents::check`] asks once for each page -> [`Verifier::check`] shows the page with the scripts that every hosted page gets ->
//! `judge` turns what the browser reports into [`Finding`]s -> [`rounds`] decides what goes back to
//! the model, and which of several candidates is the best -> [`Verification`] is what results say.

pub(super) mod drafts;
mod excerpt;
mod finding;
mod judge;
pub mod pdf;
pub(super) mod rounds;
mod verdict;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use finding::{Finding, Kind, Severity};
pub(crate) use verdict::{CheckState, Checked, Score};
pub use verdict::{Verification, VerificationStatus};

use self::excerpt::Lines;
use super::attachments::CollectedFile;
use super::error::DocumentError;
use super::files::StoredFiles;
use super::service::Documents;
use crate::browser::check::{LOOK, accessibility};
use crate::browser::{
    InspectOptions, Inspection, PageFiles, RenderError, Renderer, ScreenshotOptions, Source,
    Viewport,
};
use crate::jobs::{Failure, Run};
use crate::page_runtime::{self, Bootstrap};
use crate::storage::blobs::{Blobs, sha256_hex};
use crate::storage::{DocumentId, StorageResult};

/// Width of thumbnails in pixels; they have the shape of the desktop's window.
const THUMB_WIDTH: u32 = 640;
/// Quality of thumbnails, of 100.
const THUMB_QUALITY: u8 = 70;
/// How long a check waits before it asks a busy browser again.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// Checks pages.
pub struct Verifier {
    renderer: Option<Arc<dyn Renderer>>,
    blobs: Blobs,
}

impl Verifier {
    /// A verifier that looks through this browser, and keeps its pictures here.
    pub fn new(renderer: Arc<dyn Renderer>, blobs: Blobs) -> Self {
        Self { renderer: Some(renderer), blobs }
    }

    /// A verifier for operators who want no checks.
    pub const fn off(blobs: Blobs) -> Self {
        Self { renderer: None, blobs }
    }

    /// Checks a page. Without a browser that is a result too.
    ///
    /// # Errors
    /// When the caller gave up, or its picture cannot be stored.
    pub(crate) async fn check(
        &self,
        html: &str,
        files: Arc<dyn PageFiles>,
        cancel: &CancellationToken,
    ) -> Result<Checked, DocumentError> {
        let Some(renderer) = &self.renderer else { return Ok(Checked::off()) };
        let started = Instant::now();
        let shown = page_runtime::inject(html.as_bytes(), &Bootstrap::offline());
        let shown = String::from_utf8_lossy(&shown).into_owned();
        let lines = Lines::new(html, &shown);
        let source = Source { html: shown.clone(), files };
        let inspection = match self.look(renderer.as_ref(), &source, cancel).await {
            Ok(inspection) => inspection,
            Err(RenderError::Cancelled) => return Err(DocumentError::Cancelled),
            // Waiting for its turn is not counted: the page itself takes that long.
            Err(error @ RenderError::TimedOut(_)) => return Ok(endless(&error, started)),
            Err(error) => return Ok(unavailable(&error, started)),
        };
        let mut windows = Vec::new();
        let mut viewports = Vec::new();
        let mut thumb = None;
        for report in inspection.viewports {
            viewports.push(format!("{}x{}", report.viewport.width, report.viewport.height));
            windows.push(judge::findings(&report, &lines));
            thumb = report.screenshots.into_iter().next().or(thumb);
        }
        let thumb_sha = match thumb {
            Some(picture) => Some(self.blobs.put(picture.webp).await?),
            None => None,
        };
        Ok(Checked {
            state: CheckState::Done,
            findings: judge::merged(windows),
            viewports,
            duration_ms: milliseconds(started),
            thumb_sha,
        })
    }

    async fn look(
        &self,
        renderer: &dyn Renderer,
        source: &Source,
        cancel: &CancellationToken,
    ) -> Result<Inspection, RenderError> {
        let mut pauses = PAUSES.iter();
        loop {
            let inspection = renderer.inspect(source.clone(), windows(), cancel).await;
            match (inspection, pauses.next()) {
                (Err(RenderError::Busy { .. }), Some(pause)) => {
                    tokio::select! {
                        () = cancel.cancelled() => return Err(RenderError::Cancelled),
                        () = tokio::time::sleep(*pause) => {}
                    }
                }
                (inspection, _) => return inspection,
            }
        }
    }
}

/// A phone, and a desktop of which a picture is taken.
fn windows() -> InspectOptions {
    let desktop = Viewport::desktop();
    InspectOptions {
        screenshots: vec![ScreenshotOptions {
            viewport: desktop.name.clone(),
            width: THUMB_WIDTH,
            quality: THUMB_QUALITY,
        }],
        viewports: vec![Viewport::phone(), desktop],
        scripts: vec![LOOK.to_owned(), accessibility().to_owned()],
        ..InspectOptions::default()
    }
}

fn endless(error: &RenderError, started: Instant) -> Checked {
    let finding = Finding::new(
        Kind::NeverLoads,
        format!("the page keeps the browser busy without an end: {error}"),
    );
    Checked {
        state: CheckState::Done,
        findings: vec![finding],
        duration_ms: milliseconds(started),
        ..Checked::off()
    }
}

fn unavailable(error: &RenderError, started: Instant) -> Checked {
    tracing::warn!(error.cause = %error, "a page was not checked");
    Checked {
        state: CheckState::Unavailable { reason: error.to_string(), hint: error.hint().to_owned() },
        duration_ms: milliseconds(started),
        ..Checked::off()
    }
}

impl Documents {
    /// Checks a page as a step: whatever runs the job again looks at no page twice.
    ///
    /// # Errors
    /// When the job has to stop, or the store fails.
    pub(super) async fn check(
        &self,
        run: &Run,
        html: &str,
        files: &Arc<StoredFiles>,
    ) -> Result<Checked, Failure> {
        let verifier = &self.parts.verifier;
        if verifier.renderer.is_none() {
            return Ok(Checked::off());
        }
        let step = format!("check@{}", sha256_hex(html.as_bytes()));
        let files = Arc::clone(files);
        run.step(&step, || verifier.check(html, files, run.cancel())).await
    }

    /// The files that a page may show: those of the call, and those of its earlier versions that
    /// it refers to.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn page_files(
        &self,
        document: Option<&DocumentId>,
        files: &[CollectedFile],
        html: &str,
    ) -> StorageResult<Arc<StoredFiles>> {
        let files = files.iter().map(|file| file.attachment.clone());
        let (catalog, blobs) = (self.parts.catalog.as_ref(), &self.parts.blobs);
        StoredFiles::collect(catalog, blobs, document, files, html).await
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Verifier")
            .field("is_on", &self.renderer.is_some())
            .finish_non_exhaustive()
    }
}
