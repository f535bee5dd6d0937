//! An MCP client of the demo's own server, and the host model that it plays when none is at hand.

use std::net::SocketAddr;

use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, ClientConfig, Implementation, JsonObject,
    ProtocolVersion,
};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde_json::{Value, json};

use super::super::CommandError;

/// How long one question about a running job waits.
const WAIT_SECONDS: u64 = 30;
/// How often the same text is offered before the demo gives up.
const SUBMISSIONS: u32 = 3;

/// A client that is connected over streamable HTTP.
pub(super) struct Client {
    service: RunningService<RoleClient, ClientConfig>,
    http: reqwest::Client,
}

/// What a call ended with.
pub(super) struct Finished {
    /// The structured result.
    pub(super) result: Value,
    /// Whether the text came from the demo and not from a model.
    pub(super) played_host: bool,
}

impl Finished {
    /// Who wrote it, in words.
    pub(super) fn author(&self) -> String {
        if self.played_host {
            return "no model is configured: the demo played the host's model from examples/ (host completion)"
                .to_owned();
        }
        let model = self.result.get("model_used").and_then(Value::as_str).unwrap_or_default();
        format!("model: {model}")
    }
}

impl Client {
    /// Connects to the server at this address.
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, CommandError> {
        let http = loopback_client()?;
        let config = StreamableHttpClientTransportConfig::with_uri(format!("http://{address}/mcp"));
        let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
        let identity = Implementation::new("atelier-demo", env!("CARGO_PKG_VERSION"));
        let lifecycle = ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        };
        let service = ClientConfig::new(ClientCapabilities::default(), identity)
            .serve_with_lifecycle(transport, lifecycle)
            .await
            .map_err(|error| CommandError::failed(format!("MCP to itself: {error}")))?;
        Ok(Self { service, http })
    }

    /// Calls a tool to its end. `text` is what the host model would write, should it be asked.
    pub(super) async fn finish(
        &self,
        tool: &'static str,
        arguments: Value,
        text: &str,
    ) -> Result<Finished, CommandError> {
        let mut result = self.call(tool, arguments).await?;
        let mut submissions = 0;
        loop {
            let field = |name: &str| result.get(name).cloned().unwrap_or_default();
            result = match field("status").as_str() {
                Some("running") => {
                    let question = json!({"job_id": field("job_id"), "wait_seconds": WAIT_SECONDS});
                    self.call("get_job", question).await?
                }
                Some("needs_completion") if submissions < SUBMISSIONS => {
                    submissions += 1;
                    let answer = json!({"handle": field("handle"), "text": text});
                    self.call("submit_completion", answer).await?
                }
                Some("success" | "warning") => {
                    return Ok(Finished { result, played_host: submissions > 0 });
                }
                _ => {
                    return Err(CommandError::failed(format!(
                        "`{tool}` answered what the demo does not understand: {result}"
                    )));
                }
            };
        }
    }

    /// Fetches what was made, to prove that it is served.
    pub(super) async fn fetch(&self, url: &str) -> Result<bytes::Bytes, CommandError> {
        let fetched = async { self.http.get(url).send().await?.error_for_status()?.bytes().await };
        fetched
            .await
            .map_err(|error| CommandError::failed(format!("`{url}` does not open: {error}")))
    }

    /// Says good-bye.
    pub(super) async fn close(self) {
        if let Err(error) = self.service.cancel().await {
            tracing::debug!(error.cause = %error, "the demo's client ended badly");
        }
    }

    async fn call(&self, tool: &'static str, arguments: Value) -> Result<Value, CommandError> {
        let arguments: JsonObject = arguments.as_object().cloned().unwrap_or_default();
        let request = CallToolRequestParams::new(tool).with_arguments(arguments);
        let answer = self
            .service
            .call_tool(request)
            .await
            .map_err(|error| CommandError::failed(format!("`{tool}`: {error}")))?;
        if let Some(structured) = answer.structured_content {
            return Ok(structured);
        }
        let text = answer.content.iter().find_map(|block| block.as_text());
        let error: Value =
            text.and_then(|text| serde_json::from_str(&text.text).ok()).unwrap_or_default();
        let field = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        Err(CommandError::Tool {
            tool,
            message: field("message").to_owned(),
            hint: field("hint").to_owned(),
        })
    }
}

/// Everything is on this machine, whatever proxy is configured for the world.
#[expect(clippy::disallowed_methods, reason = "this client talks to the demo's own server alone")]
fn loopback_client() -> Result<reqwest::Client, CommandError> {
    reqwest::Client::builder().no_proxy().build().map_err(CommandError::failed)
}
