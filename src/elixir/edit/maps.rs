//! Maps of attributes in fixtures and tests.

use std::ops::Range;

use super::{Edits, indent_of, line_end, read_source};
use crate::elixir::error::ElixirError;
use crate::elixir::syntax::{Expr, Kind, Pair, parse, walk};

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
    let rename = |key: &str| -> Option<String> {
        match gone.iter().find(|(old, _)| *old == key) {
            Some((_, new)) => new.clone(),
            None => Some(key.to_owned()),
        }
    };
    let kept: Vec<(String, &Pair)> =
        known.iter().filter_map(|pair| Some((rename(&pair.key)?, pair))).collect();
    let missing: Vec<String> = pairs
        .iter()
        .filter(|(key, _)| !kept.iter().any(|(known, _)| known == key))
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    // What others hold inside, such as embeds, grows with its own definition.
    for (key, pair) in &kept {
        if let Some((_, value)) = pairs.iter().find(|(wanted, _)| wanted == key) {
            grow(edits, text, &pair.value, value);
        }
    }
    let changed = kept.len() != known.len() || kept.iter().any(|(key, pair)| *key != pair.key);
    let broken = text.get(expr.span.clone()).is_some_and(|map| map.contains('\n'));
    let gap = match known.first().filter(|_| broken) {
        Some(first) => format!(",\n{}", indent_of(text, first.span.start)),
        None => ", ".to_owned(),
    };
    match (known, known.last()) {
        ([first, ..], Some(last)) if changed => {
            let mut lines: Vec<String> = kept
                .iter()
                .map(|(key, pair)| {
                    let value = text.get(pair.value.span.clone()).unwrap_or_default();
                    format!("{key}: {value}")
                })
                .collect();
            lines.extend(missing);
            edits.replace(first.span.start..last.span.end, &lines.join(&gap));
        }
        _ if missing.is_empty() => {}
        (_, Some(last)) => {
            let code: String = missing.iter().map(|pair| format!("{gap}{pair}")).collect();
            edits.insert(last.span.end, &code);
        }
        (_, None) => edits.replace(expr.span.clone(), &format!("%{{{}}}", missing.join(", "))),
    }
}

/// Adds keys inside a map, or inside the maps of a list, that a wanted value of the same shape has.
fn grow(edits: &mut Edits, text: &str, value: &Expr, wanted: &str) {
    let Some(wanted) = parse(wanted).and_then(|parsed| parsed.body.into_iter().next()) else {
        return;
    };
    let wanted = match (&value.kind, wanted.list()) {
        (Kind::List(items), Some([inner])) => {
            for item in items {
                grow(edits, text, item, &inner.flat());
            }
            return;
        }
        _ => wanted,
    };
    let Kind::Map(head, items) = &value.kind else { return };
    if head == "%" && !wanted.pairs().is_empty() {
        let pairs: Vec<(String, String)> =
            wanted.pairs().iter().map(|pair| (pair.key.clone(), pair.value.flat())).collect();
        edit_map(edits, text, value, items, &pairs, &[]);
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
        let last = block.body.iter().rfind(|expr| {
            expr.call().is_some_and(|call| {
                call.target == "assert"
                    && call.arg(0).is_some_and(|arg| arg.flat().starts_with(&start))
            })
        });
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
