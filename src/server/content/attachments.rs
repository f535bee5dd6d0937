//! Attachments: how each type is sent, and putting them into a page that is to stand alone.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;

use crate::storage::{Attachment, Sha256Hex};

/// Digits of a SHA-256 in hex.
const SHA_DIGITS: usize = 64;

/// How a file may reach a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Shown in the sandbox. SVG is among these: it can carry scripts.
    Sandboxed,
    /// Shown without the sandbox, in which the browser's viewer refuses to work.
    Viewer,
    /// Only saved: a browser would run it as a page.
    Download,
}

/// How files of this type are sent, and as which type.
pub(super) fn delivery(attachment: &Attachment) -> (Delivery, HeaderValue) {
    let media_type = essence(&attachment.media_type);
    let (group, kind) = media_type.split_once('/').unwrap_or(("", ""));
    let delivery = match (group, kind) {
        ("application", "pdf") => Delivery::Viewer,
        ("text", "plain" | "css" | "csv" | "javascript" | "markdown")
        | ("application", "json" | "wasm" | "javascript")
        | ("image" | "audio" | "video" | "font", _) => Delivery::Sandboxed,
        _ => Delivery::Download,
    };
    let header = match group {
        "text" => HeaderValue::try_from(format!("{media_type}; charset=utf-8")),
        _ => HeaderValue::try_from(&media_type),
    };
    (delivery, header.unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream")))
}

/// Whether compressing files of this type saves anything.
pub(super) fn is_compressible(attachment: &Attachment) -> bool {
    let media_type = essence(&attachment.media_type);
    media_type.starts_with("text/")
        || matches!(
            media_type.as_str(),
            "image/svg+xml" | "application/json" | "application/javascript" | "application/wasm"
        )
}

/// The type without parameters; only characters that types have.
fn essence(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_valid = essence.split_once('/').is_some_and(|(group, kind)| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+-_".contains(&byte);
        !group.is_empty() && !kind.is_empty() && group.bytes().chain(kind.bytes()).all(plain)
    });
    if is_valid { essence } else { "application/octet-stream".to_owned() }
}

/// The attachments that a page refers to as `a/<sha>`, each once.
pub(super) fn references(page: &str) -> Vec<Sha256Hex> {
    let mut found: Vec<Sha256Hex> = Vec::new();
    for (_, sha) in reference_positions(page) {
        if !found.iter().any(|known| known.as_str() == sha) {
            found.push(Sha256Hex::from(sha));
        }
    }
    found
}

/// The page with these attachments in it as `data:` URIs; others stay references.
pub(super) fn inlined(page: &str, files: &HashMap<Sha256Hex, (Attachment, Bytes)>) -> String {
    let mut result = String::with_capacity(page.len());
    let mut done = 0;
    for (start, sha) in reference_positions(page) {
        let Some((attachment, bytes)) = files.get(&Sha256Hex::from(sha)) else { continue };
        result.push_str(page.get(done..start).unwrap_or_default());
        push_data(&mut result, &essence(&attachment.media_type), bytes);
        done = start + page.get(start..).map_or(0, reference_length);
    }
    result.push_str(page.get(done..).unwrap_or_default());
    result
}

/// Adds a `data:` URI, without blanks, which would end an unquoted attribute.
pub(super) fn push_data(out: &mut String, media_type: &str, bytes: &[u8]) {
    out.push_str("data:");
    out.extend(media_type.chars().filter(|letter| !letter.is_whitespace()));
    out.push_str(";base64,");
    STANDARD.encode_string(bytes, out);
}

/// Where relative references start (with their `./`), and the hash that each names.
fn reference_positions(page: &str) -> impl Iterator<Item = (usize, &str)> {
    page.match_indices("a/").filter_map(move |(at, _)| {
        let sha = page.get(at + 2..at + 2 + SHA_DIGITS)?;
        let is_sha = sha.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let before = page.get(..at)?;
        let start = if before.ends_with("./") { at - 2 } else { at };
        let before = page.as_bytes().get(..start)?.last().copied();
        let after = page.as_bytes().get(at + 2 + SHA_DIGITS).copied();
        let is_whole = before.is_none_or(is_delimiter) && after.is_none_or(is_delimiter);
        (is_sha && is_whole).then_some((start, sha))
    })
}

/// Length of the reference at the start of the text.
fn reference_length(text: &str) -> usize {
    let prefix = if text.starts_with("./") { 4 } else { 2 };
    prefix + SHA_DIGITS
}

/// What stands around a URL in markup, styles and scripts.
fn is_delimiter(byte: u8) -> bool {
    byte.is_ascii_whitespace() || b"\"'`()=,<>\\;&".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(media_type: &str) -> Attachment {
        Attachment {
            sha: Sha256Hex("ab".repeat(32)),
            name: "file".to_owned(),
            media_type: media_type.to_owned(),
            bytes: 3,
        }
    }

    #[test]
    fn what_a_browser_would_run_as_a_page_is_only_saved() {
        let types = [
            ("image/png", Delivery::Sandboxed, "image/png"),
            ("image/svg+xml", Delivery::Sandboxed, "image/svg+xml"),
            ("text/plain; charset=latin1", Delivery::Sandboxed, "text/plain; charset=utf-8"),
            ("application/pdf", Delivery::Viewer, "application/pdf"),
            ("text/html", Delivery::Download, "text/html; charset=utf-8"),
            ("Application/XHTML+XML", Delivery::Download, "application/xhtml+xml"),
            ("text/xml", Delivery::Download, "text/xml; charset=utf-8"),
            ("application/zip", Delivery::Download, "application/zip"),
            ("nonsense", Delivery::Download, "application/octet-stream"),
            ("image/\r\nX: y", Delivery::Download, "application/octet-stream"),
        ];
        for (media_type, expected, header) in types {
            let (found, sent) = delivery(&attachment(media_type));
            assert_eq!((found, sent.to_str().unwrap()), (expected, header), "{media_type}");
        }
    }

    #[test]
    fn references_become_data_and_all_else_stays() {
        let sha = "ab".repeat(32);
        let other = "cd".repeat(32);
        let page = format!(
            "<img src=\"a/{sha}\"><img src=./a/{sha}> url(a/{sha}) 'a/{other}' \
             https://x/a/{sha} data/{sha} \"a/{sha}00\" ü"
        );
        let shas: Vec<String> = references(&page).into_iter().map(|sha| sha.0).collect();
        assert_eq!(shas, [sha.clone(), other.clone()]);

        let file = (attachment("image/png"), Bytes::from_static(b"abc"));
        let files = HashMap::from([(Sha256Hex(sha.clone()), file)]);
        let data = "data:image/png;base64,YWJj";
        assert_eq!(
            inlined(&page, &files),
            format!(
                "<img src=\"{data}\"><img src={data}> url({data}) 'a/{other}' \
                 https://x/a/{sha} data/{sha} \"a/{sha}00\" ü"
            )
        );
    }
}
