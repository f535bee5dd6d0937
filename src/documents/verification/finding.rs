//! What can be wrong with a page, and how much it matters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a finding matters.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Only reported.
    Note,
    /// Better without; put right while a page is made.
    Improvement,
    /// A defect.
    Fault,
    /// The page does not work.
    Blocking,
}

/// What is wrong.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It does not come to rest: an endless loop, or something that never ends.
    NeverLoads,
    /// Its process ended.
    Crash,
    /// Dialogs without an end.
    DialogStorm,
    /// It goes elsewhere, or reloads itself.
    NavigatesAway,
    /// Code threw before the page had loaded.
    ExceptionAtLoad,
    /// A file of its own is not there.
    MissingAsset,
    /// Nothing can be seen.
    BlankPage,
    /// Code threw later.
    Exception,
    /// A promise was rejected and nobody caught it.
    UnhandledRejection,
    /// It says on the console that something failed.
    ConsoleError,
    /// It needs something from another server.
    ForeignRequest,
    /// It asks its own server for data, where there is none.
    MissingData,
    /// It is wider than the window.
    HorizontalOverflow,
    /// It opens a dialog at once.
    Dialog,
    /// It leaves somebody out: serious or critical by the rules of axe-core.
    Accessibility,
    /// The same, moderate or minor.
    AccessibilityHint,
    /// It asks another server for data and gets along without.
    ForeignData,
    /// It has no title.
    MissingTitle,
    /// It does not say that it fits small screens.
    MissingViewport,
    /// PDF: it has pages with nothing on them.
    BlankPages,
    /// PDF: content is wider than the page.
    ContentTooWide,
    /// PDF: no text can be taken out of it.
    NoText,
}

impl Kind {
    /// How much it matters, as a rule.
    pub(crate) const fn severity(self) -> Severity {
        match self {
            Self::NeverLoads
            | Self::Crash
            | Self::DialogStorm
            | Self::NavigatesAway
            | Self::ExceptionAtLoad
            | Self::MissingAsset
            | Self::BlankPage => Severity::Blocking,
            Self::Exception
            | Self::UnhandledRejection
            | Self::ConsoleError
            | Self::ForeignRequest
            | Self::MissingData
            | Self::HorizontalOverflow
            | Self::Dialog
            | Self::BlankPages
            | Self::ContentTooWide => Severity::Fault,
            Self::Accessibility => Severity::Improvement,
            Self::AccessibilityHint
            | Self::ForeignData
            | Self::MissingTitle
            | Self::MissingViewport
            | Self::NoText => Severity::Note,
        }
    }

    /// Whether a page with it cannot be shown at all, whoever wrote it.
    pub(crate) const fn is_unshowable(self) -> bool {
        matches!(self, Self::NeverLoads | Self::Crash | Self::DialogStorm | Self::NavigatesAway)
    }
}

/// Letters of a message.
const MESSAGE: usize = 400;
/// Letters of a place.
const PLACE: usize = 200;

/// Something that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What is wrong.
    pub kind: Kind,
    /// How much it matters: `blocking` (the page does not work), `fault`, `improvement` (put right
    /// on creation only), `note`.
    pub severity: Severity,
    /// What is wrong, in words. Quotes the page.
    pub message: String,
    /// Where: a line, an address, an element.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The lines around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
    /// How often, when more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Finding {
    pub(super) fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        Self {
            kind,
            severity: kind.severity(),
            message: cut(message.as_ref(), MESSAGE),
            place: None,
            excerpt: None,
            count: None,
        }
    }

    pub(super) fn at(mut self, place: impl AsRef<str>) -> Self {
        self.place = Some(cut(place.as_ref(), PLACE)).filter(|place| !place.is_empty());
        self
    }

    pub(super) fn with_excerpt(mut self, excerpt: Option<String>) -> Self {
        self.excerpt = excerpt;
        self
    }

    pub(super) fn times(mut self, count: u64) -> Self {
        self.count = Some(count).filter(|count| *count > 1);
        self
    }

    pub(super) fn only(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Whether this is the same fault as another one, in another window or another version: the
    /// line may have moved.
    pub(crate) fn is_same_fault(&self, other: &Self) -> bool {
        let by_place = matches!(
            self.kind,
            Kind::MissingAsset
                | Kind::ForeignRequest
                | Kind::MissingData
                | Kind::ForeignData
                | Kind::HorizontalOverflow
        );
        self.kind == other.kind
            && if by_place { self.place == other.place } else { self.message == other.message }
    }
}

/// A text without control characters, cut to a number of letters.
pub(super) fn cut(text: &str, letters: usize) -> String {
    let mut short: String = text
        .trim()
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(letters + 1)
        .collect();
    if short.chars().count() > letters {
        short = short.chars().take(letters.saturating_sub(1)).collect();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_pages_are_short_and_plain() {
        let finding = Finding::new(Kind::Exception, format!("a\n\u{1b}[2J{}", "é".repeat(500)));
        assert_eq!(finding.message.chars().count(), MESSAGE);
        assert!(finding.message.ends_with('…'));
        assert!(!finding.message.contains(char::is_control));
        assert_eq!(finding.at("  ").place, None);
    }

    #[test]
    fn faults_are_known_again_when_their_line_moves() {
        let at =
            |line: u32| Finding::new(Kind::Exception, "TypeError: x").at(format!("line {line}"));
        assert!(at(3).is_same_fault(&at(9)));
        let wide = |px: u32, what: &str| {
            Finding::new(Kind::HorizontalOverflow, format!("{px} px")).at(what)
        };
        assert!(wide(10, "table").is_same_fault(&wide(200, "table")));
        assert!(!wide(10, "table").is_same_fault(&wide(10, "pre")));
    }
}
