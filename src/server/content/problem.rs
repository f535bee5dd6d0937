//! Refusals that a page's scripts read: JSON in the form of every other error of the program.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::ContentError;
use crate::storage::StorageError;

/// Why a request of a page's scripts is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PageProblem {
    code: &'static str,
    status: StatusCode,
    message: String,
    hint: &'static str,
}

impl PageProblem {
    pub(super) fn new(
        code: &'static str,
        status: StatusCode,
        message: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self { code, status, message: message.into(), hint }
    }

    /// The request is not what the route takes.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        let hint = "use `localStorage`, `sessionStorage` and `window.atelier`, which send these \
                    requests";
        Self::new("page_request_invalid", StatusCode::BAD_REQUEST, message, hint)
    }

    /// The token is not this app's.
    pub(super) fn token_refused() -> Self {
        Self::new(
            "page_token_refused",
            StatusCode::FORBIDDEN,
            "the token of this request was not made for this app",
            "reload the page: every page brings its own token",
        )
    }

    /// Too much is going on.
    pub(super) fn busy() -> Self {
        Self::new(
            "page_storage_busy",
            StatusCode::SERVICE_UNAVAILABLE,
            "too many pages are storing at the moment",
            "try again in a few seconds; the page keeps its changes and does so by itself",
        )
    }
}

impl PageProblem {
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn to_json(&self) -> Value {
        let Self { code, message, hint, .. } = self;
        json!({"status": "error", "code": code, "message": message, "hint": hint})
    }
}

impl From<ContentError> for PageProblem {
    fn from(error: ContentError) -> Self {
        match error {
            ContentError::NotFound | ContentError::Pruned | ContentError::HostRefused => Self::new(
                "page_not_found",
                StatusCode::NOT_FOUND,
                "there is no such app",
                "the app was deleted or the address is wrong",
            ),
            ContentError::Unavailable | ContentError::Damaged => Self::new(
                "page_storage_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "the server cannot reach its store at the moment",
                "try again in a few seconds; the page keeps its changes and does so by itself",
            ),
        }
    }
}

impl From<StorageError> for PageProblem {
    fn from(error: StorageError) -> Self {
        ContentError::from(error).into()
    }
}

impl IntoResponse for PageProblem {
    fn into_response(self) -> Response {
        let status = self.status;
        let mut response = (status, Json(self.to_json())).into_response();
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
