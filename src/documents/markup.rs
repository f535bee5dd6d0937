//! HTML as a stream of tokens, in the states that a browser would be in.
//!
//! A tokenizer alone does not know that `<script>` switches to script text and that it does not
//! inside `<svg>`, so that much of tree building is done here.

use html5gum::{DefaultEmitter, Span, State, StringReader, Token, Tokenizer};

/// One piece of a document. Names of elements and attributes are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Markup {
    /// `<!doctype …>`.
    Doctype,
    /// A start tag.
    Start(StartTag),
    /// An end tag.
    End {
        /// Element name.
        name: String,
        /// Offset behind `>`.
        end: usize,
    },
    /// Text, character references resolved; also the text of scripts and styles.
    Text(String),
    /// A comment.
    Comment,
}

/// A start tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StartTag {
    /// Element name.
    pub(crate) name: String,
    /// Attributes, in alphabetical order; the first of each name counts.
    pub(crate) attributes: Vec<(String, String)>,
}

impl StartTag {
    /// Value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The tokens of a text.
pub(crate) struct MarkupReader<'a> {
    tokenizer: Tokenizer<StringReader<'a>, DefaultEmitter<usize>>,
    /// How deep inside `<svg>` or `<math>`: there, `<script>` and `<title>` are plain elements.
    foreign_depth: usize,
}

impl<'a> MarkupReader<'a> {
    /// Reads a text from its begin.
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            tokenizer: Tokenizer::new_with_emitter(text, DefaultEmitter::new_with_span()),
            foreign_depth: 0,
        }
    }

    fn enter(&mut self, name: &str, self_closing: bool) {
        if matches!(name, "svg" | "math") {
            if !self_closing {
                self.foreign_depth += 1;
            }
            return;
        }
        if self.foreign_depth > 0 {
            return;
        }
        let state = match name {
            "title" | "textarea" => State::RcData,
            "script" => State::ScriptData,
            "style" | "iframe" | "xmp" | "noembed" | "noframes" | "noscript" => State::RawText,
            "plaintext" => State::PlainText,
            _ => return,
        };
        self.tokenizer.set_state(state);
    }
}

impl Iterator for MarkupReader<'_> {
    type Item = Markup;

    fn next(&mut self) -> Option<Markup> {
        loop {
            let Ok(token) = self.tokenizer.next()?;
            return Some(match token {
                Token::StartTag(tag) => {
                    let name = lossy(&tag.name);
                    self.enter(&name, tag.self_closing);
                    let attributes = tag
                        .attributes
                        .iter()
                        .map(|(name, value)| (lossy(name), lossy(value)))
                        .collect();
                    Markup::Start(StartTag { name, attributes })
                }
                Token::EndTag(tag) => {
                    let name = lossy(&tag.name);
                    if matches!(name.as_str(), "svg" | "math") {
                        self.foreign_depth = self.foreign_depth.saturating_sub(1);
                    }
                    let Span { end, .. } = tag.span;
                    Markup::End { name, end }
                }
                Token::String(text) => Markup::Text(lossy(&text)),
                Token::Comment(_) => Markup::Comment,
                Token::Doctype(_) => Markup::Doctype,
                Token::Error(_) => continue,
            });
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end_of_html(text: &str) -> Option<usize> {
        MarkupReader::new(text).find_map(|markup| match markup {
            Markup::End { name, end } if name == "html" => Some(end),
            _ => None,
        })
    }

    #[test]
    fn offsets_hold_with_many_bytes_per_character_and_crlf() {
        let text =
            "<html>\r\n<p title=\"ü\">日本語 🦀</p>\r\n<script>let a = '\r\n';</script></html>tail";
        let end = end_of_html(text).unwrap();
        assert_eq!(&text[end..], "tail");
    }

    #[test]
    fn tags_inside_scripts_styles_titles_and_comments_are_text() {
        for inner in [
            "<script>const page = '</html>';</script>",
            "<style>/* </html> */</style>",
            "<title></html></title>",
            "<textarea></html></textarea>",
            "<!-- </html> -->",
            "<div data-x='</html>'></div>",
        ] {
            let text = format!("<html>{inner}</html>!");
            let end = end_of_html(&text).unwrap();
            assert_eq!(&text[end..], "!", "{inner}");
        }
    }

    #[test]
    fn elements_inside_svg_do_not_swallow_the_rest() {
        let text = "<html><svg><style/><title/><script href='x'/></svg></html>";
        assert_eq!(end_of_html(text), Some(text.len()));
    }
}
