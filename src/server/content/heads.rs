//! Looks documents up by their token: fresh for every request, with few queries.
//!
//! Other processes publish into the same catalog, so nothing may be answered from memory. But a
//! request that arrives while a query for its token runs need not ask alone: it waits for the
//! *next* query, which starts after it arrived, and shares that one with everybody who arrived
//! meanwhile. So each answer is as new as the request, and a token costs one query at a time
//! whatever the load.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{Shared, WeakShared};
use moka::future::Cache;
use subtle::ConstantTimeEq as _;

use crate::storage::{Document, StorageError, StorageResult};

/// How long an app stays open while the catalog is away.
const OUTAGE_GRACE: Duration = Duration::from_mins(5);
/// How many documents are remembered for an outage.
const REMEMBERED: u64 = 10_000;

/// A document, none, or why it is not known.
pub(super) type Found = Result<Option<Arc<Document>>, Arc<StorageError>>;

/// Asks the catalog for the document behind a token.
pub(super) type Ask = dyn Fn(String) -> Pin<Box<dyn Future<Output = StorageResult<Option<Document>>> + Send>>
    + Send
    + Sync;

type Query = Pin<Box<dyn Future<Output = Found> + Send>>;

/// The lookups of one token. They are held weakly: the requests own them, and one whose requests
/// have all gone ends with them.
#[derive(Default)]
struct Slot {
    running: Option<(u64, WeakShared<Query>)>,
    next: Option<(u64, WeakShared<Query>)>,
}

type Slots = Arc<Mutex<HashMap<String, Slot>>>;

/// Looks documents up by token.
pub(super) struct Heads {
    ask: Arc<Ask>,
    slots: Slots,
    ids: AtomicU64,
    remembered: Cache<String, Arc<Document>>,
}

impl Heads {
    pub(super) fn new(ask: Arc<Ask>) -> Self {
        let remembered =
            Cache::builder().max_capacity(REMEMBERED).time_to_live(OUTAGE_GRACE).build();
        Self { ask, slots: Slots::default(), ids: AtomicU64::new(0), remembered }
    }

    /// The live document behind a token, as it is now.
    pub(super) async fn find(&self, token: &str) -> Found {
        self.lookup(token).await
    }

    /// The lookup to wait for: the one that has not begun yet, or a new one.
    fn lookup(&self, token: &str) -> Shared<Query> {
        let mut slots = lock(&self.slots);
        let slot = slots.entry(token.to_owned()).or_default();
        if let Some(next) = slot.next.as_ref().and_then(|(_, next)| next.upgrade()) {
            return next;
        }
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let previous = slot.running.as_ref().and_then(|(_, running)| running.upgrade());
        let place = Place { slots: Arc::clone(&self.slots), token: token.to_owned(), id };
        let query: Query =
            Box::pin(query(Arc::clone(&self.ask), self.remembered.clone(), place, previous));
        let lookup = query.shared();
        slot.next = lookup.downgrade().map(|weak| (id, weak));
        lookup
    }
}

async fn query(
    ask: Arc<Ask>,
    remembered: Cache<String, Arc<Document>>,
    place: Place,
    previous: Option<Shared<Query>>,
) -> Found {
    if let Some(previous) = previous {
        // Its answer is for those who came before; only its end matters here.
        drop(previous.await);
    }
    place.begin();
    let token = place.token.as_str();
    match ask(token.to_owned()).await {
        Ok(Some(document)) if is_same(&document.token, token) => {
            let document = Arc::new(document);
            remembered.insert(token.to_owned(), Arc::clone(&document)).await;
            Ok(Some(document))
        }
        Ok(_) => {
            remembered.invalidate(token).await;
            Ok(None)
        }
        Err(error @ StorageError::Unavailable(_)) => match remembered.get(token).await {
            Some(document) => {
                tracing::warn!(error.cause = %error, "serving an app without the catalog");
                Ok(Some(document))
            }
            None => Err(Arc::new(error)),
        },
        Err(error) => Err(Arc::new(error)),
    }
}

/// Tokens are secrets, so they are compared in constant time; also guards against a database that
/// compares without case.
fn is_same(stored: &str, given: &str) -> bool {
    stored.as_bytes().ct_eq(given.as_bytes()).into()
}

/// The place of a lookup in its slot, given up when the lookup ends in whatever way.
struct Place {
    slots: Slots,
    token: String,
    id: u64,
}

impl Place {
    /// From here on nobody may join.
    fn begin(&self) {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get_mut(&self.token)
            && slot.next.as_ref().is_some_and(|(id, _)| *id == self.id)
        {
            slot.running = slot.next.take();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = lock(&self.slots);
        let Some(slot) = slots.get_mut(&self.token) else { return };
        slot.running.take_if(|(id, _)| *id == self.id);
        slot.next.take_if(|(id, _)| *id == self.id);
        if slot.running.is_none() && slot.next.is_none() {
            slots.remove(&self.token);
        }
    }
}

fn lock(slots: &Slots) -> MutexGuard<'_, HashMap<String, Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::storage::{DocumentId, DocumentKind, Owner};

