//! `GET /chat/api/turns/{id}/events`: an answer as it is made, as server-sent events.
//!
//! Each message is one event of the run, with its number as the id. A reader that comes back tells
//! the last number that it had, by `Last-Event-ID` or `?after=`, and misses nothing. `end` says that
//! nothing follows; a stream that ends without it was cut, and is asked for again.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, Stream};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;

use super::ChatState;
use super::access;
use super::api::Refusal;
use crate::agent::event::EventKind;
use crate::agent::runs::Follower;
use crate::error::{ErrorKind, ToolError};
use crate::server::pages::add_common;
use crate::server::ports::Closing;

const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Pause between signs of life.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// When a browser whose stream was cut asks again.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    after: u64,
}

pub(super) async fn events(
    State(state): State<ChatState>,
    Path(turn): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
    closing: Option<Extension<Closing>>,
) -> Result<Response, Refusal> {
    let person = access::check(&state, &uri, &headers).await?;
    let Query(wanted) = wanted.unwrap_or_default();
    let had = headers
        .get(LAST_EVENT_ID)
        .and_then(|id| id.to_str().ok())
        .and_then(|id| id.parse().ok())
        .unwrap_or(0);
    let after = wanted.after.max(had);
    let place = Arc::clone(&state.streams).try_acquire_owned().map_err(|_| {
        ToolError::new(ErrorKind::Limit, "too_many_streams", "too many pages follow answers")
            .hint("close some, then reload this one")
    })?;
    let follower = state.chat.follow(&person.principal, &turn, after).await?;
    let teller = Teller {
        follower,
        closing: closing.map(|Extension(closing)| closing).unwrap_or_default(),
        at_break: false,
        begun: false,
        _place: place,
    };
    let events = Sse::new(teller.events())
        .keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here"));
    let mut response = events.into_response();
    add_common(response.headers_mut());
    // Proxies that collect answers before they pass them on are asked not to.
    response.headers_mut().insert(BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// Turns a run's events into those of one stream.
struct Teller {
    follower: Follower,
    closing: Closing,
    /// The last event was the end of a program, not of the run.
    at_break: bool,
    begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Teller {
    fn events(self) -> impl Stream<Item = Result<Event, axum::Error>> + Send {
        stream::unfold(Some(self), async |teller| {
            let mut teller = teller?;
            if !std::mem::replace(&mut teller.begun, true) {
                return Some((
                    Ok(Event::default().retry(RETRY).comment("following")),
                    Some(teller),
                ));
            }
            let next = tokio::select! {
                next = teller.follower.next() => next,
                () = teller.closing.wait() => return None,
            };
            match next {
                Some(event) => {
                    teller.at_break = is_break(&event.kind);
                    let message = Event::default().id(event.seq.to_string()).json_data(&event);
                    Some((message, Some(teller)))
                }
                // The run goes on when another process takes it up.
                None if teller.at_break => None,
                None => Some((Ok(Event::default().event("end").data("{}")), None)),
            }
        })
    }
}

/// A run that was interrupted goes on later.
fn is_break(kind: &EventKind) -> bool {
    matches!(kind, EventKind::Stopped { reason } if reason == "interrupted")
}
