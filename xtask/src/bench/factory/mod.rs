//! Made MCP servers against those of FastMCP's `from_openapi` and of openapi-mcp-generator, from the
//! same public descriptions, called with the same values and judged by `tests/corpus/judge.py`,
//! which reads the descriptions by the standard and knows none of the three.

mod packages;
mod scanner;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use self::packages::Maker;
use super::Effort;
use super::report::Section;

/// Operations of each description that are called, all of them of descriptions of styles.
const SAMPLE: &str = "60";

/// What the peers are, pinned.
const FASTMCP: &str = "fastmcp==4.1.2";
const GENERATOR: &str = "openapi-mcp-generator@4.0.1";

/// What generated TypeScript runs with: the newest that its package.json allows, and what removes
/// its types.
const MODULES: [&str; 6] = [
    "@modelcontextprotocol/sdk@1.32.2",
    "axios@1.21.1",
    "dotenv@16.6.1",
    "zod@3.25.76",
    "json-schema-to-zod@2.8.1",
    "esbuild@0.27.7",
];

/// Descriptions of one run: of twins in JSON and YAML the JSON one.
const GITHUB: &str = "generated/api.github.com.json";

/// All comparisons of the factory.
pub(super) async fn against_peers(
    root: &Path,
    binary: &Path,
    effort: Effort,
) -> anyhow::Result<Vec<Section>> {
    // It waits for processes alone.
    let (root, binary) = (root.to_owned(), binary.to_owned());
    tokio::task::spawn_blocking(move || compare(&root, &binary, effort)).await?
}

fn compare(root: &Path, binary: &Path, effort: Effort) -> anyhow::Result<Vec<Section>> {
    run(&mut Command::new(root.join("tests/corpus/setup.sh")))?;
    run(&mut Command::new(root.join("tests/clients/setup.sh")))?;
    run(&mut Command::new(root.join("scripts/factory-python.sh")))?;
    let place = peers(root)?;
    let folder = tempfile::tempdir()?;
    let corpus = root.join("target/corpus/node_modules");
    let mut descriptions = descriptions(&corpus)?;
    if effort.rounds < 5 {
        descriptions.retain(|(name, _)| name.contains("style") || name.ends_with("petstore.json"));
    }
    let maker = Maker::new(root, binary, folder.path());
    let mut entries = Vec::new();
    for (name, path) in &descriptions {
        // Some describe nothing to call.
        let Some(made) = maker.make(path)? else { continue };
        entries.push(json!({
            "name": name,
            "spec": path,
            "folder": made.folder,
            "seconds": made.seconds,
        }));
    }
    let list = folder.path().join("list.json");
    std::fs::write(&list, serde_json::to_string(&entries)?)?;
    let mut sides = Vec::new();
    for (word, name) in
        [("ours", "Atelier"), ("fastmcp", "FastMCP"), ("generator", "openapi-mcp-generator")]
    {
        let mut results = Vec::new();
        for awkward in [false, true] {
            results.push(side(root, &place, folder.path(), word, awkward)?);
        }
        sides.push((name.to_owned(), results));
    }
    let mut sections = vec![
        share("plain values", "Texts of letters alone.", &sides, 0),
        share(
            "values that must be escaped",
            "Texts with spaces, slashes, commas, ampersands, percent signs and letters beyond ASCII.",
            &sides,
            1,
        ),
        Section {
            title: "Making a server of a public description".to_owned(),
            note: "Ours: the whole process `atelier call create_mcp_server`, with the scan and every file written and recorded, without starting Python. FastMCP: `from_openapi` alone, its imports and the reading of the file left aside; it writes nothing. openapi-mcp-generator: its whole process. Medians over the descriptions that the side can use.".to_owned(),
            unit: "ms",
            sides: figures(&sides, "seconds", 1000.0),
            larger_is_better: false,
        },
        Section {
            title: "`tools/list` of a made server".to_owned(),
            note: format!("By default options. The largest: {}.", largest(&sides)),
            unit: "kB",
            sides: figures(&sides, "list_bytes", 0.001),
            larger_is_better: false,
        },
    ];
    if effort.rounds >= 5 {
        sections.push(github(&maker, &corpus, &sides, effort)?);
        sections.push(large(root, &maker, folder.path(), effort)?);
    }
    sections.extend(scanner::against_bandit(root)?);
    Ok(sections)
}

/// Name and path of every description that has operations.
fn descriptions(corpus: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let examples = corpus.join("@readme/oas-examples");
    let mut folders: Vec<PathBuf> =
        ["2.0", "3.0", "3.1"].iter().map(|edition| examples.join(edition).join("json")).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.strip_prefix(&examples)?.to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "json")
                && !name.contains("webhooks")
            {
                found.push((name, path));
            }
        }
    }
    found.push((GITHUB.to_owned(), corpus.join("@octokit/openapi").join(GITHUB)));
    found.sort();
    Ok(found)
}

/// One side over all descriptions.
fn side(
    root: &Path,
    place: &Path,
    folder: &Path,
    word: &str,
    awkward: bool,
) -> anyhow::Result<Vec<Value>> {
    let result = folder.join(format!("{word}-{awkward}.json"));
    let mut command = Command::new(place.join("venv/bin/python"));
    command
        .arg(root.join("tests/corpus/compare.py"))
        .arg(word)
        .arg(folder.join("list.json"))
        .arg(&result)
        .args(["--sample", SAMPLE])
        .arg("--python")
        .arg(root.join("target/factory-python/bin/python"))
        .arg("--node")
        .arg(root.join("target/clients/node/bin/node"))
        .arg("--place")
        .arg(place)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if awkward {
        command.arg("--awkward");
    }
    run(&mut command)?;
    let text = std::fs::read_to_string(result)?;
    let kept = place.join(format!("{word}-{}.json", if awkward { "awkward" } else { "plain" }));
    // For who wants to know what was wrong.
    std::fs::write(kept, &text)?;
    Ok(serde_json::from_str(&text)?)
}

