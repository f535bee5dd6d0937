//! PDF documents: shown, as HTML source, as a file to keep, and as a picture of the first page.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::app::{Parameters, parameter, version_number};
use super::bodies::BodyKey;
use super::encoding::Encoding;
use super::reply::{Description, Freshness, attachment_disposition, inline_disposition};
use super::{ContentError, ContentState, is_token};
use crate::storage::Sha256Hex;

const ENDING: &str = ".pdf";

type Answer = Result<Response, ContentError>;

/// What is wanted of a version.
#[derive(Clone, Copy)]
enum View {
    /// The PDF, in the browser's viewer.
    Shown,
    /// The PDF, saved.
    Download,
    /// The HTML that it was printed from.
    Source,
    /// A picture of its first page.
    Thumbnail,
}

/// `/d/{token}.pdf`; without the ending it leads there.
pub(super) async fn newest(
    State(state): State<ContentState>,
    file: Parameters<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let file = parameter(file)?;
    match file.strip_suffix(ENDING) {
        Some(token) => serve(&state, token, None, View::Shown, &headers).await,
        None if is_token(&file) => to_file(&file, query),
        None => Err(ContentError::NotFound),
    }
}

pub(super) async fn newest_source(
    State(state): State<ContentState>,
    token: Parameters<String>,
    headers: HeaderMap,
) -> Answer {
    serve(&state, &parameter(token)?, None, View::Source, &headers).await
}

pub(super) async fn newest_download(
    State(state): State<ContentState>,
    token: Parameters<String>,
    headers: HeaderMap,
) -> Answer {
    serve(&state, &parameter(token)?, None, View::Download, &headers).await
}

pub(super) async fn newest_thumbnail(
    State(state): State<ContentState>,
    token: Parameters<String>,
    headers: HeaderMap,
) -> Answer {
    serve(&state, &parameter(token)?, None, View::Thumbnail, &headers).await
}

/// `/d/{token}/v/{n}.pdf`; without the ending it leads there.
pub(super) async fn version(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let (token, file) = parameter(path)?;
    match file.strip_suffix(ENDING) {
        Some(n) => serve(&state, &token, Some(version_number(n)?), View::Shown, &headers).await,
        None if is_token(&token) => to_file(&version_number(&file)?.to_string(), query),
        None => Err(ContentError::NotFound),
    }
}

pub(super) async fn version_source(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    of_version(&state, path, View::Source, &headers).await
}

pub(super) async fn version_download(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    of_version(&state, path, View::Download, &headers).await
}

pub(super) async fn version_thumbnail(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    of_version(&state, path, View::Thumbnail, &headers).await
}

async fn of_version(
    state: &ContentState,
    path: Parameters<(String, String)>,
    view: View,
    headers: &HeaderMap,
) -> Answer {
    let (token, n) = parameter(path)?;
    serve(state, &token, Some(version_number(&n)?), view, headers).await
}

/// Redirects to the last segment with its ending. The address is relative, so it holds behind a
/// proxy that serves us under another host and path.
fn to_file(segment: &str, query: Option<String>) -> Answer {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = HeaderValue::try_from(format!("{segment}{ENDING}{query}"))
        .map_err(|_| ContentError::NotFound)?;
    let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

async fn serve(
    state: &ContentState,
    token: &str,
    n: Option<i64>,
    view: View,
    headers: &HeaderMap,
) -> Answer {
    let document = state.pdf(token).await?;
    let version = state.version(&document, n.unwrap_or(document.head)).await?;
    let name = format!("{}{ENDING}", document.name);
    let plain = |sha: &Sha256Hex, media_type, disposition| Blob {
        key: BodyKey { sha: sha.clone(), encoding: Encoding::Identity },
        media_type: HeaderValue::from_static(media_type),
        disposition,
    };
    match view {
        View::Shown => {
            let blob = plain(&version.blob_sha, "application/pdf", Some(inline_disposition(&name)));
            let mut response = blob.serve(state, headers).await?;
            // The browsers' viewers do not work in a sandbox. A PDF has no origin to misuse: it is
            // sent as one type, which nothing but a viewer opens.
            let policy = state.inner.policy.frames_only();
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
            Ok(response)
        }
        View::Download => {
            let disposition = Some(attachment_disposition(&name));
            plain(&version.blob_sha, "application/pdf", disposition).serve(state, headers).await
        }
        View::Source => {
            let source = version.source_sha.as_ref().ok_or(ContentError::NotFound)?;
            let mut blob = plain(source, "text/plain; charset=utf-8", None);
            // Its size is not known before it is read; sources are always worth compressing.
            blob.key.encoding = Encoding::negotiate(headers, usize::MAX);
            blob.serve(state, headers).await
        }
        View::Thumbnail => {
            let picture = version.thumb_sha.as_ref().ok_or(ContentError::NotFound)?;
            plain(picture, "image/webp", None).serve(state, headers).await
        }
    }
}

/// A blob as it is sent.
struct Blob {
    key: BodyKey,
    media_type: HeaderValue,
    disposition: Option<HeaderValue>,
}

impl Blob {
    async fn serve(self, state: &ContentState, headers: &HeaderMap) -> Answer {
        let description = Description {
            etag: self.key.etag(""),
            freshness: Freshness::Checked,
            media_type: self.media_type,
            encoding: self.key.encoding.name(),
            disposition: self.disposition,
        };
        if description.is_known(headers) {
            return Ok(description.not_modified());
        }
        let body = state.inner.bodies.get(&self.key).await?;
        Ok(match self.key.encoding {
            Encoding::Identity => description.with_range(body, headers),
            Encoding::Gzip | Encoding::Brotli => description.with(body),
        })
    }
}
