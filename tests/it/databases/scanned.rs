//! Beside our scan of programs: what bandit, the scanner most people use, makes of the same set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use atelier::factory::scan::{Declared, FileUse, Rules, Severity, SourceFile, scan};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Labels {
    snippet: Vec<Snippet>,
}

#[derive(Deserialize)]
struct Snippet {
    file: String,
    expect: Vec<String>,
    #[serde(default)]
    declares: Declares,
}

#[derive(Deserialize, Default)]
struct Declares {
    network: Option<Vec<String>>,
    environment: Option<Vec<String>>,
    #[serde(default)]
    files: FileUse,
}

/// How many faulty programs anything at all is said of, and how many harmless ones.
#[derive(Debug, Default)]
struct Score {
    seen: usize,
    alarms: usize,
}

#[test]
fn the_scan_sees_more_than_bandit_and_cries_less() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/factory/scan");
    let labels = std::fs::read_to_string(folder.join("labels.toml")).unwrap();
    let labels: Labels = toml::from_str(&labels).unwrap();
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    let clients = std::env::var_os("ATELIER_TEST_CLIENTS").map_or(default, PathBuf::from);
    let python = clients.join("venv/bin/python");
    assert!(python.exists(), "run `tests/clients/setup.sh`");
    let ended = Command::new(python)
        .args(["-m", "bandit", "-q", "-r", "-f", "json"])
        .arg(&folder)
        .output()
        .unwrap();
    // It ends with 1 when it found something.
    let report: Value = serde_json::from_slice(&ended.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ended.stderr)));
    assert_eq!(report["errors"].as_array().map(Vec::len), Some(0), "{report:#}");
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for result in report["results"].as_array().unwrap() {
        // To import a module that may be misused is no fault; it says so of every such line.
        let test = result["test_id"].as_str().unwrap();
        if !test.starts_with("B40") && !test.starts_with("B41") {
            let file = result["filename"].as_str().unwrap().to_owned();
            named.entry(file).or_default().insert(test.to_owned());
        }
    }
    let (mut ours, mut theirs) = (Score::default(), Score::default());
    let (mut faulty, mut harmless) = (0, 0);
    for snippet in labels.snippet {
        let path = folder.join(&snippet.file);
        let text = std::fs::read_to_string(&path).unwrap();
        let declared = Declared {
            environment: snippet.declares.environment,
            hosts: snippet.declares.network,
            packages: None,
            files: snippet.declares.files,
        };
        let report =
            scan(&[SourceFile { path: &snippet.file, text: &text }], &declared, &Rules::builtin());
        let we = !report.blocked(Severity::Low).is_empty();
        let they = named.contains_key(path.to_str().unwrap());
        if snippet.expect.is_empty() {
            harmless += 1;
            ours.alarms += usize::from(we);
            theirs.alarms += usize::from(they);
        } else {
            faulty += 1;
            ours.seen += usize::from(we);
            theirs.seen += usize::from(they);
        }
    }
    println!("{faulty} faulty, {harmless} harmless; ours {ours:?}, bandit {theirs:?}");
    // A set of which bandit saw nothing would not have been read.
    assert!(theirs.seen * 4 > faulty, "{theirs:?}");
    assert!(ours.seen > theirs.seen && ours.alarms <= theirs.alarms, "{ours:?} {theirs:?}");
}
