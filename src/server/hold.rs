//! Keeps a request inside the door until the last byte of its answer was taken.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use http_body::{Frame, SizeHint};

use super::door::{Door, Inside};

/// A body whose request is inside as long as it lasts.
struct Held {
    body: Body,
    _inside: Inside,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Holds every request but the streams of events that never end by themselves.
pub(super) async fn until_answered(
    State(door): State<Arc<Door>>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.headers().get("mcp-method");
    let listens = method.is_some_and(|method| method.as_bytes() == b"subscriptions/listen");
    if request.method() != Method::POST || listens {
        return next.run(request).await;
    }
    let inside = door.enter();
    next.run(request).await.map(|body| Body::new(Held { body, _inside: inside }))
}
