//! What is wrong with a printed document.

use std::time::Duration;

use super::excerpt::Lines;
use super::finding::{Finding, Kind};
use super::judge::{self, during};
use super::verdict::{CheckState, Checked};
use crate::browser::Load;
use crate::browser::check::Look;
use crate::storage::Sha256Hex;

/// How a document was looked at, in results.
const PRINT: &str = "print";

/// What is known of a printed document.
#[derive(Debug, Clone, Copy)]
pub struct PdfSeen<'a> {
    /// The HTML as it was written; it is printed without anything put into it.
    pub html: &'a str,
    /// What happened while it was loaded for print.
    pub load: &'a Load,
    /// How it looks in a window as wide as the text area of the paper, where somebody looked:
    /// [`crate::browser::check::LOOK`].
    pub look: Option<&'a Look>,
    /// Pages.
    pub pages: usize,
    /// Of these, such with nothing on them.
    pub blank_pages: usize,
    /// Whether text can be taken out of it; `None`: not known.
    pub has_text: Option<bool>,
    /// Title in its properties.
    pub title: Option<&'a str>,
}

/// Judges a printed document, the gravest finding first.
pub fn judge_pdf(seen: &PdfSeen<'_>) -> Vec<Finding> {
    let lines = Lines::new(seen.html, seen.html);
    let mut found = during(seen.load, &lines);
    if seen.pages == 0 || seen.blank_pages >= seen.pages {
        found.push(Finding::new(
            Kind::BlankPage,
            "nothing is printed: the document has no page with anything on it",
        ));
    } else if seen.blank_pages > 0 {
        let pages = if seen.blank_pages == 1 { "page is" } else { "pages are" };
        found.push(Finding::new(
            Kind::BlankPages,
            format!(
                "{} of {} {pages} blank: look for page breaks behind the last content and for \
                 boxes taller than a page",
                seen.blank_pages, seen.pages
            ),
        ));
    }
    if let Some(overflow) = seen.look.and_then(|look| look.overflow.as_ref())
        && !overflow.clipped
    {
        let culprit = overflow.culprit.as_deref().unwrap_or("something");
        found.push(
            Finding::new(
                Kind::ContentTooWide,
                format!(
                    "`{}` is wider than the page by {} px: it is cut off, or everything is printed smaller",
                    super::finding::cut(culprit, 120),
                    overflow.pixels
                ),
            )
            .at(culprit),
        );
    }
    if seen.title.is_none_or(|title| title.trim().is_empty()) {
        found.push(Finding::new(Kind::MissingTitle, "the document has no `<title>`"));
    }
    if seen.has_text == Some(false) {
        found.push(Finding::new(
            Kind::NoText,
            "no text can be selected or searched in the document: it consists of pictures",
        ));
    }
    judge::merged(vec![found])
}

/// The check of a printed document, with a picture of its first page.
pub(crate) fn checked_print(
    seen: &PdfSeen<'_>,
    duration: Duration,
    thumb_sha: Option<Sha256Hex>,
) -> Checked {
    Checked {
        state: CheckState::Done,
        findings: judge_pdf(seen),
        viewports: vec![PRINT.to_owned()],
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        thumb_sha,
    }
}

/// The check of a document that never came to rest, so that it could not be printed.
pub(crate) fn endless_print(reason: &str, duration: Duration) -> Checked {
    Checked {
        state: CheckState::Done,
        findings: vec![Finding::new(Kind::NeverLoads, reason)],
        viewports: vec![PRINT.to_owned()],
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        thumb_sha: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::browser::check::Overflow;
    use crate::browser::{FailedRequest, LoadOutcome, PageException, Phase, RequestFailure};

    /// A document without a fault.
    fn sound(load: &Load) -> PdfSeen<'_> {
        PdfSeen {
            html: "<p>x</p>",
            load,
            look: None,
            pages: 3,
            blank_pages: 0,
            has_text: Some(true),
            title: Some("Invoice"),
        }
    }

    fn kinds(seen: &PdfSeen<'_>) -> Vec<Kind> {
        judge_pdf(seen).into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn a_sound_document_has_no_finding() {
        let load = Load::default();
        assert_eq!(kinds(&sound(&load)), []);
        assert_eq!(kinds(&PdfSeen { has_text: None, ..sound(&load) }), []);
    }

    #[test]
    fn each_fault_is_found() {
        let load = Load::default();
        let sound = sound(&load);
        let wide = Look {
            overflow: Some(Overflow { pixels: 40, ..Overflow::default() }),
            ..Look::default()
        };
        for (seen, kind) in [
            (PdfSeen { pages: 0, ..sound }, Kind::BlankPage),
            (PdfSeen { blank_pages: 3, ..sound }, Kind::BlankPage),
            (PdfSeen { blank_pages: 1, ..sound }, Kind::BlankPages),
            (PdfSeen { title: Some(" "), ..sound }, Kind::MissingTitle),
            (PdfSeen { title: None, ..sound }, Kind::MissingTitle),
            (PdfSeen { has_text: Some(false), ..sound }, Kind::NoText),
            (PdfSeen { look: Some(&wide), ..sound }, Kind::ContentTooWide),
        ] {
            assert_eq!(kinds(&seen), [kind]);
        }
    }

    #[test]
    fn what_happened_while_it_loaded_counts() {
        let load = Load {
            outcome: LoadOutcome::Loaded,
            exceptions: vec![PageException {
                message: "ReferenceError: chart is not defined".to_owned(),
                script: None,
                line: Some(1),
                column: None,
                is_rejection: false,
                phase: Phase::Loading,
            }],
            requests: vec![FailedRequest {
                url: "a/logo.png".to_owned(),
                kind: "image".to_owned(),
                failure: RequestFailure::Missing,
                phase: Phase::Loading,
            }],
            ..Load::default()
        };
        assert_eq!(kinds(&sound(&load)), [Kind::ExceptionAtLoad, Kind::MissingAsset]);
    }
}
