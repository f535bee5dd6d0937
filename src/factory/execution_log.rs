//! What happened while a package was made, for its readers: `execution_log.json` and the same in
//! words. No prompt, no secret and no body stands in it.

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::{Value, json};

/// A log that is being written.
#[derive(Debug)]
pub(super) struct ExecutionLog {
    begun: Instant,
    steps: Vec<Value>,
    model_calls: Vec<Value>,
}

impl Default for ExecutionLog {
    fn default() -> Self {
        Self { begun: Instant::now(), steps: Vec::new(), model_calls: Vec::new() }
    }
}

impl ExecutionLog {
    /// Notes a step.
    pub(super) fn step(&mut self, step: &str, details: impl Into<String>) {
        let at_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.steps.push(json!({"step": step, "details": details.into(), "at_ms": at_ms}));
    }

    /// Notes a call of a model.
    pub(super) fn model_call(&mut self, model: Option<&str>, purpose: &str, answer_bytes: usize) {
        self.model_calls
            .push(json!({"model": model, "purpose": purpose, "answer_bytes": answer_bytes}));
    }

    /// The log as JSON.
    pub(super) fn to_json(&self, metadata: &Value, summary: &Value) -> Value {
        json!({
            "metadata": metadata,
            "summary": summary,
            "llm_calls": self.model_calls,
            "http_requests": [],
            "web_searches": [],
            "tool_executions": [],
            "steps": self.steps,
        })
    }

    /// The log in words.
    pub(super) fn to_markdown(&self, title: &str) -> String {
        let mut text =
            format!("# Execution log: {title}\n\n| step | what | ms |\n| --- | --- | --- |\n");
        for step in &self.steps {
            let field = |key: &str| {
                step.get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .replace('|', "\\|")
                    .replace('\n', " ")
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                field("step"),
                field("details"),
                step.get("at_ms").unwrap_or(&Value::Null)
            );
        }
        let _ = writeln!(text, "\n{} calls of a model.", self.model_calls.len());
        text
    }
}
