//! A package before it is published: rendered, scanned, staged and proven.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::error::{FactoryError, Refusal};
use super::execution_log::ExecutionLog;
use super::inspect;
use super::ir::{Package, PackageFile, SourceKind, Sourced};
use super::names::prose;
use super::publish;
use super::render::{self, templates::Templates};
use super::scan::{self, Severity, SourceFile};
use super::selftest::{self, Proven, SelfTest, Variables};
use super::service::{CreateServer, Factory, Signing, WebSearching, signed};
use super::source::description;
use super::web_search::{Searched, WebSearch};
use super::write::{ATTEMPTS, Conversation, json_of};
use crate::jobs::{Failure, Run};
use crate::storage::blobs::sha256_hex;

/// A package before it is published.
pub(super) struct Draft {
    pub(super) findings: Vec<Value>,
    pub(super) package: Package,
    pub(super) files: Vec<PackageFile>,
    pub(super) self_test: SelfTest,
    pub(super) python: Option<PathBuf>,
    pub(super) staged: PathBuf,
}

/// How a package is tried.
#[derive(Default)]
pub(super) struct Trying<'a> {
    /// Which answer of a model it is; 0 when none was asked.
    pub(super) attempt: u32,
    /// Variables that its tests need beside placeholders. Values are never shown.
    pub(super) variables: Option<&'a Variables>,
}

impl Factory {
    /// Tools written by a model: every answer is judged by parser, scan and its own tests.
    pub(super) async fn written(
        &self,
        run: &Run,
        call: &CreateServer,
        (words, signing): (&str, Signing),
        templates: &Templates,
        log: &mut ExecutionLog,
    ) -> Result<(Draft, Option<String>), Failure> {
        let words = match &signing {
            // So that no body asks for a key of its own.
            Some((_, base_url)) => format!(
                "{words}\n\nThe API is at {base_url}. `ctx.http` adds its credentials to requests there by itself; bodies neither read nor send any."
            ),
            None => words.to_owned(),
        };
        let found = self.searched(run, call, &words, log).await?;
        let mut talk = Conversation::new(run, &self.parts.prompts, &call.model, (&words, &found))?;
        for attempt in 1..=ATTEMPTS {
            run.progress(5.0, Some(100.0), "asking for the tools");
            let outcome = talk.ask(attempt).await?;
            let (system, user) = talk.asked();
            log.model_call(&outcome, ("tools", attempt), system, &user);
            let judged = json_of(&outcome.text).and_then(|value| {
                description::from_specs(&value, call.name.as_deref(), &call.options.features)
                    .map(|sourced| signed(sourced, signing.clone()))
            });
            let problems = match judged {
                Ok(sourced) => {
                    match Box::pin(self.draft(
                        run,
                        sourced,
                        templates,
                        log,
                        Trying { attempt, ..Trying::default() },
                    ))
                    .await
                    {
                        Ok(draft) if draft.self_test.failed == 0 => {
                            return Ok((draft, outcome.model_used));
                        }
                        Ok(draft) => {
                            publish::forget(&draft.staged).await;
                            draft.self_test.problems
                        }
                        // What the scan does not let through is the author's to put right.
                        Err(Failure::Error(error))
                            if error.code == Refusal::ScanBlocked.as_str() =>
                        {
                            vec![error.message]
                        }
                        Err(failure) => return Err(failure),
                    }
                }
                Err(problems) => problems,
            };
            let told = prose(&problems.join("; "), 600);
            log.step("refused", format!("answer {attempt}: {told}"));
            talk.refuse(outcome.text, problems)?;
        }
        let summary = json!({"tools": 0, "answers": ATTEMPTS});
        let metadata = json!({
            "source": SourceKind::Description,
            "generator": concat!("atelier ", env!("CARGO_PKG_VERSION")),
        });
        Err(talk.given_up().detail("execution_log", log.to_json(&metadata, &summary)).into())
    }

    /// Refuses a search that cannot be made, before anything is done.
    pub(super) fn check_search(&self, call: &CreateServer) -> Result<(), FactoryError> {
        if call.options.web_search == WebSearching::Off {
            return Ok(());
        }
        if call.description.is_none() || call.tool_specs.is_some() {
            return Err(FactoryError::new(
                Refusal::Arguments,
                "`options.web_search` is for the model that designs the tools of a `description`; here none is asked",
                "leave `web_search` out",
            ));
        }
        self.web_search().map(drop)
    }

