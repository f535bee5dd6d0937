//! From HTML to PDF: Chrome prints it, its facts are read back, its first page becomes a picture.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::error::DocumentError;
use super::super::service::Documents;
use super::facts::{PdfFacts, read_facts};
use super::files::StoredFiles;
use crate::browser::{
    InspectOptions, Load, PdfOptions, RequestFailure, ScreenshotOptions, Source, Viewport,
};
use crate::jobs::{Failure, Run};
use crate::storage::Sha256Hex;

const LOOK: &str = include_str!("look.js");
/// Width of the picture of the first page, in pixels.
const THUMBNAIL_WIDTH: u32 = 480;
const THUMBNAIL_QUALITY: u8 = 80;
/// Problems beyond these help nobody.
const MOST_PROBLEMS: usize = 10;

/// A printed document, as its step stores it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Print {
    /// The PDF.
    pub(super) pdf: Sha256Hex,
    /// Its facts.
    pub(super) facts: PdfFacts,
    /// What should be better, in words for whoever wrote it.
    pub(super) problems: Vec<String>,
}

impl Documents {
    /// Prints HTML as a step. The PDF is stored before the step is.
    ///
    /// # Errors
    /// Why nothing was printed.
    pub(super) async fn print(
        &self,
        run: &Run,
        step: &str,
        html: &str,
        files: &Arc<StoredFiles>,
        options: &PdfOptions,
    ) -> Result<Print, Failure> {
        run.step(step, || async {
            let source = Source { html: html.to_owned(), files: Arc::clone(files) as _ };
            let printed = self
                .parts
                .renderer
                .pdf(source, options.clone(), run.cancel())
                .await
                .map_err(DocumentError::Render)?;
            let facts = read_facts(printed.pdf.clone()).await?;
            let problems = problems(&printed.load, &facts);
            let pdf = self.parts.blobs.put(printed.pdf).await.map_err(DocumentError::Storage)?;
            Ok::<_, DocumentError>(Print { pdf, facts, problems })
        })
        .await
    }

    /// A picture of the first page as a step; `None` when there is none, which stops nothing.
    ///
    /// # Errors
    /// Only when the job has to stop, or its store fails.
    pub(super) async fn picture(
        &self,
        run: &Run,
        step: &str,
        html: &str,
        files: &Arc<StoredFiles>,
        options: &PdfOptions,
    ) -> Result<Option<Sha256Hex>, Failure> {
        run.step(step, || async {
            let source = Source { html: html.to_owned(), files: Arc::clone(files) as _ };
            let (paper, margins) = (options.paper(), options.margins());
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
            let look = InspectOptions {
                screenshots: vec![ScreenshotOptions {
                    viewport: viewport.name.clone(),
                    width: THUMBNAIL_WIDTH,
                    quality: THUMBNAIL_QUALITY,
                }],
                viewports: vec![viewport],
                before: vec![LOOK.replace("__MARGINS__", &sides.to_string())],
                ..InspectOptions::default()
            };
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
