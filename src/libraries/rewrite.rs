//! Pages that load libraries from public networks are made to load ours.

use std::fmt::Write as _;

use html5gum::{DefaultEmitter, Span, StartTag, State, StringReader, Token, Tokenizer};

use super::address::library_for;
use super::table::{Kind, Library};
use super::{FOLDER, TAILWIND_PLAY};

/// A page whose libraries are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The page.
    pub html: String,
    /// What was changed, in sentences without a full stop.
    pub notes: Vec<String>,
}

/// Replaces known addresses in script and link elements. All else stays byte for byte.
pub fn rewrite(html: impl Into<String>) -> Rewritten {
    let html: String = html.into();
    let mut result = String::with_capacity(html.len());
    let mut notes: Vec<String> = Vec::new();
    let mut done = 0;
    for tag in Tags::new(&html) {
        let Some((attribute, library)) = library_of(&tag) else { continue };
        let Span { start, end } = tag.span;
        let Some(unchanged) = html.get(done..start) else { continue };
        let address = value(&tag, attribute).unwrap_or_default();
        let note = note(&address, library);
        if !notes.contains(&note) {
            notes.push(note);
        }
        result.push_str(unchanged);
        write_tag(&mut result, &tag, attribute, library);
        done = end;
    }
    if notes.is_empty() {
        return Rewritten { html, notes };
    }
    result.push_str(html.get(done..).unwrap_or_default());
    Rewritten { html: result, notes }
}

/// The library that an element loads, and the attribute that says so.
fn library_of(tag: &StartTag<usize>) -> Option<(&'static str, &'static Library)> {
    match tag.name.as_slice() {
        b"script" => {
            // Ours are classic scripts, which set a global name and export nothing.
            let kind = value(tag, "type").unwrap_or_default();
            let is_module = kind.trim().eq_ignore_ascii_case("module");
            let library = library_for(&value(tag, "src")?, Kind::Script)?;
            (!is_module || is_tailwind(library)).then_some(("src", library))
        }
        b"link" => {
            let rel = value(tag, "rel").unwrap_or_default().to_ascii_lowercase();
            let href = value(tag, "href")?;
            let has = |kind: &str| rel.split_whitespace().any(|word| word == kind);
            let library = if has("stylesheet") {
                library_for(&href, Kind::Style)
            } else if has("preload") {
                library_for(&href, Kind::Script).or_else(|| library_for(&href, Kind::Style))
            } else {
                None
            };
            Some(("href", library?))
        }
        _ => None,
    }
}

/// It exports nothing in either form.
fn is_tailwind(library: &Library) -> bool {
    library.name.starts_with("tailwindcss")
}

fn note(address: &str, library: &'static Library) -> String {
    let shown: String = address.trim().split('?').next().unwrap_or_default().chars().collect();
    let Library { name, version, .. } = library;
    let mut note = format!("`{shown}` is loaded from this server ({name} {version})");
    if library == TAILWIND_PLAY && address.contains("plugins=") {
        note.push_str("; its plugins are not available");
    }
    note
}

/// The tag with its new address. A checksum of the old file would keep the new one out.
fn write_tag(out: &mut String, tag: &StartTag<usize>, attribute: &str, library: &'static Library) {
    let _ = write!(out, "<{}", String::from_utf8_lossy(&tag.name));
    for (name, value) in &tag.attributes {
        let name = String::from_utf8_lossy(name);
        if matches!(name.as_ref(), "integrity" | "crossorigin") {
            continue;
        }
        if name == attribute {
            let _ = write!(out, " {name}=\"{FOLDER}{}\"", library.file());
            continue;
        }
        let value = String::from_utf8_lossy(value);
        if value.is_empty() {
            let _ = write!(out, " {name}");
        } else {
            let value = value.replace('&', "&amp;").replace('"', "&quot;");
            let _ = write!(out, " {name}=\"{value}\"");
        }
    }
    out.push_str(if tag.self_closing { " />" } else { ">" });
}

fn value(tag: &StartTag<usize>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The start tags of HTML elements: not what looks like one in a script, a comment or a drawing.
struct Tags<'a> {
    tokenizer: Tokenizer<StringReader<'a>, DefaultEmitter<usize>>,
    foreign_depth: usize,
}

impl<'a> Tags<'a> {
    fn new(html: &'a str) -> Self {
        let emitter = DefaultEmitter::new_with_span();
        Self { tokenizer: Tokenizer::new_with_emitter(html, emitter), foreign_depth: 0 }
    }
}

