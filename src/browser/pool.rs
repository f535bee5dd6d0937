//! One warm Chrome: started on first use, few documents at a time, renewed when it has grown,
//! restarted when it died, ended when nobody needs it.

mod memory;
mod warm;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) use self::warm::Browser;
use super::inspect::{look, look_again};
use super::launch::{LaunchSettings, launch};
use super::load::{LoadedPage, Rest, with_document};
use super::report::LoadOutcome;
use super::{
    InspectOptions, Inspection, PdfOptions, Printed, RenderError, Renderer, RendererStatus, Source,
    print,
};
use crate::config::browser::BrowserConfig;

/// Windows of one inspection that are open at a time: as many as a slot has cores.
const VIEWPORTS_AT_A_TIME: usize = 2;
/// Attempts on one document, each on another Chrome.
const ATTEMPTS: usize = 2;

/// The renderer that runs Chrome.
pub struct Chrome {
    inner: Arc<Inner>,
}

struct Inner {
    launch: LaunchSettings,
    limits: Limits,
    slots: Arc<Semaphore>,
    /// Calls that wait for a slot.
    waiting: AtomicUsize,
    /// Calls that have one.
    working: AtomicUsize,
    current: Mutex<Current>,
    closed: CancellationToken,
    tasks: TaskTracker,
}

struct Limits {
    queue: usize,
    load: Duration,
    deadline: Duration,
    idle: Duration,
    documents: usize,
    memory_bytes: u64,
}

struct Current {
    browser: Option<Arc<Browser>>,
    last_used: Instant,
    /// Whether a task waits for it to become idle.
    is_watched: bool,
}

impl Chrome {
    /// A renderer that starts Chrome when it is first needed. Chrome will not see these folders,
    /// besides those that are usual for users.
    pub fn new(config: &BrowserConfig, hidden: Vec<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let slots = if config.slots == 0 { (cores / 2).max(1) } else { config.slots };
        let limits = Limits {
            queue: config.queue,
            load: Duration::from_secs_f64(config.load_s),
            deadline: Duration::from_secs_f64(config.deadline_s),
            idle: Duration::from_secs_f64(config.idle_s),
            documents: config.documents_per_start,
            memory_bytes: config.memory_bytes,
        };
        let launch =
            LaunchSettings { chrome: config.chrome.clone(), isolation: config.isolation, hidden };
        let current = Current { browser: None, last_used: Instant::now(), is_watched: false };
        Self {
            inner: Arc::new(Inner {
                launch,
                limits,
                slots: Arc::new(Semaphore::new(slots)),
                waiting: AtomicUsize::new(0),
                working: AtomicUsize::new(0),
                current: Mutex::new(current),
                closed: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// The process that runs now, for those who watch it.
    pub async fn process_id(&self) -> Option<u32> {
        let current = self.inner.current.lock().await;
        let browser = current.browser.as_ref().filter(|browser| !browser.has_ended())?;
        u32::try_from(browser.pid().as_raw_nonzero().get()).ok()
    }
}

#[async_trait]
impl Renderer for Chrome {
    async fn pdf(
        &self,
        source: Source,
        options: PdfOptions,
        cancel: &CancellationToken,
    ) -> Result<Printed, RenderError> {
        let work = |browser: Arc<Browser>| -> BoxFuture<'_, _> {
            Box::pin(async { pdf(browser, &source, &options, &[]).await })
        };
        self.inner.run(cancel, &work).await
    }

    async fn pdf_and_looks(
        &self,
        source: Source,
        options: PdfOptions,
        looks: Vec<InspectOptions>,
        cancel: &CancellationToken,
    ) -> Result<Printed, RenderError> {
        let work = |browser: Arc<Browser>| -> BoxFuture<'_, _> {
            Box::pin(async { pdf(browser, &source, &options, &looks).await })
        };
        self.inner.run(cancel, &work).await
    }

    async fn inspect(
        &self,
        source: Source,
        options: InspectOptions,
        cancel: &CancellationToken,
    ) -> Result<Inspection, RenderError> {
        let work = |browser: Arc<Browser>| -> BoxFuture<'_, _> {
            Box::pin(async { inspect(browser, &source, &options).await })
        };
        self.inner.run(cancel, &work).await
    }

    async fn status(&self) -> RendererStatus {
        match self.inner.browser().await {
            Ok(browser) => RendererStatus {
                chrome: Ok(browser.version().to_owned()),
                isolation: Some(browser.isolation().clone()),
            },
            Err(error) => RendererStatus { chrome: Err(error), isolation: None },
        }
    }

    async fn shut_down(&self) {
        let inner = &self.inner;
        inner.closed.cancel();
        let browser = inner.current.lock().await.browser.take();
        if let Some(browser) = browser {
            browser.end().await;
        }
        inner.tasks.close();
        inner.tasks.wait().await;
    }
}

async fn pdf(
    browser: Arc<Browser>,
    source: &Source,
    options: &PdfOptions,
    looks: &[InspectOptions],
) -> Result<Printed, RenderError> {
    let page = browser.page().await?;
    print::prepare(&page, options).await?;
    let work = |loaded: LoadedPage| {
        let page = &page;
        async move {
            let pdf = match loaded.outcome {
                LoadOutcome::Loaded => print::print(page, options).await?,
                LoadOutcome::TimedOut { reason } => {
                    return Err(RenderError::NeverLoads { after: loaded.after, reason });
                }
                LoadOutcome::Crashed => return Err(super::load::page_crash()),
            };
            let windows = look_again(page, looks).await.unwrap_or_else(|error| {
                tracing::warn!(error.cause = %error, "a printed document could not be looked at");
                Vec::new()
            });
            Ok((pdf, windows))
        }
    };
    let ((pdf, windows), load) =
        with_document(&page, source, &[], Rest::ForPrint, page.load_cap(), work).await?;
    Ok(Printed { pdf, load, windows })
}

async fn inspect(
    browser: Arc<Browser>,
    source: &Source,
    options: &InspectOptions,
) -> Result<Inspection, RenderError> {
    let looks = options.viewports.iter().map(|viewport| {
        let browser = Arc::clone(&browser);
        async move {
            let page = browser.page().await?;
            look(&page, source, options, viewport).await
        }
    });
    // In a list first: a lazy one would make the future too general to be sent.
    let looks: Vec<BoxFuture<'_, _>> = looks.map(|look| Box::pin(look) as _).collect();
    let viewports = stream::iter(looks).buffered(VIEWPORTS_AT_A_TIME).try_collect().await?;
    Ok(Inspection { viewports })
}

impl Inner {
    /// Does one document's work when its turn comes, and once more if Chrome dies over it.
    async fn run<'a, T>(
        self: &Arc<Self>,
        cancel: &CancellationToken,
        work: &(dyn Fn(Arc<Browser>) -> BoxFuture<'a, Result<T, RenderError>> + Send + Sync),
    ) -> Result<T, RenderError> {
        let done = async {
            let _slot = self.slot().await?;
            let _place = Place::take(&self.working);
            let done = tokio::time::timeout(self.limits.deadline, self.attempts(work)).await;
            done.unwrap_or(Err(RenderError::TimedOut(self.limits.deadline)))
        };
        let done = tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(RenderError::Closed),
            () = cancel.cancelled() => Err(RenderError::Cancelled),
            done = done => done,
        };
        self.current.lock().await.last_used = Instant::now();
        done
    }

