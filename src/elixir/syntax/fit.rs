//! Lines that are too long, broken as the Elixir formatter breaks them.
//!
//! Generated text has one statement per line. Whatever fits stays as it is; what does not is read,
//! laid out by the formatter's rules, and set apart by blank lines where the formatter does so.

use super::{Call, Expr, Kind, Pair, Parens, parse};

/// The columns that a breakable part may use.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Indentation of lines that begin inside the part.
    nest: usize,
    /// Column where the part begins.
    column: usize,
    /// Columns that must stay free behind it.
    trail: usize,
}

/// A line that was looked at.
enum Line<'a> {
    Kept(&'a str),
    /// Text over several lines, and whether blank lines set it apart.
    Broken(String, Apart),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    Both,
    Before,
    No,
}

/// Ends a line that was generated, in a text where others were not.
pub(crate) const MARK: char = '\u{1}';

/// Breaks the marked lines of a text that are wider than `width`, and takes the marks away.
pub(crate) fn fit_marked(text: &str, width: usize) -> String {
    if !text.contains(MARK) {
        return text.to_owned();
    }
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let cleaned: Vec<String> = text.lines().map(|line| line.replace(MARK, "")).collect();
    let lines: Vec<Line<'_>> = text
        .lines()
        .zip(&cleaned)
        .map(|(line, cleaned)| {
            if line.contains(MARK) && cleaned.chars().count() > width {
                broken(cleaned, width)
            } else {
                Line::Kept(cleaned)
            }
        })
        .collect();
    let joined = join(&lines);
    let joined = if text.ends_with('\n') { joined.as_str() } else { joined.trim_end_matches('\n') };
    joined.replace('\n', newline)
}

/// Breaks every line of a text that is wider than `width`.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.lines().all(|line| line.chars().count() <= width) {
        return text.to_owned();
    }
    let mut lines = Vec::new();
    let mut in_heredoc = false;
    for line in text.lines() {
        let marks = line.matches("\"\"\"").count();
        if in_heredoc || marks > 0 {
            in_heredoc ^= marks % 2 == 1;
            lines.push(Line::Kept(line));
        } else if line.chars().count() <= width || line.trim_start().starts_with('#') {
            lines.push(Line::Kept(line));
        } else {
            lines.push(broken(line, width));
        }
    }
    join(&lines)
}

fn join(lines: &[Line<'_>]) -> String {
    let mut out: Vec<&str> = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        match line {
            Line::Kept(text) => out.push(text),
            Line::Broken(text, apart) => {
                if *apart != Apart::No && out.last().is_some_and(|last| !opens(last)) {
                    out.push("");
                }
                out.extend(text.lines());
                let next = match lines.get(place + 1) {
                    Some(Line::Kept(next)) => next.trim(),
                    Some(Line::Broken(next, _)) => next.trim(),
                    None => "",
                };
                let closes = ["", "end", ")", "]", "}", "else"].contains(&next)
                    || next.starts_with("|>")
                    || next.starts_with("})");
                if *apart == Apart::Both && !closes {
                    out.push("");
                }
            }
        }
    }
    let mut text = out.join("\n");
    text.push('\n');
    text
}

/// Whether nothing is set apart from the line above it.
fn opens(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.starts_with('#')
        || line == "else"
        || ["do", "->", "[", "(", "{", "fn"].iter().any(|end| line.ends_with(end))
}

fn broken(line: &str, width: usize) -> Line<'_> {
    let indent = line.len() - line.trim_start().len();
    let body = line.trim_start();
    let (lead, body) = match body.strip_prefix("|> ") {
        Some(rest) => ("|> ", rest),
        None => ("", body),
    };
    let (body, tail) = [" do", ",", " ->"]
        .iter()
        .find_map(|tail| Some((body.strip_suffix(tail)?, *tail)))
        .unwrap_or((body, ""));
    let place = Place { nest: indent, column: indent + lead.len(), trail: 0 };
    let layout = Layout { width };
    let Some((expr, is_element)) = read_statement(body) else { return Line::Kept(line) };
    let laid = layout.put(&expr, place);
    let text = format!("{}{lead}{laid}{tail}", " ".repeat(indent));
    if !text.contains('\n') {
        return Line::Kept(line);
    }
    let apart = if !lead.is_empty() || !tail.is_empty() || is_element {
        Apart::No
    } else if body.starts_with('@') {
        Apart::Before
    } else {
        Apart::Both
    };
    Line::Broken(text, apart)
}

/// The one expression of a line, and whether it is an element: a line of a list or map is read within
/// brackets.
fn read_statement(body: &str) -> Option<(Expr, bool)> {
    let parsed = parse(body)?;
    if parsed.broken_line.is_none() {
        let mut exprs = parsed.body.into_iter();
        let first = exprs.next().filter(|_| exprs.next().is_none())?;
        let is_element = matches!(first.kind, Kind::Keywords(_));
        return Some((first, is_element));
    }
    let parsed = parse(&format!("%{{{body}}}"))?;
    if parsed.broken_line.is_some() {
        return None;
    }
    match parsed.body.into_iter().next()?.kind {
        Kind::Map(_, mut items) if items.len() == 1 => items.pop().map(|item| (item, true)),
        _ => None,
    }
}

