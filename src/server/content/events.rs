//! `GET …/events`: what a page is told while it is open, as server-sent events.
//!
//! | event | data |
//! | --- | --- |
//! | `version` | `{"version": n}`: the newest one, at the begin and whenever there is another; also the id of the event |
//! | `storage` | `{"revision": n}`: another tab of the visitor named by `?visitor=` stored something |
//! | `deleted` | `{}`: the app is gone; the stream ends |

use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, Stream};
use http::header::CACHE_CONTROL;
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::app::{Parameters, parameter};
use super::problem::PageProblem;
use super::streams::{Listener, Look, News};
use super::visitors::is_name;
use super::{ContentError, ContentState};
use crate::server::ports::Closing;
use crate::storage::{Area, Catalog, DocumentId, StorageError, StorageResult};

const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// Pause between signs of life.
const HEARTBEAT: Duration = Duration::from_secs(20);

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    visitor: Option<String>,
}

pub(super) async fn newest(
    State(state): State<ContentState>,
    token: Parameters<String>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    closing: Option<Extension<Closing>>,
) -> Result<Response, ContentError> {
    let Query(wanted) = wanted.unwrap_or_default();
    let document = state.web_app(&parameter(token)?).await?;
    let stored = state.inner.catalog.page_store_revision(&document.id).await?;
    let Some(listener) = state.inner.streams.listen(&document, stored) else {
        let problem = PageProblem::new(
            "too_many_streams",
            StatusCode::SERVICE_UNAVAILABLE,
            "too many pages listen for changes",
            "the page works without; it tries again by itself, and a reload shows what is new",
        );
        return Ok(problem.into_response());
    };
    let teller = Teller {
        state,
        document: document.id.clone(),
        visitor: wanted.visitor.filter(|visitor| is_name(visitor)).map(Area::Visitor),
        head: None,
        stored: None,
        told: None,
        listener,
        closing: closing.map(|Extension(closing)| closing).unwrap_or_default(),
    };
    let events = Sse::new(teller.events())
        .keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here"));
    // Proxies that collect answers before they pass them on are asked not to.
    let headers = [(CACHE_CONTROL, "no-store"), (BUFFERING, "no")];
    Ok((headers, events).into_response())
}

/// Turns news into events for one page.
struct Teller {
    state: ContentState,
    document: DocumentId,
    visitor: Option<Area>,
    /// The version that was told last.
    head: Option<i64>,
    /// The revision of the app's storage that was looked at last.
    stored: Option<i64>,
    /// The revision of the visitor's storage that was told last.
    told: Option<i64>,
    listener: Listener,
    closing: Closing,
}

impl Teller {
    fn events(self) -> impl Stream<Item = Result<Event, axum::Error>> + Send {
        stream::unfold(Some(self), async |teller| {
            let mut teller = teller?;
            let event = teller.next().await?;
            let rest = (teller.head.is_some()).then_some(teller);
            Some((event, rest))
        })
    }

    /// The next event; none when there will be no more.
    async fn next(&mut self) -> Option<Result<Event, axum::Error>> {
        loop {
            let news = *self.listener.news.borrow_and_update();
            match news {
                News::Gone => {
                    // Nothing comes after this one.
                    self.head = None;
                    return Some(Event::default().event("deleted").json_data(json!({})));
                }
                News::Live { head, stored } => {
                    if self.head != Some(head) {
                        self.head = Some(head);
                        let event = Event::default().event("version").id(head.to_string());
                        return Some(event.json_data(json!({"version": head})));
                    }
                    if self.stored != Some(stored)
                        && let Some(revision) = self.look_into_storage(stored).await
                    {
                        let event = Event::default().event("storage");
                        return Some(event.json_data(json!({"revision": revision})));
                    }
                }
            }
            tokio::select! {
                changed = self.listener.news.changed() => changed.ok()?,
                () = self.closing.wait() => return None,
            }
        }
    }

    /// The newest revision of the visitor's storage, when it has not been told.
    async fn look_into_storage(&mut self, stored: i64) -> Option<i64> {
        let area = self.visitor.as_ref()?;
        match self.state.inner.catalog.area_revision(&self.document, area).await {
            Ok(revision) => {
                self.stored = Some(stored);
                let is_new = self.told != Some(revision);
                self.told = Some(revision);
                is_new.then_some(revision)
            }
            Err(error) => {
                tracing::debug!(error.cause = %error, "no news of a visitor's storage");
                None
            }
        }
    }
}

/// Looks for news where documents are looked up for every request.
pub(super) struct CatalogLook {
    pub(super) heads: std::sync::Arc<super::heads::Heads>,
    pub(super) catalog: std::sync::Arc<dyn Catalog>,
}

#[async_trait::async_trait]
impl Look for CatalogLook {
    async fn look(&self, token: &str) -> StorageResult<News> {
        let found = self.heads.find(token).await;
        let found = found.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let Some(document) = found else { return Ok(News::Gone) };
        let stored = self.catalog.page_store_revision(&document.id).await?;
        Ok(News::Live { head: document.head, stored })
    }
}
