//! What all encoders need to know about one turn.

use crate::capture::CapturedRequest;
use crate::reply::{Arguments, Part, Reply, Stop, ToolCall, Usage, UsageReport};

/// A request together with its neutral reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn<'turn> {
    pub(crate) request: &'turn CapturedRequest,
    pub(crate) reply: &'turn Reply,
    /// Index of the first tool call in an OpenAI chat stream; 0 unless a fault says otherwise.
    pub(crate) first_tool_index: u64,
}

/// Neighbouring parts of one kind; vendors frame each block as a whole.
#[derive(Clone, Debug)]
pub(crate) enum Block<'turn> {
    Text(Vec<&'turn str>),
    Thinking(Vec<&'turn str>),
    Refusal(Vec<&'turn str>),
    ToolCall(&'turn ToolCall),
}

impl<'turn> Turn<'turn> {
    pub(crate) fn blocks(&self) -> Vec<Block<'turn>> {
        let mut blocks: Vec<Block<'turn>> = Vec::new();
        for part in &self.reply.parts {
            match (blocks.last_mut(), part) {
                (Some(Block::Text(pieces)), Part::Text(text))
                | (Some(Block::Thinking(pieces)), Part::Thinking(text))
                | (Some(Block::Refusal(pieces)), Part::Refusal(text)) => pieces.push(text),
                (_, Part::Text(text)) => blocks.push(Block::Text(vec![text])),
                (_, Part::Thinking(text)) => blocks.push(Block::Thinking(vec![text])),
                (_, Part::Refusal(text)) => blocks.push(Block::Refusal(vec![text])),
                (_, Part::ToolCall(call)) => blocks.push(Block::ToolCall(call)),
            }
        }
        blocks
    }

    pub(crate) fn tool_calls(&self) -> impl Iterator<Item = &'turn ToolCall> + use<'turn> {
        self.reply.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            Part::Text(_) | Part::Thinking(_) | Part::Refusal(_) => None,
        })
    }

    /// A tool call whose arguments are not JSON.
    pub(crate) fn malformed_call(&self) -> Option<(&'turn ToolCall, &'turn str)> {
        self.tool_calls().find_map(|call| match &call.arguments {
            Arguments::Json(_) => None,
            Arguments::Raw(text) => Some((call, text.as_str())),
        })
    }

    /// The refusal's words, if the reply refuses.
    pub(crate) fn refusal(&self) -> Option<String> {
        let words = joined(self.reply, |part| match part {
            Part::Refusal(text) => Some(text),
            Part::Text(_) | Part::Thinking(_) | Part::ToolCall(_) => None,
        });
        let refuses = self.reply.parts.iter().any(|part| matches!(part, Part::Refusal(_)));
        refuses.then_some(words)
    }

    pub(crate) fn text(&self) -> String {
        joined(self.reply, |part| match part {
            Part::Text(text) => Some(text),
            Part::Refusal(_) | Part::Thinking(_) | Part::ToolCall(_) => None,
        })
    }

    pub(crate) fn thinking(&self) -> String {
        joined(self.reply, |part| match part {
            Part::Thinking(text) => Some(text),
            Part::Refusal(_) | Part::Text(_) | Part::ToolCall(_) => None,
        })
    }

    /// The stop reason with `Auto` resolved to tool use or a normal stop.
    pub(crate) fn stop(&self) -> Stop {
        match self.reply.stop {
            Stop::Auto if self.tool_calls().next().is_some() => Stop::ToolUse,
            Stop::Auto => Stop::Stop,
            stop @ (Stop::Stop
            | Stop::MaxTokens
            | Stop::ToolUse
            | Stop::ContentFilter
            | Stop::MalformedFunctionCall
            | Stop::Missing) => stop,
        }
    }

    pub(crate) fn usage(&self) -> Option<Usage> {
        match &self.reply.usage {
            UsageReport::Typical => Some(Usage {
                input_tokens: Some(20),
                output_tokens: Some(10),
                cached_tokens: None,
                reasoning_tokens: None,
            }),
            UsageReport::Missing => None,
            UsageReport::Exact(usage) => Some(usage.clone()),
        }
    }

    pub(crate) fn model(&self) -> &'turn str {
        self.request.model.as_deref().unwrap_or("fake-model")
    }

    /// The same for the same request in every run.
    pub(crate) fn id(&self, prefix: &str) -> String {
        format!("{prefix}fake{:06}", self.request.order)
    }
}

impl Usage {
    /// Gemini counts reasoning beside the answer, the others within it.
    pub(crate) fn answer_tokens(&self) -> Option<i64> {
        self.output_tokens.map(|output| output - self.reasoning_tokens.unwrap_or(0))
    }

    /// Anthropic counts cached input beside the input, the others within it.
    pub(crate) fn uncached_tokens(&self) -> Option<i64> {
        self.input_tokens.map(|input| input - self.cached_tokens.unwrap_or(0))
    }

    pub(crate) fn total_tokens(&self) -> Option<i64> {
        Some(self.input_tokens? + self.output_tokens?)
    }
}

fn joined(reply: &Reply, pick: impl Fn(&Part) -> Option<&String>) -> String {
    reply.parts.iter().filter_map(pick).map(String::as_str).collect()
}

/// Splits tool arguments the way vendors stream them: a few pieces that respect characters.
pub(crate) fn argument_pieces(arguments: &str) -> Vec<String> {
    const PIECE_CHARACTERS: usize = 12;
    let characters: Vec<char> = arguments.chars().collect();
    // Large arguments would otherwise become hundreds of thousands of events.
    let size = PIECE_CHARACTERS.max(characters.len() / 16);
    characters.chunks(size).map(|piece| piece.iter().collect()).collect()
}
