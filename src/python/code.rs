//! Reading programs: whether they parse, and what in them will not work in the sandbox.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprCall, ModModule, Stmt};
use ruff_python_parser::parse_module;
use ruff_text_size::{Ranged, TextSize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::CODE_BYTES;
use super::packages;

/// Stack of the thread that reads a program. A program of [`CODE_BYTES`] can nest that deep; only
/// what is used of the stack takes memory.
const STACK_BYTES: usize = 1 << 30;
/// Most findings that are told.
const MOST_FINDINGS: usize = 20;

/// The coroutines of the sandbox.
const CALL_TOOL: &str = "_call_mcp_tool";
const CALL_AI: &str = "_call_ai";

/// Something in a program that may not work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Why a text is no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CodeProblem {
    /// The parser stopped.
    #[error("line {line}, column {column}: {reason}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column, from 1, in characters.
        column: usize,
        /// The parser's words.
        reason: String,
    },
    /// Larger than a program may be.
    #[error("the program has {0} bytes; at most {CODE_BYTES} are allowed")]
    TooLarge(usize),
    /// Characters that no program holds.
    #[error("the program contains a NUL character")]
    Nul,
    /// The reader could not be started.
    #[error("the program could not be read for want of memory")]
    NoMemory,
}

/// Parses a program and looks at it.
///
/// # Errors
/// Why it is none.
pub(super) fn examine(code: &str, tools: &BTreeSet<String>) -> Result<Vec<Finding>, CodeProblem> {
    if code.len() > CODE_BYTES {
        return Err(CodeProblem::TooLarge(code.len()));
    }
    if code.contains('\0') {
        return Err(CodeProblem::Nul);
    }
    let code = code.strip_prefix('\u{feff}').unwrap_or(code);
    // The tree is as deep as the program nests, and everything that walks it, even letting it go,
    // takes stack.
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new()
            .name("python-reader".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || read(code, tools))
            .map_err(|_| CodeProblem::NoMemory)?;
        reader.join().unwrap_or(Err(CodeProblem::NoMemory))
    })
}

fn read(code: &str, tools: &BTreeSet<String>) -> Result<Vec<Finding>, CodeProblem> {
    let parsed = parse_module(code).map_err(|error| {
        let (line, column) = place(code, error.location.start());
        CodeProblem::Syntax { line, column, reason: error.error.to_string() }
    })?;
    Ok(findings(code, parsed.syntax(), tools))
}

/// Line and column, from 1.
fn place(code: &str, offset: TextSize) -> (usize, usize) {
    let before = code.get(..offset.to_usize()).unwrap_or(code);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn findings(code: &str, module: &ModModule, tools: &BTreeSet<String>) -> Vec<Finding> {
    let mut look = Look { code, tools, guarded: 0, found: Vec::new() };
    look.visit_body(&module.body);
    let mut found = look.found;
    found.sort_by_key(|finding| finding.line);
    found.dedup();
    found.truncate(MOST_FINDINGS);
    found
}

struct Look<'code> {
    code: &'code str,
    tools: &'code BTreeSet<String>,
    /// How many `try` statements stand around.
    guarded: usize,
    found: Vec<Finding>,
}

impl Look<'_> {
    fn find(&mut self, node: &impl Ranged, message: String) {
        let (line, _) = place(self.code, node.range().start());
        self.found.push(Finding { line, message });
    }

    fn import(&mut self, node: &impl Ranged, module: &str) {
        // Who guards an import has thought of its failing.
        if self.guarded == 0
            && let Some(objection) = packages::objection(module)
        {
            self.find(node, objection);
        }
    }

    fn unawaited(&mut self, expression: &Expr) {
        if let Expr::Call(call) = expression
            && let Some(name) = coroutine(call)
        {
            self.find(call, format!("`{name}(…)` is not awaited, so it never runs"));
        }
    }
}

impl<'tree> Visitor<'tree> for Look<'_> {
    fn visit_stmt(&mut self, statement: &'tree Stmt) {
        match statement {
            Stmt::Import(import) => {
                for alias in &import.names {
                    self.import(import, alias.name.as_str());
                }
            }
            Stmt::ImportFrom(import) if import.level == 0 => {
                if let Some(module) = &import.module {
                    self.import(import, module.as_str());
                }
            }
            Stmt::ImportFrom(import) => {
                self.find(import, "there is no package to import from relatively".to_owned());
            }
            Stmt::Expr(expression) => self.unawaited(&expression.value),
            Stmt::Try(_) => {
                self.guarded += 1;
                walk_stmt(self, statement);
                self.guarded -= 1;
                return;
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'tree Expr) {
        match expression {
            Expr::Call(call) => {
                if let Some(name) = tool_name(call)
                    && !self.tools.contains(name)
                {
                    self.find(call, format!("there is no tool `{name}` for this program"));
                }
            }
            // A coroutine has neither items nor the attributes of a result.
            Expr::Subscript(subscript) => self.unawaited(&subscript.value),
            Expr::Attribute(attribute) => self.unawaited(&attribute.value),
            _ => {}
        }
        walk_expr(self, expression);
    }
}

/// The name of the coroutine that a call makes, when it is one of the sandbox's.
fn coroutine(call: &ExprCall) -> Option<&'static str> {
    match call.func.as_ref() {
        Expr::Name(name) if name.id.as_str() == CALL_TOOL => Some(CALL_TOOL),
        Expr::Name(name) if name.id.as_str() == CALL_AI => Some(CALL_AI),
        _ => None,
    }
}

