//! Libraries beside a page: `lib/{file}`, below the newest version and below every other.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use moka::future::Cache;

use super::app::{Parameters, parameter, version_number};
use super::encoding::Encoding;
use super::reply::{Description, Freshness};
use super::{ContentError, ContentState};
use crate::libraries::{Library, find};
use crate::storage::StorageError;

type Answer = Result<Response, ContentError>;

/// Files ready to be sent. There are few, so all of them stay.
pub(super) struct LibraryFiles {
    cache: Cache<(String, Encoding), Bytes>,
}

impl LibraryFiles {
    pub(super) fn new() -> Self {
        Self { cache: Cache::new(200) }
    }

    /// A file in a coding.
    pub(super) async fn get(
        &self,
        library: &'static Library,
        encoding: Encoding,
    ) -> Result<Bytes, Arc<StorageError>> {
        if let (Encoding::Brotli, Some(compressed)) = (encoding, library.as_brotli()) {
            return Ok(Bytes::from_static(compressed));
        }
        let make = async {
            let work = move || encoding.encode(&Bytes::from(library.content()?));
            match tokio::task::spawn_blocking(work).await {
                Ok(Ok(body)) => Ok(body),
                Ok(Err(error)) => Err(StorageError::Corrupt(format!("a library: {error}"))),
                Err(error) => Err(StorageError::Unavailable(format!("cannot prepare: {error}"))),
            }
        };
        self.cache.try_get_with((library.file(), encoding), make).await
    }
}

pub(super) async fn newest(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (token, file) = parameter(path)?;
    serve(&state, &token, &file, &headers).await
}

pub(super) async fn of_version(
    State(state): State<ContentState>,
    path: Parameters<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (token, n, file) = parameter(path)?;
    version_number(&n)?;
    serve(&state, &token, &file, &headers).await
}

async fn serve(state: &ContentState, token: &str, file: &str, headers: &HeaderMap) -> Answer {
    let library = find(file).ok_or(ContentError::NotFound)?;
    state.web_app(token).await?;
    let encoding = Encoding::negotiate(headers, usize::MAX);
    let Library { name, version, .. } = library;
    let coding = encoding.name().unwrap_or_default();
    let description = Description {
        etag: format!("\"{name}-{version}-{coding}\""),
        freshness: Freshness::Immutable,
        media_type: HeaderValue::from_static(library.media_type()),
        encoding: encoding.name(),
        disposition: None,
    };
    if description.is_known(headers) {
        return Ok(description.not_modified());
    }
    Ok(description.with(state.inner.libraries.get(library, encoding).await?))
}
