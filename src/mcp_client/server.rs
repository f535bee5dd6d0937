//! One server: started when it is needed, looked after, started again when it must be.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio_util::task::TaskTracker;

use super::error::ClientError;
use super::names::names;
use super::{Asker, Connector, ToolAnswer, ToolClient, ToolListing};
use crate::config::mcp_servers::{Connection, Protocol, ServerSpec};
use crate::registry::{ForeignTool, Validators};
use crate::storage::PrincipalId;

/// How long a server whose call timed out has for a sign of life.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// Back-off after the first failure to start; it doubles.
const FIRST_BACK_OFF: Duration = Duration::from_millis(500);
/// Longest back-off.
const LONGEST_BACK_OFF: Duration = Duration::from_mins(1);
/// A server that ends sooner than this after its start counts as one that cannot be started.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// How old a list must be before an unknown name is worth asking again.
const FRESH: Duration = Duration::from_secs(1);

/// What is told about changes of a server's tools.
pub(super) type OnChange = Arc<dyn Fn() + Send + Sync>;

/// One server.
pub(super) struct Server {
    pub(super) name: String,
    /// Whose it is; `None`: everybody's.
    pub(super) owner: Option<PrincipalId>,
    pub(super) spec: ServerSpec,
    connector: Arc<dyn Connector>,
    on_change: OnChange,
    tasks: TaskTracker,
    places: Semaphore,
    in_flight: AtomicUsize,
    /// Held while the server is started, so that it is started once.
    state: AsyncMutex<State>,
    facts: Mutex<Facts>,
    is_removed: AtomicBool,
}

/// The connection and its history.
#[derive(Default)]
struct State {
    active: Option<Arc<Active>>,
    failures: u32,
    retry_at: Option<Instant>,
    speaks_legacy: bool,
}

/// What others may look at without waiting.
#[derive(Default)]
struct Facts {
    tools: Option<Vec<Arc<ForeignTool>>>,
    protocol_version: String,
    listed_at: Option<Instant>,
    last_used: Option<Instant>,
    last_error: Option<String>,
    is_running: bool,
}

/// A connection that is in use.
struct Active {
    client: Box<dyn ToolClient>,
    started: Instant,
    /// Set after a call timed out: it must show that it lives before the next one.
    is_suspect: AtomicBool,
    seen_changes: AtomicU64,
}

/// What there is to say about a server.
pub(super) struct Snapshot {
    pub(super) tools: Option<usize>,
    pub(super) protocol_version: String,
    pub(super) is_running: bool,
    pub(super) last_error: Option<String>,
}

