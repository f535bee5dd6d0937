//! What a file is, by its bytes. What its sender calls it is a hint for texts alone.

use super::svg::{SvgProblem, clean_svg};

/// Pictures beyond this many pixels would fill a reader's memory when they are unpacked.
const MAX_PIXELS: u64 = 40_000_000;

/// A file that may be stored and served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InspectedFile {
    /// Type by its bytes.
    pub(crate) media_type: String,
    /// The bytes, cleaned where that is needed.
    pub(crate) bytes: Vec<u8>,
    /// Width and height of a picture.
    pub(crate) size: Option<(u64, u64)>,
    /// What the reader should know.
    pub(crate) notes: Vec<String>,
}

/// Why a file is not stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MediaProblem {
    /// No bytes.
    #[error("it is empty")]
    Empty,
    /// A picture without a readable header.
    #[error("it is a damaged picture of type `{0}`")]
    Damaged(String),
    /// Too many pixels.
    #[error("it has {width} × {height} pixels; at most {MAX_PIXELS} are allowed")]
    TooManyPixels {
        /// Width.
        width: u64,
        /// Height.
        height: u64,
    },
    /// An SVG that cannot be cleaned.
    #[error("it is an SVG picture that cannot be used: {0}")]
    Svg(#[from] SvgProblem),
}

/// Looks at a file.
///
/// # Errors
/// Why it may not be stored.
pub(crate) fn inspect(
    bytes: Vec<u8>,
    declared: Option<&str>,
) -> Result<InspectedFile, MediaProblem> {
    if bytes.is_empty() {
        return Err(MediaProblem::Empty);
    }
    let declared = declared.map(plain_type).filter(|declared| !declared.is_empty());
    let found = infer::get(&bytes).map(|kind| kind.mime_type().to_owned());
    let mut notes = Vec::new();
    let media_type = match (found, std::str::from_utf8(&bytes)) {
        (Some(found), Ok(text)) if is_markup(&found) && looks_like_svg(text) => svg(),
        (Some(found), _) => found,
        (None, Ok(text)) if looks_like_svg(text) => svg(),
        (None, Ok(text)) if !text.contains('\0') => text_type(declared.as_deref()),
        (None, Ok(_) | Err(_)) => "application/octet-stream".to_owned(),
    };
    if let Some(declared) = &declared
        && !agree(declared, &media_type)
    {
        notes.push(format!("it was declared as `{declared}` but is `{media_type}`"));
    }
    if media_type == "image/svg+xml" {
        let clean = clean_svg(&String::from_utf8_lossy(&bytes))?;
        if clean.changed {
            notes.push("scripts and outside references were taken out of the SVG picture".into());
        }
        return Ok(InspectedFile { media_type, bytes: clean.text.into_bytes(), size: None, notes });
    }
    let size =
        if media_type.starts_with("image/") { Some(pixels(&bytes, &media_type)?) } else { None };
    Ok(InspectedFile { media_type, bytes, size, notes })
}

fn svg() -> String {
    "image/svg+xml".to_owned()
}

/// The size of a picture from its header; the pixels are never unpacked here.
fn pixels(bytes: &[u8], media_type: &str) -> Result<(u64, u64), MediaProblem> {
    let size =
        imagesize::blob_size(bytes).map_err(|_| MediaProblem::Damaged(media_type.to_owned()))?;
    let (Ok(width), Ok(height)) = (u64::try_from(size.width), u64::try_from(size.height)) else {
        return Err(MediaProblem::Damaged(media_type.to_owned()));
    };
    if width == 0 || height == 0 {
        return Err(MediaProblem::Damaged(media_type.to_owned()));
    }
    if width.saturating_mul(height) > MAX_PIXELS {
        return Err(MediaProblem::TooManyPixels { width, height });
    }
    Ok((width, height))
}