struct Layout {
    width: usize,
}

impl Layout {
    fn fits(&self, text: &str, place: Place) -> bool {
        !text.contains('\n') && place.column + text.chars().count() + place.trail <= self.width
    }

    fn put(&self, expr: &Expr, place: Place) -> String {
        let flat = expr.flat();
        // Of what decides for itself, neither what follows nor the last parenthesis counts.
        let place = match &expr.kind {
            Kind::Call(call) if call.parens == Parens::Written => Place { trail: 0, ..place },
            Kind::List(_) | Kind::Map(..) if place.trail < self.width => {
                Place { trail: 0, ..place }
            }
            _ => place,
        };
        let measured = flat.strip_suffix(')').filter(|_| ends_open(expr)).unwrap_or(&flat);
        if self.fits(measured, place) {
            return flat;
        }
        match &expr.kind {
            Kind::Call(call) if !call.args.is_empty() => match call.parens {
                Parens::Written => self.put_parens(call, place),
                Parens::None => self.put_bare(call, place),
            },
            Kind::List(items) => self.put_container("[", items, "]", place),
            Kind::Tuple(items) => self.put_tuple(items, place),
            Kind::Map(head, items) => self.put_container(&format!("{head}{{"), items, "}", place),
            Kind::Keywords(pairs) => self.put_lines(&units(pairs), place),
            Kind::Binary(operator, left, right) => self.put_binary(operator, left, right, place),
            Kind::Unary(operator, operand) => {
                let column = place.column + operator.chars().count();
                format!("{operator}{}", self.put(operand, Place { column, ..place }))
            }
            Kind::Function(head, body) => {
                let nest = place.nest + 2;
                let inner = self.put(body, Place { nest, column: nest, trail: 0 });
                format!("fn {head}->\n{}{inner}\n{}end", pad(nest), pad(place.nest))
            }
            _ => flat,
        }
    }

    fn put_parens(&self, call: &Call, place: Place) -> String {
        let Some((last, front)) = call.args.split_last() else { return call.flat() };
        let head: String = front.iter().map(|arg| format!("{}, ", arg.flat())).collect();
        let head = format!("{}({head}", call.target);
        let nest = place.nest + 2;
        if let Kind::Keywords(pairs) = &last.kind
            && !front.is_empty()
            && !front.iter().any(is_generator)
            && self.fits(head.trim_end(), Place { trail: 0, ..place })
        {
            let lines = self.put_lines(&units(pairs), Place { nest, column: nest, trail: 0 });
            return format!("{}\n{}{lines}\n{})", head.trim_end(), pad(nest), pad(place.nest));
        }
        if is_container(last)
            && self.fits(&format!("{head}{}", opening(last)), Place { trail: 0, ..place })
        {
            let column = place.column + head.chars().count();
            let last = self.put_open(last, Place { column, ..place });
            return format!("{head}{last})");
        }
        let lines = self.put_lines(&all_units(&call.args), Place { nest, column: nest, trail: 0 });
        format!("{}(\n{}{lines}\n{})", call.target, pad(nest), pad(place.nest))
    }

    fn put_bare(&self, call: &Call, place: Place) -> String {
        let Some((last, front)) = call.args.split_last() else { return call.flat() };
        let gap = call.target.chars().count() + 1;
        if front.is_empty() {
            let column = place.column + gap;
            let nest = if is_container(last) { place.nest } else { column };
            return format!("{} {}", call.target, self.put(last, Place { nest, column, ..place }));
        }
        let head: String = front.iter().map(|arg| format!("{}, ", arg.flat())).collect();
        let head = format!("{} {head}", call.target);
        let only_head = Place { trail: 0, ..place };
        if let Kind::Keywords(pairs) = &last.kind
            && (self.fits(head.trim_end(), only_head)
                || matches!(front, [Expr { kind: Kind::Name(_), .. }]))
        {
            let nest = place.nest + 2;
            let place = Place { nest, column: nest, trail: place.trail };
            let lines = self.put_lines(&units(pairs), place);
            return format!("{}\n{}{lines}", head.trim_end(), pad(nest));
        }
        if is_container(last) && self.fits(&format!("{head}{}", opening(last)), only_head) {
            let column = place.column + head.chars().count();
            return format!("{head}{}", self.put_open(last, Place { column, ..place }));
        }
        let nest = place.column + gap;
        let place = Place { nest, column: nest, trail: place.trail };
        format!("{} {}", call.target, self.put_lines(&all_units(&call.args), place))
    }

    fn put_container(&self, open: &str, items: &[Expr], close: &str, place: Place) -> String {
        let nest = place.nest + 2;
        let lines = self.put_lines(&all_units(items), Place { nest, column: nest, trail: 0 });
        format!("{open}\n{}{lines}\n{}{close}", pad(nest), pad(place.nest))
    }

