//! Plugins: programs of the operator's that add files to packages, or judge them.
//!
//! A plugin is `plugin.py`, alone or in a folder with what it imports. It reads one JSON object from its
//! standard input, writes one to its standard output, and ends. It runs behind the fences of the sandbox
//! like all code of packages, without a network, and sees its own folder and the interpreter. What it
//! answers is checked here: paths, sizes, severities. Everything that goes wrong is an error with its
//! name, and nothing is published.

mod answers;
mod ask;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::{FactoryError, Refusal};
use super::execution_log::ExecutionLog;
use super::ir::{Case, Package, PackageFile};
use super::names::prose;
use super::render::templates::TEMPLATES;
use super::scan::Finding;
use super::service::Factory;
use crate::config::factory::{FactoryConfig, PluginConfig, PluginKind};
use crate::jobs::{Failure, Run};
use crate::storage::blobs::sha256_hex;

/// The form of questions and answers.
const FORMAT: u32 = 1;
/// The file that is run.
const PROGRAM: &str = "plugin.py";
/// Most files of a plugin, and most bytes of them together.
const FILES: usize = 200;
const BYTES: u64 = 4 << 20;
/// Longest time that an operator may give a plugin, in seconds.
const LONGEST: f64 = 300.0;

/// A plugin as it is now.
#[derive(Debug, Clone)]
pub(super) struct Plugin {
    pub(super) config: PluginConfig,
    files: Vec<PackageFile>,
    /// Over its settings and all of its files.
    pub(super) hash: String,
}

/// Checks the plugins of a configuration, as far as that can be done without running them.
///
/// # Errors
/// Which one cannot be used, and why.
pub fn check(config: &FactoryConfig) -> Result<(), FactoryError> {
    for (place, plugin) in config.plugins.iter().enumerate() {
        let wrong = |why: &str, hint: &str| Err(refused(&plugin.name, why, hint));
        let is_plain = !plugin.name.is_empty()
            && plugin.name.len() <= 40
            && plugin
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !is_plain {
            return wrong("is no name", "use at most 40 letters, digits, `-` and `_`");
        }
        if config.plugins.iter().take(place).any(|other| other.name == plugin.name) {
            return wrong("stands there twice", "give each plugin a name of its own");
        }
        if !plugin.path.is_absolute() {
            return wrong("has a relative path", "write an absolute `path`");
        }
        if !(plugin.timeout_s > 0.0 && plugin.timeout_s <= LONGEST) {
            return wrong("has a `timeout_s` that is not between 0 and 300", "leave it out for 30");
        }
        if !plugin.replaces.is_empty() && plugin.kind == PluginKind::Validator {
            return wrong("is a validator, and has `replaces`", "only generators write files");
        }
        for path in &plugin.replaces {
            if !TEMPLATES.iter().any(|(_, made, _)| made == path) {
                let paths: Vec<&str> = TEMPLATES.iter().map(|(_, path, _)| *path).collect();
                let why = format!("cannot replace `{}`", prose(path, 100));
                return wrong(
                    &why,
                    &format!("what templates make may be replaced: {}", paths.join(", ")),
                );
            }
        }
    }
    Ok(())
}

fn refused(plugin: &str, why: &str, hint: &str) -> FactoryError {
    FactoryError::new(
        Refusal::Plugin,
        format!("the plugin `{}` {why}", prose(plugin, 60)),
        hint.to_owned(),
    )
}

/// The plugins of a configuration, read anew: they may have changed since the last package.
///
/// # Errors
/// Which one cannot be read.
pub(super) async fn read(config: &FactoryConfig) -> Result<Vec<Plugin>, FactoryError> {
    let mut plugins = Vec::new();
    for config in &config.plugins {
        let files = read_files(&config.path).await.map_err(|why| {
            let why = format!("cannot be read from {}: {why}", config.path.display());
            refused(&config.name, &why, "the operator corrects it under `factory.plugins`")
        })?;
        let all = json!({"config": config, "files": files}).to_string();
        let hash = sha256_hex(all.as_bytes()).0;
        plugins.push(Plugin { config: config.clone(), files, hash });
    }
    Ok(plugins)
}

