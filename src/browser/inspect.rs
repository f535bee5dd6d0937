//! Looks at a page through windows of different sizes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::RenderError;
use super::cdp::CommandError;
use super::cdp::json::Fields as _;
use super::load::{LoadedPage, Rest, Viewport, with_document};
use super::page::Page;
use super::report::{Load, LoadOutcome};
use super::source::Source;

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct InspectOptions {
    /// The windows; the page is loaded afresh for each.
    pub viewports: Vec<Viewport>,
    /// Scripts that run before any of the page's own.
    pub before: Vec<String>,
    /// Expressions that are evaluated once the page is at rest; a promise is waited for.
    pub scripts: Vec<String>,
    /// Pictures to take.
    pub screenshots: Vec<ScreenshotOptions>,
    /// How long the page may take until it is at rest, and then each script and picture; `None`:
    /// as configured.
    pub patience: Option<Duration>,
}

/// A picture to take.
#[derive(Debug, Clone, PartialEq)]
pub struct ScreenshotOptions {
    /// Name of the viewport.
    pub viewport: String,
    /// Width of the picture in pixels; the height follows.
    pub width: u32,
    /// 0 to 100.
    pub quality: u8,
}

/// A picture of the page, as WebP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screenshot {
    /// The picture.
    pub webp: Bytes,
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// One report for each viewport, in their order.
    pub viewports: Vec<ViewportReport>,
}

/// What was seen through one window.
#[derive(Debug, Clone)]
pub struct ViewportReport {
    /// The window.
    pub viewport: Viewport,
    /// How the page loaded.
    pub load: Load,
    /// What each script returned, or what it threw; empty when the page did not load. A script
    /// that did not end is the last one.
    pub scripts: Vec<Result<Value, String>>,
    /// The pictures that were asked for of this window; none when the page did not load.
    pub screenshots: Vec<Screenshot>,
    /// Whether the page, once loaded, took up something that does not end.
    pub is_stuck: bool,
}

/// What was seen of a loaded page through one window.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// What each script returned, or what it threw. A script that did not end is the last one.
    pub scripts: Vec<Result<Value, String>>,
    /// The pictures that were asked for of this window.
    pub screenshots: Vec<Screenshot>,
    /// Whether the page took up something that does not end.
    pub is_stuck: bool,
}

/// Looks at a page that has been printed, without loading it again: through the windows of each
/// of these, with the scripts that elsewhere run before the page's own run first.
pub(super) async fn look_again(
    page: &Page,
    looks: &[InspectOptions],
) -> Result<Vec<Seen>, RenderError> {
    let mut windows = Vec::with_capacity(looks.len());
    for look in looks {
        let patience = look.patience.unwrap_or_else(|| page.load_cap());
        for viewport in &look.viewports {
            resize(page, viewport).await?;
            for script in &look.before {
                if tokio::time::timeout(patience, evaluate(page, script)).await.is_err() {
                    windows.push(Seen { is_stuck: true, ..Seen::default() });
                    return Ok(windows);
                }
            }
            windows.push(see(page, look, viewport, patience).await?);
        }
    }
    Ok(windows)
}

async fn resize(page: &Page, viewport: &Viewport) -> Result<(), RenderError> {
    let metrics = json!({
        "width": viewport.width, "height": viewport.height,
        "deviceScaleFactor": viewport.device_scale, "mobile": viewport.mobile,
    });
    page.post("Emulation.setDeviceMetricsOverride", metrics).await?;
    if viewport.mobile {
        let touch = json!({"enabled": true, "maxTouchPoints": 5});
        page.post("Emulation.setTouchEmulationEnabled", touch).await?;
    }
    Ok(())
}

/// Runs the scripts in a loaded page and takes the pictures that are wanted of this window.
async fn see(
    page: &Page,
    options: &InspectOptions,
    viewport: &Viewport,
    patience: Duration,
) -> Result<Seen, RenderError> {
    let mut seen = Seen::default();
    for script in &options.scripts {
        let Ok(result) = tokio::time::timeout(patience, evaluate(page, script)).await else {
            let seconds = patience.as_secs_f64();
            seen.scripts.push(Err(format!("it did not end within {seconds} s")));
            seen.is_stuck = is_stuck(page, patience).await;
            return Ok(seen);
        };
        seen.scripts.push(result?);
    }
    for wanted in options.screenshots.iter().filter(|wanted| wanted.viewport == viewport.name) {
        let picture = tokio::time::timeout(patience, screenshot(page, viewport, wanted)).await;
        let Ok(picture) = picture else {
            // A page that paints for ever has no picture; what it reported is worth having.
            seen.is_stuck = is_stuck(page, patience).await;
            return Ok(seen);
        };
        seen.screenshots.extend(picture?);
    }
    Ok(seen)
}

/// Whether the page no longer answers the simplest question.
async fn is_stuck(page: &Page, patience: Duration) -> bool {
    tokio::time::timeout(patience, evaluate(page, "0")).await.is_err()
}

/// Looks through one window.
pub(super) async fn look(
    page: &Page,
    source: &Source,
    options: &InspectOptions,
    viewport: &Viewport,
) -> Result<ViewportReport, RenderError> {
    resize(page, viewport).await?;
    let patience = options.patience.unwrap_or_else(|| page.load_cap());
    let work = async |loaded: LoadedPage| {
        if loaded.outcome != LoadOutcome::Loaded {
            return Ok(Seen::default());
        }
        see(page, options, viewport, patience).await
    };
    let (seen, load) =
        with_document(page, source, &options.before, Rest::ForLooking, patience, work).await?;
    let Seen { scripts, screenshots, is_stuck } = seen;
    Ok(ViewportReport { viewport: viewport.clone(), load, scripts, screenshots, is_stuck })
}

async fn evaluate(page: &Page, script: &str) -> Result<Result<Value, String>, RenderError> {
    let parameters = json!({
        "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": false,
    });
    let answer = match page.command("Runtime.evaluate", parameters).await {
        Err(CommandError::Refused { message, .. }) => return Ok(Err(message)),
        answer => answer?,
    };
    let details = &answer.field("exceptionDetails");
    if details.is_object() {
        let message = details
            .field("exception")
            .field("description")
            .as_str()
            .or(details.field("text").as_str());
        return Ok(Err(message.unwrap_or("it threw").to_owned()));
    }
    Ok(Ok(answer.field("result").field("value").clone()))
}

async fn screenshot(
    page: &Page,
    viewport: &Viewport,
    wanted: &ScreenshotOptions,
) -> Result<Option<Screenshot>, RenderError> {
    let scale = f64::from(wanted.width.max(1)) / f64::from(viewport.width.max(1));
    let parameters = json!({
        "format": "webp", "quality": wanted.quality.min(100), "optimizeForSpeed": true,
        "clip": {
            "x": 0, "y": 0, "width": viewport.width, "height": viewport.height,
            "scale": scale / viewport.device_scale,
        },
    });
    let answer = match page.command("Page.captureScreenshot", parameters).await {
        Err(CommandError::Refused { .. }) => return Ok(None),
        answer => answer?,
    };
    let data = STANDARD.decode(answer.field("data").as_str().unwrap_or_default());
    Ok(data.ok().map(|bytes| Screenshot { webp: bytes.into() }))
}
