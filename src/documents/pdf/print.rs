//! From HTML to PDF: Chrome prints it, its facts are read back, its first page becomes a picture.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::error::{DocumentError, NEVER_LOADS};
use super::super::service::Documents;
use super::facts::{PdfFacts, read_facts};
use super::files::StoredFiles;
use crate::browser::{
    InspectOptions, Load, PageSetup, PdfOptions, RequestFailure, ScreenshotOptions, Source,
    Viewport,
};
use crate::error::ToolError;
use crate::jobs::{Failure, Run};
use crate::storage::blobs::sha256_hex;
use crate::storage::{Attachment, DocumentId, Sha256Hex};

const LOOK: &str = include_str!("look.js");
/// Width of the picture of the first page, in pixels.
const THUMBNAIL_WIDTH: u32 = 480;
const THUMBNAIL_QUALITY: u8 = 80;
/// Problems beyond these help nobody.
const MOST_PROBLEMS: usize = 10;

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
    /// What was wrong with it before, for which a change of it is not to be blamed.
    pub(in crate::documents) known: Vec<String>,
}

/// A printed document, as its step stores it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::documents) struct Print {
    /// The PDF.
    pub(in crate::documents) pdf: Sha256Hex,
    /// Its facts.
    pub(in crate::documents) facts: PdfFacts,
    /// What should be better, in words for whoever wrote it.
    pub(in crate::documents) problems: Vec<String>,
}

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
        run.progress(91.0, Some(100.0), "printing");
        let step = press.step("print", html);
        run.step(&step, || async {
            let source = self.source(press, html).await?;
            let printed = self
                .parts
                .renderer
                .pdf(source, press.options.clone(), run.cancel())
                .await
                .map_err(DocumentError::Render)?;
            let facts = read_facts(printed.pdf.clone()).await?;
            let problems = problems(&printed.load, &facts);
            let pdf = self.parts.blobs.put(printed.pdf).await.map_err(DocumentError::Storage)?;
            Ok::<_, DocumentError>(Print { pdf, facts, problems })
        })
        .await
    }

    /// The same for a text that its author may put right: what is wrong with the text itself is an
    /// error inside.
    ///
    /// # Errors
    /// What is nobody's fault who wrote it.
    pub(in crate::documents) async fn try_print(
        &self,
        run: &Run,
        press: &Press,
        html: &str,
    ) -> Result<Result<Print, ToolError>, Failure> {
        match self.print(run, press, html).await {
            Ok(print) => Ok(Ok(print)),
            Err(Failure::Error(error)) if error.code == NEVER_LOADS => Ok(Err(error)),
            Err(failure) => Err(failure),
        }
    }

    /// A picture of the first page as a step; `None` when there is none, which stops nothing.
    ///
    /// # Errors
    /// Only when the job has to stop, or its store fails.
    pub(in crate::documents) async fn picture(
        &self,
        run: &Run,
        press: &Press,
        html: &str,
    ) -> Result<Option<Sha256Hex>, Failure> {
        run.step(&press.step("picture", html), || async {
            let source = self.source(press, html).await?;
            let look = press.look();
            let seen = match self.parts.renderer.inspect(source, look, run.cancel()).await {
                Ok(seen) => seen,
                Err(error) => {
                    tracing::warn!(error.cause = %error, "no picture of a document");
                    return Ok(None);
                }
            };
            let picture = seen.viewports.into_iter().flat_map(|report| report.screenshots).next();
            match picture {
                Some(picture) => {
                    self.parts.blobs.put(picture.webp).await.map(Some).map_err(DocumentError::from)
                }
                None => Ok(None),
            }
        })
        .await
    }

    async fn source(&self, press: &Press, html: &str) -> Result<Source, DocumentError> {
        let files = StoredFiles::collect(
            self.parts.catalog.as_ref(),
            &self.parts.blobs,
            press.document.as_ref(),
            press.files.iter().cloned(),
            html,
        )
        .await?;
        Ok(Source { html: html.to_owned(), files })
    }
}

impl Press {
    /// Name of a step that is the same for the same HTML.
    fn step(&self, what: &str, html: &str) -> String {
        let sha = sha256_hex(html.as_bytes());
        let begin: String = sha.0.chars().take(16).collect();
        format!("{}{what}@{begin}", self.steps)
    }

    /// How the first page is looked at.
    fn look(&self) -> InspectOptions {
        let (paper, margins) = (self.options.paper(), self.options.margins());
        let sides = json!({
            "top": format!("{}px", margins.top.as_pixels()),
            "right": format!("{}px", margins.right.as_pixels()),
            "bottom": format!("{}px", margins.bottom.as_pixels()),
            "left": format!("{}px", margins.left.as_pixels()),
        });
        let viewport = Viewport {
            name: "paper".to_owned(),
            width: pixels(paper.width.as_pixels()),
            height: pixels(paper.height.as_pixels()),
            mobile: false,
            device_scale: 1.0,
        };
        InspectOptions {
            screenshots: vec![ScreenshotOptions {
                viewport: viewport.name.clone(),
                width: THUMBNAIL_WIDTH,
                quality: THUMBNAIL_QUALITY,
            }],
            viewports: vec![viewport],
            before: vec![LOOK.replace("__MARGINS__", &sides.to_string())],
            ..InspectOptions::default()
        }
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

/// What should be better about a print.
fn problems(load: &Load, facts: &PdfFacts) -> Vec<String> {
    let mut problems = Vec::new();
    if facts.pages == 0 {
        problems.push("the PDF has no page".to_owned());
    } else if !facts.has_content {
        problems.push("nothing is printed: the pages are blank".to_owned());
    }
    for exception in &load.exceptions {
        let line = exception.line.map(|line| format!(" in line {line}")).unwrap_or_default();
        problems.push(format!("a script fails{line}: {}", exception.message));
    }
    for request in &load.requests {
        problems.push(match request.failure {
            RequestFailure::Missing => {
                format!("`{}` ({}) is not stored with the document", short(&request.url), request.kind)
            }
            RequestFailure::Foreign => format!(
                "`{}` ({}) lies elsewhere and is missing in print",
                short(&request.url),
                request.kind
            ),
        });
    }
    problems.truncate(MOST_PROBLEMS);
    problems
}

/// An address without its query, which may hold a key.
fn short(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    plain.chars().filter(|letter| !letter.is_control()).take(120).collect()
}