type Sides = [(String, Vec<Vec<Value>>)];

fn count(results: &[Value], key: &str) -> f64 {
    results.iter().filter_map(|result| result.get(key).and_then(Value::as_f64)).sum()
}

fn share(values: &str, told: &str, sides: &Sides, run: usize) -> Section {
    let of = |results: &[Vec<Value>]| {
        let results = results.get(run).map_or(&[][..], Vec::as_slice);
        let unusable = results.iter().filter(|result| result.get("unusable").is_some()).count();
        (count(results, "right"), count(results, "judged"), results.len(), unusable)
    };
    let told_of: Vec<String> = sides
        .iter()
        .map(|(name, results)| {
            let (right, judged, all, unusable) = of(results);
            format!("{name} {right:.0} of {judged:.0}, {unusable} of {all} descriptions unusable")
        })
        .collect();
    Section {
        title: format!("Exactly right requests, {values}"),
        note: format!(
            "Each operation called once with every parameter and body that its description allows, at most {SAMPLE} of a description; one that a side cannot use counts as wrong. {told} {}. Credentials are not compared.",
            told_of.join("; ")
        ),
        unit: "%",
        sides: sides
            .iter()
            .map(|(name, results)| {
                let (right, judged, ..) = of(results);
                (name.clone(), vec![100.0 * right / judged])
            })
            .collect(),
        larger_is_better: true,
    }
}

fn figures(sides: &Sides, key: &str, factor: f64) -> Vec<(String, Vec<f64>)> {
    let of = |results: &[Vec<Value>]| {
        let all = results.iter().flatten();
        all.filter_map(|result| Some(result.get(key)?.as_f64()? * factor)).collect()
    };
    sides.iter().map(|(name, results)| (name.clone(), of(results))).collect()
}

fn largest(sides: &Sides) -> String {
    let of = |(name, samples): (String, Vec<f64>)| {
        format!("{name} {:.0} kB", samples.into_iter().fold(0.0, f64::max))
    };
    figures(sides, "list_bytes", 0.001).into_iter().map(of).collect::<Vec<_>>().join(", ")
}

/// The largest description, over and over.
fn github(maker: &Maker, corpus: &Path, sides: &Sides, effort: Effort) -> anyhow::Result<Section> {
    let path = corpus.join("@octokit/openapi").join(GITHUB);
    let mut ours = Vec::new();
    let mut memory: f64 = 0.0;
    for _ in 0..effort.rounds {
        let made = maker.make(&path)?.context("no operations")?;
        ours.push(made.seconds * 1000.0);
        memory = memory.max(made.memory_mib);
    }
    let of = |name: &str| -> Vec<f64> {
        let results = sides.iter().find(|(own, _)| own == name).map(|(_, results)| results);
        let entries = results.into_iter().flatten().flatten();
        entries
            .filter(|result| result.get("name") == Some(&json!(GITHUB)))
            .filter_map(|result| Some(result.get("seconds")?.as_f64()? * 1000.0))
            .collect()
    };
    Ok(Section {
        title: "Making a server of GitHub's API".to_owned(),
        note: format!(
            "13 MB, 1,223 operations; as above. Ours took at most {memory:.0} MiB of memory."
        ),
        unit: "ms",
        sides: vec![
            ("Atelier".to_owned(), ours),
            ("FastMCP".to_owned(), of("FastMCP")),
            ("openapi-mcp-generator".to_owned(), of("openapi-mcp-generator")),
        ],
        larger_is_better: false,
    })
}

/// 11,000 operations.
fn large(root: &Path, maker: &Maker, folder: &Path, effort: Effort) -> anyhow::Result<Section> {
    let path = folder.join("large.json");
    run(Command::new("python3").arg(root.join("tests/corpus/large.py")).arg(&path))?;
    let mut ours = Vec::new();
    let mut memory: f64 = 0.0;
    for _ in 0..effort.rounds {
        let made = maker.make(&path)?.context("no operations")?;
        ours.push(made.seconds * 1000.0);
        memory = memory.max(made.memory_mib);
    }
    Ok(Section {
        title: "Making a server of 11,000 operations".to_owned(),
        note: format!(
            "{} bytes, every schema in a circle. It took at most {memory:.0} MiB of memory.",
            std::fs::metadata(&path)?.len()
        ),
        unit: "ms",
        sides: vec![("Atelier".to_owned(), ours)],
        larger_is_better: false,
    })
}

/// The peers, installed once under `target/`.
fn peers(root: &Path) -> anyhow::Result<PathBuf> {
    let place = root.join("target/bench-factory");
    std::fs::create_dir_all(&place)?;
    let wanted = format!("{FASTMCP} {GENERATOR} {}", MODULES.join(" "));
    let ready = place.join("ready");
    if std::fs::read_to_string(&ready).is_ok_and(|found| found == wanted) {
        return Ok(place);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(place.join("venv")))?;
    run(Command::new(place.join("venv/bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(["--only-binary", ":all:", FASTMCP, "PyYAML==6.0.3", "jsonschema==4.26.0"]))?;
    run(Command::new("npm")
        .args(["install", "--silent", "--no-save", "--no-audit", "--no-fund", GENERATOR])
        .args(MODULES)
        .current_dir(&place))?;
    std::fs::write(ready, wanted)?;
    Ok(place)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let ended = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(
        ended.status.success(),
        "{command:?} ended with {}: {}{}",
        ended.status,
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    Ok(())
}
