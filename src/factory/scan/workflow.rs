//! Workflows of CI: what their tokens may do, and whose text their scripts run.

use super::{Finding, Severity, SourceFile};

/// Fields of events that strangers write.
const STRANGERS: [&str; 11] = [
    "github.event.issue.title",
    "github.event.issue.body",
    "github.event.pull_request.title",
    "github.event.pull_request.body",
    "github.event.comment.body",
    "github.event.review.body",
    "github.event.head_commit.message",
    "github.event.commits",
    "github.head_ref",
    "github.event.pull_request.head.ref",
    "github.event.discussion",
];

/// What is wrong with a workflow. Lines are read as they stand: what matters stands on one line
/// each in every workflow that the factory or a template writes.
pub(super) fn check(file: &SourceFile<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut find = |line: usize, rule: &str, severity: Severity, message: String| {
        found.push(Finding {
            rule: rule.to_owned(),
            severity,
            path: file.path.to_owned(),
            line,
            column: 1,
            message,
        });
    };
    let mut limited = false;
    let mut jobs = 0_usize;
    let mut limited_jobs = 0_usize;
    let mut in_jobs = false;
    let mut job_indent = None;
    // The indentation of the `run:` whose text is being read.
    let mut script: Option<usize> = None;
    for (number, line) in file.text.lines().enumerate() {
        let number = number + 1;
        let indent = line.len() - line.trim_start().len();
        let bare = line.trim().trim_start_matches("- ");
        if bare.is_empty() || bare.starts_with('#') {
            continue;
        }
        if script.is_some_and(|start| indent <= start) {
            script = None;
        }
        let (key, value) =
            bare.split_once(':').map_or((bare, ""), |(key, value)| (key.trim(), value.trim()));
        if script.is_none() {
            if indent == 0 {
                in_jobs = key == "jobs";
            } else if in_jobs && value.is_empty() && *job_indent.get_or_insert(indent) == indent {
                jobs += 1;
            }
            match key {
                "permissions" => {
                    if indent == 0 {
                        limited = true;
                    } else {
                        limited_jobs += 1;
                    }
                    if value == "write-all" {
                        let message =
                            "the token of every job may write everything; name what is needed";
                        find(number, "workflow-permissions", Severity::High, message.to_owned());
                    }
                }
                "pull_request_target" | "workflow_run" => {
                    let message = format!(
                        "`{key}` gives secrets to changes of strangers; use `pull_request`"
                    );
                    find(number, "workflow-trigger", Severity::High, message);
                }
                "on" if value.contains("pull_request_target") => {
                    let message = "`pull_request_target` gives secrets to changes of strangers; use `pull_request`";
                    find(number, "workflow-trigger", Severity::High, message.to_owned());
                }
                "uses" => {
                    let reference =
                        value.trim_matches(['"', '\'']).split(' ').next().unwrap_or_default();
                    let moving = reference.rsplit_once('@').is_some_and(|(_, version)| {
                        matches!(version, "main" | "master" | "latest")
                    });
                    if moving {
                        let message =
                            format!("`{reference}` is whatever is newest that day; name a version");
                        find(number, "workflow-unpinned", Severity::Low, message);
                    }
                }
                "run" => script = Some(indent),
                _ => {}
            }
        }
        if script.is_some()
            && line.contains("${{")
            && let Some(field) = STRANGERS.iter().find(|field| line.contains(**field))
        {
            let message = format!(
                "`{field}` is written by strangers and becomes part of a script; pass it by `env:`"
            );
            find(number, "workflow-injection", Severity::High, message);
        }
    }
    if !limited && (jobs == 0 || limited_jobs < jobs) {
        let message =
            "nothing limits what the jobs' token may do; write `permissions: {contents: read}`";
        find(1, "workflow-permissions", Severity::Medium, message.to_owned());
    }
    found
}
