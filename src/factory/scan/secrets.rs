//! Secrets: written into programs, and told by them.

use std::sync::LazyLock;

use fancy_regex::Regex;
use ruff_python_ast::Expr;

use super::Severity::High;
use super::calls::Call;
use super::names;
use super::program::Scan;
use super::value::{Part, Value};

/// Keys that are known by their form.
static KNOWN: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let forms = [
        (r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", "a key of AWS"),
        (r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_[A-Za-z0-9_]{40,}", "a token of GitHub"),
        (r"\bglpat-[A-Za-z0-9_-]{20,}", "a token of GitLab"),
        (r"\bsk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{24,}", "a key of a model's vendor"),
        (r"\bxox[abprs]-[A-Za-z0-9-]{10,}", "a token of Slack"),
        (r"\bAIza[A-Za-z0-9_-]{35}", "a key of Google"),
        (r"\b(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}", "a key of Stripe"),
        (r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}", "a key of SendGrid"),
        (r"\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{50,}", "a token of a package registry"),
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----", "a private key"),
        (r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}", "a signed token"),
    ];
    forms
        .into_iter()
        .filter_map(|(form, what)| Regex::new(form).ok().map(|form| (form, what)))
        .collect()
});
/// A password in an address.
static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s:@]+:([^@\s/{}$<>*]{3,})@[^\s/]").ok()
});
/// What stands where a secret will be put.
const PLACEHOLDERS: [&str; 22] = [
    "your",
    "example",
    "change",
    "placeholder",
    "xxx",
    "todo",
    "dummy",
    "sample",
    "insert",
    "replace",
    "secret",
    "password",
    "passwd",
    "token",
    "none",
    "null",
    "test",
    "here",
    "redacted",
    "hidden",
    "***",
    "...",
];
/// Functions whose arguments somebody reads later.
const LOGGING: [&str; 9] =
    ["debug", "info", "warning", "warn", "error", "critical", "exception", "log", "fatal"];

impl<'tree> Scan<'_, 'tree> {
    /// Looks for keys that are known by their form in a literal.
    pub(super) fn known_keys(&mut self, node: &Expr) {
        let text = match node {
            Expr::StringLiteral(text) => text.value.to_str().to_owned(),
            Expr::FString(text) => {
                let mut whole = String::new();
                for part in text.value.as_slice() {
                    match part {
                        ruff_python_ast::FStringPart::Literal(text) => whole.push_str(text),
                        ruff_python_ast::FStringPart::FString(text) => {
                            for element in &text.elements {
                                match element.as_literal() {
                                    Some(text) => whole.push_str(&text.value),
                                    None => whole.push('{'),
                                }
                            }
                        }
                    }
                }
                whole
            }
            _ => return,
        };
        for (form, what) in KNOWN.iter() {
            if form.is_match(&text).unwrap_or(false) {
                let message = format!("{what} stands in the program; read it from the environment");
                self.find(node, "hard-coded-secret", High, message);
            }
        }
        if let Some(form) = ADDRESS.as_ref()
            && let Ok(Some(found)) = form.captures(&text)
            && let Some(password) = found.get(1)
            && !is_placeholder(password.as_str())
        {
            let message = "a password stands in an address; read the address from the environment";
            self.find(node, "hard-coded-secret", High, message.to_owned());
        }
    }

    /// Looks at a literal that is given to a name.
    pub(super) fn keep_out_of_code(&mut self, node: &Expr, name: &str, value: &Value) {
        if !names::is_secret(name)
            || !matches!(node, Expr::StringLiteral(_) | Expr::BytesLiteral(_) | Expr::FString(_))
        {
            return;
        }
        let Some(text) = value.constant() else { return };
        if looks_secret(&text, name) {
            let message = format!("`{name}` stands in the program; read it from the environment");
            self.find(node, "hard-coded-secret", High, message);
        }
    }

    /// Looks at what is printed and logged.
    pub(super) fn secrets_told(&mut self, call: &Call<'tree>) {
        let owner = call.owner.path();
        let spoken = match call.node.func.as_ref() {
            Expr::Attribute(attribute) => names::spoken(&attribute.value).unwrap_or_default(),
            _ => "",
        };
        let logger = owner.starts_with("logging")
            || names::words(spoken)
                .iter()
                .any(|word| matches!(word.as_str(), "log" | "logger" | "logging"));
        let telling = matches!(
            call.path.as_str(),
            "builtins.print"
                | "sys.stdout.write"
                | "sys.stderr.write"
                | "warnings.warn"
                | "pprint.pprint"
        ) || (logger && LOGGING.contains(&call.name.as_str()));
        if !telling {
            return;
        }
        let all = call.arguments.iter().chain(call.keywords.iter().map(|(_, value)| value));
        for value in all {
            let secret = value.secret.as_deref().or_else(|| {
                matches!(value.path(), "os.environ" | "os.environ.copy()").then_some("os.environ")
            });
            if let Some(secret) = secret
                && value.parts.iter().any(|part| matches!(part, Part::Hole(_)))
            {
                let message =
                    format!("`{secret}` is told to whoever reads the output; leave it out");
                self.find(call.node, "secret-logged", High, message);
            }
        }
    }
}

fn is_placeholder(text: &str) -> bool {
    let lower = text.to_lowercase();
    PLACEHOLDERS.iter().any(|word| lower.contains(word))
        || matches!(lower.as_str(), "pass" | "user" | "admin" | "postgres" | "root")
}

/// Whether a literal under a secret's name is one.
fn looks_secret(text: &str, name: &str) -> bool {
    let text = text.strip_prefix("Bearer ").or_else(|| text.strip_prefix("Basic ")).unwrap_or(text);
    if text.len() < 6
        || text.contains(char::is_whitespace)
        || text.contains("://")
        || text.starts_with(['<', '{', '$', '/', '.', '%'])
        || is_placeholder(text)
    {
        return false;
    }
    // The name of an environment variable, a header or a field.
    let is_name =
        text.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-' | b'.'));
    if is_name {
        let password = names::words(name)
            .iter()
            .any(|word| matches!(word.as_str(), "password" | "passwd" | "pwd"));
        return password && !text.contains(['_', '-', '.']) && bits(text) > 2.5;
    }
    bits(text) >= 2.5
}

/// Entropy of a text, in bits a character.
fn bits(text: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::<char, f64>::new();
    for character in text.chars() {
        *counts.entry(character).or_default() += 1.0;
    }
    let total: f64 = counts.values().sum();
    -counts.values().map(|count| count / total * (count / total).log2()).sum::<f64>()
}
