//! The content listener: hosted apps, each in an opaque origin, and PDF documents, on an address of
//! their own.
//!
//! Whoever holds an app's URL may open it: its token is the capability, so it never reaches a log
//! whole, is never sent as a referrer, and a wrong one is told nothing. The pages are written by
//! models and belong to nobody we trust; what keeps them apart is the sandbox header on every
//! answer (see `headers`) and that nothing else lives on this listener.
//!
//! The way of a request: host check -> token to document (`heads`, fresh for every request) ->
//! version (never changes, kept) -> body (`bodies`, kept compressed) -> headers. A page is put
//! together from a kept frame and what its visitor stored (`page`, `visitors`, `splice`); what it
//! stores comes back by `store` and `shared`, and `events` tells it what is new.
//!
//! A route below `/a/{token}/`, `/d/{token}` or `/f/{token}/` is added in [`router`]; host check, isolation headers, sharing
//! headers and preflights come from `guard`.

mod app;
mod attachments;
mod bodies;
mod calls;
mod encoding;
mod error;
mod events;
mod files;
mod headers;
mod heads;
mod hosts;
mod libraries;
mod page;
mod pdf;
mod problem;
mod products;
mod reply;
mod shared;
mod splice;
mod store;
mod streams;
mod thumbs;
mod traces;
mod visitors;
mod writes;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{Method, StatusCode};
use moka::future::Cache;

pub use calls::CallParts;
pub use error::ContentError;
pub(crate) use error::message_page;
pub use hosts::{AllowedHosts, names_loopback};
pub use streams::StreamLimits;

use crate::agent::runs::Runs;
use crate::content_urls::ContentUrls;
use crate::installation_key::InstallationKey;
use crate::storage::blobs::Blobs;
use crate::storage::{
    Attachment, Catalog, Document, DocumentId, DocumentKind, KEPT_VERSIONS, Sha256Hex, Version,
};
use bodies::Bodies;
use calls::Calls;
use events::CatalogLook;
use headers::AppPolicy;
use heads::Heads;
use libraries::LibraryFiles;
use page::Pages;
use streams::Streams;
use visitors::Visitors;
use writes::Writes;

/// How many rows that never change are kept (versions, and attachments).
const KEPT_ROWS: u64 = 20_000;

/// What the content listener works with. Clones share one state.
#[derive(Clone)]
pub struct ContentState {
    inner: Arc<Inner>,
}

struct Inner {
    catalog: Arc<dyn Catalog>,
    hosts: AllowedHosts,
    policy: AppPolicy,
    heads: Arc<Heads>,
    bodies: Bodies,
    calls: Calls,
    pages: Pages,
    libraries: LibraryFiles,
    visitors: Visitors,
    urls: ContentUrls,
    writes: Writes,
    streams: Streams,
    versions: Cache<(DocumentId, i64), Arc<Version>>,
    attachments: Cache<(DocumentId, Sha256Hex), Arc<Attachment>>,
    runs: Runs,
}

/// What a [`ContentState`] is made of.
pub struct ContentParts {
    /// Rows.
    pub catalog: Arc<dyn Catalog>,
    /// Bytes.
    pub blobs: Blobs,
    /// Where the listeners are; the gallery may show apps in frames.
    pub urls: ContentUrls,
    /// Signs what pages may do.
    pub key: InstallationKey,
    /// Host names that requests may name.
    pub hosts: AllowedHosts,
    /// Further origins that may show apps in frames.
    pub frame_ancestors: Vec<String>,
    /// How many pages may listen for changes.
    pub streams: StreamLimits,
    /// What pages call tools with.
    pub calls: CallParts,
    /// Runs whose traces are shown.
    pub runs: Runs,
}

