//! What happened while a package was made, for its readers: `execution_log.json` and the same in
//! words. It lies in the package and nowhere else: texts of ours and of the model are capped, and
//! values that the operator configured never stand in it.

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::{Value, json};

use super::load::Fetched;
use super::web_search::Searched;
use crate::llm::Outcome;

/// Most letters of one text.
const TEXT: usize = 20_000;
/// Shortest value that is looked for: shorter ones stand in every text.
const SECRET: usize = 6;

/// A log that is being written.
#[derive(Debug)]
pub(super) struct ExecutionLog {
    begun: Instant,
    secrets: Vec<String>,
    steps: Vec<Value>,
    model_calls: Vec<Value>,
    http_requests: Vec<Value>,
    web_searches: Vec<Value>,
    tool_executions: Vec<Value>,
}

impl ExecutionLog {
    /// A log in which none of these values stands.
    pub(super) fn new<'a>(secrets: impl Iterator<Item = &'a String>) -> Self {
        Self {
            begun: Instant::now(),
            secrets: secrets.filter(|value| value.len() >= SECRET).cloned().collect(),
            steps: Vec::new(),
            model_calls: Vec::new(),
            http_requests: Vec::new(),
            web_searches: Vec::new(),
            tool_executions: Vec::new(),
        }
    }

    fn at_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A text without secrets, capped.
    fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            text = text.replace(secret.as_str(), "••••••");
        }
        let mut shown: String = text.chars().take(TEXT).collect();
        if shown.len() < text.len() {
            shown.push_str(" … (cut)");
        }
        shown
    }

    /// Notes a step.
    pub(super) fn step(&mut self, step: &str, details: impl Into<String>) {
        let details = self.text(&details.into());
        self.steps.push(json!({"step": step, "details": details, "at_ms": self.at_ms()}));
    }

    /// Notes a call of a model: for what, in which round, and what was said.
    pub(super) fn model_call(
        &mut self,
        outcome: &Outcome,
        (purpose, attempt): (&str, u32),
        system: &str,
        user: &str,
    ) {
        let call = json!({
            "model": outcome.model_used,
            "route": outcome.route,
            "purpose": purpose,
            "attempt": attempt,
            "system_prompt": self.text(system),
            "user_prompt": self.text(user),
            "raw_response": self.text(&outcome.text),
            "tokens_in": outcome.usage.input_tokens,
            "tokens_out": outcome.usage.output_tokens,
            "cost_usd": outcome.cost_usd,
            "duration_ms": outcome.elapsed_ms,
            "at_ms": self.at_ms(),
        });
        self.model_calls.push(call);
    }

    /// Notes what was fetched.
    pub(super) fn http_requests(&mut self, fetched: &Fetched) {
        for (address, outcome) in fetched.all() {
            let entry = match outcome {
                Ok(bytes) => json!({"method": "GET", "url": address, "bytes": bytes}),
                Err(error) => json!({"method": "GET", "url": address, "error": self.text(&error)}),
            };
            self.http_requests.push(entry);
        }
    }

    /// Notes what was looked for on the web, and where it was found.
    pub(super) fn web_search(&mut self, searched: &Searched) {
        let sources: Vec<Value> = searched
            .pages
            .iter()
            .map(|page| json!({"title": self.text(&page.title), "url": self.text(&page.url)}))
            .collect();
        let query = self.text(&searched.query);
        self.web_searches
            .push(json!({"query": query, "cached": searched.is_kept, "sources": sources}));
    }

    /// Notes what was run: the scan, the package's own proof.
    pub(super) fn tool_execution(&mut self, entry: Value) {
        self.tool_executions.push(entry);
    }

    /// The log as JSON.
    pub(super) fn to_json(&self, metadata: &Value, summary: &Value) -> Value {
        json!({
            "metadata": metadata,
            "summary": summary,
            "llm_calls": self.model_calls,
            "http_requests": self.http_requests,
            "web_searches": self.web_searches,
            "tool_executions": self.tool_executions,
            "steps": self.steps,
        })
    }

    /// The log in words.
    pub(super) fn to_markdown(&self, title: &str) -> String {
        let mut text =
            format!("# Execution log: {title}\n\n| step | what | ms |\n| --- | --- | --- |\n");
        let field = |entry: &Value, key: &str| match entry.get(key) {
            Some(Value::String(text)) => text.replace('|', "\\|").replace('\n', " "),
            Some(Value::Null) | None => "-".to_owned(),
            Some(other) => other.to_string(),
        };
        for step in &self.steps {
            let [name, details, at_ms] = ["step", "details", "at_ms"].map(|key| field(step, key));
            let _ = writeln!(text, "| {name} | {details} | {at_ms} |");
        }
        let _ = writeln!(text, "\n{} calls of a model.", self.model_calls.len());
        for call in &self.model_calls {
            let [model, purpose, attempt, tokens_in, tokens_out] =
                ["model", "purpose", "attempt", "tokens_in", "tokens_out"]
                    .map(|key| field(call, key));
            let _ = writeln!(
                text,
                "- {purpose}, round {attempt}: {model}, {tokens_in} tokens read, {tokens_out} written"
            );
        }
        for request in &self.http_requests {
            let _ = writeln!(text, "- fetched: {}", field(request, "url"));
        }
        for search in &self.web_searches {
            let _ = writeln!(text, "- searched: {}", field(search, "query"));
        }
        text
    }
}
