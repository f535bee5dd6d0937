//! Tools of other servers: real child processes, real HTTP, and every way in which they go wrong.

mod asking;
mod calls;
mod configuration;
mod faults;
mod progress;
mod public;
mod search;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use atelier::config::Environment;
use atelier::config::mcp_servers::{
    Connection, McpServers, ServerSpec, StdioSpec, base_environment, read,
};
use atelier::config::server::ServerConfig;
use atelier::mcp_client::{Servers, ServersParts};
use atelier::registry::{CallContext, CallOutcome, Caller, Grant, Origin, Terms, tools};
use serde_json::Value;

use crate::support::workshop::{Workshop, WorkshopBuilder};

/// A registry with the scripted server, by the name `scripted`.
pub(crate) struct Bench {
    pub(crate) workshop: Workshop,
    pub(crate) caller: Caller,
    pub(crate) servers: Servers,
}

/// The scripted server, told to behave as these words say.
pub(crate) fn scripted(words: &[&str]) -> ServerSpec {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mcp/server.py");
    let arguments = [script].iter().chain(words).map(|&word| word.to_owned()).collect();
    let mut spec = ServerSpec::new(Connection::Stdio(StdioSpec {
        program: "python3".into(),
        arguments,
        environment: base_environment(&Environment::capture()),
        folder: None,
    }));
    spec.timeout = Duration::from_mins(1);
    spec
}

impl Bench {
    pub(crate) async fn new(specs: impl IntoIterator<Item = (&str, ServerSpec)>) -> Self {
        Self::with(specs, |_| {}, |_| {}).await
    }

    pub(crate) async fn with(
        specs: impl IntoIterator<Item = (&str, ServerSpec)>,
        parts: impl FnOnce(&mut ServersParts),
        server: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let specs: BTreeMap<_, _> =
            specs.into_iter().map(|(name, spec)| (name.to_owned(), spec)).collect();
        let mut servers_parts = ServersParts { specs, ..ServersParts::default() };
        parts(&mut servers_parts);
        let servers = Servers::new(servers_parts);
        let caller = Caller::new();
        let builder = WorkshopBuilder::new(tools::tools(&caller)).foreign(servers.clone());
        let workshop = builder.server(server).build().await;
        caller.bind(&workshop.registry);
        Self { workshop, caller, servers }
    }

    pub(crate) async fn call_as(
        &self,
        origin: Origin,
        tool: &str,
        arguments: Value,
    ) -> CallOutcome {
        let context = CallContext::new("me".into(), origin);
        self.workshop.registry.call(tool, arguments, context).await
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> CallOutcome {
        self.call_as(Origin::Client, tool, arguments).await
    }

    /// The structured result of a call that must succeed.
    pub(crate) async fn result(&self, tool: &str, arguments: Value) -> Value {
        let outcome = self.call(tool, arguments).await;
        assert!(!outcome.is_error, "{tool}: {}", outcome.structured);
        outcome.structured
    }

    /// The error of a call that must fail: with a hint, as every error has.
    pub(crate) async fn error(&self, tool: &str, arguments: Value) -> Value {
        let outcome = self.call(tool, arguments).await;
        assert!(outcome.is_error, "{tool} succeeded: {}", outcome.structured);
        assert!(outcome.structured["hint"].is_string(), "{}", outcome.structured);
        outcome.structured
    }

    /// The next call works.
    pub(crate) async fn works(&self) {
        let answer = self.result("scripted__echo", serde_json::json!({"text": "well"})).await;
        assert_eq!(answer["text"], "well");
    }
}

/// A grant for programs that wait for the end.
pub(crate) fn grant(origin: Origin) -> Grant {
    Grant::new(Terms {
        holder: "test".into(),
        origin,
        calls: None,
        calls_per_minute: None,
        concurrent_calls: 16,
        call_time: Duration::from_mins(1),
        tokens_per_day: None,
        argument_bytes: 1_000_000,
        result_bytes: 10_000_000,
        depth: 4,
    })
}

/// Whether a process is there.
pub(crate) fn is_alive(process: &Value) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    // A zombie waits for whoever inherits it and does nothing any more.
    stat.is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim().starts_with('Z'))
}

pub(crate) fn file(text: &str, variables: &[(&str, &str)]) -> McpServers {
    let path = PathBuf::from("/home/me/atelier/mcp_servers.json");
    read(text, &path, &Environment::from_pairs(variables.iter().copied())).unwrap()
}

/// Waits until a condition holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it never came true");
}
