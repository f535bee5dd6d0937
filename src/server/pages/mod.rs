//! Pages of the program itself: the gallery of a principal's apps and documents, and the chat.
//!
//! They live on another listener than hosted apps and are never readable by those. The way in is
//! a launch link with a signed key, which becomes a cookie that no script reads and no other site
//! sends; or, where tokens are configured, a bearer token (see `access`).

mod access;
mod actions;
mod chat;
mod error;
mod gallery;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures::future::BoxFuture;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::content_urls::ContentUrls;
use crate::error::ToolError;
use crate::installation_key::InstallationKey;
use crate::registry::{Caller, Grant};
use crate::server::Principals;
use crate::server::content::AllowedHosts;
use crate::storage::{Catalog, Document, DocumentKind, Owner, PrincipalId};
pub use chat::chat_router;
use error::PagesError;

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// Tells whose bearer token a request carries.
pub type BearerCheck = Arc<dyn Fn(&HeaderMap) -> Option<PrincipalId> + Send + Sync>;

/// A document to give another name.
#[derive(Debug, Clone)]
pub struct Renaming {
    /// Whose it is.
    pub owner: Owner,
    /// What it is.
    pub kind: DocumentKind,
    /// Its name.
    pub name: String,
    /// The name that it shall have.
    pub new_name: String,
}

/// Gives a document another name; the answer has the name that it got.
pub type Rename =
    Arc<dyn Fn(Renaming) -> BoxFuture<'static, Result<Document, ToolError>> + Send + Sync>;

/// What the pages work with. Clones share one state.
#[derive(Clone)]
pub struct PagesState {
    inner: Arc<Inner>,
}

struct Inner {
    parts: PagesParts,
    /// What may be called for the gallery.
    grant: Grant,
}

/// What a [`PagesState`] is made of.
pub struct PagesParts {
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Where hosted apps are.
    pub urls: ContentUrls,
    /// Host names that requests may name.
    pub hosts: AllowedHosts,
    /// Signs and checks launch links.
    pub key: InstallationKey,
    /// Who may have a gallery: a launch link of somebody else opens nothing, however old it is.
    pub principals: Principals,
    /// Bearer tokens, where some are configured.
    pub bearer: Option<BearerCheck>,
    /// Calls the tools that change documents.
    pub caller: Caller,
    /// Renames documents.
    pub rename: Rename,
}

impl PagesState {
    /// A state over these parts.
    pub fn new(parts: PagesParts) -> Self {
        Self { inner: Arc::new(Inner { parts, grant: actions::grant() }) }
    }

    fn parts(&self) -> &PagesParts {
        &self.inner.parts
    }
}

/// The pages, to be mounted at the root of the listener that MCP is served on. They check for
/// themselves who asks.
pub fn pages_router(state: PagesState) -> Router {
    Router::new()
        .route("/gallery", get(gallery::show))
        .route("/gallery/versions", get(actions::versions))
        .route("/gallery/rename", post(actions::rename))
        .route("/gallery/restore", post(actions::restore))
        .route("/gallery/delete", post(actions::delete))
        .layer(DefaultBodyLimit::max(actions::BODY_BYTES))
        .with_state(state)
}

/// The pages on a listener of their own.
pub fn pages_listener_router(state: PagesState) -> Router {
    pages_router(state)
        .route("/", get(|| async { see_other("gallery") }))
        .fallback(|| async { PagesError::NotFound })
}

/// Sends the browser to another page of ours.
fn see_other(location: &'static str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(location));
    add_common(response.headers_mut());
    response
}

/// Adds what every page of ours carries: kept by nobody, framed by nobody, read by nobody else.
fn add_common(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(ROBOTS, HeaderValue::from_static("noindex"));
}

/// A page of HTML.
fn html(status: StatusCode, body: String) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    add_common(headers);
    response
}
