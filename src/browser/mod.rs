//! Chrome: prints documents and looks at pages, cut off from network and files.
//!
//! A call goes: [`Renderer`] (this port) -> `pool` (one warm Chrome, few slots, a short queue,
//! restarts) -> `page` (a browsing context of its own for each document) -> `load` (the document is
//! answered by us at an address that exists nowhere, its own files from [`PageFiles`], everything
//! else refused) -> `print` or `inspect`. `launch` starts the process, `cdp` talks to it.

mod cdp;
pub mod check;
mod error;
mod inspect;
mod launch;
mod length;
mod load;
mod observe;
mod options;
mod page;
mod pool;
mod print;
mod report;
mod serve;
mod source;
mod template;

use async_trait::async_trait;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

pub use error::RenderError;
pub use inspect::{
    InspectOptions, Inspection, Screenshot, ScreenshotOptions, Seen, ViewportReport,
};
pub use length::Length;
pub use load::Viewport;
pub use options::{Margins, MarginsSetting, Media, PageSetup, Paper, PdfOptions, SizeSetting};
pub use pool::Chrome;
pub use report::{
    ConsoleLevel, ConsoleMessage, Dialog, FailedRequest, Load, LoadOutcome, PageException, Phase,
    RequestFailure,
};
pub use source::{NoFiles, PageFile, PageFiles, Source};

/// Prints documents and looks at pages.
#[async_trait]
pub trait Renderer: Send + Sync + 'static {
    /// Prints a document.
    ///
    /// # Errors
    /// [`RenderError`], each with what to do.
    async fn pdf(
        &self,
        source: Source,
        options: PdfOptions,
        cancel: &CancellationToken,
    ) -> Result<Printed, RenderError>;

    /// Prints a document and looks at it afterwards, all of one load: `windows` holds what was seen
    /// through each viewport of the `looks`, as far as it could be looked at.
    ///
    /// # Errors
    /// [`RenderError`] when it was not printed, each with what to do.
    async fn pdf_and_looks(
        &self,
        source: Source,
        options: PdfOptions,
        looks: Vec<InspectOptions>,
        cancel: &CancellationToken,
    ) -> Result<Printed, RenderError>;

    /// Loads a page at each of the given viewports and reports what happened.
    ///
    /// # Errors
    /// [`RenderError`], each with what to do. A page that does not load is a report, not an error.
    async fn inspect(
        &self,
        source: Source,
        options: InspectOptions,
        cancel: &CancellationToken,
    ) -> Result<Inspection, RenderError>;

    /// What holds. Starts Chrome when it is not running, since only then it is known.
    async fn status(&self) -> RendererStatus;

    /// Ends Chrome. Later calls are refused.
    async fn shut_down(&self);
}

/// A printed document.
#[derive(Debug, Clone)]
pub struct Printed {
    /// The PDF.
    pub pdf: Bytes,
    /// What happened while it loaded.
    pub load: Load,
    /// What was seen of it afterwards, window by window.
    pub windows: Vec<Seen>,
}

/// The state of the renderer.
#[derive(Debug, Clone)]
pub struct RendererStatus {
    /// Chrome's name and version, or why it does not run.
    pub chrome: Result<String, RenderError>,
    /// How far it is kept away from everything, when it runs.
    pub isolation: Option<Isolation>,
}

/// How far Chrome is kept away from everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// Whether it sits in an empty network namespace, with the folders of users out of sight.
    /// Otherwise rules for names, a dead proxy and interception keep it off the network.
    pub network_namespace: bool,
    /// Whether Chrome's own sandbox is on.
    pub chrome_sandbox: bool,
    /// Why it is no better; empty when it could not be.
    pub refusals: Vec<String>,
}

impl Isolation {
    /// A word for it in reports.
    pub fn tier(&self) -> &'static str {
        match (self.network_namespace, self.chrome_sandbox) {
            (true, true) => "network namespace, Chrome's sandbox",
            (true, false) => "network namespace, without Chrome's sandbox",
            (false, true) => "no network by rules, Chrome's sandbox",
            (false, false) => "no network by rules, without Chrome's sandbox",
        }
    }
}
