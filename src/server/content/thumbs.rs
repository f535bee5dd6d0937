//! The small picture of a version, when one was taken.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue};

use super::app::{Parameters, parameter, version_number};
use super::bodies::BodyKey;
use super::encoding::Encoding;
use super::reply::{Description, Freshness};
use super::{ContentError, ContentState};

type Answer = Result<Response, ContentError>;

pub(super) async fn newest(
    State(state): State<ContentState>,
    token: Parameters<String>,
    headers: HeaderMap,
) -> Answer {
    serve(&state, &parameter(token)?, None, &headers).await
}

pub(super) async fn of_version(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (token, n) = parameter(path)?;
    serve(&state, &token, Some(version_number(&n)?), &headers).await
}

async fn serve(state: &ContentState, token: &str, n: Option<i64>, headers: &HeaderMap) -> Answer {
    let document = state.web_app(token).await?;
    let version = state.version(&document, n.unwrap_or(document.head)).await?;
    let sha = match &version.thumb_sha {
        Some(sha) => Some(sha.clone()),
        // Of a version, only its picture may come later.
        None => {
            state.inner.catalog.version(&document.id, version.n).await?.and_then(|v| v.thumb_sha)
        }
    };
    let sha = sha.ok_or(ContentError::NotFound)?;
    let key = BodyKey { sha, encoding: Encoding::Identity };
    let description = Description {
        etag: key.etag(""),
        freshness: Freshness::Checked,
        media_type: HeaderValue::from_static("image/webp"),
        encoding: None,
        disposition: None,
    };
    if description.is_known(headers) {
        return Ok(description.not_modified());
    }
    let body = state.inner.bodies.get(&key).await?;
    Ok(description.with_range(body, headers))
}
