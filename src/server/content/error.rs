//! What a visitor sees when there is nothing to show: a short page that helps a person and tells
//! nothing to a guesser.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use crate::storage::StorageError;

const TEMPLATE: &str = include_str!("message.html");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Why a request is not answered with what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// No such token, path, version or attachment.
    #[error("not found")]
    NotFound,
    /// The version was there and is not kept any more.
    #[error("the version is no longer kept")]
    Pruned,
    /// The request names a host that is not allowed.
    #[error("the host name is not allowed")]
    HostRefused,
    /// The catalog or the blob store is away.
    #[error("the store is unavailable")]
    Unavailable,
    /// What is stored cannot be read.
    #[error("what is stored cannot be read")]
    Damaged,
}

impl ContentError {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "This app is gone or the link is wrong",
                "Check that the link is complete. If the app was deleted, its owner can make it again.",
            ),
            Self::Pruned => (
                StatusCode::GONE,
                "This version is no longer kept",
                "Only the latest versions of an app are kept. The link without the version number opens the newest one.",
            ),
            Self::HostRefused => (
                StatusCode::FORBIDDEN,
                "This address is not allowed",
                "The server does not know the host name in the address. Its operator can add it to `server.allowed_hosts`.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "This app cannot be reached at the moment",
                "The server cannot read its store. Reload this page in a few seconds.",
            ),
            Self::Damaged => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "This app cannot be shown",
                "What is stored for it cannot be read. The server's operator finds the cause in the log.",
            ),
        }
    }
}

impl From<&StorageError> for ContentError {
    fn from(error: &StorageError) -> Self {
        match error {
            StorageError::Unavailable(_) | StorageError::Full => {
                tracing::warn!(error.cause = %error, "content cannot be read");
                Self::Unavailable
            }
            StorageError::Corrupt(_) | StorageError::Conflict(_) | StorageError::Fenced(_) => {
                tracing::error!(error.cause = %error, "content cannot be read");
                Self::Damaged
            }
        }
    }
}

impl From<StorageError> for ContentError {
    fn from(error: StorageError) -> Self {
        Self::from(&error)
    }
}

impl From<Arc<StorageError>> for ContentError {
    fn from(error: Arc<StorageError>) -> Self {
        Self::from(&*error)
    }
}

impl IntoResponse for ContentError {
    fn into_response(self) -> Response {
        let (status, title, text) = self.parts();
        let mut response = (status, message_page(title, text)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}

/// A short page for a person. The texts are ours and need no escaping.
pub(crate) fn message_page(title: &'static str, text: &'static str) -> String {
    TEMPLATE.replace("{title}", title).replace("{text}", text)
}
