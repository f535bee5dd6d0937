//! From a model's answer to one page, and what is wrong with it.
//!
//! A model has no reliable stop reason when the host's own model answers, so whether an answer is
//! whole is judged by its structure: exactly one document, from its doctype to `</html>`. Nothing
//! is ever guessed or mended here; whatever is not clear goes back to the model once.

use super::dependencies::{self, Finding};
use super::markup::{Markup, MarkupReader};
use crate::libraries::{Rewritten, rewrite};

/// A complete document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// The document.
    pub(crate) html: String,
    /// Text of `<title>`.
    pub(crate) title: Option<String>,
    /// What it loads from elsewhere, and what will not work where it is hosted.
    pub(crate) findings: Vec<Finding>,
    /// What was changed so that it loads its libraries from this server, in sentences.
    pub(crate) local_copies: Vec<String>,
}

/// Why an answer is not one page, in words for the model and for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyProblem {
    /// Nothing at all.
    #[error("the answer is empty")]
    Empty,
    /// Prose.
    #[error("the answer holds no HTML document, only text: “{excerpt}”")]
    NoDocument {
        /// Its first words.
        excerpt: String,
    },
    /// Elements without a document around them.
    #[error("the answer is a fragment: it does not begin with `<!DOCTYPE html>`")]
    Fragment,
    /// A patch.
    #[error("the answer is a patch, not a whole document")]
    Patch,
    /// More than one document.
    #[error("the answer holds more than one HTML document; exactly one is wanted")]
    SeveralDocuments,
    /// Cut.
    #[error("the document is cut off: `</html>` is missing at its end")]
    MissingEnd,
    /// More markup behind the end.
    #[error("there is markup behind `</html>`; everything belongs inside the document")]
    MarkupAfterEnd,
    /// Text around the document.
    #[error("there is text outside of the document; everything belongs inside it")]
    TextOutside,
    /// A document that lost its doctype, which changes how browsers lay it out.
    #[error("`<!DOCTYPE html>` is missing at the begin of the document")]
    NoDoctype,
    /// Nothing to see.
    #[error("the document has an empty body")]
    EmptyBody,
    /// Too much.
    #[error("the document has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
}

/// Why a page written by the caller is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GivenProblem {
    /// Nothing at all.
    #[error("`html` is empty")]
    Empty,
    /// No markup in it.
    #[error("`html` is not HTML: it holds no element")]
    NotHtml,
    /// Too much.
    #[error("`html` has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The cap.
        limit: usize,
    },
}

/// Takes the one document out of a model's answer.
///
/// # Errors
/// Why there is not exactly one complete document.
pub(crate) fn page_from_reply(reply: &str, limit: usize) -> Result<Page, ReplyProblem> {
    let html = extract_document(reply)?;
    if html.len() > limit {
        return Err(ReplyProblem::TooLarge { bytes: html.len(), limit });
    }
    let outline = Outline::of(html);
    if outline.body_is_empty() {
        return Err(ReplyProblem::EmptyBody);
    }
    let Rewritten { html, notes } = rewrite(html);
    let findings = dependencies::findings(&html);
    Ok(Page { html, title: outline.title, findings, local_copies: notes })
}

/// Checks a page that the caller wrote. It is stored as it is, but for addresses of libraries that
/// are here, so only what cannot be a page is refused; the rest is reported.
///
/// # Errors
/// Why it cannot be a page.
pub(crate) fn page_as_given(html: String, limit: usize) -> Result<Page, GivenProblem> {
    if html.trim().is_empty() {
        return Err(GivenProblem::Empty);
    }
    if html.len() > limit {
        return Err(GivenProblem::TooLarge { bytes: html.len(), limit });
    }
    let outline = Outline::of(&html);
    if outline.elements == 0 {
        return Err(GivenProblem::NotHtml);
    }
    let Rewritten { html, notes } = rewrite(html);
    let mut findings = dependencies::findings(&html);
    if !outline.closed {
        findings.push(Finding::note("`html` does not end with `</html>`: is it complete?"));
    }
    Ok(Page { title: outline.title, findings, html, local_copies: notes })
}

