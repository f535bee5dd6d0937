//! What stands between a new page and its publication.

use super::{EditTask, NewPage};
use crate::documents::dependencies::{Finding, Severity as Leaning, findings};
use crate::documents::service::Documents;
use crate::documents::verification::drafts::Broken;
use crate::documents::verification::rounds::{added, repairs_on_edit};
use crate::documents::verification::{CheckState, Checked, Severity};
use crate::jobs::{Failure, Run};

/// What is to be said about a page that could be published.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// What one more round should put right, in words for the model.
    pub(super) repairs: Vec<String>,
    /// What people should know.
    pub(super) warnings: Vec<String>,
    /// What the browser found.
    pub(super) checked: Checked,
    /// What it found in the version before, as far as that was looked at.
    before: Checked,
    /// How often the edit made the page lean on what may not be there.
    leaning: usize,
    /// Rounds in which something was put right.
    pub(super) rounds: u32,
}

impl Default for Verdict {
    /// Of a page that is as it was.
    fn default() -> Self {
        Self {
            repairs: Vec::new(),
            warnings: Vec::new(),
            checked: Checked::off(),
            before: Checked::off(),
            leaning: 0,
            rounds: 0,
        }
    }
}

impl Verdict {
    /// Whether this page is to be preferred to the one of another verdict.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        self.checked.score(self.leaning) < other.checked.score(other.leaning)
    }

    /// Whether the page of an edit would be a step back: it does not work, or has faults where the
    /// version before had none.
    fn is_step_back(&self) -> bool {
        let (new, old) = (&self.checked, &self.before);
        if new.is_blocked() {
            return !old.is_blocked() || old.score(0) < new.score(self.leaning);
        }
        let is_faulty = |checked: &Checked| checked.worst() >= Some(Severity::Fault);
        old.state == CheckState::Done && is_faulty(new) && !is_faulty(old)
    }

    /// The faults that the edit brought, in one sentence.
    pub(super) fn brought(&self) -> Option<String> {
        let new: Vec<&str> =
            added(&self.checked, &self.before).map(|finding| finding.message.as_str()).collect();
        (!new.is_empty()).then(|| {
            format!("The page has faults that the version before had not: {}", new.join("; "))
        })
    }
}

impl Documents {
    /// Judges a page that an edit made. What the page had before the edit is not the edit's fault:
    /// it is neither repaired nor told again.
    ///
    /// # Errors
    /// When judging needs something that fails for other reasons than the page.
    pub(super) async fn judge(
        &self,
        run: &Run,
        task: &EditTask<'_>,
        new: &NewPage,
    ) -> Result<Verdict, Failure> {
        let before = findings(&task.source);
        let added = |finding: &&Finding| !before.contains(finding);
        let leaning: Vec<Finding> = new.page.findings.iter().filter(added).cloned().collect();
        run.progress(90.0, Some(100.0), "checking the page");
        let html = &new.page.html;
        let checked = self.looked_at(run, task, html).await?;
        // A page without faults needs no comparison.
        let before = if checked.worst() >= Some(Severity::Fault) {
            self.looked_at(run, task, &task.source).await?
        } else {
            Checked::off()
        };
        Ok(Verdict {
            repairs: repairs_on_edit(&leaning, &checked, &before),
            warnings: leaning.iter().map(|finding| finding.message.clone()).collect(),
            leaning: leaning.iter().filter(|finding| finding.severity == Leaning::Repair).count(),
            checked,
            before,
            rounds: 0,
        })
    }

    /// Checks a page as what it is: shown, or printed.
    async fn looked_at(
        &self,
        run: &Run,
        task: &EditTask<'_>,
        html: &str,
    ) -> Result<Checked, Failure> {
        if let Some(press) = &task.press {
            return Ok(match self.try_print(run, press, html).await? {
                Ok(print) => print.checked,
                Err(endless) => endless,
            });
        }
        let files = self.page_files(Some(task.document), task.files, html).await?;
        self.check(run, html, &files).await
    }

    /// Lets an edited page through, or keeps it as a draft when what is published is better.
    ///
    /// # Errors
    /// When it is not to be published.
    pub(super) async fn let_through(
        &self,
        run: &Run,
        what: Broken,
        page: &NewPage,
        verdict: &Verdict,
    ) -> Result<(), Failure> {
        let is_refused = match what {
            Broken::Given => verdict.checked.is_unshowable(),
            Broken::Create | Broken::Edit => verdict.is_step_back(),
        };
        if !is_refused {
            return Ok(());
        }
        let verification = verdict.checked.verification(verdict.rounds);
        Err(self.broken(run, what, &page.page.html, verification).await?.into())
    }
}
