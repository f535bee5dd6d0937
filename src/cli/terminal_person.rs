//! The person at the terminal, asked before a call that needs somebody's word.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Mutex;

use super::output;
use crate::registry::{CallerPerson, PersonAnswer, PersonQuestion};

/// The person at the terminal.
#[derive(Debug, Default)]
pub(super) struct TerminalPerson {
    /// One question at a time.
    asking: Mutex<()>,
}

impl TerminalPerson {
    /// The person at the terminal, when there is one: input and messages both go there.
    pub(super) fn here() -> Option<Arc<dyn CallerPerson>> {
        (io::stdin().is_terminal() && io::stderr().is_terminal())
            .then(|| Arc::new(Self::default()) as _)
    }
}

#[async_trait]
impl CallerPerson for TerminalPerson {
    async fn ask(&self, question: &PersonQuestion) -> PersonAnswer {
        // A form of values has no place in a line.
        if question.schema.pointer("/properties/decision").is_none() {
            return PersonAnswer::Unreachable;
        }
        let _asking = self.asking.lock().await;
        output::note(&format!(
            "\n{}\n\nMay it be called? [y] once, [a] whenever this run wants to, [n] no:",
            question.message
        ));
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).map(|_| line)
        })
        .await;
        match line {
            Ok(Ok(line)) => answer(&line),
            Ok(Err(_)) | Err(_) => PersonAnswer::Unreachable,
        }
    }

    fn inside(self: Arc<Self>) -> Option<Arc<dyn CallerPerson>> {
        Some(self)
    }
}

fn answer(line: &str) -> PersonAnswer {
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => PersonAnswer::Accepted(json!({"decision": "allow"})),
        "a" | "always" => PersonAnswer::Accepted(json!({"decision": "allow_for_run"})),
        _ => PersonAnswer::Declined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert_eq!(answer("y\n"), PersonAnswer::Accepted(json!({"decision": "allow"})));
        assert_eq!(answer(" A \n"), PersonAnswer::Accepted(json!({"decision": "allow_for_run"})));
        for line in ["", "\n", "n", "yess", "allow"] {
            assert_eq!(answer(line), PersonAnswer::Declined, "{line:?}");
        }
    }
}
