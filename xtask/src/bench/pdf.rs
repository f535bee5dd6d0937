//! PDFs against Puppeteer on the same Chrome, and against WeasyPrint.
//!
//! Each side is a process that stays warm and answers one document after the other. Ours is the
//! whole tool over HTTP: the page is rendered, checked, written down and published. The peers
//! render from memory to memory.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{RoleClient, ServiceExt as _};
use serde_json::json;

use super::Effort;
use super::process::{self, Child};
use super::report::Section;

const PUPPETEER: &str = include_str!("puppeteer.mjs");
const WEASYPRINT: &str = include_str!("weasyprint.py");

/// The versions that are compared with.
const PUPPETEER_PACKAGE: &str = "puppeteer-core@24.43.1";
const WEASYPRINT_PACKAGE: &str = "weasyprint==70.0";

/// One page and fifty, all sides in turn.
pub(super) async fn against_peers(
    root: &Path,
    binary: &Path,
    effort: Effort,
) -> anyhow::Result<Vec<Section>> {
    let chrome = process::installed("chromium", "chromium")?;
    let folder = tempfile::tempdir()?;
    let mut sides = Sides {
        ours: Ours::start(binary, folder.path()).await?,
        puppeteer: Peer::start(puppeteer(root, &chrome)?)?,
        weasyprint: Peer::start(weasyprint(root)?)?,
    };
    let mut sections = Vec::new();
    for (pages, rounds) in [(1, effort.rounds * 8), (50, effort.rounds * 2)] {
        let document = document(pages);
        // Whatever starts late starts now.
        sides.round(&document, pages).await?;
        let mut samples = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            let times = sides.round(&document, pages).await?;
            for (samples, time) in samples.iter_mut().zip(times) {
                samples.push(time.as_secs_f64() * 1000.0);
            }
        }
        let [ours, puppeteer, weasyprint] = samples;
        sections.push(Section {
            title: if pages == 1 {
                "PDF of one page, warm".to_owned()
            } else {
                format!("PDF of {pages} pages, warm")
            },
            note: "Text, a grid, a table and a drawing on each A4 page. Ours is the tool `create_pdf_document` with `html` over MCP: checked, stored in versions, published, with a picture of the first page. Puppeteer drives the same Chrome in a new context for each document, tagged and with an outline; both peers keep nothing.".to_owned(),
            unit: "ms",
            sides: vec![
                ("Atelier".to_owned(), ours),
                ("Puppeteer".to_owned(), puppeteer),
                ("WeasyPrint".to_owned(), weasyprint),
            ],
            larger_is_better: false,
        });
    }
    Ok(sections)
}

struct Sides {
    ours: Ours,
    puppeteer: Peer,
    weasyprint: Peer,
}

impl Sides {
    /// The same document by everybody, one after the other.
    async fn round(&mut self, document: &str, pages: usize) -> anyhow::Result<[Duration; 3]> {
        Ok([
            self.ours.render(document, pages).await?,
            self.puppeteer.render(document, pages)?,
            self.weasyprint.render(document, pages)?,
        ])
    }
}

/// Our server and a client of it.
struct Ours {
    client: RunningService<RoleClient, ()>,
    _server: Child,
}

impl Ours {
    async fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let (port, content) = (process::free_port()?, process::free_port()?);
        let server = Child::start(
            Command::new(binary)
                .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
                .args(["--content-listen", &format!("127.0.0.1:{content}")])
                .arg("--data-dir")
                .arg(folder.join("data"))
                .env("ATELIER_LOG", "error"),
        )?;
        process::until_listening(port).await?;
        let transport =
            StreamableHttpClientTransport::from_uri(format!("http://127.0.0.1:{port}/mcp"));
        let client = ().serve(transport).await.context("cannot connect")?;
        Ok(Self { client, _server: server })
    }

    async fn render(&self, document: &str, pages: usize) -> anyhow::Result<Duration> {
        let arguments = json!({"doc_name": format!("bench-{pages}"), "html": document});
        let mut call = CallToolRequestParams::new("create_pdf_document");
        call.arguments = arguments.as_object().cloned();
        let started = Instant::now();
        let result = self.client.call_tool(call).await?;
        let time = started.elapsed();
        let structured =
            result.structured_content.with_context(|| format!("an error: {:?}", result.content))?;
        let made = structured.get("pages").and_then(serde_json::Value::as_u64);
        check_pages("Atelier", made, pages)?;
        Ok(time)
    }
}