    /// Tuples are filled line by line, one column in.
    fn put_tuple(&self, items: &[Expr], place: Place) -> String {
        let nest = place.nest + 1;
        let mut text = "{".to_owned();
        let last = items.len().saturating_sub(1);
        for (index, item) in items.iter().enumerate() {
            let trail = if index == last { place.trail } else { 1 };
            let column = last_width(&text, place.column);
            let gap = usize::from(index > 0);
            let here = Place { nest, column: column + gap, trail };
            if index > 0 {
                if self.fits(&item.flat(), here) {
                    text.push(' ');
                } else {
                    text.push('\n');
                    text.push_str(&pad(nest));
                }
            }
            let column = last_width(&text, place.column);
            text.push_str(&self.put(item, Place { nest, column, trail }));
            text.push_str(if index == last { "}" } else { "," });
        }
        text
    }

    /// A container that is broken whether it would fit or not.
    fn put_open(&self, expr: &Expr, place: Place) -> String {
        self.put(expr, Place { trail: self.width, ..place })
    }

    fn put_binary(&self, operator: &str, left: &Expr, right: &Expr, place: Place) -> String {
        let left = self.put(left, Place { trail: 0, ..place });
        let joins = matches!(operator, "=" | "==" | "!=" | "<-" | "=>" | "\\\\" | "=~");
        let first = format!("{left} {operator} {}", opening(right));
        if joins && is_container(right) && self.fits(&first, Place { trail: 0, ..place }) {
            let column = place.column + left.chars().count() + operator.len() + 2;
            return format!("{left} {operator} {}", self.put(right, Place { column, ..place }));
        }
        // Behind the last line of a broken left side there may be room again.
        if left.contains('\n') {
            let column = last_width(&left, place.column) + operator.len() + 2;
            let flat = right.flat();
            if self.fits(&flat, Place { column, ..place }) {
                return format!("{left} {operator} {flat}");
            }
        }
        let nest = place.nest + 2;
        let right = self.put(right, Place { nest, column: nest, trail: place.trail });
        format!("{left} {operator}\n{}{right}", pad(nest))
    }

    /// One part per line, with commas between them.
    fn put_lines(&self, parts: &[Unit<'_>], place: Place) -> String {
        let last = parts.len().saturating_sub(1);
        let lines: Vec<String> = parts
            .iter()
            .enumerate()
            .map(|(index, part)| {
                let trail = if index == last { place.trail } else { 1 };
                let place = Place { trail, ..place };
                match part {
                    Unit::Expr(expr) => self.put(expr, place),
                    Unit::Pair(pair) => self.put_pair(pair, place),
                }
            })
            .collect();
        lines.join(&format!(",\n{}", pad(place.nest)))
    }

    fn put_pair(&self, pair: &Pair, place: Place) -> String {
        let key = crate::elixir::literal::key(&pair.key);
        let column = place.column + key.chars().count();
        let flat = pair.value.flat();
        if self.fits(&flat, Place { column, ..place }) || is_container(&pair.value) {
            return format!("{key}{}", self.put(&pair.value, Place { column, ..place }));
        }
        let nest = place.nest + 2;
        let value = self.put(&pair.value, Place { nest, column: nest, trail: place.trail });
        format!("{}\n{}{value}", key.trim_end(), pad(nest))
    }
}

/// What stands on a line of its own.
enum Unit<'a> {
    Expr(&'a Expr),
    Pair(&'a Pair),
}

fn units(pairs: &[Pair]) -> Vec<Unit<'_>> {
    pairs.iter().map(Unit::Pair).collect()
}

fn all_units(exprs: &[Expr]) -> Vec<Unit<'_>> {
    exprs
        .iter()
        .flat_map(|expr| match &expr.kind {
            Kind::Keywords(pairs) => units(pairs),
            _ => vec![Unit::Expr(expr)],
        })
        .collect()
}

/// Whether the last argument of a call may break alone, so that the parenthesis behind it is not
/// counted.
fn ends_open(expr: &Expr) -> bool {
    let Kind::Call(call) = &expr.kind else { return false };
    let Some((last, front)) = call.args.split_last() else { return false };
    let keywords = matches!(last.kind, Kind::Keywords(_)) && !front.is_empty();
    call.parens == Parens::Written
        && !front.iter().any(is_generator)
        && (keywords || is_container(last))
}

fn is_container(expr: &Expr) -> bool {
    match &expr.kind {
        Kind::List(items) | Kind::Map(_, items) => !items.is_empty(),
        Kind::Function(..) => true,
        _ => false,
    }
}

/// Generators are never left on the line of their call.
fn is_generator(expr: &Expr) -> bool {
    matches!(&expr.kind, Kind::Binary(operator, ..) if operator == "<-")
}

fn opening(expr: &Expr) -> String {
    match &expr.kind {
        Kind::List(_) => "[".to_owned(),
        Kind::Map(head, _) => format!("{head}{{"),
        Kind::Function(head, _) => format!("fn {head}->"),
        _ => String::new(),
    }
}

fn last_width(text: &str, column: usize) -> usize {
    match text.rsplit_once('\n') {
        Some((_, last)) => last.chars().count(),
        None => column + text.chars().count(),
    }
}

fn pad(columns: usize) -> String {
    " ".repeat(columns)
}
