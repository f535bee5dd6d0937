//! SVG without what makes it a program.
//!
//! An SVG file can hold scripts, foreign markup and loads from elsewhere. It is read as the XML it
//! is, and only elements and attributes that draw are written again.

use quick_xml::XmlVersion;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

/// Elements that draw, or hold what draws. Animation is left out: it can set any attribute.
const ELEMENTS: [&str; 54] = [
    "svg",
    "g",
    "defs",
    "symbol",
    "use",
    "switch",
    "title",
    "desc",
    "path",
    "rect",
    "circle",
    "ellipse",
    "line",
    "polyline",
    "polygon",
    "text",
    "tspan",
    "textPath",
    "image",
    "style",
    "linearGradient",
    "radialGradient",
    "stop",
    "pattern",
    "clipPath",
    "mask",
    "marker",
    "filter",
    "view",
    "feBlend",
    "feColorMatrix",
    "feComponentTransfer",
    "feComposite",
    "feConvolveMatrix",
    "feDiffuseLighting",
    "feDisplacementMap",
    "feDistantLight",
    "feDropShadow",
    "feFlood",
    "feFuncA",
    "feFuncB",
    "feFuncG",
    "feFuncR",
    "feGaussianBlur",
    "feMerge",
    "feMergeNode",
    "feMorphology",
    "feOffset",
    "fePointLight",
    "feSpecularLighting",
    "feSpotLight",
    "feTile",
    "feTurbulence",
    "hatch",
];

/// Nesting beyond this draws nothing that a person drew.
const MAX_DEPTH: usize = 200;

/// Why a file is not an SVG picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SvgProblem {
    /// Not XML.
    #[error("it is not well-formed XML")]
    Malformed,
    /// XML of another kind.
    #[error("its outermost element is not `svg`")]
    NotSvg,
    /// An entity of its own document type.
    #[error("it uses an entity that it declares itself")]
    Entity,
    /// Nested too deep.
    #[error("it is nested deeper than {MAX_DEPTH} elements")]
    TooDeep,
}

/// A picture, cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CleanSvg {
    /// The SVG text.
    pub(crate) text: String,
    /// Whether something was left out that could have acted or loaded.
    pub(crate) changed: bool,
}

