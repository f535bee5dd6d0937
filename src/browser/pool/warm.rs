//! A running Chrome with one empty tab in reserve.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Pid;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::super::cdp::Connection;
use super::super::launch::{Launched, Process};
use super::super::page::{Page, Tab};
use super::super::{Isolation, RenderError};
use super::memory::memory_of_tree;

/// A Chrome that answers.
pub(in crate::browser) struct Browser {
    process: Process,
    connection: Connection,
    version: String,
    isolation: Isolation,
    load_cap: Duration,
    documents: AtomicUsize,
    spare: Mutex<Option<Tab>>,
    is_ending: AtomicBool,
    tasks: TaskTracker,
    runtime: Handle,
}

impl Browser {
    pub(super) fn new(launched: Launched, load_cap: Duration) -> Arc<Self> {
        let Launched { process, connection, version, isolation } = launched;
        Arc::new(Self {
            process,
            connection,
            version,
            isolation,
            load_cap,
            documents: AtomicUsize::new(0),
            spare: Mutex::default(),
            is_ending: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
        })
    }

    pub(in crate::browser) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    pub(in crate::browser) fn load_cap(&self) -> Duration {
        self.load_cap
    }

    pub(in crate::browser) fn isolation(&self) -> &Isolation {
        &self.isolation
    }

    pub(super) fn has_ended(&self) -> bool {
        self.process.has_ended() || self.connection.is_closed()
    }

    /// Whether it has done enough to be replaced by a fresh one.
    pub(super) fn is_worn(&self, documents: usize, memory_bytes: u64) -> bool {
        let done = self.documents.load(Ordering::SeqCst);
        // Without a document there is nothing to gain.
        done >= documents || (done > 0 && memory_of_tree(self.pid()) > memory_bytes)
    }

    /// A tab for one document.
    pub(super) async fn page(self: &Arc<Self>) -> Result<Page, RenderError> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tab = match spare {
            Some(tab) => tab,
            None => Tab::open(&self.connection).await?,
        };
        self.documents.fetch_add(1, Ordering::SeqCst);
        Ok(Page::new(tab, Arc::clone(self)))
    }

    /// Closes a tab in the background, and puts a new one in reserve.
    pub(in crate::browser) fn close_tab(self: &Arc<Self>, tab: Tab) {
        let browser = Arc::clone(self);
        let close = async move {
            let is_closed = tab.close(&browser.connection).await;
            if !is_closed {
                // A renderer that spins and does not go takes everything with it.
                browser.process.kill();
                return;
            }
            browser.refill().await;
        };
        // Without a runtime the process is about to go as well.
        self.tasks.spawn_on(close, &self.runtime);
    }

    async fn refill(&self) {
        let spare = || self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_ending.load(Ordering::SeqCst) || spare().is_some() {
            return;
        }
        let Ok(tab) = Tab::open(&self.connection).await else { return };
        let surplus = spare().replace(tab);
        if let Some(surplus) = surplus {
            surplus.close(&self.connection).await;
        }
    }

    /// Ends it and waits until nothing of it is left.
    pub(super) async fn end(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
        self.process.kill();
        self.process.end(Duration::from_secs(2)).await;
        self.tasks.close();
        self.tasks.wait().await;
    }
}
