//! Pages with known faults and pages without, opened in a real browser.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atelier::browser::{Chrome, Renderer as _};
use atelier::config::browser::{BrowserConfig, IsolationWish};
use serde_json::{Value, json};

use crate::support::studio::{PAGE, Reply, Studio, StudioBuilder};

/// A browser for one test.
pub(super) struct Looking {
    pub(super) chrome: Arc<Chrome>,
    config: BrowserConfig,
}

impl Looking {
    /// One that waits for slow machines.
    pub(super) fn patiently() -> Self {
        Self::with(|_| {})
    }

    /// One for pages that never end.
    pub(super) fn briefly() -> Self {
        Self::with(|config| config.load_s = 12.0)
    }

    pub(super) fn with(change: impl FnOnce(&mut BrowserConfig)) -> Self {
        let mut config = BrowserConfig {
            isolation: IsolationWish::Weak,
            load_s: 200.0,
            deadline_s: 900.0,
            ..BrowserConfig::default()
        };
        change(&mut config);
        Self { chrome: Arc::new(Chrome::new(&config, Vec::new())), config }
    }

    /// A studio whose pages it looks at.
    pub(super) fn studio(&self) -> StudioBuilder {
        StudioBuilder::new().renderer(&self.chrome, &self.config)
    }

    pub(super) async fn end(&self) {
        self.chrome.shut_down().await;
    }
}

fn pages(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pages").join(folder);
    let mut pages: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    pages
}

/// Gives a page to be hosted and returns what the check says.
async fn verification(studio: &Studio, html: &str) -> (Reply, Value) {
    let reply = studio.call("create_web_app", json!({"html": html})).await;
    let verification = reply.field("verification").clone();
    assert!(verification.is_object(), "{reply:?}");
    (reply, verification)
}

/// Kinds of the findings of these severities.
fn kinds(verification: &Value, severities: &[&str]) -> BTreeSet<String> {
    let findings = verification["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| severities.contains(&finding["severity"].as_str().unwrap()))
        .map(|finding| finding["kind"].as_str().unwrap().to_owned())
        .collect()
}

const GRAVE: [&str; 3] = ["blocking", "fault", "improvement"];

/// How grave a kind is, as users are told.
fn severity(kind: &str) -> &'static str {
    match kind {
        "never_loads" | "crash" | "dialog_storm" | "navigates_away" | "exception_at_load"
        | "missing_asset" | "blank_page" => "blocking",
        "accessibility" => "improvement",
        "accessibility_hint" | "missing_title" | "missing_viewport" | "foreign_data" => "note",
        _ => "fault",
    }
}

/// What is wrong with what was found on a page that is named after its fault.
async fn misjudged(studio: &Studio, name: &str, html: &str) -> Vec<String> {
    let (wanted, _) = name.split_once('-').unwrap();
    let (reply, verification) = verification(studio, html).await;
    let mut problems = Vec::new();
    if !kinds(&verification, &[severity(wanted)]).contains(wanted) {
        problems.push(format!("{name}: not found; {verification}"));
    }
    let others: BTreeSet<String> =
        kinds(&verification, &GRAVE).into_iter().filter(|kind| kind != wanted).collect();
    if !others.is_empty() {
        problems.push(format!("{name}: also {others:?}; {verification}"));
    }
    let is_unshowable =
        matches!(wanted, "never_loads" | "dialog_storm" | "navigates_away" | "crash");
    if reply.0.is_error != is_unshowable {
        problems.push(format!("{name}: {reply:?}"));
    }
    problems
}

