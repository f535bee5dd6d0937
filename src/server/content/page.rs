//! A page as a browser shows it: the stored document with our scripts, and in them what this
//! visitor stored.

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures::future::try_join_all;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};
use moka::future::Cache;
use sha2::{Digest as _, Sha256};

use super::bodies::{Bodies, BodyKey};
use super::encoding::Encoding;
use super::reply::{Description, Freshness};
use super::splice::SplicedPage;
use super::visitors::{Acquaintance, Visitor};
use super::{ContentError, ContentState};
use crate::page_runtime::{self, Bootstrap, Frame, Root, StoredForPage, StoredForTab};
use crate::storage::{
    Area, Document, Sha256Hex, StorageError, StorageResult, StoredEntry, Version,
};

/// Memory for prepared pages.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// What an entry costs besides its bytes.
const ENTRY_BYTES: usize = 512;

/// Changes when the scripts do, so that browsers fetch pages again after an update.
static SCRIPTS_VERSION: LazyLock<String> = LazyLock::new(|| short_hash(page_runtime::scripts()));

/// Pages ready for their middle, by content and coding.
pub(super) struct Pages {
    cache: Cache<(Sha256Hex, Encoding), Arc<SplicedPage>>,
}

impl Pages {
    pub(super) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|_, page: &Arc<SplicedPage>| {
                u32::try_from(page.len() + ENTRY_BYTES).unwrap_or(u32::MAX)
            })
            .build();
        Self { cache }
    }

    /// The page. Requests that want the same one at the same time make it once.
    async fn get(
        &self,
        bodies: &Bodies,
        sha: &Sha256Hex,
        encoding: Encoding,
    ) -> Result<Arc<SplicedPage>, Arc<StorageError>> {
        let key = (sha.clone(), encoding);
        if let Some(page) = self.cache.get(&key).await {
            return Ok(page);
        }
        let make = Box::pin(async {
            let stored = bodies.load(sha).await?;
            let work = move || SplicedPage::new(Frame::new(&stored), encoding);
            // Compressing takes milliseconds: too long for a thread that answers requests.
            match tokio::task::spawn_blocking(work).await {
                Ok(Ok(page)) => Ok(Arc::new(page)),
                Ok(Err(error)) => {
                    Err(StorageError::Unavailable(format!("cannot compress: {error}")))
                }
                Err(error) => Err(StorageError::Unavailable(format!("cannot prepare: {error}"))),
            }
        });
        self.cache.try_get_with_by_ref(&key, make).await
    }
}

/// Answers with the page.
pub(super) async fn serve(
    state: &ContentState,
    document: &Document,
    version: &Version,
    root: Root,
    headers: &HeaderMap,
) -> Result<Response, ContentError> {
    let visitor = state.inner.visitors.of_request(&document.id, headers)?;
    let bootstrap = Bootstrap {
        root: Some(root),
        version: Some(version.n),
        storage: stored(state, document, &visitor).await?,
        tools: state.inner.calls.of_page(document, version.n, root),
    };
    let middle = Bytes::from(bootstrap.to_json());
    let size = usize::try_from(version.bytes).unwrap_or(usize::MAX);
    let encoding = Encoding::negotiate_gzip(headers, size);
    let key = BodyKey { sha: version.blob_sha.clone(), encoding };
    let description = Description {
        // The page, the scripts and what they are told: another tag whenever a byte differs.
        etag: key.etag(&format!("{}-{}", *SCRIPTS_VERSION, short_hash(&middle))),
        freshness: Freshness::Checked,
        media_type: HeaderValue::from_static("text/html; charset=utf-8"),
        encoding: encoding.name(),
        disposition: None,
    };
    let mut response = if description.is_known(headers) {
        description.not_modified()
    } else {
        let page = state.inner.pages.get(&state.inner.bodies, &key.sha, encoding).await?;
        match page.with(middle) {
            Ok(pieces) => description.with_body(Body::new(pieces)),
            Err(error) => {
                tracing::error!(error.cause = %error, "a page cannot be compressed");
                return Ok(ContentError::Damaged.into_response());
            }
        }
    };
    if let Some(cookie) = state.inner.visitors.set_cookie(&document.token, &visitor) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// What the visitor stored. None when the store is away: the page then works without it, and
/// cannot overwrite what it has not seen.
async fn stored(
    state: &ContentState,
    document: &Document,
    visitor: &Visitor,
) -> Result<Option<StoredForPage>, ContentError> {
    let mut stored = StoredForPage {
        token: state.inner.visitors.token(&document.id, &visitor.name),
        visitor: visitor.name.clone(),
        ..StoredForPage::default()
    };
    if visitor.acquaintance == Acquaintance::New {
        return Ok(Some(stored));
    }
    // A page that stores and reloads at once asks before its last write is through.
    state.inner.writes.settled(&document.id, &visitor.name).await;
    match read(state, document, &mut stored).await {
        Ok(()) => Ok(Some(stored)),
        Err(error @ StorageError::Unavailable(_)) => {
            tracing::warn!(error.cause = %error, "serving an app without its storage");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn read(
    state: &ContentState,
    document: &Document,
    stored: &mut StoredForPage,
) -> StorageResult<()> {
    let catalog = &state.inner.catalog;
    let visitor = stored.visitor.clone();
    let tabs = catalog.visitor_tabs(&document.id, &visitor).await?;
    if tabs.is_empty() {
        // Every write is some tab's.
        return Ok(());
    }
    let local = catalog.page_changes(&document.id, &Area::Visitor(visitor.clone()), 0).await?;
    let tabs = tabs.into_iter().map(async |tab| {
        let area = Area::Tab { visitor: visitor.clone(), tab: tab.clone() };
        let changes = catalog.page_changes(&document.id, &area, 0).await?;
        let session = pairs(changes.entries);
        Ok::<_, StorageError>(StoredForTab { tab, sequence: changes.sequence, session })
    });
    stored.tabs = try_join_all(tabs).await?;
    stored.revision = local.revision;
    stored.local = pairs(local.entries);
    Ok(())
}

fn pairs(entries: Vec<StoredEntry>) -> Vec<(String, String)> {
    entries.into_iter().filter_map(|entry| Some((entry.name, entry.content?))).collect()
}

/// Enough of a hash to tell two contents of one page from each other. Made for every request, so
/// it is not written as hex, which takes longer than the hash.
fn short_hash(content: impl AsRef<[u8]>) -> String {
    let mut text = URL_SAFE_NO_PAD.encode(Sha256::digest(content.as_ref()));
    text.truncate(20);
    text
}