/// Writes a picture again with what draws.
///
/// # Errors
/// When the text is no SVG picture.
pub(crate) fn clean_svg(text: &str) -> Result<CleanSvg, SvgProblem> {
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut writer = SvgWriter::default();
    loop {
        match reader.read_event().map_err(|_| SvgProblem::Malformed)? {
            Event::Start(tag) => writer.open(&tag)?,
            Event::Empty(tag) => {
                writer.open(&tag)?;
                writer.close();
            }
            Event::End(_) => writer.close(),
            Event::Text(text) => {
                writer.text(&text.xml10_content().map_err(|_| SvgProblem::Malformed)?);
            }
            Event::CData(text) => {
                writer.text(&text.xml10_content().map_err(|_| SvgProblem::Malformed)?);
            }
            Event::GeneralRef(reference) => {
                let letter = match reference.resolve_char_ref() {
                    Ok(Some(letter)) => letter,
                    Ok(None) => match &*reference {
                        b"amp" => '&',
                        b"lt" => '<',
                        b"gt" => '>',
                        b"quot" => '"',
                        b"apos" => '\'',
                        _ => return Err(SvgProblem::Entity),
                    },
                    Err(_) => return Err(SvgProblem::Malformed),
                };
                writer.text(letter.encode_utf8(&mut [0; 4]));
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => return writer.finish(),
        }
    }
}

#[derive(Default)]
struct SvgWriter {
    output: String,
    /// Names of open elements that are written.
    open: Vec<String>,
    /// How many elements deep inside one that is left out.
    skipping: usize,
    /// Text of the `<style>` that is open: judged as a whole.
    style: Option<String>,
    finished: bool,
    changed: bool,
}

impl SvgWriter {
    fn open(&mut self, tag: &BytesStart<'_>) -> Result<(), SvgProblem> {
        let name = String::from_utf8_lossy(tag.name().as_ref()).into_owned();
        if self.open.is_empty() && (name != "svg" || self.finished) {
            return Err(SvgProblem::NotSvg);
        }
        if self.skipping > 0 || !ELEMENTS.contains(&name.as_str()) {
            // Editors leave elements of their own namespaces, which never act.
            self.changed |= self.skipping == 0 && !name.contains(':') && name != "metadata";
            self.skipping += 1;
            return Ok(());
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(SvgProblem::TooDeep);
        }
        self.output.push('<');
        self.output.push_str(&name);
        if self.open.is_empty() {
            self.output.push_str(
                " xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\"",
            );
        }
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|_| SvgProblem::Malformed)?;
            let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|_| SvgProblem::Entity)?;
            match attribute_verdict(&name, &key, &value) {
                Verdict::Keep => {
                    for piece in [" ", &key, "=\"", &escape(value), "\""] {
                        self.output.push_str(piece);
                    }
                }
                Verdict::Drop => {}
                Verdict::DropActive => self.changed = true,
            }
        }
        self.output.push('>');
        if name == "style" {
            self.style = Some(String::new());
        }
        self.open.push(name);
        Ok(())
    }

    fn close(&mut self) {
        if self.skipping > 0 {
            self.skipping -= 1;
            return;
        }
        let Some(name) = self.open.pop() else { return };
        if let Some(css) = self.style.take() {
            if is_plain_css(&css) {
                self.output.push_str(&escape(css));
            } else {
                self.changed = true;
            }
        }
        self.output.push_str("</");
        self.output.push_str(&name);
        self.output.push('>');
        self.finished |= self.open.is_empty();
    }

    fn text(&mut self, text: &str) {
        if self.skipping > 0 || self.open.is_empty() {
            return;
        }
        match &mut self.style {
            Some(css) => css.push_str(text),
            None => self.output.push_str(&escape(text)),
        }
    }

    fn finish(self) -> Result<CleanSvg, SvgProblem> {
        if self.finished && self.open.is_empty() && self.skipping == 0 {
            Ok(CleanSvg { text: self.output, changed: self.changed })
        } else if self.open.is_empty() && !self.finished {
            Err(SvgProblem::NotSvg)
        } else {
            Err(SvgProblem::Malformed)
        }
    }
}

enum Verdict {
    Keep,
    /// Without meaning here.
    Drop,
    /// It could have acted or loaded.
    DropActive,
}

fn attribute_verdict(element: &str, key: &str, value: &str) -> Verdict {
    let lower = key.to_ascii_lowercase();
    if lower == "href" || lower == "xlink:href" {
        return if is_own_reference(element, value) { Verdict::Keep } else { Verdict::DropActive };
    }
    if lower.contains(':') && lower != "xml:space" && lower != "xml:lang" || lower == "xmlns" {
        return Verdict::Drop;
    }
    if lower.starts_with("on") || !is_plain_css(value) {
        return Verdict::DropActive;
    }
    let is_name = lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_name { Verdict::Keep } else { Verdict::Drop }
}

/// A part of the same file, or a picture inside it.
fn is_own_reference(element: &str, value: &str) -> bool {
    let value = value.trim();
    if value.starts_with('#') {
        return true;
    }
    element == "image"
        && ["data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp"]
            .iter()
            .any(|kind| value.starts_with(kind))
}

