//! Servers that are reached over streamable HTTP.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;

use super::connection::{Connection, Opening};
use super::error::ClientError;
use super::lines::MAX_MESSAGE_BYTES;
use crate::config::mcp_servers::ServerSpec;
use crate::config::secret::Secret;

/// How long it may take until there is a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Connects to a server.
///
/// # Errors
/// Why there is none.
pub(super) async fn connect(
    server: &ServerSpec,
    url: &url::Url,
    headers: &BTreeMap<String, Secret>,
    opening: Opening,
) -> Result<Connection, ClientError> {
    let client = client().map_err(|error| ClientError::Unreachable(error.to_string()))?;
    let mut custom = HashMap::new();
    for (name, value) in headers {
        let (Ok(name), Ok(mut value)) =
            (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.expose()))
        else {
            return Err(ClientError::Unreachable(format!("the header `{name}` cannot be sent")));
        };
        value.set_sensitive(true);
        custom.insert(name, value);
    }
    let config = StreamableHttpClientTransportConfig::with_uri(url.as_str())
        .custom_headers(custom)
        .max_concurrent_requests(server.max_parallel)
        .max_sse_event_size(MAX_MESSAGE_BYTES);
    let transport = StreamableHttpClientTransport::with_client(client, config);
    let opening = Connection::open(transport, opening, None);
    let limit = server.start_timeout;
    match tokio::time::timeout(limit, opening).await {
        Ok(opened) => opened,
        Err(_) => {
            Err(ClientError::StartTimeout { seconds: limit.as_secs_f64(), said: String::new() })
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the adapter of servers over HTTP")]
fn client() -> reqwest::Result<reqwest::Client> {
    // Fails when a provider is set already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        // A redirect would carry the headers to somebody else.
        .redirect(reqwest::redirect::Policy::none())
        .build()
}
