//! The neutral form of what a model says.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A neutral model answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// In the order the model produced them; neighbours of one kind form one block.
    pub parts: Vec<Part>,
    /// Why the model stopped.
    pub stop: Stop,
    /// What the vendor reports about tokens.
    pub usage: UsageReport,
}

/// A piece of an answer. Each text piece becomes one streamed event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Visible text.
    Text(String),
    /// Reasoning summary.
    Thinking(String),
    /// The model's words of refusal, on the wires that have such a field.
    Refusal(String),
    /// A call of a declared tool.
    ToolCall(ToolCall),
}

/// A call of a declared tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// Call id as the vendor would issue it.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments, well-formed or not.
    pub arguments: Arguments,
}

/// Tool call arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// A JSON value; an object unless the test is about other values.
    Json(Value),
    /// Text as the model produced it, for instance cut or malformed JSON.
    Raw(String),
}

impl Arguments {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Json(value) => value.to_string(),
            Self::Raw(text) => text.clone(),
        }
    }
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// What the vendor would say for these parts: tool use, refusal or a normal stop.
    #[default]
    Auto,
    /// A normal end, even when there are tool calls.
    Stop,
    /// The output limit was reached.
    MaxTokens,
    /// The model waits for tool results.
    ToolUse,
    /// A safety filter cut the answer.
    ContentFilter,
    /// The model tried to call a tool and failed; only Gemini can say this.
    MalformedFunctionCall,
    /// The stream ends in order, but no reason is given.
    Missing,
}

/// What the vendor reports about tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageReport {
    /// 20 tokens in, 10 out.
    #[default]
    Typical,
    /// No usage at all.
    Missing,
    /// These numbers, right or wrong.
    Exact(Usage),
}

/// Token counts in neutral form; each encoder turns them into its vendor's arithmetic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Usage {
    /// All input tokens, cached ones included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<i64>,
    /// All output tokens, reasoning included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<i64>,
    /// The part of the input read from a cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_tokens: Option<i64>,
    /// The part of the output spent on reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<i64>,
}

impl Reply {
    /// An answer of one text piece.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::default().and_text(text)
    }

    /// An answer of several text pieces, one streamed event each.
    #[must_use]
    pub fn chunks<Chunk: Into<String>>(chunks: impl IntoIterator<Item = Chunk>) -> Self {
        Self {
            parts: chunks.into_iter().map(|chunk| Part::Text(chunk.into())).collect(),
            ..Self::default()
        }
    }

    /// An answer that calls one tool.
    #[must_use]
    pub fn tool_call(id: impl Into<String>, name: impl Into<String>, arguments: Value) -> Self {
        Self::default().and_tool_call(id, name, arguments)
    }

    /// An answer with nothing in it.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A refusal in each vendor's own form.
    #[must_use]
    pub fn refusal(text: impl Into<String>) -> Self {
        Self::default().and(Part::Refusal(text.into()))
    }

    /// Appends a part.
    #[must_use]
    pub fn and(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Appends a text piece.
    #[must_use]
    pub fn and_text(self, text: impl Into<String>) -> Self {
        self.and(Part::Text(text.into()))
    }

    /// Appends a reasoning piece.
    #[must_use]
    pub fn and_thinking(self, text: impl Into<String>) -> Self {
        self.and(Part::Thinking(text.into()))
    }

    /// Appends a tool call.
    #[must_use]
    pub fn and_tool_call(
        self,
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: Value,
    ) -> Self {
        self.and(Part::ToolCall(ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: Arguments::Json(arguments),
        }))
    }

    /// Appends a tool call whose arguments are this text, well-formed or not.
    #[must_use]
    pub fn and_raw_tool_call(
        self,
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl Into<String>,
    ) -> Self {
        self.and(Part::ToolCall(ToolCall {
            id: id.into(),
            name: name.into(),
            arguments: Arguments::Raw(arguments.into()),
        }))
    }

    /// Sets why the model stopped.
    #[must_use]
    pub fn stop(mut self, stop: Stop) -> Self {
        self.stop = stop;
        self
    }

    /// Sets the reported token counts.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usage = UsageReport::Exact(usage);
        self
    }

    /// Leaves the token counts out.
    #[must_use]
    pub fn without_usage(mut self) -> Self {
        self.usage = UsageReport::Missing;
        self
    }
}