impl ContentState {
    /// A state with empty caches.
    pub fn new(parts: ContentParts) -> Self {
        let ContentParts {
            catalog,
            blobs,
            urls,
            key,
            hosts,
            frame_ancestors,
            streams,
            calls,
            runs,
        } = parts;
        let rows = Arc::clone(&catalog);
        let ask = move |token: String| {
            let rows = Arc::clone(&rows);
            Box::pin(async move { rows.document_by_token(&token).await }) as _
        };
        let heads = Arc::new(Heads::new(Arc::new(ask)));
        let look = CatalogLook { heads: Arc::clone(&heads), catalog: Arc::clone(&catalog) };
        let inner = Inner {
            heads,
            catalog,
            hosts,
            policy: AppPolicy::new(urls.clone(), &frame_ancestors),
            bodies: Bodies::new(blobs),
            calls: Calls::new(calls, key.clone()),
            pages: Pages::new(),
            libraries: LibraryFiles::new(),
            visitors: Visitors::new(key, urls.clone()),
            urls,
            writes: Writes::new(),
            streams: Streams::new(Arc::new(look), streams),
            versions: Cache::new(KEPT_ROWS),
            attachments: Cache::new(KEPT_ROWS),
            runs,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The live web app behind a token.
    async fn web_app(&self, token: &str) -> Result<Arc<Document>, ContentError> {
        self.document(DocumentKind::WebApp, token).await
    }

    /// The live PDF document behind a token.
    async fn pdf(&self, token: &str) -> Result<Arc<Document>, ContentError> {
        self.document(DocumentKind::Pdf, token).await
    }

    /// The live document of this kind behind a token: what an app is, is nothing below `/d/`.
    async fn document(
        &self,
        kind: DocumentKind,
        token: &str,
    ) -> Result<Arc<Document>, ContentError> {
        if !is_token(token) {
            return Err(ContentError::NotFound);
        }
        let document = self.inner.heads.find(token).await?.ok_or(ContentError::NotFound)?;
        if document.kind == kind { Ok(document) } else { Err(ContentError::NotFound) }
    }

    /// A version of a document.
    async fn version(&self, document: &Document, n: i64) -> Result<Arc<Version>, ContentError> {
        // Remembered rows outlive their version.
        if n <= document.head - KEPT_VERSIONS {
            return Err(if n >= 1 { ContentError::Pruned } else { ContentError::NotFound });
        }
        let key = (document.id.clone(), n);
        if let Some(version) = self.inner.versions.get(&key).await {
            return Ok(version);
        }
        match self.inner.catalog.version(&document.id, n).await? {
            Some(version) => {
                let version = Arc::new(version);
                self.inner.versions.insert(key, Arc::clone(&version)).await;
                Ok(version)
            }
            None if (1..document.head).contains(&n) => Err(ContentError::Pruned),
            None => Err(ContentError::NotFound),
        }
    }

    /// An attachment of a document.
    async fn attachment(
        &self,
        document: &Document,
        sha: Sha256Hex,
    ) -> Result<Arc<Attachment>, ContentError> {
        let key = (document.id.clone(), sha);
        if let Some(attachment) = self.inner.attachments.get(&key).await {
            return Ok(attachment);
        }
        let found = self.inner.catalog.attachment(&key.0, &key.1).await?;
        let attachment = Arc::new(found.ok_or(ContentError::NotFound)?);
        self.inner.attachments.insert(key, Arc::clone(&attachment)).await;
        Ok(attachment)
    }
}

/// The routes of the content listener.
pub fn router(state: ContentState) -> Router {
    Router::new()
        .route("/a/{token}", get(app::to_folder))
        .route("/a/{token}/", get(app::newest))
        .route("/a/{token}/raw", get(app::newest_raw))
        .route("/a/{token}/download", get(app::newest_download))
        .route("/a/{token}/thumb.webp", get(thumbs::newest))
        .route("/a/{token}/events", get(events::newest))
        .route("/a/{token}/storage", post(store::exchange))
        .route("/a/{token}/kv", post(shared::exchange))
        .route("/a/{token}/call", post(calls::call))
        .route("/a/{token}/lib/{file}", get(libraries::newest))
        .route("/a/{token}/a/{sha}", get(files::newest))
        .route("/a/{token}/v/{n}", get(app::to_version_folder))
        .route("/a/{token}/v/{n}/", get(app::version))
        .route("/a/{token}/v/{n}/raw", get(app::version_raw))
        .route("/a/{token}/v/{n}/download", get(app::version_download))
        .route("/a/{token}/v/{n}/thumb.webp", get(thumbs::of_version))
        .route("/a/{token}/v/{n}/lib/{file}", get(libraries::of_version))
        .route("/a/{token}/v/{n}/a/{sha}", get(files::of_version))
        .route("/d/{file}", get(pdf::newest))
        .route("/d/{token}/raw", get(pdf::newest_source))
        .route("/d/{token}/download", get(pdf::newest_download))
        .route("/d/{token}/thumb.webp", get(pdf::newest_thumbnail))
        .route("/d/{token}/v/{file}", get(pdf::version))
        .route("/d/{token}/v/{n}/raw", get(pdf::version_source))
        .route("/d/{token}/v/{n}/download", get(pdf::version_download))
        .route("/d/{token}/v/{n}/thumb.webp", get(pdf::version_thumbnail))
        .route("/f/{token}/{name}", get(products::file))
        .route("/t/{file}", get(traces::trace))
        .route("/robots.txt", get(|| async { "User-agent: *\nDisallow: /\n" }))
        .fallback(|| async { ContentError::NotFound })
        .layer(from_fn_with_state(state.clone(), guard))
        .with_state(state)
}

/// Stands around every route.
async fn guard(State(state): State<ContentState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_shared = ["/a/", "/d/", "/f/"].iter().any(|root| path.starts_with(root));
    let is_preflight = is_shared && request.method() == Method::OPTIONS;
    let mut response = if !state.inner.hosts.allows(request.uri(), request.headers()) {
        ContentError::HostRefused.into_response()
    } else if is_preflight {
        let mut response = StatusCode::NO_CONTENT.into_response();
        headers::add_preflight(response.headers_mut());
        response
    } else {
        next.run(request).await
    };
    headers::add_common(response.headers_mut(), &state.inner.policy);
    if is_shared {
        headers::add_sharing(response.headers_mut());
    }
    response
}

/// Whether the text has the form of a token: 128 bits in base64url.
fn is_token(text: &str) -> bool {
    text.len() == 22
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
