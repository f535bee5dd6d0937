//! Files that people attach: known by their bytes, whatever they are called.

use crate::error::ToolError;
use crate::llm::StoredFile;
use crate::prompts::data_block;
use crate::storage::{ChatFile, keys};

/// Largest file.
pub const FILE_BYTES: usize = 20 * 1024 * 1024;
/// Bytes of a text that a model is shown.
const TEXT_BYTES: usize = 100_000;
/// Media type of every text.
pub(super) const TEXT: &str = "text/plain";

/// The media type of a file by its bytes: a picture that models read, a PDF, or text.
///
/// # Errors
/// `file_too_large`, `empty_file`, and `unsupported_file` for anything else.
pub fn sniff(name: &str, bytes: &[u8]) -> Result<&'static str, ToolError> {
    let name = shown_name(name);
    if bytes.is_empty() {
        return Err(ToolError::invalid("empty_file", format!("the file `{name}` is empty"))
            .hint("attach a file with content"));
    }
    if bytes.len() > FILE_BYTES {
        return Err(ToolError::invalid(
            "file_too_large",
            format!("the file `{name}` has {} bytes; {FILE_BYTES} are allowed", bytes.len()),
        )
        .hint("attach a smaller file, or a part of it"));
    }
    let found = infer::get(bytes).map(|kind| kind.mime_type());
    match found {
        Some("image/png") => return Ok("image/png"),
        Some("image/jpeg") => return Ok("image/jpeg"),
        Some("image/gif") => return Ok("image/gif"),
        Some("image/webp") => return Ok("image/webp"),
        Some("application/pdf") => return Ok("application/pdf"),
        Some(_) | None => {}
    }
    let is_text = std::str::from_utf8(bytes).is_ok() && !bytes.contains(&0);
    if is_text {
        return Ok(TEXT);
    }
    Err(ToolError::invalid(
        "unsupported_file",
        format!("the file `{name}` is {}", found.unwrap_or("of no known type")),
    )
    .hint("attach a picture (PNG, JPEG, WebP, GIF), a PDF, or text in UTF-8"))
}

/// A name as it may be shown and stored: one line, not long.
pub(super) fn shown_name(name: &str) -> String {
    let name: String = crate::agent::engine::readable(name)
        .chars()
        .filter(|letter| !matches!(letter, '\n' | '\t' | '/' | '\\'))
        .take(120)
        .collect();
    if name.trim().is_empty() { "file".to_owned() } else { name.trim().to_owned() }
}

/// A file as a part of a message. `text` is its content, when it is text.
pub(super) fn stored_file(file: &ChatFile, text: Option<&str>) -> Result<StoredFile, ToolError> {
    let bytes = u64::try_from(file.bytes).unwrap_or_default();
    let ChatFile { name, media_type, .. } = file;
    let text = match text {
        Some(text) => {
            let end = text.floor_char_boundary(TEXT_BYTES);
            let shown = text.get(..end).unwrap_or_default();
            let cut = if end < text.len() {
                format!("\n[cut: {end} of {} bytes are shown]", text.len())
            } else {
                String::new()
            };
            // No text can hold a word that is made after it.
            let delimiter = keys::content_token()?.replace(['-', '_'], "x");
            let label = name.replace(['"', '<', '>'], "'");
            data_block(&format!("{shown}{cut}"), &label, &delimiter)
        }
        None => format!(
            "[The user attached {name:?} ({media_type}, {bytes} bytes), which you cannot see. Say so.]"
        ),
    };
    Ok(StoredFile {
        sha: file.sha.as_str().to_owned(),
        media_type: media_type.clone(),
        name: name.clone(),
        bytes,
        label: format!("Attached by the user: {name:?} ({media_type})."),
        text: Some(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_come_from_bytes() {
        assert_eq!(sniff("a.txt", b"\x89PNG\r\n\x1a\n0000").unwrap(), "image/png");
        assert_eq!(sniff("a.png", b"<svg onload=alert(1)>").unwrap(), "text/plain");
        assert_eq!(sniff("a.pdf", b"%PDF-1.7\n").unwrap(), "application/pdf");
        assert_eq!(sniff("a.txt", b"PK\x03\x04\x00\x00").unwrap_err().code, "unsupported_file");
        assert_eq!(sniff("a", b"").unwrap_err().code, "empty_file");
        assert_eq!(sniff("a", &vec![b'x'; FILE_BYTES + 1]).unwrap_err().code, "file_too_large");
        assert!(sniff("a", &vec![b'x'; FILE_BYTES]).is_ok());
    }

    #[test]
    fn names_are_one_line_and_lead_nowhere() {
        assert_eq!(shown_name("../a\u{202e}\n<b>.png"), "..a<b>.png");
        assert_eq!(shown_name(" \u{200b}"), "file");
    }
}
