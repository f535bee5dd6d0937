//! Notices when a run goes in circles.
//!
//! An edit-and-test loop makes the same call again and again and is legitimate, since something
//! was written in between. So what counts is the same call with the same result and nothing else
//! written since.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::results::{CallAnswer, CallStatus};

/// How often the same call is made with nothing changed in between.
const SAME_CALLS: u32 = 2;
/// The attempt at the same call that ends the run.
const SAME_CALLS_END: u32 = 5;
/// The same for a call that asks how something goes on.
const POLLS: u32 = 30;
/// Longest wait before such a call is made again, in milliseconds.
const POLL_WAIT_MS: u64 = 5_000;
/// The same error of one tool that ends the run.
const SAME_ERRORS: u32 = 4;
/// Answers in a row with nothing but failing calls that end the run.
const FAILING_TURNS: u32 = 3;
/// The same words beside calls that end the run.
const SAME_WORDS: u32 = 3;
/// Rounds of two calls in turns that end the run.
const ROUNDS_OF_TWO: usize = 3;

/// What a run did, as far as it shows circles.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Watch {
    calls: BTreeMap<String, Same>,
    /// Successful calls that changed something.
    writes: u64,
    errors: BTreeMap<String, (String, u32)>,
    failing_turns: u32,
    words: Option<(String, u32)>,
    /// The last calls with their results, newest last.
    trail: Vec<(String, String)>,
    /// Why the run must end.
    tripped: Option<String>,
}

/// One call with the same arguments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Same {
    /// Attempts since something else was written.
    attempts: u32,
    digest: Option<String>,
    /// The last result, shortened.
    short: String,
    is_pending: bool,
    /// Writes by this very call.
    own_writes: u64,
    /// Writes by others when it was last made.
    others: u64,
}

/// What is to be done about a call.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Make it, after this time.
    Make { wait_ms: u64 },
    /// Do not make it: this is its answer.
    Repeat(CallAnswer),
}

impl Watch {
    /// Why the run must end, when it must.
    pub(super) fn tripped(&self) -> Option<&str> {
        self.tripped.as_deref()
    }

    fn trip(&mut self, reason: String) {
        self.tripped.get_or_insert(reason);
    }

    /// Looks at a call before it is made.
    pub(super) fn before(&mut self, key: &str, tool: &str) -> Verdict {
        let writes = self.writes;
        let same = self.calls.entry(key.to_owned()).or_default();
        let others = writes.saturating_sub(same.own_writes);
        if others != same.others {
            same.attempts = 0;
            same.others = others;
        }
        same.attempts += 1;
        let attempts = same.attempts;
        if same.is_pending {
            if attempts <= POLLS {
                let wait_ms = (u64::from(attempts) * 200).min(POLL_WAIT_MS);
                return Verdict::Make { wait_ms };
            }
            let text = format!(
                "not called: `{tool}` was asked {POLLS} times and still says that it goes on"
            );
            self.trip(format!("`{tool}` was asked {POLLS} times about something that goes on"));
            return Verdict::Repeat(CallAnswer::own(CallStatus::Skipped, text));
        }
        if attempts <= SAME_CALLS {
            return Verdict::Make { wait_ms: 0 };
        }
        let earlier = if same.short.is_empty() {
            String::new()
        } else {
            format!(" Its result was: {}", same.short)
        };
        let text = format!(
            "not called: you already made this very call {SAME_CALLS} times, and nothing was changed in between.{earlier} Go on with what you have, or do something else."
        );
        if attempts >= SAME_CALLS_END {
            self.trip(format!("the same call of `{tool}` was wanted {attempts} times"));
        }
        Verdict::Repeat(CallAnswer::own(CallStatus::Skipped, text))
    }

    /// Takes the result of a call that was made.
    pub(super) fn after(&mut self, key: &str, tool: &str, answer: &CallAnswer, writes: bool) {
        if writes && answer.status.is_ok() {
            self.writes += 1;
        }
        let total = self.writes;
        let same = self.calls.entry(key.to_owned()).or_default();
        if writes && answer.status.is_ok() {
            same.own_writes += 1;
        }
        same.others = total.saturating_sub(same.own_writes);
        if same.digest.as_ref().is_some_and(|digest| *digest != answer.digest) {
            same.attempts = 1;
        }
        same.digest = Some(answer.digest.clone());
        same.short.clone_from(&answer.short);
        same.is_pending = answer.is_pending;
        if answer.status.is_ok() {
            self.errors.remove(tool);
        } else {
            let entry = self.errors.entry(tool.to_owned()).or_default();
            if entry.0 == answer.digest {
                entry.1 += 1;
            } else {
                *entry = (answer.digest.clone(), 1);
            }
            if entry.1 >= SAME_ERRORS {
                self.trip(format!("`{tool}` failed {SAME_ERRORS} times in the same way"));
            }
        }
        if !answer.is_pending {
            self.trail.push((key.to_owned(), answer.digest.clone()));
            self.look_for_turns();
        }
    }

