//! From HTML to PDF: Chrome prints it, its facts are read back, it is judged, and its first page
//! becomes a picture.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::error::DocumentError;
use super::super::files::StoredFiles;
use super::super::service::Documents;
use super::super::verification::Checked;
use super::super::verification::pdf::{PdfSeen, checked_print, endless_print};
use super::facts::{PdfFacts, read_facts};
use crate::browser::check::{LOOK as LOOK_AT, Look};
use crate::browser::{
    InspectOptions, PageSetup, PdfOptions, RenderError, ScreenshotOptions, Seen, Source, Viewport,
};
use crate::jobs::{Failure, Run};
use crate::storage::blobs::sha256_hex;
use crate::storage::{Attachment, DocumentId, Sha256Hex};

/// Makes a window look like paper.
const LOOK: &str = include_str!("look.js");
/// The window as wide as the text on the paper, where it is seen what is too wide.
const TEXT_AREA: &str = "text area";
/// The window as large as the paper, of which a picture is taken.
const PAPER: &str = "paper";
/// Width of the picture of the first page, in pixels.
const THUMBNAIL_WIDTH: u32 = 480;
const THUMBNAIL_QUALITY: u8 = 80;

/// What a document is printed with.
#[derive(Debug, Clone)]
pub(in crate::documents) struct Press {
    /// The page options as the caller, and earlier versions, have them.
    pub(in crate::documents) setup: PageSetup,
    /// The same, checked.
    pub(in crate::documents) options: PdfOptions,
    /// The document, when it is there already: its files are at hand.
    pub(in crate::documents) document: Option<DocumentId>,
    /// Files that the call brings along.
    pub(in crate::documents) files: Vec<Attachment>,
    /// Begin of the names of its steps.
    pub(in crate::documents) steps: String,
}

/// A printed document, as its step stores it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::documents) struct Print {
    /// The PDF.
    pub(in crate::documents) pdf: Sha256Hex,
    /// Its facts.
    pub(in crate::documents) facts: PdfFacts,
    /// What its check found, with a picture of its first page.
    pub(in crate::documents) checked: Checked,
}

/// A print, or why the text cannot be printed.
type Printed = Result<Print, Checked>;

impl Documents {
    /// Prints HTML as a step, once for the same HTML. The PDF is stored before the step is.
    ///
    /// # Errors
    /// Why nothing was printed.
    pub(in crate::documents) async fn print(
        &self,
        run: &Run,
        press: &Press,
        html: &str,
    ) -> Result<Print, Failure> {
        self.try_print(run, press, html)
            .await?
            .map_err(|endless| DocumentError::NeverPrinted(endless.reason()).into())
    }

    /// The same for a text that somebody may put right: that it never comes to rest is what its
    /// check found.
    ///
    /// # Errors
    /// What is not the text's own fault.
    pub(in crate::documents) async fn try_print(
        &self,
        run: &Run,
        press: &Press,
        html: &str,
    ) -> Result<Printed, Failure> {
        run.progress(91.0, Some(100.0), "printing");
        run.step(&press.step(html), || self.print_now(run, press, html)).await
    }

    async fn print_now(
        &self,
        run: &Run,
        press: &Press,
        html: &str,
    ) -> Result<Printed, DocumentError> {
        let started = Instant::now();
        let files = StoredFiles::collect(
            self.parts.catalog.as_ref(),
            &self.parts.blobs,
            press.document.as_ref(),
            press.files.iter().cloned(),
            html,
        )
        .await?;
        let source = Source { html: html.to_owned(), files };
        let (renderer, options) = (&self.parts.renderer, press.options.clone());
        let looks = press.windows();
        let printed = match renderer.pdf_and_looks(source, options, looks, run.cancel()).await {
            Ok(printed) => printed,
            Err(error @ RenderError::NeverLoads { .. }) => {
                return Ok(Err(endless_print(&error.to_string(), started.elapsed())));
            }
            Err(error) => return Err(DocumentError::Render(error)),
        };
        let (pdf, facts) = read_facts(printed.pdf).await?;
        let (look, thumb_sha) = self.kept(printed.windows).await?;
        let seen = PdfSeen {
            html,
            load: &printed.load,
            look: look.as_ref(),
            pages: facts.pages,
            blank_pages: facts.blank_pages,
            has_text: Some(facts.has_text),
            title: Some(printed.load.title.as_str()),
        };
        let checked = checked_print(&seen, started.elapsed(), thumb_sha);
        let pdf = self.parts.blobs.put(pdf).await?;
        Ok(Ok(Print { pdf, facts, checked }))
    }

    /// What was seen of a printed document: whether it fits the paper, and a picture of the first
    /// page. That there is neither stops nothing.
    async fn kept(
        &self,
        windows: Vec<Seen>,
    ) -> Result<(Option<Look>, Option<Sha256Hex>), DocumentError> {
        let mut windows = windows.into_iter();
        let look = windows.next().and_then(|text_area| {
            let value = text_area.scripts.into_iter().next().and_then(Result::ok)?;
            serde_json::from_value(value).ok()
        });
        let picture = windows.next().and_then(|paper| paper.screenshots.into_iter().next());
        let thumb_sha = match picture {
            Some(picture) => Some(self.parts.blobs.put(picture.webp).await?),
            None => None,
        };
        Ok((look, thumb_sha))
    }
}

impl Press {
    /// Name of a step that is the same for the same HTML.
    fn step(&self, html: &str) -> String {
        let sha = sha256_hex(html.as_bytes());
        let begin: String = sha.0.chars().take(16).collect();
        format!("{}print@{begin}", self.steps)
    }

    /// The windows through which a document is looked at, and how each is made to look like paper.
    fn windows(&self) -> Vec<InspectOptions> {
        let (paper, margins) = (self.options.paper(), self.options.margins());
        let sides = json!({
            "top": format!("{}px", margins.top.as_pixels()),
            "right": format!("{}px", margins.right.as_pixels()),
            "bottom": format!("{}px", margins.bottom.as_pixels()),
            "left": format!("{}px", margins.left.as_pixels()),
        });
        let window = |name: &str, width: f64| Viewport {
            name: name.to_owned(),
            width: pixels(width),
            height: pixels(paper.height.as_pixels()),
            mobile: false,
            device_scale: 1.0,
        };
        let text = paper.width.as_pixels() - margins.left.as_pixels() - margins.right.as_pixels();
        let text = window(TEXT_AREA, text);
        let paper = window(PAPER, paper.width.as_pixels());
        let script = LOOK
            .replace("__MARGINS__", &sides.to_string())
            .replace("__WIDTH__", &paper.width.to_string());
        let before = vec![script];
        vec![
            InspectOptions {
                viewports: vec![text],
                before: before.clone(),
                scripts: vec![LOOK_AT.to_owned()],
                ..InspectOptions::default()
            },
            InspectOptions {
                screenshots: vec![ScreenshotOptions {
                    viewport: PAPER.to_owned(),
                    width: THUMBNAIL_WIDTH,
                    quality: THUMBNAIL_QUALITY,
                }],
                viewports: vec![paper],
                before,
                ..InspectOptions::default()
            },
        ]
    }
}

/// Paper as a window: no page is taller than what a picture can hold.
fn pixels(length: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded right here"
    )]
    let whole = length.round().clamp(1.0, 4000.0) as u32;
    whole
}
