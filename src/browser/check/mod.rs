//! Scripts that look at a loaded page, and what they see.
//!
//! The results come out of a page that may be hostile: they are data, bounded by whoever reads
//! them, and never a reason to trust the page.

use std::sync::LazyLock;

use serde::Deserialize;

/// What there is to see, what sticks out, what the head lacks: evaluates to a [`Look`].
pub const LOOK: &str = include_str!("look.js");

/// The accessibility rules of axe-core, run over the page: evaluates to an [`Accessibility`]; on a
/// phone to `null`, since one window is enough for so large a script.
pub fn accessibility() -> &'static str {
    static SCRIPT: LazyLock<String> = LazyLock::new(|| {
        let rules = include_str!("../../../assets/axe/axe.min.js");
        let run = include_str!("axe_run.js");
        format!("navigator.maxTouchPoints > 0 ? null : (() => {{\n{rules};\nreturn {run}\n}})()")
    });
    &SCRIPT
}

/// What a page shows.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Look {
    /// Letters of visible text.
    pub text: u64,
    /// Visible elements.
    pub elements: u64,
    /// Of these, such that paint something besides text.
    pub painted: u64,
    /// All elements.
    pub total: u64,
    /// Whether there were more elements than were looked at.
    pub cut: bool,
    /// What makes the page wider than its window.
    pub overflow: Option<Overflow>,
    /// The title.
    pub title: Option<String>,
    /// The content of the meta element `viewport`.
    pub viewport: Option<String>,
}

/// Something wider than the window.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Overflow {
    /// By how many CSS pixels the page is wider than the window.
    pub pixels: u64,
    /// The element that reaches furthest, as a selector.
    pub culprit: Option<String>,
    /// How wide that is, in CSS pixels.
    pub culprit_width: Option<u64>,
    /// Whether the page cuts at its edge, so that nobody can scroll to the rest.
    pub clipped: bool,
}

/// What the accessibility rules found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Accessibility {
    /// Number of elements, when they were too many to be looked at.
    pub skipped: Option<u64>,
    /// Rules that the page breaks.
    pub violations: Vec<Violation>,
}

/// A rule that the page breaks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Violation {
    /// Name of the rule.
    pub rule: String,
    /// `critical`, `serious`, `moderate` or `minor`.
    pub impact: Option<String>,
    /// What the rule asks for.
    pub help: String,
    /// Elements that break it.
    pub count: u64,
    /// The first of them, as a selector.
    pub target: Option<String>,
    /// Its markup.
    pub html: Option<String>,
    /// What was measured.
    pub detail: Option<String>,
}
