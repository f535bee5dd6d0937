//! Who waits for news of which app, and the one task per app that looks for them.
//!
//! Versions are published and values stored by other processes too, so the catalog is asked, once
//! per app whatever the number of listeners, and only while there are any.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::storage::{Document, StorageResult};

/// Shortest time between two questions to the catalog, however much is stored.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// How much longer when nothing is known to be new: well within the second that a reload may take.
const FURTHER_PAUSE: Duration = Duration::from_millis(400);

/// How many streams there may be.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// Of one app.
    pub per_app: usize,
    /// Of all apps.
    pub total: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { per_app: 256, total: 1024 }
    }
}

/// What is known of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It is there.
    Live {
        /// Its newest version.
        head: i64,
        /// The newest revision of what its pages stored.
        stored: i64,
    },
    /// It was deleted.
    Gone,
}

/// Looks for news of an app.
#[async_trait::async_trait]
pub(super) trait Look: Send + Sync + 'static {
    async fn look(&self, token: &str) -> StorageResult<News>;
}

/// The streams of all apps.
pub(super) struct Streams {
    look: Arc<dyn Look>,
    limits: StreamLimits,
    total: Arc<Semaphore>,
    channels: Arc<Mutex<HashMap<String, Weak<Channel>>>>,
}

/// One app that somebody listens to. Its task ends with the last listener.
struct Channel {
    places: Arc<Semaphore>,
    news: watch::Receiver<News>,
    nudge: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A listener.
pub(super) struct Listener {
    pub(super) news: watch::Receiver<News>,
    _channel: Arc<Channel>,
    _place: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

impl Streams {
    pub(super) fn new(look: Arc<dyn Look>, limits: StreamLimits) -> Self {
        Self {
            look,
            limits,
            total: Arc::new(Semaphore::new(limits.total)),
            channels: Arc::default(),
        }
    }

    /// Listens to an app; none when too many do.
    pub(super) fn listen(&self, document: &Document, stored: i64) -> Option<Listener> {
        let total = Arc::clone(&self.total).try_acquire_owned().ok()?;
        let channel = self.channel(document, stored);
        let place = Arc::clone(&channel.places).try_acquire_owned().ok()?;
        let news = channel.news.clone();
        Some(Listener { news, _channel: channel, _place: place, _total: total })
    }

    /// Something was stored in this process: listeners need not wait for the next look.
    pub(super) fn nudge(&self, token: &str) {
        if let Some(channel) = self.lock().get(token).and_then(Weak::upgrade) {
            channel.nudge.notify_one();
        }
    }

    fn channel(&self, document: &Document, stored: i64) -> Arc<Channel> {
        let mut channels = self.lock();
        let token = &document.token;
        if let Some(channel) = channels.get(token).and_then(Weak::upgrade) {
            return channel;
        }
        channels.retain(|_, channel| channel.strong_count() > 0);
        let (sender, news) = watch::channel(News::Live { head: document.head, stored });
        let nudge = Arc::new(Notify::new());
        let looking = look_for(Arc::clone(&self.look), token.clone(), sender, Arc::clone(&nudge));
        let channel = Arc::new(Channel {
            places: Arc::new(Semaphore::new(self.limits.per_app)),
            news,
            nudge,
            task: tokio::spawn(looking),
        });
        channels.insert(token.clone(), Arc::downgrade(&channel));
        channel
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<Channel>>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look_for(
    look: Arc<dyn Look>,
    token: String,
    news: watch::Sender<News>,
    nudge: Arc<Notify>,
) {
    loop {
        // The store may be away for a while: what was known stays.
        match look.look(&token).await {
            Ok(found) => {
                news.send_if_modified(|known| std::mem::replace(known, found) != found);
                if found == News::Gone {
                    return;
                }
            }
            Err(error) => tracing::debug!(error.cause = %error, "no news of an app"),
        }
        sleep(SHORTEST_PAUSE).await;
        // Either way it is time to look again.
        let _ = timeout(FURTHER_PAUSE, nudge.notified()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use super::*;
    use crate::storage::{DocumentId, DocumentKind, Owner};

    #[derive(Default)]
    struct Counted {
        head: AtomicI64,
        looks: AtomicUsize,
    }

    #[async_trait::async_trait]
    impl Look for Counted {
        async fn look(&self, _: &str) -> StorageResult<News> {
            self.looks.fetch_add(1, Ordering::SeqCst);
            Ok(match self.head.load(Ordering::SeqCst) {
                0 => News::Gone,
                head => News::Live { head, stored: 0 },
            })
        }
    }

    fn document(token: &str) -> Document {
        Document {
            id: DocumentId::from(token),
            owner: Owner { principal: "p".into(), user: "u".to_owned() },
            kind: DocumentKind::WebApp,
            name: "n".to_owned(),
            token: token.to_owned(),
            head: 1,
            title: None,
            bytes: 1,
            tool_names: Vec::new(),
            created_at: 0,
            updated_at: 0,
        }
    }

    fn streams(limits: StreamLimits) -> (Arc<Counted>, Streams) {
        let look = Arc::new(Counted { head: AtomicI64::new(1), ..Counted::default() });
        (Arc::clone(&look), Streams::new(look, limits))
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_looks_for_all_listeners_and_ends_with_them() {
        let (look, streams) = streams(StreamLimits::default());
        let app = document("app");
        let mut listeners: Vec<_> = (0..50).map(|_| streams.listen(&app, 0).unwrap()).collect();
        look.head.store(2, Ordering::SeqCst);
        for listener in &mut listeners {
            listener.news.changed().await.unwrap();
            assert_eq!(*listener.news.borrow(), News::Live { head: 2, stored: 0 });
        }
        let seen = look.looks.load(Ordering::SeqCst);
        assert!(seen <= 3, "{seen} looks for 50 listeners");
        drop(listeners);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(look.looks.load(Ordering::SeqCst) <= seen + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn listeners_are_bounded_per_app_and_in_total() {
        let (_look, streams) = streams(StreamLimits { per_app: 2, total: 3 });
        let (first, second) = (document("first"), document("second"));
        let held = [streams.listen(&first, 0), streams.listen(&first, 0)];
        assert!(held.iter().all(Option::is_some));
        assert!(streams.listen(&first, 0).is_none());
        let other = streams.listen(&second, 0);
        assert!(other.is_some());
        assert!(streams.listen(&second, 0).is_none());
        drop(held);
        assert!(streams.listen(&second, 0).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deleted_app_is_told_once_and_for_all() {
        let (look, streams) = streams(StreamLimits::default());
        let mut listener = streams.listen(&document("app"), 0).unwrap();
        look.head.store(0, Ordering::SeqCst);
        listener.news.changed().await.unwrap();
        assert_eq!(*listener.news.borrow(), News::Gone);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(listener.news.has_changed().is_err(), "nobody looks any more");
    }
}
