//! `POST …/storage`: a page hands in what changed in its storage and learns what others changed.
//!
//! The body is JSON sent as plain text, which needs no preflight, so that a page may still send it
//! while it closes. Each write of a tab has a number; one that was overtaken changes nothing.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout};

use super::ContentState;
use super::app::{Parameters, parameter};
use super::problem::PageProblem;
use crate::storage::{
    Area, AreaLimits, AreaWrite, Document, Others, PageWrite, PageWritten, StoredChanges,
};

/// Largest body. Control characters take six bytes in JSON, so one value may need 1.5 MB.
pub(super) const BODY_BYTES: usize = 2 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(20);
/// Largest key.
const NAME_BYTES: usize = 4 * 1024;
/// Largest value.
const VALUE_BYTES: usize = 256 * 1024;
/// What an area may hold.
pub(super) const AREA_LIMITS: AreaLimits = AreaLimits { bytes: 5 * 1024 * 1024, entries: 10_000 };
/// What all visitors of an app may store together.
const DOCUMENT_BYTES: i64 = 256 * 1024 * 1024;
/// Tabs of a visitor whose `sessionStorage` is kept.
const KEPT_TABS: usize = 8;
/// How long a page that was reloaded waits for what it wrote before.
const AWAITED: Duration = Duration::from_millis(1500);
const AWAITED_PAUSE: Duration = Duration::from_millis(25);

/// What a page sends.
#[derive(Debug, Deserialize)]
struct Request {
    token: String,
    tab: String,
    /// Number of the write. Without one, nothing is written.
    #[serde(default)]
    sequence: Option<i64>,
    /// Number of the write that the answer must know.
    #[serde(default)]
    awaited: Option<i64>,
    /// The newest revision of `localStorage` that the page knows.
    #[serde(default)]
    since: i64,
    #[serde(default)]
    local: Changes,
    #[serde(default)]
    session: Changes,
}

/// Changes of one storage.
#[derive(Debug, Default, Deserialize)]
struct Changes {
    /// Whether everything else was removed.
    #[serde(default)]
    clear: bool,
    #[serde(default)]
    set: Vec<(String, Option<String>)>,
}

/// What it is answered.
#[derive(Debug, Serialize)]
struct Answer {
    status: &'static str,
    /// The revision of what was written; absent when nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<i64>,
    /// The newest revision of `localStorage`.
    revision: i64,
    /// Whether `local` is all there is.
    whole: bool,
    /// What changed in `localStorage`: key, value or none, revision.
    local: Vec<(String, Option<String>, i64)>,
    /// `sessionStorage` of the tab, for a page that waited for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Vec<(String, Option<String>)>>,
    /// Number of the newest write of the tab, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<i64>,
}

pub(super) async fn exchange(
    State(state): State<ContentState>,
    token: Parameters<String>,
    body: Body,
) -> Result<Response, PageProblem> {
    let document = state.web_app(&parameter(token)?).await?;
    let _place = state.inner.writes.admit(&document.id).ok_or_else(PageProblem::busy)?;
    let request: Request = read_json(body).await?;
    let visitor = visitor_of(&state, &document, &request.token)?;
    if !is_tab(&request.tab) {
        return Err(PageProblem::invalid("`tab` is not the name of a tab"));
    }
    let local = Area::Visitor(visitor.clone());
    let tab = Area::Tab { visitor: visitor.clone(), tab: request.tab };
    let mut written = None;
    if let Some(sequence) = request.sequence {
        if sequence < 1 {
            return Err(PageProblem::invalid("`sequence` is less than 1"));
        }
        let areas = [(&local, request.local), (&tab, request.session)]
            .into_iter()
            .filter(|(_, changes)| changes.clear || !changes.set.is_empty())
            .map(|(area, changes)| area_write(area, changes))
            .collect::<Result<_, _>>()?;
        let number = Some((tab.clone(), sequence));
        written = write(&state, &document, &visitor, areas, number).await?;
    }
    let session = match request.awaited {
        Some(sequence) => Some(awaited(&state, &document, &tab, sequence).await?),
        None => None,
    };
    let changes = state.inner.catalog.page_changes(&document.id, &local, request.since).await?;
    let answer = Answer {
        status: "success",
        written,
        revision: changes.revision,
        whole: changes.is_whole,
        local: changes
            .entries
            .into_iter()
            // The page knows what it wrote itself.
            .filter(|entry| changes.is_whole || Some(entry.revision) != written)
            .map(|entry| (entry.name, entry.content, entry.revision))
            .collect(),
        sequence: session.as_ref().map(|changes| changes.sequence),
        session: session.map(|changes| {
            changes.entries.into_iter().map(|entry| (entry.name, entry.content)).collect()
        }),
    };
    Ok(reply(&answer))
}

