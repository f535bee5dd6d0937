//! What a visitor sees instead of a page.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use super::html;
use crate::server::content::message_page;
use crate::storage::StorageError;

/// A policy for pages that only show text.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Why a page is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PagesError {
    #[error("no such page")]
    NotFound,
    #[error("no launch key, or not one of ours")]
    NotOpened,
    #[error("no chat link, or one that was opened already")]
    ChatNotOpened,
    #[error("asked for by another site")]
    Foreign,
    #[error("the host name is not allowed")]
    HostRefused,
    #[error("the store is unavailable")]
    Unavailable,
    #[error("the page cannot be made")]
    Broken,
}

impl PagesError {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is no such page",
                "Your apps are in the gallery. Ask your agent to list your web apps: the answer carries its link.",
            ),
            Self::NotOpened => (
                StatusCode::UNAUTHORIZED,
                "Open the gallery through its link",
                "Ask your agent to list your web apps: the answer carries a link that opens the gallery in this browser.",
            ),
            Self::ChatNotOpened => (
                StatusCode::UNAUTHORIZED,
                "Open the chat through its link",
                "A link opens the chat once, in one browser. Open your gallery and choose Chat, or run `atelier chat --page` for a new link.",
            ),
            Self::Foreign => (
                StatusCode::FORBIDDEN,
                "Open the gallery itself",
                "Another site asked for this page. Open it in a tab of its own.",
            ),
            Self::HostRefused => (
                StatusCode::FORBIDDEN,
                "This address is not allowed",
                "The server does not know the host name in the address. Its operator can add it to `server.allowed_hosts`.",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The gallery cannot be reached at the moment",
                "The server cannot read its store. Reload this page in a few seconds.",
            ),
            Self::Broken => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The gallery cannot be shown",
                "The server's operator finds the cause in the log.",
            ),
        }
    }
}

impl From<StorageError> for PagesError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(_) | StorageError::Full => {
                tracing::warn!(error.cause = %error, "the gallery cannot be read");
                Self::Unavailable
            }
            StorageError::Corrupt(_) | StorageError::Conflict(_) | StorageError::Fenced(_) => {
                tracing::error!(error.cause = %error, "the gallery cannot be read");
                Self::Broken
            }
        }
    }
}

impl IntoResponse for PagesError {
    fn into_response(self) -> Response {
        let (status, title, text) = self.parts();
        let mut response = html(status, message_page(title, text));
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
