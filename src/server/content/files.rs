//! Attachments of an app: `a/{sha}`, below the newest version and below every other.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use http::header::{CONTENT_SECURITY_POLICY, RANGE};

use super::app::{Parameters, parameter, version_number};
use super::attachments::{Delivery, delivery, is_compressible};
use super::bodies::BodyKey;
use super::encoding::Encoding;
use super::reply::{Description, Freshness, attachment_disposition};
use super::{ContentError, ContentState};
use crate::storage::{Attachment, Sha256Hex};

type Answer = Result<Response, ContentError>;

pub(super) async fn newest(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (token, sha) = parameter(path)?;
    serve(&state, &token, sha, &headers).await
}

pub(super) async fn of_version(
    State(state): State<ContentState>,
    path: Parameters<(String, String, String)>,
    headers: HeaderMap,
) -> Answer {
    let (token, n, sha) = parameter(path)?;
    version_number(&n)?;
    serve(&state, &token, sha, &headers).await
}

async fn serve(state: &ContentState, token: &str, sha: String, headers: &HeaderMap) -> Answer {
    if !is_sha(&sha) {
        return Err(ContentError::NotFound);
    }
    let document = state.web_app(token).await?;
    let attachment = state.attachment(&document, Sha256Hex(sha)).await?;
    send(state, &attachment, headers).await
}

/// The answer that carries a file.
pub(super) async fn send(
    state: &ContentState,
    attachment: &Attachment,
    headers: &HeaderMap,
) -> Answer {
    let (delivery, media_type) = delivery(attachment);
    let has_range = headers.contains_key(RANGE);
    let encoding = if is_compressible(attachment) && !has_range {
        let size = usize::try_from(attachment.bytes).unwrap_or(usize::MAX);
        Encoding::negotiate(headers, size)
    } else {
        Encoding::Identity
    };
    let key = BodyKey { sha: attachment.sha.clone(), encoding };
    let description = Description {
        etag: key.etag(""),
        freshness: Freshness::Immutable,
        media_type,
        encoding: encoding.name(),
        disposition: match delivery {
            Delivery::Download => Some(attachment_disposition(&attachment.name)),
            Delivery::Sandboxed | Delivery::Viewer => None,
        },
    };
    let mut response = if description.is_known(headers) {
        description.not_modified()
    } else {
        let body = state.inner.bodies.get(&key).await?;
        match encoding {
            Encoding::Identity => description.with_range(body, headers),
            Encoding::Gzip | Encoding::Brotli => description.with(body),
        }
    };
    if delivery == Delivery::Viewer {
        let policy = state.inner.policy.frames_only();
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// Whether the text is a SHA-256 in lower-case hex.
pub(super) fn is_sha(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
