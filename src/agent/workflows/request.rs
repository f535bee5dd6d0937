//! From a workflow to the run that it asks for.

use serde_json::{Map, Value};

use super::Workflows;
use crate::agent::engine::{ApprovalBy, RunRequest, ToolChoice};
use crate::agent::runs::RunId;
use crate::error::ToolError;
use crate::llm::Message;

/// Largest query, in bytes.
const QUERY_BYTES: usize = 1024 * 1024;

impl Workflows {
    /// The run that a workflow asks for, with its templates filled in.
    ///
    /// # Errors
    /// When there is no such workflow, it or its parameters cannot be used, or nothing is asked.
    pub fn request(
        &self,
        name: &str,
        query: &str,
        parameters: &Map<String, Value>,
    ) -> Result<RunRequest, ToolError> {
        let name = name.trim();
        let workflow = self.get(name)?;
        if query.len() > QUERY_BYTES {
            return Err(ToolError::invalid(
                "request_too_large",
                format!("`query` has {} bytes; at most {QUERY_BYTES} are allowed", query.len()),
            )
            .hint("shorten it, or pass large content by reference"));
        }
        let values = workflow.values(parameters)?;
        let (system, first) = workflow.prompts(query, &values).map_err(|problem| {
            ToolError::invalid("invalid_workflow", format!("the workflow `{name}`: {problem}"))
                .hint("correct the template; `atelier workflow check` looks at all of them")
        })?;
        if first.trim().is_empty() {
            return Err(ToolError::invalid(
                "query_missing",
                "`query` is empty, and so is the prompt",
            )
            .hint("say in `query` what is wanted"));
        }
        Ok(RunRequest {
            run: RunId::new()?,
            title: name.to_owned(),
            system,
            messages: vec![Message::user(first)],
            model: Some(workflow.llm_model.clone()).filter(|model| !model.trim().is_empty()),
            tools: ToolChoice {
                servers: workflow.mcp_servers_used.clone(),
                names: workflow.tools.clone(),
                except: workflow.exclude_tools.clone(),
                without_servers: workflow.tools_without_servers.clone(),
                ..ToolChoice::default()
            },
            approval: workflow.approval.clone(),
            approval_by: ApprovalBy::Caller,
            limits: workflow.run_limits(),
            response_schema: workflow.response_schema.clone(),
            on_interrupted: workflow.on_interrupted,
            retry: workflow.retry,
        })
    }
}
