//! Names: what they tell, and how deep a program nests.

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_pattern, walk_stmt};
use ruff_python_ast::{Expr, ModModule, Pattern, Stmt};

/// Words of names whose values nobody else should see.
const SECRET: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secrets",
    "token",
    "apikey",
    "credential",
    "credentials",
    "privatekey",
    "authorization",
];
/// Words that make such a name harmless: it counts, points to or describes a secret.
const ABOUT: [&str; 38] = [
    "count",
    "counts",
    "max",
    "min",
    "limit",
    "length",
    "len",
    "size",
    "url",
    "uri",
    "endpoint",
    "name",
    "variable",
    "env",
    "field",
    "path",
    "file",
    "type",
    "header",
    "prefix",
    "pattern",
    "regex",
    "expires",
    "expiry",
    "expiration",
    "ttl",
    "used",
    "usage",
    "total",
    "budget",
    "hash",
    "hashed",
    "policy",
    "is",
    "has",
    "schema",
    "description",
    "placeholder",
];

/// The words of a name, in lower case: `apiKeyName` is `api`, `key`, `name`.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut lower = false;
    for character in name.chars() {
        if !character.is_alphanumeric() {
            words.push(String::new());
            lower = false;
            continue;
        }
        if words.is_empty() || (character.is_uppercase() && lower) {
            words.push(String::new());
        }
        lower = !character.is_uppercase();
        if let Some(word) = words.last_mut() {
            word.extend(character.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether a name says that its value is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let words = words(name);
    if words.iter().any(|word| ABOUT.contains(&word.as_str())) {
        return false;
    }
    words.iter().any(|word| SECRET.contains(&word.as_str()))
        || words.windows(2).any(|pair| {
            let [first, second] = pair else { return false };
            second == "key"
                && ["api", "access", "private", "secret", "auth"].contains(&first.as_str())
        })
}

/// Whether a name says that its value must not be guessed.
pub(super) fn is_unguessable(name: &str) -> bool {
    is_secret(name)
        || words(name).iter().any(|word| {
            ["nonce", "salt", "otp", "csrf", "session", "signature", "signing"]
                .contains(&word.as_str())
        })
}

/// The name that an expression goes by: `args["a_key"]` is `a_key`.
pub(super) fn spoken(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Name(name) => Some(name.id.as_str()),
        Expr::Attribute(attribute) => Some(attribute.attr.as_str()),
        Expr::Subscript(subscript) => match subscript.slice.as_ref() {
            Expr::StringLiteral(text) => Some(text.value.to_str()),
            _ => spoken(&subscript.value),
        },
        _ => None,
    }
}

/// A place that can be followed through a function: a name, `name.attribute`, `name["key"]`.
pub(super) fn place(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => {
            Some(format!("{}.{}", place(&attribute.value)?, attribute.attr.as_str()))
        }
        Expr::Subscript(subscript) => {
            let Expr::StringLiteral(key) = subscript.slice.as_ref() else { return None };
            Some(format!("{}[{}]", place(&subscript.value)?, key.value.to_str()))
        }
        _ => None,
    }
}

/// Every place that is mentioned anywhere in an expression.
pub(super) fn places(expression: &Expr) -> Vec<String> {
    struct Places(Vec<String>);
    impl<'tree> Visitor<'tree> for Places {
        fn visit_expr(&mut self, expression: &'tree Expr) {
            if let Some(place) = place(expression) {
                self.0.push(place);
            }
            walk_expr(self, expression);
        }
    }
    let mut places = Places(Vec::new());
    places.visit_expr(expression);
    places.0
}

/// How deep a program nests.
pub(super) fn depth(module: &ModModule) -> usize {
    #[derive(Default)]
    struct Depth {
        now: usize,
        most: usize,
    }
    impl Depth {
        fn inside(&mut self, walk: impl FnOnce(&mut Self)) {
            self.now += 1;
            self.most = self.most.max(self.now);
            walk(self);
            self.now -= 1;
        }
    }
    impl<'tree> Visitor<'tree> for Depth {
        fn visit_stmt(&mut self, statement: &'tree Stmt) {
            self.inside(|depth| walk_stmt(depth, statement));
        }
        fn visit_expr(&mut self, expression: &'tree Expr) {
            self.inside(|depth| walk_expr(depth, expression));
        }
        fn visit_pattern(&mut self, pattern: &'tree Pattern) {
            self.inside(|depth| walk_pattern(depth, pattern));
        }
    }
    let mut depth = Depth::default();
    depth.visit_body(&module.body);
    depth.most
}
