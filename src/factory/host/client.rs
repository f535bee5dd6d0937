//! An MCP client of a package's server, over its standard streams.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, Implementation,
    ProtocolVersion, Tool,
};
use rmcp::service::RunningService;
use rmcp::{ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::Mutex;

use super::launcher::{Launched, Started};

/// How long a server may take until it answers.
const START: Duration = Duration::from_mins(1);

/// How long one call may take.
const CALL: Duration = Duration::from_secs(150);

/// Lines of standard error that are kept for messages.
const LINES: usize = 40;

/// A server that runs.
pub struct ServerProcess {
    service: RunningService<RoleClient, ClientConfig>,
    reader: tokio::task::JoinHandle<()>,
    process: Launched,
}

impl ServerProcess {
    /// Says hello to a server that was started.
    ///
    /// # Errors
    /// What it said instead.
    pub async fn greet(started: Started) -> Result<Self, String> {
        let Started { input, output, errors, mut process, door: _, isolation: _ } = started;
        let lines = Arc::new(Mutex::new(Vec::<String>::new()));
        let kept = Arc::clone(&lines);
        let reader = tokio::spawn(async move {
            let mut input = BufReader::new(errors).lines();
            while let Ok(Some(line)) = input.next_line().await {
                let mut kept = kept.lock().await;
                if kept.len() == LINES {
                    kept.remove(0);
                }
                kept.push(line.chars().take(500).collect());
            }
        });
        let identity = Implementation::new("atelier-factory", env!("CARGO_PKG_VERSION"));
        let lifecycle = ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        };
        let hello = ClientConfig::new(ClientCapabilities::default(), identity)
            .serve_with_lifecycle((output, input), lifecycle);
        let problem = match tokio::time::timeout(START, hello).await {
            Ok(Ok(service)) => return Ok(Self { service, reader, process }),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", START.as_secs()),
        };
        process.kill();
        let (_, how) = process.end().await;
        let _ = reader.await;
        let last = last_words(&lines.lock().await);
        let said = if last.is_empty() { how } else { last };
        Err(format!("the server did not start: {problem}; {said}"))
    }

    /// The tools, as it lists them.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn tools(&self) -> Result<Vec<Tool>, String> {
        match tokio::time::timeout(CALL, self.service.list_all_tools()).await {
            Ok(Ok(tools)) => Ok(tools),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("`tools/list` was not answered".to_owned()),
        }
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// When the protocol breaks; a tool's own error is an answer.
    pub async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<CallToolResult, String> {
        let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        match tokio::time::timeout(CALL, self.service.call_tool(request)).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("`{tool}` was not answered")),
        }
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        !self.service.is_closed()
    }

    /// Ends it.
    pub async fn stop(self) {
        let Self { service, reader, process } = self;
        let _ = tokio::time::timeout(Duration::from_secs(5), service.cancel()).await;
        process.stop().await;
        let _ = reader.await;
    }
}

/// The line that says why a program ended: its last error, out of the frames that Python draws
/// around errors of several tasks; else its last line.
fn last_words(lines: &[String]) -> String {
    let plain = |line: &String| {
        line.trim_start_matches([' ', '|', '+', '-']).trim_end_matches([' ', '-']).to_owned()
    };
    let is_error = |line: &String| {
        let name = line.split(':').next().unwrap_or_default();
        line.contains(": ")
            && !name.contains(' ')
            && ["Error", "Exception", "Failure", "Exit"].iter().any(|end| name.ends_with(end))
    };
    let told: Vec<String> = lines.iter().map(plain).filter(|line| !line.is_empty()).collect();
    told.iter().rev().find(|line| is_error(line)).or(told.last()).cloned().unwrap_or_default()
}
