//! The server: accepts, matches, answers, remembers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use crate::capture::{CapturedRequest, Outcome};
use crate::connection;
use crate::encode::{NotExpressible, listing};
use crate::http::HttpRequest;
use crate::plan::Plan;
use crate::script::{Answer, CompiledMatch, ListedModel, Rule, Script};
use crate::vendor::{Route, Vendor};

/// A scripted model server on a loopback port of its own. Dropping it stops it.
#[derive(Debug)]
pub struct FakeLlm {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    rules: Vec<(CompiledMatch, Rule)>,
    models: Vec<ListedModel>,
    state: Mutex<State>,
    /// Counts changes of the state, for tests that wait for one.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<CapturedRequest>,
    /// How often each rule answered.
    used: Vec<usize>,
    model_requests: usize,
    unmatched: Vec<usize>,
    problems: Vec<String>,
}

impl FakeLlm {
    /// Starts a server on a free loopback port.
    pub async fn start(script: Script) -> anyhow::Result<Self> {
        Self::start_on("127.0.0.1:0", script).await
    }

    /// Starts a server on this address.
    pub async fn start_on(address: &str, script: Script) -> anyhow::Result<Self> {
        let mut rules = Vec::new();
        for (index, rule) in script.rules.into_iter().enumerate() {
            let compiled = rule.matches.compile().with_context(|| format!("rule {index}"))?;
            rules.push((compiled, rule));
        }
        let mut models = script.models;
        if models.is_empty() {
            models.push(ListedModel { id: "fake-model".to_owned(), shutdown_date: None });
        }
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on `{address}`"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State { used: vec![0; rules.len()], ..State::default() }),
            rules,
            models,
            changes: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// The server's root, without a version path and without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The endpoint a client of this vendor is configured with, slash included.
    #[must_use]
    pub fn endpoint(&self, vendor: Vendor) -> String {
        format!("{}{}", self.base_url(), vendor.version_path())
    }

    /// Every request so far, listings and probes included.
    #[must_use]
    pub fn requests(&self) -> Vec<CapturedRequest> {
        self.shared.state().requests.clone()
    }

    /// The requests that asked a model for an answer.
    #[must_use]
    pub fn model_requests(&self) -> Vec<CapturedRequest> {
        let mut requests = self.requests();
        requests.retain(|request| request.vendor.is_some());
        requests
    }

    /// The requests no rule matched.
    #[must_use]
    pub fn unmatched(&self) -> Vec<CapturedRequest> {
        let state = self.shared.state();
        state
            .requests
            .iter()
            .filter(|request| state.unmatched.contains(&request.order))
            .cloned()
            .collect()
    }

    /// What scripts asked for and the wire in question has no form for.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.shared.state().problems.clone()
    }

    /// Fails with a description of every unmatched request and every problem.
    pub fn check(&self) -> anyhow::Result<()> {
        let mut complaints = self.problems();
        complaints.extend(self.unmatched().iter().map(|request| {
            format!(
                "unmatched: request {} `{} {}`, user text {:?}, tools {:?}",
                request.order, request.method, request.path, request.user_text, request.tool_names
            )
        }));
        if complaints.is_empty() {
            return Ok(());
        }
        bail!("{}", complaints.join("\n"));
    }

    /// [`Self::check`] for tests.
    ///
    /// # Panics
    ///
    /// When a request was unmatched or a script could not be expressed.
    #[expect(clippy::panic, reason = "an assertion for tests")]
    pub fn assert_all_matched(&self) {
        if let Err(error) = self.check() {
            panic!("{error}");
        }
    }

    /// Waits until the requests so far satisfy the predicate, and returns them.
    pub async fn wait_for(
        &self,
        limit: Duration,
        predicate: impl Fn(&[CapturedRequest]) -> bool,
    ) -> anyhow::Result<Vec<CapturedRequest>> {
        let mut changes = self.shared.changes.subscribe();
        let deadline = Instant::now() + limit;
        loop {
            let requests = self.requests();
            if predicate(&requests) {
                return Ok(requests);
            }
            if tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                bail!("no such requests within {limit:?}: {requests:#?}");
            }
        }
    }
}

