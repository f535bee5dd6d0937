//! Files that calls made: `/f/{token}/{name}`. The token names the content and is signed.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::app::{Parameters, parameter};
use super::files::{is_sha, send};
use super::{ContentError, ContentState};
use crate::storage::{Attachment, Sha256Hex};

pub(super) async fn file(
    State(state): State<ContentState>,
    path: Parameters<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ContentError> {
    let (token, name) = parameter(path)?;
    let file = state.inner.urls.hosted_file(&token, &name);
    let file = file.filter(|file| is_sha(&file.sha)).ok_or(ContentError::NotFound)?;
    // Its length is that of the body; what counts here is whether it is worth compressing.
    let attachment = Attachment {
        sha: Sha256Hex(file.sha),
        name: file.name,
        media_type: file.media_type,
        bytes: i64::MAX,
    };
    send(&state, &attachment, &headers).await
}
