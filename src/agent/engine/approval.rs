//! Asking a person about a call, and waiting for the word.
//!
//! Who is asked hangs on where the run came from: whoever follows its events (the chat), or the
//! person in front of the client that called, where the client can ask them (elicitation). The
//! word counts for the arguments that were shown and is stored before anything is done with it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::plan::{ApprovalBy, FrozenPlan};
use super::results::readable;
use super::state::{Decision, PlannedCall};
use crate::agent::event::EventKind;
use crate::agent::runs::{EventLog, Place, Runs};
use crate::agent::trace::shown_arguments;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::{Failure, Run};
use crate::registry::{PersonAnswer, PersonQuestion};
use crate::storage::blobs::sha256_hex;

/// Longest wait for a person's word.
const APPROVAL_WAIT: Duration = Duration::from_hours(24);
/// How often it is looked for.
const APPROVAL_LOOK: Duration = Duration::from_millis(100);
/// Bytes of arguments that a question shows.
const SHOWN_ARGUMENTS: usize = 4_000;

/// Asks about the calls of a run.
pub(super) struct Approvals<'a> {
    pub(super) runs: &'a Runs,
    pub(super) run: &'a Run,
    pub(super) plan: &'a FrozenPlan,
    pub(super) log: &'a EventLog,
}

/// Why a call is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It may destroy something, or the workflow says so.
    Rule,
    /// It was cut off, and nobody knows whether it had its effect.
    CutOff {
        /// Attempt of the job that asks.
        attempt: i64,
    },
}

impl Why {
    const fn words(self) -> &'static str {
        match self {
            Self::Rule => "it may destroy something, or is not known to be harmless",
            Self::CutOff { .. } => {
                "the program ended while this call ran, and nobody knows whether it had its effect"
            }
        }
    }

    /// What the word is about: the arguments, and for a call that was cut off the attempt as well,
    /// so that an old word never counts for another repetition.
    fn hash(self, arguments: &Value) -> String {
        let text = match self {
            Self::Rule => arguments.to_string(),
            Self::CutOff { attempt } => format!("again, attempt {attempt}: {arguments}"),
        };
        sha256_hex(text.as_bytes()).0
    }
}

impl Approvals<'_> {
    /// What people decide about calls, by position.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn decisions(
        &self,
        wanted: &[PlannedCall],
    ) -> Result<BTreeMap<u32, Decision>, Failure> {
        let mut decisions = BTreeMap::new();
        for call in wanted {
            if let Some(decision) = self.decided(call, Why::Rule).await? {
                decisions.insert(call.position, decision);
            }
        }
        Ok(decisions)
    }

    /// Whether a call that was cut off may be made again; `None` when nobody could be asked, or
    /// nobody answered.
    ///
    /// # Errors
    /// The store's.
    pub(super) async fn again(&self, call: &PlannedCall) -> Result<Option<Decision>, Failure> {
        if !self.has_somebody() && !self.plan.person_at_hand {
            return Ok(None);
        }
        self.decided(call, Why::CutOff { attempt: self.run.fence().attempt }).await
    }

    /// Nobody is there at the moment, though somebody was when the run began: the run waits until
    /// the same call comes again from a client that can ask its user.
    fn somebody_left(&self) -> bool {
        self.plan.request.approval_by == ApprovalBy::Caller
            && self.plan.person_at_hand
            && !self.has_somebody()
    }

    fn has_somebody(&self) -> bool {
        match self.plan.request.approval_by {
            ApprovalBy::Nobody => false,
            ApprovalBy::Follower => true,
            ApprovalBy::Caller => self.run.context().person.is_some(),
        }
    }

    async fn decided(&self, call: &PlannedCall, why: Why) -> Result<Option<Decision>, Failure> {
        let step = match why {
            Why::Rule => format!("approval#{}.{}", call.turn, call.position),
            Why::CutOff { attempt } => {
                format!("again#{}.{}#{attempt}", call.turn, call.position)
            }
        };
        let decision: Option<Decision> = if let Some(decision) = self.run.stored(&step).await? {
            decision
        } else if self.somebody_left() {
            return Err(person_needed(&call.tool).into());
        } else {
            let decision = self.ask(call, why).await;
            self.run.store(&step, &decision).await?;
            decision
        };
        if let Some(decision) = &decision {
            self.log.tell(EventKind::ApprovalGiven {
                turn: call.turn,
                position: call.position,
                decision: decision.clone(),
                arguments_sha: why.hash(&call.arguments),
            });
        }
        Ok(decision)
    }

    async fn ask(&self, call: &PlannedCall, why: Why) -> Option<Decision> {
        if !self.has_somebody() {
            let reason = format!(
                "`{}` needs somebody's approval, and nobody can be asked here; set `approval` of the workflow, call it from a client that can ask its user, or do this from the chat",
                call.tool
            );
            return Some(Decision::Deny { reason });
        }
        let sha = why.hash(&call.arguments);
        self.log.tell(EventKind::ApprovalWanted {
            turn: call.turn,
            position: call.position,
            tool: call.tool.clone(),
            arguments: shown_arguments(&call.arguments),
            arguments_sha: sha.clone(),
            reason: why.words().to_owned(),
        });
        let place = Place { turn: call.turn, position: call.position };
        tokio::select! {
            decision = self.kept(place, &sha) => decision,
            decision = self.by_person(call, why) => decision,
            () = tokio::time::sleep(APPROVAL_WAIT) => None,
        }
    }

    /// The word of whoever follows the run.
    async fn kept(&self, place: Place, sha: &str) -> Option<Decision> {
        loop {
            if let Some(decision) = self.runs.decision(&self.plan.request.run, place, sha) {
                return Some(decision);
            }
            tokio::time::sleep(APPROVAL_LOOK).await;
        }
    }

    /// The word of the person in front of the client; never, where there is none.
    async fn by_person(&self, call: &PlannedCall, why: Why) -> Option<Decision> {
        let asked = self.plan.request.approval_by == ApprovalBy::Caller;
        let Some(person) = self.run.context().person.clone().filter(|_| asked) else {
            return std::future::pending().await;
        };
        let mut question = question(&self.plan.request.title, call, why);
        question.job = Some(self.run.job_id().clone());
        Some(decision(person.ask(&question).await))
    }
}

