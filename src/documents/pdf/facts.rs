//! What a PDF says about itself: read back from its bytes, so that it is certain, and put right
//! where it tells of the place that it was printed at.

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use lopdf::{Document as PdfFile, IncrementalDocument, LoadOptions, Object};
use serde::{Deserialize, Serialize};

use super::super::error::DocumentError;

/// Most bytes that one stream of a PDF may unpack to.
const STREAM_BYTES: usize = 64 * 1024 * 1024;
/// Pages that are looked at for content.
const PAGES_LOOKED_AT: usize = 50;

/// What stands for a title in a PDF whose document has none.
const PRINTED_AT: &str = "doc.invalid";
/// What a PDF says it was made with.
const CREATOR: &str = concat!("Atelier ", env!("CARGO_PKG_VERSION"));

/// Operators that show text.
const TEXT: [&[u8]; 4] = [b"Tj", b"TJ", b"'", b"\""];
/// Operators that paint pictures and lines.
const PAINTING: [&[u8]; 4] = [b"Do", b"sh", b"S", b"B"];

/// Facts about a PDF.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::documents) struct PdfFacts {
    /// Pages.
    pub(in crate::documents) pages: usize,
    /// Size in bytes.
    pub(in crate::documents) bytes: usize,
    /// Title in its properties.
    pub(in crate::documents) title: Option<String>,
    /// Width and height of the first page, in millimetres.
    pub(in crate::documents) paper: Option<(f64, f64)>,
    /// Of the first pages, those on which nothing is painted.
    pub(in crate::documents) blank_pages: usize,
    /// Whether the first pages have text.
    pub(in crate::documents) has_text: bool,
}

/// Reads a PDF that Chrome made, and gives it properties of its own.
///
/// # Errors
/// When it cannot be read: nobody else could either.
pub(in crate::documents) async fn read_facts(
    pdf: Bytes,
) -> Result<(Bytes, PdfFacts), DocumentError> {
    let unreadable = || DocumentError::UnreadablePdf;
    tokio::task::spawn_blocking(move || {
        std::panic::catch_unwind(AssertUnwindSafe(|| finished(pdf))).ok().flatten()
    })
    .await
    .map_err(|_| unreadable())?
    .ok_or_else(unreadable)
}

fn finished(pdf: Bytes) -> Option<(Bytes, PdfFacts)> {
    let options =
        LoadOptions { max_decompressed_size: Some(STREAM_BYTES), ..LoadOptions::default() };
    let file = PdfFile::load_mem_with_options(&pdf, options).ok()?;
    let mut facts = facts(&file);
    let pdf = with_properties(&pdf, file).map_or(pdf, Bytes::from);
    facts.bytes = pdf.len();
    Some((pdf, facts))
}

/// The PDF with its properties changed, as an update behind its end: Chrome names itself and the
/// machine as its creator, and without a title its own address.
fn with_properties(pdf: &[u8], file: PdfFile) -> Option<Vec<u8>> {
    let id = file.trailer.get(b"Info").ok()?.as_reference().ok()?;
    let has_title = title(&file).is_some();
    let mut update = IncrementalDocument::create_from(pdf.to_vec(), file);
    update.opt_clone_object_to_new_document(id).ok()?;
    let info = update.new_document.get_object_mut(id).ok()?.as_dict_mut().ok()?;
    info.set("Creator", Object::string_literal(CREATOR));
    if !has_title {
        info.remove(b"Title");
    }
    let mut changed = Vec::with_capacity(pdf.len() + 1024);
    update.save_to(&mut changed).ok()?;
    Some(changed)
}

fn facts(file: &PdfFile) -> PdfFacts {
    let pages = file.get_pages();
    let first = pages.values().next().copied();
    let mut blank_pages = 0;
    let mut has_text = false;
    for page in pages.values().take(PAGES_LOOKED_AT) {
        let content = file.get_page_content(*page);
        blank_pages += usize::from(!shows_something(&content));
        has_text |= operators(&content).any(|word| TEXT.contains(&word));
    }
    PdfFacts {
        pages: pages.len(),
        bytes: 0,
        title: title(file),
        paper: first.and_then(|page| paper(file, page)),
        blank_pages,
        has_text,
    }
}

/// Whether a page's content paints: text, pictures, or lines and areas. The white that Chrome may
/// lay below everything is an area alone.
fn shows_something(content: &[u8]) -> bool {
    let mut areas = 0;
    for word in operators(content) {
        if TEXT.contains(&word) || PAINTING.contains(&word) {
            return true;
        }
        if matches!(word, b"f" | b"f*") {
            areas += 1;
        }
    }
    areas > 1
}

/// The words of a page's content, among them its operators.
fn operators(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    content.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b']' | b')' | b'>'))
}

fn title(file: &PdfFile) -> Option<String> {
    let info = file.trailer.get(b"Info").ok()?;
    let (_, info) = file.dereference(info).ok()?;
    let title = info.as_dict().ok()?.get(b"Title").ok()?;
    let (_, title) = file.dereference(title).ok()?;
    let title = lopdf::decode_text_string(title).ok()?;
    Some(title.trim().to_owned()).filter(|title| !title.is_empty() && title != PRINTED_AT)
}

/// The size of a page, which it may have from the nodes above it.
fn paper(file: &PdfFile, page: lopdf::ObjectId) -> Option<(f64, f64)> {
    let mut node = file.get_dictionary(page).ok()?;
    // Page trees are a few levels deep; a ring would have no end.
    for _ in 0..16 {
        if let Ok(area) = node.get(b"MediaBox") {
            let (_, area) = file.dereference(area).ok()?;
            let sides: Vec<f64> = area.as_array().ok()?.iter().filter_map(number).collect();
            let [left, bottom, right, top] = *sides.as_slice() else { return None };
            let millimetres = |points: f64| (points / 72.0 * 25.4 * 10.0).round() / 10.0;
            return Some((millimetres(right - left), millimetres(top - bottom)));
        }
        let parent = node.get(b"Parent").ok()?.as_reference().ok()?;
        node = file.get_dictionary(parent).ok()?;
    }
    None
}

fn number(object: &Object) -> Option<f64> {
    object.as_float().ok().map(f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_background_alone_is_a_blank_page() {
        assert!(!shows_something(b"q 1 1 1 rg 0 0 595 842 re f Q"));
        assert!(shows_something(b"BT /F0 12 Tf [<0001>] TJ ET"));
        assert!(shows_something(b"q /X1 Do Q"));
        assert!(shows_something(b"0 0 595 842 re f 1 0 0 rg 5 5 9 9 re f"));
    }

    #[tokio::test]
    async fn what_is_no_pdf_is_an_error() {
        assert!(read_facts(Bytes::from_static(b"%PDF-1.7 and no more")).await.is_err());
        assert!(read_facts(Bytes::new()).await.is_err());
    }
}
