use std::path::Path;

use serde::Deserialize;

use super::*;

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

fn labelled() -> Vec<(Snippet, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/factory/scan");
    let labels = std::fs::read_to_string(folder.join("labels.toml")).unwrap();
    let labels: Labels = toml::from_str(&labels).unwrap();
    labels
        .snippet
        .into_iter()
        .map(|snippet| {
            let text = std::fs::read_to_string(folder.join(&snippet.file)).unwrap();
            (snippet, text)
        })
        .collect()
}

fn found(path: &str, text: &str, declared: &Declared) -> Vec<String> {
    let report = scan(&[SourceFile { path, text }], declared, &Rules::builtin());
    let mut found: Vec<String> = report
        .findings
        .iter()
        .map(|finding| format!("{}:{}", finding.rule, finding.severity.as_str()))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn python(text: &str) -> Vec<String> {
    found("tool.py", text, &Declared::default())
}

/// The share of labelled faults that are found with their severity, and of harmless programs of
/// which something is said; nothing beside the labels is said of the others either.
#[test]
fn labelled_programs_are_judged_as_labelled() {
    let (mut faults, mut seen, mut harmless, mut alarms) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for (snippet, text) in labelled() {
        let declared = Declared {
            environment: snippet.declares.environment,
            hosts: snippet.declares.network,
            packages: None,
            files: snippet.declares.files,
        };
        let found = found(&snippet.file, &text, &declared);
        faults += snippet.expect.len();
        for expected in &snippet.expect {
            if found.contains(expected) {
                seen += 1;
            } else {
                wrong.push(format!("{}: {expected} was missed, {found:?} found", snippet.file));
            }
        }
        let beyond: Vec<_> = found.iter().filter(|one| !snippet.expect.contains(one)).collect();
        harmless += usize::from(snippet.expect.is_empty());
        if !beyond.is_empty() {
            alarms += 1;
            wrong.push(format!("{}: {beyond:?} beside the label", snippet.file));
        }
    }
    assert!(faults >= 60 && harmless >= 40, "{faults} {harmless}");
    let recall = f64::from(seen) / faults as f64;
    let false_alarms = f64::from(alarms) / f64::from(u32::try_from(harmless).unwrap());
    let tell = wrong.join("\n");
    assert!(recall >= 0.95, "recall {recall:.3}\n{tell}");
    assert!(false_alarms <= 0.05, "false alarms {false_alarms:.3}\n{tell}");
    println!("recall {recall:.3}, false alarms {false_alarms:.3}\n{tell}");
}
