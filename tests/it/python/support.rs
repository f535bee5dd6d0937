//! The whole program over stores in memory, with a sandbox whose helper is the real program.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use atelier::app::{App, Ports};
use atelier::browser::Chrome;
use atelier::config::Config;
use atelier::documents::LinkLife;
use atelier::documents::fetch::Fetcher;
use atelier::jobs::ToolOutput;
use atelier::llm::resolve::{Models, system_calendar};
use atelier::registry::{Annotations, CallContext, DirectReply, Origin, Tool, Toolset};
use atelier::sandbox::local::{LocalSandbox, LocalSettings};
use atelier::storage::blobs::Blobs;
use atelier::storage::sqlite::SqliteCatalog;
use atelier::storage::{Catalog, PrincipalId};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::sandbox::support::settings;
use crate::support::studio::Reply;

/// How long a test waits for anything before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The program under test. Close it at the end of the test.
pub(crate) struct Lab {
    pub(crate) app: Arc<App>,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(Vec::new(), |_| {}).await
    }

    /// With further tools and a changed configuration.
    pub(crate) async fn with(further_tools: Vec<Tool>, change: impl FnOnce(&mut Config)) -> Self {
        let catalog = Arc::new(SqliteCatalog::in_memory().await.unwrap());
        Self::on((catalog, Blobs::in_memory()), further_tools, change).await
    }

    /// Another process on the same stores.
    pub(crate) async fn beside(&self) -> Self {
        let stores = (Arc::clone(&self.app.catalog), self.app.blobs.clone());
        Self::on(stores, Vec::new(), |_| {}).await
    }

    async fn on(
        (catalog, blobs): (Arc<dyn Catalog>, Blobs),
        further_tools: Vec<Tool>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        // What a page is made of does not matter here.
        config.browser.verify = false;
        change(&mut config);
        let sandbox = LocalSandbox::new(LocalSettings { running: 64, pool: 2, ..settings() });
        let ports = Ports {
            catalog,
            blobs,
            models: Arc::new(Models::new(&config.llm, system_calendar()).unwrap()),
            fetcher: Fetcher::new(),
            renderer: Arc::new(Chrome::new(&config.browser, Vec::new())),
            sandbox: Arc::new(sandbox),
            further_tools,
        };
        Self { app: App::with_ports(config, ports, LinkLife::Lasting).await.unwrap() }
    }

    /// Calls a tool in these circumstances.
    pub(crate) async fn call_in(
        &self,
        context: CallContext,
        tool: &str,
        arguments: Value,
    ) -> Reply {
        let call = self.app.registry.call(tool, arguments, context);
        Reply(tokio::time::timeout(PATIENCE, call).await.expect("the call does not end"))
    }

    /// Calls a tool as a client of `ann`.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.call_in(context(), tool, arguments).await
    }

    /// Runs code.
    pub(crate) async fn run(&self, code: &str) -> Reply {
        self.call("execute_python_code", json!({"code": code})).await
    }

    /// Runs code that must succeed; its last value.
    pub(crate) async fn value(&self, code: &str) -> Value {
        let reply = self.run(code).await;
        assert!(!reply.0.is_error, "{reply:?}");
        reply.field("result").clone()
    }

    /// Hands in the text that an answer asks for.
    pub(crate) async fn answer(&self, asked: &Reply, text: &str) -> Reply {
        assert_eq!(asked.text("status"), "needs_completion", "{asked:?}");
        self.call("submit_completion", json!({"handle": asked.text("handle"), "text": text})).await
    }

    /// Ends it; nothing may be left.
    pub(crate) async fn close(self) {
        tokio::time::timeout(PATIENCE, self.app.shut_down()).await.expect("it does not end");
    }
}

/// The circumstances of a client of `ann`.
pub(crate) fn context() -> CallContext {
    CallContext::new(PrincipalId::from("ann"), Origin::Client)
}

/// The names of a list.
pub(crate) fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Params {
    /// Comes back.
    #[serde(default)]
    text: String,
    /// Whose it is.
    #[serde(default)]
    user_number: String,
}

/// A tool of this name that says what it got.
pub(crate) fn echo(name: &'static str) -> Tool {
    builder(name).direct(json!({"type": "object"}), |call, params: Params| async move {
        let told = json!({
            "text": params.text,
            "user": params.user_number,
            "origin": format!("{:?}", call.context.origin),
            "depth": call.context.depth,
        });
        Ok(DirectReply::Output(ToolOutput::structured(told)))
    })
}

/// A tool that ends only when so many calls of it are in flight.
pub(crate) fn together(count: usize) -> Tool {
    let barrier = Arc::new(Barrier::new(count));
    builder("together").direct(json!({"type": "object"}), move |_, params: Params| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            let told = json!({"text": params.text});
            Ok(DirectReply::Output(ToolOutput::structured(told)))
        }
    })
}

/// A tool that never ends by itself, and tells when it was stopped.
pub(crate) fn endless(stopped: tokio::sync::mpsc::Sender<&'static str>) -> Tool {
    builder("endless").direct(json!({"type": "object"}), move |_, _: Params| {
        let stopped = stopped.clone();
        async move {
            let _ = stopped.send("began").await;
            let _told = Told(stopped);
            std::future::pending::<()>().await;
            Ok(DirectReply::Output(ToolOutput::structured(json!({}))))
        }
    })
}

struct Told(tokio::sync::mpsc::Sender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.try_send("stopped");
    }
}

fn builder(name: &'static str) -> atelier::registry::ToolBuilder {
    Tool::builder(name, name, Toolset::Documents)
        .description("For tests")
        .annotations(Annotations { read_only: false, ..Annotations::READ })
}