    fn web_search(&self) -> Result<WebSearch<'_>, FactoryError> {
        WebSearch::new(&self.parts.config, self.parts.data_dir.join("web_search"))
    }

    /// What the web says, as a text for the prompt; empty when nobody asked for it.
    async fn searched(
        &self,
        run: &Run,
        call: &CreateServer,
        words: &str,
        log: &mut ExecutionLog,
    ) -> Result<String, Failure> {
        if call.options.web_search == WebSearching::Off {
            return Ok(String::new());
        }
        run.progress(3.0, Some(100.0), "searching the web");
        let search = self.web_search()?;
        let searched: Searched =
            run.step("web_search", || async { search.documentation(words).await }).await?;
        log.web_search(&searched);
        Ok(searched.as_text())
    }

    /// Renders, stages and proves a package.
    pub(super) async fn draft(
        &self,
        run: &Run,
        sourced: Sourced,
        templates: &Templates,
        log: &mut ExecutionLog,
        trying: Trying<'_>,
    ) -> Result<Draft, Failure> {
        let Sourced { package, cases, files: own, trial } = sourced;
        run.progress(40.0, Some(100.0), "writing the package");
        let mut files = render::render(&package, &cases, templates)?;
        files.extend(own);
        let report = scan_all(&package, &files, &self.parts.rules)?;
        log.step("scan", format!("{} findings", report.findings.len()));
        log.tool_execution(json!({"tool": "security_scan", "files": report.files, "findings": report.findings.len()}));
        files.extend(reports(&report));
        let blocked = report.blocked(Severity::from(self.parts.config.scan_gate));
        if let Some(first) = blocked.first() {
            return Err(FactoryError::new(
                Refusal::ScanBlocked,
                format!(
                    "the scan found {} faults that are not let through; the first: {}: {}:{}: {}",
                    blocked.len(),
                    first.rule,
                    first.path,
                    first.line,
                    first.message
                ),
                "correct the code of the tools",
            )
            .detail("scan", report.to_json())
            .into());
        }
        log.step("render", format!("{} files", files.len()));
        let staged = self.folder().join(".staging").join(format!(
            "{}-{}",
            run.job_id().as_str(),
            trying.attempt
        ));
        publish::stage(&staged, &files).await?;
        run.progress(60.0, Some(100.0), "testing the package");
        let python = self.interpreter(&files).await;
        let self_test = match &python {
            Err(reason) => SelfTest::not_run(format!("no Python environment: {reason}")),
            Ok(python) => {
                let name = format!("self_test@{}", fingerprint(&files));
                Box::pin(run.step(&name, || async {
                    let launcher = &self.parts.launcher;
                    let package = Proven { package: &package, cases: &cases, folder: &staged };
                    let mut found =
                        selftest::test(package, trying.variables, python, launcher).await;
                    found.database.clone_from(&trial);
                    Ok::<_, Failure>(found)
                }))
                .await?
            }
        };
        if let Some(trial) = &trial {
            let left = match trial.unchecked.len() {
                0 => String::new(),
                _ => format!("; not checked: {}", trial.unchecked.join("; ")),
            };
            log.step("database", format!("{}{left}", trial.way));
        }
        log.tool_execution(json!({"tool": "self_test", "level": self_test.level, "passed": self_test.passed, "failed": self_test.failed}));
        log.step(
            "self-test",
            format!(
                "{:?}: {} passed, {} failed",
                self_test.level, self_test.passed, self_test.failed
            ),
        );
        let metadata = json!({
            "server": package.name,
            "source": package.source,
            "generator": concat!("atelier ", env!("CARGO_PKG_VERSION")),
            "format": package.format,
        });
        let summary = json!({
            "tools": package.tools.len(),
            "skipped": package.skipped.len(),
            "verification": self_test,
        });
        let logs = [
            PackageFile {
                path: "execution_log.json".to_owned(),
                text: format!("{:#}\n", log.to_json(&metadata, &summary)),
            },
            PackageFile {
                path: "EXECUTION_LOG.md".to_owned(),
                text: log.to_markdown(&package.name),
            },
        ];
        files.extend(logs);
        publish::stage(&staged, &files).await?;
        let findings =
            report.to_json().get("findings").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(Draft { findings, package, files, self_test, python: python.ok(), staged })
    }
}

/// A package that fails its own test is an error of ours or of its author, and is not listed.
pub(super) fn refuse_failed(draft: &Draft) -> Result<(), FactoryError> {
    if draft.self_test.failed == 0 {
        return Ok(());
    }
    let first = draft.self_test.problems.first().cloned().unwrap_or_default();
    Err(FactoryError::new(
        Refusal::SelfTestFailed,
        format!(
            "the package failed {} of its checks; the first: {}",
            draft.self_test.failed,
            prose(&first, 600)
        ),
        match draft.package.source {
            SourceKind::Description => "correct the tools and repeat the call",
            SourceKind::Openapi | SourceKind::Database => {
                "report this with the source; `exclude` leaves single operations out"
            }
        },
    )
    .detail("self_test", json!(draft.self_test)))
}

/// Parses and scans every Python file. Our own runtime does by design what tools may not (it opens
/// connections, it reads the environment): it is parsed alone.
fn scan_all(
    package: &Package,
    files: &[PackageFile],
    rules: &scan::Rules,
) -> Result<scan::Report, FactoryError> {
    for file in files.iter().filter(|file| is_python(&file.path)) {
        if let Err(finding) = scan::parse_check(&file.path, &file.text) {
            return Err(FactoryError::new(
                Refusal::Internal,
                format!(
                    "the file {} is no Python: line {}: {}",
                    finding.path, finding.line, finding.message
                ),
                "report this with the source",
            ));
        }
    }
    let written: Vec<SourceFile<'_>> = files
        .iter()
        .filter(|file| {
            // Templates of the caller may make these two.
            file.path.starts_with("tools/")
                || file.path == "Dockerfile"
                || file.path.starts_with(".github/")
        })
        .map(|file| SourceFile { path: &file.path, text: &file.text })
        .collect();
    Ok(scan::scan(&written, &inspect::declared(package), rules))
}

fn reports(report: &scan::Report) -> [PackageFile; 3] {
    let file = |path: &str, text: String| PackageFile { path: path.to_owned(), text };
    [
        file("SECURITY_REPORT.md", report.to_markdown()),
        file("SECURITY_REPORT.json", format!("{:#}\n", report.to_json())),
        file("SECURITY_REPORT.sarif", format!("{:#}\n", report.to_sarif())),
    ]
}

fn fingerprint(files: &[PackageFile]) -> String {
    let mut all = String::new();
    for file in files {
        all.push_str(&file.path);
        all.push('\n');
        all.push_str(&sha256_hex(file.text.as_bytes()).0);
    }
    sha256_hex(all.as_bytes()).0.chars().take(16).collect()
}

fn is_python(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "py")
}
