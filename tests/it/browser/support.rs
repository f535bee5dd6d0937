//! A renderer of its own for each test, and what looks into its results.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use atelier::browser::{
    Chrome, InspectOptions, Inspection, NoFiles, PageFile, PageFiles, PageSetup, PdfOptions,
    Printed, RenderError, Renderer, Source, Viewport,
};
use atelier::config::browser::BrowserConfig;
use lopdf::{Dictionary, Document, Object};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);

/// The configuration of tests: as usual, with times that a busy machine keeps.
pub(crate) fn config() -> BrowserConfig {
    BrowserConfig { load_s: 80.0, deadline_s: 200.0, ..BrowserConfig::default() }
}

/// A renderer with the configuration of tests.
pub(crate) fn chrome() -> Chrome {
    Chrome::new(&config(), Vec::new())
}

/// Prints a page that has no files.
pub(crate) async fn print(
    chrome: &Chrome,
    html: &str,
    setup: Value,
) -> Result<Printed, RenderError> {
    let setup: PageSetup = serde_json::from_value(setup).unwrap();
    let options = PdfOptions::new(setup)?;
    chrome.pdf(Source::alone(html), options, &CancellationToken::new()).await
}

/// Looks at a page that has no files, on a desktop.
pub(crate) async fn look(chrome: &Chrome, html: &str) -> Result<Inspection, RenderError> {
    look_with(chrome, html, Arc::new(NoFiles), &[]).await
}

/// Looks at a page on a desktop and evaluates expressions in it.
pub(crate) async fn look_with(
    chrome: &Chrome,
    html: &str,
    files: Arc<dyn PageFiles>,
    scripts: &[&str],
) -> Result<Inspection, RenderError> {
    let options = InspectOptions {
        viewports: vec![Viewport::desktop()],
        scripts: scripts.iter().map(|script| (*script).to_owned()).collect(),
        ..InspectOptions::default()
    };
    let source = Source { html: html.to_owned(), files };
    chrome.inspect(source, options, &CancellationToken::new()).await
}

/// Files by path.
pub(crate) struct Files(pub(crate) Vec<(&'static str, &'static str, Vec<u8>)>);

#[async_trait]
impl PageFiles for Files {
    async fn file(&self, path: &str) -> Option<PageFile> {
        let (_, media_type, bytes) = self.0.iter().find(|(known, ..)| *known == path)?;
        Some(PageFile { media_type: (*media_type).to_owned(), bytes: bytes.clone().into() })
    }
}

/// A parsed PDF.
pub(crate) struct Pdf(Document);

impl Pdf {
    pub(crate) fn read(printed: &Printed) -> Self {
        Self(Document::load_mem(&printed.pdf).unwrap())
    }

    pub(crate) fn pages(&self) -> usize {
        self.0.get_pages().len()
    }

    /// Width and height of the first page in whole millimetres.
    #[expect(clippy::cast_possible_truncation, reason = "paper has few millimetres")]
    pub(crate) fn paper(&self) -> (i64, i64) {
        let page = *self.0.get_pages().values().next().unwrap();
        let page = self.0.get_dictionary(page).unwrap();
        let sides = self.inherited(page, b"MediaBox");
        let sides: Vec<f32> =
            sides.as_array().unwrap().iter().map(|side| side.as_float().unwrap()).collect();
        let millimetres = |points: f32| (points / 72.0 * 25.4).round() as i64;
        (millimetres(sides[2] - sides[0]), millimetres(sides[3] - sides[1]))
    }

    fn inherited(&self, page: &Dictionary, key: &[u8]) -> Object {
        if let Ok(value) = page.get(key) {
            return value.clone();
        }
        let parent = page.get(b"Parent").unwrap().as_reference().unwrap();
        self.inherited(self.0.get_dictionary(parent).unwrap(), key)
    }

    fn catalog(&self) -> &Dictionary {
        self.0.catalog().unwrap()
    }

    pub(crate) fn language(&self) -> Option<String> {
        let language = self.catalog().get(b"Lang").ok()?;
        Some(text(language))
    }

    pub(crate) fn title(&self) -> Option<String> {
        let info = self.0.trailer.get(b"Info").ok()?.as_reference().ok()?;
        self.0.get_dictionary(info).ok()?.get(b"Title").ok().map(text)
    }

    pub(crate) fn is_tagged(&self) -> bool {
        let marked = self.catalog().get(b"MarkInfo").ok();
        let marked = marked.and_then(|info| match info {
            Object::Reference(id) => self.0.get_dictionary(*id).ok(),
            other => other.as_dict().ok(),
        });
        let is_marked = marked.is_some_and(|info| {
            info.get(b"Marked").is_ok_and(|value| matches!(value, Object::Boolean(true)))
        });
        is_marked && self.catalog().has(b"StructTreeRoot")
    }

    /// Titles of the outline, in order.
    pub(crate) fn outline(&self) -> Vec<String> {
        let Ok(outlines) = self.catalog().get(b"Outlines").and_then(Object::as_reference) else {
            return Vec::new();
        };
        let mut titles = Vec::new();
        self.outline_below(self.0.get_dictionary(outlines).unwrap(), &mut titles);
        titles
    }

    fn outline_below(&self, entry: &Dictionary, titles: &mut Vec<String>) {
        let mut next = entry.get(b"First").and_then(Object::as_reference).ok();
        while let Some(id) = next {
            let entry = self.0.get_dictionary(id).unwrap();
            titles.push(text(entry.get(b"Title").unwrap()));
            self.outline_below(entry, titles);
            next = entry.get(b"Next").and_then(Object::as_reference).ok();
        }
    }

    /// The text of a page, without its white space.
    pub(crate) fn text(&self, page: u32) -> String {
        self.0.extract_text(&[page]).unwrap().split_whitespace().collect()
    }
}

fn text(object: &Object) -> String {
    lopdf::decode_text_string(object).unwrap()
}

/// The files below a folder whose names begin so.
pub(crate) fn files_named(folder: &std::path::Path, prefix: &str) -> Vec<PathBuf> {
    std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A process and everything below it, that is alive.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let pid = found[next];
        next += 1;
        let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for thread in threads.flatten() {
            let children =
                std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
        }
    }
    found
}

/// Whether a process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}
