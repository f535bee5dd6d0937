//! Runs that wait for the host, by the job that waits with them.
//!
//! Each has a keeper, which looks at the job's row: when the call was cancelled or expired, or another
//! process went on with it, the run is ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::live::Live;
use crate::storage::{Catalog, JobId, JobState, PrincipalId};

/// How often a keeper looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs that wait for the host.
pub(super) struct Parking {
    places: Arc<Mutex<Places>>,
    catalog: Arc<dyn Catalog>,
    most: usize,
    closed: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Default)]
struct Places {
    runs: HashMap<JobId, Parked>,
    counter: u64,
}

struct Parked {
    number: u64,
    live: Live,
}

impl Parking {
    pub(super) fn new(catalog: Arc<dyn Catalog>, most: usize) -> Self {
        Self {
            places: Arc::default(),
            catalog,
            most,
            closed: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Keeps a run for its job.
    ///
    /// # Errors
    /// Gives the run back when there is no place for it.
    pub(super) fn park(
        &self,
        job: &JobId,
        principal: &PrincipalId,
        live: Live,
    ) -> Result<(), Box<Live>> {
        let mut places = lock(&self.places);
        if places.runs.len() >= self.most || self.closed.is_cancelled() {
            return Err(Box::new(live));
        }
        places.counter += 1;
        let number = places.counter;
        places.runs.insert(job.clone(), Parked { number, live });
        drop(places);
        let keeper = Keeper {
            places: Arc::downgrade(&self.places),
            catalog: Arc::clone(&self.catalog),
            job: job.clone(),
            principal: principal.clone(),
            number,
        };
        let closed = self.closed.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = keeper.watch() => {}
            }
        });
        Ok(())
    }

    /// The run that waits with this job.
    pub(super) fn take(&self, job: &JobId) -> Option<Live> {
        lock(&self.places).runs.remove(job).map(|parked| parked.live)
    }

    /// Ends all of them.
    pub(super) async fn close(&self) {
        self.closed.cancel();
        let runs = std::mem::take(&mut lock(&self.places).runs);
        drop(runs);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

struct Keeper {
    places: Weak<Mutex<Places>>,
    catalog: Arc<dyn Catalog>,
    job: JobId,
    principal: PrincipalId,
    number: u64,
}

impl Keeper {
    /// Returns when the run is no longer kept.
    async fn watch(self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if !self.is_kept() {
                return;
            }
            let over = match self.catalog.job(&self.principal, &self.job).await {
                Ok(Some(job)) => match job.state {
                    JobState::Queued | JobState::Running | JobState::Waiting => false,
                    JobState::Done
                    | JobState::Failed
                    | JobState::Cancelled
                    | JobState::Interrupted
                    | JobState::Expired => true,
                },
                Ok(None) => true,
                // The store may be back at the next look.
                Err(_) => false,
            };
            if over {
                self.let_go();
                return;
            }
        }
    }

    fn is_kept(&self) -> bool {
        self.places.upgrade().is_some_and(|places| {
            lock(&places).runs.get(&self.job).is_some_and(|parked| parked.number == self.number)
        })
    }

    fn let_go(&self) {
        let Some(places) = self.places.upgrade() else { return };
        let mut places = lock(&places);
        if places.runs.get(&self.job).is_some_and(|parked| parked.number == self.number) {
            places.runs.remove(&self.job);
        }
    }
}

/// The places. A panic while they were held cannot leave them inconsistent: entries are whole.
fn lock(places: &Mutex<Places>) -> std::sync::MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}
