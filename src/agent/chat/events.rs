//! A run's events without what later ones made superfluous, and what of them a conversation keeps.

use std::collections::BTreeSet;

use crate::agent::event::{Event, EventKind};
use crate::storage::TurnState;

/// The events from which the same picture comes as from all: pieces of text are joined, those of
/// finished answers left to the answer itself, and of progress the newest is kept.
pub fn compact(events: Vec<Event>) -> Vec<Event> {
    let mut answered = BTreeSet::new();
    let mut returned = BTreeSet::new();
    for event in &events {
        match &event.kind {
            EventKind::TurnFinished { number, .. } => {
                answered.insert(*number);
            }
            EventKind::CallFinished { turn, position, .. } => {
                returned.insert((*turn, *position));
            }
            EventKind::Started { .. }
            | EventKind::Resumed { .. }
            | EventKind::TurnStarted { .. }
            | EventKind::Text { .. }
            | EventKind::Thinking { .. }
            | EventKind::TextReset { .. }
            | EventKind::CallStarted { .. }
            | EventKind::CallProgress { .. }
            | EventKind::ApprovalWanted { .. }
            | EventKind::ApprovalGiven { .. }
            | EventKind::Usage(_)
            | EventKind::WaitingForHost { .. }
            | EventKind::Done { .. }
            | EventKind::Failed { .. }
            | EventKind::Stopped { .. } => {}
        }
    }
    let mut kept: Vec<Event> = Vec::new();
    for event in events {
        match &event.kind {
            EventKind::Text { number, .. } | EventKind::TextReset { number, .. }
                if answered.contains(number) => {}
            EventKind::CallProgress { turn, position, .. } => {
                let place = (*turn, *position);
                if returned.contains(&place) {
                    continue;
                }
                kept.retain(|earlier| {
                    !matches!(&earlier.kind, EventKind::CallProgress { turn, position, .. }
                        if (*turn, *position) == place)
                });
                kept.push(event);
            }
            EventKind::Usage(_) => {
                kept.retain(|earlier| !matches!(earlier.kind, EventKind::Usage(_)));
                kept.push(event);
            }
            EventKind::TurnStarted { number, .. } => {
                let number = *number;
                kept.retain(|earlier| {
                    !matches!(&earlier.kind, EventKind::Text { number: n, .. }
                        | EventKind::Thinking { number: n, .. }
                        | EventKind::TurnStarted { number: n, .. } if *n == number)
                });
                kept.push(event);
            }
            EventKind::Text { .. } | EventKind::Thinking { .. } | EventKind::TextReset { .. } => {
                join(&mut kept, event);
            }
            EventKind::Started { .. }
            | EventKind::Resumed { .. }
            | EventKind::TurnFinished { .. }
            | EventKind::CallStarted { .. }
            | EventKind::CallFinished { .. }
            | EventKind::ApprovalWanted { .. }
            | EventKind::ApprovalGiven { .. }
            | EventKind::WaitingForHost { .. }
            | EventKind::Done { .. }
            | EventKind::Failed { .. }
            | EventKind::Stopped { .. } => kept.push(event),
        }
    }
    kept
}

/// Adds a piece to the same answer's text, or cuts that back.
fn join(kept: &mut Vec<Event>, event: Event) {
    let same = kept.iter_mut().rev().find(|earlier| match (&earlier.kind, &event.kind) {
        (
            EventKind::Text { number: one, .. },
            EventKind::Text { number: two, .. } | EventKind::TextReset { number: two, .. },
        )
        | (EventKind::Thinking { number: one, .. }, EventKind::Thinking { number: two, .. }) => {
            one == two
        }
        _ => false,
    });
    let Some(earlier) = same else {
        if !matches!(event.kind, EventKind::TextReset { .. }) {
            kept.push(event);
        }
        return;
    };
    earlier.seq = event.seq;
    match (&mut earlier.kind, event.kind) {
        (EventKind::Text { delta, .. }, EventKind::Text { delta: more, .. })
        | (EventKind::Thinking { delta, .. }, EventKind::Thinking { delta: more, .. }) => {
            delta.push_str(&more);
        }
        (EventKind::Text { delta, .. }, EventKind::TextReset { bytes, .. }) => {
            delta.truncate(delta.floor_char_boundary(bytes));
        }
        _ => {}
    }
}