/// Checks a stored page after an edit of it. Of one complete document one complete document must
/// remain; a page that never was one, since its author wrote it otherwise, must not get worse.
///
/// # Errors
/// What the edit broke.
pub(crate) fn page_after_edit(
    before: &str,
    after: &str,
    limit: usize,
) -> Result<Page, ReplyProblem> {
    if after.len() > limit {
        return Err(ReplyProblem::TooLarge { bytes: after.len(), limit });
    }
    let outline = Outline::of(after);
    if is_one_document(before) {
        let document = extract_document(after)?;
        if document.len() < trimmed(after).len() {
            return Err(ReplyProblem::TextOutside);
        }
        if has_doctype(before) && !has_doctype(after) {
            return Err(ReplyProblem::NoDoctype);
        }
        if outline.body_is_empty() {
            return Err(ReplyProblem::EmptyBody);
        }
    } else {
        let earlier = Outline::of(before);
        if outline.elements == 0 {
            return Err(ReplyProblem::Fragment);
        }
        if earlier.closed && !outline.closed {
            return Err(ReplyProblem::MissingEnd);
        }
        if outline.body_is_empty() && !earlier.body_is_empty() {
            return Err(ReplyProblem::EmptyBody);
        }
    }
    let Rewritten { html, notes } = rewrite(after);
    let findings = dependencies::findings(&html);
    Ok(Page { title: outline.title, findings, html, local_copies: notes })
}

/// A page as it is stored, for a version that repeats it.
pub(crate) fn stored_page(html: &str) -> Page {
    Page {
        title: Outline::of(html).title,
        findings: Vec::new(),
        html: html.to_owned(),
        local_copies: Vec::new(),
    }
}

/// Whether a page is exactly one complete document.
fn is_one_document(html: &str) -> bool {
    extract_document(html).is_ok_and(|document| document.len() == trimmed(html).len())
}

fn has_doctype(html: &str) -> bool {
    let is_space =
        |markup: &Markup| matches!(markup, Markup::Text(text) if trimmed(text).is_empty());
    let first =
        MarkupReader::new(html).find(|markup| *markup != Markup::Comment && !is_space(markup));
    first == Some(Markup::Doctype)
}

/// Without blanks and the byte-order mark around it.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|letter: char| letter.is_whitespace() || letter == '\u{feff}')
}

/// What a document consists of.
#[derive(Debug, Default)]
struct Outline {
    title: Option<String>,
    elements: usize,
    /// Elements and text that make something visible, or make a script do so.
    body_items: usize,
    closed: bool,
}

impl Outline {
    fn of(html: &str) -> Self {
        let mut outline = Self::default();
        let mut in_head = false;
        // The element that text belongs to, as far as that matters.
        let mut innermost = String::new();
        for markup in MarkupReader::new(html) {
            match markup {
                Markup::Start(tag) => {
                    outline.elements += 1;
                    match tag.name.as_str() {
                        "head" => in_head = true,
                        "body" => in_head = false,
                        "html" | "meta" | "title" | "link" | "base" | "style" => {}
                        "script" => outline.body_items += 1,
                        _ => outline.body_items += usize::from(!in_head),
                    }
                    innermost = tag.name;
                }
                Markup::End { name, .. } => {
                    innermost.clear();
                    match name.as_str() {
                        "head" => in_head = false,
                        "html" => outline.closed = true,
                        _ => {}
                    }
                }
                Markup::Text(text) => {
                    let words: Vec<&str> = text.split_whitespace().collect();
                    match innermost.as_str() {
                        _ if words.is_empty() => {}
                        "title" if outline.title.is_none() => {
                            outline.title = Some(words.join(" ").chars().take(200).collect());
                        }
                        "title" | "style" | "script" | "noscript" => {}
                        _ => outline.body_items += usize::from(!in_head),
                    }
                }
                Markup::Comment | Markup::Doctype => {}
            }
        }
        outline
    }

    const fn body_is_empty(&self) -> bool {
        self.body_items == 0
    }
}

