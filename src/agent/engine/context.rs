//! How much a model reads, and how the conversation gets smaller.

use serde::{Deserialize, Serialize};

use crate::llm::{Message, Part, Role, StoredFile};

/// Share of the window at which the conversation gets smaller.
const FULL: (u64, u64) = (8, 10);
/// Answers of the model at the end that stay as they are.
const KEPT_TURNS: usize = 2;
/// Pictures of results that a model is shown at a time.
pub(super) const KEPT_PICTURES: usize = 8;

/// A result in the conversation that can be shortened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShownResult {
    message: usize,
    part: usize,
    short: String,
}

/// The conversation, with what can be shortened in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Conversation {
    pub(super) messages: Vec<Message>,
    results: Vec<ShownResult>,
    /// Messages that began the run and stay whatever happens.
    pub(super) opening: usize,
}

impl Conversation {
    pub(super) const fn new(messages: Vec<Message>) -> Self {
        let opening = messages.len();
        Self { messages, results: Vec::new(), opening }
    }

    /// Adds the results of one answer's calls, in call order: shown and short forms.
    pub(super) fn push_results(&mut self, results: Vec<(String, String, String)>) {
        let message = self.messages.len();
        let mut parts = Vec::new();
        for (part, (call_id, shown, short)) in results.into_iter().enumerate() {
            if short.len() < shown.len() {
                self.results.push(ShownResult { message, part, short });
            }
            parts.push(Part::ToolResult { call_id, content: shown });
        }
        self.messages.push(Message { role: Role::Tool, parts });
    }

    /// Adds the pictures of one answer's results, behind the results: every vendor takes them in a
    /// message of the user. Only the newest stay; an older one is left to its words.
    pub(super) fn push_pictures(&mut self, pictures: Vec<StoredFile>) {
        if pictures.is_empty() {
            return;
        }
        let parts = pictures.into_iter().map(Part::StoredFile).collect();
        self.messages.push(Message { role: Role::User, parts });
        let mut kept = 0;
        for part in self
            .messages
            .iter_mut()
            .skip(self.opening)
            .rev()
            .flat_map(|message| message.parts.iter_mut().rev())
        {
            let Part::StoredFile(file) = part else { continue };
            kept += 1;
            if kept > KEPT_PICTURES {
                *part = Part::Text(format!("[{} was shown here earlier]", file.name));
            }
        }
    }

    /// Bytes of all results.
    fn result_bytes(&self) -> usize {
        let parts = self.messages.iter().flat_map(|message| &message.parts);
        parts
            .map(|part| match part {
                Part::ToolResult { content, .. } => content.len(),
                Part::Text(_)
                | Part::File { .. }
                | Part::StoredFile(_)
                | Part::ToolCall(_)
                | Part::ThoughtSignature(_) => 0,
            })
            .sum()
    }

    /// Shortens the oldest results until all together have at most these bytes; those of the last
    /// answer stay.
    pub(super) fn fit_results(&mut self, bytes: usize) {
        let answers =
            |message: &Message| message.parts.iter().any(|p| matches!(p, Part::ToolResult { .. }));
        let last = self.messages.iter().rposition(answers).unwrap_or(0);
        while self.result_bytes() > bytes {
            let Some(at) = self.results.iter().position(|result| result.message < last) else {
                break;
            };
            let result = self.results.remove(at);
            self.shorten(&result);
        }
    }

    fn shorten(&mut self, result: &ShownResult) {
        let part = self
            .messages
            .get_mut(result.message)
            .and_then(|message| message.parts.get_mut(result.part));
        if let Some(Part::ToolResult { content, .. }) = part {
            content.clone_from(&result.short);
        }
    }

    /// Shortens all results before the last turns; `false` when there was nothing to shorten.
    pub(super) fn shorten_old(&mut self) -> bool {
        let from = self.kept_from();
        let (old, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.results).into_iter().partition(|one| one.message < from);
        self.results = kept;
        for result in &old {
            self.shorten(result);
        }
        !old.is_empty()
    }

    /// Index of the first message of the turns that stay as they are.
    fn kept_from(&self) -> usize {
        let answers = self.messages.iter().enumerate().skip(self.opening);
        let answers: Vec<usize> = answers
            .filter(|(_, message)| message.role == Role::Assistant)
            .map(|(index, _)| index)
            .collect();
        let at = answers.len().saturating_sub(KEPT_TURNS);
        answers.get(at).copied().unwrap_or(self.messages.len())
    }

    /// The older turns as text, for a summary; `None` when there are none.
    pub(super) fn old_turns(&self) -> Option<String> {
        let old = self.messages.get(self.opening..self.kept_from())?;
        (!old.is_empty()).then(|| transcript(old))
    }

    /// Puts a summary in the place of the older turns. Calls and results stay together, since the
    /// cut lies before an answer of the model.
    pub(super) fn replace_old(&mut self, summary: &str) {
        let from = self.kept_from();
        let kept = self.messages.split_off(from);
        self.messages.truncate(self.opening);
        let removed = from.saturating_sub(self.messages.len() + 1);
        self.messages.push(Message::user(summary));
        self.messages.extend(kept);
        self.results.retain_mut(|result| {
            let stays = result.message >= from;
            result.message = result.message.saturating_sub(removed);
            stays
        });
        // The summary counts as a part of what began the run: it is not summarised with the next.
        self.opening += 1;
    }