/// How a run ended and what it said, when it is over for good.
pub(super) fn ending(events: &[Event]) -> Option<(TurnState, String)> {
    let last = events.last()?;
    match &last.kind {
        EventKind::Done { .. } => Some((TurnState::Answered, words(events))),
        EventKind::Failed { message, .. } => {
            let said = words(events);
            Some((TurnState::Failed, if said.is_empty() { message.clone() } else { said }))
        }
        // Interrupted by the end of the program: it goes on.
        EventKind::Stopped { reason } if reason != "interrupted" => {
            Some((TurnState::Stopped, words(events)))
        }
        EventKind::Started { .. }
        | EventKind::Resumed { .. }
        | EventKind::TurnStarted { .. }
        | EventKind::Text { .. }
        | EventKind::Thinking { .. }
        | EventKind::TextReset { .. }
        | EventKind::TurnFinished { .. }
        | EventKind::CallStarted { .. }
        | EventKind::CallProgress { .. }
        | EventKind::CallFinished { .. }
        | EventKind::ApprovalWanted { .. }
        | EventKind::ApprovalGiven { .. }
        | EventKind::Usage(_)
        | EventKind::WaitingForHost { .. }
        | EventKind::Stopped { .. } => None,
    }
}

/// All that was said, in order.
pub(super) fn words(events: &[Event]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut is_summary = false;
    for event in compact(events.to_vec()) {
        match event.kind {
            EventKind::TurnStarted { kind, .. } => is_summary = kind == "summary",
            EventKind::TurnFinished { .. } | EventKind::Text { .. } if is_summary => {}
            EventKind::TurnFinished { text, .. } | EventKind::Text { delta: text, .. } => {
                parts.push(text);
            }
            EventKind::Done { answer, .. }
                if parts.last().map(|part| part.trim()) != Some(answer.trim()) =>
            {
                parts.push(answer);
            }
            EventKind::Started { .. }
            | EventKind::Resumed { .. }
            | EventKind::Thinking { .. }
            | EventKind::TextReset { .. }
            | EventKind::CallStarted { .. }
            | EventKind::CallProgress { .. }
            | EventKind::CallFinished { .. }
            | EventKind::ApprovalWanted { .. }
            | EventKind::ApprovalGiven { .. }
            | EventKind::Usage(_)
            | EventKind::WaitingForHost { .. }
            | EventKind::Done { .. }
            | EventKind::Failed { .. }
            | EventKind::Stopped { .. } => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(kinds: Vec<EventKind>) -> Vec<Event> {
        (1..).zip(kinds).map(|(seq, kind)| Event { seq, at: 0, kind }).collect()
    }

    fn text(number: u32, delta: &str) -> EventKind {
        EventKind::Text { number, delta: delta.into() }
    }

    fn begins(number: u32) -> EventKind {
        EventKind::TurnStarted { number, kind: "turn".into() }
    }

    fn finished(number: u32, text: &str) -> EventKind {
        EventKind::TurnFinished {
            number,
            text: text.into(),
            calls: Vec::new(),
            model: None,
            input_tokens: None,
            output_tokens: None,
            cost_usd: None,
            ms: 1,
        }
    }

    #[test]
    fn pieces_are_joined_and_what_is_void_goes() {
        let all = events(vec![
            begins(1),
            text(1, "void"),
            begins(1),
            text(1, "Hal"),
            text(1, "lo"),
            finished(1, "Hallo"),
            begins(2),
            text(2, "grün"),
            EventKind::TextReset { number: 2, bytes: 2 },
            text(2, "oß"),
        ]);
        let kept = compact(all.clone());
        let kinds: Vec<_> = kept.iter().map(|event| event.kind.clone()).collect();
        assert_eq!(kinds, [begins(1), finished(1, "Hallo"), begins(2), text(2, "groß")]);
        assert_eq!(kept.last().unwrap().seq, 10, "a reader goes on behind all of it");
        assert_eq!(words(&all), "Hallo\n\ngroß");
        assert_eq!(ending(&all), None);
    }

    #[test]
    fn a_stop_keeps_the_words_and_an_interruption_is_no_end() {
        let stopped = |reason: &str| {
            events(vec![begins(1), text(1, "half"), EventKind::Stopped { reason: reason.into() }])
        };
        assert_eq!(ending(&stopped("cancelled")), Some((TurnState::Stopped, "half".into())));
        assert_eq!(ending(&stopped("interrupted")), None);
    }
}
