//! A run that is only looked at: what would be asked of whom, with which tools.

use serde_json::{Value, json};

use super::driver::Engine;
use super::machine::Machine;
use super::plan::{FrozenPlan, RunRequest};
use super::requests::Questions;
use super::rules::Rules;
use super::state::AskKind;
use crate::error::ToolError;
use crate::jobs::ModelAtHand;
use crate::llm::{Message, Part, Request, Route};
use crate::registry::CallContext;

/// Stands where a run has a word that nobody can guess.
const DELIMITER: &str = "preview";

/// What a run would begin with.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The plan as it would be frozen.
    pub plan: FrozenPlan,
    /// The first question.
    pub first: Request,
}

impl Engine {
    /// What a run would begin with. Other servers are started to learn their tools; no model is
    /// asked and no tool is called.
    ///
    /// # Errors
    /// What would end the run before its first question.
    pub async fn preview(
        &self,
        context: &CallContext,
        model: ModelAtHand,
        request: RunRequest,
    ) -> Result<Preview, ToolError> {
        let plan = self.freeze(context, model, request).await?;
        let questions = Questions { plan: &plan, prompts: self.prompts(), delimiter: DELIMITER };
        let question = questions.question(&Machine::new(&plan), AskKind::Turn)?;
        let in_text_alone = matches!(plan.model.route, Route::Host | Route::Command);
        let first = if in_text_alone { question.as_text } else { question.request };
        Ok(Preview { plan, first })
    }
}

impl Preview {
    /// As a JSON value.
    pub fn json(&self) -> Value {
        let plan = &self.plan;
        let rules = Rules::new(plan);
        let tools: Vec<Value> = plan
            .tools
            .iter()
            .map(|tool| {
                json!({
                    "name": tool.name,
                    "server": tool.server,
                    "description": tool.description,
                    "asks_first": rules.asks(tool),
                    "input_schema": tool.schema,
                })
            })
            .collect();
        json!({
            "workflow": plan.request.title,
            "model": {
                "id": plan.model.id,
                "route": plan.model.route.as_str(),
                "context_tokens": plan.model.context_tokens,
            },
            "limits": plan.request.limits,
            "on_interrupted": plan.request.on_interrupted,
            "response_schema": plan.request.response_schema,
            "tools": tools,
            "system": self.first.system,
            "messages": self.first.messages.iter().map(said).collect::<Vec<_>>(),
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let plan = &self.plan;
        let rules = Rules::new(plan);
        let limits = &plan.request.limits;
        let cost = limits.cost_usd.map_or_else(|| "no limit".to_owned(), |cost| format!("${cost}"));
        let mut lines = vec![
            format!("workflow: {}", plan.request.title),
            format!(
                "model: {} ({})",
                plan.model.id.as_deref().unwrap_or("none"),
                plan.model.route.as_str()
            ),
            format!(
                "budget: {} turns, {} tool calls ({} in one answer, {} at a time), {} s ({} s for one call), {} tokens, cost: {cost}",
                limits.turns,
                limits.tool_calls,
                limits.calls_per_turn,
                limits.parallel_calls,
                limits.run_s,
                limits.call_s,
                limits.tokens
            ),
            format!("tools: {}", plan.tools.len()),
        ];
        for tool in &plan.tools {
            let asks = if rules.asks(tool) { "  (asks somebody first)" } else { "" };
            lines.push(format!("  {}{asks}", tool.name));
        }
        lines.push(format!("\ninstructions:\n{}", self.first.system.trim()));
        for message in &self.first.messages {
            lines.push(format!("\nfirst message:\n{}", words(message).trim()));
        }
        lines.push("\nNo model was asked and no tool was called.".to_owned());
        lines.join("\n")
    }
}

fn words(message: &Message) -> String {
    let parts = message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.as_str()),
        Part::File { .. }
        | Part::StoredFile(_)
        | Part::ToolCall(_)
        | Part::ToolResult { .. }
        | Part::ThoughtSignature(_) => None,
    });
    parts.collect::<Vec<_>>().join("\n")
}

fn said(message: &Message) -> Value {
    json!({"role": message.role, "text": words(message)})
}
