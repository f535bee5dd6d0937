//! What a result says about the check of its page.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, Severity};
use crate::storage::Sha256Hex;

/// Findings that a result lists.
const LISTED: usize = 12;

/// A check, as its step stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checked {
    /// How far it came.
    pub(crate) state: CheckState,
    /// What was found, the gravest first.
    pub(crate) findings: Vec<Finding>,
    /// The windows through which the page was looked at.
    pub(crate) viewports: Vec<String>,
    /// How long it took.
    pub(crate) duration_ms: u64,
    /// Small picture of the page.
    pub(crate) thumb_sha: Option<Sha256Hex>,
}

/// How far a check came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum CheckState {
    /// To its end.
    Done,
    /// Nowhere.
    Unavailable {
        /// Why.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// The operator wants none.
    Off,
}

/// How good a page is by its findings: the smaller, the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Score {
    blocking: usize,
    /// Whether nothing is known about it: better than a page that does not work, and no reason to
    /// give up one that was seen to work, with whatever faults.
    unknown: bool,
    faults: usize,
    improvements: usize,
    notes: usize,
}

impl Checked {
    /// The check of an operator who wants none.
    pub(crate) const fn off() -> Self {
        Self {
            state: CheckState::Off,
            findings: Vec::new(),
            viewports: Vec::new(),
            duration_ms: 0,
            thumb_sha: None,
        }
    }

    /// How good the page is. `leaning`: how often it leans on what may not be there, which is seen
    /// in its text.
    pub(crate) fn score(&self, leaning: usize) -> Score {
        let count = |severity: Severity| {
            self.findings.iter().filter(|finding| finding.severity == severity).count()
        };
        Score {
            blocking: count(Severity::Blocking),
            unknown: matches!(self.state, CheckState::Unavailable { .. }),
            faults: count(Severity::Fault) + leaning,
            improvements: count(Severity::Improvement),
            notes: count(Severity::Note),
        }
    }

    /// Whether the page does not work.
    pub(crate) fn is_blocked(&self) -> bool {
        self.worst() == Some(Severity::Blocking)
    }

    /// Whether it cannot be shown at all.
    pub(crate) fn is_unshowable(&self) -> bool {
        self.findings.iter().any(|finding| finding.kind.is_unshowable())
    }

    /// The gravest finding, in words.
    pub(crate) fn reason(&self) -> String {
        self.findings.first().map(|finding| finding.message.clone()).unwrap_or_default()
    }

    /// The gravest severity.
    pub(crate) fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// What results say.
    pub(crate) fn verification(&self, rounds: u32) -> Verification {
        let (status, reason, hint) = match &self.state {
            CheckState::Off => (VerificationStatus::Off, None, None),
            CheckState::Unavailable { reason, hint } => {
                (VerificationStatus::Unavailable, Some(reason.clone()), Some(hint.clone()))
            }
            CheckState::Done => {
                let status = match self.worst() {
                    Some(Severity::Blocking) => VerificationStatus::Blocked,
                    Some(Severity::Fault | Severity::Improvement) => VerificationStatus::Findings,
                    Some(Severity::Note) | None => VerificationStatus::Passed,
                };
                (status, None, None)
            }
        };
        Verification {
            status,
            findings: self.findings.iter().take(LISTED).cloned().collect(),
            more_findings: Some(self.findings.len().saturating_sub(LISTED))
                .filter(|more| *more > 0),
            viewports: self.viewports.clone(),
            duration_ms: self.duration_ms,
            rounds,
            reason,
            hint,
        }
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerificationStatus {
    /// Nothing but notes.
    Passed,
    /// It works, with faults.
    Findings,
    /// Something keeps it from working.
    Blocked,
    /// It could not be checked.
    Unavailable,
    /// The operator has switched checks off.
    Off,
}

/// The check of a page in a browser, on a phone and on a desktop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// `passed`: nothing but notes; `findings`: it works, with faults; `blocked`: something keeps
    /// it from working; `unavailable`: it could not be checked; `off`: switched off here.
    pub status: VerificationStatus,
    /// What was found, the gravest first.
    pub findings: Vec<Finding>,
    /// Findings beyond those listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_findings: Option<usize>,
    /// The windows through which it was looked at.
    pub viewports: Vec<String>,
    /// How long the check took.
    pub duration_ms: u64,
    /// Rounds in which the model put something right.
    pub rounds: u32,
    /// Why it could not be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Verification {
    /// What a reader of the result should be told in one sentence, when there is something.
    pub(crate) fn warning(&self) -> Option<String> {
        match self.status {
            VerificationStatus::Passed | VerificationStatus::Off => None,
            VerificationStatus::Unavailable => Some(format!(
                "the page was not checked: {}",
                self.reason.as_deref().unwrap_or("no browser answered")
            )),
            VerificationStatus::Blocked | VerificationStatus::Findings => {
                let graver = |finding: &&Finding| finding.severity >= Severity::Fault;
                let faults: Vec<&Finding> = self.findings.iter().filter(graver).collect();
                let first = faults.first()?;
                let more = match faults.len() {
                    1 => String::new(),
                    count => format!(", and {} more in `verification`", count - 1),
                };
                Some(format!("the check of the page found: {}{more}", first.message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Kind;
    use super::*;

    fn checked(kinds: &[Kind]) -> Checked {
        Checked {
            state: CheckState::Done,
            findings: kinds.iter().map(|kind| Finding::new(*kind, "x")).collect(),
            ..Checked::off()
        }
    }

    #[test]
    fn one_blocking_finding_is_worse_than_any_number_of_others() {
        let blocked = checked(&[Kind::BlankPage]);
        let faulty = checked(&[Kind::Exception; 30]);
        let improvable = checked(&[Kind::Accessibility; 9]);
        let noted = checked(&[Kind::MissingTitle; 9]);
        let clean = checked(&[]);
        let scores = [&clean, &noted, &improvable, &faulty, &blocked].map(|one| one.score(0));
        assert!(scores.is_sorted());
        assert!(improvable.score(1) > improvable.score(0), "leaning on other servers counts");
        assert!(noted.score(1) > improvable.score(0));
    }

    #[test]
    fn a_page_that_was_not_seen_replaces_only_one_that_does_not_work() {
        let state = CheckState::Unavailable { reason: "gone".into(), hint: String::new() };
        let unseen = Checked { state, ..Checked::off() };
        assert!(unseen.score(0) < checked(&[Kind::BlankPage]).score(0));
        assert!(unseen.score(0) > checked(&[Kind::Exception; 30]).score(3));
        assert!(unseen.score(0) < unseen.score(1));
    }

    #[test]
    fn the_status_says_the_gravest() {
        for (kinds, status) in [
            (&[][..], VerificationStatus::Passed),
            (&[Kind::MissingTitle], VerificationStatus::Passed),
            (&[Kind::MissingTitle, Kind::Accessibility], VerificationStatus::Findings),
            (&[Kind::ConsoleError], VerificationStatus::Findings),
            (&[Kind::ConsoleError, Kind::NeverLoads], VerificationStatus::Blocked),
        ] {
            let verification = checked(kinds).verification(0);
            assert_eq!(verification.status, status, "{kinds:?}");
            let is_loud = checked(kinds).worst() >= Some(Severity::Fault);
            assert_eq!(verification.warning().is_some(), is_loud, "{kinds:?}");
        }
    }

    #[test]
    fn results_stay_small() {
        let verification = checked(&[Kind::Exception; 100]).verification(1);
        assert_eq!(verification.findings.len(), LISTED);
        assert_eq!(verification.more_findings, Some(88));
    }
}