fn person_needed(tool: &str) -> ToolError {
    ToolError::new(
        ErrorKind::Unavailable,
        "person_needed",
        format!("the run goes on when somebody says whether `{tool}` may be called, and nobody can be asked at the moment"),
    )
    .hint("make the same call again from a client that can ask its user; what was paid for is reused")
}

fn question(title: &str, call: &PlannedCall, why: Why) -> PersonQuestion {
    let arguments = readable(&format!("{:#}", shown_arguments(&call.arguments)));
    let end = arguments.floor_char_boundary(SHOWN_ARGUMENTS);
    let cut = if end < arguments.len() { " … (cut)" } else { "" };
    let message = format!(
        "The workflow `{title}` wants to call `{}` with these arguments:\n\n{}{cut}\n\nYou are asked because {}.{}",
        readable(&call.tool),
        arguments.get(..end).unwrap_or_default(),
        why.words(),
        match why {
            Why::Rule => "",
            Why::CutOff { .. } => " Shall it be made again?",
        }
    );
    let schema = json!({
        "type": "object",
        "properties": {
            "decision": {
                "type": "string",
                "title": "May it be called?",
                "enum": ["allow", "allow_for_run", "deny"],
                "enumNames": ["Once", "Whenever this run wants to", "No"],
            },
        },
        "required": ["decision"],
    });
    PersonQuestion { message, schema, job: None }
}

/// Only a clear yes is a yes.
fn decision(answer: PersonAnswer) -> Decision {
    let deny = |reason: &str| Decision::Deny { reason: reason.to_owned() };
    match answer {
        PersonAnswer::Accepted(content) => {
            match content.get("decision").and_then(Value::as_str) {
                Some("allow") => Decision::Allow,
                Some("allow_for_run") => Decision::AllowForRun,
                Some(_) => deny("the user declined this call"),
                // Some clients offer a plain yes and send no form.
                None if content.as_object().is_none_or(serde_json::Map::is_empty) => {
                    Decision::Allow
                }
                None => deny("the user's answer could not be read"),
            }
        }
        PersonAnswer::Declined => deny("the user declined this call"),
        PersonAnswer::Dismissed => deny("the user closed the question without an answer"),
        PersonAnswer::Unreachable => deny(
            "the user could not be asked; set `approval` of the workflow, or do this from the chat",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        let accepted = |content| decision(PersonAnswer::Accepted(content));
        assert_eq!(accepted(json!({"decision": "allow"})), Decision::Allow);
        assert_eq!(accepted(json!({"decision": "allow_for_run"})), Decision::AllowForRun);
        assert_eq!(accepted(json!({})), Decision::Allow);
        assert_eq!(accepted(Value::Null), Decision::Allow);
        for answer in [
            PersonAnswer::Accepted(json!({"decision": "deny"})),
            PersonAnswer::Accepted(json!({"decision": "perhaps"})),
            PersonAnswer::Accepted(json!({"other": "allow"})),
            PersonAnswer::Declined,
            PersonAnswer::Dismissed,
            PersonAnswer::Unreachable,
        ] {
            let words = format!("{answer:?}");
            assert!(matches!(decision(answer), Decision::Deny { .. }), "{words}");
        }
    }

    #[test]
    fn a_word_on_a_repetition_counts_for_that_repetition_alone() {
        let arguments = json!({"n": 1});
        let hashes = [
            Why::Rule.hash(&arguments),
            Why::CutOff { attempt: 2 }.hash(&arguments),
            Why::CutOff { attempt: 3 }.hash(&arguments),
        ];
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2] && hashes[0] != hashes[2]);
        assert_eq!(Why::Rule.hash(&arguments), hashes[0]);
    }
}
