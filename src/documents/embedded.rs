//! Files inside a page: `data:` URIs, and references to stored files.
//!
//! A picture written into a page as a `data:` URI would travel in every prompt about that page,
//! and its one line is longer than all others. So pictures and fonts beyond a small size are lifted
//! out when a page is stored: they become files of the document at `a/<sha>`, and the download puts
//! them back. Scripts are left alone, since a script may do with the text of a URI what it cannot do
//! with a file, and so is everything that is not plainly such a file.

use std::collections::HashMap;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::attachments::CollectedFile;
use super::html::Page;
use super::media;
use super::service::Documents;
use crate::jobs::Failure;
use crate::storage::{Attachment, DocumentId, Sha256Hex, StorageResult};

/// URIs up to this length stay where they are, in bytes.
const SMALL: usize = 2048;
/// Files lifted out of one page; further ones stay.
const MAX_FILES: usize = 50;
/// Digits of a SHA-256 in hex.
const SHA_DIGITS: usize = 64;

/// A file that stands in a page.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Embedded {
    /// Where its URI stands.
    range: Range<usize>,
    /// Its bytes.
    bytes: Vec<u8>,
    /// Its type by these.
    media_type: String,
}

impl Documents {
    /// Stores the large files that stand in a page, and puts their addresses in their place.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn lifted(&self, page: Page) -> Result<(Page, Vec<Attachment>), Failure> {
        if !page.html.contains("data:") {
            return Ok((page, Vec::new()));
        }
        let mut html = String::new();
        let mut files: Vec<Attachment> = Vec::new();
        let mut done = 0;
        for Embedded { range, bytes, media_type } in embedded(&page.html) {
            let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
            let sha = self.parts.blobs.put(Bytes::from(bytes)).await?;
            html.push_str(page.html.get(done..range.start).unwrap_or_default());
            html.push_str("a/");
            html.push_str(sha.as_str());
            done = range.end;
            if files.iter().all(|file| file.sha != sha) {
                let ending = media_type.rsplit(['/', '-', '.']).next().unwrap_or_default();
                let ending = ending.split('+').next().unwrap_or_default();
                let name = format!("embedded-{}.{ending}", files.len() + 1);
                files.push(Attachment { sha, name, media_type, bytes: size });
            }
        }
        if files.is_empty() {
            return Ok((page, files));
        }
        html.push_str(page.html.get(done..).unwrap_or_default());
        Ok((Page { html, ..page }, files))
    }

    /// The files of a document that a page of it refers to.
    pub(super) async fn files_of(
        &self,
        document: &DocumentId,
        html: &str,
    ) -> StorageResult<Vec<CollectedFile>> {
        let mut files = Vec::new();
        for sha in references(html).into_iter().take(MAX_FILES) {
            if let Some(attachment) = self.parts.catalog.attachment(document, &sha).await? {
                files.push(CollectedFile { attachment, pixels: None });
            }
        }
        Ok(files)
    }
}

/// The stored files that a page refers to as `a/<sha>`, each once.
fn references(html: &str) -> Vec<Sha256Hex> {
    let mut found: Vec<Sha256Hex> = Vec::new();
    for (at, _) in html.match_indices("a/") {
        let Some(sha) = html.get(at + 2..at + 2 + SHA_DIGITS) else { continue };
        let is_sha = sha.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_sha && found.iter().all(|known| known.as_str() != sha) {
            found.push(Sha256Hex::from(sha));
        }
    }
    found
}

/// The files to lift out of a page, in its order.
fn embedded(html: &str) -> Vec<Embedded> {
    let scripts = script_ranges(html);
    let mut known: HashMap<&str, Option<(Vec<u8>, String)>> = HashMap::new();
    let mut found = Vec::new();
    for (start, _) in html.match_indices("data:") {
        if scripts.iter().any(|script| script.contains(&start)) {
            continue;
        }
        let Some(range) = uri(html, start) else { continue };
        let Some(text) = html.get(range.clone()) else { continue };
        // The same picture often stands in a page many times.
        let file = known.entry(text).or_insert_with(|| file_in(text));
        if let Some((bytes, media_type)) = file.clone() {
            found.push(Embedded { range, bytes, media_type });
        }
        if found.len() == MAX_FILES {
            break;
        }
    }
    found
}

/// A base64 URI of a picture or font beyond the small ones, from its begin to its end, when it
/// stands between delimiters as an address does.
fn uri(html: &str, start: usize) -> Option<Range<usize>> {
    let before = html.as_bytes().get(..start)?.last().copied();
    let rest = html.get(start..)?;
    let (head, data) = rest.split_once(',')?;
    let is_head = head.len() < 200
        && head.ends_with(";base64")
        && head.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/;=+-._".contains(&byte));
    let length = data
        .bytes()
        .position(|byte| !(byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)))
        .unwrap_or(data.len());
    let end = start + head.len() + 1 + length;
    let after = html.as_bytes().get(end).copied();
    let is_whole = before.is_some_and(is_delimiter) && after.is_some_and(is_delimiter);
    (is_head && is_whole && end - start > SMALL).then_some(start..end)
}

