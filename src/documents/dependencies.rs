//! What a page needs from elsewhere.
//!
//! A page has to work by itself: it is shown in hosts that allow no other origin, printed by a
//! browser without network, and kept for years. Code from elsewhere breaks it, so that is worth
//! another round with the model; a picture or a request is only reported.

use super::markup::{Markup, MarkupReader, StartTag};
use crate::libraries;

/// Findings beyond this many add nothing for anybody.
const MAX_FINDINGS: usize = 20;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The page does not work without it: worth a repair round.
    Repair,
    /// To be reported.
    Note,
}

/// Something about a page that its reader should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// How much it matters.
    pub(crate) severity: Severity,
    /// What it is, in one sentence without a full stop.
    pub(crate) message: String,
}

impl Finding {
    /// A finding that is only reported.
    pub(crate) fn note(message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, message: message.into() }
    }

    fn repair(message: impl Into<String>) -> Self {
        Self { severity: Severity::Repair, message: message.into() }
    }
}

/// Where an address leads, seen from a hosted page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// In the page: a fragment, `data:` or `blob:`.
    Inside,
    /// A file that is served beside the page.
    Beside,
    /// Another origin.
    Elsewhere,
    /// A path beside the page, where nothing is.
    Missing,
}

/// Everything that a page needs from elsewhere, in its order, without repetitions.
pub(crate) fn findings(html: &str) -> Vec<Finding> {
    let mut found = Found::default();
    let mut current = StartTag { name: String::new(), attributes: Vec::new() };
    for markup in MarkupReader::new(html) {
        match markup {
            Markup::Start(tag) => {
                found.element(&tag);
                current = tag;
            }
            Markup::Text(text) => match current.name.as_str() {
                "script" => found.script(&text, current.attribute("type").unwrap_or_default()),
                "style" => found.style(&text),
                _ => {}
            },
            Markup::End { .. } => current.name.clear(),
            Markup::Comment | Markup::Doctype => {}
        }
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn add(&mut self, finding: Finding) {
        if self.0.len() < MAX_FINDINGS && !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    fn element(&mut self, tag: &StartTag) {
        match tag.name.as_str() {
            "script" => self.code("script", tag.attribute("src").or(tag.attribute("href"))),
            "link" => self.link(tag),
            "base" => self.add(Finding::repair(
                "the page has a `<base>` element, which breaks the addresses of its own files",
            )),
            "meta"
                if tag
                    .attribute("http-equiv")
                    .is_some_and(|value| value.trim().eq_ignore_ascii_case("refresh")) =>
            {
                self.add(Finding::repair(
                    "the page reloads or leaves itself by `<meta http-equiv=\"refresh\">`",
                ));
            }
            "iframe" | "embed" => self.media("frame", tag.attribute("src")),
            "object" => self.media("frame", tag.attribute("data")),
            "img" | "source" | "video" | "audio" | "track" | "input" | "image" => {
                for attribute in ["src", "poster"] {
                    self.media("file", tag.attribute(attribute));
                }
                if tag.name == "image" {
                    self.media("file", tag.attribute("href").or(tag.attribute("xlink:href")));
                }
                let candidates = tag.attribute("srcset").unwrap_or_default();
                // A data: URI holds commas of its own; it needs nothing from elsewhere anyway.
                if !candidates.contains("data:") {
                    for candidate in candidates.split(',') {
                        self.media("file", candidate.split_whitespace().next());
                    }
                }
            }
            _ => {}
        }
        if let Some(style) = tag.attribute("style") {
            self.style(style);
        }
    }

    fn link(&mut self, tag: &StartTag) {
        let rel = tag.attribute("rel").unwrap_or_default().to_ascii_lowercase();
        let has = |kind: &str| rel.split_whitespace().any(|word| word == kind);
        let href = tag.attribute("href");
        if has("stylesheet") {
            self.code("style sheet", href);
        } else if has("modulepreload") || has("preload") {
            self.code("preloaded file", href);
        } else if has("icon") || has("apple-touch-icon") || has("manifest") {
            self.media("file", href);
        }
    }

    fn code(&mut self, what: &str, address: Option<&str>) {
        let Some(address) = address else { return };
        match target(address) {
            Target::Inside | Target::Beside => {}
            Target::Elsewhere => self.add(Finding::repair(format!(
                "the {what} `{}` comes from another server; its content belongs into the page",
                shown(address)
            ))),
            Target::Missing => self.add(Finding::repair(format!(
                "the {what} `{}` does not exist: the page is one file",
                shown(address)
            ))),
        }
    }

    fn media(&mut self, what: &str, address: Option<&str>) {
        let Some(address) = address else { return };
        match target(address) {
            Target::Inside | Target::Beside => {}
            Target::Elsewhere => self.add(Finding::note(format!(
                "the {what} `{}` comes from another server and may be missing where the page is shown",
                shown(address)
            ))),
            Target::Missing => self.add(Finding::note(format!(
                "the {what} `{}` does not exist: the page is one file",
                shown(address)
            ))),
        }
    }

    fn style(&mut self, css: &str) {
        for start in word_ends(css, "@import") {
            let rest = css.get(start..).unwrap_or_default().trim_start();
            let rest = rest.strip_prefix("url(").unwrap_or(rest).trim_start();
            self.code("style sheet", Some(css_address(rest)));
        }
        for start in word_ends(css, "url(") {
            let before = css.get(..start - 4).unwrap_or_default().trim_end();
            if before.ends_with("@import") {
                continue;
            }
            let address = css_address(css.get(start..).unwrap_or_default().trim_start());
            self.media("file", Some(address));
        }
    }

    fn script(&mut self, code: &str, kind: &str) {
        let kind = kind.trim().to_ascii_lowercase();
        let code_words: &[&str] = match kind.as_str() {
            "importmap" => &[":"],
            "module" => &["from", "import", "import("],
            "" | "text/javascript" | "application/javascript" | "text/babel" => {
                &["import(", "importScripts("]
            }
            _ => return,
        };
        for word in code_words {
            for start in word_ends(code, word) {
                if let Some(address) = quoted(code.get(start..).unwrap_or_default())
                    && target(address) == Target::Elsewhere
                {
                    self.code("script", Some(address));
                }
            }
        }
        for word in ["fetch(", "new WebSocket(", "new EventSource(", "sendBeacon("] {
            for start in word_ends(code, word) {
                self.request(quoted(code.get(start..).unwrap_or_default()));
            }
        }
        for start in word_ends(code, ".open(") {
            let rest = code.get(start..).unwrap_or_default();
            let Some(method) = quoted(rest) else { continue };
            if ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
                .contains(&method.to_ascii_uppercase().as_str())
            {
                let second = rest.split_once(',').map_or("", |(_, second)| second);
                self.request(quoted(second));
            }
        }
    }

    fn request(&mut self, address: Option<&str>) {
        if let Some(address) = address
            && target(address) == Target::Elsewhere
        {
            self.add(Finding::note(format!(
                "a script asks `{}`, another server, which may not answer where the page is shown",
                shown(address)
            )));
        }
    }
}

fn target(address: &str) -> Target {
    let address = address.trim();
    let lower: String = address.chars().take(12).collect::<String>().to_ascii_lowercase();
    if address.is_empty() || lower.starts_with('#') {
        return Target::Inside;
    }
    if ["data:", "blob:", "about:", "javascript:"].iter().any(|scheme| lower.starts_with(scheme)) {
        return Target::Inside;
    }
    if lower.starts_with("//")
        || ["http:", "https:", "ws:", "wss:", "ftp:"].iter().any(|scheme| lower.starts_with(scheme))
    {
        return Target::Elsewhere;
    }
    let path = address.strip_prefix("./").unwrap_or(address);
    let is_attachment = path
        .strip_prefix("a/")
        .is_some_and(|sha| sha.len() == 64 && sha.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let is_library =
        path.strip_prefix(libraries::FOLDER).is_some_and(|file| libraries::find(file).is_some());
    // A template such as `${path}` or `{{ path }}` is filled by a script.
    if is_attachment || is_library || address.contains("${") || address.contains("{{") {
        Target::Beside
    } else {
        Target::Missing
    }
}

/// An address without its query, which may carry secrets, and cut to a readable length.
fn shown(address: &str) -> String {
    let address = address.trim();
    let plain = address.split(['?', '#']).next().unwrap_or(address);
    let mut short: String = plain.chars().filter(|letter| !letter.is_control()).take(120).collect();
    if short.len() < plain.len() {
        short.push('…');
    }
    short
}

/// Offsets behind each occurrence of a word that does not continue a longer name.
fn word_ends<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).filter_map(move |(start, _)| {
        let before = text.get(..start).and_then(|before| before.chars().next_back());
        let continues = word.starts_with(|first: char| first.is_alphabetic())
            && before.is_some_and(|last| last.is_alphanumeric() || last == '_' || last == '$');
        (!continues).then_some(start + word.len())
    })
}

/// The string literal that a text begins with.
fn quoted(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let quote = text.chars().next().filter(|quote| matches!(quote, '"' | '\'' | '`'))?;
    let (literal, _) = text.get(1..)?.split_once(quote)?;
    (literal.len() <= 2_000).then_some(literal)
}

/// The address at the begin of a CSS `url(…)` or string.
fn css_address(text: &str) -> &str {
    let text = text.trim_start();
    quoted(text).unwrap_or_else(|| text.split([')', ';', ' ', '\n']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn severities(html: &str) -> Vec<Severity> {
        findings(html).into_iter().map(|finding| finding.severity).collect()
    }

    #[test]
    fn code_from_elsewhere_is_worth_a_repair() {
        for html in [
            "<script src='https://cdn.tailwindcss.com'></script>",
            "<script src=//unpkg.com/react></script>",
            "<script src='app.js'></script>",
            "<script src='lib/unknown-1.0.js'></script>",
            "<SCRIPT SRC='HTTPS://CDN.EXAMPLE/X.JS'></SCRIPT>",
            "<link rel=stylesheet href='https://fonts.googleapis.com/css2?family=Inter'>",
            "<link rel='preload' as='style' href='https://x.example/y.css'>",
            "<link rel='stylesheet' href='style.css'>",
            "<style>@import url('https://fonts.example/a.css');</style>",
            "<style>@import \"https://fonts.example/a.css\";</style>",
            "<script type=module>import confetti from 'https://esm.sh/confetti';</script>",
            "<script type=module>import 'https://esm.sh/confetti';</script>",
            "<script>const three = await import(\"https://esm.sh/three\");</script>",
            "<script>importScripts('https://x.example/w.js')</script>",
            "<script type=importmap>{\"imports\":{\"vue\":\"https://unpkg.com/vue\"}}</script>",
            "<base href='https://x.example/'>",
            "<meta http-equiv='Refresh' content='0;url=https://x.example/'>",
        ] {
            assert_eq!(severities(html), [Severity::Repair], "{html}");
        }
    }

    #[test]
    fn pictures_and_requests_are_notes() {
        for html in [
            "<img src='https://picsum.photos/200'>",
            "<img src='picture.png'>",
            "<img srcset='https://x.example/a.png 1x'>",
            "<video poster='https://x.example/p.jpg'></video>",
            "<iframe src='https://www.youtube.com/embed/x'></iframe>",
            "<link rel=icon href='https://x.example/favicon.ico'>",
            "<div style=\"background: url('https://x.example/b.png')\"></div>",
            "<style>@font-face { src: url(https://x.example/f.woff2) }</style>",
            "<script>fetch('https://api.example/v1?key=secret')</script>",
            "<script>const socket = new WebSocket(`wss://x.example`)</script>",
            "<script>request.open('GET', 'https://api.example/')</script>",
            "<svg><image href='https://x.example/a.png'/></svg>",
        ] {
            assert_eq!(severities(html), [Severity::Note], "{html}");
        }
    }

    #[test]
    fn what_a_page_may_have_is_no_finding() {
        let sha = "0123456789abcdef".repeat(4);
        for html in [
            "<script>fetch('data.json').then(show)</script>".to_owned(),
            "<script>window.open('https://example.org')</script>".to_owned(),
            "<script>const text = \"copied from 'https://x.example'\";</script>".to_owned(),
            "<script>myfetch('https://x.example')</script>".to_owned(),
            "<script type='application/ld+json'>{\"@context\": \"https://schema.org\"}</script>".to_owned(),
            "<a href='https://example.org'>link</a>".to_owned(),
            "<svg xmlns='http://www.w3.org/2000/svg'><use href='#icon'/></svg>".to_owned(),
            "<img src='data:image/png;base64,AAAA'>".to_owned(),
            "<link rel=icon href=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>\">".to_owned(),
            "<style>a { background: url(data:image/png;base64,AA) } b { filter: url(#blur) }</style>".to_owned(),
            format!("<img src='a/{sha}'><img src='./a/{sha}'>"),
            "<script src=lib/alpinejs-3.17.5.js></script><link rel=stylesheet href=./lib/bootstrap-5.3.9.css>".to_owned(),
            "<!-- <script src='https://cdn.example/x.js'></script> -->".to_owned(),
            "<script>const html = `<img src=\"${path}\">`;</script>".to_owned(),
        ] {
            assert_eq!(findings(&html), [], "{html}");
        }
    }

    #[test]
    fn queries_are_not_repeated_and_lists_are_short() {
        let found = findings("<img src='https://x.example/a.png?signature=secret'>");
        assert!(!found[0].message.contains("secret"));
        let many: String = (0..50).map(|n| format!("<img src='https://x.example/{n}'>")).collect();
        assert_eq!(findings(&many).len(), MAX_FINDINGS);
        assert_eq!(findings(&"<img src='https://x.example/1'>".repeat(5)).len(), 1);
    }
}
