//! What stands between a new page and its publication.

use super::{EditTask, NewPage};
use crate::documents::dependencies::{Finding, Severity, findings};
use crate::documents::service::Documents;
use crate::jobs::{Failure, Run};

/// What is to be said about a page that could be published.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict {
    /// What one more round should put right, in words for the model.
    pub(super) repairs: Vec<String>,
    /// What people should know.
    pub(super) warnings: Vec<String>,
}

impl Verdict {
    /// Whether this page is to be preferred to the one of another verdict.
    pub(super) const fn is_better_than(&self, other: &Self) -> bool {
        self.repairs.len() < other.repairs.len()
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
        let mut verdict = Verdict::default();
        for finding in new.page.findings.iter().filter(added) {
            if finding.severity == Severity::Repair {
                verdict.repairs.push(finding.message.clone());
            }
            verdict.warnings.push(finding.message.clone());
        }
        if let Some(press) = &task.press {
            let problems = match self.try_print(run, press, &new.page.html).await? {
                Ok(print) => print.problems,
                Err(error) => vec![error.message],
            };
            for problem in problems.into_iter().filter(|problem| !press.known.contains(problem)) {
                verdict.repairs.push(problem.clone());
                verdict.warnings.push(problem);
            }
        }
        Ok(verdict)
    }
}
