//! `execute_python_code`.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::jobs::{Failure, ToolOutput};
use crate::python::execute::{CallRecord, ExecuteCode, Executed, Layers, ProducedFile, PythonRuns};
use crate::registry::{Annotations, Tool, Toolset, structured};

const DESCRIPTION: &str = "Runs Python code in a sandbox without network, like a cell of a notebook: returns what it prints, the value of its last expression in `result`, its figures as images, and the files it leaves. Top-level `await` works. The code reaches the outside through tools alone: `await _call_mcp_tool(tool_name, arguments)` returns a tool's structured result or raises `McpToolError` (`.code`, `.message`); `import atelier_tools` has the same tools as typed coroutines; `_list_tools()` lists them; `await _call_ai(prompt, json_schema=None)` asks a language model. Independent calls go together in `asyncio.gather`. When `generated_function_name` is defined (a function of that name, or a string naming one), it is called with `function_args` and `function_kwargs`. Use it to compute, to work on data and files, and to chain several tool calls in one go. Code of an earlier step is given by reference: `@@ref_<call_id>__generated_code`.";

const DEFAULT_TIMEOUT_S: u64 = 60;
/// Notes that stand in the message too.
const TOLD_NOTES: usize = 5;

/// It changes nothing by itself; what its tools do is decided for each of them.
const ANNOTATIONS: Annotations =
    Annotations { read_only: false, destructive: false, idempotent: false, open_world: true };

/// Arguments of `execute_python_code`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct ExecutePythonCodeParams {
    /// The Python code to execute.
    code: String,
    /// Positional arguments for `generated_function_name`.
    #[serde(default)]
    function_args: Option<Vec<Value>>,
    /// Keyword arguments for `generated_function_name`.
    #[serde(default)]
    function_kwargs: Option<Map<String, Value>>,
    /// Seconds that the code may take, its tool calls included (1-300).
    #[serde(default = "default_timeout")]
    #[schemars(range(min = 1, max = 300), default = "default_timeout")]
    timeout_seconds: u64,
    /// Key of the user that the code's tool calls are for.
    #[serde(default)]
    caller_user_id: Option<String>,
    /// Files for the working folder: name and content. A text is the content itself, or an `http(s)`
    /// address of it; other values are written as JSON. References give files of earlier results:
    /// `{"sales.csv": "@@ref_<call_id>__files__0__url"}`.
    #[serde(default)]
    files: Option<Map<String, Value>>,
    /// Addresses of files for the working folder, named as the address ends.
    #[serde(default)]
    attachments: Option<Vec<String>>,
    /// Names of the tools that the code may call. Left out: all that you may call and that are open to
    /// code. Empty: none.
    #[serde(default)]
    mcp_tool_names: Option<Vec<String>>,
}

const fn default_timeout() -> u64 {
    DEFAULT_TIMEOUT_S
}

/// Result of `execute_python_code`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExecutePythonCodeOutput {
    #[schemars(skip)]
    status: &'static str,
    #[schemars(skip)]
    message: String,
    /// What the code printed; the middle of very long output is left out.
    stdout: String,
    /// What it printed to the error stream.
    stderr: String,
    /// Whether `generated_function_name` led to a call.
    function_called: bool,
    /// What that call returned; as text when JSON cannot say it.
    function_result: Value,
    /// Value of the last expression; as text when JSON cannot say it.
    result: Value,
    /// Python type of `function_result`, when it is shown as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    function_result_type: Option<String>,
    /// Python type of `result`, when it is shown as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<String>,
    /// Files that the code left in its working folder, each with its address.
    files: Vec<ProducedFile>,
    /// Calls that the code made, in order.
    tool_calls: Vec<CallRecord>,
    /// Time that the code took.
    duration_ms: u64,
    /// How much isolation there was: `full`, `no-cgroup`, `no-landlock`, `no-userns` or `process`.
    isolation: String,
    /// Which layers of isolation held.
    isolation_layers: Layers,
    /// What is worth knowing: unused arguments, forgotten `await`, values that were cut.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip)]
    #[schemars(skip)]
    content: Vec<crate::jobs::Content>,
}

/// The tool.
pub(super) fn tool(runs: &Arc<PythonRuns>) -> Tool {
    let runs = Arc::clone(runs);
    Tool::builder("execute_python_code", "Run Python code", Toolset::Python)
        .description(DESCRIPTION)
        .annotations(ANNOTATIONS)
        .closed_to_pages()
        .job(move |run, params: ExecutePythonCodeParams| {
            let runs = Arc::clone(&runs);
            async move {
                let call = ExecuteCode {
                    code: params.code,
                    function_args: params.function_args.unwrap_or_default(),
                    function_kwargs: params.function_kwargs.unwrap_or_default(),
                    timeout: Duration::from_secs(params.timeout_seconds),
                    user: params
                        .caller_user_id
                        .map(|user| user.trim().to_owned())
                        .filter(|user| !user.is_empty()),
                    files: params.files.unwrap_or_default(),
                    attachments: params.attachments.unwrap_or_default(),
                    tool_names: params.mcp_tool_names,
                };
                let executed = runs.execute(&run, call).await?;
                match executed.error() {
                    Some(error) => Err(Failure::Error(error)),
                    None => Ok(ExecutePythonCodeOutput::new(executed)),
                }
            }
        })
        .error_fields(empty_fields())
}

/// What every error has: the fields of a run that left nothing.
fn empty_fields() -> Map<String, Value> {
    let fields = json!({
        "stdout": "",
        "stderr": "",
        "function_called": false,
        "function_result": null,
        "result": null,
        "files": [],
        "tool_calls": [],
        "duration_ms": 0,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

impl ExecutePythonCodeOutput {
    fn new(executed: Executed) -> Self {
        let message = message(&executed);
        Self {
            status: "success",
            message,
            stdout: executed.stdout,
            stderr: executed.stderr,
            function_called: executed.function_called,
            function_result: executed.function_result,
            result: executed.result,
            function_result_type: executed.function_result_type,
            result_type: executed.result_type,
            files: executed.files,
            tool_calls: executed.tool_calls,
            duration_ms: executed.duration_ms,
            isolation: executed.isolation,
            isolation_layers: executed.isolation_layers,
            notes: executed.notes,
            content: executed.images,
        }
    }
}

fn message(executed: &Executed) -> String {
    let called = if executed.function_called { " and its function was called" } else { "" };
    let mut sentences = vec![format!("The code ran in {} ms{called}.", executed.duration_ms)];
    match executed.files.len() {
        0 => {}
        1 => sentences.push("It left one file.".to_owned()),
        count => sentences.push(format!("It left {count} files.")),
    }
    sentences.extend(executed.notes.iter().take(TOLD_NOTES).map(|note| format!("Note: {note}.")));
    sentences.join(" ")
}

impl From<ExecutePythonCodeOutput> for ToolOutput {
    fn from(mut output: ExecutePythonCodeOutput) -> Self {
        let content = std::mem::take(&mut output.content);
        Self { content, ..structured(&output) }
    }
}
