//! Elixir text as a tree that owns its parts, so that nothing else names the parser.
//!
//! The parser reads any text and marks what it could not understand; a text with such marks is
//! never edited. Deep nesting ends in opaque parts instead of a deep recursion.

mod build;
mod fit;

use std::ops::Range;

pub(crate) use build::parse;
pub(crate) use fit::{MARK, fit, fit_marked};

/// An expression and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expr {
    /// What it is.
    pub(crate) kind: Kind,
    /// Its bytes in the text.
    pub(crate) span: Range<usize>,
}

/// What an expression is. Only what the generators look at is told apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// `name arg, arg`, `name(arg)`, with or without a block.
    Call(Box<Call>),
    /// `key: value, …` without brackets of its own.
    Keywords(Vec<Pair>),
    /// `[…]`
    List(Vec<Expr>),
    /// `{…}`
    Tuple(Vec<Expr>),
    /// `%{…}` or `%Name{…}`; the text before the brace.
    Map(String, Vec<Expr>),
    /// `:name`, without the colon and quotes.
    Atom(String),
    /// A string without interpolation, escapes as written.
    Text(String),
    /// `Some.Module`
    Alias(String),
    /// A variable, or a call without arguments.
    Name(String),
    /// A number, `true`, `false` or `nil`, as written.
    Scalar(String),
    /// `left operator right`
    Binary(String, Box<Expr>, Box<Expr>),
    /// `operator operand`
    Unary(String, Box<Expr>),
    /// `fn head -> body end` of one clause and one expression.
    Function(String, Box<Expr>),
    /// Anything else, as written.
    Other(String),
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    /// What is called: `field`, `Repo.get!`, `query.x`.
    pub(crate) target: String,
    /// Arguments; keywords without brackets are one, the last.
    pub(crate) args: Vec<Expr>,
    /// Whether the arguments stand in parentheses.
    pub(crate) parens: Parens,
    /// The block of `do … end`.
    pub(crate) block: Option<Block>,
}

/// How a call's arguments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parens {
    /// `f(a)`
    Written,
    /// `f a`
    None,
}

/// A block of `do … end`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    /// Its expressions.
    pub(crate) body: Vec<Expr>,
    /// Where `do` ends.
    pub(crate) start: usize,
    /// Where its `end` begins.
    pub(crate) end: usize,
}

/// `key: value`
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pair {
    /// The key, without quotes.
    pub(crate) key: String,
    /// The value.
    pub(crate) value: Expr,
    /// Bytes of both.
    pub(crate) span: Range<usize>,
}

/// A text that was read.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    /// Its expressions at the top.
    pub(crate) body: Vec<Expr>,
    /// Line of the first place that is no Elixir, from 1.
    pub(crate) broken_line: Option<usize>,
}

impl Expr {
    /// The call, when it is one.
    pub(crate) fn call(&self) -> Option<&Call> {
        match &self.kind {
            Kind::Call(call) => Some(call),
            _ => None,
        }
    }

    /// The name, when it is a literal atom.
    pub(crate) fn atom(&self) -> Option<&str> {
        match &self.kind {
            Kind::Atom(name) => Some(name),
            _ => None,
        }
    }

    /// The text, when it is a string without interpolation.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The module's name, when it is one.
    pub(crate) fn alias(&self) -> Option<&str> {
        match &self.kind {
            Kind::Alias(name) => Some(name),
            _ => None,
        }
    }

    /// The elements, when it is a list.
    pub(crate) fn list(&self) -> Option<&[Expr]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs of keywords, with or without brackets.
    pub(crate) fn pairs(&self) -> &[Pair] {
        match &self.kind {
            Kind::Keywords(pairs) => pairs,
            Kind::List(items) | Kind::Map(_, items) => match items.as_slice() {
                [Expr { kind: Kind::Keywords(pairs), .. }] => pairs,
                _ => &[],
            },
            _ => &[],
        }
    }

    /// The value of a keyword.
    pub(crate) fn get(&self, key: &str) -> Option<&Expr> {
        self.pairs().iter().find(|pair| pair.key == key).map(|pair| &pair.value)
    }

    /// The expression on one line, as the formatter writes it when there is room.
    pub(crate) fn flat(&self) -> String {
        match &self.kind {
            Kind::Call(call) => call.flat(),
            Kind::Keywords(pairs) => join(pairs.iter().map(Pair::flat)),
            Kind::List(items) => format!("[{}]", join(items.iter().map(Self::flat))),
            Kind::Tuple(items) => format!("{{{}}}", join(items.iter().map(Self::flat))),
            Kind::Map(head, items) => format!("{head}{{{}}}", join(items.iter().map(Self::flat))),
            Kind::Atom(name) => super::literal::atom(name),
            Kind::Text(text) => format!("\"{text}\""),
            Kind::Alias(text) | Kind::Name(text) | Kind::Scalar(text) | Kind::Other(text) => {
                text.clone()
            }
            Kind::Binary(operator, left, right) => {
                format!("{} {operator} {}", left.flat(), right.flat())
            }
            Kind::Unary(operator, operand) => {
                let gap = if operator == "not" { " " } else { "" };
                format!("{operator}{gap}{}", operand.flat())
            }
            Kind::Function(head, body) => format!("fn {head}-> {} end", body.flat()),
        }
    }
}

impl Call {
    fn flat(&self) -> String {
        let args = join(self.args.iter().map(Expr::flat));
        match self.parens {
            Parens::Written => format!("{}({args})", self.target),
            Parens::None => format!("{} {args}", self.target),
        }
    }

    /// The keywords at the end.
    pub(crate) fn keywords(&self) -> &[Pair] {
        match self.args.last() {
            Some(Expr { kind: Kind::Keywords(pairs), .. }) => pairs,
            _ => &[],
        }
    }

    /// The value of a keyword at the end.
    pub(crate) fn get(&self, key: &str) -> Option<&Expr> {
        self.keywords().iter().find(|pair| pair.key == key).map(|pair| &pair.value)
    }

    /// An argument by its place.
    pub(crate) fn arg(&self, place: usize) -> Option<&Expr> {
        self.args.get(place)
    }

    /// The literal atom at a place.
    pub(crate) fn atom(&self, place: usize) -> Option<&str> {
        self.arg(place).and_then(Expr::atom)
    }
}

impl Pair {
    fn flat(&self) -> String {
        format!("{}{}", super::literal::key(&self.key), self.value.flat())
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// The expressions of a text and of every block in it, outer before inner.
pub(crate) fn walk<'a>(body: &'a [Expr], visit: &mut dyn FnMut(&'a Expr)) {
    for expr in body {
        visit(expr);
        if let Some(call) = expr.call() {
            walk(&call.args, visit);
            if let Some(block) = &call.block {
                walk(&block.body, visit);
            }
        }
        match &expr.kind {
            Kind::Binary(_, left, right) => {
                walk(std::slice::from_ref(left), visit);
                walk(std::slice::from_ref(right), visit);
            }
            Kind::Unary(_, operand) => walk(std::slice::from_ref(operand), visit),
            Kind::List(items) | Kind::Tuple(items) | Kind::Map(_, items) => walk(items, visit),
            Kind::Keywords(pairs) => {
                for pair in pairs {
                    walk(std::slice::from_ref(&pair.value), visit);
                }
            }
            _ => {}
        }
    }
}