fn plain_type(declared: &str) -> String {
    declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_markup(media_type: &str) -> bool {
    matches!(media_type, "text/xml" | "text/html" | "application/xml")
}

/// Whether the first element is `<svg`.
fn looks_like_svg(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    while let Some(tag) = rest.strip_prefix('<') {
        if tag.get(..3).is_some_and(|name| name.eq_ignore_ascii_case("svg")) {
            return tag
                .as_bytes()
                .get(3)
                .is_some_and(|next| next.is_ascii_whitespace() || b">/".contains(next));
        }
        let end = if tag.starts_with("!--") {
            "-->"
        } else if tag.starts_with('?') {
            "?>"
        } else if tag.get(..8).is_some_and(|word| word.eq_ignore_ascii_case("!doctype")) {
            // A document type with entities of its own ends with `]>`.
            let plain = tag.split('>').next().unwrap_or_default();
            if plain.contains('[') { "]>" } else { ">" }
        } else {
            return false;
        };
        let Some((_, after)) = rest.split_once(end) else { return false };
        rest = after.trim_start();
    }
    false
}

/// Text has no signature, so its sender is believed as far as it names a kind of text.
fn text_type(declared: Option<&str>) -> String {
    const TEXTS: [&str; 8] = [
        "text/csv",
        "text/markdown",
        "text/css",
        "text/calendar",
        "text/tab-separated-values",
        "application/json",
        "application/yaml",
        "application/geo+json",
    ];
    match declared {
        Some(declared) if TEXTS.contains(&declared) => declared.to_owned(),
        Some(_) | None => "text/plain".to_owned(),
    }
}

/// Whether a declared type leads nobody wrong about what the file is.
fn agree(declared: &str, found: &str) -> bool {
    let generic = ["application/octet-stream", "binary/octet-stream", "application/x-download"];
    if declared == found || generic.contains(&declared) {
        return true;
    }
    let family = |name: &str| match name {
        "image/jpg" | "image/pjpeg" | "image/jpeg" => "jpeg".to_owned(),
        "image/x-icon" | "image/vnd.microsoft.icon" => "icon".to_owned(),
        "application/xml" | "text/xml" | "application/xhtml+xml" => "xml".to_owned(),
        "application/zip" | "application/x-zip-compressed" => "zip".to_owned(),
        "audio/mp3" | "audio/mpeg" => "mp3".to_owned(),
        other => other.to_owned(),
    };
    let is_text = |name: &str| name.starts_with("text/") && name != "text/html";
    family(declared) == family(found)
        || (is_text(declared) && is_text(found))
        || (found == "text/plain" && !declared.contains('/'))
        || (found == "text/plain"
            && (declared.ends_with("javascript") || declared.ends_with("+json")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The begin of a PNG file with this size.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 6, 0, 0, 0, 0, 0, 0, 0]);
        bytes
    }

    fn media(bytes: &[u8], declared: &str) -> InspectedFile {
        inspect(bytes.to_vec(), Some(declared)).unwrap()
    }

    #[test]
    fn types_come_from_bytes() {
        assert_eq!(media(&png(20, 10), "image/png").media_type, "image/png");
        assert_eq!(media(&png(20, 10), "image/png").size, Some((20, 10)));
        assert_eq!(media(b"%PDF-1.7\n", "application/pdf").media_type, "application/pdf");
        assert_eq!(media(b"a,b\n1,2\n", "text/csv; charset=utf-8").media_type, "text/csv");
        assert_eq!(media(b"{\"a\": 1}", "application/json").media_type, "application/json");
        assert_eq!(media(b"hello", "").media_type, "text/plain");
        assert_eq!(media(b"\0\x01\x02\xff", "").media_type, "application/octet-stream");
        for (bytes, declared) in
            [(&b"hello"[..], "text/plain"), (&png(1, 1), "application/octet-stream")]
        {
            assert!(media(bytes, declared).notes.is_empty());
        }
    }

    #[test]
    fn a_lying_type_is_noted() {
        let page = media(b"<!DOCTYPE html><script>alert(1)</script>", "image/png");
        assert_eq!(page.media_type, "text/html");
        assert_eq!(page.notes, ["it was declared as `image/png` but is `text/html`"]);
        let picture = media(&png(2, 2), "text/html");
        assert_eq!(picture.media_type, "image/png");
        assert_eq!(picture.notes.len(), 1);
        assert_eq!(media(b"words", "image/png").notes.len(), 1);
    }

    #[test]
    fn pictures_that_would_fill_the_memory_are_refused() {
        assert_eq!(inspect(png(8_000, 5_000), None).unwrap().size, Some((8_000, 5_000)));
        assert_eq!(
            inspect(png(8_001, 5_000), None),
            Err(MediaProblem::TooManyPixels { width: 8_001, height: 5_000 })
        );
        assert!(matches!(
            inspect(png(u32::MAX, u32::MAX), None),
            Err(MediaProblem::TooManyPixels { .. })
        ));
        assert!(matches!(inspect(png(0, 10), None), Err(MediaProblem::Damaged(_))));
        assert!(matches!(inspect(png(1, 1)[..12].to_vec(), None), Err(MediaProblem::Damaged(_))));
        assert_eq!(inspect(Vec::new(), None), Err(MediaProblem::Empty));
    }

    #[test]
    fn svg_is_recognised_and_cleaned() {
        for text in [
            "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script><rect/></svg>",
            "<?xml version='1.0'?>\n<!-- x --><svg><script>alert(1)</script><rect/></svg>",
            "\u{feff}<!DOCTYPE svg PUBLIC 'a' 'b'><svg><script>alert(1)</script><rect/></svg>",
        ] {
            let clean = media(text.as_bytes(), "image/svg+xml");
            let clean_text = String::from_utf8(clean.bytes).unwrap();
            assert_eq!(clean.media_type, "image/svg+xml", "{text}");
            assert!(!clean_text.contains("alert") && clean_text.contains("<rect"), "{clean_text}");
            assert_eq!(clean.notes.len(), 1);
        }
        assert!(matches!(inspect(b"<svg><g></svg>".to_vec(), None), Err(MediaProblem::Svg(_))));
        assert_eq!(media(b"<?xml version='1.0'?><rss/>", "text/xml").media_type, "text/xml");
    }
}
