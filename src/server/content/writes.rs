//! Who writes at the moment: a bound on all, turns within an app, and a queue per visitor.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::storage::DocumentId;

/// Requests that store, at once. Each may hold a body of two megabytes.
const REQUESTS: usize = 64;
/// The same of one app, so that its pages cannot take all places.
const REQUESTS_PER_APP: usize = 24;
/// Writes of one app at once. The store has one writer, and others want their turns too.
const WRITES_PER_APP: usize = 2;
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How long a page waits for the writes of its visitor.
const SETTLING: Duration = Duration::from_secs(2);

type Key = (DocumentId, String);

/// Writes in flight.
pub(super) struct Writes {
    requests: Arc<Semaphore>,
    requests_of_apps: Turns<DocumentId>,
    apps: Turns<DocumentId>,
    visitors: Turns<Key>,
}

/// The place of a request, given back when it is dropped.
pub(super) struct Place {
    _app: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// The right to store, given back when it is dropped.
pub(super) struct Turn {
    _visitor: OwnedSemaphorePermit,
    _app: OwnedSemaphorePermit,
}

impl Writes {
    pub(super) fn new() -> Self {
        Self {
            requests: Arc::new(Semaphore::new(REQUESTS)),
            requests_of_apps: Turns::new(REQUESTS_PER_APP),
            apps: Turns::new(WRITES_PER_APP),
            visitors: Turns::new(1),
        }
    }

    /// A place for a request; none when there are too many.
    pub(super) fn admit(&self, document: &DocumentId) -> Option<Place> {
        let app = self.requests_of_apps.of(document.clone()).try_acquire_owned().ok()?;
        let all = Arc::clone(&self.requests).try_acquire_owned().ok()?;
        Some(Place { _app: app, _all: all })
    }

    /// Waits for the turn of a visitor, or of everybody who shares (no visitor).
    pub(super) async fn turn(&self, document: &DocumentId, visitor: &str) -> Option<Turn> {
        let waiting = async {
            let visitor = self.visitors.take((document.clone(), visitor.to_owned())).await?;
            let app = self.apps.take(document.clone()).await?;
            Some(Turn { _visitor: visitor, _app: app })
        };
        timeout(TURN, waiting).await.ok().flatten()
    }

    /// Waits until the writes of a visitor that have begun are through, but not for long.
    pub(super) async fn settled(&self, document: &DocumentId, visitor: &str) {
        let key = (document.clone(), visitor.to_owned());
        if let Some(turns) = self.visitors.known(&key) {
            // Whether it was in time or not: the page is shown.
            let _ = timeout(SETTLING, turns.acquire()).await;
        }
    }
}

/// Semaphores by key, held by those who use them.
struct Turns<K> {
    permits: usize,
    known: Mutex<HashMap<K, Weak<Semaphore>>>,
}

impl<K: Eq + Hash> Turns<K> {
    fn new(permits: usize) -> Self {
        Self { permits, known: Mutex::default() }
    }

    async fn take(&self, key: K) -> Option<OwnedSemaphorePermit> {
        self.of(key).acquire_owned().await.ok()
    }

    fn of(&self, key: K) -> Arc<Semaphore> {
        let mut known = self.lock();
        if let Some(turns) = known.get(&key).and_then(Weak::upgrade) {
            return turns;
        }
        // Some are not used any more. There are few: one per request in flight.
        known.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(self.permits));
        known.insert(key, Arc::downgrade(&turns));
        turns
    }

    fn known(&self, key: &K) -> Option<Arc<Semaphore>> {
        self.lock().get(key).and_then(Weak::upgrade)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Weak<Semaphore>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_page_waits_for_the_writes_of_its_own_visitor_only() {
        let writes = Writes::new();
        let app = DocumentId::from("app");
        let turn = writes.turn(&app, "anna").await.unwrap();
        writes.settled(&app, "berta").await;
        writes.settled(&DocumentId::from("other"), "anna").await;
        let mut waiting = Box::pin(writes.settled(&app, "anna"));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(turn);
        waiting.await;
    }

    #[tokio::test(start_paused = true)]
    async fn writes_of_a_visitor_come_one_after_the_other_and_not_for_ever() {
        let writes = Writes::new();
        let app = DocumentId::from("app");
        let turn = writes.turn(&app, "anna").await.unwrap();
        let mut second = Box::pin(writes.turn(&app, "anna"));
        assert!(futures::poll!(&mut second).is_pending());
        let other = writes.turn(&app, "berta").await;
        assert!(other.is_some());
        drop(turn);
        let second = second.await;
        assert!(second.is_some());
        // Both turns of the app are taken.
        assert!(writes.turn(&app, "carla").await.is_none());
        assert!(writes.turn(&DocumentId::from("other"), "anna").await.is_some());
    }
}
