//! What a run came to.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::report::IsolationReport;

/// The end of a run with all that it left, whatever the end was.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Standard output.
    pub stdout: Captured,
    /// Standard error.
    pub stderr: Captured,
    /// Regular files in the run folder, by name.
    pub files: Vec<OutputFile>,
    /// What lay there and was not taken.
    pub skipped_files: Vec<SkippedFile>,
    /// Names in `files` of the images that the code showed, in order. Checked to be PNG.
    pub images: Vec<String>,
    /// Calls of tools and models that reached the handle.
    pub calls: u32,
    /// From the start of the code to its end, parked time excluded; by the server's clock.
    pub duration: Duration,
    /// Which layers held.
    pub isolation: Arc<IsolationReport>,
}

/// How a run ended.
#[derive(Debug)]
pub enum End {
    /// The code ran to its end.
    Success(Finished),
    /// The code was looked at and not run.
    Inspected(Inspection),
    /// The code raised an error, or called for one.
    Failed(CodeError, Finished),
    /// The runner never delivered a result.
    Unfinished(Unfinished),
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfinished {
    /// It took longer than it may.
    Timeout,
    /// It stayed parked for too long.
    ParkedTooLong,
    /// It used more memory than it may.
    MemoryLimit,
    /// It used more processor time than it may.
    CpuLimit,
    /// It wrote more output than it may.
    OutputLimit,
    /// It said something on the channel that the runner would never say.
    Protocol(String),
    /// The process left by itself, say by `os._exit`.
    Exited(i32),
    /// A signal ended it, say a segmentation fault.
    Signalled(i32),
    /// The holder of the handle gave it up.
    Cancelled,
    /// The sandbox itself went away.
    Interrupted,
}

impl Unfinished {
    /// Stable name for results.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Timeout | Self::ParkedTooLong | Self::CpuLimit => "timeout",
            Self::MemoryLimit => "memory_limit",
            Self::OutputLimit => "output_limit",
            Self::Protocol(_) => "protocol_error",
            Self::Exited(_) | Self::Signalled(_) => "killed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// One line for people.
    pub fn message(&self) -> String {
        match self {
            Self::Timeout => "the code ran longer than its timeout".to_owned(),
            Self::ParkedTooLong => "the code waited too long for an answer of a model".to_owned(),
            Self::MemoryLimit => "the code used more memory than it may".to_owned(),
            Self::CpuLimit => "the code used more processor time than it may".to_owned(),
            Self::OutputLimit => "the code wrote more output than it may".to_owned(),
            Self::Protocol(reason) => format!("the code broke its channel to the server: {reason}"),
            Self::Exited(code) => format!("the process left by itself with code {code}"),
            Self::Signalled(number) => {
                format!("the process was ended by signal {number} ({})", signal_name(*number))
            }
            Self::Cancelled => "the run was cancelled".to_owned(),
            Self::Interrupted => "the sandbox was restarted during the run".to_owned(),
        }
    }
}

fn signal_name(number: i32) -> &'static str {
    match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => "another",
    }
}

/// What the runner says at the end of the code.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Finished {
    /// The last expression's value.
    #[serde(default)]
    pub value: Rendered,
    /// Whether `generated_function_name` led to a call.
    #[serde(default)]
    pub function_called: bool,
    /// What that call returned.
    #[serde(default)]
    pub function_value: Rendered,
    /// What the author should know: unused arguments, forgotten awaits, figures left out.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A value of the code as JSON.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Rendered {
    /// The value, or text that shows it.
    #[serde(default)]
    pub value: Value,
    /// Its Python type.
    #[serde(default, rename = "type")]
    pub type_name: String,
    /// Whether `value` says all of it.
    #[serde(default)]
    pub exact: bool,
    /// What is not exact about it.
    #[serde(default)]
    pub note: Option<String>,
}

/// An error of the code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct CodeError {
    /// The exception's class.
    #[serde(rename = "type", default)]
    pub type_name: String,
    /// Its text.
    #[serde(default)]
    pub message: String,
    /// Line of the code where it passed last.
    #[serde(default)]
    pub line: Option<u32>,
    /// The traceback, frames of the code alone.
    #[serde(default)]
    pub traceback: String,
    /// What helps.
    #[serde(default)]
    pub hint: Option<String>,
}

/// What code says about itself without being run.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Inspection {
    /// Whether it is Python.
    pub parses: bool,
    /// Why it is not.
    #[serde(default)]
    pub error: Option<SyntaxProblem>,
    /// What it imports.
    #[serde(default)]
    pub imports: Vec<InspectedImport>,
    /// Where it calls tools and models.
    #[serde(default)]
    pub calls: Vec<InspectedCall>,
    /// Functions at the top level.
    #[serde(default)]
    pub functions: Vec<String>,
}

/// Why a text is no Python.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct SyntaxProblem {
    /// What the parser says.
    pub message: String,
    /// Where.
    #[serde(default)]
    pub line: Option<u32>,
    /// That line.
    #[serde(default)]
    pub text: Option<String>,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InspectedImport {
    /// The module's whole name.
    pub name: String,
    /// Line.
    pub line: u32,
    /// Whether the interpreter has it.
    pub installed: bool,
}

/// One call of `_call_mcp_tool` or `_call_ai`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InspectedCall {
    /// Which of the two.
    pub function: String,
    /// The tool, when it is written out.
    #[serde(default)]
    pub tool: Option<String>,
    /// Line.
    pub line: u32,
    /// Whether `await` stands right before it.
    pub awaited: bool,
    /// Whether the tool is one of the run's.
    pub known: bool,
}

/// Output as far as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// Its beginning and end, with a note between them when something was left out.
    pub text: String,
    /// Bytes that were written.
    pub bytes: u64,
    /// Bytes that are not in `text`.
    pub omitted: u64,
}

/// A file that the code left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFile {
    /// Path in the run folder, with `/`, safe to show and to use as a name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Something in the run folder that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedFile {
    /// Path in the run folder, made fit to show.
    pub name: String,
    /// Why.
    pub reason: String,
}
