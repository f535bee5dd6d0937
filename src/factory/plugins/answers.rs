//! What plugins may answer.

use serde::Deserialize;
use serde_json::Value;

use super::refused;
use crate::config::factory::PluginConfig;
use crate::factory::error::FactoryError;
use crate::factory::ir::PackageFile;
use crate::factory::names::{is_unseen, prose};
use crate::factory::scan::{Finding, Severity};

/// Most files of an answer, and most bytes of them together.
const FILES: usize = 200;
const BYTES: usize = 4 << 20;
/// Most findings of an answer.
const FINDINGS: usize = 500;
/// What is written after all plugins have answered.
const LATER: [&str; 5] = [
    "SECURITY_REPORT.md",
    "SECURITY_REPORT.json",
    "SECURITY_REPORT.sarif",
    "EXECUTION_LOG.md",
    "execution_log.json",
];

#[derive(Deserialize)]
struct Files {
    files: Vec<PackageFile>,
}

#[derive(Deserialize)]
struct Findings {
    findings: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    rule: String,
    severity: String,
    path: String,
    #[serde(default = "first")]
    line: usize,
    #[serde(default = "first")]
    column: usize,
    message: String,
}

fn first() -> usize {
    1
}

/// The files that a generator adds.
///
/// # Errors
/// What is wrong with its answer.
pub(super) fn files(
    answer: &Value,
    there: &[PackageFile],
    plugin: &PluginConfig,
) -> Result<Vec<PackageFile>, FactoryError> {
    let wrong = |why: String, hint: &str| refused(&plugin.name, &why, hint);
    let Files { files } = Files::deserialize(answer).map_err(|error| {
        let why = format!("answered no list `files`: {error}");
        wrong(why, "a generator answers `{\"files\": [{\"path\": …, \"text\": …}]}`")
    })?;
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    if files.len() > FILES || bytes > BYTES {
        let why = format!("wrote {} files of {bytes} bytes", files.len());
        return Err(wrong(why, &format!("at most {FILES} files of {BYTES} bytes are taken")));
    }
    for (place, file) in files.iter().enumerate() {
        let shown = prose(&file.path, 120);
        if !is_plain(&file.path) {
            return Err(wrong(
                format!("wrote to `{shown}`, which is no path in the package"),
                "paths are relative, of plain parts, and go nowhere else",
            ));
        }
        let ours = there.iter().map(|file| file.path.as_str()).chain(LATER);
        let others = files.iter().take(place).map(|file| file.path.as_str());
        let in_the_way = ours.chain(others).find(|other| collide(other, &file.path));
        if let Some(other) = in_the_way
            && !(other == file.path && plugin.replaces.contains(&file.path))
        {
            return Err(wrong(
                format!("wrote to `{shown}`, where `{other}` is already"),
                "what templates make is replaced when the operator names it in the plugin's `replaces`; nothing else is",
            ));
        }
    }
    Ok(files)
}

/// What a validator found.
///
/// # Errors
/// What is wrong with its answer.
pub(super) fn findings(
    answer: &Value,
    there: &[PackageFile],
    plugin: &str,
) -> Result<Vec<Finding>, FactoryError> {
    const FORM: &str = "a validator answers `{\"findings\": [{\"rule\", \"severity\", \"path\", \"line\", \"message\"}]}`";
    let Findings { findings } = Findings::deserialize(answer)
        .map_err(|error| refused(plugin, &format!("answered no list `findings`: {error}"), FORM))?;
    if findings.len() > FINDINGS {
        let why = format!("told {} findings", findings.len());
        return Err(refused(plugin, &why, &format!("at most {FINDINGS} are taken")));
    }
    let checked = findings.into_iter().map(|found| {
        let Found { rule, severity, path, line, column, message } = found;
        let severity = match severity.to_lowercase().as_str() {
            "low" => Severity::Low,
            "medium" => Severity::Medium,
            "high" => Severity::High,
            _ => {
                let why = format!("told the severity `{}`", prose(&severity, 40));
                return Err(refused(plugin, &why, "low, medium and high are"));
            }
        };
        if !there.iter().any(|file| file.path == path) {
            let why = format!("told of the file `{}`, which is not there", prose(&path, 120));
            return Err(refused(plugin, &why, "`path` is one of those that it was given"));
        }
        Ok(Finding {
            rule: format!("{plugin}/{}", prose(&rule, 80)),
            severity,
            path,
            line: line.max(1),
            column: column.max(1),
            message: prose(&message, 500),
        })
    });
    checked.collect()
}

