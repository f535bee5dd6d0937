//! The program over stores in memory, with tools that do what a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atelier::app::{App, Ports};
use atelier::browser::Chrome;
use atelier::config::Config;
use atelier::documents::LinkLife;
use atelier::documents::fetch::Fetcher;
use atelier::jobs::{Ask, Run, ToolOutput};
use atelier::llm::resolve::{Models, system_calendar};
use atelier::llm::{ExpectedKind, Expects, Request};
use atelier::registry::{Annotations, DirectReply, Tool, Toolset};
use atelier::storage::Catalog;
use atelier::storage::blobs::Blobs;
use atelier::storage::sqlite::SqliteCatalog;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

/// How long a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Holds the tool `slow` until the test lets it go.
#[derive(Debug)]
pub(crate) struct Gate {
    started: watch::Sender<usize>,
    open: watch::Sender<bool>,
    stopped: AtomicUsize,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            started: watch::Sender::new(0),
            open: watch::Sender::new(false),
            stopped: AtomicUsize::new(0),
        })
    }

    /// Waits until so many calls of `slow` have begun.
    pub(crate) async fn started(&self, count: usize) {
        let mut started = self.started.subscribe();
        within(started.wait_for(|now| *now >= count)).await.unwrap();
    }

    /// Lets `slow` end.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }

    /// Waits until so many calls of `slow` were stopped before their end.
    pub(crate) async fn stopped(&self, count: usize) {
        until(|| self.stopped.load(Ordering::SeqCst) >= count).await;
    }
}

/// Counts a run of `slow` as stopped unless it came to its end.
struct Watched<'a> {
    gate: &'a Gate,
    is_done: bool,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.gate.stopped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Waits for a future, within [`PATIENCE`].
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it took too long")
}

/// Waits for a condition, within [`PATIENCE`].
pub(crate) async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// The program under test.
pub(crate) struct Bench {
    pub(crate) app: Arc<App>,
    pub(crate) gate: Arc<Gate>,
    stores: (Arc<dyn Catalog>, Blobs),
}

impl Bench {
    /// A program with defaults.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A program with a changed configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let catalog = SqliteCatalog::in_memory().await.unwrap();
        Self::on((Arc::new(catalog), Blobs::in_memory()), Vec::new(), change).await
    }

    /// A program with further tools.
    pub(crate) async fn with_tools(tools: Vec<Tool>) -> Self {
        let catalog = SqliteCatalog::in_memory().await.unwrap();
        Self::on((Arc::new(catalog), Blobs::in_memory()), tools, |_| {}).await
    }

    /// Another process on the same stores.
    pub(crate) async fn beside(&self, change: impl FnOnce(&mut Config)) -> Self {
        Self::on(self.stores.clone(), Vec::new(), change).await
    }

    async fn on(
        stores: (Arc<dyn Catalog>, Blobs),
        mut further_tools: Vec<Tool>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        // What a page is made of does not matter here.
        config.browser.verify = false;
        change(&mut config);
        let gate = Gate::new();
        further_tools.extend([echo(), slow(&gate), panicking(), ask(&gate)]);
        let ports = Ports {
            catalog: Arc::clone(&stores.0),
            blobs: stores.1.clone(),
            models: Arc::new(Models::new(&config.llm, system_calendar()).unwrap()),
            fetcher: Fetcher::new(),
            renderer: Arc::new(Chrome::new(&config.browser, Vec::new())),
            sandbox: Arc::new(crate::sandbox::support::sandbox()),
            further_tools,
        };
        let app = App::with_ports(config, ports, LinkLife::Lasting).await.unwrap();
        Self { app, gate, stores }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    /// Comes back.
    #[serde(default)]
    text: String,
    /// Comes back, within its bounds.
    #[serde(default)]
    #[schemars(range(min = 1, max = 9))]
    count: Option<i64>,
}

#[derive(Debug, JsonSchema)]
#[schemars(with = "std::collections::BTreeMap<String, String>")]
pub(crate) struct Output(pub(crate) Value);

impl From<Output> for ToolOutput {
    fn from(output: Output) -> Self {
        Self::structured(output.0)
    }
}

fn echo() -> Tool {
    Tool::builder("echo", "Echo", Toolset::Documents)
        .description("Returns its arguments")
        .annotations(Annotations::READ)
        .direct(json!({"type": "object"}), |_call, params: Params| async move {
            let output = json!({"text": params.text, "count": params.count});
            Ok(DirectReply::Output(ToolOutput::structured(output)))
        })
}

fn slow(gate: &Arc<Gate>) -> Tool {
    let gate = Arc::clone(gate);
    Tool::builder("slow", "Slow", Toolset::Python)
        .description("Ends when the test says so")
        .annotations(Annotations::CREATE)
        .job(move |run: Run, params: Params| {
            let gate = Arc::clone(&gate);
            async move {
                let mut watched = Watched { gate: &gate, is_done: false };
                gate.started.send_modify(|count| *count += 1);
                for value in [10.0, 10.0, 40.0] {
                    run.progress(value, Some(100.0), "at it");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let mut open = gate.open.subscribe();
                tokio::select! {
                    _ = open.wait_for(|open| *open) => watched.is_done = true,
                    () = run.cancel().cancelled() => {}
                }
                Ok(Output(json!({"text": params.text})))
            }
        })
}

fn panicking() -> Tool {
    Tool::builder("panicking", "Panicking", Toolset::Documents).description("Panics").direct(
        json!({"type": "object"}),
        |_call, params: Params| async move {
            assert!(params.text == "calm", "as the test wants it");
            Ok(DirectReply::Output(ToolOutput::structured(json!({}))))
        },
    )
}

fn ask(gate: &Arc<Gate>) -> Tool {
    let gate = Arc::clone(gate);
    Tool::builder("ask", "Ask", Toolset::Agent)
        .description("Has a text written")
        .annotations(Annotations::CREATE)
        .job(move |run: Run, params: Params| {
            let gate = Arc::clone(&gate);
            async move {
                if params.text.starts_with("late") {
                    gate.open.subscribe().wait_for(|open| *open).await.unwrap();
                }
                let expects = Expects::kind(ExpectedKind::Text);
                let outcome = run
                    .complete(Ask {
                        step: "llm#1".to_owned(),
                        model: None,
                        request: Request::new("Be brief.", params.text, expects),
                        as_text: None,
                        attempt: 1,
                        max_attempts: 1,
                        errors: Vec::new(),
                    })
                    .await?;
                Ok(Output(json!({"answer": outcome.text})))
            }
        })
}