/// The tool that a call names in so many words.
fn tool_name(call: &ExprCall) -> Option<&str> {
    if coroutine(call) != Some(CALL_TOOL) {
        return None;
    }
    match call.arguments.find_argument_value("tool_name", 0)? {
        Expr::StringLiteral(text) => Some(text.value.to_str()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> BTreeSet<String> {
        BTreeSet::from(["list_web_apps".to_owned()])
    }

    fn messages(code: &str) -> Vec<String> {
        let found = examine(code, &tools()).unwrap();
        found.into_iter().map(|finding| format!("{}: {}", finding.line, finding.message)).collect()
    }

    #[test]
    fn good_programs_have_no_findings() {
        for code in [
            "",
            "# nothing\n",
            "\u{feff}x = 1\r\nx\r\n",
            "import asyncio, json\nfrom collections import Counter\nawait asyncio.sleep(0)",
            "apps = await _call_mcp_tool('list_web_apps', {'limit': 3})\napps['web_apps']",
            "import asyncio\nboth = await asyncio.gather(_call_ai('a'), _call_mcp_tool('list_web_apps', {}))",
            "task = _call_ai('later')\nawait task",
            "name = 'x'\nawait _call_mcp_tool(name, {})",
            "try:\n    import requests\nexcept ImportError:\n    requests = None",
            "match 1:\n    case int(): pass\ntype X = int\nprint(f'{1 + 1!r:>3}')",
        ] {
            assert_eq!(messages(code), [""; 0], "{code}");
        }
    }

    #[test]
    fn what_will_not_work_is_named_with_its_line() {
        assert_eq!(
            messages("import json\nimport requests.adapters\n"),
            ["2: `requests` is not installed in the sandbox, and nothing can be installed there"]
        );
        assert_eq!(
            messages("from . import x"),
            ["1: there is no package to import from relatively"]
        );
        assert_eq!(
            messages("async def f():\n    _call_ai('x')\n    return _call_ai('y')['z']\n"),
            [
                "2: `_call_ai(…)` is not awaited, so it never runs",
                "3: `_call_ai(…)` is not awaited, so it never runs"
            ]
        );
        assert_eq!(
            messages("await _call_mcp_tool(arguments={}, tool_name='nope')"),
            ["1: there is no tool `nope` for this program"]
        );
    }

    #[test]
    fn what_is_no_program_is_refused_with_its_place() {
        let problem = |code: &str| examine(code, &tools()).unwrap_err();
        let CodeProblem::Syntax { line, column, .. } = problem("x = 1\nfor ä y in z:\n") else {
            panic!("{:?}", problem("x = 1\nfor ä y in z:\n"))
        };
        assert_eq!((line, column), (2, 7));
        assert!(matches!(problem("Here is your code."), CodeProblem::Syntax { line: 1, .. }));
        assert!(matches!(problem("if x:\nprint()"), CodeProblem::Syntax { line: 2, .. }));
        assert_eq!(problem("x = '\0'"), CodeProblem::Nul);
        let long = "x = 1\n".repeat(CODE_BYTES);
        assert_eq!(problem(&long), CodeProblem::TooLarge(long.len()));
    }

    /// None of these may end the process, whatever they are judged.
    #[test]
    fn programs_that_nest_deeply_are_read() {
        let n = CODE_BYTES;
        let half = n / 2;
        let programs = [
            format!("{}1", "-".repeat(n - 1)),
            format!("{}1{}", "(".repeat(half - 1), ")".repeat(half)),
            format!("{}{}", "[".repeat(half), "]".repeat(half)),
            format!("1{}", "+1".repeat(half - 1)),
            format!("1{}", "**1".repeat(n / 3 - 1)),
            format!("x{}", ".a".repeat(half - 1)),
            format!("x{}", "()".repeat(half - 1)),
            format!("{}1", "not ".repeat(n / 4 - 1)),
            format!("{}1", "lambda:".repeat(n / 7 - 1)),
            format!("{}1", "1 if x else ".repeat(n / 12 - 1)),
            format!("{}1", "await ".repeat(n / 6 - 1)),
            format!("x = {}1", "x = ".repeat(n / 4 - 2)),
            "{".repeat(n),
            format!("f'{}'", "{".repeat(n - 3)),
        ];
        for program in programs {
            assert!(program.len() <= n);
            let _either = examine(&program, &tools());
        }
    }
}
