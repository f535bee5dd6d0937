//! Brings a document into a page and waits until it is at rest.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::RenderError;
use super::cdp::CommandError;
use super::cdp::json::Fields as _;
use super::observe::{Observer, Progress, SessionListener};
use super::page::Page;
use super::report::{Load, LoadOutcome};
use super::serve::Server;
use super::source::Source;

/// Where the document stands. The name is reserved for never to exist.
pub(super) const DOCUMENT: &str = "https://doc.invalid/";

/// The document's origin is opaque, like that of a hosted page: no storage, no windows, no leaving.
/// Sockets, which interception does not see, are refused here.
pub(super) const POLICY: &str = "sandbox allow-scripts allow-forms allow-modals; \
    connect-src http: https: data: blob:";

/// Takes peer connections out of a page where no namespace stops their datagrams.
const WITHOUT_PEERS: &str = "for (const name of ['RTCPeerConnection', 'webkitRTCPeerConnection', 'WebTransport']) \
     delete globalThis[name]";

/// How long a page must be at rest.
const QUIET: Duration = Duration::from_millis(150);

/// A window to look at a page through.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Viewport {
    /// What it is called in reports.
    pub name: String,
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Whether it behaves like a phone: touch, meta viewport, overlay scroll bars.
    pub mobile: bool,
    /// Pixels of the screen per CSS pixel.
    pub device_scale: f64,
}

impl Viewport {
    /// A usual phone.
    pub fn phone() -> Self {
        Self { name: "phone".to_owned(), width: 390, height: 844, mobile: true, device_scale: 1.0 }
    }

    /// A usual desktop.
    pub fn desktop() -> Self {
        Self {
            name: "desktop".to_owned(),
            width: 1280,
            height: 800,
            mobile: false,
            device_scale: 1.0,
        }
    }
}

/// When a page counts as at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// Once everything has come, and a while after when scripts run in it.
    ForPrint,
    /// Once everything has come, and a while after.
    ForLooking,
}

/// Loads a document into a page, then does something with it while the page is still served.
pub(super) async fn with_document<T, F>(
    page: &Page,
    source: &Source,
    before: &[String],
    rest: Rest,
    patience: Duration,
    work: impl FnOnce(LoadedPage) -> F,
) -> Result<(T, Load), RenderError>
where
    F: Future<Output = Result<T, RenderError>>,
{
    let (observer, mut questions) = Observer::new();
    let tab = page.tab();
    let listener = SessionListener {
        session: tab.session.clone(),
        observer: Arc::clone(&observer),
        is_page: true,
    };
    page.connection().listen(&tab.session, Arc::new(listener));
    let server = Server { connection: page.connection(), tab, source, observer: &observer };
    let begun = Instant::now();
    let load_and_work = async {
        let outcome = tokio::time::timeout(patience, bring(page, &observer, before, rest)).await;
        let (outcome, title) = match outcome {
            Ok(outcome) => outcome?,
            Err(_) => {
                (LoadOutcome::TimedOut { reason: unrest(observer.progress()) }, String::new())
            }
        };
        let duration = begun.elapsed();
        let loaded = LoadedPage { outcome: outcome.clone(), after: duration };
        let done = tokio::select! {
            done = work(loaded) => done?,
            () = observer.crashed(), if outcome != LoadOutcome::Crashed => {
                return Err(page_crash());
            }
        };
        Ok((done, Load { outcome, duration, title, ..observer.load() }))
    };
    tokio::select! {
        done = load_and_work => done,
        error = server.serve(&mut questions) => Err(error.into()),
        () = page.connection().closed() => Err(CommandError::Closed.into()),
    }
}

/// A page as it is after loading, at rest or not.
pub(super) struct LoadedPage {
    pub(super) outcome: LoadOutcome,
    pub(super) after: Duration,
}

pub(super) fn page_crash() -> RenderError {
    RenderError::Crashed("the page's process ended".to_owned())
}

async fn bring(
    page: &Page,
    observer: &Observer,
    before: &[String],
    rest: Rest,
) -> Result<(LoadOutcome, String), RenderError> {
    if !page.is_in_namespace() {
        // Peer connections pass by name rules, proxies and interception.
        let script = json!({"source": WITHOUT_PEERS});
        page.post("Page.addScriptToEvaluateOnNewDocument", script).await?;
    }
    for script in before {
        page.post("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await?;
    }
    page.post("Page.navigate", json!({"url": DOCUMENT})).await?;
    let begun = observer
        .until(|progress| {
            progress.is_loaded || progress.has_left || progress.is_crashed || progress.is_nagging
        })
        .await;
    let stopped = |progress: Progress| progress.is_crashed || progress.is_nagging;
    if !begun.is_loaded && begun.has_left && !stopped(begun) {
        // What there is of it stays, and counts as the page.
        tokio::time::sleep(QUIET).await;
    }
    let settled = tokio::select! {
        biased;
        progress = observer.until(stopped) => {
            return Ok((ending(progress), String::new()));
        }
        settled = settle(page, rest) => settled?,
    };
    let is_scripted = settled.field("scripted") == true || observer.progress().has_spoken;
    if rest == Rest::ForLooking || is_scripted {
        tokio::time::sleep(QUIET).await;
        // A script may have taken up an endless loop meanwhile: then no answer comes.
        let question = json!({"expression": "0", "returnByValue": true});
        match page.command("Runtime.evaluate", question).await {
            Ok(_) | Err(CommandError::Refused { .. }) => {}
            Err(error @ CommandError::Closed) => return Err(error.into()),
        }
    }
    Ok((LoadOutcome::Loaded, settled.field("title").as_str().unwrap_or_default().to_owned()))
}

/// How a page ended that did not come to rest.
fn ending(progress: Progress) -> LoadOutcome {
    if progress.is_crashed {
        LoadOutcome::Crashed
    } else {
        LoadOutcome::TimedOut { reason: "it opens one dialog after the other".to_owned() }
    }
}

/// Waits for the page's own promise, fonts and pictures.
async fn settle(page: &Page, rest: Rest) -> Result<Value, RenderError> {
    // Pictures that wait to be scrolled to would be missing on paper.
    let lazy = match rest {
        Rest::ForPrint => "picture.loading = 'eager';",
        Rest::ForLooking => "if (picture.loading === 'lazy') continue;",
    };
    let expression = format!(
        "(async () => {{
            const ready = window.__ready;
            if (ready && typeof ready.then === 'function') await Promise.resolve(ready).catch(() => {{}});
            const waits = [];
            for (const picture of document.images) {{
                {lazy}
                if (!picture.complete) waits.push(new Promise((done) => {{
                    picture.addEventListener('load', done);
                    picture.addEventListener('error', done);
                }}));
            }}
            await Promise.all(waits);
            await document.fonts.ready;
            return {{
                title: String(document.title),
                scripted: document.scripts.length > 0 || !!document.querySelector('[onload],[onerror],iframe'),
            }};
        }})()"
    );
    let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
    let answer = page.command("Runtime.evaluate", parameters).await;
    match answer {
        Ok(answer) => Ok(answer.field("result").field("value").clone()),
        // The page went elsewhere meanwhile, to an address without a request.
        Err(CommandError::Refused { .. }) => Ok(Value::Null),
        Err(error) => Err(error.into()),
    }
}

fn unrest(progress: Progress) -> String {
    if progress.is_loaded {
        "fonts, pictures or `window.__ready` did not finish, or a script does not end".to_owned()
    } else {
        "the load event did not come; a script does not end, or a request is never answered"
            .to_owned()
    }
}
