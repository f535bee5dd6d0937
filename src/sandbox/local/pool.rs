//! One interpreter's zygote and the workers that wait behind it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cgroup::Groups;
use super::plan::LaunchPlan;
use super::worker::{Scratch, WaitStatus, Worker};
use super::zygote::{Purpose, Ready, Refusal, Zygote};

/// A worker that waited for so long is replaced.
const OLDEST_WORKER: Duration = Duration::from_mins(10);
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// So many deaths of a zygote ...
const DEATHS: usize = 3;
/// ... in so much time stop the attempts until it has passed.
const DEATH_WINDOW: Duration = Duration::from_mins(1);
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(1);
/// A run that was just given its worker has the processors to itself for so long, or until it ends:
/// most runs are shorter than the making of a worker.
const REFILL_DELAY: Duration = Duration::from_millis(10);

/// What a pool needs to know.
#[derive(Debug, Clone)]
pub(super) struct PoolSettings {
    pub(super) program: PathBuf,
    pub(super) plan: LaunchPlan,
    pub(super) size: usize,
    pub(super) scratch: PathBuf,
    pub(super) groups: Option<Arc<Groups>>,
}

/// Workers of one interpreter.
#[derive(Debug)]
pub(super) struct Pool {
    settings: PoolSettings,
    zygote: AsyncMutex<Option<(Arc<Zygote>, Ready)>>,
    idle: Mutex<VecDeque<Worker>>,
    launches: Mutex<VecDeque<Instant>>,
    refill: Notify,
    calm: Notify,
    full: Notify,
    closed: CancellationToken,
    tasks: TaskTracker,
}

impl Pool {
    /// Starts the zygote, tries one worker, and keeps the pool full from then on.
    pub(super) async fn open(
        settings: PoolSettings,
        closed: CancellationToken,
        tasks: TaskTracker,
    ) -> Result<(Arc<Self>, Ready), Refusal> {
        let pool = Arc::new(Self {
            settings,
            zygote: AsyncMutex::default(),
            idle: Mutex::default(),
            launches: Mutex::default(),
            refill: Notify::new(),
            calm: Notify::new(),
            full: Notify::new(),
            closed,
            tasks,
        });
        let first = match pool.fork(Purpose::Pool).await {
            Ok(worker) => worker,
            Err(refusal) => {
                pool.end_zygote().await;
                return Err(refusal);
            }
        };
        let ready = pool.zygote.lock().await.as_ref().map(|(_, ready)| ready.clone());
        pool.lock_idle().push_back(first);
        let keeper = Arc::clone(&pool);
        pool.tasks.spawn(async move { keeper.keep_full().await });
        Ok((pool, ready.unwrap_or_default()))
    }

    /// The layers that the first worker reported.
    pub(super) fn held(&self) -> Vec<crate::sandbox::Layer> {
        self.lock_idle().front().map(|worker| worker.held.clone()).unwrap_or_default()
    }

    /// A worker that waits already, or a fresh fork.
    pub(super) async fn take(&self) -> Result<Worker, Refusal> {
        loop {
            let waiting = self.lock_idle().pop_front();
            self.refill.notify_one();
            match waiting {
                Some(worker) if worker.process.is_alive() => return Ok(worker),
                Some(dead) => dead.release().await,
                None => return self.fork(Purpose::Run).await,
            }
        }
    }

    /// A run is over, and the next worker may be made.
    pub(super) fn run_ended(&self) {
        self.calm.notify_waiters();
    }

    /// Returns when as many workers wait as should, so that a measurement knows where it begins.
    pub(super) async fn filled(&self) {
        loop {
            let filled = self.full.notified();
            if self.lock_idle().len() >= self.settings.size {
                return;
            }
            filled.await;
        }
    }

    async fn fork(&self, purpose: Purpose) -> Result<Worker, Refusal> {
        let zygote = self.zygote().await?;
        let settings = &self.settings;
        let scratch = Scratch { parent: &settings.scratch, owner: settings.plan.drop_to };
        Worker::fork(&zygote, &settings.plan, settings.groups.clone(), scratch, purpose).await
    }

    /// The zygote that runs, or a new one.
    async fn zygote(&self) -> Result<Arc<Zygote>, Refusal> {
        let mut current = self.zygote.lock().await;
        if let Some((zygote, _)) = current.as_ref()
            && zygote.is_alive()
        {
            return Ok(Arc::clone(zygote));
        }
        if self.closed.is_cancelled() {
            return Err(Refusal::new("start the sandbox's helper", "the sandbox is closed"));
        }
        self.note_launch()?;
        let launched = Zygote::launch(&self.settings.program, &self.settings.plan, &self.tasks);
        let (zygote, ready) = launched.await?;
        *current = Some((Arc::clone(&zygote), ready));
        Ok(zygote)
    }

    /// Refuses to start a zygote that keeps dying.
    fn note_launch(&self) -> Result<(), Refusal> {
        let mut launches = self.launches.lock().unwrap_or_else(PoisonError::into_inner);
        launches.retain(|launch| launch.elapsed() < DEATH_WINDOW);
        if launches.len() > DEATHS {
            let seconds = DEATH_WINDOW.as_secs();
            let message =
                format!("it ended {DEATHS} times within {seconds} s; it is tried again later");
            return Err(Refusal::new("start the sandbox's helper", message));
        }
        launches.push_back(Instant::now());
        Ok(())
    }

    async fn keep_full(&self) {
        while !self.closed.is_cancelled() {
            if self.lock_idle().len() < self.settings.size {
                match self.fork(Purpose::Pool).await {
                    Ok(worker) => {
                        self.lock_idle().push_back(worker);
                        if self.lock_idle().len() >= self.settings.size {
                            self.full.notify_waiters();
                        }
                    }
                    Err(refusal) => {
                        tracing::warn!(%refusal, "the sandbox cannot prepare a worker");
                        tokio::select! {
                            () = tokio::time::sleep(PAUSE_AFTER_REFUSAL) => {}
                            () = self.closed.cancelled() => {}
                        }
                    }
                }
                continue;
            }
            let zygote = self.zygote.lock().await.as_ref().map(|(zygote, _)| Arc::clone(zygote));
            let death = async {
                match zygote {
                    Some(zygote) => zygote.death().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.refill.notified() => {
                    let _ = tokio::time::timeout(REFILL_DELAY, self.calm.notified()).await;
                }
                () = death => self.retire(|_| true).await,
                () = tokio::time::sleep(LOOK_EVERY) => {
                    self.retire(|worker| worker.born.elapsed() > OLDEST_WORKER || !worker.process.is_alive()).await;
                }
                () = self.closed.cancelled() => {}
            }
        }
        self.retire(|_| true).await;
        self.end_zygote().await;
    }

    /// Ends the waiting workers that match.
    async fn retire(&self, matches: impl Fn(&Worker) -> bool) {
        let (old, kept) = {
            let mut idle = self.lock_idle();
            idle.drain(..).partition::<VecDeque<_>, _>(|worker| matches(worker))
        };
        self.lock_idle().extend(kept);
        for mut worker in old {
            worker.end(WaitStatus::Unneeded).await;
            worker.release().await;
        }
    }

    async fn end_zygote(&self) {
        if let Some((zygote, _)) = self.zygote.lock().await.take() {
            zygote.close();
        }
    }

    fn lock_idle(&self) -> std::sync::MutexGuard<'_, VecDeque<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
