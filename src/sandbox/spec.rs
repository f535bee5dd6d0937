//! What to run, and within which bounds.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::SandboxError;

/// Longest code.
const CODE_BYTES: usize = 4 << 20;
/// All inputs together.
const INPUT_BYTES: usize = 32 << 20;
/// Longest time for one run.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(5);

/// One run.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// Execute it, or look at it only.
    pub kind: RunKind,
    /// The code.
    pub code: String,
    /// Positional arguments of `generated_function_name`.
    pub function_args: Vec<Value>,
    /// Named arguments of it.
    pub function_kwargs: Map<String, Value>,
    /// Time that the code may take, parked time excluded.
    pub timeout: Duration,
    /// Files that lie in the run folder when the code begins.
    pub inputs: Vec<InputFile>,
    /// Tools that `_list_tools()` names. Whether a call is allowed is decided by who answers it.
    pub tools: Vec<ToolStub>,
    /// Python source of the module `atelier_tools`: typed stubs of the tools.
    pub stubs: Option<String>,
    /// Which interpreter; `None` is the default one.
    pub profile: Option<String>,
    /// Bounds.
    pub limits: RunLimits,
}

/// What happens to the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// It runs.
    Execute,
    /// It is parsed and looked at, inside the sandbox, and never runs.
    Inspect,
}

/// A file for the run folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Relative path of plain parts.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What code learns about a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolStub {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub input_schema: Value,
}

/// Bounds of a run that the server keeps.
#[derive(Debug, Clone)]
pub struct RunLimits {
    /// Output bytes of one stream that end the run.
    pub output_bytes: u64,
    /// Bytes kept of the beginning of a stream, and as many of its end.
    pub kept_output_bytes: usize,
    /// JSON bytes of one rendered value; longer ones are cut with a note.
    pub value_bytes: usize,
    /// Calls of tools and models in one run.
    pub calls: u32,
    /// Calls at the same time.
    pub calls_in_flight: usize,
    /// Files taken from the run folder.
    pub files: usize,
    /// Bytes of all of them.
    pub file_bytes: u64,
    /// How long a run may stay parked in all.
    pub parked: Duration,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            output_bytes: 8 << 20,
            kept_output_bytes: 64 << 10,
            value_bytes: 1 << 20,
            calls: 1000,
            calls_in_flight: 64,
            files: 50,
            file_bytes: 20 << 20,
            parked: Duration::from_hours(1),
        }
    }
}

impl RunSpec {
    /// Code without arguments, files or tools, for a minute at most.
    pub fn new(code: impl Into<String>) -> Self {
        Self {
            kind: RunKind::Execute,
            code: code.into(),
            function_args: Vec::new(),
            function_kwargs: Map::new(),
            timeout: Duration::from_mins(1),
            inputs: Vec::new(),
            tools: Vec::new(),
            stubs: None,
            profile: None,
            limits: RunLimits::default(),
        }
    }

    /// Refuses what no adapter can run.
    pub fn check(&self) -> Result<(), SandboxError> {
        let refuse = |reason: String| Err(SandboxError::InvalidSpec(reason));
        if self.code.len() > CODE_BYTES {
            return refuse(format!("the code has {} bytes, at most {CODE_BYTES}", self.code.len()));
        }
        if self.timeout.is_zero() || self.timeout > LONGEST_TIMEOUT {
            return refuse(format!(
                "the timeout is {} s, and 1 to {} s are allowed",
                self.timeout.as_secs_f64(),
                LONGEST_TIMEOUT.as_secs()
            ));
        }
        let total: usize = self.inputs.iter().map(|input| input.bytes.len()).sum();
        if total > INPUT_BYTES {
            return refuse(format!("the input files have {total} bytes, at most {INPUT_BYTES}"));
        }
        for input in &self.inputs {
            check_name(&input.name)?;
        }
        let mut names: Vec<_> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.array_windows().find(|[one, other]| one == other) {
            return refuse(format!("two input files are named `{twice}`"));
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), SandboxError> {
    let plain = |part: &str| {
        !part.is_empty()
            && part.len() <= 200
            && !part.starts_with('.')
            && !part.chars().any(char::is_control)
    };
    if name.len() <= 500 && name.split('/').count() <= 8 && name.split('/').all(plain) {
        return Ok(());
    }
    Err(SandboxError::InvalidSpec(format!(
        "`{}` cannot name an input file: plain relative paths only",
        name.escape_default().take(100).collect::<String>()
    )))
}
