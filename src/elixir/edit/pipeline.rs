//! The steps of a changeset, edited one by one.

use crate::elixir::literal;
use crate::elixir::syntax::{Call, Expr, Kind, Parens};

use super::{Edits, indent_of, line_end, line_start};

/// A pipeline, first value first.
pub(crate) fn flatten(expr: &Expr) -> Option<Vec<&Expr>> {
    match &expr.kind {
        Kind::Binary(operator, left, right) if operator == "|>" => {
            let mut steps = flatten(left).unwrap_or_else(|| vec![left]);
            steps.push(right);
            Some(steps)
        }
        _ => None,
    }
}

/// What a changeset function shall hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted<'a> {
    pub(crate) cast: &'a [String],
    pub(crate) required: &'a [String],
    pub(crate) early_steps: &'a [String],
    pub(crate) steps: &'a [String],
    /// Old and new names.
    pub(crate) renames: &'a [(String, String)],
    /// Names that are removed.
    pub(crate) dropped: &'a [String],
    /// Names that the definition speaks of: only of these `validate_required` is kept true.
    pub(crate) known: &'a [String],
}

/// Edits the pipeline of a function; `false` when its body is none.
pub(crate) fn edit_pipeline(
    edits: &mut Edits,
    text: &str,
    body: &[Expr],
    wanted: &Wanted<'_>,
) -> bool {
    let Some(steps) = body.last().and_then(flatten) else { return false };
    let calls: Vec<(&Expr, &Call)> =
        steps.iter().filter_map(|step| Some((*step, step.call()?))).collect();
    let Some((_, cast)) = calls.iter().find(|(_, call)| call.target == "cast") else {
        return false;
    };
    let Some(listed) = cast.args.last().filter(|arg| arg.list().is_some()) else { return false };
    edit_list(edits, text, listed, wanted.cast, &[], wanted);
    let Some(last) = calls.last() else { return false };
    let required = calls.iter().find(|(_, call)| call.target == "validate_required");
    let mut after_cast = wanted.early_steps.to_vec();
    let mut at_end = Vec::new();
    match required {
        Some((expr, call)) => {
            let optional: Vec<String> = wanted
                .known
                .iter()
                .filter(|name| !wanted.required.contains(name))
                .cloned()
                .collect();
            match call.args.last() {
                Some(list)
                    if list.list().is_some()
                        && wanted.required.is_empty()
                        && names(list).iter().all(|name| optional.contains(name)) =>
                {
                    edits.remove(line_start(text, expr.span.start)..line_end(text, expr.span.end));
                }
                Some(list) if list.list().is_some() => {
                    edit_list(edits, text, list, wanted.required, &optional, wanted);
                }
                _ => {}
            }
        }
        None if !wanted.required.is_empty() => {
            after_cast.push(format!(
                "validate_required({})",
                crate::elixir::render::schema::atoms(wanted.required)
            ));
        }
        None => {}
    }
    after_cast.retain(|step| !has_step(&calls, step, wanted.renames));
    for step in wanted.steps {
        edit_step(edits, &calls, step, wanted.renames, &mut at_end);
    }
    for (expr, call) in &calls {
        if call
            .args
            .first()
            .and_then(Expr::atom)
            .is_some_and(|name| wanted.dropped.iter().any(|dropped| dropped == name))
        {
            edits.remove(line_start(text, expr.span.start)..line_end(text, expr.span.end));
        }
    }
    for (expr, call) in &calls {
        if is_outlived(call, expr, wanted) {
            edits.remove(line_start(text, expr.span.start)..line_end(text, expr.span.end));
        }
    }
    let indent = indent_of(text, last.0.span.start);
    let lines = |steps: &[String]| {
        steps.iter().map(|step| format!("\n{indent}|> {step}")).collect::<String>()
    };
    if !after_cast.is_empty()
        && let Some((expr, _)) = calls.iter().find(|(_, call)| call.target == "cast")
    {
        edits.insert_after(expr.span.end, &lines(&after_cast));
    }
    if !at_end.is_empty() {
        edits.insert_after(last.0.span.end, &lines(&at_end));
    }
    true
}

impl Edits {
    /// Puts whole lines behind a line's last byte: the mark of the first is not on the line before.
    fn insert_after(&mut self, at: usize, text: &str) {
        self.insert(at, text);
    }
}

fn names(list: &Expr) -> Vec<String> {
    list.list()
        .unwrap_or_default()
        .iter()
        .filter_map(|item| item.atom().map(str::to_owned))
        .collect()
}

