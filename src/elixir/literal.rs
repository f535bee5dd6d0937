//! Values as Elixir literals. No text of a definition reaches code by another way.

use std::fmt::Write as _;

use serde_json::Value;

/// A value that can be written into code.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// An integer, by its digits.
    Integer(i64),
    /// A number with a fraction, as the formatter writes it.
    Float(f64),
    /// `"…"`
    Text(String),
    /// `:…`
    Atom(String),
    /// `[…]`
    List(Vec<Literal>),
    /// `%{"…" => …}`
    Map(Vec<(String, Literal)>),
    /// Code made here, such as a sigil of a checked date.
    Code(String),
}

impl Literal {
    /// A JSON value; `None` for a number that Elixir cannot hold exactly as written.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Nil,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Float(number.as_f64().filter(|float| float.is_finite())?),
            },
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => {
                Self::List(items.iter().map(Self::from_json).collect::<Option<_>>()?)
            }
            Value::Object(map) => Self::Map(
                map.iter()
                    .map(|(key, value)| Some((key.clone(), Self::from_json(value)?)))
                    .collect::<Option<_>>()?,
            ),
        })
    }

    /// The literal as code.
    pub(crate) fn code(&self) -> String {
        match self {
            Self::Nil => "nil".to_owned(),
            Self::Bool(flag) => flag.to_string(),
            Self::Integer(number) => integer(*number),
            Self::Float(number) => float(*number),
            Self::Text(content) => text(content),
            Self::Atom(name) => atom(name),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::code).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(pairs) => {
                let pairs: Vec<String> = pairs
                    .iter()
                    .map(|(key, value)| format!("{} => {}", text(key), value.code()))
                    .collect();
                format!("%{{{}}}", pairs.join(", "))
            }
            Self::Code(code) => code.clone(),
        }
    }
}

/// A string literal. Control characters, marks that reorder text, and everything that could end or
/// leave the literal are escaped.
pub(crate) fn text(content: &str) -> String {
    format!("\"{}\"", escaped(content))
}

fn escaped(content: &str) -> String {
    let mut code = String::with_capacity(content.len() + 2);
    let mut letters = content.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => code.push_str("\\\""),
            '\\' => code.push_str("\\\\"),
            '\n' => code.push_str("\\n"),
            '\r' => code.push_str("\\r"),
            '\t' => code.push_str("\\t"),
            '#' if letters.peek() == Some(&'{') => code.push_str("\\#"),
            letter if must_escape(letter) => {
                let _ = write!(code, "\\u{{{:X}}}", u32::from(letter));
            }
            letter => code.push(letter),
        }
    }
    code
}

/// Letters that are invisible or change how text around them is shown.
fn must_escape(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// An atom literal, quoted only where it must be.
pub(crate) fn atom(name: &str) -> String {
    match name {
        "nil" | "true" | "false" => name.to_owned(),
        _ if is_plain_atom(name) => format!(":{name}"),
        _ => format!(":\"{}\"", escaped_once(name)),
    }
}

/// A keyword's key with its colon and a space.
pub(crate) fn key(name: &str) -> String {
    if is_plain_atom(name) { format!("{name}: ") } else { format!("\"{}\": ", escaped_once(name)) }
}

/// Names that were read from code hold their escapes already; those are kept.
fn escaped_once(name: &str) -> String {
    if name.contains('\\') { name.to_owned() } else { escaped(name) }
}

fn is_plain_atom(name: &str) -> bool {
    let body = name.strip_suffix(['?', '!']).unwrap_or(name);
    let mut letters = body.chars();
    letters.next().is_some_and(|first| is_letter(first) || first == '_')
        && letters.all(|letter| {
            is_letter(letter) || letter.is_ascii_digit() || matches!(letter, '_' | '@')
        })
}

/// Letters that stand in names without quotes; others are quoted, which is always right.
fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphabetic()
        || (matches!(letter, '\u{C0}'..='\u{17F}') && !matches!(letter, '\u{D7}' | '\u{F7}'))
}

/// An integer, with underscores from six digits on, as the formatter writes it.
pub(crate) fn integer(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(&digits))
}

fn grouped(digits: &str) -> String {
    if digits.len() < 6 {
        return digits.to_owned();
    }
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push('_');
        }
        grouped.push(digit);
    }
    grouped
}

fn float(number: f64) -> String {
    let written = format!("{number:?}");
    let (body, exponent) = match written.split_once('e') {
        Some((body, exponent)) => (body, Some(exponent)),
        None => (written.as_str(), None),
    };
    let (whole, fraction) = body.split_once('.').unwrap_or((body, "0"));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let exponent = exponent.map(|exponent| format!("e{exponent}")).unwrap_or_default();
    format!("{sign}{}.{fraction}{exponent}", grouped(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_literal() {
        assert_eq!(text("a\"b\\c#{System.halt()}\n"), r#""a\"b\\c\#{System.halt()}\n""#);
        assert_eq!(text("\u{202E}\u{0}"), "\"\\u{202E}\\u{0}\"");
        assert_eq!(atom("in review"), ":\"in review\"");
        assert_eq!(atom("a\"]; x"), ":\"a\\\"]; x\"");
        assert_eq!(atom("draft"), ":draft");
        assert_eq!(key("in review"), "\"in review\": ");
    }

    #[test]
    fn numbers_are_grouped_as_the_formatter_does() {
        assert_eq!(integer(99_999), "99999");
        assert_eq!(integer(-1_234_567), "-1_234_567");
        assert_eq!(float(1.5), "1.5");
        assert_eq!(float(1e30), "1.0e30");
        assert_eq!(float(123_456.25), "123_456.25");
    }
}