/// Styles and presentation attributes may point into the file alone. A backslash could hide a
/// word, so it is not plain.
fn is_plain_css(css: &str) -> bool {
    let lower = css.to_ascii_lowercase();
    let loads = lower.match_indices("url(").any(|(start, word)| {
        let inside = lower.get(start + word.len()..).unwrap_or_default();
        !inside.trim_start_matches([' ', '"', '\'']).starts_with('#')
    });
    let acts = ["@import", "image-set", "expression(", "javascript:", "\\", "</", "@font-face"]
        .iter()
        .any(|word| lower.contains(word));
    !loads && !acts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cleaned(inner: &str) -> CleanSvg {
        clean_svg(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 9 9\">{inner}</svg>"
        ))
        .unwrap()
    }

    #[test]
    fn drawings_stay() {
        let drawing = "<defs><linearGradient id=\"g\"><stop offset=\"0\" stop-color=\"red\"></stop></linearGradient></defs><style>.a { fill: url(#g) }</style><rect class=\"a\" width=\"9\" height=\"9\"></rect><text>5 &lt; 6 &amp; 7</text><use href=\"#g\"></use>";
        let clean = cleaned(drawing);
        assert!(clean.text.contains(drawing), "{}", clean.text);
        assert!(!clean.changed);
    }

    #[test]
    fn what_acts_or_loads_goes() {
        for (inner, gone) in [
            ("<script>alert(1)</script>", "alert"),
            ("<g><script href='x'/></g>", "script"),
            ("<rect onload='alert(1)'/>", "alert"),
            ("<rect ONCLICK='alert(1)'/>", "alert"),
            ("<a href='javascript:alert(1)'><rect/></a>", "alert"),
            ("<foreignObject><iframe src='http://x'/></foreignObject>", "iframe"),
            ("<use href='http://x.example/y.svg#z'/>", "x.example"),
            ("<image href='http://x.example/y.png'/>", "x.example"),
            ("<image href='data:image/svg+xml,&lt;svg/&gt;'/>", "data:"),
            ("<animate attributeName='href' values='javascript:alert(1)'/>", "alert"),
            ("<set attributeName='onmouseover' to='alert(1)'/>", "alert"),
            ("<rect style='fill: url(http://x.example/)'/>", "x.example"),
            ("<rect fill='url(  \"http://x.example/\")'/>", "x.example"),
            ("<style>@import 'http://x.example/';</style>", "x.example"),
            ("<style>@\\69mport 'http://x.example/';</style>", "x.example"),
            ("<style><![CDATA[a{b:url(//x.example)}]]></style>", "x.example"),
            ("<handler type='text/javascript'>alert(1)</handler>", "alert"),
        ] {
            let clean = cleaned(inner);
            assert!(!clean.text.contains(gone), "{inner} -> {}", clean.text);
            assert!(clean.changed, "{inner}");
        }
    }

    #[test]
    fn marks_of_editors_go_quietly() {
        let clean = cleaned(
            "<metadata><x:y/></metadata><sodipodi:namedview/><!-- made by hand --><?pi x?>",
        );
        assert_eq!(clean.text.matches('<').count(), 2);
        assert!(!clean.changed);
    }

    #[test]
    fn what_is_no_picture_is_named() {
        for (text, problem) in [
            ("", SvgProblem::NotSvg),
            ("plain words", SvgProblem::NotSvg),
            ("<html><svg/></html>", SvgProblem::NotSvg),
            ("<svg/><svg/>", SvgProblem::NotSvg),
            ("<svg><g></svg>", SvgProblem::Malformed),
            ("<svg>", SvgProblem::Malformed),
            ("<!DOCTYPE svg [<!ENTITY a \"b\">]><svg><text>&a;</text></svg>", SvgProblem::Entity),
            ("<!DOCTYPE svg [<!ENTITY a \"b\">]><svg fill=\"&a;\"/>", SvgProblem::Entity),
        ] {
            assert_eq!(clean_svg(text), Err(problem), "{text}");
        }
        let deep = format!("<svg>{}{}</svg>", "<g>".repeat(500), "</g>".repeat(500));
        assert_eq!(clean_svg(&deep), Err(SvgProblem::TooDeep));
    }

    proptest! {
        #[test]
        fn cleaning_again_changes_nothing(inner in "(<g>|</g>|<rect fill='url\\(#a\\)'/>|<script>|</script>|<style>|</style>|&amp;|&#60;|<!\\[CDATA\\[|\\]\\]>|onload=|\\PC){0,20}") {
            if let Ok(clean) = clean_svg(&format!("<svg>{inner}</svg>")) {
                let again = clean_svg(&clean.text).unwrap();
                prop_assert_eq!(&again.text, &clean.text);
                prop_assert!(!again.changed);
                prop_assert!(!clean.text.contains("<script"));
            }
        }
    }
}
