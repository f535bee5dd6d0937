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

use crate::storage::{Catalog, Document, StorageError};

/// How long an app stays open while the catalog is away.
const OUTAGE_GRACE: Duration = Duration::from_secs(300);
/// How many documents are remembered for an outage.
const REMEMBERED: u64 = 10_000;

/// A document, none, or why it is not known.
pub(super) type Found = Result<Option<Arc<Document>>, Arc<StorageError>>;

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
    catalog: Arc<dyn Catalog>,
    slots: Slots,
    ids: AtomicU64,
    remembered: Cache<String, Arc<Document>>,
}

impl Heads {
    pub(super) fn new(catalog: Arc<dyn Catalog>) -> Self {
        let remembered =
            Cache::builder().max_capacity(REMEMBERED).time_to_live(OUTAGE_GRACE).build();
        Self { catalog, slots: Slots::default(), ids: AtomicU64::new(0), remembered }
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
            Box::pin(query(Arc::clone(&self.catalog), self.remembered.clone(), place, previous));
        let lookup = query.shared();
        slot.next = lookup.downgrade().map(|weak| (id, weak));
        lookup
    }
}

async fn query(
    catalog: Arc<dyn Catalog>,
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
    match catalog.document_by_token(token).await {
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
