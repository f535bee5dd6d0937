//! The security scan of generated packages.
//!
//! Programs are judged by their syntax tree: names are resolved through imports and assignments,
//! texts are followed from where they come to where they are used. So words in a docstring say
//! nothing, and a call says the same however it is written down.

mod calls;
mod container;
mod custom;
mod expressions;
mod flows;
mod names;
mod packages;
mod program;
mod report;
mod returns;
mod secrets;
mod statements;
mod tables;
mod value;
mod workflow;

use ruff_python_ast::{ModModule, PythonVersion};
use ruff_python_parser::{Mode, ParseOptions, parse};
use ruff_text_size::TextSize;
use serde::{Deserialize, Serialize};

pub use custom::{CustomRule, Rules};
pub use packages::{allowed_packages, check_packages};
pub use report::Report;

/// Most bytes of one file that is read.
const FILE_BYTES: usize = 256 * 1024;
/// How deep the brackets, blocks and operators of a program may nest.
const DEEPEST: usize = 300;
/// Stack of the thread that reads programs: enough for a file of [`FILE_BYTES`] that does nothing
/// but nest. Only what is used of it takes memory.
const STACK_BYTES: usize = 1 << 30;

/// How bad a finding is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Dangerous in some uses.
    Medium,
    /// Dangerous; such code is not let through.
    High,
}

impl Severity {
    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A file of a package.
#[derive(Debug, Clone, Copy)]
pub struct SourceFile<'a> {
    /// Path in the package.
    pub path: &'a str,
    /// Content.
    pub text: &'a str,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Finding {
    /// Stable name of the rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// File.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// What the author of a tool says that it uses. What was not said is not judged.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Environment variables.
    pub environment: Option<Vec<String>>,
    /// Hosts; `*` is any.
    pub hosts: Option<Vec<String>>,
    /// Packages, by the names under which they are installed.
    pub packages: Option<Vec<String>>,
    /// Files.
    pub files: FileUse,
}

/// What a tool says that it does with files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileUse {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// It uses none.
    None,
    /// It reads.
    Read,
    /// It reads and writes.
    Write,
}

/// Scans files: programs in Python, Dockerfiles and workflows of CI; others are judged by the
/// caller's rules alone.
pub fn scan(files: &[SourceFile<'_>], declared: &Declared, rules: &Rules) -> Report {
    let local = packages::local_modules(files);
    let mut findings = Vec::new();
    for file in files {
        let kind = Kind::of(file.path);
        let mut found = match kind {
            Kind::Python => scan_program(file, declared, rules, &local),
            Kind::Dockerfile => container::check(file),
            Kind::Workflow => workflow::check(file),
            Kind::Other => Vec::new(),
        };
        found.extend(rules.matches(file));
        found.sort_by(|a, b| (a.line, a.column, &a.rule).cmp(&(b.line, b.column, &b.rule)));
        found.dedup_by(|a, b| a.rule == b.rule && a.line == b.line && a.column == b.column);
        findings.extend(found);
    }
    Report { findings, files: files.len() }
}

/// Whether a program parses, as Python 3.11 reads it.
///
/// # Errors
/// Where and why it does not.
pub fn parse_check(path: &str, text: &str) -> Result<(), Finding> {
    on_large_stack(|| parse_program(path, text).map(|_| ())).unwrap_or_else(|| {
        Err(unreadable(path, "the program could not be read for want of memory"))
    })
}

enum Kind {
    Python,
    Dockerfile,
    Workflow,
    Other,
}

impl Kind {
    fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        if ending.eq_ignore_ascii_case("py") {
            Self::Python
        } else if stem == "Dockerfile" || name == "Dockerfile" || ending == "Dockerfile" {
            Self::Dockerfile
        } else if path.contains(".github/workflows/") && matches!(ending, "yml" | "yaml") {
            Self::Workflow
        } else {
            Self::Other
        }
    }
}

fn scan_program(
    file: &SourceFile<'_>,
    declared: &Declared,
    rules: &Rules,
    local: &std::collections::BTreeSet<String>,
) -> Vec<Finding> {
    let read = on_large_stack(|| {
        let module = parse_program(file.path, file.text)?;
        let deep = names::depth(&module);
        if deep > DEEPEST {
            let why = format!("the program nests {deep} deep; more than {DEEPEST} is not judged");
            return Err(unreadable(file.path, &why));
        }
        Ok(program::Scan::new(file, declared, rules, local).run(&module))
    });
    match read {
        Some(Ok(findings)) => findings,
        Some(Err(finding)) => vec![finding],
        None => vec![unreadable(file.path, "the program could not be read for want of memory")],
    }
}

fn parse_program(path: &str, text: &str) -> Result<ModModule, Finding> {
    if text.len() > FILE_BYTES {
        let bytes = text.len();
        return Err(unreadable(
            path,
            &format!("the file has {bytes} bytes; at most {FILE_BYTES} are read"),
        ));
    }
    if text.contains('\0') {
        return Err(unreadable(path, "the program contains a NUL character"));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = ParseOptions::from(Mode::Module).with_target_version(PythonVersion::PY311);
    let syntax = |offset: TextSize, reason: String| {
        let (line, column) = place(text, offset);
        Finding {
            rule: "syntax".to_owned(),
            severity: Severity::High,
            path: path.to_owned(),
            line,
            column,
            message: reason,
        }
    };
    let parsed = parse(text, options)
        .map_err(|error| syntax(error.location.start(), error.error.to_string()))?;
    if let Some(error) = parsed.unsupported_syntax_errors().first() {
        return Err(syntax(error.range.start(), error.to_string()));
    }
    parsed
        .try_into_module()
        .map(ruff_python_parser::Parsed::into_syntax)
        .ok_or_else(|| unreadable(path, "the program is no module"))
}

fn unreadable(path: &str, reason: &str) -> Finding {
    Finding {
        rule: "unreadable".to_owned(),
        severity: Severity::High,
        path: path.to_owned(),
        line: 1,
        column: 1,
        message: reason.to_owned(),
    }
}

/// The tree is as deep as the program nests, and everything that walks it, even letting it go,
/// takes stack. `None`: there is no memory for it.
fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("scan".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .ok()?
            .join()
            .ok()
    })
}

/// Line and column, from 1.
fn place(text: &str, offset: TextSize) -> (usize, usize) {
    let before = text.get(..offset.to_usize()).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
