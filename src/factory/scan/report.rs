//! What a scan found, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Finding, Severity};

/// What a scan found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of files, lines and columns.
    pub findings: Vec<Finding>,
    /// How many files were looked at.
    pub files: usize,
}

impl Report {
    /// What is not let through: everything at or above a severity.
    pub fn blocked(&self, gate: Severity) -> Vec<&Finding> {
        self.findings.iter().filter(|finding| finding.severity >= gate).collect()
    }

    /// Adds what others found in the same files.
    pub fn add(&mut self, findings: Vec<Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by(|one, other| {
            (&one.path, one.line, one.column).cmp(&(&other.path, other.line, other.column))
        });
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// For people. Texts of programs cannot end a cell or begin a link.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from("# Security report\n\n");
        let [high, medium, low] =
            [Severity::High, Severity::Medium, Severity::Low].map(|severity| self.count(severity));
        let files = self.files;
        let _ = writeln!(text, "{files} files scanned: {high} high, {medium} medium, {low} low.");
        if self.findings.is_empty() {
            text.push_str("\nNothing was found.\n");
            return text;
        }
        text.push_str("\n| severity | rule | place | message |\n| --- | --- | --- | --- |\n");
        let mut sorted: Vec<&Finding> = self.findings.iter().collect();
        sorted.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        for finding in sorted {
            let _ = writeln!(
                text,
                "| {} | {} | {}:{}:{} | {} |",
                finding.severity.as_str(),
                cell(&finding.rule),
                cell(&finding.path),
                finding.line,
                finding.column,
                cell(&finding.message)
            );
        }
        text
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        json!({
            "files": self.files,
            "summary": {
                "high": self.count(Severity::High),
                "medium": self.count(Severity::Medium),
                "low": self.count(Severity::Low),
            },
            "findings": self.findings,
        })
    }

    /// For code hosts: SARIF 2.1.0.
    pub fn to_sarif(&self) -> Value {
        let mut names: Vec<&str> =
            self.findings.iter().map(|finding| finding.rule.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let rules: Vec<Value> = names.iter().map(|name| json!({ "id": name })).collect();
        let results: Vec<Value> = self
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "ruleId": finding.rule,
                    "ruleIndex": names.binary_search(&finding.rule.as_str()).unwrap_or_default(),
                    "level": match finding.severity {
                        Severity::High => "error",
                        Severity::Medium => "warning",
                        Severity::Low => "note",
                    },
                    "message": { "text": finding.message },
                    "locations": [{
                        "physicalLocation": {
                            "artifactLocation": { "uri": encoded(&finding.path) },
                            "region": { "startLine": finding.line, "startColumn": finding.column },
                        },
                    }],
                })
            })
            .collect();
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "Atelier",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                }},
                "columnKind": "unicodeCodePoints",
                "results": results,
            }],
        })
    }
}

fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '[' | ']' | '<' | '>' | '*' | '\\' => cell.extend(['\\', character]),
            _ if character.is_control() => cell.push(' '),
            _ => cell.push(character),
        }
    }
    cell
}

fn encoded(path: &str) -> String {
    use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
    const SET: &AsciiSet =
        &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'<').add(b'>').add(b'"').add(b'\\');
    utf8_percent_encode(path, SET).to_string()
}
