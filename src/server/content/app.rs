//! Pages of an app: shown, as source, and as one file to keep.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use futures::future::try_join_all;
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::attachments::{inlined, push_data, references};
use super::bodies::BodyKey;
use super::encoding::Encoding;
use super::reply::{Description, Freshness, attachment_disposition};
use super::{ContentError, ContentState, is_token, page};
use crate::libraries::{self, Library};
use crate::page_runtime::Root;
use crate::storage::{Document, Sha256Hex, Version};

/// A path's parameters; what cannot be one is simply not there.
pub(super) type Parameters<T> = Result<Path<T>, PathRejection>;

type Answer = Result<Response, ContentError>;

/// What is wanted of a version.
#[derive(Clone, Copy)]
enum View {
    Page,
    Raw,
    Download,
}

pub(super) async fn newest(
    State(state): State<ContentState>,
    token: Parameters<String>,
    headers: HeaderMap,
) -> Answer {
    serve(&state, &parameter(token)?, None, View::Page, &headers).await
}

pub(super) async fn newest_raw(
    State(state): State<ContentState>,
    token: Parameters<String>,
    headers: HeaderMap,
) -> Answer {
    serve(&state, &parameter(token)?, None, View::Raw, &headers).await
}

pub(super) async fn newest_download(
    State(state): State<ContentState>,
    token: Parameters<String>,
    headers: HeaderMap,
) -> Answer {
    serve(&state, &parameter(token)?, None, View::Download, &headers).await
}

pub(super) async fn version(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (token, n) = parameter(path)?;
    serve(&state, &token, Some(version_number(&n)?), View::Page, &headers).await
}

pub(super) async fn version_raw(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (token, n) = parameter(path)?;
    serve(&state, &token, Some(version_number(&n)?), View::Raw, &headers).await
}

pub(super) async fn version_download(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (token, n) = parameter(path)?;
    serve(&state, &token, Some(version_number(&n)?), View::Download, &headers).await
}

/// `/a/{token}` -> `/a/{token}/`, so that the page's relative addresses work.
pub(super) async fn to_folder(token: Parameters<String>, query: RawQuery) -> Answer {
    let token = parameter(token)?;
    if !is_token(&token) {
        return Err(ContentError::NotFound);
    }
    to_subfolder(&token, query)
}

/// `/a/{token}/v/{n}` -> `/a/{token}/v/{n}/`.
pub(super) async fn to_version_folder(
    path: Parameters<(String, String)>,
    query: RawQuery,
) -> Answer {
    let (token, n) = parameter(path)?;
    if !is_token(&token) {
        return Err(ContentError::NotFound);
    }
    to_subfolder(&version_number(&n)?.to_string(), query)
}

/// Redirects to the folder of the last segment. The address is relative, so it holds behind a
/// proxy that serves us under another host and path.
fn to_subfolder(segment: &str, RawQuery(query): RawQuery) -> Answer {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location =
        HeaderValue::try_from(format!("{segment}/{query}")).map_err(|_| ContentError::NotFound)?;
    let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

pub(super) fn parameter<T>(parameters: Parameters<T>) -> Result<T, ContentError> {
    parameters.map(|Path(value)| value).map_err(|_| ContentError::NotFound)
}

/// A version's number as this program writes it: no sign, no leading zero.
pub(super) fn version_number(text: &str) -> Result<i64, ContentError> {
    let n = text.parse::<i64>().map_err(|_| ContentError::NotFound)?;
    if n >= 1 && n.to_string() == text { Ok(n) } else { Err(ContentError::NotFound) }
}

async fn serve(
    state: &ContentState,
    token: &str,
    n: Option<i64>,
    view: View,
    headers: &HeaderMap,
) -> Answer {
    let document = state.web_app(token).await?;
    let version = state.version(&document, n.unwrap_or(document.head)).await?;
    match view {
        View::Page => {
            let root = if n.is_some() { Root::TwoUp } else { Root::Here };
            page::serve(state, &document, &version, root, headers).await
        }
        View::Raw => serve_source(state, &version, headers).await,
        View::Download => serve_download(state, &document, &version).await,
    }
}

async fn serve_source(state: &ContentState, version: &Version, headers: &HeaderMap) -> Answer {
    let size = usize::try_from(version.bytes).unwrap_or(usize::MAX);
    let encoding = Encoding::negotiate(headers, size);
    let key = BodyKey { sha: version.blob_sha.clone(), encoding };
    let description = Description {
        etag: key.etag(""),
        freshness: Freshness::Checked,
        media_type: HeaderValue::from_static("text/plain; charset=utf-8"),
        encoding: encoding.name(),
        disposition: None,
    };
    if description.is_known(headers) {
        return Ok(description.not_modified());
    }
    Ok(description.with(state.inner.bodies.get(&key).await?))
}

/// One file that works without us: attachments are put into it, our scripts are not.
async fn serve_download(state: &ContentState, document: &Document, version: &Version) -> Answer {
    let key = stored(version.blob_sha.clone());
    let page = state.inner.bodies.get(&key).await?;
    let body = match std::str::from_utf8(&page) {
        Ok(text) => {
            let files = files_of(state, document, text).await?;
            let libraries = libraries_of(state, text).await?;
            if files.is_empty() && libraries.is_empty() {
                page
            } else {
                // Attachments first: a library is code, in which nothing is replaced.
                with_libraries(&inlined(text, &files), &libraries).into()
            }
        }
        Err(_) => page,
    };
    let description = Description {
        etag: key.etag(""),
        freshness: Freshness::Checked,
        media_type: HeaderValue::from_static("text/html; charset=utf-8"),
        encoding: None,
        disposition: Some(attachment_disposition(&format!("{}.html", document.name))),
    };
    Ok(description.with(body))
}

type Libraries = HashMap<String, (&'static Library, bytes::Bytes)>;

/// The libraries that the page refers to.
async fn libraries_of(state: &ContentState, page: &str) -> Result<Libraries, ContentError> {
    let mut found = Libraries::new();
    for (_, library) in libraries::references(page) {
        if let Entry::Vacant(place) = found.entry(library.file()) {
            let content = state.inner.libraries.get(library, Encoding::Identity).await?;
            place.insert((library, content));
        }
    }
    Ok(found)
}

/// The page with its libraries in it as `data:` URIs.
fn with_libraries(page: &str, found: &Libraries) -> String {
    let mut result = String::with_capacity(page.len());
    let mut done = 0;
    for (range, library) in libraries::references(page) {
        let Some((_, content)) = found.get(&library.file()) else { continue };
        result.push_str(page.get(done..range.start).unwrap_or_default());
        push_data(&mut result, library.media_type(), content);
        done = range.end;
    }
    result.push_str(page.get(done..).unwrap_or_default());
    result
}

type Files = HashMap<Sha256Hex, (crate::storage::Attachment, bytes::Bytes)>;

/// The attachments that the page refers to and the document has.
async fn files_of(
    state: &ContentState,
    document: &Document,
    page: &str,
) -> Result<Files, ContentError> {
    let loads = references(page).into_iter().map(async |sha| {
        let attachment = match state.attachment(document, sha.clone()).await {
            Ok(attachment) => attachment,
            Err(ContentError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = state.inner.bodies.get(&stored(sha.clone())).await?;
        Ok(Some((sha, (attachment.as_ref().clone(), bytes))))
    });
    Ok(try_join_all(loads).await?.into_iter().flatten().collect())
}

/// Names the bytes of a blob as they are.
fn stored(sha: Sha256Hex) -> BodyKey {
    BodyKey { sha, encoding: Encoding::Identity }
}