/// The file of a URI, when its bytes are the picture or font that they are said to be and are
/// stored unchanged.
fn file_in(uri: &str) -> Option<(Vec<u8>, String)> {
    let (head, data) = uri.strip_prefix("data:")?.split_once(',')?;
    let declared = head.split(';').next()?;
    let bytes = STANDARD.decode(data).ok()?;
    let file = media::inspect(bytes.clone(), Some(declared)).ok()?;
    let is_shown = file.media_type.starts_with("image/")
        || file.media_type.starts_with("font/")
        || file.media_type.starts_with("application/font-");
    (is_shown && file.bytes == bytes).then_some((bytes, file.media_type))
}

/// What stands around an address in markup and styles, and what the download looks for.
const fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'(' | b')' | b',' | b'=' | b'>')
}

/// Where scripts stand. A page that fools this search keeps its URIs, or has one lifted out of a
/// text that is no script; nothing else can come of it.
fn script_ranges(html: &str) -> Vec<Range<usize>> {
    let lower = html.to_ascii_lowercase();
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(begin) = lower.get(at..).and_then(|rest| rest.find("<script")) {
        let begin = at + begin;
        let end = lower.get(begin..).and_then(|rest| rest.find("</script"));
        let end = end.map_or(html.len(), |length| begin + length);
        ranges.push(begin..end);
        at = end.max(begin + 1);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture that is one by its header, with noise behind it.
    fn png(bytes: usize) -> Vec<u8> {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x03\x08\x02\0\0\0".to_vec();
        png.extend((0..bytes).map(|n| u8::try_from(n * 31 % 251).unwrap()));
        png
    }

    fn data(media_type: &str, bytes: &[u8]) -> String {
        format!("data:{media_type};base64,{}", STANDARD.encode(bytes))
    }

    fn found(html: &str) -> Vec<(String, String)> {
        embedded(html)
            .into_iter()
            .map(|file| (html[file.range].chars().take(16).collect(), file.media_type))
            .collect()
    }

    #[test]
    fn large_pictures_in_markup_and_styles_are_found() {
        let uri = data("image/png", &png(3000));
        for html in [
            format!("<img src=\"{uri}\">"),
            format!("<img src='{uri}'>"),
            format!("<img src={uri} alt=x>"),
            format!("<style>p{{background:url({uri})}}</style>"),
            format!("<style>p{{background:url(\"{uri}\")}}</style>"),
            format!("<img srcset='{uri} 2x'>"),
            format!("<script>1</script><img src='{uri}'><script>2</script>"),
        ] {
            assert_eq!(found(&html), [("data:image/png;b".into(), "image/png".into())], "{html}");
            let file = &embedded(&html)[0];
            assert_eq!((&html[file.range.clone()], &file.bytes), (uri.as_str(), &png(3000)));
        }
        let font = [b"wOF2\0\x01\0\0".to_vec(), vec![0; 3000]].concat();
        let html = format!("<style>@font-face{{src:url({})}}</style>", data("font/woff2", &font));
        assert_eq!(found(&html).len(), 1);
    }

    #[test]
    fn everything_else_stays() {
        let picture = png(3000);
        for html in [
            format!("<img src=\"{}\">", data("image/png", &png(100))),
            format!("<script>const sprite = '{}';</script>", data("image/png", &picture)),
            format!("<SCRIPT>const sprite = '{}';", data("image/png", &picture)),
            format!("<a href=\"{}\">x</a>", data("text/html", &vec![b'x'; 3000])),
            format!(
                "<a href=\"{}\">x</a>",
                data("application/pdf", &[b"%PDF-1.7".to_vec(), vec![b'x'; 3000]].concat())
            ),
            format!("<img src=\"{}!\">", data("image/png", &picture)),
            format!("<img src=\"data:image/png;base64,{}\">", "A".repeat(3001)),
            format!("<img src=\"{}\">", data("image/png", &vec![b'x'; 3000])),
            format!("<p>metadata:image/png;base64,{}</p>", STANDARD.encode(&picture)),
            format!("<img src=\"data:image/svg+xml,%3Csvg{}\">", "x".repeat(3000)),
            data("image/png", &picture),
        ] {
            assert!(found(&html).is_empty(), "{}", html.chars().take(80).collect::<String>());
        }
    }

    #[test]
    fn references_are_found_once() {
        let sha = "0f".repeat(32);
        let html = format!("<img src=\"a/{sha}\"><img src='./a/{sha}'><a href=a/0f>x</a>");
        assert_eq!(references(&html), [Sha256Hex::from(sha.as_str())]);
    }
}
