//! The questions to the model.

use std::collections::BTreeMap;

use minijinja::value::Value as PromptValue;

use super::context::transcript;
use super::machine::Machine;
use super::plan::FrozenPlan;
use super::state::AskKind;
use crate::error::ToolError;
use crate::llm::{ExpectedKind, Expects, Message, Part, Request, Role, ToolDeclaration};
use crate::prompts::Prompts;

/// Bytes of an older result that a text transcript repeats.
const OLD_RESULT: usize = 400;

/// Makes questions from the state of a run.
pub(super) struct Questions<'a> {
    pub(super) plan: &'a FrozenPlan,
    pub(super) prompts: &'a Prompts,
    pub(super) delimiter: &'a str,
}

/// A question, and the same for whoever answers in text alone.
pub(super) struct Question {
    pub(super) request: Request,
    pub(super) as_text: Request,
}

impl Questions<'_> {
    /// The question that comes next.
    ///
    /// # Errors
    /// When a prompt cannot be made.
    pub(super) fn question(&self, machine: &Machine, kind: AskKind) -> Result<Question, ToolError> {
        match kind {
            AskKind::Summary => self.summary(machine),
            AskKind::Turn => self.turn(machine.messages().to_vec()),
            AskKind::Closing => {
                let (_, reason) = machine.closing().unzip();
                let reason = reason.unwrap_or("a limit was reached");
                let mut closing = self.turn(self.closed(machine, reason, "")?)?;
                closing.as_text = self.turn(self.closed(machine, reason, "yes")?)?.as_text;
                Ok(closing)
            }
        }
    }

    /// The conversation with the words that close it, behind the results.
    fn closed(
        &self,
        machine: &Machine,
        reason: &str,
        text: &str,
    ) -> Result<Vec<Message>, ToolError> {
        let inputs = [("reason", PromptValue::from(reason)), ("text", PromptValue::from(text))];
        let words = self.render("agent/closing", inputs)?.user;
        let mut messages = machine.messages().to_vec();
        messages.push(Message::user(words));
        Ok(messages)
    }

    fn turn(&self, messages: Vec<Message>) -> Result<Question, ToolError> {
        let request = &self.plan.request;
        let schema = match &request.response_schema {
            Some(schema) => format!("{schema:#}"),
            None => String::new(),
        };
        let instructions = || PromptValue::from(request.system.trim());
        let has_tools = if self.plan.tools.is_empty() { "" } else { "yes" };
        let native = self.render(
            "agent/run",
            [
                ("instructions", instructions()),
                ("schema", PromptValue::from(schema.as_str())),
                ("tools", PromptValue::from(has_tools)),
            ],
        )?;
        let textual = self.render(
            "agent/run_text",
            [
                ("instructions", instructions()),
                ("schema", PromptValue::from(schema)),
                ("tools", PromptValue::from(self.tool_list())),
                ("transcript", PromptValue::from(short_transcript(&messages))),
            ],
        )?;
        let mut expects = Expects::kind(ExpectedKind::Text);
        if let Some(schema) = request.response_schema.clone().filter(|_| self.plan.tools.is_empty())
        {
            expects = Expects { schema: Some(schema), ..Expects::kind(ExpectedKind::Json) };
        }
        let mut text_message = Message::user(textual.user);
        text_message.parts.extend(files(&messages));
        Ok(Question {
            request: Request { system: native.user, messages, tools: self.declarations(), expects },
            as_text: Request {
                system: textual.system,
                messages: vec![text_message],
                tools: Vec::new(),
                expects: Expects::kind(ExpectedKind::Json),
            },
        })
    }

    fn summary(&self, machine: &Machine) -> Result<Question, ToolError> {
        let old = machine.old_turns().unwrap_or_default();
        let prompt = self.render("agent/summary", [("transcript", PromptValue::from(old))])?;
        let expects = Expects::kind(ExpectedKind::Text);
        let request = Request::new(prompt.system, prompt.user, expects);
        Ok(Question { as_text: request.clone(), request })
    }

    fn render<const N: usize>(
        &self,
        id: &str,
        inputs: [(&'static str, PromptValue); N],
    ) -> Result<crate::prompts::RenderedPrompt, ToolError> {
        Ok(self.prompts.render(id, self.delimiter, BTreeMap::from(inputs))?)
    }

    /// The tools as functions, always in the same order, so that vendors' caches hold.
    fn declarations(&self) -> Vec<ToolDeclaration> {
        self.plan
            .tools
            .iter()
            .map(|tool| ToolDeclaration {
                name: tool.alias.clone(),
                description: tool.description.clone(),
                schema: tool.schema.clone(),
            })
            .collect()
    }

    /// The tools in words.
    fn tool_list(&self) -> String {
        let lines = self.plan.tools.iter().map(|tool| {
            let first = tool.description.split(". ").next().unwrap_or_default();
            format!(
                "- `{}`: {}. Arguments: {}",
                tool.alias,
                first.trim_end_matches('.'),
                tool.schema
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Files of the conversation.
fn files(messages: &[Message]) -> Vec<Part> {
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts.filter(|part| matches!(part, Part::File { .. } | Part::StoredFile(_))).cloned().collect()
}

/// The conversation as text: results before the last answer of the model by their begin alone, so
/// that many turns stay readable.
fn short_transcript(messages: &[Message]) -> String {
    let last = messages.iter().rposition(|message| message.role == Role::Assistant).unwrap_or(0);
    let mut shortened = messages.to_vec();
    for message in shortened.iter_mut().take(last) {
        for part in &mut message.parts {
            if let Part::ToolResult { content, .. } = part
                && content.len() > OLD_RESULT
            {
                let end = content.floor_char_boundary(OLD_RESULT);
                content.truncate(end);
                content.push_str(" … (an earlier result, shortened)");
            }
        }
    }
    transcript(&shortened)
}