/// Adds names to a list of atoms, and takes away those that are gone.
fn edit_list(
    edits: &mut Edits,
    text: &str,
    list: &Expr,
    wanted: &[String],
    without: &[String],
    all: &Wanted<'_>,
) {
    let before = names(list);
    // A list that holds more than names is somebody's own.
    if before.len() != list.list().map_or(0, <[Expr]>::len) {
        return;
    }
    let mut after: Vec<String> = before
        .iter()
        .map(|name| {
            all.renames
                .iter()
                .find(|(old, _)| old == name)
                .map_or_else(|| name.clone(), |(_, new)| new.clone())
        })
        .filter(|name| !all.dropped.contains(name) && !without.contains(name))
        .collect();
    for name in wanted {
        if !after.contains(name) {
            after.push(name.clone());
        }
    }
    if after != before {
        let _ = text;
        edits.replace(list.span.clone(), &crate::elixir::render::schema::atoms(&after));
    }
}

/// Whether a step is the length that every short text has, on a field that is none any more.
fn is_outlived(call: &Call, expr: &Expr, wanted: &Wanted<'_>) -> bool {
    let Some(name) = call.args.first().and_then(Expr::atom) else { return false };
    let limit = format!("validate_length(:{name}, max: 255)");
    let flat = expr.flat();
    (flat == limit || is_column_range(&flat))
        && wanted.known.iter().any(|known| known == name)
        && !wanted.steps.iter().any(|step| step.starts_with(&format!("{}(:{name},", call.target)))
}

/// Whether a step limits a number to what its column holds, and to nothing else.
fn is_column_range(step: &str) -> bool {
    let integers = [(i32::MIN.into(), i32::MAX.into()), (i64::MIN, i64::MAX)];
    let ends = |(least, most): (i64, i64)| {
        let range = format!(", {}..{})", literal::integer(least), literal::integer(most));
        step.starts_with("validate_inclusion(") && step.ends_with(&range)
    };
    let decimal = || {
        let (front, most) = step
            .strip_prefix("validate_number(")?
            .split_once(", less_than_or_equal_to: Decimal.new(\"")?;
        let (_, least) = front.split_once(", greater_than_or_equal_to: Decimal.new(\"-")?;
        let (least, most) = (least.strip_suffix("\")")?, most.strip_suffix("\"))")?);
        let nines = |character: char| matches!(character, '9' | '.' | '0');
        (least == most && least.chars().all(nines)).then_some(())
    };
    integers.into_iter().any(ends) || decimal().is_some()
}

/// Steps are one step when they do the same to the same field under the same name.
fn key_of(call: &Call, renames: &[(String, String)]) -> String {
    let first = call.args.first().map(Expr::flat).unwrap_or_default();
    let first = renames
        .iter()
        .find(|(old, _)| first == format!(":{old}"))
        .map_or(first, |(_, new)| format!(":{new}"));
    let name = if call.target.ends_with("_constraint") && call.target != "foreign_key_constraint" {
        call.get("name").map(Expr::flat).unwrap_or_default()
    } else {
        String::new()
    };
    format!("{} {first} {name}", call.target)
}

fn parse_step(step: &str) -> Option<Expr> {
    crate::elixir::syntax::parse(step)?.body.into_iter().next()
}

fn has_step(calls: &[(&Expr, &Call)], step: &str, renames: &[(String, String)]) -> bool {
    let Some(wanted) = parse_step(step) else { return true };
    let Some(wanted) = wanted.call() else { return true };
    calls.iter().any(|(_, call)| key_of(call, renames) == key_of(wanted, &[]))
}

fn edit_step(
    edits: &mut Edits,
    calls: &[(&Expr, &Call)],
    step: &str,
    renames: &[(String, String)],
    missing: &mut Vec<String>,
) {
    let Some(wanted) = parse_step(step) else { return };
    let Some(call) = wanted.call() else { return };
    match calls.iter().find(|(_, known)| key_of(known, renames) == key_of(call, &[])) {
        None => missing.push(step.to_owned()),
        Some((expr, known)) => {
            let renamed = known.args.first().map(Expr::flat) != call.args.first().map(Expr::flat);
            // The length that every column has is no wish of the definition's.
            let by_itself = call.target == "validate_length"
                && step.ends_with(", max: 255)")
                && call.keywords().len() == 1
                || is_column_range(step) && !is_column_range(&expr.flat());
            let differs = known.parens == Parens::Written && expr.flat() != wanted.flat();
            if differs && (renamed || !by_itself) {
                edits.replace(expr.span.clone(), &wanted.flat());
            }
        }
    }
}
