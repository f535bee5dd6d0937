//! Headers and footers: a line of text with placeholders, as the template that Chrome prints.
//!
//! Nothing of what a caller writes reaches Chrome as markup.

use std::fmt::Write as _;

use super::RenderError;
use super::length::{Length, shorten};

/// The sides that the line keeps clear of.
#[derive(Debug, Clone, Copy)]
pub(super) struct TemplatePlace {
    pub(super) left: Length,
    pub(super) right: Length,
}

/// A header or footer in Chrome's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    html: String,
}

impl Template {
    /// Reads a line: text, `{page}`, `{pages}`, `{title}`, `{date}`, doubled braces for braces, and up
    /// to two `|` between left, middle and right.
    pub(super) fn new(
        field: &'static str,
        text: &str,
        place: TemplatePlace,
    ) -> Result<Self, RenderError> {
        let mut parts = vec![String::new()];
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let Some(part) = parts.last_mut() else { break };
            match letter {
                '{' | '}' if letters.peek() == Some(&letter) => {
                    letters.next();
                    part.push(letter);
                }
                '{' => {
                    let name: String =
                        letters.by_ref().take_while(|letter| *letter != '}').collect();
                    part.push_str(placeholder(field, &name)?);
                }
                '|' => parts.push(String::new()),
                letter if letter.is_control() => part.push(' '),
                letter => escape(letter, part),
            }
        }
        let (left, middle, right) = match parts.as_slice() {
            [middle] => ("", middle.as_str(), ""),
            [left, right] => (left.as_str(), "", right.as_str()),
            [left, middle, right] => (left.as_str(), middle.as_str(), right.as_str()),
            _ => {
                return Err(RenderError::option(
                    field,
                    "has more than two `|`; they part a left, a middle and a right text",
                ));
            }
        };
        // Without a font size of its own Chrome prints nothing that can be read, and a template
        // inherits no style of the page.
        let mut html = format!(
            "<div style=\"box-sizing:border-box;width:100%;display:flex;align-items:baseline;gap:8px;\
             font-family:sans-serif;font-size:8pt;line-height:1.2;color:#444;\
             padding:0 {:.4}in 0 {:.4}in\">",
            place.right.as_inches(),
            place.left.as_inches()
        );
        for (part, align) in [(left, "left"), (middle, "center"), (right, "right")] {
            let _ = write!(
                html,
                "<span style=\"flex:1 1 {};text-align:{align};overflow-wrap:anywhere\">{part}</span>",
                if part.is_empty() && left.is_empty() && right.is_empty() { "0" } else { "30%" }
            );
        }
        html.push_str("</div>");
        Ok(Self { html })
    }

    pub(super) fn html(&self) -> &str {
        &self.html
    }
}

fn placeholder(field: &'static str, name: &str) -> Result<&'static str, RenderError> {
    match name.trim() {
        "page" => Ok("<span class=\"pageNumber\"></span>"),
        "pages" => Ok("<span class=\"totalPages\"></span>"),
        "title" => Ok("<span class=\"title\"></span>"),
        "date" => Ok("<span class=\"date\"></span>"),
        _ => Err(RenderError::option(
            field,
            format!(
                "has the unknown placeholder `{{{}}}`; there are {{page}}, {{pages}}, {{title}} and {{date}}, and {{{{ is a brace",
                shorten(name)
            ),
        )),
    }
}

fn escape(letter: char, into: &mut String) {
    match letter {
        '<' => into.push_str("&lt;"),
        '>' => into.push_str("&gt;"),
        '&' => into.push_str("&amp;"),
        '"' => into.push_str("&quot;"),
        '\'' => into.push_str("&#39;"),
        letter => into.push(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Result<String, String> {
        let place = TemplatePlace { left: Length::inches(1.0), right: Length::inches(1.0) };
        Template::new("footer", text, place)
            .map(|template| template.html)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn text_is_no_markup() {
        let html = template("<img src=x onerror=alert(1)> & {page} of {pages} {{x}}").unwrap();
        assert!(
            html.contains("&lt;img src=x onerror=alert(1)&gt; &amp; <span class=\"pageNumber\">")
        );
        assert!(html.contains("{x}"), "{html}");
    }

    #[test]
    fn parts_have_their_sides() {
        let html = template("left|middle|{date}").unwrap();
        assert!(html.contains("text-align:left;overflow-wrap:anywhere\">left<"), "{html}");
        assert!(html.contains("text-align:center;overflow-wrap:anywhere\">middle<"), "{html}");
        assert!(template("a|b|c|d").unwrap_err().contains("more than two"));
        assert!(template("{pagenumber}").unwrap_err().contains("unknown placeholder"));
    }
}
