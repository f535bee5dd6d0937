//! What a job asks a model, or whoever takes its place.

use serde::{Deserialize, Serialize};

use crate::llm::resolve::Choice;
use crate::llm::{Message, Part, Request, Route};

/// A question to a model as a step of a job.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Name of the step, with its round: `llm#1`.
    pub step: String,
    /// Model as the caller named it; `None` or `auto`: whatever is configured or at hand.
    pub model: Option<String>,
    /// The question.
    pub request: Request,
    /// The same question for whoever answers in text alone and cannot be given tools: a host, a
    /// client by a returned request, a command. `None`: the question as it is.
    pub as_text: Option<Request>,
    /// Which try of this text it is, from 1.
    pub attempt: u32,
    /// How many tries there are.
    pub max_attempts: u32,
    /// What was wrong with the last try, for the host's eyes.
    pub errors: Vec<String>,
}

/// Who would answer, as far as that can be known before asking.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelAtHand {
    /// Id of the model; `None`: the client's own, or the host.
    pub id: Option<String>,
    /// How it is reached.
    pub route: Route,
    /// Tokens that fit into one request with its answer, where that is known.
    pub context_tokens: Option<u64>,
    /// Whether it sees pictures.
    pub sees_pictures: bool,
}

impl ModelAtHand {
    /// Who was chosen.
    pub fn of(choice: &Choice) -> Self {
        let unknown = |route| Self { id: None, route, context_tokens: None, sees_pictures: false };
        match choice {
            Choice::Model { model, .. } => Self {
                id: (model.route() != Route::Sampling).then(|| model.model_id().to_owned()),
                route: model.route(),
                context_tokens: model.context_tokens(),
                sees_pictures: model.reads("image/png"),
            },
            Choice::Sampling => unknown(Route::Sampling),
            Choice::Host => unknown(Route::Host),
        }
    }

    /// Nobody but the host, if there is one.
    pub fn nobody() -> Self {
        Self::of(&Choice::Host)
    }
}

/// A text that the host, or the client's sampling, is asked to write. Stored with the parked job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CompletionRequest {
    /// Step whose result the text becomes.
    pub step: String,
    /// The question.
    pub request: Request,
    /// Which try of this text it is, from 1.
    pub attempt: u32,
    /// How many tries there are.
    pub max_attempts: u32,
    /// What was wrong with the last try.
    pub errors: Vec<String>,
    /// The client's own model is to be asked first, by sampling.
    pub by_sampling: bool,
}

/// Bytes of prompt that one result carries; longer ones are read in parts.
const PART_BYTES: usize = 60_000;

/// A prompt as two texts, cut into parts that fit a result.
#[derive(Debug, Clone)]
pub struct PromptParts {
    /// Instructions.
    pub system: String,
    /// The question and what came before it.
    pub parts: Vec<String>,
}

impl CompletionRequest {
    /// The prompt as a host reads it. Earlier turns are quoted in order.
    pub fn prompt(&self) -> PromptParts {
        let text = match self.request.messages.as_slice() {
            [only] => message_text(only),
            messages => messages
                .iter()
                .map(|message| {
                    // Whoever is asked again has its own text at hand; repeating it would push
                    // what is wrong with it behind pages of it.
                    if self.attempt > 1 && message.role == crate::llm::Role::Assistant {
                        return format!("[your text, {} bytes]", message_text(message).len());
                    }
                    let role = match message.role {
                        crate::llm::Role::User => "user",
                        crate::llm::Role::Assistant => "assistant",
                        crate::llm::Role::Tool => "tool results",
                    };
                    format!("[{role}]\n{}", message_text(message))
                })
                .collect::<Vec<_>>()
                .join("\n\n"),
        };
        // Instructions that are too long for one result go on in the parts.
        let mut pieces = split_text(&self.request.system, PART_BYTES / 2).into_iter();
        let system = pieces.next().unwrap_or_default();
        let rest: String = pieces.collect();
        let text = if rest.is_empty() { text } else { format!("{rest}\n\n{text}") };
        let room = PART_BYTES.saturating_sub(system.len()).max(PART_BYTES / 2);
        PromptParts { system, parts: split_text(&text, room) }
    }
}

fn message_text(message: &Message) -> String {
    let mut texts = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text(text) => texts.push(text.clone()),
            Part::File { name, media_type, .. } => {
                texts.push(format!("[attached file `{name}`, {media_type}]"));
            }
            Part::StoredFile(file) => texts.push(match &file.text {
                Some(text) => text.clone(),
                None => format!("[attached file `{}`, {}]", file.name, file.media_type),
            }),
            Part::ToolCall(call) => {
                texts.push(format!("[call {} of `{}`: {}]", call.id, call.name, call.arguments));
            }
            Part::ToolResult { call_id, content } => {
                texts.push(format!("[result of call {call_id}]\n{content}"));
            }
            Part::ThoughtSignature(_) => {}
        }
    }
    texts.join("\n\n")
}

/// Cuts a text into parts of at most `bytes`, at line ends where there are some.
fn split_text(text: &str, bytes: usize) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while rest.len() > bytes {
        let mut end = bytes;
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (head, _) = rest.split_at(end);
        let end = head.rfind('\n').map_or(end, |newline| newline + 1);
        let (head, tail) = rest.split_at(end);
        parts.push(head.to_owned());
        rest = tail;
    }
    parts.push(rest.to_owned());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_join_to_the_text_and_fit() {
        let text = format!("{}\n{}", "é".repeat(50_000), "b\n".repeat(60_000));
        let parts = split_text(&text, 60_000);
        assert_eq!(parts.concat(), text);
        assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= 60_000));
        assert_eq!(split_text("", 10), [String::new()]);
    }
}