#[tokio::test]
async fn every_seeded_fault_is_found_and_nothing_else() {
    let (patient, brief) = (Looking::patiently(), Looking::briefly());
    let (slow, quick) = (patient.studio().build().await, brief.studio().build().await);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for file in pages("bad") {
        let html = std::fs::read_to_string(&file).unwrap();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let studio = if name.starts_with("never_loads") { &quick } else { &slow };
        problems.extend(misjudged(studio, name, &html).await);
        *seen.entry(name.split_once('-').unwrap().0.to_owned()).or_default() += 1;
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    assert!(seen.values().sum::<usize>() >= 30, "{seen:?}");
    assert!(seen.values().all(|pages| *pages >= 2), "each fault in two ways: {seen:?}");
    patient.end().await;
    brief.end().await;
}

#[tokio::test]
async fn good_pages_raise_no_alarm() {
    let looking = Looking::patiently();
    let studio = looking.studio().build().await;
    let mut files = pages("good");
    // What the demo makes has to be as good.
    files.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/demo/web_app.html"));
    assert!(files.len() >= 20, "{}", files.len());
    let mut problems = Vec::new();
    for file in &files {
        let html = std::fs::read_to_string(file).unwrap();
        let (reply, verification) = verification(&studio, &html).await;
        if verification["status"] != "passed" {
            problems.push(format!("{}: {verification:#}", file.display()));
            continue;
        }
        assert_eq!(verification["viewports"], json!(["390x844", "1280x800"]));
        let warnings = reply.texts("warnings");
        assert!(!warnings.iter().any(|text| text.contains("the check")), "{reply:?}");
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    looking.end().await;
}

#[tokio::test]
async fn a_check_names_the_line_and_keeps_a_picture() {
    let looking = Looking::patiently();
    let studio = looking.studio().build().await;
    let page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>Sum</title></head>\n<body><main><h1>Sum</h1></main>\n<script>\nconst sum = 1;\nshow(sum);\n</script>\n</body></html>";
    let made = studio.call("create_web_app", json!({"html": page})).await;
    assert_eq!(made.text("status"), "warning", "{made:?}");
    let verification = made.field("verification");
    assert_eq!(verification["status"], "blocked");
    let finding = &verification["findings"][0];
    assert_eq!(finding["where"], "line 7");
    assert!(finding["message"].as_str().unwrap().contains("ReferenceError: show is not defined"));
    assert_eq!(
        finding["excerpt"],
        "     5 | <script>\n     6 | const sum = 1;\n>    7 | show(sum);\n     8 | </script>\n     9 | </body></html>"
    );
    assert!(made.texts("warnings")[0].contains("show is not defined"), "{made:?}");

    let good = studio.call("create_web_app", json!({"html": PAGE})).await;
    let token = good.text("url").trim_end_matches('/').rsplit('/').next().unwrap();
    let catalog = &studio.workshop.catalog;
    let document = catalog.document_by_token(token).await.unwrap().unwrap();
    let version = catalog.version(&document.id, 1).await.unwrap().unwrap();
    let picture = studio.workshop.blobs.get(&version.thumb_sha.unwrap()).await.unwrap();
    assert!(picture.starts_with(b"RIFF") && &picture[8..12] == b"WEBP");
    assert!(picture.len() < 60_000, "{} bytes", picture.len());
    let size = imagesize::blob_size(&picture).unwrap();
    assert_eq!((size.width, size.height), (640, 400));
    let facts: Value = serde_json::from_str(&version.facts).unwrap();
    assert_eq!(facts["verification"]["status"], good.field("verification")["status"]);
    looking.end().await;
}

#[tokio::test]
async fn own_files_are_there_for_the_check() {
    let looking = Looking::patiently();
    let studio = looking.studio().build().await;
    let missing = "ab".repeat(32);
    let page = PAGE.replace("<h1>", &format!("<img alt='' src='a/{missing}'><h1>"));
    let made = studio.call("create_web_app", json!({"html": page})).await;
    let found = kinds(made.field("verification"), &["blocking"]);
    assert!(found.contains("missing_asset"), "{made:?}");
    looking.end().await;
}

#[tokio::test]
async fn addresses_are_told_without_their_secrets() {
    let looking = Looking::patiently();
    let studio = looking.studio().build().await;
    let page =
        PAGE.replace("<h1>", "<img alt='' src='https://x.example/p.png?signature=secret'><h1>");
    let made = studio.call("create_web_app", json!({"html": page})).await;
    let text = made.0.structured.to_string();
    assert!(text.contains("https://x.example/p.png"), "{text}");
    assert!(!text.contains("secret"), "{text}");
    looking.end().await;
}

#[tokio::test]
async fn long_pages_are_checked_too() {
    let looking = Looking::patiently();
    let studio = looking.studio().page_bytes(6 * 1024 * 1024).build().await;
    let rows: String = (0..60_000)
        .map(|n| format!("<tr><td>row {n}</td><td>{}</td></tr>\n", "x".repeat(60)))
        .collect();
    let page = PAGE.replace("<h1>Tips</h1>", &format!("<h1>Tips</h1><table>{rows}</table>"));
    assert!(page.len() > 5 * 1024 * 1024, "{}", page.len());
    let made = studio.call("create_web_app", json!({"html": page})).await;
    assert!(!made.0.is_error, "{made:?}");
    assert_ne!(made.field("verification")["status"], "unavailable", "{made:?}");
    assert_eq!(studio.page(made.text("url"), 1).await.len(), page.len());
    looking.end().await;
}

#[tokio::test]
async fn without_a_browser_pages_are_published_and_the_result_says_so() {
    let looking = Looking::with(|config| config.chrome = Some("/nowhere/chrome".into()));
    let studio = looking.studio().build().await;
    let made = studio.call("create_web_app", json!({"html": PAGE})).await;
    assert_eq!(made.text("status"), "warning");
    let verification = made.field("verification");
    assert_eq!(verification["status"], "unavailable");
    assert!(verification["reason"].as_str().unwrap().contains("/nowhere/chrome"), "{made:?}");
    assert!(verification["hint"].as_str().unwrap().contains("browser.chrome"), "{made:?}");
    assert!(made.texts("warnings")[0].contains("was not checked"), "{made:?}");
    assert_eq!(studio.page(made.text("url"), 1).await, PAGE.as_bytes());

    let off = StudioBuilder::new().build().await;
    let made = off.call("create_web_app", json!({"html": PAGE})).await;
    assert_eq!(
        (made.text("status"), &made.field("verification")["status"]),
        ("success", &json!("off"))
    );
}

#[tokio::test]
async fn a_browser_that_is_killed_during_a_check_loses_nothing() {
    let looking = Looking::patiently();
    let studio = looking.studio().build().await;
    // It stays at work until its `ready` comes, so that there is time to kill.
    let page = PAGE.replace(
        "<h1>",
        "<script>window.__ready = new Promise((done) => setTimeout(done, 1500));</script><h1>",
    );
    let call = studio.call("create_web_app", json!({"html": page}));
    let kill = async {
        loop {
            if let Some(id) = looking.chrome.process_id().await {
                // The page is being looked at: its process is there beside those of an idle Chrome.
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                let killed =
                    std::process::Command::new("kill").args(["-KILL", &id.to_string()]).status();
                assert!(killed.unwrap().success());
                return id;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let (made, killed) = tokio::join!(call, kill);
    assert!(!made.0.is_error, "{made:?}");
    assert_eq!(studio.page(made.text("url"), 1).await, page.as_bytes());
    let status = made.field("verification")["status"].as_str().unwrap();
    assert!(matches!(status, "passed" | "findings"), "looked at again: {made:?}");
    assert_ne!(looking.chrome.process_id().await, Some(killed), "by another browser");
    looking.end().await;
}