fn extract_document(reply: &str) -> Result<&str, ReplyProblem> {
    let reply = trimmed(reply);
    if reply.is_empty() {
        return Err(ReplyProblem::Empty);
    }
    let first = first_document(reply).map_err(|problem| {
        let before = next_opening(reply, 0).and_then(|opening| reply.get(..opening));
        if before.is_some_and(has_patch_markers) { ReplyProblem::Patch } else { problem }
    })?;
    let Some((start, end)) = first else {
        return Err(no_document(reply));
    };
    let (before, rest) = reply.split_at(start);
    let (document, after) = rest.split_at(end);
    if has_patch_markers(before) || has_patch_markers(after) {
        return Err(ReplyProblem::Patch);
    }
    match first_document(after) {
        Ok(None) => {}
        Ok(Some(_)) | Err(_) => return Err(ReplyProblem::SeveralDocuments),
    }
    let opens_element = |rest: &str| {
        let mut characters = rest.chars();
        characters.next() == Some('<')
            && characters.next().is_some_and(|next| next.is_ascii_alphabetic())
    };
    if opens_element(after.trim_start()) {
        return Err(ReplyProblem::MarkupAfterEnd);
    }
    Ok(document)
}

/// Finds the first document: its begin, and its length up to behind `</html>`. A mention of
/// `<html>` or a doctype in prose is followed by text, not by an element, and is skipped.
fn first_document(text: &str) -> Result<Option<(usize, usize)>, ReplyProblem> {
    let mut searched = 0;
    while let Some(start) = next_opening(text, searched) {
        let (_, rest) = text.split_at(start);
        match read_document(rest)? {
            Candidate::Document(length) => return Ok(Some((start, length))),
            Candidate::Mention => searched = start + 1,
        }
    }
    Ok(None)
}

enum Candidate {
    Document(usize),
    Mention,
}

fn read_document(text: &str) -> Result<Candidate, ReplyProblem> {
    let mut begun = false;
    let mut doctypes = 0;
    let mut roots = 0;
    for markup in MarkupReader::new(text) {
        match markup {
            Markup::Doctype if begun => return Err(ReplyProblem::SeveralDocuments),
            Markup::Doctype => {
                doctypes += 1;
                if doctypes > 1 || roots > 0 {
                    return Ok(Candidate::Mention);
                }
            }
            Markup::Start(tag) if tag.name == "html" => {
                roots += 1;
                if roots > 1 {
                    return if begun {
                        Err(ReplyProblem::SeveralDocuments)
                    } else {
                        Ok(Candidate::Mention)
                    };
                }
            }
            Markup::Start(_) => begun = true,
            Markup::End { name, end } if name == "html" => {
                return Ok(if begun || roots > 0 {
                    Candidate::Document(end)
                } else {
                    Candidate::Mention
                });
            }
            Markup::End { .. } | Markup::Comment => {}
            Markup::Text(text) if begun => {
                // A model that starts over inside a cut script opens a new fence for it.
                if restarts(&text) {
                    return Err(ReplyProblem::SeveralDocuments);
                }
            }
            Markup::Text(text) => {
                if !text.trim().is_empty() {
                    return Ok(Candidate::Mention);
                }
            }
        }
    }
    if begun || roots > 0 { Err(ReplyProblem::MissingEnd) } else { Ok(Candidate::Mention) }
}

/// Offset of the next `<!doctype html` or `<html` from `from` on.
fn next_opening(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(found) = bytes.get(at..)?.iter().position(|byte| *byte == b'<') {
        let start = at + found;
        let rest = bytes.get(start..)?;
        if opens_with(rest, b"<html", |next| next == b'>' || next.is_ascii_whitespace())
            || opens_with(rest, b"<!doctype", |next| next.is_ascii_whitespace())
        {
            return Some(start);
        }
        at = start + 1;
    }
    None
}

fn opens_with(bytes: &[u8], word: &[u8], follows: impl Fn(u8) -> bool) -> bool {
    bytes.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        && bytes.get(word.len()).is_some_and(|next| follows(*next))
}

fn restarts(text: &str) -> bool {
    let mut fenced = false;
    for line in text.lines() {
        let line = line.trim();
        let lower = line.get(..15).unwrap_or(line).to_ascii_lowercase();
        if fenced && (lower.starts_with("<!doctype html") || lower.starts_with("<html")) {
            return true;
        }
        fenced = line.starts_with("```") || (fenced && line.is_empty());
    }
    false
}

