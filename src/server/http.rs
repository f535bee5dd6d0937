//! MCP over streamable HTTP, the HTTP API, health and metrics on one listener.
//!
//! A request passes `edge` (Host and Origin, every route), then
//! `auth` (`/mcp`, `/api`, `/metrics`), then its route. Requests of protocol
//! 2026-07-28 have no session; older clients get one, kept in our store.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt as _;
use axum::{Extension, Json, Router, routing};
use http::{StatusCode, header};
use rmcp::transport::StreamableHttpServerConfig;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::auth::{self, Authenticator, Caller};
use super::door::Door;
use super::edge::{self, Edge};
use super::error::ServeError;
use super::mcp::{Channel, Handler};
use super::ports::Closing;
use super::sessions::CatalogSessions;
use super::{api, health, hold};
use crate::app::App;

/// Largest request body.
const BODY_BYTES: usize = 8 * 1024 * 1024;
/// How long a session may rest in memory; the store holds it longer.
const SESSION_REST: Duration = Duration::from_hours(24);
/// How long connections may take to close after the last call was answered.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

#[cfg(not(feature = "conformance-fixtures"))]
type Served = Arc<Handler>;
#[cfg(feature = "conformance-fixtures")]
type Served = Arc<super::fixtures::Fixtured>;

/// The HTTP server of `atelier serve`.
pub struct HttpServer {
    app: Arc<App>,
    pages: Router,
    #[cfg(feature = "conformance-fixtures")]
    with_fixtures: bool,
}

impl HttpServer {
    /// A server of this application.
    pub fn new(app: Arc<App>) -> Self {
        Self {
            app,
            pages: Router::new(),
            #[cfg(feature = "conformance-fixtures")]
            with_fixtures: false,
        }
    }

    /// Adds pages such as the gallery. They stand behind the Host and Origin rules and decide for
    /// themselves who may see them.
    #[must_use]
    pub fn with_pages(mut self, pages: Router) -> Self {
        self.pages = self.pages.merge(pages);
        self
    }

    /// Adds what the official conformance suite asks for.
    #[cfg(feature = "conformance-fixtures")]
    #[must_use]
    pub const fn with_fixtures(mut self) -> Self {
        self.with_fixtures = true;
        self
    }

    /// Serves until `shutdown` fires. Calls in flight may end within `limits.shutdown_grace_s`.
    ///
    /// # Errors
    /// When the listener can be reached from other machines and no token is configured, when
    /// hosts, origins or tokens are malformed, and when the listener or the store fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let app = &self.app;
        let address = listener.local_addr()?;
        auth::check_listen_address(address, &app.config.auth)?;
        let edge = Arc::new(Edge::new(&app.config.server, address)?);
        let authenticator = Arc::new(Authenticator::new(&app.config.auth)?);
        let door = Door::new(Arc::clone(app));
        let streams = CancellationToken::new();
        let handler = self.handler(&door).await?;
        let sessions = Arc::new(CatalogSessions::new(Arc::clone(&app.catalog)));
        let mcp = mcp_service(handler, &sessions, &edge, streams.clone());
        let guarded = Router::new()
            .route("/mcp", routing::any_service(mcp))
            .layer(middleware::from_fn_with_state(Arc::clone(&sessions), own_sessions))
            .merge(api::routes(Arc::clone(&door)))
            .route("/metrics", routing::get(metrics).with_state(Arc::clone(&door)))
            .layer(middleware::from_fn_with_state(Arc::clone(&door), hold::until_answered))
            .layer(DefaultBodyLimit::max(BODY_BYTES))
            .layer(middleware::from_fn_with_state(authenticator, auth::authenticate));
        let router = guarded
            .merge(health::routes(Arc::clone(&door)))
            .merge(self.pages)
            .layer(Extension(Closing::at(streams.clone())))
            .layer(middleware::from_fn_with_state(edge, edge::guard));
        run(router, listener, &door, shutdown, streams).await
    }

    #[cfg(not(feature = "conformance-fixtures"))]
    async fn handler(&self, door: &Arc<Door>) -> Result<Served, ServeError> {
        Ok(Arc::new(Handler::new(Arc::clone(door), Channel::Http).await?))
    }

    #[cfg(feature = "conformance-fixtures")]
    async fn handler(&self, door: &Arc<Door>) -> Result<Served, ServeError> {
        let handler = Handler::new(Arc::clone(door), Channel::Http).await?;
        Ok(Arc::new(super::fixtures::Fixtured::new(handler, self.with_fixtures)))
    }
}

/// Serves MCP over streamable HTTP at `/mcp` and the API beside it, without pages.
///
/// # Errors
/// As [`HttpServer::serve`].
pub async fn serve_http(
    app: Arc<App>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    HttpServer::new(app).serve(listener, shutdown).await
}

fn mcp_service(
    handler: Served,
    sessions: &Arc<CatalogSessions>,
    edge: &Edge,
    streams: CancellationToken,
) -> StreamableHttpService<Served, LocalSessionManager> {
    let mut manager = LocalSessionManager::default();
    manager.session_config.keep_alive = Some(SESSION_REST);
    let mut config = StreamableHttpServerConfig::default()
        .with_allowed_hosts(edge.rmcp_hosts())
        .with_allowed_origins(edge.rmcp_origins())
        .with_max_request_body_bytes(BODY_BYTES)
        .with_cancellation_token(streams);
    config.session_store = Some(Arc::clone(sessions) as _);
    StreamableHttpService::new(move || Ok(Arc::clone(&handler)), Arc::new(manager), config)
}

async fn run(
    router: Router,
    listener: TcpListener,
    door: &Arc<Door>,
    shutdown: CancellationToken,
    streams: CancellationToken,
) -> Result<(), ServeError> {
    // Answers are small and many; none should wait for the next.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error.cause = %error, "the connection keeps its delay");
        }
    });
    let closing = shutdown.clone();
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(async move { closing.cancelled().await })
        .into_future();
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => return Ok(result?),
        () = shutdown.cancelled() => {}
    }
    // The listener is closed to new connections from here on; calls go on and are answered.
    tokio::select! {
        result = &mut serving => return Ok(result?),
        () = door.empty() => {}
    }
    // Open event streams never end by themselves.
    streams.cancel();
    match tokio::time::timeout(CLOSE_WITHIN, serving).await {
        Ok(result) => Ok(result?),
        Err(_) => Ok(()),
    }
}

/// Hands a request to MCP in the name of its caller, unless it names a session of another one.
async fn own_sessions(
    State(sessions): State<Arc<CatalogSessions>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let session = request.headers().get("mcp-session-id").and_then(|id| id.to_str().ok());
    if let Some(id) = session {
        match sessions.is_foreign(id, &caller.principal).await {
            Ok(false) => {}
            // Word for word what an unknown session gets.
            Ok(true) => {
                return (StatusCode::NOT_FOUND, "Not Found: Session not found").into_response();
            }
            Err(error) => {
                tracing::warn!(error.cause = %error, "a session could not be looked up");
                let body = json!({"status": "error", "code": "storage_unavailable"});
                return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
            }
        }
    }
    CatalogSessions::serve_as(caller.principal, next.run(request)).await
}

async fn metrics(State(door): State<Arc<Door>>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match door.app.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, content_type)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
