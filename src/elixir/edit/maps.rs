//! Maps of attributes in fixtures and tests.

use std::ops::Range;

use super::{Edits, indent_of, line_end, read_source};
use crate::elixir::error::ElixirError;
use crate::elixir::syntax::{Expr, Kind, Pair, walk};

/// Adds keys to the maps that `is_meant` picks by the bytes before them, and renames or removes others.
pub(crate) fn add_map_keys(
    path: &str,
    text: &str,
    within: Range<usize>,
    is_meant: &dyn Fn(&str) -> bool,
    pairs: &[(String, String)],
    gone: &[(String, Option<String>)],
) -> Result<String, ElixirError> {
    let parsed = read_source(path, text)?;
    let mut edits = Edits::default();
    walk(&parsed.body, &mut |expr| {
        let Kind::Map(head, items) = &expr.kind else { return };
        if head != "%" || expr.span.start < within.start || expr.span.end > within.end {
            return;
        }
        let before = text.get(..expr.span.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        if is_meant(line.trim()) {
            edit_map(&mut edits, text, expr, items, pairs, gone);
        }
    });
    Ok(edits.apply(text))
}

fn edit_map(
    edits: &mut Edits,
    text: &str,
    expr: &Expr,
    items: &[Expr],
    pairs: &[(String, String)],
    gone: &[(String, Option<String>)],
) {
    let known: &[Pair] = match items {
        [] => &[],
        [Expr { kind: Kind::Keywords(known), .. }] => known,
        // Maps with other keys are somebody's own.
        _ => return,
    };
    for pair in known {
        if let Some((_, new)) = gone.iter().find(|(old, _)| *old == pair.key) {
            match new {
                Some(new) => {
                    let end = pair.span.start + pair.key.len();
                    edits.replace(pair.span.start..end, new);
                }
                None => {
                    let rest = text.get(pair.span.end..expr.span.end).unwrap_or_default();
                    let behind = rest.find(|letter: char| letter != ',' && !letter.is_whitespace()).unwrap_or(0);
                    let is_last = known.last().is_some_and(|last| last.key == pair.key);
                    edits.remove(pair.span.start..pair.span.end + if is_last { 0 } else { behind });
                }
            }
        }
    }
    let renamed = |key: &str| gone.iter().any(|(old, new)| new.as_deref() == Some(key) && known.iter().any(|pair| pair.key == *old));
    let missing: Vec<String> = pairs
        .iter()
        .filter(|(key, _)| !known.iter().any(|pair| pair.key == *key) && !renamed(key))
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    if missing.is_empty() {
        return;
    }
    match known.last() {
        None => edits.replace(expr.span.clone(), &format!("%{{{}}}", missing.join(", "))),
        Some(last) => {
            let broken = text.get(expr.span.clone()).is_some_and(|map| map.contains('\n'));
            let code = if broken {
                let indent = indent_of(text, last.span.start);
                missing.iter().map(|pair| format!(",\n{indent}{pair}")).collect::<String>()
            } else {
                missing.iter().map(|pair| format!(", {pair}")).collect()
            };
            edits.insert(last.span.end, &code);
        }
    }
}

/// Adds assertions behind the last one on a row's field in each test whose name fits.
pub(crate) fn add_assertions(
    path: &str,
    text: &str,
    test: &str,
    variable: &str,
    lines: &[(String, String)],
) -> Result<String, ElixirError> {
    let parsed = read_source(path, text)?;
    let mut edits = Edits::default();
    walk(&parsed.body, &mut |expr| {
        let Some(call) = expr.call().filter(|call| call.target == "test") else { return };
        let named = call.arg(0).and_then(Expr::text).is_some_and(|name| name.starts_with(test));
        let Some(block) = call.block.as_ref().filter(|_| named) else { return };
        let start = format!("{variable}.");
        let last = block
            .body
            .iter()
            .filter(|expr| {
                expr.call().is_some_and(|call| {
                    call.target == "assert" && call.arg(0).is_some_and(|arg| arg.flat().starts_with(&start))
                })
            })
            .next_back();
        let Some(last) = last else { return };
        let body = text.get(block.start..block.end).unwrap_or_default();
        let indent = indent_of(text, last.span.start);
        let code: String = lines
            .iter()
            .filter(|(name, _)| !body.contains(&format!("{start}{name} ==")))
            .map(|(name, value)| format!("{indent}assert {start}{name} == {value}\n"))
            .collect();
        if !code.is_empty() {
            edits.insert(line_end(text, last.span.end), &code);
        }
    });
    Ok(edits.apply(text))
}