    async fn attempts<'a, T>(
        self: &Arc<Self>,
        work: &(dyn Fn(Arc<Browser>) -> BoxFuture<'a, Result<T, RenderError>> + Send + Sync),
    ) -> Result<T, RenderError> {
        let mut attempt = 1;
        loop {
            let browser = self.browser().await?;
            match work(Arc::clone(&browser)).await {
                Err(error) if error.is_crash() => {
                    self.discard(&browser).await;
                    if attempt == ATTEMPTS {
                        return Err(error);
                    }
                    tracing::warn!(attempt, %error, "rendering is tried again on a fresh Chrome");
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, RenderError> {
        if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
            return Ok(slot);
        }
        let place = Place::take(&self.waiting);
        if place.number > self.limits.queue {
            return Err(RenderError::Busy { waiting: self.limits.queue });
        }
        Arc::clone(&self.slots).acquire_owned().await.map_err(|_| RenderError::Closed)
    }

    /// The warm Chrome, or a new one.
    async fn browser(self: &Arc<Self>) -> Result<Arc<Browser>, RenderError> {
        let mut current = self.current.lock().await;
        if self.closed.is_cancelled() {
            return Err(RenderError::Closed);
        }
        current.last_used = Instant::now();
        if let Some(browser) = &current.browser
            && !browser.has_ended()
            && !browser.is_worn(self.limits.documents, self.limits.memory_bytes)
        {
            return Ok(Arc::clone(browser));
        }
        // Whoever still prints in the old one keeps it alive until then.
        current.browser = None;
        let browser = Browser::new(launch(&self.launch).await?, self.limits.load);
        tracing::info!(
            chrome = browser.version(),
            isolation = browser.isolation().tier(),
            "Chrome has started"
        );
        current.browser = Some(Arc::clone(&browser));
        if !current.is_watched {
            current.is_watched = true;
            self.tasks.spawn(end_when_idle(Arc::downgrade(self), self.closed.clone()));
        }
        Ok(browser)
    }

    async fn discard(&self, browser: &Arc<Browser>) {
        let mut current = self.current.lock().await;
        if current.browser.as_ref().is_some_and(|known| Arc::ptr_eq(known, browser)) {
            current.browser = None;
        }
    }
}

/// Ends Chrome once nobody used it for a while.
async fn end_when_idle(pool: Weak<Inner>, closed: CancellationToken) {
    loop {
        let Some(inner) = pool.upgrade() else { return };
        let mut current = inner.current.lock().await;
        let is_used = inner.working.load(Ordering::SeqCst) > 0;
        let idle = if is_used { Duration::ZERO } else { current.last_used.elapsed() };
        if idle >= inner.limits.idle {
            current.is_watched = false;
            let browser = current.browser.take();
            drop(current);
            if let Some(browser) = browser {
                tracing::info!("Chrome is ended, since nobody needs it");
                browser.end().await;
            }
            return;
        }
        let wait = inner.limits.idle.saturating_sub(idle);
        drop(current);
        drop(inner);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = closed.cancelled() => return,
        }
    }
}

/// A place among those who wait or work, given back when that ends, however it ends.
struct Place<'a> {
    places: &'a AtomicUsize,
    number: usize,
}

impl<'a> Place<'a> {
    fn take(places: &'a AtomicUsize) -> Self {
        Self { places, number: places.fetch_add(1, Ordering::SeqCst) + 1 }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.places.fetch_sub(1, Ordering::SeqCst);
    }
}