impl Iterator for Tags<'_> {
    type Item = StartTag<usize>;

    fn next(&mut self) -> Option<StartTag<usize>> {
        loop {
            let Ok(token) = self.tokenizer.next()?;
            match token {
                Token::StartTag(tag) => {
                    let is_drawing = matches!(tag.name.as_slice(), b"svg" | b"math");
                    if is_drawing && !tag.self_closing {
                        self.foreign_depth += 1;
                    }
                    if is_drawing || self.foreign_depth > 0 {
                        continue;
                    }
                    let state = match tag.name.as_slice() {
                        b"title" | b"textarea" => Some(State::RcData),
                        b"script" => Some(State::ScriptData),
                        b"style" | b"iframe" | b"xmp" | b"noembed" | b"noframes" | b"noscript" => {
                            Some(State::RawText)
                        }
                        b"plaintext" => Some(State::PlainText),
                        _ => None,
                    };
                    if let Some(state) = state {
                        self.tokenizer.set_state(state);
                    }
                    return Some(tag);
                }
                Token::EndTag(tag) if matches!(tag.name.as_slice(), b"svg" | b"math") => {
                    self.foreign_depth = self.foreign_depth.saturating_sub(1);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(page: &str) -> String {
        rewrite(page).html
    }

    #[test]
    fn known_addresses_become_ours_and_all_else_stays() {
        let before = "\u{feff}<!DOCTYPE html>\r\n<html><head>ü<SCRIPT src='https://unpkg.com/alpinejs@3' defer \
            integrity=\"sha384-x\" crossorigin=anonymous data-x='a\"&amp;b'></SCRIPT>\n<link href=https://cdn.jsdelivr.net/npm/bootstrap@5/dist/css/bootstrap.min.css rel=stylesheet>\
            <script>const s = '<script src=\"https://unpkg.com/alpinejs\">';</script>\
            <!-- <script src='https://unpkg.com/vue@3'></script> --></head></html>";
        let after = "\u{feff}<!DOCTYPE html>\r\n<html><head>ü<script data-x=\"a&quot;&amp;b\" defer \
            src=\"lib/alpinejs-3.17.5.js\"></SCRIPT>\n<link href=\"lib/bootstrap-5.3.9.css\" rel=\"stylesheet\">\
            <script>const s = '<script src=\"https://unpkg.com/alpinejs\">';</script>\
            <!-- <script src='https://unpkg.com/vue@3'></script> --></head></html>";
        let rewritten = rewrite(before);
        assert_eq!(rewritten.html, after);
        assert_eq!(
            rewritten.notes,
            [
                "`https://unpkg.com/alpinejs@3` is loaded from this server (alpinejs 3.17.5)",
                "`https://cdn.jsdelivr.net/npm/bootstrap@5/dist/css/bootstrap.min.css` is loaded from this server (bootstrap 5.3.9)",
            ]
        );
        // Once is enough.
        assert_eq!(rewrite(after), Rewritten { html: after.to_owned(), notes: Vec::new() });
    }

    #[test]
    fn modules_and_unknown_addresses_stay() {
        for page in [
            "<script type=module src=https://unpkg.com/vue@3/dist/vue.global.js></script>",
            "<script src=https://unpkg.com/react@18/umd/react.production.min.js></script>",
            "<link rel=icon href=https://unpkg.com/alpinejs>",
            "<svg><script href='https://unpkg.com/alpinejs'/></svg>",
            "<textarea><script src=https://unpkg.com/alpinejs></script></textarea>",
            "<script src>",
            "<p>https://cdn.tailwindcss.com",
            "",
        ] {
            assert_eq!(rewrite(page), Rewritten { html: page.to_owned(), notes: Vec::new() });
        }
        assert_eq!(
            html(
                "<script type='module' src='https://cdn.jsdelivr.net/npm/@tailwindcss/browser@4'></script>"
            ),
            "<script src=\"lib/tailwindcss-4.3.4.js\" type=\"module\"></script>"
        );
    }

    #[test]
    fn what_is_lost_is_said() {
        let rewritten =
            rewrite("<script src='https://cdn.tailwindcss.com?plugins=forms&key=secret'></script>");
        assert_eq!(
            rewritten.notes,
            [
                "`https://cdn.tailwindcss.com` is loaded from this server (tailwindcss-play 4.3.4); its plugins are not available"
            ]
        );
    }
}
