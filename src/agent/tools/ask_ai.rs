//! `ask_ai`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::agent::{AskAi, Question};
use crate::jobs::ToolOutput;
use crate::registry::{Annotations, Tool, Toolset, structured};

const DESCRIPTION: &str = "Asks a language model one question and returns its answer: text, or with `json_schema` a JSON value that is valid under it. One call without memory and without tools; use it for a step that needs judgement or language inside other work.";

/// Asking changes nothing here, and two answers are not alike.
const ANNOTATIONS: Annotations =
    Annotations { read_only: true, destructive: false, idempotent: false, open_world: true };

/// Arguments of `ask_ai`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AskAiParams {
    /// What to answer, with everything that is needed for it.
    prompt: String,
    /// JSON Schema of the answer. Without it the answer is text.
    #[serde(default)]
    json_schema: Option<Map<String, Value>>,
    /// Instructions on role, tone and limits.
    #[serde(default)]
    system: Option<String>,
    /// Model that answers. `auto` takes whatever is configured or at hand; `host` asks you.
    #[serde(default = "default_model")]
    model: String,
}

fn default_model() -> String {
    "auto".to_owned()
}

/// Result of `ask_ai`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AskAiOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: &'static str,
    /// The answer: text, or the JSON value that `json_schema` describes.
    answer: Value,
    /// Model that answered; null when you did.
    #[schemars(with = "Value")]
    model_used: Option<String>,
    /// Model as the call named it.
    model_requested: String,
    /// How the model was reached: `api`, `sampling`, `local`, `command` or `host`.
    llm_route: &'static str,
    /// Why another model than the requested one answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_note: Option<String>,
}

/// The tool.
pub(crate) fn tool(ask_ai: &Arc<AskAi>) -> Tool {
    let ask_ai = Arc::clone(ask_ai);
    Tool::builder("ask_ai", "Ask a model", Toolset::Agent)
        .description(DESCRIPTION)
        .annotations(ANNOTATIONS)
        .job(move |run, params: AskAiParams| {
            let ask_ai = Arc::clone(&ask_ai);
            async move {
                let model_requested = params.model.clone();
                let question = Question {
                    prompt: params.prompt,
                    json_schema: params.json_schema,
                    system: params.system,
                    model: params.model,
                };
                let (answer, outcome) = ask_ai.ask(&run, question).await?;
                Ok(AskAiOutput {
                    status: "success",
                    message: "Answered.",
                    answer,
                    model_used: outcome.model_used,
                    model_requested,
                    llm_route: outcome.route.as_str(),
                    model_note: outcome.model_note,
                })
            }
        })
}

impl From<AskAiOutput> for ToolOutput {
    fn from(output: AskAiOutput) -> Self {
        structured(&output)
    }
}