    /// A, B, A, B, A, B with the same results.
    fn look_for_turns(&mut self) {
        let wanted = ROUNDS_OF_TWO * 2;
        if self.trail.len() > wanted {
            self.trail.remove(0);
        }
        let (Some(first), Some(second)) = (self.trail.first(), self.trail.get(1)) else { return };
        let alternates = self.trail.len() == wanted
            && first != second
            && self
                .trail
                .iter()
                .enumerate()
                .all(|(index, step)| step == if index % 2 == 0 { first } else { second });
        if alternates {
            self.trip(format!("two calls were made in turns {ROUNDS_OF_TWO} times"));
        }
    }

    /// Takes one answer of the model with calls, once all of them are answered.
    pub(super) fn turn(&mut self, words: &str, answers: &[CallAnswer]) {
        let words = words.trim();
        if !words.is_empty() {
            let count = match self.words.take() {
                Some((earlier, count)) if earlier == words => count + 1,
                Some(_) | None => 1,
            };
            self.words = Some((words.to_owned(), count));
            if count >= SAME_WORDS {
                self.trip(format!("the model said the same {SAME_WORDS} times"));
            }
        }
        // A declined call is a person's word, not a failure.
        let fails = |answer: &CallAnswer| {
            !answer.status.is_ok()
                && !matches!(answer.status, CallStatus::Denied | CallStatus::Interrupted)
        };
        if !answers.is_empty() && answers.iter().all(fails) {
            self.failing_turns += 1;
            if self.failing_turns >= FAILING_TURNS {
                self.trip(format!("all calls of {FAILING_TURNS} answers in a row failed"));
            }
        } else {
            self.failing_turns = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(digest: &str) -> CallAnswer {
        CallAnswer { digest: digest.into(), ..CallAnswer::own(CallStatus::Ok, "result") }
    }

    fn make(watch: &mut Watch, key: &str, digest: &str, writes: bool) -> bool {
        match watch.before(key, "tool") {
            Verdict::Make { .. } => {
                watch.after(key, "tool", &ok(digest), writes);
                true
            }
            Verdict::Repeat(_) => false,
        }
    }

    #[test]
    fn the_third_same_call_is_not_made_and_the_fifth_ends_the_run() {
        let mut watch = Watch::default();
        let made: Vec<bool> = (0..4).map(|_| make(&mut watch, "a", "1", false)).collect();
        assert_eq!(made, [true, true, false, false]);
        assert_eq!(watch.tripped(), None);
        assert!(!make(&mut watch, "a", "1", false));
        assert!(watch.tripped().unwrap().contains("5 times"));
    }

    #[test]
    fn an_edit_and_test_loop_goes_on() {
        let mut watch = Watch::default();
        for round in 0..10 {
            assert!(make(&mut watch, &format!("edit {round}"), "ok", true));
            assert!(make(&mut watch, "test", "still red", false), "round {round}");
        }
        assert_eq!(watch.tripped(), None);
    }

    #[test]
    fn writing_the_same_twice_is_no_change() {
        let mut watch = Watch::default();
        let made: Vec<bool> = (0..3).map(|_| make(&mut watch, "a", "1", true)).collect();
        assert_eq!(made, [true, true, false]);
    }

    #[test]
    fn other_results_begin_anew() {
        let mut watch = Watch::default();
        for round in 0..10 {
            assert!(make(&mut watch, "a", &round.to_string(), false));
        }
    }

    #[test]
    fn polling_goes_on_for_longer_with_growing_waits() {
        let mut watch = Watch::default();
        let pending = CallAnswer { is_pending: true, ..ok("running") };
        let mut waits = Vec::new();
        while let Verdict::Make { wait_ms } = watch.before("job", "get_job") {
            waits.push(wait_ms);
            watch.after("job", "get_job", &pending, false);
        }
        assert_eq!(waits.len(), 30);
        assert!(waits.is_sorted() && waits.last() == Some(&5000), "{waits:?}");
        assert!(watch.tripped().is_some());
    }

    #[test]
    fn two_calls_in_turns_end_the_run() {
        let mut watch = Watch::default();
        for _ in 0..3 {
            assert!(make(&mut watch, "a", "1", true));
            assert!(make(&mut watch, "b", "2", true));
        }
        assert!(watch.tripped().unwrap().contains("in turns"));
    }

    #[test]
    fn failures_and_words_that_repeat_end_the_run() {
        let failed = CallAnswer::own(CallStatus::Failed, "boom");
        let mut watch = Watch::default();
        for number in 0..4 {
            assert_eq!(watch.tripped(), None);
            watch.after(&number.to_string(), "tool", &failed, true);
        }
        assert!(watch.tripped().unwrap().contains("failed 4 times"));

        let mut watch = Watch::default();
        for _ in 0..3 {
            assert_eq!(watch.tripped(), None);
            watch.turn("", &[CallAnswer::own(CallStatus::Unknown, "?"), failed.clone()]);
        }
        assert!(watch.tripped().unwrap().contains("3 answers in a row"));

        let mut watch = Watch::default();
        for _ in 0..3 {
            assert_eq!(watch.tripped(), None);
            watch.turn("Let me look.", &[ok("1")]);
        }
        assert!(watch.tripped().unwrap().contains("said the same"));
    }
}