fn has_patch_markers(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.trim_end();
        line.starts_with("<<<<<<<")
            || line.starts_with(">>>>>>>")
            || line.starts_with("diff --git ")
            || (line.starts_with("@@ -") && line.contains(" +"))
            || line == "------- SEARCH"
            || line == "+++++++ REPLACE"
    })
}

fn no_document(reply: &str) -> ReplyProblem {
    if has_patch_markers(reply) {
        return ReplyProblem::Patch;
    }
    let fragment = strip_fence(reply);
    let begins_with_element =
        matches!(MarkupReader::new(fragment).next(), Some(Markup::Start(_) | Markup::Comment));
    if begins_with_element {
        return ReplyProblem::Fragment;
    }
    let excerpt: String = reply
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|character| !character.is_control())
        .take(160)
        .collect();
    ReplyProblem::NoDocument { excerpt }
}

/// The content of a fence that opens in the first line.
fn strip_fence(reply: &str) -> &str {
    match reply.split_once('\n') {
        Some((first, rest)) if first.starts_with("```") => rest.trim(),
        _ => reply,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Tip  calculator</title></head><body><h1>Tips</h1><script>const s = '<html>' + `</html>`;</script></body></html>";
    const LIMIT: usize = 100_000;

    fn problem(reply: &str) -> ReplyProblem {
        page_from_reply(reply, LIMIT).unwrap_err()
    }

    #[test]
    fn one_document_is_found_whatever_is_around_it() {
        for reply in [
            PAGE.to_owned(),
            format!("\u{feff}{PAGE}\n"),
            format!("```html\n{PAGE}\n```"),
            format!("```\n{PAGE}\n```\n"),
            format!("~~~html\n{PAGE}\n~~~"),
            format!("Here is your app:\n\n```html\n{PAGE}\n```\n\nIt uses a `<script>` element."),
            format!("I begin with `<!DOCTYPE html>` and an `<html>` element, as asked.\n{PAGE}"),
            format!("{PAGE}\nThe page ends with `</html>`. I used <b>bold</b> words."),
            format!("<?xml version=\"1.0\"?>\n<!-- generated -->\n{PAGE}"),
        ] {
            let page = page_from_reply(&reply, LIMIT).unwrap_or_else(|e| panic!("{e}: {reply}"));
            assert_eq!(page.html, PAGE);
            assert_eq!(page.title.as_deref(), Some("Tip calculator"));
        }
    }

    #[test]
    fn a_document_without_root_tag_or_doctype_counts() {
        for page in [
            "<html><body><p>Hi</p></body></html>",
            "<html><body>Hi</body></html>",
            "<!doctype html><title>T</title><p>Hi</p></html>",
            "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Strict//EN\" \"x\"><html><p>Hi</p></html>",
            "<!doctype html><!-- note --><html><p>Hi</p></html>",
        ] {
            assert_eq!(page_from_reply(page, LIMIT).unwrap().html, page);
        }
    }

    #[test]
    fn what_is_not_one_document_is_named() {
        assert_eq!(problem(""), ReplyProblem::Empty);
        assert_eq!(problem(" \n\t\u{feff} "), ReplyProblem::Empty);
        assert_eq!(problem(&format!("{PAGE}\n{PAGE}")), ReplyProblem::SeveralDocuments);
        assert_eq!(
            problem(&format!("```html\n{PAGE}\n```\nOr smaller:\n```html\n{PAGE}\n```")),
            ReplyProblem::SeveralDocuments
        );
        assert_eq!(
            problem(&format!("{PAGE} and <!doctype html><html><p>cut")),
            ReplyProblem::SeveralDocuments
        );
        assert_eq!(problem("<html><p>a</p><html><p>b</p></html>"), ReplyProblem::SeveralDocuments);
        assert_eq!(
            problem(&format!(
                "<!doctype html><html><script>let a = 1;\n```\n\n```html\n{PAGE}\n```"
            )),
            ReplyProblem::SeveralDocuments
        );
        assert_eq!(problem("<p>Only a part</p>"), ReplyProblem::Fragment);
        assert_eq!(problem("```html\n<div>Only a part</div>\n```"), ReplyProblem::Fragment);
        assert_eq!(
            problem("<<<<<<< SEARCH\n<h1>a</h1>\n=======\n<h1>b</h1>\n>>>>>>> REPLACE"),
            ReplyProblem::Patch
        );
        assert_eq!(
            problem(&format!("<<<<<<< SEARCH\n=======\n{PAGE}\n>>>>>>> REPLACE")),
            ReplyProblem::Patch
        );
        assert_eq!(
            problem("--- a/x.html\n+++ b/x.html\n@@ -1 +1 @@\n-<html>\n+<!doctype html>\n+<html>"),
            ReplyProblem::Patch
        );
        assert_eq!(
            problem(&format!("{PAGE}\n<script>late()</script>")),
            ReplyProblem::MarkupAfterEnd
        );
        assert_eq!(
            problem("<!doctype html><html><head><title>x</title></head><body> </body></html>"),
            ReplyProblem::EmptyBody
        );
        assert_eq!(
            problem("I'm sorry, but I can't help\nwith that."),
            ReplyProblem::NoDocument { excerpt: "I'm sorry, but I can't help with that.".into() }
        );
        assert!(matches!(
            page_from_reply(PAGE, 50),
            Err(ReplyProblem::TooLarge { bytes, limit: 50 }) if bytes == PAGE.len()
        ));
    }

    #[test]
    fn every_cut_of_a_page_is_noticed() {
        for (end, _) in PAGE.char_indices().skip(1) {
            let cut = &PAGE[..end];
            assert!(page_from_reply(cut, LIMIT).is_err(), "{cut}");
        }
        let closed = PAGE.find("<h1>").unwrap() + 4;
        assert_eq!(problem(&PAGE[..closed]), ReplyProblem::MissingEnd);
        assert_eq!(problem("<html><body><!-- open </body></html>"), ReplyProblem::MissingEnd);
        assert_eq!(problem("<html><script>let a = '</html>';"), ReplyProblem::MissingEnd);
    }

    #[test]
    fn markdown_inside_a_page_is_left_alone() {
        let page = "<!doctype html><html><body><textarea>```html\n<p>sample</p>\n```</textarea><script>const sample = `\n<!DOCTYPE html>\n<html></html>`;</script></body></html>";
        assert_eq!(page_from_reply(page, LIMIT).unwrap().html, page);
    }

    #[test]
    fn a_page_given_by_the_caller_is_kept_byte_for_byte() {
        for html in ["<p>Hi</p>", PAGE, "\u{feff}<!doctype html>\r\n<p>a", "\n\n<b>x</b>\0"] {
            assert_eq!(page_as_given(html.to_owned(), LIMIT).unwrap().html, html);
        }
        let open = page_as_given("<p>Hi</p>".to_owned(), LIMIT).unwrap();
        assert_eq!(open.findings.len(), 1);
        assert_eq!(page_as_given(" \n".to_owned(), LIMIT), Err(GivenProblem::Empty));
        assert_eq!(page_as_given("just words".to_owned(), LIMIT), Err(GivenProblem::NotHtml));
        assert_eq!(
            page_as_given("<p>Hi</p>".to_owned(), 5),
            Err(GivenProblem::TooLarge { bytes: 9, limit: 5 })
        );
    }

    proptest! {
        #[test]
        fn what_is_found_is_a_piece_of_the_answer(reply in "(\\PC|\n|<html>|</html>|<!doctype html>|<p>|<script>|</script>|```html\n){0,40}") {
            if let Ok(page) = page_from_reply(&reply, LIMIT) {
                prop_assert!(reply.contains(&page.html));
                prop_assert!(page.html.to_ascii_lowercase().ends_with("</html>"));
            }
        }

        #[test]
        fn prose_around_a_page_changes_nothing(before in "[a-zA-Z .,`*#\n]{0,80}", after in "[a-zA-Z .,`*#\n]{0,80}") {
            let page = page_from_reply(&format!("{before}\n{PAGE}\n{after}"), LIMIT).unwrap();
            prop_assert_eq!(page.html, PAGE);
        }
    }
}
