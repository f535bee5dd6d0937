//! Functions, aliases and imports of a module.

use std::ops::Range;

use super::{Edits, indent_of, line_end, line_start, read_source};
use crate::elixir::error::{ElixirError, Refusal};
use crate::elixir::project::modules::{Aliases, Module, functions, modules};
use crate::elixir::render::Function;
use crate::elixir::syntax::{Expr, Kind};

/// The module of this name, or an error that says where it was looked for.
fn module_of<'a>(
    found: &'a [Module<'a>],
    name: &str,
    path: &str,
) -> Result<&'a Module<'a>, ElixirError> {
    found.iter().find(|module| module.name == name).ok_or_else(|| {
        ElixirError::refused(
            Refusal::NameTaken,
            format!("`{path}` is there and holds no module `{name}`"),
            "rename that file, or choose another context",
        )
    })
}

/// Puts functions that are missing before the module's own `end`. Returns the text and the names of
/// those that were there already.
pub(crate) fn insert_functions(
    path: &str,
    text: &str,
    module: &str,
    wanted: &[Function],
) -> Result<(String, Vec<String>), ElixirError> {
    let parsed = read_source(path, text)?;
    let found = modules(&parsed);
    let module = module_of(&found, module, path)?;
    let known = functions(module.block);
    let has = |function: &Function| {
        known.iter().any(|(name, least, most)| {
            *name == function.name && *least <= function.most && function.least <= *most
        })
    };
    let skipped = wanted
        .iter()
        .filter(|function| has(function))
        .map(|function| format!("{}/{}", function.name, function.most))
        .collect();
    let missing: Vec<&Function> = wanted.iter().filter(|function| !has(function)).collect();
    if missing.is_empty() {
        return Ok((text.to_owned(), skipped));
    }
    let mut edits = Edits::default();
    let end = module.block.end;
    let indent = indent_of(text, end);
    let code: Vec<String> =
        missing.iter().map(|function| indented(&function.code, &indent)).collect();
    let code = code.join("\n");
    let start = line_start(text, end);
    let alone = text.get(start..end).is_some_and(|front| front.trim().is_empty());
    if alone {
        let opens = text
            .get(..start)
            .is_some_and(|front| front.trim_end().ends_with("do") || front.trim_end().is_empty());
        let gap = if opens { "" } else { "\n" };
        edits.insert(start, &format!("{gap}{code}"));
    } else {
        edits.insert(end, &format!("\n\n{code}{indent}"));
    }
    Ok((edits.apply(text), skipped))
}

fn indented(code: &str, indent: &str) -> String {
    code.lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("{indent}{line}\n") })
        .collect()
}

/// Adds `alias Some.Module` behind the other aliases, unless the short name is known.
pub(crate) fn ensure_alias(
    path: &str,
    text: &str,
    module: &str,
    whole: &str,
) -> Result<String, ElixirError> {
    let short = whole.rsplit('.').next().unwrap_or(whole);
    let parsed = read_source(path, text)?;
    let found = modules(&parsed);
    let block = module_of(&found, module, path)?.block;
    if Aliases::read(block).has(short, whole) {
        return Ok(text.to_owned());
    }
    Ok(insert_directive(text, &block.body, block.start, &format!("alias {whole}")))
}

/// Adds a directive such as `import Ecto.Query, warn: false`, unless `marker` is imported or used.
pub(crate) fn ensure_line(
    path: &str,
    text: &str,
    module: &str,
    line: &str,
    marker: &str,
) -> Result<String, ElixirError> {
    let parsed = read_source(path, text)?;
    let found = modules(&parsed);
    let block = module_of(&found, module, path)?.block;
    let directive = line.split(' ').next().unwrap_or_default();
    let known = block.body.iter().filter_map(Expr::call).any(|call| {
        call.target == directive && call.arg(0).is_some_and(|arg| arg.flat() == marker)
    });
    if known {
        return Ok(text.to_owned());
    }
    Ok(insert_directive(text, &block.body, block.start, line))
}

fn insert_directive(text: &str, body: &[Expr], start: usize, line: &str) -> String {
    let kind = line.split(' ').next().unwrap_or_default();
    let is_one_of = |expr: &&Expr, kinds: &[&str]| {
        expr.call().is_some_and(|call| kinds.contains(&call.target.as_str()))
    };
    let is_attribute =
        |expr: &&Expr| matches!(&expr.kind, Kind::Unary(operator, _) if operator == "@");
    let last = body
        .iter()
        .rfind(|expr| is_one_of(expr, &[kind]))
        .or_else(|| {
            body.iter().rfind(|expr| is_one_of(expr, &["use", "import", "alias", "require"]))
        })
        .or_else(|| body.iter().find(is_attribute));
    let mut edits = Edits::default();
    if let Some(last) = last {
        let indent = indent_of(text, last.span.start);
        let same = last.call().is_some_and(|call| call.target == kind);
        let gap = if same { "" } else { "\n" };
        let at = line_end(text, last.span.end);
        // What follows keeps its distance.
        let followed =
            text.get(at..).is_some_and(|rest| rest.starts_with('\n') || rest.starts_with("\r\n"));
        let after = if followed || rest_closes(text, at) { "" } else { "\n" };
        edits.insert(at, &format!("{gap}{indent}{line}\n{after}"));
    } else {
        edits.insert(line_end(text, start), &format!("  {line}\n\n"));
    }
    edits.apply(text)
}

fn rest_closes(text: &str, at: usize) -> bool {
    let next = text.get(at..).unwrap_or_default().lines().next().unwrap_or_default().trim();
    next.starts_with("end") || next.starts_with("alias ") || next.starts_with("import ")
}

/// The bytes of a function's body between `do` and `end`.
pub(crate) fn function_span(
    path: &str,
    text: &str,
    module: &str,
    name: &str,
) -> Result<Option<Range<usize>>, ElixirError> {
    let parsed = read_source(path, text)?;
    let found = modules(&parsed);
    let Some(module) = found.iter().find(|known| known.name == module) else { return Ok(None) };
    Ok(module.block.body.iter().find_map(|expr| {
        let call = expr.call().filter(|call| matches!(call.target.as_str(), "def" | "defp"))?;
        let head = call.arg(0)?.call()?;
        let block = call.block.as_ref().filter(|_| head.target == name)?;
        Some(block.start..block.end)
    }))
}

/// Replaces a function's body where it is exactly what a generator wrote; `None` where it is not.
pub(crate) fn body_replaced(
    text: &str,
    span: Range<usize>,
    old: &str,
    new: &[String],
) -> Option<String> {
    let body = text.get(span.clone())?;
    if body.trim() != old {
        return None;
    }
    let indent = indent_of(text, span.end);
    let lines: String = new.iter().map(|line| format!("{indent}  {line}\n")).collect();
    let mut edits = Edits::default();
    edits.replace(span, &format!("\n{lines}{indent}"));
    Some(edits.apply(text))
}