/// Whether a path stays in the package and hides nothing. Of hidden folders the one of workflows is
/// taken, since its files are scanned.
fn is_plain(path: &str) -> bool {
    let rest = path.strip_prefix(".github/").unwrap_or(path);
    let is_plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with([' ', '.'])
            && !part.chars().any(|letter| {
                letter.is_control()
                    || is_unseen(letter)
                    || matches!(letter, '\\' | ':' | '"' | '*' | '?' | '<' | '>' | '|')
            })
    };
    path.len() <= 200 && path.split('/').count() <= 8 && rest.split('/').all(is_plain)
}

/// Whether two paths cannot both be files, wherever the package is unpacked.
fn collide(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    let is_below = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.starts_with('/'))
    };
    one == other || is_below(&one, &other) || is_below(&other, &one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::factory::PluginKind;

    fn plugin(replaces: &[&str]) -> PluginConfig {
        PluginConfig {
            name: "extra".to_owned(),
            kind: PluginKind::Generator,
            path: "/plugins/extra.py".into(),
            timeout_s: 30.0,
            replaces: replaces.iter().map(|path| (*path).to_owned()).collect(),
        }
    }

    fn there() -> Vec<PackageFile> {
        ["server.py", "README.md", "runtime/http.py"]
            .map(|path| PackageFile { path: path.to_owned(), text: String::new() })
            .into()
    }

    #[test]
    fn files_stay_in_the_package_and_leave_ours_alone() {
        let written = |path: &str, replaces: &[&str]| {
            let answer = json!({"files": [{"path": path, "text": "x"}]});
            files(&answer, &there(), &plugin(replaces)).map_err(|error| error.message)
        };
        for path in ["CHANGELOG.md", "docs/a b.md", ".github/workflows/more.yml", "server.pyi"] {
            assert!(written(path, &[]).is_ok(), "{path}");
        }
        assert!(written("README.md", &["README.md"]).is_ok());
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "./a",
            ".env",
            "a/.hidden",
            "a\\b",
            "C:x",
            "a\nb",
            "a\u{202e}b",
            ".github/../x",
            ".github",
            "a/b/c/d/e/f/g/h/i",
            "a.",
            &"x".repeat(201),
        ] {
            let message = written(path, &[]).unwrap_err();
            assert!(message.starts_with("the plugin `extra` wrote to `"), "{path}: {message}");
            assert!(message.ends_with("which is no path in the package"), "{path}: {message}");
        }
        for (path, replaces) in [
            ("README.md", [].as_slice()),
            ("readme.md", &["README.md"]),
            ("server.py", &["README.md"]),
            ("server.py/x", &[]),
            ("runtime", &[]),
            ("execution_log.json", &[]),
        ] {
            let message = written(path, replaces).unwrap_err();
            assert!(message.contains("is already"), "{path}: {message}");
        }
        let twice = json!({"files": [{"path": "a", "text": ""}, {"path": "A", "text": ""}]});
        assert!(files(&twice, &there(), &plugin(&[])).is_err());
        for bad in [json!([]), json!({}), json!({"files": [{"path": 1}]}), json!(null)] {
            let error = files(&bad, &there(), &plugin(&[])).unwrap_err();
            assert!(error.message.contains("answered no list `files`"), "{}", error.message);
        }
        let large = json!({"files": [{"path": "a", "text": "x".repeat(BYTES + 1)}]});
        assert!(files(&large, &there(), &plugin(&[])).is_err());
    }

    #[test]
    fn findings_are_those_of_the_scan() {
        let found = |finding: Value| findings(&json!({ "findings": [finding] }), &there(), "style");
        let good = json!({"rule": "todo", "severity": "HIGH", "path": "server.py", "line": 3, "message": "a\u{7}b"});
        let one = found(good.clone()).unwrap().remove(0);
        assert_eq!(
            (one.rule.as_str(), one.severity, one.line, one.column),
            ("style/todo", Severity::High, 3, 1)
        );
        for (key, value, reason) in [
            ("severity", json!("fatal"), "told the severity `fatal`"),
            ("path", json!("/etc/passwd"), "which is not there"),
            ("message", json!(null), "answered no list `findings`"),
        ] {
            let mut bad = good.clone();
            bad[key] = value;
            let error = found(bad).unwrap_err();
            assert!(error.message.starts_with("the plugin `style` "), "{}", error.message);
            assert!(error.message.contains(reason), "{}", error.message);
        }
    }
}
