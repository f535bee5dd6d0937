//! Whether a page works: it is loaded in a browser that reaches nothing but the page's own files,
//! through the window of a phone and of a desktop, and what happens there is judged.
//!
//! Invariants: a page that is being checked is data, and so is everything it says; a check never
//! changes what is published, it only says how good that is; without a browser pages are published
//! unchecked, and the result says so.
//!
//! The flow: `Documents::check` asks once for each page -> `Verifier::check` shows the page with the scripts that every hosted page gets ->
//! `judge` turns what the browser reports into [`Finding`]s -> `rounds` decides what goes back to
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
    InspectOptions, Inspection, LoadOutcome, PageFiles, RenderError, Renderer, ScreenshotOptions,
    Source, Viewport,
};
use crate::config::browser::BrowserConfig;
use crate::jobs::{Failure, Run};
use crate::page_runtime::{self, Bootstrap};
use crate::storage::blobs::{Blobs, sha256_hex};
use crate::storage::{DocumentId, StorageResult};

/// Width of thumbnails in pixels; they have the shape of the desktop's window.
const THUMB_WIDTH: u32 = 640;
/// Quality of thumbnails, of 100.
const THUMB_QUALITY: u8 = 70;
/// A page may take so many times as long as an empty one may.
const SLOWER_THAN_NOTHING: u32 = 4;
/// How long a check waits before it asks a busy browser again.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// Checks pages.
pub struct Verifier {
    renderer: Option<Arc<dyn Renderer>>,
    blobs: Blobs,
    /// How long a page may take to come to rest.
    patience: Duration,
}

impl Verifier {
    /// A verifier that looks through this browser, and keeps its pictures here.
    pub fn new(renderer: Arc<dyn Renderer>, blobs: Blobs, config: &BrowserConfig) -> Self {
        let patience = Duration::try_from_secs_f64(config.load_s).unwrap_or(Duration::MAX);
        Self { renderer: Some(renderer), blobs, patience }
    }

    /// A verifier for operators who want no checks.
    pub const fn off(blobs: Blobs) -> Self {
        Self { renderer: None, blobs, patience: Duration::ZERO }
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
        let renderer = renderer.as_ref();
        let started = Instant::now();
        let shown = page_runtime::inject(html.as_bytes(), &Bootstrap::offline());
        let shown = String::from_utf8_lossy(&shown).into_owned();
        let source = Source { html: shown.clone(), files };
        let mut checked = Checked { state: CheckState::Done, ..Checked::off() };
        match self.look(renderer, &source, cancel).await {
            Ok(inspection) => {
                let lines = Lines::new(html, &shown);
                let mut windows = Vec::new();
                for report in inspection.viewports {
                    let Viewport { width, height, .. } = report.viewport;
                    checked.viewports.push(format!("{width}x{height}"));
                    windows.push(judge::findings(&report, &lines));
                    if let Some(picture) = report.screenshots.into_iter().next() {
                        checked.thumb_sha = Some(self.blobs.put(picture.webp).await?);
                    }
                }
                checked.findings = judge::merged(windows);
            }
            // Waiting for its turn is not counted: the page itself takes that long.
            Err(error @ RenderError::TimedOut(_)) => checked.findings.push(Finding::new(
                Kind::NeverLoads,
                format!("the page keeps the browser busy without an end: {error}"),
            )),
            Err(RenderError::Cancelled) => return Err(DocumentError::Cancelled),
            Err(error) => {
                checked = unavailable(error.to_string(), error.hint());
            }
        }
        if checked.findings.iter().any(|finding| finding.kind == Kind::NeverLoads)
            && let Some(busy) = self.busy(renderer, cancel).await
        {
            checked = unavailable(
                busy,
                "check it again when less is going on, or raise `browser.load_s`",
            );
        }
        Ok(Checked { duration_ms: milliseconds(started), ..checked })
    }

    async fn look(
        &self,
        renderer: &dyn Renderer,
        source: &Source,
        cancel: &CancellationToken,
    ) -> Result<Inspection, RenderError> {
        let mut pauses = PAUSES.iter();
        loop {
            let inspection = renderer.inspect(source.clone(), Self::windows(), cancel).await;
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

    /// Opens a page with nothing in it. Where even that takes long, the machine is too busy to say
    /// that another page never loads: that is told, in words.
    async fn busy(&self, renderer: &dyn Renderer, cancel: &CancellationToken) -> Option<String> {
        let patience = self.patience / SLOWER_THAN_NOTHING;
        let options = InspectOptions {
            viewports: vec![Viewport::desktop()],
            scripts: vec!["1".to_owned()],
            patience: Some(patience),
            ..InspectOptions::default()
        };
        let source = Source::alone("<!DOCTYPE html><title>x</title><p>x</p>");
        match renderer.inspect(source, options, cancel).await {
            Ok(inspection) => {
                let is_fast = inspection.viewports.iter().all(|report| {
                    report.load.outcome == LoadOutcome::Loaded
                        && report.scripts.iter().all(Result::is_ok)
                });
                let seconds = patience.as_secs_f64();
                (!is_fast).then(|| {
                    format!("this machine is too busy: an empty page took longer than {seconds} s")
                })
            }
            Err(error) => Some(error.to_string()),
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
}

fn unavailable(reason: String, hint: &str) -> Checked {
    tracing::warn!(error.cause = %reason, "a page was not checked");
    let state = CheckState::Unavailable { reason, hint: hint.to_owned() };
    Checked { state, ..Checked::off() }
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
