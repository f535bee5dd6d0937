//! The answer to a call, as every transport shows it.

use serde_json::{Map, Value, json};

use super::tool::DirectReply;
use super::validation::is_larger;
use crate::error::{ErrorKind, ToolError};
use crate::jobs::{CompletionRequest, Content, JobReply, ToolOutput};
use crate::llm::Request;
use crate::storage::{CallId, CompletionHandle, JobId};

/// The answer to a call.
#[derive(Debug, Clone)]
pub struct CallOutcome {
    /// Id for references; absent when the call was refused before it got one.
    pub call_id: Option<CallId>,
    /// Whether `structured` is an error (`{"status": "error", "code", "message", …}`), which MCP
    /// sends as `isError` text without structured content.
    pub is_error: bool,
    /// Who can do something about the error; `None` when there is none.
    pub error_kind: Option<ErrorKind>,
    /// The structured result, an object with `status`.
    pub structured: Value,
    /// Blocks beside it.
    pub content: Vec<Content>,
    /// Set with `status: "running"`: the job that goes on.
    pub running_job: Option<JobId>,
    /// Set with `status: "needs_completion"` when the client's own model is to be asked first, by
    /// a returned sampling request and a retried call (protocol 2026-07-28).
    pub sampling: Option<SamplingAsk>,
    /// Set with `status: "needs_completion"`: what is asked, for whoever passes it on.
    pub question: Option<Box<OpenQuestion>>,
}

/// A text that a call waits for, as a caller inside the program gets it.
#[derive(Debug, Clone)]
pub struct OpenQuestion {
    /// Handle to answer with.
    pub handle: CompletionHandle,
    /// Round of the completion.
    pub round: i64,
    /// What is asked.
    pub request: CompletionRequest,
}

/// A text that the client's own model is asked for.
#[derive(Debug, Clone)]
pub struct SamplingAsk {
    /// Handle to submit the text with.
    pub handle: CompletionHandle,
    /// Round of the completion: the text answers this one alone.
    pub round: i64,
    /// The question.
    pub request: Request,
}

impl CallOutcome {
    /// The outcome of a call that was refused before it began.
    pub fn refused(error: &ToolError) -> Self {
        from_error(None, error)
    }

