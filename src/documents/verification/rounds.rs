//! What goes back to the model, how often, and which of several candidates is the best.

use super::finding::{Finding, Severity};
use super::verdict::{CheckState, Checked};
use crate::documents::dependencies::{self, Severity as Leaning};
use crate::llm::Route;

/// Rounds in which faults are put right.
const ROUNDS: u32 = 1;
/// Rounds for a page that does not work.
const ROUNDS_WHEN_BLOCKED: u32 = 2;
/// Findings that one round names: more are put right no better.
const NAMED: usize = 10;

/// Rounds that a page may have, by whether it works and by who writes it: a host has a person
/// waiting, and reads every round itself.
pub(crate) const fn rounds(is_blocked: bool, route: Route) -> u32 {
    match (is_blocked, route) {
        (true, Route::Api | Route::Sampling | Route::Local | Route::Command) => ROUNDS_WHEN_BLOCKED,
        (true, Route::Host) | (false, _) => ROUNDS,
    }
}

/// What one more round should put right on a page that is made, in words for the model: what is
/// seen in its text, and what the browser found.
pub(crate) fn repairs_on_create(
    leaning: &[dependencies::Finding],
    checked: &Checked,
) -> Vec<String> {
    repairs(
        leaning,
        checked.findings.iter().filter(|found| found.severity >= Severity::Improvement),
    )
}

/// The same for an edit: only what the edit broke, and whatever keeps the page from working. What
/// the page had before is not the edit's fault, and improving it is not its task.
pub(crate) fn repairs_on_edit(
    leaning: &[dependencies::Finding],
    checked: &Checked,
    before: &Checked,
) -> Vec<String> {
    repairs(leaning, added(checked, before))
}

/// The faults that a page has and its last version had not.
pub(crate) fn added<'new>(
    checked: &'new Checked,
    before: &'new Checked,
) -> impl Iterator<Item = &'new Finding> {
    let was_checked = before.state == CheckState::Done;
    checked.findings.iter().filter(move |found| {
        let is_grave = found.severity >= Severity::Fault;
        let is_old = before.findings.iter().any(|known| known.is_same_fault(found));
        // Nothing is known about a version that could not be checked: only what does not work
        // counts then.
        if was_checked { is_grave && !is_old } else { found.severity == Severity::Blocking }
    })
}

fn repairs<'found>(
    leaning: &[dependencies::Finding],
    found: impl Iterator<Item = &'found Finding>,
) -> Vec<String> {
    let found: Vec<&Finding> = found.collect();
    let seen_in_text = leaning
        .iter()
        .filter(|finding| finding.severity == Leaning::Repair)
        .filter(|finding| !found.iter().any(|seen| is_named(seen, &finding.message)))
        .map(|finding| finding.message.clone());
    found.iter().map(|finding| told(finding)).chain(seen_in_text).take(NAMED).collect()
}

/// Whether a message about the page's text names the address that the browser asked for.
fn is_named(finding: &Finding, message: &str) -> bool {
    finding.place.as_ref().is_some_and(|place| place.len() > 3 && message.contains(place.as_str()))
}

/// A finding as the model reads it.
fn told(finding: &Finding) -> String {
    let place = finding.place.as_ref().filter(|place| !finding.message.contains(place.as_str()));
    let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
    let count = finding.count.map(|count| format!(", {count} times")).unwrap_or_default();
    let lines = finding.excerpt.iter().flat_map(|excerpt| excerpt.lines());
    let excerpt: String = lines.map(|line| format!("\n  {line}")).collect();
    format!("{}{place}{count}{excerpt}", finding.message)
}

#[cfg(test)]
mod tests {
    use super::super::finding::Kind;
    use super::*;

    fn checked(findings: &[Finding]) -> Checked {
        Checked { state: CheckState::Done, findings: findings.to_vec(), ..Checked::off() }
    }

    fn fault(message: &str) -> Finding {
        Finding::new(Kind::Exception, message)
    }

    #[test]
    fn a_page_that_is_made_is_improved_and_an_edit_only_mended() {
        let label = Finding::new(Kind::Accessibility, "a field has no label");
        let note = Finding::new(Kind::MissingTitle, "no title");
        let page = checked(&[fault("boom"), label, note]);
        assert_eq!(repairs_on_create(&[], &page), ["boom", "a field has no label"]);
        assert_eq!(repairs_on_edit(&[], &page, &checked(&[])), ["boom"]);
        assert!(repairs_on_edit(&[], &page, &checked(&[fault("boom")])).is_empty());
        assert_eq!(repairs_on_edit(&[], &page, &checked(&[fault("bang")])), ["boom"]);
    }

    #[test]
    fn of_a_version_that_was_not_checked_only_blocking_ones_are_new() {
        let blank = Finding::new(Kind::BlankPage, "nothing to see");
        let page = checked(&[blank, fault("boom")]);
        assert_eq!(repairs_on_edit(&[], &page, &Checked::off()), ["nothing to see"]);
    }

    #[test]
    fn what_is_seen_twice_is_told_once() {
        let request = Finding::new(Kind::ForeignRequest, "`https://cdn.example/x.js` is foreign")
            .at("https://cdn.example/x.js");
        let page = checked(&[request]);
        let leaning = crate::documents::dependencies::findings(
            "<script src='https://cdn.example/x.js'></script><base href='/x'>",
        );
        let told = repairs_on_create(&leaning, &page);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].contains("<base>"));
    }

    #[test]
    fn places_and_lines_are_told() {
        let finding = fault("boom")
            .at("line 3")
            .with_excerpt(Some("     2 | a\n>    3 | boom()".to_owned()))
            .times(4);
        assert_eq!(told(&finding), "boom (line 3), 4 times\n       2 | a\n  >    3 | boom()");
    }

    #[test]
    fn hosts_are_asked_once() {
        assert_eq!(rounds(true, Route::Host), 1);
        assert_eq!(rounds(true, Route::Api), 2);
        assert_eq!(rounds(false, Route::Api), 1);
    }
}