impl Drop for FakeLlm {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Owns the connections: when this task is aborted, they all end.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    // Each event must leave at once, as it does from the vendors.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let request = match HttpRequest::read(&mut stream).await {
        Ok(Some(request)) => request,
        Ok(None) => return,
        Err(error) => {
            shared.problem(format!("bad request: {error:#}"));
            return;
        }
    };
    let started = Instant::now();
    let (order, plan) = shared.answer(request);
    let outcome = match connection::write(&mut stream, &plan).await {
        Ok(()) => Outcome::Sent,
        Err(connection::ClientLeft) => Outcome::ClosedEarly {
            after_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        },
    };
    shared.finished(order, outcome);
}

impl Shared {
    /// A panic in a test's closure must not hide what was captured before it.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn problem(&self, problem: String) {
        self.state().problems.push(problem);
        self.changed();
    }

    fn finished(&self, order: usize, outcome: Outcome) {
        if let Some(request) =
            self.state().requests.iter_mut().find(|request| request.order == order)
        {
            request.outcome = outcome;
        }
        self.changed();
    }

    /// Records the request, chooses the rule and plans the answer.
    fn answer(&self, request: HttpRequest) -> (usize, Plan) {
        let (captured, rule) = self.record(request);
        let order = captured.0.order;
        (order, self.plan(&captured.0, captured.1, rule))
    }

    /// Matching and counting happen under one lock, so that `times` holds for parallel requests.
    fn record(&self, request: HttpRequest) -> ((CapturedRequest, Route), Option<&Rule>) {
        let mut state = self.state();
        let order = state.requests.len() + 1;
        let (mut captured, route) = CapturedRequest::read(request, order);
        if captured.vendor.is_some() {
            state.model_requests += 1;
        }
        let nth = state.model_requests;
        let chosen = self.rules.iter().zip(&state.used).enumerate().position(
            |(_, ((matches, rule), used))| {
                rule.times.is_none_or(|times| *used < times)
                    && if captured.vendor.is_some() {
                        matches.accepts(&captured, nth)
                    } else {
                        matches.accepts_probe(&captured)
                    }
            },
        );
        captured.rule = chosen;
        if let Some(used) = chosen.and_then(|index| state.used.get_mut(index)) {
            *used += 1;
        }
        let needs_rule = captured.vendor.is_some() || route == Route::Unknown;
        if chosen.is_none() && needs_rule {
            state.unmatched.push(order);
        }
        state.requests.push(captured.clone());
        drop(state);
        self.changed();
        let rule = chosen.and_then(|index| self.rules.get(index)).map(|(_, rule)| rule);
        ((captured, route), rule)
    }

    fn plan(&self, request: &CapturedRequest, route: Route, rule: Option<&Rule>) -> Plan {
        let answer = rule.map(|rule| match &rule.responder {
            Some(responder) => {
                let mut answer = responder(request);
                answer.faults.extend(rule.faults.iter().cloned());
                answer
            }
            None => Answer { reply: rule.reply.clone(), faults: rule.faults.clone() },
        });
        let planned = match (request.vendor, answer) {
            (Some(vendor), Some(answer)) => Plan::for_model(vendor, request, &answer),
            (None, answer) => {
                let faults = answer.map(|answer| answer.faults).unwrap_or_default();
                match listing(route, request, &self.models) {
                    Some(encoded) => Plan::for_listing(encoded, &faults),
                    None if faults.is_empty() => {
                        return Plan::for_problem(None, 404, "fake-llm: there is no such path");
                    }
                    None => Plan::for_unknown(&faults),
                }
            }
            (Some(vendor), None) => {
                let message = "fake-llm: no rule of the script matches this request";
                return Plan::for_problem(Some(vendor), 400, message);
            }
        };
        planned.unwrap_or_else(|NotExpressible(problem)| {
            let problem = format!("request {}: {problem}", request.order);
            let plan = Plan::for_problem(request.vendor, 500, &format!("fake-llm: {problem}"));
            self.problem(problem);
            plan
        })
    }
}