/// One file as `plugin.py`, or all of a folder.
async fn read_files(path: &Path) -> Result<Vec<PackageFile>, String> {
    let words = |error: std::io::Error| error.to_string();
    let facts = tokio::fs::metadata(path).await.map_err(words)?;
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    if facts.is_file() {
        found.push((PROGRAM.to_owned(), path.to_owned()));
    } else {
        let mut folders = vec![path.to_owned()];
        while let Some(folder) = folders.pop() {
            let mut listing = tokio::fs::read_dir(&folder).await.map_err(words)?;
            while let Some(entry) = listing.next_entry().await.map_err(words)? {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') || name == "__pycache__" {
                    continue;
                }
                let kind = entry.file_type().await.map_err(words)?;
                let below = entry.path();
                if kind.is_dir() {
                    folders.push(below);
                } else if kind.is_file() {
                    let relative = below.strip_prefix(path).unwrap_or(&below).to_string_lossy();
                    found.push((relative.into_owned(), below.clone()));
                }
                if found.len() > FILES {
                    return Err(format!("it has more than {FILES} files"));
                }
            }
        }
        found.sort();
        if !found.iter().any(|(name, _)| name == PROGRAM) {
            return Err(format!("the folder holds no {PROGRAM}"));
        }
    }
    let mut left = BYTES;
    let mut files = Vec::new();
    for (name, path) in found {
        let length = tokio::fs::metadata(&path).await.map_err(words)?.len();
        left = left.checked_sub(length).ok_or_else(|| format!("it has more than {BYTES} bytes"))?;
        let text = tokio::fs::read_to_string(&path).await;
        let text = text.map_err(|error| format!("{name}: {error}"))?;
        files.push(PackageFile { path: name, text });
    }
    Ok(files)
}

impl Factory {
    /// Adds what generators write to the files of a package, and tells which paths are theirs.
    ///
    /// # Errors
    /// Which plugin failed, and how.
    pub(super) async fn generate(
        &self,
        run: &Run,
        plugins: &[Plugin],
        (package, cases): (&Package, &[Case]),
        files: &mut Vec<PackageFile>,
        log: &mut ExecutionLog,
    ) -> Result<Vec<String>, Failure> {
        let mut added = Vec::new();
        for plugin in of_kind(plugins, PluginKind::Generator) {
            let name = &plugin.config.name;
            run.progress(45.0, Some(100.0), format!("the plugin `{name}` adds files"));
            let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
            let question = json!({
                "format": FORMAT, "package": package, "cases": cases, "files": paths,
            });
            let answer = self.answered(run, plugin, &question).await?;
            let written = answers::files(&answer, files, &plugin.config)?;
            log.tool_execution(json!({"tool": "plugin", "name": name, "files": written.len()}));
            for file in written {
                files.retain(|old| old.path != file.path);
                added.push(file.path.clone());
                files.push(file);
            }
        }
        Ok(added)
    }

    /// What validators find in the files of a package.
    ///
    /// # Errors
    /// Which plugin failed, and how.
    pub(super) async fn validate(
        &self,
        run: &Run,
        plugins: &[Plugin],
        package: &Package,
        files: &[PackageFile],
        log: &mut ExecutionLog,
    ) -> Result<Vec<Finding>, Failure> {
        let mut findings = Vec::new();
        for plugin in of_kind(plugins, PluginKind::Validator) {
            let name = &plugin.config.name;
            run.progress(50.0, Some(100.0), format!("the plugin `{name}` looks at the files"));
            let question = json!({"format": FORMAT, "package": package, "files": files});
            let answer = self.answered(run, plugin, &question).await?;
            let found = answers::findings(&answer, files, name)?;
            log.tool_execution(json!({"tool": "plugin", "name": name, "findings": found.len()}));
            findings.extend(found);
        }
        Ok(findings)
    }

    /// One answer, as a step: an attempt that goes on asks nobody twice.
    async fn answered(
        &self,
        run: &Run,
        plugin: &Plugin,
        question: &Value,
    ) -> Result<Value, Failure> {
        let text = question.to_string();
        let hash: String = sha256_hex(format!("{}{text}", plugin.hash).as_bytes()).0;
        let hash: String = hash.chars().take(16).collect();
        let name = format!("plugin@{}@{hash}", plugin.config.name);
        run.step(&name, || self.ask_plugin(plugin, text)).await
    }
}

fn of_kind(plugins: &[Plugin], kind: PluginKind) -> impl Iterator<Item = &Plugin> {
    plugins.iter().filter(move |plugin| plugin.config.kind == kind)
}
