//! `run_workflow`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::agent::engine::{CallStatus, Engine, Report, RunRequest, StopReason, Totals};
use crate::agent::workflows::Workflows;
use crate::content_urls::ContentUrls;
use crate::jobs::{Failure, Run, ToolOutput};
use crate::registry::{Annotations, Tool, Toolset, structured};

const DESCRIPTION: &str = "Runs a workflow: a model works towards what `query` asks with the tools that the workflow names, turn by turn, until it answers or a limit ends it. list_workflows tells which there are and what they take. A run goes on after a restart without repeating what was done. With no model configured you are asked for each step yourself (`needs_completion`). A run that ends at a limit has the status `warning`, with what it has; `trace_url` shows every step.";

/// Arguments of `run_workflow`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RunWorkflowParams {
    /// Name of the workflow.
    name: String,
    /// What is wanted, in words, with everything that is needed for it.
    query: String,
    /// Values of the workflow's parameters.
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

/// Result of `run_workflow`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RunWorkflowOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// What the model said last.
    answer: String,
    /// The value of the answer, for a workflow that asks for a form.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    /// Why it ended: `answered`, or the limit that ended it.
    stop_reason: &'static str,
    /// Answers of the model.
    turns: u32,
    /// Calls of tools, in order.
    tool_calls: Vec<ToolCallOutput>,
    /// Every step of the run, for people; the same with `.json` at its end for programs.
    trace_url: String,
    /// Name of the run, for `atelier workflow show`.
    run: String,
    /// Tokens and time.
    #[schemars(with = "Value")]
    usage: Totals,
    /// Cost in US dollars; null when some price is unknown.
    #[schemars(with = "Value")]
    cost: Option<f64>,
    /// Model that answered last; null when you did.
    #[schemars(with = "Value")]
    model_used: Option<String>,
    /// How the model was reached: `api`, `sampling`, `local`, `command` or `host`.
    #[schemars(with = "Value")]
    llm_route: Option<&'static str>,
    /// Why another model than the workflow's answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_note: Option<String>,
}

/// One call of a run.
#[derive(Debug, Serialize, JsonSchema)]
struct ToolCallOutput {
    /// Tool.
    tool: String,
    /// Whether it succeeded.
    ok: bool,
    /// How it ended.
    #[schemars(with = "String")]
    status: CallStatus,
    /// Id for references to its result.
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
    /// How long it took.
    ms: u64,
}

/// What the tool works with.
#[derive(Clone)]
pub(crate) struct WorkflowParts {
    pub(crate) engine: Arc<Engine>,
    pub(crate) workflows: Workflows,
    pub(crate) urls: ContentUrls,
}

/// The tool.
pub(crate) fn tool(parts: &WorkflowParts) -> Tool {
    let parts = parts.clone();
    Tool::builder("run_workflow", "Run a workflow", Toolset::Agent)
        .description(DESCRIPTION)
        .annotations(Annotations::CREATE)
        .job(move |run, params: RunWorkflowParams| {
            let parts = parts.clone();
            async move {
                let report = carry_out(&parts, &run, params).await?;
                Ok(output(report, &parts.urls))
            }
        })
}

async fn carry_out(
    parts: &WorkflowParts,
    run: &Run,
    params: RunWorkflowParams,
) -> Result<Report, Failure> {
    // A later attempt goes on with what the first one was given, whatever the file says now.
    let request: RunRequest = run
        .step::<RunRequest, Failure, _>("request", || async {
            let parameters = params.parameters.unwrap_or_default();
            Ok(parts.workflows.request(&params.name, &params.query, &parameters)?)
        })
        .await?;
    parts.engine.run(run, request).await
}

fn output(report: Report, urls: &ContentUrls) -> RunWorkflowOutput {
    let Report { run, ending, calls, totals, model_used, route, model_note } = report;
    let answered = ending.stop == StopReason::Answered;
    let message = if answered {
        "The workflow ended with an answer.".to_owned()
    } else {
        let detail = ending.detail.as_deref().unwrap_or("no more is known");
        format!("The workflow ended early ({}): {detail}.", ending.stop.as_str())
    };
    RunWorkflowOutput {
        status: if answered { "success" } else { "warning" },
        message,
        answer: ending.answer,
        output: ending.output,
        stop_reason: ending.stop.as_str(),
        turns: totals.turns,
        tool_calls: calls
            .into_iter()
            .map(|call| ToolCallOutput {
                ok: call.status.is_ok(),
                tool: call.tool,
                status: call.status,
                call_id: call.call_id,
                ms: call.ms,
            })
            .collect(),
        trace_url: urls.trace(run.as_str()),
        run: run.to_string(),
        usage: totals,
        cost: (!totals.unpriced).then_some(totals.cost_usd),
        model_used,
        llm_route: route.map(crate::llm::Route::as_str),
        model_note,
    }
}

impl From<RunWorkflowOutput> for ToolOutput {
    fn from(output: RunWorkflowOutput) -> Self {
        structured(&output)
    }
}