    /// Estimate of the tokens of all messages from this one on.
    pub(super) fn tokens_from(&self, index: usize) -> u64 {
        self.messages.iter().skip(index).map(message_tokens).sum()
    }
}

/// Whether this many tokens are too many for the window.
pub(super) const fn is_full(tokens: u64, window: u64) -> bool {
    tokens.saturating_mul(FULL.1) > window.saturating_mul(FULL.0)
}

/// Estimate of the tokens of a text: cautious for languages other than English, too.
pub(super) const fn text_tokens(bytes: usize) -> u64 {
    bytes as u64 / 3 + 1
}

fn message_tokens(message: &Message) -> u64 {
    let parts = message.parts.iter().map(|part| match part {
        Part::Text(text) | Part::ThoughtSignature(text) => text_tokens(text.len()),
        // Pictures cost by their size in tiles; a page of a PDF about as much.
        Part::File { base64, .. } => 1500 + text_tokens(base64.len()) / 40,
        Part::StoredFile(file) => {
            1500 + file.text.as_ref().map_or(0, |text| text_tokens(text.len()))
        }
        Part::ToolCall(call) => text_tokens(call.name.len() + call.arguments.to_string().len()) + 8,
        Part::ToolResult { content, .. } => text_tokens(content.len()) + 8,
    });
    parts.sum::<u64>() + 4
}

/// A piece of the conversation as text.
pub(super) fn transcript(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let who = match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "results",
        };
        for part in &message.parts {
            let line = match part {
                Part::Text(words) => format!("[{who}] {words}\n"),
                Part::File { name, media_type, .. } => {
                    format!("[{who}: file {name}, {media_type}]\n")
                }
                Part::StoredFile(file) => {
                    format!("[{who}: file {}, {}]\n", file.name, file.media_type)
                }
                Part::ToolCall(call) => format!("[call of {}] {}\n", call.name, call.arguments),
                Part::ToolResult { content, .. } => format!("[result] {content}\n"),
                Part::ThoughtSignature(_) => continue,
            };
            text.push_str(&line);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::llm::ToolCall;

    fn call(id: &str) -> Message {
        let call = ToolCall { id: id.into(), name: "look".into(), arguments: json!({}) };
        let state = Part::ThoughtSignature(format!("state of {id}"));
        Message { role: Role::Assistant, parts: vec![state, Part::ToolCall(call)] }
    }

    fn long(turns: usize) -> Conversation {
        let mut conversation = Conversation::new(vec![Message::user("the task")]);
        for turn in 0..turns {
            conversation.messages.push(call(&turn.to_string()));
            conversation.push_results(vec![(
                turn.to_string(),
                "x".repeat(1000),
                format!("short {turn}"),
            )]);
        }
        conversation
    }

    fn contents(conversation: &Conversation) -> Vec<String> {
        let parts = conversation.messages.iter().flat_map(|message| &message.parts);
        parts
            .filter_map(|part| match part {
                Part::ToolResult { content, .. } => Some(content.clone()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn old_results_shorten_first_and_the_last_ones_stay() {
        let mut conversation = long(4);
        assert!(conversation.shorten_old());
        let shown = contents(&conversation);
        assert_eq!(shown[0], "short 0");
        assert_eq!(shown[1], "short 1");
        assert_eq!((shown[2].len(), shown[3].len()), (1000, 1000));
        assert!(!conversation.shorten_old());
    }

    #[test]
    fn all_results_together_fit() {
        let mut conversation = long(5);
        conversation.fit_results(2500);
        let shown = contents(&conversation);
        assert!(shown.iter().map(String::len).sum::<usize>() <= 2500);
        assert_eq!(shown[4].len(), 1000);
        assert_eq!(shown[0], "short 0");
    }

    #[test]
    fn a_summary_takes_the_place_of_whole_turns() {
        let mut conversation = long(5);
        let old = conversation.old_turns().unwrap();
        assert!(old.contains("[call of look]") && !old.contains("the task"));
        conversation.replace_old("what happened");
        assert_eq!(conversation.messages[0], Message::user("the task"));
        assert_eq!(conversation.messages[1], Message::user("what happened"));
        // Two turns of a call and its results each; no result without its call.
        assert_eq!(conversation.messages.len(), 6);
        assert_eq!(conversation.messages[2].role, Role::Assistant);
        assert_eq!(conversation.messages[3].role, Role::Tool);
        assert!(conversation.old_turns().is_none());
        // What can be shortened still names the right messages.
        conversation.messages.push(call("5"));
        conversation.push_results(vec![("5".into(), "y".repeat(1000), "short 5".into())]);
        assert!(conversation.shorten_old());
        let shown = contents(&conversation);
        assert_eq!(shown[0], "short 3");
        assert_eq!((shown[1].len(), shown[2].len()), (1000, 1000));
    }
}
