//! What a model sees of the files of a call: pictures and PDFs as they are, texts as data.

use std::panic::AssertUnwindSafe;

use lopdf::{Document as PdfFile, LoadOptions};

use super::attachments::CollectedFile;
use crate::llm::{Part, StoredFile};
use crate::prompts::data_block;
use crate::storage::StorageResult;
use crate::storage::blobs::Blobs;

/// Most bytes of text of one file.
const FILE_TEXT: usize = 24_000;
/// Most bytes of text of all files.
const ALL_TEXT: usize = 96_000;
/// Most bytes that a stream in a PDF may unpack to.
const PDF_STREAM_BYTES: usize = 32 * 1024 * 1024;
/// Pages of a PDF that are read for their text.
const PDF_PAGES: usize = 60;
/// The longest side of a picture that vendors take, in pixels.
const PICTURE_SIDE: u64 = 8000;

/// The parts that follow a prompt's text. Which of them a model gets as bytes and which as text is
/// decided when it is known who answers.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn file_parts(
    blobs: &Blobs,
    files: &[CollectedFile],
    delimiter: &str,
) -> StorageResult<Vec<Part>> {
    let mut parts = Vec::new();
    let mut left = ALL_TEXT;
    for file in files {
        let attachment = &file.attachment;
        let address = file.address();
        let media_type = attachment.media_type.as_str();
        let text = if is_text(media_type) {
            let bytes = blobs.get(&attachment.sha).await?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        } else if media_type == "application/pdf" {
            let bytes = blobs.get(&attachment.sha).await?;
            // Reading a PDF takes as long as its pages are many.
            tokio::task::spawn_blocking(move || pdf_text(&bytes)).await.unwrap_or_default()
        } else {
            None
        };
        let text = text.map(|text| cut(&text, FILE_TEXT.min(left)));
        left -= text.as_ref().map_or(0, |text| text.shown.min(left));
        let is_seen = media_type == "application/pdf"
            || (media_type.starts_with("image/") && fits(file.pixels));
        if text.is_none() && !is_seen {
            continue;
        }
        let name = format!("content of the file {address}");
        parts.push(Part::StoredFile(StoredFile {
            sha: attachment.sha.0.clone(),
            media_type: media_type.to_owned(),
            name: attachment.name.clone(),
            bytes: u64::try_from(attachment.bytes).unwrap_or(u64::MAX),
            label: format!("The file {address} (`{}`):", attachment.name),
            text: text.map(|text| data_block(&text.text, &name, delimiter)),
        }));
    }
    Ok(parts)
}

fn fits(pixels: Option<(u64, u64)>) -> bool {
    pixels.is_none_or(|(width, height)| width.max(height) <= PICTURE_SIDE)
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || matches!(
            media_type,
            "application/json" | "application/yaml" | "application/geo+json" | "image/svg+xml"
        )
}

struct Cut {
    text: String,
    shown: usize,
}

/// The begin of a text, with a word about what is left out.
fn cut(text: &str, bytes: usize) -> Cut {
    if text.len() <= bytes {
        return Cut { text: text.to_owned(), shown: text.len() };
    }
    let shown = text.floor_char_boundary(bytes);
    let begin = text.get(..shown).unwrap_or_default();
    Cut { text: format!("{begin}\n[{} more bytes are not shown]", text.len() - shown), shown }
}

/// The text of a PDF; `None` when it has none that can be read.
fn pdf_text(bytes: &[u8]) -> Option<String> {
    let read = AssertUnwindSafe(|| {
        let options =
            LoadOptions { max_decompressed_size: Some(PDF_STREAM_BYTES), ..LoadOptions::default() };
        let file = PdfFile::load_mem_with_options(bytes, options).ok()?;
        let mut text = String::new();
        for page in file.get_pages().into_keys().take(PDF_PAGES) {
            if text.len() > FILE_TEXT {
                break;
            }
            text.push_str(&file.extract_text_with_limit(&[page], PDF_STREAM_BYTES).ok()?);
            text.push('\n');
        }
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    });
    // The file comes from the web: one that trips its reader has no text.
    std::panic::catch_unwind(read).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_letters() {
        let cut_text = cut("äöü", 3);
        assert_eq!(
            (cut_text.text.as_str(), cut_text.shown),
            ("ä\n[4 more bytes are not shown]", 2)
        );
        assert_eq!(cut("abc", 3).text, "abc");
        assert_eq!(cut("abc", 0).shown, 0);
    }

    #[test]
    fn a_file_that_is_no_pdf_has_no_text() {
        for bytes in [&b"%PDF-1.7\n"[..], b"", b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer <<>>\n"] {
            assert_eq!(pdf_text(bytes), None);
        }
    }
}