impl Server {
    pub(super) fn new(
        (owner, name): (Option<PrincipalId>, String),
        spec: ServerSpec,
        connector: Arc<dyn Connector>,
        on_change: OnChange,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self {
            places: Semaphore::new(spec.max_parallel.max(1)),
            name,
            owner,
            spec,
            connector,
            on_change,
            tasks,
            in_flight: AtomicUsize::new(0),
            state: AsyncMutex::default(),
            facts: Mutex::default(),
            is_removed: AtomicBool::new(false),
        })
    }

    /// Whether a principal may know of it.
    pub(super) fn is_seen_by(&self, principal: Option<&PrincipalId>) -> bool {
        self.owner.as_ref().is_none_or(|owner| Some(owner) == principal)
    }

    /// Its tools, as far as they were ever listed.
    pub(super) fn tools(&self) -> Option<Vec<Arc<ForeignTool>>> {
        self.facts().tools.clone()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let facts = self.facts();
        Snapshot {
            tools: facts.tools.as_ref().map(Vec::len),
            protocol_version: facts.protocol_version.clone(),
            is_running: facts.is_running,
            last_error: facts.last_error.clone(),
        }
    }

    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that the tools were listed.
    pub(super) async fn learn(self: &Arc<Self>) -> Result<(), ClientError> {
        if self.facts().tools.is_some() {
            return Ok(());
        }
        self.active().await.map(drop)
    }

    /// Lists the tools again, unless that was done just now: a name was asked for that is not
    /// among them.
    pub(super) async fn learn_again(self: &Arc<Self>) -> Result<(), ClientError> {
        let is_fresh = self.facts().listed_at.is_some_and(|at| at.elapsed() < FRESH);
        if is_fresh {
            return Ok(());
        }
        let active = self.active().await?;
        // A start has just listed them.
        if self.facts().listed_at.is_some_and(|at| at.elapsed() < FRESH) {
            return Ok(());
        }
        self.list(&active).await
    }

    /// Calls a tool by its name there.
    pub(super) async fn call(
        self: &Arc<Self>,
        tool: &str,
        arguments: Map<String, Value>,
        from: &Asker,
    ) -> Result<ToolAnswer, ClientError> {
        let limit = self.spec.timeout;
        let place = tokio::time::timeout(limit, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(ClientError::Busy { places: self.spec.max_parallel });
        };
        let _in_flight = InFlight::new(self);
        let active = self.active().await?;
        let call = active.client.call(tool, arguments, from);
        let answer = if let Ok(answer) = tokio::time::timeout(limit, call).await {
            answer
        } else {
            active.is_suspect.store(true, Ordering::Relaxed);
            Err(ClientError::CallTimeout { seconds: limit.as_secs_f64() })
        };
        if let Err(error) = &answer
            && error.ends_connection()
        {
            self.note_error(&error.to_string());
            self.give_up(&active).await;
        }
        self.look_for_changes(&active);
        answer
    }

    /// Lists the tools again in the background when the server has said that they changed.
    fn look_for_changes(self: &Arc<Self>, active: &Arc<Active>) {
        let changes = active.client.list_changes();
        if active.seen_changes.swap(changes, Ordering::Relaxed) != changes {
            let (server, active) = (Arc::clone(self), Arc::clone(active));
            self.tasks.spawn(async move {
                if let Err(error) = server.list(&active).await {
                    server.note_error(&error.to_string());
                }
            });
        }
    }

    /// The connection, after starting the server when there is none. A start goes on when nobody
    /// waits for it any more: the next call needs it.
    async fn active(self: &Arc<Self>) -> Result<Arc<Active>, ClientError> {
        let server = Arc::clone(self);
        let start = self.tasks.spawn(async move { server.active_inner().await });
        start.await.unwrap_or_else(|error| {
            // A defect of ours; the server is not at fault and may work the next time.
            Err(ClientError::Unreachable(format!("starting it failed inside: {error}")))
        })
    }

    async fn active_inner(self: &Arc<Self>) -> Result<Arc<Active>, ClientError> {
        let mut state = self.state.lock().await;
        if self.is_removed.load(Ordering::Acquire) {
            return Err(ClientError::Removed);
        }
        if let Some(active) = state.active.clone() {
            if self.is_well(&active).await {
                return Ok(active);
            }
            state.active = None;
            self.close(&active).await;
            if active.started.elapsed() < SHORT_LIFE {
                let last = active.client.ended().unwrap_or_else(|| "it did not answer".to_owned());
                self.note_failure(&mut state, &last);
            }
        }
        if let Some(at) = state.retry_at
            && let Some(left) = at.checked_duration_since(Instant::now())
        {
            return Err(ClientError::BackingOff {
                seconds: left.as_secs_f64().ceil(),
                failures: state.failures,
                last: self.facts().last_error.clone().unwrap_or_default(),
            });
        }
        match self.start(&mut state).await {
            Ok(active) => {
                state.failures = 0;
                state.retry_at = None;
                state.active = Some(Arc::clone(&active));
                Ok(active)
            }
            Err(error) => {
                self.note_failure(&mut state, &error.to_string());
                tracing::warn!(server = self.name, error.cause = %error, "a server cannot be started");
                Err(error)
            }
        }
    }

    /// Whether a connection can be used.
    async fn is_well(&self, active: &Active) -> bool {
        if active.client.ended().is_some() {
            return false;
        }
        if !active.is_suspect.load(Ordering::Relaxed) {
            return true;
        }
        let sign = tokio::time::timeout(SIGN_OF_LIFE, active.client.ping()).await;
        let lives = matches!(sign, Ok(Ok(())));
        if lives {
            active.is_suspect.store(false, Ordering::Relaxed);
        }
        lives
    }

    async fn start(&self, state: &mut State) -> Result<Arc<Active>, ClientError> {
        let protocol = match self.spec.protocol {
            Protocol::Auto if state.speaks_legacy => Protocol::Legacy,
            other => other,
        };
        let connect = |protocol| self.connector.connect(&self.name, &self.spec, protocol);
        let client = match connect(protocol).await {
            Ok(client) => client,
            // There are servers that end, or refuse in odd ways, when they are asked in the newer
            // protocol first.
            Err(
                ClientError::Ended { .. }
                | ClientError::Nonsense(_)
                | ClientError::Refused { .. }
                | ClientError::Unreachable(_),
            ) if protocol == Protocol::Auto => connect(Protocol::Legacy).await?,
            Err(error) => return Err(error),
        };
        state.speaks_legacy = client.is_legacy();
        let active = Arc::new(Active {
            seen_changes: AtomicU64::new(client.list_changes()),
            client,
            started: Instant::now(),
            is_suspect: AtomicBool::new(false),
        });
        let listed = tokio::time::timeout(self.spec.start_timeout, self.list(&active)).await;
        let listed = listed.unwrap_or_else(|_| {
            let seconds = self.spec.start_timeout.as_secs_f64();
            Err(ClientError::StartTimeout { seconds, said: String::new() })
        });
        if let Err(error) = listed {
            active.client.close().await;
            return Err(error);
        }
        let mut facts = self.facts();
        facts.is_running = true;
        facts.last_error = None;
        facts.last_used = Some(Instant::now());
        drop(facts);
        Ok(active)
    }

    async fn list(&self, active: &Active) -> Result<(), ClientError> {
        let listing = active.client.list().await?;
        if listing.is_cut {
            tracing::warn!(server = self.name, "a server lists more tools than are taken");
        }
        let version = listing.protocol_version.clone();
        let tools = self.foreign(listing);
        {
            let mut facts = self.facts();
            facts.protocol_version = version;
            facts.listed_at = Some(Instant::now());
            // The same list keeps what hangs on it: compiled schemas and the search index.
            if facts.tools.as_ref().is_some_and(|old| same(old, &tools)) {
                return Ok(());
            }
            facts.tools = Some(tools);
        }
        (self.on_change)();
        Ok(())
    }

    /// The tools that are passed on, under their names here.
    fn foreign(&self, listing: ToolListing) -> Vec<Arc<ForeignTool>> {
        let passed: Vec<_> =
            listing.tools.into_iter().filter(|tool| self.spec.passes(&tool.name)).collect();
        let names = names(&self.name, passed.iter().map(|tool| tool.name.as_str()));
        let twice = names.iter().filter(|name| name.is_none()).count();
        if twice > 0 {
            tracing::warn!(server = self.name, tools = twice, "a server names tools twice");
        }
        names
            .into_iter()
            .zip(passed)
            .filter_map(|(name, tool)| {
                Some(Arc::new(ForeignTool {
                    name: name?,
                    server: self.name.clone(),
                    owner: self.owner.clone(),
                    inner_name: tool.name,
                    title: tool.title,
                    description: tool.description,
                    input_schema: tool.input_schema,
                    output_schema: tool.output_schema,
                    hints: tool.hints,
                    validators: Validators::default(),
                }))
            })
            .collect()
    }

    fn note_error(&self, error: &str) {
        self.facts().last_error = Some(error.to_owned());
    }

    fn note_failure(&self, state: &mut State, error: &str) {
        self.note_error(error);
        state.failures = state.failures.saturating_add(1);
        let doubled = 2_u32.saturating_pow(state.failures.saturating_sub(1).min(16));
        let wait = FIRST_BACK_OFF.saturating_mul(doubled).min(LONGEST_BACK_OFF);
        state.retry_at = Some(Instant::now() + wait);
    }

    /// Drops a connection that has ended.
    async fn give_up(&self, active: &Arc<Active>) {
        let mut state = self.state.lock().await;
        let is_current = state.active.as_ref().is_some_and(|current| Arc::ptr_eq(current, active));
        if is_current {
            state.active = None;
            self.close(active).await;
        }
    }

    async fn close(&self, active: &Active) {
        active.client.close().await;
        self.facts().is_running = false;
    }

    /// Stops it when nobody has used it for a time. Its tools stay known.
    pub(super) async fn stop_when_idle(&self, idle: Duration) {
        if matches!(self.spec.connection, Connection::Http { .. }) {
            return;
        }
        let mut state = self.state.lock().await;
        let is_idle = self.in_flight.load(Ordering::Acquire) == 0
            && self.facts().last_used.is_some_and(|at| at.elapsed() >= idle);
        if is_idle && let Some(active) = state.active.take() {
            self.close(&active).await;
            tracing::info!(server = self.name, "an idle server was stopped");
        }
    }

    /// Stops it for good.
    pub(super) async fn remove(&self) {
        self.is_removed.store(true, Ordering::Release);
        let active = self.state.lock().await.active.take();
        if let Some(active) = active {
            self.close(&active).await;
        }
    }
}

fn same(old: &[Arc<ForeignTool>], new: &[Arc<ForeignTool>]) -> bool {
    let equal = |old: &ForeignTool, new: &ForeignTool| {
        old.name == new.name
            && old.inner_name == new.inner_name
            && old.title == new.title
            && old.description == new.description
            && old.input_schema == new.input_schema
            && old.output_schema == new.output_schema
            && old.hints == new.hints
    };
    old.len() == new.len() && old.iter().zip(new).all(|(old, new)| equal(old, new))
}

/// A call that is under way.
struct InFlight<'a>(&'a Server);

impl<'a> InFlight<'a> {
    fn new(server: &'a Server) -> Self {
        server.in_flight.fetch_add(1, Ordering::AcqRel);
        Self(server)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.facts().last_used = Some(Instant::now());
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
