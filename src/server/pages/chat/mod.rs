//! The chat page: a page of our own, its assets, and what it asks and tells us.
//!
//! | route | what |
//! | --- | --- |
//! | `GET /chat` | the page, and the link that opens it: `?key=…` |
//! | `GET /gallery/chat` | a link of one's own, for who is in the gallery |
//! | `GET /chat/assets/…` | scripts and styles |
//! | `/chat/api/…` | JSON, and the events of an answer (`stream`) |

mod access;
mod api;
mod page;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use super::PagesState;
use crate::agent::chat::{Chat, FILE_BYTES};

/// Most that a message may be on the wire.
const BODY_BYTES: usize = 1024 * 1024;
/// Answers that may be followed at a time.
const STREAMS: usize = 256;

/// What the chat works with. Clones share one state.
#[derive(Clone)]
struct ChatState {
    pages: PagesState,
    chat: Arc<Chat>,
    streams: Arc<Semaphore>,
}

/// The chat, to be mounted beside the other pages.
pub fn chat_router(pages: PagesState, chat: Arc<Chat>) -> Router {
    let state = ChatState { pages, chat, streams: Arc::new(Semaphore::new(STREAMS)) };
    let files = Router::new()
        .route("/chat/api/files", post(api::attach))
        // One more byte than a file may have, so that ours is the answer about it.
        .layer(DefaultBodyLimit::max(FILE_BYTES + 64 * 1024));
    let rest = Router::new()
        .route("/chat", get(page::show))
        .route("/gallery/chat", get(page::from_gallery))
        .route("/chat/assets/{name}", get(page::asset))
        .route("/chat/api/state", get(api::state))
        .route("/chat/api/conversations", get(api::conversations))
        .route("/chat/api/conversations/{id}", get(api::conversation))
        .route("/chat/api/conversations/{id}/export", get(api::export))
        .route("/chat/api/conversations/{id}/rename", post(api::rename))
        .route("/chat/api/conversations/{id}/select", post(api::select))
        .route("/chat/api/conversations/{id}/delete", post(api::delete))
        .route("/chat/api/turns", post(api::say))
        .route("/chat/api/turns/{id}/events", get(stream::events))
        .route("/chat/api/turns/{id}/stop", post(api::stop))
        .route("/chat/api/turns/{id}/decide", post(api::decide))
        .route("/chat/api/turns/{id}/pictures/{sha}", get(api::picture))
        .route("/chat/api/files/{id}", get(api::file))
        .route("/chat/api/results/{id}", get(api::result))
        .layer(DefaultBodyLimit::max(BODY_BYTES));
    files.merge(rest).with_state(state)
}