    /// Gives an error the fields that its tool promises and that it lacks.
    pub(super) fn fill_in(&mut self, fields: &Map<String, Value>) {
        if let (true, Some(object)) = (self.is_error, self.structured.as_object_mut()) {
            for (name, value) in fields {
                object.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }

    /// What happened in one word, for logs and metrics: the status, or the error's code.
    pub fn label(&self) -> String {
        let key = if self.is_error { "code" } else { "status" };
        self.structured.get(key).and_then(Value::as_str).unwrap_or("success").to_owned()
    }
}

/// The answer that is an error.
pub(super) fn from_error(call_id: Option<CallId>, error: &ToolError) -> CallOutcome {
    let mut structured = error.to_json();
    if let (Some(id), Some(object)) = (&call_id, structured.as_object_mut()) {
        object.insert("call_id".into(), json!(id.as_str()));
    }
    CallOutcome {
        call_id,
        is_error: true,
        error_kind: Some(error.kind),
        structured,
        content: Vec::new(),
        running_job: None,
        sampling: None,
        question: None,
    }
}

/// The answer that a tool, or a job, gave. A job's answer keeps the id of the call that started
/// it, so that references work whoever reads the result.
pub(super) fn from_reply(
    call_id: Option<CallId>,
    reply: DirectReply,
    result_bytes: usize,
) -> CallOutcome {
    match reply {
        DirectReply::Output(output) => finished(call_id, output, result_bytes),
        DirectReply::Outcome(outcome) => *outcome,
        DirectReply::Job(JobReply::Done { call_id, output }) => {
            finished(Some(call_id), output, result_bytes)
        }
        DirectReply::Job(JobReply::Failed { call_id, error }) => from_error(Some(call_id), &error),
        DirectReply::Job(JobReply::Running { job, call_id, progress }) => {
            let mut structured = json!({
                "status": "running",
                "message": "the call takes longer than the answer budget and goes on; ask get_job for its result",
                "call_id": call_id.as_str(),
                "job_id": job.as_str(),
                "next": {"tool": "get_job", "arguments": {"job_id": job.as_str()}},
            });
            if let (Some(progress), Some(object)) = (progress, structured.as_object_mut()) {
                object.insert("progress".into(), json!(progress));
            }
            CallOutcome {
                call_id: Some(call_id),
                is_error: false,
                error_kind: None,
                structured,
                content: Vec::new(),
                running_job: Some(job),
                sampling: None,
                question: None,
            }
        }
        DirectReply::Job(JobReply::NeedsCompletion {
            job,
            call_id,
            handle,
            round,
            expires_at,
            request,
        }) => {
            let mut structured = needs_completion(&handle, &request);
            if let Some(object) = structured.as_object_mut() {
                object.insert("call_id".into(), json!(call_id.as_str()));
                object.insert("job_id".into(), json!(job.as_str()));
                object.insert("round".into(), json!(round));
                object.insert("expires_at_ms".into(), json!(expires_at));
            }
            let sampling = request.by_sampling.then(|| SamplingAsk {
                handle: handle.clone(),
                round,
                request: request.request.clone(),
            });
            let question = Some(Box::new(OpenQuestion { handle, round, request: *request }));
            CallOutcome {
                call_id: Some(call_id),
                is_error: false,
                error_kind: None,
                structured,
                content: Vec::new(),
                running_job: None,
                sampling,
                question,
            }
        }
    }
}

/// The `needs_completion` answer: what to write, and how to hand it in.
fn needs_completion(handle: &CompletionHandle, request: &CompletionRequest) -> Value {
    let prompt = request.prompt();
    let parts = prompt.parts.len();
    let mut object = Map::new();
    object.insert("status".into(), json!("needs_completion"));
    object.insert(
        "message".into(),
        json!("Write the text that `prompt` asks for yourself, now, and hand it in with submit_completion(handle, text). It is not a question to the user. `text` is exactly the text asked for, nothing around it."),
    );
    object.insert("handle".into(), json!(handle.0));
    object.insert("respond_with".into(), json!("submit_completion"));
    object.insert("attempt".into(), json!(request.attempt));
    object.insert("max_attempts".into(), json!(request.max_attempts));
    object.insert("expects".into(), json!(request.request.expects));
    if !request.errors.is_empty() {
        object.insert("errors".into(), json!(request.errors));
    }
    let first = prompt.parts.first().cloned().unwrap_or_default();
    object.insert("prompt".into(), json!({"system": prompt.system, "user": first}));
    if parts > 1 {
        object.insert("prompt_parts".into(), json!(parts));
        object.insert(
            "read_more".into(),
            json!({"tool": "read_completion_prompt", "arguments": {"handle": handle.0, "part": 2}}),
        );
    }
    object.insert(
        "next".into(),
        json!({"tool": "submit_completion", "arguments": {"handle": handle.0, "text": "…"}}),
    );
    Value::Object(object)
}

fn finished(call_id: Option<CallId>, output: ToolOutput, result_bytes: usize) -> CallOutcome {
    let mut fields = match output.structured {
        Value::Object(object) => object,
        other => Map::from_iter([("result".to_owned(), other)]),
    };
    let mut object = Map::new();
    let status = fields.shift_remove("status").unwrap_or_else(|| json!("success"));
    object.insert("status".into(), status);
    let message = fields.shift_remove("message").unwrap_or_else(|| json!("done"));
    object.insert("message".into(), message);
    if let Some(id) = &call_id {
        object.insert("call_id".into(), json!(id.as_str()));
    }
    object.extend(fields);
    let mut structured = Value::Object(object);
    // Of a result of another server, each caller gets as much as it can use.
    if !super::shown::is_foreign(&structured) {
        cut_to_fit(&mut structured, call_id.as_ref(), result_bytes);
    }
    CallOutcome {
        call_id,
        is_error: false,
        error_kind: None,
        structured,
        content: output.content,
        running_job: None,
        sampling: None,
        question: None,
    }
}

/// Cuts the longest texts of a result that is larger than clients accept. The whole result stays
/// behind the call id.
fn cut_to_fit(structured: &mut Value, call_id: Option<&CallId>, limit: usize) {
    let mut longest = limit / 2;
    while is_larger(structured, limit) && longest > 100 {
        cut_texts(structured, longest);
        longest /= 2;
        if let Some(object) = structured.as_object_mut() {
            object.insert("truncated".into(), json!(true));
            if let Some(id) = call_id {
                object.insert(
                    "truncated_note".into(),
                    json!(format!(
                        "texts were cut to fit; the whole values are at @@ref_{id}__<path>"
                    )),
                );
            }
        }
    }
}

fn cut_texts(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) if text.len() > longest => {
            let mut end = longest;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(" …[cut]");
        }
        Value::Array(items) => {
            // A list of many small items is cut at its end.
            let most = (longest / 20).max(10);
            if items.len() > most {
                items.truncate(most);
            }
            for item in items.iter_mut() {
                cut_texts(item, longest);
            }
        }
        Value::Object(object) => object.values_mut().for_each(|item| cut_texts(item, longest)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_status_message_and_call_id_first() {
        let output = ToolOutput::structured(json!({"url": "u", "status": "warning"}));
        let outcome = finished(Some(CallId("0a1b2c3d".into())), output, 900_000);
        assert_eq!(
            outcome.structured.to_string(),
            r#"{"status":"warning","message":"done","call_id":"0a1b2c3d","url":"u"}"#
        );
        assert_eq!(outcome.label(), "warning");
    }

    #[test]
    fn large_results_are_cut_and_say_so() {
        let output = ToolOutput::structured(json!({
            "text": "é".repeat(600_000),
            "list": (0..200_000).collect::<Vec<_>>(),
        }));
        let outcome = finished(Some(CallId("0a1b2c3d".into())), output, 90_000);
        assert!(outcome.structured.to_string().len() <= 90_000);
        assert_eq!(outcome.structured["truncated"], true);
        assert_eq!(outcome.structured["status"], "success");
    }

    #[test]
    fn small_results_are_left_alone() {
        let output = ToolOutput::structured(json!({"text": "x".repeat(1000)}));
        let outcome = finished(None, output, 90_000);
        assert_eq!(outcome.structured.get("truncated"), None);
    }
}