/// The tab's storage, once it holds the write of this number.
async fn awaited(
    state: &ContentState,
    document: &Document,
    tab: &Area,
    sequence: i64,
) -> Result<StoredChanges, PageProblem> {
    let deadline = Instant::now() + AWAITED;
    loop {
        let changes = state.inner.catalog.page_changes(&document.id, tab, 0).await?;
        if changes.sequence >= sequence || Instant::now() >= deadline {
            return Ok(changes);
        }
        // The write may arrive at another process.
        sleep(AWAITED_PAUSE).await;
    }
}

/// Who may write with this token.
pub(super) fn visitor_of(
    state: &ContentState,
    document: &Document,
    token: &str,
) -> Result<String, PageProblem> {
    state.inner.visitors.of_token(&document.id, token).ok_or_else(PageProblem::token_refused)
}

/// A checked change of an area.
fn area_write(area: &Area, changes: Changes) -> Result<AreaWrite, PageProblem> {
    changes.set.iter().try_for_each(|(name, content)| check_entry(name, content.as_deref()))?;
    Ok(AreaWrite {
        area: area.clone(),
        changes: changes.set,
        others: if changes.clear { Others::Removed } else { Others::Kept },
        limits: AREA_LIMITS,
    })
}

/// Refuses keys and values that are too large.
pub(super) fn check_entry(name: &str, content: Option<&str>) -> Result<(), PageProblem> {
    let bytes = content.map_or(0, str::len);
    if name.len() <= NAME_BYTES && bytes <= VALUE_BYTES {
        return Ok(());
    }
    Err(full(format!(
        "a key has {} bytes and its value {bytes}; at most {NAME_BYTES} and {VALUE_BYTES} are kept",
        name.len()
    )))
}

/// Writes in the visitor's turn. Returns the revision, or nothing when the number was not new.
pub(super) async fn write(
    state: &ContentState,
    document: &Document,
    visitor: &str,
    areas: Vec<AreaWrite>,
    number: Option<(Area, i64)>,
) -> Result<Option<i64>, PageProblem> {
    let turn = state.inner.writes.turn(&document.id, visitor).await;
    let _turn = turn.ok_or_else(PageProblem::busy)?;
    let write = PageWrite { areas, number, kept_tabs: KEPT_TABS, document_bytes: DOCUMENT_BYTES };
    match state.inner.catalog.write_page_entries(&document.id, write).await? {
        PageWritten::Done { revision } => {
            state.inner.streams.nudge(&document.token);
            Ok(Some(revision))
        }
        PageWritten::Repeated => Ok(None),
        PageWritten::AreaFull(_) => Err(full(format!(
            "the storage would pass {} bytes or {} keys",
            AREA_LIMITS.bytes, AREA_LIMITS.entries
        ))),
        PageWritten::DocumentFull => Err(full(format!(
            "the visitors of this app have stored {DOCUMENT_BYTES} bytes together"
        ))),
        PageWritten::NoDocument => Err(super::ContentError::NotFound.into()),
    }
}

fn full(message: String) -> PageProblem {
    let hint = "remove what is not needed any more; nothing of this change was stored";
    PageProblem::new("page_storage_full", StatusCode::PAYLOAD_TOO_LARGE, message, hint)
}

/// Reads a body of JSON, whatever type it says to be.
pub(super) async fn read_json<T: DeserializeOwned>(body: Body) -> Result<T, PageProblem> {
    read_json_within(body, BODY_BYTES).await
}

/// The same with a cap of its own.
pub(super) async fn read_json_within<T: DeserializeOwned>(
    body: Body,
    limit: usize,
) -> Result<T, PageProblem> {
    let read = timeout(BODY_TIME, axum::body::to_bytes(body, limit)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            return Err(PageProblem::new(
                "page_request_too_large",
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the request has more than {limit} bytes, or was cut"),
                "send smaller parts one after the other",
            ));
        }
        Err(_) => return Err(PageProblem::invalid("the request did not arrive in time")),
    };
    serde_json::from_slice(&bytes)
        .map_err(|error| PageProblem::invalid(format!("the request is not as expected: {error}")))
}

/// An answer that nobody keeps.
pub(super) fn reply(answer: &impl Serialize) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

fn is_tab(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
