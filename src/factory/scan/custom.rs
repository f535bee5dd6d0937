//! Rules of the user.

use fancy_regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::{Finding, Severity, SourceFile};
use crate::factory::error::{FactoryError, Refusal};

/// Most findings of one rule in one file.
const MOST_MATCHES: usize = 50;
/// Most steps that one search takes.
const BACKTRACKS: usize = 200_000;

/// A rule of the user: a pattern over lines, or the name of a function that may not be called.
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomRule {
    /// Name of the rule in findings.
    pub name: String,
    /// Regular expression, looked for in each line.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Dotted name of a function; found under whatever name it was imported.
    #[serde(default)]
    pub call: Option<String>,
    /// How bad it is: low, medium or high.
    #[serde(deserialize_with = "severity")]
    pub severity: Severity,
    /// What to tell.
    pub message: String,
}

/// Both `high` and `HIGH` are understood.
fn severity<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Severity, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.to_lowercase().as_str() {
        "low" => Ok(Severity::Low),
        "medium" => Ok(Severity::Medium),
        "high" => Ok(Severity::High),
        _ => Err(serde::de::Error::custom(format!(
            "`{text}` is no severity; low, medium and high are"
        ))),
    }
}

/// What a scan looks for.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    patterns: Vec<(Regex, CustomRule)>,
    calls: Vec<(String, CustomRule)>,
}

impl Rules {
    /// The rules that are always there.
    pub fn builtin() -> Self {
        Self::default()
    }

    /// These, and the user's.
    ///
    /// # Errors
    /// Which rule cannot be used, and why.
    pub fn with_custom(rules: Vec<CustomRule>) -> Result<Self, FactoryError> {
        let mut all = Self::default();
        for rule in rules {
            let wrong = |why: String| {
                FactoryError::new(
                    Refusal::Arguments,
                    format!("scan rule `{}`: {why}", rule.name),
                    "a rule has `name`, `severity` (low, medium, high), `message` and one of `pattern` (a regular \
                     expression) and `call` (the dotted name of a function)",
                )
            };
            if rule.name.trim().is_empty() {
                return Err(wrong("the name is empty".to_owned()));
            }
            match (&rule.pattern, &rule.call) {
                (Some(pattern), None) => {
                    let compiled =
                        RegexBuilder::new(pattern).backtrack_limit(BACKTRACKS).build().map_err(
                            |error| wrong(format!("`{pattern}` is no regular expression: {error}")),
                        )?;
                    if compiled.is_match("").unwrap_or(true) {
                        return Err(wrong(format!("`{pattern}` matches every line")));
                    }
                    all.patterns.push((compiled, rule));
                }
                (None, Some(call)) => {
                    let dotted = !call.is_empty()
                        && call.split('.').all(|part| {
                            !part.is_empty()
                                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
                                && !part.starts_with(|c: char| c.is_ascii_digit())
                        });
                    if !dotted {
                        return Err(wrong(format!(
                            "`{call}` is not the dotted name of a function"
                        )));
                    }
                    let call =
                        if call.contains('.') { call.clone() } else { format!("builtins.{call}") };
                    all.calls.push((call, rule));
                }
                _ => return Err(wrong("give either `pattern` or `call`".to_owned())),
            }
        }
        Ok(all)
    }

    /// The rules that a called function breaks.
    pub(super) fn called(&self, path: &str) -> impl Iterator<Item = &CustomRule> {
        self.calls.iter().filter(move |(call, _)| call == path).map(|(_, rule)| rule)
    }

    /// What the patterns find in a file.
    pub(super) fn matches(&self, file: &SourceFile<'_>) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (pattern, rule) in &self.patterns {
            let mut count = 0;
            for (number, line) in file.text.lines().enumerate() {
                // A pattern that takes too long has found nothing in this line.
                let Ok(Some(found)) = pattern.find(line) else { continue };
                findings.push(Finding {
                    rule: rule.name.clone(),
                    severity: rule.severity,
                    path: file.path.to_owned(),
                    line: number + 1,
                    column: line.get(..found.start()).unwrap_or_default().chars().count() + 1,
                    message: rule.message.clone(),
                });
                count += 1;
                if count == MOST_MATCHES {
                    break;
                }
            }
        }
        findings
    }
}