    /// A catalog of one document that answers when the test lets it.
    #[derive(Default)]
    struct Gate {
        head: AtomicI64,
        asked: AtomicU64,
        is_away: std::sync::atomic::AtomicBool,
        permits: Option<Semaphore>,
    }

    impl Gate {
        fn heads(self: &Arc<Self>) -> Arc<Heads> {
            let gate = Arc::clone(self);
            Arc::new(Heads::new(Arc::new(move |token| {
                let gate = Arc::clone(&gate);
                Box::pin(async move { gate.answer(token).await })
            })))
        }

        async fn answer(&self, token: String) -> StorageResult<Option<Document>> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let head = self.head.load(Ordering::SeqCst);
            if let Some(permits) = &self.permits {
                permits.acquire().await.unwrap().forget();
            }
            if self.is_away.load(Ordering::SeqCst) {
                return Err(StorageError::Unavailable("away".to_owned()));
            }
            Ok((head > 0).then(|| document(token, head)))
        }
    }

    fn document(token: String, head: i64) -> Document {
        Document {
            id: DocumentId::from("d"),
            owner: Owner { principal: "p".into(), user: "u".to_owned() },
            kind: DocumentKind::WebApp,
            name: "n".to_owned(),
            token,
            head,
            title: None,
            bytes: 1,
            tool_names: Vec::new(),
            created_at: 0,
            updated_at: 0,
        }
    }

    fn head(found: Found) -> i64 {
        found.unwrap().unwrap().head
    }

    #[tokio::test]
    async fn requests_share_the_query_that_starts_after_them() {
        let gate = Arc::new(Gate {
            head: AtomicI64::new(1),
            permits: Some(Semaphore::new(0)),
            ..Gate::default()
        });
        let heads = gate.heads();
        let mut first = Box::pin(heads.find("T"));
        assert!(futures::poll!(&mut first).is_pending());
        assert_eq!(gate.asked.load(Ordering::SeqCst), 1);

        // A version is published while the first query runs: who comes now must see it.
        gate.head.store(2, Ordering::SeqCst);
        let mut later: Vec<_> = (0..50).map(|_| Box::pin(heads.find("T"))).collect();
        for find in &mut later {
            assert!(futures::poll!(find).is_pending());
        }
        assert_eq!(gate.asked.load(Ordering::SeqCst), 1);

        gate.permits.as_ref().unwrap().add_permits(2);
        for found in futures::future::join_all(later).await {
            assert_eq!(head(found), 2);
        }
        assert_eq!(head(first.await), 1);
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
        assert!(lock(&heads.slots).is_empty());
    }

    #[tokio::test]
    async fn a_query_ends_with_the_requests_that_want_it() {
        let gate = Arc::new(Gate {
            head: AtomicI64::new(1),
            permits: Some(Semaphore::new(0)),
            ..Gate::default()
        });
        let heads = gate.heads();
        let mut running = Box::pin(heads.find("T"));
        assert!(futures::poll!(&mut running).is_pending());
        let mut waiting = Box::pin(heads.find("T"));
        assert!(futures::poll!(&mut waiting).is_pending());
        drop(running);
        drop(waiting);
        assert!(lock(&heads.slots).is_empty());

        gate.permits.as_ref().unwrap().add_permits(1);
        assert_eq!(head(heads.find("T").await), 1);
    }

    #[tokio::test]
    async fn known_apps_outlive_an_outage_and_deleted_ones_do_not() {
        let gate = Arc::new(Gate { head: AtomicI64::new(3), ..Gate::default() });
        let heads = gate.heads();
        assert_eq!(head(heads.find("known").await), 3);
        gate.is_away.store(true, Ordering::SeqCst);
        assert_eq!(head(heads.find("known").await), 3);
        assert!(matches!(*heads.find("new").await.unwrap_err(), StorageError::Unavailable(_)));

        gate.is_away.store(false, Ordering::SeqCst);
        gate.head.store(0, Ordering::SeqCst);
        assert!(heads.find("known").await.unwrap().is_none());
        gate.is_away.store(true, Ordering::SeqCst);
        assert!(heads.find("known").await.is_err());
    }

    #[tokio::test]
    async fn a_token_of_other_case_is_another_token() {
        let heads =
            Heads::new(Arc::new(|_| Box::pin(async { Ok(Some(document("Token".to_owned(), 1))) })));
        assert!(heads.find("token").await.unwrap().is_none());
        assert!(heads.find("Token").await.unwrap().is_some());
    }
}
