//! `config/*.exs`, read as what they say literally; what is computed is left alone.

use crate::elixir::syntax::{Expr, Kind, Pair, Parsed, walk};

/// One `config :app, …` or `config :app, Module, …`.
#[derive(Debug, Clone)]
struct Entry {
    app: String,
    module: Option<String>,
    pairs: Vec<Pair>,
}

/// All entries of a project.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    entries: Vec<Entry>,
}

impl Settings {
    /// Adds what a file says.
    pub(crate) fn add(&mut self, parsed: &Parsed) {
        walk(&parsed.body, &mut |expr| {
            let Some(call) = expr.call().filter(|call| call.target == "config") else { return };
            let Some(app) = call.atom(0) else { return };
            let module = call.arg(1).and_then(Expr::alias).map(str::to_owned);
            let named = call.arg(1).and_then(Expr::atom);
            let pairs = match (named, call.args.last()) {
                // `config :app, :key, value`
                (Some(key), Some(value)) if call.args.len() == 3 => {
                    vec![Pair {
                        key: key.to_owned(),
                        value: value.clone(),
                        span: expr.span.clone(),
                    }]
                }
                (_, Some(last)) => last.pairs().to_vec(),
                (_, None) => return,
            };
            self.entries.push(Entry { app: app.to_owned(), module, pairs });
        });
    }

    /// The value of a key; the last one written counts.
    pub(crate) fn get(&self, app: &str, module: Option<&str>, key: &str) -> Option<&Expr> {
        self.entries
            .iter()
            .rev()
            .filter(|entry| entry.app == app && entry.module.as_deref() == module)
            .find_map(|entry| entry.pairs.iter().rev().find(|pair| pair.key == key))
            .map(|pair| &pair.value)
    }

    /// A value that is an atom, a module or `true`.
    pub(crate) fn word(&self, app: &str, module: Option<&str>, key: &str) -> Option<String> {
        self.get(app, module, key).and_then(word)
    }
}

/// An atom, a module, a text or a scalar as a word.
pub(crate) fn word(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Atom(text) | Kind::Alias(text) | Kind::Text(text) | Kind::Scalar(text) => {
            Some(text.clone())
        }
        _ => None,
    }
}
