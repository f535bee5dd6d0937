//! The scan of programs beside bandit's, on labelled programs and on those held out.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use atelier::factory::scan::{Declared, FileUse, Rules, Severity, SourceFile, scan};
use serde_json::Value;
use toml::{Table, Value as Toml};

use super::super::report::Section;

/// A labelled program.
struct Program {
    file: String,
    text: String,
    faulty: bool,
    declared: Declared,
}

/// Share of faulty programs that something is said of, and of harmless ones.
pub(super) fn against_bandit(root: &Path) -> anyhow::Result<Vec<Section>> {
    let fixtures = root.join("tests/fixtures/factory");
    let labelled = labelled(&fixtures.join("scan"))?;
    let held_out = held_out(&fixtures.join("held_out.toml"))?;
    let mut sections = Vec::new();
    for (name, programs) in [("labelled", labelled), ("held-out", held_out)] {
        let theirs = bandit(root, &programs)?;
        let ours: BTreeSet<String> = programs
            .iter()
            .filter(|program| {
                let file = SourceFile { path: &program.file, text: &program.text };
                let report = scan(&[file], &program.declared, &Rules::builtin());
                !report.blocked(Severity::Low).is_empty()
            })
            .map(|program| program.file.clone())
            .collect();
        let share = |named: &BTreeSet<String>, faulty: bool| {
            let of: Vec<&Program> =
                programs.iter().filter(|program| program.faulty == faulty).collect();
            let said = of.iter().filter(|program| named.contains(&program.file)).count();
            percent(said, of.len())
        };
        let faulty = programs.iter().filter(|program| program.faulty).count();
        let harmless = programs.len() - faulty;
        for (is_faulty, what, count) in
            [(true, "Faulty programs that are seen", faulty), (false, "False alarms", harmless)]
        {
            sections.push(Section {
                title: format!("Scan: {} ({name} set)", what.to_lowercase()),
                note: format!("{count} programs of tools. Of bandit's findings those that only say that a module was imported are left aside."),
                unit: "%",
                sides: vec![
                    ("Atelier".to_owned(), vec![share(&ours, is_faulty)]),
                    ("bandit".to_owned(), vec![share(&theirs, is_faulty)]),
                ],
                larger_is_better: is_faulty,
            });
        }
    }
    Ok(sections)
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few dozen")]
fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

fn labelled(folder: &Path) -> anyhow::Result<Vec<Program>> {
    let table: Table = toml::from_str(&std::fs::read_to_string(folder.join("labels.toml"))?)?;
    let mut programs = Vec::new();
    for entry in list(&table, "snippet")? {
        let file = entry.get("file").and_then(Toml::as_str).context("no file")?.to_owned();
        let names = |key: &str| {
            let names = entry.get("declares")?.get(key)?.as_array()?;
            Some(names.iter().filter_map(Toml::as_str).map(str::to_owned).collect::<Vec<_>>())
        };
        let files = entry.get("declares").and_then(|declares| declares.get("files"));
        programs.push(Program {
            text: std::fs::read_to_string(folder.join(&file))?,
            faulty: entry.get("expect").and_then(Toml::as_array).is_some_and(|one| !one.is_empty()),
            declared: Declared {
                environment: names("environment"),
                hosts: names("network"),
                packages: None,
                files: match files {
                    Some(files) => files.clone().try_into::<FileUse>()?,
                    None => FileUse::default(),
                },
            },
            file,
        });
    }
    // Rules for other files have no counterpart.
    programs
        .retain(|program| Path::new(&program.file).extension().is_some_and(|kind| kind == "py"));
    Ok(programs)
}

fn held_out(path: &Path) -> anyhow::Result<Vec<Program>> {
    let table: Table = toml::from_str(&std::fs::read_to_string(path)?)?;
    let mut programs = Vec::new();
    for (number, entry) in list(&table, "program")?.iter().enumerate() {
        let field = |key: &str| entry.get(key).and_then(Toml::as_str).unwrap_or_default();
        programs.push(Program {
            file: format!("program_{number}.py"),
            text: field("text").to_owned(),
            faulty: !field("expect").is_empty(),
            declared: Declared::default(),
        });
    }
    Ok(programs)
}

fn list<'a>(table: &'a Table, key: &str) -> anyhow::Result<&'a Vec<Toml>> {
    table.get(key).and_then(Toml::as_array).with_context(|| format!("no list `{key}`"))
}

/// Names of the programs that bandit says something of.
fn bandit(root: &Path, programs: &[Program]) -> anyhow::Result<BTreeSet<String>> {
    let folder = tempfile::tempdir()?;
    for program in programs {
        let path = folder.path().join(&program.file);
        std::fs::create_dir_all(path.parent().context("no folder")?)?;
        std::fs::write(path, &program.text)?;
    }
    let ended = Command::new(root.join("target/clients/venv/bin/python"))
        .args(["-m", "bandit", "-q", "-r", "-f", "json"])
        .arg(folder.path())
        .output()?;
    // It ends with 1 when it found something.
    let report: Value = serde_json::from_slice(&ended.stdout)
        .with_context(|| String::from_utf8_lossy(&ended.stderr).into_owned())?;
    let results = report.get("results").and_then(Value::as_array).context("no results")?;
    let mut named = BTreeSet::new();
    for result in results {
        let text = |key: &str| result.get(key).and_then(Value::as_str).unwrap_or_default();
        let test = text("test_id");
        if !test.starts_with("B40") && !test.starts_with("B41") {
            let path = Path::new(text("filename"));
            named.insert(path.strip_prefix(folder.path())?.to_string_lossy().into_owned());
        }
    }
    Ok(named)
}