/// A program that reads documents as lines of JSON and answers each with the number of its pages.
struct Peer {
    name: &'static str,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    child: std::process::Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    fn start((name, mut command): (&'static str, Command)) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdin = child.stdin.take().context("no input")?;
        let stdout = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { name, stdin, stdout, child })
    }

    fn render(&mut self, document: &str, pages: usize) -> anyhow::Result<Duration> {
        let line = json!(document).to_string();
        let started = Instant::now();
        writeln!(self.stdin, "{line}")?;
        self.stdin.flush()?;
        let mut answer = String::new();
        self.stdout.read_line(&mut answer)?;
        let time = started.elapsed();
        check_pages(self.name, answer.trim().parse().ok(), pages)?;
        Ok(time)
    }
}

fn check_pages(name: &str, made: Option<u64>, wanted: usize) -> anyhow::Result<()> {
    match made {
        Some(made) if usize::try_from(made) == Ok(wanted) => Ok(()),
        made => bail!("{name} made {made:?} pages instead of {wanted}"),
    }
}

/// Puppeteer without a browser of its own, installed once under `target/`.
fn puppeteer(root: &Path, chrome: &Path) -> anyhow::Result<(&'static str, Command)> {
    let folder = root.join("target/bench-puppeteer");
    if !folder.join("node_modules/puppeteer-core").exists() {
        std::fs::create_dir_all(&folder)?;
        let installed = Command::new("npm")
            .args(["install", "--silent", "--no-audit", "--no-fund", PUPPETEER_PACKAGE])
            .env("PUPPETEER_SKIP_DOWNLOAD", "1")
            .current_dir(&folder)
            .status()?;
        if !installed.success() {
            bail!("cannot install {PUPPETEER_PACKAGE}");
        }
    }
    let script = folder.join("bench.mjs");
    std::fs::write(&script, PUPPETEER)?;
    let mut command = Command::new("node");
    command.arg(script).arg(chrome);
    Ok(("Puppeteer", command))
}

/// WeasyPrint in an environment of its own, installed once under `target/`.
fn weasyprint(root: &Path) -> anyhow::Result<(&'static str, Command)> {
    let folder = root.join("target/bench-weasyprint");
    let python: PathBuf = folder.join("bin/python");
    if !python.exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).status()?;
        let installed = Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", WEASYPRINT_PACKAGE])
            .status()?;
        if !made.success() || !installed.success() {
            let _ = std::fs::remove_dir_all(&folder);
            bail!(
                "cannot install {WEASYPRINT_PACKAGE} (it needs apt-get install libpango-1.0-0 libpangoft2-1.0-0)"
            );
        }
    }
    let mut command = Command::new(python);
    command.args(["-c", WEASYPRINT]);
    Ok(("WeasyPrint", command))
}

/// A report whose sections fill one page each.
fn document(pages: usize) -> String {
    let mut body = String::new();
    for page in 1..=pages {
        let rows: String = (1..=12)
            .map(|row| {
                format!(
                    "<tr><td>Item {row}</td><td>{}</td><td>{}.50</td></tr>",
                    row * page,
                    row * 7 + page
                )
            })
            .collect();
        let bars: String = (0..8)
            .map(|bar| {
                let height = 20 + (bar * 37 + page * 11) % 60;
                format!(
                    "<rect x='{}' y='{}' width='30' height='{height}' fill='#2a6fb0'/>",
                    bar * 40,
                    100 - height
                )
            })
            .collect();
        let text = format!(
            "Section {page} tells what was found, in sentences of ordinary length, so that lines are broken and measured. "
        )
        .repeat(6);
        let section = format!(
            "<section><h2>Section {page}</h2><p>{text}</p><div class='grid'><div>Plan</div><div>Work</div><div>Proof</div></div>\
             <table><thead><tr><th>Name</th><th>Count</th><th>Price</th></tr></thead><tbody>{rows}</tbody></table>\
             <svg viewBox='0 0 320 100' role='img' aria-label='Bars'>{bars}</svg></section>"
        );
        body.push_str(&section);
    }
    format!(
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>Report of {pages} pages</title><style>\
         @page {{ size: A4; margin: 18mm }} body {{ font: 11pt/1.45 sans-serif; margin: 0 }}\
         section {{ break-after: page }} section:last-child {{ break-after: auto }}\
         .grid {{ display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px }} .grid div {{ border: 1px solid #999; padding: 6px }}\
         table {{ width: 100%; border-collapse: collapse; margin: 12px 0 }} td, th {{ border-bottom: 1px solid #ccc; padding: 4px; text-align: left }}\
         svg {{ width: 320px; height: 100px }}</style></head><body>{body}</body></html>"
    )
}
