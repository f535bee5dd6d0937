//! A package before it is published: rendered, scanned, staged and proven.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::author::Author;
use super::cache::{Kept, Key, Making, Reused};
use super::error::{FactoryError, Refusal};
use super::execution_log::ExecutionLog;
use super::inspect;
use super::ir::{Package, PackageFile, SourceKind, Sourced};
use super::names::prose;
use super::plugins::{self, Plugin};
use super::publish;
use super::render::{self, templates::Templates};
use super::scan::{self, Severity, SourceFile};
use super::selftest::{self, Level, Proven, SelfTest, Variables};
use super::service::{CreateServer, Factory, Signing, WebSearching, signed};
use super::source::description;
use super::web_search::{Searched, WebSearch};
use super::write::{ATTEMPTS, given_up};
use crate::error::{ErrorKind, ToolError};
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
    /// Where it was taken over from, when it was made before.
    pub(super) reused: Option<Reused>,
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
        let mut author =
            Author::new(run, &self.parts.prompts, &call.model, (&words, &found)).await?;
        for attempt in 1..=ATTEMPTS {
            run.progress(5.0, Some(100.0), "asking for the tools");
            let written = author.write(attempt, log).await?;
            let judged = written.and_then(|value| {
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
                            return Ok((draft, author.model_used()));
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
            author.refuse(problems)?;
        }
        let summary = json!({"tools": 0, "answers": ATTEMPTS});
        let metadata = json!({
            "source": SourceKind::Description,
            "generator": concat!("atelier ", env!("CARGO_PKG_VERSION")),
        });
        let log = log.to_json(&metadata, &summary);
        Err(given_up(author.problems()).detail("execution_log", log).into())
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

    /// A package that is staged and proven: made now, or taken over from when it was made before.
    pub(super) async fn draft(
        &self,
        run: &Run,
        sourced: Sourced,
        templates: &Templates,
        log: &mut ExecutionLog,
        trying: Trying<'_>,
    ) -> Result<Draft, Failure> {
        let cache = &self.parts.cache;
        let plugins = plugins::read(&self.parts.config).await?;
        let hashes: Vec<String> = plugins.iter().map(|plugin| plugin.hash.clone()).collect();
        let making = Making {
            principal: &run.context().principal,
            config: &self.parts.config,
            templates,
            plugins: &hashes,
        };
        let key = Key::of(&sourced, &making);
        let _alone = tokio::select! {
            alone = cache.alone(&key) => alone,
            () = run.cancel().cancelled() => {
                return Err(ToolError::new(ErrorKind::Cancelled, "cancelled", "the call was cancelled").into());
            }
        };
        if let Some(kept) = cache.find(&key).await
            // Of an environment that is gone nothing is proven any more.
            && let Ok(python) = self.interpreter(&kept.files).await
        {
            run.progress(60.0, Some(100.0), "taking over what was made before");
            let Kept { from, files, findings, self_test } = kept;
            let staged = self.staging(run, trying.attempt);
            publish::stage(&staged, &files).await?;
            // An attempt of this very call that was cut off is no other execution.
            let reused = Some(from).filter(|from| from.execution != run.call_id().as_str());
            let package = sourced.package;
            let python = Some(python);
            return Ok(Draft { findings, package, files, self_test, python, staged, reused });
        }
        let draft = Box::pin(self.made(run, sourced, (templates, &plugins), log, trying)).await?;
        // What failed or could not be run may do better the next time.
        if draft.self_test.level == Level::Tested && draft.self_test.failed == 0 {
            let kept = Kept {
                from: Reused {
                    execution: run.call_id().as_str().to_owned(),
                    made_at: run.started_at(),
                },
                files: draft.files.clone(),
                findings: draft.findings.clone(),
                self_test: draft.self_test.clone(),
            };
            cache.keep(&key, &kept).await;
        }
        Ok(draft)
    }

    fn staging(&self, run: &Run, attempt: u32) -> PathBuf {
        let name = format!("{}-{attempt}", run.job_id().as_str());
        self.folder().join(".staging").join(name)
    }

    /// Renders, stages and proves a package.
    async fn made(
        &self,
        run: &Run,
        sourced: Sourced,
        (templates, plugins): (&Templates, &[Plugin]),
        log: &mut ExecutionLog,
        trying: Trying<'_>,
    ) -> Result<Draft, Failure> {
        let Sourced { package, cases, files: own, trial } = sourced;
        run.progress(40.0, Some(100.0), "writing the package");
        let mut files = render::render(&package, &cases, templates)?;
        files.extend(own);
        let added = self.generate(run, plugins, (&package, &cases), &mut files, log).await?;
        let mut report = scan_all(&package, &files, &added, &self.parts.rules)?;
        report.add(self.validate(run, plugins, &package, &files, log).await?);
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
        let staged = self.staging(run, trying.attempt);
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
        let python = python.ok();
        Ok(Draft { findings, package, files, self_test, python, staged, reused: None })
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
    added: &[String],
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
            // Templates of the caller may make these two; plugins add what they like.
            file.path.starts_with("tools/")
                || added.contains(&file.path)
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
